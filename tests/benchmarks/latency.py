"""How long after the end of a write a change is in the API: a daemon with a hundred calendars.

From the moment in which a changed file takes its place by a rename to the moment in which the sandbox has
carried out the call; then the same while another calendar, of which nearly nothing is known, is read.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.generator import Archive, Edit
from tests.benchmarks.measuring import run_measured
from tests.benchmarks.office import SETTLED_S, Office

_SOURCES, _EVENTS = 100, 1000
_LARGE, _SMALL = 100_000, 20  # events of the one calendar that grows
_EDITS = 20
_HORIZON_DAYS = 10
_PATIENCE_S = 120.0
_BEGINS_S = 1.0  # after so long the large calendar is being read
_NEARLY_OVER = timedelta(days=340)
"""So far back the large calendar lies that it has to be read, but leaves little to book."""


def measure(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds until each edit was in the API, alone and beside a large first reading."""
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    archives = [Archive(_EVENTS, now, name=f"s{number}") for number in range(_SOURCES)]
    large = Archive(_LARGE, now - _NEARLY_OVER, name="large")
    folder.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        archive.write(folder / f"{archive.name}.ics")
    (folder / "s0.ics").rename(folder / "s0.new")
    replace(archives[0], events=_EVENTS // 2).write(folder / "s0.ics")
    large.write(folder / "large.new")
    replace(large, events=_SMALL).write(folder / "large.ics")
    office = Office(
        folder,
        [room for archive in (*archives, large) for room in archive.rooms],
        [
            (archive.name, folder / f"{archive.name}.ics")
            for archive in (*archives, large)
        ],
    )
    office.restore("empty")
    writes: queue.SimpleQueue[float] = queue.SimpleQueue()

    def note(line: str) -> None:
        # An edit changes what is booked; what the large calendar holds is created.
        if line.split(maxsplit=1)[0] == "PUT":
            writes.put(time.monotonic())

    time.sleep(SETTLED_S)
    with office.sandbox(horizon_days=_HORIZON_DAYS, log=note):
        say(f"booking what {_SOURCES} calendars of {_EVENTS} events hold")
        booking, out = run_measured(office.command("once", "--json"))
        say(f"{json.loads(out)['counts']['created']} booked in {booking.wall_s:.0f} s")
        with _daemon(office) as cycles:
            edits = _edits(archives[1:], folder)
            # A process looks for what is booked before its first creates; one that lives for long did so.
            (folder / "s0.new").rename(folder / "s0.ics")
            cycles.until(lambda: any("s0" in names for names in cycles.done[1:]))
            _until_quiet(cycles)
            alone = [_until_written(next(edits), writes, cycles) for _ in range(_EDITS)]
            say(f"alone: {_told(alone)}")
            before = len(cycles.done)

            def is_read() -> bool:
                return any("large" in names for names in cycles.done[before:])

            began = time.monotonic()
            (folder / "large.new").rename(folder / "large.ics")
            time.sleep(_BEGINS_S)
            beside: list[float] = []
            while len(beside) < _EDITS and not is_read():
                beside.append(_until_written(next(edits), writes, cycles, quiet=False))
            cycles.until(is_read)
            reading_s = time.monotonic() - began
            say(
                f"beside {_LARGE} new events being read ({reading_s:.1f} s): {_told(beside)}"
            )
    return {"alone": alone, "beside": beside, "reading_s": reading_s}


class _Cycles:
    """What a daemon logs: the sources that each finished cycle read."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.done: list[set[str]] = []
        self._process = process
        self._reading: set[str] = set()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        assert self._process.stderr is not None  # it is a pipe
        for line in self._process.stderr:
            said = json.loads(line) if line.startswith("{") else {}
            if said.get("event") == "source" and said["state"] != "unreadable":
                self._reading.add(said["source"])
            elif said.get("event") == "cycle":
                self.done.append(self._reading)
                self._reading = set()

    def end(self) -> None:
        """Ask the daemon to stop, and hear it out."""
        self._process.terminate()
        self._thread.join()

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is so; raises `RuntimeError` if it does not become so."""
        deadline = time.monotonic() + _PATIENCE_S
        while not true():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "the daemon ended, or did not do what was waited for"
                )
            time.sleep(0.01)


@contextmanager
def _daemon(office: Office) -> Iterator[_Cycles]:
    with subprocess.Popen(
        office.command("run"), stderr=subprocess.PIPE, text=True
    ) as process:
        cycles = _Cycles(process)
        try:
            cycles.until(lambda: bool(cycles.done))
            yield cycles
        finally:
            cycles.end()


def _edits(archives: list[Archive], folder: Path) -> Iterator[tuple[Path, Path]]:
    """One event of one calendar after another, written beside the file that it is to replace."""
    for archive in archives:
        new = folder / "changed.new"
        coming = archive.coming(_HORIZON_DAYS)
        if coming:
            archive.write(new, Edit(changed=frozenset(coming[-1:])))
            yield new, folder / f"{archive.name}.ics"
    raise RuntimeError("every calendar was edited, and there is none left")


def _until_written(
    edit: tuple[Path, Path],
    writes: queue.SimpleQueue[float],
    cycles: _Cycles,
    *,
    quiet: bool = True,
) -> float:
    """Let a changed file take its place; seconds until its change was in the API."""
    new, place = edit
    while not writes.empty():
        writes.get()
    new.rename(place)
    began = time.monotonic()
    taken = writes.get(timeout=_PATIENCE_S) - began
    if quiet:
        _until_quiet(cycles)
    return taken


def _until_quiet(cycles: _Cycles) -> None:
    """Until no cycle has ended for a moment."""
    seen = -1
    while seen != len(cycles.done):
        seen = len(cycles.done)
        time.sleep(0.5)


def _told(seconds: list[float]) -> str:
    if not seconds:
        return "no edit"
    ranked = sorted(seconds)
    return (
        f"median {median(ranked) * 1000:.0f} ms, p95 {ranked[int(0.95 * (len(ranked) - 1))] * 1000:.0f} ms, "
        f"max {ranked[-1] * 1000:.0f} ms of {len(ranked)} edits"
    )
