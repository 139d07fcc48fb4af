"""Counts the repairs of each reservation, so that one that does not last is not made for ever.

What counts is the same difference in the same fields, for the same content of the calendar, in a row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from syncd.core.changes import Update
from syncd.core.policy import Repaired
from syncd.ledger.facts import REPAIRS, FactStore


def repairs(facts: FactStore) -> Mapping[int, Repaired]:
    """What was repaired and is not known to last, by row of its booking."""
    return facts.get(REPAIRS) or {}


def count_repair(facts: FactStore, change: Update) -> None:
    """Remember that a repair is about to be sent."""
    known = repairs(facts)
    before = known.get(change.booking.row)
    origin = change.meeting.occurrence.fingerprint
    times = before.times if before is not None and before.is_of(origin, change.changed) else 0
    _store(facts, {**known, change.booking.row: Repaired(origin, change.changed, times + 1)})


def forget_repairs(facts: FactStore, lasting: Iterable[int], current: Collection[int]) -> None:
    """Forget the repairs of bookings that are as they should be, or are no longer current."""
    known = repairs(facts)
    if known:
        good = set(lasting)
        _store(facts, {row: told for row, told in known.items() if row in current and row not in good})


def _store(facts: FactStore, known: Mapping[int, Repaired]) -> None:
    if repairs(facts) != known:
        facts.set(REPAIRS, known or None)
