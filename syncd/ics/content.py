"""Splits the text of a calendar into raw components, and judges whether it is whole.

Works on content lines (RFC 5545 section 3.1) with their line numbers, so that every later message can
say where to look.
Completeness is judged here and apart from parseability: a document that is cut, empty or a web page
raises `Incomplete`, because what is missing from it proves nothing.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from syncd.core.document import text_of
from syncd.core.reasons import Reason

DECIDES_TIME = frozenset(
    {
        "DTSTART",
        "DTEND",
        "DURATION",
        "RRULE",
        "RDATE",
        "EXDATE",
        "EXRULE",
        "RECURRENCE-ID",
    }
)
"""Properties without which it is not known when an event is."""

_WIDE = {
    re.compile(codecs.BOM_UTF32_LE + b"|" + codecs.BOM_UTF32_BE): "utf-32",
    re.compile(codecs.BOM_UTF16_LE + b"|" + codecs.BOM_UTF16_BE): "utf-16",
    re.compile(
        rb"(?:[ \t\r\n]\0)*" + "BEGIN".encode("utf-16-le"), re.IGNORECASE
    ): "utf-16-le",
    re.compile(
        rb"(?:\0[ \t\r\n])*" + "BEGIN".encode("utf-16-be"), re.IGNORECASE
    ): "utf-16-be",
}
# END_DATE and UID.X are other names than END and UID.
_PROPERTY_NAME = re.compile(r"([A-Za-z0-9-]++)(?![\w.])")
_BLANK = " \t\r\n\x0b\x0c\x1a\ufeff"
NO_PART_OF_A_LINE = "\ufeff\x0b\x0c\x1a\x1c\x1d\x1e\x85"
_PLAIN_LINE = re.compile(r'([^":]*)(?<!(?i:tzone)):')
_SCHEME = ";tzid=tzone"  # Exchange leaves TZID=tzone://Microsoft/Utc unquoted
_END_AND_MORE = re.compile(
    rf"(END:VCALENDAR)[{_BLANK}]*([^{_BLANK}A-Z0-9-].*|BEGIN:VCALENDAR\s*)",
    re.IGNORECASE | re.DOTALL,
)
_BOUNDARY = re.compile(r"(?:BEGIN|END)[:;]", re.IGNORECASE)
_END_OF_CALENDAR = re.compile(r"END:VCALENDAR\s*\Z", re.IGNORECASE)
_BEGIN_BEHIND = re.compile(r"BEGIN:VCALENDAR\s*\Z", re.IGNORECASE)
_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)

FEED_MARK = "X-SYNCD-FEED"
"""The property of calendars that syncd publishes; none of them is read as a source."""

TZID_PARAMETER = r';TZID=("[^"]*"|[^;:"]*)'
"""Pattern of a TZID parameter with its semicolon; its group is the value as written."""

_TZID = re.compile(rf"{TZID_PARAMETER}(?=[;:]|$)", re.IGNORECASE)

# Text around a calendar: what a program prints by mistake is left out, what tells of something else is not.
_PAGE = re.compile(
    r"</?(?:!doctype|html|head|body|title|meta|form|frameset|pre|textarea)\b",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"\b(?:error|fatal|exception|traceback|aborted|truncated|incomplete|timed out|time-?out|out of memory)\b",
    re.IGNORECASE,
)
_OF_A_MAIL = re.compile(
    r"(?:from|to|subject|received|return-path|message-id|mime-version):", re.IGNORECASE
)
_OF_A_CALENDAR = re.compile(
    r"(?:VERSION|PRODID|METHOD|CALSCALE|UID|DT(?:STAMP|START|END)|DURATION|SUMMARY|DESCRIPTION|R(?:RULE|DATE)|EXDATE"
    r"|RECURRENCE-ID|ORGANIZER|ATTENDEE|SEQUENCE|CLASS|TRANSP|CREATED|LAST-MODIFIED|CATEGORIES|TRIGGER|ACTION"
    r"|TZ(?:ID|NAME|OFFSETFROM|OFFSETTO)|ATTACH|PRIORITY)[;:]",
    re.IGNORECASE,
)
_NEVER_INSIDE = frozenset({"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VTIMEZONE"})
_MOST_AROUND = 16_000  # characters
_FILLING = re.compile(rb"(?<![\0\x1a])[\0\x1a][\0\x1a \t\r\n]*\Z")
_MOST_FILLING = 65_536  # bytes: a block of a file system, at most


class Incomplete(ValueError):
    """The document is not a whole calendar; the text is a sentence for a person."""


class BrokenComponent(ValueError):
    """A VEVENT that cannot be parsed: reason code and sentence; `about` is the name that nobody knows."""

    def __init__(self, reason: Reason, detail: str, about: str = "") -> None:
        self.reason = reason
        self.detail = detail
        self.about = about
        super().__init__(detail)


@dataclass(frozen=True)
class RawComponent:
    """One component of a VCALENDAR: unfolded content lines from BEGIN to END, and the line of its BEGIN."""

    name: str
    line: int
    lines: tuple[str, ...]

    @property
    def uid(self) -> str:
        """Return the UID without escapes, so that all its spellings are one; empty if there is none."""
        return next(iter(self.uids), "")

    @functools.cached_property
    def uids(self) -> tuple[str, ...]:
        """Return the different UIDs that stand in it; two show that lines between two events were lost."""
        uids = (unescaped(value).strip() for _, value in self.values("UID"))
        return tuple(dict.fromkeys(uids))

    def own_lines(self) -> Iterator[str]:
        """Yield the lines of its own properties: no BEGIN, no END, nothing of subcomponents."""
        for depth, name, text in self._nested:
            if depth == 1 and name not in {"BEGIN", "END"}:
                yield text

    def with_own_lines(self, lines: Iterable[str]) -> RawComponent:
        """Return the component with other properties of its own and the same subcomponents."""
        inside = [text for depth, _, text in self._nested if depth > 1]
        begin = self.lines[0]
        end = self.lines[-1]
        return replace(self, lines=(begin, *lines, *inside, end))

    def subcomponents(self, kind: str) -> Iterator[RawComponent]:
        """Yield the components of that kind directly inside; their line is that of this component."""
        inside: list[str] = []
        for depth, name, text in self._nested:
            if depth < 2:
                continue
            inside.append(text)
            if depth == 2 and name == "END":
                if _kind(text, len(name)) == kind:
                    yield RawComponent(kind, self.line, tuple(inside))
                inside = []

    def values(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield `(parameters, value)` of each property of that name, not looking into subcomponents.

        The parameters are raw text; the value is everything behind the first colon outside of quotes.
        """
        wanted = name.upper()
        for depth, found, text in self._nested:
            if found == wanted and depth == 1:
                yield split_content_line(text, len(wanted))

    @functools.cached_property
    def _nested(self) -> list[tuple[int, str, str]]:
        """Return each line with its depth and its name; BEGIN and END are as deep as what they enclose."""
        found: list[tuple[int, str, str]] = []
        depth = 0
        for text in self.lines:
            match = _PROPERTY_NAME.match(text)
            name = match[1].upper() if match else ""
            depth += name == "BEGIN"
            found.append((depth, name, text))
            depth -= name == "END"
        return found

    def first(self, name: str) -> str | None:
        """Return the first value of a property, or None."""
        return next((value for _, value in self.values(name)), None)


@dataclass(frozen=True, slots=True)
class RawCalendar:
    """One VCALENDAR: its own properties (upper-case name to value) and its components in file order.

    `beside`: text that is none of a calendar stands before it, or behind the last one, and was left out.
    """

    properties: dict[str, str]
    components: tuple[RawComponent, ...]
    beside: bool = False


def unescaped(text: str) -> str:
    """Return a TEXT value without escapes (RFC 5545 section 3.3.11), so that all its spellings are one."""
    return re.sub(r"\\([\\,;])", r"\1", text)


def tzid_of(parameters: str) -> str | None:
    """Return the TZID of raw parameters as written, quotes too (RFC 5545 section 3.2.19); None if none."""
    match = _TZID.search(parameters)
    return match[1] if match else None


def split_content_line(text: str, position: int) -> tuple[str, str]:
    """Return `(parameters, value)` of a content line whose name ends at a position."""
    plain = _PLAIN_LINE.match(text, position)
    if plain is not None:
        return plain[1], text[plain.end() :]
    quoted = False
    for index in range(position, len(text)):
        character = text[index]
        if character == '"':
            quoted = not quoted
        elif (
            character == ":"
            and not quoted
            and not _ends_with_scheme(text, position, index)
        ):
            return text[position:index], text[index + 1 :]
    # A quote that is never closed hides the colon; the first colon is the best reading then.
    head, _, value = text[position:].partition(":")
    return head, value


def _ends_with_scheme(text: str, begin: int, end: int) -> bool:
    return text[max(begin, end - len(_SCHEME)) : end].lower() == _SCHEME


def decode(body: bytes) -> str:
    """Return the text of a calendar: UTF-8 as RFC 5545 says, or UTF-16 by its mark or its zeros.

    Bytes that are no UTF-8 are read as Windows-1252, which is what servers send that ignore the charset, and
    only they: one wrong byte changes no letter of another event.
    Raises `Incomplete` for what is no text.
    """
    wide = _wide_encoding(body)
    if wide is not None:
        try:
            return body.decode(wide)
        except UnicodeDecodeError as error:
            raise Incomplete(
                f"is {wide[:6].upper()} text that breaks off at byte {error.start}"
            ) from None
    # What fills the last block of a file, or ends it on old systems, says nothing.
    body = body.removeprefix(codecs.BOM_UTF8)
    filling = _FILLING.search(body, max(0, len(body) - _MOST_FILLING))
    if filling is not None and filling.start() > 0:
        body = body[: filling.start()]
    if b"\0" in body:
        # One zero is a stray character of a text; several are a hole, in which events may be missing.
        is_calendar = body.lstrip().upper().startswith(b"BEGIN:VCALENDAR")
        if b"\0\0" in body or not is_calendar:
            raise Incomplete(
                "is binary data, not a calendar, or has a hole of zero bytes"
            )
        body = body.replace(b"\0", b"")
    return text_of(body)[0]


def is_guessed(body: bytes) -> bool:
    """Tell whether some bytes of a text were read as Windows-1252 because they are nothing else."""
    if body.isascii() or _wide_encoding(body) is not None:
        return False
    _, guessed = text_of(body.removeprefix(codecs.BOM_UTF8))
    return guessed


def _wide_encoding(body: bytes) -> str | None:
    """Return the encoding of a calendar with two or four bytes for a character; None for any other."""
    for start, name in _WIDE.items():
        if start.match(body):
            return name
    return None


def content_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield unfolded content lines with the number of their first line, from 1; any line end is accepted.

    Marks of byte order stem from files put together; like control characters they begin no line.
    """
    number = 0
    started = 0
    parts: list[str] = []
    for written in _written_lines(text):
        line = written.lstrip(NO_PART_OF_A_LINE)
        number += 1
        if line[:1] in {" ", "\t"} and parts:
            parts.append(line[1:])
            continue
        if not line:
            continue  # where line ends were doubled, an empty line stands before each fold
        whole = "".join(parts)
        if whole.strip(_BLANK):
            yield started, whole
        started, parts = number, [line]
    whole = "".join(parts)
    if whole.strip(_BLANK):
        yield started, whole


def _written_lines(text: str) -> Iterator[str]:
    r"""Yield the lines of a text; LF ends one, with any CR before it, and so does a CR alone.

    Text mode on Windows makes CR CR LF of CR LF.
    A regular expression for that looks at each letter, which takes ten times as long.
    """
    *ended, last = text.split("\n")
    for line in ended:
        yield from line.rstrip("\r").split("\r")
    yield from last.split("\r")


def split(body: bytes) -> tuple[RawCalendar, ...]:
    """Return the VCALENDARs of a document; raises `Incomplete` when it is not provably whole."""
    text = decode(body)
    if not text.strip(_BLANK):
        raise Incomplete(
            "is empty; a calendar without events would still have BEGIN:VCALENDAR"
        )
    if _HTML.match(text):
        raise Incomplete("is a web page, not a calendar; perhaps a login page")
    outside = _OutsideText()
    builder = _CalendarBuilder(outside)
    for number, line in outside.set_aside_from(_separated(content_lines(text))):
        match = _PROPERTY_NAME.match(line)
        name = match[1].upper() if match else ""
        if match and name == "BEGIN":
            builder.begin(line, match.end(), number)
        elif match and name == "END":
            builder.end(line, match.end(), number)
        elif len(builder.open) >= 2:
            builder.lines.append(line)
        elif match and builder.open:
            builder.add_property(name, line, match.end())
    return builder.finish()


class _CalendarBuilder:
    """Puts the VCALENDARs of one document together from its content lines.

    `open` are the kinds and first lines of the components that have no END yet, outermost first.
    `lines` are those so far of the component that stands directly in the VCALENDAR.
    """

    def __init__(self, outside: _OutsideText) -> None:
        self.open: list[tuple[str, int]] = []
        self.lines: list[str] = []
        self._outside = outside
        self._calendars: list[RawCalendar] = []
        self._properties: dict[str, str] = {}
        self._components: list[RawComponent] = []

    def begin(self, line: str, name_end: int, number: int) -> None:
        """Open a component at its BEGIN line; raises `Incomplete` if a line with END was lost before."""
        kind = _kind(line, name_end)
        _check_nesting(kind, self.open, number)
        self.open.append((kind, number))
        if len(self.open) == 2:
            self.lines = [line]
        elif len(self.open) > 2:
            self.lines.append(line)

    def end(self, line: str, name_end: int, number: int) -> None:
        """Close the innermost component at its END line; raises `Incomplete` if another one is open."""
        kind = _kind(line, name_end)
        if not self.open or self.open[-1][0] != kind:
            found = self._what_is_open()
            raise Incomplete(f"is damaged: END:{kind} in line {number} where {found}")
        _, started = self.open.pop()
        if not self.open:
            calendar = RawCalendar(
                self._properties, tuple(self._components), self._outside.take_news()
            )
            self._calendars.append(calendar)
            self._properties, self._components = {}, []
            return
        self.lines.append(line)
        if len(self.open) == 1:
            self._components.append(RawComponent(kind, started, tuple(self.lines)))

    def add_property(self, name: str, line: str, name_end: int) -> None:
        """Record a property of the open VCALENDAR itself; the first of a name counts."""
        _, value = split_content_line(line, name_end)
        self._properties.setdefault(name, value.strip())

    def finish(self) -> tuple[RawCalendar, ...]:
        """Return the calendars; raises `Incomplete` if one is cut off, none is there, or all say nothing."""
        calendars = self._calendars
        if any(FEED_MARK in calendar.properties for calendar in calendars):
            raise Incomplete(
                "is a feed that syncd itself publishes, so its meetings are booked already: take it out of "
                "the sources, and name the calendar in which people keep these meetings"
            )
        if self.open:
            kind, number = self.open[-1]
            raise Incomplete(
                f"is cut off: {kind} of line {number} has no END, so what is missing is not known"
            )
        if not calendars:
            raise Incomplete("is not a calendar: there is no BEGIN:VCALENDAR in it")
        if self._outside.take_news():
            calendars[-1] = replace(calendars[-1], beside=True)
        has_text_around = any(calendar.beside for calendar in calendars)
        has_components = any(calendar.components for calendar in calendars)
        if has_text_around and not has_components:
            raise Incomplete(
                "has no event, and other text around it, so something may have gone wrong"
            )
        return tuple(calendars)

    def _what_is_open(self) -> str:
        if not self.open:
            return "nothing is open"
        kind, number = self.open[-1]
        return f"{kind} of line {number} is open"


def _kind(line: str, name_end: int) -> str:
    """Return the name of the component that a BEGIN or END line is about."""
    return split_content_line(line, name_end)[1].strip().upper()


class _OutsideText:
    """The text outside of all VCALENDARs of a document, left out as long as it says nothing against them.

    A comment or a warning of a program does not; a web page, a part of a calendar, or what tells of an error
    does, because then something may be missing.
    """

    def __init__(self) -> None:
        self._size = 0
        self._is_new = False

    def take_news(self) -> bool:
        """Tell whether there was such text since this was asked last."""
        was_new, self._is_new = self._is_new, False
        return was_new

    def set_aside_from(
        self, lines: Iterable[tuple[int, str]]
    ) -> Iterator[tuple[int, str]]:
        """Yield the lines of VCALENDARs, and BEGIN and END lines outside of them; raises `Incomplete`."""
        is_inside = False
        for number, line in lines:
            if is_inside:
                yield number, line
                is_inside = not _END_OF_CALENDAR.match(line)
                continue
            begin = _BEGIN_BEHIND.search(line)
            if begin is not None:
                self._set_aside(number, line[: begin.start()])
                yield number, line[begin.start() :]
                is_inside = True
                continue
            self._set_aside(number, line)
            if _BOUNDARY.match(line):
                yield number, line

    def _set_aside(self, number: int, text: str) -> None:
        """Count text that is left out; raises `Incomplete` if it shows that something may be missing."""
        text = text.strip(_BLANK)
        if not text or _BOUNDARY.match(text):
            return
        self._size += len(text)
        self._is_new = True
        if "BEGIN:VCALENDAR".startswith(text.upper()):
            raise Incomplete(f"is cut off: another calendar begins in line {number}")
        if _PAGE.search(text):
            raise Incomplete(f"is a web page, or a part of one, in line {number}")
        if _FAILED.search(text):
            raise Incomplete(
                f"is not a calendar, or not a whole one: line {number}, outside of it, tells of an error"
            )
        if _OF_A_CALENDAR.match(text) or _OF_A_MAIL.match(text):
            raise Incomplete(
                f"is not a calendar: line {number} stands outside of BEGIN:VCALENDAR"
            )
        if self._size > _MOST_AROUND:
            raise Incomplete(
                f"is not a calendar: up to line {number} there is too much other text around it"
            )


def _separated(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield lines, an END:VCALENDAR without line end apart from what another program put behind it."""
    for number, line in lines:
        joined = _END_AND_MORE.fullmatch(line)
        if joined is not None:
            yield number, joined[1]
            yield number, joined[2]
        else:
            yield number, line


def _check_nesting(kind: str, stack: list[tuple[str, int]], number: int) -> None:
    """Raise `Incomplete` where a BEGIN shows that a line with END was lost."""
    if not stack and kind != "VCALENDAR":
        raise Incomplete(
            f"is not a calendar: line {number} begins {kind} outside of a VCALENDAR"
        )
    if stack and kind == "VCALENDAR":
        raise Incomplete(
            f"is damaged: a second VCALENDAR begins in line {number} inside the first"
        )
    if len(stack) >= 2 and kind in _NEVER_INSIDE:
        raise Incomplete(
            f"is damaged: {kind} begins in line {number} inside {stack[-1][0]}"
        )
