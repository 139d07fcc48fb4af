"""What calendar programs write otherwise than RFC 5545 says, and is meant beyond doubt.

Each repair is one function in `REPAIRS`, applied to the content lines of a VEVENT before it is parsed.
A repair changes only what has a single possible meaning; anything else stays as it is written, and what
decides time and cannot be read then quarantines its event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from syncd.ics.components import DECIDES_TIME, RawComponent, split_content_line

_TIMES = ("DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE")
_ONCE = ("DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "SEQUENCE", "STATUS", "LAST-MODIFIED", "CREATED")
_OF_THE_SERIES = ("DTEND", "EXDATE", "RDATE")
_WORDS = ("DURATION", "STATUS", "TRANSP", "CLASS", "X-MICROSOFT-CDO-BUSYSTATUS")
_TEXTS = frozenset({"DESCRIPTION", "SUMMARY", "LOCATION", "COMMENT", "X-ALT-DESC"})
_TZID = re.compile(r';TZID=(?:"[^"]*"|[^;:"]*)', re.IGNORECASE)
_IS_DATE = re.compile(r";VALUE=DATE(?=;|$)", re.IGNORECASE)
_NAME = re.compile(r"([A-Za-z0-9-]+)\s*(?=[;:])")
_LINK = re.compile("(?:https?|mailto|tel):", re.IGNORECASE)
_VALUE_OF_TIME = re.compile(r"\s*(?:\d{8}|[+-]?P\d|[+-]?PT\d|FREQ=)", re.IGNORECASE)
_TIME_WITHOUT_COLON = re.compile(rf"(?:{'|'.join(sorted(DECIDES_TIME))})\b.*(?:\d{{8}}|PT?\d|FREQ=)")
_ISO_TIME = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d)(?::?(\d\d)(?:[.,]0+)?)?(Z|[+-]\d\d:?\d\d)?")
_PLAIN_TIME = re.compile(r"\d{8}(?:T\d{6}Z?)?")
_UNQUOTED_TZONE = re.compile(r";TZID=(tzone://[^;:\"]*)", re.IGNORECASE)
_EMPTY_LIST = re.compile(r"(?:BY[A-Z]+|WKST)\s*=\s*", re.IGNORECASE)


class Property(NamedTuple):
    """One content line: its name in upper case, its raw parameters (each with its semicolon), its value."""

    name: str
    parameters: str
    value: str


Properties: TypeAlias = dict[str, list[Property]]
Repair: TypeAlias = Callable[[Properties], None]


@dataclass(frozen=True, slots=True)
class Repaired:
    """A VEVENT as it is meant: its properties by name, and lines that are none; subcomponents stay."""

    raw: RawComponent
    properties: Properties
    unreadable: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it; equal for two that say the same in the same words."""
        lines = (f"{p.name}{p.parameters}:{p.value}" for found in self.properties.values() for p in found)
        return "\n".join(self.raw.with_own_lines((*lines, *self.unreadable)).lines)


def repaired(raw: RawComponent) -> Repaired:
    """The event as it is meant."""
    properties: Properties = {}
    unreadable: list[str] = []
    for line in _with_whole_texts(raw.own_lines()):
        match = _NAME.match(line)
        if match is None or ":" not in line:
            unreadable.append(line)
            continue
        name = match[1].upper()
        parameters, value = split_content_line(line, match.end())
        properties.setdefault(name, []).append(Property(name, parameters.strip(), value))
    for repair in REPAIRS:
        repair(properties)
    return Repaired(raw, properties, tuple(unreadable))


def _with_whole_texts(lines: Iterable[str]) -> Iterator[str]:
    """Text with bare line ends (Zoom, SOGo, scripts) put together: what is no property continues it."""
    text: list[str] = []  # parts of a text property that may go on
    for line in lines:
        if text and not _is_property(line):
            text.append(line)
            continue
        if text:
            yield "\\n".join(text)
        name = _NAME.match(line)
        text = [line] if name and name[1].upper() in _TEXTS else []
        if not text:
            yield line
    if text:
        yield "\\n".join(text)


def _is_property(line: str) -> bool:
    """Whether a program wrote a line as a property; a person writes `Agenda: budget` or `https://…`."""
    match = _NAME.match(line)
    if _TIME_WITHOUT_COLON.match(line):
        return True
    if match is None or ":" not in line or _LINK.match(line):
        return False
    value = split_content_line(line, match.end())[1]
    return match[1].isupper() or not value.startswith(" ") or _VALUE_OF_TIME.match(value) is not None


def repeated_lines(properties: Properties) -> None:
    """Scripts that merge calendars write one and the same DTSTART or STATUS twice."""
    for name in _ONCE:
        if len(properties.get(name, ())) > 1:
            properties[name] = list(dict.fromkeys(properties[name]))


def unquoted_tzone(properties: Properties) -> None:
    """Exchange writes `TZID=tzone://Microsoft/Custom` without the quotes that its colon needs."""
    for name in _TIMES:
        for place, found in enumerate(properties.get(name, ())):
            if "tzone:" in found.parameters.lower():
                parameters = _UNQUOTED_TZONE.sub(r';TZID="\1"', found.parameters)
                properties[name][place] = found._replace(parameters=parameters)


def times_of_iso_8601(properties: Properties) -> None:
    """Scripts write `2026-12-01T09:00:00+01:00`, leave out the seconds, and put blanks around times."""

    def basic(value: str) -> str:
        if _PLAIN_TIME.fullmatch(value):
            return value
        periods = (entry.strip().upper().split("/") for entry in value.split(","))
        return ",".join("/".join(_basic_time(part) for part in period) for period in periods)

    _change_values(properties, _TIMES, basic)


def _basic_time(text: str) -> str:
    """A time in the basic form of RFC 5545 section 3.3.5; any other text as it is."""
    match = _ISO_TIME.fullmatch(text)
    if match is None:
        return text
    day, hour, minute, second, zone = "".join(match.groups()[:3]), *match.groups()[3:]
    basic = f"{day}T{hour}{minute}{second or '00'}"
    if zone is None or zone == "Z":
        return basic + (zone or "")
    try:
        moment = datetime.strptime(f"{basic}{zone}", "%Y%m%dT%H%M%S%z").astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{moment:%Y%m%dT%H%M%SZ}"


def date_with_midnight(properties: Properties) -> None:
    """Some exports write `VALUE=DATE` and the time 00:00:00 behind the date."""
    for name in _TIMES:
        for place, found in enumerate(properties.get(name, ())):
            if "T000000" in found.value and _IS_DATE.search(found.parameters):
                value = re.sub(r"(?<=\d{8})T000000Z?(?=,|$)", "", found.value)
                properties[name][place] = found._replace(value=value)


def empty_entries(properties: Properties) -> None:
    """Lists of dates end with a comma, and EXDATE stands without any date (many scripts): nothing is out.

    An RDATE or RRULE without anything stays as it is, because something may be lost.
    """
    names = ("EXDATE", "RDATE")
    _change_values(properties, names, lambda value: ",".join(filter(None, value.split(","))))
    if "EXDATE" in properties:
        properties["EXDATE"] = [found for found in properties["EXDATE"] if found.value]


def loose_ends_of_rules(properties: Properties) -> None:
    """Rules end with a semicolon (Lotus Notes), and lists such as BYDAY stand empty (web forms)."""

    def tidy(value: str) -> str:
        parts = (part.strip() for part in value.split(";"))
        return ";".join(part for part in parts if part and not _EMPTY_LIST.fullmatch(part))

    _change_values(properties, ("RRULE", "EXRULE"), tidy)


def whole_days_by_flag(properties: Properties) -> None:
    """Outlook writes whole days as midnights of a zone and says so in X-MICROSOFT-CDO-ALLDAYEVENT:TRUE."""
    flag, start, end = (
        next(iter(properties.get(name, ())), None)
        for name in ("X-MICROSOFT-CDO-ALLDAYEVENT", "DTSTART", "DTEND")
    )
    if flag is None or flag.value.strip().upper() != "TRUE" or start is None or end is None:
        return
    midnights = all(re.fullmatch(r"\d{8}T000000", found.value) for found in (start, end))
    if midnights and start.parameters == end.parameters:
        for found in (start, end):
            properties[found.name] = [Property(found.name, ";VALUE=DATE", found.value[:8])]


def zone_of_the_start(properties: Properties) -> None:
    """Outlook add-ins and scripts give DTSTART a zone, and leave it out of DTEND, EXDATE and RDATE.

    Section 3.8.5.1 wants the form of DTSTART, and only in its zone such a time names a date of the series.
    """
    start = next(iter(properties.get("DTSTART", ())), None)
    if start is None:
        return
    zone = _TZID.search(start.parameters)
    if start.value.endswith("Z"):
        _change_values(
            properties,
            _OF_THE_SERIES,
            lambda value: re.sub(r"(T\d{6})(?=[,/]|$)", r"\1Z", value),
            zoned=False,
        )
    elif zone is not None:
        for name in _OF_THE_SERIES:
            for place, found in enumerate(properties.get(name, ())):
                if "T" in found.value and not _TZID.search(found.parameters):
                    properties[name][place] = found._replace(parameters=found.parameters + zone[0])


def empty_lengths(properties: Properties) -> None:
    """Web forms write `DTEND:` or `DURATION:P` beside the other of the two, which then says the length."""
    if "DTEND" not in properties or "DURATION" not in properties:
        return
    ends = [found for found in properties["DTEND"] if found.value]
    lengths = [
        found for found in properties["DURATION"] if found.value.strip().upper() not in {"", "P", "PT"}
    ]
    if ends and not lengths:
        properties["DURATION"] = []
    elif lengths and not ends:
        properties["DTEND"] = []


def letter_case(properties: Properties) -> None:
    """Scripts write `DURATION:pt1h` and put blanks around words such as ` Cancelled`."""
    _change_values(properties, _WORDS, lambda value: value.strip().upper())


def american_cancel(properties: Properties) -> None:
    """`STATUS:CANCELED` with one L is cancelled (scripts, ticket systems)."""
    _change_values(properties, ("STATUS",), lambda value: "CANCELLED" if value == "CANCELED" else value)


def decimal_sequence(properties: Properties) -> None:
    """Spreadsheets and JavaScript write `SEQUENCE:1.0`."""
    _change_values(properties, ("SEQUENCE",), lambda value: re.sub(r"\.0+$", "", value.strip()))


def _change_values(
    properties: Properties, names: Iterable[str], change: Callable[[str], str], *, zoned: bool = True
) -> None:
    """Change the values of the properties of these names, or only of those without a zone."""
    for name in names:
        for place, found in enumerate(properties.get(name, ())):
            if zoned or not _TZID.search(found.parameters):
                value = change(found.value)
                if value != found.value:
                    properties[name][place] = found._replace(value=value)


REPAIRS: tuple[Repair, ...] = (
    repeated_lines,
    unquoted_tzone,
    times_of_iso_8601,
    date_with_midnight,
    empty_entries,
    loose_ends_of_rules,
    whole_days_by_flag,
    zone_of_the_start,
    empty_lengths,
    letter_case,
    american_cancel,
    decimal_sequence,
)
"""Every repair, in the order in which it is made."""
