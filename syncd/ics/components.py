"""Splits the text of a calendar into raw components, and judges whether it is whole.

Works on content lines (RFC 5545 section 3.1) with their line numbers, so that every later message can
say where to look.
Completeness is judged here and apart from parseability: a document that is cut, empty or a web page
raises `Incomplete`, because what is missing from it proves nothing.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\n|\r")
_FOLD_IN_SEQUENCE = re.compile(rb"((?:\r\n|\n|\r)[ \t])([\x80-\xbf]+)")
_PROPERTY_NAME = re.compile(r"([A-Za-z0-9-]+)")
_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)


class Incomplete(ValueError):
    """The document is not a whole calendar; the text is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class RawComponent:
    """One component of a VCALENDAR: unfolded content lines from BEGIN to END, and where it begins."""

    name: str
    line: int
    lines: tuple[str, ...]

    @property
    def uid(self) -> str:
        """UID without escapes (RFC 5545 section 3.3.11), so that all spellings are one; empty if absent."""
        return re.sub(r"\\([\\,;])", r"\1", self.first("UID") or "").strip()

    def own_lines(self) -> Iterator[str]:
        """The lines of its own properties: no BEGIN, no END, nothing of subcomponents."""
        return (text for depth, name, text in self._walk() if depth == 1 and name not in {"BEGIN", "END"})

    def subcomponents(self, kind: str) -> Iterator[RawComponent]:
        """The components of that kind directly inside; their line is that of this component."""
        inside: list[str] = []
        for depth, name, text in self._walk():
            if depth < 2:
                continue
            inside.append(text)
            if depth == 2 and name == "END":
                if _split_content_line(text, len(name))[1].strip().upper() == kind:
                    yield RawComponent(kind, self.line, tuple(inside))
                inside = []

    def values(self, name: str) -> Iterator[tuple[str, str]]:
        """`(parameters, value)` of each property of that name, not looking into subcomponents.

        The parameters are raw text; the value is everything behind the first colon outside of quotes.
        """
        wanted = name.upper()
        for text in self.own_lines():
            match = _PROPERTY_NAME.match(text)
            if match is not None and match[1].upper() == wanted:
                yield _split_content_line(text, match.end())

    def _walk(self) -> Iterator[tuple[int, str, str]]:
        """Each line with the number of components around it, its own BEGIN and END included, and its name."""
        depth = 0
        for text in self.lines:
            match = _PROPERTY_NAME.match(text)
            name = match[1].upper() if match else ""
            depth += name == "BEGIN"
            yield depth, name, text
            depth -= name == "END"

    def first(self, name: str) -> str | None:
        """The first value of a property, or None."""
        return next((value for _, value in self.values(name)), None)


@dataclass(frozen=True, slots=True)
class RawCalendar:
    """One VCALENDAR: its own properties (upper-case name to value) and its components in file order."""

    properties: dict[str, str]
    components: tuple[RawComponent, ...]


def _split_content_line(text: str, position: int) -> tuple[str, str]:
    quoted = False
    for index in range(position, len(text)):
        character = text[index]
        if character == '"':
            quoted = not quoted
        elif character == ":" and not quoted:
            return text[position:index], text[index + 1 :]
    # A quote that is never closed hides the colon; the first colon is the best reading then.
    head, _, value = text[position:].partition(":")
    return head, value


def decode(body: bytes) -> str:
    """The text of a calendar: UTF-8 as RFC 5545 says, UTF-16 by its mark, else Windows-1252.

    Windows-1252 is what servers send that ignore the charset; it decodes anything, so no event is lost
    over a letter.
    """
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return body.decode("utf-16")
        except UnicodeDecodeError as error:
            raise Incomplete(f"is UTF-16 text that breaks off at byte {error.start}") from None
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        # A fold may fall inside a UTF-8 sequence (section 3.1): put it behind the sequence and try again.
        try:
            return _FOLD_IN_SEQUENCE.sub(rb"\2\1", body).decode("utf-8")
        except UnicodeDecodeError:
            return body.decode("cp1252", errors="replace")


def content_lines(text: str) -> Iterator[tuple[int, str]]:
    """Unfolded content lines with the number of their first line, from 1; any line end is accepted."""
    number = 0
    started = 0
    parts: list[str] = []
    for line in _LINE_END.split(text):
        number += 1
        if line[:1] in {" ", "\t"} and parts:
            parts.append(line[1:])
            continue
        if parts and (whole := "".join(parts)).strip():
            yield started, whole
        started, parts = number, [line]
    if parts and (whole := "".join(parts)).strip():
        yield started, whole


def split(body: bytes) -> tuple[RawCalendar, ...]:
    """The VCALENDARs of a document; raises `Incomplete` when it is not provably whole."""
    if not body.strip():
        raise Incomplete("is empty; a calendar without events would still have BEGIN:VCALENDAR")
    if b"\0" in body and not body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Incomplete("is binary data, not a calendar")
    text = decode(body)
    if _HTML.match(text):
        raise Incomplete("is a web page, not a calendar; perhaps a login page")
    calendars: list[RawCalendar] = []
    properties: dict[str, str] = {}
    components: list[RawComponent] = []
    stack: list[tuple[str, int]] = []  # open components, outermost first
    lines: list[str] = []
    for number, line in content_lines(text):
        match = _PROPERTY_NAME.match(line)
        name = match[1].upper() if match else ""
        if name == "BEGIN" and match:
            kind = _split_content_line(line, match.end())[1].strip().upper()
            _check_nesting(kind, stack, number)
            stack.append((kind, number))
            if len(stack) == 2:
                lines = []
        elif name == "END" and match:
            kind = _split_content_line(line, match.end())[1].strip().upper()
            if not stack or stack[-1][0] != kind:
                opened = f"{stack[-1][0]} of line {stack[-1][1]} is open" if stack else "nothing is open"
                raise Incomplete(f"is damaged: END:{kind} in line {number} where {opened}")
            _, started = stack.pop()
            if not stack:
                calendars.append(RawCalendar(properties, tuple(components)))
                properties, components = {}, []
            elif len(stack) == 1:
                components.append(RawComponent(kind, started, (*lines, line)))
                continue
        elif not stack:
            raise Incomplete(f"is not a calendar: line {number} stands outside of BEGIN:VCALENDAR")
        elif len(stack) == 1 and match:
            properties.setdefault(name, _split_content_line(line, match.end())[1].strip())
        if len(stack) >= 2:
            lines.append(line)
    if stack:
        kind, number = stack[-1]
        raise Incomplete(f"is cut off: {kind} of line {number} has no END, so what is missing is not known")
    return tuple(calendars)


def _check_nesting(kind: str, stack: list[tuple[str, int]], number: int) -> None:
    """Refuse what shows that a line with END was lost."""
    if not stack and kind != "VCALENDAR":
        raise Incomplete(f"is not a calendar: line {number} begins {kind} outside of a VCALENDAR")
    if stack and kind == "VCALENDAR":
        raise Incomplete(f"is damaged: a second VCALENDAR begins in line {number} inside the first")
    if len(stack) >= 2 and kind in {"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VTIMEZONE"}:
        raise Incomplete(f"is damaged: {kind} begins in line {number} inside {stack[-1][0]}")
