"""VEVENTs as they were written, and what stands around them."""

from __future__ import annotations

from dataclasses import dataclass, field

BESIDE, GUESSED = "X-SYNCD-BESIDE:TRUE", "X-SYNCD-GUESSED:TRUE"
"""Lines of a context: other text stands around its calendar; a charset was guessed."""


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One VEVENT as it was written (or, from a document that is not plain, its content lines again).

    `context` is the key of its `Context`, `line` that of its BEGIN:VEVENT in the document, from 1.
    `calendar` tells apart VCALENDARs of one document and context in which pieces of one UID stand, from 0.
    """

    context: str
    line: int
    text: bytes = field(repr=False)
    calendar: int = 0

    @property
    def vcalendar(self) -> str:
        """What tells apart the VCALENDARs in which the pieces of one UID stand."""
        return f"{self.context}+{self.calendar}" if self.calendar else self.context


@dataclass(frozen=True, slots=True)
class Context:
    """What stands around the VEVENTs of one VCALENDAR, as far as it means something.

    `text` is a VCALENDAR without VEVENTs: its properties and its VTIMEZONEs in a canonical form.
    `key` changes with what it means for its events and with nothing else: not with PRODID, not with the
    LAST-MODIFIED of a VTIMEZONE, not with how often the calendar asks to be read.
    """

    key: str
    document: str
    base_url: str = field(repr=False)
    text: bytes = field(repr=False)
