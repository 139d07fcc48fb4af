"""Documents of one source to one `Reading`.

Takes the documents apart, and understands of each UID that is not over what stands in all of them.
The full path: nothing is known from before, whatever is read is understood again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from syncd.core.bounds import MAX_OCCURRENCES
from syncd.core.document import Document
from syncd.core.occurrence import Defect, Missing, Occurrence, Presence, Reading, Window
from syncd.core.reasons import Note
from syncd.ics.parallel import CpuAllowance, ParserPool, UnderWay, parse_series
from syncd.ics.series import Locale, ParsedSeries, SeriesParser
from syncd.ics.vevent import RawEvent
from syncd.intake.source_index import SourceIndex, look_through
from syncd.intake.span import span_of

__all__ = ["Bounded", "Locale", "Presences", "read"]


@dataclass(frozen=True, slots=True)
class Bounded:
    """How UIDs are understood within bounds, and what is known without that.

    `verdict` tells of a UID with these pieces what was found before, where finding it again would cost much.
    `pool`, `allowance`, `alive` and `under_way` are those of `ParserPool.parse_all`.
    """

    pool: ParserPool
    allowance: CpuAllowance
    alive: Callable[[], object] = lambda: None
    under_way: UnderWay = lambda _uid, _pieces: None
    verdict: Callable[[str, Sequence[RawEvent]], ParsedSeries | None] = lambda _uid, _pieces: None

    def understand(
        self, work: Mapping[str, Sequence[RawEvent]], parser: SeriesParser, window: Window
    ) -> dict[str, ParsedSeries]:
        """What each UID says; those that come in the next cycle are left out."""
        found: dict[str, ParsedSeries] = {}
        for uid, pieces in work.items():
            known = self.verdict(uid, pieces)
            if known is not None:
                document = parser.document_of(pieces[0])
                named = (replace(d, document=d.document or document) for d in known.defects)
                found[uid] = replace(known, defects=tuple(named))
        rest = {uid: pieces for uid, pieces in work.items() if uid not in found}
        answers = self.pool.parse_all(
            rest,
            parser,
            window,
            allowance=self.allowance,
            alive=self.alive,
            under_way=self.under_way,
        )
        found.update((one.uid, one) for one in answers)
        return found


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
    bounded: Bounded | None = None,
    secret: int = 0,
    missing: Callable[[SourceIndex, bool], tuple[Missing, ...]] = lambda _inventory, _complete: (),
) -> Reading:
    """What a source says for a window.

    `scope` is part of every key: empty when a UID means the same meeting in all sources.
    A document that is not provably whole makes the reading incomplete and contributes nothing.
    `problems` are sentences about documents that could not be had at all.
    What is certainly over is not looked into, unless its UID is among those `booked`: it stands there as a
    series without coming dates, and what may be wrong about it is not told.
    Without `bounded` all is understood right here, whatever it costs.
    `missing` tells which files are gone, by what was found (with `secret` as its key) and whether that is
    all.
    """
    names: set[str] = set()

    found = look_through(
        _named(documents, names),
        SourceIndex(),
        secret=secret,
        matters=lambda text: not span_of(text).is_over(window.start),
        concerns=booked.__contains__,
        kept=tuple,
        pieces_of=_nothing,
        problems=problems,
    )
    parser = SeriesParser(
        found.inventory.contexts,
        source=source,
        scope=scope,
        locale=locale,
        max_occurrences=max_occurrences,
    )
    occurrences: list[Occurrence] = []
    defects: list[Defect] = []
    notes: set[Note] = set(parser.notes)
    presence: dict[str, Presence | None] = {}
    if bounded is None:
        answers = {uid: parse_series(uid, pieces, parser, window) for uid, pieces in found.changed.items()}
    else:
        answers = bounded.understand(found.changed, parser, window)
    for one in answers.values():
        occurrences += one.occurrences
        defects += one.defects
        notes |= one.contradictions
        presence[one.uid] = one.presence
    postponed = frozenset(found.changed.keys() - answers.keys())
    presence.update(dict.fromkeys(postponed, Presence.QUARANTINED))  # nothing follows from them now
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
        refresh_after=parser.refresh_after,
        documents=len(names),
        events=found.inventory.events,
        postponed=postponed,
        missing=missing(found.inventory, not found.problems),
    )


class Presences(Mapping[str, Presence]):
    """How UIDs stand in a reading; those that nobody looked at are known by being there, and are not listed.

    `parsed` has None for a UID of which nothing that counts was found.
    """

    def __init__(self, parsed: Mapping[str, Presence | None], inventory: SourceIndex) -> None:
        self._understood = {uid: there for uid, there in parsed.items() if there is not None}
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
