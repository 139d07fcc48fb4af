"""The clock of a shared ledger, which all its members go by: that of the database, carried on between looks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

_WORTH_SETTING = timedelta(milliseconds=100)


class LedgerClock:
    """The present by the database, as `elapsed` carries it on, a clock in seconds that nobody sets.

    One thread may set it while others ask.
    """

    def __init__(self, now: datetime, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._at_zero = now - timedelta(seconds=elapsed())

    def now(self) -> datetime:
        """Return the present in UTC."""
        return self._at_zero + timedelta(seconds=self._elapsed())

    def set(self, now: datetime) -> None:
        """Go by what the database said just now; what a slow answer makes of it is left out."""
        at_zero = now - timedelta(seconds=self._elapsed())
        if abs(at_zero - self._at_zero) > _WORTH_SETTING:
            self._at_zero = at_zero
