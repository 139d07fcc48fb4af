"""What a plan says of bookings about which nothing is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.core.booking import BookingState
from syncd.core.changes import Keep, OnChange, Plan
from syncd.core.evidence import Safety
from syncd.core.occurrence import Defect, Presence
from syncd.core.reasons import Reason
from tests.core.office import DAY, Office, event


def _told(decided: Plan) -> list[tuple[str, Reason | None, bool]]:
    return [
        (keep.booking.key.uid, keep.reason, keep.unchanged) for keep in decided.kept
    ]


def test_what_is_as_it_should_be_is_kept_as_unchanged() -> None:
    """A booking that its calendar wants as it is stays without a row, and counts as unchanged."""
    office = Office()
    office.book(event("x"), event("y", 2))
    decided = office.plan(office.reading(event("x"), event("y", 2)))
    assert _told(decided) == [("x", None, True), ("y", None, True)]
    assert (decided.changes, decided.unchanged) == ((), 2)


def test_what_somebody_changed_in_tuya_is_kept_as_unchanged() -> None:
    """A change by hand that is respected stays, and the plan says that it is respected."""
    office = Office(on_change=OnChange.ACCEPT)
    (booking,) = office.book(event("x"))
    office.store(booking.changed_in_tuya(replace(booking.spec, topic="By hand")))
    (keep,) = office.plan(office.reading(event("x"))).kept
    assert keep.unchanged
    assert "respected" in keep.detail


def test_what_a_source_that_was_not_read_may_have_is_kept() -> None:
    """Without a reading the booking stays, is not unchanged, and the reason names the source."""
    office = Office()
    office.book(event("x"))
    decided = office.plan(office.unreadable())
    assert _told(decided) == [("x", Reason.UNCONFIRMED, False)]
    assert "'one'" in decided.kept[0].detail
    assert decided.unchanged == 0


def test_what_is_quarantined_is_kept() -> None:
    """A booking of an event that cannot be understood any more stays; the row is about the event."""
    office = Office()
    office.book(event("x"), event("y", 2))
    broken = office.reading(
        event("y", 2),
        presence={"x": Presence.QUARANTINED},
        defects=[Defect("x", 1, Reason.BROKEN_PROPERTY, "No start.")],
    )
    assert _told(office.plan(broken)) == [
        ("x", Reason.QUARANTINED, False),
        ("y", None, True),
    ]


def test_a_record_beyond_the_horizon_is_kept_with_its_day() -> None:
    """A record of a meeting that moved beyond the horizon waits for the day on which that enters it."""
    office = Office()
    (booking,) = office.book(event("x"))
    office.refused(booking, Reason.REFUSED)
    decided = office.plan(office.reading(event("x", 35)))
    assert _told(decided) == [("x", None, False)]
    entering = office.now + 5 * DAY
    assert f"on {entering:%Y-%m-%d}" in decided.kept[0].detail


def test_a_copy_of_a_silent_source_keeps_the_other_rooms_as_well() -> None:
    """Where the deciding source of one room is silent, the booking of another room says why it stays."""
    office = Office(sources=("one", "two"))
    first, second = office.book(event("x", rooms="a, b"))
    office.store(replace(second, source="two", witnesses=("one", "two")))
    decided = office.plan(
        office.unreadable(),
        office.reading(event("x", title="Other", source="two"), source="two"),
    )
    assert [c.reason for c in decided.changes] == [Reason.UNCONFIRMED]
    assert [keep.booking.room_id for keep in decided.kept] == [second.room_id]
    assert first.room_id != second.room_id


@pytest.mark.parametrize("live", [1, 5])
def test_what_is_kept_is_no_part_of_the_checksum(live: int) -> None:
    """Plans that do the same are the same to who approves them, whatever stays beside."""
    office = Office(safety=Safety(cancel_floor=100))
    others = [event(f"o{n}", n + 2) for n in range(live)]
    office.book(event("x"), *others)
    decided = office.plan(office.reading(event("x", cancelled=True), *others))
    assert len(decided.kept) == live
    assert replace(decided, kept=()).checksum == decided.checksum
    assert all(
        isinstance(keep, Keep) and keep.booking.state is BookingState.BOOKED
        for keep in decided.kept
    )
