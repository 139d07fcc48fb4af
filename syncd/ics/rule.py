"""Recurrence rules as values: the parts of a RECUR text (RFC 5545 section 3.3.10, RFC 7529 SKIP).

What the RFC forbids, and what is not known, breaks a rule, because a guess would be a date that nobody meant.
Which dates a rule gives is the matter of `syncd.ics.rule_dates`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

_Choice = TypeVar("_Choice", bound=StrEnum)


class BrokenRule(ValueError):
    """A RECUR value that cannot be understood; the text is a sentence for a person."""


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


class Skip(StrEnum):
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
    skip: Skip = Skip.OMIT

    @classmethod
    def parse(cls, text: str) -> Rule:
        """The rule of a RECUR value in any letter case; raises `BrokenRule`.

        A part that is not known breaks the rule, because leaving it out would be a guess at dates.
        """
        return _parse(text)

    @property
    def several_a_day(self) -> bool:
        """Return whether it may give several times on one day."""
        lists = (self.hours, self.minutes, self.seconds)
        return self.frequency in _BELOW_A_DAY or any(len(times) > 1 for times in lists)

    def of_whole_days(self) -> Rule:
        """The rule as it holds for a VALUE=DATE start: BYHOUR, BYMINUTE and BYSECOND are ignored, as told."""
        if self.frequency in _BELOW_A_DAY:
            raise BrokenRule(f"a rule with FREQ={self.frequency} cannot repeat whole days")
        return replace(self, hours=frozenset(), minutes=frozenset(), seconds=frozenset())


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
_OTHERS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "WKST", "RSCALE", "SKIP"})


@functools.lru_cache(maxsize=1024)  # calendars repeat a few rules thousands of times
def _parse(text: str) -> Rule:
    parts = _parts(text)
    unknown = next((name for name in parts if name not in _RANGES and name not in _OTHERS), None)
    if unknown is not None:
        raise BrokenRule(f"the rule has a part {unknown[:32]!r} that is not known")
    if parts.get("RSCALE", "GREGORIAN") != "GREGORIAN":
        raise BrokenRule("the rule counts in another calendar than the Gregorian one (RSCALE)")
    if "COUNT" in parts and "UNTIL" in parts:
        raise BrokenRule("the rule has both COUNT and UNTIL, and only one can count")
    frequency = _choice(Frequency, "FREQ", parts.get("FREQ", ""))
    numbers = {field: _numbers(name, parts[name]) for name, (field, *_) in _RANGES.items() if name in parts}
    if "seconds" in numbers:
        numbers["seconds"] = frozenset(min(second, 59) for second in numbers["seconds"])
    rule = Rule(
        frequency,
        interval=_positive("INTERVAL", parts.get("INTERVAL", "1")),
        count=_positive("COUNT", parts["COUNT"]) if "COUNT" in parts else None,
        until=_until(parts["UNTIL"]) if "UNTIL" in parts else None,
        weekdays=_weekdays(parts["BYDAY"]) if "BYDAY" in parts else frozenset(),
        week_start=_weekday("WKST", parts.get("WKST", "MO"))[1],
        skip=_choice(Skip, "SKIP", parts.get("SKIP", "OMIT")),
        **numbers,
    )
    _check_combination(rule, has_scale="RSCALE" in parts)
    return rule if rule.skip is Skip.OMIT else _with_clear_skip(rule)


def _parts(text: str) -> dict[str, str]:
    """The parts of a RECUR value by upper-case name."""
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, equals, value = (raw_event.strip() for raw_event in part.partition("="))
        if not name or not equals or not value:
            raise BrokenRule(f"the rule has a broken part {part[:32]!r}")
        if name in parts:
            raise BrokenRule(f"the rule says {name[:32]} more than once")
        parts[name] = value
    return parts


def _choice(kind: type[_Choice], name: str, value: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(kind)
        raise BrokenRule(f"the rule says {name}={value[:32]}; allowed are {allowed}") from None


def _positive(name: str, value: str) -> int:
    if _NUMBER.fullmatch(value) and int(value) >= 1:
        return int(value)
    if _TOO_LARGE.fullmatch(value):
        raise BrokenRule(f"{name} of the rule is larger than any that makes sense, 999999999")
    raise BrokenRule(f"{name} of the rule is {value[:32]!r} and not a positive number")


def _numbers(name: str, value: str) -> frozenset[int]:
    _, least, greatest, counts_back = _RANGES[name]
    numbers: set[int] = set()
    for text in value.split(","):
        number = int(text) if _NUMBER.fullmatch(text.strip()) else None
        if number is None or not least <= (abs(number) if counts_back else number) <= greatest:
            also = ", also negative" if counts_back else ""
            raise BrokenRule(
                f"{name} of the rule has {text.strip()[:32]!r}; allowed are {least} to {greatest}{also}"
            )
        numbers.add(number)
    return frozenset(numbers)


def _weekdays(value: str) -> frozenset[tuple[int, int]]:
    return frozenset(_weekday("BYDAY", text.strip()) for text in value.split(","))


def _weekday(name: str, text: str) -> tuple[int, int]:
    match = _WEEKDAY.fullmatch(text)
    ordinal = int(match[1] or 0) if match else 0
    wrong = match is None or (match[1] and not (name == "BYDAY" and 1 <= abs(ordinal) <= 53))
    if match is None or wrong:
        raise BrokenRule(f"{name} of the rule has {text[:32]!r}, which is no weekday")
    return ordinal, _WEEKDAYS.index(match[2])


def _until(value: str) -> Until:
    match = _UNTIL.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        wall = datetime.strptime(match[1] + (match[2] or "000000"), "%Y%m%d%H%M%S")  # noqa: DTZ007  # wall clock
    except ValueError:
        raise BrokenRule(f"UNTIL={value[:32]} is not a date or a time") from None
    return Until(wall, is_date=match[2] is None, is_utc=match[3] == "Z")


def _check_combination(rule: Rule, *, has_scale: bool) -> None:
    """What section 3.3.10 forbids and nobody can give a meaning."""
    frequency = rule.frequency
    ordinals = any(ordinal for ordinal, _ in rule.weekdays)
    forbidden = {
        "BYWEEKNO": bool(rule.week_numbers) and frequency is not Frequency.YEARLY,
        "BYYEARDAY": bool(rule.year_days)
        and frequency in {Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY},
        "BYMONTHDAY": bool(rule.month_days) and frequency is Frequency.WEEKLY,
        "a number in BYDAY": ordinals and frequency not in {Frequency.YEARLY, Frequency.MONTHLY},
    }
    for part, is_wrong in forbidden.items():
        if is_wrong:
            raise BrokenRule(f"{part} cannot stand in a rule with FREQ={frequency}")
    if ordinals and rule.week_numbers:
        raise BrokenRule("a number in BYDAY cannot stand beside BYWEEKNO")
    others = (rule.months, rule.week_numbers, rule.year_days, rule.month_days, rule.weekdays)
    if rule.positions and not any((*others, rule.hours, rule.minutes, rule.seconds)):
        raise BrokenRule("BYSETPOS of the rule has no other BY part to choose from")
    if rule.skip is not Skip.OMIT and not has_scale:
        raise BrokenRule("SKIP stands in a rule without RSCALE")


def _with_clear_skip(rule: Rule) -> Rule:
    """Return the rule with SKIP where it can matter.

    Raises `BrokenRule` beside parts that RFC 7529 section 4.1 gives no order for.
    """
    if rule.frequency not in {Frequency.MONTHLY, Frequency.YEARLY}:
        return replace(rule, skip=Skip.OMIT)  # shorter periods never give a day that is not there
    unclear = (
        rule.month_days and (rule.week_numbers or rule.year_days),
        not rule.year_days.isdisjoint({366, -366}) and (rule.week_numbers or rule.months),
        rule.positions and rule.several_a_day,
    )
    if any(unclear):
        raise BrokenRule("SKIP stands beside parts that make its meaning unclear")
    return rule
