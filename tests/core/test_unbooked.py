"""Meetings that cannot be booked now: too early, refused, in conflict, ended by a person, in doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.core.booking import BookingState
from syncd.core.changes import Skip, Wait
from syncd.core.evidence import Safety
from syncd.core.occurrence import Occurrence
from syncd.core.reasons import Evidence, Reason
from tests.core.office import DAY, HOUR, NOW, RULES, Office, event, told, unanswered

# Waiting, refusals, released


def test_a_meeting_too_far_ahead_waits_until_it_can_be_booked() -> None:
    """Beyond what the tenant allows it is kept in mind, and created when its day comes, to the second."""
    office = Office(advance=5 * DAY)
    assert told(office.cycle(office.reading(event("x", 6)))) == [
        ("wait", "x", "too_early")
    ]
    assert [b.state for b in office.current] == [BookingState.WAITING]
    again = office.cycle(office.reading(event("x", 6)))
    assert told(again) == [("wait", "x", "too_early")]
    assert again.amended == ()
    office.now = NOW + DAY - timedelta(seconds=1)
    assert told(office.plan(office.reading(event("x", 6)))) == [
        ("wait", "x", "too_early")
    ]
    office.now = NOW + DAY
    assert told(office.cycle(office.reading(event("x", 6)))) == [("create", "x", "new")]
    assert len(office.bookings) == 1


def test_a_booked_meeting_that_moves_too_far_ahead_is_cancelled() -> None:
    """The old slot is freed, and the meeting waits for the day on which it can be booked."""
    office = Office(advance=5 * DAY)
    office.book(event("x"))
    assert told(office.cycle(office.reading(event("x", 8)))) == [
        ("cancel", "x", "too_early")
    ]
    assert told(office.cycle(office.reading(event("x", 8)))) == [
        ("wait", "x", "too_early")
    ]


def test_a_record_without_reservation_does_not_lead_beyond_the_horizon() -> None:
    """A refused meeting that moves behind the horizon is not booked before it is within."""
    office = Office(horizon=10 * DAY)
    office.refused(office.book(event("x"))[0], Reason.REFUSED)
    assert office.plan(office.reading(event("x", 12))).writes == ()


def test_a_refusal_is_not_repeated_until_the_content_changes() -> None:
    """A refused create is a row that concerns a person; an edit is a new attempt."""
    office = Office()
    office.refused(office.book(event("x"))[0], Reason.REFUSED)
    (skip,) = office.cycle(office.reading(event("x"))).changes
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.needs_person, skip.detail) == (Reason.REFUSED, True, "no")
    decided = office.cycle(office.reading(event("x", title="Retrospective")))
    assert told(decided) == [("create", "x", "new")]
    assert len(office.bookings) == 1


def test_a_refused_update_is_not_repeated_until_the_content_changes() -> None:
    """The reservation stays as it was; another edit is tried, and going back settles it."""
    office = Office()
    booking = office.book(event("x"))[0]
    wanted = replace(booking.spec, topic="Retrospective")
    office.refused(booking, Reason.REFUSED, pending=wanted)
    assert told(office.plan(office.reading(event("x", title="Retrospective")))) == [
        ("skip", "x", "refused")
    ]
    assert told(office.plan(office.reading(event("x", title="Review")))) == [
        ("update", "x", "changed")
    ]
    back = office.cycle(office.reading(event("x")))
    assert back.changes == ()
    assert [(b.pending, b.reason, b.detail) for b in office.live] == [(None, None, "")]


def test_a_refused_cancel_is_not_repeated() -> None:
    """A reservation that the API does not let go concerns a person and costs no call in each cycle."""
    office = Office()
    booking = office.book(event("x"), event("y", 2))[0]
    office.store(replace(booking, reason=Reason.REFUSED, detail="no"))
    (skip,) = office.plan(office.reading(event("y", 2))).changes
    assert isinstance(skip, Skip)
    assert (skip.key.uid, skip.reason, skip.needs_person) == ("x", Reason.REFUSED, True)
    office.cycle(office.reading(event("x"), event("y", 2)))
    assert told(office.plan(office.reading(event("y", 2)))) == [
        ("cancel", "x", "event_gone")
    ]


def test_a_conflict_is_tried_again_when_it_is_due() -> None:
    """Until `retry_at` the meeting waits, then it is one create."""
    office = Office()
    office.conflict(office.book(event("x", 3))[0])
    retry_at = office.now + HOUR
    assert told(office.cycle(office.reading(event("x", 3)))) == [
        ("wait", "x", "room_conflict")
    ]
    office.now = retry_at - timedelta(seconds=1)
    assert told(office.plan(office.reading(event("x", 3)))) == [
        ("wait", "x", "room_conflict")
    ]
    office.now = retry_at
    assert told(office.plan(office.reading(event("x", 3)))) == [
        ("create", "x", "room_free_again")
    ]


def blocked(*, title: str = "Holder") -> Office:
    """`x` wants room a while `holder` has it."""
    office = Office(sources=("one", "two"))
    booked = office.book(event("holder", 3, title=title), event("x", 3, rooms="b"))
    waiting = next(b for b in booked if b.key.uid == "x")
    taken = replace(waiting, content=waiting.spec.in_room("room-a"), room_id="room-a")
    office.conflict(office.store(taken))
    return office


@pytest.mark.parametrize(
    ("holder", "released"),
    [
        (event("holder", 3, title="Holder", cancelled=True), True),
        (event("holder", 4, title="Holder"), True),
        (event("holder", 3, title="Holder", rooms="c"), True),
        (event("holder", 3, title="Another title"), False),
        (event("holder", 3, title="Holder", length=2 * HOUR), False),
        (event("holder", 3, title="Holder"), False),
    ],
)
def test_a_conflict_is_tried_again_when_this_plan_frees_the_slot(
    holder: Occurrence, released: bool
) -> None:
    """A cancel or a move of the holder is enough; an edit that stays in the way is not."""
    office = blocked()
    decided = office.plan(office.reading(holder, event("x", 3)))
    expected = (
        ("create", "x", "room_free_again")
        if released
        else ("wait", "x", "room_conflict")
    )
    assert told(decided)[-1] == expected
    if released:
        assert told(decided)[0][1] == "holder"


def test_an_approved_cancel_frees_its_slot_too() -> None:
    """A conflict goes again in the plan that carries out the approval."""
    office = blocked()
    office.safety = Safety(cancel_floor=0, cancel_share=0)
    held = office.plan(office.reading(event("x", 3)))
    assert told(held) == [
        ("hold", "holder", "over_budget"),
        ("wait", "x", "room_conflict"),
    ]
    office.approved = frozenset({held.held_checksum or ""})
    decided = office.plan(office.reading(event("x", 3)))
    assert told(decided) == [
        ("cancel", "holder", "over_budget"),
        ("create", "x", "room_free_again"),
    ]


def test_a_conflict_is_tried_again_when_a_person_ended_what_was_in_the_way() -> None:
    """A reservation of our own that was ended in Tuya has its room no more, though its record goes on."""
    office = blocked()
    waiting, holder = (
        next(b for b in office.current if b.key.uid == uid) for uid in ("x", "holder")
    )
    office.store(replace(waiting, retry_at=None, blocked_by=holder.reservation_id))
    calendar = office.reading(event("holder", 3, title="Holder"), event("x", 3))
    assert told(office.plan(calendar)) == [("wait", "x", "room_conflict")]
    office.store(holder.with_state(BookingState.RELEASED))
    assert told(office.plan(calendar)) == [
        ("create", "x", "room_free_again"),
        ("skip", "holder", "released"),
    ]


def test_a_chain_of_conflicts_is_resolved_in_one_plan() -> None:
    """What moves into the freed slot frees its own for the next, in writing order."""
    office = Office()
    first, second, third = (
        event(u, 3, rooms=r, title=u) for u, r in (("p", "a"), ("q", "b"), ("r", "c"))
    )
    bookings = {b.key.uid: b for b in office.book(first, second, third)}
    for uid, room in (("q", "room-a"), ("r", "room-b")):
        pending = bookings[uid].spec.in_room(room)
        stored = office.refused(bookings[uid], Reason.ROOM_CONFLICT, pending=pending)
        office.store(replace(stored, retry_at=office.now + HOUR))
    wanted = (replace(second, location="a"), replace(third, location="b"))
    waiting = office.plan(office.reading(first, *wanted))
    assert [c.reason for c in waiting.changes if isinstance(c, Wait)] == [
        Reason.ROOM_CONFLICT
    ] * 2
    decided = office.plan(office.reading(replace(first, cancelled=True), *wanted))
    assert told(decided) == [
        ("cancel", "p", "event_cancelled"),
        ("update", "q", "room_free_again"),
        ("update", "r", "room_free_again"),
    ]


def test_what_a_person_ended_is_respected_until_the_event_changes() -> None:
    """A released meeting is not booked again for a changed rule, but for a changed event."""
    office = Office()
    office.store(office.book(event("x"))[0].with_state(BookingState.RELEASED))
    assert told(office.cycle(office.reading(event("x")))) == [("skip", "x", "released")]
    office.rules = replace(RULES, notice_time_s=60)
    assert told(office.cycle(office.reading(event("x")))) == [("skip", "x", "released")]
    decided = office.cycle(office.reading(event("x", 2)))
    assert told(decided) == [("create", "x", "new")]
    assert [b.state for b in office.bookings.values()] == [
        BookingState.CANCELLED,
        BookingState.BOOKED,
    ]


def test_what_a_person_ended_stays_ended_through_an_empty_reading() -> None:
    """An inference does not make us forget what a person decided."""
    office = Office()
    booked = office.book(*(event(f"x{n}", n + 1) for n in range(6)))
    office.store(booked[0].with_state(BookingState.RELEASED))
    office.cycle(office.reading())
    full = office.plan(office.reading(*(event(f"x{n}", n + 1) for n in range(6))))
    assert told(full) == [("skip", "x0", "released")]


@pytest.mark.parametrize("ended", [BookingState.RELEASED, BookingState.REFUSED])
def test_what_a_person_ended_is_not_booked_by_an_older_copy(
    ended: BookingState,
) -> None:
    """While the source that decided is silent, what another still has is no change of the meeting.

    Ended in Tuya, rejected by an approver, or given up before it was booked.
    """
    newer, older = event("x", title="New", sequence=2), event("x", title="Old")
    for never_booked in (False, ended is BookingState.REFUSED):
        office = Office(sources=("one", "two"))
        office.cycle(office.reading(newer), office.reading(older, source="two"))
        given_up = office.live[0].with_state(ended, Reason.DROPPED)
        if never_booked:
            given_up = replace(given_up, reservation_id=None)
        office.store(given_up)
        silent = office.cycle(office.unreadable(), office.reading(older, source="two"))
        assert silent.writes == ()
        assert [kept.reason for kept in silent.kept] == [Reason.UNCONFIRMED]
        back = office.plan(office.reading(newer), office.reading(older, source="two"))
        assert back.writes == ()
        moved = office.plan(
            office.reading(event("x", 2, sequence=3)),
            office.reading(older, source="two"),
        )
        assert told(moved) == [("create", "x", "new")]


def test_one_room_that_a_person_ended_keeps_no_other_from_being_tried() -> None:
    """While the source that decided is silent, a copy that says the same shows nothing otherwise."""
    office = Office(sources=("one", "two"))
    meeting = event("x", rooms="a, b")
    office.cycle(office.reading(meeting), office.reading(meeting, source="two"))
    in_room = {b.room_id: b for b in office.live}
    office.store(in_room["room-a"].with_state(BookingState.RELEASED))
    office.conflict(in_room["room-b"])
    office.now += HOUR
    decided = office.plan(office.unreadable(), office.reading(meeting, source="two"))
    assert told(decided) == [
        ("create", "x", "room_free_again"),
        ("skip", "x", "released"),
    ]


def test_what_a_person_ended_is_remembered_while_its_meeting_waits() -> None:
    """A released meeting that moves too far ahead waits, and its record still tells what was ended."""
    office = Office(advance=5 * DAY)
    released = office.store(
        office.book(event("x"))[0].with_state(BookingState.RELEASED)
    )
    assert told(office.cycle(office.reading(event("x", 8)))) == [
        ("wait", "x", "too_early")
    ]
    assert office.current == [released]


def test_wishes_end_with_their_source() -> None:
    """What was never booked needs no approval when its source leaves the configuration."""
    office = Office(sources=("one", "two"), advance=5 * DAY)
    office.cycle(office.reading(event("x", 6)))
    office.sources = ("two",)
    decided = office.cycle(office.reading(event("y", 2), source="two"))
    assert told(decided) == [("create", "y", "new")]
    assert {b.key.uid for b in office.current} == {"y"}


def test_wishes_end_with_their_meeting() -> None:
    """A record without reservation is closed without a request when its meeting is gone."""
    office = Office(advance=5 * DAY)
    office.cycle(office.reading(event("x", 6), event("y", 2)))
    decided = office.cycle(office.reading(event("y", 2)))
    assert decided.changes == ()
    assert {b.key.uid for b in office.current} == {"y"}


# In doubt


@pytest.mark.parametrize("how", ["create", "update", "cancel"])
def test_doubt_blocks_its_occurrence_and_no_other(how: str) -> None:
    """While an answer is missing nothing is sent for this meeting, whatever the calendar says."""
    office = Office()
    x = next(b for b in office.book(event("x"), event("y", 2)) if b.key.uid == "x")
    states = {
        "create": unanswered(x),
        "update": x.sending(replace(x.spec, topic="Retrospective"), x.origin, NOW),
        "cancel": x.cancelling(Reason.EVENT_GONE, Evidence.SHOWN, "", NOW),
    }
    office.store(states[how])
    for calendar in (
        [event("x", title="Review", rooms="a, b")],
        [event("x", cancelled=True)],
        [],
    ):
        decided = office.plan(office.reading(*calendar, event("y", 2, title="changed")))
        assert told(decided) == [("update", "y", "changed"), ("hold", "x", "in_doubt")]
        assert decided.held == ()
