"""What the daemon did in an hour, in one line of the log: the world may be quiet, and the log shows that it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import structlog

from syncd.reconciler import DONE, CycleReport, SourceReport

log = structlog.get_logger(__name__)

_SUMS_OF = {"unreadable": "failed", "changed": "changed", "unchanged": "unchanged"}
_NAMES = ("looks", "unchanged", "changed", "failed", "cycles", *DONE)


class Sums:
    """Sums over a `period`, told at its end.

    A look is an answer of a source; it is unchanged, changed (what it says is new) or failed.
    """

    def __init__(self, period: timedelta) -> None:
        self._period_s = period.total_seconds()
        self._began_s = time.monotonic()
        self._counts: Counter[str] = Counter()

    def add_unchanged(self, looks: int) -> None:
        """Count looks that found nothing and needed no cycle."""
        self._counts["looks"] += looks
        self._counts["unchanged"] += looks

    def add_cycle(self, report: CycleReport) -> None:
        """Count a cycle, and the looks that it is about."""
        self._counts["cycles"] += 1
        for name in DONE:
            self._counts[name] += report.counts[name]
        for method, number in report.calls.items():
            self._counts[f"calls_{method.lower()}"] += number
        self.add_readings(report.sources)

    def add_readings(self, sources: Iterable[SourceReport]) -> None:
        """Count looks that came to a reading."""
        for source in sources:
            self._counts["looks"] += 1
            self._counts[_SUMS_OF[source.result]] += 1

    def tell_when_due(self) -> None:
        """Log the sums if the period is over, and begin the next one."""
        now_s = time.monotonic()
        lasted_s = now_s - self._began_s
        if lasted_s < self._period_s:
            return
        told = dict.fromkeys(_NAMES, 0) | self._counts
        log.info("hour", seconds=round(lasted_s), **told)
        self._counts = Counter()
        self._began_s = now_s
