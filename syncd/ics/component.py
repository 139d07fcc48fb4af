"""One VEVENT as values: what the library parsed, judged property by property.

Times are read as wall clock plus TZID and resolved by our own `Zones`, because the library shares zones
between documents and turns unknown ones into naive times.
A property that decides identity or time and cannot be read is a defect of the whole UID; any other that
cannot be read is treated as absent.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any
from urllib.parse import unquote

from syncd.core.occurrence import (
    Attach,
    Attendee,
    Authority,
    Days,
    Inline,
    Link,
    Moment,
    Occurrence,
    OccurrenceKey,
    Person,
    Role,
    Timespan,
    When,
    recurrence_id_of,
)
from syncd.core.reasons import Note, Reason
from syncd.core.text import fold_space, shortened
from syncd.ics.alarms import alarms_of
from syncd.ics.content import BrokenComponent, RawComponent
from syncd.ics.duration import Duration, parse_duration
from syncd.ics.properties import Properties, decoded, is_binary, is_broken
from syncd.ics.quirks import repaired
from syncd.ics.rule import BrokenRule, Rule
from syncd.ics.zones import ONE_DAY, UnknownZone, Zones, midnight, wall_clock

_TZID = re.compile(r';TZID=("[^"]*"|[^;:"]*)(?=[;:]|$)', re.IGNORECASE)
_IS_DATE = re.compile(r";VALUE=DATE(?=;|$)", re.IGNORECASE)
_ROLES = frozenset(Role)
_FEATURE = re.compile(r';\s*FEATURE\s*=\s*((?:"[^"]*"|[^;":])*)')
_WHOLE_DAY_FLAGS = ("X-MICROSOFT-CDO-ALLDAYEVENT", "X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT")


# Programs put dates that they do not know into year 1 (.NET), and years of two digits into the first century;
# birthdays without a year stand in 1604 (Apple), 1601 or 1899. At the end Python needs a year of room.
_FIRST_YEAR, _LAST_YEAR = 1000, 9998


def out_of_range() -> BrokenComponent:
    """What a date means that no meeting has, or that cannot be counted with."""
    years = f"{_FIRST_YEAR} to {_LAST_YEAR}"
    return BrokenComponent(Reason.BROKEN_PROPERTY, f"a date lies outside of the years {years}")


def _check_years(*moments: date) -> None:
    """Refuse the ends of time, where programs put dates that they do not know."""
    if any(not _FIRST_YEAR <= moment.year <= _LAST_YEAR for moment in moments):
        raise out_of_range()


@dataclass(frozen=True, slots=True)
class Start:
    """A date or date-time property as written: naive wall clock (midnight for VALUE=DATE) and zone.

    `tzid` None means floating, "UTC" is UTC.
    """

    wall: datetime
    tzid: str | None = None
    is_date: bool = False

    def at(self, wall: datetime) -> Start:
        """Another time of the same kind in the same zone."""
        return replace(self, wall=wall)


@dataclass(frozen=True, slots=True)
class Component:
    """A parsed VEVENT.

    `calendar` is the key of the VCALENDAR that it stands in, `method` the METHOD of that in upper case.
    `template` holds everything of an occurrence but its key and its time.
    `says_cancelled`: its own STATUS is CANCELLED, whatever the METHOD.
    """

    uid: str
    line: int
    document: str
    calendar: str
    method: str
    zones: Zones
    template: Occurrence
    start: Start
    duration: Duration | None
    recurrence_id: Start | None
    this_and_future: bool
    rules: tuple[Rule, ...]
    excluded_rules: tuple[Rule, ...]
    dates: tuple[tuple[Start, Duration | None], ...]
    excluded: tuple[Start, ...]
    says_cancelled: bool
    event: Properties

    @property
    def text(self) -> str:
        """All that it says; equal for two that say the same in the same words."""
        return self.event.text

    @property
    def recurs(self) -> bool:
        """Whether this is the master of a series."""
        return bool(self.rules or self.dates)

    @property
    def revision(self) -> tuple[int, bool, float]:
        """Return what sorts the newest of several components with one identity last.

        SEQUENCE, then a cancelling method, then LAST-MODIFIED (RFC 5546 section 2.1.5). DTSTAMP is none: in a
        published calendar it is the time of the export, a second later for each component of one export.
        """
        return (self.template.sequence, self.method == "CANCEL", self.modified)

    @property
    def modified(self) -> float:
        """LAST-MODIFIED in epoch seconds; 0 if it is not told."""
        modified = self.template.last_modified
        return modified.timestamp() if modified else 0.0

    @property
    def organizer(self) -> frozenset[str]:
        """The addresses of the organizer; empty if there is none."""
        organizer = self.template.organizer
        return frozenset(organizer.addresses) if organizer else frozenset()

    @property
    def guests(self) -> frozenset[str]:
        """The addresses of all attendees, rooms too."""
        return frozenset(address for a in self.template.attendees for address in a.person.addresses)

    @property
    def timing(self) -> tuple[object, ...]:
        """All that decides when it takes place, and whether."""
        rules = (self.rules, self.excluded_rules, self.dates, self.excluded)
        # What is floating in two calendars, whole days too, may be meant in two zones.
        begin = self.template.zone if self.start.is_date else self.recurrence_id_at(self.start)
        return (begin, self.start, self.duration, self.this_and_future, *rules, self.template.cancelled)

    def when(self, start: Start, duration: Duration | None) -> When:
        """The time of the occurrence that begins at `start`: instants first, then lengths."""
        if start.is_date:
            days = Days(
                begin := start.wall.date(), begin + max(1, duration.days if duration else 1) * ONE_DAY
            )
            _check_years(days.start, days.end)
            return days
        instant = self.zones.instant(start.wall, start.tzid)
        _check_years(instant)
        if duration is None or not duration.rough:
            return Moment(instant)
        nominal = self.zones.instant(start.wall + duration.days * ONE_DAY, start.tzid)
        _check_years(nominal + duration.exact)
        return Timespan(instant, nominal + duration.exact)

    def recurrence_id_at(self, start: Start) -> str:
        """The canonical recurrence id of an original start of this component's series."""
        return recurrence_id_of(
            start.wall.date() if start.is_date else self.zones.instant(start.wall, start.tzid)
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides about a VEVENT and stands outside of it.

    `document` is the name of what it stands in, `base_url` what its links are relative to.
    `calendar` is the key of its VCALENDAR, `method` the METHOD of that in upper case.
    `owners` are the addresses whose calendar the administrator said it is, by the configuration or the name
    of the file; `claims` those that the calendar gives itself.
    """

    source: str
    document: str
    calendar: str
    base_url: str
    zones: Zones
    method: str
    owners: Collection[str]
    claims: Collection[str]


def parse(raw: RawComponent, around: Surroundings) -> Component:
    """The values of one VEVENT; raises `BrokenComponent`."""
    event = Properties(repaired(raw))
    try:
        return _component(event, around)
    except UnknownZone as error:
        raise BrokenComponent(Reason.UNKNOWN_TIMEZONE, str(error)) from None
    except OverflowError:
        raise out_of_range() from None


def _component(event: Properties, around: Surroundings) -> Component:
    zones = around.zones
    recurrence_id = _single_start(event, "RECURRENCE-ID")
    start, end = _bounds(event, zones)
    if start is None:
        if around.method != "CANCEL":
            raise BrokenComponent(Reason.BROKEN_PROPERTY, "the event has no DTSTART")
        # RFC 5546 section 3.2.5 lets a cancellation leave it out; it then has a place in no window.
        start = recurrence_id or Start(midnight(date(_FIRST_YEAR, 1, 1)), is_date=True)
    excluded = tuple(_excluded_dates(event))
    dates = tuple(_recurrence_dates(event, zones))
    _check_years(*(used.wall for used in (start, recurrence_id, *(entry for entry, _ in dates)) if used))
    # An unknown zone anywhere that it decides time quarantines, in EXDATE and RDATE too.
    for used in (start, recurrence_id, *excluded, *(entry for entry, _ in dates)):
        if used is not None and used.tzid is not None:
            zones.resolve(used.tzid)
    return Component(
        uid=event.raw.uid,
        line=event.raw.line,
        document=around.document,
        calendar=around.calendar,
        method=around.method,
        zones=zones,
        template=_template(event, start, around),
        start=start,
        duration=_duration(event, start, end, zones),
        recurrence_id=recurrence_id,
        this_and_future="THISANDFUTURE"
        in _parameter(next(iter(event.values("RECURRENCE-ID")), None), "RANGE").upper(),
        rules=_rules(event, "RRULE", start),
        excluded_rules=_rules(event, "EXRULE", start),
        dates=dates,
        excluded=excluded,
        says_cancelled=_text(event, "STATUS").upper() == "CANCELLED",
        event=event,
    )


def _rules(event: Properties, name: str, start: Start) -> tuple[Rule, ...]:
    try:
        rules = tuple(Rule.parse(line.value) for line in event.written(name))
        return tuple(rule.of_whole_days() for rule in rules) if start.is_date else rules
    except BrokenRule as error:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} cannot be read: {error}") from None


def _parameter(value: object, name: str) -> str:
    parameters = getattr(value, "params", None)
    found = parameters.get(name, "") if parameters else ""
    return found if type(found) is str else str(found[0] if isinstance(found, list) and found else found)


def _start(value: object, name: str, parameters: str) -> Start:
    """One date or time as parsed without its zone, which stands in the raw `parameters`; a Z counts first."""
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return Start(value.replace(tzinfo=None), "UTC")
        tzid = _TZID.search(parameters)
        return Start(value, (tzid[1] or None) if tzid else None)
    if isinstance(value, date):
        return Start(midnight(value), is_date=True)
    raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} is not a date or a time")


def _single_start(event: Properties, name: str) -> Start | None:
    values = event.values(name)
    if not values:
        return None
    if len(values) > 1:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} stands more than once in the event")
    parameters = next((line.parameters for line in event.written(name)), None)
    if parameters is None:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} cannot be read")
    if isinstance(getattr(values[0], "dt", None), datetime) and _IS_DATE.search(parameters):
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} is called a date and has a time")
    return _start(getattr(values[0], "dt", None), name, parameters)


def _listed(event: Properties, name: str) -> Iterator[tuple[Any, str, str]]:
    """Each date of a list property with its raw parameters, and its text."""
    values, written = event.values(name), event.written(name)
    lists = [
        (getattr(value, "dts", ()), line.parameters, line.value)
        for value, line in zip(values, written, strict=False)
    ]
    if len(values) != len(written) or any(len(dates) != text.count(",") + 1 for dates, _, text in lists):
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} cannot be read")
    for dates, parameters, text in lists:
        yield from ((entry.dt, parameters, part) for entry, part in zip(dates, text.split(","), strict=True))


def _excluded_dates(event: Properties) -> Iterator[Start]:
    for moment, parameters, _ in _listed(event, "EXDATE"):
        yield _start(moment, "EXDATE", parameters)


def _recurrence_dates(event: Properties, zones: Zones) -> Iterator[tuple[Start, Duration | None]]:
    for moment, parameters, text in _listed(event, "RDATE"):
        if not isinstance(moment, tuple):
            yield _start(moment, "RDATE", parameters), None
            continue
        begin = _start(moment[0], "RDATE", parameters)
        if isinstance(moment[1], timedelta):
            length = parse_duration(text.partition("/")[2])
        else:
            end = _start(moment[1], "RDATE", parameters)
            length = Duration(exact=_instant(end, zones) - _instant(begin, zones))
        if length.rough <= timedelta():
            raise BrokenComponent(Reason.END_BEFORE_START, "a period in RDATE has no length")
        yield begin, length


def _instant(start: Start, zones: Zones) -> datetime:
    return zones.instant(start.wall, start.tzid)


def _bounds(event: Properties, zones: Zones) -> tuple[Start | None, Start | None]:
    """Return DTSTART and DTEND; as dates where Outlook's flag says that their midnights mean whole days."""
    start, end = _single_start(event, "DTSTART"), _single_start(event, "DTEND")
    flags = (line.value for name in _WHOLE_DAY_FLAGS for line in event.written(name))
    flagged = any(value.strip().upper() == "TRUE" for value in flags)
    if not flagged or start is None or start.is_date or (end is not None and end.is_date):
        return start, end
    # In the zone of either, in the calendar's, or in UTC: programs turn local midnights into any of these.
    named = (found.tzid for found in (start, end) if found is not None and found.tzid not in {None, "UTC"})
    for tzid in (*named, None, "UTC"):
        zone = zones.zone(tzid)
        first, last = (_day_at_midnight(found, zone, zones) for found in (start, end or start))
        if first is not None and last is not None:
            return first, last if end is not None else None
    return start, end


def _day_at_midnight(start: Start, zone: tzinfo, zones: Zones) -> Start | None:
    """Return the day that begins with a time in a zone; None if none does."""
    wall = wall_clock(_instant(start, zones), zone)
    return Start(wall, is_date=True) if wall.time() == time() else None


def _duration(event: Properties, start: Start, end: Start | None, zones: Zones) -> Duration | None:
    """The length from DTEND (exact between two instants) or DURATION; None if the event says neither."""
    if end is not None:
        if end.is_date != start.is_date:
            raise BrokenComponent(
                Reason.BROKEN_PROPERTY, "DTSTART and DTEND are not of one kind (date or time)"
            )
        if start.is_date:
            length = Duration(days=(end.wall - start.wall).days)
        else:
            length = Duration(exact=_instant(end, zones) - _instant(start, zones))
    elif written := event.written("DURATION"):
        length = parse_duration(written[0].value)
        if start.is_date and "T" in event.written("DTSTART")[0].value and not length.exact % ONE_DAY:
            length = Duration(days=length.days + length.exact // ONE_DAY)  # a day by Outlook's flag
        if start.is_date and length.exact:
            raise BrokenComponent(Reason.BROKEN_PROPERTY, "DURATION of a whole-day event is not in days")
    else:
        return None
    if length.rough < timedelta():
        raise BrokenComponent(Reason.END_BEFORE_START, "the event ends before it starts")
    return length


def _template(event: Properties, start: Start, around: Surroundings) -> Occurrence:
    zones = around.zones
    status = _text(event, "STATUS").upper()
    busy = _text(event, "X-MICROSOFT-CDO-BUSYSTATUS").upper()
    transparency = _text(event, "TRANSP").upper()
    organizers = [_person(value) for value in event.values("ORGANIZER")]
    organizer = organizers[0] if len(organizers) == 1 else None
    attendees = tuple(_attendee(value) for value in event.values("ATTENDEE"))
    return Occurrence(
        key=OccurrenceKey("", event.raw.uid, None),
        source=around.source,
        when=Days(date.min, date.min + ONE_DAY),  # replaced for each occurrence
        line=event.raw.line,
        summary=_text(event, "SUMMARY"),
        description=shortened(_text(event, "DESCRIPTION") or _unescaped_text(_text(event, "X-ALT-DESC"))),
        location=_text(event, "LOCATION"),
        joining_link=_joining_link(event),
        organizer=organizer,
        attendees=attendees,
        alarms=tuple(alarms_of(event.raw, zones)),
        attachments=tuple(_attachments(event)),
        base_url=around.base_url,
        cancelled=around.method == "CANCEL" or status == "CANCELLED",
        tentative=status == "TENTATIVE" or (not status and busy == "TENTATIVE"),
        transparent=transparency == "TRANSPARENT" or (not transparency and busy == "FREE"),
        private=_text(event, "CLASS").upper() in {"PRIVATE", "CONFIDENTIAL"},
        zone=zones.floating.key if start.is_date else start.tzid or str(zones.zone(None)),
        sequence=_integer(event, "SEQUENCE"),
        last_modified=_stamp(event, "LAST-MODIFIED", zones),
        created=_stamp(event, "CREATED", zones),
        authority=_authority(organizer, attendees, around),
        document=around.document,
        by_method=around.method == "CANCEL",
        places=tuple(_places(event.raw)),
        notes=tuple(_unreadable_people(event)),
    )


def _authority(organizer: Person | None, attendees: Collection[Attendee], around: Surroundings) -> Authority:
    """Return whose copy of the meeting it is, by its organizer and whose calendar it stands in."""
    if organizer is None:
        return Authority.GUEST if attendees else Authority.NOBODY
    if any(address in around.owners for address in organizer.addresses):
        return Authority.ORGANIZER
    if any(address in around.claims for address in organizer.addresses):
        return Authority.CLAIMED
    return Authority.GUEST


def _unreadable_people(event: Properties) -> Iterator[Note]:
    """Yield a note for each organizer and attendee of whom no address can be read."""
    for name, who in (("ORGANIZER", "organizer"), ("ATTENDEE", "attendee")):
        for line in event.unreadable(name):
            detail = f"An {who} cannot be read and was left out: {fold_space(line)[:200]}"
            yield Note(Reason.UNREADABLE_PERSON, detail)


def _places(raw: RawComponent) -> Iterator[str]:
    """Yield the names of the places and rooms that stand in components of their own (RFC 9073)."""
    for kind in ("VLOCATION", "VRESOURCE"):
        if not any(kind in line.upper() for line in raw.lines if line[:1] in "Bb"):
            continue
        for place in raw.subcomponents(kind):
            of_room = (place.first("RESOURCE-TYPE") or "ROOM").strip().upper() == "ROOM"
            if of_room and (name := _unescaped_text(place.first("NAME") or "").strip()):
                yield name


def _text(event: Properties, name: str) -> str:
    values = event.values(name)
    return str(values[0]) if values else ""


def _unescaped_text(text: str) -> str:
    """A TEXT value (RFC 5545 section 3.3.11) of a property whose type the library does not know."""
    return re.sub(r"\\([\\,;nN])", lambda escape: "\n" if escape[1] in "nN" else escape[1], text)


def _integer(event: Properties, name: str) -> int:
    try:
        return int(_text(event, name) or 0)
    except ValueError:
        return 0


def _stamp(event: Properties, name: str, zones: Zones) -> datetime | None:
    """LAST-MODIFIED or CREATED; they decide no time, so an unreadable one is absent."""
    try:
        start = _single_start(event, name)
        return _instant(start, zones) if start else None
    except (BrokenComponent, UnknownZone, OverflowError):
        return None


def _joining_link(event: Properties) -> str:
    """Return the link to join online: CONFERENCE (RFC 7986 section 5.11), vendors' properties, then URL.

    Of conferences the one with pictures comes first; a moderator's access is never given to others.
    """
    conferences = [
        (line.value.strip(), _features_of(line.parameters)) for line in event.written("CONFERENCE")
    ]
    of_moderator = {link for link, features in conferences if "MODERATOR" in features}
    ranked = sorted(conferences, key=lambda found: _rank_of_conference(found[1]))
    candidates = [link for link, features in ranked if _rank_of_conference(features) < len(_WAYS_TO_JOIN)]
    others = ("X-GOOGLE-CONFERENCE", "X-MICROSOFT-SKYPETEAMSMEETINGURL", "URL")
    candidates.extend(_text(event, name).strip() for name in others)
    links = (link for link in candidates if link not in of_moderator)
    return next((link for link in links if re.match(r"https?://", link, re.IGNORECASE)), "")


_WAYS_TO_JOIN = (frozenset({"VIDEO"}), frozenset({"SCREEN", "AUDIO"}), frozenset({""}))


def _features_of(parameters: str) -> frozenset[str]:
    """Return the values of FEATURE (RFC 7986 section 6.3) in upper case; one empty value if none is named."""
    found = (
        name.strip(' "') for values in _FEATURE.findall(parameters.upper()) for name in values.split(",")
    )
    return frozenset(filter(None, found)) or frozenset({""})


def _rank_of_conference(features: frozenset[str]) -> int:
    """Return how well a conference serves who joins, 0 for best; PHONE, CHAT and FEED alone come last."""
    ranks = (rank for rank, wanted in enumerate(_WAYS_TO_JOIN) if wanted & features)
    return next(ranks, len(_WAYS_TO_JOIN))


def address_of(text: str) -> str:
    """A CAL-ADDRESS in lower case, without `mailto:`."""
    address = text.strip()
    if address[:7].lower() == "mailto:":
        address = unquote(address[7:])
    return address.strip().strip("<>").lower()


_WHO = ("EMAIL", "CN")
_AS_WHAT = ("CUTYPE", "ROLE", "PARTSTAT")
_INSTEAD = ("DELEGATED-TO", "DELEGATED-FROM")


def _person(value: object) -> Person:
    return _person_of(str(value), *(_parameter(value, name) for name in _WHO))


def _attendee(value: object) -> Attendee:
    parameters = getattr(value, "params", None) or {}
    to, by = (_addresses_in(parameters[name]) if name in parameters else () for name in _INSTEAD)
    return _attendee_of(str(value), *(_parameter(value, name) for name in (*_WHO, *_AS_WHAT)), to, by)


def _addresses_in(listed: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses that a parameter of a person lists."""
    texts = [listed] if isinstance(listed, str) else listed
    return tuple(address for text in texts for part in text.split(",") if (address := address_of(part)))


@functools.lru_cache(maxsize=4096)  # the same people meet again and again
def _person_of(text: str, email: str, name: str) -> Person:
    addresses = [address_of(text), address_of(email)]
    return Person(tuple(dict.fromkeys(a for a in addresses if a)), name)


@functools.lru_cache(maxsize=4096)
def _attendee_of(
    text: str,
    email: str,
    name: str,
    kind: str,
    role: str,
    status: str,
    delegated_to: tuple[str, ...],
    delegated_from: tuple[str, ...],
) -> Attendee:
    kind, role = kind.upper(), role.upper()
    return Attendee(
        person=_person_of(text, email, name),
        role=Role(role) if role in _ROLES else Role.REQUIRED,
        declined=status.upper() == "DECLINED",
        is_resource=kind in {"ROOM", "RESOURCE"},
        is_room=kind == "ROOM",
        delegated=status.upper() == "DELEGATED",
        delegated_to=delegated_to,
        delegated_from=delegated_from,
    )


def _attachments(event: Properties) -> Iterator[Attach]:
    """ATTACH in file order; also those that cannot be read, because leaving them out has to be told."""
    for value in event.all_values("ATTACH"):
        name = _parameter(value, "FILENAME") or _parameter(value, "X-FILENAME") or None
        media_type = _parameter(value, "FMTTYPE") or None
        if is_broken(value):
            yield Inline(data=None, name=name, media_type=media_type)
        elif is_binary(value):
            yield Inline(data=value.bytes, name=name, media_type=media_type)
        elif _parameter(value, "ENCODING").upper() == "BASE64":
            # Without VALUE=BINARY, which some writers forget.
            yield Inline(data=decoded(str(value)), name=name, media_type=media_type)
        else:
            size = _parameter(value, "SIZE")
            yield Link(
                uri=str(value).strip(),
                name=name,
                size_bytes=int(size) if size.isdecimal() and len(size) < 20 else None,
                media_type=media_type,
            )
