"""The raw events of one UID: how they are kept, told apart, and when they can occur."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from syncd.ics import RawEvent
from syncd.intake.span import Span, span_of, span_of_lines


def packed(raw_events: Sequence[RawEvent]) -> bytes:
    """Return raw events as they are kept: of each a line with its VCALENDAR, line and length, then its text.

    They are compressed, because calendars shrink to a tenth.
    """
    texts: list[bytes] = []
    for event in raw_events:
        text = event.text
        vcalendar = event.vcalendar.encode()
        texts.append(b"%s %d %d\n" % (vcalendar, event.line, len(text)))
        texts.append(text)
    return zlib.compress(b"".join(texts), 1)


def unpacked(kept: bytes) -> tuple[RawEvent, ...]:
    """Return the raw events that `packed` wrote; raises `zlib.error` for anything else."""
    kept = zlib.decompress(kept)
    found: list[RawEvent] = []
    place = 0
    while place < len(kept):
        head_end = kept.index(b"\n", place)
        vcalendar, line, length = kept[place:head_end].rsplit(b" ", 2)
        context, _, number = vcalendar.decode().partition("+")
        start = head_end + 1
        place = start + int(length)
        text = kept[start:place]
        found.append(RawEvent(context, int(line), text, int(number or 0)))
    return tuple(found)


def digest_of_events(raw_events: Sequence[RawEvent]) -> str:
    """Return the identity of the text of a UID, 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for event in raw_events:
        whole.update(event.text)
    return whole.hexdigest()[:16]


def same_events(kept: bytes | None, other: bytes) -> bool:
    """Tell whether two packed texts have the same events, wherever these stand in their documents."""
    if kept is None:
        return False
    return _without_lines(kept) == _without_lines(other)


def _without_lines(kept: bytes) -> list[tuple[str, bytes]]:
    """Return of each packed event its VCALENDAR and its text."""
    return [(event.vcalendar, event.text) for event in unpacked(kept)]


def is_over(raw_events: Iterable[RawEvent], moment: datetime) -> bool:
    """Tell whether certainly nothing of these events is left after a moment."""
    return all(span_of(event.text).is_over(moment) for event in raw_events)


def earliest(
    raw_events: Sequence[RawEvent], spans: Spans | None = None
) -> datetime | None:
    """Return when the first occurrence of these begins at the earliest; None if that cannot be told."""
    told = spans.of if spans else span_of
    begins: list[datetime] = []
    for event in raw_events:
        moment = told(event.text).earliest
        if moment is None:
            return None
        begins.append(moment)
    return min(begins, default=None)


class Spans:
    """When events can occur, each told once as long as it is not over at a moment."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment
        self._current: dict[bytes, Span] = {}

    def is_current(self, text: bytes, notable: bytes | None) -> bool:
        """Tell whether an event with these notable lines may have an occurrence that is not over."""
        span = span_of_lines(notable)
        if span.is_over(self._moment):
            return False
        self._current[text] = span
        return True

    def of(self, text: bytes) -> Span:
        """Return when an event can occur."""
        span = self._current.get(text)
        return span_of(text) if span is None else span
