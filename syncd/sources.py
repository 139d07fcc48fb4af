"""Where calendars come from: a file, a directory, a glob; bytes only, nothing about iCalendar.

A source that cannot be read says so and never looks like an empty one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from syncd.errors import SourceMalformed, SourceUnavailable
from syncd.ics import Document

_MAGIC = frozenset("*?[")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Fetched:
    """The documents of a source, and a sentence for each that could not be read."""

    documents: tuple[Document, ...]
    problems: tuple[str, ...] = ()

    def accept(self) -> None:
        """Nothing is kept of files: they are there."""


class FileSource:
    """Calendars on disk.

    `path` names a file, a directory (its `*.ics`, not deeper) or a glob; no file may exceed `max_bytes`.
    """

    def __init__(self, name: str, path: Path, max_bytes: int) -> None:
        self.name = name
        self._path = path
        self._max_bytes = max_bytes

    def fetch(self) -> Fetched:
        """Read everything; raises `SourceUnavailable` or `SourceMalformed` when nothing can be known.

        In a directory or glob one unreadable file becomes a problem, and the others are read.
        """
        if _MAGIC.isdisjoint(str(self._path)):
            try:
                is_directory = stat.S_ISDIR(self._path.stat().st_mode)
            except OSError as error:
                raise SourceUnavailable(self.name, f"{self._path.name} {_cannot(error)}") from None
            if not is_directory:
                return Fetched((self._read(self._path),))
        documents: list[Document] = []
        problems: list[str] = []
        for path in self._members():
            try:
                documents.append(self._read(path))
            except (SourceUnavailable, SourceMalformed) as error:
                problems.append(str(error))
        return Fetched(tuple(documents), tuple(problems))

    def _members(self) -> Iterator[Path]:
        """The files of a directory or glob, sorted, so that equal trees read equally."""
        if _MAGIC.isdisjoint(str(self._path)):
            folder, pattern = self._path, "*.[iI][cC][sS]"
        else:
            parts = self._path.parts
            first = next(index for index, part in enumerate(parts) if not _MAGIC.isdisjoint(part))
            folder, pattern = Path(*parts[:first]), str(Path(*parts[first:]))
        try:
            # A missing directory (an unmounted share) must not look like an empty one.
            with os.scandir(folder):
                pass
            found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
        except OSError as error:
            raise SourceUnavailable(self.name, f"the directory {folder.name} {_cannot(error)}") from None
        yield from (path for path in found if not path.is_dir())

    def _read(self, path: Path) -> Document:
        """One file, as a whole: read again if it was written to meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                before = path.stat()  # before it is opened: opening a pipe would wait for its writer
                if not stat.S_ISREG(before.st_mode):
                    raise SourceMalformed(
                        self.name, f"{path.name} is not a regular file; correct path, or put a calendar there"
                    )
                if before.st_size > self._max_bytes:
                    raise SourceMalformed(
                        self.name,
                        f"{path.name} has {before.st_size} bytes, more than max_bytes "
                        f"({self._max_bytes}); raise max_bytes if that is right",
                    )
                with path.open("rb") as file:
                    body = file.read(self._max_bytes + 1)
                    after = os.fstat(file.fileno())
            except OSError as error:
                raise SourceUnavailable(self.name, f"{path.name} {_cannot(error)}") from None
            unchanged = (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
            if unchanged and len(body) == after.st_size:
                return Document(path.name, body)
        raise SourceUnavailable(self.name, f"{path.name} is being written to; it is read in the next cycle")


def _cannot(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist; its bookings stay until it is there again"
    if isinstance(error, PermissionError):
        return "may not be read by the user that runs syncd; change its mode or owner"
    return f"cannot be read ({os.strerror(error.errno) if error.errno else type(error).__name__})"
