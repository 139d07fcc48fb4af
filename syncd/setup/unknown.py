"""Who and what in the calendars the configuration does not know, with the line that would tell it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from syncd.config import Room
from syncd.core.occurrence import Defect
from syncd.core.reasons import Reason
from syncd.core.rooms import parts_of
from syncd.setup.calendar_names import CalendarNames, Named
from syncd.setup.likeness import likeness
from syncd.views.toml import toml_text, toml_value

_LEAST_LIKENESS = 60.0  # below this a name is not offered
_EXPRESSION = "re:"  # what begins so is read as an expression


@dataclass(frozen=True, slots=True)
class UnknownPerson:
    """Somebody without a user id: how many meetings name the address, and one of these."""

    address: str
    name: str
    count: int
    example: str

    @property
    def line(self) -> str:
        """Return the line of `[people.addresses]`, in which the user id is to be filled in."""
        return f'{toml_text(self.address)} = ""'


@dataclass(frozen=True, slots=True)
class UnknownRoom:
    """A place that is no room of the configuration; `nearest` is the known name that is likest, or empty.

    `address` is that of a room that is invited; it is empty for a LOCATION.
    `line` is that of a table of `[[rooms]]`, that of the nearest room if there is one.
    """

    text: str
    count: int
    nearest: str
    example: str
    line: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class UnknownZoneName:
    """A TZID that nobody knows: how many events cannot be understood because of it, and one of them."""

    name: str
    count: int
    example: str

    @property
    def line(self) -> str:
        """Return the line of `[calendar.timezones]`, in which the zone is to be filled in."""
        return f'{toml_text(self.name)} = ""'


@dataclass(frozen=True, slots=True)
class Unknown:
    """All that the configuration does not know of what its calendars name, most frequent first."""

    people: tuple[UnknownPerson, ...]
    rooms: tuple[UnknownRoom, ...]
    zones: tuple[UnknownZoneName, ...]

    @classmethod
    def of(
        cls,
        names: CalendarNames,
        defects: Iterable[tuple[str, Defect]],
        rooms: Sequence[Room],
        known_people: Collection[str],
    ) -> Unknown:
        """Return what is unknown of these names and defects; `known_people` are addresses of users."""
        nameable = _Nameable(rooms)
        places = map(nameable.place, names.places)
        devices = map(nameable.device, names.devices)
        unknown_rooms = sorted((*places, *devices), key=lambda room: -room.count)
        people = [
            UnknownPerson(one.address, one.text, one.count, one.example)
            for one in names.people
            if one.address and one.address not in known_people
        ]
        return cls(tuple(people), tuple(unknown_rooms), tuple(_zones_of(defects)))


def _zones_of(defects: Iterable[tuple[str, Defect]]) -> Iterator[UnknownZoneName]:
    """Yield the zones that nobody knows, most frequent first; an event with several defects counts once."""
    events: dict[str, dict[tuple[str, str, int], str]] = {}
    for source, defect in defects:
        if defect.reason is Reason.UNKNOWN_TIMEZONE and defect.about:
            line = 0 if defect.uid else defect.line
            same = events.setdefault(defect.about, {})
            same.setdefault((source, defect.uid, line), defect.topic)
    for name, topics in sorted(events.items(), key=lambda item: -len(item[1])):
        example = next(filter(None, topics.values()), "")
        yield UnknownZoneName(name, len(topics), example)


class _Nameable:
    """The rooms of a configuration, to which names may be added."""

    def __init__(self, rooms: Sequence[Room]) -> None:
        self._names: list[tuple[str, Room]] = []
        for room in rooms:
            self._names += [(name, room) for name in room.written]

    def place(self, named: Named) -> UnknownRoom:
        """Return a LOCATION with the name that it is likest to."""
        nearest, room = self._nearest(named.text)
        text = named.text
        if text.startswith(_EXPRESSION):
            text = f"{_EXPRESSION}^{re.escape(text)}$"
        known = room.locations if room else ()
        line = f"locations = {toml_value([*known, text])}"
        return UnknownRoom(named.text, named.count, nearest, named.example, line)

    def device(self, named: Named) -> UnknownRoom:
        """Return a room that is invited, with the name that it is likest to."""
        text = named.text or named.address
        nearest, room = self._nearest(text)
        if named.address:
            known = room.addresses if room else ()
            line = f"addresses = {toml_value([*known, named.address])}"
        else:
            known = room.locations if room else ()
            line = f"locations = {toml_value([*known, text])}"
        return UnknownRoom(
            text, named.count, nearest, named.example, line, named.address
        )

    def _nearest(self, text: str) -> tuple[str, Room | None]:
        """Return the known name that a text, or a part of it, is likest to, and its room."""
        best = _LEAST_LIKENESS
        nearest = ""
        found: Room | None = None
        for part in parts_of(text):
            for name, room in self._names:
                score = likeness(part, name)
                if score is not None and score > best:
                    best, nearest, found = score, name, room
        return nearest, found
