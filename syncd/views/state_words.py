"""How a meeting stands, in the one word that every page has for it."""

from __future__ import annotations

from enum import StrEnum

from syncd.core.booking import (
    HOLDING_STATES,
    UNANSWERED_STATES,
    Booking,
    BookingState,
)
from syncd.core.changes import Change, Hold, Skip, Wait
from syncd.core.reasons import REFUSALS, Reason
from syncd.core.resolve import is_refused


class StateWord(StrEnum):
    """How a meeting stands; the words for people stand in the catalogue under `state`."""

    BOOKED = "booked"
    APPROVAL = "approval"
    WAITING = "waiting"
    HELD = "held"
    REFUSED = "refused"
    CHANGE_REFUSED = "change_refused"
    DOUBT = "doubt"
    VANISHED = "vanished"
    RELEASED = "released"
    ENDED = "ended"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    SKIPPED = "skipped"
    UNBOOKED = "unbooked"


THERE = frozenset({StateWord.BOOKED, StateWord.APPROVAL, StateWord.CHANGE_REFUSED})
"""How a meeting stands that has its slot, and about which nothing else is to be decided."""

_BY_STATE = {
    BookingState.APPROVAL: StateWord.APPROVAL,
    BookingState.WAITING: StateWord.WAITING,
    BookingState.REFUSED: StateWord.REFUSED,
    BookingState.RELEASED: StateWord.RELEASED,
    BookingState.ENDED: StateWord.ENDED,
    BookingState.CANCELLED: StateWord.CANCELLED,
}
_HELD_BY_REASON = {
    Reason.IN_DOUBT: StateWord.DOUBT,
    Reason.VANISHED: StateWord.VANISHED,
}
_SKIPPED_BY_REASON = {
    Reason.QUARANTINED: StateWord.QUARANTINED,
    Reason.NO_UID: StateWord.QUARANTINED,
    Reason.RELEASED: StateWord.RELEASED,
}


def state_word_of(booking: Booking) -> StateWord:
    """Return how a booking stands: what a person may have to do about it goes before its state."""
    if booking.in_doubt or booking.state in UNANSWERED_STATES:
        return StateWord.DOUBT
    if booking.is_vanished:
        return StateWord.VANISHED
    if booking.is_held:
        return StateWord.HELD
    if is_refused(booking):
        is_there = booking.state in HOLDING_STATES
        return StateWord.CHANGE_REFUSED if is_there else StateWord.REFUSED
    return _BY_STATE.get(booking.state, StateWord.BOOKED)


def state_word_in_plan(change: Change) -> StateWord | None:
    """Return how the meeting of a change stands; None for one that sends a request."""
    match change:
        case Hold(approvable=True):
            return StateWord.HELD
        case Hold(booking=booking, reason=reason):
            return _HELD_BY_REASON.get(reason) or state_word_of(booking)
        case Wait():
            return _waiting(change)
        case Skip():
            return _skipped(change)
        case _:
            return None


def _waiting(wait: Wait) -> StateWord:
    booking = wait.booking
    if wait.reason is Reason.IN_DOUBT:
        return StateWord.DOUBT
    if booking is not None and (booking.in_doubt or booking.state in HOLDING_STATES):
        return state_word_of(booking)
    return StateWord.REFUSED if wait.reason in REFUSALS else StateWord.WAITING


def _skipped(skip: Skip) -> StateWord:
    if skip.reason in REFUSALS:
        return StateWord.CHANGE_REFUSED if skip.reservation_id else StateWord.REFUSED
    known = _SKIPPED_BY_REASON.get(skip.reason)
    if known is not None:
        return known
    return StateWord.BOOKED if skip.reservation_id else StateWord.SKIPPED
