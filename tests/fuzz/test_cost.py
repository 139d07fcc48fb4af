"""A few of the calendars that `python -m tests.fuzz cost` makes."""

from __future__ import annotations

import pytest

from syncd.core.bounds import UID_CPU_S
from tests.fuzz.cost import KINDS, LONGEST, TOLERANCE_S, fuzz, table


@pytest.mark.slow
def test_nothing_takes_more_than_its_bound() -> None:
    """Each event that is made to be slow is understood or ended within its CPU, step by step."""
    figures = fuzz(20, lambda count: count < 4 * len(KINDS), None)
    assert all(one.calendars == 4 for one in figures.values())
    assert sum(one.uids for one in figures.values()) > 20
    assert max(one.worst_s for one in figures.values()) <= UID_CPU_S + TOLERANCE_S, (
        table(figures)
    )
    assert LONGEST < 1 << 15
