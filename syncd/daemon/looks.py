"""Looks at sources that found nothing new: noted in memory, and told to the ledger together now and then.

`status` shows when a source was looked at last, and nothing else rests on it; so a thousand sources cost one
transaction a minute, and a kill loses a minute of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from syncd.assembly import Service
from syncd.daemon.schedule import Scheduler
from syncd.ledger.measurements import CounterName, Measurements
from syncd.ledger.sources import UnchangedLook


class LookStore(Protocol):
    """What keeps looks; see `syncd.ledger.sources`."""

    def record_looks(self, looks: Iterable[UnchangedLook]) -> None: ...


class UnchangedLooks:
    """The looks that are not in the ledger yet; those of `every` are written together."""

    def __init__(
        self,
        store: LookStore,
        measurements: Measurements,
        every: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._clock = clock
        self._measurements = measurements
        self._every_s = every.total_seconds()
        self._at: dict[str, datetime] = {}  # by source
        self._written_at_s = time.monotonic()

    def take(self, parts: Service, arrived: Iterable[str]) -> frozenset[str]:
        """Take the answers that say nothing new, and return the feeds that gave them: they need no cycle."""
        unchanged = parts.subscriptions.unchanged(arrived)
        known = frozenset(filter(parts.reconciler.knows, unchanged))
        parts.subscriptions.pass_over(known)
        self._at.update(dict.fromkeys(known, self._clock()))
        for name in known:
            self._measurements.add(CounterName.SOURCE_READINGS, name, "unchanged")
        return known

    def drop(self, names: Iterable[str]) -> None:
        """Forget the looks at sources of which a later one is recorded in another way."""
        for name in names:
            self._at.pop(name, None)

    def write_when_due(self, scheduler: Scheduler) -> None:
        """Write what was noted, if the last time is long enough ago."""
        if time.monotonic() - self._written_at_s >= self._every_s:
            self.write(scheduler)

    def write(self, scheduler: Scheduler) -> None:
        """Write what was noted, and when the sources are due again, in one transaction."""
        self._written_at_s = time.monotonic()
        looks = [
            UnchangedLook(name, at, scheduler.next_run(name))
            for name, at in self._at.items()
        ]
        self._store.record_looks(looks)
        self._at = {}
