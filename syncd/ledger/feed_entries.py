"""What the feeds for calendar programs told of each occurrence in each room, and how often that changed.

Written in the transaction that writes the booking, so that a feed is only read: it counts, and it still tells
of what was called off, of a meeting that left a room, and of a problem that is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, or_, select, text

from syncd.core.booking import CLOSED_STATES, Booking
from syncd.core.feedback import (
    Standing,
    entry_key,
    is_problem,
    standing_of,
    told_of,
    topic_digest,
)
from syncd.core.reservation import epoch_ms
from syncd.ledger import tables
from syncd.ledger.booking_rows import read_booking
from syncd.ledger.database import Database

_ENTRY = tables.feed_entries.c
_BOOKING = tables.bookings.c

_LEFT = "left "
"""Begins what is told of an occurrence that left a room; what it is called follows."""

_TELL = text(
    "INSERT INTO feed_entries (entry_key, booking, room_id, start_at, end_at, told, sequence, changed_at, "
    "gone_at, is_problem) "
    "VALUES (:entry_key, :booking, :room_id, :start_at, :end_at, :told, 0, :at, :gone_at, :is_problem) "
    "ON CONFLICT (entry_key) DO UPDATE SET booking = excluded.booking, start_at = excluded.start_at, "
    "end_at = excluded.end_at, told = excluded.told, "
    "sequence = CASE WHEN feed_entries.told = excluded.told THEN feed_entries.sequence "
    "ELSE feed_entries.sequence + 1 END, "
    "changed_at = CASE WHEN feed_entries.told = excluded.told THEN feed_entries.changed_at "
    "ELSE excluded.changed_at END, "
    "gone_at = CASE WHEN excluded.gone_at IS NULL THEN NULL "
    "ELSE coalesce(feed_entries.gone_at, excluded.gone_at) END, "
    "settled_at = CASE WHEN excluded.is_problem THEN NULL WHEN feed_entries.is_problem "
    "THEN excluded.changed_at ELSE feed_entries.settled_at END, "
    "is_problem = excluded.is_problem "
    # Of several records of an occurrence in a room the current one counts, and the last if none is.
    "WHERE (feed_entries.booking = excluded.booking AND feed_entries.told <> excluded.told) "
    "OR (feed_entries.booking <> excluded.booking AND :is_current)"
)
_LEAVE = text(
    "UPDATE feed_entries SET told = :left, sequence = sequence + 1, changed_at = :at, "
    "gone_at = coalesce(gone_at, :at), "
    "settled_at = CASE WHEN is_problem THEN :at ELSE settled_at END, is_problem = :no "
    "WHERE booking = :booking AND entry_key <> :entry_key AND told <> :left"
)


def note_told(
    connection: Connection,
    rows: Iterable[int],
    bookings: Iterable[Booking],
    at: datetime,
) -> None:
    """Record what feeds tell from now on of the bookings in these rows; nothing where they tell the same."""
    moment = epoch_ms(at)
    told: list[dict[str, object]] = []
    left: list[dict[str, object]] = []
    for row, booking in zip(rows, bookings, strict=True):
        spec = booking.spec
        is_gone = standing_of(booking) is Standing.CALLED_OFF
        place = {"entry_key": entry_key(booking.key, booking.room_id), "booking": row}
        if booking.row:  # it was stored before, perhaps elsewhere
            called = f"{_LEFT}{topic_digest(booking)}"
            left.append({**place, "left": called, "at": moment, "no": False})
        told.append(
            {
                **place,
                "room_id": booking.room_id or "",
                "start_at": epoch_ms(spec.start),
                "end_at": epoch_ms(spec.end),
                "told": told_of(booking),
                "at": moment,
                "gone_at": moment if is_gone else None,
                "is_problem": is_problem(booking),
                "is_current": booking.state not in CLOSED_STATES,
            }
        )
    if left:
        connection.execute(_LEAVE, left)
    if told:
        connection.execute(_TELL, told)


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """What feeds tell of an occurrence in a room.

    `booking` is its record; if it `has_left` this room, `start` and `end` are when it was there last.
    `sequence` counts how often something else was told, the last time at `changed_at`.
    `gone_at` is when it was called off or left the room, `settled_at` when it ceased to be a problem.
    """

    entry_key: str
    booking: Booking
    room_id: str | None
    start: datetime
    end: datetime
    sequence: int
    changed_at: datetime
    gone_at: datetime | None
    settled_at: datetime | None
    is_problem: bool
    has_left: bool


class FeedEntries:
    """The store of what feeds tell; it only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_room(
        self, room_id: str, since: datetime, gone_since: datetime
    ) -> tuple[FeedEntry, ...]:
        """Return the entries of a room that end later than `since`, by time.

        What was called off, or left the room, counts if that was no earlier than `gone_since`.
        """
        is_there = or_(_ENTRY.gone_at.is_(None), _ENTRY.gone_at >= gone_since)
        query = _ENTRIES.where(_ENTRY.room_id == room_id, _ENTRY.end_at > since)
        return tuple(self._read(query.where(is_there)))

    def problems(self, settled_since: datetime) -> tuple[FeedEntry, ...]:
        """Return the entries of what is not booked as wanted, and of what was settled since, by time."""
        was_one = or_(_ENTRY.is_problem, _ENTRY.settled_at >= settled_since)
        return tuple(self._read(_ENTRIES.where(tables.WAS_PROBLEM, was_one)))

    def _read(self, query: Select[Any]) -> Iterator[FeedEntry]:
        with self._database.reading() as connection:
            for row in connection.execute(query):
                yield self._entry(row)

    def _entry(self, row: Row[Any]) -> FeedEntry:
        return FeedEntry(
            entry_key=row.entry_key,
            booking=read_booking(self._database, row),
            room_id=row.entry_room or None,
            start=row.entry_start,
            end=row.entry_end,
            sequence=row.sequence,
            changed_at=row.changed_at,
            gone_at=row.gone_at,
            settled_at=row.settled_at,
            is_problem=row.is_problem,
            has_left=row.told.startswith(_LEFT),
        )


_ENTRIES: Select[Any] = (
    select(
        tables.bookings,
        _ENTRY.entry_key,
        _ENTRY.room_id.label("entry_room"),
        _ENTRY.start_at.label("entry_start"),
        _ENTRY.end_at.label("entry_end"),
        _ENTRY.told,
        _ENTRY.sequence,
        _ENTRY.changed_at,
        _ENTRY.gone_at,
        _ENTRY.settled_at,
        _ENTRY.is_problem,
    )
    .where(_BOOKING.row == _ENTRY.booking)
    .order_by(_ENTRY.start_at, _ENTRY.entry_key)
)
