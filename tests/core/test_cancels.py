"""What is given up, held or kept: the budget, the mode, and what people decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.core.booking import BookingState
from syncd.core.changes import Mode
from syncd.core.evidence import Safety
from syncd.core.reasons import Reason
from tests.core.office import Office, event, told, unanswered

NEIGHBOUR = event("n", 9)


def over_budget() -> Office:
    """Four meetings, of which one may be cancelled without a person."""
    office = Office(safety=Safety(cancel_floor=1, cancel_share=0.0))
    office.book(*(event(f"x{n}", n + 1) for n in range(3)), NEIGHBOUR)
    return office


def test_what_is_held_is_recorded_once() -> None:
    """The reason stands in the record as it was in the first cycle, and later ones change nothing."""
    office = over_budget()
    first = office.cycle(office.reading(NEIGHBOUR))
    assert [b.reason for b in first.amended] == [Reason.OVER_BUDGET] * 3
    details = {hold.detail for hold in first.held}
    assert office.cycle(office.reading(NEIGHBOUR)).amended == ()
    assert {b.detail for b in office.live if b.reason} == details


def test_what_is_held_is_not_let_go_by_arithmetic() -> None:
    """When only as many are left as the budget allows, a person still decides about them."""
    office = over_budget()
    office.cycle(office.reading(NEIGHBOUR))
    back = office.reading(event("x0", 1), event("x1", 2), NEIGHBOUR)
    assert told(office.cycle(back)) == [("hold", "x2", "over_budget")]
    assert told(office.cycle(back)) == [("hold", "x2", "over_budget")]


@pytest.mark.parametrize("mode", [Mode.NO_CANCEL, Mode.CREATE_ONLY])
def test_a_mode_without_cancels_shows_each_of_them(mode: Mode) -> None:
    """Told, shown and inferred ones are rows with the reason `mode`; none is recorded as held."""
    office = Office(mode=mode, sources=("one", "two"))
    office.cycle(
        office.reading(event("told"), event("shown", 2), NEIGHBOUR),
        office.reading(event("z", 3), source="two"),
    )
    office.sources = ("one",)
    decided = office.plan(office.reading(event("told", cancelled=True), NEIGHBOUR))
    assert told(decided) == [("skip", uid, "mode") for uid in ("told", "shown", "z")]
    assert decided.amended == ()


def test_an_approval_releases_the_cancellations_and_nothing_else() -> None:
    """What settles by itself is neither part of the approved set nor carried out with it."""
    office = over_budget()
    doubt = office.store(unanswered(office.live[2]))
    held = office.cycle(office.reading(NEIGHBOUR))
    assert {b.key.uid for b in held.held} == {"x0", "x1"}
    office.approved = frozenset({held.held_checksum or ""})
    released = office.cycle(office.reading(NEIGHBOUR))
    assert told(released) == [
        ("cancel", "x0", "over_budget"),
        ("cancel", "x1", "over_budget"),
        ("hold", doubt.key.uid, "in_doubt"),
    ]
    assert released.released == held.held_checksum


def test_only_what_holds_a_slot_counts_as_live() -> None:
    """Meetings that were refused or ended in Tuya make a calendar neither full nor inhabited."""
    office = Office(safety=Safety(empty_hold=1))
    others = [event(f"y{n}", n + 2) for n in range(3)]
    office.book(event("x"), *others)
    for booking in office.live[1:]:
        office.store(booking.with_state(BookingState.RELEASED))
    assert told(office.plan(office.reading())) == [("cancel", "x", "event_gone")]


def test_a_record_without_reservation_is_closed_without_a_request() -> None:
    """What was refused and is then cancelled or not bookable is forgotten; there is nothing to cancel."""
    for last in (
        event("x", cancelled=True),
        event("x", transparent=True),
        event("x", -3),
    ):
        office = Office()
        office.refused(office.book(event("x"))[0], Reason.REFUSED)
        decided = office.plan(office.reading(last))
        assert [b.state for b in decided.closed] == [BookingState.CANCELLED]
        assert (decided.writes, decided.held) == ((), ())


def test_a_refused_change_does_not_save_a_meeting_from_its_cancel() -> None:
    """Only a cancel that was refused is not sent again; a meeting whose update was, is cancelled."""
    office = Office()
    booking = office.book(event("x"))[0]
    office.refused(
        booking, Reason.REFUSED, replace(booking.spec, topic="Retrospective")
    )
    decided = office.plan(
        office.reading(event("x", title="Retrospective", cancelled=True))
    )
    assert told(decided) == [("cancel", "x", "event_cancelled")]
