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

from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import ReservationSpec

_NEVER = datetime.max.replace(tzinfo=UTC)


def writing_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return all changes in the order in which they are made or, where nothing is sent, shown."""
    by_kind: defaultdict[type, list[Change]] = defaultdict(list)
    for change in sorted(changes, key=_position):
        by_kind[type(change)].append(change)
    updates = [change for change in by_kind[Update] if isinstance(change, Update)]
    creates = [change for change in by_kind[Create] if isinstance(change, Create)]
    seniority = _topological(len(creates), _created_first(creates))
    return (
        *by_kind[Cancel],
        *_with_vacating(updates),
        *(creates[index] for index, _ in seniority),
        *by_kind[Hold],
        *by_kind[Wait],
        *by_kind[Skip],
    )


def _position(change: Change) -> tuple[datetime, str, str, str, str, str, str]:
    told = ""  # of several events without UID nothing else differs
    match change:
        case Create(meeting=meeting) | Update(meeting=meeting) | Wait(meeting=meeting):
            key, start, room = meeting.key, meeting.spec.start, meeting.spec.room_id
        case Cancel(booking=booking) | Hold(booking=booking):
            key, start, room = booking.key, booking.spec.start, booking.room_id
        case Skip():
            key, room = change.key, change.room_id
            start = change.span.start if change.span else _NEVER
            told = f"{change.source} {change.detail}"
    return (start, *_text(key), room or "", change.reason.value, told)


def _text(key: OccurrenceKey) -> tuple[str, str, str]:
    return (key.scope, key.uid, key.recurrence_id or "")


def _with_vacating(updates: Sequence[Update]) -> Iterator[Update]:
    """Yield the updates in order, each with the bookings that vacate their rooms just before it."""
    for index, broken in _topological(
        len(updates), _leaves_before_it_is_taken(updates)
    ):
        update = updates[index]
        if broken:
            vacating = tuple(updates[i].booking for i in broken)
            update = replace(update, vacating=vacating)
        yield update


def _topological(
    count: int, before: Iterable[tuple[int, int]]
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
            rest = next(i for i in range(rest, count) if i not in done)
            broken.append(_earliest_of_circle(rest, preceding, passed))
            pass_by(broken[-1])
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
    path: dict[int, int] = {}
    while index not in path:
        path[index] = len(path)
        index = min(preceding[index] - passed)
    return min(item for item, place in path.items() if place >= path[index])


def _leaves_before_it_is_taken(updates: Sequence[Update]) -> Iterable[tuple[int, int]]:
    """Yield the pairs of updates of which the first leaves a slot that the second enters."""
    left = [update.booking.spec for update in updates]
    entered = [update.meeting.spec for update in updates]
    for leaving, entering in _overlapping(left, entered):
        if leaving != entering:
            yield leaving, entering


def _created_first(creates: Sequence[Create]) -> Iterable[tuple[int, int]]:
    """Yield the pairs of creates that want one slot, in the order of CREATED, then of the UID."""
    specs = [create.meeting.spec for create in creates]
    for one, other in _overlapping(specs, specs):
        if one != other and _seniority(creates[one].meeting) < _seniority(
            creates[other].meeting
        ):
            yield one, other


def _seniority(meeting: Meeting) -> tuple[datetime, tuple[str, str, str]]:
    key = meeting.key
    return (
        meeting.occurrence.created or _NEVER,
        (key.uid, key.recurrence_id or "", key.scope),
    )


def _overlapping(
    these: Sequence[ReservationSpec], those: Sequence[ReservationSpec]
) -> Iterable[tuple[int, int]]:
    """Yield the index pairs of specs in one room that share time, by a sweep over the starts."""
    rooms: defaultdict[str, list[tuple[datetime, int, int]]] = defaultdict(list)
    for side, specs in enumerate((these, those)):
        for index, spec in enumerate(specs):
            if spec.room_id is not None:
                rooms[spec.room_id].append((spec.start, side, index))
    for entries in rooms.values():
        running: tuple[list[int], list[int]] = ([], [])
        for start, side, index in sorted(entries):
            for each, specs in ((0, these), (1, those)):
                running[each][:] = [i for i in running[each] if specs[i].end > start]
            if side == 0:
                yield from ((index, other) for other in running[1])
            else:
                yield from ((other, index) for other in running[0])
            running[side].append(index)
