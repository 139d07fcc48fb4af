"""What calendar programs write otherwise than RFC 5545 says, and is meant beyond doubt.

Each repair is one function in `REPAIRS`, applied to the content lines of a VEVENT before it is parsed.
A repair changes only what has a single possible meaning; anything else stays as it is written, and what
decides time and cannot be read then quarantines its event.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from syncd.ics.content import DECIDES_TIME, RawComponent, split_content_line, tzid_of
from syncd.ics.quoted_printable import decode_quoted_printable, is_quoted_printable

_TIMES = ("DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE")
_ONCE = (
    "DTSTART",
    "DTEND",
    "DURATION",
    "RECURRENCE-ID",
    "SEQUENCE",
    "STATUS",
    "LAST-MODIFIED",
    "CREATED",
)
_OF_THE_SERIES = ("DTEND", "EXDATE", "RDATE")
_WORDS = ("DURATION", "STATUS", "TRANSP", "CLASS", "X-MICROSOFT-CDO-BUSYSTATUS")
_GO_ON = frozenset({"DESCRIPTION", "COMMENT", "X-ALT-DESC"})
_ONE_LINE = frozenset({"SUMMARY", "LOCATION"})
_PEOPLE = ("ORGANIZER", "ATTENDEE")
_IS_DATE = re.compile(r";VALUE=DATE(?=;|$)", re.IGNORECASE)
_NAME = re.compile(r"(?=[0-9_.-]*+[A-Za-z])([A-Za-z0-9_.-]++)\s*+(?=[;:])")
_LINK = re.compile("(?:https?|mailto|tel):", re.IGNORECASE)
_VALUE_OF_TIME = re.compile(r"\s*(?:\d{8}|[+-]?P\d|[+-]?PT\d|FREQ=)", re.IGNORECASE)
_TIME_WITHOUT_COLON = re.compile(
    rf"(?:{'|'.join(sorted(DECIDES_TIME))})\b.*(?:\d{{8}}|PT?\d|FREQ=)"
)
_PERSON_WITHOUT_COLON = re.compile(r"(?:ATTENDEE|ORGANIZER);")
_ISO_TIME = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d)(?::?(\d\d)(?:[.,]0+)?)?(Z|[+-]\d\d:?\d\d)?"
)
_LOCAL_TIME = re.compile(r"(T\d{6})(?=[,/]|$)")
_MIDNIGHT = re.compile(r"(?<=\d{8})T000000Z?(?=,|$)")
_PLAIN_TIME = re.compile(r"\d{8}(?:T\d{6}Z?)?")
_UNQUOTED_TZONE = re.compile(r";TZID=(tzone://[^;:\"]*)", re.IGNORECASE)
_KNOWN = re.compile(
    r"(?:BEGIN|END|UID|DTSTAMP|DTSTART|DTEND|DURATION|RRULE|RDATE|EXDATE|EXRULE|RECURRENCE-ID|SUMMARY|LOCATION"
    r"|DESCRIPTION|ORGANIZER|ATTENDEE|STATUS|CLASS|TRANSP|SEQUENCE|CREATED|LAST-MODIFIED|CATEGORIES|PRIORITY"
    r"|URL|GEO|ATTACH|CONTACT|COMMENT|RELATED-TO|RESOURCES|CONFERENCE|X-[A-Z0-9-]+)[;:]"
)
# Parameters as RFC 5545 section 3.2 has them; then also those with bare quotes and separators.
_PARAMETERS = re.compile(
    r'(?:;\s*+[A-Za-z0-9-]++=(?:"[^"\x00-\x1f]*+"|[^";:,\x00-\x1f]*+)'
    r'(?:,(?:"[^"\x00-\x1f]*+"|[^";:,\x00-\x1f]*+))*+)*+'
)
_QUOTED_VALUES = r'"[^"]*"(?:,"[^"]*")*'
_LOOSE_PARAMETER = re.compile(
    rf";\s*([A-Za-z0-9-]+)\s*=\s*+((?:{_QUOTED_VALUES})(?=;|$)|.*?)(?=;\s*[A-Za-z0-9-]+\s*=|$)"
)
_NO_PART_OF_A_VALUE = re.compile(r'\\?"|[\x00-\x1f\x7f]')
_ADDRESS_AT_THE_END = re.compile(r":\s*([^\s:;,\"<>]+@[^\s:;,\"<>]+)\s*$")
_NO_LENGTH = re.compile(r"\A\s*[+-]?PT?\s*\Z", re.IGNORECASE)
_COUNT_OF_NOTHING = re.compile(r"\s*COUNT\s*=\s*(?:-\d+|[+-]?0+)\s*", re.IGNORECASE)
_DECIMALS = re.compile(r"\.0+$")
_EMPTY_LIST = re.compile(r"(?:BY[A-Z]+|WKST)\s*=\s*", re.IGNORECASE)


class Property(NamedTuple):
    """One content line: its name in upper case, its raw parameters (each with its semicolon), its value."""

    name: str
    parameters: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.parameters}:{self.value}"


Properties: TypeAlias = dict[str, list[Property]]
Repair: TypeAlias = Callable[[Properties], None]


@dataclass(frozen=True, slots=True)
class RepairedEvent:
    """A VEVENT as it is meant: its properties by name, and lines that are none; subcomponents stay."""

    raw: RawComponent
    properties: Properties
    unreadable: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return all of it; equal for two that say the same in the same words."""
        own_lines: list[str] = []
        for found in self.properties.values():
            own_lines += map(str, found)
        own_lines += self.unreadable
        repaired_raw = self.raw.with_own_lines(own_lines)
        return "\n".join(repaired_raw.lines)


def repaired(raw: RawComponent) -> RepairedEvent:
    """Return a VEVENT as it is meant, after every repair of `REPAIRS`."""
    properties: Properties = {}
    unreadable: list[str] = []
    lines: Iterable[str] = list(raw.own_lines())
    if any(line.endswith("=") for line in lines):
        lines = _with_soft_breaks(lines)
    for match, line in _with_whole_texts(lines):
        if match is None or ":" not in line:
            unreadable.append(line)
            continue
        name = match[1].upper()
        parameters, value = split_content_line(line, match.end())
        found = Property(name, parameters.strip(), value)
        properties.setdefault(name, []).append(found)
    for repair in REPAIRS:
        repair(properties)
    return RepairedEvent(raw, properties, tuple(unreadable))


def _with_whole_texts(
    lines: Iterable[str],
) -> Iterator[tuple[re.Match[str] | None, str]]:
    """Put together what stands in several lines without a fold; yield each line with the match of its name.

    A description with bare line ends (Zoom, SOGo, scripts) is continued by what is no property; behind a
    title or a place that is left out, because such a line would be shown or would hide the room.
    """
    match: re.Match[str] | None = None
    text: list[str] = []  # parts of a description that may go on, whose name matched
    leave_out = False
    for line in lines:
        if (text or leave_out) and not _is_property(line):
            if text:
                text.append(line)
            continue
        if text:
            yield match, "\\n".join(text)
        match = _NAME.match(line)
        name = match[1].upper() if match else ""
        text = [line] if name in _GO_ON else []
        leave_out = name in _ONE_LINE
        if not text:
            yield match, line
    if text:
        yield match, "\\n".join(text)


def _with_soft_breaks(lines: Iterable[str]) -> Iterator[str]:
    """Join the lines of a quoted-printable value: each but the last ends with `=` (RFC 2045 section 6.7)."""
    begun = ""
    for line in lines:
        if begun and _KNOWN.match(line):
            yield begun  # the break was the last sign of a value that is cut
            begun = ""
        whole = begun + line
        if whole.endswith("=") and (begun or is_quoted_printable(_parameters_of(line))):
            begun = whole[:-1]
        else:
            begun = ""
            yield whole
    if begun:
        yield begun


def _parameters_of(line: str) -> str:
    """Return the raw parameters of a content line, empty if it has none."""
    match = _NAME.match(line)
    if match is None or line[match.end()] != ";":
        return ""
    parameters, _ = split_content_line(line, match.end())
    return parameters


def _is_property(line: str) -> bool:
    """Tell whether a program wrote a line as a property; a person writes `Agenda: budget` or `https://…`."""
    match = _NAME.match(line)
    if _TIME_WITHOUT_COLON.match(line) or _PERSON_WITHOUT_COLON.match(line):
        return True
    if match is None or ":" not in line or _LINK.match(line):
        return False
    if match[1].isupper():
        return True
    _, value = split_content_line(line, match.end())
    if not value.startswith(" "):
        return True
    return _VALUE_OF_TIME.match(value) is not None


def quoted_printable(properties: Properties) -> None:
    """Decode quoted-printable (RFC 2045), which writers of vCalendar 1.0 and some of 2.0 use for texts."""
    for found in properties.values():
        for place, line in enumerate(found):
            if "PRINTABLE" not in line.parameters.upper():
                continue
            if is_quoted_printable(line.parameters):
                parameters, value = decode_quoted_printable(line.parameters, line.value)
                found[place] = Property(line.name, parameters, value)


def people_with_broken_parameters(properties: Properties) -> None:
    """Quote names with bare quotes, colons and semicolons (Facebook), and bare SENT-BY (eluceo/iCal).

    The address is what stands behind the last `mailto:`; all before it are parameters, whatever is in them.
    """
    for name in _PEOPLE:
        for place, found in enumerate(properties.get(name, ())):
            is_behind_others = ":mailto:" in found.value.lower()
            if is_behind_others or not _are_whole(found.parameters):
                properties[name][place] = _with_whole_parameters(found)


@functools.lru_cache(maxsize=2048)  # the same people are invited again and again
def _are_whole(parameters: str) -> bool:
    return _PARAMETERS.fullmatch(parameters) is not None


def _with_whole_parameters(found: Property) -> Property:
    """Return the property of a person with its parameters in quotes; as it is if no address can be told."""
    line = f"{found.parameters}:{found.value}"
    at = line.lower().rfind("mailto:")
    before = line[: max(at, 0)].rstrip()
    if before.endswith(":"):
        parameters = before[:-1]
        value = line[at:]
    elif match := _ADDRESS_AT_THE_END.search(line):
        parameters = line[: match.start()]
        value = match[1]
    else:
        return found
    parts = _LOOSE_PARAMETER.findall(parameters)
    quoted = [f";{name}={_quoted(text)}" for name, text in parts]
    return found._replace(parameters="".join(quoted), value=value)


def _quoted(value: str) -> str:
    """Return the value of a parameter in quotes, without those that stand inside."""
    if re.fullmatch(_QUOTED_VALUES, value):
        return value
    allowed = _NO_PART_OF_A_VALUE.sub("", value)
    return f'"{allowed.strip()}"'


def repeated_lines(properties: Properties) -> None:
    """Drop a DTSTART or STATUS that is written twice alike, as scripts do that merge calendars."""
    for name in _ONCE:
        found = properties.get(name, ())
        if len(found) > 1:
            different = dict.fromkeys(found)
            properties[name] = list(different)


def unquoted_tzone(properties: Properties) -> None:
    """Quote `TZID=tzone://Microsoft/Custom`, whose colon needs it and which Exchange writes bare."""
    for name in _TIMES:
        for place, found in enumerate(properties.get(name, ())):
            if "tzone:" in found.parameters.lower():
                parameters = _UNQUOTED_TZONE.sub(r';TZID="\1"', found.parameters)
                properties[name][place] = found._replace(parameters=parameters)


def times_of_iso_8601(properties: Properties) -> None:
    """Write `2026-12-01T09:00:00+01:00` of scripts in the basic form; they leave out seconds, too."""

    def basic(value: str) -> str:
        if _PLAIN_TIME.fullmatch(value):
            return value
        entries = value.split(",")
        return ",".join(_basic_period(entry.strip().upper()) for entry in entries)

    _change_values(properties, _TIMES, basic)


def _basic_period(text: str) -> str:
    """Return a time, or the two ends of a period, in the basic form."""
    ends = text.split("/")
    return "/".join(map(_basic_time, ends))


def _basic_time(text: str) -> str:
    """Return a time in the basic form of RFC 5545 section 3.3.5; any other text as it is."""
    match = _ISO_TIME.fullmatch(text)
    if match is None:
        return text
    year, month, day, hour, minute, second, zone = match.groups()
    basic = f"{year}{month}{day}T{hour}{minute}{second or '00'}"
    if zone is None or zone == "Z":
        return basic + (zone or "")
    try:
        moment = datetime.strptime(basic + zone, "%Y%m%dT%H%M%S%z")
        return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    except (ValueError, OverflowError):
        return text


def date_with_midnight(properties: Properties) -> None:
    """Drop the time 00:00:00 that some exports write behind a date of `VALUE=DATE`."""
    for name in _TIMES:
        for place, found in enumerate(properties.get(name, ())):
            if "T000000" in found.value and _IS_DATE.search(found.parameters):
                value = _MIDNIGHT.sub("", found.value)
                properties[name][place] = found._replace(value=value)


def empty_entries(properties: Properties) -> None:
    """Drop the comma at the end of a list of dates, and an EXDATE without any date (many scripts).

    An RDATE or RRULE without anything stays as it is, because something may be lost.
    """

    def without_empty(value: str) -> str:
        entries = filter(None, value.split(","))
        return ",".join(entries)

    _change_values(properties, ("EXDATE", "RDATE"), without_empty)
    excluded = properties.get("EXDATE")
    if excluded is not None:
        properties["EXDATE"] = [found for found in excluded if found.value]


def loose_ends_of_rules(properties: Properties) -> None:
    """Drop the semicolon at the end of a rule (Lotus Notes), and empty lists such as BYDAY (web forms)."""

    def tidy(value: str) -> str:
        kept: list[str] = []
        for part in value.split(";"):
            text = part.strip()
            if text and not _EMPTY_LIST.fullmatch(text):
                kept.append(text)
        return ";".join(kept)

    _change_values(properties, ("RRULE", "EXRULE"), tidy)


def count_of_nothing(properties: Properties) -> None:
    """Drop `COUNT=-1` or `COUNT=0` beside UNTIL, by which scripts mean none; UNTIL ends the series."""

    def without(value: str) -> str:
        kept: list[str] = []
        has_until = False
        for part in value.split(";"):
            if _COUNT_OF_NOTHING.fullmatch(part):
                continue
            kept.append(part)
            if part.strip().upper().startswith("UNTIL"):
                has_until = True
        return ";".join(kept) if has_until else value

    _change_values(properties, ("RRULE", "EXRULE"), without)


def zone_of_the_start(properties: Properties) -> None:
    """Give DTEND, EXDATE and RDATE the zone of DTSTART where Outlook add-ins and scripts left it out.

    RFC 5545 section 3.8.5.1 wants the form of DTSTART, and only in its zone such a time names a date of the
    series.
    """
    starts = properties.get("DTSTART")
    if not starts:
        return
    start = starts[0]
    tzid = tzid_of(start.parameters)
    for name in _OF_THE_SERIES:
        for place, found in enumerate(properties.get(name, ())):
            if "T" not in found.value:
                continue
            if tzid_of(found.parameters) is not None:
                continue
            if start.value.endswith("Z"):
                value = _LOCAL_TIME.sub(r"\1Z", found.value)
                properties[name][place] = found._replace(value=value)
            elif tzid is not None:
                parameters = f"{found.parameters};TZID={tzid}"
                properties[name][place] = found._replace(parameters=parameters)


def empty_lengths(properties: Properties) -> None:
    """Drop `DTEND:` or `DURATION:P` of web forms beside the other of the two, which then says the length.

    `DURATION:P` alone is a length without any part, which is none.
    """
    ends = properties.get("DTEND")
    lengths = properties.get("DURATION")
    if ends is None or lengths is None:
        _change_values(properties, ("DURATION",), _without_parts_as_zero)
        return
    has_end = any(found.value for found in ends)
    has_length = any(_says_length(found.value) for found in lengths)
    if has_end and not has_length:
        properties["DURATION"] = []
    elif has_length and not has_end:
        properties["DTEND"] = []


def _without_parts_as_zero(duration: str) -> str:
    return _NO_LENGTH.sub("PT0S", duration)


def _says_length(duration: str) -> bool:
    if not duration.strip():
        return False
    return _NO_LENGTH.match(duration) is None


def letter_case(properties: Properties) -> None:
    """Write words such as ` Cancelled` and `DURATION:pt1h` of scripts in upper case without blanks."""

    def upper(value: str) -> str:
        return value.strip().upper()

    _change_values(properties, _WORDS, upper)


def american_cancel(properties: Properties) -> None:
    """Write `STATUS:CANCELED` of scripts and ticket systems with two L."""

    def with_two_l(value: str) -> str:
        return "CANCELLED" if value == "CANCELED" else value

    _change_values(properties, ("STATUS",), with_two_l)


def decimal_sequence(properties: Properties) -> None:
    """Drop the decimals of `SEQUENCE:1.0`, which spreadsheets and JavaScript write."""

    def without_decimals(value: str) -> str:
        return _DECIMALS.sub("", value.strip())

    _change_values(properties, ("SEQUENCE",), without_decimals)


def _change_values(
    properties: Properties, names: Iterable[str], change: Callable[[str], str]
) -> None:
    """Change the values of the properties of these names."""
    for name in names:
        for place, found in enumerate(properties.get(name, ())):
            value = change(found.value)
            if value != found.value:
                properties[name][place] = found._replace(value=value)


REPAIRS: tuple[Repair, ...] = (
    quoted_printable,
    people_with_broken_parameters,
    repeated_lines,
    unquoted_tzone,
    times_of_iso_8601,
    date_with_midnight,
    empty_entries,
    loose_ends_of_rules,
    count_of_nothing,
    zone_of_the_start,
    empty_lengths,
    letter_case,
    american_cancel,
    decimal_sequence,
)
"""Every repair, in the order in which it is made."""
