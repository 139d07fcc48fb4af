"""What happens to bytes on their way: a calendar as edits of the one that was meant.

Every edit names the place in the whole calendar that it changes, so that it is known whose bytes they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from syncd.ics.content import Incomplete, RawComponent, split

_END = rb"^END:%s[ \t]*(?:\r\n|\n|\r|\Z)"
_FIXED = re.compile(r"DTSTART(?:;[^:]*TZID=.*|.*Z)", re.IGNORECASE)
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_NASTY = (
    b"",
    b" ",
    b"0",
    b"-1",
    b"99999999999999999999",
    b"\xff\xfe",
    b"\xc3",
    b"\x00",
    b"\x1b[2J",
    b'"',
    b";",
    b":",
    b"\\",
    b"," * 500,
    b"A" * 5000,
    b"00010101T000000Z",
    b"99991231T235959Z",
    b"20260230T250000",
    b"20260101",
    b"20260101T000000Z/PT0S",
    b"P99999999999D",
    b"-P1W",
    b"PT",
    b"FREQ=SECONDLY",
    b"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    b"FREQ=MINUTELY;INTERVAL=99999999999;COUNT=99999999",
    b"FREQ=DAILY;COUNT=999999999",
    b"FREQ=WEEKLY;UNTIL=99991231T235959Z;BYDAY=" + b",".join([b"MO"] * 400),
    b"FREQ=YEARLY;BYSETPOS=-366;BYYEARDAY="
    + b",".join(b"%d" % n for n in range(1, 367)),
    b",".join([b"20260105T090000Z"] * 3000),
    b"+2460",
    b"-0000",
    b"Europe/Nowhere",
    b"Africa/Casablanca",
    b"../../etc/passwd",
    b"mailto:",
    b"data:;base64,AAAA",
    b"1e400",
    "\u202e\u0000\ud7ff".encode(),
)
_LOOSE_LINES = (
    b"BEGIN:VALARM",
    b"END:VALARM",
    b"BEGIN:VEVENT",
    b"END:VEVENT",
    b"BEGIN:VTIMEZONE",
    b"END:VCALENDAR",
    b"BEGIN:VCALENDAR",
    b"BEGIN:X-A\nBEGIN:X-B\nEND:X-B\nEND:X-A",
    b"BEGIN:",
    b"END",
    b"no colon at all",
    b"<html>",
    b"--boundary",
    b"\xef\xbb\xbf",
    b"\x0c",
    b"UID:",
    b"X:" + b"y" * 100_000,
    b"X" * 3000 + b":1",
    b'X;A="' + b";" * 2000 + b":1",
    b"\n".join([b"BEGIN:VALARM"] * 2000),
)


@dataclass(frozen=True)
class Edit:
    """The bytes from `start` to `end` of the whole calendar, replaced."""

    start: int
    end: int
    new: bytes = b""


@dataclass(frozen=True)
class Part:
    """Where a VEVENT stands in the bytes, its zones included, and whose it is.

    `floating` events also depend on what the calendar says outside of its components.
    """

    uid: str
    spans: tuple[tuple[int, int], ...]
    floating: bool

    def touched_by(self, edit: Edit, anywhere: Sequence[tuple[int, int]]) -> bool:
        """Whether an edit changed a byte of it; `anywhere` are the spans of all components."""
        if any(_meets(edit, span) for span in self.spans):
            return True
        return self.floating and not any(
            span[0] <= edit.start and edit.end <= span[1] for span in anywhere
        )


def _meets(edit: Edit, span: tuple[int, int]) -> bool:
    if edit.start == edit.end:
        return span[0] < edit.start < span[1]  # an insertion beside it is no part of it
    return edit.start < span[1] and span[0] < edit.end


@dataclass(frozen=True)
class Whole:
    """A calendar that was meant, with the places of its parts."""

    body: bytes
    components: tuple[RawComponent, ...]
    spans: tuple[tuple[int, int], ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, body: bytes) -> Whole:
        """Find the parts of a calendar; raises `syncd.ics.content.Incomplete` if it is not whole."""
        begins = [match.start() for match in _LINE.finditer(body)]
        components = [raw for calendar in split(body) for raw in calendar.components]
        spans = []
        for raw in components:
            end = re.compile(
                _END % re.escape(raw.name.encode()), re.IGNORECASE | re.MULTILINE
            )
            found = end.search(body, begins[raw.line - 1])
            spans.append((begins[raw.line - 1], found.end() if found else len(body)))
        zones = [
            ((raw.first("TZID") or "").strip().strip('"').replace("\\,", ","), span)
            for raw, span in zip(components, spans, strict=True)
            if raw.name == "VTIMEZONE"
        ]
        parts = [
            Part(
                raw.uid,
                (
                    span,
                    *(
                        zone
                        for name, zone in zones
                        if any(name in line for line in raw.lines)
                    ),
                ),
                floating=not any(_FIXED.match(line) for line in raw.lines),
            )
            for raw, span in zip(components, spans, strict=True)
            if raw.name == "VEVENT"
        ]
        return cls(body, tuple(components), tuple(spans), tuple(parts))

    def touched(self, edits: Sequence[Edit]) -> set[str]:
        """The UIDs of which an edit changed a byte."""
        return {
            part.uid
            for part in self.parts
            for edit in edits
            if part.touched_by(edit, self.spans)
        }

    def copies(self, uid: str, damaged: bytes) -> list[RawComponent]:
        """The components that bear the UID of an event by damage."""
        try:
            calendars = split(damaged)
        except Incomplete:
            return []
        own = {raw.lines for raw in self.components}
        return [
            raw
            for calendar in calendars
            for raw in calendar.components
            if raw.uid == uid and raw.lines not in own
        ]

    def revised(self, copy: RawComponent) -> bool:
        """Whether a copy calls itself another revision than the events that are meant."""
        return _revision(copy) not in {
            _revision(raw) for raw in self.components if raw.uid == copy.uid
        }


def _revision(raw: RawComponent) -> tuple[str | None, ...]:
    return tuple(raw.first(name) for name in ("SEQUENCE", "LAST-MODIFIED", "DTSTAMP"))


def apply(body: bytes, edits: Sequence[Edit]) -> bytes:
    """The damaged bytes."""
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        body = body[: edit.start] + edit.new + body[edit.end :]
    return body


def edits(body: bytes, random: Random) -> tuple[Edit, ...]:
    """One to three edits that do not overlap."""
    chosen: list[Edit] = []
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        edit = random.choice(KINDS)(body, random)
        if all(edit.end < other.start or other.end < edit.start for other in chosen):
            chosen.append(edit)
    return tuple(chosen)


def respelled(body: bytes, random: Random) -> bytes | None:
    """The same calendar in another spelling that means nothing; None where this is not certain."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if "\r\r\n" in text or "\0" in text:
        return None  # read as something else than what stands there
    text = re.sub(r"\r\n|\n|\r", random.choice(["\r\n", "\n", "\r"]), text)
    return text.encode(random.choice(["utf-8", "utf-8-sig", "utf-16"]))


def cut(body: bytes, random: Random) -> bytes | None:
    """The calendar broken off somewhere; None where what is left is a whole calendar of its own."""
    left = body[: random.randrange(len(body.rstrip()) - 1)]
    return (
        None
        if re.search(rb"^END:VCALENDAR\s*\Z", left, re.IGNORECASE | re.MULTILINE)
        else left
    )


def _some_line(body: bytes, random: Random) -> re.Match[bytes]:
    at = random.randrange(len(body))
    start = max(body.rfind(b"\n", 0, at), body.rfind(b"\r", 0, at)) + 1
    line = _LINE.match(body, start)
    assert line is not None  # it matches the empty line too
    return line


def _flip_bytes(body: bytes, random: Random) -> Edit:
    at, length = random.randrange(len(body)), random.choice([1, 1, 1, 2, 4])
    return Edit(at, min(at + length, len(body)), random.randbytes(length))


def _flip_bit(body: bytes, random: Random) -> Edit:
    at = random.randrange(len(body))
    return Edit(at, at + 1, bytes([body[at] ^ 1 << random.randrange(8)]))


def _drop_line(body: bytes, random: Random) -> Edit:
    line = _some_line(body, random)
    return Edit(line.start(), line.end())


def _repeat_line(body: bytes, random: Random) -> Edit:
    line = _some_line(body, random)
    return Edit(line.end(), line.end(), line[0])


def _swap_lines(body: bytes, random: Random) -> Edit:
    line = _some_line(body, random)
    following = _LINE.match(body, line.end())
    assert following is not None  # it matches the empty line too
    return Edit(line.start(), following.end(), following[0] + line[0])


def _drop_stretch(body: bytes, random: Random) -> Edit:
    at = random.randrange(len(body))
    return Edit(at, min(len(body), at + random.randint(1, 400)))


def _repeat_stretch(body: bytes, random: Random) -> Edit:
    at, source = random.randrange(len(body)), random.randrange(len(body))
    return Edit(at, at, body[source : source + random.randint(1, 400)])


def _fold(body: bytes, random: Random) -> Edit:
    at = random.randrange(len(body))
    return Edit(
        at,
        at,
        random.choice(
            [b"\r\n ", b"\n\t", b"\r ", b"\n", b"\r", b"\r\n\r\n", b"\n \n "]
        ),
    )


def _join_lines(body: bytes, random: Random) -> Edit:
    """A blank that makes a line the rest of the line before it, or a line end that is lost."""
    line = _some_line(body, random)
    if random.random() < 0.5:
        return Edit(line.start(), line.start(), random.choice([b" ", b"\t"]))
    return Edit(line.start() + len(line[0].rstrip(b"\r\n")), line.end())


def _change_value(body: bytes, random: Random) -> Edit:
    line = _some_line(body, random)
    colon = line[0].find(b":") + 1
    return Edit(
        line.start() + colon,
        line.start() + len(line[0].rstrip(b"\r\n")),
        random.choice(_NASTY),
    )


def _open_quote(body: bytes, random: Random) -> Edit:
    line = _some_line(body, random)
    at = random.randint(line.start(), line.start() + len(line[0].rstrip(b"\r\n")))
    return Edit(at, at, random.choice([b'"', b';X="', b"'", b';X="a', b"^n"]))


def _insert_line(body: bytes, random: Random) -> Edit:
    line = _some_line(body, random)
    return Edit(
        line.start(),
        line.start(),
        random.choice(_LOOSE_LINES) + random.choice([b"\r\n", b"\n", b"\r"]),
    )


KINDS: tuple[Callable[[bytes, Random], Edit], ...] = (
    _flip_bytes,
    _flip_bit,
    _drop_line,
    _repeat_line,
    _swap_lines,
    _drop_stretch,
    _repeat_stretch,
    _fold,
    _join_lines,
    _change_value,
    _change_value,
    _open_quote,
    _insert_line,
)
