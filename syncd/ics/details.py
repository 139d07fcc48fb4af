"""Everything of a VEVENT but when it takes place: texts, people, links, rooms, alarms and attachments.

A property of these that cannot be read is treated as absent.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from urllib.parse import unquote

from syncd.core.occurrence import (
    Attach,
    Attendee,
    Authority,
    Days,
    Inline,
    Link,
    Occurrence,
    OccurrenceKey,
    Person,
    Role,
)
from syncd.core.reasons import Note, Reason
from syncd.core.text import fold_space, shortened
from syncd.ics.alarms import alarms_of
from syncd.ics.content import FEED_MARK, BrokenComponent, RawComponent
from syncd.ics.properties import (
    Properties,
    decoded,
    is_binary,
    is_broken,
    parameter_of,
    unescape,
)
from syncd.ics.times import Start, single_start
from syncd.ics.vevent import ParsedContext
from syncd.ics.zones import ONE_DAY, UnknownZone, Zones

_ROLES = frozenset(Role)
_FEATURE = re.compile(r';\s*FEATURE\s*=\s*((?:"[^"]*"|[^;":])*)')
_ESCAPE = re.compile(r"\\([\\,;nN])")
_WEB_LINK = re.compile(r"https?://", re.IGNORECASE)


def template_of(event: Properties, start: Start, context: ParsedContext) -> Occurrence:
    """Return an occurrence with all that the event says; its key and its time are to be replaced."""
    zones = context.zones
    status = event.text_of("STATUS").upper()
    busy = event.text_of("X-MICROSOFT-CDO-BUSYSTATUS").upper()
    transparency = event.text_of("TRANSP").upper()
    organizer = _organizer(event)
    attendees = tuple(map(_attendee, event.values("ATTENDEE")))
    description = event.text_of("DESCRIPTION")
    if not description:
        description = _unescaped_text(event.text_of("X-ALT-DESC"))
    is_tentative = status == "TENTATIVE"
    if not status:
        is_tentative = busy == "TENTATIVE"
    is_transparent = transparency == "TRANSPARENT"
    if not transparency:
        is_transparent = busy == "FREE"
    by_method = context.method == "CANCEL"
    return Occurrence(
        key=OccurrenceKey("", event.raw.uid, None),
        source=context.source,
        when=Days(date.min, date.min + ONE_DAY),  # replaced for each occurrence
        line=event.raw.line,
        summary=event.text_of("SUMMARY"),
        description=shortened(description),
        location=event.text_of("LOCATION"),
        joining_link=_joining_link(event),
        organizer=organizer,
        attendees=attendees,
        alarms=tuple(alarms_of(event.raw, zones)),
        attachments=tuple(_attachments(event)),
        base_url=context.base_url,
        cancelled=by_method or status == "CANCELLED",
        tentative=is_tentative,
        transparent=is_transparent,
        private=event.text_of("CLASS").upper() in {"PRIVATE", "CONFIDENTIAL"},
        zone=_zone_name(start, zones),
        sequence=_integer(event, "SEQUENCE"),
        last_modified=_stamp(event, "LAST-MODIFIED", zones),
        created=_stamp(event, "CREATED", zones),
        authority=_authority(organizer, attendees, context),
        document=context.document,
        by_method=by_method,
        from_feed=bool(event.text_of(FEED_MARK)),
        places=tuple(_places(event.raw)),
        notes=tuple(_unreadable_people(event)),
    )


def _zone_name(start: Start, zones: Zones) -> str:
    """Return the zone that a start is meant in: as written, else that of floating times and whole days."""
    if start.is_date:
        return zones.floating.key
    return start.tzid or str(zones.zone(None))


def _authority(
    organizer: Person | None, attendees: Collection[Attendee], context: ParsedContext
) -> Authority:
    """Return whose copy of the meeting it is, by its organizer and whose calendar it stands in."""
    if organizer is None:
        return Authority.GUEST if attendees else Authority.NOBODY
    if not context.owners.isdisjoint(organizer.addresses):
        return Authority.ORGANIZER
    if not context.claims.isdisjoint(organizer.addresses):
        return Authority.CLAIMED
    return Authority.GUEST


def _unreadable_people(event: Properties) -> Iterator[Note]:
    """Yield a note for each organizer and attendee of whom no address can be read."""
    for name, who in (("ORGANIZER", "organizer"), ("ATTENDEE", "attendee")):
        for line in event.unreadable(name):
            shown = fold_space(line)[:200]
            yield Note(
                Reason.UNREADABLE_PERSON,
                f"An {who} cannot be read and was left out: {shown}",
            )


def _places(raw: RawComponent) -> Iterator[str]:
    """Yield the names of the places and rooms that stand in components of their own (RFC 9073)."""
    begins = [line.upper() for line in raw.lines if line[:1] in "Bb"]
    for kind in ("VLOCATION", "VRESOURCE"):
        if not any(kind in begin for begin in begins):
            continue
        for place in raw.subcomponents(kind):
            name = _unescaped_text(place.first("NAME") or "").strip()
            resource_type = place.first("RESOURCE-TYPE") or "ROOM"
            if name and resource_type.strip().upper() == "ROOM":
                yield name


def _unescaped_text(text: str) -> str:
    """Return a TEXT value (RFC 5545 section 3.3.11) of a property whose type the library does not know."""
    return _ESCAPE.sub(unescape, text)


def _integer(event: Properties, name: str) -> int:
    try:
        return int(event.text_of(name) or 0)
    except ValueError:
        return 0


def _stamp(event: Properties, name: str, zones: Zones) -> datetime | None:
    """Return LAST-MODIFIED or CREATED; None if it cannot be read, because it decides no time."""
    try:
        start = single_start(event, name)
        return start.instant(zones) if start else None
    except (BrokenComponent, UnknownZone, OverflowError):
        return None


def _joining_link(event: Properties) -> str:
    """Return the link to join online: CONFERENCE (RFC 7986 section 5.11), vendors' properties, then URL.

    Of conferences the one with pictures comes first; a moderator's access is never given to others.
    """
    ranked: list[tuple[int, str]] = []
    of_moderator: set[str] = set()
    for line in event.written("CONFERENCE"):
        link = line.value.strip()
        features = _features_of(line.parameters)
        ranked.append((_rank_of_conference(features), link))
        if "MODERATOR" in features:
            of_moderator.add(link)
    ranked.sort(key=lambda ranked_link: ranked_link[0])
    candidates = [link for rank, link in ranked if rank < len(_WAYS_TO_JOIN)]
    candidates += [event.text_of(name).strip() for name in _LINKS_OF_VENDORS]
    for link in candidates:
        if link not in of_moderator and _WEB_LINK.match(link):
            return link
    return ""


_LINKS_OF_VENDORS = ("X-GOOGLE-CONFERENCE", "X-MICROSOFT-SKYPETEAMSMEETINGURL", "URL")
_WAYS_TO_JOIN = (
    frozenset({"VIDEO"}),
    frozenset({"SCREEN", "AUDIO"}),
    frozenset({""}),
)
"""Values of FEATURE by which people can join a meeting, the best first; the empty one stands for none."""


def _features_of(parameters: str) -> frozenset[str]:
    """Return the values of FEATURE (RFC 7986 section 6.3) in upper case; one empty value if none is named."""
    features: set[str] = set()
    for listed in _FEATURE.findall(parameters.upper()):
        features.update(name.strip(' "') for name in listed.split(","))
    features.discard("")
    return frozenset(features or {""})


def _rank_of_conference(features: frozenset[str]) -> int:
    """Return how well a conference serves who joins, 0 for best; PHONE, CHAT and FEED alone come last."""
    for rank, wanted in enumerate(_WAYS_TO_JOIN):
        if wanted & features:
            return rank
    return len(_WAYS_TO_JOIN)


def bare_address(text: str) -> str:
    """Return a CAL-ADDRESS (RFC 5545 section 3.3.3) in lower case, without `mailto:`."""
    address = text.strip()
    if address[:7].lower() == "mailto:":
        address = unquote(address[7:])
    return address.strip().strip("<>").lower()


def _organizer(event: Properties) -> Person | None:
    """Return the organizer; None without one, or where several are named."""
    values = event.values("ORGANIZER")
    if len(values) != 1:
        return None
    (value,) = values
    return _person_of(
        str(value), parameter_of(value, "EMAIL"), parameter_of(value, "CN")
    )


def _attendee(value: object) -> Attendee:
    return _attendee_of(
        str(value),
        parameter_of(value, "EMAIL"),
        parameter_of(value, "CN"),
        parameter_of(value, "CUTYPE"),
        parameter_of(value, "ROLE"),
        parameter_of(value, "PARTSTAT"),
        _addresses_in(value, "DELEGATED-TO"),
        _addresses_in(value, "DELEGATED-FROM"),
    )


def _addresses_in(value: object, name: str) -> tuple[str, ...]:
    """Return the addresses that a parameter of a person lists; none without it."""
    parameters = getattr(value, "params", None)
    if not parameters:
        return ()
    listed: str | Sequence[str] = parameters.get(name, "")
    if not isinstance(listed, str):
        listed = ",".join(listed)
    if not listed:
        return ()
    addresses = map(bare_address, listed.split(","))
    return tuple(filter(None, addresses))


@functools.lru_cache(maxsize=2048)  # the same people meet again and again
def _person_of(text: str, email: str, name: str) -> Person:
    addresses = filter(None, (bare_address(text), bare_address(email)))
    different = dict.fromkeys(addresses)
    return Person(tuple(different), name)


@functools.lru_cache(maxsize=2048)
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
    kind = kind.upper()
    role = role.upper()
    status = status.upper()
    known_role = Role(role) if role in _ROLES else Role.REQUIRED
    return Attendee(
        person=_person_of(text, email, name),
        role=known_role,
        declined=status == "DECLINED",
        is_resource=kind in {"ROOM", "RESOURCE"},
        is_room=kind == "ROOM",
        delegated=status == "DELEGATED",
        delegated_to=delegated_to,
        delegated_from=delegated_from,
    )


def _attachments(event: Properties) -> Iterator[Attach]:
    """Yield ATTACH in file order, those that cannot be read too, because leaving them out has to be told."""
    for value in event.all_values("ATTACH"):
        name = parameter_of(value, "FILENAME") or parameter_of(value, "X-FILENAME")
        media_type = parameter_of(value, "FMTTYPE") or None
        if is_broken(value):
            data = None
        elif is_binary(value):
            data = value.bytes
        elif parameter_of(value, "ENCODING").upper() == "BASE64":
            # Without VALUE=BINARY, which some writers forget.
            data = decoded(str(value))
        else:
            yield Link(
                uri=str(value).strip(),
                name=name or None,
                size_bytes=_size_of(value),
                media_type=media_type,
            )
            continue
        yield Inline(data=data, name=name or None, media_type=media_type)


def _size_of(value: object) -> int | None:
    """Return SIZE of a linked attachment (RFC 8607 section 4.1) in bytes; None if it is not told."""
    size = parameter_of(value, "SIZE")
    if size.isdecimal() and len(size) < 20:
        return int(size)
    return None
