"""The exclusive ownership of a ledger, and how far it had come, in a file beside the database.

Ownership is a POSIX lock: it goes when the process dies, however it dies, and a worker process does not
inherit it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path

from syncd.errors import LedgerLocked
from syncd.ledger.files import create_private, file_errors

# Characters of the two lines.
_PID_WIDTH = 20
_PROGRESS_WIDTH = 20

# POSIX locks do not keep one process from locking twice, so that is remembered here: descriptors by file.
_held: dict[Path, int] = {}
_guard = threading.Lock()


class Ownership:
    """The exclusive lock on `<database>.lock`, with the owner's process id inside for people.

    A second line holds how far the ledger had come.
    The file stays when the lock goes: removing it could leave two owners, each with its own file.
    """

    def __init__(self, database: Path, called: str = "") -> None:
        """`database` may be what stands for one in a directory of this machine; `called` is its name then."""
        called = called or str(database)
        self._file = lock_file(database)
        self._descriptor: int | None = None
        with _guard:
            # First of all: closing any descriptor of the file would drop the lock that is held (fcntl(2)).
            if self._file in _held:
                raise _locked(called, os.getpid())
            with file_errors(database):
                create_private(self._file)
                descriptor = os.open(
                    self._file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
                )
                try:
                    self._lock(descriptor, called)
                except BaseException:
                    os.close(descriptor)
                    raise
            _held[self._file] = descriptor
        self._descriptor = descriptor

    @staticmethod
    def _lock(descriptor: int, called: str) -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            written = os.pread(descriptor, _PID_WIDTH, 0)
            raise _locked(called, _number_in(written)) from None
        line = f"{os.getpid():<{_PID_WIDTH}}\n"
        os.pwrite(descriptor, line.encode(), 0)

    def write_progress(self, number: int) -> None:
        """Keep a number; not synchronised: a power cut may leave an earlier one, which does no harm."""
        if self._descriptor is not None:
            line = f"{number:<{_PROGRESS_WIDTH}}\n"
            # A full disk: the database itself will tell.
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, line.encode(), _PID_WIDTH + 1)

    def give_up(self) -> None:
        """Let go of the lock; giving up twice does no harm."""
        with _guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                _held.pop(self._file, None)


def read_progress(database: Path) -> int:
    """Return the number that was kept; 0 if there is none."""
    file = lock_file(database)
    with _guard:
        held = _held.get(file)
        try:
            descriptor = (
                os.open(file, os.O_RDONLY | os.O_CLOEXEC) if held is None else held
            )
        except OSError:
            return 0
        try:
            written = os.pread(descriptor, _PROGRESS_WIDTH, _PID_WIDTH + 1)
        finally:
            if held is None:  # closing one of two would drop the lock
                os.close(descriptor)
    return _number_in(written) or 0


def place_of(file: Path) -> str:
    """Return what tells a lock file from any other on any machine; empty where nothing does.

    Only one process at a time holds the lock of a place. A kernel is told by when it was started.
    """
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        found = file.stat()
    except OSError:
        return ""
    return f"{started}:{found.st_dev}:{found.st_ino}"


def lock_file(database: Path) -> Path:
    """Return the file that the owner of a database holds locked."""
    return database.with_name(database.name + ".lock")


def _number_in(written: bytes) -> int | None:
    """Return the number that a line of the file holds; None if it holds none."""
    digits = written.decode("ascii", "replace").strip()
    return int(digits) if digits.isdecimal() else None


def _locked(called: str, owner: int | None) -> LedgerLocked:
    who = "Another process" if owner is None else f"Process {owner}"
    return locked_by(who, called)


def locked_by(who: str, called: str) -> LedgerLocked:
    """Return the error that says who owns a ledger already, and what to do."""
    return LedgerLocked(
        f"{who} owns the ledger {called}: stop it first, or use a command that works beside it (status, "
        "plan, explain, approve); `syncd refresh` lets a running daemon read at once, and so does SIGUSR1."
    )
