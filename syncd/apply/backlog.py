"""The changes that were decided and are not begun yet, over cycles.

A cycle that writes for long gives way to what wakes meanwhile. What it decided stays decided: the next cycle
plans only what became ready since, and goes on with the rest. Tried before: planning the rest anew in each
cycle. Then the first booking of many calendars cost the square of their number, since each calendar that
arrives makes the cycle give way.

A decision counts until something happens to its UID beside the other changes of the same plan; then its
changes are dropped, and it is planned anew. The worklist tells when; see `syncd.reconciler.unwritten`.

Within a plan the order is that of `syncd.core.order`. Over several plans cancels come before updates, these
before creates, and nearer meetings first; of two meetings that want one slot the one that was made first.

Each change holds a whole meeting, so only the nearest are kept as they were decided. Of the others the UID
is kept; when its turn comes it is planned once more. So memory is bounded, and each UID is planned twice at
most, however many wait.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TypeAlias

from syncd.apply.dispatch import conflict, places_of
from syncd.core.changes import Cancel, Create, Plan, Update, Write
from syncd.core.order import seniority
from syncd.core.reservation import ReservationSpec

_FEW = 20
"""Changes of one source that go before what waits; a source with more has to wait like the others."""

_MOST_FIRST = 100
"""Changes that go before what waits in one cycle, so that this comes further."""

_MOST = 2_000
"""Changes that are kept as they were decided, from one cycle to the next."""

_Turn: TypeAlias = tuple[int, datetime]
"""What sorts changes of several plans: cancels, updates, creates; of one kind the nearest first."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A change that waits for its turn."""

    change: Write
    waits: bool = True


class Backlog:
    """The changes that wait for their turn; from one cycle to the next at most about `most`, and UIDs."""

    def __init__(self, most: int = _MOST) -> None:
        self.most = most
        # The changes of each plan in its order, the plan whose turn is next first (a heap).
        self._runs: list[tuple[_Turn, int, deque[_Waiting]]] = []
        self._plans = 0
        self._of_uid: defaultdict[str, list[_Waiting]] = defaultdict(list)
        self._places = _Places()
        self._count = 0
        self._begun: set[str] = set()
        # When the nearest meeting of a UID is, and how many changes it has (a heap).
        self._further: list[tuple[datetime, str, int]] = []
        self._count_further = 0

    def __len__(self) -> int:
        """Return how many changes wait."""
        return self._count + self._count_further

    @property
    def uids(self) -> Set[str]:
        """Return the UIDs whose changes are kept as they were decided."""
        return self._of_uid.keys()

    def changes(self) -> tuple[Write, ...]:
        """Return the changes that wait, as far as they are kept as they were decided."""
        of_uids = chain.from_iterable(self._of_uid.values())
        return tuple(waiting.change for waiting in of_uids)

    def take(self, plan: Plan) -> Sequence[Write]:
        """Take in the changes of a plan, but return those that go first, in their order."""
        first = self._first_of(plan)
        chosen = set(map(id, first))
        run: deque[_Waiting] = deque()
        for change in plan.writes:
            if id(change) not in chosen:
                run.append(self._noted(change))
        if run:
            self._plans += 1
            turn = _turn(run[0].change)
            heapq.heappush(self._runs, (turn, self._plans, run))
        return first

    def next(self) -> Write | None:
        """Return the change whose turn it is; it waits until `begin` is told that it does not."""
        waiting = self._head()
        if waiting is None:
            return None
        while True:
            senior = self._senior_in_the_way(waiting)
            if senior is None:
                return waiting.change
            waiting = senior

    def begin(self, change: Write) -> None:
        """Note that a change waits no longer."""
        self._begun.add(change.key.uid)
        for waiting in self._of_uid[change.key.uid]:
            if waiting.change is change:
                self._forget([waiting])
                return

    def take_begun(self) -> Set[str]:
        """Return the UIDs of which changes were begun since the last time."""
        begun = self._begun
        self._begun = set()
        return begun

    def drop(self, uids: Iterable[str]) -> int:
        """Drop the changes of UIDs that are planned anew; return how many there were."""
        dropped = 0
        for uid in uids:
            waiting = list(self._of_uid.get(uid, ()))
            self._forget(waiting)
            dropped += len(waiting)
        return dropped

    def bound(self) -> None:
        """Keep only the nearest changes as they were decided, and of the others the UIDs."""
        if self._count <= self.most:
            return
        nearest: list[tuple[datetime, str]] = []
        for uid, all_of_uid in self._of_uid.items():
            if all(isinstance(waiting.change, Create) for waiting in all_of_uid):
                begins = min(waiting.change.spec.start for waiting in all_of_uid)
                nearest.append((begins, uid))
        for begins, uid in sorted(nearest, reverse=True):
            if self._count <= self.most:
                return
            count = self.drop([uid])
            heapq.heappush(self._further, (begins, uid, count))
            self._count_further += count

    def due(self) -> list[str]:
        """Return the UIDs whose turn it is to be planned once more, and keep them no longer."""
        uids: list[str] = []
        room = self.most // 2 - self._count
        while self._further and room > 0:
            _, uid, count = heapq.heappop(self._further)
            self._count_further -= count
            room -= count
            uids.append(uid)
        return uids

    def over(self, now: datetime) -> list[str]:
        """Drop the changes whose turn it would be although their meetings are over; return their UIDs."""
        uids: list[str] = []
        change = self.next()
        while change is not None and _is_over(change, now):
            uids.append(change.key.uid)
            self.drop([change.key.uid])
            change = self.next()
        return uids

    # Inside

    def _first_of(self, plan: Plan) -> Sequence[Write]:
        """Return the changes of a plan that go before what waits.

        That is what a person released, because the approval for it is spent; meetings that swap their rooms,
        because that has to end in this cycle; and of sources with few changes those that conflict with none
        that waits.
        """
        writes = plan.writes
        if plan.released or any(map(begins_swap, writes)):
            return [change for change in writes if not isinstance(change, Create)]
        if not self:
            return ()
        with_few = _sources_with_few(writes)
        first: list[Write] = []
        others = _Places()
        for change in writes:
            of_few = _source_of(change) in with_few
            conflicts = self._places.conflict(change) or others.conflict(change)
            if of_few and not conflicts:
                first.append(change)
            else:
                others.add(_Waiting(change))
        return first

    def _noted(self, change: Write) -> _Waiting:
        waiting = _Waiting(change)
        self._of_uid[change.key.uid].append(waiting)
        self._places.add(waiting)
        self._count += 1
        return waiting

    def _forget(self, gone: Iterable[_Waiting]) -> None:
        """Let changes wait no longer; their runs pass them by."""
        for waiting in gone:
            waiting.waits = False
            self._places.remove(waiting)
            self._count -= 1
            uid = waiting.change.key.uid
            self._of_uid[uid].remove(waiting)
            if not self._of_uid[uid]:
                del self._of_uid[uid]

    def _head(self) -> _Waiting | None:
        """Return the change that comes first by its turn; None if none waits."""
        while self._runs:
            turn, number, run = self._runs[0]
            while run and not run[0].waits:
                run.popleft()
            if not run:
                heapq.heappop(self._runs)
                continue
            turn_now = _turn(run[0].change)
            if turn_now == turn:
                return run[0]
            heapq.heapreplace(self._runs, (turn_now, number, run))
        return None

    def _senior_in_the_way(self, waiting: _Waiting) -> _Waiting | None:
        """Return a waiting create that wants the slot of another and was made before it; None without one."""
        change = waiting.change
        if not isinstance(change, Create):
            return None
        own = seniority(change.meeting)
        for other in self._places.contesting(change):
            theirs = other.change
            if isinstance(theirs, Create) and seniority(theirs.meeting) < own:
                return other
        return None


class _Places:
    """The changes that wait, by the rooms and days that they leave or take."""

    def __init__(self) -> None:
        self._at: defaultdict[tuple[str, int], list[_Waiting]] = defaultdict(list)
        self._keys: Counter[object] = Counter()

    def add(self, waiting: _Waiting) -> None:
        """Add a change."""
        self._keys[waiting.change.key] += 1
        for place in places_of(waiting.change):
            for cell in _cells_of(place):
                self._at[cell].append(waiting)

    def remove(self, waiting: _Waiting) -> None:
        """Remove a change that was added."""
        key = waiting.change.key
        self._keys[key] -= 1
        if not self._keys[key]:
            del self._keys[key]
        for place in places_of(waiting.change):
            for cell in _cells_of(place):
                self._at[cell].remove(waiting)
                if not self._at[cell]:
                    del self._at[cell]

    def conflict(self, change: Write) -> bool:
        """Tell whether a change is about a meeting, or a room and time, of one of these."""
        if self._keys[change.key] > 0:
            return True
        return any(True for _ in self.contesting(change))

    def contesting(self, change: Write) -> Iterator[_Waiting]:
        """Yield the others that leave or take a slot which a change leaves or takes."""
        for place in places_of(change):
            for cell in _cells_of(place):
                for waiting in self._at.get(cell, ()):
                    other = waiting.change
                    if other is not change and conflict(change, other):
                        yield waiting


def _cells_of(place: ReservationSpec) -> Iterator[tuple[str, int]]:
    """Yield the room with each of the days on which it is taken; nothing without a room."""
    if place.room_id is None:
        return
    first = place.start.toordinal()
    last = place.end.toordinal()
    for day in range(first, last + 1):
        yield place.room_id, day


def _turn(change: Write) -> _Turn:
    rank = 2
    if isinstance(change, Cancel):
        rank = 0
    elif isinstance(change, Update):
        rank = 1
    return rank, change.spec.start


def begins_swap(change: Write) -> bool:
    """Tell whether before a change others vacate their rooms, so that it and they have to be made together."""
    return isinstance(change, Update) and bool(change.vacating)


def _is_over(change: Write, now: datetime) -> bool:
    """Tell whether the meeting that a change is to book or to change is over."""
    return not isinstance(change, Cancel) and change.spec.end <= now


def _sources_with_few(writes: Iterable[Write]) -> set[str]:
    """Return the sources with so few changes that these go first, as long as it is little altogether."""
    count_of = Counter(map(_source_of, writes))
    chosen: set[str] = set()
    room = _MOST_FIRST
    for source, count in sorted(count_of.items(), key=lambda item: item[1]):
        room -= count
        if count > _FEW or room < 0:
            break
        chosen.add(source)
    return chosen


def _source_of(change: Write) -> str:
    """Return the source that asks for a change."""
    if isinstance(change, Cancel):
        return change.booking.source
    return change.meeting.occurrence.source
