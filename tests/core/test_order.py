"""The order in which changes are written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from random import Random
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.mapper import Mapper, Wanted
from syncd.core.meeting import Meeting
from syncd.core.occurrence import Occurrence, OccurrenceKey
from syncd.core.order import writing_order
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import ReservationSpec
from tests.core.office import DAY, HOUR, NOW, RULES, event


def meeting(occurrence: Occurrence) -> Meeting:
    mapped = Mapper(RULES).map(occurrence)
    assert isinstance(mapped, Wanted)
    return Meeting(occurrence, (occurrence.source,), mapped.specs[0])


def booking(occurrence: Occurrence) -> Booking:
    wanted = meeting(occurrence)
    return Booking(
        key=wanted.key,
        room_id=wanted.spec.room_id,
        generation=0,
        mark=None,
        state=BookingState.BOOKED,
        source="one",
        witnesses=("one",),
        origin="",
        content=wanted.spec,
        reservation_id=f"id-{occurrence.key.uid}",
    )


def create(occurrence: Occurrence) -> Create:
    return Create(meeting(occurrence), Reason.NEW)


def cancel(occurrence: Occurrence) -> Cancel:
    return Cancel(booking(occurrence), Reason.EVENT_GONE, Evidence.SHOWN)


def move(before: Occurrence, after: Occurrence) -> Update:
    return Update(meeting(after), booking(before), ("start_time",))


def uids(changes: Sequence[Change]) -> list[str]:
    return [
        c.meeting.key.uid
        if isinstance(c, Create | Update | Wait)
        else c.booking.key.uid
        for c in changes
        if not isinstance(c, Skip)
    ]


def test_what_frees_a_slot_goes_before_what_needs_one() -> None:
    """Cancels, updates, creates; then what is only shown: holds, waits, skips."""
    soon, late = event("soon", 1), event("late", 9)
    changes: list[Change] = [
        Skip(OccurrenceKey("", "skip", None), "one", Reason.NO_UID, ""),
        Wait(meeting(soon), Reason.TOO_EARLY, ""),
        Hold(booking(soon), Reason.OVER_BUDGET, ""),
        create(soon),
        move(soon, event("soon", 2)),
        cancel(late),
    ]
    assert [type(c) for c in writing_order(changes)] == [
        Cancel,
        Update,
        Create,
        Hold,
        Wait,
        Skip,
    ]


def test_nearer_meetings_go_first() -> None:
    """Within a kind the start decides, then the UID."""
    events = [event("b", 3), event("z", 1), event("a", 3, rooms="b"), event("c", 2)]
    for kind in (create, cancel):
        assert uids(writing_order([kind(e) for e in events])) == ["z", "c", "a", "b"]


def test_who_leaves_a_slot_goes_before_who_enters_it() -> None:
    """A chain of moves, each into the slot of the next, is written from its far end in any given order."""
    days = [1, 2, 3, 4]
    chain = [move(event(f"m{d}", d), event(f"m{d}", d + 1)) for d in days]
    for given_order in permutations(chain):
        assert uids(writing_order(given_order)) == ["m4", "m3", "m2", "m1"]


def test_a_chain_through_rooms_is_followed_too() -> None:
    """Leaving a room frees it as leaving a time does, and partial overlaps count."""
    first = move(event("first", 1, rooms="a"), event("first", 1, rooms="b"))
    second = move(event("second", 1.02, rooms="b"), event("second", 1.02, rooms="c"))
    assert uids(writing_order([first, second])) == ["second", "first"]


def test_slots_that_only_touch_do_not_wait_for_each_other() -> None:
    """An end is exclusive: the slot from nine is free of the one until nine."""
    late = move(event("late", 2), event("late", 3))
    early = move(event("early", 1), event("early", 2 - 1 / 24))
    assert uids(writing_order([late, early])) == ["early", "late"]


def test_in_a_circle_one_meeting_vacates_its_slot() -> None:
    """Of meetings that swap their slots the earliest vacates its own first and takes its new place last."""
    circle = [
        move(event("p", 1, rooms="a"), event("p", 1, rooms="b")),
        move(event("q", 1, rooms="b"), event("q", 1, rooms="c")),
        move(event("r", 1, rooms="c"), event("r", 1, rooms="a")),
        move(event("after", 0.5, rooms="c"), event("after", 1, rooms="a")),
    ]
    ordered = writing_order(circle)
    assert uids(ordered) == ["after", "r", "q", "p"]
    begins = [
        change for change in ordered if isinstance(change, Update) and change.vacating
    ]
    assert [change.meeting.key.uid for change in begins] == ["after"]
    assert [vacating.key.uid for vacating in begins[0].vacating] == ["p"]


def test_of_two_new_meetings_the_earlier_created_goes_first() -> None:
    """One slot: CREATED decides, even over a start that is nearer; without it the event goes last."""
    old = event("old", 1.02, created=NOW - 9 * DAY)
    young = event("young", 1, created=NOW - DAY)
    unknown = event("a", 1.01)
    assert uids(writing_order([create(e) for e in (unknown, young, old)])) == [
        "old",
        "young",
        "a",
    ]


def test_of_equal_claims_the_uid_decides() -> None:
    """Equal CREATED: UID order, whatever the scope."""
    claims = [event("b", scope="a", created=NOW), event("a", scope="z", created=NOW)]
    assert uids(writing_order([create(e) for e in claims])) == ["a", "b"]


def test_created_matters_only_for_one_slot() -> None:
    """Meetings that do not meet are ordered by their start, however old they are."""
    near, far = event("near", 1, created=NOW), event("far", 2, created=NOW - 9 * DAY)
    other_room = event("room", 1.01, rooms="b", created=NOW - 9 * DAY)
    nowhere = event("none", 1.005, rooms="", created=NOW - 9 * DAY)
    ordered = writing_order([create(e) for e in (far, other_room, near, nowhere)])
    assert uids(ordered) == ["near", "none", "room", "far"]


_HOURS, _ROOMS = st.integers(0, 8), st.sampled_from("abc")
_MOVES = st.lists(
    st.tuples(_HOURS, _ROOMS, _HOURS, _ROOMS, st.integers(1, 3)), max_size=9
)
# From hour and room, to hour and room, hours.
_Move: TypeAlias = tuple[int, str, int, str, int]


def _meets(one: ReservationSpec, other: ReservationSpec) -> bool:
    return (
        one.room_id == other.room_id and one.start < other.end and other.start < one.end
    )


@settings(deadline=None)
@given(_MOVES, st.randoms(use_true_random=False))
def test_nothing_enters_a_slot_before_it_is_left(
    moves: list[_Move], random: Random
) -> None:
    """Who enters a slot finds it left by all who leave it, and only members of circles vacate theirs."""
    updates = [
        move(
            event(f"m{n}", a / 24, rooms=r, length=length * HOUR),
            event(f"m{n}", b / 24, rooms=s, length=length * HOUR),
        )
        for n, (a, r, b, s, length) in enumerate(moves)
    ]
    after = {
        (i, j)
        for i, u in enumerate(updates)
        for j, v in enumerate(updates)
        if i != j and _meets(u.booking.spec, v.meeting.spec)
    }
    reach = set(after)
    every = range(len(updates))
    for k in every:
        reach |= {(i, j) for i in every for j in every if {(i, k), (k, j)} <= reach}
    shuffled = list(updates)
    random.shuffle(shuffled)
    ordered = writing_order(shuffled)
    assert ordered == writing_order(updates)
    assert sorted(uids(ordered)) == sorted(uids(updates))
    held = {u.booking.key.uid: u.booking.spec for u in updates}
    for update in ordered:
        assert isinstance(update, Update)
        for vacating in update.vacating:
            number = int(vacating.key.uid[1:])
            assert (number, number) in reach
            del held[vacating.key.uid]  # it has not moved before, or this fails
        uid = update.meeting.key.uid
        assert not [
            other
            for other, spec in held.items()
            if other != uid and _meets(spec, update.meeting.spec)
        ]
        held.pop(uid, None)


def test_a_long_chain_is_quick() -> None:
    """Two thousand moves, each into the slot of the next, take far less than five seconds of work."""
    step = timedelta(hours=1) / DAY
    chain = [
        move(event(f"m{n:04}", n * step), event(f"m{n:04}", (n + 1) * step))
        for n in range(2000)
    ]
    began = time.thread_time()
    ordered = uids(writing_order(chain))
    assert time.thread_time() - began < 5
    assert ordered[0] == "m1999"
    assert ordered[-1] == "m0000"
