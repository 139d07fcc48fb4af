"""What stands around the VEVENTs of one source, parsed: time zones, method, and whose calendar it is.

Each context is parsed once, when it is first needed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from syncd.core.reasons import Note, Reason
from syncd.ics.content import BrokenComponent, RawCalendar, split
from syncd.ics.copies import SAYS_NOTHING
from syncd.ics.details import bare_address
from syncd.ics.duration import parse_duration
from syncd.ics.plain import is_plain_context
from syncd.ics.vevent import BESIDE, GUESSED, Context, ParsedContext
from syncd.ics.zones import ONE_DAY, Zones

_ADDRESS = re.compile(r"[^@\s/]+@[^@\s/]+\.[^@\s/]+")
# RFC 7986 section 5.7, and Outlook's name.
_ASKS = (
    "REFRESH-INTERVAL",
    "X-PUBLISHED-TTL",
)
_ENDING = re.compile(r"\.ics$", re.IGNORECASE)
_OWNS = ("X-WR-CALNAME", "X-OWNER", "X-WR-RELCALID")
_TEXT_AROUND = "text around the calendar in {} was left out; look at what makes it"


@dataclass(frozen=True, slots=True)
class Locale:
    """How a source is to be read: its times without a usable zone, and whose calendars they are.

    `floating` decides for the source (None: X-WR-TIMEZONE of the calendar, else `default`);
    `aliases` are TZIDs that only the administrator can know, `owner` is the address of the person whose
    calendars stand in the source, if the administrator said so.
    """

    default: ZoneInfo
    floating: ZoneInfo | None = None
    aliases: Mapping[str, ZoneInfo] = field(default_factory=dict)
    owner: str | None = None

    def zones_of(self, calendar: RawCalendar) -> Zones:
        """Return the zones of one VCALENDAR."""
        definitions = [
            component
            for component in calendar.components
            if component.name == "VTIMEZONE"
        ]
        said = calendar.properties.get("X-WR-TIMEZONE", "")
        floating = self.floating or said or self.default
        return Zones(definitions, self.aliases, floating)


class Contexts:
    """The contexts of one source by key; picklable, and then without what was parsed."""

    def __init__(
        self, contexts: Mapping[str, Context], source: str, locale: Locale
    ) -> None:
        # Plain dictionaries, because it may go to another process.
        self.source = source
        self.locale = replace(locale, aliases=dict(locale.aliases))
        self._contexts = dict(contexts)
        self._calendars: dict[str, RawCalendar] = {}
        self._parsed: dict[str, ParsedContext] = {}
        self._plain: dict[str, bool] = {}

    def __getstate__(self) -> dict[str, object]:
        """Return the state without what was parsed, for another process."""
        return self.__dict__ | {"_calendars": {}, "_parsed": {}}

    def subset(self, keys: Iterable[str]) -> dict[str, Context]:
        """Return the contexts of these keys, unparsed."""
        return {key: self._contexts[key] for key in keys}

    def parsed(self, key: str) -> ParsedContext:
        """Return a context as values."""
        if key not in self._parsed:
            self._parsed[key] = self._parse(key)
        return self._parsed[key]

    def document(self, key: str) -> str:
        """Return the name of the document that a context stands in."""
        return self._contexts[key].document

    def is_plain(self, key: str) -> bool:
        """Tell whether parsing a context is certain to cost little; see `syncd.ics.plain`."""
        if key not in self._plain:
            context = self._contexts[key]
            self._plain[key] = is_plain_context(context.text)
        return self._plain[key]

    def says_nothing(self, key: str) -> bool:
        """Tell whether a VCALENDAR holds what a guest answers or asks, which says nothing of the meeting.

        Asked before its events are parsed, which may lack what a meeting has.
        """
        return _method(self._calendar(key)) in SAYS_NOTHING

    @property
    def refresh_after(self) -> timedelta | None:
        """Return how long the calendars ask to be left alone; the longest of them counts."""
        asked: list[timedelta] = []
        for key, context in self._contexts.items():
            if not any(f"{name}:".encode() in context.text for name in _ASKS):
                continue
            interval = _refresh_after(self._calendar(key))
            if interval is not None:
                asked.append(interval)
        return max(asked, default=None)

    @property
    def notes(self) -> frozenset[Note]:
        """Return what is to be said of whole documents although they were read."""
        notes: set[Note] = set()
        for context in self._contexts.values():
            if _has_line(context, BESIDE):
                detail = _TEXT_AROUND.format(context.document)
                notes.add(Note(Reason.TEXT_AROUND, detail))
            if _has_line(context, GUESSED):
                notes.add(charset_unknown(context.document))
        return frozenset(notes)

    def _parse(self, key: str) -> ParsedContext:
        context = self._contexts[key]
        calendar = self._calendar(key)
        return ParsedContext(
            source=self.source,
            document=context.document,
            calendar=key,
            base_url=context.base_url,
            zones=self.locale.zones_of(calendar),
            method=_method(calendar),
            owners=self._owners(context.document),
            claims=_claims(calendar),
        )

    def _owners(self, document: str) -> frozenset[str]:
        """Return the addresses whose calendar the administrator said that a document is.

        A name of a file that is an address says so for that file, else the `owner` of the source does.
        """
        _, _, file_name = document.rpartition("/")
        address = bare_address(_ENDING.sub("", file_name))
        if _ADDRESS.fullmatch(address):
            return frozenset({address})
        if self.locale.owner:
            return frozenset({self.locale.owner})
        return frozenset()

    def _calendar(self, key: str) -> RawCalendar:
        if key not in self._calendars:
            context = self._contexts[key]
            (self._calendars[key],) = split(context.text)
        return self._calendars[key]


def _has_line(context: Context, line: str) -> bool:
    return f"\r\n{line}\r\n".encode() in context.text


def _method(calendar: RawCalendar) -> str:
    """Return METHOD in upper case (RFC 5545 section 3.7.2); empty if there is none."""
    method = calendar.properties.get("METHOD", "")
    return method.strip().upper()


def charset_unknown(document: str) -> Note:
    """Return the note for a document of which letters were guessed."""
    return Note(
        Reason.CHARSET_UNKNOWN,
        f"bytes of {document} that are not UTF-8 were read as Windows-1252; save it as UTF-8, or have its "
        "server name the charset",
    )


def _refresh_after(calendar: RawCalendar) -> timedelta | None:
    """Return how long a calendar asks to be left alone, a day at most; None if it does not."""
    for name in _ASKS:
        with contextlib.suppress(BrokenComponent, OverflowError):
            written = calendar.properties.get(name, "")
            interval = parse_duration(written).rough
            if interval > timedelta():
                return min(interval, ONE_DAY)
    return None


def _claims(calendar: RawCalendar) -> frozenset[str]:
    """Return the addresses of the person whose calendar it is, as the calendar itself says.

    Google and Nextcloud write them into X-WR-CALNAME, Apple and Zimbra into X-OWNER or X-WR-RELCALID.
    """
    claims: set[str] = set()
    for name in _OWNS:
        address = bare_address(calendar.properties.get(name, ""))
        if _ADDRESS.fullmatch(address):
            claims.add(address)
    return frozenset(claims)
