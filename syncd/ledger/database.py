"""The database under the ledger: its file, its owner, its schema, its transactions and its errors.

SQLite is opened so that a commit survives a power cut (WAL, synchronous=FULL); all of that is in `_engine`.
Ownership is a POSIX lock on a file beside the database: it goes when the process dies, however it dies,
and a worker process does not inherit it.
The same file says how far the ledger had come, so that an old copy of the database is recognised.
No error of the database or of the file system leaves this module: each becomes a `LedgerError`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from syncd import migrations
from syncd.errors import LedgerBusy, LedgerError, LedgerLocked, LedgerMisplaced, LedgerTooNew

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
    ("bookings.scope", "one_current_booking"): "a current booking of this meeting in this room",
    ("bookings.mark", "one_current_mark"): "a current booking with this mark",
    ("bookings.reservation_id", "one_current_reservation"): "a current booking that holds this reservation",
}


_MOVED = (
    "The ledger {where} is no longer the file that was opened ({what}), so nothing more is written or sent: "
)
_GONE = _MOVED + "put it back with what lies beside it, or correct state.url, then start syncd again."
_REPLACED = _MOVED + (
    "the next start takes the file that is there now; put a backup back only while syncd is stopped."
)


class _Identity:
    """Which files a ledger is made of, told by device and inode, since names can be given to others.

    A database that was moved away, deleted or replaced goes on under no name; what is written to it is lost
    with the process. Without its -wal or -shm another process does not see what is written, and writes over
    it; without the lock file another owner gets in.
    """

    def __init__(self, name: Path, file: Path, lock: Path) -> None:
        """`name` is how the configuration calls the database, `file` what that led to."""
        self._name = name
        self._kept = {name: _inode(file), lock: _inode(lock)}
        self._beside = [file.with_name(file.name + suffix) for suffix in ("-wal", "-shm")]

    def learn(self) -> None:
        """Note the files that the database makes beside itself; call it while a connection is in use."""
        for file in self._beside:
            self._kept[file] = _inode(file)

    def require(self) -> None:
        """Raise `LedgerMisplaced` when the database is gone, `LedgerError` when a file is another one."""
        for file, inode in self._kept.items():
            now = _inode(file)
            if inode is None or now == inode:
                continue
            if now is None and file == self._name:
                raise LedgerMisplaced(_GONE.format(where=self._name, what="it was moved away or deleted"))
            what = "replaced" if now else "moved away or deleted"
            raise LedgerError(_REPLACED.format(where=self._name, what=f"{file.name} was {what}"))


def _inode(file: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if nothing has its name."""
    try:
        found = os.stat(file)  # noqa: PTH116  # at each transaction, and Path.stat takes twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


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

    def __init__(self, url: str, *, owner: bool, patience_s: float, patience: Patience | None = None) -> None:
        """Open it; see `syncd.ledger.Ledger.open`."""
        file = _file_of(url)
        self._patience = patience
        if patience is not None:
            patience_s = _ONE_TRY_S
        self._where = str(file)
        self._ownership = _Ownership(file) if owner else None
        try:
            if owner:
                with _file_errors(file):
                    _create_private(file)
            present = owner or _has_bytes(file)
            self._engine = _engine(file, patience_s, owner=owner) if present else _nowhere()
        except BaseException:
            self._give_up()
            raise
        self._identity: _Identity | None = None
        try:
            self._bring_up_to_date()
            if owner:
                self._identity = _Identity(_named_file(url), file, _lock_file(file))
                with self.reading() as connection:
                    connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
                    self._identity.learn()
        except BaseException:
            self.close()
            raise

    @property
    def progress(self) -> int:
        """The number that the owner set last, kept beside the database; 0 at first."""
        return _Ownership.read_progress(Path(self._where))

    @progress.setter
    def progress(self, number: int) -> None:
        if self._ownership is not None:
            self._ownership.write_progress(number)

    def companion(self, suffix: str) -> Path:
        """A private file beside the database, there from now on."""
        file = Path(self._where + suffix)
        with _file_errors(file):
            _create_private(file)
        return file

    def close(self) -> None:
        """Close it and give up ownership; closing twice does no harm."""
        self._engine.dispose()
        self._give_up()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._transaction(self._engine) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, durable when the block is left without an exception; else nothing happened."""
        with self._transaction(self._engine.execution_options(writes=True)) as connection:
            yield connection

    def require_in_place(self) -> None:
        """Raise `LedgerError` when the owner's files are no longer those of their names."""
        if self._identity is not None:
            self._identity.require()

    def unreadable(self, what: str) -> LedgerError:
        """Return the error for something stored that makes no sense."""
        return LedgerError(f"{what} of the ledger {self._where} makes no sense: {_REBUILD}.")

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
            with self._begun(engine) as connection, connection.get_transaction() or _NOTHING:
                yield connection
        except (SQLAlchemyError, sqlite3.OperationalError) as error:
            raise _told(error, self._where) from error

    def _begun(self, engine: Engine) -> Connection:
        """Return a connection whose transaction has its lock; waits as long as the patience lasts."""
        began, patience = time.monotonic(), self._patience
        had_to_wait = False
        while True:
            try:
                connection = _begin(engine, look=patience is not None)
            except (DBAPIError, sqlite3.OperationalError) as error:
                waited_s = time.monotonic() - began
                if patience is None or not _is_busy(error) or not patience.lasts(waited_s):
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
                self._engine = _nowhere()
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
        try:
            with self.writing() as connection:
                migrations.upgrade(connection)
        except ValueError:
            raise LedgerError(_FOREIGN.format(where=self._where)) from None

    def _give_up(self) -> None:
        if self._ownership is not None:
            self._ownership.give_up()


class _Ownership:
    """The exclusive lock on `<database>.lock`, with the owner's process id inside for people.

    A second line holds how far the ledger had come.
    The file stays when the lock goes: removing it could leave two owners, each with its own file.
    """

    # POSIX locks do not keep one process from locking twice, so that is remembered here.
    _held: ClassVar[dict[Path, int]] = {}
    _guard = threading.Lock()

    def __init__(self, database: Path) -> None:
        self._file = _lock_file(database)
        self._descriptor: int | None = None
        with self._guard:
            # First of all: closing any descriptor of the file would drop the lock that is held (fcntl(2)).
            if self._file in self._held:
                raise _locked(database, os.getpid())
            with _file_errors(database):
                _create_private(self._file)
                descriptor = os.open(self._file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    self._lock(descriptor, database)
                except BaseException:
                    os.close(descriptor)
                    raise
            self._held[self._file] = descriptor
        self._descriptor = descriptor

    @staticmethod
    def _lock(descriptor: int, database: Path) -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            written = os.pread(descriptor, _PID_WIDTH, 0).decode("ascii", "replace").strip()
            raise _locked(database, int(written) if written.isdecimal() else None) from None
        os.pwrite(descriptor, f"{os.getpid():<{_PID_WIDTH}}\n".encode(), 0)

    @classmethod
    def read_progress(cls, database: Path) -> int:
        """The number that was kept; 0 if there is none."""
        file = _lock_file(database)
        with cls._guard:
            held = cls._held.get(file)
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC) if held is None else held
            except OSError:
                return 0
            try:
                written = os.pread(descriptor, _PROGRESS_WIDTH, _PID_WIDTH + 1)
            finally:
                if held is None:  # closing one of two would drop the lock
                    os.close(descriptor)
        digits = written.decode("ascii", "replace").strip()
        return int(digits) if digits.isdecimal() else 0

    def write_progress(self, number: int) -> None:
        """Keep a number; not synchronised: a power cut may leave an earlier one, which does no harm."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # a full disk: the database itself will tell
                os.pwrite(self._descriptor, f"{number:<{_PROGRESS_WIDTH}}\n".encode(), _PID_WIDTH + 1)

    def give_up(self) -> None:
        with self._guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                self._held.pop(self._file, None)


_PID_WIDTH, _PROGRESS_WIDTH = 20, 20


def _lock_file(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def _locked(database: Path, owner: int | None) -> LedgerLocked:
    who = "Another process" if owner is None else f"Process {owner}"
    return LedgerLocked(
        f"{who} owns the ledger {database}: stop it first, or use a command that works beside it (status, "
        "plan, explain, approve); a running daemon reads all sources at once on SIGUSR1."
    )


def _file_of(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerMisplaced(
            "state.url is not a database URL: write sqlite:////absolute/path/state.db."
        ) from None
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:") or parsed.query:
        raise LedgerMisplaced(
            "The ledger is a SQLite file for now: set state.url to sqlite:////absolute/path/state.db."
        )
    return Path(str(parsed.database)).resolve()


def _named_file(url: str) -> Path:
    """The file of a URL that `_file_of` accepted, as it is named there: it may be a link."""
    return Path(str(make_url(url).database)).absolute()


def _has_bytes(file: Path) -> bool:
    with _file_errors(file):
        try:
            return file.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False


def _create_private(file: Path) -> None:
    """Make sure that a file is there and that only its owner may read it.

    SQLite gives its -wal and -shm files the mode and the owner of the database.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            with contextlib.suppress(PermissionError):  # not ours to change; `syncd doctor` tells
                file.chmod(mode & 0o700)
        return
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.geteuid() == 0:
            # An administrator's first `syncd once` must not shut out the service that owns the directory.
            owner = os.fstat(directory)
            with contextlib.suppress(OSError):  # a user that this name space does not have
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fsync(directory)
    finally:
        os.close(directory)
        os.close(descriptor)


@contextlib.contextmanager
def _file_errors(database: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise LedgerMisplaced(
            f"The directory {database.parent} of the ledger does not exist: create it, or correct state.url."
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        passing = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}
        raise (LedgerError if passing else LedgerMisplaced)(
            f"The ledger {database} cannot be used ({reason}): correct the owner and the mode of its "
            "directory and the space on its disk, or correct state.url."
        ) from None


def _engine(file: Path, patience_s: float, *, owner: bool) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(file)), hide_parameters=True, connect_args={"timeout": patience_s}
    )
    _configure(engine, owner=owner)
    return engine


def _nowhere() -> Engine:
    """An empty database in memory, for who only looks at a ledger that is not there."""
    engine = create_engine("sqlite://", hide_parameters=True, poolclass=StaticPool)
    _configure(engine, owner=False)
    return engine


def _configure(engine: Engine, *, owner: bool) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        # Transactions begin where this module says, not where sqlite3 guesses.
        connection.isolation_level = None
        if owner:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A write takes its lock at once: one that began as a read could not wait for it.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin(engine: Engine, *, look: bool) -> Connection:
    """Return a connection in a transaction; with `look` one that reads has its lock from the beginning."""
    connection = engine.connect()
    try:
        connection.begin()
        if look:
            cursor = connection.connection.cursor()
            cursor.execute("SELECT 1 FROM sqlite_master LIMIT 1")
            cursor.close()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_busy(error: Exception) -> bool:
    original = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(original, "sqlite_errorname", "")).startswith("SQLITE_BUSY")


def _told(error: Exception, where: str) -> LedgerError:
    """What the database said, classed by whether waiting can mend it."""
    original = getattr(error, "orig", None) or error
    if _is_busy(error):
        return LedgerBusy(_SENTENCES["SQLITE_BUSY"].format(where=where))
    name = getattr(original, "sqlite_errorname", "") or type(original).__name__
    misplaced = name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_NOTADB"))
    return (LedgerMisplaced if misplaced else LedgerError)(_sentence(name, original, where))


def _sentence(name: str, original: BaseException | None, where: str) -> str:
    """What happened, and the cure; `name` is SQLite's of the error."""
    for beginning, sentence in _SENTENCES.items():
        if name.startswith(beginning):
            return sentence.format(where=where)
    if "CONSTRAINT" in name or "Integrity" in name:
        told = str(original)
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
    return f"The ledger {where} cannot be used ({name}): {_REBUILD}."
