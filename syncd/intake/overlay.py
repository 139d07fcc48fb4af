"""A ledger of which nothing is changed: what is written to it stays in memory.

`plan`, `explain` and `adopt` read the sources by the same path as a cycle, and keep nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

from syncd.core.totals import Skips
from syncd.intake.ports import (
    ChangeNotes,
    IntakeLedger,
    Kept,
    UnderWay,
    WorkItem,
    WorklistStore,
)
from syncd.intake.raw_events import is_over, same_events, unpacked
from syncd.ledger import worklist as stored
from syncd.ledger.agenda import News
from syncd.ledger.facts import Fact, FactStore
from syncd.ledger.index_versions import Buckets, IndexVersions, KnownIndex

T = TypeVar("T")


class Overlay:
    """An `IntakeLedger` over another one, in which every UID is ready.

    The UIDs that are `asked` for are read even if all of their events are over.
    """

    def __init__(self, base: IntakeLedger, asked: Collection[str] = ()) -> None:
        self._facts = _Facts(base.facts)
        self._worklist = _Worklist(base.worklist, asked)

    @property
    def worklist(self) -> WorklistStore:
        """Return what the sources said, and which UIDs are ready."""
        return self._worklist

    @property
    def facts(self) -> FactStore:
        """Return what is remembered under names."""
        return self._facts

    @property
    def under_way(self) -> UnderWay:
        """Return a record of the work under way that nobody keeps."""
        return _NOTHING_UNDER_WAY

    @property
    def latency(self) -> ChangeNotes:
        """Return a measurement that nobody makes."""
        return _NOTHING_MEASURED


class _Facts:
    """Facts, here or below."""

    def __init__(self, base: FactStore) -> None:
        self._base = base
        self._own: dict[str, Any] = {}

    def get(self, fact: Fact[T]) -> T | None:
        """Return the value of a fact as it was set here last, else as it is below."""
        if fact.name in self._own:
            value: T | None = self._own[fact.name]
            return value
        return self._base.get(fact)

    def set(self, fact: Fact[T], value: T | None) -> None:
        """Give a fact a value, here only."""
        self._own[fact.name] = value

    def set_first(self, fact: Fact[T], value: T) -> T:
        """Give a fact a value unless it has one, here only; return the one that it has."""
        return self.change(fact, lambda known: value if known is None else known)

    def change(self, fact: Fact[T], changed: Callable[[T | None], T]) -> T:
        """Give a fact the value that follows from the one before, here only; return it."""
        value = changed(self.get(fact))
        self._own[fact.name] = value
        return value


class _Worklist:
    """What sources said, here or below."""

    def __init__(self, base: WorklistStore, asked: Collection[str]) -> None:
        self._base = base
        self._asked = frozenset(asked)
        self._forgotten = False
        self._indexes: dict[str, Mapping[int, bytes]] = {}
        self._standings: dict[str, str] = {}
        # By source and UID; None: nothing any more.
        self._kept: dict[str, dict[str, Kept | None]] = {}
        self._later: dict[str, datetime] = {}

    def index_of(self, source: str) -> Mapping[int, bytes]:
        """Return the buckets of the index of a source; none if it was never read."""
        own = self._indexes.get(source)
        if own is not None:
            return own
        return {} if self._forgotten else self._base.index_of(source)

    def standing_of(self, source: str) -> str:
        """Return how a source stood when it was read last; empty if it never was."""
        own = self._standings.get(source)
        if own is not None:
            return own
        return "" if self._forgotten else self._base.standing_of(source)

    @property
    def versions(self) -> IndexVersions:
        """Return which version of each index this process knows below."""
        return self._base.versions

    def known_of(self, source: str) -> KnownIndex:
        """Return how a source stood when it was read last, by whom and when."""
        if source in self._standings or self._forgotten:
            return KnownIndex(standing=self.standing_of(source))
        return self._base.known_of(source)

    def stale_among(self, sources: Collection[str]) -> frozenset[str]:  # noqa: ARG002  # as its port
        """Return none: what stands here is compared with nothing."""
        return frozenset()

    def record_scan(
        self,
        source: str,
        buckets: Buckets,
        standing: str,
        *,
        at: datetime,  # noqa: ARG002  # as its port
        whole: bool,
        kept: Mapping[str, bytes],
        dropped: Collection[str] = (),
        ready: Collection[str] = (),
        restamped: Collection[str] = (),  # noqa: ARG002  # as its port
        later: Mapping[str, datetime] | None = None,
        anew: bool = False,  # noqa: ARG002  # as its port
    ) -> int:
        """Remember what was found in a source; remarks on events that are as they were stay."""
        merged: dict[int, bytes] = {}
        if not whole:
            merged.update(self.index_of(source))
        for number, pieces in buckets.items():
            merged[number] = b"".join(pieces)
        self._indexes[source] = {
            number: packed for number, packed in merged.items() if packed
        }
        self._standings[source] = standing
        own = self._kept.setdefault(source, {})
        remarks = self._base.remarks(source)
        for uid, events in kept.items():
            remark = remarks.get(uid, "")
            if remark:
                before = self._base.events_of(source, uid)
                if not same_events(before, events):
                    remark = ""
            own[uid] = stored.Kept(events, remark)
        own.update(dict.fromkeys(dropped))
        for uid in ready:
            self._later.pop(uid, None)
        self._later.update(later or {})
        return 0

    def set_standing(self, source: str, standing: str, at: datetime) -> int:  # noqa: ARG002  # as its port
        """Remember how a source stands of which nothing could be read."""
        self._standings[source] = standing
        return 0

    def forget_indexes(
        self,
        left: Mapping[str, Buckets],
        at: datetime,
        *,
        own_too: bool,  # noqa: ARG002  # as its port
    ) -> None:
        """Look through all sources as if for the first time, but for what is `left` of some."""
        self._forgotten = True
        self._indexes = {}
        self._standings = {}
        for source, buckets in left.items():
            self.record_scan(source, buckets, "", at=at, whole=True, kept={})

    def uids_of(self, source: str) -> Sequence[str]:
        """Return the UIDs of a source of which events are kept."""
        own = self._kept.get(source, {})
        uids = [uid for uid in self._base.uids_of(source) if uid not in own]
        for uid, kept in own.items():
            if kept is not None:
                uids.append(uid)
        return uids

    def events_of(self, source: str, uid: str) -> bytes | None:
        """Return the kept events of one UID in one source, packed; None if there are none."""
        own = self._kept.get(source, {})
        if uid not in own:
            return self._base.events_of(source, uid)
        kept = own[uid]
        if kept is None:
            return None
        return kept.events

    def kept_of(self, uids: Collection[str]) -> Mapping[str, Mapping[str, Kept]]:
        """Return what is kept of these UIDs, by source and UID."""
        found: dict[str, dict[str, Kept]] = {}
        for source, below in self._base.kept_of(uids).items():
            found[source] = dict(below)
        wanted = frozenset(uids)
        for source, own in self._kept.items():
            here = found.setdefault(source, {})
            for uid in wanted & own.keys():
                kept = own[uid]
                if kept is None:
                    here.pop(uid, None)
                else:
                    here[uid] = kept
        return {source: kept_here for source, kept_here in found.items() if kept_here}

    @property
    def longest_uid(self) -> int | None:
        """Return how many bytes a UID may have; None: any."""
        return self._base.longest_uid

    def remarks(self, source: str) -> Mapping[str, str]:
        """Return all remarks on what is kept of a source, by UID."""
        own = self._kept.get(source, {})
        below = self._base.remarks(source)
        found = {uid: remark for uid, remark in below.items() if uid not in own}
        for uid, kept in own.items():
            if kept is not None and kept.remarks:
                found[uid] = kept.remarks
        return found

    def remarked_sources(self) -> Collection[str]:
        """Return the sources of which there may be a remark on anything that is kept."""
        return {*self._base.remarked_sources(), *self._kept}

    def remark(self, source: str, remarks: Mapping[str, str]) -> None:
        """Replace the remarks on what is kept of these UIDs; an empty one is none."""
        own = self._kept.setdefault(source, {})
        for uid, remark in remarks.items():
            events = self.events_of(source, uid)
            if events is not None:
                own[uid] = stored.Kept(events, remark)

    def uids(self) -> frozenset[str]:
        """Return all UIDs that matter."""
        uids = self._base.uids() | self._asked
        return uids.union(*self._kept.values())

    def uids_if_few(self, at_most: int) -> frozenset[str] | None:
        """Return all UIDs that matter; None if there are more than so many."""
        if self._base.uids_if_few(at_most) is None:
            return None
        found = self.uids()
        if len(found) > at_most:
            return None
        return found

    def lines_among(self, uids: Collection[str]) -> set[str]:
        """Return those of the UIDs that matter."""
        asked = set(uids)
        found = asked & self._asked
        for own in self._kept.values():
            found |= asked & own.keys()
        return found.union(self._base.lines_among(asked - found))

    def ready(self, now: datetime) -> frozenset[str]:
        """Return all UIDs but those of which nothing comes into reach yet."""
        only_asked = self._asked - self._base.uids()
        found: set[str] = set()
        for uid in self.uids():
            begins = self._later.get(uid)
            if begins is not None and begins > now:
                continue
            if uid in only_asked and self._is_over(uid, now):
                continue
            found.add(uid)
        return frozenset(found)

    def ready_with_news(self, now: datetime) -> News:
        """Return the same as `ready`; nothing is told here of a UID while it is looked at."""
        return dict.fromkeys(self.ready(now), 0)

    def _is_over(self, uid: str, now: datetime) -> bool:
        """Tell whether nothing of a UID is left in any source."""
        for kept in self.kept_of([uid]).values():
            raw_events = unpacked(kept[uid].events)
            if not is_over(raw_events, now):
                return False
        return True

    def next_ready(self, now: datetime) -> datetime | None:
        """Return when the next UID is ready."""
        coming = [moment for moment in self._later.values() if moment > now]
        return min(coming, default=None)

    def require_anew(self, standing: str, configured: Collection[str]) -> None:
        """Do nothing: all are ready."""

    def add_all(
        self,
        sources: Collection[str] | None = None,  # noqa: ARG002  # as its port
        *,
        booked: bool = False,  # noqa: ARG002  # as its port
    ) -> int:
        """Make none ready, because all are."""
        return 0

    def note_skips(self, skips: Mapping[str, Skips]) -> None:
        """Do nothing: nobody asks for them here."""

    def defer(
        self,
        deferred: Mapping[str, tuple[datetime | None, Skips]],
        *,
        over: Collection[str],
        at: datetime,
        seen: News,
    ) -> None:
        """Do nothing: no plan is carried out."""


class _NothingUnderWay:
    """A record of the work under way of a process that keeps none."""

    def take_left(self) -> Sequence[WorkItem]:
        """Return nothing."""
        return ()

    def begin(self, source: str, uid: str = "", digest: str = "") -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def working(self, source: str, digest: str = "") -> AbstractContextManager[None]:  # noqa: ARG002  # as its port
        """Return a context that does nothing."""
        return nullcontext()


class _NothingMeasured:
    """A measurement of what is never booked."""

    def note(self, uids: Iterable[str], kind: str, changed_at: datetime) -> None:
        """Do nothing."""


_NOTHING_UNDER_WAY = _NothingUnderWay()
_NOTHING_MEASURED = _NothingMeasured()
