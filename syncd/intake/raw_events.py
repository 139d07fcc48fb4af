"""The raw events of one UID: how they are kept, told apart, and when they can occur."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from syncd.ics import RawEvent
from syncd.intake.span import span_of


def packed(raw_events: Sequence[RawEvent]) -> bytes:
    """Return raw events as they are kept: of each a line with its VCALENDAR, line and length, then its text.

    They are compressed, because calendars shrink to a tenth.
    """
    texts: list[bytes] = []
    for event in raw_events:
        texts.append(
            b"%s %d %d\n" % (event.vcalendar.encode(), event.line, len(event.text))
        )
        texts.append(event.text)
    return zlib.compress(b"".join(texts), 1)


def unpacked(kept: bytes) -> tuple[RawEvent, ...]:
    """Return the raw events that `packed` wrote; raises `zlib.error` for anything else."""
    kept = zlib.decompress(kept)
    found: list[RawEvent] = []
    place = 0
    while place < len(kept):
        end = kept.index(b"\n", place)
        calendar, line, length = kept[place:end].rsplit(b" ", 2)
        context, _, number = calendar.decode().partition("+")
        place = end + 1 + int(length)
        found.append(
            RawEvent(context, int(line), kept[end + 1 : place], int(number or 0))
        )
    return tuple(found)


def digest_of_events(raw_events: Sequence[RawEvent]) -> str:
    """Return the identity of the text of a UID, 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for event in raw_events:
        whole.update(event.text)
    return whole.hexdigest()[:16]


def same_events(kept: bytes | None, other: bytes) -> bool:
    """Tell whether two packed texts have the same events, wherever these stand in their documents."""
    return kept is not None and _without_lines(kept) == _without_lines(other)


def _without_lines(kept: bytes) -> list[tuple[str, bytes]]:
    return [(event.vcalendar, event.text) for event in unpacked(kept)]


def is_over(raw_events: Iterable[RawEvent], moment: datetime) -> bool:
    """Tell whether certainly nothing of these events is left after a moment."""
    return all(span_of(event.text).is_over(moment) for event in raw_events)


def earliest(raw_events: Sequence[RawEvent]) -> datetime | None:
    """Return when the first occurrence of these begins at the earliest; None if that cannot be told."""
    begins = [span_of(event.text).earliest for event in raw_events]
    known = [moment for moment in begins if moment is not None]
    if not known or len(known) < len(begins):
        return None
    return min(known)
