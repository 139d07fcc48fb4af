"""Which bookings are shown: by room, day, source and state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo

from syncd.core.booking import UNANSWERED_STATES, Booking, BookingState
from syncd.core.occurrence import OccurrenceKey
from syncd.ledger import Ledger

STATES = (*(state.value for state in BookingState), "in_doubt", "vanished")
"""The words for how a booking stands: its state, or that a person may have to decide about it."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day in a time zone."""

    date: date
    zone: tzinfo

    @property
    def start(self) -> datetime:
        """Return when it begins."""
        return datetime.combine(self.date, time(), self.zone)

    @property
    def end(self) -> datetime:
        """Return when the next one begins."""
        return datetime.combine(self.date + timedelta(days=1), time(), self.zone)

    def touches(self, start: datetime, end: datetime) -> bool:
        """Tell whether a meeting is on this day, in part at least."""
        return is_within(start, end, self.start, self.end)


def is_within(start: datetime, end: datetime, since: datetime, until: datetime) -> bool:
    """Tell whether a meeting is between two moments, in part at least, or goes on at one.

    A meeting without length is where it starts.
    """
    if start <= since < end:
        return True
    return since <= start < until or start == since


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingChoice:
    """What bookings have to be so that they are shown; an empty part asks for nothing."""

    rooms: frozenset[str] = field(default_factory=frozenset)
    day: Day | None = None
    sources: frozenset[str] = field(default_factory=frozenset)
    states: frozenset[str] = field(default_factory=frozenset)

    @property
    def asks_for_nothing(self) -> bool:
        """Return whether it chooses all bookings."""
        return self == BookingChoice()

    def find(self, ledger: Ledger) -> tuple[Booking, ...]:
        """Return the bookings that are as asked for, closed ones too, by key, room and age."""
        if self.day is None:
            found = ledger.bookings.all()
        else:
            day = self.day
            found = ledger.timetable.between(
                day.start, day.end, self.rooms, self.sources
            )
        chosen = filter(self._accepts, found)
        return tuple(sorted(chosen, key=_by_key))

    def _accepts(self, booking: Booking) -> bool:
        if self.rooms and booking.room_id not in self.rooms:
            return False
        if self.sources and booking.source not in self.sources:
            return False
        if self.states and self.states.isdisjoint(_states_of(booking)):
            return False
        spec = booking.spec
        return self.day is None or self.day.touches(spec.start, spec.end)


def _by_key(booking: Booking) -> tuple[OccurrenceKey, str, int]:
    return booking.key, booking.room_id or "", booking.row


def _states_of(booking: Booking) -> set[str]:
    states = {booking.state.value}
    if booking.in_doubt:
        states.add("in_doubt")
    if booking.is_vanished:
        states.add("vanished")
    return states


def by_time(booking: Booking) -> tuple[datetime, str, str, str]:
    """Return what bookings are sorted by for people: start, room, then what tells them apart."""
    key = booking.key
    return booking.spec.start, booking.room_id or "", key.uid, key.recurrence_id or ""


_HAD_A_SLOT = frozenset(
    {BookingState.BOOKED, BookingState.APPROVAL, BookingState.ENDED}
)


def is_in_the_building(booking: Booking) -> bool:
    """Tell whether a booking has its slot, had it until its end, or may have it."""
    if not booking.reservation_id:
        return booking.state in UNANSWERED_STATES
    return booking.in_doubt or booking.state in _HAD_A_SLOT


_WANTED = frozenset({BookingState.WAITING, BookingState.REFUSED})


def is_only_wanted(booking: Booking) -> bool:
    """Tell whether a booking stands for a meeting that a calendar asks for and that is not booked."""
    return booking.state in _WANTED
