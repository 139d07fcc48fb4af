"""What becomes of each occurrence of one UID, and of each reservation that was ever made for it.

Most of it stands in the plan; this finds what a plan does not list because nothing is done about it:
bookings that are right, bookings that nobody can judge, dates that are cancelled, over or too far ahead.
Every fate has an action and, wherever something is not as the calendar wants it, a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from syncd.core.booking import CLOSED_STATES, HOLDING_STATES, Booking, BookingState
from syncd.core.cancels import Cancels, Draft
from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.mapper import Mapped, Skipped, Wanted
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Occurrence, OccurrenceKey
from syncd.core.reasons import MEANINGS, REFUSALS, Note, Reason
from syncd.core.reservation import ReservationSpec
from syncd.core.resolve import Decision
from syncd.core.text import fold_space
from syncd.intake import extent
from syncd.ledger import HistoryEntry, Ledger
from syncd.reconciler import Examination


@dataclass(frozen=True, slots=True)
class Fate:
    """One occurrence in one room, or one reservation made for it.

    `action` is that of the plan (create, update, cancel, hold, wait, skip), `unchanged`, `close` (the record
    ends without a request) or `none`.
    `booking` is the record as the ledger has it, `moved_from` its key if it follows its meeting to another.
    `wanted` is what the calendar asks for, None where that is nothing or not known.
    `decision` is what a person decided and no cycle has carried out yet.
    """

    key: OccurrenceKey
    action: str
    reason: Reason | None
    detail: str
    room_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    topic: str = ""
    booking: Booking | None = None
    change: Change | None = None
    moved_from: OccurrenceKey | None = None
    wanted: ReservationSpec | None = None
    seen: Witnessed | None = None
    notes: tuple[Note, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    decision: Decision | None = None

    @property
    def approvable(self) -> bool:
        """Whether a cancellation waits for a person's approval."""
        return isinstance(self.change, Hold) and self.change.approvable

    @property
    def closed(self) -> bool:
        """Whether it is a record of the past: cancelled, or over."""
        return self.booking is not None and self.booking.state in CLOSED_STATES

    @property
    def needs_person(self) -> bool:
        """Whether a person has to look: refused, held, in doubt, rejected or quarantined."""
        if self.approvable or self.reason in {Reason.IN_DOUBT, Reason.VANISHED}:
            return True
        if isinstance(self.change, Skip) and self.change.needs_person:
            return True
        if self.booking is None or self.closed:
            return False
        if self.booking.in_doubt:
            return True
        settled = self.action in {"create", "update", "cancel", "close"}
        refused = self.booking.state is BookingState.REFUSED or self.booking.reason in REFUSALS
        return refused and (not settled or self.reason is Reason.ROOM_FREE_AGAIN)


def fates_of(uid: str, examined: Examination, ledger: Ledger, later: Mapped | None) -> tuple[Fate, ...]:
    """All fates of a UID by time; `later` is what its first occurrence beyond the horizon asks for."""
    found = _Search(uid, examined, ledger).run(later)
    return tuple(sorted(found, key=_position))


def later_occurrence(examined: Examination) -> Occurrence | None:
    """The first occurrence beyond the horizon in any source."""
    ahead = [account.later for account in examined.accounts.values() if account.later is not None]
    return min(ahead, key=lambda o: (extent(o)[0], o.key), default=None)


def topic_of(occurrence: Occurrence) -> str:
    """The topic for people to see: that of a private event stays its own."""
    return "Private meeting" if occurrence.private else fold_space(occurrence.summary)


class _Search:
    """The working state of one call of `fates_of`."""

    def __init__(self, uid: str, examined: Examination, ledger: Ledger) -> None:
        self.uid = uid
        self.examined = examined
        self.plan = examined.plan
        self.window = examined.grounds.policy.window
        self.ledger = ledger
        self.planned = {b.row: b for b in self.plan.amended if b.row}
        self.closing = {b.row: b for b in self.plan.closed}
        self.seen = {
            w.occurrence.key: w for w in examined.grounds.wish.witnessed if w.occurrence.key.uid == uid
        }
        self.bookings = {
            b.row: b
            for b in examined.grounds.bookings
            if uid in {b.key.uid, self.planned.get(b.row, b).key.uid}
        }

    def run(self, later: Mapped | None) -> Iterator[Fate]:
        planned = [self._planned(change) for change in self.plan.changes if _key(change).uid == self.uid]
        told = {fate.booking.row for fate in planned if fate.booking is not None}
        settled = [self._settled(b) for row, b in self.bookings.items() if row not in told]
        # A date that is cancelled in the calendar has its story in the reservation that it had.
        former = [self._former(b) for b in self.ledger.bookings.of(self.uid) if b.state in CLOSED_STATES]
        booked = {fate.key for fate in (*planned, *settled) if fate.booking is not None}
        # Why an occurrence is not booked by rule stands in what becomes of its reservation, if it has one.
        live = [f for f in (*planned, *settled) if f.booking is not None or f.key not in booked]
        keys = {fate.key for fate in (*live, *former)}
        cancelled = [self._cancelled(w) for key, w in self.seen.items() if key not in keys]
        beyond = self._beyond(later, {fate.key for fate in live})
        decisions = {decision.booking: decision for decision in self.ledger.people.decisions()}
        for fate in (*live, *former, *filter(None, cancelled), *beyond):
            row = fate.booking.row if fate.booking is not None else 0
            if row > 0:
                yield replace(fate, history=self.ledger.bookings.history(row), decision=decisions.get(row))
            else:
                yield fate

    def _planned(self, change: Change) -> Fate:
        key = _key(change)
        fate = Fate(
            key=key,
            action=type(change).__name__.lower(),
            reason=change.reason,
            detail=change.detail,
            change=change,
            seen=self.seen.get(key),
        )
        match change:
            case Create(meeting=meeting) | Update(meeting=meeting) | Wait(meeting=meeting):
                spec, booking = meeting.spec, change.booking
                fate = replace(fate, notes=meeting.notes, wanted=spec)
            case Cancel(booking=booking) | Hold(booking=booking):
                spec = booking.spec
            case Skip(span=span):
                return replace(
                    fate,
                    room_id=change.room_id,
                    start=span.start if span else None,
                    end=span.end if span else None,
                    topic=change.topic,
                    booking=self._booking_of(change),
                    wanted=self._wanted(key, change.room_id),
                    notes=self._notes(key),
                )
            case _:
                assert_never(change)
        known = self.bookings.get(booking.row) if booking is not None else None
        return replace(
            fate,
            room_id=spec.room_id,
            start=spec.start,
            end=spec.end,
            topic=spec.topic,
            booking=known,
            moved_from=known.key if known is not None and known.key != key else None,
        )

    def _booking_of(self, skip: Skip) -> Booking | None:
        """The record that a skipped row is about; a quarantined UID may have several, none is its own."""
        if skip.reason in {Reason.QUARANTINED, Reason.NO_UID}:
            return None
        for booking in self.bookings.values():
            same_place = (self._now(booking).key, booking.room_id) == (skip.key, skip.room_id)
            if booking.reservation_id == skip.reservation_id and (skip.reservation_id or same_place):
                return booking
        return None

    def _now(self, booking: Booking) -> Booking:
        """A booking as the plan leaves it."""
        return self.planned.get(booking.row, booking)

    def _wanted(self, key: OccurrenceKey, room_id: str | None) -> ReservationSpec | None:
        """What the occurrence asks for in a room."""
        mapped = self.examined.grounds.wish.mapped.get(key)
        specs = mapped.specs if isinstance(mapped, Wanted) else ()
        return next((spec for spec in specs if spec.room_id == room_id), None)

    def _notes(self, key: OccurrenceKey) -> tuple[Note, ...]:
        mapped = self.examined.grounds.wish.mapped.get(key)
        return mapped.notes if mapped is not None else ()

    def _settled(self, booking: Booking) -> Fate:
        """A booking about which nothing is done: it is right, it ends by itself, or nobody can judge it."""
        now = self._now(booking)
        spec = booking.spec
        fate = replace(
            self._former(booking),
            key=now.key,
            moved_from=booking.key if booking.key != now.key else None,
            seen=self.seen.get(now.key),
            wanted=self._wanted(now.key, booking.room_id),
            notes=self._notes(now.key),
        )
        closing = self.closing.get(booking.row)
        if closing is not None:
            detail = closing.detail or (MEANINGS[closing.reason] if closing.reason else "")
            over = closing.state is BookingState.ENDED
            return replace(
                fate, action="close", reason=closing.reason, detail="It is over." if over else detail
            )
        if now.key.uid != self.uid:
            detail = (
                f"The calendar gave the meeting another UID; the reservation goes on under {now.key.uid}."
            )
            return replace(
                fate, key=booking.key, moved_from=None, detail=detail, wanted=None, seen=None, notes=()
            )
        mapped = self.examined.grounds.wish.mapped.get(now.key)
        if mapped is None:
            judged = _cancels(self.examined).absence(now)
            return replace(fate, reason=judged.reason, detail=judged.detail)
        if booking.state in HOLDING_STATES and fate.wanted is not None:
            if fate.wanted.fingerprint == spec.fingerprint:
                return replace(fate, action="unchanged")
            if fate.seen is not None and booking.drifted == fate.seen.occurrence.fingerprint:
                detail = (
                    "Somebody changed it in Tuya, which is respected; it stays so until the event changes."
                )
                return replace(fate, action="unchanged", detail=detail)
        if booking.state not in HOLDING_STATES and spec.start >= self.window.end:
            return replace(fate, reason=None, detail=self._when_near(spec.start))
        return fate

    def _former(self, booking: Booking) -> Fate:
        """A reservation as its record tells of it."""
        spec = booking.spec
        return Fate(
            key=booking.key,
            action="none",
            reason=booking.reason,
            detail=booking.detail,
            room_id=booking.room_id,
            start=spec.start,
            end=spec.end,
            topic=spec.topic,
            booking=booking,
        )

    def _cancelled(self, seen: Witnessed) -> Fate | None:
        """A date that the calendar shows as cancelled and that holds no reservation."""
        occurrence = seen.occurrence
        start, end = extent(occurrence)
        if not occurrence.cancelled or start >= self.window.end or end <= self.examined.now:
            return None
        detail = "The calendar says that the meeting is cancelled."
        return Fate(
            key=occurrence.key,
            action="none",
            reason=Reason.EVENT_CANCELLED,
            detail=detail,
            start=start,
            end=end,
            topic=topic_of(occurrence),
            seen=seen,
        )

    def _beyond(self, later: Mapped | None, keys: Iterable[OccurrenceKey]) -> Iterator[Fate]:
        occurrence = later_occurrence(self.examined)
        if later is None or occurrence is None or occurrence.key in keys:
            return
        start, end = extent(occurrence)
        fate = Fate(
            key=occurrence.key,
            action="none",
            reason=None,
            detail="",
            start=start,
            end=end,
            topic=topic_of(occurrence),
            seen=Witnessed(occurrence, (occurrence.source,)),
        )
        if isinstance(later, Skipped):
            yield replace(fate, action="skip", reason=later.reason, detail=later.detail)
            return
        for spec in later.specs:
            yield replace(
                fate,
                detail=self._when_near(spec.start),
                room_id=spec.room_id,
                start=spec.start,
                end=spec.end,
                topic=spec.topic,
                wanted=spec,
                notes=later.notes,
            )

    def _when_near(self, start: datetime) -> str:
        ahead = self.window.end - self.window.start
        return (
            f"It begins beyond the horizon of {ahead.days} days (calendar.horizon); "
            f"it is booked when it comes within the horizon, on {start - ahead:%Y-%m-%d}."
        )


def _key(change: Change) -> OccurrenceKey:
    match change:
        case Create(meeting=meeting) | Update(meeting=meeting) | Wait(meeting=meeting):
            return meeting.key
        case Cancel(booking=booking) | Hold(booking=booking):
            return booking.key
        case Skip(key=key):
            return key


def _cancels(examined: Examination) -> Cancels:
    """What judges absence in the plan, with the same stock of live bookings."""
    cancels = Cancels(Draft(), examined.readings, examined.grounds.policy)
    cancels.take_stock(
        b for b in examined.grounds.bookings if not b.is_unanswered and b.spec.end > examined.now
    )
    return cancels


def _position(fate: Fate) -> tuple[bool, float, str, bool, str, int]:
    start = fate.start.timestamp() if fate.start is not None else 0.0
    row = fate.booking.row if fate.booking is not None else 0
    recurrence_id = fate.key.recurrence_id or ""
    return (fate.start is not None, start, recurrence_id, not fate.closed, fate.room_id or "", row)
