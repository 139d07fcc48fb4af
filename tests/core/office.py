"""Calendars and bookings for the tests of planning, and a simulator that applies plans to bookings.

Pure values; the mapper, the evidence and the plan are the real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from syncd.core.booking import CLOSED_STATES, HOLDING_STATES, Booking, BookingState
from syncd.core.changes import (
    Cancel,
    Change,
    Create,
    Hold,
    Mode,
    OnCancel,
    OnChange,
    Plan,
    Skip,
    Update,
    Wait,
)
from syncd.core.deciding_copy import deciders_of
from syncd.core.evidence import Safety
from syncd.core.mapper import Mapper, MappingRules
from syncd.core.merge import merge
from syncd.core.occurrence import (
    Authority,
    Defect,
    Occurrence,
    OccurrenceKey,
    Presence,
    Reading,
    Timespan,
    Window,
    recurrence_id_of,
)
from syncd.core.plan import plan
from syncd.core.policy import CallBudget, Policy
from syncd.core.reasons import Reason
from syncd.core.reservation import ReservationSpec
from syncd.core.rooms import RoomRule
from syncd.core.totals import Resting

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RULES = MappingRules(
    creator="3",
    rooms=tuple(
        RoomRule(f"room-{n}", frozenset(), frozenset({n})) for n in ("a", "b", "c")
    ),
)


def event(
    uid: str,
    day: float = 1,
    *,
    original: float | None = None,
    rooms: str = "a",
    title: str = "Stand-up",
    length: timedelta = HOUR,
    source: str = "one",
    scope: str = "",
    sequence: int = 0,
    created: datetime | None = None,
    cancelled: bool = False,
    transparent: bool = False,
    organizer: str = "boss@example.com",
    authority: Authority = Authority.GUEST,
) -> Occurrence:
    """An occurrence `day` days from NOW; `original` is the day of its recurrence id, if it has one."""
    recurrence_id = None if original is None else recurrence_id_of(NOW + original * DAY)
    return Occurrence(
        key=OccurrenceKey(scope, uid, recurrence_id),
        source=source,
        when=Timespan(NOW + day * DAY, NOW + day * DAY + length),
        line=1,
        summary=title,
        location=rooms,
        sequence=sequence,
        created=created,
        cancelled=cancelled,
        transparent=transparent,
        authority=authority,
        copy_organizer=(organizer,) if organizer else (),
    )


@dataclass
class Office:
    """A ledger of bookings and what planning needs beside readings; every reading is a new minute."""

    mode: Mode = Mode.FULL
    sources: tuple[str, ...] = ("one",)
    safety: Safety = field(default_factory=Safety)
    rules: MappingRules = RULES
    horizon: timedelta = 30 * DAY
    advance: timedelta | None = None
    approved: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    on_change: OnChange = OnChange.ACCEPT
    on_cancel: OnCancel = OnCancel.RESPECT
    calls: CallBudget | None = None
    now: datetime = NOW
    bookings: dict[int, Booking] = field(default_factory=dict)
    made: int = 0

    @property
    def window(self) -> Window:
        return Window.ahead(self.now, self.horizon)

    @property
    def current(self) -> list[Booking]:
        return [b for b in self.bookings.values() if b.state not in CLOSED_STATES]

    @property
    def live(self) -> list[Booking]:
        return [b for b in self.current if b.state in HOLDING_STATES]

    def reading(
        self,
        *occurrences: Occurrence,
        source: str = "one",
        presence: Mapping[str, Presence] | None = None,
        error: str | None = None,
        events: int | None = None,
        documents: int = 1,
        defects: Sequence[Defect] = (),
    ) -> Reading:
        """A complete reading of these occurrences; their UIDs count as series unless `presence` differs."""
        stands = {o.key.uid: Presence.SERIES for o in occurrences} | dict(
            presence or {}
        )
        return Reading(
            source=source,
            at=self.now,
            window=self.window,
            digest="",
            occurrences=tuple(replace(o, source=source) for o in occurrences),
            presence=stands,
            defects=tuple(defects),
            error=error,
            documents=documents,
            events=len(stands) if events is None else events,
        )

    def unreadable(self, source: str = "one") -> Reading:
        return Reading.unreadable(source, self.now, self.window, "not there")

    def plan(self, *readings: Reading, order: Iterable[Booking] | None = None) -> Plan:
        """What a cycle would do; `order` gives the bookings in another order."""
        by_source = {reading.source: reading for reading in readings}
        witnessed = merge(
            by_source, lambda _uids: deciders_of(self.bookings.values()), self.owners
        )
        mapper = Mapper(self.rules)
        policy = Policy(
            mode=self.mode,
            window=self.window,
            configured=self.sources,
            safety=self.safety,
            advance=self.advance,
            approved=self.approved,
            on_change=self.on_change,
            on_cancel=self.on_cancel,
            calls=self.calls,
        )
        mapped = {
            seen.occurrence.key: mapper.map(seen.occurrence) for seen in witnessed
        }
        bookings = self.current if order is None else order
        # As the ledger tells who has a reservation, whatever became of it.
        blockers = {b.blocked_by for b in self.current}
        holders = {
            b.reservation_id: b
            for b in self.current
            if b.reservation_id and b.reservation_id in blockers
        }
        resting = Resting(holders=holders)
        return plan(witnessed, mapped, by_source, bookings, policy, self.now, resting)

    def apply(self, decided: Plan) -> None:
        """Do to the bookings what the applier does when the API agrees to everything."""
        for booking in (*decided.amended, *decided.closed):
            self.store(booking)
        for change in decided.writes:
            match change:
                case Create(meeting=meeting, booking=former):
                    row = 0
                    if former is not None and former.reservation_id is None:
                        row = former.row
                    elif former is not None:
                        self.store(former.with_state(BookingState.CANCELLED))
                    wish = Booking(
                        key=meeting.key,
                        room_id=meeting.spec.room_id,
                        generation=0,
                        mark=None,
                        state=BookingState.WAITING,
                        source=meeting.occurrence.source,
                        witnesses=meeting.witnesses,
                        origin=meeting.occurrence.fingerprint,
                        pending=meeting.spec,
                        row=row,
                    )
                    self.made += 1
                    self.store(wish.booked(str(1000 + self.made)))
                case Update(meeting=meeting, booking=booking):
                    assert booking.reservation_id is not None
                    intent = booking.sending(
                        meeting.spec, meeting.occurrence.fingerprint, self.now
                    )
                    intent = replace(
                        intent,
                        source=meeting.occurrence.source,
                        witnesses=meeting.witnesses,
                    )
                    self.store(intent.booked(booking.reservation_id))
                case Cancel(booking=booking):
                    self.store(
                        replace(booking, reason=change.reason).called_off(change.detail)
                    )
                case _:
                    assert_never(change)

    def cycle(self, *readings: Reading) -> Plan:
        """Plan, apply, and let a minute pass."""
        decided = self.plan(*readings)
        self.apply(decided)
        self.now += timedelta(minutes=1)
        return decided

    def book(self, *occurrences: Occurrence, source: str = "one") -> list[Booking]:
        """Bookings for these occurrences, made by an ordinary cycle."""
        self.cycle(self.reading(*occurrences, source=source))
        return self.live

    def store(self, booking: Booking) -> Booking:
        row = booking.row or len(self.bookings) + 1
        self.bookings[row] = replace(booking, row=row, updated_at=self.now)
        return self.bookings[row]

    def refused(
        self, booking: Booking, reason: Reason, pending: ReservationSpec | None = None
    ) -> Booking:
        """The API said no: to a create (`pending` None), or to an update to `pending`."""
        if pending is not None:
            return self.store(
                replace(booking, pending=pending, reason=reason, detail="no")
            )
        return self.store(
            replace(
                booking,
                state=BookingState.REFUSED,
                reservation_id=None,
                pending=booking.spec,
                content=None,
                reason=reason,
                detail="no",
            )
        )

    def conflict(self, booking: Booking) -> Booking:
        """The room of a create was taken; it is tried again in an hour."""
        return self.store(
            replace(
                self.refused(booking, Reason.ROOM_CONFLICT), retry_at=self.now + HOUR
            )
        )


def unanswered(booking: Booking) -> Booking:
    """The same booking as a create whose answer was lost."""
    return replace(
        booking.sending(booking.spec, booking.origin, NOW),
        content=None,
        reservation_id=None,
    )


def told(decided: Plan) -> list[tuple[str, str, str]]:
    """A plan in short: action, UID and reason of each change."""
    return [_short(change) for change in decided.changes]


def _short(change: Change) -> tuple[str, str, str]:
    action = type(change).__name__.lower()
    match change:
        case Create(meeting=meeting) | Update(meeting=meeting) | Wait(meeting=meeting):
            return (action, meeting.key.uid, change.reason.value)
        case Cancel(booking=booking) | Hold(booking=booking):
            return (action, booking.key.uid, change.reason.value)
        case Skip(key=key):
            return (action, key.uid, change.reason.value)
        case _:
            assert_never(change)
