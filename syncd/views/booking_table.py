"""Bookings as a table for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from syncd.core.booking import Booking
from syncd.core.occurrence import OccurrenceKey
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet, plain_table


def booking_table(sheet: Sheet, bookings: Iterable[Booking]) -> RenderableType:
    """Return a table of bookings by time."""
    table = plain_table("when", "room", "meeting", "state", "reservation")
    for booking in sorted(bookings, key=_by_time):
        style = STYLES.get(booking.state.value, "")
        state = words(booking.state.value, style=style)
        if booking.detail:
            state = Text.assemble(state, words(f" {booking.detail}", "dim"))
        table.add_row(
            sheet.span(booking.spec.start, booking.spec.end),
            sheet.room(booking.room_id),
            words(booking.spec.topic),
            state,
            booking.reservation_id or "",
        )
    return Group(table)


def _by_time(booking: Booking) -> tuple[datetime, str, OccurrenceKey]:
    """Return what bookings are sorted by."""
    room_id = booking.room_id or ""
    return booking.spec.start, room_id, booking.key
