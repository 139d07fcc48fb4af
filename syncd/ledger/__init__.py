"""What syncd knows, durable: bookings with their history, sources, quarantine, calls spent, approvals, facts.

Every method that writes is one transaction that is on disk when it returns; none stays open across calls.
So a booking whose intent was recorded survives a kill at any instruction.
What must never be (two current bookings of one meeting in one room, a booking without its reservation id)
is refused by constraints of the database; the tables are in `syncd.migrations`.
One process owns the ledger; others read it, and may leave approvals, while the owner runs.
No error of the database or of the file system leaves this package: each becomes a `LedgerError`.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import chain
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Row,
    Select,
    TextClause,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from syncd.core.booking import CLOSED_STATES, Booking, BookingState
from syncd.core.feed import Body, Snapshot
from syncd.core.occurrence import Defect, OccurrenceKey, count_quarantined
from syncd.core.reasons import Reason
from syncd.core.resolve import Decision, Verdict
from syncd.errors import LedgerBusy, LedgerError
from syncd.ledger import rows
from syncd.ledger.agenda import Agenda, due_bookings, open_uids
from syncd.ledger.database import Database, Patience
from syncd.ledger.underway import UnderWay

_REMEMBER = insert(rows.history)
_LATEST = select(func.max(rows.history.c.id))
_BEFORE = select(rows.sources.c.failures, rows.sources.c.quarantined).where(
    rows.sources.c.name == bindparam("source")
)
_APPROVALS = select(rows.approvals).order_by(rows.approvals.c.at, rows.approvals.c.checksum)
_DECISIONS = select(rows.decisions).order_by(rows.decisions.c.at, rows.decisions.c.booking)
_PUBLISHED = "published:"  # begins the fact that a file, named behind it, is ours to remove
_ADOPTED = "adopted"  # the fact that a ledger without history was compared with the API


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step in the life of a booking."""

    at: datetime
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """How a source stood when it was last looked at.

    `state` is read, unchanged or unreadable; `failures` counts incomplete readings in a row.
    `last_ok_at` and `digest` are those of the last complete reading.
    When it cannot be read, `events`, `documents` and `quarantined` stay what they were.
    """

    name: str
    state: str
    last_read_at: datetime
    last_ok_at: datetime | None = None
    next_run_at: datetime | None = None
    events: int = 0
    documents: int = 0
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


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's release of the held cancellations under a checksum."""

    checksum: str
    at: datetime
    approved_by: str
    spent: bool


class Ledger:
    """An open ledger; a context manager. Every method raises `LedgerError` when it cannot be trusted."""

    def __init__(self, database: Database, *, owner: bool) -> None:
        self._database = database
        # Its progress stands beside it too: a copy that knows less than was known is an old one, and one
        # without it came from elsewhere.
        progress, latest = self._database.progress, self._latest_history()
        self._put_back = progress > latest or (latest > 0 and progress == 0)
        self._uncounted: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()
        self._storing = threading.RLock()  # held while counted calls are neither here nor there
        self.agenda = Agenda(self._database.reading, self._writing, self._note_fact)
        self.under_way = UnderWay(database.companion(".underway") if owner else None)
        # Nobody but the owner sets any, and they are asked for again and again.
        self._facts: dict[str, str] | None = self._all_facts() if owner else None

    @classmethod
    def open(
        cls, url: str, *, owner: bool, patience_s: float = 5.0, patience: Patience | None = None
    ) -> Ledger:
        """Open the ledger at a database URL (`sqlite:////var/lib/syncd/state.db`).

        The owner creates the database, brings it to the current schema and holds it until `close`.
        Others see it as it is: an absent one is empty, nothing is created, and what they write is lost.
        A write waits `patience_s` seconds for that of another process, or as long as `patience` lasts;
        then it raises `LedgerBusy`.
        Raises `LedgerLocked` naming the owner, `LedgerTooNew`, else `LedgerError`.
        """
        return cls(Database(url, owner=owner, patience_s=patience_s, patience=patience), owner=owner)

    def close(self) -> None:
        """Store what is still in memory and give up ownership; closing twice does no harm."""
        try:
            if self._uncounted:
                with self._writing():
                    pass
        except LedgerBusy:
            pass  # whoever waited for it before was told; a few calls are not counted
        except LedgerError:
            if not self._is_lost():
                raise  # a ledger that is no longer its file was complained of before, and keeps no count
        finally:
            self.under_way.close()
            self._database.close()

    def _is_lost(self) -> bool:
        try:
            self._database.require_in_place()
        except LedgerError:
            return True
        return False

    def require_in_place(self) -> None:
        """Raise `LedgerError` when its files are no longer those of their names: moved, deleted, replaced."""
        self._database.require_in_place()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Bookings

    @property
    def fresh(self) -> bool:
        """Whether this ledger proves nothing about what it does not hold.

        No booking was ever recorded and none was looked for; or it is an old copy that was put back.
        """
        if self._put_back:
            return True
        if self.get_fact(_ADOPTED) is not None:
            return False
        with self._database.reading() as connection:
            return connection.execute(select(rows.generations.c.highest).limit(1)).first() is None

    def mark_adopted(self, at: datetime) -> None:
        """Remember that the API was asked what is booked already."""
        self.set_fact(_ADOPTED, at.isoformat())
        self._database.progress = self._latest_history()
        self._put_back = False

    def _latest_history(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(_LATEST).scalar() or 0)

    def current(self) -> tuple[Booking, ...]:
        """All bookings that are neither cancelled nor ended, by key and room."""
        return self._select(rows.CURRENT)

    def due(self, now: datetime) -> tuple[Booking, ...]:
        """The current bookings of the UIDs that need a look (see `Agenda`), by key and room."""
        return self._bookings(due_bookings(now))

    def unsettled(self, now: datetime) -> tuple[Booking, ...]:
        """Those of `due` that are not simply booked: they wait, or are in doubt, refused or ended in Tuya."""
        c = rows.bookings.c
        open_ones = or_(c.state != BookingState.BOOKED, c.reason.is_not(None), c.retry_at.is_not(None))
        return self._bookings(due_bookings(now).where(open_ones))

    def in_doubt(self, now: datetime) -> tuple[Booking, ...]:
        """Return the bookings that are `in_doubt`, by key and room; what is in doubt never rests."""
        return self._bookings(due_bookings(now).where(rows.IN_DOUBT))

    def holders(self, reservation_ids: Collection[str]) -> dict[str, Booking]:
        """The current bookings of these reservations, by reservation."""
        found = self._current_with(rows.bookings.c.reservation_id, reservation_ids)
        return {booking.reservation_id: booking for booking in found if booking.reservation_id}

    def concerned(self, uids: Collection[str], marks: Collection[str]) -> tuple[Booking, ...]:
        """The current bookings of these UIDs and those that carry these marks, each once."""
        c = rows.bookings.c
        found = chain(self._current_with(c.uid, uids), self._current_with(c.mark, marks))
        return tuple({booking.row: booking for booking in found}.values())

    def recorded(self, reservation_ids: Collection[str]) -> frozenset[str]:
        """Those of these reservations that any booking has or had."""
        wanted, c = list(reservation_ids), rows.bookings.c
        with self._database.reading() as connection:
            queries = (
                select(c.reservation_id).where(c.reservation_id.in_(some)) for some in rows.shares(wanted)
            )
            return frozenset(found for query in queries for found in connection.execute(query).scalars())

    def bookings(self) -> tuple[Booking, ...]:
        """All bookings that are remembered, closed ones too, by key, room and age."""
        return self._select(true())

    def bookings_of(self, *uids: str) -> tuple[Booking, ...]:
        """All bookings of these UIDs, closed ones too, by key, room and age."""
        c = rows.bookings.c
        found = chain.from_iterable(self._select(c.uid.in_(some)) for some in rows.shares(sorted(uids)))
        return tuple(sorted(found, key=lambda b: (b.key, b.room_id or "", b.row)))

    def cancels_since(self, since: datetime) -> tuple[Booking, ...]:
        """Bookings that were cancelled, or for which a cancel was sent, with evidence since then."""
        states = (BookingState.CANCELLING, BookingState.CANCELLED)
        recent = and_(rows.bookings.c.state.in_(states), rows.bookings.c.updated_at >= since)
        return tuple(b for b in self._select(recent) if b.evidence is not None)

    def history(self, row: int) -> tuple[HistoryEntry, ...]:
        """What happened to the booking with this row number, oldest first."""
        c = rows.history.c
        query = select(c.at, c.what, c.detail).where(c.booking == row).order_by(c.id)
        with self._database.reading() as connection:
            return tuple(HistoryEntry(*entry) for entry in connection.execute(query))

    def next_generations(self, keys: Collection[OccurrenceKey]) -> dict[OccurrenceKey, int]:
        """One more than the highest generation ever recorded for each occurrence, pruned too; 0 at first."""
        found = dict.fromkeys(keys, 0)
        # The scopes as well, because the index begins with them.
        scopes, uids = {key.scope for key in keys}, sorted({key.uid for key in keys})
        c = rows.generations.c
        with self._database.reading() as connection:
            for some in rows.shares(uids):
                query = select(rows.generations).where(c.scope.in_(scopes), c.uid.in_(some))
                for row in connection.execute(query):
                    key = OccurrenceKey(row.scope, row.uid, row.recurrence_id or None)
                    if key in found:
                        found[key] = row.highest + 1
        return found

    def raise_generation(self, key: OccurrenceKey, generation: int) -> None:
        """Remember a generation that was seen elsewhere, so that its mark is not given again."""
        with self._writing() as connection:
            rows.raise_generation(connection, key, generation)

    def record(self, *bookings: Booking, at: datetime, what: str, detail: str = "") -> tuple[Booking, ...]:
        """Store bookings, new ones (row 0) and changed ones, with a line of history each: all or none.

        Durable when it returns. Returns them as stored, with row number and `updated_at`, in their order.
        Raises `LedgerError` when another current booking holds the meeting's room, mark or reservation.
        """
        with self._writing() as connection:
            numbers = self._store(connection, bookings, updated_at=at)
            lines = [{"booking": row, "at": at, "what": what, "detail": detail} for row in numbers]
            if lines:
                connection.execute(_REMEMBER, lines)
            latest = connection.execute(_LATEST).scalar()
            stored = tuple(self._booking(rows.stored(connection, row)) for row in numbers)
        if not self._put_back:
            self._database.progress = int(latest or 0)
        return stored

    def amend(self, *bookings: Booking) -> None:
        """Store what is bookkeeping (counters, witnesses, when to retry) of recorded bookings: all or none.

        No line of history, and `updated_at` stays.
        """
        if not all(b.row for b in bookings):
            raise ValueError("a booking is recorded before it is amended")
        if bookings:
            with self._writing() as connection:
                self._store(connection, bookings)

    # Sources

    def sources(self) -> dict[str, SourceRecord]:
        """All sources that were ever looked at and not forgotten, by name."""
        query = select(rows.sources).order_by(rows.sources.c.name)
        with self._database.reading() as connection:
            return {found["name"]: SourceRecord(**found) for found in connection.execute(query).mappings()}

    def digest_of(self, source: str) -> str | None:
        """What identifies the bytes of a source's last complete reading; None if there was none."""
        with self._database.reading() as connection:
            query = select(rows.sources.c.digest).where(rows.sources.c.name == source)
            return connection.execute(query).scalar()

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
        documents: int = 0,
    ) -> None:
        """Store how a reading went and the defects that it found; a defect seen before keeps its date."""
        with self._writing() as connection:
            before = connection.execute(_BEFORE, {"source": source}).first()
            values: dict[str, object] = {
                "state": state,
                "last_read_at": at,
                "failures": 0 if complete else (before.failures if before else 0) + 1,
                "error": error,
            }
            unread = {"events": 0, "documents": 0, "quarantined": 0}
            if complete:
                values |= {"last_ok_at": at, "digest": digest}
            if state != "unreadable":
                values |= {
                    "events": events,
                    "documents": documents,
                    "quarantined": count_quarantined(defects),
                }
                if defects or (before and before.quarantined):
                    rows.replace_quarantine(connection, source, defects, at)
            rows.put(connection, rows.sources, {"name": source}, values, unread)

    def record_defects(self, source: str, defects: Sequence[Defect], *, at: datetime) -> None:
        """Store the defects of a source that was read before; nothing for a source never looked at."""
        with self._writing() as connection:
            known = connection.execute(
                update(rows.sources)
                .where(rows.sources.c.name == source)
                .values(quarantined=count_quarantined(defects))
            )
            if known.rowcount:
                rows.replace_quarantine(connection, source, defects, at)

    def record_next_run(self, source: str, at: datetime | None) -> None:
        """Store when a source is due again, for those who ask; nothing for a source never looked at."""
        with self._writing() as connection:
            connection.execute(
                update(rows.sources).where(rows.sources.c.name == source).values(next_run_at=at)
            )

    def quarantine(self, source: str | None = None) -> tuple[Quarantined, ...]:
        """The defects that a source has now (None: all sources), by source, document and line."""
        c = rows.quarantine.c
        query = select(rows.quarantine).order_by(c.source, c.document, c.line, c.uid)
        if source is not None:
            query = query.where(c.source == source)
        with self._making_sense("The quarantine"), self._database.reading() as connection:
            return tuple(
                Quarantined(
                    found.source,
                    Defect(found.uid, found.line, Reason(found.reason), found.detail, found.document),
                    found.first_seen_at,
                )
                for found in connection.execute(query)
            )

    def forget_source(self, name: str) -> None:
        """Drop a source's record, its defects and its snapshot; its bookings stay."""
        with self._writing() as connection:
            connection.execute(delete(rows.sources).where(rows.sources.c.name == name))
            connection.execute(delete(rows.quarantine).where(rows.quarantine.c.source == name))
            connection.execute(delete(rows.snapshots).where(rows.snapshots.c.source == name))
            rows.replace_body(connection, name, None)
            self.agenda.forget_source(connection, name)

    def snapshot(self, source: str) -> Snapshot | None:
        """What the feed of a source said last, without its body; None if it was never asked."""
        known = [rows.snapshots.c[field.name] for field in fields(Snapshot)]
        query = select(*known).where(rows.snapshots.c.source == source)
        with self._making_sense("The snapshot of a feed"), self._database.reading() as connection:
            found = connection.execute(query).mappings().first()
            return None if found is None else Snapshot(**found)

    def body(self, source: str, digest: str) -> Body | None:
        """The kept body of a feed; None unless it is the one with that digest."""
        with self._database.reading() as connection:
            return rows.body_of(connection, source, digest)

    def keep_snapshot(self, source: str, snapshot: Snapshot, body: Body | None = None) -> None:
        """Store what the feed of a source said, body and validators in one step.

        A body that is kept already is not written again, and need not be given.
        """
        values = {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}
        digest = select(rows.snapshots.c.digest).where(rows.snapshots.c.source == source)
        with self._writing() as connection:
            if snapshot.digest != (connection.execute(digest).scalar() or ""):
                if snapshot.digest != (body.digest if body else ""):
                    raise ValueError("a digest is kept together with its body")
                rows.replace_body(connection, source, body)
            rows.put(connection, rows.snapshots, {"source": source}, values)

    # Calls

    def count_call(self, method: str, at: datetime) -> None:
        """Count one API call; in memory until the next write or `close`, so a kill may lose a few.

        It never touches the disk: nothing may come between an answer and its `record`.
        """
        with self._counting:
            self._uncounted[_month(at), method] += 1

    def calls_in_month(self, at: datetime) -> int:
        """API calls in the calendar month (UTC) of a moment."""
        month = _month(at)
        query = select(func.sum(rows.calls.c.count)).where(rows.calls.c.month == month)
        with self._storing, self._counting:
            with self._database.reading() as connection:
                stored = int(connection.execute(query).scalar() or 0)
            return stored + sum(n for (when, _), n in self._uncounted.items() if when == month)

    # Facts, approvals, people

    def get_fact(self, name: str) -> str | None:
        """A small text that was set under a name."""
        if self._facts is None:
            with self._database.reading() as connection:
                return connection.execute(
                    select(rows.facts.c.value).where(rows.facts.c.name == name)
                ).scalar()
        return self._facts.get(name)

    def _all_facts(self) -> dict[str, str]:
        with self._database.reading() as connection:
            return {row.name: row.value for row in connection.execute(select(rows.facts))}

    def set_fact(self, name: str, value: str) -> None:
        """Remember a small text under a name, in place of the one before."""
        with self._writing() as connection:
            rows.put(connection, rows.facts, {"name": name}, {"value": value})
        self._note_fact(name, value)

    def published(self) -> dict[str, str]:
        """The directories of the attachments that were published here, by file name."""
        facts = self._all_facts() if self._facts is None else self._facts
        return {
            name.removeprefix(_PUBLISHED): value
            for name, value in facts.items()
            if name.startswith(_PUBLISHED)
        }

    def note_published(self, filename: str, folder: str) -> None:
        """Remember that a file in this directory is ours to remove; before it is written."""
        self.set_fact(f"{_PUBLISHED}{filename}", folder)

    def forget_published(self, filename: str) -> None:
        """Remember a published file no more."""
        with self._writing() as connection:
            connection.execute(delete(rows.facts).where(rows.facts.c.name == f"{_PUBLISHED}{filename}"))
        if self._facts is not None:
            self._facts.pop(f"{_PUBLISHED}{filename}", None)

    def attached(self) -> str:
        """The contents, as JSON texts, of all bookings that have attachments and are not given up."""
        c = rows.bookings.c
        given_up = or_(
            c.state == BookingState.RELEASED,
            and_(c.state == BookingState.REFUSED, c.reservation_id.is_(None)),
        )
        with_some = or_(c.content.contains('"attachments":[{'), c.pending.contains('"attachments":[{'))
        with self._database.reading() as connection:
            found = connection.execute(select(c.content, c.pending).where(rows.CURRENT, ~given_up, with_some))
            return "\n".join(text for row in found for text in row if text)

    def _note_fact(self, name: str, value: str) -> None:
        if self._facts is not None:
            self._facts[name] = value

    def approve(self, checksum: str, at: datetime, user: str) -> None:
        """Release the held cancellations under a checksum; also again, after it was spent."""
        with self._writing() as connection:
            rows.put(
                connection,
                rows.approvals,
                {"checksum": checksum},
                {"at": at, "approved_by": user, "spent": False},
            )

    def approvals(self) -> tuple[Approval, ...]:
        """All approvals still remembered, oldest first."""
        with self._database.reading() as connection:
            return tuple(Approval(**found) for found in connection.execute(_APPROVALS).mappings())

    def approved(self) -> frozenset[str]:
        """Checksums that were approved and not carried out yet."""
        return frozenset(a.checksum for a in self.approvals() if not a.spent)

    def spend_approval(self, checksum: str) -> None:
        """Remember that an approval was carried out: it does not count again."""
        with self._writing() as connection:
            spent = update(rows.approvals).where(rows.approvals.c.checksum == checksum).values(spent=True)
            connection.execute(spent)

    def decide(self, *decisions: Decision) -> None:
        """Leave a person's decisions to the next cycle, each in place of one before: all or none."""
        with self._writing() as connection:
            for decision in decisions:
                values = {
                    "verdict": decision.verdict,
                    "reservation_id": decision.reservation_id,
                    "decided_by": decision.decided_by,
                    "at": decision.at,
                }
                rows.put(connection, rows.decisions, {"booking": decision.booking}, values)

    def decisions(self) -> tuple[Decision, ...]:
        """The decisions that no cycle has carried out yet, oldest first."""
        with self._making_sense("A decision"), self._database.reading() as connection:
            return tuple(
                Decision(d.booking, Verdict(d.verdict), d.reservation_id, d.decided_by, d.at)
                for d in connection.execute(_DECISIONS)
            )

    def drop_decision(self, booking: int) -> None:
        """Forget the decision about a booking, because it was carried out."""
        with self._writing() as connection:
            connection.execute(delete(rows.decisions).where(rows.decisions.c.booking == booking))

    def person(self, address: str, not_before: datetime) -> tuple[bool, str | None]:
        """Whether the directory was asked for an address since a moment, and the user id that it gave."""
        query = select(rows.people.c.user_id).where(
            rows.people.c.address == address, rows.people.c.at >= not_before
        )
        with self._database.reading() as connection:
            found = connection.execute(query).first()
        return (False, None) if found is None else (True, found.user_id)

    def remember_person(self, address: str, user_id: str | None, at: datetime) -> None:
        """Store what the directory answered for an address; None: it knows nobody."""
        with self._writing() as connection:
            rows.put(connection, rows.people, {"address": address}, {"user_id": user_id, "at": at})

    def prune(self, before: datetime) -> int:
        """Forget what has been over since before a moment; returns the number of bookings forgotten.

        That is closed bookings with their history, counts of calls, approvals, answers of the directory.
        Generations stay, so that no mark is ever given twice.
        """
        closed = and_(rows.bookings.c.state.in_(sorted(CLOSED_STATES)), rows.bookings.c.updated_at < before)
        with self._writing() as connection:
            forgotten = connection.execute(delete(rows.bookings).where(closed)).rowcount
            connection.execute(delete(rows.calls).where(rows.calls.c.month < _month(before)))
            connection.execute(delete(rows.approvals).where(rows.approvals.c.at < before))
            connection.execute(delete(rows.people).where(rows.people.c.at < before))
        if not self._put_back:
            self._database.progress = self._latest_history()
        return forgotten

    # Inside

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that stores the calls counted since the last one besides."""
        with self._storing:
            with self._counting:
                counted, self._uncounted = self._uncounted, Counter()
            try:
                with self._database.writing() as connection:
                    yield connection
                    rows.add_calls(connection, counted)
            except BaseException:
                with self._counting:
                    self._uncounted.update(counted)
                raise

    def _store(self, connection: Connection, bookings: Sequence[Booking], **also: object) -> list[int]:
        try:
            open_uids(connection, (booking.key.uid for booking in bookings))
            return rows.store(connection, bookings, also)
        except LookupError as error:
            raise LedgerError(
                f"Booking {error} is no longer in the ledger: run the cycle again, it reads the ledger anew."
            ) from None

    def _current_with(self, one: ColumnClause[str], values: Collection[str]) -> Iterator[Booking]:
        """The current bookings with one of these values in a column that has an index."""
        for some in rows.shares(sorted(values)):
            yield from self._select(and_(one.in_(some), rows.CURRENT))

    def _select(self, condition: ColumnElement[bool] | TextClause) -> tuple[Booking, ...]:
        return self._bookings(select(rows.bookings).where(condition))

    def _bookings(self, query: Select[Any]) -> tuple[Booking, ...]:
        with self._database.reading() as connection:
            # One at a time: there may be many, and as rows they are as large again.
            bookings = [self._booking(row) for row in connection.execute(query)]
        return tuple(sorted(bookings, key=lambda b: (b.key, b.room_id or "", b.row)))

    def _booking(self, found: Row[Any]) -> Booking:
        with self._making_sense(f"Booking {found.row}"):
            return rows.booking_of(found)

    @contextlib.contextmanager
    def _making_sense(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise self._database.unreadable(what) from error


def _count(defects: Sequence[Defect]) -> int:
    """Return how many events have defects; one event may have several."""
    return len({(defect.document, defect.uid, defect.line) for defect in defects})


def _month(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m")
