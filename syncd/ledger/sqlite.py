"""SQLite, opened so that a commit survives a power cut (WAL, synchronous=FULL)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError


def open_engine(file: Path, patience_s: float, *, owner: bool) -> Engine:
    """Return a database in a file; a statement waits `patience_s` seconds for the lock of another process."""
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        hide_parameters=True,
        connect_args={"timeout": patience_s},
    )
    _configure(engine, owner=owner)
    return engine


def empty_engine() -> Engine:
    """Return an empty database in memory, for who only looks at a ledger that is not there."""
    engine = create_engine("sqlite://", hide_parameters=True, poolclass=StaticPool)
    _configure(engine, owner=False)
    return engine


def _configure(engine: Engine, *, owner: bool) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        # Transactions begin where `begin_transaction` says, not where sqlite3 guesses.
        connection.isolation_level = None
        if owner:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")


def _writes(connection: Connection) -> bool:
    """Tell whether a transaction is to write, so that its lock is taken at its beginning anyway."""
    writes: bool = connection.get_execution_options().get("writes", False)
    return writes


def begin_transaction(engine: Engine, *, look: bool) -> Connection:
    """Return a connection in a transaction; with `look` one that reads has its lock from the beginning.

    A write takes its lock at once: one that began as a read could not wait for it.
    """
    connection = engine.connect()
    try:
        connection.begin()
        writes = _writes(connection)
        # By the driver: an event of SQLAlchemy for it would make each statement take longer.
        cursor = connection.connection.cursor()
        cursor.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        if look and not writes:
            cursor.execute("SELECT 1 FROM sqlite_master LIMIT 1")
        cursor.close()
    except BaseException:
        connection.close()
        raise
    return connection


def is_busy(error: Exception) -> bool:
    """Return whether another process holds the lock."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(original, "sqlite_errorname", "")).startswith("SQLITE_BUSY")
