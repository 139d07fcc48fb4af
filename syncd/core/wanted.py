"""What becomes of a meeting that the calendars ask for: booked, changed, waiting, or left as it is.

A meeting without a booking is created, or waits for a reason.
One with a booking is compared with it, and what was refused, changed by hand or gone in Tuya is treated by
the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.cancels import Cancels
from syncd.core.changes import Create, Hold, OnCancel, OnChange, Update, Wait
from syncd.core.draft import Draft
from syncd.core.mapper import Mapped
from syncd.core.meeting import Meeting
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Occurrence, OccurrenceKey
from syncd.core.policy import REPAIRS, Policy
from syncd.core.reasons import REFUSALS, Evidence, Reason
from syncd.core.rekey import AT_ONCE
from syncd.core.reservation import ReservationSpec

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
                self._still_released(meeting, booking)
            case _:
                self.book(meeting, booking)

    def book(self, meeting: Meeting, booking: Booking | None) -> None:
        """Create the reservation of a meeting that has none, or add why not yet; `booking` is its record."""
        start = meeting.spec.start
        if start >= self._policy.window.end:
            if booking is not None:
                self._draft.keep(booking, None, self._policy.beyond_horizon(start))
            return
        if meeting.rejected:
            self._reject(meeting, booking)
            return
        if self._is_too_early(meeting.spec):
            assert self._policy.advance is not None  # else nothing is too early
            detail = f"The tenant lets book {self._policy.advance.days} days ahead."
            self._wait(meeting, booking, Reason.TOO_EARLY, detail)
            return
        awaited = self._cancels.awaited_file(meeting.key.uid, meeting.witnesses)
        if awaited is not None:
            detail = (
                f"The file {awaited.document} is gone and held the event, too, perhaps as it is now; booked "
                "when it is back or has stayed away for safety.file_grace."
            )
            self._wait(meeting, booking, Reason.FILE_MISSING, detail)
            return
        self._draft.add(Create(meeting, Reason.NEW, "", booking))

    def try_for_room(self, meeting: Meeting, booking: Booking) -> None:
        """Make a request once more that was refused because the room was taken."""
        if booking.state in HOLDING_STATES:
            self._update(meeting, booking, Reason.ROOM_FREE_AGAIN)
        else:
            self._draft.add(
                Create(meeting, Reason.ROOM_FREE_AGAIN, booking.detail, booking)
            )

    # A meeting whose reservation holds its slot

    def _compare_booked(self, meeting: Meeting, booking: Booking) -> None:
        """Decide about a meeting whose reservation holds its slot."""
        assert booking.content is not None  # a booking in these states has it
        wanted = meeting.spec
        is_equal = booking.content == wanted
        told_off = self._told_off(meeting) if is_equal else None
        if booking.may_still_change:
            self._while_one_is_late(meeting, booking)
        elif booking.is_vanished:
            self._while_it_is_vanished(meeting, booking)
        elif told_off is not None:
            self._hold_told_off(meeting, booking, told_off)
        elif _is_unclear(meeting, booking):
            self._draft.skip(meeting, Reason.UNCLEAR_IN_TUYA, booking.detail, booking)
            self._remember(booking, meeting)
        elif is_equal:
            self._draft.keep(booking, booking.reason, booking.detail, unchanged=True)
            self._remember(booking, meeting, settled=True)
        else:
            self._compare_content(meeting, booking)

    def _compare_content(self, meeting: Meeting, booking: Booking) -> None:
        """Decide about a reservation that is otherwise than its meeting wants it."""
        wanted = meeting.spec
        if _was_refused(booking, wanted):
            self._still_refused(meeting, booking)
        elif booking.drifted and booking.drifted == meeting.occurrence.fingerprint:
            self._keep_or_repair(meeting, booking)
        elif wanted.start > booking.spec.start and self._is_too_early(wanted):
            detail = "The meeting moved farther ahead than the tenant lets book; booked again later."
            self._cancels.propose(booking, Reason.TOO_EARLY, Evidence.TOLD, detail)
        else:
            self._follow(meeting, booking, Reason.CHANGED)

    def _told_off(self, meeting: Meeting) -> Occurrence | None:
        """Return the copy of a meeting that calls it off and does not decide; None if there is none."""
        witnessed, _ = self._occurrences[meeting.key]
        return witnessed.told_off

    def _hold_told_off(
        self, meeting: Meeting, booking: Booking, other: Occurrence
    ) -> None:
        """Leave a cancel to a person that stands in a copy which does not decide."""
        self._remember(booking, meeting)
        what = (
            "takes guests off it"
            if other.uninvites
            else "says that the meeting is cancelled"
        )
        detail = (
            f"A copy in {other.source!r} ({other.document or 'unnamed'}) {what}; the copy in "
            f"{meeting.occurrence.source!r} decides and shows it."
        )
        self._cancels.hold(
            self._draft.latest(booking), Reason.NOT_THE_ORGANIZER, detail
        )

    def _while_one_is_late(self, meeting: Meeting, booking: Booking) -> None:
        """Repeat a change that got no answer and may still arrive, or hold what could undo another one."""
        assert booking.pending is not None  # what is late
        if booking.pending == meeting.spec and booking.attempts < REPEATS:
            self._update(meeting, booking, Reason.IN_DOUBT, booking.detail)
        else:
            self._draft.add(Hold(booking, Reason.IN_DOUBT, booking.detail))

    def _while_it_is_vanished(self, meeting: Meeting, booking: Booking) -> None:
        """Leave to a person what was gone from Tuya with many others, until the event itself changes.

        A change of it is booked anew, since there is nothing that could be changed.
        """
        changed = (
            booking.spec != meeting.spec
            and booking.origin != meeting.occurrence.fingerprint
        )
        if changed and meeting.spec.start < self._policy.window.end:
            self.book(meeting, booking)
            return
        if not changed:
            self._remember(booking, meeting)
        self._draft.add(Hold(booking, Reason.VANISHED, booking.detail))

    def _follow(self, meeting: Meeting, booking: Booking, reason: Reason) -> None:
        """Change the reservation with its meeting, unless a room is given up without a word of the event."""
        if (
            _gives_room_up(meeting, booking)
            and booking.origin == meeting.occurrence.fingerprint
        ):
            detail = "Nothing names a room for the meeting any more, and the event did not change."
            changed = meeting.spec.changed_from(booking.spec)
            update = Update(meeting, booking, changed, Reason.RULES_CHANGED)
            self._cancels.hold(booking, Reason.RULES_CHANGED, detail, instead=update)
        else:
            self._update(meeting, booking, reason)

    def _update(
        self, meeting: Meeting, booking: Booking, reason: Reason, detail: str = ""
    ) -> None:
        """Add the update of a reservation, or why the mode forbids it."""
        changed = meeting.spec.changed_from(booking.spec)
        if not self._policy.mode.updates:
            fields = ", ".join(changed)
            detail = (
                f"The mode {self._policy.mode} does not change reservations ({fields})."
            )
            self._draft.skip(meeting, Reason.MODE, detail, booking)
            return
        update = Update(meeting, booking, changed, reason, detail)
        # One that was sent before was weighed then, and a doubt is not forgotten for being held.
        if _gives_room_up(meeting, booking) and reason is not Reason.IN_DOUBT:
            self._cancels.give_room_up(update)
        else:
            self._draft.add(update)

    # A reservation that somebody changed in Tuya

    def _keep_or_repair(self, meeting: Meeting, booking: Booking) -> None:
        """Decide by `drift.on_change` about what somebody changed in Tuya while the event stayed the same."""
        self._remember(booking, meeting)
        begun = min(meeting.spec.start, booking.spec.start) <= self._now
        repairs = self._policy.on_change is OnChange.REPAIR and not begun
        if repairs and self._is_repaired_in_vain(meeting, booking):
            self._give_up_repair(meeting, booking)
        elif repairs:
            self._follow(meeting, booking, Reason.REPAIRED)
        elif self._policy.on_change is OnChange.REPORT:
            fields = ", ".join(booking.spec.changed_from(meeting.spec))
            detail = f"Somebody changed it in Tuya ({fields}); it stays so until the calendar changes."
            self._draft.skip(meeting, Reason.CHANGED_IN_TUYA, detail, booking)
        else:
            detail = "Somebody changed it in Tuya, which is respected; it stays so until the event changes."
            self._draft.keep(booking, booking.reason, detail, unchanged=True)

    def _is_repaired_in_vain(self, meeting: Meeting, booking: Booking) -> bool:
        """Tell whether a repair was made as often as it is worth, and the difference is there again."""
        repaired = self._policy.repairs.get(booking.row)
        if repaired is None or repaired.times < REPAIRS:
            return False
        changed = meeting.spec.changed_from(booking.spec)
        return repaired.is_of(meeting.occurrence.fingerprint, changed)

    def _give_up_repair(self, meeting: Meeting, booking: Booking) -> None:
        """Leave a difference to a person that comes back after each repair."""
        fields = ", ".join(meeting.spec.changed_from(booking.spec))
        detail = (
            f"It was repaired {REPAIRS} times in a row, and Tuya shows another {fields} again; "
            "it stays so until the calendar changes: find out who changes it there."
        )
        self._draft.skip(meeting, Reason.REPAIR_IN_VAIN, detail, booking)
        known = self._draft.latest(booking)
        told = known.with_state(known.state, Reason.REPAIR_IN_VAIN, detail)
        if told != booking:
            self._draft.amend(told)

    # What was refused, or ended in Tuya

    def _still_refused(self, meeting: Meeting, booking: Booking) -> None:
        """Decide about a request that the API refused and whose content is the same."""
        self._remember(booking, meeting)
        if booking.is_tried_again:
            self._retry(meeting, booking)
        elif booking.reason is not Reason.ROOM_CONFLICT:
            self._draft.skip(
                meeting, booking.reason or Reason.REFUSED, booking.detail, booking
            )
        elif self._may_be_free(booking, meeting.spec):
            self.try_for_room(meeting, booking)
        else:
            self._draft.add(
                Wait(meeting, Reason.ROOM_CONFLICT, booking.detail, booking)
            )

    def _retry(self, meeting: Meeting, booking: Booking) -> None:
        """Make a request once more that was refused in a way that may pass."""
        if booking.state in HOLDING_STATES:
            self._update(meeting, booking, Reason.CHANGED, booking.detail)
        else:
            self._draft.add(Create(meeting, Reason.NEW, booking.detail, booking))

    def _may_be_free(self, booking: Booking, spec: ReservationSpec) -> bool:
        """Tell whether a slot may be free that another reservation held, one of our own or a foreign one."""
        if booking.retry_at is not None:
            return booking.retry_at <= self._now
        blocker = self._holders.get(booking.blocked_by or "")
        if blocker is None or not blocker.may_hold:
            return True
        return not (blocker.in_doubt or blocker.spec.in_the_way_of(spec))

    def _still_released(self, meeting: Meeting, booking: Booking) -> None:
        """Respect that a reservation was ended in Tuya, or book it again (`drift.on_cancel`)."""
        self._remember(booking, meeting)
        # By a person.
        given_up = booking.reason in {
            Reason.NOT_THE_ORGANIZER,
            Reason.DROPPED,
        }
        rebooks = self._policy.on_cancel is OnCancel.REBOOK and not given_up
        if rebooks and meeting.spec.start > self._now:
            self._draft.add(Create(meeting, Reason.REBOOKED, booking.detail, booking))
            return
        detail = (
            booking.detail
            or "It was ended in Tuya; booked again when the calendar changes."
        )
        self._draft.skip(meeting, Reason.RELEASED, detail, booking)

    # What every meeting needs

    def _wait(
        self, meeting: Meeting, booking: Booking | None, reason: Reason, detail: str
    ) -> None:
        self._draft.add(Wait(meeting, reason, detail, booking))
        self._draft.record_unbooked(
            meeting, booking, BookingState.WAITING, reason, detail
        )

    def _reject(self, meeting: Meeting, booking: Booking | None) -> None:
        """Report an event that a rule rejects; what was booked before stays as it is."""
        reason, detail = Reason.UNMAPPED_PERSON, meeting.rejected
        self._draft.skip(meeting, reason, detail, booking)
        self._draft.record_unbooked(
            meeting, booking, BookingState.REFUSED, reason, detail
        )

    def _is_too_early(self, spec: ReservationSpec) -> bool:
        advance = self._policy.advance
        return advance is not None and spec.start > self._now + advance

    def _remember(
        self, booking: Booking, meeting: Meeting, *, settled: bool = False
    ) -> None:
        """Amend a record by who shows its meeting now, and from what content that came."""
        noted = booking.shown_by(meeting, origin=meeting.occurrence.fingerprint)
        if settled and (noted.reason is not None or noted.drifted or noted.attempts):
            noted = replace(noted.settled(), drifted="")
        if noted != booking:
            self._draft.amend(noted)

    def _witnesses(self, booking: Booking, meeting: Meeting) -> tuple[str, ...]:
        """Return who shows the meeting, and who did before and does not credibly lack it now."""
        silent = [
            name for name in booking.witnesses if self._may_have_it_still(name, booking)
        ]
        return tuple(dict.fromkeys((*meeting.witnesses, *silent)))

    def _may_have_it_still(self, source: str, booking: Booking) -> bool:
        if source not in self._policy.configured:
            return False
        return self._cancels.absence_in(booking, source).evidence not in AT_ONCE


def _was_refused(booking: Booking, wanted: ReservationSpec) -> bool:
    """Tell whether the API refused this very content, or a person gave it up."""
    refused = booking.pending if booking.state in HOLDING_STATES else booking.spec
    return refused == wanted and booking.reason in {*REFUSALS, Reason.DROPPED}


def _is_unclear(meeting: Meeting, booking: Booking) -> bool:
    """Tell whether a reservation that makes no sense stays as it is, because the calendar did not change."""
    unchanged = (
        booking.drifted == meeting.occurrence.fingerprint
        or booking.content == meeting.spec
    )
    return booking.reason is Reason.UNCLEAR_IN_TUYA and unchanged


def _is_same_event(meeting: Meeting, booking: Booking) -> bool:
    """Tell whether a meeting asks for what its record has, or its event did not change."""
    return (
        booking.spec == meeting.spec or booking.origin == meeting.occurrence.fingerprint
    )


def _gives_room_up(meeting: Meeting, booking: Booking) -> bool:
    """Tell whether an update would leave a meeting without the room that it has."""
    return booking.room_id is not None and meeting.spec.room_id is None
