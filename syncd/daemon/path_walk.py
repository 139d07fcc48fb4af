"""Where configured paths lead, component by component, and what `stat` says about the files at their ends.

`syncd.daemon.watcher` compares two walks to see what changed, and subscribes to the directories on the way.
Must not: read a file, or remember anything of a former walk.
"""

# Paths are strings here, because as objects they would be most of the cost of a look.
# ruff: noqa: PTH112, PTH114, PTH115, PTH118, PTH120, PTH208

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections import defaultdict
from pathlib import Path

from syncd.sources.files import is_named_so

# What counts in a directory that is a source, in any letter case.
_CALENDARS = "*.[iI][cC][sS]"
_MAGIC = frozenset("*?[")
_MOST_LINKS = 40  # on one path, as in Linux

Signature = tuple[int, ...]
"""What `stat` says about a file that differs after a change of it, or its errno alone."""


class PathWalk:
    """A walk over paths as the kernel walks them, component by component.

    `files` are the signatures of what is there, by name and not by where links lead: a switched link is a
    changed file. `places` are all directories on the way, those of links too.
    Of a directory that only lists files `entry` tells what one of its names means, without the walk.
    """

    def __init__(self) -> None:
        self.files: dict[str, Signature] = {}
        self.places: defaultdict[str, set[str]] = defaultdict(set)
        # By directory: by which names it was come to, each with the pattern of the files that count in it.
        self._listings: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        # Directories of which an entry decides where the walk goes on.
        self._ways: set[str] = set()
        # Whether something exists under exactly the name that is walked.
        self._literal = False

    def follow(self, path: Path) -> None:
        """Add what an absolute path names: a file, the calendars in a directory, or what a glob matches."""
        root, *parts = path.parts
        if not parts:
            parts = [_CALENDARS]
        self._literal = os.path.lexists(path)
        self._walk(root, root, parts, calendars=True)

    def entry(self, directory: str, name: str) -> dict[str, Signature | None] | None:
        """Return the signatures of the files that a name in a directory stands for now; None for one that is gone.

        None instead of all: that takes a walk, because more than a file may have changed.
        """
        path = os.path.join(directory, name)
        if directory in self._ways or path in self.places:
            return None
        signature: Signature | None = None
        try:
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                return None
            signature = _signature(status)
        except FileNotFoundError:
            pass
        except OSError:
            return None
        files: dict[str, Signature | None] = {}
        for named, pattern in self._listings.get(directory, ()):
            if name == pattern:
                return None  # what looked like a pattern may be a name
            if fnmatch.fnmatchcase(name, pattern) and not name.startswith("."):
                files[os.path.join(named, name)] = signature
        return files

    def _walk(
        self, named: str, directory: str, parts: list[str], *, calendars: bool
    ) -> None:
        """Follow parts from a directory that has no links on its way; in the last one `calendars` count."""
        part, *rest = parts
        is_pattern = has_wildcard(part)
        if is_pattern and calendars:
            # Behind a pattern nothing is taken by its name.
            is_pattern = not self._is_name(part, directory)
        if part == "**" and is_pattern:
            self._walk_deep(named, directory, rest)
            return
        self.places[directory].add(part)
        if is_pattern and not rest:
            self._listings[directory].append((named, part))
        else:
            self._ways.add(directory)
        if not is_pattern:
            self._walk_into(named, directory, part, rest, calendars=calendars)
            return
        for name in self._matches(named, directory, part):
            # Hidden files are those of editors, but `*` may well lead through a hidden directory.
            count = not name.startswith(".")
            self._walk_into(named, directory, name, rest, calendars=False, count=count)

    def _walk_into(
        self,
        named: str,
        directory: str,
        name: str,
        rest: list[str],
        *,
        calendars: bool,
        count: bool = True,
    ) -> None:
        """Follow a name in a directory to a file, which is recorded if it may `count`, or walk on in it."""
        path = os.path.join(named, name)
        try:
            place, status = self._resolve(directory, name)
        except OSError as error:
            self._failed(path, error)
            return
        if not stat.S_ISDIR(status.st_mode):
            if count and not rest:
                self.files[path] = _signature(status)
        elif rest:
            self._walk(path, place, rest, calendars=calendars)
        elif calendars:
            self._walk(path, place, [_CALENDARS], calendars=False)

    def _is_name(self, part: str, directory: str) -> bool:
        """Tell whether what looks like a pattern is a name, as for `syncd.sources`."""
        if self._literal:
            return True
        path = os.path.join(directory, part)
        return is_named_so(part, path)

    def _walk_deep(self, named: str, directory: str, rest: list[str]) -> None:
        """Walk `**`: the directory itself and all below it, links excepted."""
        if not rest:
            return  # matches directories only
        self._walk(named, directory, rest, calendars=False)
        self.places[directory].add("*")
        for name in self._matches(named, directory, "*"):
            below = os.path.join(directory, name)
            if os.path.islink(below) or not os.path.isdir(below):
                continue
            path = os.path.join(named, name)
            self._walk_deep(path, below, rest)

    def _matches(self, named: str, directory: str, pattern: str) -> list[str]:
        """Return the names in a directory that match a pattern; none if it cannot be listed."""
        try:
            names = os.listdir(directory)
        except OSError as error:
            self._failed(named, error)
            return []
        return [name for name in names if fnmatch.fnmatchcase(name, pattern)]

    def _failed(self, named: str, error: OSError) -> None:
        """Record a path that cannot be read under its errno; a missing one gets no signature."""
        number = error.errno
        is_missing = number in (errno.ENOENT, errno.ENOTDIR)
        if number is not None and not is_missing:
            self.files[named] = (number,)

    def _resolve(self, directory: str, name: str) -> tuple[str, os.stat_result]:
        """Return where a name in a directory leads, without links, and its status; raise `OSError`.

        Adds the places that its links lead through.
        """
        todo = [name]
        links = 0
        status: os.stat_result | None = None
        while todo:
            part = todo.pop()
            if part == "..":
                directory = os.path.dirname(directory)
                status = None
                continue
            if links:
                self.places[directory].add(part)
                self._ways.add(directory)
            path = os.path.join(directory, part)
            status = os.lstat(path)
            if not stat.S_ISLNK(status.st_mode):
                directory = path
                continue
            status = None
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(path)
            if target.startswith("/"):
                directory = "/"
            steps = target.split("/")
            steps.reverse()
            todo += (step for step in steps if step not in ("", "."))
        if status is None:
            status = os.lstat(directory)
        return directory, status


def has_wildcard(pattern: str) -> bool:
    """Tell whether a part of a path is a pattern by its looks."""
    return not _MAGIC.isdisjoint(pattern)


def _signature(status: os.stat_result) -> Signature:
    # The time of the inode too: a file may become readable, or be changed with its time kept.
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
