"""The times that a recurrence rule allows: BYHOUR, BYMINUTE and BYSECOND (RFC 5545 section 3.3.10).

Below a day a rule is a pattern of seconds within the day, whose phase follows from INTERVAL by arithmetic.
What the rule leaves open is taken from the first date of the series.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import product
from typing import NamedTuple

from syncd.ics.rule import Frequency, Rule
from syncd.ics.rule_days import from_start

DAY = 86_400
"""Seconds of a day on the wall clock."""

# Seconds.
_UNITS = {
    Frequency.HOURLY: 3600,
    Frequency.MINUTELY: 60,
    Frequency.SECONDLY: 1,
}


class _Limit(NamedTuple):
    """Which hours, minutes or seconds count: they are `length` seconds long and counted from 0 up to `size`."""

    length: int
    size: int
    allowed: frozenset[int]


class RuleTimes:
    """The times of a rule, in seconds.

    `within` are those in each period, in order: of the day, or, in an hourly, minutely or secondly rule, of
    the hour, minute or second.
    """

    def __init__(self, rule: Rule, first: datetime) -> None:
        self._interval = rule.interval
        self._unit = _UNITS.get(rule.frequency, DAY)
        self.is_below_a_day = self._unit < DAY
        self.within = _times_within(rule, first, self._unit)
        self._limits = _limits(rule, self._unit)
        second_of_day = first.hour * 3600 + first.minute * 60 + first.second
        self._first_slot = second_of_day // self._unit
        self._patterns: dict[int, Sequence[int]] = {}

    def of_day(self, index: int) -> Sequence[int]:
        """Return the seconds of the day that a rule below a day gives on a day, 0 for that of DTSTART.

        Days with one phase are alike, and all phases together have at most one entry for each second.
        """
        slots = DAY // self._unit
        phase = (self._first_slot - index * slots) % self._interval
        if phase >= slots or not self.within:
            return ()
        if phase not in self._patterns:
            taken = range(phase, slots, self._interval)
            self._patterns[phase] = self._pattern(taken)
        return self._patterns[phase]

    def _pattern(self, slots: range) -> Sequence[int]:
        """Return the seconds of the day in these hours, minutes or seconds, as far as BYxxx parts allow."""
        unit = self._unit
        within = self.within
        step = slots.step * unit
        begins: Sequence[int] = range(slots.start * unit, slots.stop * unit, step)
        for length, size, allowed in self._limits:
            begins = [second for second in begins if second // length % size in allowed]
        if not self._limits and len(within) == 1:
            return range(begins[0] + within[0], DAY, step)
        pattern: list[int] = []
        for second in begins:
            pattern += [second + offset for offset in within]
        return pattern


def _times_within(rule: Rule, first: datetime, unit: int) -> tuple[int, ...]:
    """Return the times in each period of a rule whose periods are a number of seconds, or days."""
    hours: Collection[int] = {0}
    minutes: Collection[int] = {0}
    seconds: Collection[int] = {0}
    if unit > 3600:
        hours = rule.hours or {first.hour}
    if unit > 60:
        minutes = rule.minutes or {first.minute}
    if unit > 1:
        seconds = rule.seconds or {first.second}
    within: list[int] = []
    for hour, minute, second in product(
        sorted(hours), sorted(minutes), sorted(seconds)
    ):
        within.append(3600 * hour + 60 * minute + second)
    if rule.positions and unit < DAY:
        places = chosen_places(rule.positions, len(within))
        return tuple(within[place] for place in places)
    return tuple(within)


def _limits(rule: Rule, unit: int) -> list[_Limit]:
    """Return which periods of so many seconds BYHOUR, BYMINUTE and BYSECOND allow."""
    limits: list[_Limit] = []
    if rule.hours:
        limits.append(_Limit(3600, 24, rule.hours))
    if rule.minutes and unit <= 60:
        limits.append(_Limit(60, 60, rule.minutes))
    if rule.seconds and unit == 1:
        limits.append(_Limit(1, 60, rule.seconds))
    return limits


def chosen_places(positions: Collection[int], size: int) -> list[int]:
    """Return the places, from 0 and in order, that BYSETPOS chooses among so many dates."""
    chosen: set[int] = set()
    for position in positions:
        number = from_start(position, size)
        if 1 <= number <= size:
            chosen.add(number - 1)
    return sorted(chosen)
