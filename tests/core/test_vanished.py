"""What a plan does about bookings that are gone from Tuya with many others: a person decides first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.core.booking import BookingState
from syncd.core.changes import Create, Hold, Mode, OnCancel
from syncd.core.evidence import exceeds
from syncd.core.reasons import Reason
from syncd.core.resolve import Open, open_as
from syncd.core.rooms import RoomRule
from tests.core.office import DAY, HOUR, RULES, Office, event, told

HELD = [("hold", "x", "vanished")]


def vanished(office: Office) -> None:
    """Let all reservations be gone from Tuya at once, as a comparison records it."""
    for booking in office.live:
        office.store(booking.vanished("8 of 8 are gone."))


def office_with_x(on_cancel: OnCancel = OnCancel.RESPECT) -> Office:
    office = Office(on_cancel=on_cancel)
    office.book(event("x"))
    vanished(office)
    return office


def test_it_is_held_and_nobody_can_approve_it_away() -> None:
    """The booking stays booked, is in no held set, never rests, and is open to `resolve`."""
    office = office_with_x()
    decided = office.cycle(office.reading(event("x")))
    assert (told(decided), decided.held_checksum, decided.at_rest) == (HELD, None, {})
    (hold,) = decided.changes
    assert isinstance(hold, Hold)
    assert (hold.detail, hold.booking.state) == (
        "8 of 8 are gone.",
        BookingState.BOOKED,
    )
    assert [open_as(b) for b in office.live] == [Open.VANISHED]
    assert told(office.cycle(office.reading(event("x")))) == HELD


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("policy", OnCancel)
def test_no_mode_and_no_policy_decides(mode: Mode, policy: OnCancel) -> None:
    """Also where a cancel by a person would be booked again."""
    office = office_with_x(on_cancel=policy)
    office.mode = mode
    assert told(office.plan(office.reading(event("x")))) == HELD


def test_what_the_calendar_no_longer_has_is_held_too() -> None:
    """Removed, cancelled, without its room, not bookable by a changed rule: nothing is sent or closed."""
    office = office_with_x()
    office.book(event("y", 2))
    for readings in (
        office.reading(event("y", 2)),
        office.reading(event("x", cancelled=True), event("y", 2)),
        office.reading(event("x", transparent=True), event("y", 2)),
        office.unreadable(),
    ):
        decided = office.plan(readings)
        assert (decided.writes, decided.closed) == ((), ())
        assert ("hold", "x", "vanished") in told(decided)
    office.sources = ()
    assert ("hold", "x", "vanished") in told(office.plan())


def test_a_room_too_many_is_held() -> None:
    """Of two rooms one is taken off the event: that counts for neither while both are gone from Tuya."""
    office = Office()
    office.book(event("x", rooms="a;b"))
    vanished(office)
    decided = office.plan(office.reading(event("x", rooms="a")))
    assert (told(decided), decided.closed) == (HELD * 2, ())


def test_a_changed_event_is_booked_anew() -> None:
    """The calendar counts again; a change of the configuration alone, or of nothing that counts, does not."""
    office = office_with_x()
    (create,) = office.plan(office.reading(event("x", title="Retrospective"))).changes
    assert isinstance(create, Create)
    assert create.booking is not None
    assert create.booking.is_vanished
    assert told(office.plan(office.reading(event("x", sequence=3)))) == HELD
    office.rules = replace(
        RULES, rooms=(RoomRule("room-z", frozenset(), frozenset({"a"})),)
    )
    assert told(office.plan(office.reading(event("x")))) == HELD
    office.rules = RULES
    office.cycle(office.reading(event("x", title="Retrospective")))
    assert [b.reason for b in office.live] == [None]
    assert office.plan(office.reading(event("x", title="Retrospective"))).changes == ()


def test_a_changed_event_beyond_the_horizon_is_still_held() -> None:
    """A person is asked about it until it can be booked anew."""
    office = office_with_x()
    assert told(office.plan(office.reading(event("x", 40)))) == HELD
    office.now += 12 * DAY
    assert told(office.plan(office.reading(event("x", 40)))) == [("create", "x", "new")]


def test_a_meeting_that_is_over_closes() -> None:
    """Nobody has to decide about what is over."""
    office = office_with_x()
    office.now += DAY + 2 * HOUR
    decided = office.cycle(office.reading(event("x")))
    assert (decided.changes, [b.state for b in decided.closed]) == (
        (),
        [BookingState.ENDED],
    )


def test_what_a_person_gave_up_is_booked_again_by_a_change_only() -> None:
    """`resolve --drop` releases it, and no policy books it again."""
    office = office_with_x(on_cancel=OnCancel.REBOOK)
    (booking,) = office.live
    office.store(booking.with_state(BookingState.RELEASED, Reason.DROPPED, "Given up."))
    assert told(office.plan(office.reading(event("x")))) == [("skip", "x", "released")]
    assert told(office.plan(office.reading(event("x", title="New")))) == [
        ("create", "x", "new")
    ]


@pytest.mark.parametrize(
    ("count", "total", "share", "floor", "passed"),
    [
        (6, 6, 0.3, 5, True),
        (5, 5, 0.3, 5, False),
        (6, 20, 0.3, 5, False),
        (29, 100, 0.29, 5, False),
        (30, 100, 0.29, 5, True),
        (1, 1, 0.0, 0, True),
        (0, 0, 0.0, 0, False),
        (9, 9, 1.0, 0, False),
    ],
)
def test_bounds_are_passed_by_more_than_both(
    count: int, total: int, share: float, floor: int, *, passed: bool
) -> None:
    """Exactly the share or exactly the number is not more than it."""
    assert exceeds(count, total, share, floor) is passed


def test_who_decided_about_it_does_not_bring_back_what_a_later_revision_left() -> None:
    """The meeting became a series in another copy; one vanished room of it makes no single meeting again."""
    office = Office(sources=("one", "two"))
    single = event("x", rooms="a, b, c", sequence=2)
    copy = event("x", 2, rooms="", source="two", sequence=1)
    office.cycle(office.reading(single), office.reading(copy, source="two"))
    vanished(office)
    # The copy of the first calendar is not there for one reading, and the other books its own word.
    office.cycle(office.reading(), office.reading(copy, source="two"))
    series = [
        event("x", day, original=day, rooms="", source="two", sequence=3)
        for day in (3, 6)
    ]
    readings = (office.reading(single), office.reading(*series, source="two"))
    office.cycle(*readings)
    again = office.plan(*readings)
    assert {change[0] for change in told(again)} <= {"hold"}
    assert {b.key.recurrence_id is None for b in office.live if not b.is_vanished} == {
        False
    }
