"""What a cycle does about what happens in Tuya: changes by people, taken rooms, and calls that run short."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Create, Mode, OnCancel, OnChange, Skip, Update, Wait
from syncd.core.evidence import Safety
from syncd.core.policy import CALLS_OF_A_WRITE, CallBudget
from syncd.core.reasons import Reason
from syncd.core.reservation import Reservation, ReservationStatus
from tests.core.office import DAY, HOUR, NOW, Office, event, told, unanswered

# Somebody changed it


def moved_by_hand(office: Office, booking: Booking, by: timedelta = HOUR) -> Booking:
    """The reservation was moved and renamed in Tuya, and the drift check saw it."""
    spec = booking.spec
    there = Reservation(
        reservation_id=booking.reservation_id or "",
        status=ReservationStatus.NORMAL,
        topic="By hand",
        start=spec.start + by,
        end=spec.end + by,
        room_id=spec.room_id,
        participants=spec.participants,
        cc_participants=spec.cc_participants,
        notice=spec.notice,
        notice_time_s=spec.notice_time_s,
        description=spec.description,
        creator=spec.creator,
        modifier=spec.creator,
        created_at=None,
        modified_at=None,
    )
    content = there.onto(spec)
    assert content is not None
    return office.store(booking.changed_in_tuya(content))


def test_a_change_in_tuya_is_accepted_until_the_calendar_changes() -> None:
    """With `on_change = accept` nothing is sent for what a person did; an edit of the event counts again."""
    office = Office()
    moved_by_hand(office, office.book(event("x"))[0])
    for _ in range(2):
        decided = office.cycle(office.reading(event("x")))
        assert (decided.changes, decided.unchanged) == ((), 1)
    assert told(office.cycle(office.reading(event("x", title="Retrospective")))) == [
        ("update", "x", "changed")
    ]
    assert [b.drifted for b in office.live] == [""]


def test_a_change_in_tuya_is_repaired_once() -> None:
    """With `on_change = repair` the calendar's content is written back, and then all is quiet."""
    office = Office(on_change=OnChange.REPAIR)
    moved_by_hand(office, office.book(event("x"))[0])
    (update,) = office.cycle(office.reading(event("x"))).changes
    assert isinstance(update, Update)
    assert (update.reason, update.changed) == (
        Reason.REPAIRED,
        ("topic", "start_time", "end_time"),
    )
    assert office.cycle(office.reading(event("x"))).changes == ()


@pytest.mark.parametrize("begun", ["in the calendar", "in Tuya", "in both"])
def test_nothing_is_repaired_after_the_meeting_began(begun: str) -> None:
    """Whoever moved a meeting that runs, or into the present, is not thrown out of the room."""
    office = Office(on_change=OnChange.REPAIR)
    start, by = {
        "in the calendar": (NOW + HOUR, 2 * HOUR),
        "in Tuya": (NOW + 4 * HOUR, -3 * HOUR),
        "in both": (NOW + HOUR, timedelta(minutes=-30)),
    }[begun]
    meeting = event("x", (start - NOW) / DAY, length=2 * HOUR)
    moved_by_hand(office, office.book(meeting)[0], by)
    office.now = NOW + HOUR
    decided = office.plan(office.reading(meeting))
    assert (decided.changes, decided.unchanged) == ((), 1)
    office.now = NOW + HOUR - timedelta(minutes=31)
    assert told(office.plan(office.reading(meeting))) == [("update", "x", "repaired")]


def test_a_repair_is_subject_to_the_mode() -> None:
    """A mode that changes nothing repairs nothing."""
    office = Office(on_change=OnChange.REPAIR)
    moved_by_hand(office, office.book(event("x"))[0])
    office.mode = Mode.CREATE_ONLY
    assert told(office.plan(office.reading(event("x")))) == [("skip", "x", "mode")]


def test_a_repair_gives_up_a_room_of_the_calendar_only_with_a_yes() -> None:
    """A room that a person added is taken back; one that the configuration forgot is held, drift or not."""
    office = Office(on_change=OnChange.REPAIR)
    added, forgotten = office.book(event("x", rooms=""), event("y", 2))
    office.store(
        replace(
            added, content=replace(added.spec, room_id="room-b"), drifted=added.origin
        )
    )
    moved_by_hand(office, forgotten)
    office.rules = replace(office.rules, rooms=())
    decided = office.cycle(office.reading(event("x", rooms=""), event("y", 2)))
    assert told(decided) == [
        ("update", "x", "repaired"),
        ("hold", "y", "rules_changed"),
    ]


def test_a_reservation_is_kept_when_the_tenant_shortens_its_advance() -> None:
    """A meeting that is changed where it is stays booked, though nobody could book it there now."""
    office = Office()
    office.book(event("x", 20))
    office.advance = 7 * DAY
    assert office.plan(office.reading(event("x", 20))).changes == ()
    for edited in (event("x", 20, title="Retrospective"), event("x", 19)):
        assert told(office.plan(office.reading(edited))) == [("update", "x", "changed")]
    assert told(office.plan(office.reading(event("x", 21))))[0] == (
        "cancel",
        "x",
        "too_early",
    )


def test_a_change_in_tuya_is_reported_with_its_fields() -> None:
    """With `on_change = report` it stays, and a person is told what differs."""
    office = Office(on_change=OnChange.REPORT)
    booking = moved_by_hand(office, office.book(event("x"))[0])
    (skip,) = office.cycle(office.reading(event("x"))).changes
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.needs_person, skip.reservation_id) == (
        Reason.CHANGED_IN_TUYA,
        True,
        booking.reservation_id,
    )
    assert "(topic, start_time, end_time)" in skip.detail


@pytest.mark.parametrize("policy", OnChange)
def test_a_change_that_a_person_takes_back_is_forgotten(policy: OnChange) -> None:
    """Content that is again what the calendar wants is no drift under any policy."""
    office = Office(on_change=policy)
    booking = office.book(event("x"))[0]
    moved_by_hand(office, booking)
    office.store(replace(office.live[0], content=booking.content))
    assert office.cycle(office.reading(event("x"))).changes == ()
    assert [b.drifted for b in office.live] == [""]


# Somebody ended it


def released(office: Office) -> Booking:
    """A meeting that was cancelled in Tuya."""
    return office.store(
        office.book(event("x"))[0].with_state(
            BookingState.RELEASED, Reason.RELEASED, "gone"
        )
    )


def test_what_was_ended_in_tuya_is_respected() -> None:
    """It is a row with its reason until the event changes, then it is booked again."""
    office = Office()
    booking = released(office)
    (skip,) = office.cycle(office.reading(event("x"))).changes
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.needs_person, skip.reservation_id) == (
        Reason.RELEASED,
        False,
        booking.reservation_id,
    )
    assert told(office.cycle(office.reading(event("x", title="Retrospective")))) == [
        ("create", "x", "new")
    ]
    assert [b.reservation_id for b in office.live] != [booking.reservation_id]


def test_a_meeting_that_an_approver_rejected_is_not_booked_again() -> None:
    """What was booked and then rejected stays refused until the event changes."""
    office = Office()
    office.store(
        office.book(event("x"))[0].with_state(
            BookingState.REFUSED, Reason.REFUSED, "rejected"
        )
    )
    assert told(office.cycle(office.reading(event("x")))) == [("skip", "x", "refused")]
    assert told(office.plan(office.reading(event("x", 2)))) == [("create", "x", "new")]


def test_what_was_ended_in_tuya_is_rebooked_before_it_begins() -> None:
    """With `on_cancel = rebook` it is booked again once, unless the meeting began."""
    office = Office(on_cancel=OnCancel.REBOOK)
    former = released(office)
    (create,) = office.plan(office.reading(event("x"))).changes
    assert isinstance(create, Create)
    assert create.reason is Reason.REBOOKED
    assert create.booking is not None
    assert create.booking.row == former.row
    office.now = NOW + DAY
    assert told(office.plan(office.reading(event("x")))) == [("skip", "x", "released")]
    office.now = NOW + DAY - HOUR
    office.cycle(office.reading(event("x")))
    assert office.cycle(office.reading(event("x"))).changes == ()


@pytest.mark.parametrize("how", ["changed", "ended", "refused"])
def test_who_shows_a_meeting_is_remembered_whatever_became_of_it(how: str) -> None:
    """A second source that shows it is asked before anything is concluded from its absence."""
    office = Office(sources=("one", "two"))
    if how == "changed":
        moved_by_hand(office, office.book(event("x"))[0])
    elif how == "ended":
        released(office)
    else:
        office.refused(office.book(event("x"))[0], Reason.REFUSED)
    office.cycle(office.reading(event("x")), office.reading(event("x"), source="two"))
    assert [b.witnesses for b in office.current] == [("one", "two")]


# Given up with `syncd resolve --drop`


def test_what_a_person_gave_up_stays_so_until_the_event_changes() -> None:
    """A dropped create and a dropped update are rows with their reason, and an edit goes through."""
    office = Office()
    create, update = office.book(event("x"), event("y", 2))
    office.refused(create, Reason.DROPPED)
    wanted = replace(update.spec, topic="Retrospective")
    office.refused(update, Reason.DROPPED, wanted)
    calendar = [event("x"), event("y", 2, title="Retrospective")]
    for _ in range(2):
        assert told(office.cycle(office.reading(*calendar))) == [
            ("skip", "x", "dropped"),
            ("skip", "y", "dropped"),
        ]
    edited = [event("x", title="Kick-off"), event("y", 2, title="Kick-off")]
    assert told(office.plan(office.reading(*edited))) == [
        ("update", "y", "changed"),
        ("create", "x", "new"),
    ]


@pytest.mark.parametrize("reason", [Reason.DROPPED, Reason.REFUSED])
@pytest.mark.parametrize("how", ["told", "shown"])
def test_a_cancel_that_was_given_up_is_not_sent_again(reason: Reason, how: str) -> None:
    """A refused or dropped cancel is a row, spends no budget, and is forgotten when the meeting is back."""
    office = Office(safety=Safety(cancel_floor=1, cancel_share=0.0))
    kept = office.book(event("x"), event("y", 2), event("z", 3))[0]
    office.store(replace(kept, reason=reason, detail="no"))
    calendar = (
        [event("z", 3)]
        if how == "shown"
        else [event("x", cancelled=True), event("z", 3)]
    )
    assert told(office.cycle(office.reading(*calendar))) == [
        ("cancel", "y", "event_gone"),
        ("skip", "x", reason.value),
    ]
    assert office.cycle(office.reading(event("x"), event("z", 3))).changes == ()
    assert {b.reason for b in office.live} == {None}


# Rooms that are taken


def test_a_room_that_a_stranger_holds_is_tried_again_at_its_time() -> None:
    """Until `retry_at` it waits, from then on it is tried."""
    office = Office()
    booking = office.conflict(office.book(event("x"))[0])
    assert booking.retry_at is not None
    assert told(office.plan(office.reading(event("x")))) == [
        ("wait", "x", "room_conflict")
    ]
    office.now = booking.retry_at
    assert told(office.plan(office.reading(event("x")))) == [
        ("create", "x", "room_free_again")
    ]


def blocked(office: Office) -> tuple[Booking, Booking]:
    """Two of our meetings want one room at one time; the second was refused."""
    holder, loser = office.book(event("holder"), event("loser", 1.01, rooms="b"))
    refused = office.refused(
        loser, Reason.ROOM_CONFLICT, replace(loser.spec, room_id="room-a")
    )
    return holder, office.store(replace(refused, blocked_by=holder.reservation_id))


LOSER = event("loser", 1.01)


def test_our_own_meeting_in_the_way_is_waited_for() -> None:
    """While the other one holds the room nothing is sent, however often it is looked at."""
    office = Office()
    blocked(office)
    for _ in range(3):
        decided = office.cycle(office.reading(event("holder"), LOSER))
        assert told(decided) == [("wait", "loser", "room_conflict")]


@pytest.mark.parametrize(
    "leaves",
    [event("holder", cancelled=True), event("holder", 3), event("holder", rooms="c")],
    ids=["cancelled", "moved", "another room"],
)
def test_a_room_that_our_own_meeting_leaves_is_taken_in_the_same_plan(
    leaves: object,
) -> None:
    """The one that leaves goes first, the one that waited behind it, in one plan."""
    office = Office()
    blocked(office)
    assert isinstance(leaves, type(LOSER))
    decided = office.cycle(office.reading(leaves, LOSER))
    assert [row[1] for row in told(decided)] == ["holder", "loser"]
    assert told(decided)[1] == ("update", "loser", "room_free_again")


def test_a_meeting_that_leaves_another_room_frees_nothing() -> None:
    """A cancel elsewhere, or at another hour, is no reason to ask again."""
    office = Office()
    office.book(event("elsewhere", 1.01, rooms="c"), event("later", 2))
    holder, loser = event("holder"), event("loser", 1.01, rooms="b")
    office.cycle(
        office.reading(
            event("elsewhere", 1.01, rooms="c"), event("later", 2), holder, loser
        )
    )
    booked = {b.key.uid: b for b in office.live}
    wanted = replace(booked["loser"].spec, room_id="room-a")
    refused = office.refused(booked["loser"], Reason.ROOM_CONFLICT, wanted)
    office.store(replace(refused, blocked_by=booked["holder"].reservation_id))
    leaving = [
        event("elsewhere", 1.01, rooms="c", cancelled=True),
        event("later", 2, cancelled=True),
    ]
    decided = office.plan(office.reading(*leaving, holder, LOSER))
    assert [kind for kind, _, _ in told(decided)] == ["cancel", "cancel", "wait"]


def test_a_change_that_stays_in_the_way_frees_nothing() -> None:
    """A meeting that changes its topic, or moves by a quarter of an hour, still holds the room."""
    office = Office()
    blocked(office)
    moved = event("holder", 1 + 0.25 / 24, title="Retrospective")
    assert told(office.plan(office.reading(moved, LOSER))) == [
        ("update", "holder", "changed"),
        ("wait", "loser", "room_conflict"),
    ]


def test_rooms_are_handed_on_along_a_chain() -> None:
    """What one update frees lets the next go, and what that one frees the one after it."""
    office = Office()
    first, second, third = office.book(
        event("1"), event("2", rooms="b"), event("3", rooms="c")
    )
    for booking, room, blocker in (
        (second, "room-a", first),
        (third, "room-b", second),
    ):
        refused = office.refused(
            booking, Reason.ROOM_CONFLICT, replace(booking.spec, room_id=room)
        )
        office.store(replace(refused, blocked_by=blocker.reservation_id))
    wanted = [event("2"), event("3", rooms="b")]
    decided = office.plan(office.reading(event("1", cancelled=True), *wanted))
    assert told(decided) == [
        ("cancel", "1", "event_cancelled"),
        ("update", "2", "room_free_again"),
        ("update", "3", "room_free_again"),
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("gone", "update"),
        ("released", "update"),
        ("moved", "update"),
        ("in doubt", "wait"),
    ],
)
def test_a_room_is_tried_when_the_meeting_in_the_way_is_known_to_have_left(
    state: str, expected: str
) -> None:
    """It left in an earlier cycle, or a person ended it; one whose fate is not known is waited for."""
    office = Office()
    holder, _ = blocked(office)
    away = replace(
        holder.spec, start=holder.spec.start + DAY, end=holder.spec.end + DAY
    )
    after = {
        "gone": holder.with_state(BookingState.CANCELLED),
        "released": holder.with_state(BookingState.RELEASED),
        "moved": replace(holder, content=away),
        "in doubt": replace(
            unanswered(holder), reservation_id=holder.reservation_id, content=away
        ),
    }
    office.store(after[state])
    decided = office.plan(office.reading(event("holder", 2), LOSER))
    assert [kind for kind, uid, _ in told(decided) if uid == "loser"] == [expected]


# API calls that run short


def test_the_nearest_meetings_get_the_calls_that_are_left() -> None:
    """Each write costs two calls; those that get none wait, and `status` says why."""
    office = Office(calls=CallBudget(left=2 * CALLS_OF_A_WRITE + 1))
    calendar = [
        event(uid, day) for uid, day in (("a", 4), ("b", 3), ("c", 2), ("d", 1))
    ]
    decided = office.cycle(office.reading(*calendar))
    assert told(decided) == [
        ("create", "d", "new"),
        ("create", "c", "new"),
        ("wait", "b", "call_budget"),
        ("wait", "a", "call_budget"),
    ]
    waiting = {
        b.key.uid: (b.state, b.reason)
        for b in office.current
        if b.reservation_id is None
    }
    assert waiting == dict.fromkeys("ab", (BookingState.WAITING, Reason.CALL_BUDGET))
    office.calls = None
    assert told(office.cycle(office.reading(*calendar))) == [
        ("create", "b", "new"),
        ("create", "a", "new"),
    ]
    assert len(office.bookings) == 4


def test_cancels_are_paid_first() -> None:
    """A room is freed with the last call, and updates and creates share what is left by their time."""
    office = Office()
    office.book(event("gone"), event("edited", 2), event("later", 4))
    office.calls = CallBudget(left=1 + CALLS_OF_A_WRITE)
    reading = office.reading(
        event("gone", cancelled=True),
        event("edited", 2, title="Retrospective"),
        event("later", 4, title="Retrospective"),
        event("new", 3),
    )
    decided = office.plan(reading)
    assert told(decided) == [
        ("cancel", "gone", "event_cancelled"),
        ("update", "edited", "changed"),
        ("wait", "new", "call_budget"),
        ("wait", "later", "call_budget"),
    ]
    assert [w.booking is not None for w in decided.changes if isinstance(w, Wait)] == [
        False,
        True,
    ]
    office.calls = CallBudget(left=0)
    assert told(office.plan(reading))[0] == ("cancel", "gone", "event_cancelled")
    assert len(office.plan(reading).writes) == 1


def test_why_a_meeting_waits_is_kept_up_to_date() -> None:
    """When the calls suffice and the tenant still says no, the same record says so, once."""
    office = Office(calls=CallBudget(left=0))
    office.cycle(office.reading(event("x", 9)))
    office.calls, office.advance = None, 7 * DAY
    assert told(office.cycle(office.reading(event("x", 9)))) == [
        ("wait", "x", "too_early")
    ]
    assert [(b.row, b.reason) for b in office.current] == [(1, Reason.TOO_EARLY)]
    assert office.cycle(office.reading(event("x", 9))).amended == ()


def test_far_meetings_wait_while_the_calls_run_short() -> None:
    """With enough calls left but too fast a pace, meetings of the next three days are booked alone."""
    office = Office(calls=CallBudget(left=100, short=True))
    reading = office.reading(event("near", 3), event("far", 3 + 1 / 1440))
    assert told(office.plan(reading)) == [
        ("create", "near", "new"),
        ("wait", "far", "call_budget"),
    ]
    office.calls = CallBudget(left=100)
    assert [kind for kind, _, _ in told(office.plan(reading))] == ["create", "create"]
