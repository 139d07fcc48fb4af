"""The names of rooms and people that calendars use, with how many meetings use each.

Counted are the meetings of the next days that would be booked; private ones are left out, since what is found
here is shown to whoever sets syncd up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from syncd.core.mapper import Mapped, Skipped
from syncd.core.occurrence import Attendee, Occurrence, Person
from syncd.core.reasons import Reason
from syncd.core.rooms import RoomRule, Rooms, is_place, parts_of, without_delegators
from syncd.core.text import fold_name, fold_space
from syncd.reconciler import Calendars

_LONGEST = 200


@dataclass(slots=True)
class Named:
    """A name of something in calendars: as it is written most often, how many meetings, and one of them."""

    address: str = ""
    count: int = 0
    example: str = ""
    spellings: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        """Return the name as it is written most often; empty if it has none."""
        if not self.spellings:
            return ""
        return self.spellings.most_common(1)[0][0]

    def add(self, spelling: str, example: str) -> None:
        """Count a meeting that says it so."""
        self.count += 1
        self.example = self.example or example
        if spelling:
            self.spellings[spelling] += 1


@dataclass(frozen=True, slots=True)
class CalendarNames:
    """What calendars name that the configuration does not know, most frequent first.

    `meetings` is how many were looked at, `private` how many of these were left out for that.
    `places` are texts of LOCATION, `devices` rooms and resources that are invited, `placeless` texts of
    LOCATION that are no place, `people` guests and organizers.
    """

    places: tuple[Named, ...]
    devices: tuple[Named, ...]
    placeless: tuple[Named, ...]
    people: tuple[Named, ...]
    meetings: int
    private: int


class _Gatherer:
    """The working state of `names_in`."""

    def __init__(self, rooms: Rooms, known_people: frozenset[str]) -> None:
        self._rooms = rooms
        self._known = known_people
        self.places: dict[str, Named] = {}
        self.devices: dict[str, Named] = {}
        self.placeless: dict[str, Named] = {}
        self.people: dict[str, Named] = {}

    def take(self, occurrence: Occurrence) -> None:
        """Count what one meeting names, each name once."""
        example = fold_space(occurrence.summary)
        people: dict[str, Person] = {}
        has_room = False
        if occurrence.organizer is not None:
            people |= _by_name(occurrence.organizer)
        for attendee in without_delegators(occurrence.attendees):
            if self._rooms.of_attendee(attendee) is not None:
                has_room = has_room or not attendee.declined
            elif attendee.is_resource:
                self._device(attendee, example)
            else:
                people |= _by_name(attendee.person)
        for name, person in people.items():
            if not self._known.intersection(person.addresses):
                self._count(self.people, name, person, example)
        # Where a room is invited, LOCATION decides nothing.
        if not has_room:
            self._location(occurrence.location, example)

    def _device(self, attendee: Attendee, example: str) -> None:
        for name, person in _by_name(attendee.person).items():
            self._count(self.devices, name, person, example)

    def _count(
        self, into: dict[str, Named], name: str, person: Person, example: str
    ) -> None:
        address = person.addresses[0] if person.addresses else ""
        named = into.setdefault(name, Named(address))
        named.add(fold_space(person.name), example)

    def _location(self, location: str, example: str) -> None:
        shown = _place_in(location)[:_LONGEST]
        if not shown or self._rooms.knows(location):
            return
        into = self.places if is_place(location) else self.placeless
        into.setdefault(fold_name(shown), Named()).add(shown, example)


def _place_in(location: str) -> str:
    """Return the one part of a LOCATION that is a place, where the others are links and such; else all."""
    _, *parts = parts_of(location) or ("",)
    places = [part for part in parts if is_place(part)]
    return places[0] if len(places) == 1 else fold_space(location)


def names_in(
    calendars: Calendars, rooms: Iterable[RoomRule], known_people: Iterable[str]
) -> CalendarNames:
    """Return what the calendars name that these rooms and addresses do not cover."""
    gatherer = _Gatherer(Rooms(tuple(rooms)), frozenset(known_people))
    counted = private = 0
    for occurrence in _coming(calendars):
        counted += 1
        if occurrence.private:
            private += 1
        else:
            gatherer.take(occurrence)
    return CalendarNames(
        places=_most_frequent(gatherer.places),
        devices=_most_frequent(gatherer.devices),
        placeless=_most_frequent(gatherer.placeless),
        people=_most_frequent(gatherer.people),
        meetings=counted,
        private=private,
    )


def _coming(calendars: Calendars) -> Iterator[Occurrence]:
    """Yield the occurrences that are booked, or would be if they had a room."""
    desired = calendars.desired
    for seen in desired.witnessed:
        occurrence = seen.occurrence
        if occurrence.cancelled:
            continue
        if _is_bookable(desired.mapped[occurrence.key]):
            yield occurrence


def _is_bookable(mapped: Mapped) -> bool:
    return not isinstance(mapped, Skipped) or mapped.reason is Reason.ROOMLESS


def _by_name(person: Person) -> dict[str, Person]:
    """Return a person by its first address, else by its name; nothing if it has neither."""
    if person.addresses:
        return {person.addresses[0]: person}
    name = fold_name(person.name)
    return {name: person} if name else {}


def _most_frequent(named: dict[str, Named]) -> tuple[Named, ...]:
    ordered = sorted(named.values(), key=lambda n: (-n.count, n.text, n.address))
    return tuple(ordered)
