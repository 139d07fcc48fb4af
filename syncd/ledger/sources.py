"""How the sources stood when they were looked at last, what is wrong in them, and what their feeds said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, insert, select, update

from syncd.core.feed import Body, Snapshot
from syncd.core.occurrence import Defect, count_quarantined
from syncd.core.reasons import Reason
from syncd.ledger import measurements, tables
from syncd.ledger.database import Database
from syncd.ledger.gate import WritingGate
from syncd.ledger.worklist import Worklist

_SOURCE = tables.sources.c
_BEFORE = select(_SOURCE.failures, _SOURCE.failing_since, _SOURCE.quarantined).where(
    _SOURCE.name == bindparam("source")
)
_OF_THE_NAME = update(tables.sources).where(_SOURCE.name == bindparam("of"))
_NEXT_RUN = _OF_THE_NAME.values(next_run_at=bindparam("due"))
_UNCHANGED = _OF_THE_NAME.values(
    state="unchanged",
    last_read_at=bindparam("at"),
    last_ok_at=bindparam("at"),
    next_run_at=bindparam("due"),
)
_INDEX = tables.inventories.c
# A look at what was read since, or at another index, proves nothing.
_UNCHANGED_SINCE = _UNCHANGED.values(daemon=bindparam("by")).where(
    _SOURCE.last_read_at <= bindparam("at"),
    exists().where(
        _INDEX.source == bindparam("of"), _INDEX.version == bindparam("known")
    ),
)
_LAST_READ_AT = select(_SOURCE.last_read_at).where(_SOURCE.name == bindparam("of"))
# Nobody asks for documents any more.
_UNREAD = {
    "events": 0,
    "documents": 0,
    "quarantined": 0,
}


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """How a source stood when it was last looked at.

    `state` is read, unchanged or unreadable; `failures` counts incomplete readings in a row.
    `failing_since` is when the first of these was made, None if the last one was complete.
    `last_ok_at` and `digest` are those of the last complete reading.
    When it cannot be read, `events` and `quarantined` stay what they were.
    `daemon` is who looked at it last, on a shared ledger.
    """

    name: str
    state: str
    last_read_at: datetime
    last_ok_at: datetime | None = None
    next_run_at: datetime | None = None
    events: int = 0
    quarantined: int = 0
    failures: int = 0
    failing_since: datetime | None = None
    digest: str | None = None
    error: str | None = None
    daemon: str = ""


# What a ledger in a file has of it: its one daemon needs no name.
_COLUMNS = [field.name for field in fields(SourceRecord) if field.name != "daemon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRecord:
    """How a reading of a source went, and the defects that it found; None: that is for others to find."""

    source: str
    at: datetime
    state: str
    complete: bool
    events: int
    digest: str
    error: str | None
    defects: Sequence[Defect] | None

    def values(self) -> dict[str, object]:
        """Return the columns that are known from the reading alone."""
        values: dict[str, object] = {
            "state": self.state,
            "last_read_at": self.at,
            "error": self.error,
        }
        if self.complete:
            values["last_ok_at"] = self.at
            values["digest"] = self.digest
        if self.is_read:
            values["events"] = self.events
        if self.is_read and self.defects is not None:
            values["quarantined"] = count_quarantined(self.defects)
        return values

    @property
    def is_read(self) -> bool:
        """Return whether anything could be read."""
        return self.state != "unreadable"


@dataclass(frozen=True, slots=True)
class UnchangedLook:
    """A look at a source that says the same as before, and when the next one is due."""

    source: str
    at: datetime
    next_run_at: datetime | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A defect that a source has now, and since when."""

    source: str
    defect: Defect
    first_seen_at: datetime


class Sources:
    """The store of the records of sources, of the quarantine, and of the state and the bodies of feeds.

    `daemon` is the name under which a shared ledger says who looked at a source last.
    """

    def __init__(
        self, database: Database, gate: WritingGate, worklist: Worklist
    ) -> None:
        self._database = database
        self._gate = gate
        self._worklist = worklist
        self.daemon = ""

    # Records

    def all(self) -> dict[str, SourceRecord]:
        """Return the records of all sources that were ever looked at and not forgotten, by name."""
        columns = [_SOURCE[name] for name in _COLUMNS]
        if self._database.is_shared:
            columns.append(_SOURCE.daemon)
        query = select(*columns).order_by(_SOURCE.name)
        records: dict[str, SourceRecord] = {}
        for values in self._database.mappings(query):
            record = SourceRecord(**values)
            records[record.name] = record
        return records

    def digests(self) -> dict[str, str]:
        """Return what identifies the bytes of the last complete readings, by source."""
        query = select(_SOURCE.name, _SOURCE.digest).where(_SOURCE.digest.is_not(None))
        return {row.name: row.digest for row in self._database.rows(query)}

    def record_readings(self, readings: Iterable[ReadingRecord]) -> None:
        """Store how readings went and the defects that they found; a defect seen before keeps its date.

        On a shared ledger nothing is stored of a source that was read since by another member.
        """
        with self._gate.writing() as connection:
            for reading in readings:
                if not self._database.is_shared:
                    _record_reading(connection, reading, {})
                elif self._is_the_latest(connection, reading):
                    _record_reading(connection, reading, {"daemon": self.daemon})

    def _is_the_latest(self, connection: Connection, reading: ReadingRecord) -> bool:
        """Tell whether a reading is of what the ledger has, and no older than the last one that is recorded."""
        if not self._worklist.is_current(connection, reading.source):
            return False
        of_the_source = {"of": reading.source}
        known = connection.execute(_LAST_READ_AT, of_the_source).scalar()
        return known is None or known <= reading.at

    def record_looks(self, looks: Iterable[UnchangedLook]) -> None:
        """Store that complete readings found nothing new; nothing for a source never looked at.

        On a shared ledger nothing is stored of a source that was read since by another member.
        """
        lines: list[dict[str, object]] = [
            {"of": look.source, "at": look.at, "due": look.next_run_at}
            for look in looks
        ]
        if lines and self._database.is_shared:
            self._gate.execute(_UNCHANGED_SINCE, [self._as_known(x) for x in lines])
        elif lines:
            self._gate.execute(_UNCHANGED, lines)

    def _as_known(self, line: Mapping[str, object]) -> dict[str, object]:
        """Return the line of a look with the version of the index that it looked at, and who did."""
        known = self._worklist.versions.version_of(str(line["of"]))
        return {**line, "known": known, "by": self.daemon}

    def record_next_runs(self, due: Mapping[str, datetime | None]) -> None:
        """Store when sources are due again, for those who ask; nothing for a source never looked at."""
        lines = [{"of": source, "due": at} for source, at in due.items()]
        if lines:
            self._gate.execute(_NEXT_RUN, lines)

    def forget(self, name: str) -> None:
        """Drop all that is known of a source; its bookings stay."""
        with self._gate.writing() as connection:
            # First, as all do who store what a source says.
            self._worklist.forget_source(connection, name)
            tables.remove(connection, tables.sources, {"name": name})
            for table in (tables.quarantine, tables.snapshots):
                tables.remove(connection, table, {"source": name})
            _replace_body(connection, name, None)
            measurements.forget_readings(connection, name)

    # The quarantine

    def record_defects(
        self, source: str, defects: Sequence[Defect], *, at: datetime
    ) -> None:
        """Store the defects of a source that was read before; nothing for a source never looked at."""
        of_the_name = update(tables.sources).where(_SOURCE.name == source)
        change = of_the_name.values(quarantined=count_quarantined(defects))
        with self._gate.writing() as connection:
            is_known = connection.execute(change).rowcount > 0
            if is_known:
                _replace_quarantine(connection, source, defects, at)

    def quarantine(self, source: str | None = None) -> tuple[Quarantined, ...]:
        """Return the defects that a source has now (None: all sources), by source, document and line."""
        c = tables.quarantine.c
        query = select(tables.quarantine)
        if source is not None:
            query = query.where(c.source == source)
        in_order = query.order_by(c.source, c.document, c.line, c.uid)
        with self._database.making_sense("The quarantine"):
            rows = self._database.rows(in_order)
            return tuple(_quarantined(row) for row in rows)

    # Feeds

    def snapshot(self, source: str) -> Snapshot | None:
        """Return what the feed of a source said last, without its body; None if it was never asked."""
        c = tables.snapshots.c
        columns = [c[field.name] for field in fields(Snapshot)]
        query = select(*columns).where(c.source == source)
        with self._database.making_sense("The snapshot of a feed"):
            for values in self._database.mappings(query):
                return Snapshot(**values)
        return None

    def body(self, source: str, digest: str) -> Body | None:
        """Return the kept body of a feed; None unless it is the one with that digest."""
        c = tables.bodies.c
        query = (
            select(c.packed)
            .where(c.source == source, c.digest == digest)
            .order_by(c.number)
        )
        blocks = self._database.scalars(query)
        if not blocks:
            return None
        return Body(digest, packed=b"".join(blocks))

    def keep_snapshot(
        self, source: str, snapshot: Snapshot, body: Body | None = None
    ) -> None:
        """Store what the feed of a source said, body and validators in one step.

        A body that is kept already is not written again, and need not be given; on a shared ledger nothing is
        stored without it when another member has kept another one meanwhile.
        """
        values: dict[str, object] = {}
        for field in fields(snapshot):
            values[field.name] = getattr(snapshot, field.name)
        c = tables.snapshots.c
        digest_of = select(c.digest).where(c.source == source).with_for_update()
        given = body.digest if body else ""
        with self._gate.writing() as connection:
            known = connection.execute(digest_of).scalar() or ""
            is_another = snapshot.digest != known
            if is_another and snapshot.digest != given:
                if self._database.is_shared and body is None:
                    return
                raise ValueError("a digest is kept together with its body")
            # First, so that another member waits with its body.
            of_the_source = {"source": source}
            tables.put(connection, tables.snapshots, of_the_source, values)
            if is_another:
                _replace_body(connection, source, body)


def _record_reading(
    connection: Connection, reading: ReadingRecord, more: Mapping[str, object]
) -> None:
    before = connection.execute(_BEFORE, {"source": reading.source}).first()
    failures = 0
    failing_since: datetime | None = None
    had_defects = False
    if before is not None:
        failures = before.failures
        failing_since = before.failing_since
        had_defects = before.quarantined > 0
    values = {**reading.values(), **more}
    values["failures"] = 0
    values["failing_since"] = None
    if not reading.complete:
        values["failures"] = failures + 1
        values["failing_since"] = failing_since or reading.at
    defects = reading.defects
    if reading.is_read and defects is not None and (defects or had_defects):
        _replace_quarantine(connection, reading.source, defects, reading.at)
    of_the_name = {"name": reading.source}
    tables.put(connection, tables.sources, of_the_name, values, _UNREAD)


def _quarantined(row: Row[Any]) -> Quarantined:
    defect = Defect(
        uid=row.uid,
        line=row.line,
        reason=Reason(row.reason),
        detail=row.detail,
        document=row.document,
        topic=row.topic,
        fingerprint=row.fingerprint,
    )
    return Quarantined(row.source, defect, row.first_seen_at)


def _replace_quarantine(
    connection: Connection, source: str, defects: Sequence[Defect], at: datetime
) -> None:
    """Make `defects` those of a source; one that was there before keeps the time when it was first seen."""
    c = tables.quarantine.c
    query = (
        select(tables.quarantine).where(c.source == source).order_by(c.first_seen_at)
    )
    stored = connection.execute(query).all()
    # The line moves when something above it is edited; the defect is the same.
    since: dict[tuple[str, str, str], datetime] = {}
    for row in stored:
        same = (row.document, row.uid, row.reason)
        since.setdefault(same, row.first_seen_at)
    wanted: list[dict[str, object]] = []
    for defect in defects:
        same = (defect.document, defect.uid, defect.reason)
        row_of_defect = {
            "source": source,
            "document": defect.document,
            "uid": defect.uid,
            "line": defect.line,
            "reason": defect.reason,
            "detail": defect.detail,
            "first_seen_at": since.get(same, at),
            "topic": defect.topic,
            "fingerprint": defect.fingerprint,
        }
        wanted.append(row_of_defect)
    known = [row._asdict() for row in stored]
    # A table has no order.
    if sorted(known, key=_place) == sorted(wanted, key=_place):
        return
    tables.remove(connection, tables.quarantine, {"source": source})
    if wanted:
        connection.execute(insert(tables.quarantine), wanted)


def _place(row: Mapping[str, Any]) -> tuple[str, str, int, str, str]:
    """Return the place of a row of the quarantine of a source among the others."""
    return (
        row["document"],
        row["uid"],
        row["line"],
        str(row["reason"]),
        row["detail"],
    )


def _replace_body(connection: Connection, source: str, body: Body | None) -> None:
    """Make a body that of the feed of a source; None: it has none."""
    tables.remove(connection, tables.bodies, {"source": source})
    if body is None:
        return
    for number, block in enumerate(tables.in_blocks([body.packed])):
        row = {
            "source": source,
            "digest": body.digest,
            "number": number,
            "packed": block,
        }
        connection.execute(insert(tables.bodies).values(row))
