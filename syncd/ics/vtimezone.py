"""The rules of a calendar's own VTIMEZONE (RFC 5545 section 3.6.5) as a `tzinfo`.

Offsets are computed for the years that are asked for, never all at once, so that no definition is costly.
One that does not say enough to give every time an offset raises `UnusableZone`: half a zone is a wrong
hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from operator import attrgetter
from typing import NamedTuple

from syncd.ics.content import RawComponent
from syncd.ics.rule import BrokenRule, Frequency, Rule
from syncd.ics.rule_dates import Recurrence

_OFFSET = re.compile(r"([+-])([01]\d|2[0-3])([0-5]\d)([0-5]\d)?")
# Wall clock times with room for any offset.
_FIRST = datetime(1, 1, 3)  # noqa: DTZ001  # wall clock
_LAST = datetime(9999, 12, 29)  # noqa: DTZ001  # wall clock
_LOOK_BACK_YEARS = (2, 40)
"""How far before a year the last onset of a rule is looked for, in steps of its INTERVAL.

The dates of a rule come again with the weekdays and leap days of 28 years, or 40 where a century has no leap
day, so a rule without any for so long has none.
"""

_FARTHEST_YEARS = 400  # a turn of the Gregorian calendar, however long the interval is


class UnusableZone(ValueError):
    """A VTIMEZONE without the parts that give every time an offset."""


class _Change(NamedTuple):
    """From `instant` (naive, in UTC) the offset is `after`."""

    instant: datetime
    before: timedelta
    after: timedelta


@dataclass(frozen=True, slots=True)
class _Observance:
    """One STANDARD or DAYLIGHT part: from each onset, a wall clock time at `before`, `after` holds."""

    first: datetime
    before: timedelta
    after: timedelta
    rules: tuple[Rule, ...]
    dates: tuple[datetime, ...]

    def changes(self, year: int) -> Iterator[_Change]:
        """Yield those of a year and its borders, and the last one before it; in no order."""
        new_year = datetime(year, 1, 1)  # noqa: DTZ001  # wall clock
        last_day = datetime(year, 12, 31)  # noqa: DTZ001  # wall clock
        begin = max(_FIRST, min(_LAST, new_year - timedelta(days=2)))
        end = min(_LAST, last_day + timedelta(days=3))
        onsets = {wall for wall in (self.first, *self.dates) if wall <= end}
        for rule in self.rules:
            onsets.update(self._onsets(rule, begin, end))
        earlier = [onset for onset in onsets if onset < begin]
        latest_before = max(earlier, default=None)
        for onset in onsets:
            if onset >= begin or onset == latest_before:
                instant = onset - self.before
                yield _Change(instant, self.before, self.after)

    def _onsets(self, rule: Rule, begin: datetime, end: datetime) -> list[datetime]:
        """Return the onsets of a rule from `begin` to `end`, and at least the last one before them."""
        last = end
        if rule.until is not None:
            until = rule.until.wall
            if rule.until.is_utc:
                until += self.before
            last = min(end, max(_FIRST, until))
        dates = Recurrence(rule, self.first, last)
        anchor = min(begin, dates.last)
        for years in _LOOK_BACK_YEARS:
            back = min(years * rule.interval, _FARTHEST_YEARS)
            year = max(1, anchor.year - back)
            low = max(_FIRST, anchor.replace(year=year, day=28))
            onsets = list(dates.since(low))
            if onsets and onsets[0] < begin:
                break
        return onsets


class OwnZone(tzinfo):
    """A zone as a calendar defines it.

    In a gap the offset before it counts, in an overlap the first of the two; `fold` asks for the other.
    `begin` is the wall clock time from which on it says anything.
    """

    def __init__(self, definition: RawComponent, name: str) -> None:
        """Read a VTIMEZONE; raises `UnusableZone` if it does not give every time an offset."""
        self._name = name
        parts = [
            *definition.subcomponents("STANDARD"),
            *definition.subcomponents("DAYLIGHT"),
        ]
        if not parts:
            raise UnusableZone
        self._observances = [_observance(part) for part in parts]
        self._changes_by_year: dict[int, list[_Change]] = {}
        first = min(self._observances, key=attrgetter("first"))
        self._at_first = first.before
        self.begin = first.first

    def __str__(self) -> str:
        return self._name

    def utcoffset(self, dt: datetime | None) -> timedelta:
        """Return the offset of a wall clock time."""
        assert dt is not None  # only `time` objects ask without one, and there are none
        wall = dt.replace(tzinfo=None)
        choose = min if dt.fold else max
        for change in self._changes(wall.year):
            offset = choose(change.before, change.after)
            if change.instant + offset <= wall:
                return change.after
        return self._at_first

    def fromutc(self, dt: datetime) -> datetime:
        """Return the wall clock time of an instant, with `fold` where it comes a second time."""
        instant = dt.replace(tzinfo=None)
        offset = self._at_first
        for change in self._changes(instant.year):
            if change.instant <= instant:
                offset = change.after
                break
        wall = dt + offset
        if self.utcoffset(wall) != offset:
            return wall.replace(fold=1)
        return wall

    def dst(self, dt: datetime | None) -> timedelta:  # noqa: ARG002  # required of a tzinfo
        """Return zero always, since which part is summer time does not matter here."""
        return timedelta()

    def tzname(self, dt: datetime | None) -> str:  # noqa: ARG002  # required of a tzinfo
        """Return the TZID."""
        return self._name

    def _changes(self, year: int) -> list[_Change]:
        """Return the changes that decide the offsets of a year, the latest first."""
        if year not in self._changes_by_year:
            changes: set[_Change] = set()
            for observance in self._observances:
                changes.update(observance.changes(year))
            self._changes_by_year[year] = sorted(changes, reverse=True)
        return self._changes_by_year[year]


def _observance(part: RawComponent) -> _Observance:
    """Return a STANDARD or DAYLIGHT part as values; raises `UnusableZone`."""
    try:
        start = _wall(part.first("DTSTART") or "")
        observance = _Observance(
            first=max(_FIRST, start),
            before=_offset(part.first("TZOFFSETFROM") or ""),
            after=_offset(part.first("TZOFFSETTO") or ""),
            rules=tuple(_rules(part)),
            dates=tuple(_dates(part)),
        )
    except (BrokenRule, ValueError):
        raise UnusableZone from None
    if any(map(_is_too_frequent, observance.rules)):
        raise UnusableZone  # no clock changes so often, and computing it would be costly
    return observance


def _rules(part: RawComponent) -> Iterator[Rule]:
    """Yield each RRULE of a part; raises `BrokenRule`."""
    for _, value in part.values("RRULE"):
        if value.strip():
            yield Rule.parse(value)


def _dates(part: RawComponent) -> Iterator[datetime]:
    """Yield the dates of all RDATE lists of a part; raises `ValueError`."""
    for _, value in part.values("RDATE"):
        for text in value.split(","):
            if text.strip():
                yield _wall(text)


def _is_too_frequent(rule: Rule) -> bool:
    """Tell whether a rule is neither yearly nor monthly, or gives several onsets a day."""
    if rule.several_a_day:
        return True
    return rule.frequency not in {Frequency.YEARLY, Frequency.MONTHLY}


def _wall(text: str) -> datetime:
    text = text.strip().upper().removesuffix("Z")
    layout = "%Y%m%dT%H%M%S" if "T" in text else "%Y%m%d"
    return datetime.strptime(text, layout)  # noqa: DTZ007  # wall clock on purpose


def _offset(text: str) -> timedelta:
    match = _OFFSET.fullmatch(text.strip())
    if match is None:
        raise UnusableZone
    sign, hours, minutes, seconds = match.groups()
    offset = timedelta(
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds or 0),
    )
    return -offset if sign == "-" else offset
