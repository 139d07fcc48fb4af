"""Moves a whole ledger into another database, of either kind, and proves that it is the same there.

Both are owned meanwhile. Promises: the ledger that is moved stays as it is; a table arrives as a whole or not
at all, so a kill at any moment leaves what the same command completes; until all is verified nobody works on
the new one (`MOVING`); one that holds anything else is left alone, and one that is equal already is not
written to.

Two tables are equal when they have as many rows and the sums over the digests of their rows agree: a sum asks
for no order, and each engine has its own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    ColumnClause,
    Connection,
    LargeBinary,
    Select,
    TableClause,
    Text,
    column,
    delete,
    func,
    insert,
    inspect,
    select,
    table,
    text,
)

from syncd.core.leases import writer_lease
from syncd.errors import LedgerError, LedgerMisplaced, TermOver
from syncd.ledger import tables
from syncd.ledger.address import LedgerAddress
from syncd.ledger.database import Database
from syncd.ledger.facts import MOVING, RECOVERY, put_fact, require_whole
from syncd.ledger.files import has_bytes
from syncd.ledger.holding import WriterTerm, hold_lease, require_nobody
from syncd.ledger.leases import LeaseStore
from syncd.ledger.local_notes import LocalNotes

_WAIT_S = 30.0  # for another program that keeps a file locked
# What is of the database itself, and of the processes that run now.
_LEFT_OUT = frozenset({"alembic_version", "daemons", "leases", "terms", "refreshes"})
# What only a shared ledger has: a file has one process that knows it. It begins with its defaults.
_OF_SEVERAL = {
    "inventories": {"version", "made_by", "read_at"},
    "agenda": {"news"},
    "sources": {"daemon"},
}
_INDEXES = table("inventories", column("made_by", Text))
_NUMBERED = {"bookings": "row", "history": "id", "cycles": "id", "outbox": "id"}
_LEASES = table("leases", column("name", Text))
# Rows at a time; one with a text of a calendar may have a megabyte.
_AT_ONCE, _LARGE_AT_ONCE = 5_000, 50
_SUMS = 1 << 256

Told = Callable[[str, int], object]
"""Is told of each table that was copied, and how many rows it has."""


@dataclass(frozen=True, slots=True)
class MovedTable:
    """A table of the ledger, how many rows it has, and whether they had to be copied."""

    name: str
    rows: int
    is_copied: bool


@dataclass(frozen=True, slots=True)
class MoveReport:
    """What was moved; nothing was written if the new ledger was equal already."""

    tables: tuple[MovedTable, ...]
    wrote: bool

    def rows(self, name: str | None = None) -> int:
        """Return how many rows a table has, or all together."""
        return sum(one.rows for one in self.tables if name in (None, one.name))


def move(
    source: LedgerAddress,
    target: LedgerAddress,
    told: Told,
    *,
    client_id: str | None = None,
) -> MoveReport:
    """Copy the ledger at `source` to `target` and verify it there; return what was done.

    `client_id` is that of the API whose writer must not begin meanwhile, besides those that are known there.
    Raises `LedgerLocked` while one of them has an owner, `LedgerAway` when one cannot be reached, and
    `LedgerError` when there is nothing to move, or when the new one holds something else.
    """
    if source.name == target.name:
        raise LedgerMisplaced(
            f"Both addresses name the ledger {source.name}: name another file or another database as the new one."
        )
    if source.file is not None and not has_bytes(source.file):
        raise LedgerError(
            f"There is no ledger at {source.name}, so nothing is moved: correct the first address."
        )
    with _owned(source, client_id, creates=False) as old:
        require_whole(old.database, source.name)
        if old.lost:
            raise LedgerError(
                f"{old.lost} So {source.name} is not moved: run `syncd once` on it first, which asks the API "
                "what is booked."
            )
        with _owned(target, client_id, creates=True) as new:
            return _Move(old, new).carried_out(told)


class _Owned:
    """A database of which nobody else may be the owner, or write; `leases` are held on a shared one.

    `lost` says why it may lack what it had, if this machine knows that it had more.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lost = ""
        self._leases: list[WriterTerm] = []
        self._notes: LocalNotes | None = None

    @contextlib.contextmanager
    def held(self, client_id: str | None) -> Iterator[Self]:
        """Hold the leases of a shared one while the block lasts; raise `LedgerLocked`."""
        if not self.database.is_shared:
            yield self
            return
        self._notes = LocalNotes(self.database.address)
        with contextlib.ExitStack() as stack:
            for name in _lease_names(self.database, client_id):
                store = LeaseStore(self.database, name)
                require_nobody(store.look(), self.name)
                holding = hold_lease(store, self._notes, self.name)
                self._leases.append(stack.enter_context(holding))
            self.lost = self._notes.compare(self._leases[0].position)
            yield self

    @property
    def name(self) -> str:
        """Return what the ledger is called in what people read."""
        return self.database.address.name

    @property
    def latest(self) -> int:
        """Return the number of the last line of history; 0 if there is none."""
        return self.database.scalar(select(func.max(tables.history.c.id))) or 0

    def proves_what_it_lacks(self) -> bool:
        """Tell whether it is the ledger that this machine knew last, and not one that was put back."""
        known = self.database.progress
        c = tables.facts.c
        recovering = select(c.value).where(c.name == RECOVERY.name)
        if known > self.latest or self.database.scalar(recovering):
            return False
        return known > 0 or self.latest == 0

    def take_for_latest(self, progress: int) -> None:
        """Let it be the ledger that this machine knew last; 0: one that came from elsewhere."""
        if self._notes is not None:
            self._notes.settle()
        self.database.progress = progress

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; raise `TermOver` when somebody else has taken it."""
        with self.database.writing() as connection:
            for lease in self._leases:
                lease.fence.require(connection, asks=False)
            yield connection

    def require_held(self) -> None:
        """Raise `TermOver` when somebody else may have worked on it meanwhile."""
        if not all(lease.renew() for lease in self._leases):
            raise TermOver(
                f"Another process took over the ledger {self.name} while it was moved: stop it, and run the same "
                "command again."
            )


@contextlib.contextmanager
def _owned(
    address: LedgerAddress, client_id: str | None, *, creates: bool
) -> Iterator[_Owned]:
    """Own a database of this version while the block lasts; raise `LedgerLocked`, else `LedgerError`."""
    database = Database(address, owner=True, patience_s=_WAIT_S, creates=creates)
    with contextlib.closing(database), _Owned(database).held(client_id) as owned:
        yield owned


def _lease_names(database: Database, client_id: str | None) -> list[str]:
    """Return the leases without which somebody could write: those that were ever held, and one for the client."""
    names = set(database.scalars(select(_LEASES.c.name)))
    if client_id is not None or not names:
        names.add(writer_lease(client_id or ""))
    return sorted(names)


@dataclass(frozen=True, slots=True)
class _Content:
    """What tells the rows of a table from others: their number, and the sum of their digests."""

    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """A table in both databases."""

    name: str
    old: TableClause
    new: TableClause

    @property
    def at_once(self) -> int:
        """Return how many rows are held in memory."""
        is_large = any(isinstance(one.type, LargeBinary) for one in self.old.c)
        return _LARGE_AT_ONCE if is_large else _AT_ONCE


class _Move:
    """A move from one open ledger to another."""

    def __init__(self, old: _Owned, new: _Owned) -> None:
        self._source = old
        self._target = new
        self._old = old.database
        self._new = new.database
        self._mark = hashlib.sha256(old.name.encode()).hexdigest()[:16]
        self._pairs = self._paired()

    def carried_out(self, told: Told) -> MoveReport:
        """Copy what differs, verify all, and return the report."""
        wanted = {pair.name: self._wanted(pair) for pair in self._pairs}
        found = {pair.name: self._found(pair) for pair in self._pairs}
        mark = self._mark_found()
        if mark is None and wanted == found:
            return self._report(wanted, copied=frozenset(), wrote=False)
        self._require_ours(mark, found)
        self._require_one_reading()
        with self._target.writing() as connection:
            put_fact(connection, MOVING, self._mark)
        copied: set[str] = set()
        for pair in self._pairs:
            # Its rows may have gone with those that they hang on.
            if self._found(pair) != wanted[pair.name]:
                self._copy(pair)
                copied.add(pair.name)
                told(pair.name, wanted[pair.name].rows)
        self._continue_numbers()
        self._verify()
        self._source.require_held()
        self._keep_proof()
        with self._target.writing() as connection:
            tables.remove(connection, tables.facts, {"name": MOVING.name})
        return self._report(wanted, copied=copied, wrote=True)

    def _report(
        self,
        contents: Mapping[str, _Content],
        *,
        copied: frozenset[str] | set[str],
        wrote: bool,
    ) -> MoveReport:
        moved = [
            MovedTable(name, content.rows, name in copied)
            for name, content in contents.items()
        ]
        return MoveReport(tuple(moved), wrote)

    # What is there

    def _paired(self) -> tuple[_Pair, ...]:
        """Return the tables to be moved, those before on which others hang."""
        left_out = {} if self._old.is_shared and self._new.is_shared else _OF_SEVERAL
        with self._old.reading() as connection:
            old = _tables_of(connection, left_out)
        with self._new.reading() as connection:
            new = _tables_of(connection, left_out)
        pairs: list[_Pair] = []
        for name, one in old.items():
            other = new.get(name)
            if other is None or set(one.c.keys()) != set(other.c.keys()):
                raise LedgerError(
                    f"The table {name} of the ledger {self._source.name} does not fit {self._target.name}: "
                    "report this as a defect of syncd."
                )
            pairs.append(_Pair(name, one, other))
        return tuple(pairs)

    def _mark_found(self) -> str | None:
        """Return whose ledger the new one is becoming; None if it is none that is on its way."""
        c = tables.facts.c
        return self._new.scalar(select(c.value).where(c.name == MOVING.name))

    def _require_ours(self, mark: str | None, found: Mapping[str, _Content]) -> None:
        """Raise `LedgerError` if the new ledger holds anything but a part of the one that is moved."""
        if mark == self._mark:
            return
        if mark is not None:
            raise LedgerError(
                f"{self._target.name} holds a part of another ledger, whose move did not end: complete that one, "
                "or name an empty database or a new file."
            )
        filled = [name for name, content in found.items() if content.rows]
        if filled:
            raise LedgerError(
                f"{self._target.name} holds another ledger already ({', '.join(filled)}), which is not replaced: "
                "name an empty database or a new file."
            )

    def _require_one_reading(self) -> None:
        """Raise `LedgerError` if a file would not know that some indexes are of another configuration."""
        if not self._old.is_shared or self._new.is_shared:
            return
        made_by = select(_INDEXES.c.made_by).where(_INDEXES.c.made_by != "").distinct()
        if len(self._old.scalars(made_by)) > 1:
            raise LedgerError(
                f"Some sources of {self._source.name} were read by another configuration or version than others: "
                "run `syncd once` on it first, which reads all."
            )

    def _wanted(self, pair: _Pair) -> _Content:
        """Return what the rows of a table are as the new ledger has them."""
        return _content_of(self._old, self._rows_of(pair.old, pair), pair, self._fitted)

    def _found(self, pair: _Pair) -> _Content:
        return _content_of(self._new, self._rows_of(pair.new, pair), pair, tuple)

    @staticmethod
    def _rows_of(one: TableClause, pair: _Pair) -> Select[tuple[object, ...]]:
        # By name, because engines add columns in different places.
        query = select(*(one.c[name] for name in sorted(pair.old.c.keys())))
        if pair.name == tables.facts.name:
            return query.where(one.c.name != MOVING.name)
        return query

    def _fitted(self, row: Sequence[object]) -> tuple[object, ...]:
        """Return a row as the new ledger has it."""
        if not self._new.is_shared:
            return tuple(row)
        return tuple(map(_without_nul, row))

    # What is written

    def _copy(self, pair: _Pair) -> None:
        """Replace all rows of a table, in one transaction."""
        names = sorted(pair.old.c.keys())
        replaced = delete(pair.new)
        if pair.name == tables.facts.name:
            replaced = replaced.where(pair.new.c.name != MOVING.name)
        with self._old.reading() as reading, self._target.writing() as writing:
            writing.execute(replaced)
            found = reading.execute(
                self._rows_of(pair.old, pair),
                execution_options={"yield_per": pair.at_once},
            )
            for rows in found.partitions():
                lines = [
                    dict(zip(names, self._fitted(row), strict=True)) for row in rows
                ]
                writing.execute(insert(pair.new), lines)

    def _continue_numbers(self) -> None:
        """Let the new ledger give no number that the old one gave."""
        for name, counted in _NUMBERED.items():
            with self._old.reading() as connection:
                given = _highest_given(connection, name, counted)
            with self._new.reading() as connection:
                is_behind = _highest_given(connection, name, counted) < given
            if is_behind:
                with self._target.writing() as connection:
                    _give_from(connection, name, counted, given)

    def _verify(self) -> None:
        """Raise `LedgerError` unless both ledgers are equal now."""
        for pair in self._pairs:
            if self._wanted(pair) != self._found(pair):
                raise LedgerError(
                    f"The table {pair.name} changed while the ledger {self._source.name} was moved: run the same "
                    "command again, which completes it, and approve nothing meanwhile."
                )

    def _keep_proof(self) -> None:
        """Let the new ledger prove as much as the old one of what is not in it."""
        is_proof = self._source.proves_what_it_lacks()
        self._target.take_for_latest(self._source.latest if is_proof else 0)


def _content_of(
    database: Database,
    query: Select[tuple[object, ...]],
    pair: _Pair,
    fitted: Callable[[Sequence[object]], tuple[object, ...]],
) -> _Content:
    rows, checksum = 0, 0
    with database.reading() as connection:
        found = connection.execute(query, execution_options={"yield_per": pair.at_once})
        for row in found:
            said = repr(tuple(map(_plain, fitted(row))))
            digest = hashlib.sha256(said.encode()).digest()
            checksum += int.from_bytes(digest)
            rows += 1
    return _Content(rows, checksum % _SUMS)


def _plain(value: object) -> object:
    """Return what stands for a value, the same on every engine."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, bytes):
        return hashlib.sha256(value).digest()
    return value


def _without_nul(value: object) -> object:
    """Return a value as PostgreSQL takes it."""
    return tables.without_nul(value) if isinstance(value, str) else value


def _tables_of(
    connection: Connection, left_out: Mapping[str, Collection[str]]
) -> dict[str, TableClause]:
    """Return the tables that are moved with the columns that are written, parents first."""
    inspector = inspect(connection)
    found: dict[str, TableClause] = {}
    for name, _ in inspector.get_sorted_table_and_fkc_names():
        if name is None or name in _LEFT_OUT:
            continue
        unwritten = left_out.get(name, ())
        written: list[ColumnClause[Any]] = [
            column(one["name"], one["type"])
            for one in inspector.get_columns(name)
            if "computed" not in one and one["name"] not in unwritten
        ]
        found[name] = table(name, *written)
    return found


def _highest_given(connection: Connection, name: str, counted: str) -> int:
    """Return the highest number that a table has given to a row, also to one that is gone."""
    if connection.dialect.name == "postgresql":
        sequence = _sequence(connection, name, counted)
        given = connection.execute(
            text(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608  # named by the server
        ).one()
        return int(given.last_value) if given.is_called else int(given.last_value) - 1
    rows = table(name, column(counted))
    highest = connection.execute(select(func.max(rows.c[counted]))).scalar() or 0
    known = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    kept = connection.execute(known, {"name": name}).scalar() or 0
    return max(int(highest), int(kept))


def _give_from(connection: Connection, name: str, counted: str, given: int) -> None:
    """Let a table give numbers above one from now on."""
    if connection.dialect.name == "postgresql":
        sequence = _sequence(connection, name, counted)
        connection.execute(
            text("SELECT setval(:sequence, :given)"),
            {"sequence": sequence, "given": given},
        )
        return
    if name != tables.bookings.name:
        return  # it goes on from the highest row that it has
    at_number = {"name": name, "given": given}
    kept = text("UPDATE sqlite_sequence SET seq = :given WHERE name = :name")
    if connection.execute(kept, at_number).rowcount == 0:
        kept = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :given)")
        connection.execute(kept, at_number)


def _sequence(connection: Connection, name: str, counted: str) -> str:
    found = text("SELECT pg_get_serial_sequence(:name, :counted)")
    of_column = {"name": name, "counted": counted}
    return str(connection.execute(found, of_column).scalar_one())
