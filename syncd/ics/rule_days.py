"""The days that a recurrence rule allows: BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY and BYDAY.

A rule is a filter on days (RFC 5545 section 3.3.10); SKIP moves those that a month or year does not have
(RFC 7529 section 4.1). What the rule leaves open is taken from the first date of the series.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from datetime import date

from syncd.ics.rule import Frequency, Rule, ShortMonth

_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class RuleDays:
    """The days of a rule; days are ordinals (1 is 0001-01-01), in order.

    `fixed_week` are the days of a weekly rule that has the same ones in each week, from 0 for its first.
    `restricts` tells whether any part leaves days out.
    """

    def __init__(self, rule: Rule, first: date) -> None:
        self._rule = rule
        self._skips = rule.skip is not ShortMonth.OMIT
        self._months, self._month_days, self._weekdays = _days_with_defaults(
            rule, first
        )
        self._weekdays_alone = frozenset(weekday for _, weekday in self._weekdays)
        self._asks_each_day = bool(
            rule.year_days or rule.week_numbers or rule.has_numbered_weekdays
        )
        self.restricts = bool(
            self._months or self._month_days or self._weekdays or rule.year_days
        )
        self.fixed_week: tuple[int, ...] = ()
        if rule.frequency is Frequency.WEEKLY and not self._months:
            self.fixed_week = tuple(
                sorted((day - rule.week_start) % 7 for day in self._weekdays_alone)
            )

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
        begin, length = date(year, month, 1).toordinal(), _length_of_month(year, month)
        if self._skips and self._month_days:
            return self._moved_days_of_month(begin, length)
        numbers = self._numbers_by_month_day(length)
        if self._weekdays:
            wanted = self._weekdays_alone
            numbers = [
                number for number in numbers if (begin + number - 2) % 7 in wanted
            ]
        days = [begin + number - 1 for number in numbers]
        if self._asks_each_day:
            return [day for day in days if self.allows(date.fromordinal(day))]
        return days

    def _numbers_by_month_day(self, length: int) -> Sequence[int]:
        """Return the days of BYMONTHDAY that a month of this length has, from 1; all days without it."""
        if not self._month_days:
            return range(1, length + 1)
        wanted = {from_start(day, length) for day in self._month_days}
        return sorted(day for day in wanted if 1 <= day <= length)

    def _moved_days_of_month(self, begin: int, length: int) -> list[int]:
        """Return the days of BYMONTHDAY with those that the month does not have moved by SKIP (RFC 7529)."""
        wanted = {
            self._moved(from_start(day, length), length) for day in self._month_days
        }
        days = [begin + number - 1 for number in sorted(wanted)]
        if self._weekdays:
            return [day for day in days if self._fits_weekday(date.fromordinal(day))]
        return days

    def _moved_days_of_year(self, year: int) -> Iterator[int]:
        """Yield where SKIP puts day 366 of a shorter year, counted from either end (RFC 7529)."""
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
        backward = self._rule.skip is ShortMonth.BACKWARD
        if number < 1:
            return 0 if backward else 1
        return length if backward else length + 1

    def allows(self, day: date) -> bool:
        """Tell whether a day is among those of every BYxxx part that there is."""
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
        return not rule.week_numbers or not rule.week_numbers.isdisjoint(
            self._week_numbers(day)
        )

    def _fits_weekday(self, day: date) -> bool:
        """Tell whether a day is among those of BYDAY.

        Its ordinals count within the month, in a yearly rule without BYMONTH within the year.
        """
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
        """Return the number of a day's week from the start and from the end of the year that it belongs to.

        A day counts in its calendar year for INTERVAL and BYSETPOS, whatever year its week belongs to.
        """
        ordinal, year = day.toordinal(), day.year
        begin, end = self._first_week_of(year), self._first_week_of(year + 1)
        if ordinal < begin:
            begin, end = self._first_week_of(year - 1), begin
        elif ordinal >= end:
            begin, end = end, self._first_week_of(year + 2)
        return (ordinal - begin) // 7 + 1, (ordinal - end) // 7

    def _first_week_of(self, year: int) -> int:
        """Return the ordinal at which week 1 begins, the first with four days or more in the year."""
        before = year - 1
        fourth = 365 * before + before // 4 - before // 100 + before // 400 + 4
        # Ordinal 1 was a Monday.
        return fourth - (fourth - 1 - self._rule.week_start) % 7


def _days_with_defaults(
    rule: Rule, first: date
) -> tuple[frozenset[int], frozenset[int], frozenset[tuple[int, int]]]:
    """Return BYMONTH, BYMONTHDAY and BYDAY with what a rule leaves open taken from DTSTART."""
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


def from_start(number: int, length: int) -> int:
    """Return a number that may count back from the end (-1 is the last) as one that counts forward."""
    return number if number > 0 else length + 1 + number


def _length_of_month(year: int, month: int) -> int:
    return _LENGTHS[month - 1] + (month == 2 and calendar.isleap(year))
