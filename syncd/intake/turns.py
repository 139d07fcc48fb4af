"""Whose turn it is when not everything that is costly can be parsed in one cycle.

What is costly comes after what is not: by itself, in a cycle that follows at once.
Sources of which something was costly in a cycle come last in the next one, so that all have their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from syncd.core.bounds import CYCLE_CPU_S
from syncd.ics import CpuAllowance
from syncd.intake.ports import CalendarSource


class Turns:
    """Which UIDs and sources had their turn in the last cycle.

    Without `puts_off` what is costly is parsed in the cycle that meets it.
    `others_wait` tells whether something else is due meanwhile.
    """

    def __init__(self, *, puts_off: bool, others_wait: Callable[[], bool]) -> None:
        self._puts_off = puts_off
        self._others_wait = others_wait
        self._costly_last = False  # what is costly was left to this cycle
        self._left = frozenset[str]()  # UIDs that the last cycle left
        # Sources of which something was costly in the last cycle.
        self._served: Collection[str] = ()
        self._others_first = False  # in this cycle, before what is costly

    def begin(self, uids: Collection[str]) -> CpuAllowance:
        """Begin a cycle that looks at these UIDs; return what costly ones may take in all of it."""
        self._others_first = self._leaves_what_is_costly(uids)
        seconds = 0.0 if self._others_first else CYCLE_CPU_S
        return CpuAllowance(seconds, others_wait=self._others_wait)

    def _leaves_what_is_costly(self, uids: Collection[str]) -> bool:
        """Tell whether a cycle leaves what is costly to the next one, because it has something else to do."""
        if not self._puts_off:
            return False
        if self._costly_last:
            return False  # it was left to this cycle
        return not self._left.issuperset(uids)

    def in_order(self, sources: Iterable[CalendarSource]) -> Sequence[CalendarSource]:
        """Return the sources in the order in which they have their turn."""
        return sorted(sources, key=lambda source: source.name in self._served)

    def end(self, left: frozenset[str], served: Collection[str]) -> None:
        """End a cycle that left these UIDs, and parsed something costly of these sources."""
        self._costly_last = self._others_first and bool(left)
        self._left = left
        self._served = served
