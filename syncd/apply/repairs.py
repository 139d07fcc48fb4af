"""Counts the repairs of each reservation, so that one that does not last is not made for ever.

What counts is the same difference in the same fields, for the same content of the calendar, in a row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from syncd.core.changes import Update
from syncd.core.policy import Repaired
from syncd.ledger.facts import REPAIRS, FactStore


def repairs(facts: FactStore) -> Mapping[int, Repaired]:
    """Return what was repaired and is not known to last, by row of its booking."""
    return facts.get(REPAIRS) or {}


def count_repair(facts: FactStore, change: Update) -> None:
    """Remember that a repair is about to be sent."""
    known, row = repairs(facts), change.booking.row
    origin = change.meeting.occurrence.fingerprint
    before = known.get(row)
    times = 1
    if before is not None and before.is_of(origin, change.changed):
        times = before.times + 1
    _store(facts, {**known, row: Repaired(origin, change.changed, times)})


def forget_repairs(
    facts: FactStore, lasting: Iterable[int], current: Collection[int]
) -> None:
    """Forget the repairs of bookings that are as they should be, or are no longer current."""
    known = repairs(facts)
    if known:
        in_question = set(current).difference(lasting)
        _store(
            facts,
            {row: repaired for row, repaired in known.items() if row in in_question},
        )


def _store(facts: FactStore, known: Mapping[int, Repaired]) -> None:
    if repairs(facts) != known:
        facts.set(REPAIRS, known or None)
