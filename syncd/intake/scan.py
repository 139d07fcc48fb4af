"""One scan of a source: what it says otherwise than before, as far as that matters.

A large one may be made in another thread; whatever it finds is taken in by the thread that does the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

import structlog

from syncd.core.document import Document
from syncd.core.occurrence import Window
from syncd.ics import ParsedSeries, RawEvent, SeriesParser
from syncd.intake.diff import SourceDiff, diff_source
from syncd.intake.known import Known, parser_of
from syncd.intake.new_events import OnCurrent
from syncd.intake.parsing import Bounded
from syncd.intake.ports import CalendarSource, Fetched, IntakeLedger, WorklistStore
from syncd.intake.raw_events import Spans, earliest, packed, unpacked
from syncd.intake.series_ahead import AHEAD_FROM, SeriesAhead
from syncd.intake.source_index import SourceIndex
from syncd.intake.state import UNKNOWN
from syncd.ledger.facts import JUDGED_AT
from syncd.ledger.tables import name_of

log = structlog.get_logger(__name__)

_FEW, _ASKED_BY_NAME = 1000, 20
"""UIDs; so many that matter are all loaded, once more than so many are asked for at a time."""

T = TypeVar("T")

_LARGE = 4 << 20  # bytes; less is scanned and parsed before anybody notices


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a scan found, by UID where it is about one.

    `kept` are the packed events of what is new, `earliest` tells when it begins, where that can be told.
    `parsed` is what was parsed of it on the way.
    """

    diff: SourceDiff
    parser: SeriesParser
    kept: Mapping[str, bytes] = field(default_factory=dict)
    earliest: Mapping[str, datetime] = field(default_factory=dict)
    parsed: Mapping[str, ParsedSeries] = field(default_factory=dict)


class Scan:
    """A scan of a source at a moment; `known` is what it is compared with, `standing` how it stood then.

    `at_s` is the same moment on a steady clock.
    """

    def __init__(
        self,
        source: CalendarSource,
        fetched: Fetched,
        known: Known,
        standing: str,
        ledger: IntakeLedger,
        salt: int,
        at: datetime,
        at_s: float,
        tracked_uids: TrackedUids,
    ) -> None:
        self.fetched = fetched
        self.known = known
        self.is_stored = known.is_stored  # until the ledger forgets it
        self.standing = standing
        self.at = at
        self.at_s = at_s
        self.ended = False
        self.again = False  # something may have changed meanwhile
        self.found: ScanResult | None = None
        self._source = source
        self._ledger = ledger
        self._worklist = ledger.worklist
        self._salt = salt
        self._tracked_uids = tracked_uids
        self._tracked = _Tracked(ledger.worklist, source.name, tracked_uids)
        self._spans = Spans(at)

    @property
    def is_large(self) -> bool:
        """Tell whether it takes so long that others should not wait for it."""
        unread = self.known.index.to_read(self.fetched.documents)
        return sum(document.size for document in unread) > _LARGE

    def run(self, window: Window, bounded: Bounded) -> ScanResult:
        """Compare the documents with what is known, and return what was found.

        A part of it is parsed on the way if a document is very large, and nothing of it was known.
        """
        digest = digest_of_documents(self.fetched)
        working = self._ledger.under_way.working(self._source.name, digest)
        document = self._document_ahead()
        if document is None:
            with working:
                return self._result(self._diff())
        with SeriesAhead(document, self._source, bounded, window, self._spans) as ahead:
            with working:
                diff = self._diff(ahead.add, ahead.go_on)
                ahead.settle(diff.index, diff.changed)
                found = self._result(diff, ahead.go_on)
            parsed = ahead.finish()
        return replace(found, parsed=parsed)

    def _document_ahead(self) -> Document | None:
        """Return the document of which series are parsed while it is looked through, if there is one."""
        documents = self.fetched.documents
        if len(documents) != 1 or self.known.index.documents:
            return None
        (document,) = documents
        return document if document.size >= AHEAD_FROM else None

    def _diff(
        self,
        on_current: OnCurrent = lambda _uid, _text, _line: None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> SourceDiff:
        """Return what the documents say otherwise; `on_current` and `meanwhile` are those of `diff_source`."""
        return diff_source(
            self.fetched.documents,
            self.known.index,
            secret=self._salt,
            is_current=self._spans.is_current,
            tracked=self._tracked,
            problems=self.fetched.problems,
            on_current=on_current,
            meanwhile=meanwhile,
        )

    def _result(
        self, diff: SourceDiff, meanwhile: Callable[[], object] = lambda: None
    ) -> ScanResult:
        """Return what was found, as it is kept; `meanwhile` is called now and then."""
        if diff.index == self.known.index:
            return ScanResult(diff, self.known.parser)
        kept: dict[str, bytes] = {}
        for new in (diff.restamped, diff.changed):
            for uid, raw_events in new.items():
                if raw_events:
                    kept[uid] = packed(raw_events)
                    meanwhile()
        return ScanResult(
            diff,
            parser_of(self._source, diff.index),
            kept=kept,
            earliest=self._begins(diff.changed),
        )

    def run_aside(self, window: Window, bounded: Bounded) -> None:
        """Scan in another thread, and parse what is new; `found` has the result once it has `ended`."""
        # The scans of the other thread go on meanwhile.
        alone = TrackedUids(self._worklist)
        self._tracked_uids = alone
        self._tracked = _Tracked(self._worklist, self._source.name, alone)
        try:
            found = self.run(window, bounded)
            later = self._later(found, window)
            done = later.keys() | found.parsed.keys()
            work = {
                uid: raw_events
                for uid, raw_events in found.diff.changed.items()
                if raw_events and uid not in done
            }
            parsed = bounded.parse(work, found.parser, window)
            self.found = replace(found, parsed={**found.parsed, **parsed})
        finally:
            self.ended = True

    def take_in(self, found: ScanResult, standing: str, window: Window) -> int:
        """Store what was found, and put the UIDs that say something new on the worklist.

        All UIDs of the source need a look where it stands otherwise than before; return how many of them were
        not ready.
        """
        diff = found.diff
        later = self._later(found, window)
        ready = set(diff.changed)
        ready |= self._perhaps_moved(diff.index)
        self._ledger.facts.set(JUDGED_AT, self.at)
        stored = self.known.index if self.is_stored else None
        too_long = self._too_long(ready | found.kept.keys() | diff.changed.keys())
        ready -= too_long
        changed = _without(diff.changed, too_long)
        made_ready = self._worklist.record_scan(
            self._source.name,
            diff.index.packed(stored),
            standing,
            at=self.at,
            whole=not self.is_stored,
            kept=_without(found.kept, too_long),
            dropped=[uid for uid, events in changed.items() if not events],
            ready=ready - later.keys(),
            restamped=diff.restamped.keys() - too_long,
            later=_without(later, too_long),
            anew=self.standing not in {standing, UNKNOWN},
        )
        self._tracked_uids.add(ready)
        return made_ready

    def _too_long(self, uids: Collection[str]) -> Set[str]:
        """Return those of the UIDs that the ledger cannot take, and say how many these are."""
        longest = self._worklist.longest_uid
        if longest is None:
            return frozenset()
        found = {uid for uid in uids if len(name_of(uid).encode()) > longest}
        if found:
            log.warning(
                "events are left out: their UIDs are longer than a PostgreSQL ledger can take",
                source=self._source.name,
                uids=len(found),
                most_bytes=longest,
            )
        return found

    def _later(self, found: ScanResult, window: Window) -> dict[str, datetime]:
        """Return the UIDs that need no look before a moment, with that moment."""
        horizon = window.end - window.start
        later: dict[str, datetime] = {}
        for uid, begins in found.earliest.items():
            if begins > window.reach:
                later[uid] = begins - horizon
        for uid in self._tracked.tracked_among(later.keys()):
            del later[uid]
        return later

    def _begins(self, changed: Mapping[str, Sequence[RawEvent]]) -> dict[str, datetime]:
        """Return when each of these UIDs begins at the earliest, where that can be told."""
        found: dict[str, datetime] = {}
        for uid, raw_events in changed.items():
            begins = earliest(raw_events, self._spans)
            if begins is not None:
                found[uid] = begins
        return found

    def _perhaps_moved(self, index: SourceIndex) -> set[str]:
        """Return the UIDs that have remarks, and stand in documents in which lines may have moved."""
        remarked = self._worklist.remarks(self._source.name)
        if not remarked:
            return set()
        changed = set(index.documents).difference(self.known.index.documents)
        standing_there = frozenset[bytes]().union(
            *(document.all_uids() for document in changed)
        )
        return {uid for uid in remarked if index.digest_of(uid) in standing_there}


class TrackedUids:
    """The UIDs that matter, for several scans that one thread makes in a row.

    Few are held all, as when the first calendar of an installation is read. Among many the ledger looks up
    those that are asked for, so that the first reading of a calendar costs the same whatever others hold.
    """

    def __init__(self, worklist: WorklistStore) -> None:
        self._worklist = worklist
        self._all: set[str] | None = None
        self._are_many = False

    def forget(self) -> None:
        """Ask again the next time: others may have written since."""
        self._all = None
        self._are_many = False

    def add(self, uids: Iterable[str]) -> None:
        """Note UIDs that a scan put on the worklist."""
        if self._all is not None:
            self._all.update(uids)

    def among(self, uids: Collection[str]) -> Set[str]:
        """Return those of the UIDs that matter."""
        if not uids:
            return frozenset()
        asks_much = len(uids) > _ASKED_BY_NAME
        if self._all is None and asks_much and not self._are_many:
            self._load_if_few()
        if self._all is not None:
            return self._all.intersection(uids)
        return self._worklist.lines_among(uids)

    def _load_if_few(self) -> None:
        few = self._worklist.uids_if_few(_FEW)
        if few is None:
            self._are_many = True
        else:
            self._all = set(few)


class _Tracked:
    """The series of a source that matter, as the ledger knows them; see `TrackedSeries`."""

    def __init__(
        self, worklist: WorklistStore, source: str, tracked_uids: TrackedUids
    ) -> None:
        self._worklist = worklist
        self._source = source
        self._tracked_uids = tracked_uids

    def tracked_among(self, uids: Collection[str]) -> Set[str]:
        """Return those of the UIDs that are booked, or matter for something else already."""
        return self._tracked_uids.among(uids)

    def uids(self) -> Iterable[str]:
        """Return the UIDs of which events of this source are kept."""
        return self._worklist.uids_of(self._source)

    def events_of(self, uid: str) -> Sequence[RawEvent]:
        """Return the events of a UID that are kept of this source."""
        kept = self._worklist.events_of(self._source, uid)
        if kept is None:
            return ()
        return unpacked(kept)


def _without(by_uid: Mapping[str, T], uids: Set[str]) -> Mapping[str, T]:
    """Return what is not of these UIDs."""
    if not uids:
        return by_uid
    return {uid: value for uid, value in by_uid.items() if uid not in uids}


def signature_of_documents(fetched: Fetched) -> str:
    """Return what tells whether a source has these documents still; empty if looking inside alone does."""
    signatures: list[tuple[str, str, str]] = []
    for document in fetched.documents:
        if not document.signature:
            return ""
        signatures.append((document.name, document.base_url, document.signature))
    return _digest((fetched.is_folder, signatures))


def digest_of_documents(fetched: Fetched) -> str:
    """Return the identity of what the documents of a source look like from outside, 32 hexadecimal digits."""
    looks: list[tuple[str, str, str]] = []
    for document in fetched.documents:
        look = document.looks or document.signature or str(document.size)
        looks.append((document.name, document.base_url, look))
    return _digest(looks)


def _digest(told: object) -> str:
    """Return 32 hexadecimal digits that are the same for the same plain values."""
    digest = hashlib.sha256(repr(told).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]
