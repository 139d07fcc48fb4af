"""What becomes of a reservation that somebody changed or ended in Tuya while its event stayed the same.

The configuration decides: `drift.on_change` and `drift.on_cancel`.
"""

from __future__ import annotations

from datetime import datetime

from syncd.core.booking import Booking
from syncd.core.changes import Create, OnCancel, OnChange
from syncd.core.draft import Draft
from syncd.core.meeting import Meeting
from syncd.core.policy import REPAIRS, Policy
from syncd.core.reasons import Reason
from syncd.core.updates import Updates


class DriftedReservations:
    """Decides about reservations that differ from their meetings by what was done in Tuya, for one draft."""

    def __init__(
        self, draft: Draft, updates: Updates, policy: Policy, now: datetime
    ) -> None:
        self._draft = draft
        self._updates = updates
        self._policy = policy
        self._now = now

    def keep_or_repair(self, meeting: Meeting, booking: Booking) -> None:
        """Decide by `drift.on_change` about what somebody changed in Tuya."""
        self._draft.remember(booking, meeting)
        on_change = self._policy.on_change
        first_start = min(meeting.spec.start, booking.spec.start)
        has_begun = first_start <= self._now
        if on_change is OnChange.REPAIR and not has_begun:
            self._repair(meeting, booking)
        elif on_change is OnChange.REPORT:
            changed = booking.spec.changed_from(meeting.spec)
            fields = ", ".join(changed)
            detail = f"Somebody changed it in Tuya ({fields}); it stays so until the calendar changes."
            self._draft.skip(meeting, Reason.CHANGED_IN_TUYA, detail, booking)
        else:
            detail = "Somebody changed it in Tuya, which is respected; it stays so until the event changes."
            self._draft.keep(booking, booking.reason, detail, unchanged=True)

    def respect_or_rebook(self, meeting: Meeting, booking: Booking) -> None:
        """Respect that a reservation was ended in Tuya, or book it again (`drift.on_cancel`)."""
        self._draft.remember(booking, meeting)
        given_up_by_a_person = booking.reason in {
            Reason.NOT_THE_ORGANIZER,
            Reason.DROPPED,
        }
        rebooks = self._policy.on_cancel is OnCancel.REBOOK
        has_begun = meeting.spec.start <= self._now
        detail = booking.detail
        if rebooks and not given_up_by_a_person and not has_begun:
            create = Create(meeting, Reason.REBOOKED, detail, booking)
            self._draft.add(create)
            return
        if not detail:
            detail = "It was ended in Tuya; booked again when the calendar changes."
        self._draft.skip(meeting, Reason.RELEASED, detail, booking)

    def _repair(self, meeting: Meeting, booking: Booking) -> None:
        """Give a reservation the content of its meeting again, unless that is in vain."""
        if self._is_repaired_in_vain(meeting, booking):
            self._give_up_repair(meeting, booking)
        else:
            self._updates.follow(meeting, booking, Reason.REPAIRED)

    def _is_repaired_in_vain(self, meeting: Meeting, booking: Booking) -> bool:
        """Tell whether a repair was made as often as it is worth, and the difference is there again."""
        repaired = self._policy.repairs.get(booking.row)
        if repaired is None or repaired.times < REPAIRS:
            return False
        changed = meeting.spec.changed_from(booking.spec)
        return repaired.is_of(meeting.occurrence.fingerprint, changed)

    def _give_up_repair(self, meeting: Meeting, booking: Booking) -> None:
        """Leave a difference to a person that comes back after each repair."""
        changed = meeting.spec.changed_from(booking.spec)
        fields = ", ".join(changed)
        detail = (
            f"It was repaired {REPAIRS} times in a row, and Tuya shows another {fields} again; "
            "it stays so until the calendar changes: find out who changes it there."
        )
        self._draft.skip(meeting, Reason.REPAIR_IN_VAIN, detail, booking)
        known = self._draft.latest(booking)
        told = known.with_state(known.state, Reason.REPAIR_IN_VAIN, detail)
        if told != booking:
            self._draft.amend(told)
