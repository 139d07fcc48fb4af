"""Moments for people: how long ago, how far ahead, and in whose time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

NO_AGE = timedelta(seconds=2)
"""Less is just now."""
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def age(moment: datetime, now: datetime) -> str:
    """Return how far a moment is from now: `4 min ago`, `in 3 h`, `just now`."""
    apart = now - moment
    if abs(apart) < NO_AGE:
        return "just now"
    if apart > timedelta():
        return f"{length(apart)} ago"
    return f"in {length(-apart)}"


def length(span: timedelta) -> str:
    """Return how long something lasts, in the largest unit of which there are two, or the smallest."""
    if span < 2 * _MINUTE:
        return f"{span // timedelta(seconds=1)} s"
    if span < 2 * _HOUR:
        return f"{span // _MINUTE} min"
    if span < 2 * _DAY:
        return f"{span // _HOUR} h"
    return f"{span // _DAY} days"


def span_told(start: datetime, end: datetime, zone: tzinfo) -> str:
    """Return from when until when, in a time zone."""
    begins = start.astimezone(zone)
    ends = end.astimezone(zone)
    if begins.time() == ends.time() == time() and begins < ends:
        return f"{_days(begins, ends - timedelta(days=1))}, all day"
    if begins.date() == ends.date() or end - start < _DAY:
        return f"{moment_told(start, zone)}–{ends:%H:%M}"
    return f"{moment_told(start, zone)} – {moment_told(end, zone)}"


def moment_told(at: datetime, zone: tzinfo) -> str:
    """Return a moment in a time zone, such as `Tue 01 Dec 09:00`."""
    return f"{at.astimezone(zone):%a %d %b %H:%M}"


def _days(first: datetime, last: datetime) -> str:
    if first.date() == last.date():
        return f"{first:%a %d %b}"
    return f"{first:%a %d %b} – {last:%a %d %b}"


# A moment as sentences in the ledger have it, which may be read in another zone than they were written in.
_MOMENT = r"(\d{4}-\d\d-\d\d \d\d:\d\d)(?::\d\d)? UTC"
_SPAN = re.compile(rf"from {_MOMENT} to {_MOMENT}")
_ALONE = re.compile(_MOMENT)


def in_zone(sentence: str, zone: tzinfo) -> str:
    """Return a sentence with the moments in it, written in UTC, in a time zone."""

    def span(found: re.Match[str]) -> str:
        return f"({span_told(_moment(found[1]), _moment(found[2]), zone)})"

    def moment(found: re.Match[str]) -> str:
        return moment_told(_moment(found[1]), zone)

    return _ALONE.sub(moment, _SPAN.sub(span, sentence))


def _moment(written: str) -> datetime:
    return datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
