"""Finds bookings whose meeting another source shows now, because files were given other names or sources.

Where a UID means a meeting of its own in each source (`uid_scope = "source"`), the source is part of the key.
Paths that were exchanged, a source under another name, an event that went to another file: each is the same
meeting as before, and its reservation follows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

from syncd.core.booking import Booking
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import ReservationSpec

_Event: TypeAlias = tuple[str, str | None]
"""UID and original start: the same event whatever its scope."""

_Moves: TypeAlias = dict[int, tuple[Booking, Meeting]]
"""The bookings that follow a meeting, by row, each with that meeting."""


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
    scopes = {key.scope for key in keys}
    if len(scopes) < 2:
        return {}
    groups: defaultdict[_Event, list[OccurrenceKey]] = defaultdict(list)
    for key in sorted(keys):
        groups[key.uid, key.recurrence_id].append(key)
    moves: _Moves = {}
    left: list[_Unmatched] = []
    stayed: Counter[str] = Counter()
    for group in groups.values():
        unmatched = _unmatched(group, current, meetings, stayed)
        if len(group) > 1:
            unmatched.bookings = [b for b in unmatched.bookings if not stays(b)]
            left.append(_match_alike(unmatched, moves))
    _match_those_that_go_along(left, moves, stayed)
    bookings = chain.from_iterable(current.values())
    return _without_collisions(moves, bookings)


def looks_alike(spec: ReservationSpec, other: ReservationSpec) -> bool:
    """Tell whether two contents are those of one event, though rules of its source may differ."""
    same_time = spec.start == other.start and spec.end == other.end
    return same_time and spec.topic == other.topic


def _first_alike(meetings: Iterable[Meeting], booking: Booking) -> Meeting | None:
    """Return the first meeting that looks like a booking; None if none does."""
    for meeting in meetings:
        if looks_alike(meeting.spec, booking.spec):
            return meeting
    return None


def _unmatched(
    group: Iterable[OccurrenceKey],
    current: Mapping[OccurrenceKey, Sequence[Booking]],
    meetings: Mapping[OccurrenceKey, Sequence[Meeting]],
    stayed: Counter[str],
) -> _Unmatched:
    """Return what no key of a group has in common; count in `stayed`, by scope, the bookings that match."""
    found = _Unmatched()
    for key in group:
        wanted = list(meetings.get(key, ()))
        for booking in current.get(key, ()):
            own = _first_alike(wanted, booking)
            if own is None:
                found.bookings.append(booking)
            else:
                wanted.remove(own)
                stayed[key.scope] += 1
        found.meetings += wanted
    return found


def _match_alike(unmatched: _Unmatched, moves: _Moves) -> _Unmatched:
    """Match what looks alike under another scope; return what is left."""
    wanted = list(unmatched.meetings)
    left = _Unmatched()
    for booking in unmatched.bookings:
        other = _first_alike(wanted, booking)
        if other is None:
            left.bookings.append(booking)
        else:
            wanted.remove(other)
            moves[booking.row] = booking, other
    left.meetings = wanted
    return left


def _match_those_that_go_along(
    left: Iterable[_Unmatched], moves: _Moves, stayed: Mapping[str, int]
) -> None:
    """Match the events that were edited meanwhile, where most of their scope went to another one."""
    leads = _most_went_to(moves, stayed)
    for unmatched in left:
        wanted = list(unmatched.meetings)
        for booking in unmatched.bookings:
            led_to = leads.get(booking.key.scope)
            there = _first_of_scope(wanted, led_to)
            if there is not None:
                wanted.remove(there)
                moves[booking.row] = booking, there


def _first_of_scope(meetings: Iterable[Meeting], scope: str | None) -> Meeting | None:
    for meeting in meetings:
        if meeting.key.scope == scope:
            return meeting
    return None


def _most_went_to(moves: _Moves, stayed: Mapping[str, int]) -> dict[str, str]:
    """Return the scope to which more of another scope went than stayed there."""
    went: Counter[tuple[str, str]] = Counter()
    for booking, meeting in moves.values():
        went[booking.key.scope, meeting.key.scope] += 1
    leads: dict[str, str] = {}
    for (scope, other), count in went.most_common():
        if count > stayed.get(scope, 0):
            leads.setdefault(scope, other)
    return leads


def _without_collisions(
    moves: _Moves, bookings: Iterable[Booking]
) -> dict[int, Meeting]:
    """Return the moves after which each key has one booking in a room; the others are not made."""
    accepted = dict(moves)
    known = list(bookings)
    while True:
        stay = [booking for booking in known if booking.row not in accepted]
        taken = {(booking.key, booking.room_id) for booking in stay}
        refused: list[int] = []
        for row, (booking, meeting) in accepted.items():
            place = (meeting.key, booking.room_id)
            if place in taken:
                refused.append(row)
            taken.add(place)
        if not refused:
            return {row: meeting for row, (_, meeting) in accepted.items()}
        for row in refused:
            del accepted[row]
