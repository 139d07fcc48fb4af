"""What the sources said, as far as it matters, and which UIDs need a look when.

The index of a source tells what it held when it was last looked through; the events of the UIDs that matter
are kept, so that they can be read again without the calendar.
The worklist has a line for each UID that matters: it is *ready*, *deferred* to a moment or until it changes,
or *planned* while what was decided about it waits to be carried out.
Whatever is written about a booking adds its UID, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.sql import Select

from syncd.core.totals import Skips
from syncd.ledger import agenda, counts, tables
from syncd.ledger.agenda import PLANNED, Agenda, News, SharedAgenda, add_uids
from syncd.ledger.database import Database
from syncd.ledger.facts import DEFERRED_AT, Facts, put_fact
from syncd.ledger.gate import WritingGate
from syncd.ledger.index_versions import (
    Buckets,
    IndexVersions,
    Inventories,
    KnownIndex,
    replace_buckets,
)

_LONGEST_SHARED = 2_000  # bytes; an index of PostgreSQL takes rows of 2,704

_LINE = tables.agenda.c
_KEPT = tables.kept.c
_FIRST: ColumnElement[datetime] = func.min(_LINE.due_at, type_=tables.INSTANT)
_NEXT_READY = select(_FIRST).where(
    _LINE.due_at > bindparam("now"), _LINE.due_at < PLANNED
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one UID in one source: its events, packed by the caller, and remarks on them."""

    events: bytes = field(repr=False)
    remarks: str = ""


class Worklist:
    """The store that spares reading and planning what did not change."""

    def __init__(
        self,
        database: Database,
        gate: WritingGate,
        facts: Facts,
        inventories: Inventories,
    ) -> None:
        self._database = database
        self._gate = gate
        self._facts = facts
        self._inventories = inventories
        self._agenda = SharedAgenda() if database.is_shared else Agenda()
        self.longest_uid = _LONGEST_SHARED if database.is_shared else None
        """How many bytes a UID may have; None: any."""

    # What sources said

    @property
    def versions(self) -> IndexVersions:
        """Return which version of each index this process knows, on a shared ledger."""
        return self._inventories.versions

    def index_of(self, source: str) -> dict[int, bytes]:
        """Return the buckets of the index of a source; none if it was never looked through.

        On a shared ledger raise `StaleIndex` when another one stands there than the one that is known.
        """
        return self._inventories.buckets_of(source)

    def standing_of(self, source: str) -> str:
        """Return how a source stood when it was looked through last; empty if it never was.

        On a shared ledger raise `StaleIndex` when another one stands there than the one that is known.
        """
        return self._inventories.standing_of(source)

    def known_of(self, source: str) -> KnownIndex:
        """Return how a source stood when it was looked through last, by whom and when; `StaleIndex` as above."""
        return self._inventories.known_of(source)

    def index_stamps(self) -> dict[str, tuple[int, str]]:
        """Return, by source, the version of its index and what the reading rests on; of a shared ledger."""
        return self._inventories.stamps()

    def stale_among(self, sources: Collection[str]) -> frozenset[str]:
        """Return those of the sources of which another process stored something since this one read them."""
        return self._inventories.stale(sources)

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
    ) -> int:
        """Store what looking through a source at a moment found, all or nothing.

        `buckets` are those of its index that changed, packed, in pieces; an empty one is dropped.
        `whole`: so are all others.
        `kept` are packed VEVENTs by UID, `dropped` the UIDs of which nothing is left.
        `ready` need a look now, `later` ones not before a moment, unless they are ready before.
        So do those of the `restamped` of which events of several sources are kept: which is newer may be
        another one now.
        `anew`: all UIDs of the source need a look; return how many of them were not ready.
        On a shared ledger raise `StaleIndex` when it was compared with another index than the one there is.
        """
        with self._inventories.replaced(source, standing, at) as connection:
            replace_buckets(connection, source, buckets, whole=whole)
            made_ready = self._make_all_ready(connection, source) if anew else 0
            self._agenda.hold(connection, restamped)
            several = _in_several_sources(connection, restamped)
            self._agenda.add_news(connection, several.union(ready))
            self._agenda.add_news_at(connection, later or {})
            _replace_kept(connection, source, kept, dropped)
        return made_ready

    def set_standing(self, source: str, standing: str, at: datetime) -> int:
        """Record how a source stands of which nothing could be read, and make its UIDs ready.

        Return how many were not; raise `StaleIndex` as `record_scan` does.
        """
        with self._inventories.replaced(source, standing, at) as connection:
            return self._make_all_ready(connection, source)

    def _make_all_ready(self, connection: Connection, source: str) -> int:
        return self._agenda.add_all(connection, agenda.among([source]))

    def forget_indexes(
        self, left: Mapping[str, Buckets], at: datetime, *, own_too: bool
    ) -> None:
        """Drop the indexes, so that all sources are looked through as if for the first time.

        What is `left` of some is kept. On a shared ledger those alone are dropped that this process knows; and
        unless `own_too`, none that was made by the same program under the same rules.
        """
        self._inventories.forget_all(left, at, own_too=own_too)

    # Kept events

    def uids_of(self, source: str) -> Sequence[str]:
        """Return the UIDs of a source of which events are kept."""
        query = select(_KEPT.uid).where(_KEPT.source == source)
        return self._database.scalars(query)

    def events_of(self, source: str, uid: str) -> bytes | None:
        """Return the kept events of one UID in one source, as they were packed."""
        of_the_source = select(_KEPT.pieces).where(_KEPT.source == source)
        return self._database.scalar(of_the_source.where(_KEPT.uid == uid))

    def all_kept(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield the source, the UID and the packed events of all that is kept."""
        query = select(_KEPT.source, _KEPT.uid, _KEPT.pieces)
        with self._database.reading() as connection:
            for row in connection.execute(query):
                yield row.source, row.uid, row.pieces

    def kept_of(self, uids: Collection[str]) -> dict[str, dict[str, Kept]]:
        """Return what is kept of these UIDs, by source and UID."""
        found: dict[str, dict[str, Kept]] = {}
        with self._database.reading() as connection:
            for some in tables.in_chunks(list(uids)):
                query = select(tables.kept).where(_KEPT.uid.in_(some))
                for row in connection.execute(query):
                    remarks = row.remarks or ""
                    kept_of_source = found.setdefault(row.source, {})
                    kept_of_source[row.uid] = Kept(row.pieces, remarks)
        return found

    def remarks(self, source: str) -> dict[str, str]:
        """Return all remarks on what is kept of a source, by UID."""
        of_the_source = select(_KEPT.uid, _KEPT.remarks).where(_KEPT.source == source)
        remarked = of_the_source.where(text("remarks IS NOT NULL"))
        rows = self._database.rows(remarked)
        return {row.uid: row.remarks for row in rows}

    def remarked_sources(self) -> Sequence[str]:
        """Return the sources of which there is a remark on anything that is kept."""
        remarked = select(_KEPT.source).where(text("remarks IS NOT NULL"))
        # All of them: a range is what the index of the remarks is searched by.
        in_order = remarked.where(_KEPT.source > "").distinct()
        return self._database.scalars(in_order)

    def remark(self, source: str, remarks: Mapping[str, str]) -> None:
        """Replace the remarks on what is kept of these UIDs; an empty one is none.

        On a shared ledger nothing is remarked on what another member has stored since.
        """
        of_the_source = update(tables.kept).where(_KEPT.source == source)
        of_the_uid = of_the_source.where(_KEPT.uid == bindparam("of"))
        change = of_the_uid.values(remarks=bindparam("said"))
        lines: list[dict[str, str | None]] = []
        for uid, remark in sorted(remarks.items()):
            lines.append({"of": uid, "said": remark or None})
        with self._gate.writing() as connection:
            if self.is_current(connection, source):
                connection.execute(change, lines)

    # The worklist

    def uids(self) -> frozenset[str]:
        """Return all UIDs that matter."""
        with self._database.reading() as connection:
            # There may be a hundred thousand, and as rows of SQLAlchemy they take five times as long.
            cursor = connection.connection.cursor()
            cursor.execute("SELECT uid FROM agenda")
            return frozenset(uid for (uid,) in cursor.fetchall())

    def uids_if_few(self, at_most: int) -> frozenset[str] | None:
        """Return all UIDs that matter; None if there are more than so many."""
        found = self._database.scalars(select(_LINE.uid).limit(at_most + 1))
        if len(found) > at_most:
            return None
        return frozenset(found)

    def lines_among(self, uids: Collection[str]) -> set[str]:
        """Return those of the UIDs that matter."""
        found: set[str] = set()
        with self._database.reading() as connection:
            for some in tables.in_chunks(list(uids)):
                query = select(_LINE.uid).where(_LINE.uid.in_(some))
                found.update(connection.execute(query).scalars())
        return found

    def ready(self, now: datetime) -> frozenset[str]:
        """Return the UIDs that are ready."""
        found = self._database.scalars(self._agenda.ready.params(now=now))
        return frozenset(found)

    def ready_with_news(self, now: datetime) -> News:
        """Return the UIDs that are ready, each with what tells later whether there was news of it since."""
        rows = self._database.rows(self._agenda.with_news.params(now=now))
        return self._agenda.news_of(rows)

    def next_ready(self, now: datetime) -> datetime | None:
        """Return when the next UID is ready that is deferred to a moment; None if there is none."""
        return self._database.scalar(_NEXT_READY.params(now=now))

    def require_anew(self, standing: str, configured: Collection[str]) -> None:
        """Give all sources this standing, and make the UIDs ready of which none of these keeps events.

        The UIDs of the others are made ready source by source, as each is heard.
        """
        with self._gate.writing() as connection:
            self._inventories.require_anew(connection, standing)
            self._agenda.add_all(connection, agenda.kept_in_none())
        kept_of = self._database.scalars(select(_KEPT.source).distinct())
        self.add_all(frozenset(kept_of).difference(configured))

    def add_all(
        self, sources: Collection[str] | None = None, *, booked: bool = False
    ) -> int:
        """Make all UIDs ready, or those of which events of some sources are kept; return how many were not.

        `booked`: only those that have current bookings.
        """
        conditions: list[ColumnElement[bool]] = []
        if booked:
            conditions.append(agenda.booked())
        if sources is not None:
            conditions.append(agenda.among(sources))
        with self._gate.writing() as connection:
            return self._agenda.add_all(connection, *conditions)

    def make_ready(self, uids: Collection[str]) -> None:
        """Make UIDs ready."""
        if uids:
            with self._gate.writing() as connection:
                add_uids(connection, uids)
                self._gate.changes += 1

    def mark_planned(self, planned: Mapping[str, Skips], seen: News) -> None:
        """Let UIDs count as planned: what was decided about them waits to be carried out.

        Each comes with how many of its occurrences ask for no reservation; `seen` as for `defer`.
        """
        if planned:
            with self._gate.writing() as connection:
                self._agenda.mark_planned(connection, planned, seen)
            self._gate.changes += 1

    def note_skips(self, skips: Mapping[str, Skips]) -> None:
        """Record how many occurrences of UIDs that are ready ask for no reservation; nothing for others."""
        if skips:
            with self._gate.writing() as connection:
                agenda.note_skips(connection, skips)

    def skips(self) -> Skips:
        """Return how many occurrences ask for no reservation, by the reason."""
        with (
            self._database.making_sense("The worklist"),
            self._database.reading() as connection,
        ):
            return counts.count_skips(connection)

    def count_planned(self) -> int:
        """Return how many UIDs are planned: what was decided about them waits to be carried out."""
        query = select(func.count()).where(_LINE.due_at == PLANNED)
        return int(self._database.scalar(query) or 0)

    def make_planned_ready(self) -> None:
        """Make all UIDs ready that are planned, by this process or by one that ended."""
        with self._gate.writing() as connection:
            self._agenda.make_planned_ready(connection)
        self._gate.changes += 1

    def defer(
        self,
        deferred: Mapping[str, tuple[datetime | None, Skips]],
        *,
        over: Collection[str],
        at: datetime,
        seen: News,
    ) -> None:
        """Defer UIDs to a moment (None: until they change); forget those that are over.

        Each comes with how many of its occurrences ask for no reservation. `seen` is what `ready_with_news`
        said before they were looked at: on a shared ledger one of which there is news since stays ready.
        """
        with self._gate.writing() as connection:
            self._agenda.defer(connection, deferred, seen)
            self._agenda.forget(connection, over, seen)
            stored = put_fact(connection, DEFERRED_AT, at)
        self._facts.note(DEFERRED_AT, stored)
        self._gate.changes += 1

    def forget_source(self, connection: Connection, name: str) -> None:
        """Drop what a source said, in the transaction of another store; its UIDs are ready."""
        self._inventories.forget(connection, name)
        of_the_source = select(_KEPT.uid).where(_KEPT.source == name)
        uids = connection.execute(of_the_source).scalars()
        self._agenda.add_news(connection, uids)
        tables.remove(connection, tables.kept, {"source": name})
        self.versions.forget(name)

    def is_current(self, connection: Connection, source: str) -> bool:
        """Tell whether what this process knows of a source is what stands there, until the transaction ends."""
        return self._inventories.is_current(connection, source)


def ready_uids(now: datetime) -> Select[Any]:
    """Return the query for the UIDs that are ready."""
    return select(_LINE.uid).where(_LINE.due_at <= now)


def _in_several_sources(connection: Connection, uids: Collection[str]) -> set[str]:
    """Return those of the UIDs of which events of several sources are kept."""
    by_uid = select(_KEPT.uid).group_by(_KEPT.uid).having(func.count() > 1)
    several: set[str] = set()
    for some in tables.in_chunks(list(uids)):
        found = connection.execute(by_uid.where(_KEPT.uid.in_(some)))
        several.update(found.scalars())
    return several


def _replace_kept(
    connection: Connection,
    source: str,
    kept: Mapping[str, bytes],
    dropped: Iterable[str],
) -> None:
    """Replace what is kept of some UIDs of a source; nothing is kept any more of those dropped."""
    gone = [{"gone": uid} for uid in (*dropped, *kept)]
    if gone:
        of_the_source = delete(tables.kept).where(_KEPT.source == source)
        one = of_the_source.where(_KEPT.uid == bindparam("gone"))
        connection.execute(one, gone)
    if kept:
        new = [
            {"source": source, "uid": uid, "pieces": events}
            for uid, events in kept.items()
        ]
        connection.execute(insert(tables.kept), new)
