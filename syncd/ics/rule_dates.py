"""The dates of a recurrence rule: wall clock times from a first one on (RFC 5545 section 3.3.10).

A rule is a filter on days (`syncd.ics.rule_days`), and its frequency says how days are grouped for INTERVAL
and BYSETPOS.
Below a day it is a pattern of seconds within the day, whose phase follows from INTERVAL by arithmetic.
So any stretch of time is looked at without what lies before it, and a rule that never matches ends: the
work is bounded by the days between the two bounds, also where COUNT has to be counted from the start.
Knows no zones: the caller turns UNTIL into wall clock time, and the results into instants.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import product
from typing import overload

from syncd.ics.rule import Frequency, Rule, ShortMonth
from syncd.ics.rule_days import RuleDays, from_start

_DAY = 86_400  # seconds
_LAST_ORDINAL = date.max.toordinal()
_PERIODS_KEPT = 4  # a month or a year each, for `holds`
# Seconds.
_UNIT = {
    Frequency.HOURLY: 3600,
    Frequency.MINUTELY: 60,
    Frequency.SECONDLY: 1,
}


class Recurrence:
    """A rule laid out from the first wall clock time of a series up to and including `end`.

    DTSTART counts as the first date for COUNT, also where the rule does not give it (RFC 5545 section
    3.3.10), but only what the rule gives is yielded.
    What the rule leaves open is taken from `first`: time of day, weekday, day, month.
    """

    def __init__(self, rule: Rule, first: datetime, end: datetime) -> None:
        self._rule = rule
        self._first_wall = first
        self._first = _seconds_of(first)
        self._first_day = first.toordinal()
        self._first_month = _month_number(first)
        self._end = _seconds_of(end)
        self._days_allowed = RuleDays(rule, first)
        days_into_week = (first.weekday() - rule.week_start) % 7
        self._first_week = self._first_day - days_into_week  # by its first day
        self._patterns: dict[int, Sequence[int]] = {}
        self._skips = rule.skip is not ShortMonth.OMIT
        self._kept: dict[int, Sequence[int]] = {}
        self._unit = _UNIT.get(rule.frequency, 0)
        self._limits = self._limits_of_periods()
        self._within = self._times_within_period()
        if rule.count is not None:
            self._end = self._end_by_count(rule.count)

    def since(self, low: datetime) -> Iterator[datetime]:
        """Yield the dates from `low` on in order; the cost does not depend on what lies before."""
        floor = max(_seconds_of(low), self._first)
        if floor > self._end:
            return
        for index in self._periods(floor, self._end):
            members = self._members(index)
            begin = bisect_left(members, floor)
            for position in range(begin, len(members)):
                moment = members[position]
                if moment > self._end:
                    return
                yield _wall_of(moment)

    @property
    def last(self) -> datetime:
        """Return the time behind which it gives nothing: that of the last date by COUNT, or the end."""
        return _wall_of(self._end)

    def holds(self, wall: datetime) -> bool:
        """Tell whether the rule gives this wall clock time; cheapest for times that follow one another."""
        moment = _seconds_of(wall)
        if not self._first <= moment <= self._end:
            return False
        periods = self._periods(moment, moment)
        return any(_contains(self._members_kept(index), moment) for index in periods)

    def _members_kept(self, index: int) -> Sequence[int]:
        """Return the dates of one period, cached until a few others were asked for."""
        if index not in self._kept:
            if len(self._kept) >= _PERIODS_KEPT:
                self._kept.clear()
            self._kept[index] = self._members(index)
        return self._kept[index]

    def _end_by_count(self, count: int) -> int:
        """Return the moment of the last date that COUNT allows, or the end if that comes first."""
        if self._first > self._end:
            return self._end
        members = self._members(0)
        passed = bisect_left(members, self._first)
        left = count
        if not _contains(members, self._first):
            left -= 1  # DTSTART, which the rule does not give
        if left == 0:
            return self._first
        for index in self._periods(self._first, self._end):
            if index > 0:
                members = self._members(index)
            size = len(members) - passed
            if left <= size:
                return min(self._end, members[passed + left - 1])
            left -= size
            passed = 0
            if self._uniform and members:
                periods_between, place = divmod(left - 1, len(members))
                members = self._members(1 + periods_between)
                return min(self._end, members[place])
        return self._end

    @property
    def _uniform(self) -> bool:
        """Tell whether every period has as many dates as any other."""
        rule = self._rule
        if rule.frequency is Frequency.DAILY:
            return bool(self._within) and not self._days_allowed.restricts
        return bool(self._days_allowed.fixed_week) and not rule.positions

    # Periods: those of FREQ and INTERVAL, numbered from that of DTSTART; below a day each day is one.

    def _periods(self, low: int, high: int) -> range:
        """Return the numbers of the periods in which the dates between two moments, both included, may stand."""
        first = self._index(low // _DAY)
        last = self._index(high // _DAY)
        if self._skips:
            # A day that SKIP moved stands in the period before or behind its own.
            return range(max(0, first - 1), last + 2)
        return range(first, last + 1)

    def _index(self, day: int) -> int:
        """Return the number of the period that holds a day or is the last to begin before it."""
        match self._rule.frequency:
            case Frequency.YEARLY:
                distance = date.fromordinal(day).year - self._first_wall.year
            case Frequency.MONTHLY:
                distance = _month_number(date.fromordinal(day)) - self._first_month
            case Frequency.WEEKLY:
                distance = (day - self._first_week) // 7
            case Frequency.DAILY:
                distance = day - self._first_day
            case _:
                return day - self._first_day
        return distance // self._rule.interval

    def _members(self, index: int) -> Sequence[int]:
        """Return the dates of one period, those before DTSTART and after the end among them."""
        members = self._members_with_moved(index)
        if not self._skips or index == 0 or not members:
            return members
        before = self._members_with_moved(index - 1)
        if not before or before[-1] < members[0]:
            return members
        known = frozenset(before)  # a date that SKIP gives twice is one date
        return [moment for moment in members if moment not in known]

    def _members_with_moved(self, index: int) -> _Members:
        """Return the dates of one period, also those that SKIP moved to where another period has them."""
        days = self._days(index)
        if not days:
            return _NONE
        if self._unit:
            return _Members(days, self._pattern(index))
        return _Members(days, self._within, self._rule.positions)

    def _days(self, index: int) -> Sequence[int]:
        """Return the days of one period on which the rule may give dates, as ordinals in order."""
        steps = index * self._rule.interval
        match self._rule.frequency:
            case Frequency.YEARLY:
                return self._days_allowed.of_year(self._first_wall.year + steps)
            case Frequency.MONTHLY:
                year, month = divmod(self._first_month + steps, 12)
                return self._days_allowed.of_month(year, month + 1)
            case Frequency.WEEKLY:
                return self._days_of_week(self._first_week + 7 * steps)
            case Frequency.DAILY:
                return self._day_alone(self._first_day + steps)
            case _:
                return self._day_alone(self._first_day + index)

    def _days_of_week(self, begin: int) -> list[int]:
        fixed = self._days_allowed.fixed_week
        if fixed:
            return [begin + offset for offset in fixed]
        low = max(1, begin)
        high = min(begin + 7, _LAST_ORDINAL + 1)
        allows = self._days_allowed.allows
        return [day for day in range(low, high) if allows(date.fromordinal(day))]

    def _day_alone(self, day: int) -> tuple[int, ...]:
        """Return a day, or none if a BYxxx part forbids it or no calendar has it."""
        if not self._days_allowed.restricts:
            return (day,)
        if day > _LAST_ORDINAL:
            return ()
        if self._days_allowed.allows(date.fromordinal(day)):
            return (day,)
        return ()

    # Times

    def _times_within_period(self) -> tuple[int, ...]:
        """Return the times in each period: of the day, or, for periods below a day, of the hour or minute."""
        rule = self._rule
        first = self._first_wall
        longer = not self._unit
        hours: Collection[int] = {0}
        minutes: Collection[int] = {0}
        seconds: Collection[int] = {0}
        if longer:
            hours = rule.hours or {first.hour}
        if longer or self._unit > 60:
            minutes = rule.minutes or {first.minute}
        if longer or self._unit > 1:
            seconds = rule.seconds or {first.second}
        within: list[int] = []
        for hour, minute, second in product(
            sorted(hours), sorted(minutes), sorted(seconds)
        ):
            within.append(3600 * hour + 60 * minute + second)
        if longer or not rule.positions:
            return tuple(within)
        return tuple(_Members((0,), within, rule.positions))

    def _pattern(self, index: int) -> Sequence[int]:
        """Return the seconds of the day that an hourly, minutely or secondly rule gives on a day.

        Days with one phase are alike, and all phases together have at most one entry for each second.
        """
        interval = self._rule.interval
        slots = _DAY // self._unit
        first_slot = self._first % _DAY // self._unit
        phase = (first_slot - index * slots) % interval
        if phase >= slots or not self._within:
            return ()
        if phase not in self._patterns:
            taken = range(phase, slots, interval)
            self._patterns[phase] = self._pattern_of(taken)
        return self._patterns[phase]

    def _pattern_of(self, slots: range) -> Sequence[int]:
        """Return the seconds of the day in these hours, minutes or seconds, as far as BYxxx parts allow."""
        unit = self._unit
        within = self._within
        step = slots.step * unit
        begins: Sequence[int] = range(slots.start * unit, slots.stop * unit, step)
        for length, size, allowed in self._limits:
            begins = [second for second in begins if second // length % size in allowed]
        if not self._limits and len(within) == 1:
            return range(begins[0] + within[0], _DAY, step)
        pattern: list[int] = []
        for second in begins:
            pattern += [second + offset for offset in within]
        return pattern

    def _limits_of_periods(self) -> list[tuple[int, int, frozenset[int]]]:
        """Return which periods below a day BYHOUR, BYMINUTE and BYSECOND allow.

        Each limit is the length of a unit in seconds, how many of it make the next one, and their numbers.
        """
        rule = self._rule
        limits = [(3600, 24, rule.hours)]
        if self._unit <= 60:
            limits.append((60, 60, rule.minutes))
        if self._unit == 1:
            limits.append((1, 60, rule.seconds))
        return [limit for limit in limits if limit[2]]


class _Members(Sequence[int]):
    """The dates of one period, computed when asked for: days times times of day, by BYSETPOS some of them."""

    __slots__ = ("_chosen", "_days", "_times")

    def __init__(
        self,
        days: Sequence[int],
        times: Sequence[int],
        positions: frozenset[int] = frozenset(),
    ) -> None:
        self._days = days
        self._times = times
        size = len(days) * len(times)
        self._chosen: Sequence[int] = range(size)
        if positions:
            places = {from_start(position, size) - 1 for position in positions}
            self._chosen = sorted(place for place in places if 0 <= place < size)

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            places = range(len(self))[index]
            return [self[place] for place in places]
        day, time = divmod(self._chosen[index], len(self._times))
        return self._days[day] * _DAY + self._times[time]


_NONE = _Members((), ())


def _contains(members: Sequence[int], moment: int) -> bool:
    place = bisect_left(members, moment)
    return place < len(members) and members[place] == moment


def _seconds_of(wall: datetime) -> int:
    of_day = wall.hour * 3600 + wall.minute * 60 + wall.second
    return wall.toordinal() * _DAY + of_day


def _wall_of(moment: int) -> datetime:
    day, second = divmod(moment, _DAY)
    return datetime.fromordinal(day) + timedelta(seconds=second)


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1
