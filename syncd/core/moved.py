"""Finds the bookings whose meeting goes on under another key, so that they are not cancelled and rebooked.

A series that is moved as a whole gets new original starts, a single event that becomes a series gets its
first one, and some feeds make new UIDs at every reading.
A reservation gives up its slot only on the evidence that a cancel takes; one that stays as it is may
follow a new UID at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from syncd.core.changes import Meeting
from syncd.core.evidence import Absence
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Evidence
from syncd.core.reservation import HOLDING_STATES, Booking, ReservationSpec

FARTHEST = timedelta(days=7)
"""How far a date of a series may be moved and still be the same meeting."""

AT_ONCE = frozenset({Evidence.TOLD, Evidence.SHOWN})
"""Evidence on which a cancel needs no person."""


def moved_keys(
    lost: Iterable[Booking], fresh: Sequence[Meeting], judge: Callable[[Booking], Absence]
) -> dict[int, OccurrenceKey]:
    """The new key of each booking that found one, by row.

    `lost` have no occurrence, `fresh` no booking; `judge` says what the absence of an occurrence proves.
    One to one, the nearest first; reservations before records that hold no slot.
    """
    by_uid: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    by_content: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, meeting in enumerate(fresh):
        by_uid[meeting.key.scope, meeting.key.uid].append(index)
        by_content[_looks(meeting.spec)].append(index)
    pairs: list[tuple[bool, timedelta, datetime, int, int]] = []
    for booking in lost:
        relatives = by_uid.get((booking.key.scope, booking.key.uid), ())
        doubles = by_content.get(_looks(booking.spec), ())
        if not relatives and not doubles:
            continue
        judged = judge(booking)
        gone = judged.evidence in AT_ONCE
        no_slot = booking.state not in HOLDING_STATES
        start = booking.spec.start
        distances = [(abs(start - fresh[i].spec.start), i) for i in (relatives if gone else ())]
        if gone or judged.counted_in:
            distances += [(timedelta(), i) for i in doubles if booking.source in fresh[i].witnesses]
        pairs += [(no_slot, d, start, booking.row, i) for d, i in distances if d <= FARTHEST]
    keys: dict[int, OccurrenceKey] = {}
    taken: set[int] = set()
    for _, _, _, row, index in sorted(pairs):
        if row not in keys and index not in taken:
            keys[row] = fresh[index].key
            taken.add(index)
    return keys


def _looks(spec: ReservationSpec) -> tuple[object, ...]:
    """What two copies of one meeting share, whatever their UIDs."""
    return (spec.start, spec.end, spec.room_id, spec.topic, spec.creator)
