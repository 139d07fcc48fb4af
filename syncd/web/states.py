"""How a meeting is shown by how it stands: a glyph and a word first, a border and colours by its class."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.core.booking import Booking
from syncd.views.catalogue import phrase
from syncd.views.state_words import StateWord, state_word_of


@dataclass(frozen=True, slots=True)
class ShownState:
    """A state as pages show it: the class of its colours and border, a glyph, and a word."""

    style: str
    glyph: str
    word: str


_LOOKS = {
    StateWord.BOOKED: ("booked", "✓"),
    StateWord.APPROVAL: ("approval", "◔"),
    StateWord.WAITING: ("waiting", "…"),
    StateWord.HELD: ("held", "‖"),
    StateWord.REFUSED: ("refused", "✕"),
    StateWord.CHANGE_REFUSED: ("refused", "✕"),
    StateWord.DOUBT: ("doubt", "?"),
    StateWord.VANISHED: ("doubt", "?"),
    StateWord.QUARANTINED: ("refused", "✕"),
}
_OVER = ("over", "–")


def shown(standing: StateWord) -> ShownState:
    """Return how a meeting is shown that stands so."""
    style, glyph = _LOOKS.get(standing, _OVER)
    return ShownState(style, glyph, phrase(f"state.{standing.value}"))


def state_of(booking: Booking) -> ShownState:
    """Return how a booking is shown."""
    return shown(state_word_of(booking))


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A state with the sentence that explains it."""

    state: ShownState
    told: str


_EXPLAINED = (
    StateWord.BOOKED,
    StateWord.APPROVAL,
    StateWord.WAITING,
    StateWord.HELD,
    StateWord.REFUSED,
    StateWord.DOUBT,
    StateWord.RELEASED,
    StateWord.QUARANTINED,
    StateWord.SKIPPED,
)

LEGEND = tuple(
    LegendEntry(shown(standing), phrase(f"legend.{standing.value}"))
    for standing in _EXPLAINED
)
"""The states that are explained under a timeline."""
