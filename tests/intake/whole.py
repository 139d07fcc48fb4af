"""A whole source read at once with the parts of the program, nothing known before: what texts mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from syncd.core.bounds import MAX_OCCURRENCES
from syncd.core.document import Document
from syncd.core.occurrence import Defect, Occurrence, Presence, Reading, Window
from syncd.core.reasons import Note
from syncd.ics.contexts import Locale
from syncd.ics.series import SeriesParser
from syncd.ics.worker import parse_series
from syncd.intake import Presences, SourceIndex, diff_source, span_of
from tests.intake.tracked import Tracked


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
    max_occurrences: int = MAX_OCCURRENCES,
) -> Reading:
    """Return what a source says for a window.

    `scope` is part of every key: empty when a UID means the same meeting in all sources.
    A document that is not provably whole makes the reading incomplete and contributes nothing.
    `problems` are sentences about documents that could not be had at all.
    What is certainly over is not looked into, unless its UID is among those `booked`: it stands there as a
    series without coming dates, and what may be wrong about it is not told.
    """
    names: set[str] = set()
    found = diff_source(
        _named(documents, names),
        SourceIndex(),
        secret=0,
        is_current=lambda text, _lines: not span_of(text).is_over(window.start),
        tracked=Tracked(booked.__contains__),
        problems=problems,
    )
    parser = SeriesParser(
        found.index.contexts,
        source=source,
        scope=scope,
        locale=locale,
        max_occurrences=max_occurrences,
    )
    occurrences: list[Occurrence] = []
    defects: list[Defect] = []
    notes: set[Note] = set(parser.notes)
    presence: dict[str, Presence | None] = {}
    answers = {
        uid: parse_series(uid, pieces, parser, window)
        for uid, pieces in found.changed.items()
    }
    for one in answers.values():
        occurrences += one.occurrences
        defects += one.defects
        notes |= one.contradictions
        presence[one.uid] = one.presence
    return Reading(
        source=source,
        at=at,
        window=window,
        digest=found.index.digest,
        occurrences=tuple(sorted(occurrences, key=lambda o: o.key)),
        presence=Presences(presence, found.index.holds),
        defects=tuple(sorted(defects, key=lambda d: (d.document, d.line, d.uid))),
        notes=tuple(sorted(notes, key=lambda note: note.detail)),
        error="; ".join(found.problems) or None,
        readable=not found.problems or found.index.event_count > len(defects),
        refresh_after=parser.refresh_after,
        documents=len(names),
        events=found.index.event_count,
    )


def _named(documents: Iterable[Document], names: set[str]) -> Iterator[Document]:
    """The same documents; their names are collected as they pass."""
    for document in documents:
        names.add(document.name)
        yield document
