"""How long one cycle of the daemon may write while something else waits."""

from __future__ import annotations

import time

_LEAST_WRITING_S = 0.5  # before a cycle gives way
_BETWEEN_FIRST_READINGS_S = 2.0  # for which a cycle writes while nothing else waits


class WritingTurn:
    """How long the cycle under way has written, and whether that is enough while others wait."""

    def __init__(self) -> None:
        # On the monotonic clock.
        self._began_s = 0.0
        self._writing_since_s: float | None = None

    def begin(self) -> None:
        """Begin a cycle."""
        self._began_s = time.monotonic()
        self._writing_since_s = None

    def is_over(self, *, urgent: bool) -> bool:
        """Tell whether it has written for long enough; the first call is made when it begins to write.

        That is for a quarter of the time that it took to come to that: so it comes further even if wakes
        never end; for longer where what waits is not `urgent`.
        """
        now_s = time.monotonic()
        if self._writing_since_s is None:
            self._writing_since_s = now_s
        until_writing_s = self._writing_since_s - self._began_s
        least_s = max(_LEAST_WRITING_S, until_writing_s / 4)
        if not urgent:
            least_s = max(least_s, _BETWEEN_FIRST_READINGS_S)
        return now_s - self._writing_since_s >= least_s
