"""Bookings for people: one line each, with reasons and names beneath."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from syncd.core.booking import CLOSED_STATES, Booking, BookingState
from syncd.core.resolve import full_name, resolvable
from syncd.views.alike import MANY
from syncd.views.choice import by_time
from syncd.views.rows import Row, SheetColumn, print_rows
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet

_MEETING = (
    SheetColumn("when", whole=True),
    SheetColumn("room"),
    SheetColumn("meeting", rest=True),
)

RESERVATION_COLUMNS = (*_MEETING, SheetColumn("reservation", whole=True))
"""The columns of meetings with the reservation of each."""


def print_bookings(
    sheet: Sheet, bookings: Iterable[Booking], *, with_ids: bool = False
) -> None:
    """Print bookings by time, a line each, with reasons beneath; of very many the first ones."""
    in_order = sorted(bookings, key=by_time)
    rows = [_row(sheet, booking, with_ids=with_ids) for booking in in_order[:MANY]]
    print_rows(sheet, (*_MEETING, SheetColumn("state", whole=True)), rows)
    sheet.say_more(len(in_order))


def print_reservations(sheet: Sheet, bookings: Iterable[Booking]) -> None:
    """Print what is booked by time, with the id of the reservation of each."""
    in_order: Sequence[Booking] = sorted(bookings, key=by_time)
    rows: list[Row] = []
    for booking in in_order[:MANY]:
        cells = (*_cells(sheet, booking), words(booking.reservation_id or ""))
        state = booking.state
        sentences = () if state is BookingState.BOOKED else (f"State {state.value}.",)
        rows.append(Row(cells, sentences))
    print_rows(sheet, RESERVATION_COLUMNS, rows)
    sheet.say_more(len(in_order))


def _cells(sheet: Sheet, booking: Booking) -> tuple[Text, ...]:
    spec = booking.spec
    return (
        sheet.span(spec.start, spec.end),
        sheet.room(booking.room_id),
        words(spec.topic or booking.key.uid),
    )


def _row(sheet: Sheet, booking: Booking, *, with_ids: bool) -> Row:
    state = booking.state.value
    cells = (*_cells(sheet, booking), words(state, style=STYLES.get(state, "")))
    sentences: tuple[str, ...] = ()
    if booking.detail and booking.state not in CLOSED_STATES:
        sentences = (booking.detail,)
    names: tuple[Text, ...] = ()
    if with_ids or resolvable(booking):
        names = (words(f"KEY {full_name(booking)}", style="dim"),)
    if with_ids:
        sentences = (*sentences, _ids_of(booking))
    return Row(cells, sentences, names)


def _ids_of(booking: Booking) -> str:
    ids = [f"source {booking.source}"]
    if booking.room_id:
        ids.append(f"room {booking.room_id}")
    if booking.reservation_id:
        ids.append(f"reservation {booking.reservation_id}")
    return ", ".join(ids)
