"""Finds bookings whose meeting another source shows now, because files were given other names or sources.

Where a UID means a meeting of its own in each source (`uid_scope = "source"`), the source is part of the key.
Paths that were exchanged, a source under another name, an event that went to another file: each is the same
meeting as before, and its reservation follows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from syncd.core.booking import Booking
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import ReservationSpec

# UID and original start: the same event whatever its scope.
_Event = tuple[str, str | None]
_Looks = tuple[datetime, datetime, str]


@dataclass(slots=True)
class _Unmatched:
    """Of one event, the bookings that no meeting of their own key is like, and the meetings left over."""

    bookings: list[Booking] = field(default_factory=list)
    meetings: list[Meeting] = field(default_factory=list)


def exchanged(
    current: Mapping[OccurrenceKey, Sequence[Booking]],
    meetings: Mapping[OccurrenceKey, Sequence[Meeting]],
    stays: Callable[[Booking], bool],
) -> dict[int, Meeting]:
    """Return the meeting of another scope that each booking, by row, is of now; one that `stays` is of none.

    The time and the topic tell that it is the same event. Where most of a scope went to another one, the
    events that were edited meanwhile went there too.
    """
    keys = {*current, *meetings}
    if len({key.scope for key in keys}) < 2:
        return {}
    groups: defaultdict[_Event, list[OccurrenceKey]] = defaultdict(list)
    for key in sorted(keys):
        groups[key.uid, key.recurrence_id].append(key)
    moves: dict[int, tuple[Booking, Meeting]] = {}
    left: list[_Unmatched] = []
    stayed: Counter[str] = Counter()
    for group in groups.values():
        unmatched = _unmatched(group, current, meetings, stayed)
        unmatched.bookings = [
            booking for booking in unmatched.bookings if not stays(booking)
        ]
        if len(group) > 1:
            left.append(_match_alike(unmatched, moves))
    _match_those_that_go_along(left, moves, stayed)
    return _without_collisions(moves, chain.from_iterable(current.values()))


def looks_alike(spec: ReservationSpec, other: ReservationSpec) -> bool:
    """Return whether two contents are those of one event, though rules of its source may differ."""
    return _looks(spec) == _looks(other)


def _looks(spec: ReservationSpec) -> _Looks:
    return spec.start, spec.end, spec.topic


def _unmatched(
    group: Iterable[OccurrenceKey],
    current: Mapping[OccurrenceKey, Sequence[Booking]],
    meetings: Mapping[OccurrenceKey, Sequence[Meeting]],
    stayed: Counter[str],
) -> _Unmatched:
    found = _Unmatched()
    for key in group:
        wanted = list(meetings.get(key, ()))
        for booking in current.get(key, ()):
            own = next((m for m in wanted if looks_alike(m.spec, booking.spec)), None)
            if own is None:
                found.bookings.append(booking)
            else:
                wanted.remove(own)
                stayed[key.scope] += 1
        found.meetings += wanted
    return found


def _match_alike(
    unmatched: _Unmatched, moves: dict[int, tuple[Booking, Meeting]]
) -> _Unmatched:
    """Match what looks alike under another scope; return what is left."""
    wanted, left = list(unmatched.meetings), _Unmatched()
    for booking in unmatched.bookings:
        other = next((m for m in wanted if looks_alike(m.spec, booking.spec)), None)
        if other is None:
            left.bookings.append(booking)
        else:
            wanted.remove(other)
            moves[booking.row] = booking, other
    left.meetings = wanted
    return left


def _match_those_that_go_along(
    left: Iterable[_Unmatched],
    moves: dict[int, tuple[Booking, Meeting]],
    stayed: Mapping[str, int],
) -> None:
    went = Counter(
        (booking.key.scope, meeting.key.scope) for booking, meeting in moves.values()
    )
    leads: dict[str, str] = {}
    for (scope, other), count in went.most_common():
        if count > stayed.get(scope, 0):
            leads.setdefault(scope, other)
    for unmatched in left:
        wanted = list(unmatched.meetings)
        for booking in unmatched.bookings:
            led_to = leads.get(booking.key.scope)
            there = next((m for m in wanted if m.key.scope == led_to), None)
            if there is not None:
                wanted.remove(there)
                moves[booking.row] = booking, there


def _without_collisions(
    moves: Mapping[int, tuple[Booking, Meeting]], bookings: Iterable[Booking]
) -> dict[int, Meeting]:
    """Return the moves after which each key has one booking in a room; the others are not made."""
    accepted = dict(moves)
    known = list(bookings)
    while True:
        taken = {(b.key, b.room_id) for b in known if b.row not in accepted}
        refused = []
        for row, (booking, meeting) in accepted.items():
            place = meeting.key, booking.room_id
            if place in taken:
                refused.append(row)
            taken.add(place)
        if not refused:
            return {row: meeting for row, (_, meeting) in accepted.items()}
        for row in refused:
            del accepted[row]
