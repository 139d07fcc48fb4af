"""What must be true of all daemons together: the requests of the API, joined with the history of terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from syncd.core.mark import Mark
from tests.campus.proxy import Letter

_LIVE = (1, 2)


@dataclass(frozen=True)
class TermRow:
    """A term as the ledger remembers it: in milliseconds, `ended_at` None as long as it lasts."""

    daemon: str
    epoch: int
    began_at: int
    ended_at: int | None = None

    def has(self, moment: int) -> bool:
        """Whether a moment lies within it."""
        return self.began_at <= moment and (
            self.ended_at is None or moment <= self.ended_at
        )


def strangers(
    letters: Iterable[Letter], terms: Sequence[TermRow]
) -> list[tuple[Letter, str]]:
    """The accepted writes that were signed under no term of their daemon, or that go back to an earlier one.

    What was signed in time may arrive after what a later term sent, as long as the API takes its time.
    """
    found: list[tuple[Letter, str]] = []
    highest = 0
    for letter in sorted(letters, key=_by_t):
        if not (letter.is_write and letter.is_accepted):
            continue
        epochs = [
            one.epoch
            for one in terms
            if one.daemon == letter.daemon and one.has(letter.t)
        ]
        if not epochs:
            found.append((letter, "under no term"))
            continue
        if max(epochs) < highest:
            found.append((letter, f"of term {max(epochs)} after one of {highest}"))
        highest = max(highest, *epochs)
    return found


def _by_t(letter: Letter) -> tuple[int, int]:
    return letter.t, letter.number


def doubles(reservations: Iterable[dict[str, Any]]) -> list[str]:
    """The marks that more than one live reservation carries, and the meetings that are booked twice."""
    found: Counter[str] = Counter()
    for reservation in reservations:
        if reservation["status"] in _LIVE:
            topic, start, room = (
                reservation[name] for name in ("topic", "start_time", "room_id")
            )
            found[f"{topic} at {start} in {room}"] += 1
            mark = Mark.find(reservation["description"])
            if mark is not None:
                found[str(mark)] += 1
    return [told for told, number in found.items() if number > 1]


def missing(wanted: Iterable[str], reservations: Iterable[dict[str, Any]]) -> list[str]:
    """The topics that no live reservation has."""
    held = {one["topic"] for one in reservations if one["status"] in _LIVE}
    return sorted(set(wanted) - held)
