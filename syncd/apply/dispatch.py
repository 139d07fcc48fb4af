"""Which changes of a plan are under way together.

They begin in the order in which they come, as many as the pace of the API needs.
A change that conflicts with one under way (the same meeting, or the same room at one time) waits until that
is done, and so does all after it.
So whatever frees a place is done before what takes it, and of two that want one place the first gets it.
An API that loses an answer is asked one thing at a time until it answers again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Self

from syncd.apply.tasks import Task, TaskGroup
from syncd.core.changes import Cancel, Write
from syncd.core.reservation import ReservationSpec
from syncd.errors import ApiUnreachable, ApiUnusable, ReservationError

_MAX_LOST = 3  # answers in a row before the API counts as unusable
_LONGEST_PAUSE_S = 0.5  # between two looks whether to end


class Dispatcher:
    """The changes of one plan that are under way, inside a `with` block.

    `pause_s` gives the seconds until another call may begin beside so many.
    `ending` tells whether no other change is to begin.
    """

    def __init__(
        self, *, pause_s: Callable[[int], float], ending: Callable[[], bool]
    ) -> None:
        self._pause_s = pause_s
        self._ending = ending
        self._tasks: TaskGroup[Write | None] = TaskGroup()
        self._attempts = 0
        self._lost_in_a_row = 0
        # The last attempt that was begun when an answer was known to be lost.
        self._lost_until = 0

    def __enter__(self) -> Self:
        self._tasks.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.__exit__()

    def wait_for_turn(self, change: Write | None, *, alone: bool = False) -> None:
        """Resume what is under way until a change may begin, or until none is to.

        None is what conflicts with nothing. With `alone` it may begin when nothing else is under way.
        Raises what the tasks under way raise.
        """
        # What was answered is recorded before more is asked.
        while self._tasks.resume_next(0):
            pass
        while True:
            pause_s = self._wait_s(change, alone=alone)
            if pause_s <= 0 or self._ending():
                return
            pause_s = min(pause_s, _LONGEST_PAUSE_S)
            self._tasks.resume_next(pause_s)

    def start(self, task: Task[None], change: Write | None = None) -> None:
        """Start the task of a change, or one that conflicts with none; raise what it raises."""
        self._tasks.start(task, change)

    def finish(self) -> None:
        """Resume what is under way until all of it is done; raise what it raises."""
        while self._tasks:
            self._tasks.resume_next()

    def give_up(self) -> None:
        """Do the same after a failure: others may fail for the same reason, which is not raised again."""
        while self._tasks:
            with suppress(ApiUnusable, ReservationError):
                self._tasks.resume_next()

    def next_attempt(self) -> int:
        """Return the number of a change that is about to be sent, for `answer_lost`."""
        self._attempts += 1
        return self._attempts

    def answered(self) -> None:
        """Note that the API gave a clear answer."""
        self._lost_in_a_row = 0

    def answer_lost(self, attempt: int) -> None:
        """Note that the answer to an attempt was lost; raise `ApiUnreachable` at the third in a row.

        What is lost side by side has one cause, so it counts once.
        """
        if attempt > self._lost_until:
            self._lost_in_a_row += 1
            self._lost_until = self._attempts
        if self._lost_in_a_row >= _MAX_LOST:
            raise ApiUnreachable(
                f"The API gave no clear answer {_MAX_LOST} times in a row; what was sent is looked up "
                "in the next cycle, nothing is sent twice."
            ) from None

    def _wait_s(self, change: Write | None, *, alone: bool) -> float:
        """Return the seconds until a change may begin; infinity if that depends on what is under way."""
        one_at_a_time = alone or self._lost_in_a_row > 0
        if one_at_a_time and self._tasks:
            return math.inf
        for other in self._tasks.subjects:
            if change is None or other is None:
                continue  # one of them conflicts with nothing
            if conflict(change, other):
                return math.inf
        return self._pause_s(len(self._tasks))


def conflict(one: Write, other: Write) -> bool:
    """Tell whether two changes concern one meeting, or a room at one time: then their order matters."""
    if one.key == other.key:
        return True
    theirs = places_of(other)
    return any(_is_contested(place, theirs) for place in places_of(one))


def _is_contested(place: ReservationSpec, others: Collection[ReservationSpec]) -> bool:
    return any(place.in_the_way_of(other) for other in others)


def places_of(change: Write) -> list[ReservationSpec]:
    """Return the places that a change leaves, and the one that it takes."""
    places: list[ReservationSpec | None] = []
    if not isinstance(change, Cancel):
        places.append(change.meeting.spec)
    booking = change.booking
    if booking is not None and booking.reservation_id:
        places += [booking.content, booking.pending]
    return [place for place in places if place is not None]
