"""The database under the ledger: its owner, its schema, its transactions and its errors.

No error of the database or of the file system leaves this module: each becomes a `LedgerError`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Row, RowMapping, Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection

from syncd import migrations
from syncd.errors import LedgerBusy, LedgerError, LedgerMisplaced, LedgerTooNew
from syncd.ledger.conversion import convert_aside
from syncd.ledger.files import (
    FileIdentity,
    create_private,
    file_errors,
    file_of,
    has_bytes,
    named_file,
)
from syncd.ledger.ownership import Ownership, lock_file, read_progress
from syncd.ledger.sqlite import begin_transaction, empty_engine, is_busy, open_engine

T = TypeVar("T")

_REBUILD = "restore it from a backup, or move it away and rebuild it with `syncd adopt --apply`"

_FOREIGN = "The file {where} is not a ledger of syncd: correct state.url, or move the file away."

# By the beginning of SQLite's own name for the error (sqlite.org/rescode.html).
_SENTENCES = {
    "SQLITE_FULL": "The disk of the ledger {where} is full: free some space and start again; "
    "what was recorded before is safe.",
    "SQLITE_BUSY": "Another program keeps the ledger {where} locked: close it (an open sqlite3 shell, "
    "a backup) and try again.",
    "SQLITE_CORRUPT": f"The ledger {{where}} is damaged: {_REBUILD}.",
    "SQLITE_NOTADB": _FOREIGN,
    "SQLITE_READONLY": "The ledger {where} is read-only for this user: correct the owner and the mode of the "
    "file and of its directory.",
    "SQLITE_CANTOPEN": "The ledger {where} cannot be opened: correct the owner and the mode of the file and "
    "of its directory.",
    "SQLITE_IOERR": "The disk of the ledger {where} fails: look at the system's log and at the free space, "
    "then start again.",
}

# By what SQLite and PostgreSQL say of a violated unique index: its columns, or its name.
_TAKEN = {
    (
        "bookings.scope",
        "one_current_booking",
    ): "a current booking of this meeting in this room",
    ("bookings.mark", "one_current_mark"): "a current booking with this mark",
    (
        "bookings.reservation_id",
        "one_current_reservation",
    ): "a current booking that holds this reservation",
}


_NOTHING: contextlib.nullcontext[None] = contextlib.nullcontext()
_ONE_TRY_S = 1.0  # for a lock, so that signals are heeded between two tries
_BETWEEN_TRIES_S = 0.1  # of which SQLite refuses some at once


class Patience(Protocol):
    """How long the owner waits while another program keeps the database locked."""

    def lasts(self, waited_s: float) -> bool:
        """Return whether to wait on, after so many seconds; called every second or so."""
        ...

    def over(self, waited_s: float) -> None:
        """Take note that the lock was had after so many seconds."""
        ...


class Database:
    """An open database with the current schema.

    For the owner each transaction first makes sure that the files are still those of their names.
    """

    def __init__(
        self,
        url: str,
        *,
        owner: bool,
        patience_s: float,
        patience: Patience | None = None,
        converts_aside: bool = False,
    ) -> None:
        """Open it; see `syncd.ledger.Ledger.open`."""
        file = file_of(url)
        self._file_to_convert = file if owner and converts_aside else None
        self._patience = patience
        if patience is not None:
            patience_s = _ONE_TRY_S
        self._where = str(file)
        self._ownership = Ownership(file) if owner else None
        self._observer: PoolProxiedConnection | None = None
        self._writer: Engine | None = None
        try:
            if owner:
                with file_errors(file):
                    create_private(file)
            if owner or has_bytes(file):
                self._engine = open_engine(file, patience_s, owner=owner)
            else:
                self._engine = empty_engine()
        except BaseException:
            self._give_up()
            raise
        self._identity: FileIdentity | None = None
        try:
            self._bring_up_to_date()
            if owner:
                self._identity = FileIdentity(named_file(url), file, lock_file(file))
                with self.reading() as connection:
                    connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
                    self._identity.learn()
        except BaseException:
            self.close()
            raise

    @property
    def progress(self) -> int:
        """Return the number that the owner set last, kept beside the database; 0 at first."""
        return read_progress(Path(self._where))

    @progress.setter
    def progress(self, number: int) -> None:
        if self._ownership is not None:
            self._ownership.write_progress(number)

    def companion(self, suffix: str) -> Path:
        """Create a private file beside the database, unless it is there, and return its path."""
        file = Path(self._where + suffix)
        with file_errors(file):
            create_private(file)
        return file

    def close(self) -> None:
        """Close it and give up ownership; closing twice does no harm."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        self._engine.dispose()
        self._give_up()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that sees one state of the database."""
        with self._transaction(self._engine) as connection:
            yield connection

    def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Return all rows that a query finds."""
        with self.reading() as connection:
            return connection.execute(query).all()

    def mappings(self, query: Select[Any]) -> Sequence[RowMapping]:
        """Return all rows that a query finds, each as a mapping by column."""
        with self.reading() as connection:
            return connection.execute(query).mappings().all()

    def scalar(self, query: Select[T]) -> T | None:
        """Return the first column of the first row that a query finds; None if there is none."""
        with self.reading() as connection:
            return connection.execute(query).scalar()

    def scalars(self, query: Select[T]) -> Sequence[T]:
        """Return the first column of all rows that a query finds."""
        with self.reading() as connection:
            return connection.execute(query).scalars().all()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; it is durable when the block ends, and undone when it raises."""
        if self._writer is None:
            # Made once: each new one costs as much as a statement.
            self._writer = self._engine.execution_options(writes=True)
        with self._transaction(self._writer) as connection:
            yield connection

    def version(self) -> object:
        """Return a value that equals the one before only if nothing was committed since, by any process.

        It is cheap: SQLite tells it without a transaction, to a connection on which nothing else is done.
        Raises `LedgerError` when the owner's files are not those of their names.
        """
        self.require_in_place()
        try:
            if self._observer is None:
                self._observer = self._engine.raw_connection()
                self._observer.detach()
            with contextlib.closing(self._observer.cursor()) as cursor:
                cursor.execute("PRAGMA data_version")
                return cursor.fetchall()
        except (SQLAlchemyError, sqlite3.Error):
            return (
                object()
            )  # whoever reads then meets what is wrong, and can wait for it

    def is_of_this_version(self) -> bool:
        """Tell whether its schema still is the one that this version of the program reads."""
        with self.reading() as connection:
            return migrations.revision_of(connection) == migrations.HEAD

    def require_in_place(self) -> None:
        """Raise `LedgerError` when the owner's files are no longer those of their names."""
        if self._identity is not None:
            self._identity.require()

    def unreadable(self, what: str) -> LedgerError:
        """Return the error for something stored that makes no sense."""
        return LedgerError(
            f"{what} of the ledger {self._where} makes no sense: {_REBUILD}."
        )

    @contextlib.contextmanager
    def making_sense(self, what: str) -> Iterator[None]:
        """Raise `LedgerError` when the block finds that something stored makes no sense."""
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise self.unreadable(what) from error

    @contextlib.contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        self.require_in_place()
        try:
            with (
                self._begun(engine) as connection,
                connection.get_transaction() or _NOTHING,
            ):
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _translated(error, self._where) from error

    def _begun(self, engine: Engine) -> Connection:
        """Return a connection whose transaction has its lock; waits as long as the patience lasts."""
        patience = self._patience
        began = time.monotonic()
        had_to_wait = False
        while True:
            try:
                connection = begin_transaction(engine, look=patience is not None)
            except (DBAPIError, sqlite3.Error) as error:
                if patience is None or not is_busy(error):
                    raise
                if not patience.lasts(time.monotonic() - began):
                    raise
                had_to_wait = True
                time.sleep(_BETWEEN_TRIES_S)
            else:
                if patience is not None and had_to_wait:
                    patience.over(time.monotonic() - began)
                return connection

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            revision = migrations.revision_of(connection)
        if revision == migrations.HEAD:
            return
        if revision is None:
            if self._ownership is None:  # another process is just creating it
                self._engine.dispose()
                self._engine = empty_engine()
        elif not revision.isdecimal():
            raise LedgerMisplaced(_FOREIGN.format(where=self._where))
        elif int(revision) > int(migrations.HEAD):
            raise LedgerTooNew(
                f"The ledger {self._where} was written by a later version of syncd: "
                "install that version, or restore the backup from before the upgrade."
            )
        elif self._ownership is None:
            raise LedgerError(
                f"The ledger {self._where} was written by an earlier version of syncd: "
                "start this version's `syncd run` or `syncd once` first, which converts it."
            )
        if self._file_to_convert is not None:
            convert_aside(self._file_to_convert)
            with self.reading() as connection:
                if migrations.revision_of(connection) == migrations.HEAD:
                    return
        try:
            with self.writing() as connection:
                migrations.upgrade(connection)
        except ValueError:
            raise LedgerError(_FOREIGN.format(where=self._where)) from None

    def _give_up(self) -> None:
        if self._ownership is not None:
            self._ownership.give_up()


def _translated(error: Exception, where: str) -> LedgerError:
    """Return the error of the ledger for one of the database, classed by whether waiting can mend it."""
    original = getattr(error, "orig", None) or error
    if is_busy(error):
        return LedgerBusy(_SENTENCES["SQLITE_BUSY"].format(where=where))
    name = getattr(original, "sqlite_errorname", "") or type(original).__name__
    sentence = _sentence(name, original, where)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_NOTADB")):
        return LedgerMisplaced(sentence)
    return LedgerError(sentence)


def _sentence(name: str, original: BaseException | None, where: str) -> str:
    """Return what happened, and the cure; `name` is SQLite's of the error."""
    for beginning, sentence in _SENTENCES.items():
        if name.startswith(beginning):
            return sentence.format(where=where)
    if "CONSTRAINT" in name or "Integrity" in name:
        return _refusal(str(original), where)
    return f"The ledger {where} cannot be used ({name}): {_REBUILD}."


def _refusal(told: str, where: str) -> str:
    """Return the sentence about a constraint that refused what was written; `told` is the database's."""
    for signs, what in _TAKEN.items():
        if any(sign in told for sign in signs):
            return (
                f"The ledger {where} already has {what}, so nothing was recorded: "
                "run the cycle again, and report this if it stays."
            )
    return (
        f"The ledger {where} refused a booking that cannot be ({told}): nothing was recorded; "
        "report this as a defect of syncd."
    )
