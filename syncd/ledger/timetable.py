"""The bookings by when and where they are: those of a day, of a room and a week, of an event by its key.

Each question is answered from an index, so that its cost follows what is found and not what is remembered.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select

from syncd.core.booking import Booking
from syncd.ledger import tables
from syncd.ledger.booking_rows import read_booking
from syncd.ledger.database import Database

_BOOKING = tables.bookings.c
_BY_TIME = (_BOOKING.start_at, _BOOKING.room_id, _BOOKING.row)


class Timetable:
    """The store of what is on when; it only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def between(
        self,
        since: datetime,
        until: datetime | None = None,
        rooms: Collection[str] = (),
        sources: Collection[str] = (),
    ) -> tuple[Booking, ...]:
        """Return the bookings that are between two moments, in part at least, by start, room and age.

        Closed ones too. Without `until` all that end later than `since`; `rooms` are the ids of those that
        count, and `sources` the names of those that decided, all if none is given.
        """
        query = select(tables.bookings).where(_BOOKING.end_at > since)
        if until is not None:
            query = query.where(_BOOKING.start_at < until)
        if rooms:
            query = query.where(_BOOKING.room_id.in_(sorted(rooms)))
        if sources:
            query = query.where(_BOOKING.source.in_(sorted(sources)))
        with self._database.reading() as connection:
            # One at a time: there may be many, and as rows they are as large again.
            found = connection.execute(query.order_by(*_BY_TIME))
            return tuple(read_booking(self._database, row) for row in found)

    def uid_of(self, event_key: str) -> str | None:
        """Return the UID of the event with a key; None if no booking is remembered of any such event."""
        query = select(_BOOKING.uid).where(_BOOKING.event_key == event_key).limit(1)
        return self._database.scalar(query)

    def has_room(self, room_id: str) -> bool:
        """Tell whether any booking that is remembered is of a room."""
        query = select(_BOOKING.row).where(_BOOKING.room_id == room_id).limit(1)
        return self._database.scalar(query) is not None

    def has_source(self, name: str) -> bool:
        """Tell whether a source decided about any booking that is remembered."""
        query = select(_BOOKING.row).where(_BOOKING.source == name).limit(1)
        return self._database.scalar(query) is not None
