"""A ledger in a PostgreSQL database, used so that what COMMIT said is known to be durable.

Promises: settings by which a commit could be lost are refused; a commit of which the answer was lost, or that
was made less durable than it should be, is an error; no COMMIT is cancelled by a stop.
It passes a pooler in transaction mode: no session state, no prepared statements, one connection at a time.
Must not: be imported where the ledger is a file.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import Diagnostic
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from syncd import migrations
from syncd.errors import (
    CommitUnknown,
    LedgerAway,
    LedgerBusy,
    LedgerError,
    NotDurable,
    SyncdError,
)
from syncd.ledger.address import LedgerAddress
from syncd.ledger.files import create_private, file_errors
from syncd.ledger.ownership import Ownership, read_progress
from syncd.ledger.postgres_settings import (
    ServerAbout,
    require_fit,
    require_safe_commit,
)
from syncd.ledger.refusals import told_refusal
from syncd.ledger.sqlite_backend import SqliteBackend, empty_backend

_REBUILD = (
    "restore it from a dump, or give syncd an empty database and rebuild the ledger with "
    "`syncd adopt --apply`"
)
_SCHEMA_LOCK = 7310018  # any number that nobody else takes

_PARAMETERS = {
    "application_name": "syncd",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

# Of the transaction alone, because a pooler gives the session to others.
_BEGIN_WRITING = text(
    "SELECT set_config('lock_timeout', '5s', true), "
    "set_config('idle_in_transaction_session_timeout', '60s', true), "
    "current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS is_standby, "
    "current_setting('synchronous_standby_names') AS standbys"
)
# The term of who works by the former schema is over at once; who wants the lease waits until its trust is too.
_HAS_LEASES = text("SELECT to_regclass('leases') IS NOT NULL")
_END_TERMS = text("UPDATE leases SET holder = '', term = ''")
_VERSION = text("SELECT pg_current_snapshot()::text")

# By the beginning of the SQLSTATE (Appendix A of PostgreSQL's manual).
_BUSY = ("55P03", "40P01", "40001", "57014")
_AWAY = {
    "53100": "its disk is full: free some space; what was recorded before is safe",
    "53": "it is out of connections or memory: raise max_connections, or put a pooler before it",
    "25006": "it takes no writes: set default_transaction_read_only = off, or name the primary in state.url",
    "42501": "the role may not do that: let it own the database (ALTER DATABASE … OWNER TO …)",
    "57P0": "it was stopped or restarted: wait until it is back, then start again",
    "58": "its disk or system fails: look at its log",
    "08": "the connection broke: look at the network and at the server's log, then start again",
}
_UNREACHED = "see that it runs and has this database, correct state.url or state.password, then try again"


class _Connection(psycopg.Connection[Any]):
    """A connection of which a stop cancels nothing, and that keeps what the server warned of."""

    warnings: list[str]

    def cancel_safe(self, *, timeout: float = 0.0) -> None:  # noqa: ARG002  # the driver's signature
        """Close the connection: a COMMIT that is cancelled while it waits for a standby says that it is done."""
        self.pgconn.finish()

    def note(self, notice: Diagnostic) -> None:
        """Keep a warning."""
        if notice.severity_nonlocalized == "WARNING":
            self.warnings.append(str(notice.message_primary))


class PostgresBackend:
    """A database of a PostgreSQL server."""

    is_shared = True
    rebuild = _REBUILD
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, psycopg.Error)

    def __init__(self, address: LedgerAddress, *, owner: bool) -> None:
        """Connect, and refuse a server that is not fit.

        Raises `LedgerLocked`, `LedgerAway` or `LedgerUnfit`.
        """
        self._address = address
        self.where = address.name
        self.foreign = (
            f"The database {self.where} has tables of another program: give syncd a database of its own, and "
            "name it in state.url."
        )
        self._in_use = threading.local()
        # A second owner of this directory is told at once.
        self._ownership = Ownership(address.beside(""), self.where) if owner else None
        self._engine = _engine(address)
        self._reader = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._writer = self._engine.execution_options(writes=True)
        try:
            with self._told(), self.begin(writes=False) as connection:
                self.server: ServerAbout | None = require_fit(connection, address)
        except BaseException:
            self.close()
            raise

    @property
    def progress(self) -> int:
        """Return the number that the owner of this machine set last; 0 at first."""
        return read_progress(self._address.beside(""))

    @progress.setter
    def progress(self, number: int) -> None:
        if self._ownership is not None:
            self._ownership.write_progress(number)

    def begin(self, *, writes: bool) -> Connection:
        """Return a connection in a transaction, which sees one state if it only reads."""
        held: Connection | None = getattr(self._in_use, "connection", None)
        # Behind a pool of one a transaction in another one would wait for itself.
        assert held is None or held.closed, "a transaction within another one"
        engine = self._writer if writes else self._reader
        connection = engine.connect()
        self._in_use.connection = connection
        with _closed_on_error(connection):
            connection.begin()
            if writes:
                found = connection.execute(_BEGIN_WRITING).one()
                require_safe_commit(found, self._address)
        return connection

    def commit(self, connection: Connection) -> None:
        """End a transaction; raises `CommitUnknown` or `NotDurable` when what it wrote is not known to stay."""
        if not connection.get_execution_options().get("writes", False):
            return  # it wrote nothing, and ends as it is closed
        driver = connection.connection.driver_connection
        assert isinstance(driver, _Connection)
        driver.warnings.clear()
        try:
            connection.commit()
        except DBAPIError as error:
            if _state_of(error).startswith(("23", "40")):
                raise  # the server says that it undid it
            connection.invalidate()
            raise CommitUnknown(
                f"The connection to the ledger {self.where} broke while something was recorded, so it is not "
                "known whether that was done: nothing is sent; the next start finds out."
            ) from error
        if driver.warnings:
            raise NotDurable(
                f"The server of the ledger {self.where} recorded something less durably than it is set to "
                f"({driver.warnings[0]}): nothing is sent; see to its standby, then start again."
            )

    def translated(self, error: Exception) -> LedgerError:
        """Return the error of the ledger for one of the driver, classed by whether waiting can mend it."""
        state = _state_of(error)
        if state.startswith(_BUSY):
            return LedgerBusy(
                f"Another session keeps the ledger {self.where} locked: close it (an open psql, a dump) and "
                "try again."
            )
        if isinstance(error, IntegrityError):
            return LedgerError(told_refusal(_reason(error), self.where))
        for beginning, cure in _AWAY.items():
            if state.startswith(beginning):
                return self._away(_reason(error), cure)
        if not state and _is_of_the_connection(error):
            return self._away(_reason(error), _UNREACHED)
        return LedgerError(
            f"The ledger {self.where} cannot be used ({_reason(error)}): {_REBUILD}."
        )

    def _away(self, reason: str, cure: str) -> LedgerAway:
        return LedgerAway(
            f"The ledger {self.where} cannot be used now ({reason}): {cure}."
        )

    def version(self) -> object:
        """Return a value that equals the one before only if nothing was committed since, by any process."""
        try:
            with self.begin(writes=False) as connection:
                return connection.execute(_VERSION).scalar()
        except self.errors:
            return object()  # whoever reads then meets what is wrong

    def require_in_place(self) -> None:
        """Do nothing: whether another one owns it is asked in each transaction that writes."""

    def emptied(self) -> SqliteBackend:
        """Close it, and return an empty database in memory in place of this one."""
        self.close()
        return empty_backend()

    def converted_aside(self) -> bool:
        """Return False: who works on a PostgreSQL ledger does not live for long."""
        return False

    def lock_schema(self, connection: Connection) -> None:
        """Let nobody else change the schema, and nobody write by the former one, until the end and after it."""
        lock = text(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
        connection.execute(lock)
        if migrations.revision_of(connection) == migrations.HEAD:
            return  # somebody else has converted it meanwhile, and may work on it by now
        if connection.execute(_HAS_LEASES).scalar():
            connection.execute(_END_TERMS)

    def hold(self) -> None:
        """Do nothing: of a shared ledger who writes is told by a lease (`syncd.ledger.holding`)."""

    def size(self, connection: Connection) -> int:
        """Return how many bytes the database takes."""
        size = text("SELECT pg_database_size(current_database())")
        return int(connection.execute(size).scalar_one())

    def companion(self, suffix: str) -> Path:
        """Create a private file in the directory of this machine, unless it is there, and return its path."""
        file = self._address.beside(suffix)
        with file_errors(file):
            create_private(file)
        return file

    def close(self) -> None:
        """Close it and let go of the directory of this machine; closing twice does no harm."""
        self._engine.dispose()
        if self._ownership is not None:
            self._ownership.give_up()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self.errors as error:
            raise self.translated(error) from error


def _engine(address: LedgerAddress) -> Engine:
    """Return an engine with connections of ours; each asks for the password as it is then."""
    engine = create_engine(
        address.parsed,
        poolclass=QueuePool,
        pool_size=2,
        max_overflow=4,
        pool_pre_ping=True,
        pool_recycle=600,
        pool_timeout=30,
        hide_parameters=True,
        use_native_hstore=False,
    )
    several_hosts = isinstance(address.parsed.query.get("host"), tuple)

    @event.listens_for(engine, "do_connect")
    def connect(
        _dialect: Dialect,
        _record: ConnectionPoolEntry,
        _arguments: list[object],
        parameters: dict[str, Any],
    ) -> psycopg.Connection[Any]:
        wanted = {**_PARAMETERS, **parameters}
        if several_hosts or "," in str(wanted.get("host", "")):
            wanted.setdefault("target_session_attrs", "read-write")
        if address.password is not None:
            try:
                wanted["password"] = address.password()
            except SyncdError as error:
                raise LedgerAway(f"state.password: {error}") from None
        # A pooler knows nothing of statements that were prepared.
        connection = _Connection.connect(**wanted, prepare_threshold=None)
        connection.warnings = []
        connection.add_notice_handler(connection.note)
        return connection

    return engine


@contextlib.contextmanager
def _closed_on_error(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _state_of(error: Exception) -> str:
    """Return the SQLSTATE of an error; empty if the server gave none."""
    original = getattr(error, "orig", None) or error
    return getattr(original, "sqlstate", None) or ""


def _is_of_the_connection(error: Exception) -> bool:
    """Tell whether there was no connection, or it broke; all else without an SQLSTATE is a defect of ours."""
    original = getattr(error, "orig", None) or error
    broken = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
    return isinstance(original, broken)


def _reason(error: Exception) -> str:
    """Return the server's word for an error, or the driver's, without what was stored."""
    if isinstance(error, PoolTimeout):
        return "no connection became free"
    original = getattr(error, "orig", None) or error
    told = ""
    if isinstance(original, psycopg.Error):
        told = original.diag.message_primary or str(original)
    first, _, _ = told.partition("\n")
    # The driver begins with what it did, and the address.
    _, _, cause = first.rpartition("failed: ")
    return cause.strip() or type(original).__name__
