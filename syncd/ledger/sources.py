"""How the sources stood when they were looked at last, what is wrong in them, and what their feeds said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, text, update

from syncd.core.feed import Body, Snapshot
from syncd.core.occurrence import Defect, count_quarantined
from syncd.core.reasons import Reason
from syncd.ledger import tables, worklist
from syncd.ledger.database import Database
from syncd.ledger.gate import WritingGate

_BEFORE = select(tables.sources.c.failures, tables.sources.c.quarantined).where(
    tables.sources.c.name == bindparam("source")
)
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
    `last_ok_at` and `digest` are those of the last complete reading.
    When it cannot be read, `events` and `quarantined` stay what they were.
    """

    name: str
    state: str
    last_read_at: datetime
    last_ok_at: datetime | None = None
    next_run_at: datetime | None = None
    events: int = 0
    quarantined: int = 0
    failures: int = 0
    digest: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A defect that a source has now, and since when."""

    source: str
    defect: Defect
    first_seen_at: datetime


class Sources:
    """The store of the records of sources, of the quarantine, and of the state and the bodies of feeds."""

    def __init__(self, database: Database, gate: WritingGate) -> None:
        self._database = database
        self._gate = gate

    # Records

    def all(self) -> dict[str, SourceRecord]:
        """Return the records of all sources that were ever looked at and not forgotten, by name."""
        c = tables.sources.c
        query = select(*(c[field.name] for field in fields(SourceRecord))).order_by(
            c.name
        )
        records = [SourceRecord(**found) for found in self._database.mappings(query)]
        return {record.name: record for record in records}

    def digest_of(self, source: str) -> str | None:
        """Return what identifies the bytes of a source's last complete reading; None if there was none."""
        c = tables.sources.c
        return self._database.scalar(select(c.digest).where(c.name == source))

    def record_reading(
        self,
        source: str,
        *,
        at: datetime,
        state: str,
        complete: bool,
        events: int,
        digest: str,
        error: str | None,
        defects: Sequence[Defect],
    ) -> None:
        """Store how a reading went and the defects that it found; a defect seen before keeps its date."""
        values: dict[str, object] = {"state": state, "last_read_at": at, "error": error}
        if complete:
            values |= {"last_ok_at": at, "digest": digest}
        is_read = state != "unreadable"
        if is_read:
            values |= {"events": events, "quarantined": count_quarantined(defects)}
        with self._gate.writing() as connection:
            before = connection.execute(_BEFORE, {"source": source}).first()
            failures = before.failures if before else 0
            values["failures"] = 0 if complete else failures + 1
            if is_read and (defects or (before and before.quarantined)):
                _replace_quarantine(connection, source, defects, at)
            tables.put(connection, tables.sources, {"name": source}, values, _UNREAD)

    def record_next_run(self, source: str, at: datetime | None) -> None:
        """Store when a source is due again, for those who ask; nothing for a source never looked at."""
        change = update(tables.sources).where(tables.sources.c.name == source)
        self._gate.execute(change.values(next_run_at=at))

    def forget(self, name: str) -> None:
        """Drop all that is known of a source; its bookings stay."""
        with self._gate.writing() as connection:
            connection.execute(
                delete(tables.sources).where(tables.sources.c.name == name)
            )
            connection.execute(
                delete(tables.quarantine).where(tables.quarantine.c.source == name)
            )
            connection.execute(
                delete(tables.snapshots).where(tables.snapshots.c.source == name)
            )
            _replace_body(connection, name, None)
            worklist.forget_source(connection, name)

    # The quarantine

    def record_defects(
        self, source: str, defects: Sequence[Defect], *, at: datetime
    ) -> None:
        """Store the defects of a source that was read before; nothing for a source never looked at."""
        change = update(tables.sources).where(tables.sources.c.name == source)
        with self._gate.writing() as connection:
            known = connection.execute(
                change.values(quarantined=count_quarantined(defects))
            )
            if known.rowcount:
                _replace_quarantine(connection, source, defects, at)

    def quarantine(self, source: str | None = None) -> tuple[Quarantined, ...]:
        """Return the defects that a source has now (None: all sources), by source, document and line."""
        c = tables.quarantine.c
        query = select(tables.quarantine).order_by(c.source, c.document, c.line, c.uid)
        if source is not None:
            query = query.where(c.source == source)
        with self._database.making_sense("The quarantine"):
            return tuple(_quarantined(row) for row in self._database.rows(query))

    # Feeds

    def snapshot(self, source: str) -> Snapshot | None:
        """Return what the feed of a source said last, without its body; None if it was never asked."""
        known = [tables.snapshots.c[field.name] for field in fields(Snapshot)]
        query = select(*known).where(tables.snapshots.c.source == source)
        with self._database.making_sense("The snapshot of a feed"):
            found = [Snapshot(**said) for said in self._database.mappings(query)]
        return found[0] if found else None

    def body(self, source: str, digest: str) -> Body | None:
        """Return the kept body of a feed; None unless it is the one with that digest."""
        c = tables.bodies.c
        query = (
            select(c.packed)
            .where(c.source == source, c.digest == digest)
            .order_by(c.number)
        )
        packed = b"".join(self._database.scalars(query))
        return Body(digest, packed) if packed else None

    def keep_snapshot(
        self, source: str, snapshot: Snapshot, body: Body | None = None
    ) -> None:
        """Store what the feed of a source said, body and validators in one step.

        A body that is kept already is not written again, and need not be given.
        """
        values = {
            field.name: getattr(snapshot, field.name) for field in fields(snapshot)
        }
        digest = select(tables.snapshots.c.digest).where(
            tables.snapshots.c.source == source
        )
        with self._gate.writing() as connection:
            known = connection.execute(digest).scalar() or ""
            if snapshot.digest != known:
                given = body.digest if body else ""
                if snapshot.digest != given:
                    raise ValueError("a digest is kept together with its body")
                _replace_body(connection, source, body)
            tables.put(connection, tables.snapshots, {"source": source}, values)


def _quarantined(row: Row[Any]) -> Quarantined:
    return Quarantined(
        row.source,
        Defect(
            uid=row.uid,
            line=row.line,
            reason=Reason(row.reason),
            detail=row.detail,
            document=row.document,
        ),
        row.first_seen_at,
    )


def _replace_quarantine(
    connection: Connection, source: str, defects: Sequence[Defect], at: datetime
) -> None:
    """Make `defects` those of a source; one that was there before keeps the time when it was first seen."""
    c = tables.quarantine.c
    query = (
        select(tables.quarantine)
        .where(c.source == source)
        .order_by(c.first_seen_at, text("rowid"))
    )
    stored = connection.execute(query).all()
    # The line moves when something above it is edited; the defect is the same.
    since: dict[tuple[str, str, str], datetime] = {}
    for row in stored:
        since.setdefault((row.document, row.uid, row.reason), row.first_seen_at)
    wanted = [
        {
            "source": source,
            "document": defect.document,
            "uid": defect.uid,
            "line": defect.line,
            "reason": defect.reason,
            "detail": defect.detail,
            "first_seen_at": since.get(
                (defect.document, defect.uid, defect.reason), at
            ),
        }
        for defect in defects
    ]
    if [row._asdict() for row in stored] == wanted:
        return
    connection.execute(delete(tables.quarantine).where(c.source == source))
    if wanted:
        connection.execute(insert(tables.quarantine), wanted)


def _replace_body(connection: Connection, source: str, body: Body | None) -> None:
    """Make a body that of the feed of a source; None: it has none."""
    c = tables.bodies.c
    connection.execute(delete(tables.bodies).where(c.source == source))
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
