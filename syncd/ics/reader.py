"""Documents of one source to one `Reading`.

Takes the documents apart, and understands of each UID that is not over what stands in all of them.
The full path: nothing is known from before, whatever is read is understood again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from syncd.core.occurrence import Defect, Occurrence, Presence, Reading, Window
from syncd.core.reasons import Reason
from syncd.ics.crew import understand_all
from syncd.ics.document import Document
from syncd.ics.inventory import Inventory, look_through
from syncd.ics.relevance import span_of
from syncd.ics.understanding import Locale, Understanding

__all__ = ["Locale", "read"]


def read(
    documents: Iterable[Document],
    *,
    source: str,
    scope: str,
    locale: Locale,
    window: Window,
    at: datetime,
    problems: Sequence[str] = (),
    booked: Collection[str] = (),
) -> Reading:
    """What a source says for a window.

    `scope` is part of every key: empty when a UID means the same meeting in all sources.
    A document that is not provably whole makes the reading incomplete and contributes nothing.
    `problems` are sentences about documents that could not be had at all.
    What is certainly over is not looked into, unless its UID is among those `booked`: it stands there as a
    series without coming dates, and what may be wrong about it is not told.
    """
    names: set[str] = set()

    def matters(text: bytes) -> bool:
        latest = span_of(text).latest
        return latest is None or latest > window.start

    found = look_through(
        _named(documents, names),
        Inventory(),
        secret=0,
        matters=matters,
        concerns=booked.__contains__,
        kept=tuple,
        pieces_of=_nothing,
        problems=problems,
    )
    understanding = Understanding(found.inventory.contexts, source=source, scope=scope, locale=locale)
    occurrences: list[Occurrence] = []
    defects: list[Defect] = []
    presence: dict[str, Presence] = {}
    for understood in understand_all(found.changed, understanding, window):
        occurrences += understood.occurrences
        defects += understood.defects
        if understood.presence is not None:
            presence[understood.uid] = understood.presence
    notes = {n for o in occurrences for n in o.notes if n.reason is Reason.TIMEZONE_CONTRADICTS}
    return Reading(
        source=source,
        at=at,
        window=window,
        digest=found.inventory.digest,
        occurrences=tuple(sorted(occurrences, key=lambda o: o.key)),
        presence=_Standing(presence, found.inventory),
        defects=tuple(sorted(defects, key=lambda d: (d.document, d.line, d.uid))),
        notes=tuple(sorted(notes, key=lambda note: note.detail)),
        error="; ".join(found.problems) or None,
        readable=not found.problems or found.inventory.events > len(defects),
        refresh_after=understanding.refresh_after,
        documents=len(names),
        events=found.inventory.events,
    )


class _Standing(Mapping[str, Presence]):
    """How each UID stands; those that are over are known by being there, and are not listed."""

    def __init__(self, understood: Mapping[str, Presence], inventory: Inventory) -> None:
        self._understood = understood
        self._inventory = inventory

    def __getitem__(self, uid: str) -> Presence:
        known = self._understood.get(uid)
        if known is None and (not uid or not self._inventory.holds(uid)):
            raise KeyError(uid)
        return known or Presence.SERIES

    def __iter__(self) -> Iterator[str]:
        return iter(self._understood)

    def __len__(self) -> int:
        return len(self._understood)


def _named(documents: Iterable[Document], names: set[str]) -> Iterator[Document]:
    """The same documents; their names are collected as they pass."""
    for document in documents:
        names.add(document.name)
        yield document


def _nothing(_uid: str) -> tuple[()]:
    return ()
