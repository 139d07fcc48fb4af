"""What the text of an event tells without being parsed: what it is called, and what tells it from others.

For events that cannot be understood, so that a person can find them, and say that they were seen.
Takes time in proportion to the length of a text, because a text may be here that is too costly to parse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from syncd.core.occurrence import PRIVATE_TOPIC, Defect
from syncd.core.text import fold_space
from syncd.ics.content import RawComponent, decode, unescaped
from syncd.ics.quirks import repaired
from syncd.ics.vevent import RawEvent

_ALARM = re.compile(rb"^BEGIN:VALARM", re.IGNORECASE | re.MULTILINE)
_SUMMARY = re.compile(rb"^SUMMARY[;:][^\r\n]*", re.IGNORECASE | re.MULTILINE)
# A colon may stand in a parameter; what says so in one as well is masked, too.
_PRIVATE = re.compile(
    rb"^CLASS(?:;[^\r\n]*)?:[ \t]*(?:PRIVATE|CONFIDENTIAL)\b",
    re.IGNORECASE | re.MULTILINE,
)
_FOLD = re.compile(rb"\r?\n[ \t]")
_ESCAPED_LINE_END = re.compile(r"(?<!\\)((?:\\\\)*)\\[nN]")
_NAME = re.compile(rb"[A-Za-z0-9-]*")
_LONGEST_TOPIC = 1000  # characters

# Programs write them anew although nobody changed the event, or when somebody closed a reminder.
_WITHOUT_MEANING = frozenset(
    {
        b"DTSTAMP",
        b"LAST-MODIFIED",
        b"CREATED",
        b"SEQUENCE",
        b"ACKNOWLEDGED",
        b"X-MOZ-LASTACK",
        b"X-MOZ-GENERATION",
    }
)


def identified(
    defects: Sequence[Defect],
    raw_events: Sequence[RawEvent],
    document_of: Callable[[RawEvent], str],
) -> tuple[Defect, ...]:
    """Return defects of one UID with the topic and the fingerprint of its events in a source.

    Of events without UID, which are no series, each defect has those of the event where it stands.
    """
    if not defects:
        return ()
    if defects[0].uid:
        topic = topic_of_events(raw_events)
        fingerprint = fingerprint_of_events(raw_events)
        return tuple(
            replace(defect, topic=topic, fingerprint=fingerprint) for defect in defects
        )
    by_place: dict[tuple[str, int], list[RawEvent]] = {}
    for event in raw_events:
        place = (document_of(event), event.line)
        by_place.setdefault(place, []).append(event)
    told: list[Defect] = []
    for defect in defects:
        own = by_place.get((defect.document, defect.line), [])
        topic = topic_of_events(own)
        fingerprint = fingerprint_of_events(own)
        told.append(replace(defect, topic=topic, fingerprint=fingerprint))
    return tuple(told)


def topic_of_events(raw_events: Sequence[RawEvent]) -> str:
    """Return the first SUMMARY of some events, empty if there is none; of a private event it is masked."""
    topic = ""
    for event in raw_events:
        text = _FOLD.sub(b"", event.text)
        if _PRIVATE.search(text):
            return PRIVATE_TOPIC
        topic = topic or _topic_of(text)
    return topic


def _topic_of(text: bytes) -> str:
    """Return the SUMMARY of an unfolded event, not that of an alarm in it."""
    alarm = _ALARM.search(text)
    end = alarm.start() if alarm else len(text)
    found = _SUMMARY.search(text, 0, end)
    if found is None:
        return ""
    line = decode(found.group())[:_LONGEST_TOPIC]
    raw = RawComponent("VEVENT", 1, ("BEGIN:VEVENT", line, "END:VEVENT"))
    for summary in repaired(raw).properties.get("SUMMARY", ()):
        in_one_line = _ESCAPED_LINE_END.sub(r"\1 ", summary.value)
        return fold_space(unescaped(in_one_line))
    return ""


def fingerprint_of_events(raw_events: Iterable[RawEvent]) -> str:
    """Return the identity of what some events say, 32 hexadecimal digits.

    Where the events stand, in which order they and their lines do, how lines are folded, and what programs
    write anew at each export does not count.
    """
    texts = {_digest_of(event.text) for event in raw_events}
    whole = hashlib.sha256(b"".join(sorted(texts)))
    return whole.hexdigest()[:32]


def _digest_of(text: bytes) -> bytes:
    unfolded = _FOLD.sub(b"", text)
    said: list[bytes] = []
    for line in unfolded.splitlines():
        name = _NAME.match(line)
        assert name is not None  # an empty name is one
        if name.group().upper() not in _WITHOUT_MEANING:
            said.append(line.rstrip())
    said.sort()
    return hashlib.sha256(b"\n".join(said)).digest()
