"""Which changes of a plan are under way together.

They begin in the order of the plan, as many as the pace of the API needs.
One that meets another's room and time, or its meeting, waits until that is done, and so does all after it:
so whatever frees a place is done before what takes it, and of two that want one place the first gets it.
An API that loses an answer is asked one thing at a time until it answers again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Self, TypeAlias

from syncd.core.changes import Cancel, Create, Update
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import ReservationSpec
from syncd.errors import ApiUnusable, ReservationError
from syncd.reconciler.flight import Flight, Steps

Write: TypeAlias = Create | Update | Cancel

_MAX_LOST = 3  # answers in a row before the API counts as unusable
_LONGEST_PAUSE_S = 0.5  # between two looks whether to stop


class Traffic:
    """The changes of one plan that are under way, inside a `with` block.

    `pause_s` gives the seconds until another call may begin beside so many; `stopping` tells whether to end.
    """

    def __init__(self, *, pause_s: Callable[[int], float], stopping: Callable[[], bool]) -> None:
        self._pause_s = pause_s
        self._stopping = stopping
        self._flight: Flight[Write | None] = Flight()
        self._attempts = 0
        self._lost_in_a_row = 0
        self._lost_until = 0  # the last attempt that was begun when an answer was known to be lost

    def __enter__(self) -> Self:
        self._flight.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._flight.__exit__()

    def wait_for_turn(self, change: Write, *, alone: bool = False) -> None:
        """Go on with what is under way until a change may begin (`alone`: until nothing is), or to a stop.

        Raises what the work under way raises.
        """
        while self._flight.land(0):  # what was answered is recorded before more is asked
            pass
        while (pause_s := self._wait_s(change, alone=alone)) > 0 and not self._stopping():
            self._flight.land(min(pause_s, _LONGEST_PAUSE_S))

    def begin(self, steps: Steps[None], change: Write | None = None) -> None:
        """Begin a change, or work that meets none; raises what it raises."""
        self._flight.begin(steps, change)

    def land_all(self) -> None:
        """Go on with what is under way to its end; raises what it raises."""
        while self._flight:
            self._flight.land()

    def give_up(self) -> None:
        """The same after a failure: others may fail for the same reason."""
        while self._flight:
            with suppress(ApiUnusable, ReservationError):
                self._flight.land()

    def attempt(self) -> int:
        """The number of a request that is about to be made, for `lost`."""
        self._attempts += 1
        return self._attempts

    def answered(self) -> None:
        """The API gave a clear answer."""
        self._lost_in_a_row = 0

    def lost(self, attempt: int) -> None:
        """The answer to an attempt was lost; raises `ApiUnusable` when that happens time and again.

        What is lost side by side has one cause, so it counts once.
        """
        if attempt > self._lost_until:
            self._lost_in_a_row += 1
            self._lost_until = self._attempts
        if self._lost_in_a_row >= _MAX_LOST:
            raise ApiUnusable(
                f"The API gave no clear answer {_MAX_LOST} times in a row; what was sent is looked up "
                "in the next cycle, nothing is sent twice."
            ) from None

    def _wait_s(self, change: Write, *, alone: bool) -> float:
        """Seconds until a change may begin; infinite if that depends on what is under way."""
        if self._flight and (alone or self._lost_in_a_row):
            return math.inf
        if any(other is not None and _meet(change, other) for other in self._flight.subjects):
            return math.inf
        return self._pause_s(len(self._flight))


def _meet(one: Write, other: Write) -> bool:
    """Whether two changes concern one meeting, or a room at one time: then their order matters."""
    if _key_of(one) == _key_of(other):
        return True
    return any(mine.in_the_way_of(theirs) for mine in _places_of(one) for theirs in _places_of(other))


def _key_of(change: Write) -> OccurrenceKey:
    return change.booking.key if isinstance(change, Cancel) else change.meeting.key


def _places_of(change: Write) -> list[ReservationSpec]:
    """What a change leaves and what it takes."""
    wanted = None if isinstance(change, Cancel) else change.meeting.spec
    booking = change.booking
    held = (booking.content, booking.pending) if booking and booking.reservation_id else ()
    return [spec for spec in (wanted, *held) if spec is not None]
