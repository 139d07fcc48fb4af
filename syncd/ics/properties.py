"""The properties of one VEVENT as values: plain lines are read here, all others by the library.

Most lines are plain, and the library's objects for a line are most of what reading an event takes.
A line counts as plain only where the library would give the same; a test holds the two against each other.
Properties that nothing is made of are not read at all.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from syncd.core.reasons import Reason
from syncd.ics.content import (
    DECIDES_TIME,
    FEED_MARK,
    TZID_PARAMETER,
    BrokenComponent,
    RawComponent,
)
from syncd.ics.quirks import Property, RepairedEvent
from syncd.ics.rule import BrokenRule, Rule

_NAME = re.compile(r"[A-Za-z-]++(?![\w.])")
_ZONED = re.compile(
    r"^((?:DTSTART|DTEND|RDATE|EXDATE|RECURRENCE-ID|DTSTAMP|CREATED|LAST-MODIFIED)"
    rf'(?:;(?:[^:";]|"[^"]*")*)*?){TZID_PARAMETER}(?=[;:])',
    re.IGNORECASE,
)
_PLAIN_ZONE = re.compile(rf"{TZID_PARAMETER}$")
# Without what has a meaning there: escapes, RFC 6868, lists, blanks around, and the library's own marks.
_PARAMETER = r';([A-Z-]+)=(?:"([^"\x00-\x1f\x7f\\^%]*)"|((?! )[^";:,=\x00-\x1f\x7f\\^%]*)(?<! ))(?=;|$)'
_PLAIN_PARAMETER = re.compile(_PARAMETER)
_PLAIN_PARAMETERS = re.compile(f"(?:{_PARAMETER})*")
_PLAIN_TIME = re.compile(r"[0-9]{8}T(?:[01][0-9]|2[0-3])[0-9]{4}Z?")
_PLAIN_DAY = re.compile(r"[0-9]{8}")
_PLAIN_LENGTH = re.compile(r"P(?:[0-9]{1,4}[WD]|T[0-9]{1,4}[HMS])")
_PLAIN_NUMBER = re.compile(r"[0-9]{1,9}")
_PLAIN_RULE = re.compile(
    r"FREQ=(?:DAILY|WEEKLY|MONTHLY|YEARLY)(?:;(?:(?:INTERVAL|COUNT)=[0-9]{1,4}|WKST=[A-Z]{2}"
    r"|UNTIL=[0-9]{8}(?:T[0-9]{6}Z?)?|BYDAY=-?[1-5]?[A-Z]{2}(?:,-?[1-5]?[A-Z]{2})*"
    r"|(?:BYMONTH|BYMONTHDAY|BYSETPOS)=-?[0-9]{1,2}(?:,-?[0-9]{1,2})*))*"
)
_ESCAPE = re.compile(r"\\([\\,;:nN])")


class _Text(str):
    """A text or an address with its parameters."""

    __slots__ = ("params",)
    params: Mapping[str, str]


class _Bytes:
    """What stands in the calendar itself, with its parameters."""

    __slots__ = ("bytes", "params")

    def __init__(self, content: bytes, params: Mapping[str, str]) -> None:
        self.bytes = content
        self.params = params


class _Time:
    """A date or a time without its zone."""

    __slots__ = ("dt", "params")

    def __init__(self, dt: date) -> None:
        self.dt = dt
        self.params: Mapping[str, str] = {}


class _Times:
    """A list of dates or times without their zones."""

    __slots__ = ("dts", "params")

    def __init__(self, dts: Sequence[_Time]) -> None:
        self.dts = dts
        self.params: Mapping[str, str] = {}


class Properties:
    """What one VEVENT says: `written` as it is meant, and `values` of it.

    Values are those of the library (`vText`, `vDDDTypes` …) or look like them, as far as anybody looks:
    a string with `params`, or `dt`, or `dts`.
    """

    def __init__(self, event: RepairedEvent) -> None:
        """Read the values; raises `BrokenComponent` for a property that decides time and cannot be read."""
        _check_unreadable(event.unreadable)
        self._event = event
        self._written = event.properties
        self._values: dict[str, list[Any]] = {}
        others: list[Property] = []
        for name, read in _PLAIN.items():
            found = event.properties.get(name)
            if not found:
                continue
            values = [read(line) for line in found]
            if None in values:
                others += found
            else:
                self._values[name] = values
        self._of_library = {line.name for line in others}
        if others:
            self._read_by_library(others)

    def _read_by_library(self, lines: Sequence[Property]) -> None:
        """Take the values of lines from the library; raises `BrokenComponent` where they decide time."""
        event = _library_event(lines)
        if event is None:
            raise BrokenComponent(Reason.BROKEN_PROPERTY, "the event cannot be parsed")
        for name, message in event.errors:
            if (name or "").upper() in DECIDES_TIME:
                raise BrokenComponent(
                    Reason.BROKEN_PROPERTY, f"{name} cannot be read: {message}"
                )
        for name in self._of_library:
            value = event.get(name, [])
            self._values[name] = value if isinstance(value, list) else [value]

    def unreadable(self, name: str) -> list[str]:
        """Return the lines of that name of which no value could be made, as they are written."""
        without_value = self._event.unreadable
        if name not in self._of_library and not without_value:
            return []
        prefix = f"{name};"
        lost = [line for line in without_value if line.upper().startswith(prefix)]
        lines = self.written(name)
        if len(self.values(name)) < len(lines):
            lost += [str(line) for line in lines if not _is_readable(line)]
        return lost

    @property
    def raw(self) -> RawComponent:
        """Return the event as it stands, with its subcomponents."""
        return self._event.raw

    @property
    def text(self) -> str:
        """Return all of it as it is meant."""
        return self._event.text

    def written(self, name: str) -> Sequence[Property]:
        """Return the lines of that name as they are meant."""
        return self._written.get(name, ())

    def values(self, name: str) -> list[Any]:
        """Return the values of a property that can be read."""
        values = self._values.get(name, ())
        return [value for value in values if not is_broken(value)]

    def text_of(self, name: str) -> str:
        """Return the first value of a property as text; empty if there is none that can be read."""
        values = self.values(name)
        return str(values[0]) if values else ""

    def all_values(self, name: str) -> list[Any]:
        """Return the values of a property, those too that cannot be read, as `is_broken` tells."""
        return self._values.get(name, [])


def _check_unreadable(lines: Sequence[str]) -> None:
    """Raise `BrokenComponent` if a line without a value is that of a property that decides time."""
    for line in lines:
        match = _NAME.match(line)
        if match is None:
            continue
        name = match[0].upper()
        if name in DECIDES_TIME:
            raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} has no value")


def _library_event(lines: Sequence[Property]) -> Any:
    """Return what the library makes of a VEVENT of these lines; None if it cannot be parsed."""
    # Without zones: it would guess about them, and answer from what other documents defined.
    text = [_ZONED.sub(r"\1", str(line)) for line in lines]
    body = "\r\n".join(("BEGIN:VEVENT", *text, "END:VEVENT", ""))
    import icalendar  # a tenth of a second, for lines that few calendars have

    try:
        event = icalendar.Event.from_ical(body.encode("utf-8", "surrogatepass"))
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        return None  # the library's message may quote private text
    return event if isinstance(event, icalendar.Event) else None


def _is_readable(line: Property) -> bool:
    """Tell whether the library makes a value of a line that stands alone."""
    event = _library_event([line])
    if event is None or line.name not in event:
        return False
    return not is_broken(event[line.name])


def parameter_of(value: object, name: str) -> str:
    """Return a parameter of a value, the first of several; empty if it has none."""
    parameters = getattr(value, "params", None)
    if not parameters:
        return ""
    found = parameters.get(name, "")
    if type(found) is str:
        return found
    if isinstance(found, list) and found:
        return str(found[0])
    return str(found)


def is_broken(value: object) -> bool:
    """Tell whether a value stands for text that the library could not read."""
    return type(value).__name__ == "vBroken"


def is_binary(value: object) -> bool:
    """Tell whether a value was read as bytes."""
    return isinstance(value, _Bytes) or type(value).__name__ == "vBinary"


def decoded(text: str) -> bytes | None:
    """Return the bytes that base64 (RFC 4648) stands for; None if it is not base64 throughout."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


# What is plain; each gives None for what is not.


def _text(line: Property) -> _Text | None:
    value = line.value
    if "\\" in value:
        value = _ESCAPE.sub(unescape, value)
    return _with_parameters(line, value)


def unescape(escape: re.Match[str]) -> str:
    """Return what an escape of a TEXT value stands for (RFC 5545 section 3.3.11)."""
    return "\n" if escape[1] in "nN" else escape[1]


def _verbatim(line: Property) -> _Text | None:
    return _with_parameters(line, line.value)


def _without_escapes(line: Property) -> _Text | None:
    if "\\" in line.value:
        return None
    return _with_parameters(line, line.value)


def _attachment(line: Property) -> _Text | _Bytes | None:
    """Return an address, or bytes, of which the library needs a tenth of a second for each megabyte."""
    parameters = _plain_parameters(line.parameters)
    if parameters is None:
        return None
    kind = (parameters.get("VALUE"), parameters.get("ENCODING"))
    if kind != ("BINARY", "BASE64"):
        return _without_escapes(line)
    content = decoded(line.value)
    if content is None:
        return None
    return _Bytes(content, parameters)


def _with_parameters(line: Property, value: str) -> _Text | None:
    parameters = _plain_parameters(line.parameters)
    if parameters is None or "VALUE" in parameters:
        return None  # another type than the usual one
    text = _Text(value)
    text.params = parameters
    return text


@functools.lru_cache(maxsize=2048)  # the same people are invited again and again
def _plain_parameters(text: str) -> Mapping[str, str] | None:
    if not _PLAIN_PARAMETERS.fullmatch(text):
        return None
    parameters: dict[str, str] = {}
    for name, quoted, bare in _PLAIN_PARAMETER.findall(text):
        parameters[name] = quoted or bare
    return parameters


def _time(line: Property) -> _Time | None:
    parameters = _PLAIN_ZONE.sub("", line.parameters)
    moment = _moment(line.value, parameters)
    if moment is None:
        return None
    return _Time(moment)


def _times(line: Property) -> _Times | None:
    parameters = _PLAIN_ZONE.sub("", line.parameters)
    found: list[_Time] = []
    for value in line.value.split(","):
        moment = _moment(value, parameters)
        if moment is None:
            return None
        found.append(_Time(moment))
    return _Times(found)


def _moment(value: str, parameters: str) -> date | None:
    """Return a time without its zone, or a date; None for what is not plain or no day of any month."""
    try:
        if _PLAIN_TIME.fullmatch(value) and parameters in {"", ";VALUE=DATE-TIME"}:
            return datetime.fromisoformat(value)
        if _PLAIN_DAY.fullmatch(value) and parameters == ";VALUE=DATE":
            return date.fromisoformat(value)
    except ValueError:
        pass  # the library says what it makes of it
    return None


def _number(line: Property) -> _Text | None:
    if not _PLAIN_NUMBER.fullmatch(line.value):
        return None
    return _with_parameters(line, line.value)


def _length(line: Property) -> _Text | None:
    if not _PLAIN_LENGTH.fullmatch(line.value):
        return None
    return _with_parameters(line, line.value)


def _rule(line: Property) -> _Text | None:
    try:
        Rule.parse(line.value)
    except BrokenRule:
        return None
    if not _PLAIN_RULE.fullmatch(line.value):
        return None
    return _with_parameters(line, line.value)


# The order is that in which a property that cannot be read is told.
_PLAIN: Mapping[str, Callable[[Property], Any]] = {
    **dict.fromkeys(
        ("DTSTART", "DTEND", "RECURRENCE-ID", "DTSTAMP", "CREATED", "LAST-MODIFIED"),
        _time,
    ),
    **dict.fromkeys(("EXDATE", "RDATE"), _times),
    **dict.fromkeys(("RRULE", "EXRULE"), _rule),
    **dict.fromkeys(
        ("SUMMARY", "DESCRIPTION", "LOCATION", "STATUS", "TRANSP", "CLASS"), _text
    ),
    **dict.fromkeys(("ORGANIZER", "ATTENDEE", "URL"), _without_escapes),
    "ATTACH": _attachment,
    # The library knows no type of these, so their escapes stay.
    **dict.fromkeys(
        ("X-ALT-DESC", "X-MICROSOFT-CDO-BUSYSTATUS", "X-GOOGLE-CONFERENCE", FEED_MARK),
        _verbatim,
    ),
    "X-MICROSOFT-SKYPETEAMSMEETINGURL": _verbatim,
    "DURATION": _length,
    "SEQUENCE": _number,
}

READ = frozenset(_PLAIN)
"""The properties that something is made of."""
