"""What a cycle would do: wanted meetings against bookings.

`plan` decides everything and touches nothing.
The same inputs give the same plan in the same order with the same checksum, and planning the outcome of
a plan gives nothing to do.

In order: bookings follow their meetings to new keys (`rekey`, `swapped_sources`); then each occurrence's
rooms are paired with its bookings, and a pair is compared (`wanted`), a booking left over is given up on
evidence (`unwanted`, `cancels`); then the bounds of the whole plan apply, and it is put in `order`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.cancels import Cancels
from syncd.core.changes import Cancel, Change, Hold, Plan, Skip, Update, Wait
from syncd.core.draft import Draft
from syncd.core.idle import at_rest
from syncd.core.mapper import Mapped, Skipped
from syncd.core.meeting import Meeting
from syncd.core.merge import Witnessed
from syncd.core.occurrence import (
    PRIVATE_TOPIC,
    Defect,
    Occurrence,
    OccurrenceKey,
    Reading,
    Timespan,
    extent_of,
)
from syncd.core.order import writing_order
from syncd.core.policy import Policy
from syncd.core.reasons import MEANINGS, Reason
from syncd.core.rekey import Rekeying
from syncd.core.reservation import ReservationSpec
from syncd.core.swapped_sources import looks_alike
from syncd.core.text import fold_space
from syncd.core.totals import Resting
from syncd.core.unwanted import UnwantedBookings
from syncd.core.wanted import WantedMeetings

_Current: TypeAlias = dict[OccurrenceKey, list[Booking]]
_Meetings: TypeAlias = dict[OccurrenceKey, list[Meeting]]


def plan(
    witnessed: Sequence[Witnessed],
    mapped: Mapping[OccurrenceKey, Mapped],
    readings: Mapping[str, Reading],
    bookings: Iterable[Booking],
    policy: Policy,
    now: datetime,
    resting: Resting | None = None,
) -> Plan:
    """Decide what to do about every meeting and every booking.

    `mapped` has an entry for each occurrence of `witnessed`; `bookings` are the current ones.
    UIDs that are at rest may be left out of all of these, each as a whole, and so may be the readings in which
    there are no others: `resting` stands for them.
    """
    occurrences: dict[OccurrenceKey, tuple[Witnessed, Mapped]] = {}
    for seen in witnessed:
        key = seen.occurrence.key
        occurrences[key] = (seen, mapped[key])
    planner = _Planner(occurrences, readings, policy, now, resting or Resting())
    return planner.run(bookings)


class _Planner:
    """The working state of one call of `plan`."""

    def __init__(
        self,
        occurrences: Mapping[OccurrenceKey, tuple[Witnessed, Mapped]],
        readings: Mapping[str, Reading],
        policy: Policy,
        now: datetime,
        resting: Resting,
    ) -> None:
        self.occurrences = occurrences
        self.speaking = readings
        if resting.readings is not None:
            readings = resting.readings
        self.readings = readings
        self.policy = policy
        self.now = now
        self.resting = resting
        self.draft = Draft()
        self.holders: dict[str, Booking] = dict(resting.holders)
        self.cancels = Cancels(self.draft, readings, policy, resting.totals)
        self.wanted = WantedMeetings(
            self.draft, self.cancels, policy, now, occurrences, self.holders
        )
        self.unwanted = UnwantedBookings(
            self.draft, self.cancels, policy, readings, occurrences
        )

    def run(self, bookings: Iterable[Booking]) -> Plan:
        """Return the plan for all occurrences and these bookings."""
        meetings = self._meetings()
        current, doubtful = self._current(bookings, meetings)
        rekeying = Rekeying(self.draft, current, meetings)
        rekeying.follow_exchanged_sources(self._is_unread)
        self._take_stock(current)
        settled = self.occurrences.keys() | doubtful
        rekeying.follow_moved_keys(
            settled, doubtful, self.cancels.absence, self.resting.totals.known
        )
        self._take_stock(current)
        all_keys = current.keys() | meetings.keys()
        for key in sorted(all_keys - doubtful):
            wanted = meetings.get(key, [])
            booked = current.get(key, [])
            self._decide(key, wanted, booked)
        self._report_quarantined(current)
        released = self.cancels.conclude()
        self._retry_freed_rooms()
        self._ration_calls()
        return self._concluded(current, rekeying, released)

    def _concluded(
        self, current: _Current, rekeying: Rekeying, released: str | None
    ) -> Plan:
        """Return the plan, now that everything is decided."""
        draft = self.draft
        unchanged = len(draft.unchanged)
        for name, live in self.resting.totals.live.items():
            # Each reservation of a UID at rest is as its meeting wants it.
            if name in self.readings:
                unchanged += live
        bookings = list(_all_of(current))
        resting, once_written = at_rest(
            draft, bookings, self.occurrences, self.policy, self.now
        )
        ordered = writing_order(draft.changes)
        for uid in _in_swaps(ordered):
            # What moved in a swap may be put back before it ends.
            once_written.pop(uid, None)
        return Plan(
            mode=self.policy.mode,
            changes=ordered,
            unchanged=unchanged,
            kept=tuple(draft.kept),
            amended=(*draft.amended.values(), *draft.noted),
            closed=tuple(draft.closed),
            rekeyed=rekeying.count,
            renamed=rekeying.renamed,
            released=released,
            at_rest=resting,
            at_rest_once_written=once_written,
        )

    # What there is

    def _meetings(self) -> _Meetings:
        """Return the meetings to come by occurrence; add the rows of occurrences that a rule skips."""
        now = self.now
        meetings: _Meetings = {}
        for key, (witnessed, mapped) in self.occurrences.items():
            occurrence = witnessed.occurrence
            if occurrence.cancelled:
                continue
            if isinstance(mapped, Skipped):
                self._report_skipped(occurrence, mapped)
                continue
            to_come: list[Meeting] = []
            for spec in mapped.specs:
                if spec.end <= now:
                    continue
                meeting = Meeting(
                    occurrence=occurrence,
                    witnesses=witnessed.witnesses,
                    spec=spec,
                    notes=mapped.notes,
                    publications=mapped.publications,
                    rejected=mapped.rejected,
                )
                to_come.append(meeting)
            meetings[key] = to_come
        return meetings

    def _report_skipped(self, occurrence: Occurrence, skipped: Skipped) -> None:
        extent = extent_of(occurrence)
        is_over = extent.end <= self.now
        if not is_over and extent.start < self.policy.window.end:
            self.draft.add(_skip(occurrence, skipped, extent))

    def _current(
        self, bookings: Iterable[Booking], meetings: _Meetings
    ) -> tuple[_Current, set[OccurrenceKey]]:
        """Return the bookings to decide about by key, and the keys that a request in doubt blocks.

        Bookings that are over are closed, those in doubt held.
        """
        current: _Current = {}
        doubtful: set[OccurrenceKey] = set()
        scopes = {key.scope for key in meetings}
        for booking in sorted(bookings, key=_by_key):
            if booking.reservation_id and booking.may_hold:
                self.holders[booking.reservation_id] = booking
            is_over = booking.spec.end <= self.now
            goes_on = bool(booking.drifted) and booking.key in meetings
            if booking.is_unanswered:
                doubtful.add(booking.key)
                doubtful.update(_elsewhere(booking, meetings, scopes))
                detail = booking.detail or MEANINGS[Reason.IN_DOUBT]
                self.draft.add(Hold(booking, Reason.IN_DOUBT, detail))
            elif is_over and not goes_on:
                self.draft.close(booking, BookingState.ENDED)
            else:
                of_key = current.setdefault(booking.key, [])
                of_key.append(self._not_missed(booking))
        return current, doubtful

    def _not_missed(self, booking: Booking) -> Booking:
        """Return a booking, without its count of readings that lack it if its source has it again."""
        known = self.occurrences.get(booking.key)
        if not booking.missed or known is None:
            return booking
        witnessed, _ = known
        if booking.source not in witnessed.witnesses:
            return booking
        seen = replace(booking, missed=0, missed_in="")
        self.draft.amend(seen)
        return seen

    def _is_unread(self, booking: Booking) -> bool:
        """Tell whether the source of a booking could not be read, so that its meeting may still be there."""
        if booking.source not in self.policy.configured:
            return False
        reading = self.readings.get(booking.source)
        return reading is None or not reading.readable

    def _take_stock(self, current: _Current) -> None:
        self.cancels.take_stock(_all_of(current))

    # One occurrence: the rooms that it wants against the bookings that it has

    def _decide(
        self, key: OccurrenceKey, meetings: list[Meeting], booked: list[Booking]
    ) -> None:
        """Decide about one occurrence."""
        if self.unwanted.keep_if_decider_is_silent(key, meetings, booked):
            return
        if meetings:
            self._pair(meetings, booked)
            return
        for booking in booked:
            self.unwanted.give_up(booking)

    def _pair(self, meetings: list[Meeting], booked: list[Booking]) -> None:
        """Compare each meeting with the booking in its room, else with one that can move, else book it."""
        left = sorted(booked, key=_holding_first)
        elsewhere: list[Meeting] = []
        for meeting in meetings:
            same_room = _first_in_room(left, meeting.spec.room_id)
            if same_room is None:
                elsewhere.append(meeting)
            else:
                left.remove(same_room)
                self.wanted.compare(meeting, same_room)
        for meeting in elsewhere:
            movable = _first_holding(left)
            if movable is None:
                self.wanted.book(meeting, None)
            else:
                left.remove(movable)
                self.wanted.compare(meeting, movable)
        for booking in left:
            self.unwanted.give_room_up(booking, meetings[0].occurrence)

    # The plan as a whole

    def _retry_freed_rooms(self) -> None:
        """Try meetings again that were refused for a conflict, when this very plan frees their slot."""
        draft = self.draft
        freeing = [c for c in draft.changes if isinstance(c, Cancel | Update)]
        while freeing:
            waiting = [c for c in draft.changes if isinstance(c, Wait)]
            free = [wait for wait in waiting if _is_freed(wait, freeing)]
            draft.remove(free)
            decided = len(draft.changes)
            for wait in free:
                assert wait.booking is not None  # a conflict stands in a record
                self.wanted.try_for_room(wait.meeting, wait.booking)
            new = draft.changes[decided:]
            freeing = [change for change in new if isinstance(change, Update)]

    def _ration_calls(self) -> None:
        """Let those changes wait that the API calls of the month do not pay for."""
        calls = self.policy.calls
        if calls is None:
            return
        put_off = calls.put_off(self.draft.changes, self.now)
        self.draft.remove(put_off)
        reason = Reason.CALL_BUDGET
        detail = "The API calls of this month run short, and nearer meetings get them; see api.monthly_calls."
        for change in put_off:
            self.draft.wait(change.meeting, reason, detail, change.booking)

    def _report_quarantined(self, current: _Current) -> None:
        """Add a row for each event that cannot be understood, once for its source."""
        booked: dict[str, str | None] = {}
        for booking in _all_of(current):
            booked[booking.key.uid] = booking.reservation_id
        said: set[tuple[str, str]] = set()
        for reading in self.speaking.values():
            source = reading.source
            for defect in reading.defects:
                event = defect.uid or f"{defect.document}:{defect.line}"
                if (source, event) in said:
                    continue
                said.add((source, event))
                reservation_id = booked.get(defect.uid)
                self.draft.add(_quarantined(source, defect, reservation_id))


def _all_of(current: _Current) -> Iterator[Booking]:
    for booked in current.values():
        yield from booked


def _by_key(booking: Booking) -> tuple[OccurrenceKey, str, int]:
    return (booking.key, booking.room_id or "", booking.row)


def _holding_first(booking: Booking) -> tuple[bool, int]:
    return (booking.state not in HOLDING_STATES, booking.row)


def _first_in_room(bookings: Iterable[Booking], room_id: str | None) -> Booking | None:
    for booking in bookings:
        if booking.room_id == room_id:
            return booking
    return None


def _first_holding(bookings: Iterable[Booking]) -> Booking | None:
    """Return the first booking that holds a slot; None if none does."""
    for booking in bookings:
        if booking.state in HOLDING_STATES:
            return booking
    return None


def _elsewhere(
    booking: Booking, meetings: _Meetings, scopes: Iterable[str]
) -> Iterator[OccurrenceKey]:
    """Yield the keys under which another source seems to show the meeting of a booking that is in doubt.

    Booked under one of them it could be there twice.
    """
    if _shows(meetings.get(booking.key, []), booking):
        return
    for scope in scopes:
        key = replace(booking.key, scope=scope)
        if _shows(meetings.get(key, []), booking):
            yield key


def _shows(meetings: Iterable[Meeting], booking: Booking) -> bool:
    return any(looks_alike(meeting.spec, booking.spec) for meeting in meetings)


def _in_swaps(changes: Iterable[Change]) -> Iterator[str]:
    """Yield the UIDs of the updates of a plan, if any of them has others vacate their rooms."""
    updates = [change for change in changes if isinstance(change, Update)]
    if any(update.vacating for update in updates):
        for update in updates:
            yield update.key.uid


def _is_freed(wait: Wait, freeing: Iterable[Cancel | Update]) -> bool:
    """Tell whether one of these changes gives up the slot for want of which a meeting waits."""
    if wait.reason is not Reason.ROOM_CONFLICT:
        return False
    spec = wait.meeting.spec
    return any(_frees(change, spec) for change in freeing)


def _frees(change: Cancel | Update, spec: ReservationSpec) -> bool:
    """Tell whether a change gives up a slot that is in the way of a spec."""
    if not change.booking.spec.in_the_way_of(spec):
        return False
    if isinstance(change, Cancel):
        return True
    return not change.meeting.spec.in_the_way_of(spec)


def _skip(occurrence: Occurrence, skipped: Skipped, extent: Timespan) -> Skip:
    topic = PRIVATE_TOPIC if occurrence.private else fold_space(occurrence.summary)
    return Skip(
        key=occurrence.key,
        source=occurrence.source,
        reason=skipped.reason,
        detail=skipped.detail,
        topic=topic,
        span=extent,
        notes=skipped.notes,
    )


def _quarantined(source: str, defect: Defect, reservation_id: str | None) -> Skip:
    place = f"{defect.document}, line {defect.line}"
    return Skip(
        key=OccurrenceKey("", defect.uid, None),
        source=source,
        reason=Reason.QUARANTINED if defect.uid else Reason.NO_UID,
        detail=f"{place}: {defect.detail}",
        topic=defect.topic,
        reservation_id=reservation_id,
        fingerprint=defect.fingerprint,
        alike=f"{source}, {defect.document}: {defect.detail}",
    )
