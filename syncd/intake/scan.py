"""One look through a source: what it says otherwise than before, as far as that matters.

A large one may be made in another thread; whatever it finds is taken in by the thread that does the work.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from syncd.core.occurrence import Missing, Window
from syncd.ics import ParsedSeries, RawEvent, SeriesParser
from syncd.intake.diff import SourceDiff, diff_source
from syncd.intake.ports import CalendarSource, Fetched, IntakeLedger, WorklistStore
from syncd.intake.reading import Bounded
from syncd.intake.source_index import SourceIndex
from syncd.intake.span import span_of
from syncd.ledger.facts import JUDGED_AT

UNKNOWN, WHOLE, IN_PART, UNREADABLE = "", "whole", "in part", "unreadable"
"""How a source stands: never looked at; as it was found last."""

_LARGE = 4 << 20  # bytes; less is looked through, and understood, before anybody notices


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source was found; `at` is None for a look of a former process.

    `missing` are the files of a directory that were gone then, as it told them.
    """

    at: datetime | None
    index: SourceIndex
    parser: SeriesParser
    standing: str
    error: str | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether anything is known of what it says now."""
        return self.standing != UNREADABLE


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a look found, by UID where it is about one.

    `kept` are the packed pieces of what is new, `earliest` tells when it begins, where that can be told.
    `parsed` is what was understood of it on the way.
    """

    diff: SourceDiff
    parser: SeriesParser
    kept: Mapping[str, bytes] = field(default_factory=dict)
    earliest: Mapping[str, datetime] = field(default_factory=dict)
    parsed: Mapping[str, ParsedSeries] = field(default_factory=dict)


def parser(source: CalendarSource, index: SourceIndex) -> SeriesParser:
    """How the documents of a source are to be understood."""
    return SeriesParser(
        index.contexts,
        source=source.name,
        scope=source.scope,
        locale=source.locale,
        max_occurrences=source.max_occurrences,
    )


class Scan:
    """A look through a source at a moment; `known` is what it is compared with.

    `at_s` is the same moment on a steady clock.
    """

    def __init__(
        self,
        source: CalendarSource,
        fetched: Fetched,
        known: SourceState,
        ledger: IntakeLedger,
        salt: int,
        at: datetime,
        at_s: float,
    ) -> None:
        self.fetched = fetched
        self.known = known
        self.at = at
        self.at_s = at_s
        self.ended = False
        self.again = False  # something may have changed meanwhile
        self.found: ScanResult | None = None
        self._source = source
        self._ledger = ledger
        self._worklist = ledger.worklist
        self._salt = salt
        self._tracked = _Tracked(ledger.worklist, source.name)

    @property
    def is_large(self) -> bool:
        """Whether it takes so long that others should not wait for it."""
        new = (d.size for d in self.fetched.documents if self.known.index.lacks(d))
        return sum(new) > _LARGE

    def run(self) -> ScanResult:
        """Look, now."""
        with self._ledger.under_way.working(self._source.name, digest_of(self.fetched)):
            return self._run()

    def _run(self) -> ScanResult:
        known = self.known.index
        diff = diff_source(
            self.fetched.documents,
            known,
            secret=self._salt,
            is_current=self._is_current,
            tracked=self._tracked,
            problems=self.fetched.problems,
        )
        if diff.index == known:
            return ScanResult(diff, self.known.parser)
        new = {**diff.restamped, **diff.changed}
        return ScanResult(
            diff,
            parser(self._source, diff.index),
            kept={uid: packed(events) for uid, events in new.items() if events},
            earliest=_begins(diff.changed),
        )

    def run_aside(self, window: Window, bounded: Bounded) -> None:
        """The same in another thread, together with understanding what is new."""
        try:
            found = self.run()
            new = {uid: pieces for uid, pieces in found.diff.changed.items() if pieces}
            self.found = replace(found, parsed=bounded.understand(new, found.parser, window))
        finally:
            self.ended = True

    def take_in(self, found: ScanResult, standing: str, window: Window) -> None:
        """Keep what was found, and put what says something new on the agenda."""
        diff = found.diff
        later = {
            uid: begins - (window.end - window.start)
            for uid, begins in found.earliest.items()
            if begins > window.reach and not self._tracked.is_tracked(uid)
        }
        several = self._worklist.in_several_sources(diff.restamped)
        remarked = self._worklist.remarks(self._source.name)  # the lines may have moved in which they stand
        self._ledger.facts.set(JUDGED_AT, self.at)
        self._worklist.record_scan(
            self._source.name,
            diff.index.packed(),
            standing,
            kept=found.kept,
            dropped=[uid for uid, pieces in diff.changed.items() if not pieces],
            ready={*diff.changed, *several, *remarked} - later.keys(),
            later=later,
        )

    def _is_current(self, text: bytes) -> bool:
        """Tell whether an event may have an occurrence that is not over."""
        return not span_of(text).is_over(self.at)


class _Tracked:
    """The series of a source that matter, as the ledger knows them; see `TrackedSeries`."""

    def __init__(self, worklist: WorklistStore, source: str) -> None:
        self._worklist = worklist
        self._source = source

    @cached_property
    def _all(self) -> frozenset[str]:
        return self._worklist.uids()

    def is_tracked(self, uid: str) -> bool:
        """Tell whether a UID is booked, or matters for something else already."""
        return uid in self._all

    def uids(self) -> Iterable[str]:
        """Return the UIDs of which events of this source are kept."""
        return self._worklist.uids_of(self._source)

    def events_of(self, uid: str) -> Sequence[RawEvent]:
        """Return the events of a UID that are kept of this source."""
        kept = self._worklist.events_of(self._source, uid)
        return unpacked(kept) if kept is not None else ()


def digest_of(fetched: Fetched) -> str:
    """What the documents of a source look like from outside, as far as that tells anything."""
    looks = [(d.name, d.base_url, d.looks or d.signature or str(d.size)) for d in fetched.documents]
    return hashlib.sha256(repr(looks).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def packed(pieces: Sequence[RawEvent]) -> bytes:
    """Pieces as they are kept: of each a line that tells its VCALENDAR, line and length, then its text.

    Compressed, because calendars shrink to a tenth.
    """
    lines = (b"%s %d %d\n%s" % (p.vcalendar.encode(), p.line, len(p.text), p.text) for p in pieces)
    return zlib.compress(b"".join(lines), 1)


def unpacked(kept: bytes) -> tuple[RawEvent, ...]:
    """What `packed` wrote; raises `zlib.error` for anything else."""
    kept = zlib.decompress(kept)
    found: list[RawEvent] = []
    place = 0
    while place < len(kept):
        end = kept.index(b"\n", place)
        calendar, line, length = kept[place:end].rsplit(b" ", 2)
        context, _, number = calendar.decode().partition("+")
        place = end + 1 + int(length)
        found.append(RawEvent(context, int(line), kept[end + 1 : place], int(number or 0)))
    return tuple(found)


def _begins(changed: Mapping[str, Sequence[RawEvent]]) -> dict[str, datetime]:
    """Return when each of these UIDs begins at the earliest, where that can be told."""
    found = {uid: earliest(raw_events) for uid, raw_events in changed.items()}
    return {uid: at for uid, at in found.items() if at is not None}


def digest_of_pieces(pieces: Sequence[RawEvent]) -> str:
    """Return the identity of the text of a UID."""
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece.text)
    return whole.hexdigest()[:16]


def same_events(kept: bytes | None, other: bytes) -> bool:
    """Tell whether two packed texts have the same events, wherever these stand in their documents."""
    if kept is None:
        return False
    one, two = ([(event.vcalendar, event.text) for event in unpacked(text)] for text in (kept, other))
    return one == two


def is_over(raw_events: Iterable[RawEvent], moment: datetime) -> bool:
    """Tell whether certainly nothing of these events is left after a moment."""
    return all(span_of(event.text).is_over(moment) for event in raw_events)


def earliest(pieces: Sequence[RawEvent]) -> datetime | None:
    """Return when the first occurrence of these begins at the earliest; None if that cannot be told."""
    begins = [span_of(piece.text).earliest for piece in pieces]
    known = [moment for moment in begins if moment is not None]
    return min(known) if known and len(known) == len(begins) else None
