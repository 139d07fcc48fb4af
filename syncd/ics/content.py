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
    {"DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"}
)
"""Properties without which it is not known when an event is."""

_WIDE = {
    re.compile(codecs.BOM_UTF32_LE + b"|" + codecs.BOM_UTF32_BE): "utf-32",
    re.compile(codecs.BOM_UTF16_LE + b"|" + codecs.BOM_UTF16_BE): "utf-16",
    re.compile(rb"(?:[ \t\r\n]\0)*" + "BEGIN".encode("utf-16-le"), re.IGNORECASE): "utf-16-le",
    re.compile(rb"(?:\0[ \t\r\n])*" + "BEGIN".encode("utf-16-be"), re.IGNORECASE): "utf-16-be",
}
_PROPERTY_NAME = re.compile(
    r"([A-Za-z0-9-]++)(?![\w.])"
)  # END_DATE and UID.X are other names than END and UID
_BLANK = " \t\r\n\x0b\x0c\x1a\ufeff"
_NO_PART_OF_A_LINE = "\ufeff\x0b\x0c\x1a\x1c\x1d\x1e\x85"
_PLAIN_LINE = re.compile(r'([^":]*)(?<!(?i:tzone)):')
_SCHEME = ";tzid=tzone"  # Exchange leaves TZID=tzone://Microsoft/Utc unquoted
_END_AND_MORE = re.compile(
    rf"(END:VCALENDAR)[{_BLANK}]*([^{_BLANK}A-Z0-9-].*|BEGIN:VCALENDAR\s*)", re.IGNORECASE | re.DOTALL
)
_BOUNDARY = re.compile(r"(?:BEGIN|END)[:;]", re.IGNORECASE)
_END_OF_CALENDAR = re.compile(r"END:VCALENDAR\s*\Z", re.IGNORECASE)
_BEGIN_BEHIND = re.compile(r"BEGIN:VCALENDAR\s*\Z", re.IGNORECASE)
_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)


# Text around a calendar: what a program prints by mistake is left out, what tells of something else is not.
_PAGE = re.compile(r"</?(?:!doctype|html|head|body|title|meta|form|frameset|pre|textarea)\b", re.IGNORECASE)
_FAILED = re.compile(
    r"\b(?:error|fatal|exception|traceback|aborted|truncated|incomplete|timed out|time-?out|out of memory)\b",
    re.IGNORECASE,
)
_OF_A_MAIL = re.compile(r"(?:from|to|subject|received|return-path|message-id|mime-version):", re.IGNORECASE)
_OF_A_CALENDAR = re.compile(
    r"(?:VERSION|PRODID|METHOD|CALSCALE|UID|DT(?:STAMP|START|END)|DURATION|SUMMARY|DESCRIPTION|R(?:RULE|DATE)|EXDATE"
    r"|RECURRENCE-ID|ORGANIZER|ATTENDEE|SEQUENCE|CLASS|TRANSP|CREATED|LAST-MODIFIED|CATEGORIES|TRIGGER|ACTION"
    r"|TZ(?:ID|NAME|OFFSETFROM|OFFSETTO)|ATTACH|PRIORITY)[;:]",
    re.IGNORECASE,
)
_MOST_AROUND = 16_000  # characters
_FILLING = re.compile(rb"(?<![\0\x1a])[\0\x1a][\0\x1a \t\r\n]*\Z")
_MOST_FILLING = 65_536  # bytes: a block of a file system, at most


class Incomplete(ValueError):
    """The document is not a whole calendar; the text is a sentence for a person."""


class BrokenComponent(ValueError):
    """A VEVENT that cannot be understood: reason code and sentence."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True)
class RawComponent:
    """One component of a VCALENDAR: unfolded content lines from BEGIN to END, and where it begins."""

    name: str
    line: int
    lines: tuple[str, ...]

    @property
    def uid(self) -> str:
        """UID without escapes (RFC 5545 section 3.3.11), so that all spellings are one; empty if absent."""
        return next(iter(self.uids), "")

    @property
    def uids(self) -> tuple[str, ...]:
        """All UIDs that stand in it; two different ones show that lines between two events were lost."""
        return tuple(dict.fromkeys(unescaped(value).strip() for _, value in self.values("UID")))

    def own_lines(self) -> Iterator[str]:
        """The lines of its own properties: no BEGIN, no END, nothing of subcomponents."""
        return (text for depth, name, text in self._nested if depth == 1 and name not in {"BEGIN", "END"})

    def with_own_lines(self, lines: Iterable[str]) -> RawComponent:
        """The component with other properties of its own; subcomponents stay."""
        inside = (text for depth, _, text in self._nested if depth > 1)
        return replace(self, lines=(self.lines[0], *lines, *inside, self.lines[-1]))

    def subcomponents(self, kind: str) -> Iterator[RawComponent]:
        """The components of that kind directly inside; their line is that of this component."""
        inside: list[str] = []
        for depth, name, text in self._nested:
            if depth < 2:
                continue
            inside.append(text)
            if depth == 2 and name == "END":
                if split_content_line(text, len(name))[1].strip().upper() == kind:
                    yield RawComponent(kind, self.line, tuple(inside))
                inside = []

    def values(self, name: str) -> Iterator[tuple[str, str]]:
        """`(parameters, value)` of each property of that name, not looking into subcomponents.

        The parameters are raw text; the value is everything behind the first colon outside of quotes.
        """
        wanted = name.upper()
        own = (text for depth, name, text in self._nested if name == wanted and depth == 1)
        return (split_content_line(text, len(wanted)) for text in own)

    @functools.cached_property
    def _nested(self) -> list[tuple[int, str, str]]:
        """Each line with the number of components around it, its own BEGIN and END included, and its name."""
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
        """The first value of a property, or None."""
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
    """A TEXT value (RFC 5545 section 3.3.11) that is an identity, so that all its spellings are one."""
    return re.sub(r"\\([\\,;])", r"\1", text)


def split_content_line(text: str, position: int) -> tuple[str, str]:
    """`(parameters, value)` of a content line whose name ends at a position."""
    plain = _PLAIN_LINE.match(text, position)
    if plain is not None:
        return plain[1], text[plain.end() :]
    quoted = False
    for index in range(position, len(text)):
        character = text[index]
        if character == '"':
            quoted = not quoted
        elif character == ":" and not quoted and not _ends_with_scheme(text, position, index):
            return text[position:index], text[index + 1 :]
    # A quote that is never closed hides the colon; the first colon is the best reading then.
    head, _, value = text[position:].partition(":")
    return head, value


def _ends_with_scheme(text: str, begin: int, end: int) -> bool:
    return text[max(begin, end - len(_SCHEME)) : end].lower() == _SCHEME


def decode(body: bytes) -> str:
    """The text of a calendar: UTF-8 as RFC 5545 says, or UTF-16 by its mark or its zeros.

    Bytes that are no UTF-8 are read as Windows-1252, which is what servers send that ignore the charset, and
    only they: one wrong byte changes no letter of another event.
    Raises `Incomplete` for what is no text.
    """
    wide = next((name for start, name in _WIDE.items() if start.match(body)), None)
    if wide is not None:
        try:
            return body.decode(wide)
        except UnicodeDecodeError as error:
            raise Incomplete(f"is {wide[:6].upper()} text that breaks off at byte {error.start}") from None
    # What fills the last block of a file, or ends it on old systems, says nothing.
    body = body.removeprefix(codecs.BOM_UTF8)
    filling = _FILLING.search(body, max(0, len(body) - _MOST_FILLING))
    body = body[: filling.start()] if filling is not None and filling.start() else body
    if b"\0" in body:
        # One zero is a stray character of a text; several are a hole, in which events may be missing.
        if b"\0\0" in body or not body.lstrip().upper().startswith(b"BEGIN:VCALENDAR"):
            raise Incomplete("is binary data, not a calendar, or has a hole of zero bytes")
        body = body.replace(b"\0", b"")
    return text_of(body)[0]


def is_guessed(body: bytes) -> bool:
    """Whether some bytes of a text were read as Windows-1252 because they are nothing else."""
    if body.isascii() or any(start.match(body) for start in _WIDE):
        return False
    return text_of(body.removeprefix(codecs.BOM_UTF8))[1]


def content_lines(text: str) -> Iterator[tuple[int, str]]:
    """Unfolded content lines with the number of their first line, from 1; any line end is accepted.

    Marks of byte order stem from files put together; like control characters they begin no line.
    """
    number = 0
    started = 0
    parts: list[str] = []
    for written in _written_lines(text):
        line = written.lstrip(_NO_PART_OF_A_LINE)
        number += 1
        if line[:1] in {" ", "\t"} and parts:
            parts.append(line[1:])
            continue
        if not line:
            continue  # where line ends were doubled, an empty line stands before each fold
        if parts and (whole := "".join(parts)).strip(_BLANK):
            yield started, whole
        started, parts = number, [line]
    if parts and (whole := "".join(parts)).strip(_BLANK):
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
    """The VCALENDARs of a document; raises `Incomplete` when it is not provably whole."""
    text = decode(body)
    if not text.strip(_BLANK):
        raise Incomplete("is empty; a calendar without events would still have BEGIN:VCALENDAR")
    if _HTML.match(text):
        raise Incomplete("is a web page, not a calendar; perhaps a login page")
    calendars: list[RawCalendar] = []
    properties: dict[str, str] = {}
    components: list[RawComponent] = []
    stack: list[tuple[str, int]] = []  # open components, outermost first
    lines: list[str] = []
    around = _Around()
    for number, line in around.without(_separated(content_lines(text))):
        match = _PROPERTY_NAME.match(line)
        name = match[1].upper() if match else ""
        if name == "BEGIN" and match:
            kind = split_content_line(line, match.end())[1].strip().upper()
            _check_nesting(kind, stack, number)
            stack.append((kind, number))
            if len(stack) == 2:
                lines = []
        elif name == "END" and match:
            kind = split_content_line(line, match.end())[1].strip().upper()
            if not stack or stack[-1][0] != kind:
                opened = f"{stack[-1][0]} of line {stack[-1][1]} is open" if stack else "nothing is open"
                raise Incomplete(f"is damaged: END:{kind} in line {number} where {opened}")
            _, started = stack.pop()
            if not stack:
                calendars.append(RawCalendar(properties, tuple(components), around.passed()))
                properties, components = {}, []
            elif len(stack) == 1:
                components.append(RawComponent(kind, started, (*lines, line)))
                continue
        elif len(stack) == 1 and match:
            properties.setdefault(name, split_content_line(line, match.end())[1].strip())
        if len(stack) >= 2:
            lines.append(line)
    if stack:
        kind, number = stack[-1]
        raise Incomplete(f"is cut off: {kind} of line {number} has no END, so what is missing is not known")
    if not calendars:
        raise Incomplete("is not a calendar: there is no BEGIN:VCALENDAR in it")
    if around.passed():
        calendars[-1] = replace(calendars[-1], beside=True)
    if any(calendar.beside for calendar in calendars) and not any(c.components for c in calendars):
        raise Incomplete("has no event, and other text around it, so something may have gone wrong")
    return tuple(calendars)


class _Around:
    """Sets aside the lines outside of all VCALENDARs, as long as they say nothing against the calendar.

    A comment or a warning of a program does not; a web page, a part of a calendar, or what tells of an error
    does, because then something may be missing.
    """

    def __init__(self) -> None:
        self._size = 0
        self._is_new = False

    def passed(self) -> bool:
        """Whether there was such a line since the last time."""
        was_new, self._is_new = self._is_new, False
        return was_new

    def without(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """The lines of calendars, and of components that stand outside of one; raises `Incomplete`."""
        is_inside = False
        for number, line in lines:
            if not is_inside:
                begin = _BEGIN_BEHIND.search(line)
                self._set_aside(number, line[: begin.start()] if begin else line)
                if begin is None:
                    if _BOUNDARY.match(line):
                        yield number, line
                    continue
                yield number, line[begin.start() :]
                is_inside = True
                continue
            yield number, line
            is_inside = not _END_OF_CALENDAR.match(line)

    def _set_aside(self, number: int, text: str) -> None:
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
            raise Incomplete(f"is not a calendar: line {number} stands outside of BEGIN:VCALENDAR")
        if self._size > _MOST_AROUND:
            raise Incomplete(f"is not a calendar: up to line {number} there is too much other text around it")


def _separated(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines with those apart that were joined where something was put behind a last line without end."""
    for number, line in lines:
        joined = _END_AND_MORE.fullmatch(line)
        if joined is not None:
            yield number, joined[1]
            yield number, joined[2]
        else:
            yield number, line


def _check_nesting(kind: str, stack: list[tuple[str, int]], number: int) -> None:
    """Refuse what shows that a line with END was lost."""
    if not stack and kind != "VCALENDAR":
        raise Incomplete(f"is not a calendar: line {number} begins {kind} outside of a VCALENDAR")
    if stack and kind == "VCALENDAR":
        raise Incomplete(f"is damaged: a second VCALENDAR begins in line {number} inside the first")
    if len(stack) >= 2 and kind in {"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VTIMEZONE"}:
        raise Incomplete(f"is damaged: {kind} begins in line {number} inside {stack[-1][0]}")
