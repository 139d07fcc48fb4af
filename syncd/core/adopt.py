"""Recognises our own reservations among those of the API.

By the mark first; where there is none, by content: creator, room, time and topic.
Used when a ledger has no history, and to settle what became of a request whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.core.changes import Meeting
from syncd.core.reservation import Booking, BookingState, Mark, Reservation, ReservationStatus

GENERATIONS = 16
"""How many reservations of one occurrence are looked for; each cancel and rebooking makes one more."""

CLOCK_SKEW = timedelta(minutes=1)


def adopt(reservations: Iterable[Reservation], meetings: Iterable[Meeting], instance: str) -> list[Booking]:
    """Bookings for live reservations whose mark says that they were made for one of these meetings.

    Several live reservations with one mark, or of one occurrence in one room: the oldest is the booking
    (the others are duplicates).
    """
    by_mark: dict[str, Reservation] = {}
    for reservation in sorted((r for r in reservations if r.live), key=Reservation.age_key):
        if reservation.mark is not None:
            by_mark.setdefault(str(reservation.mark), reservation)
    if not by_mark:
        return []
    adopted: list[Booking] = []
    by_occurrence = {meeting.key: meeting for meeting in meetings}
    for key, meeting in by_occurrence.items():
        marks = ((g, str(Mark.of(instance, key, g))) for g in range(GENERATIONS))
        there = [(by_mark[mark], generation, mark) for generation, mark in marks if mark in by_mark]
        rooms: set[str | None] = set()
        for reservation, generation, mark in sorted(there, key=lambda entry: entry[0].age_key()):
            if reservation.room_id not in rooms:
                rooms.add(reservation.room_id)
                adopted.append(_booking_of(meeting, reservation, generation, mark))
    return adopted


def _booking_of(meeting: Meeting, reservation: Reservation, generation: int, mark: str) -> Booking:
    approval = reservation.status is ReservationStatus.AWAITING_APPROVAL
    return Booking(
        key=meeting.key,
        room_id=reservation.room_id,
        generation=generation,
        mark=mark,
        state=BookingState.APPROVAL if approval else BookingState.BOOKED,
        source=meeting.occurrence.source,
        witnesses=meeting.witnesses,
        origin=meeting.occurrence.fingerprint,
        content=reservation.content,
        reservation_id=reservation.reservation_id,
    )


def made_by(
    booking: Booking, reservations: Iterable[Reservation], known_ids: Collection[str]
) -> list[Reservation]:
    """The reservations that a create in doubt made, oldest first.

    `known_ids` belong to other bookings already, so content alone never claims them twice.
    """
    pending, attempted = booking.pending, booking.attempted_at
    assert pending is not None  # a booking in doubt has it
    assert attempted is not None  # a booking in doubt has it
    if booking.mark is not None:
        found = [r for r in reservations if r.mark is not None and str(r.mark) == booking.mark]
        if found:
            return sorted(found, key=Reservation.age_key)
    return sorted(
        (
            r
            for r in reservations
            if r.mark is None
            and r.reservation_id not in known_ids
            and (r.creator, r.room_id, r.start, r.end, r.topic)
            == (pending.creator, pending.room_id, pending.start, pending.end, pending.topic)
            and (r.created_at is None or r.created_at >= attempted - CLOCK_SKEW)
        ),
        key=Reservation.age_key,
    )


def adopted_from(booking: Booking, reservation: Reservation) -> Booking:
    """A create in doubt whose reservation was found: booked, with what the API really has."""
    approval = reservation.status is ReservationStatus.AWAITING_APPROVAL
    return replace(booking, pending=reservation.content).booked(reservation.reservation_id, approval=approval)


def search_window(bookings: Iterable[Booking], margin: timedelta) -> tuple[datetime, datetime]:
    """A window in which all these bookings would be listed, whatever the API's window means."""
    specs = [s for b in bookings for s in (b.pending, b.content) if s is not None]
    return min(s.start for s in specs) - margin, max(s.end for s in specs) + margin
