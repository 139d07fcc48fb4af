"""Whole calendars to be damaged: made from parts that writers use, with events of the corpus among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent.parent / "calendars"

_BLOCK = re.compile(
    rb"^BEGIN:(VEVENT|VTIMEZONE)\r?\n.*?^END:\1\r?\n", re.MULTILINE | re.DOTALL
)
_ZONE = """\
BEGIN:VTIMEZONE
TZID:Our place
BEGIN:DAYLIGHT
DTSTART:19810329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19961027T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
"""
_HEADS = (
    "",
    "METHOD:PUBLISH\n",
    "METHOD:REQUEST\nX-WR-TIMEZONE:America/New_York\n",
    "X-WR-CALNAME:Büro\nCALSCALE:GREGORIAN\n",
)
_BEGINS = (
    "DTSTART:202601{day:02}T090000Z\nDTEND:202601{day:02}T100000Z\n",
    "DTSTART;TZID=Europe/Berlin:202601{day:02}T093000\nDURATION:PT45M\n",
    "DTSTART;TZID=Our place:202602{day:02}T140000\nDTEND;TZID=Our place:202602{day:02}T153000\n",
    'DTSTART;TZID="America/New_York":202601{day:02}T110000\nDURATION:P1DT2H\n',
    "DTSTART:202601{day:02}T070000\nDTEND:202601{day:02}T080000\n",
    "DTSTART;VALUE=DATE:202602{day:02}\n",
)
_RULES = (
    "",
    "",
    "RRULE:FREQ=WEEKLY;COUNT=9\n",
    "RRULE:FREQ=DAILY;INTERVAL=3;UNTIL=20260401\n",
    "RRULE:FREQ=MONTHLY;BYDAY=1MO,-1FR\n",
)
_MORE = (
    "SUMMARY:Stand-up\n",
    "SUMMARY;LANGUAGE=de:Übergabe\\, Größe\n",
    "SUMMARY:Line that goes on\n  over a fold and speaks of END:VEVENT\n",
    "LOCATION:Zürich\n",
    "LOCATION:b\n",
    'ATTENDEE;CN="Miller, Ann: chair";ROLE=CHAIR:mailto:ann@example.com\n',
    "ORGANIZER;CN=Bob:mailto:bob@example.com\n",
    "DESCRIPTION:BEGIN:VEVENT\\nUID:not-one\\nEND:VEVENT\n",
    "X-ALT-DESC;FMTTYPE=text/html:<html><body>Hello</body></html>\n",
    "BEGIN:VALARM\nACTION:DISPLAY\nUID:alarm\nTRIGGER:-PT10M\nDESCRIPTION:Soon\nEND:VALARM\n",
    "CATEGORIES:A,B\nSEQUENCE:3\nSTATUS:CONFIRMED\n",
    "ATTACH;ENCODING=BASE64;VALUE=BINARY:aGVsbG8=\n",
)


def corpus() -> list[bytes]:
    """The calendars that are kept as examples, in a fixed order."""
    return [path.read_bytes() for path in sorted(CORPUS.rglob("*.ics"))]


def made(random: Random, examples: Sequence[bytes]) -> bytes:
    """One or two VCALENDARs of a few events that have nothing to do with each other."""
    text = b""
    for calendar in range(random.choice([1, 1, 1, 2])):
        head = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//fuzz//EN\n{random.choice(_HEADS)}{_ZONE}"
        blocks = [
            _event(random, f"{calendar}-{n}") for n in range(random.randint(2, 6))
        ]
        if examples and random.random() < 0.6:
            blocks += [match[0] for match in _BLOCK.finditer(random.choice(examples))][
                :12
            ]
            random.shuffle(blocks)
        text += b"".join([head.encode(), *blocks, b"END:VCALENDAR\n"])
    return re.sub(rb"\r?\n", random.choice([b"\r\n", b"\r\n", b"\n"]), text)


def _event(random: Random, name: str) -> bytes:
    uid = random.choice(
        [
            "event-{}@example.com",
            "{}",
            "ärger-{}",
            "A\\,B;{}",
            "040000008200E00074C5B7101A82E008{}",
        ]
    )
    own = uid.format(name)
    begin = random.choice(_BEGINS).format(day=random.randint(5, 27))
    rule = random.choice(_RULES)
    lines = [f"UID:{own}\n", "DTSTAMP:20260101T000000Z\n", begin, rule]
    lines += random.sample(_MORE, random.randint(1, 4))
    random.shuffle(lines)
    event = f"BEGIN:VEVENT\n{''.join(lines)}END:VEVENT\n"
    if rule and random.random() < 0.3:
        event += _override(random, own, begin)
    return event.encode()


def _override(random: Random, uid: str, begin: str) -> str:
    """The first date of a series, moved or cancelled."""
    original = begin.partition("\n")[0].replace("DTSTART", "RECURRENCE-ID")
    status = random.choice(["", "STATUS:CANCELLED\n"])
    return f"BEGIN:VEVENT\nUID:{uid}\n{original}\n{begin}{status}SUMMARY:Moved\nEND:VEVENT\n"
