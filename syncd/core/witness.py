"""The same meeting in several sources is one meeting with several witnesses.

It lives while one of them shows it; the organizer's copy decides its content, else the newest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.occurrence import Occurrence, OccurrenceKey, Reading, extent_of


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One occurrence with the copy that decides its content, and all sources that show it.

    `ends` tells when each copy is over, which its source no longer shows then; it is empty for a single one.
    """

    occurrence: Occurrence
    witnesses: tuple[str, ...]
    ends: tuple[datetime, ...] = ()


def merge(readings: Mapping[str, Reading]) -> tuple[Witnessed, ...]:
    """The occurrences of all readings, each once, sorted by key.

    See `deciding`; between equal copies the source that comes first in `readings` decides, which is the
    order of the configuration.
    """
    copies: dict[OccurrenceKey, list[Occurrence]] = {}
    for reading in readings.values():
        for occurrence in reading.occurrences:
            copies.setdefault(occurrence.key, []).append(occurrence)
    return tuple(_witnessed(found) for _, found in sorted(copies.items(), key=lambda item: item[0]))


def _witnessed(copies: Sequence[Occurrence]) -> Witnessed:
    witnesses = tuple(dict.fromkeys(copy.source for copy in copies))
    ends = tuple(extent_of(copy).end for copy in copies) if len(copies) > 1 else ()
    return Witnessed(deciding(copies), witnesses, ends)


def deciding(copies: Sequence[Occurrence]) -> Occurrence:
    """The copy that says what a meeting is: that of its organizer, else the newest by SEQUENCE.

    Only the organizer changes a meeting (RFC 5546 section 2.1.4), so that copy counts also where another has
    a higher SEQUENCE, which programs give to what an attendee changed in the own calendar alone.
    It is overruled in one case: it is cancelled, and a live copy is of a higher SEQUENCE.
    Of two copies with one SEQUENCE a live one counts before a cancelled one, then the later LAST-MODIFIED.
    """
    newest_live = max((copy.sequence for copy in copies if not copy.cancelled), default=-1)

    def rank(copy: Occurrence) -> tuple[bool, int, bool, float]:
        overruled = copy.cancelled and copy.sequence < newest_live
        modified = copy.last_modified.timestamp() if copy.last_modified else 0.0
        return (copy.organizers_copy and not overruled, copy.sequence, not copy.cancelled, modified)

    return max(copies, key=rank)  # max keeps the first of equals
