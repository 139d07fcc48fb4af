"""Recognises our own reservations among those of the API.

By the mark first; where there is none, by content: creator, room, time and topic.
Used when a ledger has no history, and to settle what became of a request whose answer was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.core.changes import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import (
    HOLDING_STATES,
    Booking,
    BookingState,
    Mark,
    Reservation,
    ReservationStatus,
)

GENERATIONS = 16
"""How many reservations of one occurrence are looked for; each cancel and rebooking makes one more."""

CLOCK_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A live reservation that another one makes superfluous; `of` is the older one, which stays."""

    reservation: Reservation
    of: Reservation


@dataclass(frozen=True, slots=True)
class Recognised:
    """What live reservations with our mark turn out to be.

    `adopted` are bookings for meetings that have none, or that replace the record (by `row`) of one that
    is over; `duplicates` are superfluous; `strays` belong to no meeting of the calendars and to no booking.
    `generations` are the highest that any mark shows for an occurrence, also that of a reservation that is
    cancelled or over.
    """

    adopted: tuple[Booking, ...]
    duplicates: tuple[Duplicate, ...]
    strays: tuple[Reservation, ...]
    generations: Mapping[OccurrenceKey, int]


def recognise(
    reservations: Iterable[Reservation],
    meetings: Iterable[Meeting],
    bookings: Iterable[Booking],
    instance: str,
    now: datetime,
) -> Recognised:
    """Sort out the reservations that carry our mark against the meetings wanted and the bookings known.

    `bookings` are the current ones; those in doubt are left to be settled.
    What is over is left as it is.
    Of several live reservations with one mark, or of one occurrence in one room, the oldest counts.
    """
    code = Mark.instance_code(instance)
    shown = ((r, r.mark) for r in reservations)
    ours = [(r, str(mark)) for r, mark in shown if mark is not None and mark.instance == code]
    live = sorted((r for r, _ in ours if r.live and r.end > now), key=Reservation.age_key)
    mark_of = {r.reservation_id: mark for r, mark in ours}
    by_mark: dict[str, list[Reservation]] = defaultdict(list)
    for reservation in live:
        by_mark[mark_of[reservation.reservation_id]].append(reservation)
    records: dict[OccurrenceKey, list[Booking]] = defaultdict(list)
    bookings = tuple(bookings)
    for booking in bookings:
        records[booking.key].append(booking)
    carried = {booking.mark: booking.key for booking in bookings if booking.mark}
    every_mark = set(mark_of.values())
    meant = {meeting.key: meeting for meeting in meetings} if every_mark else {}
    keys = [*meant, *(key for key in records if key not in meant)] if every_mark else []
    adopted: list[Booking] = []
    duplicates: list[Duplicate] = []
    generations: dict[OccurrenceKey, int] = {}
    claimed: set[str] = set()
    unexplained = not every_mark <= carried.keys()  # else nobody needs all marks that a key may have
    for key in keys:
        known = records.get(key, [])
        marks = {str(Mark.of(instance, key, g)): g for g in range(GENERATIONS)} if unexplained else {}
        marks |= {b.mark: b.generation for b in known if b.mark}
        seen = [generation for mark, generation in marks.items() if mark in every_mark]
        if not seen:
            continue
        generations[key] = max(seen)
        # The mark of a booking that followed its meeting to another key means that meeting.
        marks = {mark: g for mark, g in marks.items() if carried.get(mark, key) == key}
        claimed.update(marks)
        if any(b.is_unanswered for b in known):
            continue
        held = {b.reservation_id for b in known if b.state in HOLDING_STATES}
        there = sorted((r for mark in marks for r in by_mark.get(mark, ())), key=Reservation.age_key)
        kept, superfluous = _without_twins(there, held, mark_of)
        duplicates.extend(superfluous)
        left = list(known)
        carrying = {b.mark for b in known}
        # First those whose mark a record has: a mark stands in one record.
        for reservation in sorted(kept, key=lambda r: mark_of[r.reservation_id] not in carrying):
            if reservation.reservation_id in held:
                continue
            mark = mark_of[reservation.reservation_id]
            matches = [b for b in known if b.mark == mark] or [
                b for b in known if b.room_id == reservation.room_id
            ]
            record = matches[0] if matches else None
            if record is not None:
                if record not in left:
                    continue  # it takes another one already; the next comparison goes on
                left.remove(record)
            elif key not in meant:
                continue  # its meeting is gone: nothing to adopt it for
            adopted.append(_booking_of(meant.get(key), record, reservation, marks[mark], mark))
    strays = tuple(r for r in live if mark_of[r.reservation_id] not in claimed)
    return Recognised(tuple(adopted), tuple(duplicates), strays, generations)


def _without_twins(
    oldest_first: Iterable[Reservation], held: Collection[str | None], mark_of: Mapping[str, str]
) -> tuple[list[Reservation], list[Duplicate]]:
    """Of several with one mark, and of one room, the oldest; two bookings that met in a room both stay."""
    of_mark: dict[str, Reservation] = {}
    of_room: dict[str | None, Reservation] = {}
    duplicates: list[Duplicate] = []
    for reservation in oldest_first:
        mark = mark_of[reservation.reservation_id]
        rival = of_mark.get(mark)
        if rival is None:
            rival = of_room.get(reservation.room_id)
            if rival and {rival.reservation_id, reservation.reservation_id} <= set(held):
                rival = None
        if rival is None:
            of_mark[mark] = reservation
            of_room.setdefault(reservation.room_id, reservation)
        else:
            duplicates.append(Duplicate(reservation, rival))
    return list(of_mark.values()), duplicates


def _booking_of(
    meeting: Meeting | None, record: Booking | None, reservation: Reservation, generation: int, mark: str
) -> Booking:
    """The booking for a reservation that was found, in place of the record that its room has."""
    if record is None:
        assert meeting is not None  # the caller has one of the two
        record = Booking(
            key=meeting.key,
            room_id=reservation.room_id,
            generation=generation,
            mark=mark,
            state=BookingState.WAITING,
            source=meeting.occurrence.source,
            witnesses=meeting.witnesses,
            origin=meeting.occurrence.fingerprint,
            pending=meeting.spec,
        )
    approval = reservation.status is ReservationStatus.AWAITING_APPROVAL
    there = replace(record, generation=generation, mark=mark, pending=reservation.onto(record.spec))
    # Where it stands in another room than its record, the record keeps its place: the plan brings it back.
    return replace(there.booked(reservation.reservation_id, approval=approval), room_id=record.room_id)


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
    asked = booking.pending or booking.spec
    there = reservation.onto(asked)
    # Moved by hand to a room that another booking of its meeting may have, it keeps its place.
    room_id = there.room_id if there.room_id == asked.room_id else booking.room_id
    found = replace(booking, pending=there).booked(reservation.reservation_id, approval=approval)
    return replace(found, room_id=room_id)


def search_window(bookings: Iterable[Booking], margin: timedelta) -> tuple[datetime, datetime]:
    """A window in which all these bookings would be listed, whatever the API's window means."""
    specs = [s for b in bookings for s in (b.pending, b.content) if s is not None]
    return min(s.start for s in specs) - margin, max(s.end for s in specs) + margin
