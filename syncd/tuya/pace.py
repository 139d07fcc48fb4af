"""When calls may leave: evenly spaced, for all threads together.

Promises: never faster than the rate, and not slower when there is enough to do: a call that comes a little
late is made up for.
When the API asks one call to wait, all wait, also those that had a turn already.
Must not: know what a call is for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LATEST_SIGNING_S = 30.0
"""A write is signed at most this long after it was asked for; whoever waits for a lost one adds it."""

_LONGEST_LATENESS_S = 0.05  # that is made up for; more would be a burst


class Pace:
    """A rate limiter; turns are given in the order in which threads ask; `sleep` waits so many seconds."""

    def __init__(
        self, requests_per_second: float, sleep: Callable[[float], None]
    ) -> None:
        self._interval_s = 1.0 / requests_per_second
        self._lateness_s = min(self._interval_s, _LONGEST_LATENESS_S)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self._held_until = 0.0
        # Threads that were given a turn and are not done.
        self._holders: set[int] = set()

    def take_turn(self) -> None:
        """Wait for the next turn that nobody has; raise what `sleep` raises."""
        while True:
            self._sleep(self._taken_s())
            if time.monotonic() >= self._held_until:
                return

    def give_back(self) -> None:
        """Give up the turns of this thread, whose call is over."""
        with self._lock:
            self._holders.discard(threading.get_ident())

    def hold(self, seconds: float) -> None:
        """Give no turn for so long; turns that were given and have not come are given anew."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)
            self._next = max(self._next, self._held_until)

    def pause_s(self, underway: int) -> float:
        """Return the seconds until a turn that no call under way has or will ask for."""
        with self._lock:
            asking = max(0, underway - len(self._holders))
            return max(0.0, self._next + asking * self._interval_s - time.monotonic())

    def _taken_s(self) -> float:
        """Take the next turn and return the seconds until it."""
        with self._lock:
            self._holders.add(threading.get_ident())
            now = time.monotonic()
            turn = max(self._next, now - self._lateness_s)
            self._next = turn + self._interval_s
            return max(0.0, turn - now)
