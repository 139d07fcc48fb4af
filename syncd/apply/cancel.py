"""Cancels a reservation, as a task, or once more where an answer was lost.

A cancel sets a state, so repeating it is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from syncd.apply.ports import Api, BookingLedger
from syncd.apply.records import BookingRecords
from syncd.apply.refusals import MAX_TRIES, RefusalInquiry, after_tries
from syncd.apply.tasks import Task, call, run_task
from syncd.core.apitime import ApiTime
from syncd.core.booking import Booking
from syncd.core.cause import Cause
from syncd.core.changes import Cancel, Mode, Plan
from syncd.core.reasons import Evidence
from syncd.core.recognise import Duplicate
from syncd.core.settings import Settings
from syncd.errors import (
    ApiUnusable,
    NotDone,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    ReservationError,
)

log = structlog.get_logger(__name__)


class Canceller:
    """The cancels of one cycle, each as a task, and those of duplicates."""

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        settings: Settings,
        records: BookingRecords,
        refusals: RefusalInquiry,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._bookings = ledger.bookings
        self._people = ledger.people
        self._settings = settings
        self._records = records
        self._refusals = refusals
        self._clock = clock
        # Intents of the cancels that a person approved, by row.
        self._approved: dict[int, Booking] = {}

    def intend_approved(self, plan: Plan) -> None:
        """Record the intents of all cancels that a person approved together, before any of them is sent.

        Then the approval may be spent: after a kill, or when the API cannot be used, they are settled
        without asking again.
        """
        asked = self._api.time()
        intents: list[Booking] = []
        for change in plan.writes:
            if not isinstance(change, Cancel):
                continue
            if change.evidence is Evidence.APPROVED:
                intents.append(_intent(change, asked))
        self._records.approver = self._approver(plan)
        stored = self._bookings.record(
            *intents,
            at=self._clock(),
            what="cancel",
            detail="approved",
            cause=Cause(by=self._records.approver),
        )
        self._approved = {intent.row: intent for intent in stored}

    def _approver(self, plan: Plan) -> str | None:
        """Return who released what a plan carries out of what was held."""
        if plan.released is None:
            return None
        return self._people.approver(plan.released)

    def cancel(self, change: Cancel) -> Task[None]:
        """Cancel a reservation: record the intent unless that is done, send the request, record its answer.

        Raises `OutcomeUnknown`, with the doubt recorded, and `ApiUnusable`.
        """
        booking = change.booking
        approved = self._approved.get(booking.row)
        if approved is not None:
            asked = self._api.time()
            yield from self._send(approved, asked)
            return
        asked = self._api.time()
        what_for = f"{change.reason} ({change.evidence})"
        intent = _intent(change, asked)
        intent = self._records.record(intent, "cancel", what_for)
        yield from self._send(intent, asked, booking)

    def repeat(self, intent: Booking) -> None:
        """Send a cancel whose intent is recorded once more.

        Raises `OutcomeUnknown`, with the doubt recorded, and `ApiUnusable`.
        """
        asked = self._api.time()
        again = replace(
            intent,
            attempts=intent.attempts + 1,
            attempted_at=asked.latest,
            retry_at=None,
        )
        again = self._records.record(again, "cancel", "once more")
        run_task(self._send(again, asked, intent))

    def cancel_duplicate(self, duplicate: Duplicate) -> bool:
        """Cancel a live reservation that another one makes superfluous; return whether that is done.

        Only if both say themselves that they stand in the same place: else it may be somebody's own.
        """
        reservation_id = duplicate.reservation.reservation_id
        kept_id = duplicate.of.reservation_id
        if self._settings.mode is not Mode.FULL:
            log.warning("duplicate", reservation_id=reservation_id, of=kept_id)
            return False
        asked = self._api.time()
        there = self._api.get(reservation_id)
        kept = self._api.get(kept_id)
        if there is None or not there.live:
            return True
        if kept is None or not kept.live:
            return False  # the list was late: there is only one
        both_say_so = there.is_in_place_of(kept) and kept.is_in_place_of(there)
        if not both_say_so:
            log.warning("stray", reservation_id=reservation_id)
            return False
        try:
            self._api.cancel(reservation_id, asked=asked)
        except (ReservationError, ApiUnusable) as error:
            # Setting a state again is safe, so the next comparison does it.
            log.warning("duplicate", reservation_id=reservation_id, error=str(error))
            return False
        self._records.note_duplicate_cancelled()
        log.info("duplicate cancelled", reservation_id=reservation_id, of=kept_id)
        return True

    def _send(
        self, intent: Booking, asked: ApiTime, back: Booking | None = None
    ) -> Task[None]:
        """Send a cancel whose intent is recorded; `back` is what to record if it was not sent."""
        # Only bookings that have one are cancelled.
        assert intent.reservation_id is not None
        try:
            yield from call(self._api.cancel, intent.reservation_id, asked=asked)
        except (Refused, NotDone) as no:
            yield from self._explain(intent, no)
        except OutcomeUnknown as error:
            self._records.doubt(intent, error)
            raise
        except (NotExecuted, ApiUnusable) as error:
            if back is not None:
                back = replace(back, row=intent.row)
                self._records.record(back, "not sent")
            raise ApiUnusable(str(error)) from None
        else:
            self._records.confirm_cancelled(intent)

    def _explain(self, intent: Booking, no: Refused | NotDone) -> Task[None]:
        """Look what a cancel left to which the API said no, and record what is found."""
        there = yield from self._refusals.look(intent, no)
        if there is None or not there.live:
            self._records.confirm_cancelled(intent)
        elif isinstance(no, Refused):
            detail = f"The API refused the cancel with code {no.code}: {no.message}"
            self._records.refuse_cancel(intent, there, detail, no.code)
        elif intent.attempts >= MAX_TRIES:
            detail = after_tries(str(no), intent.attempts)
            self._records.refuse_cancel(intent, there, detail)
        else:
            self._records.doubt(intent, no)


def _intent(change: Cancel, asked: ApiTime) -> Booking:
    return change.booking.cancelling(
        change.reason, change.evidence, change.detail, asked.latest
    )
