"""The dates of a recurrence rule: wall clock times from a first one on (RFC 5545 section 3.3.10).

A rule is a filter on days, and its frequency says how days are grouped for INTERVAL and BYSETPOS.
Below a day it is a pattern of seconds within the day, whose phase follows from INTERVAL by arithmetic.
So any stretch of time is looked at without what lies before it, and a rule that never matches ends: the
work is bounded by the days between the two bounds, also where COUNT has to be counted from the start.
Knows no zones: the caller turns UNTIL into wall clock time, and the results into instants.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import product
from typing import overload

from syncd.ics.rule import Frequency, Rule, Skip

_DAY = 86_400  # seconds
_LAST_ORDINAL = date.max.toordinal()
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PERIODS_KEPT = 4  # a month or a year each, for `holds`
_UNIT = {Frequency.HOURLY: 3600, Frequency.MINUTELY: 60, Frequency.SECONDLY: 1}  # seconds


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
        self._end = _seconds_of(end)
        self._months, self._month_days, self._weekdays = _days_taken_from(rule, first)
        # Of week 0 the first day, in whichever week DTSTART is.
        self._first_week = self._first_day - (first.weekday() - rule.week_start) % 7
        self._fixed_week = self._days_of_fixed_week()
        self._patterns: dict[int, Sequence[int]] = {}
        self._skips = rule.skip is not Skip.OMIT
        self._kept: dict[int, Sequence[int]] = {}
        self._unit = _UNIT.get(rule.frequency, 0)
        self._within = self._times_within_period()
        if rule.count is not None:
            self._end = self._end_by_count(rule.count)

    def since(self, low: datetime) -> Iterator[datetime]:
        """The dates from `low` on in order; the cost does not depend on what lies before."""
        floor = max(_seconds_of(low), self._first)
        if floor > self._end:
            return
        # A day that SKIP moved stands in the period before or behind its own.
        begin = max(0, self._index(floor // _DAY) - self._skips)
        for index in range(begin, self._index(self._end // _DAY) + 1 + self._skips):
            members = self._members(index)
            for position in range(bisect_left(members, floor), len(members)):
                moment = members[position]
                if moment > self._end:
                    return
                yield _wall_of(moment)

    @property
    def last(self) -> datetime:
        """Return the time behind which it gives nothing: that of the last date by COUNT, or the end."""
        return _wall_of(self._end)

    def holds(self, wall: datetime) -> bool:
        """Whether the rule gives this wall clock time; cheapest for times that follow one another."""
        moment = _seconds_of(wall)
        if not self._first <= moment <= self._end:
            return False
        index = self._index(moment // _DAY)
        # A day that SKIP moved may stand in the period beside its own.
        several = range(max(0, index - self._skips), index + 1 + self._skips)
        return any(_contains(self._members_kept(number), moment) for number in several)

    def _members_kept(self, index: int) -> Sequence[int]:
        """The dates of one period, which stay at hand while no more than a few others are asked for."""
        if index not in self._kept:
            if len(self._kept) >= _PERIODS_KEPT:
                self._kept.clear()
            self._kept[index] = self._members(index)
        return self._kept[index]

    def _end_by_count(self, count: int) -> int:
        """The moment of the last date that COUNT allows, or the end if that comes first."""
        if self._first > self._end:
            return self._end
        members = self._members(0)
        passed = bisect_left(members, self._first)
        left = count - (passed == len(members) or members[passed] != self._first)
        if left == 0:
            return self._first
        for index in range(self._index(self._end // _DAY) + 1 + self._skips):
            members = self._members(index) if index else members
            size = len(members) - passed
            if left <= size:
                return min(self._end, members[passed + left - 1])
            left -= size
            passed = 0
            if self._uniform and members:
                each = len(members)
                return min(self._end, self._members(1 + (left - 1) // each)[(left - 1) % each])
        return self._end

    @property
    def _uniform(self) -> bool:
        """Whether every period has as many dates as any other."""
        rule = self._rule
        if rule.frequency is Frequency.DAILY:
            return bool(self._within) and not (self._months or self._month_days or self._weekdays)
        return rule.frequency is Frequency.WEEKLY and bool(self._fixed_week) and not rule.positions

    # Periods: those of FREQ and INTERVAL, numbered from that of DTSTART; below a day each day is one.

    def _index(self, day: int) -> int:
        """The number of the period that holds a day or is the last to begin before it."""
        interval = self._rule.interval
        match self._rule.frequency:
            case Frequency.YEARLY:
                return (date.fromordinal(day).year - self._first_wall.year) // interval
            case Frequency.MONTHLY:
                return (_month_number(date.fromordinal(day)) - _month_number(self._first_wall)) // interval
            case Frequency.WEEKLY:
                return (day - self._first_week) // 7 // interval
            case Frequency.DAILY:
                return (day - self._first_day) // interval
            case _:
                return day - self._first_day

    def _members(self, index: int) -> Sequence[int]:
        """The dates of one period, those before DTSTART and after the end among them."""
        members = self._members_with_moved(index)
        if not self._skips or index == 0 or not members:
            return members
        before = self._members_with_moved(index - 1)
        if not before or before[-1] < members[0]:
            return members
        known = frozenset(before)  # a date that SKIP gives twice is one date
        return [moment for moment in members if moment not in known]

    def _members_with_moved(self, index: int) -> _Members:
        """The dates of one period, those among them that SKIP moved to where another period may have them."""
        days = self._days(index)
        if not days:
            return _NONE
        if self._unit:
            return _Members(days, self._pattern(index))
        return _Members(days, self._within, self._rule.positions)

    def _days(self, index: int) -> Sequence[int]:
        """The days of one period on which the rule may give dates, as ordinals in order."""
        steps = index * self._rule.interval
        match self._rule.frequency:
            case Frequency.YEARLY:
                year = self._first_wall.year + steps
                months = sorted(self._months) or range(1, 13)
                days = [day for month in months for day in self._days_of_month(year, month)]
                return sorted({*days, *self._moved_days_of_year(year)}) if self._skips else days
            case Frequency.MONTHLY:
                year, month = divmod(_month_number(self._first_wall) + steps, 12)
                return self._days_of_month(year, month + 1)
            case Frequency.WEEKLY:
                begin = self._first_week + 7 * steps
                if self._fixed_week:
                    return [begin + offset for offset in self._fixed_week]
                week = range(max(1, begin), min(begin + 7, _LAST_ORDINAL + 1))
                return [day for day in week if self._fits(date.fromordinal(day))]
            case Frequency.DAILY:
                day = self._first_day + steps
            case _:
                day = self._first_day + index
        if not (self._months or self._month_days or self._weekdays or self._rule.year_days):
            return (day,)
        return (day,) if day <= _LAST_ORDINAL and self._fits(date.fromordinal(day)) else ()

    def _days_of_fixed_week(self) -> tuple[int, ...]:
        """For a weekly rule without BYMONTH: its days, counted from the first of any week."""
        if self._rule.frequency is not Frequency.WEEKLY or self._months:
            return ()
        return tuple(sorted((weekday - self._rule.week_start) % 7 for _, weekday in self._weekdays))

    def _days_of_month(self, year: int, month: int) -> list[int]:
        if self._months and month not in self._months:
            return []
        begin, length = date(year, month, 1).toordinal(), _length_of_month(year, month)
        if self._skips and self._month_days:
            wanted = {self._moved(day if day > 0 else length + 1 + day, length) for day in self._month_days}
            days = [begin + number - 1 for number in sorted(wanted)]
            return [day for day in days if not self._weekdays or self._fits_weekday(date.fromordinal(day))]
        if self._month_days:
            wanted = {day if day > 0 else length + 1 + day for day in self._month_days}
            numbers: Sequence[int] = sorted(day for day in wanted if 1 <= day <= length)
        else:
            numbers = range(1, length + 1)
        if self._weekdays:
            wanted = {weekday for _, weekday in self._weekdays}
            numbers = [number for number in numbers if (begin + number - 2) % 7 in wanted]
        days = [begin + number - 1 for number in numbers]
        if self._rule.year_days or self._rule.week_numbers or any(ordinal for ordinal, _ in self._weekdays):
            return [day for day in days if self._fits(date.fromordinal(day))]
        return days

    def _moved_days_of_year(self, year: int) -> Iterator[int]:
        """Yield where SKIP puts day 366 of a shorter year, counted from either end."""
        if calendar.isleap(year):
            return
        begin = date(year, 1, 1).toordinal()
        for number in self._rule.year_days & {366, -366}:
            day = begin + self._moved(max(0, number), 365) - 1
            if not self._weekdays or self._fits_weekday(date.fromordinal(day)):
                yield day

    def _moved(self, number: int, length: int) -> int:
        """Return the number of a day of a month or year, moved by SKIP where there is none (RFC 7529)."""
        if 1 <= number <= length:
            return number
        backward = self._rule.skip is Skip.BACKWARD
        if number < 1:
            return 0 if backward else 1
        return length if backward else length + 1

    # Days

    def _fits(self, day: date) -> bool:
        """Whether a day is among those of every BYxxx part that there is."""
        rule = self._rule
        if self._months and day.month not in self._months:
            return False
        if self._month_days:
            from_end = day.day - _length_of_month(day.year, day.month) - 1
            if self._month_days.isdisjoint((day.day, from_end)):
                return False
        if self._weekdays and not self._fits_weekday(day):
            return False
        if rule.year_days:
            number, length = day.timetuple().tm_yday, 365 + calendar.isleap(day.year)
            if rule.year_days.isdisjoint((number, number - length - 1)):
                return False
        return not rule.week_numbers or not rule.week_numbers.isdisjoint(self._week_numbers(day))

    def _fits_weekday(self, day: date) -> bool:
        """BYDAY; its ordinals count within the month, in a yearly rule without BYMONTH within the year."""
        weekday = day.weekday()
        if (0, weekday) in self._weekdays:
            return True
        if self._rule.frequency is Frequency.YEARLY and not self._rule.months:
            number, length = day.timetuple().tm_yday, 365 + calendar.isleap(day.year)
        else:
            number, length = day.day, _length_of_month(day.year, day.month)
        ordinals = ((number - 1) // 7 + 1, -((length - number) // 7 + 1))
        return any((ordinal, weekday) in self._weekdays for ordinal in ordinals)

    def _week_numbers(self, day: date) -> tuple[int, int]:
        """The number of a day's week from the start and from the end of the year that the week belongs to.

        A day counts in its calendar year for INTERVAL and BYSETPOS, whatever year its week belongs to.
        """
        ordinal, year = day.toordinal(), day.year
        while ordinal < (begin := self._first_week_of(year)):
            year -= 1
        if ordinal >= (end := self._first_week_of(year + 1)):
            begin, end = end, self._first_week_of(year + 2)
        return (ordinal - begin) // 7 + 1, (ordinal - end) // 7

    def _first_week_of(self, year: int) -> int:
        """The ordinal at which week 1 begins, the first with four days or more in the year."""
        before = year - 1
        fourth = 365 * before + before // 4 - before // 100 + before // 400 + 4
        return fourth - (fourth - 1 - self._rule.week_start) % 7  # ordinal 1 was a Monday

    # Times

    def _times_within_period(self) -> tuple[int, ...]:
        """Seconds of the day for daily rules and longer ones, else seconds within the hour or minute."""
        rule, first = self._rule, self._first_wall
        longer = not self._unit
        hours = (rule.hours or {first.hour}) if longer else {0}
        minutes = (rule.minutes or {first.minute}) if longer or self._unit > 60 else {0}
        seconds = (rule.seconds or {first.second}) if longer or self._unit > 1 else {0}
        times = product(sorted(hours), sorted(minutes), sorted(seconds))
        within = tuple(3600 * hour + 60 * minute + second for hour, minute, second in times)
        if longer or not rule.positions:
            return within
        return tuple(_Members((0,), within, rule.positions))

    def _pattern(self, index: int) -> Sequence[int]:
        """The seconds of the day that an hourly, minutely or secondly rule gives on a day.

        Days with one phase are alike, and all phases together have at most one entry for each second.
        """
        slots = _DAY // self._unit
        phase = (self._first % _DAY // self._unit - index * slots) % self._rule.interval
        if phase >= slots or not self._within:
            return ()
        if phase not in self._patterns:
            self._patterns[phase] = self._pattern_of(range(phase, slots, self._rule.interval))
        return self._patterns[phase]

    def _pattern_of(self, slots: range) -> Sequence[int]:
        rule, unit = self._rule, self._unit
        limits: list[Callable[[int], bool]] = []
        if rule.hours:
            limits.append(lambda second: second // 3600 in rule.hours)
        if rule.minutes and unit <= 60:
            limits.append(lambda second: second // 60 % 60 in rule.minutes)
        if rule.seconds and unit == 1:
            limits.append(lambda second: second % 60 in rule.seconds)
        if not limits and len(self._within) == 1:
            return range(slots.start * unit + self._within[0], _DAY, slots.step * unit)
        begins = (slot * unit for slot in slots)
        kept = (second for second in begins if all(limit(second) for limit in limits))
        return tuple(second + offset for second in kept for offset in self._within)


class _Members(Sequence[int]):
    """The dates of one period without making them: days times times of day, some positions of them."""

    __slots__ = ("_chosen", "_days", "_times")

    def __init__(
        self, days: Sequence[int], times: Sequence[int], positions: frozenset[int] = frozenset()
    ) -> None:
        self._days, self._times = days, times
        size = len(days) * len(times)
        self._chosen: Sequence[int] = range(size)
        if positions:
            places = {p - 1 if p > 0 else size + p for p in positions}
            self._chosen = sorted(place for place in places if 0 <= place < size)

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        day, time = divmod(self._chosen[index], len(self._times))
        return self._days[day] * _DAY + self._times[time]


_NONE = _Members((), ())


def _days_taken_from(
    rule: Rule, first: datetime
) -> tuple[frozenset[int], frozenset[int], frozenset[tuple[int, int]]]:
    """BYMONTH, BYMONTHDAY and BYDAY with what a rule leaves open taken from DTSTART."""
    months, month_days, weekdays = rule.months, rule.month_days, rule.weekdays
    match rule.frequency:
        case Frequency.WEEKLY if not weekdays:
            weekdays = frozenset({(0, first.weekday())})
        case Frequency.MONTHLY if not (month_days or weekdays):
            month_days = frozenset({first.day})
        case Frequency.YEARLY if not (rule.year_days or month_days or weekdays):
            if rule.week_numbers:
                weekdays = frozenset({(0, first.weekday())})
            else:
                month_days = frozenset({first.day})
                months = months or frozenset({first.month})
    return months, month_days, weekdays


def _contains(members: Sequence[int], moment: int) -> bool:
    place = bisect_left(members, moment)
    return place < len(members) and members[place] == moment


def _seconds_of(wall: datetime) -> int:
    return wall.toordinal() * _DAY + wall.hour * 3600 + wall.minute * 60 + wall.second


def _wall_of(moment: int) -> datetime:
    day, second = divmod(moment, _DAY)
    return datetime.fromordinal(day) + timedelta(seconds=second)


def _length_of_month(year: int, month: int) -> int:
    return _LENGTHS[month - 1] + (month == 2 and calendar.isleap(year))


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1
