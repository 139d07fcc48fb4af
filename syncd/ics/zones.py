"""Time zones of one document: TZID text to rules, wall clock to instants.

One `Zones` per document, because two calendars may give one made-up name different offsets.
An unknown zone raises; it is never taken as floating, which would be a wrong hour.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from icalendar import Timezone
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from syncd.ics.components import RawComponent

# Vendors prefix registered names (RFC 5545 section 3.8.3.1): /freeassociation.sourceforge.net/Europe/Berlin
_PREFIXED = re.compile(r"^/.+?/([A-Z][A-Za-z_]+/[A-Za-z_+\-/0-9]+|UTC|GMT)$")


class UnknownZone(ValueError):
    """No rule says what this TZID means; `tzid` is the text as written."""

    def __init__(self, tzid: str) -> None:
        self.tzid = tzid
        super().__init__(
            f'the time zone "{tzid}" is not known; name the zone that it stands for '
            "under [calendar.timezones] in the configuration"
        )


@functools.cache
def _lower_case_names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


@functools.cache
def iana(name: str) -> ZoneInfo | None:
    """The IANA zone of a name in any letter case, or None."""
    if (
        not name
        or len(name) > 64
        or name.startswith(("/", "."))
        or name.lower() in {"posixrules", "localtime"}
    ):
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        known = _lower_case_names().get(name.lower())
        return ZoneInfo(known) if known else None


class Zones:
    """Resolves the TZIDs of one document.

    `definitions` are the document's own VTIMEZONEs by TZID, `aliases` the administrator's names,
    `floating` the zone of times that carry none, or the name that the calendar gives for it.
    """

    def __init__(
        self,
        definitions: Mapping[str, RawComponent],
        aliases: Mapping[str, ZoneInfo],
        floating: ZoneInfo | str,
    ) -> None:
        self._definitions = definitions
        self._aliases = aliases
        self._floating = floating
        self._resolved: dict[str, tzinfo] = {}

    @property
    def floating(self) -> ZoneInfo:
        """The zone of times that carry none; raises `UnknownZone` when nobody knows the calendar's name."""
        if isinstance(self._floating, str):
            zone = self._named(self._floating)
            if zone is None:
                raise UnknownZone(self._floating)
            self._floating = zone
        return self._floating

    def _named(self, name: str) -> ZoneInfo | None:
        """What a name means without a definition: IANA name, alias, Windows name, vendor prefix."""
        if zone := iana(name) or self._aliases.get(name) or iana(WINDOWS_TO_OLSON.get(name, "")):
            return zone
        prefixed = _PREFIXED.match(name)
        return iana(prefixed[1]) if prefixed else None

    def resolve(self, tzid: str) -> tzinfo:
        """The rules of a TZID: IANA name, alias, the document's own VTIMEZONE, Windows name, vendor prefix.

        Raises `UnknownZone`.
        """
        zone = self._resolved.get(tzid)
        if zone is None:
            zone = self._look_up(tzid)
            self._resolved[tzid] = zone
        return zone

    def _look_up(self, tzid: str) -> tzinfo:
        name = _bare(tzid)
        definition = self._definitions.get(name)
        if definition is not None and not iana(name) and name not in self._aliases:
            return _own_rules(definition.lines, name)
        zone = self._named(name)
        if zone is None:
            raise UnknownZone(name)
        return zone

    def contradiction(self, tzid: str | None, at: datetime) -> str:
        """A sentence if the document defines a zone otherwise than its IANA name says, else empty.

        Looked at for the year after `at`.
        """
        name = _bare(tzid or "")
        definition, registered = self._definitions.get(name), iana(name)
        if definition is None or registered is None or not _differs(definition.lines, registered, at.date()):
            return ""
        return f'The calendar defines the time zone "{name}" otherwise than that name says; the name counts.'

    def instant(self, wall: datetime, tzid: str | None) -> datetime:
        """The UTC instant of a wall clock time in a zone, floating if `tzid` is None.

        In a gap the offset before it counts, in an overlap the first of the two (RFC 5545 section 3.3.5).
        """
        return wall.replace(tzinfo=self.zone(tzid), fold=0).astimezone(UTC)

    def zone(self, tzid: str | None) -> tzinfo:
        """The rules of a TZID, those of floating times for None; raises `UnknownZone`."""
        return self.floating if tzid is None else self.resolve(tzid)


def _bare(tzid: str) -> str:
    return tzid.strip().strip('"')


@functools.lru_cache(maxsize=256)  # directories hold one definition thousands of times
def _differs(definition: tuple[str, ...], registered: ZoneInfo, day: date) -> bool:
    try:
        own = _own_rules(definition, registered.key)
    except UnknownZone:
        return False
    noons = (midnight(day) + timedelta(weeks=week, hours=12) for week in range(53))
    return any(
        noon.replace(tzinfo=own).utcoffset() != noon.replace(tzinfo=registered).utcoffset() for noon in noons
    )


def _own_rules(definition: tuple[str, ...], tzid: str) -> tzinfo:
    text = "\r\n".join(definition) + "\r\n"
    try:
        component = Timezone.from_ical(text.encode())
        if not isinstance(component, Timezone):
            raise UnknownZone(tzid)
        # lookup_tzid=False: the library would else answer from a cache that all documents share.
        rules: tzinfo = component.to_tz(lookup_tzid=False)
    except (ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise UnknownZone(tzid) from error
    return rules


def wall_clock(moment: datetime, zone: tzinfo) -> datetime:
    """The naive wall clock time of an instant in a zone."""
    return moment.astimezone(zone).replace(tzinfo=None)


def midnight(day: date) -> datetime:
    """The naive start of a day; with `wall` arithmetic this stands for whole days."""
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001  # wall clock on purpose


ONE_DAY = timedelta(days=1)
