"""The ledger protocol of one booking: what is written of a request after it came back.

    intent -> request -> confirmed | refused | not sent | in doubt

The intent is committed by `create`, `update`, `modify` and `cancel` before the request leaves, so no end of
the process can lose a request that was sent.
Whatever comes back is recorded right after it; where nothing comes back the booking is in doubt, and
`syncd.apply.settle` finds out by looking.
What the API knows otherwise than the ledger (`take_over`, `take_change`, `leave_unclear`, `lose`) is recorded
here as well.
Must not: send a request, or decide whether one is to be sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import structlog

from syncd.apply.ports import Api, BookingLedger
from syncd.apply.unread import Unread
from syncd.core.booking import Booking, BookingState
from syncd.core.cause import AS_THE_BOOKING_SAYS, IN_TUYA, TUYA, Cause
from syncd.core.reasons import MEANINGS, Reason
from syncd.core.reservation import Reservation, ReservationStatus
from syncd.core.settings import Settings
from syncd.errors import NotDone, OutcomeUnknown, ReservationError
from syncd.ledger.measurements import CounterName

log = structlog.get_logger(__name__)

Action = Literal["create", "update", "cancel"]

GRACE = timedelta(seconds=5)
"""Beyond request_validity, for clocks that differ."""


class BookingRecords:
    """The records of bookings that one cycle writes: what was asked for, and what became of it.

    `counts` holds how many were created, updated, cancelled, adopted or refused, and how many duplicates were
    cancelled, by the names of `once --json`.
    """

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        settings: Settings,
        unread: Unread,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._bookings = ledger.bookings
        self._measurements = ledger.measurements
        self._latency = ledger.latency
        self._settings = settings
        self._unread = unread
        self._clock = clock
        self._doubtful: set[int] = set()  # rows
        self.counts: Counter[str] = Counter()
        # Who released what was held, if this cycle carries that out.
        self.approver: str | None = None
        # Changes that were made as they were meant, by UID.
        self.written: Counter[str] = Counter()

    def record(
        self,
        booking: Booking,
        what: str,
        detail: str = "",
        cause: Cause = AS_THE_BOOKING_SAYS,
    ) -> Booking:
        """Store a booking, such as an intent, and in its history what happened; return it as it is stored."""
        now = self._clock()
        (stored,) = self._bookings.record(
            booking, at=now, what=what, detail=detail, cause=cause
        )
        return stored

    def amend(self, booking: Booking) -> Booking:
        """Store a booking to which nothing happened that the history has to tell; return it."""
        self._bookings.amend(booking, at=self._clock())
        return booking

    def latest(self, booking: Booking) -> Booking:
        """Return a booking as the ledger has it now."""
        of_uid = self._bookings.of(booking.key.uid)
        by_row = {stored.row: stored for stored in of_uid}
        return by_row[booking.row]

    # After its answer

    def count_done(self, action: Action, booking: Booking) -> None:
        """Count a change that is known to be made, before it is recorded."""
        self._count(action, "done")
        self._latency.measure(booking.key.uid, self._clock())

    def _count(self, action: Action, result: str) -> None:
        self._measurements.add(CounterName.CHANGES, action, result)

    def confirm(
        self,
        booking: Booking,
        what: str,
        detail: str = "",
        cause: Cause = AS_THE_BOOKING_SAYS,
    ) -> None:
        """Record that a booking was created, updated or adopted, as `what` says; it is to be read back."""
        action: Action = "update" if what == "updated" else "create"
        self.count_done(action, booking)
        stored = self.record(booking, what, detail, cause)
        self.counts[what] += 1
        if what != "adopted":
            self.written[stored.key.uid] += 1
        self._unread.add(stored)
        log.info(what, **log_fields(stored))

    def adopt(
        self, booking: Booking, detail: str, cause: Cause = AS_THE_BOOKING_SAYS
    ) -> None:
        """Record that a reservation which was found is the one of a booking; `detail` says how."""
        self.record(booking, "adopted", detail, cause)
        self.counts["adopted"] += 1
        log.info(
            "adopted", reservation_id=booking.reservation_id, source=booking.source
        )

    def confirm_cancelled(self, intent: Booking) -> None:
        """Record that a cancel took effect."""
        detail = ""
        if intent.reason:
            detail = MEANINGS[intent.reason]
        done = intent.called_off(detail)
        self.count_done("cancel", intent)
        if intent.evidence is not None:
            self._measurements.add(CounterName.CANCELLATIONS, intent.evidence.value)
        self.record(done, "cancelled", detail)
        self.counts["cancelled"] += 1
        log.info("cancelled", **log_fields(done), evidence=done.evidence)

    def note_duplicate_cancelled(self) -> None:
        """Count a cancel of a reservation that no booking holds."""
        self.counts["duplicates"] += 1
        self._count("cancel", "done")

    def refuse(
        self, booking: Booking, code: int | None = None, *, was_sent: bool = True
    ) -> None:
        """Record that what was asked for is not done; the booking says why, and whether it is tried again.

        `code` is that of the API's answer, if there was one; `was_sent`: the API was asked to do it.
        """
        if was_sent:
            self._count(_action_of(booking), "refused")
        self._refuse(booking, code)

    def _refuse(self, booking: Booking, code: int | None) -> None:
        self.record(booking, "refused", booking.detail, IN_TUYA)
        self.counts["refused"] += 1
        log.warning(
            "refused", message=_told(booking, code), code=code, **log_fields(booking)
        )

    def refuse_cancel(
        self,
        intent: Booking,
        there: Reservation,
        detail: str,
        code: int | None = None,
    ) -> None:
        """Record that a reservation stays, because the API does not cancel it, with the code of its answer."""
        state = BookingState.BOOKED
        if there.status is ReservationStatus.AWAITING_APPROVAL:
            state = BookingState.APPROVAL
        refused = intent.with_state(state, Reason.REFUSED, detail)
        kept = replace(
            refused,
            content=intent.content or intent.pending,
            pending=None,
            attempted_at=None,
            evidence=None,
            attempts=0,
            retry_at=None,
        )
        self._count("cancel", "refused")
        self._refuse(kept, code)

    def doubt(self, intent: Booking, error: ReservationError) -> None:
        """Record that it is not known what became of a request, and until when it may still arrive."""
        now = self._clock()
        said = str(error)
        self._count(_action_of(intent), "doubt")
        self._doubtful.add(intent.row)
        reason = Reason.IN_DOUBT
        if isinstance(error, NotDone):
            reason = Reason.REFUSED
        is_cancel = intent.state is BookingState.CANCELLING
        writes_mark = intent.reason is Reason.TAKEN_OVER
        if intent.reason is not None and (is_cancel or writes_mark):
            reason = (
                intent.reason
            )  # what a cancel rests on, or a mark is written for, stays with it
        detail = f"{said.rstrip('.')}. It is settled by looking."
        present = self._api.time()
        settled_at = present.latest + self._settings.request_validity + GRACE
        doubt = intent.with_state(intent.state, reason, detail)
        doubt = replace(doubt, retry_at=settled_at)
        self._bookings.record(doubt, at=now, what="in doubt", detail=said)
        log.warning("in doubt", **log_fields(doubt))

    def became_doubtful(self, booking: Booking) -> bool:
        """Tell whether a request about a booking came to be in doubt in this cycle."""
        return booking.row in self._doubtful

    # What the API knows otherwise

    def take_over(self, booking: Booking, reservation: Reservation | None) -> Booking:
        """Record the status that a reservation has in the API, None if it is gone; return the booking."""
        seen = self._as_seen(booking, reservation)
        if seen.state is BookingState.REFUSED:
            self.counts["refused"] += 1
        what = seen.state.value
        return self.record(seen, what, seen.detail, IN_TUYA)

    def _as_seen(self, booking: Booking, reservation: Reservation | None) -> Booking:
        """Return a booking in the state that its reservation has in the API."""
        if reservation is None or reservation.status is None:
            return _released(booking, "It no longer exists in Tuya")
        match reservation.status:
            case ReservationStatus.NORMAL:
                if ended_early(booking, reservation, self._clock()):
                    return _released(booking, "It was ended early in Tuya")
                if booking.lacks_mark:
                    return replace(booking, state=BookingState.BOOKED)
                return booking.with_state(BookingState.BOOKED)
            case ReservationStatus.AWAITING_APPROVAL:
                if booking.lacks_mark:
                    return replace(booking, state=BookingState.APPROVAL)
                detail = "It waits for approval in Tuya."
                return booking.with_state(BookingState.APPROVAL, None, detail)
            case ReservationStatus.REJECTED:
                detail = "The approval was rejected in Tuya."
                return booking.with_state(BookingState.REFUSED, Reason.REFUSED, detail)
            case ReservationStatus.CANCELLED:
                return _released(booking, "It was cancelled in Tuya")

    def take_change(self, booking: Booking, reservation: Reservation) -> None:
        """Record that somebody changed a reservation in Tuya; what follows is for the plan to decide."""
        content = reservation.onto(booking.spec)
        if content is None:
            return
        fields = content.changed_from(booking.spec)
        what_changed = ", ".join(fields) or "nothing"
        changed = booking.changed_in_tuya(content)
        cause = Cause(Reason.CHANGED_IN_TUYA, by=TUYA)
        self.record(changed, "changed in Tuya", what_changed, cause)
        log.info("changed in the API", fields=list(fields), **log_fields(changed))

    def leave_unclear(self, booking: Booking, oddity: str) -> Booking:
        """Record that a reservation makes no sense, or (without oddity) that it does so again.

        A booking that says already why it is not as it should be goes on saying that.
        Returns the booking as it is stored.
        """
        is_sound = booking.reason is None
        if not is_sound and booking.reason is not Reason.UNCLEAR_IN_TUYA:
            return booking
        if is_sound and not oddity:
            return booking
        if oddity:
            left = booking.unclear(oddity)
            what = "makes no sense in Tuya"
        else:
            left = booking.with_state(booking.state)
            what = "makes sense again"
        says_the_same = left.detail == booking.detail
        if says_the_same and left.reason is booking.reason:
            return booking
        return self.record(left, what, oddity, IN_TUYA)

    def lose(self, booking: Booking) -> None:
        """Give up a reservation that turns out to be somebody else's; what was booked is looked for."""
        now = self._clock()
        lost = booking.lost(now)
        why = OutcomeUnknown("the API gave the id of somebody else's")
        self.doubt(lost, why)


def _released(booking: Booking, what: str) -> Booking:
    """Return a booking whose reservation ended in the API; `what` begins the sentence that says how."""
    detail = f"{what}; booked again when the calendar changes."
    return booking.with_state(BookingState.RELEASED, Reason.RELEASED, detail)


def ended_early(
    booking: Booking, reservation: Reservation | None, now: datetime
) -> bool:
    """Tell whether a reservation is over before the time that was booked."""
    if reservation is None or reservation.oddity:
        return False
    if reservation.end is None:
        return False
    return reservation.end <= now < booking.spec.end


def _action_of(booking: Booking) -> Action:
    """Return what a request about a booking was to do."""
    if booking.state is BookingState.CANCELLING:
        return "cancel"
    if booking.reservation_id is None:
        return "create"
    return "update"


def _told(booking: Booking, code: int | None) -> str:
    """Return the sentence of the log about a refusal."""
    said = f" with code {code}" if code else ""
    if booking.reason is Reason.ROOM_CONFLICT:
        return f"The API refused a meeting{said}, because another reservation holds its room."
    if booking.is_tried_again:
        return f"The API refused a request{said}; the next cycle tries again."
    return (
        f"The API refused a request{said}; it is not repeated until the event changes."
    )


def log_fields(booking: Booking) -> dict[str, object]:
    """Return what a log line says of a booking: identifiers, never content."""
    key = booking.key
    reason = booking.reason
    return {
        "source": booking.source,
        "uid": key.uid,
        "recurrence_id": key.recurrence_id,
        "room_id": booking.room_id,
        "reservation_id": booking.reservation_id,
        "reason": None if reason is None else reason.value,
    }
