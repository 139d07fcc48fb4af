"""What a calendar says: occurrences, their identity, and one reading of a source.

The identity of an occurrence is what RFC 5545 gives it: the UID and the *original* start
(RECURRENCE-ID, section 3.8.4.4), never anything that moves when the event is edited.
A `Reading` also says what it does not know, because absence in an incomplete reading proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum, StrEnum
from typing import TypeAlias, assert_never
from zoneinfo import ZoneInfo

from syncd.core.reasons import Note, Reason


def require_aware(moment: datetime, what: str) -> None:
    """Refuse a datetime without zone: it would be a wrong hour waiting."""
    if moment.tzinfo is None:
        raise ValueError(f"{what} must have a time zone, got {moment.isoformat()}")


@dataclass(frozen=True, slots=True)
class OccurrenceKey:
    """Identity of one occurrence.

    `scope` is empty when a UID means the same meeting in all sources, else the source's name.
    `recurrence_id` is the original start: `20261201T090000Z`, `20261201` for whole-day series,
    None for an event that does not recur.
    """

    scope: str
    uid: str
    recurrence_id: str | None

    def __lt__(self, other: OccurrenceKey) -> bool:
        return self._sort_key() < other._sort_key()

    def _sort_key(self) -> tuple[str, str, str]:
        return (self.scope, self.uid, self.recurrence_id or "")


def event_key(uid: str) -> str:
    """Return what names an event in addresses of the page, in its feeds and in notices.

    A digest, because a UID may hold anything, names of people too, and addresses stay in histories and logs.
    """
    digest = hashlib.sha256(uid.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Timespan:
    """Two instants, `end` exclusive and after `start`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        require_aware(self.start, "start")
        require_aware(self.end, "end")
        if self.end <= self.start:
            raise ValueError("a timespan ends after it starts")


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days, `end` exclusive and after `start` (VALUE=DATE, RFC 5545 section 3.3.4)."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError("days end after they start")


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant without length: a VEVENT that says no end, or an end at its start."""

    start: datetime

    def __post_init__(self) -> None:
        require_aware(self.start, "start")


When: TypeAlias = Timespan | Days | Moment


class Role(StrEnum):
    """ROLE (RFC 5545 section 3.2.16); unknown values count as REQ-PARTICIPANT, as the RFC says."""

    CHAIR = "CHAIR"
    REQUIRED = "REQ-PARTICIPANT"
    OPTIONAL = "OPT-PARTICIPANT"
    INFORMED = "NON-PARTICIPANT"


@dataclass(frozen=True, slots=True)
class Person:
    """A calendar user by all the addresses given for it: the value, then the EMAIL parameter.

    Addresses are lower-case, without `mailto:`.
    """

    addresses: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Attendee:
    """One ATTENDEE; `is_resource` for CUTYPE ROOM or RESOURCE, `is_room` for ROOM alone.

    `delegated`: it says that others take part instead (PARTSTAT); `delegated_to` and `delegated_from` are the
    addresses of RFC 5545 section 3.2.5 and 3.2.4.
    """

    person: Person
    role: Role = Role.REQUIRED
    declined: bool = False
    is_resource: bool = False
    is_room: bool = False
    # Not in the text of an attendee, so that fingerprints that were stored before stay true.
    delegated: bool = field(default=False, repr=False)
    delegated_to: tuple[str, ...] = field(default=(), repr=False)
    delegated_from: tuple[str, ...] = field(default=(), repr=False)

    @property
    def delegation(self) -> tuple[object, ...]:
        """Return what it says of who takes part instead of whom; empty if nothing."""
        said = (self.delegated, self.delegated_to, self.delegated_from)
        return said if any(said) else ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """One VALARM trigger: `offset` from the start or the end, or an absolute instant (section 3.8.6.3)."""

    offset: timedelta = timedelta()
    from_end: bool = False
    at: datetime | None = None


PRIVATE_TOPIC = "Private meeting"
"""What a private event is called before people."""

LONGEST_LEAD = timedelta(days=28)
"""Nobody is reminded of a meeting longer before; programs write years for never (RFC 9074 section 8)."""


@dataclass(frozen=True, slots=True)
class Link:
    """An ATTACH by URI, as written in the calendar; what is not known is None."""

    uri: str
    name: str | None = None
    size_bytes: int | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Inline:
    """An ATTACH with its bytes in the calendar; `data` is None when they could not be decoded."""

    data: bytes | None
    name: str | None = None
    media_type: str | None = None


Attach: TypeAlias = Link | Inline


class Authority(IntEnum):
    """Whose copy of a meeting it is, the weakest word first."""

    NOBODY = 0  # it names neither an organizer nor attendees, as an export of free and busy times
    GUEST = 1  # anybody's
    CLAIMED = 2  # the calendar says of itself that it is the organizer's (X-WR-CALNAME, X-OWNER)
    ORGANIZER = 3  # the administrator said that it is the organizer's (`owner`, the name of the file)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One instance of a VEVENT with everything that the mapper may use.

    `zone` is the IANA name in which whole days are meant, or the TZID of the start.
    `places` are names that stand beside LOCATION, in VLOCATION and VRESOURCE; no room is taken from them.
    `authority` says whose copy it is, `copy_organizer` are the addresses of the organizer that the copy
    names anywhere, `document` is where it stands.
    `explicit`: a component of its own says this date, and not the rule of a series.
    `by_method`: its VCALENDAR is a cancellation (METHOD:CANCEL).
    `uninvites`: a cancellation for some of the guests; it does not say that the meeting is off.
    `from_feed`: syncd published it, so it says what is booked and asks for nothing.
    `contested`: another copy in its source has the event at other times, and no revision tells the newer one.
    `fingerprint` identifies what the calendar says, without what changes without meaning.
    """

    key: OccurrenceKey
    source: str
    when: When
    line: int
    summary: str = ""
    description: str = ""
    location: str = ""
    joining_link: str = ""
    organizer: Person | None = None
    attendees: tuple[Attendee, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    attachments: tuple[Attach, ...] = ()
    base_url: str = ""
    cancelled: bool = False
    tentative: bool = False
    transparent: bool = False
    private: bool = False
    zone: str = "UTC"
    sequence: int = 0
    last_modified: datetime | None = None
    created: datetime | None = None
    authority: Authority = Authority.GUEST
    copy_organizer: tuple[str, ...] = ()
    document: str = ""
    explicit: bool = False
    by_method: bool = False
    uninvites: bool = False
    from_feed: bool = False
    contested: bool = False
    places: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Return the identity of the content, equal for readings that say the same about the meeting."""
        said: list[object] = [
            (f.name, getattr(self, f.name))
            for f in fields(self)
            if f.name not in _NO_CONTENT
        ]
        said += [
            attendee.delegation for attendee in self.attendees if attendee.delegation
        ]
        text = repr(said)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


_NO_CONTENT = {
    "places",
    "source",
    "line",
    "sequence",
    "last_modified",
    "created",
    "authority",
    "copy_organizer",
    "document",
    "explicit",
    "by_method",
    "uninvites",
    "from_feed",
    "contested",
    "notes",
}
"""What two copies of a meeting may differ in that say the same about it."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Something in a calendar that cannot be understood; its UID is quarantined.

    `line` counts from 1 within `document`; `uid` is empty when the component has none.
    `about` is the name that nobody knows, of a time zone.
    `topic` is what the event is called as far as that can be read, `fingerprint` tells its text from others.
    """

    uid: str
    line: int
    reason: Reason
    detail: str
    document: str = ""
    topic: str = field(default="", repr=False)  # a text of somebody
    fingerprint: str = ""
    about: str = field(default="", repr=False)


def count_quarantined(defects: Iterable[Defect]) -> int:
    """Return how many events have these defects; one event may have several."""
    return len({(defect.document, defect.uid, defect.line) for defect in defects})


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at: occurrences that end after `start` and begin before `end` are booked.

    Between `end` and `reach` occurrences are read, so that a booked meeting that moves there is found,
    but none is booked anew.
    """

    start: datetime
    end: datetime
    reach: datetime

    @classmethod
    def ahead(cls, now: datetime, horizon: timedelta) -> Window:
        """Return the window of a cycle that starts at `now`."""
        require_aware(now, "now")
        return cls(
            start=now, end=now + horizon, reach=now + horizon + timedelta(days=7)
        )


class Presence(StrEnum):
    """How a UID stands in a reading."""

    SERIES = "series"  # a master, or an event that does not recur: it speaks for all its dates
    DETACHED = (
        "detached"  # overrides only (invited to single dates): each speaks for itself
    )
    QUARANTINED = "quarantined"  # there, and not understood: nothing follows from it


@dataclass(frozen=True, slots=True)
class Missing:
    """A file of a directory that is gone, and what it held when it was last read.

    `away` is how long it was missed when the directory was looked at last.
    `alone`: it held one event only. `holds` tells whether it held one with a UID that may matter still.
    """

    document: str
    away: timedelta
    alone: bool
    holds: Callable[[str], bool] = field(repr=False)

    def is_awaited(self, grace: timedelta) -> bool:
        """Tell whether it is gone for so short a time that it may be written anew (`safety.file_grace`)."""
        return self.away < grace


@dataclass(frozen=True, slots=True)
class Reading:
    """What one source said at `at`.

    `error` is None for a complete reading.
    With an error, `occurrences` may still hold what whole documents of the source said (a directory with
    one broken file), but absence proves nothing.
    `digest` identifies the bytes that were read.
    `refresh_after` is how long the calendars ask to be left alone, if they say so.
    `postponed` are UIDs that are there and were not looked at, because others took too much: nothing follows
    from them now.
    `missing` are the files that stood there before and are gone.
    """

    source: str
    at: datetime
    window: Window
    digest: str
    occurrences: tuple[Occurrence, ...] = ()
    presence: Mapping[str, Presence] = field(default_factory=dict)
    defects: tuple[Defect, ...] = ()
    notes: tuple[Note, ...] = ()
    error: str | None = None
    readable: bool = True
    documents: int = 0
    events: int = 0
    refresh_after: timedelta | None = None
    postponed: frozenset[str] = frozenset()
    missing: tuple[Missing, ...] = ()

    def __post_init__(self) -> None:
        require_aware(self.at, "at")

    @property
    def complete(self) -> bool:
        """Return whether absence in this reading means anything."""
        return self.error is None

    @property
    def identity(self) -> str:
        """Return what tells readings of a source apart; one that is looked at twice is one evidence."""
        return self.at.isoformat()

    def missing_with(self, uid: str) -> tuple[Missing, ...]:
        """Return the files that are gone and held an event with this UID."""
        return tuple(missing for missing in self.missing if missing.holds(uid))

    @classmethod
    def unreadable(
        cls, source: str, at: datetime, window: Window, error: str
    ) -> Reading:
        """Return a reading that failed, which carries no evidence at all."""
        return cls(
            source=source, at=at, window=window, digest="", error=error, readable=False
        )


def extent_of(occurrence: Occurrence) -> Timespan:
    """Return roughly when an occurrence is, whatever its kind, for lists and the horizon."""
    match occurrence.when:
        case Timespan() as span:
            return span
        case Moment(start=start):
            return Timespan(start, start + timedelta(seconds=1))
        case Days(start=first, end=last):
            zone = ZoneInfo(occurrence.zone)
            begins = datetime.combine(first, time(), zone).astimezone(UTC)
            return Timespan(
                begins, datetime.combine(last, time(), zone).astimezone(UTC)
            )
        case _:
            assert_never(occurrence.when)


def recurrence_id_of(original_start: datetime | date) -> str:
    """Return the canonical text of an original start: UTC for instants, the date for whole days."""
    if isinstance(original_start, datetime):
        require_aware(original_start, "original start")
        return original_start.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return original_start.strftime("%Y%m%d")
