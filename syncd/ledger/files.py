"""The files that a ledger is made of: whose they are, and that they are still those of their names."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from syncd.errors import LedgerError, LedgerMisplaced

_MOVED = "The ledger {where} is no longer the file that was opened ({what}), so nothing more is written or sent: "
_GONE = (
    _MOVED
    + "put it back with what lies beside it, or correct state.url, then start syncd again."
)
_REPLACED = _MOVED + (
    "the next start takes the file that is there now; put a backup back only while syncd is stopped."
)


class FileIdentity:
    """Which files a ledger is made of, told by device and inode, since names can be given to others.

    A database that was moved away, deleted or replaced goes on under no name; what is written to it is lost
    with the process. Without its -wal or -shm another process does not see what is written, and writes over
    it; without the lock file another owner gets in.
    """

    def __init__(self, name: Path, file: Path, lock: Path) -> None:
        """`name` is how the configuration calls the database, `file` what that led to."""
        self._name = name
        self._kept = {name: _inode(file), lock: _inode(lock)}
        self._beside = [
            file.with_name(file.name + suffix) for suffix in ("-wal", "-shm")
        ]

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
                raise LedgerMisplaced(
                    _GONE.format(where=self._name, what="it was moved away or deleted")
                )
            what = "replaced" if now else "moved away or deleted"
            raise LedgerError(
                _REPLACED.format(where=self._name, what=f"{file.name} was {what}")
            )


def _inode(file: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; None if nothing has its name."""
    try:
        found = os.stat(file)  # noqa: PTH116  # at each transaction, and Path.stat takes twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


def has_bytes(file: Path) -> bool:
    """Return whether a file is there and not empty; raises `LedgerError`."""
    with file_errors(file):
        try:
            return file.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False


def create_private(file: Path) -> None:
    """Create a file unless it is there, and let only its owner read it.

    SQLite gives its -wal and -shm files the mode and the owner of the database.
    """
    try:
        descriptor = os.open(
            file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
    except FileExistsError:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            # Not ours to change; `syncd doctor` tells.
            with contextlib.suppress(PermissionError):
                file.chmod(mode & 0o700)
        return
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.geteuid() == 0:
            # An administrator's first `syncd once` must not shut out the service that owns the directory.
            owner = os.fstat(directory)
            # A user that this name space does not have.
            with contextlib.suppress(OSError):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fsync(directory)
    finally:
        os.close(directory)
        os.close(descriptor)


@contextlib.contextmanager
def file_errors(database: Path) -> Iterator[None]:
    """Turn errors of the file system into `LedgerError`, or `LedgerMisplaced` if waiting will not mend it."""
    try:
        yield
    except FileNotFoundError:
        raise LedgerMisplaced(
            f"The directory {database.parent} of the ledger does not exist: create it, or correct state.url."
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        sentence = (
            f"The ledger {database} cannot be used ({reason}): correct the owner and the mode of its "
            "directory and the space on its disk, or correct state.url."
        )
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise LedgerError(sentence) from None
        raise LedgerMisplaced(sentence) from None
