"""What a process and all that descend from it use: processor time and memory, read from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_S = 0.05
_SAMPLES_A_PSS = 10
"""The kernel walks over all pages of a process to tell its PSS, so that is asked less often."""

# Places of proc(5), stat, counted from the field behind the name of the program.
_TIMES = slice(11, 15)


class Memory(NamedTuple):
    """Bytes of a tree: `rss` counts a page in each process that has it, `pss` in equal shares."""

    rss: int
    pss: int

    def or_more(self, other: Memory) -> Memory:
        """Return the larger of both, each figure by itself."""
        return Memory(max(self.rss, other.rss), max(self.pss, other.pss))


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it; those that ended meanwhile may be among them."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def cpu_s(pid: int) -> float:
    """Return the seconds of processors that a tree used until now.

    Each process counts with the children that it waited for, so what ended is in it.
    """
    ticks = 0
    for member in tree(pid):
        with suppress(OSError):
            stat = Path(f"/proc/{member}/stat").read_text()
            fields = stat.rpartition(")")[2].split()
            ticks += sum(map(int, fields[_TIMES]))
    return ticks / _TICKS


def rss(pid: int) -> int:
    """Return the bytes that the processes of a tree have in memory now, shared pages once for each."""
    return sum(map(_rss, tree(pid)))


def pss(pid: int) -> int:
    """Return the bytes that a tree has in memory now, each page in equal shares for all that have it."""
    return sum(map(_pss, tree(pid)))


def memory(pid: int) -> Memory:
    """Return what a tree has in memory now."""
    return Memory(rss(pid), pss(pid))


def _rss(pid: int) -> int:
    """Return the bytes of a process in memory; none if it is gone."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _pss(pid: int) -> int:
    """Return its share of bytes in memory; none if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class MemoryPeak:
    """The most that a tree had at one moment, as sampled while the context lasts."""

    def __init__(self, pid: int) -> None:
        self.memory = Memory(0, 0)
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        number = 0
        while not self._ended.wait(_SAMPLE_S):
            asks_pss = number % _SAMPLES_A_PSS == 0
            found = Memory(rss(self._pid), pss(self._pid) if asks_pss else 0)
            self.memory = self.memory.or_more(found)
            number += 1
