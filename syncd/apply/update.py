"""Changes a reservation in place, as a task; what it moved is taken back where a swap of rooms fails."""

from __future__ import annotations

from dataclasses import replace

from syncd.apply.modify import Modifier
from syncd.apply.ports import Api, BookingLedger
from syncd.apply.publish import publish
from syncd.apply.records import BookingRecords
from syncd.apply.refusals import RefusalInquiry, blocker_of, tried, unexplained
from syncd.apply.repairs import count_repair
from syncd.apply.swap import RoomSwap
from syncd.apply.tasks import Task, call
from syncd.core.booking import Booking
from syncd.core.cause import Cause
from syncd.core.changes import Update
from syncd.core.meeting import Meeting
from syncd.core.reasons import Evidence, Reason
from syncd.core.settings import Settings
from syncd.errors import ApiUnusable, NotDone, Refused, ReservationError


class Updater:
    """The updates of one cycle, each as a task."""

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        settings: Settings,
        records: BookingRecords,
        refusals: RefusalInquiry,
        modifier: Modifier,
        swap: RoomSwap,
    ) -> None:
        self._api = api
        self._facts = ledger.facts
        self._published = ledger.published
        self._settings = settings
        self._records = records
        self._refusals = refusals
        self._modifier = modifier
        self._swap = swap

    def update(self, change: Update) -> Task[None]:
        """Change a reservation, after those that vacate their rooms for it did so.

        Raises `OutcomeUnknown`, with the doubt recorded, and `ApiUnusable`.
        """
        if self._records.became_doubtful(change.booking):
            return  # vacating its room got no answer; the next cycle goes on from what is found
        for booking in change.vacating:
            self._swap.vacate(booking)
        wanted = change.meeting
        booking = self._swap.latest(change.booking)
        if change.reason is Reason.ROOM_FREE_AGAIN:
            still_taken = yield from self._refusals.is_still_taken(wanted.spec, booking)
            if still_taken:
                self._swap.restore(booking.row)
                return
        settings = self._settings
        meeting = publish(
            wanted, self._published, settings.publish_dir, settings.publish_mode
        )
        if meeting is not wanted:
            booked = booking.spec.comparable()
            if meeting.spec.comparable() == booked:
                return  # all that differs are attachments that still cannot be published
        yield from self._send(change, meeting, booking)

    def _send(self, change: Update, meeting: Meeting, booking: Booking) -> Task[None]:
        # Only bookings that have one are updated.
        assert booking.reservation_id is not None
        asked = self._api.time()
        shown = booking.shown_by(meeting)
        intent = shown.sending(
            meeting.spec, meeting.occurrence.fingerprint, asked.latest
        )
        if change.reason is Reason.REPAIRED:
            count_repair(self._facts, change)
        fields = ", ".join(change.changed)
        cause = Cause(change.reason, change.evidence)
        if change.evidence is Evidence.APPROVED:
            cause = replace(cause, by=self._records.approver)
        intent = self._records.record(intent, "update", fields, cause)
        back = replace(booking, row=intent.row)
        try:
            yield from self._modifier.send(intent, back, asked)
        except Refused as refusal:
            yield from self._explain(back, intent, refusal)
            self._swap.restore(booking.row)
        except NotDone as error:
            kept = replace(
                back, pending=intent.pending, origin=intent.origin, attempted_at=None
            )
            refused = tried(kept, intent.attempts, back.state, str(error))
            self._records.refuse(refused)
            self._swap.restore(booking.row)
        else:
            self._swap.note_move(change.booking)
            done = intent.booked(booking.reservation_id)
            self._records.confirm(done, "updated", fields, cause)

    def _explain(self, back: Booking, intent: Booking, refusal: Refused) -> Task[None]:
        """Look why a reservation cannot change, and record what is found; the reservation stays as it was."""
        assert intent.pending is not None  # an intent has it
        # Only bookings that have one are updated.
        assert intent.reservation_id is not None
        kept = replace(
            back,
            pending=intent.pending,
            origin=intent.origin,
            attempted_at=None,
            attempts=0,
        )
        to_retry = replace(kept, attempts=intent.attempts)
        not_told = unexplained(to_retry, kept.state, refusal)
        try:
            there = yield from call(self._api.get, intent.reservation_id)
            if there is None or not there.live:
                ended = replace(back, pending=None, attempts=0)
                self._records.take_over(ended, there)
                return
            found = yield from self._refusals.list_around(intent.pending)
        except (ReservationError, ApiUnusable) as error:
            self._records.refuse(not_told, refusal.code)
            if isinstance(error, ApiUnusable):
                raise
            return
        blocker = blocker_of(intent.pending, found, intent.reservation_id)
        if blocker is not None:
            self._refusals.record_conflict(kept, blocker, kept.state, refusal.code)
        elif found.doubt:
            self._records.refuse(not_told, refusal.code)
        else:
            detail = f"The API refused the change with code {refusal.code}: {refusal.message}"
            refused = kept.with_state(kept.state, Reason.REFUSED, detail)
            self._records.refuse(refused, refusal.code)
