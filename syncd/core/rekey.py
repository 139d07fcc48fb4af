"""Finds the bookings whose meeting goes on under another key, so that they are not cancelled and rebooked.

A series that is moved as a whole gets new original starts, a single event that becomes a series gets its
first one, and some feeds make new UIDs at every reading.
A reservation gives up its slot only on the evidence that a cancel takes; one that stays as it is may
follow a new UID, or a renamed source, at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from syncd.core.booking import HOLDING_STATES, Booking
from syncd.core.evidence import Absence
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import ReservationSpec

FARTHEST = timedelta(days=7)
"""How far a date of a series may be moved and still be the same meeting."""

AT_ONCE = frozenset({Evidence.TOLD, Evidence.SHOWN})
"""Evidence on which a cancel needs no person."""

_ELSEWHERE = frozenset({Reason.SOURCE_EMPTY, Reason.FILE_MISSING, Reason.FILE_GONE})
"""Reasons why a person has to look, or time has to pass, before a meeting counts as gone.

One that shows up meanwhile and looks the same is that meeting."""


def moved_keys(
    lost: Iterable[Booking], fresh: Sequence[Meeting], judge: Callable[[Booking], Absence]
) -> dict[int, OccurrenceKey]:
    """The new key of each booking that found one, by row.

    `lost` have no occurrence, `fresh` no booking; `judge` says what the absence of an occurrence proves.
    One to one, the nearest first; reservations before records that hold no slot.
    """
    by_uid: defaultdict[str, list[int]] = defaultdict(list)
    by_content: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, meeting in enumerate(fresh):
        by_uid[meeting.key.uid].append(index)
        by_content[_looks(meeting.spec)].append(index)
    pairs: list[tuple[bool, timedelta, datetime, int, int]] = []
    rooms: dict[int, str | None] = {}
    for booking in lost:
        rooms[booking.row] = booking.room_id
        relatives = [i for i in by_uid.get(booking.key.uid, ()) if _same_event(booking, fresh[i])]
        doubles = by_content.get(_looks(booking.spec), ())
        if not relatives and not doubles:
            continue
        judged = judge(booking)
        gone = judged.evidence in AT_ONCE
        renamed = judged.reason is Reason.SOURCE_REMOVED
        no_slot = booking.state not in HOLDING_STATES
        start = booking.spec.start
        distances = [(abs(start - fresh[i].spec.start), i) for i in (relatives if gone else ())]
        if gone or judged.counted_in or judged.reason in _ELSEWHERE:
            distances += [(timedelta(), i) for i in doubles if booking.source in fresh[i].witnesses]
        if renamed:
            distances += [(timedelta(), i) for i in doubles if booking.key.uid == fresh[i].key.uid]
        pairs += [(no_slot, d, start, booking.row, i) for d, i in distances if d <= FARTHEST]
    keys: dict[int, OccurrenceKey] = {}
    taken: set[int] = set()
    places: set[tuple[OccurrenceKey, str | None]] = set()
    for _, _, _, row, index in sorted(pairs):
        # Until it is changed a booking stays in its room, and a key has one booking in a room.
        place = (fresh[index].key, rooms[row])
        if row not in keys and index not in taken and place not in places:
            keys[row] = fresh[index].key
            taken.add(index)
            places.add(place)
    return keys


def _same_event(booking: Booking, meeting: Meeting) -> bool:
    """Whether one UID means one event: in one scope, or in the source whose `uid_scope` was changed."""
    return booking.key.scope == meeting.key.scope or booking.source in meeting.witnesses


def _looks(spec: ReservationSpec) -> tuple[object, ...]:
    """What two copies of one meeting share, whatever their UIDs."""
    return (spec.start, spec.end, spec.room_id, spec.topic, spec.creator)
