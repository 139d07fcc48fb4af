"""The same meeting in several sources is one meeting with several witnesses.

It lives while one of them shows it; the newest copy decides its content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncd.core.occurrence import Occurrence, OccurrenceKey, Reading


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One occurrence with the copy that decides its content, and all sources that show it."""

    occurrence: Occurrence
    witnesses: tuple[str, ...]


def merge(readings: Mapping[str, Reading]) -> tuple[Witnessed, ...]:
    """The occurrences of all readings, each once, sorted by key.

    The newest copy by SEQUENCE, then LAST-MODIFIED, decides; between equal ones the source that comes
    first in `readings`, which is the order of the configuration.
    """
    copies: dict[OccurrenceKey, list[Occurrence]] = {}
    for reading in readings.values():
        for occurrence in reading.occurrences:
            copies.setdefault(occurrence.key, []).append(occurrence)
    return tuple(
        Witnessed(_newest(found), tuple(dict.fromkeys(o.source for o in found)))
        for _, found in sorted(copies.items(), key=lambda item: item[0])
    )


def _newest(copies: Iterable[Occurrence]) -> Occurrence:
    def revision(occurrence: Occurrence) -> tuple[int, float]:
        modified = occurrence.last_modified
        return (occurrence.sequence, modified.timestamp() if modified else 0.0)

    return max(copies, key=revision)  # max keeps the first of equals
