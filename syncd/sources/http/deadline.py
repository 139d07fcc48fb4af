"""The moment at which a reading has to be over, asked wherever something is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from syncd.sources.http.fault import FeedFault

_SLICE_S = 0.5  # how late a wish to stop may be noticed


class Deadline:
    """The moment at which a reading has to be over; `who` in its sentences is the host that is waited for."""

    def __init__(self, timeout_s: float, stopping: Callable[[], bool]) -> None:
        self._timeout_s = timeout_s
        self._until = time.monotonic() + timeout_s
        self._stopping = stopping

    def slice_s(self, who: str) -> float:
        """Return how long to wait before asking again, always above 0; raise `FeedFault` when it is over."""
        if self._stopping():
            raise FeedFault(
                f"{who} was not read because syncd is stopping; it is read after the next start"
            )
        left_s = self.left_s
        if left_s <= 0:
            raise FeedFault(
                f"{who} was not read within its timeout of {self._timeout_s:g} s; "
                "raise timeout if the calendar is large or its server slow"
            )
        return min(left_s, _SLICE_S)

    @property
    def left_s(self) -> float:
        """Return the seconds that are left; not above 0 when the deadline is over."""
        return self._until - time.monotonic()
