"""`/room/ID`: seven days of a room, as a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from syncd.core.booking import Booking
from syncd.views.agenda import DayAgenda
from syncd.views.catalogue import phrase
from syncd.views.choice import Day
from syncd.views.documents import booking_document
from syncd.web.answers import NotThere
from syncd.web.asked import Asked
from syncd.web.day_page import day_of, room_names, today_of
from syncd.web.timeline import ShownMeeting, meetings_of, under_each_other

_DAYS = 7


@dataclass(frozen=True, slots=True)
class RoomDay:
    """The meetings of a room on a day, each that is only wanted behind the one in its way."""

    day: Day
    meetings: tuple[ShownMeeting, ...]
    is_today: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomPage:
    """Seven days of a room; `before` and `after` are where the seven days around them begin."""

    room_id: str
    name: str
    days: tuple[RoomDay, ...]
    before: date
    after: date


def show_room(asked: Asked) -> RoomPage:
    """Return the meetings of a room on each of seven days; raises `NotThere` for an unknown room."""
    room = _room(asked)
    today = today_of(asked)
    days: list[RoomDay] = []
    for day in _days(asked):
        bookings = asked.ledger.timetable.between(day.start, day.end, {room})
        meetings = under_each_other(meetings_of(bookings, day))
        days.append(RoomDay(day, tuple(meetings), day.date == today))
    first = days[0].day.date
    week = timedelta(days=_DAYS)
    return RoomPage(
        room_id=room,
        name=room_names(asked).get(room, room),
        days=tuple(days),
        before=first - week,
        after=first + week,
    )


def room_document_of(asked: Asked) -> Mapping[str, object]:
    """Return what `agenda --json` says, of seven days from `day` on."""
    room = _room(asked)
    names = room_names(asked)
    days: list[DayAgenda] = []
    for day in _days(asked):
        bookings = asked.ledger.timetable.between(day.start, day.end, {room})
        days.append(DayAgenda.of(bookings, day, names))
    booked = _each_once(one for day in days for one in day.booked)
    wanted = _each_once(one for day in days for one in day.wanted)
    return {
        "day": days[0].day.date.isoformat(),
        "days": len(days),
        "bookings": [booking_document(booking) for booking in booked],
        "not_booked": [booking_document(booking) for booking in wanted],
    }


def _room(asked: Asked) -> str:
    room = asked.parameters["room"]
    if room not in room_names(asked) and not asked.ledger.timetable.has_room(room):
        raise NotThere(phrase("error.room", room=room))
    return room


def _days(asked: Asked) -> list[Day]:
    """Return seven days from the one that is asked for, or from today."""
    said = asked.query.get("day")
    first = today_of(asked) if said is None else day_of(said, asked).date
    return [Day(first + timedelta(days=number), asked.zone) for number in range(_DAYS)]


def _each_once(bookings: Iterable[Booking]) -> Iterable[Booking]:
    """Return each booking once, also one that goes on over several days."""
    return {booking.row: booking for booking in bookings}.values()
