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
from syncd.core.reservation import (
    Reservation,
    ReservationSpec,
    ReservationStatus,
    same_text,
)

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
    """Return what the reservations with our mark are, for the meetings wanted and the bookings known.

    `bookings` are the current ones; those in doubt are left to be settled, and what one of them holds stays
    with it.
    What is over is left as it is.
    Of several live reservations with one mark, or of one occurrence in one room, one counts: see `_Case`.
    """
    marks = _OurMarks.among(reservations, instance, now)
    if not marks.of:
        return Recognised((), (), (), {})
    cases = _cases(meetings, bookings)
    return _Recognition(marks, cases, instance).run()


@dataclass(frozen=True, slots=True)
class _OurMarks:
    """Our marks: `of` each reservation by id, also one that is over; `live` are the others."""

    of: Mapping[str, str]
    live: tuple[Reservation, ...]

    @classmethod
    def among(
        cls, reservations: Iterable[Reservation], instance: str, now: datetime
    ) -> _OurMarks:
        """Find the reservations that carry a mark of an instance."""
        code = Mark.instance_code(instance)
        of: dict[str, str] = {}
        live: list[Reservation] = []
        for reservation in reservations:
            mark = reservation.mark
            if mark is None or mark.instance != code:
                continue
            of[reservation.reservation_id] = str(mark)
            if reservation.live and not reservation.is_over(now):
                live.append(reservation)
        return cls(of, tuple(live))


def _cases(
    meetings: Iterable[Meeting], bookings: Iterable[Booking]
) -> dict[OccurrenceKey, _Case]:
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


class _Recognition:
    """The working state of one call of `recognise`."""

    def __init__(
        self, marks: _OurMarks, cases: Mapping[OccurrenceKey, _Case], instance: str
    ) -> None:
        self._marks = marks
        self._cases = cases
        self._instance = instance
        self._found = _Findings()
        self._every_mark = frozenset(marks.of.values())
        self._live_by_mark: defaultdict[str, list[Reservation]] = defaultdict(list)
        for reservation in marks.live:
            mark = marks.of[reservation.reservation_id]
            self._live_by_mark[mark].append(reservation)
        self._carried: dict[str, OccurrenceKey] = {}  # marks of records
        self._held: set[str | None] = set()  # ids of reservations that a record holds
        for key, case in cases.items():
            for record in case.records:
                if record.mark:
                    self._carried[record.mark] = key
            self._held |= case.held
        # Where records carry all marks, nobody needs all marks that a key may have.
        self._explained = self._every_mark <= self._carried.keys()
        self._claimed: set[str] = set()

    def run(self) -> Recognised:
        """Judge case by case; what no case claims is a stray."""
        for key, case in self._cases.items():
            self._look_into(key, case)
        found = self._found
        found.strays += self._unclaimed()
        strays = sorted(found.strays, key=Reservation.age_key)
        return Recognised(
            tuple(found.adopted),
            tuple(found.duplicates),
            tuple(strays),
            found.generations,
        )

    def _look_into(self, key: OccurrenceKey, case: _Case) -> None:
        """Find out what the reservations with marks of one occurrence are."""
        marks = self._generations_by_mark(key, case)
        seen = [mark for mark in marks if mark in self._every_mark]
        if not seen:
            return
        self._found.generations[key] = max(marks[mark] for mark in seen)
        own: dict[str, int] = {}
        for mark, generation in marks.items():
            # The mark of a booking that followed its meeting to another key means that meeting.
            meant = self._carried.get(mark, key)
            if meant == key:
                own[mark] = generation
        self._claimed.update(own)
        if not case.is_unanswered:
            free = self._free_for(case, own)
            case.judge(free, own, self._marks.of, self._found)

    def _generations_by_mark(self, key: OccurrenceKey, case: _Case) -> dict[str, int]:
        """Return the marks that an occurrence may have, each with the generation that it stands for."""
        marks: dict[str, int] = {}
        if not self._explained:
            for generation in range(GENERATIONS):
                mark = Mark.of(self._instance, key, generation)
                marks[str(mark)] = generation
        for record in case.records:
            if record.mark:
                marks[record.mark] = record.generation
        return marks

    def _free_for(self, case: _Case, marks: Iterable[str]) -> list[Reservation]:
        """Return the live reservations with these marks that no record of another occurrence holds."""
        of_others = self._held - case.held
        free: list[Reservation] = []
        for mark in marks:
            there = self._live_by_mark.get(mark, ())
            free += [r for r in there if r.reservation_id not in of_others]
        return free

    def _unclaimed(self) -> Iterator[Reservation]:
        """Yield the live reservations whose mark means no occurrence, and that no record holds."""
        for reservation in self._marks.live:
            reservation_id = reservation.reservation_id
            mark = self._marks.of[reservation_id]
            if mark not in self._claimed and reservation_id not in self._held:
                yield reservation


@dataclass(slots=True)
class _Case:
    """One occurrence: the meetings that it asks for, a room each, and its current records."""

    meetings: list[Meeting] = field(default_factory=list)
    records: list[Booking] = field(default_factory=list)

    @property
    def holding(self) -> list[Booking]:
        """Return the records that hold a reservation."""
        return [record for record in self.records if record.state in HOLDING_STATES]

    @property
    def held(self) -> set[str | None]:
        """Return the ids of the reservations that records hold."""
        return {record.reservation_id for record in self.holding}

    @property
    def is_unanswered(self) -> bool:
        """Tell whether a request for one of its records is in doubt."""
        return any(record.is_unanswered for record in self.records)

    @property
    def _specs(self) -> list[ReservationSpec]:
        if self.meetings:
            return [meeting.spec for meeting in self.meetings]
        return [record.spec for record in self.records]

    def judge(
        self,
        there: Iterable[Reservation],
        generations: Mapping[str, int],
        mark_of: Mapping[str, str],
        found: _Findings,
    ) -> None:
        """Find out what live reservations with marks of this occurrence are, and add that to `found`.

        What a record holds stays, whatever became of it.
        Of the others those count that the meeting's creator made: one for a mark and for a room, first where
        creator, room and time are those of the meeting, then the oldest.
        A further one is superfluous if it stands in place of the one that counts; else it is a stray.
        """
        held = self.held
        is_alone = len(self._specs) == 1
        kept: list[Reservation] = []
        kept_by_mark: dict[str, Reservation] = {}
        kept_by_room: dict[str | None, Reservation] = {}
        for reservation in self._candidates(there, found):
            mark = mark_of[reservation.reservation_id]
            twin = kept_by_mark.get(mark)
            rival = twin or kept_by_room.get(reservation.room_id)
            is_free = rival is None and not self._is_held(reservation, mark)
            if reservation.reservation_id in held or is_free:
                kept.append(reservation)
                kept_by_mark.setdefault(mark, reservation)
                kept_by_room.setdefault(reservation.room_id, reservation)
            elif rival and (twin or is_alone) and reservation.is_in_place_of(rival):
                found.duplicates.append(Duplicate(reservation, rival))
            else:
                found.strays.append(reservation)
        new = [r for r in kept if r.reservation_id not in held]
        found.adopted += self._adopted(new, generations, mark_of)

    def _candidates(
        self, there: Iterable[Reservation], found: _Findings
    ) -> list[Reservation]:
        """Return what a record holds or the meeting's creator made, likeliest first; others are strays."""
        held = self.held
        wanted = self._specs
        creators = {spec.creator for spec in wanted}
        creators |= {record.spec.creator for record in self.records}
        candidates: list[Reservation] = []
        for reservation in there:
            is_held = reservation.reservation_id in held
            if is_held or any(map(reservation.is_by, creators)):
                candidates.append(reservation)
            else:
                found.strays.append(reservation)

        def rank(reservation: Reservation) -> tuple[object, ...]:
            is_held = reservation.reservation_id in held
            is_in_place = any(map(reservation.is_in_place_of, wanted))
            return (not is_held, not is_in_place, reservation.age_key())

        return sorted(candidates, key=rank)

    def _is_held(self, reservation: Reservation, mark: str) -> bool:
        """Tell whether a record holds another reservation, which is not listed, in the place of this one."""
        holding = self.holding
        if _with_mark(holding, mark) is not None:
            return True
        return _in_room(holding, reservation.room_id) is not None

    def _adopted(
        self,
        new: Iterable[Reservation],
        generations: Mapping[str, int],
        mark_of: Mapping[str, str],
    ) -> Iterator[Booking]:
        """Yield bookings for reservations that no record holds, in place of records that wait for them."""
        free = [b for b in self.records if b.state not in HOLDING_STATES]
        taken = {record.room_id for record in self.holding}
        carried = {record.mark for record in free}

        def is_carried_by_none(reservation: Reservation) -> bool:
            return mark_of[reservation.reservation_id] not in carried

        # First those whose mark a record has: a mark stands in one record.
        for reservation in sorted(new, key=is_carried_by_none):
            mark = mark_of[reservation.reservation_id]
            record = _with_mark(free, mark) or _in_room(free, reservation.room_id)
            if record is not None:
                free.remove(record)
            elif self.meetings and not self._has_record(reservation, taken):
                record = self._new_record(reservation, taken)
            else:
                continue  # its meeting is gone; or its room has a record, and the next comparison goes on
            taken.add(record.room_id)
            yield _booking_of(record, reservation, generations[mark], mark)

    def _has_record(
        self, reservation: Reservation, taken: Collection[str | None]
    ) -> bool:
        """Tell whether the room of a reservation has a record, or was given one by now."""
        if "room_id" in reservation.unsaid:
            return False
        if reservation.room_id in taken:
            return True
        return _in_room(self.records, reservation.room_id) is not None

    def _new_record(
        self, reservation: Reservation, taken: Collection[str | None]
    ) -> Booking:
        """Return a record of a meeting without one: of the reservation's room, or the first that is left."""
        room_id = reservation.room_id
        left = [m for m in self.meetings if m.spec.room_id not in taken]
        if not left:
            left = self.meetings
        of_its_room = [m for m in left if m.spec.room_id == room_id]
        meeting = of_its_room[0] if of_its_room else left[0]
        record = Booking.of(meeting)
        if "room_id" in reservation.unsaid:
            return record
        return replace(record, room_id=room_id)


def _with_mark(records: Iterable[Booking], mark: str) -> Booking | None:
    for record in records:
        if record.mark == mark:
            return record
    return None


def _in_room(records: Iterable[Booking], room_id: str | None) -> Booking | None:
    for record in records:
        if record.room_id == room_id:
            return record
    return None


def _booking_of(
    record: Booking, reservation: Reservation, generation: int, mark: str
) -> Booking:
    """Return the booking for a reservation that was found, in place of a record."""
    there = replace(record, generation=generation, mark=mark, pending=record.spec)
    return adopted_from(there, reservation, keep_room=True)


def made_by(
    booking: Booking, reservations: Iterable[Reservation], known_ids: Collection[str]
) -> list[Reservation]:
    """Return the reservations that a create in doubt made: first the one in its place, then the oldest.

    One with its mark that another creator made is somebody's copy.
    `known_ids` belong to other bookings already, so they are never claimed twice.
    """
    pending = booking.pending
    attempted = booking.attempted_at
    assert pending is not None  # a booking in doubt has it
    assert attempted is not None  # a booking in doubt has it
    unknown = [r for r in reservations if r.reservation_id not in known_ids]
    free = [r for r in unknown if r.is_by(pending.creator)]
    found: list[Reservation] = []
    if booking.mark is not None:
        found = [r for r in free if str(r.mark) == booking.mark]
    if not found:
        found = [r for r in free if _looks_made(r, pending, attempted)]

    def rank(reservation: Reservation) -> tuple[object, ...]:
        is_in_place = reservation.is_in_place_of(pending)
        return (not is_in_place, reservation.age_key())

    return sorted(found, key=rank)


def _looks_made(
    reservation: Reservation, pending: ReservationSpec, attempted: datetime
) -> bool:
    """Tell whether a reservation without a mark looks as if a request of that time had made it."""
    if reservation.mark is not None or not reservation.is_in_place_of(pending):
        return False
    created = reservation.created_at
    if created is not None and created < attempted - CLOCK_SKEW:
        return False
    return same_text(reservation.topic, pending.topic)


def adopted_from(
    booking: Booking, reservation: Reservation, *, keep_room: bool = False
) -> Booking:
    """Return the booking of a reservation that was found: booked, with what the API really has.

    One that makes no sense is booked as it was asked for, and says so: another one would be a second.
    Its record keeps its room with `keep_room`, and where the reservation stands in another room than it was
    asked for: another record of its meeting may have that one; the plan brings it back.
    """
    asked = booking.pending or booking.spec
    there = reservation.onto(asked)
    approval = reservation.status is ReservationStatus.AWAITING_APPROVAL
    confirmed = replace(booking, pending=there or asked)
    found = confirmed.booked(reservation.reservation_id, approval=approval)
    if there is None:
        found = found.unclear(reservation.oddity)
    if keep_room or found.spec.room_id != asked.room_id:
        found = replace(found, room_id=booking.room_id)
    return found


def search_window(
    bookings: Iterable[Booking], margin: timedelta
) -> tuple[datetime, datetime]:
    """Return a window in which all these bookings would be listed, whatever the API's window means."""
    starts: list[datetime] = []
    ends: list[datetime] = []
    for booking in bookings:
        for spec in (booking.pending, booking.content):
            if spec is not None:
                starts.append(spec.start)
                ends.append(spec.end)
    return min(starts) - margin, max(ends) + margin
