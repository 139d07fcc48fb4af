"""The API's clock, as far as its answers tell, and a steady clock that counts on from there.

Promises: what it says never follows the clock of this machine, which people and programs set, and goes on
while the machine sleeps.
Must not: decide what follows from a clock that is wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from syncd.core.apitime import ApiTime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTLIER_S = 60.0  # no honest answer is off by more, and no clock drifts so much between two answers
_LAST_MS = 253_370_764_800_000  # the year 9999; what lies beyond is no time


def steady() -> float:
    """Return the seconds since this machine started, those that it slept included (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ApiClock:
    """A clock set by each answer that tells the API's time; may be used from several threads.

    One answer that contradicts those before it may come from elsewhere, such as a cache, and is left out; two
    that agree are believed.
    """

    def __init__(self, elapsed: Callable[[], float] = steady) -> None:
        self.elapsed = elapsed
        self._lock = threading.Lock()
        self._anchor: tuple[int, float, float] | None = (
            None  # the API's ms; when asked, when answered
        )
        self._outlier_s: float | None = (
            None  # how far the last answer was off, if it was left out
        )

    def note(self, server_ms: int, asked_s: float, *, certain: bool = False) -> None:
        """Take the time that an answer told, just now, to a request of a moment of the steady clock.

        `certain`: the API refused a request because of its time, so it means what it says.
        """
        if not 0 < server_ms < _LAST_MS:
            return
        with self._lock:
            answered_s = self.elapsed()
            off_s = 0.0
            if self._anchor is not None and not certain:
                known_ms, _, known_at_s = self._anchor
                since_s = answered_s - known_at_s
                off_s = (server_ms - known_ms) / 1000 - since_s
            is_first = (
                self._outlier_s is None or abs(off_s - self._outlier_s) > _OUTLIER_S
            )
            if abs(off_s) > _OUTLIER_S and is_first:
                self._outlier_s = off_s
                return
            self._outlier_s = None
            self._anchor = server_ms, asked_s, answered_s

    def forget(self) -> None:
        """Believe the next answer, whatever the former ones said."""
        with self._lock:
            self._anchor = self._outlier_s = None

    def now(self) -> ApiTime | None:
        """Return the present at the API; None before the first answer that told it."""
        with self._lock:
            anchor = self._anchor
        if anchor is None:
            return None
        server_ms, asked_s, answered_s = anchor
        now_s = self.elapsed()
        told = _EPOCH + timedelta(milliseconds=server_ms)
        earliest = told + timedelta(seconds=max(0.0, now_s - answered_s))
        latest = told + timedelta(seconds=max(0.0, now_s - asked_s))
        return ApiTime(earliest, max(earliest, latest), now_s)
