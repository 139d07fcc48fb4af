"""What a person decides about a booking that syncd cannot settle (`syncd resolve`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from syncd.core.booking import CLOSED_STATES, Booking, BookingState
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import REFUSALS, Reason


class Verdict(StrEnum):
    """The ways out of doubt: this is its reservation, try it again, give it up."""

    ADOPT = "adopt"
    RETRY = "retry"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on the booking with that row number; the next cycle carries it out."""

    booking: int
    verdict: Verdict
    reservation_id: str | None
    decided_by: str
    at: datetime

    def __post_init__(self) -> None:
        if (self.verdict is Verdict.ADOPT) != bool(self.reservation_id):
            raise ValueError(
                "a reservation id belongs to the verdict adopt, and to no other"
            )


class Open(StrEnum):
    """The words for what a person may decide about, as `syncd resolve --all` takes them.

    `vanished` is what is gone from the API together with so much else that nothing was decided.
    """

    IN_DOUBT = "in_doubt"
    REFUSED = "refused"
    RELEASED = "released"
    DROPPED = "dropped"
    VANISHED = "vanished"

    @property
    def words(self) -> str:
        """Return the word as a sentence has it."""
        return self.value.replace("_", " ")


def open_as(booking: Booking) -> Open | None:
    """Return as what a booking is open to a person's decision; None if there is nothing to decide."""
    if booking.in_doubt:
        return Open.IN_DOUBT
    if booking.is_vanished:
        return Open.VANISHED
    if booking.reason is Reason.DROPPED:
        return Open.DROPPED
    if booking.reason in REFUSALS or booking.reason is Reason.AMBIGUOUS:
        return Open.REFUSED
    if booking.state is BookingState.RELEASED:
        return Open.RELEASED
    return None


def resolvable(booking: Booking) -> bool:
    """Return whether a person may decide about a booking."""
    return open_as(booking) is not None


def named(text: str, bookings: Iterable[Booking]) -> list[Booking]:
    """Return the bookings that a KEY on the command line means.

    `UID`, `UID/RECURRENCE-ID`, `UID/RECURRENCE-ID/ROOM` or `UID//ROOM`: as much as tells it from others.
    """
    return [booking for booking in bookings if text in set(_names(booking))]


def full_name(booking: Booking) -> str:
    """Return the KEY that means this booking alone."""
    return key_of(booking.key, booking.room_id)


def key_of(key: OccurrenceKey, room_id: str | None) -> str:
    """Return the KEY that means one occurrence in one room."""
    return f"{key.uid}/{key.recurrence_id or ''}/{room_id or ''}".rstrip("/")


def is_refused(booking: Booking) -> bool:
    """Tell whether the API said no to a booking, or to a change of it, and nobody gave it up."""
    if booking.state in CLOSED_STATES:
        return False
    if booking.reason in REFUSALS:
        return True
    return (
        booking.state is BookingState.REFUSED and booking.reason is not Reason.DROPPED
    )


def _names(booking: Booking) -> Iterable[str]:
    uid, recurrence_id = booking.key.uid, booking.key.recurrence_id or ""
    yield uid
    yield f"{uid}/{recurrence_id}"
    yield full_name(booking)
