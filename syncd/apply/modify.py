"""Gives a reservation other content: one request whose intent is recorded, and what its answer means."""

from __future__ import annotations

from dataclasses import replace

from syncd.apply.ports import Api
from syncd.apply.records import BookingRecords
from syncd.apply.refusals import RefusalInquiry
from syncd.apply.tasks import Task, call, run_task
from syncd.core.apitime import ApiTime
from syncd.core.booking import Booking
from syncd.core.cause import IN_TUYA
from syncd.core.mark import Mark
from syncd.core.reservation import ReservationSpec
from syncd.errors import (
    ApiUnreachable,
    ApiUnusable,
    NotDone,
    NotExecuted,
    OutcomeUnknown,
    Refused,
)


class Modifier:
    """The requests that change reservations, for updates and for the moves of a swap."""

    def __init__(
        self, *, api: Api, records: BookingRecords, refusals: RefusalInquiry
    ) -> None:
        self._api = api
        self._records = records
        self._refusals = refusals

    def send(self, intent: Booking, back: Booking, asked: ApiTime) -> Task[None]:
        """Send a change whose intent is recorded; `back` is what to record if it was not sent.

        Raises `Refused`, `NotDone` (after a look), `OutcomeUnknown` (with the doubt recorded), `ApiUnusable`.
        """
        wanted = intent.pending
        reservation_id = intent.reservation_id
        assert wanted is not None  # an intent has it
        assert reservation_id is not None  # only bookings that have one are updated
        mark = None
        if intent.mark:
            mark = Mark.find(intent.mark)
        try:
            yield from call(
                self._api.modify,
                reservation_id,
                wanted,
                mark,
                wanted.creator,
                asked=asked,
            )
        except NotDone as error:
            there = yield from self._refusals.look(intent, error)
            if there is None or not there.live:
                # There is nothing left to change.
                raise Refused(0, str(error)) from None
            if there.onto(wanted) != wanted:
                raise
        except OutcomeUnknown as error:
            self._records.doubt(intent, error)
            raise
        except (NotExecuted, ApiUnusable) as error:
            self._records.record(back, "not sent")
            if isinstance(error, ApiUnusable):
                raise
            raise ApiUnreachable(str(error)) from None

    def move(self, booking: Booking, spec: ReservationSpec, what: str) -> Booking:
        """Give a reservation other content on the way of a larger change, while nothing else is under way.

        Its record stays otherwise; it is returned as it is stored.
        Raises `Refused` and `NotDone` (without effect), `OutcomeUnknown` (with the doubt recorded) and
        `ApiUnusable`.
        """
        asked = self._api.time()
        intent = booking.sending(spec, booking.origin, asked.latest)
        intent = self._records.record(intent, what)
        try:
            run_task(self.send(intent, booking, asked))
        except (Refused, NotDone) as no:
            self._records.record(booking, "refused", str(no), IN_TUYA)
            raise
        done = replace(booking, content=spec, room_id=spec.room_id, attempted_at=None)
        return self._records.record(done, f"{what}: done")
