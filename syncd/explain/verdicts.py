"""What becomes of each occurrence of one UID, and of each reservation that was ever made for it.

What is done or left about bookings and meetings stands in the plan; this adds what a plan is not about:
reservations of the past, and dates that are cancelled or too far ahead.
Every fate has an action and, wherever something is not as the calendar wants it, a reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from syncd.core.acknowledged import Acknowledged, Acknowledgement
from syncd.core.booking import CLOSED_STATES, Booking, BookingState
from syncd.core.changes import Cancel, Change, Create, Hold, Keep, Skip, Update, Wait
from syncd.core.mapper import Mapped, Skipped, Wanted
from syncd.core.merge import Witnessed
from syncd.core.occurrence import PRIVATE_TOPIC, Occurrence, OccurrenceKey
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
        """Return whether a cancellation waits for a person's approval."""
        return isinstance(self.change, Hold) and self.change.approvable

    @property
    def closed(self) -> bool:
        """Return whether it is a record of the past: cancelled, or over."""
        return self.booking is not None and self.booking.state in CLOSED_STATES

    @property
    def needs_person(self) -> bool:
        """Return whether a person has to look: refused, held, in doubt, rejected or quarantined."""
        if self.approvable or self.reason in {Reason.IN_DOUBT, Reason.VANISHED}:
            return True
        if isinstance(self.change, Skip) and self.change.needs_person:
            return True
        if self.booking is None or self.closed:
            return False
        return self.booking.in_doubt or self._is_still_refused(self.booking)

    def acknowledgement(self, acknowledged: Acknowledged) -> Acknowledgement | None:
        """Return who has seen what is wrong with it, if that is something to be acknowledged."""
        if self.change is not None:
            by_row = acknowledged.of_change(self.change)
            if by_row is not None:
                return by_row
        if self.booking is None or self.booking.in_doubt or self.approvable:
            return None
        return acknowledged.of_booking(self.booking)

    def _is_still_refused(self, booking: Booking) -> bool:
        """Tell whether the API said no, and nothing is done about it but to try again."""
        settled = self.action in {"create", "update", "cancel", "close"}
        refused = booking.state is BookingState.REFUSED or booking.reason in REFUSALS
        if not refused:
            return False
        return not settled or self.reason is Reason.ROOM_FREE_AGAIN


def fates_of(
    uid: str, examined: Examination, ledger: Ledger, later: Mapped | None
) -> tuple[Fate, ...]:
    """Return all fates of a UID by time; `later` is what its first occurrence beyond the horizon asks for."""
    found = _Search(uid, examined, ledger).run(later)
    return tuple(sorted(found, key=_position))


def later_occurrence(examined: Examination) -> Occurrence | None:
    """Return the first occurrence beyond the horizon in any source; None if there is none."""
    later = [excerpt.later for excerpt in examined.excerpts.values()]
    ahead = [occurrence for occurrence in later if occurrence is not None]
    return min(ahead, key=_start_and_key, default=None)


def _start_and_key(occurrence: Occurrence) -> tuple[datetime, OccurrenceKey]:
    start, _ = extent(occurrence)
    return start, occurrence.key


def topic_of(occurrence: Occurrence) -> str:
    """Return the topic for people to see: that of a private event stays its own."""
    if occurrence.private:
        return PRIVATE_TOPIC
    return fold_space(occurrence.summary)


class _Search:
    """The working state of one call of `fates_of`."""

    def __init__(self, uid: str, examined: Examination, ledger: Ledger) -> None:
        self.uid = uid
        self.examined = examined
        self.plan = examined.plan
        self.policy = examined.inputs.policy
        self.mapped = examined.inputs.desired.mapped
        self.ledger = ledger
        self.closing = {booking.row: booking for booking in self.plan.closed}
        self.kept = {keep.booking.row: keep for keep in self.plan.kept}
        self.amended: dict[int, Booking] = {}
        for booking in self.plan.amended:
            if booking.row:
                self.amended[booking.row] = booking
        self.seen: dict[OccurrenceKey, Witnessed] = {}
        for witnessed in examined.inputs.desired.witnessed:
            key = witnessed.occurrence.key
            if key.uid == uid:
                self.seen[key] = witnessed
        self.bookings: dict[int, Booking] = {}
        for booking in examined.inputs.bookings:
            latest = self._latest(booking)
            if uid in {booking.key.uid, latest.key.uid}:
                self.bookings[booking.row] = booking

    def run(self, later: Mapped | None) -> Iterator[Fate]:
        """Yield the fates in any order."""
        booked, unbooked = self._current()
        booked_keys = {fate.key for fate in booked}
        # Why an occurrence is not booked by rule stands in what becomes of its reservation, if it has one.
        rest = [fate for fate in unbooked if fate.key not in booked_keys]
        live = [*booked, *rest]
        # A date that is cancelled in the calendar has its story in the reservation that it had.
        recorded = self.ledger.bookings.of(self.uid)
        closed = [booking for booking in recorded if booking.state in CLOSED_STATES]
        former = [self._former(booking) for booking in closed]
        live_keys = {fate.key for fate in live}
        former_keys = {fate.key for fate in former}
        told_of = live_keys | former_keys
        decisions: dict[int, Decision] = {}
        for decision in self.ledger.people.decisions():
            decisions[decision.booking] = decision
        for fate in (
            *live,
            *former,
            *self._cancelled(told_of),
            *self._beyond(later, live_keys),
        ):
            row = fate.booking.row if fate.booking is not None else 0
            if row > 0:
                yield replace(
                    fate,
                    history=self.ledger.bookings.history(row),
                    decision=decisions.get(row),
                )
            else:
                yield fate

    def _current(self) -> tuple[list[Fate], list[Fate]]:
        """Return the fates of bookings, and those of occurrences and events without one."""
        booked: list[Fate] = []
        unbooked: list[Fate] = []
        told_of: set[int] = set()
        for change in self.plan.changes:
            if change.key.uid != self.uid:
                continue
            fate = self._planned(change)
            if fate.booking is None:
                unbooked.append(fate)
            else:
                booked.append(fate)
                told_of.add(fate.booking.row)
        for row, booking in self.bookings.items():
            if row not in told_of:
                booked.append(self._settled(booking))
        return booked, unbooked

    def _planned(self, change: Change) -> Fate:
        """Return the fate that a row of the plan tells of."""
        fate = Fate(
            key=change.key,
            action=type(change).__name__.lower(),
            reason=change.reason,
            detail=change.detail,
            change=change,
            seen=self.seen.get(change.key),
        )
        match change:
            case (
                Create(meeting=meeting)
                | Update(meeting=meeting)
                | Wait(meeting=meeting)
            ):
                fate = replace(fate, notes=meeting.notes, wanted=meeting.spec)
                return self._with_booking(fate, meeting.spec, change.booking)
            case Cancel(booking=booking) | Hold(booking=booking):
                return self._with_booking(fate, booking.spec, booking)
            case Skip():
                return self._skipped(fate, change)
            case _:
                assert_never(change)

    def _with_booking(
        self, fate: Fate, spec: ReservationSpec, booking: Booking | None
    ) -> Fate:
        """Return a fate with the content to show, and the record as the ledger has it."""
        known = None
        moved_from = None
        if booking is not None:
            known = self.bookings.get(booking.row)
        if known is not None and known.key != fate.key:
            moved_from = known.key
        return replace(
            fate,
            room_id=spec.room_id,
            start=spec.start,
            end=spec.end,
            topic=spec.topic,
            booking=known,
            moved_from=moved_from,
        )

    def _skipped(self, fate: Fate, skip: Skip) -> Fate:
        """Return the fate of what is not booked or not changed."""
        fate = replace(
            fate,
            room_id=skip.room_id,
            topic=skip.topic,
            booking=self._booking_of(skip),
            wanted=self._wanted(skip.key, skip.room_id),
            notes=self._notes(skip.key),
        )
        span = skip.span
        if span is None:
            return fate
        return replace(fate, start=span.start, end=span.end)

    def _booking_of(self, skip: Skip) -> Booking | None:
        """Return the record that a skipped row is about; a quarantined UID may have several, none its own."""
        if skip.reason in {Reason.QUARANTINED, Reason.NO_UID}:
            return None
        for booking in self.bookings.values():
            if booking.reservation_id != skip.reservation_id:
                continue
            if skip.reservation_id:
                return booking
            key = self._latest(booking).key
            if key == skip.key and booking.room_id == skip.room_id:
                return booking
        return None

    def _latest(self, booking: Booking) -> Booking:
        """Return a booking as the plan leaves it."""
        return self.amended.get(booking.row, booking)

    def _wanted(
        self, key: OccurrenceKey, room_id: str | None
    ) -> ReservationSpec | None:
        """Return what the occurrence asks for in a room; None if nothing."""
        mapped = self.mapped.get(key)
        if not isinstance(mapped, Wanted):
            return None
        for spec in mapped.specs:
            if spec.room_id == room_id:
                return spec
        return None

    def _notes(self, key: OccurrenceKey) -> tuple[Note, ...]:
        mapped = self.mapped.get(key)
        if mapped is None:
            return ()
        return mapped.notes

    def _settled(self, booking: Booking) -> Fate:
        """Return the fate of a booking without a row: its record ends, it goes on elsewhere, or it stays."""
        closing = self.closing.get(booking.row)
        key = self._latest(booking).key
        if closing is None and key.uid != self.uid:
            detail = f"The calendar gave the meeting another UID; the reservation goes on under {key.uid}."
            return replace(self._former(booking), detail=detail)
        fate = replace(
            self._former(booking),
            key=key,
            moved_from=booking.key if booking.key != key else None,
            seen=self.seen.get(key),
            wanted=self._wanted(key, booking.room_id),
            notes=self._notes(key),
        )
        if closing is not None:
            why = _why_closed(closing)
            return replace(fate, action="close", reason=closing.reason, detail=why)
        keep = self.kept.get(booking.row)
        if keep is None:
            return fate
        return _kept(fate, keep)

    def _former(self, booking: Booking) -> Fate:
        """Return a reservation as its record tells of it."""
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

    def _cancelled(self, told_of: Collection[OccurrenceKey]) -> Iterator[Fate]:
        """Yield the dates that the calendar shows as cancelled and that hold no reservation."""
        for key, seen in self.seen.items():
            occurrence = seen.occurrence
            if key in told_of or not occurrence.cancelled:
                continue
            start, end = extent(occurrence)
            if start >= self.policy.window.end or end <= self.examined.now:
                continue
            yield Fate(
                key=key,
                action="none",
                reason=Reason.EVENT_CANCELLED,
                detail="The calendar says that the meeting is cancelled.",
                start=start,
                end=end,
                topic=topic_of(occurrence),
                seen=seen,
            )

    def _beyond(
        self, later: Mapped | None, told_of: Collection[OccurrenceKey]
    ) -> Iterator[Fate]:
        """Yield the fates of the first occurrence beyond the horizon, one for each room."""
        occurrence = later_occurrence(self.examined)
        if later is None or occurrence is None or occurrence.key in told_of:
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
                detail=self.policy.beyond_horizon(spec.start),
                room_id=spec.room_id,
                start=spec.start,
                end=spec.end,
                topic=spec.topic,
                wanted=spec,
                notes=later.notes,
            )


def _kept(fate: Fate, keep: Keep) -> Fate:
    """Return the fate of a booking that stays as it is, with the plan's reason."""
    action = "unchanged" if keep.unchanged else "none"
    return replace(fate, action=action, reason=keep.reason, detail=keep.detail)


def _why_closed(booking: Booking) -> str:
    """Return why a record ends, as a sentence."""
    if booking.state is BookingState.ENDED:
        return "It is over."
    if booking.detail or booking.reason is None:
        return booking.detail
    return MEANINGS[booking.reason]


def _position(fate: Fate) -> tuple[bool, float, str, bool, str, int]:
    start = fate.start.timestamp() if fate.start is not None else 0.0
    row = fate.booking.row if fate.booking is not None else 0
    recurrence_id = fate.key.recurrence_id or ""
    return (
        fate.start is not None,
        start,
        recurrence_id,
        not fate.closed,
        fate.room_id or "",
        row,
    )
