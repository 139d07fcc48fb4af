"""Runs a process and tells what it took: time, processor time, memory of it and of those it started."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import process_tree

_SAMPLE_S = 0.02


@dataclass(frozen=True)
class Figures:
    """What one case took: times in seconds, memory in MB of a million bytes.

    `api_s` are those of `wall_s` in which a call to the API was under way; `understood` counts UIDs.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    api_s: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)
    understood: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    opened_s: float = 0.0
    rounds: int = 1

    @property
    def own_s(self) -> float:
        """Seconds without those in which the API was waited for."""
        return self.wall_s - self.api_s


def middle(rounds: Sequence[Figures]) -> Figures:
    """The medians of several rounds, each figure by itself; what is counted is that of the last one."""
    last = rounds[-1]
    own = median(one.own_s for one in rounds)
    api = median(one.api_s for one in rounds)
    return Figures(
        wall_s=own + api,
        cpu_s=median(one.cpu_s for one in rounds),
        peak_mb=median(one.peak_mb for one in rounds),
        api_s=api,
        calls=last.calls,
        understood=last.understood,
        counts=last.counts,
        opened_s=median(one.opened_s for one in rounds),
        rounds=len(rounds),
    )


class Peak:
    """The most memory that a process and all that descend from it had at one moment, as sampled.

    Pages that several of them share count several times, so the truth is never more.
    """

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def restart(self) -> None:
        """Forget what was seen so far."""
        self.bytes = 0

    def end(self) -> float:
        """Look no more; the peak in MB."""
        self._ended.set()
        self._thread.join()
        return self.bytes / 1e6

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.bytes = max(self.bytes, process_tree.rss(self._pid))


def run_measured(command: Sequence[str | Path]) -> tuple[Figures, str]:
    """Run a program to its end: what it took as a whole, and its standard output.

    Raises `RuntimeError` with the end of what it said if it fails.
    """
    began, cpu_before_s = time.perf_counter(), _cpu_of_ended_s()
    with _started(command) as process:
        peak = Peak(process.pid)
        out, err = process.communicate()
        wall_s = time.perf_counter() - began
        figures = Figures(wall_s, _cpu_of_ended_s() - cpu_before_s, peak.end())
    if process.returncode:
        raise RuntimeError(
            f"{command[0]} ended with {process.returncode}:\n{err[-2000:]}{out[-2000:]}"
        )
    return figures, out


def cycle(
    configuration: Path,
    now: datetime,
    *,
    later_h: float = 0.0,
    compares: bool = False,
    between: Callable[[], object] | None = None,
    profile: Path | None = None,
) -> Figures:
    """What one cycle takes in a process of its own; raises `RuntimeError` if it comes to no good end.

    With `between` the process has been through a cycle before; what is to be found is done by `between`.
    """
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.child",
        str(configuration),
        "--now",
        now.isoformat(),
    ]
    command += ["--later", str(later_h), *(["--living"] if between else [])]
    # Before its first creates a process asks the API for them; one that lives for long has done so.
    command += ["--compared"] if between and later_h else []
    command += ["--compares"] if compares else []
    command += ["--profile", str(profile)] if profile else []
    with _started(command) as process:
        peak = Peak(process.pid)
        if between is not None:
            assert process.stdout is not None  # both are pipes
            assert process.stdin is not None
            process.stdout.readline()
            between()
            peak.restart()
            if process.poll() is None:
                process.stdin.write("go\n")
                process.stdin.flush()
        out, err = process.communicate()
        sampled_mb = peak.end()
    if process.returncode:
        raise RuntimeError(f"the cycle ended with {process.returncode}:\n{err[-2000:]}")
    said: dict[str, Any] = json.loads(out)
    if said["error"]:
        raise RuntimeError(f"the cycle came to no good end: {said['error']}")
    return Figures(
        wall_s=said["wall_s"],
        cpu_s=said["cpu_s"],
        peak_mb=max(sampled_mb, said["own_peak_kb"] * 1024 / 1e6),
        api_s=said["api_s"],
        calls=said["calls"],
        understood=said["understood"],
        counts=said["counts"],
        opened_s=said["opened_s"],
    )


def _cpu_of_ended_s() -> float:
    """Seconds of processors used by all processes that this one started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _started(command: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes; one that is still there at the end is killed."""
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
