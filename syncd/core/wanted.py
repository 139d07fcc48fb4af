"""What becomes of a meeting that the calendars ask for: booked, changed, waiting, or left as it is.

A meeting without a booking is created, or waits for a reason.
One with a booking is compared with it. How a reservation is changed is in `updates`, and what follows when
somebody changed or ended it in Tuya in `drifted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from syncd.core.amounts import some
from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.cancels import Cancels
from syncd.core.changes import Create, Hold, Wait
from syncd.core.draft import Draft
from syncd.core.drifted import DriftedReservations
from syncd.core.mapper import Mapped
from syncd.core.meeting import Meeting
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Occurrence, OccurrenceKey
from syncd.core.policy import Policy
from syncd.core.reasons import REFUSALS, Evidence, Reason
from syncd.core.rekey import AT_ONCE
from syncd.core.reservation import ReservationSpec
from syncd.core.updates import Updates

REPEATS = 3
"""Requests for one change that follow each other at once; others wait until a lost one cannot arrive."""


class WantedMeetings:
    """Decides about meetings for one draft.

    `occurrences` are those of the plan by key, `holders` the bookings by the reservation that they hold.
    """

    def __init__(
        self,
        draft: Draft,
        cancels: Cancels,
        policy: Policy,
        now: datetime,
        occurrences: Mapping[OccurrenceKey, tuple[Witnessed, Mapped]],
        holders: Mapping[str, Booking],
    ) -> None:
        self._draft = draft
        self._cancels = cancels
        self._policy = policy
        self._now = now
        self._occurrences = occurrences
        self._holders = holders
        self._updates = Updates(draft, cancels, policy.mode)
        self._drifted = DriftedReservations(draft, self._updates, policy, now)

    def compare(self, meeting: Meeting, booking: Booking) -> None:
        """Decide about a meeting that has a record, by the state of the record."""
        witnesses = self._witnesses(booking, meeting)
        if witnesses != meeting.witnesses:
            meeting = replace(meeting, witnesses=witnesses)
        if meeting.rejected:
            self._reject(meeting, booking)
            return
        match booking.state:
            case BookingState.BOOKED | BookingState.APPROVAL:
                self._compare_booked(meeting, booking)
            case BookingState.REFUSED if _was_refused(booking, meeting.spec):
                self._still_refused(meeting, booking)
            case BookingState.RELEASED if _is_same_event(meeting, booking):
                self._drifted.respect_or_rebook(meeting, booking)
            case _:
                self.book(meeting, booking)

    def book(self, meeting: Meeting, booking: Booking | None) -> None:
        """Create the reservation of a meeting that has none, or add why not yet; `booking` is its record."""
        start = meeting.spec.start
        if start >= self._policy.window.end:
            if booking is not None:
                detail = self._policy.beyond_horizon(start)
                self._draft.keep(booking, None, detail)
            return
        if meeting.rejected:
            self._reject(meeting, booking)
            return
        if self._is_too_early(meeting.spec):
            advance = self._policy.advance
            assert advance is not None  # else nothing is too early
            detail = f"The tenant lets book {some(advance.days, 'day')} ahead."
            self._draft.wait(meeting, Reason.TOO_EARLY, detail, booking)
            return
        awaited = self._cancels.awaited_file(meeting.key.uid, meeting.witnesses)
        if awaited is not None:
            detail = (
                f"The file {awaited.document} is gone and held the event, too, perhaps as it is now; booked "
                "when it is back or has stayed away for safety.file_grace."
            )
            self._draft.wait(meeting, Reason.FILE_MISSING, detail, booking)
            return
        self._draft.add(Create(meeting, Reason.NEW, "", booking))

    def try_for_room(self, meeting: Meeting, booking: Booking) -> None:
        """Make a request once more that was refused because the room was taken."""
        if booking.state in HOLDING_STATES:
            self._updates.propose(meeting, booking, Reason.ROOM_FREE_AGAIN)
        else:
            detail = booking.detail
            create = Create(meeting, Reason.ROOM_FREE_AGAIN, detail, booking)
            self._draft.add(create)

    # A meeting whose reservation holds its slot

    def _compare_booked(self, meeting: Meeting, booking: Booking) -> None:
        """Decide about a meeting whose reservation holds its slot."""
        assert booking.content is not None  # a booking in these states has it
        draft = self._draft
        reason = booking.reason
        detail = booking.detail
        is_equal = booking.content == meeting.spec
        told_off: Occurrence | None = None
        if is_equal:
            told_off = self._told_off(meeting)
        if booking.may_still_change:
            self._while_one_is_late(meeting, booking)
        elif booking.is_vanished:
            self._while_it_is_vanished(meeting, booking)
        elif told_off is not None:
            self._hold_told_off(meeting, booking, told_off)
        elif _is_unclear(meeting, booking):
            draft.skip(meeting, Reason.UNCLEAR_IN_TUYA, detail, booking)
            draft.remember(booking, meeting)
        elif is_equal and booking.lacks_mark:
            self._updates.propose(meeting, booking, Reason.TAKEN_OVER)
        elif is_equal:
            draft.keep(booking, reason, detail, unchanged=True)
            draft.remember(booking, meeting, settled=True)
        else:
            self._compare_content(meeting, booking)

    def _compare_content(self, meeting: Meeting, booking: Booking) -> None:
        """Decide about a reservation that is otherwise than its meeting wants it."""
        wanted = meeting.spec
        is_later = wanted.start > booking.spec.start
        if _was_refused(booking, wanted):
            self._still_refused(meeting, booking)
        elif booking.drifted and booking.drifted == meeting.occurrence.fingerprint:
            self._drifted.keep_or_repair(meeting, booking)
        elif is_later and self._is_too_early(wanted):
            detail = "The meeting moved farther ahead than the tenant lets book; booked again later."
            self._cancels.propose(booking, Reason.TOO_EARLY, Evidence.TOLD, detail)
        else:
            reason = Reason.TAKEN_OVER if booking.lacks_mark else Reason.CHANGED
            self._updates.follow(meeting, booking, reason)

    def _told_off(self, meeting: Meeting) -> Occurrence | None:
        """Return the copy of a meeting that calls it off and does not decide; None if there is none."""
        witnessed, _ = self._occurrences[meeting.key]
        return witnessed.told_off

    def _hold_told_off(
        self, meeting: Meeting, booking: Booking, other: Occurrence
    ) -> None:
        """Leave a cancel to a person that stands in a copy which does not decide."""
        self._draft.remember(booking, meeting)
        what = "says that the meeting is cancelled"
        if other.uninvites:
            what = "takes guests off it"
        detail = (
            f"A copy in {other.source!r} ({other.document or 'unnamed'}) {what}; the copy in "
            f"{meeting.occurrence.source!r} decides and shows it."
        )
        known = self._draft.latest(booking)
        self._cancels.hold(known, Reason.NOT_THE_ORGANIZER, detail)

    def _while_one_is_late(self, meeting: Meeting, booking: Booking) -> None:
        """Repeat a change that got no answer and may still arrive, or hold what could undo another one."""
        assert booking.pending is not None  # what is late
        reason = Reason.IN_DOUBT
        detail = booking.detail
        is_the_same = booking.pending == meeting.spec
        if is_the_same and booking.attempts < REPEATS:
            self._updates.propose(meeting, booking, reason, detail)
        else:
            self._draft.add(Hold(booking, reason, detail))

    def _while_it_is_vanished(self, meeting: Meeting, booking: Booking) -> None:
        """Leave to a person what was gone from Tuya with many others, until the event itself changes.

        A change of it is booked anew, since there is nothing that could be changed.
        """
        same_event = _is_same_event(meeting, booking)
        within_horizon = meeting.spec.start < self._policy.window.end
        if within_horizon and not same_event:
            self.book(meeting, booking)
            return
        if same_event:
            self._draft.remember(booking, meeting)
        self._draft.add(Hold(booking, Reason.VANISHED, booking.detail))

    # A request that was refused

    def _still_refused(self, meeting: Meeting, booking: Booking) -> None:
        """Decide about a request that the API refused and whose content is the same."""
        draft = self._draft
        detail = booking.detail
        draft.remember(booking, meeting)
        if booking.is_tried_again:
            self._retry(meeting, booking)
        elif booking.reason is not Reason.ROOM_CONFLICT:
            reason = booking.reason or Reason.REFUSED
            draft.skip(meeting, reason, detail, booking)
        elif self._may_be_free(booking, meeting.spec):
            self.try_for_room(meeting, booking)
        else:
            draft.add(Wait(meeting, Reason.ROOM_CONFLICT, detail, booking))

    def _retry(self, meeting: Meeting, booking: Booking) -> None:
        """Make a request once more that was refused in a way that may pass."""
        detail = booking.detail
        if booking.state in HOLDING_STATES:
            self._updates.propose(meeting, booking, Reason.CHANGED, detail)
        else:
            self._draft.add(Create(meeting, Reason.NEW, detail, booking))

    def _may_be_free(self, booking: Booking, spec: ReservationSpec) -> bool:
        """Tell whether a slot may be free that another reservation held, one of our own or a foreign one."""
        if booking.retry_at is not None:
            return booking.retry_at <= self._now
        blocker = self._holders.get(booking.blocked_by or "")
        if blocker is None or not blocker.may_hold:
            return True
        if blocker.in_doubt:
            return False
        return not blocker.spec.in_the_way_of(spec)

    # What every meeting needs

    def _reject(self, meeting: Meeting, booking: Booking | None) -> None:
        """Report an event that a rule rejects; what was booked before stays as it is."""
        draft = self._draft
        reason = Reason.UNMAPPED_PERSON
        detail = meeting.rejected
        draft.skip(meeting, reason, detail, booking)
        draft.record_unbooked(meeting, booking, BookingState.REFUSED, reason, detail)

    def _is_too_early(self, spec: ReservationSpec) -> bool:
        """Tell whether a meeting begins later than the tenant lets book; it never does without a limit."""
        advance = self._policy.advance
        if advance is None:
            return False
        return spec.start > self._now + advance

    def _witnesses(self, booking: Booking, meeting: Meeting) -> tuple[str, ...]:
        """Return who shows the meeting, and who did before and does not credibly lack it now."""
        witnesses = dict.fromkeys(meeting.witnesses)
        for name in booking.witnesses:
            if name not in witnesses and self._may_have_it_still(name, booking):
                witnesses[name] = None
        return tuple(witnesses)

    def _may_have_it_still(self, source: str, booking: Booking) -> bool:
        """Tell whether it proves nothing that a source does not show a meeting which it showed before."""
        if source not in self._policy.configured:
            return False
        absence = self._cancels.absence_in(booking, source)
        return absence.evidence not in AT_ONCE


def _was_refused(booking: Booking, wanted: ReservationSpec) -> bool:
    """Tell whether the API refused this very content, or a person gave it up or has to decide about it."""
    by_a_person = {Reason.DROPPED, Reason.AMBIGUOUS}
    if booking.reason not in REFUSALS | by_a_person:
        return False
    if booking.state in HOLDING_STATES:
        return booking.pending == wanted
    return booking.spec == wanted


def _is_unclear(meeting: Meeting, booking: Booking) -> bool:
    """Tell whether a reservation that makes no sense stays as it is, because the calendar did not change."""
    if booking.reason is not Reason.UNCLEAR_IN_TUYA:
        return False
    if booking.drifted == meeting.occurrence.fingerprint:
        return True
    return booking.content == meeting.spec


def _is_same_event(meeting: Meeting, booking: Booking) -> bool:
    """Tell whether a meeting asks for what its record has, or its event did not change."""
    if booking.spec == meeting.spec:
        return True
    return booking.origin == meeting.occurrence.fingerprint
