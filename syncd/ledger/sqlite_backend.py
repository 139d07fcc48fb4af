"""A ledger in a SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection

from syncd.errors import LedgerBusy, LedgerError, LedgerMisplaced
from syncd.ledger.address import LedgerAddress
from syncd.ledger.conversion import convert_aside
from syncd.ledger.files import FileIdentity, create_private, file_errors, has_bytes
from syncd.ledger.ownership import Ownership, lock_file, read_progress
from syncd.ledger.postgres_settings import ServerAbout
from syncd.ledger.refusals import told_refusal
from syncd.ledger.sqlite import begin_transaction, empty_engine, is_busy, open_engine

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


class SqliteBackend:
    """A database in a file of this machine."""

    is_shared = False
    server: ServerAbout | None = None
    rebuild = _REBUILD
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error)

    def __init__(
        self,
        address: LedgerAddress,
        *,
        owner: bool,
        patience_s: float,
        patience: Patience | None = None,
        converts_aside: bool = False,
    ) -> None:
        """Open the file, and create it for the owner; raises `LedgerLocked`, else `LedgerError`."""
        file, named = address.file, address.named_file
        assert file is not None  # the caller looked
        assert named is not None
        self._file = file
        self._named = named
        self._converts_aside = owner and converts_aside
        self._patience = patience
        if patience is not None:
            patience_s = _ONE_TRY_S
        self.where = str(file)
        self.foreign = _FOREIGN.format(where=file)
        self._ownership = Ownership(file) if owner else None
        self._observer: PoolProxiedConnection | None = None
        self._identity: FileIdentity | None = None
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
        # Made once: each new one costs as much as a statement.
        self._writer = self._engine.execution_options(writes=True)

    @property
    def progress(self) -> int:
        """Return the number that the owner set last, kept beside the database; 0 at first."""
        return read_progress(self._file)

    @progress.setter
    def progress(self, number: int) -> None:
        if self._ownership is not None:
            self._ownership.write_progress(number)

    def begin(self, *, writes: bool) -> Connection:
        """Return a connection whose transaction has its lock; waits as long as the patience lasts."""
        engine = self._writer if writes else self._engine
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

    def commit(self, connection: Connection) -> None:
        """End a transaction; what it wrote is on disk then."""
        connection.commit()

    def translated(self, error: Exception) -> LedgerError:
        """Return the error of the ledger for one of SQLite, classed by whether waiting can mend it."""
        original = getattr(error, "orig", None) or error
        if is_busy(error):
            return LedgerBusy(_SENTENCES["SQLITE_BUSY"].format(where=self.where))
        name = getattr(original, "sqlite_errorname", "") or type(original).__name__
        sentence = self._sentence(name, original)
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_NOTADB")):
            return LedgerMisplaced(sentence)
        return LedgerError(sentence)

    def _sentence(self, name: str, original: BaseException | None) -> str:
        """Return what happened, and the cure; `name` is SQLite's of the error."""
        for beginning, sentence in _SENTENCES.items():
            if name.startswith(beginning):
                return sentence.format(where=self.where)
        if "CONSTRAINT" in name or "Integrity" in name:
            return told_refusal(str(original), self.where)
        return f"The ledger {self.where} cannot be used ({name}): {_REBUILD}."

    def version(self) -> object:
        """Return a value that equals the one before only if nothing was committed since, by any process.

        SQLite tells it without a transaction, to a connection on which nothing else is done.
        """
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

    def require_in_place(self) -> None:
        """Raise `LedgerError` when the owner's files are no longer those of their names."""
        if self._identity is not None:
            self._identity.require()

    def emptied(self) -> SqliteBackend:
        """Return an empty database in memory in place of this one."""
        self._engine.dispose()
        self._engine = empty_engine()
        self._writer = self._engine.execution_options(writes=True)
        return self

    def converted_aside(self) -> bool:
        """Have another process bring the schema up to date, if the owner lives for long; return whether."""
        if self._converts_aside:
            convert_aside(self._file)
        return self._converts_aside

    def lock_schema(self, connection: Connection) -> None:
        """Do nothing: whoever writes is alone already."""

    def hold(self) -> None:
        """Note which files the owner opened, so that it is seen when they are others."""
        identity = FileIdentity(self._named, self._file, lock_file(self._file))
        try:
            with self.begin(writes=False) as connection:
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
                identity.learn()
                connection.commit()
        except self.errors as error:
            raise self.translated(error) from error
        self._identity = identity

    def size(self, connection: Connection) -> int:  # noqa: ARG002  # of another engine the database tells
        """Return how many bytes the ledger takes, with what is not moved into its file yet."""
        size = 0
        for path in (self._file, Path(f"{self._file}-wal")):
            # It comes and goes.
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def companion(self, suffix: str) -> Path:
        """Create a private file beside the database, unless it is there, and return its path."""
        file = Path(f"{self._file}{suffix}")
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

    def _give_up(self) -> None:
        if self._ownership is not None:
            self._ownership.give_up()


def empty_backend() -> SqliteBackend:
    """Return an empty database in memory, for who only looks at a ledger that is not there."""
    nothing = LedgerAddress(f"sqlite:///{os.devnull}")
    return SqliteBackend(nothing, owner=False, patience_s=0.0)
