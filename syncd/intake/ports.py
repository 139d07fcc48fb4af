"""What reading needs of the world: sources, and a ledger that keeps what they said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from syncd.core.bounds import MAX_OCCURRENCES
from syncd.core.document import Document
from syncd.core.totals import Skips
from syncd.ics import Locale, RawEvent
from syncd.ledger.agenda import News
from syncd.ledger.facts import FactStore
from syncd.ledger.index_versions import Buckets, IndexVersions, KnownIndex


class Fetched(Protocol):
    """The documents of a source, a sentence for each that could not be had, and what else is to be said.

    `is_folder`: they are the files of a directory or a glob, each of which may be gone for a moment.
    `asked_at` is when a server was asked for them, in another thread; None: just now.
    `accept` is called when they were read as whole calendars.
    """

    @property
    def documents(self) -> tuple[Document, ...]: ...
    @property
    def problems(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def is_folder(self) -> bool: ...
    @property
    def asked_at(self) -> datetime | None: ...
    def accept(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CalendarSource:
    """One configured source: how to fetch it and how to read it.

    `scope` is empty when a UID means the same meeting in all sources, else the source's name.
    `confirmations` complete readings without an event count as gone.
    An event with more than `max_occurrences` dates within the horizon is quarantined.
    `kind` is file or feed.
    """

    name: str
    fetch: Callable[[], Fetched]
    locale: Locale
    scope: str = ""
    confirmations: int = 1
    max_occurrences: int = MAX_OCCURRENCES
    kind: str = "file"


class TrackedSeries(Protocol):
    """The series that matter already: of some the events are kept, some are booked.

    `tracked_among` tells which UIDs matter whatever their text says; `uids` are those of which events are
    kept from this source, all that mattered so far, and `events_of` returns the events of one.
    """

    def tracked_among(self, uids: Collection[str]) -> Set[str]: ...
    def uids(self) -> Iterable[str]: ...
    def events_of(self, uid: str) -> Sequence[RawEvent]: ...


class Kept(Protocol):
    """What is kept of one UID in one source."""

    @property
    def events(self) -> bytes: ...
    @property
    def remarks(self) -> str: ...


class WorklistStore(Protocol):
    """What sources said, as far as it matters, and which UIDs need a look when.

    `longest_uid` is how many bytes a UID may have that it takes; None: any.
    """

    @property
    def longest_uid(self) -> int | None: ...
    @property
    def versions(self) -> IndexVersions: ...
    def index_of(self, source: str) -> Mapping[int, bytes]: ...
    def standing_of(self, source: str) -> str: ...
    def known_of(self, source: str) -> KnownIndex: ...
    def stale_among(self, sources: Collection[str]) -> frozenset[str]: ...
    def record_scan(
        self,
        source: str,
        buckets: Buckets,
        standing: str,
        *,
        at: datetime,
        whole: bool,
        kept: Mapping[str, bytes],
        dropped: Collection[str] = (),
        ready: Collection[str] = (),
        restamped: Collection[str] = (),
        later: Mapping[str, datetime] | None = None,
        anew: bool = False,
    ) -> int: ...
    def set_standing(self, source: str, standing: str, at: datetime) -> int: ...
    def forget_indexes(
        self, left: Mapping[str, Buckets], at: datetime, *, own_too: bool
    ) -> None: ...
    def uids_of(self, source: str) -> Sequence[str]: ...
    def events_of(self, source: str, uid: str) -> bytes | None: ...
    def kept_of(self, uids: Collection[str]) -> Mapping[str, Mapping[str, Kept]]: ...
    def remarks(self, source: str) -> Mapping[str, str]: ...
    def remarked_sources(self) -> Collection[str]: ...
    def remark(self, source: str, remarks: Mapping[str, str]) -> None: ...
    def uids(self) -> frozenset[str]: ...
    def uids_if_few(self, at_most: int) -> frozenset[str] | None: ...
    def lines_among(self, uids: Collection[str]) -> Set[str]: ...
    def ready(self, now: datetime) -> frozenset[str]: ...
    def ready_with_news(self, now: datetime) -> News: ...
    def next_ready(self, now: datetime) -> datetime | None: ...
    def require_anew(self, standing: str, configured: Collection[str]) -> None: ...
    def add_all(
        self, sources: Collection[str] | None = None, *, booked: bool = False
    ) -> int: ...
    def note_skips(self, skips: Mapping[str, Skips]) -> None: ...
    def defer(
        self,
        deferred: Mapping[str, tuple[datetime | None, Skips]],
        *,
        over: Collection[str],
        at: datetime,
        seen: News,
    ) -> None: ...


class WorkItem(Protocol):
    """A piece of work: on a UID of a source, or on the source as a whole (empty)."""

    @property
    def source(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def digest(self) -> str: ...


class UnderWay(Protocol):
    """What this process is working on, and a former one was when it died; see `syncd.ledger.underway`."""

    def take_left(self) -> Sequence[WorkItem]: ...
    def begin(self, source: str, uid: str = "", digest: str = "") -> None: ...
    def end(self) -> None: ...
    def working(
        self, source: str, digest: str = ""
    ) -> AbstractContextManager[None]: ...


class ChangeNotes(Protocol):
    """What measures from when a calendar says something new; see `syncd.ledger.latency`."""

    def note(self, uids: Iterable[str], kind: str, changed_at: datetime) -> None: ...


class IntakeLedger(Protocol):
    """The stores of the ledger that reading needs, and what this process is working on."""

    @property
    def worklist(self) -> WorklistStore: ...
    @property
    def facts(self) -> FactStore: ...
    @property
    def under_way(self) -> UnderWay: ...
    @property
    def latency(self) -> ChangeNotes: ...
