"""The dates of a recurrence rule: wall clock times from a first one on (RFC 5545 section 3.3.10).

A rule is a filter on days (`syncd.ics.rule_days`) and on times (`syncd.ics.rule_times`), and its frequency
says how days are grouped for INTERVAL and BYSETPOS.
So any stretch of time is looked at without what lies before it, and a rule that never matches ends: the
work is bounded by the days between the two bounds, also where COUNT has to be counted from the start.
Knows no zones: the caller turns UNTIL into wall clock time, and the results into instants.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import overload

from syncd.ics.rule import Frequency, Rule, ShortMonth
from syncd.ics.rule_days import RuleDays
from syncd.ics.rule_times import DAY, RuleTimes, chosen_places

_LAST_ORDINAL = date.max.toordinal()
_PERIODS_KEPT = 4  # a month or a year each, for `holds`


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
        self._times_allowed = RuleTimes(rule, first)
        days_into_week = (first.weekday() - rule.week_start) % 7
        self._first_week = self._first_day - days_into_week  # by its first day
        self._skips = rule.skip is not ShortMonth.OMIT
        self._kept: dict[int, Sequence[int]] = {}
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
            return not self._days_allowed.restricts
        if rule.positions:
            return False
        return bool(self._days_allowed.fixed_week)

    # Periods: those of FREQ and INTERVAL, numbered from that of DTSTART; below a day each day is one.

    def _periods(self, low: int, high: int) -> range:
        """Return the numbers of the periods in which the dates between two moments, both included, may stand."""
        first = self._index(low // DAY)
        last = self._index(high // DAY)
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
        times = self._times_allowed
        if times.is_below_a_day:
            return _Members(days, times.of_day(index))
        return _Members(days, times.within, self._rule.positions)

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
        return self._days_allowed.allowed_among(range(low, high))

    def _day_alone(self, day: int) -> tuple[int, ...]:
        """Return a day, or none if a BYxxx part forbids it or no calendar has it."""
        if not self._days_allowed.restricts:
            return (day,)
        if day > _LAST_ORDINAL:
            return ()
        if self._days_allowed.allows(date.fromordinal(day)):
            return (day,)
        return ()


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
            self._chosen = chosen_places(positions, size)

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
        return self._days[day] * DAY + self._times[time]


_NONE = _Members((), ())


def _contains(members: Sequence[int], moment: int) -> bool:
    place = bisect_left(members, moment)
    if place == len(members):
        return False
    return members[place] == moment


def _seconds_of(wall: datetime) -> int:
    of_day = wall.hour * 3600 + wall.minute * 60 + wall.second
    return wall.toordinal() * DAY + of_day


def _wall_of(moment: int) -> datetime:
    day, second = divmod(moment, DAY)
    return datetime.fromordinal(day) + timedelta(seconds=second)


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1
