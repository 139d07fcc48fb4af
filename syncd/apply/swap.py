"""Meetings that take each other's places: one steps aside, and all go back when one of them cannot move.

An API that refuses a room that is taken cannot swap two meetings in two calls.
So one of them gives up its room for a moment; it keeps its reservation, time and people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from syncd.apply.ports import BookingLedger
from syncd.core.booking import Booking
from syncd.core.reasons import Reason
from syncd.core.reservation import ReservationSpec
from syncd.errors import NotDone, Refused

log = structlog.get_logger(__name__)


class Exchange:
    """Remembers what moved in one cycle, so that it can be taken back.

    `set_content` gives a reservation other content and raises `Refused` or `NotDone` when that had no effect;
    `refuse` records a booking that stays refused.
    """

    def __init__(
        self,
        *,
        ledger: BookingLedger,
        set_content: Callable[[Booking, ReservationSpec, str], Booking],
        refuse: Callable[[Booking], None],
    ) -> None:
        self._ledger = ledger
        self._set_content = set_content
        self._refuse = refuse
        self._aside: dict[int, Booking] = {}  # as they were, by row
        self._moved: dict[int, Booking] = {}  # as they were, by row, in the order of their moves
        self._touched: set[int] = set()  # rows of both, also when they went back

    @property
    def is_open(self) -> bool:
        """Whether a booking that stepped aside has not got its new place yet."""
        return bool(self._aside)

    def has_moved(self, before: Booking) -> None:
        """Remember a booking, as it was, that was given its new place."""
        self._aside.pop(before.row, None)
        self._moved[before.row] = before
        self._touched.add(before.row)

    def has_touched(self, booking: Booking) -> bool:
        """Whether a booking is no longer as the plan knows it."""
        return booking.row in self._touched

    def latest(self, booking: Booking) -> Booking:
        """A booking of the plan as this cycle has left it."""
        if not self.has_touched(booking):
            return booking
        return next(b for b in self._ledger.bookings.of(booking.key.uid) if b.row == booking.row)

    def step_aside(self, booking: Booking) -> None:
        """Give up a room for a moment; nobody is notified.

        If the API refuses it, the meetings that take each other's rooms stay where they are.
        Raises `OutcomeUnknown` and `ApiUnusable`.
        """
        try:
            self._set_content(booking, replace(booking.spec, room_id=None, notice=False), "step aside")
        except (Refused, NotDone) as no:
            log.warning("does not step aside", error=str(no), **named(booking))
        else:
            self._aside[booking.row] = booking
            self._touched.add(booking.row)

    def step_back(self, row: int) -> None:
        """Put a booking that stepped aside back where it was, and before that those that took its place.

        So a circle of moves of which one fails leaves nobody without a room.
        """
        before = self._aside.pop(row, None)
        if before is not None:
            self._make_room(before)
            self._return(self.latest(before), before)

    def _make_room(self, claimant: Booking) -> None:
        """Take back the moves of this cycle that entered the former place of a booking."""
        for row, before in list(self._moved.items()):
            moved = self.latest(before)
            if row not in self._moved or not moved.spec.in_the_way_of(claimant.spec):
                continue
            del self._moved[row]
            self._make_room(before)
            back = self._return(moved, before)
            if back is not None:
                detail = "It could not take its new place, because a meeting that is there could not leave."
                waiting = back.with_state(back.state, Reason.ROOM_CONFLICT, detail)
                self._refuse(replace(waiting, pending=moved.spec, blocked_by=claimant.reservation_id))

    def _return(self, moved: Booking, before: Booking) -> Booking | None:
        try:
            return self._set_content(moved, before.spec, "step back")
        except (Refused, NotDone) as no:
            log.warning("does not step back", error=str(no), **named(moved))
            return None


def named(booking: Booking) -> dict[str, object]:
    """What a log line says of a booking: identifiers, never content."""
    return {
        "source": booking.source,
        "uid": booking.key.uid,
        "recurrence_id": booking.key.recurrence_id,
        "room_id": booking.room_id,
        "reservation_id": booking.reservation_id,
        "reason": booking.reason.value if booking.reason else None,
    }
