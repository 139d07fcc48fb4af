"""How long the owner of a ledger waits while another program keeps it locked, and what is said meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

_WAIT_SAID_AFTER_S, _WAIT_SAID_EVERY_S = 3.0, 60.0
_WAIT_IN_A_STOP_S = 3.0  # to record what a call under way came to


class LedgerPatience:
    """A bounded wait, `longest_s` at most, for a ledger that another program keeps locked; it says so.

    `alive` is called in the thread that waits, every second or so, with what can be said of it.
    """

    def __init__(
        self,
        longest_s: float,
        stopping: Callable[[], bool],
        alive: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._longest_s = longest_s
        self._stopping = stopping
        self._alive = alive
        self._said_at_s: float | None = None  # after so many seconds of this wait
        self._stopping_since: float | None = None  # on the monotonic clock

    def lasts(self, waited_s: float) -> bool:
        """Return whether to wait on after so many seconds."""
        if self._stopping():
            self._stopping_since = self._stopping_since or time.monotonic()
            return time.monotonic() - self._stopping_since < _WAIT_IN_A_STOP_S
        due_s = (
            _WAIT_SAID_AFTER_S
            if self._said_at_s is None
            else self._said_at_s + _WAIT_SAID_EVERY_S
        )
        if waited_s >= due_s:
            self._said_at_s = waited_s
            log.warning(
                "the ledger is locked by another program (an open sqlite3 shell, a backup); waiting for it",
                waited_s=round(waited_s),
            )
        self._alive(
            "waiting for the ledger: another program (an open sqlite3 shell, a backup) keeps it locked"
        )
        return waited_s < self._longest_s

    def over(self, waited_s: float) -> None:
        """Say that it can be used again, if the wait was told of."""
        if self._said_at_s is not None:
            log.info("the ledger can be used again", waited_s=round(waited_s))
        self._said_at_s = None
        self._alive("")
