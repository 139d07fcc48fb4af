"""Tells which reservations that people made by hand are meetings of the calendars.

Without our mark nothing proves whose a reservation is, so a guess would change what belongs to somebody else.
Taken over is only what stands at the room and the time of a meeting under its topic, by its organizer as far as
both are known, where each of the two has no other to choose from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.core.booking import Booking, BookingState
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Reason
from syncd.core.recognise import adopted_from
from syncd.core.reservation import Reservation
from syncd.core.text import fold_name

_OPEN = frozenset({BookingState.WAITING, BookingState.REFUSED})
"""States of a record that waits for a reservation."""

_TAKEN_OVER = (
    "It was made by hand and is taken over; its mark is written with the next change."
)

_Room = tuple[OccurrenceKey, str | None]


@dataclass(frozen=True, slots=True)
class HandMade:
    """A reservation that was made by hand, and the one meeting of the calendars that it is.

    `record` is what the ledger has of the meeting, None if nothing.
    """

    meeting: Meeting
    reservation: Reservation
    record: Booking | None = None

    def booking(self, generation: int, mark: Mark | None) -> Booking:
        """Return the booking that holds the reservation from now on.

        A mark is not in the reservation yet, so the booking says that it is still to be written.
        """
        meeting = self.meeting
        record = self.record or Booking.of(meeting)
        shown = record.shown_by(meeting, meeting.occurrence.fingerprint)
        asked = replace(
            shown,
            generation=generation,
            mark=str(mark) if mark else None,
            pending=meeting.spec,
        )
        found = adopted_from(asked, self.reservation)
        if mark is None:
            return found
        return found.with_state(found.state, Reason.TAKEN_OVER, _TAKEN_OVER)


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Meetings and reservations of which nobody can tell which is which; all of them are left."""

    meetings: tuple[Meeting, ...]
    reservations: tuple[Reservation, ...]

    @property
    def told(self) -> str:
        """Return what a person has to decide, and how."""
        ids = ", ".join(there.reservation_id for there in self.reservations)
        return (
            f"Made by hand and perhaps this meeting: {ids}. Say which one (syncd resolve --adopt), "
            "or cancel one in Tuya and run syncd adopt --by-content again."
        )


@dataclass(frozen=True, slots=True)
class ByContent:
    """What the reservations without a mark are to the calendars.

    `left` are records of meetings that are ambiguous, so that they are not booked a second time.
    `unmatched` are of no meeting; `in_the_way` names the meetings whose room they hold, by reservation id.
    """

    found: tuple[HandMade, ...] = ()
    ambiguous: tuple[Ambiguous, ...] = ()
    left: tuple[Booking, ...] = ()
    unmatched: tuple[Reservation, ...] = ()
    in_the_way: Mapping[str, tuple[Meeting, ...]] = field(default_factory=dict)


def match_by_content(
    reservations: Iterable[Reservation],
    meetings: Iterable[Meeting],
    bookings: Iterable[Booking],
    stand_ins: Collection[str],
    now: datetime,
) -> ByContent:
    """Return which reservations without a mark are meetings that have no reservation yet.

    `bookings` are the current ones: what one of them holds or may hold stays as it is.
    `stand_ins` are the users who create meetings whose organizer has no user: of such a meeting it is not
    known who made it.
    """
    known = list(bookings)
    records = _records(known)
    held = {booking.reservation_id for booking in known if booking.reservation_id}
    wanted = [m for m in meetings if _is_without(records.get(_room_of(m), []))]
    free = [r for r in reservations if _is_by_hand(r, now)]
    free = [r for r in free if r.reservation_id not in held]
    pairs = _pairs(free, wanted, stand_ins)
    found: list[HandMade] = []
    ambiguous: list[Ambiguous] = []
    left: list[Booking] = []
    for group in _groups(pairs):
        if len(group.meetings) == len(group.reservations) == 1:
            (meeting,) = group.meetings
            (reservation,) = group.reservations
            record = next(iter(records.get(_room_of(meeting), [])), None)
            found.append(HandMade(meeting, reservation, record))
        else:
            ambiguous.append(group)
            left += _left(group, records)
    matched = {reservation.reservation_id for reservation, _ in pairs}
    unmatched = [r for r in free if r.reservation_id not in matched]
    return ByContent(
        found=tuple(found),
        ambiguous=tuple(ambiguous),
        left=tuple(left),
        unmatched=tuple(unmatched),
        in_the_way=_in_the_way(unmatched, wanted),
    )


def _left(
    group: Ambiguous, records: Mapping[_Room, Sequence[Booking]]
) -> Iterator[Booking]:
    """Yield the records of the meetings about which a person has to decide."""
    for meeting in group.meetings:
        known = records.get(_room_of(meeting), ())
        row = known[0].row if known else 0
        left = Booking.of(meeting, BookingState.REFUSED, Reason.AMBIGUOUS, group.told)
        yield replace(left, row=row)


def _room_of(meeting: Meeting) -> _Room:
    return meeting.key, meeting.spec.room_id


def _records(bookings: Iterable[Booking]) -> Mapping[_Room, list[Booking]]:
    records: defaultdict[_Room, list[Booking]] = defaultdict(list)
    for booking in bookings:
        records[booking.key, booking.room_id].append(booking)
    return records


def _is_without(records: Sequence[Booking]) -> bool:
    """Tell whether a meeting has no reservation, none that may arrive, and nobody gave it up."""
    for record in records:
        if record.state not in _OPEN or record.in_doubt:
            return False
        if record.reservation_id or record.reason is Reason.DROPPED:
            return False
    return True


def _is_by_hand(reservation: Reservation, now: datetime) -> bool:
    """Tell whether a reservation is live, to come, sound, and known to carry nobody's mark."""
    if not reservation.live or reservation.oddity or reservation.is_over(now):
        return False
    is_told = "description" not in reservation.unsaid
    return is_told and reservation.mark is None


def _pairs(
    reservations: Iterable[Reservation],
    meetings: Iterable[Meeting],
    stand_ins: Collection[str],
) -> list[tuple[Reservation, Meeting]]:
    """Return each reservation with each meeting that it may be."""
    at: defaultdict[tuple[object, ...], list[Meeting]] = defaultdict(list)
    for meeting in meetings:
        spec = meeting.spec
        at[spec.room_id, spec.start, spec.end].append(meeting)
    pairs: list[tuple[Reservation, Meeting]] = []
    for there in reservations:
        if "room_id" in there.unsaid:
            continue
        at_its_place = at.get((there.room_id, there.start, there.end), ())
        meant = [m for m in at_its_place if _is_meant(there, m, stand_ins)]
        pairs += [(there, meeting) for meeting in meant]
    return pairs


def _is_meant(
    reservation: Reservation, meeting: Meeting, stand_ins: Collection[str]
) -> bool:
    """Tell whether topic and creator of a reservation in the place of a meeting are those of the meeting.

    Where no room tells, the creator has to be known.
    """
    spec = meeting.spec
    topics = {fold_name(spec.topic), fold_name(meeting.occurrence.summary)}
    if "topic" in reservation.unsaid or fold_name(reservation.topic) not in topics:
        return False
    is_known = spec.creator not in stand_ins and "creator" not in reservation.unsaid
    if is_known:
        return reservation.creator == spec.creator
    return spec.room_id is not None


def _groups(pairs: Sequence[tuple[Reservation, Meeting]]) -> list[Ambiguous]:
    """Return the pairs that share a reservation or a meeting together; a group of one pair is certain."""
    of_reservation: defaultdict[str, list[int]] = defaultdict(list)
    of_meeting: defaultdict[_Room, list[int]] = defaultdict(list)
    for number, (there, meeting) in enumerate(pairs):
        of_reservation[there.reservation_id].append(number)
        of_meeting[_room_of(meeting)].append(number)
    groups: list[Ambiguous] = []
    seen: set[int] = set()
    for first in range(len(pairs)):
        members: list[int] = []
        waiting = [first]
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            members.append(number)
            there, meeting = pairs[number]
            waiting += of_reservation[there.reservation_id]
            waiting += of_meeting[_room_of(meeting)]
        if members:
            groups.append(_group([pairs[number] for number in sorted(members)]))
    return groups


def _group(pairs: Iterable[tuple[Reservation, Meeting]]) -> Ambiguous:
    reservations: dict[str, Reservation] = {}
    meetings: dict[_Room, Meeting] = {}
    for there, meeting in pairs:
        reservations[there.reservation_id] = there
        meetings[_room_of(meeting)] = meeting
    return Ambiguous(tuple(meetings.values()), tuple(reservations.values()))


def _in_the_way(
    reservations: Iterable[Reservation], meetings: Iterable[Meeting]
) -> dict[str, tuple[Meeting, ...]]:
    """Return the meetings whose room a reservation holds at their time, by reservation id."""
    by_room: defaultdict[str, list[Meeting]] = defaultdict(list)
    for meeting in meetings:
        if meeting.spec.room_id is not None:
            by_room[meeting.spec.room_id].append(meeting)
    found: dict[str, tuple[Meeting, ...]] = {}
    for there in reservations:
        wanted = by_room.get(there.room_id or "", [])
        barred = [m for m in wanted if there.overlaps(m.spec.start, m.spec.end)]
        if barred:
            found[there.reservation_id] = tuple(barred)
    return found
