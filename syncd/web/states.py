"""How a meeting is shown by its state: a glyph and a word first, a border and colours by its class."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.core.booking import UNANSWERED_STATES, Booking, BookingState
from syncd.core.resolve import is_refused
from syncd.views.catalogue import phrase


@dataclass(frozen=True, slots=True)
class ShownState:
    """A state as pages show it: the class of its colours and border, a glyph, and a word."""

    style: str
    glyph: str
    word: str


def _shown(code: str, style: str, glyph: str) -> ShownState:
    return ShownState(style, glyph, phrase(f"state.{code}"))


BOOKED = _shown("booked", "booked", "✓")
APPROVAL = _shown("approval", "approval", "◔")
WAITING = _shown("waiting", "waiting", "…")
HELD = _shown("held", "held", "‖")
REFUSED = _shown("refused", "refused", "✕")
CHANGE_REFUSED = _shown("change_refused", "refused", "✕")
DOUBT = _shown("doubt", "doubt", "?")
VANISHED = _shown("vanished", "doubt", "?")
RELEASED = _shown("released", "over", "–")
ENDED = _shown("ended", "over", "–")
CANCELLED = _shown("cancelled", "over", "–")
QUARANTINED = _shown("quarantined", "refused", "✕")
UNBOOKED = _shown("unbooked", "over", "–")

LEGEND = (BOOKED, APPROVAL, WAITING, HELD, REFUSED, DOUBT, RELEASED)
"""The states that are explained under a timeline; the code of each is its class, but for the last."""

_OTHERS = {
    BookingState.APPROVAL: APPROVAL,
    BookingState.WAITING: WAITING,
    BookingState.REFUSED: REFUSED,
    BookingState.RELEASED: RELEASED,
    BookingState.ENDED: ENDED,
    BookingState.CANCELLED: CANCELLED,
}


def state_of(booking: Booking) -> ShownState:
    """Return how a booking is shown: what a person may have to do about it goes before its state."""
    if booking.in_doubt or booking.state in UNANSWERED_STATES:
        return DOUBT
    if booking.is_vanished:
        return VANISHED
    if booking.is_held:
        return HELD
    if is_refused(booking):
        is_there = booking.state in {BookingState.BOOKED, BookingState.APPROVAL}
        return CHANGE_REFUSED if is_there else REFUSED
    return _OTHERS.get(booking.state, BOOKED)
