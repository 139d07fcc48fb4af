"""Which requests of a plan the API will refuse, because another meeting of ours holds the room.

A plan asks for what the calendars want; of two meetings that want one room at one time the API lets the first
one have it and refuses the other.
The requests are gone through in the order in which they are made, with the rooms that our bookings hold at that
moment: a booking that stays holds its room, one that is cancelled or moved away has left it, and what was asked
for before holds what it asked for.
What others booked in Tuya is not known here.
The requests are made all the same: what holds a room may have ended in Tuya meanwhile, and the API knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import TypeAlias

from syncd.core.booking import Booking
from syncd.core.changes import Cancel, Create, Plan, Update
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import ReservationSpec

_Slot: TypeAlias = tuple[str, int]
"""A room on a day."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A meeting of ours that holds a room: which it is, and what it has or is to have."""

    key: OccurrenceKey
    spec: ReservationSpec


def foreseen_refusals(
    plan: Plan, bookings: tuple[Booking, ...]
) -> Mapping[int, Holder]:
    """Return who holds the room for each request that will be refused, by its index in the plan's changes.

    `bookings` are all current ones, also those that the plan is not about.
    """
    rooms = _Rooms()
    for booking in bookings:
        rooms.take_in(booking)
    refused: dict[int, Holder] = {}
    for index, change in enumerate(plan.changes):
        match change:
            case Cancel(booking=booking):
                rooms.leave(booking.row)
            case Create():
                holder = rooms.holder_of(change.spec)
                if holder is not None:
                    refused[index] = holder
                else:
                    rooms.hold(0, Holder(change.key, change.spec))
            case Update():
                for vacating in change.vacating:
                    rooms.leave(vacating.row)
                holder = rooms.holder_of(change.spec, change.booking.row)
                if holder is not None:
                    refused[index] = holder
                else:
                    rooms.leave(change.booking.row)
                    rooms.hold(change.booking.row, Holder(change.key, change.spec))
            case _:
                pass
    return refused


class _Rooms:
    """Who holds which room on which day, by the number of the booking; what has none yet has the number 0."""

    def __init__(self) -> None:
        self._held: defaultdict[_Slot, dict[OccurrenceKey, Holder]] = defaultdict(dict)
        self._holder_of: dict[int, Holder] = {}

    def take_in(self, booking: Booking) -> None:
        """Note a booking, if it holds its room or may do so."""
        if booking.may_hold:
            self.hold(booking.row, Holder(booking.key, booking.spec))

    def hold(self, row: int, holder: Holder) -> None:
        """Note that a meeting has its room from now on."""
        for slot in _slots_of(holder.spec):
            self._held[slot][holder.key] = holder
        if row:
            self._holder_of[row] = holder

    def leave(self, row: int) -> None:
        """Note that a booking has left its room."""
        holder = self._holder_of.pop(row, None)
        if holder is not None:
            for slot in _slots_of(holder.spec):
                self._held[slot].pop(holder.key, None)

    def holder_of(self, spec: ReservationSpec, own_row: int = 0) -> Holder | None:
        """Return who is in the way of a meeting in its room; its own booking is not."""
        own = self._holder_of.get(own_row)
        for slot in _slots_of(spec):
            for holder in self._held[slot].values():
                if holder is not own and holder.spec.in_the_way_of(spec):
                    return holder
        return None


def _slots_of(spec: ReservationSpec) -> Iterator[_Slot]:
    """Yield the room with each day (UTC) that a meeting touches, so that few are compared with each other."""
    if spec.room_id is None:
        return
    first = spec.start.astimezone(UTC).toordinal()
    last = spec.end.astimezone(UTC).toordinal()
    for day in range(first, last + 1):
        yield spec.room_id, day
