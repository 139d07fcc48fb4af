"""Recurrence rules as values: the parts of a RECUR text (RFC 5545 section 3.3.10, RFC 7529 SKIP).

What the RFC forbids, and what is not known, breaks a rule, because a guess would be a date that nobody meant.
Which dates a rule gives is the matter of `syncd.ics.rule_dates`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

_Choice = TypeVar("_Choice", bound=StrEnum)


class BrokenRule(ValueError):
    """A RECUR value that cannot be parsed; the text is a sentence for a person."""


class Frequency(StrEnum):
    """FREQ, from the longest period to the shortest."""

    YEARLY = "YEARLY"
    MONTHLY = "MONTHLY"
    WEEKLY = "WEEKLY"
    DAILY = "DAILY"
    HOURLY = "HOURLY"
    MINUTELY = "MINUTELY"
    SECONDLY = "SECONDLY"


_BELOW_A_DAY = frozenset({Frequency.HOURLY, Frequency.MINUTELY, Frequency.SECONDLY})


class ShortMonth(StrEnum):
    """What becomes of the 31st of a shorter month (RFC 7529 section 4.1)."""

    OMIT = "OMIT"
    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"


@dataclass(frozen=True, slots=True)
class Until:
    """UNTIL as written: a wall clock time, midnight for a date; in UTC, or in the zone of the series."""

    wall: datetime
    is_date: bool = False
    is_utc: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """The parts of one RECUR value; an empty set says nothing.

    `weekdays` are `(ordinal, weekday)` with 0 for every such day; weekdays count from Monday, 0.
    A leap second counts as second 59 (RFC 5545 section 3.3.12).
    """

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: Until | None = None
    months: frozenset[int] = frozenset()
    week_numbers: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()
    hours: frozenset[int] = frozenset()
    minutes: frozenset[int] = frozenset()
    seconds: frozenset[int] = frozenset()
    positions: frozenset[int] = frozenset()
    week_start: int = 0
    skip: ShortMonth = ShortMonth.OMIT

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Return the rule of a RECUR value in any letter case; raises `BrokenRule`.

        A part that is not known breaks the rule, because leaving it out would be a guess at dates.
        """
        return _parse(text)

    @property
    def several_a_day(self) -> bool:
        """Tell whether it may give several times on one day."""
        if self.frequency in _BELOW_A_DAY:
            return True
        lists = (self.hours, self.minutes, self.seconds)
        return any(len(times) > 1 for times in lists)

    @property
    def has_numbered_weekdays(self) -> bool:
        """Tell whether BYDAY has a number, such as the second Tuesday."""
        return any(ordinal for ordinal, _ in self.weekdays)

    def of_whole_days(self) -> Rule:
        """Return the rule for a VALUE=DATE start: BYHOUR, BYMINUTE and BYSECOND are to be ignored then.

        Raises `BrokenRule` if its periods are shorter than a day (RFC 5545 section 3.3.10).
        """
        if self.frequency in _BELOW_A_DAY:
            raise BrokenRule(
                f"a rule with FREQ={self.frequency} cannot repeat whole days"
            )
        return replace(
            self,
            hours=frozenset(),
            minutes=frozenset(),
            seconds=frozenset(),
        )


# Reading the text

_NUMBER = re.compile(r"[+-]?\d{1,9}")
_TOO_LARGE = re.compile(r"\+?\d{10,}")
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WEEKDAY = re.compile(rf"([+-]?\d{{1,2}})?({'|'.join(_WEEKDAYS)})")
_UNTIL = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?")
_RANGES = {  # name of the part: field, least, greatest, whether it counts from the end too
    "BYMONTH": ("months", 1, 12, False),
    "BYWEEKNO": ("week_numbers", 1, 53, True),
    "BYYEARDAY": ("year_days", 1, 366, True),
    "BYMONTHDAY": ("month_days", 1, 31, True),
    "BYHOUR": ("hours", 0, 23, False),
    "BYMINUTE": ("minutes", 0, 59, False),
    "BYSECOND": ("seconds", 0, 60, False),
    "BYSETPOS": ("positions", 1, 366, True),
}
_OTHERS = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "WKST", "RSCALE", "SKIP"}
)


@functools.lru_cache(maxsize=1024)  # calendars repeat a few rules thousands of times
def _parse(text: str) -> Rule:
    parts = _parts(text)
    _check_parts(parts)
    rule = Rule(
        frequency=_choice(Frequency, "FREQ", parts.get("FREQ", "")),
        **_number_lists(parts),
        interval=_positive("INTERVAL", parts.get("INTERVAL", "1")),
        count=_count(parts.get("COUNT")),
        until=_until(parts.get("UNTIL")),
        weekdays=_weekdays(parts.get("BYDAY")),
        week_start=_weekday("WKST", parts.get("WKST", "MO"))[1],
        skip=_choice(ShortMonth, "SKIP", parts.get("SKIP", "OMIT")),
    )
    _check_combination(rule, has_scale="RSCALE" in parts)
    if rule.skip is ShortMonth.OMIT:
        return rule
    return _with_clear_skip(rule)


def _parts(text: str) -> dict[str, str]:
    """Return the parts of a RECUR value by upper-case name; raises `BrokenRule`."""
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, _, value = part.partition("=")
        name = name.strip()
        value = value.strip()
        if not name or not value:
            raise BrokenRule(f"the rule has a broken part {part[:32]!r}")
        if name in parts:
            raise BrokenRule(f"the rule says {name[:32]} more than once")
        parts[name] = value
    return parts


def _check_parts(parts: Mapping[str, str]) -> None:
    """Raise `BrokenRule` for a part that is not known, and for parts of which only one can count."""
    for name in parts:
        if name not in _RANGES and name not in _OTHERS:
            raise BrokenRule(f"the rule has a part {name[:32]!r} that is not known")
    if parts.get("RSCALE", "GREGORIAN") != "GREGORIAN":
        raise BrokenRule(
            "the rule counts in another calendar than the Gregorian one (RSCALE)"
        )
    if "COUNT" in parts and "UNTIL" in parts:
        raise BrokenRule("the rule has both COUNT and UNTIL, and only one can count")


def _choice(kind: type[_Choice], name: str, value: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(kind)
        raise BrokenRule(
            f"the rule says {name}={value[:32]}; allowed are {allowed}"
        ) from None


def _positive(name: str, value: str) -> int:
    if _NUMBER.fullmatch(value) and int(value) >= 1:
        return int(value)
    if _TOO_LARGE.fullmatch(value):
        raise BrokenRule(
            f"{name} of the rule is larger than any that makes sense, 999999999"
        )
    raise BrokenRule(f"{name} of the rule is {value[:32]!r} and not a positive number")


def _count(value: str | None) -> int | None:
    return None if value is None else _positive("COUNT", value)


def _number_lists(parts: Mapping[str, str]) -> dict[str, frozenset[int]]:
    """Return the lists of numbers by field of `Rule`; raises `BrokenRule`."""
    lists: dict[str, frozenset[int]] = {}
    for name, (field, *_) in _RANGES.items():
        if name in parts:
            lists[field] = _numbers(name, parts[name])
    if 60 in lists.get("seconds", ()):
        lists["seconds"] = lists["seconds"] - {60} | {59}
    return lists


def _numbers(name: str, value: str) -> frozenset[int]:
    texts = value.split(",")
    return frozenset(_number(name, text.strip()) for text in texts)


def _number(name: str, text: str) -> int:
    """Return one number of a list; raises `BrokenRule` outside of the range of its part."""
    _, least, greatest, counts_back = _RANGES[name]
    if _NUMBER.fullmatch(text):
        number = int(text)
        distance = abs(number) if counts_back else number
        if least <= distance <= greatest:
            return number
    also = ", also negative" if counts_back else ""
    raise BrokenRule(
        f"{name} of the rule has {text[:32]!r}; allowed are {least} to {greatest}{also}"
    )


def _weekdays(value: str | None) -> frozenset[tuple[int, int]]:
    if value is None:
        return frozenset()
    texts = value.split(",")
    return frozenset(_weekday("BYDAY", text.strip()) for text in texts)


def _weekday(name: str, text: str) -> tuple[int, int]:
    """Return `(ordinal, weekday)` of a text such as -1SU; raises `BrokenRule`. WKST has no ordinal."""
    match = _WEEKDAY.fullmatch(text)
    if match is not None:
        weekday = _WEEKDAYS.index(match[2])
        if not match[1]:
            return 0, weekday
        ordinal = int(match[1])
        if name == "BYDAY" and 1 <= abs(ordinal) <= 53:
            return ordinal, weekday
    raise BrokenRule(f"{name} of the rule has {text[:32]!r}, which is no weekday")


def _until(value: str | None) -> Until | None:
    if value is None:
        return None
    match = _UNTIL.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        day, time, utc = match.groups()
        digits = day + (time or "000000")
        wall = datetime.strptime(digits, "%Y%m%d%H%M%S")  # noqa: DTZ007  # wall clock
    except ValueError:
        raise BrokenRule(f"UNTIL={value[:32]} is not a date or a time") from None
    return Until(wall, is_date=time is None, is_utc=utc == "Z")


_NOT_YEARLY = frozenset(Frequency) - {Frequency.YEARLY}
_BELOW_A_MONTH = _NOT_YEARLY - {Frequency.MONTHLY}
_DAYS_TO_MONTHS = frozenset({Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY})


def _check_combination(rule: Rule, *, has_scale: bool) -> None:
    """Raise `BrokenRule` for parts that section 3.3.10 forbids together and nobody can give a meaning."""
    limited: tuple[tuple[str, object, Collection[Frequency]], ...] = (
        ("BYWEEKNO", rule.week_numbers, _NOT_YEARLY),
        ("BYYEARDAY", rule.year_days, _DAYS_TO_MONTHS),
        ("BYMONTHDAY", rule.month_days, {Frequency.WEEKLY}),
        ("a number in BYDAY", rule.has_numbered_weekdays, _BELOW_A_MONTH),
    )
    for part, stands, forbidden in limited:
        if stands and rule.frequency in forbidden:
            raise BrokenRule(
                f"{part} cannot stand in a rule with FREQ={rule.frequency}"
            )
    if rule.has_numbered_weekdays and rule.week_numbers:
        raise BrokenRule("a number in BYDAY cannot stand beside BYWEEKNO")
    days = (
        rule.months,
        rule.week_numbers,
        rule.year_days,
        rule.month_days,
        rule.weekdays,
    )
    times = (
        rule.hours,
        rule.minutes,
        rule.seconds,
    )
    if rule.positions and not any((*days, *times)):
        raise BrokenRule("BYSETPOS of the rule has no other BY part to choose from")
    if rule.skip is not ShortMonth.OMIT and not has_scale:
        raise BrokenRule("SKIP stands in a rule without RSCALE")


def _with_clear_skip(rule: Rule) -> Rule:
    """Return the rule with SKIP where it can matter.

    Raises `BrokenRule` beside parts that RFC 7529 section 4.1 gives no order for.
    """
    if rule.frequency not in {Frequency.MONTHLY, Frequency.YEARLY}:
        # Shorter periods never give a day that is not there.
        return replace(rule, skip=ShortMonth.OMIT)
    if _has_unclear_skip(rule):
        raise BrokenRule("SKIP stands beside parts that make its meaning unclear")
    return rule


def _has_unclear_skip(rule: Rule) -> bool:
    """Tell whether a rule has other parts that count the days, or choose among them, before or after SKIP."""
    if rule.month_days and (rule.week_numbers or rule.year_days):
        return True
    counts_leap_day = not rule.year_days.isdisjoint({366, -366})
    if counts_leap_day and (rule.week_numbers or rule.months):
        return True
    return bool(rule.positions) and rule.several_a_day
