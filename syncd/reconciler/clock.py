"""Judges the clock of this machine by that of the API, before anything is decided by it.

What is over, near or due is told by the clock of this machine; one that is far off would end meetings that
are to come, or not see those that are there.
Asks the API for its time only where a call is made anyway, or something is to be written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from syncd.apply.ports import Api
from syncd.core.apitime import ApiTime
from syncd.errors import ClockWrong
from syncd.ledger.facts import CLOCK_OFFSET, FactStore
from syncd.reconciler.ports import Ledger

log = structlog.get_logger(__name__)

SAID = timedelta(minutes=5)
"""How far the clock may be off before it is said; the API does not accept requests farther off."""

FARTHEST = timedelta(days=1)
"""How far the clock may be off before nothing is written any more."""

_CURE = "set the clock (NTP: timedatectl set-ntp true)"


class ClockCheck:
    """Compares the two clocks for one process; `sentence` says what is wrong, empty when all is well."""

    def __init__(self, api: Api, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._ledger = ledger
        self._clock = clock
        self._said = timedelta()
        self.sentence = ""
        self.is_judged = False

    def judge(self, *, ask: bool) -> None:
        """Compare, with `ask` also when that takes a call.

        Raises `ClockWrong` when the clock is farther off than `FARTHEST`, and `ApiUnusable`.
        """
        known = self._api.time() if ask else self._api.time_if_known()
        if known is None:
            return
        self.is_judged = False
        ahead = self._ahead_of(known)
        if abs(ahead) > FARTHEST:
            # Nothing is asked any more once the clock is wrong, so what that rests on is asked each time.
            ahead = self._ahead_of(self._api.ask_time())
        self._say(ahead if abs(ahead) > SAID else timedelta())
        if abs(ahead) > FARTHEST:
            raise ClockWrong(self.sentence)
        self.is_judged = True

    def _ahead_of(self, known: ApiTime) -> timedelta:
        """Return how far our clock is ahead of the API's at least; negative when it is behind."""
        now = self._clock()
        if now > known.latest:
            return now - known.latest
        if now < known.earliest:
            return now - known.earliest
        return timedelta()

    def _say(self, ahead: timedelta) -> None:
        """Say a change: that the clock is off, by how much otherwise, or that it is right again."""
        self.sentence = _sentence(ahead)
        known = self._ledger.facts.get(CLOCK_OFFSET) or timedelta()
        if _is_another(known, ahead):
            self._ledger.facts.set(CLOCK_OFFSET, ahead or None)
        if not _is_another(self._said, ahead):
            return
        self._said = ahead
        if ahead:
            ahead_s = round(ahead.total_seconds())
            log.warning("clock", message=self.sentence, ahead_s=ahead_s)
        else:
            told = "The clock of this machine is right again."
            log.info("clock", message=told, ahead_s=0)


def _is_another(before: timedelta, ahead: timedelta) -> bool:
    """Tell whether an offset of the clock is worth to be said after another one."""
    if bool(before) != bool(ahead):
        return True
    return abs(before - ahead) > SAID


def clock_told(facts: FactStore) -> tuple[str, bool]:
    """Return what was said of the clock last, empty when it was right, and whether nothing is written."""
    ahead = facts.get(CLOCK_OFFSET) or timedelta()
    is_too_far = abs(ahead) > FARTHEST
    return _sentence(ahead), is_too_far


def _sentence(ahead: timedelta) -> str:
    if not ahead:
        return ""
    amount = abs(ahead)
    direction = "ahead of" if ahead > timedelta() else "behind"
    off = f"{_amount(amount)} {direction} that of the API"
    if amount > FARTHEST:
        return f"The clock of this machine is {off}, so nothing is written until it is right: {_CURE}."
    return f"The clock of this machine is {off}: {_CURE}."


def _amount(much: timedelta) -> str:
    if much > FARTHEST:
        return f"{much / timedelta(days=1):.0f} days"
    if much > timedelta(hours=2):
        return f"{much / timedelta(hours=1):.0f} hours"
    return f"{much / timedelta(minutes=1):.0f} minutes"
