"""A copy of the ledger that is whole, made while its owner goes on writing.

Promises: the copy is one state of the ledger, was verified, and can be read by its owner alone; until it is,
there is no file under its name. Nothing of the ledger itself is changed.

What is copied is a snapshot: SQLite's online backup within a transaction that only reads, so the owner
neither waits nor is waited for. A copy says of itself that it is one (`BACKED_UP_AT`): whatever stands beside
it where it is put back, its first owner asks the API what is booked before it books anything. The number
beside the database alone would not tell that after the state was lost and begun anew meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from syncd.errors import LedgerError, LedgerMisplaced
from syncd.ledger.address import LedgerAddress
from syncd.ledger.facts import BACKED_UP_AT
from syncd.ledger.files import has_bytes

_WAIT_S = 30.0  # for another program that keeps the ledger locked
_COUNTED = ("bookings", "history", "sources", "generations", "facts")
# What is of the process that runs now, and of nobody who starts on the copy.
_LEFT_OUT = ("daemons", "refreshes")


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What is in a copy: how many bookings, and its size in bytes."""

    bookings: int
    size: int


def back_up(address: str | LedgerAddress, target: Path) -> BackupReport:
    """Copy the ledger at an address into a new file; raise `LedgerError`, and leave no file then."""
    address = LedgerAddress.of(address)
    file = address.file
    if file is None:
        raise LedgerMisplaced(
            f"The ledger {address.name} is a PostgreSQL database: back it up with `pg_dump -Fc -f FILE`, and put "
            "it back with `pg_restore` only while no syncd runs."
        )
    if not has_bytes(file):
        raise LedgerError(
            f"There is no state at {file} yet, so there is nothing to back up: `syncd once` or the daemon "
            "makes it; correct state.url if it is elsewhere."
        )
    if os.path.lexists(target):
        raise _taken(target)
    beside = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        with _trouble_told(file, target):
            _create(beside)
            bookings = _copy(file, beside)
            size = beside.stat().st_size
            _publish(beside, target)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
    return BackupReport(bookings, size)


def flaws_in(file: Path) -> str:
    """Return what SQLite finds wrong in a database, in its words; empty if it is whole."""
    try:
        with contextlib.closing(_opened(file, "ro")) as database:
            (first,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if first == "ok" else " ".join(str(first).split())


def _copy(file: Path, beside: Path) -> int:
    """Copy a snapshot of a ledger, mark and verify the copy, and return how many bookings it has."""
    with (
        contextlib.closing(_opened(file, "ro")) as source,
        contextlib.closing(_opened(beside, "rw")) as copy,
    ):
        # The first look takes the snapshot, which all that follows sees.
        source.execute("BEGIN")
        counts = _counts(source)
        source.backup(copy)
        # A file that needs none beside it, so that copying it is enough.
        copy.execute("PRAGMA journal_mode = DELETE")
        _require_equal(counts, _counts(copy), beside)
        source.rollback()
        _mark(copy)
        verdicts = copy.execute("PRAGMA integrity_check").fetchall()
    if verdicts != [("ok",)]:
        raise LedgerError(
            f"The ledger {file} is damaged, and so is its copy, which was removed: restore an older backup, or "
            "move the ledger away and rebuild it with `syncd adopt --apply`."
        )
    return counts["bookings"]


def _opened(file: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_WAIT_S,
        isolation_level=None,
    )


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows the tables have that matter most."""
    counts: dict[str, int] = {}
    for table in _COUNTED:
        query = f"SELECT count(*) FROM {table}"  # noqa: S608  # names of ours
        counts[table] = connection.execute(query).fetchone()[0]
    return counts


def _require_equal(wanted: dict[str, int], found: dict[str, int], beside: Path) -> None:
    if wanted != found:
        raise LedgerError(
            f"The copy {beside.name} lacks rows of the ledger, so it was removed: try again, and report this "
            "if it stays."
        )


def _mark(copy: sqlite3.Connection) -> None:
    """Let the copy say that it is one, and forget who worked on the ledger."""
    now = BACKED_UP_AT.encode(datetime.now(UTC))
    known = {
        name
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type='table'")
    }
    copy.execute("BEGIN IMMEDIATE")
    copy.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (BACKED_UP_AT.name, now),
    )
    for table in known.intersection(_LEFT_OUT):  # former versions had none of them
        copy.execute(f"DELETE FROM {table}")  # noqa: S608  # as above
    copy.execute("COMMIT")


def _create(file: Path) -> None:
    """Create a file that only its owner can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(file, flags, 0o600))
    file.chmod(0o600)  # whatever the umask


def _publish(beside: Path, target: Path) -> None:
    """Give a file that is whole and on disk its name; raise `LedgerError` if somebody took that meanwhile."""
    _synchronise(beside)
    try:
        # A link replaces nothing, which a renaming would.
        os.link(beside, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise _taken(target) from None
        beside.rename(target)
    _synchronise(target.parent)


def _synchronise(path: Path) -> None:
    """Wait until a file, or what a directory names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _taken(target: Path) -> LedgerError:
    return LedgerError(
        f"{target} is there already and is not replaced: give a name that is free, such as one with the date."
    )


@contextlib.contextmanager
def _trouble_told(file: Path, target: Path) -> Iterator[None]:
    """Turn errors of the file system and of SQLite into `LedgerError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LedgerError(
            f"The ledger {file} cannot be copied to {target} ({error}): look at the space and the modes of "
            "both places, and at other programs that keep the ledger locked."
        ) from None
    except sqlite3.DatabaseError as error:
        raise LedgerError(
            f"The file {file} is no ledger that can be copied ({error}): restore it from a backup, or correct "
            "state.url."
        ) from None
    except OSError as error:
        raise LedgerError(
            f"{target} cannot be written ({error.strerror}): name a file in a directory that is there and that "
            "this user may write to, with enough space."
        ) from None
