"""What is booked on a day, by room and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from syncd.core.booking import Booking
from syncd.views.choice import (
    Day,
    by_time,
    is_in_the_building,
    is_only_wanted,
)
from syncd.views.documents import booking_document
from syncd.views.rows import Row, SheetColumn, print_rows
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet


@dataclass(frozen=True, slots=True)
class DayAgenda:
    """The meetings of a day by room and time: those that are booked, and those that are only wanted."""

    day: Day
    booked: tuple[Booking, ...]
    wanted: tuple[Booking, ...]

    @classmethod
    def of(
        cls,
        bookings: Iterable[Booking],
        day: Day,
        rooms: Mapping[str, str],
    ) -> DayAgenda:
        """Return what is to be shown of the bookings of a day; `rooms` are the names of rooms by id."""

        def position(booking: Booking) -> tuple[object, ...]:
            room = booking.room_id or ""
            return (not room, rooms.get(room, room), room, *by_time(booking))

        in_order = sorted(bookings, key=position)
        booked = tuple(filter(is_in_the_building, in_order))
        wanted = tuple(filter(is_only_wanted, in_order))
        return cls(day, booked, wanted)

    def document(self) -> dict[str, object]:
        """Return the document of `agenda --json`."""
        return {
            "day": self.day.date.isoformat(),
            "bookings": [booking_document(booking) for booking in self.booked],
            "not_booked": [booking_document(booking) for booking in self.wanted],
        }


_COLUMNS = (
    SheetColumn("time", whole=True),
    SheetColumn("meeting", rest=True),
    SheetColumn("state", whole=True),
)


def print_agenda(sheet: Sheet, agenda: DayAgenda) -> None:
    """Print the meetings of a day, room after room, and those that are not booked."""
    date = agenda.day.date
    sheet.say(f"{date:%a %d %b %Y}, times in {sheet.zone_name}", style="bold")
    if not agenda.booked:
        sheet.say("Nothing is booked.")
    _print_rooms(sheet, agenda.day, agenda.booked)
    if agenda.wanted:
        sheet.say()
        sheet.say("Wanted, and not booked:", style="bold")
        _print_rooms(sheet, agenda.day, agenda.wanted)


def _print_rooms(sheet: Sheet, day: Day, bookings: Iterable[Booking]) -> None:
    rows: list[Row] = []
    for room_id, of_the_room in groupby(bookings, lambda one: one.room_id):
        name = words("Without a room") if room_id is None else sheet.room(room_id)
        name.stylize("bold")
        first, *others = [_row(day, booking) for booking in of_the_room]
        rows += [replace(first, heading=name), *others]
    print_rows(sheet, _COLUMNS, rows, headed=False)


def _row(day: Day, booking: Booking) -> Row:
    state = booking.state.value
    cells = (
        words(hours_told(day, booking)),
        words(booking.spec.topic or booking.key.uid),
        words("" if state == "booked" else state, style=STYLES.get(state, "")),
    )
    sentences: tuple[str, ...] = ()
    if booking.detail and is_only_wanted(booking):
        sentences = (booking.detail,)
    return Row(cells, sentences)


def hours_told(day: Day, booking: Booking) -> str:
    """Return the hours of a meeting on a day; an arrow where it began before or goes on after it."""
    start = booking.spec.start.astimezone(day.zone)
    end = booking.spec.end.astimezone(day.zone)
    began_before = start < day.start
    goes_on = end > day.end
    if start <= day.start and end >= day.end:
        if began_before or goes_on:
            return f"all day, {start:%d %b} – {end:%d %b}"
        return "all day"
    begins = f"← {start:%d %b}" if began_before else f"{start:%H:%M}"
    ends = f"{end:%d %b} →" if goes_on else f"{end:%H:%M}"
    return f"{begins}–{ends}"
