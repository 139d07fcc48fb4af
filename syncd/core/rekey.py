"""Finds the bookings whose meeting goes on under another key, so that they are not cancelled and rebooked.

A series that is moved as a whole gets new original starts, a single event that becomes a series gets its
first one, and some feeds make new UIDs at every reading.
A reservation gives up its slot only on the evidence that a cancel takes; one that stays as it is may
follow a new UID, or a renamed source, at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from syncd.core.booking import HOLDING_STATES, Booking
from syncd.core.changes import Renamed
from syncd.core.draft import Draft
from syncd.core.evidence import Absence
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import ReservationSpec
from syncd.core.swapped_sources import exchanged

FARTHEST = timedelta(days=7)
"""How far a date of a series may be moved and still be the same meeting."""

AT_ONCE = frozenset({Evidence.TOLD, Evidence.SHOWN})
"""Evidence on which a cancel needs no person."""

_ELSEWHERE = frozenset({Reason.SOURCE_EMPTY, Reason.FILE_MISSING, Reason.FILE_GONE})
"""Reasons why a person has to look, or time has to pass, before a meeting counts as gone.

One that shows up meanwhile and looks the same is that meeting."""

_Looks: TypeAlias = tuple[object, ...]
"""Times, room, topic and creator of a meeting."""


class Rekeying:
    """Gives bookings the keys that their meetings have now, for one draft.

    `current` are the bookings by key, and change with it; `meetings` are those to come by key.
    `count` is how many bookings followed their meeting, `renamed` the sources that gave other UIDs.
    """

    def __init__(
        self,
        draft: Draft,
        current: dict[OccurrenceKey, list[Booking]],
        meetings: Mapping[OccurrenceKey, Sequence[Meeting]],
    ) -> None:
        self._draft = draft
        self._current = current
        self._meetings = meetings
        self.count = 0
        self.renamed: tuple[Renamed, ...] = ()

    def follow_exchanged_sources(self, stays: Callable[[Booking], bool]) -> None:
        """Give bookings whose meeting another source shows now the key that it has there.

        One that `stays` keeps its key.
        """
        followed = exchanged(self._current, self._meetings, stays)
        moving = [booking for booking in self._bookings() if booking.row in followed]
        for booking in moving:
            of_key = self._current[booking.key]
            of_key.remove(booking)
            if not of_key:
                del self._current[booking.key]
        for booking in moving:
            meeting = followed[booking.row]
            self._take_in(booking.shown_by(meeting), meeting.key)

    def follow_moved_keys(
        self,
        settled: Collection[OccurrenceKey],
        doubtful: Collection[OccurrenceKey],
        judge: Callable[[Booking], Absence],
        resting_uids: Mapping[str, int],
    ) -> None:
        """Give bookings whose key is gone the key that their meeting has now.

        Bookings of `settled` keys keep them, and nothing goes to a `doubtful` key.
        `judge` says what the absence of an occurrence proves; `resting_uids` counts the UIDs of each source
        that have bookings and are not planned.
        """
        lost: dict[int, Booking] = {}
        known: defaultdict[str, set[str]] = defaultdict(set)
        for booking in self._bookings():
            key = booking.key
            known[booking.source].add(key.uid)
            if key not in settled:
                lost[booking.row] = booking
        fresh: list[Meeting] = []
        for key, meetings in self._meetings.items():
            if key not in self._current and key not in doubtful:
                fresh += meetings
        renamed: defaultdict[str, set[str]] = defaultdict(set)
        moves = moved_keys(lost.values(), fresh, judge)
        for row, key in moves.items():
            booking = lost[row]
            self._current[booking.key].remove(booking)
            self._take_in(booking, key)
            if key.uid != booking.key.uid:
                renamed[booking.source].add(booking.key.uid)
        told: list[Renamed] = []
        for source, uids in sorted(renamed.items()):
            all_uids = len(known[source]) + resting_uids.get(source, 0)
            told.append(Renamed(source, len(uids), all_uids))
        self.renamed = tuple(told)

    def _bookings(self) -> Iterator[Booking]:
        for booked in self._current.values():
            yield from booked

    def _take_in(self, booking: Booking, key: OccurrenceKey) -> None:
        """Give a booking a key; that its meeting was missing under the former one counts no more."""
        moved = replace(booking, key=key, missed=0, missed_in="")
        self._current.setdefault(key, []).append(moved)
        self._draft.amend(moved)
        self.count += 1


def moved_keys(
    lost: Iterable[Booking],
    fresh: Sequence[Meeting],
    judge: Callable[[Booking], Absence],
) -> dict[int, OccurrenceKey]:
    """Return the new key of each booking that found one, by row.

    `lost` have no occurrence, `fresh` no booking; `judge` says what the absence of an occurrence proves.
    One to one, the nearest first; reservations before records that hold no slot.
    """
    candidates = _Candidates(fresh)
    pairs: list[_Pair] = []
    for booking in lost:
        pairs += candidates.of(booking, judge)
    return _assign(pairs, fresh)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A booking and a meeting, by its index, that may be its own; sorts the likeliest first."""

    booking: Booking
    index: int
    distance: timedelta

    def likelihood(self) -> tuple[bool, timedelta, datetime, int, int]:
        """Return what sorts the likeliest pair first."""
        booking = self.booking
        holds_none = booking.state not in HOLDING_STATES
        start = booking.spec.start
        return (holds_none, self.distance, start, booking.row, self.index)


class _Candidates:
    """The meetings without a booking, found by UID and by content."""

    def __init__(self, fresh: Sequence[Meeting]) -> None:
        self._fresh = fresh
        self._by_uid: defaultdict[str, list[int]] = defaultdict(list)
        self._by_content: defaultdict[_Looks, list[int]] = defaultdict(list)
        for index, meeting in enumerate(fresh):
            uid = meeting.key.uid
            self._by_uid[uid].append(index)
            looks = _looks(meeting.spec)
            self._by_content[looks].append(index)

    def of(
        self, booking: Booking, judge: Callable[[Booking], Absence]
    ) -> Iterator[_Pair]:
        """Yield the pairs that the evidence about a booking allows: of the same UID, of the same content."""
        fresh = self._fresh
        same_uid = self._by_uid.get(booking.key.uid, ())
        same_event = [i for i in same_uid if _is_same_event(booking, fresh[i])]
        same_content = self._by_content.get(_looks(booking.spec), ())
        if not same_event and not same_content:
            return
        judged = judge(booking)
        if judged.evidence in AT_ONCE:
            yield from self._near(booking, same_event)
        uid_may_be_new = _may_be_renamed(judged)
        source_is_new = judged.reason is Reason.SOURCE_REMOVED
        for index in same_content:
            meeting = fresh[index]
            in_its_source = uid_may_be_new and booking.source in meeting.witnesses
            of_its_uid = source_is_new and booking.key.uid == meeting.key.uid
            if in_its_source or of_its_uid:
                yield _Pair(booking, index, timedelta())

    def _near(self, booking: Booking, indices: Iterable[int]) -> Iterator[_Pair]:
        """Yield the pairs with those meetings that are not too far away to be the same."""
        start = booking.spec.start
        for index in indices:
            distance = abs(start - self._fresh[index].spec.start)
            if distance <= FARTHEST:
                yield _Pair(booking, index, distance)


def _may_be_renamed(judged: Absence) -> bool:
    """Tell whether a meeting that looks the same under another UID may be the one that is absent."""
    if judged.evidence in AT_ONCE or judged.reason in _ELSEWHERE:
        return True
    return bool(judged.counted_in)  # more readings without the event are needed


def _assign(
    pairs: Iterable[_Pair], fresh: Sequence[Meeting]
) -> dict[int, OccurrenceKey]:
    """Return the new key of each booking by row: the likeliest pair first, each of the two once."""
    keys: dict[int, OccurrenceKey] = {}
    taken: set[int] = set()
    places: set[tuple[OccurrenceKey, str | None]] = set()
    for pair in sorted(pairs, key=_Pair.likelihood):
        booking = pair.booking
        if booking.row in keys or pair.index in taken:
            continue
        # Until it is changed a booking stays in its room, and a key has one booking in a room.
        key = fresh[pair.index].key
        place = (key, booking.room_id)
        if place in places:
            continue
        keys[booking.row] = key
        taken.add(pair.index)
        places.add(place)
    return keys


def _is_same_event(booking: Booking, meeting: Meeting) -> bool:
    """Tell whether one UID means one event: in one scope, or in the source whose `uid_scope` was changed."""
    if booking.key.scope == meeting.key.scope:
        return True
    return booking.source in meeting.witnesses


def _looks(spec: ReservationSpec) -> _Looks:
    """Return what two copies of one meeting share, whatever their UIDs."""
    return (spec.start, spec.end, spec.room_id, spec.topic, spec.creator)
