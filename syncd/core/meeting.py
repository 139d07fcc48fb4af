"""A meeting that the calendars ask for: an occurrence with the reservation that it wants."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.core.attachments import Publication
from syncd.core.occurrence import Occurrence, OccurrenceKey
from syncd.core.reasons import Note
from syncd.core.reservation import ReservationSpec


@dataclass(frozen=True, slots=True)
class Meeting:
    """One reservation that the calendars ask for: an occurrence in one room, or in none."""

    occurrence: Occurrence
    witnesses: tuple[str, ...]
    spec: ReservationSpec
    notes: tuple[Note, ...] = ()
    publications: tuple[Publication, ...] = ()
    rejected: str = ""

    @property
    def key(self) -> OccurrenceKey:
        """Return the identity of the occurrence."""
        return self.occurrence.key
