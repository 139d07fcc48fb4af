"""`/room/ID`: seven days of a room, as a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from syncd.core.booking import Booking
from syncd.views.agenda import DayAgenda
from syncd.views.choice import Day
from syncd.views.documents import booking_document
from syncd.web.answers import NotThere
from syncd.web.asked import Asked

_DAYS = 7


def show_room(asked: Asked) -> tuple[DayAgenda, ...]:
    """Return the meetings of a room on each of seven days; raises `NotThere` for an unknown room."""
    room = asked.parameters["room"]
    names = {room.id: room.name or room.id for room in asked.config.rooms}
    timetable = asked.ledger.timetable
    if room not in names and not timetable.has_room(room):
        raise NotThere(f"There is no room {room}.")
    today = asked.now.astimezone(asked.zone).date()
    days: list[DayAgenda] = []
    for number in range(_DAYS):
        day = Day(today + timedelta(days=number), asked.zone)
        bookings = timetable.between(day.start, day.end, {room})
        days.append(DayAgenda.of(bookings, day, names))
    return tuple(days)


def room_document_of(asked: Asked) -> Mapping[str, object]:
    """Return what `agenda --json` says, of seven days from `day` on."""
    days = show_room(asked)
    booked = _each_once(one for day in days for one in day.booked)
    wanted = _each_once(one for day in days for one in day.wanted)
    return {
        "day": days[0].day.date.isoformat(),
        "days": len(days),
        "bookings": [booking_document(booking) for booking in booked],
        "not_booked": [booking_document(booking) for booking in wanted],
    }


def _each_once(bookings: Iterable[Booking]) -> Iterable[Booking]:
    """Return each booking once, also one that goes on over several days."""
    return {booking.row: booking for booking in bookings}.values()
