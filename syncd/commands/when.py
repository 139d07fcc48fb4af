"""What a time on a command line means: a moment, a minute or a day, as a span."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import typer

from syncd import arguments
from syncd.views.choice import is_within

_AGO = re.compile(r"(\d+) ?(s|m|min|h|d|w)(?: ago)?")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True)
class When:
    """From when until when a person means: of a day its beginning and its end, of a moment twice the same."""

    start: datetime
    end: datetime

    def touches(self, start: datetime, end: datetime) -> bool:
        """Tell whether a meeting is going on at this time."""
        return is_within(start, end, self.start, self.end)


def when_meant(
    said: str, now: datetime, zone: tzinfo, *, option: str, ahead: bool = False
) -> When:
    """Return what WHEN means: a date, a time, a day by its name, or how long ago, such as `2d`.

    A day of the week is the last one, today included, or with `ahead` the next one.
    Raises `typer.BadParameter`, naming the option, for anything else.
    """
    word = " ".join(said.split()).lower()
    try:
        found = _span_of(word, now.astimezone(zone), ahead=ahead)
        return When(found.start.astimezone(UTC), found.end.astimezone(UTC))
    except (ValueError, OverflowError):
        example = now.astimezone(zone)
        raise typer.BadParameter(
            f"{said!r} is no time; write a date ({example:%Y-%m-%d}), a time ({example:%H:%M} or "
            f'"{example:%Y-%m-%d %H:%M}"), a day (today, yesterday, tue), or how long ago (30m, 12h, 2d, 1w)',
            param_hint=option,
        ) from None


def _span_of(word: str, now: datetime, *, ahead: bool) -> When:
    """Return what a word means; raises ValueError or OverflowError if it means nothing."""
    if word == "now":
        return When(now, now)
    ago = _AGO.fullmatch(word)
    if ago is not None:
        moment = now - int(ago[1]) * _UNITS[ago[2]]
        return When(moment, moment)
    first, _, rest = word.partition(" ")
    day = arguments.named_day(first, now.date(), ahead=ahead)
    if day is not None:
        return _on_day(day, rest, now)
    if ":" in word and "-" not in word and "t" not in word:
        return _on_day(now.date(), word, now)
    return _written(word, now)


def _on_day(day: date, rest: str, now: datetime) -> When:
    """Return a day, or the time of it that is said besides."""
    if not rest:
        start = datetime.combine(day, time(), now.tzinfo)
        end = datetime.combine(day + timedelta(days=1), time(), now.tzinfo)
        return When(start, end)
    moment = datetime.combine(day, time.fromisoformat(rest), now.tzinfo)
    return When(moment, moment)


def _written(word: str, now: datetime) -> When:
    """Return a date, or a date with a time, as ISO 8601 writes it."""
    try:
        day = date.fromisoformat(word)
    except ValueError:
        moment = datetime.fromisoformat(word.upper())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=now.tzinfo)
        return When(moment, moment)
    return _on_day(day, "", now)
