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
    known = dict(repairs(facts))
    row = change.booking.row
    origin = change.meeting.occurrence.fingerprint
    fields = change.changed
    before = known.get(row)
    times = 1
    if before is not None and before.is_of(origin, fields):
        times = before.times + 1
    known[row] = Repaired(origin, fields, times)
    _store(facts, known)


def forget_repairs(
    facts: FactStore, lasting: Iterable[int], current: Collection[int]
) -> None:
    """Forget the repairs of bookings that are as they should be, or are no longer current."""
    known = repairs(facts)
    if not known:
        return
    in_question = set(current).difference(lasting)
    kept = {row: known[row] for row in known if row in in_question}
    _store(facts, kept)


def _store(facts: FactStore, known: Mapping[int, Repaired]) -> None:
    if repairs(facts) == known:
        return
    facts.set(REPAIRS, known or None)
