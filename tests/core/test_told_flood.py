"""What a calendar itself tells to give up: at once, but never nearly everything in one cycle unasked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.core.changes import Hold, Mode, Plan
from syncd.core.evidence import Safety
from syncd.core.occurrence import Occurrence
from tests.core.office import Office, event, told

MANY = 30
"""Meetings of a source; more than half of them are more than the floor of these tests."""


def office_with(*occurrences: Occurrence, mode: Mode = Mode.FULL) -> Office:
    """An office that has booked these, and holds more than half and more than four told at once."""
    office = Office(safety=Safety(told_floor=4), mode=mode)
    office.book(*occurrences)
    return office


def meetings(count: int = MANY) -> list[Occurrence]:
    """Single meetings in a room, an hour each, on days of their own or far apart."""
    return [event(f"m{n:02}", 1 + n / 2) for n in range(count)]


def series(count: int = MANY) -> list[Occurrence]:
    """The dates of one series."""
    return [event("series", 1 + n / 2, original=1 + n / 2) for n in range(count)]


def cancelled(occurrences: list[Occurrence]) -> list[Occurrence]:
    """The same meetings, called off."""
    return [replace(occurrence, cancelled=True) for occurrence in occurrences]


def held(decided: Plan) -> int:
    """How many a person has to approve because too many were told at once."""
    reasons = [
        c.reason.value for c in decided.changes if isinstance(c, Hold) and c.approvable
    ]
    assert set(reasons) <= {"told_flood"}
    return len(reasons)


def test_a_line_that_cancels_everything_is_held() -> None:
    """METHOD:CANCEL in the head of a calendar cancels nothing before a person says so, and says why."""
    office = office_with(*meetings())
    decided = office.cycle(office.reading(*cancelled(meetings())))
    assert (decided.writes, held(decided)) == ((), MANY)
    detail = next(c.detail for c in decided.changes if isinstance(c, Hold))
    assert "30 of its 30 live bookings" in detail
    assert "told_share" in detail


def test_dates_that_series_lose_are_held() -> None:
    """Series that lose their rules give up most of their dates in one reading; a person looks first."""
    dates = [
        event(f"s{n}", 1 + n + k / 10, original=1 + n + k / 10)
        for n in range(5)
        for k in range(6)
    ]
    office = office_with(*dates)
    firsts = [
        replace(date, key=replace(date.key, recurrence_id=None)) for date in dates[::6]
    ]
    decided = office.cycle(office.reading(*firsts))
    assert (decided.writes, held(decided)) == ((), 25)


def test_rooms_given_up_by_an_update_are_held() -> None:
    """An export without LOCATION would leave every meeting without its room: as much as cancelling them."""
    office = office_with(*meetings())
    bare = [replace(meeting, location="") for meeting in meetings()]
    decided = office.cycle(office.reading(*bare))
    assert (decided.writes, held(decided)) == ((), MANY)
    office.approved = frozenset({decided.held_checksum or ""})
    released = office.cycle(office.reading(*bare))
    assert [action for action, _, _ in told(released)] == ["update"] * MANY
    assert [b.room_id for b in office.live] == [None] * MANY


def test_rooms_that_are_cancelled_count_with_those_that_are_updated() -> None:
    """Meetings in two rooms that lose one, and meetings that lose their only one, are one sum."""
    both = [event(f"d{n}", 1 + n, rooms="a;b") for n in range(3)]
    single = [event(f"e{n}", 11 + n) for n in range(3)]
    office = office_with(*both, *single)
    now = [replace(m, location="a") for m in both] + [
        replace(m, location="") for m in single
    ]
    decided = office.cycle(office.reading(*now))
    assert (decided.writes, held(decided)) == ((), 6)


@pytest.mark.parametrize("count", [1, 4, 15])
def test_what_is_few_or_a_small_share_passes_at_once(count: int) -> None:
    """Up to the floor, or up to half, a calendar is believed at once, as when one series is called off."""
    office = office_with(*meetings())
    now = [*cancelled(meetings()[:count]), *meetings()[count:]]
    assert len(office.cycle(office.reading(*now)).writes) == count


def test_few_pass_even_if_they_are_all() -> None:
    """A small calendar may call off all that it has."""
    office = office_with(*meetings(4))
    assert len(office.cycle(office.reading(*cancelled(meetings(4)))).writes) == 4


def test_an_approval_releases_them_and_a_repair_forgets_them() -> None:
    """The one command that `plan` names makes them; a calendar that is mended needs no command."""
    office = office_with(*meetings())
    decided = office.cycle(office.reading(*cancelled(meetings())))
    office.approved = frozenset({decided.held_checksum or ""})
    assert len(office.plan(office.reading(*cancelled(meetings()))).writes) == MANY
    office.approved = frozenset()
    office.cycle(office.reading(*meetings()))
    assert [b.reason for b in office.live] == [None] * MANY
    assert office.plan(office.reading(*meetings())).changes == ()


def test_what_is_held_stays_held_and_does_not_hold_what_is_told_later() -> None:
    """A person decides about the held ones only; one more cancel the next day is made at once."""
    office = office_with(*meetings())
    gone = cancelled(meetings()[:20])
    rest = meetings()[20:]
    assert held(office.cycle(office.reading(*gone, *rest))) == 20
    fewer = [*gone[:3], *meetings()[3:20], *rest]
    assert held(office.cycle(office.reading(*fewer))) == 3
    one_more = [*gone[:3], *meetings()[3:20], *cancelled(rest[:1]), *rest[1:]]
    decided = office.cycle(office.reading(*one_more))
    assert held(decided) == 3
    assert [row for row in told(decided) if row[0] == "cancel"] == [
        ("cancel", "m20", "event_cancelled")
    ]


def test_one_source_does_not_hold_another() -> None:
    """What floods is held; the cancel of a neighbour goes on."""
    office = Office(safety=Safety(told_floor=4), sources=("one", "two"))
    other = [event(f"o{n}", 1 + n / 2, rooms="b") for n in range(5)]
    office.cycle(office.reading(*meetings()), office.reading(*other, source="two"))
    decided = office.cycle(
        office.reading(*cancelled(meetings())),
        office.reading(*cancelled(other[:1]), *other[1:], source="two"),
    )
    assert held(decided) == MANY
    assert [c for c in told(decided) if c[0] == "cancel"] == [
        ("cancel", "o0", "event_cancelled")
    ]


def test_a_mode_without_cancels_still_holds_rooms_that_are_given_up() -> None:
    """In `no-cancel` changes are made, and so are they held; `create-only` shows them as forbidden."""
    bare = [replace(meeting, location="") for meeting in meetings()]
    office = office_with(*meetings(), mode=Mode.NO_CANCEL)
    assert held(office.cycle(office.reading(*bare))) == MANY
    office = office_with(*meetings(), mode=Mode.CREATE_ONLY)
    assert {row[0::2] for row in told(office.cycle(office.reading(*bare)))} == {
        ("skip", "mode")
    }
