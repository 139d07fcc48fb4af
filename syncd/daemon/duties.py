"""What makes a cycle due although no source says anything new.

That is a moment, the end of a rest of the API, the word of a person, and a clock that was set: by a clock
that shows another time what is due and what is over is something else, and it may be wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from syncd.core.backoff import backed_off
from syncd.daemon.schedule import CLOCK_WAS_SET_S, clock_offset_s

# Between looks at what persons left in the ledger.
LOOK_EVERY_S = 2.0
# Of an API that cannot be used.
_FIRST_REST = timedelta(seconds=15)
_LONGEST_REST = timedelta(minutes=15)


class OrderStore(Protocol):
    """What keeps the orders of persons for the next cycle; see `syncd.ledger.people`."""

    def version(self) -> object: ...
    def approved(self) -> object: ...
    def decisions(self) -> object: ...
    def acknowledgements(self) -> object: ...


class ApiRest:
    """The time for which the API is left alone, because it could not be used."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._failures = 0  # in a row
        self.until: datetime | None = None

    def note(self, *, failed: bool) -> None:
        """Note how a cycle ended; after each failure in a row the rest is longer."""
        self.until = None
        if not failed:
            self._failures = 0
            return
        self._failures += 1
        rest = backed_off(_FIRST_REST, self._failures, _LONGEST_REST)
        self.until = self._clock() + rest

    def end(self) -> None:
        """Let the API be used at once."""
        self.until = None

    @property
    def is_going_on(self) -> bool:
        """Return whether the API is left alone now."""
        if self.until is None:
            return False
        return self._clock() < self.until


class Duties:
    """What the last cycle took into account, and whether another one is due since.

    `due_at` is when the next one is due by `clock`, as the last one said.
    `clock_offset_s` tells how far that clock is ahead of a steady one.
    """

    def __init__(
        self,
        people: OrderStore,
        clock: Callable[[], datetime],
        clock_offset_s: Callable[[], float] = clock_offset_s,
    ) -> None:
        self.api_rest = ApiRest(clock)
        self.due_at: datetime | None = None
        self._clock = clock
        self._people = people
        self._orders: object = None  # those that the last cycle knew
        self._read: object = (
            None  # those that were read last, from this version of the ledger
        )
        self._version: object = None
        self._look_again_at_s = 0.0  # at them, on the monotonic clock
        self._offset_of_now_s = clock_offset_s
        self._clock_offset_s = clock_offset_s()

    def begin_cycle(self) -> None:
        """Note what a cycle that begins now takes into account."""
        self._orders = self._orders_now()
        self._clock_offset_s = self._offset_of_now_s()

    def is_any_due(self) -> bool:
        """Return whether a cycle is due: by the clock, for a person, or because the clock was set."""
        if self._is_time() or self._was_clock_set():
            return True
        now_s = time.monotonic()
        if now_s < self._look_again_at_s:
            return False
        self._look_again_at_s = now_s + LOOK_EVERY_S
        return self._orders != self._orders_now()

    def pause_s(self) -> float:
        """Return how long nothing is due, at most until persons are to be heard again."""
        due = self._next()
        if due is None:
            return LOOK_EVERY_S
        pause_s = (due - self._clock()).total_seconds()
        return min(max(pause_s, 0.0), LOOK_EVERY_S)

    def _next(self) -> datetime | None:
        """Return when a cycle is due by the clock, also after a failure; None before the first one."""
        return self.api_rest.until or self.due_at

    def _is_time(self) -> bool:
        due = self._next()
        return due is not None and due <= self._clock()

    def _was_clock_set(self) -> bool:
        set_by_s = self._offset_of_now_s() - self._clock_offset_s
        return abs(set_by_s) > CLOCK_WAS_SET_S

    def _orders_now(self) -> object:
        """Return what persons left for the next cycle, with `approve`, `resolve` and `ack`."""
        people = self._people
        version = people.version()
        if version != self._version:
            self._read = (
                people.approved(),
                people.decisions(),
                people.acknowledgements(),
            )
            self._version = version
        return self._read
