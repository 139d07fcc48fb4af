"""Bookings as values, for tests that need one and not how it was made."""

from __future__ import annotations

from datetime import datetime, timedelta

from syncd.core.booking import Booking, BookingState
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import ReservationSpec


def spec_of_an_hour(start: datetime, creator: str = "3") -> ReservationSpec:
    """What is wanted of an hour's meeting without a room."""
    return ReservationSpec(
        topic="Meeting",
        start=start,
        end=start + timedelta(hours=1),
        room_id=None,
        participants=("1",),
        cc_participants=(),
        notice=True,
        notice_time_s=900,
        description="",
        creator=creator,
    )


def booking_of_an_hour(
    uid: str, start: datetime, reservation_id: str, creator: str = "3"
) -> Booking:
    """The booking of such a meeting, as it is before the ledger stores it."""
    return Booking(
        key=OccurrenceKey("", uid, None),
        room_id=None,
        generation=0,
        mark=None,
        state=BookingState.BOOKED,
        source="office",
        witnesses=("office",),
        origin="",
        content=spec_of_an_hour(start, creator),
        reservation_id=reservation_id,
    )
