"""Recognises our own reservations among those of the API.

By the mark and the creator first; where there is no mark, by content: creator, room, time and topic.
A mark can be copied by whoever can read it, so alone it proves nothing.
Used when a ledger has no history, and to settle what became of a request whose answer was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from syncd.core.booking import HOLDING_STATES, Booking
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import Reservation, ReservationSpec, ReservationStatus, same_text

GENERATIONS = 16
"""How many reservations of one occurrence are looked for; each cancel and rebooking makes one more."""

CLOCK_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A live reservation that another one makes superfluous; `of` is the one that stays."""

    reservation: Reservation
    of: Reservation


@dataclass(frozen=True, slots=True)
class Recognised:
    """What live reservations with our mark turn out to be.

    `adopted` are bookings for meetings that have none, or that replace the record (by `row`) of one that
    is over; `duplicates` are superfluous.
    `strays` are no booking's and become none: of no meeting of the calendars, copies that somebody else
    made, or second ones in another place.
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

    `bookings` are the current ones; those in doubt are left to be settled, and what one of them holds stays
    with it.
    What is over is left as it is.
    Of several live reservations with one mark, or of one occurrence in one room, one counts: see `_Case`.
    """
    reservations = tuple(reservations)
    code = Mark.instance_code(instance)
    mark_of = {
        r.reservation_id: str(mark) for r in reservations if (mark := r.mark) and mark.instance == code
    }
    live = [r for r in reservations if r.reservation_id in mark_of and r.live and not r.is_over(now)]
    by_mark: defaultdict[str, list[Reservation]] = defaultdict(list)
    for reservation in live:
        by_mark[mark_of[reservation.reservation_id]].append(reservation)
    every_mark = set(mark_of.values())
    cases = _cases(meetings, bookings) if every_mark else {}
    carried = {b.mark: key for key, case in cases.items() for b in case.records if b.mark}
    unexplained = not every_mark <= carried.keys()  # else nobody needs all marks that a key may have
    held = {b.reservation_id for case in cases.values() for b in case.holding}
    found = _Findings()
    claimed: set[str] = set()
    for key, case in cases.items():
        marks = {str(Mark.of(instance, key, g)): g for g in range(GENERATIONS)} if unexplained else {}
        marks |= {b.mark: b.generation for b in case.records if b.mark}
        seen = [generation for mark, generation in marks.items() if mark in every_mark]
        if not seen:
            continue
        found.generations[key] = max(seen)
        # The mark of a booking that followed its meeting to another key means that meeting.
        marks = {mark: g for mark, g in marks.items() if carried.get(mark, key) == key}
        claimed.update(marks)
        if any(b.is_unanswered for b in case.records):
            continue
        own = {b.reservation_id for b in case.holding}
        there = [r for mark in marks for r in by_mark.get(mark, ())]
        case.judge([r for r in there if r.reservation_id not in held - own], marks, mark_of, found)
    others = (r for r in live if mark_of[r.reservation_id] not in claimed and r.reservation_id not in held)
    strays = sorted((*found.strays, *others), key=Reservation.age_key)
    return Recognised(tuple(found.adopted), tuple(found.duplicates), tuple(strays), found.generations)


def _cases(meetings: Iterable[Meeting], bookings: Iterable[Booking]) -> dict[OccurrenceKey, _Case]:
    cases: defaultdict[OccurrenceKey, _Case] = defaultdict(_Case)
    for meeting in meetings:
        cases[meeting.key].meetings.append(meeting)
    for booking in bookings:
        cases[booking.key].records.append(booking)
    return cases


@dataclass(slots=True)
class _Findings:
    """What is found out about the reservations, as it comes."""

    adopted: list[Booking] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    strays: list[Reservation] = field(default_factory=list)
    generations: dict[OccurrenceKey, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Case:
    """One occurrence: the meetings that it asks for, a room each, and its current records."""

    meetings: list[Meeting] = field(default_factory=list)
    records: list[Booking] = field(default_factory=list)

    @property
    def holding(self) -> list[Booking]:
        """The records that hold a reservation."""
        return [b for b in self.records if b.state in HOLDING_STATES]

    @property
    def _specs(self) -> list[ReservationSpec]:
        return [m.spec for m in self.meetings] or [b.spec for b in self.records]

    def judge(
        self,
        there: Iterable[Reservation],
        generations: Mapping[str, int],
        mark_of: Mapping[str, str],
        found: _Findings,
    ) -> None:
        """Find out what live reservations with marks of this occurrence are.

        What a record holds stays, whatever became of it.
        Of the others those count that the meeting's creator made: one for a mark and for a room, first where
        creator, room and time are those of the meeting, then the oldest.
        A further one is superfluous if it stands in place of the one that counts; else it is a stray.
        """
        held = {b.reservation_id for b in self.holding}
        wanted = self._specs
        creators = {spec.creator for spec in (*wanted, *(b.spec for b in self.records))}
        candidates: list[Reservation] = []
        for reservation in there:
            ours = reservation.reservation_id in held or any(map(reservation.is_by, creators))
            (candidates if ours else found.strays).append(reservation)

        def rank(reservation: Reservation) -> tuple[bool, bool, tuple[int, str]]:
            in_place = any(map(reservation.is_in_place_of, wanted))
            return reservation.reservation_id not in held, not in_place, reservation.age_key()

        kept: list[Reservation] = []
        for reservation in sorted(candidates, key=rank):
            mark = mark_of[reservation.reservation_id]
            twin = next((r for r in kept if mark_of[r.reservation_id] == mark), None)
            rival = twin or next((r for r in kept if r.room_id == reservation.room_id), None)
            if reservation.reservation_id in held or (rival is None and not self._is_held(reservation, mark)):
                kept.append(reservation)
            elif rival and reservation.is_in_place_of(rival) and (twin or len(wanted) == 1):
                found.duplicates.append(Duplicate(reservation, rival))
            else:
                found.strays.append(reservation)
        new = [r for r in kept if r.reservation_id not in held]
        found.adopted += self._adopted(new, generations, mark_of)

    def _is_held(self, reservation: Reservation, mark: str) -> bool:
        """Whether a record holds another reservation, one that is not listed, in the place of this one."""
        return any(b.mark == mark or b.room_id == reservation.room_id for b in self.holding)

    def _adopted(
        self, new: Iterable[Reservation], generations: Mapping[str, int], mark_of: Mapping[str, str]
    ) -> Iterator[Booking]:
        """Bookings for reservations that no record holds, in place of the records that wait for them."""
        free = [b for b in self.records if b.state not in HOLDING_STATES]
        taken = {b.room_id for b in self.holding}
        carrying = {b.mark for b in free}
        # First those whose mark a record has: a mark stands in one record.
        for reservation in sorted(new, key=lambda r: mark_of[r.reservation_id] not in carrying):
            mark = mark_of[reservation.reservation_id]
            record = next((b for b in free if b.mark == mark), None) or next(
                (b for b in free if b.room_id == reservation.room_id), None
            )
            if record is not None:
                free.remove(record)
            elif self.meetings and not self._has_record(reservation, taken):
                record = self._new_record(reservation, taken)
            else:
                continue  # its meeting is gone; or its room has a record, and the next comparison goes on
            taken.add(record.room_id)
            yield _booking_of(record, reservation, generations[mark], mark)

    def _has_record(self, reservation: Reservation, taken: Collection[str | None]) -> bool:
        rooms = {b.room_id for b in self.records} | set(taken)
        return "room_id" not in reservation.unsaid and reservation.room_id in rooms

    def _new_record(self, reservation: Reservation, taken: Collection[str | None]) -> Booking:
        """A record of a meeting that has none: that of the reservation's room, or the first that is left."""
        left = [m for m in self.meetings if m.spec.room_id not in taken] or self.meetings
        meeting = next((m for m in left if m.spec.room_id == reservation.room_id), left[0])
        unknown = "room_id" in reservation.unsaid
        record = Booking.of(meeting)
        return record if unknown else replace(record, room_id=reservation.room_id)


def _booking_of(record: Booking, reservation: Reservation, generation: int, mark: str) -> Booking:
    """The booking for a reservation that was found, in place of a record."""
    there = replace(record, generation=generation, mark=mark, pending=record.spec)
    return adopted_from(there, reservation, keep_room=True)


def made_by(
    booking: Booking, reservations: Iterable[Reservation], known_ids: Collection[str]
) -> list[Reservation]:
    """The reservations that a create in doubt made: first the one in its place, then the oldest.

    One with its mark that another creator made is somebody's copy.
    `known_ids` belong to other bookings already, so they are never claimed twice.
    """
    pending, attempted = booking.pending, booking.attempted_at
    assert pending is not None  # a booking in doubt has it
    assert attempted is not None  # a booking in doubt has it
    free = [r for r in reservations if r.reservation_id not in known_ids and r.is_by(pending.creator)]
    found = [r for r in free if booking.mark is not None and str(r.mark) == booking.mark]
    if not found:
        found = [
            r
            for r in free
            if r.mark is None
            and r.is_in_place_of(pending)
            and same_text(r.topic, pending.topic)
            and (r.created_at is None or r.created_at >= attempted - CLOCK_SKEW)
        ]
    return sorted(found, key=lambda r: (not r.is_in_place_of(pending), r.age_key()))


def adopted_from(booking: Booking, reservation: Reservation, *, keep_room: bool = False) -> Booking:
    """The booking of a reservation that was found: booked, with what the API really has.

    One that makes no sense is booked as it was asked for, and says so: another one would be a second.
    Its record keeps its room with `keep_room`, and where the reservation stands in another room than it was
    asked for: another record of its meeting may have that one; the plan brings it back.
    """
    asked = booking.pending or booking.spec
    there = reservation.onto(asked)
    approval = reservation.status is ReservationStatus.AWAITING_APPROVAL
    found = replace(booking, pending=there or asked).booked(reservation.reservation_id, approval=approval)
    if there is None:
        found = found.unclear(reservation.oddity)
    if keep_room or found.spec.room_id != asked.room_id:
        found = replace(found, room_id=booking.room_id)
    return found


def search_window(bookings: Iterable[Booking], margin: timedelta) -> tuple[datetime, datetime]:
    """A window in which all these bookings would be listed, whatever the API's window means."""
    specs = [s for b in bookings for s in (b.pending, b.content) if s is not None]
    return min(s.start for s in specs) - margin, max(s.end for s in specs) + margin
