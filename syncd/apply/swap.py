"""Swaps rooms: meetings that want each other's places move, or all stay.

The problem.
The API refuses a reservation in a room that is taken, and it changes one reservation a call.
Two meetings that swap their rooms therefore have no first write: each has to wait for the other.
In general the updates of a plan form a graph, with an edge from the one that leaves a place to the one that
takes it; without a circle its topological order works, and a circle has none (`syncd.core.order`).

What is done.
For each circle one meeting vacates its room for a moment; it keeps its reservation, time and people, and
nobody is notified.
The others then move one after the other, and it takes its new place last.
So a circle of n meetings costs n + 1 calls, like a parallel move of registers in a compiler, which breaks
each circle with one temporary (Rideau, Serpette, Leroy: Tilting at windmills with Coq, 2008).
The changes that begin and end a swap run alone, and while one is open the cycle does not give way.

What else was possible.
To cancel and create anew loses the reservation's id and its approval, and invites everybody again.
To park a meeting in a third room needs one that is free, and shows people a room that is wrong.
To park it at another time shows them a time that is wrong.
To leave a circle alone keeps both meetings in the wrong rooms for ever.

When it fails.
Where the meeting that vacated its room cannot take its new place, because a move before it was refused, it is
put back; before that, those that moved into its room are, so nobody is left without a room because of us.
If somebody else took that room in between, the meeting stays without one until its new place is free.

When the process ends in the middle.
Each move is recorded as an intent before it is sent, so `syncd.apply.settle` finds out which were made.
The next plan starts from what is there: a meeting without a room wants its place like any other, and what is
left of the circle is no circle any more.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from syncd.apply.modify import Modifier
from syncd.apply.records import BookingRecords, log_fields
from syncd.core.booking import Booking
from syncd.core.reasons import Reason
from syncd.errors import NotDone, Refused

log = structlog.get_logger(__name__)


class RoomSwap:
    """The rooms that are vacated in one cycle, and what moved, so that it can be put back."""

    def __init__(self, *, modifier: Modifier, records: BookingRecords) -> None:
        self._modifier = modifier
        self._records = records
        # As they were, by row.
        self._vacating: dict[int, Booking] = {}
        # As they were, by row, in the order of their moves.
        self._moved: dict[int, Booking] = {}
        self._touched: set[int] = set()  # rows of both, also when they were put back

    @property
    def is_open(self) -> bool:
        """Return whether a booking that vacated its room has not got its new place yet."""
        return bool(self._vacating)

    def note_move(self, before: Booking) -> None:
        """Remember a booking, as it was, that was given its new place."""
        row = before.row
        self._vacating.pop(row, None)
        self._moved[row] = before
        self._touched.add(row)

    def has_touched(self, booking: Booking) -> bool:
        """Tell whether a booking is no longer as the plan knows it."""
        return booking.row in self._touched

    def latest(self, booking: Booking) -> Booking:
        """Return a booking of the plan as this cycle has left it."""
        if not self.has_touched(booking):
            return booking
        return self._records.latest(booking)

    def vacate(self, booking: Booking) -> None:
        """Give up a room for a moment; nobody is notified.

        If the API refuses it, the meetings that swap their rooms stay where they are.
        Raises `OutcomeUnknown` and `ApiUnusable`.
        """
        without_room = replace(booking.spec, room_id=None, notice=False)
        try:
            self._modifier.move(booking, without_room, "step aside")
        except (Refused, NotDone) as no:
            fields = log_fields(booking)
            log.warning("does not step aside", error=str(no), **fields)
        else:
            row = booking.row
            self._vacating[row] = booking
            self._touched.add(row)

    def restore(self, row: int) -> None:
        """Put a booking that vacated its room back there, and before that those that took its place.

        So a circle of moves of which one fails leaves nobody without a room.
        """
        before = self._vacating.pop(row, None)
        if before is None:
            return
        self._make_room(before)
        moved = self.latest(before)
        self._put_back(moved, before)

    def _make_room(self, claimant: Booking) -> None:
        """Take back the moves of this cycle that entered the former place of a booking."""
        for row, before in list(self._moved.items()):
            moved = self.latest(before)
            if row not in self._moved:
                continue  # taken back on the way
            if not moved.spec.in_the_way_of(claimant.spec):
                continue
            del self._moved[row]
            self._make_room(before)
            back = self._put_back(moved, before)
            if back is None:
                continue
            detail = "It could not take its new place, because a meeting that is there could not leave."
            waiting = replace(
                back.with_state(back.state, Reason.ROOM_CONFLICT, detail),
                pending=moved.spec,
                blocked_by=claimant.reservation_id,
            )
            self._records.refuse(waiting, was_sent=False)

    def _put_back(self, moved: Booking, before: Booking) -> Booking | None:
        """Give a booking its former content; return it, or None if the API refuses that."""
        try:
            return self._modifier.move(moved, before.spec, "step back")
        except (Refused, NotDone) as no:
            fields = log_fields(moved)
            log.warning("does not step back", error=str(no), **fields)
            return None
