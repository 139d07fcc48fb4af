"""Where calendars come from: a file, a directory, a glob; bytes only, nothing about iCalendar.

A source that cannot be read says so and never looks like an empty one.
Fetching looks at files from outside; they are read in blocks when somebody looks into them, if ever.
What is read is one state of a file, and the one that its signature stands for: a file that changes
meanwhile is `SourceUnavailable`, never half of one and half of another.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from syncd.core.document import BLOCK, Document
from syncd.errors import SourceMalformed, SourceUnavailable

_MAGIC = frozenset("*?[")
_WILD = frozenset("*?")
_ATTEMPTS = 3

_NS_OF_MS = 1_000_000
_SETTLED_NS = 2_000_000_000
"""After so long a further write has another time: the coarsest file systems count in two seconds."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The documents of a source, a sentence for each file that could not be had, and notes to a person.

    `is_folder`: they are the files of a directory or a glob.
    `asked_at`: they were read just now.
    """

    documents: tuple[Document, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_folder: bool = False
    asked_at: None = None

    def accept(self) -> None:
        """Do nothing: files are not stored, since they can be read again."""


class Memory:
    """A store for one word about a path, which lasts as long as the process."""

    def __init__(self) -> None:
        self._word = ""

    def recall(self) -> str:
        """Return the word that was kept last; empty if none was."""
        return self._word

    def keep(self, word: str) -> None:
        """Remember a word in place of the one before."""
        self._word = word


_AS_IT_STANDS, _MATCHED = "as it stands", "matched"


def as_it_stands(path: Path) -> tuple[Path, str]:
    """Split a path into what is meant as it stands, and the pattern behind it, which may be empty.

    What exists is no pattern: the whole path, or directories at its beginning that have brackets in their
    names.
    """
    if _MAGIC.isdisjoint(str(path)) or os.path.lexists(path):
        return path, ""
    parts = path.parts
    for number, part in enumerate(parts):
        here = Path(*parts[: number + 1])
        if not _MAGIC.isdisjoint(part) and not is_named_so(part, os.fspath(here)):
            pattern = Path(*parts[number:])
            return Path(*parts[:number]), str(pattern)
    return path, ""


def is_named_so(part: str, path: str) -> bool:
    """Tell whether a part of a path that looks like a pattern is the name of what stands at `path`.

    Brackets are part of many names; a name with * or ? would be taken for its own pattern.
    """
    return _WILD.isdisjoint(part) and os.path.lexists(path)


class FileSource:
    """A source of calendars on disk.

    `path` names a file, a directory (its `*.ics`, not deeper) or a glob; no file may exceed `max_bytes`.
    What exists under exactly this name is meant, whatever brackets it has, and goes on to be meant when it is
    gone: `memory` remembers that, and whether a glob ever matched something.
    `clock` gives the present in nanoseconds since 1970.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        max_bytes: int,
        clock: Callable[[], int] = time.time_ns,
        memory: Memory | None = None,
    ) -> None:
        self.name = name
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._memory = memory or Memory()

    def fetch(self) -> Fetched:
        """Look at every file of the source; raise `SourceUnavailable` or `SourceMalformed`.

        In a directory or glob one bad file becomes a problem, and the others are documents.
        What only reading a document tells is raised then, by the document.
        """
        # Before anything is looked at, so that nothing seems older than it is.
        now = self._clock()
        folder, pattern = self._meant()
        if not pattern:
            try:
                status = folder.stat()
                if not stat.S_ISDIR(status.st_mode):
                    return Fetched((self._document(folder, folder.name, status, now),))
            except OSError as error:
                raise self._unavailable(str(folder), error) from None
        documents: list[Document] = []
        problems: list[str] = []
        beginning = os.path.join(folder, "")  # noqa: PTH118  # of the paths of all members
        for member in self._members(folder, pattern):
            try:
                status = member.stat()
                if not stat.S_ISDIR(status.st_mode):
                    name = _name_below(beginning, os.fspath(member))
                    documents.append(self._document(member, name, status, now))
            except OSError as error:
                problems.append(str(self._unavailable(os.fspath(member), error)))
            except SourceMalformed as error:
                problems.append(str(error))
        return Fetched(tuple(documents), tuple(problems), is_folder=True)

    def _meant(self) -> tuple[Path, str]:
        """Return the part of the path that is meant as it stands, and the pattern behind it, perhaps none."""
        folder, pattern = as_it_stands(self._path)
        if _MAGIC.isdisjoint(str(self._path)):
            return folder, ""
        if not pattern:
            self._memory.keep(_AS_IT_STANDS)
        elif self._memory.recall() == _AS_IT_STANDS:
            return self._path, ""
        return folder, pattern

    def _members(
        self, folder: Path, pattern: str
    ) -> list[os.DirEntry[str]] | list[Path]:
        """Return the files of a directory or a glob, sorted, so that equal trees read equally.

        Raises `SourceUnavailable` for a glob that never matched anything: it may be meant otherwise.
        """
        try:
            # A missing directory (an unmounted share) must not look like an empty one.
            with os.scandir(folder) as entries:
                if not pattern:
                    calendars = [entry for entry in entries if _is_calendar(entry.name)]
                    return sorted(calendars, key=lambda entry: entry.name)
            found = sorted(
                path for path in folder.glob(pattern) if not path.name.startswith(".")
            )
        except OSError as error:
            raise self._unavailable(f"the directory {folder}", error) from None
        if found:
            self._memory.keep(_MATCHED)
        elif self._memory.recall() != _MATCHED:
            raise SourceUnavailable(
                self.name,
                f"there is no file {self._path}, and as a pattern it never matched one; correct path, or "
                "name the directory, which may be empty",
            )
        return found

    def _document(
        self, file: os.DirEntry[str] | Path, name: str, status: os.stat_result, now: int
    ) -> Document:
        """Return a file that looks as if it could be read, under a name; raise `SourceMalformed`.

        Files of two folders that a glob matches may be called alike, so the name has the folder, too.
        """
        self._require_readable(os.fspath(file), status)
        settled = now - max(status.st_mtime_ns, status.st_ctime_ns) >= _SETTLED_NS
        looks = _looks(status)
        signature = looks if settled else ""
        content = partial(self._blocks, os.fspath(file), signature)
        # Bytes of a name that are no text become \udc80 and the like, which any database and terminal takes.
        name = name.encode("utf-8", "backslashreplace").decode()
        return Document(
            name,
            content,
            signature=signature,
            looks=looks,
            size=status.st_size,
            # That of the inode: a file that was moved here may have been written long ago.
            changed_ms=status.st_ctime_ns // _NS_OF_MS,
        )

    def _blocks(self, file: str, signature: str) -> Iterator[bytes]:
        """Yield the blocks of one state of a file: of the one with this signature, if that is given.

        Begun again if it was written to, as long as nothing of it was handed out.
        """
        path = Path(file)
        for _ in range(_ATTEMPTS):
            handed_out = False
            try:
                # Before it is opened: opening a pipe would wait for its writer.
                before = path.stat()
                self._require_readable(file, before)
                if signature not in ("", _looks(before)):
                    break
                with path.open("rb", buffering=0) as opened:
                    for start in range(0, before.st_size, BLOCK):
                        block = opened.read(BLOCK)
                        cut = start + len(block) < min(start + BLOCK, before.st_size)
                        if cut or not _unchanged(before, os.fstat(opened.fileno())):
                            break
                        yield block
                        handed_out = True
                    else:
                        return
            except OSError as error:
                raise self._unavailable(file, error) from None
            if handed_out:
                break
        raise SourceUnavailable(
            self.name, f"{file} is being written to; it is read in the next cycle"
        )

    def _require_readable(self, name: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise SourceMalformed(
                self.name,
                f"{name} is not a regular file; correct path, or put a calendar there",
            )
        if status.st_size > self._max_bytes:
            raise SourceMalformed(
                self.name,
                f"{name} has {status.st_size} bytes, more than max_bytes "
                f"({self._max_bytes}); raise max_bytes if that is right",
            )

    def _unavailable(self, what: str, error: OSError) -> SourceUnavailable:
        match error:
            case FileNotFoundError():
                reason = "does not exist; its bookings stay until it is there again"
            case PermissionError():
                reason = "may not be read by the user that runs syncd; change its mode or owner"
            case _:
                told = os.strerror(error.errno) if error.errno else type(error).__name__
                reason = f"cannot be read ({told})"
        return SourceUnavailable(self.name, f"{what} {reason}")


def _name_below(beginning: str, path: str) -> str:
    """Return the name of a file below a directory, whose path with a slash is `beginning`."""
    if path.startswith(beginning) and "/../" not in path:
        return path[len(beginning) :]
    return os.path.relpath(path, beginning)


def _is_calendar(name: str) -> bool:
    return name.lower().endswith(".ics") and not name.startswith(".")


def _unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Tell whether an open file is as before; that a replaced file is unlinked changes its ctime alone."""
    same_file = os.path.samestat(before, after)
    same_content = (before.st_size, before.st_mtime_ns) == (
        after.st_size,
        after.st_mtime_ns,
    )
    same_time = before.st_ctime_ns == after.st_ctime_ns or after.st_nlink == 0
    return same_file and same_content and same_time


def _looks(status: os.stat_result) -> str:
    """Return a signature from `stat`; with ctime, which nobody can set and a copy with old mtime changes."""
    times = f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"
    return f"{status.st_dev:x}-{status.st_ino:x}-{status.st_size:x}-{times}"
