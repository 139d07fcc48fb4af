"""Documents of one source to one `Reading`.

Takes the documents apart, and understands of each UID that is not over what stands in all of them.
The full path: nothing is known from before, whatever is read is understood again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from syncd.core.occurrence import Defect, Occurrence, Presence, Reading, Window
from syncd.core.reasons import Note
from syncd.ics.crew import understand_all
from syncd.ics.document import Document
from syncd.ics.inventory import Inventory, look_through
from syncd.ics.relevance import span_of
from syncd.ics.understanding import Locale, Understanding

__all__ = ["Locale", "Presences", "read"]


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

    found = look_through(
        _named(documents, names),
        Inventory(),
        secret=0,
        matters=lambda text: not span_of(text).is_over(window.start),
        concerns=booked.__contains__,
        kept=tuple,
        pieces_of=_nothing,
        problems=problems,
    )
    understanding = Understanding(found.inventory.contexts, source=source, scope=scope, locale=locale)
    occurrences: list[Occurrence] = []
    defects: list[Defect] = []
    notes: set[Note] = set(understanding.notes)
    presence: dict[str, Presence | None] = {}
    for understood in understand_all(found.changed, understanding, window):
        occurrences += understood.occurrences
        defects += understood.defects
        notes |= understood.contradictions
        presence[understood.uid] = understood.presence
    return Reading(
        source=source,
        at=at,
        window=window,
        digest=found.inventory.digest,
        occurrences=tuple(sorted(occurrences, key=lambda o: o.key)),
        presence=Presences(presence, found.inventory),
        defects=tuple(sorted(defects, key=lambda d: (d.document, d.line, d.uid))),
        notes=tuple(sorted(notes, key=lambda note: note.detail)),
        error="; ".join(found.problems) or None,
        readable=not found.problems or found.inventory.events > len(defects),
        refresh_after=understanding.refresh_after,
        documents=len(names),
        events=found.inventory.events,
    )


class Presences(Mapping[str, Presence]):
    """How UIDs stand in a reading; those that nobody looked at are known by being there, and are not listed.

    `understood` has None for a UID of which nothing that counts was found.
    """

    def __init__(self, understood: Mapping[str, Presence | None], inventory: Inventory) -> None:
        self._understood = {uid: there for uid, there in understood.items() if there is not None}
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
