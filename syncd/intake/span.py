"""When a VEVENT can have occurrences at all, told from its bytes without parsing it.

Nearly all of a large calendar is over, and what is certainly over need not be parsed.
Exact only where the text is plain: where a line that decides time is folded, repeated, in need of repair or
otherwise unusual, nothing is told, and the event has to be parsed.
Zones are not resolved: margins on either side are as wide as offsets can differ.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from syncd.ics.duration import parse_duration
from syncd.ics.zones import ONE_DAY
from syncd.intake.vevents import notable_lines


class Span(NamedTuple):
    """No occurrence begins before `earliest` and none ends after `latest`; None: that cannot be told."""

    earliest: datetime | None
    latest: datetime | None

    def is_over(self, moment: datetime) -> bool:
        """Tell whether certainly nothing of it is left after a moment."""
        return self.latest is not None and self.latest <= moment


UNKNOWN = Span(None, None)

_MARGIN = timedelta(days=2)
"""Any offset is less than a day; one more, because whole days are meant in a zone that is decided later."""

_MARGIN_OF_SERIES = timedelta(days=5)
"""UNTIL includes its day, and where an end has another zone than its start, two offsets are in the length."""

# A line that begins with no name, or with what could be a name that matters in another spelling: in lower
# case, folded, with a blank behind it.
_ODD_LINE = re.compile(rb"\n(?:[^A-Z \t]|[BDER][A-Z0-9-]*+[^A-Z0-9:;-])")
# With the blank of the next line, which shows a fold.
_DECIDING = re.compile(
    rb"\n(BEGIN|END|DTSTART|DTEND|DURATION|RRULE|RDATE|RECURRENCE-ID)(?=[:;])([^\n]*+)(?=\n([ \t]?))"
)
_TIME = re.compile(
    rb'(?:(?:;VALUE=DATE-TIME)?(?:;TZID=(?:[^:;"]++|"[^"]*+"))?:(\d{8}T\d{6})Z?|;VALUE=DATE:(\d{8}))\r?'
)
_PART = rb"(?!COUNT=|UNTIL=)[A-Z]++=[A-Z0-9,+-]++"
_ENDING_RULE = re.compile(
    rb":(?:%b;)*UNTIL=(\d{8}(?:T\d{6})?)Z?(?:;%b)*\r?" % (_PART, _PART)
)
# Room for the margins within what Python can count.
_FIRST = datetime(1, 2, 1, tzinfo=UTC)
_EARLY = b"0002"  # years from which on all is behind it
_BEHIND = b"9990"
_DAY = len("YYYYMMDD")
_NONE = timedelta()


def span_of(text: bytes) -> Span:
    """Return the span of one VEVENT, whatever zone its times are in.

    Of several with one UID each speaks for itself: what another one removes or replaces only makes it less.
    """
    return span_of_lines(notable_lines(text))


def span_of_lines(notable: bytes | None) -> Span:
    """Return the span of the VEVENT that has these notable lines."""
    if notable is None or _ODD_LINE.search(notable):
        return UNKNOWN
    lines: dict[bytes, bytes] = {}
    depth = 1
    for name, rest, fold in _DECIDING.findall(notable):
        if name == b"END":
            depth -= 1
        elif name == b"BEGIN":
            depth += 1
        elif depth == 1:
            if fold or name in lines:
                return UNKNOWN
            lines[name] = rest
    if depth or b"RDATE" in lines:
        return UNKNOWN
    try:
        return _span(lines)
    except (KeyError, ValueError, OverflowError):  # BrokenComponent is one of them
        return UNKNOWN


def _span(lines: dict[bytes, bytes]) -> Span:
    """Return the span that deciding lines tell.

    Raises `KeyError`, `ValueError` or `OverflowError` for whatever is not plain.
    """
    start, is_date = _wall(lines[b"DTSTART"])
    original = lines.get(b"RECURRENCE-ID")
    if original is not None:
        _wall(original)  # what moves later dates too, RANGE=THISANDFUTURE, is not plain
    earliest = start - _MARGIN
    if original is not None and b"DTEND" not in lines and b"DURATION" not in lines:
        return Span(earliest, None)  # it is as long as its series says
    last_start = start
    margin = _MARGIN
    rule = lines.get(b"RRULE")
    if rule is not None:
        match = _ENDING_RULE.fullmatch(rule)
        if match is None:
            return Span(earliest, None)
        last_start = max(start, _moment(match[1]))
        margin = _MARGIN_OF_SERIES
    return Span(earliest, last_start + _length(lines, start, is_date) + margin)


def _length(lines: dict[bytes, bytes], start: datetime, is_date: bool) -> timedelta:
    """Return how long a VEVENT lasts at most; raises `ValueError` for whatever is not plain."""
    end = lines.get(b"DTEND")
    duration = lines.get(b"DURATION")
    length = _NONE
    if end is not None:
        wall, of_kind = _wall(end)
        if duration is not None or wall < start or of_kind != is_date:
            raise ValueError
        length = wall - start
    elif duration is not None:
        written = parse_duration(duration.decode().removeprefix(":"))
        length = written.rough
        if length < _NONE or (is_date and written.exact):
            raise ValueError
    return max(length, ONE_DAY) if is_date else length


def _wall(rest: bytes) -> tuple[datetime, bool]:
    """Return a time or a date from its content line, as if in UTC, and whether it is a date.

    Raises `ValueError` for whatever is not plain.
    """
    match = _TIME.fullmatch(rest)
    if match is None:
        raise ValueError
    time, day = match.groups()
    if time is None:
        return _moment(day), True
    return _moment(time), False


def _moment(text: bytes) -> datetime:
    """Return a time or the begin of a day, as if in UTC; raises `ValueError` if it is out of bounds."""
    in_utc = "Z" if len(text) > _DAY else "T00Z"
    if _EARLY <= text < _BEHIND:
        return datetime.fromisoformat(text.decode() + in_utc)
    if text >= _BEHIND:
        raise ValueError
    if text.startswith(b"0000"):
        return _FIRST  # before any year that Python counts
    return max(datetime.fromisoformat(text.decode() + in_utc), _FIRST)
