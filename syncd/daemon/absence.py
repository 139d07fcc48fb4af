"""The time for which a daemon cannot use the ledger that it shares with others.

Nothing is sent to the API meanwhile; what is wrong is said, and it is tried again and again until it is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from syncd.assembly import utc_now
from syncd.config import Config
from syncd.core.backoff import backed_off
from syncd.errors import LedgerError, TermOver
from syncd.ledger import Ledger
from syncd.notices.service import tell_mended, tell_unusable

log = structlog.get_logger(__name__)

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
# A ledger that could be used for so long is lost anew.
_ANEW_AFTER_S = 60.0
_TOLD_AFTER_S = 300.0


_LOST = "the ledger cannot be used; nothing is booked until it can be used again"
_OVER = "the term of this daemon is over"


class LedgerAbsence:
    """What is said of a ledger that cannot be used, and when it is tried again; None of it while it can.

    `elapsed` is a clock in seconds that nobody sets.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._failures = 0  # in a row
        self._since = ""
        self._since_s: float | None = None
        self._next_try_s = 0.0
        self._back_s = 0.0
        self._error: LedgerError | None = None
        self._is_told = False
        self.sentence = ""

    def note(self, error: LedgerError) -> None:
        """Note that the ledger was lost, or that a try to use it failed."""
        now_s = self._elapsed()
        if self._since_s is None:
            self._since_s = now_s
            self._since = f"{utc_now():%Y-%m-%d %H:%M:%S} UTC"
            if now_s - self._back_s > _ANEW_AFTER_S:
                self._failures = 0
            said = _OVER if isinstance(error, TermOver) else _LOST
            log.warning(said, why=str(error))
        # Whoever lost its term is a member again at once, unless that happens again and again.
        pause = backed_off(_FIRST_PAUSE, self._failures, _LONGEST_PAUSE)
        if self._failures == 0 and isinstance(error, TermOver):
            pause = timedelta()
        self._failures += 1
        self._error = error
        self._next_try_s = now_s + pause.total_seconds()
        self.sentence = f"nothing is booked from here since {self._since}: {error}"

    @property
    def pause_s(self) -> float:
        """Return after how many seconds the ledger is tried again."""
        return max(0.0, self._next_try_s - self._elapsed())

    def tell_when_long(self, config: Config) -> None:
        """Tell the receivers of notices once that it lasts for long, in a thread of its own."""
        if self._is_told or self._since_s is None or self._error is None:
            return
        if self._elapsed() - self._since_s > _TOLD_AFTER_S:
            self._is_told = True
            told = threading.Thread(
                target=tell_unusable, args=(config, self._error), daemon=True
            )
            told.start()

    def end(self, config: Config, ledger: Ledger) -> None:
        """Note that the ledger can be used again, and have it told if the contrary was; raise `LedgerError`."""
        if self._is_told:
            tell_mended(config, ledger)
        if self._since_s is not None:
            now_s = self._elapsed()
            away_s = round(now_s - self._since_s)
            log.info("this daemon works on the ledger again", waited_s=away_s)
            self._back_s = now_s
        self._is_told = False
        self._since_s = None
        self._error = None
        self.sentence = ""
