"""The days that a recurrence rule allows: BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY and BYDAY.

A rule is a filter on days (RFC 5545 section 3.3.10); SKIP moves those that a month or year does not have
(RFC 7529 section 4.1). What the rule leaves open is taken from the first date of the series.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from syncd.ics.rule import Frequency, Rule, ShortMonth

_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # of months


class RuleDays:
    """The days of a rule; days are ordinals (1 is 0001-01-01), in order.

    `fixed_week` are the days of a weekly rule that has the same ones in each week, from 0 for its first.
    `restricts` tells whether any part leaves days out.
    """

    def __init__(self, rule: Rule, first: date) -> None:
        rule = _with_defaults(rule, first)
        self._rule = rule
        self._skips = rule.skip is not ShortMonth.OMIT
        self._months = rule.months
        self._month_days = rule.month_days
        self._weekdays = rule.weekdays
        self._weekdays_alone = frozenset(weekday for _, weekday in rule.weekdays)
        self._asks_each_day = bool(
            rule.year_days or rule.week_numbers or rule.has_numbered_weekdays
        )
        self.restricts = bool(
            rule.months or rule.month_days or rule.weekdays or rule.year_days
        )
        self.fixed_week: tuple[int, ...] = ()
        if rule.frequency is Frequency.WEEKLY and not rule.months:
            week_start = rule.week_start
            offsets = [(day - week_start) % 7 for day in self._weekdays_alone]
            self.fixed_week = tuple(sorted(offsets))

    def of_year(self, year: int) -> list[int]:
        """Return the days of one year."""
        days: list[int] = []
        for month in sorted(self._months) or range(1, 13):
            days += self.of_month(year, month)
        if self._skips:
            return sorted({*days, *self._moved_days_of_year(year)})
        return days

    def of_month(self, year: int, month: int) -> list[int]:
        """Return the days of one month, from 1 for January."""
        if self._months and month not in self._months:
            return []
        length = _length_of_month(year, month)
        before = date(year, month, 1).toordinal() - 1
        if self._skips and self._month_days:
            return self._moved_days_of_month(before, length)
        days = [before + number for number in self._numbers_by_month_day(length)]
        if self._weekdays:
            wanted = self._weekdays_alone
            # Ordinal 1 was a Monday.
            days = [day for day in days if (day - 1) % 7 in wanted]
        if self._asks_each_day:
            return self.allowed_among(days)
        return days

    def _numbers_by_month_day(self, length: int) -> Sequence[int]:
        """Return the days of BYMONTHDAY that a month of this length has, from 1; all days without it."""
        if not self._month_days:
            return range(1, length + 1)
        wanted = {from_start(day, length) for day in self._month_days}
        return sorted(day for day in wanted if 1 <= day <= length)

    def _moved_days_of_month(self, before: int, length: int) -> list[int]:
        """Return the days of BYMONTHDAY with those that the month does not have moved by SKIP (RFC 7529).

        `before` is the last day of the month before.
        """
        wanted: set[int] = set()
        for written in self._month_days:
            number = from_start(written, length)
            wanted.add(self._moved(number, length))
        days = [before + number for number in sorted(wanted)]
        if self._weekdays:
            return [day for day in days if self._fits_weekday(date.fromordinal(day))]
        return days

    def _moved_days_of_year(self, year: int) -> Iterator[int]:
        """Yield where SKIP puts day 366 of a shorter year, counted from either end (RFC 7529)."""
        if calendar.isleap(year):
            return
        before = date(year, 1, 1).toordinal() - 1
        for written in self._rule.year_days & {366, -366}:
            number = 366 if written > 0 else 0
            day = before + self._moved(number, 365)
            if not self._weekdays or self._fits_weekday(date.fromordinal(day)):
                yield day

    def _moved(self, number: int, length: int) -> int:
        """Return the number of a day of a month or year, moved by SKIP where there is none (RFC 7529)."""
        if 1 <= number <= length:
            return number
        if self._rule.skip is ShortMonth.BACKWARD:
            return 0 if number < 1 else length
        return 1 if number < 1 else length + 1

    def allowed_among(self, days: Iterable[int]) -> list[int]:
        """Return those of some days that are among those of every BYxxx part that there is."""
        return [day for day in days if self.allows(date.fromordinal(day))]

    def allows(self, day: date) -> bool:
        """Tell whether a day is among those of every BYxxx part that there is."""
        rule = self._rule
        if self._months and day.month not in self._months:
            return False
        if self._month_days:
            length = _length_of_month(day.year, day.month)
            from_end = day.day - length - 1
            if self._month_days.isdisjoint((day.day, from_end)):
                return False
        if self._weekdays and not self._fits_weekday(day):
            return False
        if rule.year_days:
            number = _day_of_year(day)
            from_end = number - _length_of_year(day.year) - 1
            if rule.year_days.isdisjoint((number, from_end)):
                return False
        if rule.week_numbers:
            return not rule.week_numbers.isdisjoint(self._week_numbers(day))
        return True

    def _fits_weekday(self, day: date) -> bool:
        """Tell whether a day is among those of BYDAY.

        Its ordinals count within the month, but within the year in a yearly rule without BYMONTH.
        """
        weekday = day.weekday()
        if (0, weekday) in self._weekdays:
            return True
        counts_in_year = self._rule.frequency is Frequency.YEARLY
        if counts_in_year and not self._rule.months:
            number = _day_of_year(day)
            length = _length_of_year(day.year)
        else:
            number = day.day
            length = _length_of_month(day.year, day.month)
        ordinal = (number - 1) // 7 + 1
        if (ordinal, weekday) in self._weekdays:
            return True
        from_end = (length - number) // 7 + 1
        return (-from_end, weekday) in self._weekdays

    def _week_numbers(self, day: date) -> tuple[int, int]:
        """Return the number of a day's week from the start and from the end of the year that it belongs to.

        A day counts in its calendar year for INTERVAL and BYSETPOS, whatever year its week belongs to.
        """
        ordinal = day.toordinal()
        year = day.year
        if ordinal < self._first_week_of(year):
            year -= 1
        elif ordinal >= self._first_week_of(year + 1):
            year += 1
        begin = self._first_week_of(year)
        end = self._first_week_of(year + 1)
        from_start_of_year = (ordinal - begin) // 7 + 1
        from_end_of_year = (ordinal - end) // 7
        return from_start_of_year, from_end_of_year

    def _first_week_of(self, year: int) -> int:
        """Return the ordinal at which week 1 begins, the first with four days or more in the year."""
        # By arithmetic, because the year after the last one of `date` is asked for too.
        passed = year - 1
        leap_days = passed // 4 - passed // 100 + passed // 400
        fourth = 365 * passed + leap_days + 4
        # Ordinal 1 was a Monday.
        weekday = (fourth - 1) % 7
        return fourth - (weekday - self._rule.week_start) % 7


def _with_defaults(rule: Rule, first: date) -> Rule:
    """Return a rule with the days that it leaves open taken from DTSTART."""
    first_weekday = frozenset({(0, first.weekday())})
    first_month_day = frozenset({first.day})
    match rule.frequency:
        case Frequency.WEEKLY:
            if not rule.weekdays:
                return replace(rule, weekdays=first_weekday)
        case Frequency.MONTHLY:
            if not (rule.month_days or rule.weekdays):
                return replace(rule, month_days=first_month_day)
        case Frequency.YEARLY:
            if rule.year_days or rule.month_days or rule.weekdays:
                return rule
            if rule.week_numbers:
                return replace(rule, weekdays=first_weekday)
            months = rule.months or frozenset({first.month})
            return replace(rule, months=months, month_days=first_month_day)
    return rule


def from_start(number: int, length: int) -> int:
    """Return a number that may count back from the end (-1 is the last) as one that counts forward."""
    return number if number > 0 else length + 1 + number


def _length_of_month(year: int, month: int) -> int:
    length = _LENGTHS[month - 1]
    if month == 2 and calendar.isleap(year):
        return length + 1
    return length


def _length_of_year(year: int) -> int:
    return 366 if calendar.isleap(year) else 365


def _day_of_year(day: date) -> int:
    return day.timetuple().tm_yday
