"""How sources were found when they were read last, without what stood in them.

This is held in memory for every source as long as the process lives, so it is small: a source of any size
takes about a kilobyte. What stood there is in `syncd.intake.known`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from syncd.core.occurrence import Missing
from syncd.core.reasons import Note
from syncd.intake.known import Known

# How a source stands, beside `syncd.ledger.index_versions.ANEW`.
UNKNOWN = ""  # never read
WHOLE = "whole"
IN_PART = "in part"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Outline:
    """What every cycle asks of a source, whether anything of it is ready or not.

    `digest` is the identity of all that was read, `documents` and `events` are counts.
    `refresh_after` is how long the calendars ask to be left alone, `notes` are about whole documents.
    """

    digest: str
    documents: int
    events: int
    refresh_after: timedelta | None
    notes: tuple[Note, ...]

    @classmethod
    def of(cls, known: Known) -> Self:
        """Return the outline of what is known of a source."""
        return cls(
            digest=known.index.digest,
            documents=len(known.index.documents),
            events=known.index.event_count,
            refresh_after=known.parser.refresh_after,
            notes=tuple(sorted(known.parser.notes, key=lambda note: note.detail)),
        )


NOTHING_READ = Outline("", documents=0, events=0, refresh_after=None, notes=())


@dataclass(frozen=True, slots=True)
class SourceState:
    """How this process found a source, `at` a moment.

    `signature` is what its documents looked like from outside, if that tells whether they are still the same
    and nothing else is to be looked at; else it is empty.
    `missing` are the files of a directory that were gone then, as it told them.
    """

    at: datetime
    outline: Outline
    standing: str
    signature: str = ""
    error: str | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def readable(self) -> bool:
        """Tell whether anything is known of what it says now."""
        return self.standing != UNREADABLE
