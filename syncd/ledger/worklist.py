"""What the sources said, as far as it matters, and which UIDs need a look when.

The index of a source tells what it held when it was last looked through; the events of the UIDs that matter
are kept, so that they can be read again without the calendar.
The worklist has a line for each UID that matters: it is *ready*, *deferred* to a moment or until it changes,
or *planned* while what was decided about it waits to be carried out.
Whatever is written about a booking adds its UID, in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.sql import Select

from syncd.core.reservation import epoch_ms
from syncd.core.totals import Skips
from syncd.ledger import counts, tables
from syncd.ledger.database import Database
from syncd.ledger.facts import DEFERRED_AT, Facts, put_fact
from syncd.ledger.gate import WritingGate

_ADD: TextClause = text(
    "INSERT INTO agenda (uid, due_at, skipped) VALUES (:uid, 0, 0) ON CONFLICT (uid) DO UPDATE SET due_at = 0"
)
_ADD_AT: TextClause = text(
    "INSERT INTO agenda (uid, due_at, skipped) VALUES (:uid, :due, 0) "
    "ON CONFLICT (uid) DO UPDATE SET due_at = CASE WHEN agenda.due_at < excluded.due_at "
    "THEN agenda.due_at ELSE excluded.due_at END"
)
PLANNED = datetime(9999, 12, 31, tzinfo=UTC)
"""Until then a UID is deferred whose changes wait in the process that owns the ledger."""

_LONGEST_SHARED = 2_000  # bytes; an index of PostgreSQL takes rows of 2,704

_LINE = tables.agenda.c
_KEPT = tables.kept.c
_MARK_PLANNED = (
    update(tables.agenda)
    .where(_LINE.uid == bindparam("of"))
    .values(due_at=PLANNED, skipped=bindparam("count"), skips=bindparam("why"))
)
_MAKE_PLANNED_READY = (
    update(tables.agenda).where(_LINE.due_at == PLANNED).values(due_at=tables.EPOCH)
)
_BLOCK = tables.inventory_buckets.c
_DEFER = (
    update(tables.agenda)
    .where(_LINE.uid == bindparam("of"))
    .values(due_at=bindparam("due"), skipped=bindparam("count"), skips=bindparam("why"))
)
_NOTE_SKIPS = (
    update(tables.agenda)
    .where(_LINE.uid == bindparam("of"), _LINE.due_at == tables.EPOCH)
    .values(skipped=bindparam("count"), skips=bindparam("why"))
)
_IS_DEFERRED = or_(_LINE.due_at > tables.EPOCH, _LINE.due_at.is_(None))
_READY = select(_LINE.uid).where(_LINE.due_at <= bindparam("now"))
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

    def __init__(self, database: Database, gate: WritingGate, facts: Facts) -> None:
        self._database = database
        self._gate = gate
        self._facts = facts
        self.longest_uid = _LONGEST_SHARED if database.is_shared else None
        """How many bytes a UID may have; None: any."""

    # What sources said

    def index_of(self, source: str) -> dict[int, bytes]:
        """Return the buckets of the index of a source; none if it was never looked through."""
        blocks_of = select(_BLOCK.bucket, _BLOCK.packed).where(_BLOCK.source == source)
        in_order = blocks_of.order_by(_BLOCK.bucket, _BLOCK.number)
        blocks: dict[int, list[bytes]] = {}
        for row in self._database.rows(in_order):
            blocks.setdefault(row.bucket, []).append(row.packed)
        return {number: b"".join(own) for number, own in blocks.items()}

    def standing_of(self, source: str) -> str:
        """Return how a source stood when it was looked through last; empty if it never was."""
        indexes = tables.inventories.c
        standing_of = select(indexes.standing).where(indexes.source == source)
        return self._database.scalar(standing_of) or ""

    def record_scan(
        self,
        source: str,
        buckets: Mapping[int, Sequence[bytes]],
        standing: str,
        *,
        whole: bool,
        kept: Mapping[str, bytes],
        dropped: Collection[str] = (),
        ready: Collection[str] = (),
        later: Mapping[str, datetime] | None = None,
    ) -> None:
        """Store what looking through a source found, all or nothing.

        `buckets` are those of its index that changed, packed, in pieces; an empty one is dropped.
        `whole`: so are all others.
        `kept` are packed VEVENTs by UID, `dropped` the UIDs of which nothing is left.
        `ready` need a look now, `later` ones not before a moment, unless they are ready before.
        """
        of_the_source = {"source": source}
        values = {"standing": standing}
        with self._gate.writing() as connection:
            tables.put(connection, tables.inventories, of_the_source, values)
            if whole:
                tables.remove(connection, tables.inventory_buckets, of_the_source)
            _replace_buckets(connection, source, buckets)
            _replace_kept(connection, source, kept, dropped)
            add_uids(connection, ready)
            if later:
                _add_uids_at(connection, later)

    def set_standing(self, source: str, standing: str) -> None:
        """Record how a source stands of which nothing could be read."""
        of_the_source = {"source": source}
        values = {"standing": standing}
        self._gate.put(tables.inventories, of_the_source, values)

    def forget_indexes(self) -> None:
        """Drop the indexes, so that all sources are looked through as if for the first time."""
        with self._gate.writing() as connection:
            connection.execute(delete(tables.inventories))
            connection.execute(delete(tables.inventory_buckets))

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

    def in_several_sources(self, uids: Collection[str]) -> frozenset[str]:
        """Return those of the UIDs of which events of several sources are kept."""
        by_uid = select(_KEPT.uid).group_by(_KEPT.uid).having(func.count() > 1)
        several: set[str] = set()
        for some in tables.in_chunks(list(uids)):
            several.update(self._database.scalars(by_uid.where(_KEPT.uid.in_(some))))
        return frozenset(several)

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
        """Replace the remarks on what is kept of these UIDs; an empty one is none."""
        of_the_source = update(tables.kept).where(_KEPT.source == source)
        of_the_uid = of_the_source.where(_KEPT.uid == bindparam("of"))
        change = of_the_uid.values(remarks=bindparam("said"))
        lines: list[dict[str, str | None]] = []
        for uid, remark in remarks.items():
            lines.append({"of": uid, "said": remark or None})
        self._gate.execute(change, lines)

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
        found = self._database.scalars(_READY.params(now=now))
        return frozenset(found)

    def next_ready(self, now: datetime) -> datetime | None:
        """Return when the next UID is ready that is deferred to a moment; None if there is none."""
        return self._database.scalar(_NEXT_READY.params(now=now))

    def require_anew(self, standing: str, configured: Collection[str]) -> None:
        """Give all sources this standing, and make the UIDs ready of which none of these keeps events.

        The UIDs of the others are made ready source by source, as each is heard.
        """
        has_events = select(_KEPT.uid).where(_KEPT.uid == _LINE.uid).exists()
        with self._gate.writing() as connection:
            connection.execute(update(tables.inventories).values(standing=standing))
            unkept = update(tables.agenda).where(_IS_DEFERRED, ~has_events)
            connection.execute(unkept.values(due_at=tables.EPOCH))
        kept_of = self._database.scalars(select(_KEPT.source).distinct())
        self.add_all(frozenset(kept_of).difference(configured))

    def add_all(
        self, sources: Collection[str] | None = None, *, booked: bool = False
    ) -> int:
        """Make all UIDs ready, or those of which events of some sources are kept; return how many were not.

        `booked`: only those that have current bookings.
        """
        change = update(tables.agenda).where(_IS_DEFERRED)
        if booked:
            known = select(tables.bookings.c.uid).where(tables.CURRENT)
            change = change.where(_LINE.uid.in_(known))
        if sources is not None:
            kept = select(_KEPT.uid).where(_KEPT.source.in_(sources))
            change = change.where(_LINE.uid.in_(kept))
        with self._gate.writing() as connection:
            return connection.execute(change.values(due_at=tables.EPOCH)).rowcount

    def make_ready(self, uids: Collection[str]) -> None:
        """Make UIDs ready."""
        if uids:
            with self._gate.writing() as connection:
                add_uids(connection, uids)
                self._gate.changes += 1

    def mark_planned(self, planned: Mapping[str, Skips]) -> None:
        """Let UIDs count as planned: what was decided about them waits to be carried out.

        Each comes with how many of its occurrences ask for no reservation.
        """
        if planned:
            lines = [_line_of(uid, skips) for uid, skips in planned.items()]
            self._gate.execute(_MARK_PLANNED, lines)
            self._gate.changes += 1

    def note_skips(self, skips: Mapping[str, Skips]) -> None:
        """Record how many occurrences of UIDs that are ready ask for no reservation; nothing for others."""
        lines = [_line_of(uid, why) for uid, why in skips.items()]
        if lines:
            self._gate.execute(_NOTE_SKIPS, lines)

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
        self._gate.execute(_MAKE_PLANNED_READY)
        self._gate.changes += 1

    def defer(
        self,
        deferred: Mapping[str, tuple[datetime | None, Skips]],
        *,
        over: Collection[str],
        at: datetime,
    ) -> None:
        """Defer UIDs to a moment (None: until they change); forget those that are over.

        Each comes with how many of its occurrences ask for no reservation.
        """
        lines = [
            _line_of(uid, skips) | {"due": due}
            for uid, (due, skips) in deferred.items()
        ]
        with self._gate.writing() as connection:
            if lines:
                connection.execute(_DEFER, lines)
            _forget_uids(connection, over)
            stored = put_fact(connection, DEFERRED_AT, at)
        self._facts.note(DEFERRED_AT, stored)
        self._gate.changes += 1


def _line_of(uid: str, skips: Skips) -> dict[str, object]:
    """Return what is stored of a UID that rests: how many of its occurrences are skipped, and why."""
    why = {reason.value: number for reason, number in skips.items()}
    told = json.dumps(why, sort_keys=True) if why else None
    return {"of": uid, "count": sum(why.values()), "why": told}


def add_uids(connection: Connection, uids: Iterable[str]) -> None:
    """Make UIDs ready, in the transaction of another store."""
    lines = [{"uid": uid} for uid in sorted(set(uids))]
    if lines:
        connection.execute(_ADD, lines)


def _add_uids_at(connection: Connection, later: Mapping[str, datetime]) -> None:
    """Make UIDs ready at a moment of each, unless they are ready before."""
    lines: list[dict[str, object]] = []
    for uid, moment in later.items():
        lines.append({"uid": uid, "due": epoch_ms(moment)})
    connection.execute(_ADD_AT, lines)


def _forget_uids(connection: Connection, uids: Iterable[str]) -> None:
    """Drop UIDs from the worklist, and what is kept of them."""
    gone = [{"gone": uid} for uid in uids]
    if not gone:
        return
    one_line = delete(tables.agenda).where(_LINE.uid == bindparam("gone"))
    kept_of_one = delete(tables.kept).where(_KEPT.uid == bindparam("gone"))
    connection.execute(one_line, gone)
    connection.execute(kept_of_one, gone)


def ready_uids(now: datetime) -> Select[Any]:
    """Return the query for the UIDs that are ready."""
    return select(_LINE.uid).where(_LINE.due_at <= now)


def forget_source(connection: Connection, name: str) -> None:
    """Drop what a source said, in the transaction of another store; its UIDs are ready."""
    of_the_source = select(_KEPT.uid).where(_KEPT.source == name)
    uids = connection.execute(of_the_source).scalars()
    add_uids(connection, uids)
    for table in (tables.kept, tables.inventories, tables.inventory_buckets):
        tables.remove(connection, table, {"source": name})


def _replace_buckets(
    connection: Connection, source: str, buckets: Mapping[int, Sequence[bytes]]
) -> None:
    """Replace some buckets of the index of a source; nothing is left of an empty one."""
    of_the_source = delete(tables.inventory_buckets).where(_BLOCK.source == source)
    of_one = of_the_source.where(_BLOCK.bucket == bindparam("of"))
    former = [{"of": number} for number in buckets]
    if former:
        connection.execute(of_one, former)
    for bucket, pieces in buckets.items():
        for number, block in enumerate(tables.in_blocks(pieces)):
            row = {
                "source": source,
                "bucket": bucket,
                "number": number,
                "packed": block,
            }
            connection.execute(insert(tables.inventory_buckets), row)


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
