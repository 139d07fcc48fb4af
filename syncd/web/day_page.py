"""`/day/2026-12-01`: the timeline of a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from syncd.views.agenda import DayAgenda
from syncd.views.catalogue import counted, phrase
from syncd.views.choice import Day
from syncd.views.state_words import StateWord
from syncd.web.answers import NotThere, NotUnderstood
from syncd.web.asked import Asked
from syncd.web.states import LEGEND, LegendEntry
from syncd.web.timeline import ShownMeeting, Timeline, meetings_of

ROOMS_AT_ONCE = 50
_DAYS = 7


@dataclass(frozen=True, slots=True)
class DayLink:
    """A day to go to; `is_shown` is the one that is shown."""

    date: date
    is_shown: bool


@dataclass(frozen=True, slots=True)
class RoomsLink:
    """Some of the rooms of a day to go to, by their numbers from 1; `page` counts them in fifties."""

    page: int
    first: int
    last: int
    is_shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPage:
    """The timeline of a day with the way to others; `told` counts the meetings of all rooms, in words.

    `rooms` leads to the others where there are more than fit; `total` counts them.
    """

    timeline: Timeline
    days: tuple[DayLink, ...]
    rooms: tuple[RoomsLink, ...]
    total: int
    told: str
    legend: tuple[LegendEntry, ...] = LEGEND

    @property
    def date(self) -> date:
        """Return the day."""
        return self.timeline.day.date

    @property
    def first(self) -> int:
        """Return the number of the first room that is shown, from 1."""
        return next((one.first for one in self.rooms if one.is_shown), 1)

    @property
    def last(self) -> int:
        """Return the number of the last room that is shown."""
        return next((one.last for one in self.rooms if one.is_shown), self.total)

    @property
    def is_empty(self) -> bool:
        """Return whether there is neither a room nor a meeting."""
        return not self.timeline.rooms


def show_day(asked: Asked) -> DayPage:
    """Return the day that is asked for; raises `NotUnderstood` for none."""
    day = day_of(asked.parameters["day"], asked)
    return day_page(asked, day, links_from=day.date - timedelta(days=1))


def day_page(asked: Asked, day: Day, *, links_from: date) -> DayPage:
    """Return a day, with links to seven days from a date; raises `NotThere` for rooms that there are not."""
    bookings = asked.ledger.timetable.between(day.start, day.end)
    meetings = meetings_of(bookings, day)
    rooms = _rooms(asked, meetings)
    page = _rooms_page(asked, len(rooms))
    first = (page - 1) * ROOMS_AT_ONCE
    timeline = Timeline.of(
        day,
        rooms[first : first + ROOMS_AT_ONCE],
        meetings,
        working=asked.config.calendar.working_hours,
        now=asked.now,
    )
    return DayPage(
        timeline=timeline,
        days=tuple(_day_links(links_from, day.date)),
        rooms=tuple(_rooms_links(len(rooms), page)),
        total=len(rooms),
        told=", ".join(_counts_told(meetings)),
    )


_TOLD_APART = {
    StateWord.APPROVAL: "approval",
    StateWord.DOUBT: "doubt",
    StateWord.VANISHED: "vanished",
}
"""The states that are neither booked nor not booked, by the sentence that counts them."""


def _counts_told(meetings: Iterable[ShownMeeting]) -> Iterator[str]:
    """Yield how many meetings are booked, how many are not, and how many are neither, in words."""
    counts: Counter[str] = Counter()
    held = 0
    for one in meetings:
        otherwise = "booked" if one.is_there else "unbooked"
        counts[_TOLD_APART.get(one.standing, otherwise)] += 1
        held += one.standing is StateWord.HELD
    booked = counts["booked"]
    told = counted("day.booked", booked) if booked else phrase("day.booked_none")
    yield told + (counted("day.held", held) if held else "")
    for standing in (*_TOLD_APART.values(), "unbooked"):
        if counts[standing]:
            yield counted(f"day.{standing}", counts[standing])


def day_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `agenda --json`."""
    day = day_of(asked.parameters["day"], asked)
    bookings = asked.ledger.timetable.between(day.start, day.end)
    return DayAgenda.of(bookings, day, room_names(asked)).document()


def day_of(said: str, asked: Asked) -> Day:
    """Return the day that an address names; raises `NotUnderstood`."""
    try:
        day = date.fromisoformat(said)
        # The first and the last days that there are have no neighbours.
        day - timedelta(days=_DAYS)
        day + timedelta(days=2 * _DAYS)
    except (ValueError, OverflowError):
        today = today_of(asked)
        raise NotUnderstood(
            phrase("error.day", said=said, example=today),
            (f"/day/{today}", phrase("nav.day")),
        ) from None
    return Day(day, asked.zone)


def today_of(asked: Asked) -> date:
    """Return the date of now in the zone of all that a person reads."""
    return asked.now.astimezone(asked.zone).date()


def room_names(asked: Asked) -> dict[str, str]:
    """Return the names of the configured rooms, by id."""
    return {room.id: room.name or room.id for room in asked.config.rooms}


def _rooms(
    asked: Asked, meetings: Iterable[ShownMeeting]
) -> Sequence[tuple[str | None, str]]:
    """Return the rooms by name, as the agenda does: all configured ones, and where else anything is booked."""
    names = room_names(asked)
    for one in meetings:
        if one.room_id is not None:
            names.setdefault(one.room_id, one.room_id)
    by_name = sorted(names.items(), key=lambda room: (room[1], room[0]))
    rooms: list[tuple[str | None, str]] = list(by_name)
    if any(one.room_id is None for one in meetings):
        rooms.append((None, phrase("day.no_room")))
    return rooms


def _rooms_page(asked: Asked, total: int) -> int:
    """Return which fifty rooms are asked for, from 1."""
    said = asked.query.get("rooms", "1")
    last = max(1, -(-total // ROOMS_AT_ONCE))
    if said.isascii() and said.isdecimal() and 1 <= int(said[:9]) <= last:
        return int(said)
    raise NotThere(phrase("error.page", page=said))


def _rooms_links(total: int, shown: int) -> Iterator[RoomsLink]:
    """Yield the fifties of rooms, if there are several."""
    if total <= ROOMS_AT_ONCE:
        return
    for start in range(0, total, ROOMS_AT_ONCE):
        page = start // ROOMS_AT_ONCE + 1
        last = min(start + ROOMS_AT_ONCE, total)
        yield RoomsLink(page, start + 1, last, page == shown)


def _day_links(first: date, shown: date) -> Iterator[DayLink]:
    for number in range(_DAYS):
        day = first + timedelta(days=number)
        yield DayLink(day, day == shown)
