"""Calendars for measuring: the archive of an office, of any size, the same for the same seed.

Of the VEVENTs 13.9 % are series, 6.7 % replace one date of a series, the others are single; each has about
1.5 kB, as calendars of offices have.
They lie between five years ago and a year ahead, and no two in one room overlap, so that all can be booked.
An `Edit` changes exactly what it says: what is written comes from the numbers of the events, never from
parsing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TextIO

BEHIND, AHEAD = timedelta(days=1826), timedelta(days=365)
"""How far the archive reaches from the present."""

_SERIES, _OVERRIDES = 0.139, 0.067  # of all VEVENTs
_MORE_TIME = timedelta(minutes=15)  # that an edit gives an event
_LATER = timedelta(minutes=30)  # by which an override begins later than its series
# At which meetings begin; none lasts, moved and edited, as long as two hours.
_HOURS = (
    8,
    10,
    12,
    14,
    16,
)
# A place is one hour of one room, over all the years.
_SINGLES_IN_A_PLACE, _SERIES_IN_A_PLACE = (
    250,
    5,
)
_PEOPLE = 400
_HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//syncd//benchmark//EN\r\n"
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def _zone(name: str, *observances: str) -> str:
    lines = ["BEGIN:VTIMEZONE", f"TZID:{name}", *observances, "END:VTIMEZONE"]
    return "\r\n".join(lines)


def _observance(kind: str, start: str, before: str, after: str, rule: str = "") -> str:
    lines = [
        f"BEGIN:{kind}",
        f"DTSTART:{start}",
        f"TZOFFSETFROM:{before}",
        f"TZOFFSETTO:{after}",
    ]
    return "\r\n".join(
        [*lines, *([f"RRULE:FREQ=YEARLY;{rule}"] if rule else []), f"END:{kind}"]
    )


_OF_EUROPE = {"DAYLIGHT": "BYMONTH=3;BYDAY=-1SU", "STANDARD": "BYMONTH=10;BYDAY=-1SU"}

# Name and definition.
_ZONES = (
    (
        "Europe/Berlin",
        _zone(
            "Europe/Berlin",
            _observance(
                "DAYLIGHT", "19810329T020000", "+0100", "+0200", _OF_EUROPE["DAYLIGHT"]
            ),
            _observance(
                "STANDARD", "19961027T030000", "+0200", "+0100", _OF_EUROPE["STANDARD"]
            ),
        ),
    ),
    (
        "Europe/London",
        _zone(
            "Europe/London",
            _observance(
                "DAYLIGHT", "19810329T010000", "+0000", "+0100", _OF_EUROPE["DAYLIGHT"]
            ),
            _observance(
                "STANDARD", "19961027T020000", "+0100", "+0000", _OF_EUROPE["STANDARD"]
            ),
        ),
    ),
    (
        "America/New_York",
        _zone(
            "America/New_York",
            _observance(
                "DAYLIGHT", "20070311T020000", "-0500", "-0400", "BYMONTH=3;BYDAY=2SU"
            ),
            _observance(
                "STANDARD", "20071104T020000", "-0400", "-0500", "BYMONTH=11;BYDAY=1SU"
            ),
        ),
    ),
    (
        "Asia/Kolkata",
        _zone(
            "Asia/Kolkata", _observance("STANDARD", "19700101T000000", "+0530", "+0530")
        ),
    ),
    (
        "W. Europe Standard Time",  # as Outlook writes it
        _zone(
            "W. Europe Standard Time",
            _observance(
                "STANDARD", "16010101T030000", "+0200", "+0100", "BYDAY=-1SU;BYMONTH=10"
            ),
            _observance(
                "DAYLIGHT", "16010101T020000", "+0100", "+0200", "BYDAY=-1SU;BYMONTH=3"
            ),
        ),
    ),
)

_FIRST_NAMES = "Anna Bjørn Chloé Dmitrij Élise Farid Grażyna Hélène Ingrid José Käthe Łukasz Müge Noël"
_LAST_NAMES = (
    "Åberg Brandão Çelik Dvořák Eriksson Fürst García Høyer Jančar Kővári Meißner Nuñez"
)
_SUBJECTS = (
    "agenda budget Bericht café Entwurf forecast für Größe hiring invoice Jour fixe kick-off launch margin "
    "négociation offer Präsentation quarter review Straße supplier target Übergabe vendor workshop 会议 план"
)
_WORDS = _SUBJECTS.split()


def fold(line: str) -> str:
    """A content line in parts of at most 75 octets, none of which ends inside a character (RFC 5545 3.1)."""
    if line.isascii():
        return "\r\n ".join(
            [line[:75], *(line[at : at + 74] for at in range(75, len(line), 74))]
        )
    parts: list[str] = []
    part, octets = "", 0
    for character in line:
        size = len(character.encode())
        if octets + size > 75:
            parts.append(part)
            part, octets = "", 1
        part, octets = part + character, octets + size
    return "\r\n ".join([*parts, part])


class Room(NamedTuple):
    """A room of the office."""

    id: str
    address: str
    name: str


class Person(NamedTuple):
    """Somebody who is invited."""

    user_id: str
    address: str
    name: str


def _person(number: int) -> Person:
    first_names, last_names = _FIRST_NAMES.split(), _LAST_NAMES.split()
    name = f"{first_names[number % len(first_names)]} {last_names[number // 7 % len(last_names)]}"
    return Person(str(1000 + number), f"first.last.{number}@example.com", name)


PEOPLE: tuple[Person, ...] = tuple(_person(number) for number in range(_PEOPLE))
"""All whom an archive invites."""


@dataclass(frozen=True)
class Edit:
    """What is different from the archive as it is.

    `changed` are numbers of events with another summary that end a quarter of an hour later.
    With `restamped` every DTSTAMP is another; with `shuffled` the events stand in another order; `title` is
    the name of the calendar in its header.
    """

    changed: frozenset[int] = frozenset()
    restamped: bool = False
    shuffled: bool = False
    title: str = "Office"


AS_IT_IS = Edit()


class _Times(NamedTuple):
    """When an event takes place, in the time of its room: a single one once, a series by its rule.

    `original` is the date of a series that is replaced, if one is, `without` those that are left out.
    """

    start: datetime
    length: timedelta
    rule: str = ""
    original: datetime = datetime.min  # noqa: DTZ901  # of no series
    without: tuple[datetime, ...] = ()
    lasts: timedelta = timedelta()  # from the first date of a series to its last one


@dataclass(frozen=True)
class Archive:
    """So many VEVENTs around the moment `now`; `name` tells the archives of one office apart."""

    events: int
    now: datetime
    seed: int = 1
    name: str = "main"

    @property
    def series(self) -> int:
        """How many recur: the events with the lowest numbers."""
        return round(self.events * _SERIES)

    @property
    def overrides(self) -> int:
        """How many replace a date of a series: the events that follow on them."""
        return round(self.events * _OVERRIDES)

    @property
    def singles(self) -> int:
        """How many take place once: all others."""
        return self.events - self.series - self.overrides

    @cached_property
    def rooms(self) -> tuple[Room, ...]:
        """The rooms in which all this takes place."""
        count = -(-(self._places_of_series + self._places_of_singles) // len(_HOURS))
        return tuple(
            Room(
                f"{self.name}-{n}",
                f"room-{n}.{self.name}@example.com",
                f"Room {self.name} {n}",
            )
            for n in range(count)
        )

    def coming(self, days: int = 30) -> list[int]:
        """Numbers of the single events of the coming days, soonest first."""
        first, last = self.now.date(), self.now.date() + timedelta(days)
        found = [
            (self._single(n).start, n)
            for n in range(self.series + self.overrides, self.events)
        ]
        return [n for start, n in sorted(found) if first < start.date() < last]

    @cached_property
    def _spans(self) -> list[tuple[datetime, datetime]]:
        """The first and the last day of each event; of an override those of its series."""
        spans: list[tuple[datetime, datetime]] = []
        for number in range(self.events):
            owner = number - self.series if self._is_override(number) else number
            times = self._times(owner)
            begins = times.start.replace(tzinfo=self.now.tzinfo)
            spans.append((begins, begins + times.lasts))
        return spans

    def between(self, first: datetime, last: datetime) -> list[int]:
        """Numbers of the events that take place between two moments, overrides beside their series."""
        return [
            number
            for number, (begins, ends) in enumerate(self._spans)
            if begins <= last and ends >= first
        ]

    def head(self) -> str:
        """What stands before the events."""
        zones = "".join(f"{definition}\r\n" for _, definition in _ZONES)
        return f"{_HEAD}X-WR-CALNAME:{AS_IT_IS.title}\r\n{zones}"

    def vevent(self, number: int, *, changed: bool = False) -> str:
        """One VEVENT, as it is or with another summary and a later end."""
        stamp = self.now - timedelta(days=1)
        before, after = self._event(number, changed=changed)
        return f"{before}DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}\r\n{after}"

    def write(self, path: Path, edit: Edit = AS_IT_IS) -> None:
        """Write the calendar to a file."""
        self.write_versions({path: edit})

    def write_versions(self, versions: Mapping[Path, Edit]) -> None:
        """Write several versions at once, which takes hardly longer than one."""
        for shuffled in {edit.shuffled for edit in versions.values()}:
            with ExitStack() as stack:
                files = [
                    (
                        stack.enter_context(
                            path.open("w", encoding="utf-8", newline="")
                        ),
                        edit,
                    )
                    for path, edit in versions.items()
                    if edit.shuffled == shuffled
                ]
                self._write(files, shuffled=shuffled)

    def _write(self, files: Sequence[tuple[TextIO, Edit]], *, shuffled: bool) -> None:
        order = list(range(self.events))
        random.Random(self.seed + shuffled).shuffle(order)
        for file, edit in files:
            file.write(_HEAD)
            file.write(f"X-WR-CALNAME:{edit.title}\r\n")
            file.writelines(f"{definition}\r\n" for _, definition in _ZONES)
        stamps = {False: self.now - timedelta(days=1), True: self.now}
        lines = {
            restamped: f"DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}\r\n"
            for restamped, stamp in stamps.items()
        }
        for number in order:
            before, after = self._event(number, changed=False)
            for file, edit in files:
                if number in edit.changed:
                    changed_before, changed_after = self._event(number, changed=True)
                    file.write(changed_before + lines[edit.restamped] + changed_after)
                else:
                    file.write(before + lines[edit.restamped] + after)
        for file, _ in files:
            file.write("END:VCALENDAR\r\n")

    # One event

    def _event(self, number: int, *, changed: bool) -> tuple[str, str]:
        """The VEVENT, what stands before its DTSTAMP and what stands behind it."""
        owner = number - self.series if self._is_override(number) else number
        times, place = self._times(owner), self._place(owner)
        room = self.rooms[place // len(_HOURS)]
        zone = _ZONES[place // len(_HOURS) % len(_ZONES)][0]
        chance = self._chance(number, "content")
        start = times.start
        lines: list[str] = []
        if self._is_override(number):
            start = times.original + _LATER
            lines.append(f"RECURRENCE-ID;TZID={zone}:{times.original:%Y%m%dT%H%M%S}")
        elif times.rule:
            lines.append(f"RRULE:{times.rule}")
            lines += [
                f"EXDATE;TZID={zone}:{moment:%Y%m%dT%H%M%S}" for moment in times.without
            ]
        end = start + times.length + (_MORE_TIME if changed else timedelta())
        made = self.now - BEHIND - timedelta(minutes=chance.randrange(100_000))
        lines += [
            f"DTSTART;TZID={zone}:{start:%Y%m%dT%H%M%S}",
            f"DTEND;TZID={zone}:{end:%Y%m%dT%H%M%S}",
            f"CREATED:{made:%Y%m%dT%H%M%SZ}",
            f"LAST-MODIFIED:{made + timedelta(days=1):%Y%m%dT%H%M%SZ}",
            f"SEQUENCE:{chance.randrange(4)}",
            f"SUMMARY:{'Changed: ' if changed else ''}{' '.join(chance.sample(_WORDS, 3))} {number}",
            chance.choice(_DESCRIPTIONS),
            f"LOCATION:{room.name}",
            f"ORGANIZER;CN=Office:mailto:{chance.choice(PEOPLE).address}",
            *chance.sample(_INVITED, chance.randrange(2, 8)),
            fold(
                f"ATTENDEE;CUTYPE=ROOM;ROLE=NON-PARTICIPANT;PARTSTAT=ACCEPTED:mailto:{room.address}"
            ),
            fold(
                f"ATTACH;FMTTYPE=application/pdf:https://files.example.com/{self.name}/{number:08}/minutes.pdf"
            ),
            "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Reminder\r\nTRIGGER:-PT15M\r\nEND:VALARM",
        ]
        return f"BEGIN:VEVENT\r\n{self._uid(owner)}\r\n", "\r\n".join(
            lines
        ) + "\r\nEND:VEVENT\r\n"

    def _uid(self, owner: int) -> str:
        if owner % 4:
            return f"UID:{self.seed}-{owner:08}.{self.name}@calendar.example.com"
        # As Outlook makes them: so long that they are folded.
        return fold(
            f"UID:040000008200E00074C5B7101A82E008{self.name.encode().hex().upper():0>32}{owner:048X}"
        )

    def _chance(self, number: int, purpose: str) -> random.Random:
        return random.Random(f"{self.seed} {self.name} {number} {purpose}")

    def _is_override(self, number: int) -> bool:
        return self.series <= number < self.series + self.overrides

    # When and where

    @property
    def _places_of_series(self) -> int:
        return max(1, -(-self.series // _SERIES_IN_A_PLACE))

    @property
    def _places_of_singles(self) -> int:
        return max(1, -(-self.singles // _SINGLES_IN_A_PLACE))

    def _place(self, owner: int) -> int:
        if owner < self.series:
            return owner % self._places_of_series
        return (
            self._places_of_series
            + (owner - self.series - self.overrides) % self._places_of_singles
        )

    def _turn(self, index: int, count: int, places: int) -> tuple[datetime, int]:
        """When the part of all the years begins that is for one event in its place, and its days."""
        days = (BEHIND + AHEAD).days // -(-count // places)
        first = (self.now - BEHIND).replace(
            hour=0, minute=0, second=0, microsecond=0, tzinfo=None
        )
        return first + timedelta(days=days * (index // places)), days

    def _times(self, owner: int) -> _Times:
        return self._recurring(owner) if owner < self.series else self._single(owner)

    def _single(self, owner: int) -> _Times:
        chance = self._chance(owner, "time")
        index = owner - self.series - self.overrides
        first, days = self._turn(index, self.singles, self._places_of_singles)
        return _Times(
            self._begins(owner, first + timedelta(chance.randrange(days - 2))),
            _length(chance),
        )

    def _recurring(self, owner: int) -> _Times:
        chance = self._chance(owner, "time")
        first, days = self._turn(owner, self.series, self._places_of_series)
        lasts = chance.randrange(60, 365)
        start = self._begins(
            owner, first + timedelta(chance.randrange(days - lasts - 2))
        )
        day = _DAYS[start.weekday()]
        step = timedelta(weeks=1)
        how_often = chance.random()
        if how_often < 0.65:
            rule = f"FREQ=WEEKLY;BYDAY={day}"
        elif how_often < 0.75:
            rule, step = f"FREQ=WEEKLY;INTERVAL=2;BYDAY={day}", timedelta(weeks=2)
        elif how_often < 0.77:
            rule = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"
        else:
            week = (start.day - 1) // 7 + 1 if start.day <= 28 else -1
            rule, step = f"FREQ=MONTHLY;BYDAY={week}{day}", timedelta()
        if step and how_often < 0.75 and chance.random() < 0.2:
            rule += f";COUNT={lasts // step.days + 1}"
        else:
            rule += f";UNTIL={start + timedelta(lasts):%Y%m%dT%H%M%SZ}"
        left_out = owner >= self.overrides and step and chance.random() < 0.2
        return _Times(
            start,
            _length(chance),
            rule,
            start + step * chance.randrange(1, 4),
            (start + 2 * step,) if left_out else (),
            timedelta(lasts),
        )

    def _begins(self, owner: int, midnight: datetime) -> datetime:
        """The hour of the place, on that day or the working day after it."""
        weekend = max(0, 7 - midnight.weekday()) if midnight.weekday() > 4 else 0
        return midnight + timedelta(
            days=weekend, hours=_HOURS[self._place(owner) % len(_HOURS)]
        )


def _length(chance: random.Random) -> timedelta:
    return timedelta(minutes=chance.choice((30, 45, 60)))


def _description(chance: random.Random) -> str:
    words = " ".join(chance.choices(_WORDS, k=chance.randrange(6, 38)))
    return fold(
        f"DESCRIPTION:{words}\\nhttps://meet.example.com/{chance.randrange(10**9):09}\\, please join"
    )


_DESCRIPTIONS = tuple(_description(random.Random(number)) for number in range(200))
_INVITED = tuple(
    fold(
        f'ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;RSVP=TRUE;CN="{person.name}"'
        f":mailto:{person.address}"
    )
    for person in PEOPLE
)
