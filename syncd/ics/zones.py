"""Time zones of one document: TZID text to rules, wall clock to instants.

One `Zones` per document, because two calendars may give one made-up name different offsets.
An unknown zone raises; it is never taken as floating, which would be a wrong hour.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from syncd.ics.content import RawComponent, unescaped
from syncd.ics.vtimezone import OwnZone, UnusableZone

# What Exchange shows to people: (UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna
# In parameters without quotes a point stands for the colon, and slashes stand for the commas.
_SHOWN = re.compile(r"\((?:UTC|GMT)(?:([+-])(\d{1,2})[:.]?(\d\d))?\)\s*(.+)")
_BETWEEN_CITIES = re.compile(r"\s*[,/]\s*")
_NAMES_OF_FILES = frozenset({"posixrules", "localtime", "factory"})
_LONGEST_NAME = 64
_NAMES_KNOWN = 1024  # spellings of zones whose meaning is remembered; calendars may invent any number
# Paths of files, and folders of the system that hold the zones again, one with leap seconds.
_NO_NAMES = (
    "/",
    ".",
    "posix/",
    "right/",
)
_SHOWN_WITHOUT_CITIES = {
    "Alaska": "America/Anchorage",
    "Arizona": "America/Phoenix",
    "Atlantic Time (Canada)": "America/Halifax",
    "Central Time (US & Canada)": "America/Chicago",
    "Coordinated Universal Time": "UTC",
    "Eastern Time (US & Canada)": "America/New_York",
    "Hawaii": "Pacific/Honolulu",
    "Mountain Time (US & Canada)": "America/Denver",
    "Newfoundland": "America/St_Johns",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
}


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
    return {
        name.lower(): name
        for name in available_timezones()
        if name.lower() not in _NAMES_OF_FILES
    }


@functools.lru_cache(maxsize=_NAMES_KNOWN)
def iana(name: str) -> ZoneInfo | None:
    """Return the IANA zone of a name exactly as it is written, or None."""
    if not name or len(name) > _LONGEST_NAME:
        return None
    if name.startswith(_NO_NAMES) or name.lower() in _NAMES_OF_FILES:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def _iana_in_any_case(name: str) -> ZoneInfo | None:
    """Return the IANA zone of a name in any letter case, or None."""
    known = _lower_case_names().get(name.lower())
    return ZoneInfo(known) if known else None


def _without_prefix(
    name: str, find: Callable[[str], ZoneInfo | None]
) -> ZoneInfo | None:
    """Return the zone of a name, or of the longest end of it behind a slash (RFC 5545 section 3.8.3.1).

    `/Europe/Berlin` and `/freeassociation.sourceforge.net/Tzfile/Europe/Berlin` are Europe/Berlin; where no
    slash stands in front, what is left must have two parts.
    """
    zone = find(name)
    if zone is not None:
        return zone
    parts = name.split("/")
    fewest = 1 if name.startswith("/") else 2
    for first in range(1, len(parts) - fewest + 1):
        zone = find("/".join(parts[first:]))
        if zone is not None:
            return zone
    return None


@functools.lru_cache(maxsize=_NAMES_KNOWN)
def _as_written(name: str) -> ZoneInfo | None:
    return _without_prefix(name, iana)


class Zones:
    """Resolves the TZIDs of one document.

    `definitions` are the document's own VTIMEZONEs, `aliases` the administrator's names,
    `floating` the zone of times that carry none, or the name that the calendar gives for it.
    """

    def __init__(
        self,
        definitions: Iterable[RawComponent],
        aliases: Mapping[str, ZoneInfo],
        floating: ZoneInfo | str,
    ) -> None:
        self._definitions: dict[str, list[RawComponent]] = {}
        for definition in definitions:
            tzid = unescaped(definition.first("TZID") or "")
            known = self._definitions.setdefault(_bare(tzid), [])
            if all(definition.lines != other.lines for other in known):
                known.append(definition)
        self._aliases = aliases
        self._floating = floating
        self._resolved: dict[str, tzinfo] = {}

    @property
    def floating(self) -> ZoneInfo:
        """Return the zone with a name in which whole days are meant, and other times that carry no zone.

        Raises `UnknownZone` when nobody knows the calendar's name for it.
        """
        if isinstance(self._floating, ZoneInfo):
            return self._floating
        zone = self.resolve(self._floating)
        if not isinstance(zone, ZoneInfo):
            raise UnknownZone(self._floating)
        return zone

    def resolve(self, tzid: str) -> tzinfo:
        """Return the rules of a TZID; raises `UnknownZone`.

        First an IANA name as it is written, behind a prefix too, then the administrator's name, the
        document's own VTIMEZONE, an IANA name in other letter case, and vendors' names.
        """
        zone = self._resolved.get(tzid)
        if zone is None:
            zone = self._look_up(_bare(tzid))
            self._resolved[tzid] = zone
        return zone

    def _look_up(self, name: str) -> tzinfo:
        zone = (
            _as_written(name)
            or self._aliases.get(name)
            or self._defined(name)
            or _of_vendor(name)
        )
        if zone is None:
            raise UnknownZone(name)
        return zone

    def _defined(self, name: str) -> tzinfo | None:
        """Return the document's own rules, else the place that they are said to be of (X-LIC-LOCATION)."""
        definition = self._definition(name)
        if definition is None:
            return None
        own = _own_rules(definition, name)
        if own is not None:
            return own
        place = definition.first("X-LIC-LOCATION") or ""
        return iana(place.strip())

    def _definition(self, name: str) -> RawComponent | None:
        """Return the VTIMEZONE of a name, or None; the letter case matters only if there are several.

        Raises `UnknownZone` if two say different things.
        """
        found = self._definitions.get(name)
        if found is None:
            folded = name.casefold()
            found = []
            for other, definitions in self._definitions.items():
                if other.casefold() == folded:
                    found += definitions
        if not found:
            return None
        if len(found) > 1:
            raise UnknownZone(name)
        return found[0]

    def meaning(self, tzid: str) -> tuple[str, str]:
        """Return the zone that a TZID is taken for, and a clause that says why; raises `UnknownZone`."""
        name = _bare(tzid)
        zone = self.resolve(tzid)
        if not isinstance(zone, ZoneInfo):
            return name, "the calendar defines it in a VTIMEZONE of its own"
        if iana(name) is not None:
            return zone.key, "that is its IANA name"
        if _as_written(name) is not None:
            return zone.key, "that is its IANA name behind a prefix"
        if self._aliases.get(name) == zone:
            return zone.key, "calendar.timezones says so"
        if self._defined(name) == zone:
            return (
                zone.key,
                "the calendar's VTIMEZONE names that place (X-LIC-LOCATION)",
            )
        if _without_prefix(name, _iana_in_any_case) == zone:
            return zone.key, "that is its IANA name in other letter case"
        if name in _windows_names():
            return zone.key, "that is its Windows name"
        return zone.key, "that is a vendor's spelling of it"

    def contradiction(self, tzid: str | None, at: datetime) -> str:
        """Return a sentence if the document defines a zone otherwise than its IANA name says, else empty.

        Looked at for the year after `at`.
        """
        name = _bare(tzid or "")
        registered = _as_written(name)
        if registered is None:
            return ""
        definitions = self._definitions.get(name, ())
        if not any(_differs(own, registered, at.date()) for own in definitions):
            return ""
        return f'The calendar defines the time zone "{name}" otherwise than that name says; the name counts.'

    def instant(self, wall: datetime, tzid: str | None) -> datetime:
        """Return the UTC instant of a wall clock time in a zone, floating if `tzid` is None.

        In a gap the offset before it counts, in an overlap the first of the two (RFC 5545 section 3.3.5).
        """
        local = wall.replace(tzinfo=self.zone(tzid), fold=0)
        return local.astimezone(UTC)

    def zone(self, tzid: str | None) -> tzinfo:
        """Return the rules of a TZID, those of floating times for None; raises `UnknownZone`."""
        if tzid is not None:
            return self.resolve(tzid)
        if isinstance(self._floating, str):
            return self.resolve(self._floating)
        return self._floating


def _windows_names() -> dict[str, str]:
    # The package takes a tenth of a second to import, and few calendars need it.
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    return WINDOWS_TO_OLSON


@functools.lru_cache(maxsize=_NAMES_KNOWN)
def _of_vendor(name: str) -> ZoneInfo | None:
    """Return what a spelling means that is no IANA name, or None.

    Known are IANA names in other letter case, Windows names, and the lists of cities that Exchange shows.
    """
    zone = _without_prefix(name, _iana_in_any_case)
    if zone is not None:
        return zone
    zone = iana(_windows_names().get(name, ""))
    if zone is not None:
        return zone
    if name.lower() == "tzone://microsoft/utc":
        return iana("UTC")
    shown = _SHOWN.fullmatch(name)
    if shown is None:
        return None
    return _of_shown_name(*shown.groups())


def _of_shown_name(
    sign: str | None, hours: str | None, minutes: str | None, places: str
) -> ZoneInfo | None:
    """Return the zone of a list of cities, if those that are IANA names at that offset all have one clock."""
    places = places.strip()
    if places in _SHOWN_WITHOUT_CITIES:
        return iana(_SHOWN_WITHOUT_CITIES[places])
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if sign == "-":
        offset = -offset
    clocks: dict[tuple[timedelta, ...], ZoneInfo] = {}
    for name in _names_of_cities(places):
        zone = ZoneInfo(name)
        clock = _clock(zone)
        if min(clock) == offset:
            clocks.setdefault(clock, zone)
    if len(clocks) != 1:
        return None
    (zone,) = clocks.values()
    return zone


def _names_of_cities(places: str) -> list[str]:
    """Return the IANA names, in order, of the cities of a list."""
    listed = _BETWEEN_CITIES.split(unescaped(places))
    cities = {city.strip().replace(" ", "_") for city in listed}
    names: list[str] = []
    for name in sorted(available_timezones()):
        area, _, city = name.rpartition("/")
        if city in cities and area and not name.startswith("Etc/"):
            names.append(name)
    return names


def _clock(zone: ZoneInfo) -> tuple[timedelta, ...]:
    """Return the offsets of a zone through one recent year; the least of them is its standard time."""
    first = datetime(2026, 1, 1, 12, tzinfo=zone)
    offsets: list[timedelta] = []
    for day in range(365):
        noon = first + timedelta(days=day)
        offsets.append(noon.utcoffset() or timedelta())
    return tuple(offsets)


def _bare(tzid: str) -> str:
    return tzid.strip().strip('"')


@functools.lru_cache(maxsize=256)  # directories hold one definition thousands of times
def _differs(definition: RawComponent, registered: ZoneInfo, day: date) -> bool:
    """Tell whether a definition contradicts a registered zone in a year, as far as it says anything."""
    own = _own_rules(definition, "")
    if own is None:
        return False
    begin, until = _validity(definition, own)
    noon = midnight(day) + timedelta(hours=12)
    for week in range(53):
        wall = noon + timedelta(weeks=week)
        if not begin <= wall <= until:
            continue
        offset = wall.replace(tzinfo=registered).utcoffset()
        if wall.replace(tzinfo=own).utcoffset() != offset:
            return True
    return False


def _validity(definition: RawComponent, own: OwnZone) -> tuple[datetime, datetime]:
    """Return from when and up to when, by the wall clock and to a day, a definition means to hold.

    Some servers cut it to the time that its event needs, at both ends, and say so (TZUNTIL, RFC 7808 section
    7.1). Any other holds always: before its first onset by the offset that it names for then.
    """
    said = definition.first("TZUNTIL") or ""
    try:
        until = datetime.strptime(said.strip().upper(), "%Y%m%dT%H%M%SZ")  # noqa: DTZ007  # wall clock on purpose
    except ValueError:
        return datetime.min, datetime.max  # noqa: DTZ901  # wall clock on purpose
    return own.begin, until - ONE_DAY


@functools.lru_cache(maxsize=256)
def _own_rules(definition: RawComponent, name: str) -> OwnZone | None:
    """Return the rules that a calendar defines; None if they cannot be used."""
    try:
        return OwnZone(definition, name)
    except UnusableZone:
        return None


def wall_clock(moment: datetime, zone: tzinfo) -> datetime:
    """Return the naive wall clock time of an instant in a zone."""
    return moment.astimezone(zone).replace(tzinfo=None)


def midnight(day: date) -> datetime:
    """Return the naive start of a day; with `wall` arithmetic this stands for whole days."""
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001  # wall clock on purpose


ONE_DAY = timedelta(days=1)
