"""Checks of the tenant's booking rules against the meetings of the next thirty days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from syncd.assembly.settings import mapping_rules
from syncd.core.amounts import some
from syncd.core.booking import HOLDING_STATES
from syncd.core.mapper import Mapper, Wanted
from syncd.core.reservation import ReservationSpec
from syncd.doctor.api import REACHABLE, RULES, TOKEN
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, note, well, wrong
from syncd.doctor.patient import Patient
from syncd.doctor.state import USABLE

_AHEAD = timedelta(days=30)
_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SETTINGS = "open Tuya console > Meeting > Settings > Reservation rules"


@dataclass(frozen=True, slots=True)
class _InRoom:
    """A meeting in a room, by the clock of the calendars."""

    topic: str
    room: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        begins, ends = self.start.astimezone(UTC), self.end.astimezone(UTC)
        return (
            f"{self.room} from {begins:%Y-%m-%d %H:%M} UTC to {ends:%Y-%m-%d %H:%M} UTC"
        )


def _meetings(patient: Patient) -> Sequence[_InRoom]:
    """Return the meetings in rooms of the next thirty days: those that are booked, and those asked for."""
    config = patient.config
    names = {room.id: room.name or room.id for room in config.rooms}
    zone = config.calendar.timezone
    found: dict[tuple[str, datetime, datetime], _InRoom] = {}
    for spec in _specs(patient):
        if spec.room_id is None:
            continue
        if spec.end <= patient.now or spec.start > patient.now + _AHEAD:
            continue
        room = names.get(spec.room_id, spec.room_id)
        key = (spec.room_id, spec.start, spec.end)
        found[key] = _in_zone(spec, room, zone)
    return sorted(found.values(), key=lambda meeting: meeting.start)


def _in_zone(spec: ReservationSpec, room: str, zone: tzinfo) -> _InRoom:
    start, end = spec.start.astimezone(zone), spec.end.astimezone(zone)
    return _InRoom(spec.topic, room, start, end)


def _specs(patient: Patient) -> Iterator[ReservationSpec]:
    for booking in patient.ledger.bookings.current():
        if booking.state in HOLDING_STATES:
            yield booking.spec
    mapper = Mapper(mapping_rules(patient.config))
    for reading in patient.readings.values():
        for occurrence in reading.occurrences:
            mapped = mapper.map(occurrence)
            if isinstance(mapped, Wanted):
                yield from mapped.specs


def _told(
    what: str, meetings: Iterable[_InRoom], fits: Callable[[_InRoom], bool], cure: str
) -> Finding | None:
    """Return the problem that some meetings do not fit a rule, with the first of them; None if all do."""
    outside = [meeting for meeting in meetings if not fits(meeting)]
    if not outside:
        return None
    are = "is" if len(outside) == 1 else "are"
    return wrong(
        f"{some(len(outside), 'meeting')} of the next 30 days {are} {what} and may be refused; the first: "
        f"{outside[0]}.",
        cure,
    )


def _fit_opening_hours(patient: Patient) -> Iterator[Finding]:
    rules = patient.rules
    opens, closes = _clock(rules.start_time), _clock(rules.end_time)
    days = {day.strip().lower() for day in rules.booking_date}

    def fits(meeting: _InRoom) -> bool:
        on_a_day = not days or _WEEK[meeting.start.weekday()].lower() in days
        after = opens is None or meeting.start.time() >= opens
        same_day = meeting.start.date() == meeting.end.date()
        before = closes is None or (same_day and meeting.end.time() <= closes)
        return on_a_day and after and before

    hours = f"{rules.start_time or '0:00'} to {rules.end_time or '24:00'}"
    problem = _told(
        f"outside of the opening hours ({hours})",
        _meetings(patient),
        fits,
        f"{_SETTINGS} > Bookable time",
    )
    yield problem or well(f"All meetings of the next 30 days are within {hours}.")


def _clock(text: str | None) -> time | None:
    if text is None:
        return None
    try:
        return time.fromisoformat(text.zfill(5))
    except ValueError:
        return None


def _fit_lengths(patient: Patient) -> Iterator[Finding]:
    shortest, longest = patient.rules.min_minute, patient.rules.max_hour
    meetings = _meetings(patient)
    problems: list[Finding | None] = []
    if shortest is not None:
        least = timedelta(minutes=shortest)
        problems.append(
            _told(
                f"shorter than {shortest} minutes",
                meetings,
                lambda meeting: meeting.end - meeting.start >= least,
                f"{_SETTINGS} > Shortest booking",
            )
        )
    if longest is not None:
        most = timedelta(hours=longest)
        problems.append(
            _told(
                f"longer than {longest} hours",
                meetings,
                lambda meeting: meeting.end - meeting.start <= most,
                f"{_SETTINGS} > Longest booking",
            )
        )
    found = [problem for problem in problems if problem is not None]
    yield from found
    if not found:
        yield well("All meetings of the next 30 days are as long as the rules allow.")


def _fit_days_ahead(patient: Patient) -> Iterator[Finding]:
    most = patient.rules.max_day
    if most is None:
        yield well("Tuya lets book as far ahead as one likes.")
        return
    limit = patient.now + timedelta(days=most)
    later = [meeting for meeting in _meetings(patient) if meeting.start > limit]
    if not later:
        yield well(
            f"All meetings in rooms are within the {most} days that Tuya allows."
        )
        return
    yield note(
        f"Tuya lets book {most} days ahead; further away, and waiting: {some(len(later), 'meeting')} of the "
        "next 30 days.",
        f"{_SETTINGS} > Days ahead",
    )


_NEEDS = (GOOD, USABLE, REACHABLE, TOKEN, RULES)
CHECKS_OF_RULES = (
    Check(
        "rules",
        "opening hours",
        "whether meetings are within them",
        _fit_opening_hours,
        _NEEDS,
        True,
    ),
    Check(
        "rules",
        "length",
        "whether meetings are too short or too long",
        _fit_lengths,
        _NEEDS,
        True,
    ),
    Check(
        "rules",
        "days ahead",
        "whether meetings are too far ahead",
        _fit_days_ahead,
        _NEEDS,
        True,
    ),
)
