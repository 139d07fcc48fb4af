"""Which changes of a plan are under way together.

They begin in the order of the plan, as many as the pace of the API needs; only what is new and little goes
before what a cycle left that gave way, as far as they do not meet.
One that meets another's room and time, or its meeting, waits until that is done, and so does all after it:
so whatever frees a place is done before what takes it, and of two that want one place the first gets it.
An API that loses an answer is asked one thing at a time until it answers again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Self, TypeAlias

from syncd.apply.tasks import Flight, Steps
from syncd.core.changes import Cancel, Create, Plan, Update, uid_of
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import ReservationSpec
from syncd.errors import ApiUnusable, ReservationError

Write: TypeAlias = Create | Update | Cancel

_MAX_LOST = 3  # answers in a row before the API counts as unusable
_FEW = 20  # changes; more have to wait like others
_LONGEST_PAUSE_S = 0.5  # between two looks whether to end


class Traffic:
    """The changes of one plan that are under way, inside a `with` block.

    `pause_s` gives the seconds until another call may begin beside so many; `ending` tells whether no other
    is to begin.
    """

    def __init__(self, *, pause_s: Callable[[int], float], ending: Callable[[], bool]) -> None:
        self._pause_s = pause_s
        self._ending = ending
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
        """Go on with what is under way until a change may begin (`alone`: until nothing is), or none is to.

        Raises what the work under way raises.
        """
        while self._flight.land(0):  # what was answered is recorded before more is asked
            pass
        while (pause_s := self._wait_s(change, alone=alone)) > 0 and not self._ending():
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


def parted(plan: Plan, left: Collection[str]) -> tuple[Sequence[Write], Sequence[Write]]:
    """The changes of a plan that go first and in one go, and the others.

    First goes what a person released, because the word for it is spent; or what is new and little, when
    changes of the UIDs `left` were left before.
    Of two changes that meet, the order stays; meetings that take each other's places stay together.
    """
    writes = plan.writes
    if plan.released:
        creates = [change for change in writes if isinstance(change, Create)]
        return writes[: len(writes) - len(creates)], creates  # which come last
    if not left:
        return (), writes
    new: list[Write] = []
    others: list[Write] = []
    keys: set[OccurrenceKey] = set()
    places: defaultdict[str | None, list[ReservationSpec]] = defaultdict(list)
    for change in writes:
        own = _places_of(change)
        if (
            uid_of(change) in left
            or _key_of(change) in keys
            or (isinstance(change, Update) and change.aside)
            or any(mine.in_the_way_of(theirs) for mine in own for theirs in places[mine.room_id])
        ):
            others.append(change)
            keys.add(_key_of(change))
            for place in own:
                places[place.room_id].append(place)
        else:
            new.append(change)
            if len(new) > _FEW:
                return (), writes
    return new, others


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
