"""Books a meeting that has no reservation, as a task.

A create is the one request that must not be repeated: the API has no key that would make two of them one.
So it is sent again only when it provably did not arrive, and everything else is left to looking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from syncd.apply.ports import Api, BookingLedger
from syncd.apply.publish import publish
from syncd.apply.records import BookingRecords
from syncd.apply.refusals import RefusalInquiry, blocker_of, unexplained
from syncd.apply.tasks import Task, call
from syncd.core.apitime import ApiTime
from syncd.core.booking import Booking, BookingState
from syncd.core.cause import SYNCD, Cause
from syncd.core.changes import Create
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.reasons import Reason
from syncd.core.recognise import adopted_from, made_by
from syncd.core.reservation import Reservation, ReservationSpec
from syncd.core.settings import Settings
from syncd.errors import (
    ApiUnusable,
    NotDone,
    NotExecuted,
    OutcomeUnknown,
    RateLimited,
    Refused,
    ReservationError,
)


class Creator:
    """The creates of one cycle, each as a task."""

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
        self._published = ledger.published
        self._settings = settings
        self._records = records
        self._refusals = refusals
        self._clock = clock

    def create(self, change: Create) -> Task[None]:
        """Book a meeting: record the intent, send the request, record what came of it.

        Raises `OutcomeUnknown`, with the doubt recorded, and `ApiUnusable`.
        """
        meeting = change.meeting
        former = change.booking
        if change.reason is Reason.ROOM_FREE_AGAIN and former is not None:
            still_taken = yield from self._refusals.is_still_taken(meeting.spec, former)
            if still_taken:
                return
        settings = self._settings
        meeting = publish(
            meeting, self._published, settings.publish_dir, settings.publish_mode
        )
        asked = self._api.time()
        mark = None
        if settings.mapping.marker:
            mark = Mark.of(settings.instance, meeting.key, change.generation)
        intent = self._intend(change, meeting, mark, asked)
        cause = Cause(change.reason)
        yield from self._send(intent, meeting.spec, mark, asked, cause)

    def _intend(
        self, change: Create, meeting: Meeting, mark: Mark | None, asked: ApiTime
    ) -> Booking:
        """Record the intent, in place of a former record without reservation; return it as it is stored."""
        now = self._clock()
        former = change.booking
        marked = str(mark) if mark else None
        record = Booking.of(meeting, generation=change.generation, mark=marked)
        intent = record.sending(
            meeting.spec, meeting.occurrence.fingerprint, asked.latest
        )
        if former is not None and former.reservation_id is None:
            intent = replace(intent, row=former.row, attempts=former.attempts + 1)
        elif former is not None:
            # The former reservation was released or rejected: its record ends where the new one begins.
            self._bookings.record(
                former.with_state(BookingState.CANCELLED, former.reason, former.detail),
                at=now,
                what="replaced",
                detail="The calendar changed after it ended in Tuya; it is booked anew.",
                cause=Cause(by=SYNCD),
            )
        (stored,) = self._bookings.record(
            intent,
            at=now,
            what="create",
            detail=f"mark {intent.mark}",
            cause=Cause(change.reason),
        )
        return stored

    def _send(
        self,
        intent: Booking,
        spec: ReservationSpec,
        mark: Mark | None,
        asked: ApiTime,
        cause: Cause,
    ) -> Task[None]:
        try:
            try:
                reservation_id = yield from call(
                    self._api.create, spec, mark, asked=asked
                )
            except RateLimited as error:
                raise ApiUnusable(str(error)) from None
            except NotExecuted:
                # It provably did not arrive, so it may be sent again, as a request of now.
                asked = self._api.time()
                intent = self._records.amend(replace(intent, attempted_at=asked.latest))
                reservation_id = yield from self._send_again(spec, mark, asked)
            self._require_new(reservation_id)
        except Refused as refusal:
            yield from self._explain(intent, spec, refusal)
        except OutcomeUnknown as error:
            self._records.doubt(intent, error)
            raise
        except NotDone as error:
            # No page says what it means here, so it proves nothing: looked for like one without an answer.
            self._records.doubt(intent, error)
        except ApiUnusable:
            detail = "Not sent: the API could not be used."
            waiting = intent.with_state(BookingState.WAITING, None, detail)
            waiting = replace(waiting, attempts=intent.attempts - 1)
            self._records.record(waiting, "not sent")
            raise
        else:
            self._records.confirm(intent.booked(reservation_id), "created", cause=cause)

    def _send_again(
        self, spec: ReservationSpec, mark: Mark | None, asked: ApiTime
    ) -> Task[str]:
        try:
            reservation_id = yield from call(self._api.create, spec, mark, asked=asked)
        except NotExecuted as error:
            raise ApiUnusable(str(error)) from None
        return reservation_id

    def _require_new(self, reservation_id: str) -> None:
        """Raise `OutcomeUnknown` when the id that a create gave is one that a booking has or had."""
        if self._bookings.recorded([reservation_id]):
            raise OutcomeUnknown(
                "the API answered with the id of another reservation, so it may be booked; "
                "syncd settles it by looking"
            )

    def _explain(
        self, intent: Booking, spec: ReservationSpec, refusal: Refused
    ) -> Task[None]:
        """Look why a create was refused, and record what is found.

        A reservation with our own mark: an earlier request arrived after all.
        Another reservation in the room: a conflict.
        Neither: a refusal that stands until the content changes.
        """
        try:
            found = yield from self._refusals.list_around(spec)
        except (ReservationError, ApiUnusable) as error:
            self._records.refuse(
                unexplained(intent, BookingState.REFUSED, refusal), refusal.code
            )
            if isinstance(error, ApiUnusable):
                raise
            return
        ids = {reservation.reservation_id for reservation in found}
        known = self._bookings.recorded(ids)
        made = made_by(intent, found, known)
        ours = [there for there in made if there.live and there.mark is not None]
        blocker = blocker_of(spec, found)
        if found.doubt and not ours and blocker is None:
            self._records.refuse(
                unexplained(intent, BookingState.REFUSED, refusal), refusal.code
            )
            return
        self._conclude(replace(intent, attempts=0), ours, blocker, refusal)

    def _conclude(
        self,
        intent: Booking,
        ours: list[Reservation],
        blocker: Reservation | None,
        refusal: Refused,
    ) -> None:
        if ours:
            adopted = adopted_from(intent, ours[0])
            self._records.confirm(adopted, "adopted")
        elif blocker is not None:
            self._refusals.record_conflict(
                intent, blocker, BookingState.REFUSED, refusal.code
            )
        else:
            detail = f"The API refused it with code {refusal.code}: {refusal.message}"
            refused = intent.with_state(BookingState.REFUSED, Reason.REFUSED, detail)
            self._records.refuse(refused, refusal.code)
