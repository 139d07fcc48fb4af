"""The order in which changes are written.

Cancels free slots, so they come first; then updates, where a meeting that leaves a slot goes before the
one that takes it; then creates, where of two meetings that want one slot the earlier CREATED goes first.
Where meetings take each other's slots in a circle, one of them vacates its slot first.
Beyond that, nearer meetings come first.
What sends nothing follows in a fixed order.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias

from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.meeting import Meeting
from syncd.core.reservation import ReservationSpec

_NEVER = datetime.max.replace(tzinfo=UTC)

_Pair: TypeAlias = tuple[int, int]  # the indices of a first and a second

_Start: TypeAlias = tuple[datetime, int, int]
"""The start of a spec, whether it is one of these (0) or of those (1), and its index there."""


def writing_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return all changes in the order in which they are made or, where nothing is sent, shown."""
    updates: list[Update] = []
    creates: list[Create] = []
    others: defaultdict[type, list[Change]] = defaultdict(list)
    for change in sorted(changes, key=_position):
        if isinstance(change, Update):
            updates.append(change)
        elif isinstance(change, Create):
            creates.append(change)
        else:
            others[type(change)].append(change)
    return (
        *others[Cancel],
        *_with_vacating(updates),
        *_by_seniority(creates),
        *others[Hold],
        *others[Wait],
        *others[Skip],
    )


def _position(change: Change) -> tuple[object, ...]:
    """Return what sorts changes of one kind: the nearest first, and otherwise in a fixed order."""
    key = change.key
    told = ""
    if isinstance(change, Skip):
        start = change.span.start if change.span else _NEVER
        # Of several events without UID nothing else differs.
        told = f"{change.source} {change.detail}"
    else:
        start = change.spec.start
    return (
        start,
        key.scope,
        key.uid,
        key.recurrence_id or "",
        change.room_id or "",
        change.reason.value,
        told,
    )


def _with_vacating(updates: Sequence[Update]) -> Iterator[Update]:
    """Yield the updates in order, each with the bookings that vacate their rooms just before it."""
    before = _leaves_before_it_is_taken(updates)
    for index, broken in _topological(len(updates), before):
        update = updates[index]
        if broken:
            vacating = tuple(updates[i].booking for i in broken)
            update = replace(update, vacating=vacating)
        yield update


def _by_seniority(creates: Sequence[Create]) -> Iterator[Create]:
    """Yield the creates in order."""
    before = _created_first(creates)
    for index, _ in _topological(len(creates), before):
        yield creates[index]


def _topological(
    count: int, before: Iterable[_Pair]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the indices below `count` with each `(first, second)` of `before` obeyed, else in their order.

    Where the pairs go round in a circle, its earliest index no longer has to be first; it is given with
    the next index, and its own turn comes when those before it are done.
    """
    after: defaultdict[int, set[int]] = defaultdict(set)
    preceding: defaultdict[int, set[int]] = defaultdict(set)
    waiting_for = [0] * count
    for first, second in set(before):
        after[first].add(second)
        preceding[second].add(first)
        waiting_for[second] += 1
    ready = [index for index, count in enumerate(waiting_for) if count == 0]
    heapq.heapify(ready)
    rest = 0  # everything before it is done
    done: set[int] = set()
    passed: set[int] = set()  # no longer waited for: done, or its room is vacated
    broken: list[int] = []

    def pass_by(index: int) -> None:
        passed.add(index)
        for follower in after[index]:
            waiting_for[follower] -= 1
            if waiting_for[follower] == 0:
                heapq.heappush(ready, follower)

    while len(done) < count:
        while not ready:
            while rest in done:
                rest += 1
            vacating = _earliest_of_circle(rest, preceding, passed)
            broken.append(vacating)
            pass_by(vacating)
        index = heapq.heappop(ready)
        done.add(index)
        yield index, tuple(broken)
        broken = []
        if index not in passed:
            pass_by(index)


def _earliest_of_circle(
    index: int, preceding: Mapping[int, set[int]], passed: set[int]
) -> int:
    """Return the earliest index of a circle that an index waits for, going backwards until one repeats."""
    path: list[int] = []
    visited: set[int] = set()
    while index not in visited:
        path.append(index)
        visited.add(index)
        index = min(preceding[index] - passed)
    circle = path[path.index(index) :]
    return min(circle)


def _leaves_before_it_is_taken(updates: Sequence[Update]) -> Iterator[_Pair]:
    """Yield the pairs of updates of which the first leaves a slot that the second enters."""
    left = [update.booking.spec for update in updates]
    entered = [update.meeting.spec for update in updates]
    for leaving, entering in _overlapping(left, entered):
        if leaving != entering:
            yield leaving, entering


def _created_first(creates: Sequence[Create]) -> Iterator[_Pair]:
    """Yield the pairs of creates that want one slot, in the order of CREATED, then of the UID."""
    specs = [create.meeting.spec for create in creates]
    for one, other in _overlapping(specs, specs):
        if one == other:
            continue
        if seniority(creates[one].meeting) < seniority(creates[other].meeting):
            yield one, other


def seniority(meeting: Meeting) -> tuple[object, ...]:
    """Return what sorts meetings that want one slot: the one that was made first comes first."""
    key = meeting.key
    return (
        meeting.occurrence.created or _NEVER,
        key.uid,
        key.recurrence_id or "",
        key.scope,
    )


def _overlapping(
    these: Sequence[ReservationSpec], those: Sequence[ReservationSpec]
) -> Iterator[_Pair]:
    """Yield the index pairs of specs in one room that share time, by a sweep over the starts."""
    starts_by_room: defaultdict[str, list[_Start]] = defaultdict(list)
    for side, specs in enumerate((these, those)):
        for index, spec in enumerate(specs):
            if spec.room_id is not None:
                start = (spec.start, side, index)
                starts_by_room[spec.room_id].append(start)
    for starts in starts_by_room.values():
        yield from _overlapping_in_a_room(sorted(starts), these, those)


def _overlapping_in_a_room(
    starts: Iterable[_Start],
    these: Sequence[ReservationSpec],
    those: Sequence[ReservationSpec],
) -> Iterator[_Pair]:
    """Yield the index pairs of specs that share time, by the starts of those in one room in order."""
    running_these: list[int] = []
    running_those: list[int] = []
    for start, side, index in starts:
        running_these = [i for i in running_these if these[i].end > start]
        running_those = [i for i in running_those if those[i].end > start]
        if side == 0:
            for other in running_those:
                yield index, other
            running_these.append(index)
        else:
            for other in running_these:
                yield other, index
            running_those.append(index)
