"""The process in which a cycle is measured: one case, one figure, then it ends.

Builds the parts as the service does, with a clock that stands where the case wants it, and prints a JSON
document.
With `--living` other cycles come before the one that is measured, as in a daemon that has been there for
long: it then prints `ready` and waits for a line, so that calendars can be changed in between.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import inspect
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

# First, as in the program: it keeps structlog from loading what draws tracebacks, which is 5 MB.
from syncd import log  # isort: split

from syncd import assembly
from syncd.assembly import open_ledger
from syncd.config import load
from syncd.ics import ParsedSeries, ParserPool, RawEvent
from syncd.ics.ahead import ParsingAhead
from syncd.ledger.facts import COMPARED_AT
from syncd.tuya import TuyaApi

_CYCLES_BEFORE = (
    2  # the first one loads what is known, the second one is as all that follow
)


class CallTime:
    """Counts the seconds during which at least one call to the API was under way."""

    def __init__(self, api: TuyaApi) -> None:
        self.seconds = 0.0
        self._under_way = 0
        self._since = 0.0
        self._lock = threading.Lock()
        for name, method in inspect.getmembers(api, inspect.ismethod):
            if not name.startswith("_") and name not in {"armed", "close"}:
                setattr(api, name, partial(self._timed, method))

    def _timed(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        with self._lock:
            if not self._under_way:
                self._since = time.perf_counter()
            self._under_way += 1
        try:
            return method(*arguments, **named)
        finally:
            with self._lock:
                self._under_way -= 1
                if not self._under_way:
                    self.seconds += time.perf_counter() - self._since


class Understandings:
    """Counts the UIDs that are parsed, wherever that is done."""

    def __init__(self) -> None:
        self.count = 0
        parse_all = ParserPool.parse_all

        def counted(
            pool: ParserPool,
            work: Mapping[str, Sequence[RawEvent]],
            *given: Any,
            **named: Any,
        ) -> Iterator[ParsedSeries]:
            self.count += len(work)
            return parse_all(pool, work, *given, **named)

        finish = ParsingAhead.finish

        def counted_ahead(ahead: ParsingAhead, *given: Any) -> dict[str, ParsedSeries]:
            found = finish(ahead, *given)
            self.count += len(found)
            return found

        # What is handed to worker processes cannot be counted in them.
        ParserPool.parse_all = counted  # type: ignore[assignment,method-assign]  # to count
        ParsingAhead.finish = counted_ahead  # type: ignore[assignment,method-assign]  # to count


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.child")
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument(
        "--later",
        type=float,
        default=0.0,
        help="hours that pass before what is measured",
    )
    parser.add_argument("--living", action="store_true")
    parser.add_argument(
        "--compared", action="store_true", help="the first cycle compares with the API"
    )
    parser.add_argument(
        "--compares", action="store_true", help="the one that is measured does"
    )
    parser.add_argument("--profile", type=Path)
    wanted = parser.parse_args()
    gc.set_threshold(20_000)  # as in the program
    config = load(wanted.configuration)
    log.configure("json", "info")
    began = time.monotonic()
    passed = timedelta()

    def now() -> datetime:
        present: datetime = (
            wanted.now + passed + timedelta(seconds=time.monotonic() - began)
        )
        return present

    opening = time.perf_counter()
    with open_ledger(config, owner=True) as ledger:
        assembly.utc_now = (
            now  # the service itself knows no other clock than the machine's
        )
        parts = assembly.assemble(
            config,
            ledger,
            owner=True,
            pool=ParserPool(keep=False),
            stopping=lambda: False,
        )
        opened_s = time.perf_counter() - opening
        if wanted.living:
            if wanted.compared:
                ledger.facts.set(COMPARED_AT, None)
            for _ in range(_CYCLES_BEFORE):
                parts.reconciler.cycle()
            _say("ready")
            sys.stdin.readline()
            # The peak of memory begins anew: proc(5).
            Path("/proc/self/clear_refs").write_text("5")
        if wanted.compares:
            ledger.facts.set(COMPARED_AT, None)
        passed = timedelta(hours=wanted.later)
        call_time, understandings = CallTime(parts.api), Understandings()
        with _profiled(wanted.profile):
            cpu, wall = _cpu_s(), time.perf_counter()
            report = parts.reconciler.cycle()
            wall, cpu = time.perf_counter() - wall, _cpu_s() - cpu
        parts.api.close()
    _say(
        json.dumps(
            {
                "wall_s": wall,
                "api_s": call_time.seconds,
                "cpu_s": cpu,
                "opened_s": opened_s,
                "own_peak_kb": _peak_kb(),
                "calls": dict(report.calls),
                "understood": understandings.count,
                "counts": dict(report.counts),
                "error": report.error
                or "; ".join(s.error for s in report.sources if s.error)
                or None,
            }
        )
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cpu_s() -> float:
    """Seconds of processors used by this process and by those that it started and that ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(
            resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
    )


def _peak_kb() -> int:
    """The most memory that this process had at once; unlike ru_maxrss without that of who started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise OSError("/proc/self/status has no VmHWM; the benchmark needs a usual Linux")


@contextmanager
def _profiled(to: Path | None) -> Iterator[None]:
    if to is None:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    profile.dump_stats(to)


if __name__ == "__main__":
    main()
