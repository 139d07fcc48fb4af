"""The reader against a second computation that shares nothing with it.

The reference tests every day and every time of day for membership by the definitions of RFC 5545
section 3.3.10, finds instants by trying the offsets of a zone (section 3.3.5), and is as slow as it is plain.
Generated are rules whose meaning the RFC defines; where it is silent (COUNT with a DTSTART outside of the
rule, the year of a week across New Year with INTERVAL or BYSETPOS) nothing is generated.
dateutil is a third opinion on the reference, except where it is wrong.
For BYWEEKNO without BYDAY it takes the whole week instead of the weekday of DTSTART, of BYDAY=MO,1TU it takes
no Monday, and BYSETPOS of a WEEKLY rule counts in the first week from DTSTART on.
"""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import groupby, islice, product, takewhile
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from syncd.core.document import Document
from syncd.core.occurrence import Days, Moment, Timespan, When, Window
from syncd.ics import Locale
from tests.conftest import examples
from tests.intake.whole import read

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DEFAULT_ZONE = "Europe/Berlin"
IANA_ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/Sao_Paulo",  # changed at midnight until 2019
    "Africa/Casablanca",  # changes by the moon
    "Asia/Kolkata",
)


# The reference: rules


@dataclass(frozen=True)
class Rule:
    """A recurrence rule as values; `days` are pairs of ordinal (0: every) and weekday (Monday is 0)."""

    frequency: str
    interval: int = 1
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    days: tuple[tuple[int, int], ...] = ()
    week_start: int = 0
    count: int | None = None
    until: datetime | None = None  # wall clock, inclusive

    @property
    def fineness(self) -> int:
        """0 for SECONDLY to 6 for YEARLY."""
        return FREQUENCIES.index(self.frequency)

    def text(self) -> str:
        """The value of RRULE without its end."""
        parts = [f"FREQ={self.frequency}"]
        if self.interval != 1:
            parts.append(f"INTERVAL={self.interval}")
        parts += [
            f"{name}={','.join(map(str, values))}"
            for name, values in self.parts.items()
        ]
        if self.days:
            parts.append(
                "BYDAY="
                + ",".join(f"{nth or ''}{WEEKDAYS[day]}" for nth, day in self.days)
            )
        if self.week_start:
            parts.append(f"WKST={WEEKDAYS[self.week_start]}")
        if self.count is not None:
            parts.append(f"COUNT={self.count}")
        return ";".join(parts)

    def period(self, wall: datetime) -> int:
        """The number of the year, month, week … that a time lies in."""
        day = wall.toordinal()
        match self.frequency:
            case "YEARLY":
                return wall.year
            case "MONTHLY":
                return wall.year * 12 + wall.month
            case "WEEKLY":
                return (day - 1 - self.week_start) // 7  # ordinal 1 was a Monday
            case "DAILY":
                return day
        seconds = day * 86_400 + wall.hour * 3600 + wall.minute * 60 + wall.second
        return (
            seconds // {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}[self.frequency]
        )

    def has_day(self, day: date, first: datetime) -> bool:
        """Whether all parts that speak of days allow a day."""
        by = self.parts
        length_of_month = calendar.monthrange(day.year, day.month)[1]
        day_of_year = day.timetuple().tm_yday
        length_of_year = 366 if calendar.isleap(day.year) else 365
        nothing_said = not self.days and not by.keys() & {
            "BYMONTHDAY",
            "BYYEARDAY",
            "BYWEEKNO",
        }
        if (
            self.frequency == "WEEKLY"
            and not self.days
            and day.weekday() != first.weekday()
        ):
            return False
        if (
            self.frequency in {"MONTHLY", "YEARLY"}
            and nothing_said
            and day.day != first.day
        ):
            return False
        if (
            self.frequency == "YEARLY"
            and nothing_said
            and "BYMONTH" not in by
            and day.month != first.month
        ):
            return False
        only_week = (
            "BYWEEKNO" in by
            and not self.days
            and not by.keys() & {"BYMONTHDAY", "BYYEARDAY"}
        )
        if only_week and day.weekday() != first.weekday():
            return False
        return (
            _either(by, "BYMONTH", day.month)
            and _either(by, "BYMONTHDAY", day.day, day.day - length_of_month - 1)
            and _either(by, "BYYEARDAY", day_of_year, day_of_year - length_of_year - 1)
            and _either(by, "BYWEEKNO", *_week_numbers(day, self.week_start))
            and (
                not self.days
                or self._has_weekday(day, day_of_year, length_of_year, length_of_month)
            )
        )

    def _has_weekday(
        self, day: date, day_of_year: int, length_of_year: int, length_of_month: int
    ) -> bool:
        monthly = self.frequency == "MONTHLY" or "BYMONTH" in self.parts
        at, length = (
            (day.day, length_of_month) if monthly else (day_of_year, length_of_year)
        )
        places = {0, (at + 6) // 7, -((length - at + 7) // 7)}
        return any(
            weekday == day.weekday() and nth in places for nth, weekday in self.days
        )


def _either(by: Mapping[str, tuple[int, ...]], name: str, *values: int) -> bool:
    return name not in by or any(value in by[name] for value in values)


def _week_numbers(day: date, week_start: int) -> tuple[int, int]:
    """The number of the week from the begin and from the end of its year: most of its days lie there."""
    begin = day - (day.weekday() - week_start) % 7 * DAY
    year = (begin + 3 * DAY).year  # the middle of the week
    weeks = [
        day
        for day in (date(year, 1, 1) + n * DAY for n in range(-7, 373))
        if day.weekday() == week_start and (day + 3 * DAY).year == year
    ]
    return weeks.index(begin) + 1, weeks.index(begin) - len(weeks)


def _clock(
    rule: Rule, first: datetime, name: str, unit: str, size: int
) -> Sequence[int]:
    """The hours (minutes, seconds) to try: those listed, or all, or that of DTSTART."""
    finer = rule.fineness < ("SECONDLY", "MINUTELY", "HOURLY", "DAILY").index(name)
    return rule.parts.get(unit) or (
        range(size) if finer else [getattr(first, unit[2:].lower())]
    )


def members(rule: Rule, first: datetime, before: datetime) -> list[datetime]:
    """The wall clock times of a rule up to `before`: every candidate of every day, period by period."""
    hours = sorted(set(_clock(rule, first, "DAILY", "BYHOUR", 24)))
    minutes = sorted(set(_clock(rule, first, "HOURLY", "BYMINUTE", 60)))
    seconds = sorted(set(_clock(rule, first, "MINUTELY", "BYSECOND", 60)))

    # BYSETPOS counts in whole periods, also in those of DTSTART and of the end.
    margin = {"YEARLY": 366, "MONTHLY": 31, "WEEKLY": 7}.get(rule.frequency, 0) * DAY

    def candidates() -> Iterator[datetime]:
        day = (first - margin).date()
        while day <= (before + margin).date():
            if rule.has_day(day, first):
                yield from (
                    datetime.combine(day, time(*clock))
                    for clock in product(hours, minutes, seconds)
                )
            day += DAY

    begun = rule.period(first)
    chosen: list[datetime] = []
    for number, group in groupby(candidates(), rule.period):
        if (number - begun) % rule.interval:
            continue
        times = list(group)
        places = rule.parts.get("BYSETPOS")
        if places:
            positions = {
                place - 1 if place > 0 else len(times) + place for place in places
            }
            times = [moment for n, moment in enumerate(times) if n in positions]
        chosen += [moment for moment in times if moment >= first]
    if rule.until is not None:
        chosen = [moment for moment in chosen if moment <= rule.until]
    return [moment for moment in chosen[: rule.count] if moment < before]


# The reference: zones


@dataclass(frozen=True)
class Change:
    """When an own zone changes, every year: the nth weekday of a month, at an hour of the old offset."""

    month: int
    nth: int
    weekday: int
    hour: int

    def in_year(self, year: int) -> datetime:
        """The wall clock time of the change."""
        length = calendar.monthrange(year, self.month)[1]
        days = [
            d
            for d in range(1, length + 1)
            if date(year, self.month, d).weekday() == self.weekday
        ]
        day = days[self.nth - 1 if self.nth > 0 else self.nth]
        return datetime.combine(date(year, self.month, day), time(self.hour))


@dataclass(frozen=True)
class Zone:
    """A zone as an offset at every instant, and as a calendar writes it; no `summer` means IANA."""

    tzid: str
    standard: timedelta = timedelta()
    saving: timedelta = timedelta()
    summer: Change | None = None
    winter: Change | None = None

    def offset(self, instant: datetime) -> timedelta:
        """The offset from UTC at a naive UTC instant."""
        if self.summer is None or self.winter is None:
            said = (
                instant.replace(tzinfo=UTC)
                .astimezone(ZoneInfo(self.tzid or DEFAULT_ZONE))
                .utcoffset()
            )
            assert said is not None
            return said
        # Both names sort up to this one.
        at = bisect_right(_changes(self), (instant, "winter"))
        return self.standard + (
            self.saving if _changes(self)[at - 1][1] == "summer" else timedelta()
        )

    def instant(self, wall: datetime) -> datetime:
        """The first instant that shows this wall clock time; in a gap by the offset before it."""
        around = {self.offset(wall + n * timedelta(hours=6)) for n in range(-8, 9)}
        found = [
            wall - offset for offset in around if self.offset(wall - offset) == offset
        ]
        instant = (
            min(found) if found else wall - self.offset(wall - 26 * timedelta(hours=1))
        )
        return instant.replace(tzinfo=UTC)

    def wall(self, instant: datetime) -> datetime:
        """What a clock there shows."""
        naive = instant.astimezone(UTC).replace(tzinfo=None)
        return naive + self.offset(naive)

    def lines(self) -> list[str]:
        """The VTIMEZONE, if the zone is the calendar's own."""
        if self.summer is None or self.winter is None:
            return []
        summer = _observance(
            "DAYLIGHT", self.summer, self.standard, self.standard + self.saving
        )
        winter = _observance(
            "STANDARD", self.winter, self.standard + self.saving, self.standard
        )
        return [
            "BEGIN:VTIMEZONE",
            f"TZID:{self.tzid}",
            *summer,
            *winter,
            "END:VTIMEZONE",
        ]

    def stamp(self, wall: datetime) -> str:
        """Parameters and value of a date-time property."""
        if not self.tzid:
            return f":{wall:%Y%m%dT%H%M%S}"
        return (
            f":{wall:%Y%m%dT%H%M%SZ}"
            if self.tzid == "UTC"
            else f";TZID={self.tzid}:{wall:%Y%m%dT%H%M%S}"
        )


@cache
def _changes(zone: Zone) -> list[tuple[datetime, str]]:
    """The UTC instants at which an own zone changes, and what begins."""
    assert zone.summer is not None
    assert zone.winter is not None
    to_summer, to_winter = zone.standard, zone.standard + zone.saving
    return sorted(
        entry
        for year in range(2000, 2040)
        for entry in (
            (zone.summer.in_year(year) - to_summer, "summer"),
            (zone.winter.in_year(year) - to_winter, "winter"),
        )
    )


@cache
def _days_of_change(zone: Zone, year: int) -> list[date]:
    noons = [datetime.combine(date(year, 1, 2), time(12)) + n * DAY for n in range(363)]
    return [
        noon.date() for noon in noons if zone.offset(noon) != zone.offset(noon - DAY)
    ]


def _observance(
    kind: str, change: Change, before: timedelta, after: timedelta
) -> list[str]:
    return [
        f"BEGIN:{kind}",
        f"DTSTART:{change.in_year(2000):%Y%m%dT%H%M%S}",
        f"TZOFFSETFROM:{_offset_text(before)}",
        f"TZOFFSETTO:{_offset_text(after)}",
        f"RRULE:FREQ=YEARLY;BYMONTH={change.month};BYDAY={change.nth}{WEEKDAYS[change.weekday]}",
        f"END:{kind}",
    ]


def _offset_text(offset: timedelta) -> str:
    minutes = round(abs(offset).total_seconds()) // 60
    return f"{'-' if offset < timedelta() else '+'}{minutes // 60:02}{minutes % 60:02}"


# The reference: a series


@dataclass(frozen=True)
class Length:
    """DURATION with nominal days and an exact rest, or (`as_end`) a DTEND at the wall clock so much later."""

    days: int
    exact: timedelta
    as_end: bool

    def text(self) -> str:
        """The value of DURATION."""
        days = f"{self.days}D" if self.days else ""
        minutes = round(self.exact.total_seconds()) // 60
        return f"P{days}T{minutes}M" if minutes else f"P{days or '0D'}"

    def end(self, zone: Zone, wall: datetime, first: datetime) -> datetime:
        """When an instance that begins at `wall` ends, in a series that begins at `first`."""
        if self.as_end:
            exact = zone.instant(first + self.days * DAY + self.exact) - zone.instant(
                first
            )
            return zone.instant(wall) + exact
        return zone.instant(wall + self.days * DAY) + self.exact


@dataclass(frozen=True)
class Override:
    """One date of a series moved to another time, its original start written in the zone or in UTC."""

    original: datetime
    moved: datetime
    minutes: int
    in_utc: bool


@dataclass(frozen=True)
class Series:
    """A timed series with everything that makes its recurrence set."""

    zone: Zone
    first: datetime
    length: Length
    rule: Rule | None
    until_text: str = ""
    # RDATE in UTC, with a period's minutes.
    extra: tuple[tuple[datetime, int | None], ...] = ()
    # EXDATE, written as "utc", "zone" or "date".
    excluded: tuple[tuple[datetime, str], ...] = ()
    overrides: tuple[Override, ...] = ()

    def text(self) -> str:
        """The calendar."""
        stamp = self.zone.stamp
        lines = [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            *self.zone.lines(),
            "BEGIN:VEVENT",
            "UID:series",
        ]
        lines.append(f"DTSTART{stamp(self.first)}")
        if self.length.as_end:
            lines.append(
                f"DTEND{stamp(self.first + self.length.days * DAY + self.length.exact)}"
            )
        else:
            lines.append(f"DURATION:{self.length.text()}")
        if self.rule is not None:
            lines.append(f"RRULE:{self.rule.text()}{self.until_text}")
        for instant, minutes in self.extra:
            if minutes is None:
                lines.append(f"RDATE:{instant:%Y%m%dT%H%M%SZ}")
            else:
                lines.append(
                    f"RDATE;VALUE=PERIOD:{instant:%Y%m%dT%H%M%SZ}/PT{minutes}M"
                )
        for wall, written in self.excluded:
            match written:
                case "utc":
                    lines.append(f"EXDATE:{self.zone.instant(wall):%Y%m%dT%H%M%SZ}")
                case "zone":
                    lines.append(f"EXDATE{stamp(wall)}")
                case _:
                    lines.append(f"EXDATE;VALUE=DATE:{wall:%Y%m%d}")
        lines.append("END:VEVENT")
        for override in self.overrides:
            original = f":{self.zone.instant(override.original):%Y%m%dT%H%M%SZ}"
            lines += [
                "BEGIN:VEVENT",
                "UID:series",
                f"RECURRENCE-ID{original if override.in_utc else stamp(override.original)}",
                f"DTSTART{stamp(override.moved)}",
                f"DURATION:PT{override.minutes}M",
                "END:VEVENT",
            ]
        return "\r\n".join([*lines, "END:VCALENDAR", ""])

    def expected(self, window: Window) -> dict[str | None, tuple[datetime, datetime]]:
        """Start and end of each occurrence that touches the window, by recurrence id."""
        high = self.zone.wall(window.reach) + 2 * DAY
        found: dict[datetime, tuple[datetime, datetime]] = {}
        for wall in [
            self.first,
            *(members(self.rule, self.first, high) if self.rule else ()),
        ]:
            start = self.zone.instant(wall)
            found.setdefault(
                start, (start, self.length.end(self.zone, wall, self.first))
            )
        for start, minutes in self.extra:
            end = self.length.end(self.zone, self.zone.wall(start), self.first)
            found.setdefault(
                start, (start, end if minutes is None else start + minutes * MINUTE)
            )
        for wall, written in self.excluded:
            for start in list(found):
                same_day = self.zone.wall(start).date() == wall.date()
                if same_day if written == "date" else start == self.zone.instant(wall):
                    del found[start]
        for override in self.overrides:
            start = self.zone.instant(override.moved)
            found[self.zone.instant(override.original)] = (
                start,
                start + override.minutes * MINUTE,
            )
        if self.rule is None and not self.extra and not self.overrides:
            return dict(
                zip(
                    [None],
                    (entry for entry in found.values() if _touches(entry, window)),
                    strict=False,
                )
            )
        return {
            f"{original:%Y%m%dT%H%M%SZ}": entry
            for original, entry in found.items()
            if _touches(entry, window)
        }


def _touches(entry: tuple[datetime, datetime], window: Window) -> bool:
    return entry[1] > window.start and entry[0] < window.reach


# What is generated


def _span(frequency: str | None) -> int:
    """How many days after DTSTART are looked at; the reference walks through all of them."""
    return {
        None: 60,
        "SECONDLY": 3,
        "MINUTELY": 4,
        "HOURLY": 40,
        "DAILY": 400,
        "WEEKLY": 800,
        "MONTHLY": 1200,
        "YEARLY": 3000,
    }[frequency]


def _numbers(low: int, high: int, most: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    values = st.integers(low, high).filter(bool)
    return st.lists(values, min_size=1, max_size=most, unique=True).map(tuple)


def _near(value: int, last: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Values from this one on, so that a rule with a short span finds something."""
    return st.lists(
        st.integers(value, value + 3).map(lambda n: min(n, last)),
        min_size=1,
        max_size=3,
    ).map(lambda found: tuple(dict.fromkeys(found)))


@st.composite
def rules(draw: st.DrawFn, first: datetime, *, whole_days: bool = False) -> Rule:
    """A rule of any frequency with up to four BYxxx parts that the RFC allows together."""
    frequency = draw(st.sampled_from(FREQUENCIES[3:] if whole_days else FREQUENCIES))
    fineness = FREQUENCIES.index(frequency)
    sub_daily = fineness < 3
    interval = draw(
        st.sampled_from(
            [1, 1, 1, 2, 3, 4, 7, 13, *((17, 90, 1000) if sub_daily else ())]
        )
    )
    parts: dict[str, st.SearchStrategy[tuple[int, ...]]] = {
        "BYMONTH": _near(first.month, 12) if sub_daily else _numbers(1, 12, 4)
    }
    if frequency != "WEEKLY":
        parts["BYMONTHDAY"] = _near(first.day, 31) if sub_daily else _numbers(-31, 31)
    if frequency == "YEARLY":
        parts["BYYEARDAY"] = _numbers(-366, 366, 5)
        # Weeks that lie in two years belong to a period that the RFC does not name.
        parts["BYWEEKNO"] = _numbers(2, 51) if interval > 1 else _numbers(-53, 53)
    elif sub_daily:
        parts["BYYEARDAY"] = _near(first.timetuple().tm_yday, 366)
    if not whole_days:
        parts |= {
            "BYHOUR": _clocks(24),
            "BYMINUTE": _clocks(60),
            "BYSECOND": _clocks(60),
        }
    names = draw(st.sets(st.sampled_from([*parts, "BYDAY", "BYDAY"]), max_size=3))
    if frequency == "SECONDLY":
        names |= {"BYHOUR", "BYMINUTE"}
    elif frequency == "MINUTELY" and interval < 7:
        names |= {"BYHOUR"}
    chosen = {name: draw(parts[name]) for name in sorted(names - {"BYDAY"})}
    days: tuple[tuple[int, int], ...] = ()
    if "BYDAY" in names:
        numbered = fineness >= 5 and "BYWEEKNO" not in names
        most = 5 if frequency == "MONTHLY" or "BYMONTH" in names else 53
        nth = (
            st.one_of(st.just(0), st.integers(-most, most)) if numbered else st.just(0)
        )
        days = tuple(
            draw(
                st.lists(
                    st.tuples(nth, st.integers(0, 6)),
                    min_size=1,
                    max_size=4,
                    unique=True,
                )
            )
        )
    across = {"BYWEEKNO"} <= names and not all(2 <= n <= 51 for n in chosen["BYWEEKNO"])
    if names and not across and draw(st.booleans()):
        chosen["BYSETPOS"] = draw(_numbers(-4, 4))
    week_start = draw(st.sampled_from([0, 0, 6, 3]))
    return Rule(frequency, interval, chosen, days, week_start)


def _clocks(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, size - 1), min_size=1, max_size=2, unique=True).map(
        tuple
    )


@st.composite
def ended(
    draw: st.DrawFn, rule: Rule, zone: Zone, first: datetime, high: datetime
) -> tuple[Rule, str]:
    """The rule with an end or without, and the text of its UNTIL."""
    found = members(rule, first, high)
    kind = draw(st.sampled_from(["none", "count", "until", "until date"]))
    # Whether a DTSTART outside of its rule counts is not defined.
    if kind == "count" and found[:1] == [first]:
        return replace(rule, count=draw(st.integers(1, len(found) + 2))), ""
    if kind == "until" and found:
        instant = zone.instant(draw(st.sampled_from(found)))
        wall = zone.wall(instant)
        return replace(
            rule, until=wall
        ), f";UNTIL={instant if zone.tzid else wall:%Y%m%dT%H%M%S}" + (
            "Z" if zone.tzid else ""
        )
    if kind == "until date" and found:
        day = draw(st.sampled_from(found)).date()
        return replace(
            rule, until=datetime.combine(day, time(23, 59, 59))
        ), f";UNTIL={day:%Y%m%d}"
    return rule, ""


@st.composite
def own_zones(draw: st.DrawFn) -> Zone:
    """A made-up zone that changes twice a year, on either half of the globe."""
    weekday, hour = st.integers(0, 6), st.integers(0, 4)
    nth = st.sampled_from([1, 2, 3, 4, -1])
    spring = Change(draw(st.integers(2, 5)), draw(nth), draw(weekday), draw(hour))
    autumn = Change(draw(st.integers(8, 11)), draw(nth), draw(weekday), draw(hour))
    standard = draw(st.integers(-40, 48)) * 15 * MINUTE
    saving = draw(st.sampled_from([30, 60, 120])) * MINUTE
    changes = draw(st.sampled_from([(spring, autumn), (autumn, spring)]))
    return Zone("Our place", standard, saving, *changes)


ZONES = st.one_of(
    st.sampled_from([Zone(name) for name in (*IANA_ZONES, "UTC", "")]),
    own_zones(),
)


@st.composite
def begins(draw: st.DrawFn, zone: Zone) -> datetime:
    """A wall clock time, often on the day of a clock change and in the small hours."""
    year = draw(st.sampled_from([2015, 2018, 2023, 2024, 2026]))
    day = date(year, 1, 1) + draw(st.integers(0, 364)) * DAY
    if draw(st.booleans()):
        changing = _days_of_change(zone, year)
        if changing:
            day = draw(st.sampled_from(changing)) - draw(st.integers(-1, 8)) * DAY
    clock = draw(
        st.one_of(
            st.tuples(st.integers(0, 3), st.sampled_from([0, 30])), st.just((9, 15))
        )
    )
    return datetime.combine(day, time(*clock))


@st.composite
def windows(draw: st.DrawFn, first: datetime, days: int) -> Window:
    """A window somewhere from the begin of a series on, short enough to stay below the bound per UID."""
    start = (first + draw(st.integers(-3, days)) * DAY).replace(tzinfo=UTC)
    end = min(
        start + draw(st.integers(1, 400)) * DAY,
        (first + (days + 1) * DAY).replace(tzinfo=UTC),
    )
    end = max(end, start + DAY)
    return Window(start, end, end)


@st.composite
def series(draw: st.DrawFn) -> tuple[Series, Window]:
    """A timed series with rule, RDATE, EXDATE and overrides, and a window on it."""
    zone = draw(ZONES)
    first = draw(begins(zone))
    rule = draw(st.one_of(st.none(), rules(first), rules(first), rules(first)))
    window = draw(windows(first, _span(rule.frequency if rule else None)))
    high = zone.wall(window.reach)
    until_text = ""
    if rule is not None:
        rule, until_text = draw(ended(rule, zone, first, high))
    as_end = draw(st.booleans())
    length = Length(
        draw(st.integers(0, 2)), draw(st.integers(1, 1600)) * MINUTE, as_end
    )
    if zone.instant(first + length.days * DAY + length.exact) <= zone.instant(first):
        length = replace(length, as_end=False)  # the clock change ate it all
    near = [high - n * timedelta(hours=7) for n in range(8)] + [
        first + n * timedelta(hours=30) for n in (1, 2)
    ]
    minutes = st.one_of(st.none(), st.integers(5, 90))
    extra = draw(
        st.lists(
            st.tuples(st.sampled_from(near).map(zone.instant), minutes), max_size=2
        )
    )
    found = [
        first,
        *(members(rule, first, high) if rule else []),
        *(zone.wall(at) for at, _ in extra),
    ]
    some = st.sampled_from(found[-20:] + found[:3])
    written = st.sampled_from(["utc", "zone", "date"])
    # A date excluded from an event that does not recur says nothing that writers agree on.
    most = 3 if rule is not None or extra else 0
    excluded = draw(
        st.lists(
            st.tuples(st.one_of(some, st.just(high - DAY)), written), max_size=most
        )
    )
    gone = {zone.instant(wall).date() for wall, _ in excluded}
    overrides = [
        override
        for override in draw(
            st.lists(
                st.builds(
                    Override,
                    original=some,
                    moved=some.map(lambda wall: wall + 95 * MINUTE),
                    minutes=st.integers(1, 300),
                    in_utc=st.booleans(),
                ),
                max_size=3,
                unique_by=lambda override: zone.instant(override.original),
            )
        )
        if zone.instant(override.original).date()
        not in {day + n * DAY for day in gone for n in (-1, 0, 1)}
    ]
    made = Series(
        zone,
        first,
        length,
        rule,
        until_text,
        tuple(extra),
        tuple(excluded),
        tuple(overrides),
    )
    return made, window


# The claims

PLAIN = settings(
    max_examples=examples(30, thorough=300, long=5000),
    # Without the phase that explains a failure: it traces every line of the reference.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)


def _said(text: str, window: Window) -> Mapping[str | None, When]:
    """What the reader says about the one UID of a calendar, by recurrence id."""
    reading = read(
        [Document("made.ics", text.encode())],
        source="office",
        scope="",
        locale=Locale(default=ZoneInfo(DEFAULT_ZONE)),
        window=window,
        at=window.start,
        max_occurrences=10_000,
    )
    assert reading.complete
    assert reading.defects == ()
    return {
        occurrence.key.recurrence_id: occurrence.when
        for occurrence in reading.occurrences
    }


def _entry(when: When) -> tuple[datetime, datetime]:
    match when:
        case Timespan(start=start, end=end):
            return start, end
        case Days(start=first, end=last):
            return datetime.combine(first, time(), UTC), datetime.combine(
                last, time(), UTC
            )
        case Moment(start=start):
            return start, start


@given(series())
@PLAIN
def test_timed_series(made: tuple[Series, Window]) -> None:
    """Keys, starts and ends of a timed series are those that RFC 5545 defines, in any zone."""
    series, window = made
    said = {
        key: entry
        for key, when in _said(series.text(), window).items()
        if _touches(entry := _entry(when), window)
    }
    assert said == series.expected(window), series.text()


@given(st.data())
@PLAIN
def test_whole_day_series(data: st.DataObject) -> None:
    """Keys and days of a whole-day series are those that RFC 5545 defines."""
    first = data.draw(begins(Zone("UTC"))).replace(hour=0, minute=0)
    rule = data.draw(rules(first, whole_days=True))
    window = data.draw(windows(first, _span(rule.frequency)))
    high = window.reach.replace(tzinfo=None)
    rule, until_text = data.draw(ended(rule, Zone(""), first, high))
    length = data.draw(st.integers(1, 3))
    found = [first, *members(rule, first, high)]
    extra = data.draw(st.lists(st.sampled_from([first + DAY, high - DAY]), max_size=2))
    excluded = data.draw(
        st.lists(st.sampled_from([*found[-20:], *extra, high - 2 * DAY]), max_size=3)
    )
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "UID:days"]
    lines += [
        f"DTSTART;VALUE=DATE:{first:%Y%m%d}",
        f"DTEND;VALUE=DATE:{first + length * DAY:%Y%m%d}",
    ]
    lines += [f"RRULE:{rule.text()}{until_text.partition('T0')[0]}"]
    lines += [f"RDATE;VALUE=DATE:{day:%Y%m%d}" for day in extra]
    if excluded:
        lines += ["EXDATE;VALUE=DATE:" + ",".join(f"{day:%Y%m%d}" for day in excluded)]
    text = "\r\n".join([*lines, "END:VEVENT", "END:VCALENDAR", ""])
    low = window.start.replace(tzinfo=None) - 2 * DAY
    expected = {
        f"{day:%Y%m%d}": Days(day.date(), day.date() + length * DAY)
        for day in {*found, *extra} - set(excluded)
        if low < day < high
    }
    said = {
        key: when
        for key, when in _said(text, window).items()
        if isinstance(when, Days) and low < datetime.combine(when.start, time()) < high
    }
    assert said == expected, text


@given(st.data())
@PLAIN
def test_the_reference_agrees_with_dateutil(data: st.DataObject) -> None:
    """The reference is no private reading: dateutil finds the same dates wherever it follows the RFC."""
    first = data.draw(begins(Zone("UTC")))
    rule = data.draw(rules(first))
    weeks_of_days = "BYWEEKNO" in rule.parts and not rule.days
    # It has no bound on the steps of finer rules.
    mixed = len({bool(nth) for nth, _ in rule.days}) == 2
    part_of_week = rule.frequency == "WEEKLY" and "BYSETPOS" in rule.parts
    assume(rule.fineness >= 3 and not weeks_of_days and not mixed and not part_of_week)
    found = members(rule, first, first + _span(rule.frequency) * DAY)
    assume(found)
    # Up to a date that is there, because dateutil looks for another one up to the year 9999.
    last = data.draw(st.sampled_from(found))
    theirs = takewhile(
        lambda moment: moment <= last, rrulestr(rule.text(), dtstart=first)
    )
    assert list(islice(theirs, len(found))) == found[: found.index(last) + 1], (
        rule.text()
    )
