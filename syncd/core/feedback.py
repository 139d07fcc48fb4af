"""What the feeds for calendar programs tell about a booking: how it stands, and whether organizers should act.

A feed says the same of a booking as long as `told_of` is the same; the ledger counts how often that changed.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

from syncd.core.booking import CLOSED_STATES, Booking, BookingState
from syncd.core.occurrence import OccurrenceKey, event_key
from syncd.core.reasons import Reason
from syncd.core.reservation import ReservationSpec, epoch_ms
from syncd.core.resolve import is_refused

_SUFFIX_DIGITS = 8
_DIGEST_DIGITS = 16


class Standing(StrEnum):
    """How a meeting stands for who looks into a calendar: only what is booked takes its room."""

    BOOKED = "booked"
    NOT_BOOKED = "not_booked"
    CALLED_OFF = "called_off"


def entry_key(key: OccurrenceKey, room_id: str | None) -> str:
    """Return what names an occurrence in a room in feeds: the key of its event, then what tells it apart."""
    apart = json.dumps([key.scope, key.recurrence_id, room_id or None])
    return f"{event_key(key.uid)}-{_digest(apart)[:_SUFFIX_DIGITS]}"


def standing_of(booking: Booking) -> Standing:
    """Return how a booking stands; one that is being changed or cancelled stands as it did before."""
    match booking.state:
        case BookingState.CANCELLED:
            return Standing.CALLED_OFF
        case BookingState.BOOKED if not booking.is_vanished:
            return Standing.BOOKED
        case BookingState.CANCELLING:
            return Standing.BOOKED
        case BookingState.SENDING | BookingState.ENDED if booking.reservation_id:
            return Standing.BOOKED
        case _:
            return Standing.NOT_BOOKED


def is_problem(booking: Booking) -> bool:
    """Tell whether a meeting, or a change of it, is not booked and does not come to be by itself.

    The same that needs a person, but for a request that is under way and one that waits to be cancelled.
    """
    if booking.state in CLOSED_STATES:
        return False
    if is_refused(booking) or booking.is_vanished:
        return True
    return booking.in_doubt and booking.reason is Reason.IN_DOUBT


def wanted_of(booking: Booking) -> ReservationSpec:
    """Return the content that the calendar asks for, which a booking does not have yet if it is a problem."""
    return booking.pending or booking.spec


def told_of(booking: Booking) -> str:
    """Return a digest of all that feeds tell of a booking: another one means that they tell something else."""
    standing = standing_of(booking)
    problem = is_problem(booking)
    told: list[object] = [standing, problem, _content(booking.spec)]
    if problem:
        told.append(_content(wanted_of(booking)))
    if problem or standing is not Standing.BOOKED:
        told += [booking.state, booking.reason, booking.detail]
    return _digest(json.dumps(told))[:_DIGEST_DIGITS]


def topic_digest(booking: Booking) -> str:
    """Return a digest of what feeds tell of a booking where it was before, which is what it is called."""
    return _digest(booking.spec.topic)[:_DIGEST_DIGITS]


def _content(spec: ReservationSpec) -> list[object]:
    return [spec.topic, epoch_ms(spec.start), epoch_ms(spec.end), spec.room_id]


def _digest(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()
