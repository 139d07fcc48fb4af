"""Writes calendars: content lines of RFC 5545, with escapes and folds, the same bytes for the same values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

ContentLine = tuple[str, str]
"""A name with its parameters, and a value that is escaped where it has to be."""

_LONGEST = 75  # octets of a line (RFC 5545 section 3.1)


def text_value(text: str) -> str:
    """Return a value of type TEXT (section 3.3.11)."""
    escaped = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\n", "\\n")


def moment_value(moment: datetime) -> str:
    """Return a value of type DATE-TIME in UTC (section 3.3.5)."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def time_line(name: str, moment: datetime | date) -> ContentLine:
    """Return a property that says when something is: at a moment, or on a whole day."""
    if isinstance(moment, datetime):
        return name, moment_value(moment)
    return f"{name};VALUE=DATE", moment.strftime("%Y%m%d")


def calendar_bytes(
    properties: Iterable[ContentLine], events: Iterable[Sequence[ContentLine]]
) -> bytes:
    """Return a VCALENDAR with these properties and these VEVENTs."""
    lines: list[bytes] = [b"BEGIN:VCALENDAR"]
    lines += [_folded(line) for line in properties]
    for event in events:
        lines.append(b"BEGIN:VEVENT")
        lines += [_folded(line) for line in event]
        lines.append(b"END:VEVENT")
    lines += [b"END:VCALENDAR", b""]
    return b"\r\n".join(lines)


def _folded(line: ContentLine) -> bytes:
    """Return a content line in pieces that are short enough, none of which begins within a character."""
    name, value = line
    rest = f"{name}:{value}".encode("utf-8", "replace")
    pieces: list[bytes] = []
    longest = _LONGEST
    while len(rest) > longest:
        end = longest
        while _continues_character(rest[end]):
            end -= 1
        pieces.append(rest[:end])
        rest = rest[end:]
        longest = _LONGEST - 1  # behind the blank of the fold
    pieces.append(rest)
    return b"\r\n ".join(pieces)


def _continues_character(octet: int) -> bool:
    """Tell whether an octet of UTF-8 is not the first of its character."""
    return octet & 0b1100_0000 == 0b1000_0000
