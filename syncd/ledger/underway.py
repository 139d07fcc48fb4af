"""What a process is working on, in a small file beside the ledger: its end there is known at the next start.

A record is written before each piece of work that could end the process, and replaced when that is done.
Written and never synchronised: a process that is killed leaves what it wrote, and that is what it is for; a
power cut may lose it.
A stop that was asked for is no death: the wish is noted in the first byte, by a signal handler too.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from syncd.errors import SyncdError

_LONGEST = 500  # characters of a UID; whoever looks it up cuts it the same way
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_GOES_ON = b" "
_STOPS = b"s"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A piece of work: on a UID of a source, or on the source as a whole (empty); `digest` is of its text."""

    source: str
    uid: str
    digest: str


class UnderWay:
    """The pieces of work of one process, one for each thread; without a file nothing is kept."""

    def __init__(self, file: Path | None) -> None:
        self._guard = threading.Lock()
        self._current: dict[int, WorkItem] = {}
        self._descriptor: int | None = None
        self._left: tuple[WorkItem, ...] = ()
        if file is not None:
            # What cannot be written now can be no help later.
            with contextlib.suppress(OSError):
                self._descriptor = os.open(file, _FLAGS, 0o600)
                self._left = _read(self._descriptor)
                os.pwrite(self._descriptor, _GOES_ON + b"[]\n", 0)

    def take_left(self) -> tuple[WorkItem, ...]:
        """Return what a former process was working on when it ended without an orderly stop; only once."""
        left = self._left
        self._left = ()
        return left

    def begin(self, source: str, uid: str = "", digest: str = "") -> None:
        """Record that this thread begins a piece of work; the one before is done."""
        item = WorkItem(source, uid[:_LONGEST], digest)
        with self._guard:
            self._current[threading.get_ident()] = item
            self._write()

    def end(self) -> None:
        """Record that this thread is done with its piece of work."""
        with self._guard:
            done = self._current.pop(threading.get_ident(), None)
            if done is not None:
                self._write()

    @contextmanager
    def working(self, source: str, digest: str = "") -> Iterator[None]:
        """Record work on a source while the block lasts; an error that nobody foresaw leaves the record."""
        self.begin(source, "", digest)
        try:
            yield
        except (SyncdError, KeyboardInterrupt, GeneratorExit):
            self.end()
            raise
        self.end()

    def stops(self) -> None:
        """Record that a stop was asked for; may be called by a signal handler."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _STOPS, 0)

    def close(self) -> None:
        """Leave what is written as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self) -> None:
        if self._descriptor is None:
            return
        items = [astuple(item) for item in self._current.values()]
        line = json.dumps(items).encode() + b"\n"
        with contextlib.suppress(OSError):  # a full disk: the ledger itself will tell
            os.pwrite(self._descriptor, line, 1)


def _read(descriptor: int) -> tuple[WorkItem, ...]:
    """Return the pieces of work in a file; none if its process was stopped, or if it makes no sense."""
    written = os.pread(descriptor, 1 << 16, 0)
    if written[:1] != _GOES_ON:
        return ()
    line, _, _ = written[1:].partition(b"\n")
    items: list[WorkItem] = []
    with contextlib.suppress(ValueError, TypeError):
        for values in json.loads(line):
            texts = map(str, values)
            items.append(WorkItem(*texts))
        return tuple(items)
    return ()
