"""The drift check: whether the API still holds what the ledger says, asked rarely and all at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from syncd.core.adopt import search_window
from syncd.core.reservation import HOLDING_STATES, BookingState, ReservationStatus
from syncd.reconciler.apply import MARGIN, Applier
from syncd.reconciler.ports import Api, Ledger

log = structlog.get_logger(__name__)

_FACT = "inspected"


def inspect(
    *,
    api: Api,
    ledger: Ledger,
    applier: Applier,
    clock: Callable[[], datetime],
    every: timedelta,
    force: bool = False,
) -> None:
    """Take over what people and approvers did to our reservations; raises `ApiUnusable`.

    Does nothing until `every` has passed since the last time, unless forced.
    A reservation that a list does not show is asked for by itself, because lists may lag behind.
    """
    now = clock()
    last = ledger.get_fact(_FACT)
    if not force and last and now - datetime.fromisoformat(last) < every:
        return
    bookings = [b for b in ledger.current() if b.state in HOLDING_STATES and b.spec.end > now]
    if bookings:
        found = {r.reservation_id: r for r in api.find(*search_window(bookings, MARGIN))}
        for booking in bookings:
            assert booking.reservation_id is not None  # these states have one
            there = found.get(booking.reservation_id) or api.get(booking.reservation_id)
            approval = booking.state is BookingState.APPROVAL
            expected = ReservationStatus.AWAITING_APPROVAL if approval else ReservationStatus.NORMAL
            if there is None or there.status is not expected:
                seen = applier.take_over(booking, there)
                log.info("changed in the API", reservation_id=booking.reservation_id, state=seen.state.value)
    ledger.set_fact(_FACT, now.isoformat())
