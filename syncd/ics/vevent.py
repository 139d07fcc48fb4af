"""VEVENTs as they were written, and what stands around them."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncd.ics.zones import Zones

BESIDE, GUESSED = "X-SYNCD-BESIDE:TRUE", "X-SYNCD-GUESSED:TRUE"
"""Lines of a context: other text stands around its calendar; a charset was guessed."""


@dataclass(frozen=True, slots=True)
class RawEvent:
    """The bytes of one VEVENT as written (or, from a document that is not plain, its content lines again).

    `context` is the key of its `Context`, `line` that of its BEGIN:VEVENT in the document, from 1.
    `calendar` tells apart VCALENDARs of one document and context in which VEVENTs of one UID stand, from 0.
    """

    context: str
    line: int
    text: bytes = field(repr=False)
    calendar: int = 0

    @property
    def vcalendar(self) -> str:
        """Return the key of its VCALENDAR among those in which VEVENTs of its UID stand."""
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


@dataclass(frozen=True, slots=True)
class ParsedContext:
    """What decides about a VEVENT and stands outside of it: a `Context` as values, and its source.

    `document` is the name of what it stands in, `base_url` what its links are relative to.
    `calendar` is the key of its VCALENDAR, `method` the METHOD of that in upper case.
    `owners` are the addresses whose calendar the administrator said it is, by the configuration or the name
    of the file; `claims` those that the calendar gives itself.
    """

    source: str
    document: str
    calendar: str
    base_url: str
    zones: Zones
    method: str
    owners: frozenset[str]
    claims: frozenset[str]
