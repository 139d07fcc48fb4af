"""Settles what became of a request whose answer was lost: by looking, never by repeating blindly.

The problem.
A request may be carried out although its answer does not come back: the connection breaks, a proxy gives
up, or this process ends in between.
No further message makes both sides certain of it (the two generals problem), and a create that is sent twice
books a meeting twice.

What is done.
The intent is committed before the request leaves, as with a transactional outbox; so whatever was sent is
known here, also after a kill.
An outbox sends again until it is acknowledged, and needs a receiver that tells repeats apart; this API does
not, so its part is taken by looking.
A create carries a mark in its description that names the meeting and how often it was booked (`core.mark`);
it is searched by mark, and then among reservations without one by creator, room, time, topic and age.
Found: it is adopted.
Not found: the API refuses a request that was signed longer than `request_validity` ago, so after that and
`signing_limit` it can no longer arrive, as a segment after its maximum lifetime in TCP (RFC 9293).
Only then does its absence prove that it is not made, and the plan may book the meeting anew.
A list that contradicts itself, or leaves out marks, proves no absence however late it is.
Updates and cancels set a state, so they are compared with what is there; while one may still arrive nothing
else is sent to its reservation, because it would undo that.

What else was possible.
An idempotency key (draft-ietf-httpapi-idempotency-key-header) settles it at the receiver; this API has none.
To repeat at once makes duplicates, and to cancel those later has invited people twice by then.
A search just before each create does not help: the lost request may arrive between the two.
To ask a person each time is safe and too much to ask; it is what remains after `MAX_ATTEMPTS` (see
`syncd.apply.decisions`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import structlog

from syncd.apply.cancel import Canceller
from syncd.apply.ports import Api, BookingLedger
from syncd.apply.records import GRACE, BookingRecords, log_fields
from syncd.apply.refusals import MAX_TRIES
from syncd.apply.search import list_around_bookings
from syncd.core.booking import Booking, BookingState
from syncd.core.cause import AS_THE_BOOKING_SAYS, Cause
from syncd.core.listing import Listing
from syncd.core.reasons import Reason
from syncd.core.recognise import Duplicate, adopted_from, made_by
from syncd.core.reservation import Reservation
from syncd.core.settings import Settings
from syncd.errors import OutcomeUnknown, ReservationError

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
"""Requests about one reservation without any answer before a person is asked."""

_LEAN = "The API's list does not tell which reservations are ours."
RESOLVE = "settle it with: syncd resolve"


@contextmanager
def left_in_doubt(bookings: Sequence[Booking]) -> Iterator[None]:
    """Leave bookings in doubt when the API refuses a question about them, so that all others go on."""
    try:
        yield
    except ReservationError as error:
        for booking in bookings:
            log.warning("still in doubt", error=str(error), **log_fields(booking))


class Settler:
    """The bookings in doubt of one ledger, and how to settle them; may be used again and again."""

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        settings: Settings,
        records: BookingRecords,
        canceller: Canceller,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._bookings = ledger.bookings
        self._settings = settings
        self._records = records
        self._canceller = canceller
        self._clock = clock

    def settle(self) -> None:
        """Settle as far as looking can, and send cancels once more; raise `ApiUnusable`."""
        self._settle(repeat=True)

    def look(self) -> None:
        """Settle as far as looking can, and send nothing; raise `ApiUnusable`."""
        self._settle(repeat=False)

    def look_at(self, booking: Booking, found: Listing) -> None:
        """Settle one booking as far as looking can; `found` is what the API has around a create.

        Raises `ApiUnusable` and, when the question is refused, `ReservationError`.
        """
        if booking.state is BookingState.CANCELLING:
            self._settle_cancel(booking, repeat=False)
        elif booking.reservation_id is not None:
            self._settle_update(booking)
        else:
            self._settle_creates([booking], found)

    def settled_at(self, booking: Booking) -> datetime:
        """Return when the request in doubt can no longer arrive, by the API's clock."""
        assert booking.attempted_at is not None  # a booking in doubt has it
        settings = self._settings
        # Without an answer of any kind (a kill) the request may have been signed late.
        latest = (
            booking.attempted_at
            + settings.signing_limit
            + settings.request_validity
            + GRACE
        )
        return booking.retry_at or latest

    def give_back(
        self,
        booking: Booking,
        what: str,
        detail: str,
        *,
        attempts: int,
        cause: Cause = AS_THE_BOOKING_SAYS,
    ) -> None:
        """Leave a create to the plan again, as after so many attempts."""
        waiting = replace(
            booking,
            state=BookingState.WAITING,
            attempted_at=None,
            attempts=attempts,
            retry_at=None,
            blocked_by=None,
            detail="",
            reason=None,
        )
        self._records.record(waiting, what, detail, cause)

    def _settle(self, *, repeat: bool) -> None:
        doubtful = self._bookings.in_doubt(self._clock())
        if doubtful:
            doubtful = self._begun_anew(doubtful)
        sending = [
            booking for booking in doubtful if booking.state is BookingState.SENDING
        ]
        creates = [booking for booking in sending if booking.reservation_id is None]
        if creates:
            with left_in_doubt(creates):
                found = list_around_bookings(creates, self._api, self._bookings)
                self._settle_creates(creates, found)
        for booking in doubtful:
            with left_in_doubt([booking]):
                if booking.state is BookingState.CANCELLING:
                    self._settle_cancel(booking, repeat=repeat)
                elif booking.reservation_id is not None:
                    self._settle_update(booking)

    def _begun_anew(self, doubtful: Sequence[Booking]) -> tuple[Booking, ...]:
        """Return the same bookings, where a wait that began in the future begins now.

        So it is when the API's clock was set back.
        """
        latest = self._api.time().latest
        bookings: list[Booking] = []
        for booking in doubtful:
            assert booking.attempted_at is not None  # a booking in doubt has it
            if booking.attempted_at <= latest + GRACE:
                bookings.append(booking)
            else:
                anew = replace(booking, attempted_at=latest, retry_at=None)
                bookings.append(self._records.amend(anew))
        return tuple(bookings)

    # Creates

    def _settle_creates(self, creates: Sequence[Booking], found: Listing) -> None:
        """Settle creates; `found` is what the API has around them."""
        ids = {reservation.reservation_id for reservation in found}
        known = self._bookings.recorded(ids)
        for booking in creates:
            self._settle_create(booking, found, known)

    def _settle_create(
        self, booking: Booking, listing: Listing, known: Collection[str]
    ) -> None:
        """Settle a create; `known` are the ids that appear in any booking."""
        made = made_by(booking, listing, known)
        live = [reservation for reservation in made if reservation.live]
        if booking.mark is None and len(live) > 1:
            ids = ", ".join(reservation.reservation_id for reservation in live)
            detail = f"Several reservations look like it ({ids}); {RESOLVE}."
            self._wait(booking, detail)
        elif live:
            self._adopt(booking, live)
        elif made:
            # It was made, and a person or an approver ended it since.
            last = made[-1]
            self._records.count_done("create", booking)
            self._records.take_over(adopted_from(booking, last), last)
        elif not listing.lacks(booking.mark, booking.spec.creator, known):
            self._wait(
                booking,
                "A request was sent, its answer was lost, and nothing proves that it is not made: "
                f"{listing.trouble or _LEAN} It is looked for again; {RESOLVE}.",
            )
        else:
            self._conclude_absence(booking)

    def _adopt(self, booking: Booking, live: Sequence[Reservation]) -> None:
        """Record the first of the reservations that a create made, and cancel the others."""
        first, *others = live
        adopted = adopted_from(booking, first)
        self._records.count_done("create", booking)
        self._records.adopt(adopted, "found by looking")
        for reservation in others:
            duplicate = Duplicate(reservation, first)
            self._canceller.cancel_duplicate(duplicate)

    def _conclude_absence(self, booking: Booking) -> None:
        """Record what follows from a create that is not found: a wait, another try, or a refusal."""
        settled_at = self.settled_at(booking)
        said_no = booking.reason is Reason.REFUSED
        if self._api.time().earliest < settled_at:
            what = (
                "the API answered that it failed" if said_no else "its answer was lost"
            )
            self._wait(
                booking,
                f"A request was sent, {what}, and it is not found yet; "
                f"looked for until {settled_at:%Y-%m-%d %H:%M:%S} UTC, then tried once more.",
            )
        elif said_no and booking.attempts >= MAX_TRIES:
            self._refuse(
                booking,
                f"The API answered {booking.attempts} times that it failed, and not why; {RESOLVE}.",
            )
        elif booking.attempts >= MAX_ATTEMPTS:
            if RESOLVE in booking.detail:
                return  # it says already what a person has to know, such as why a decision was no help
            self._wait(
                booking,
                f"{booking.attempts} requests got no answer, and none is found; {RESOLVE}.",
            )
        else:
            self.give_back(
                booking,
                "not made",
                "not found after request_validity",
                attempts=booking.attempts,
            )

    def _wait(self, booking: Booking, detail: str) -> None:
        """Leave a booking in doubt, and say why if that is something new."""
        if booking.detail == detail:
            return
        reason = Reason.IN_DOUBT
        if booking.reason is Reason.REFUSED:
            reason = Reason.REFUSED
        waiting = replace(booking, reason=reason, detail=detail)
        self._records.amend(waiting)

    def _refuse(self, booking: Booking, detail: str) -> None:
        """Record that a create is certainly not made, and is not tried again."""
        refused = replace(
            booking.with_state(BookingState.REFUSED, Reason.REFUSED, detail),
            attempted_at=None,
            attempts=0,
            retry_at=None,
        )
        self._records.refuse(refused)

    # Updates and cancels

    def _settle_update(self, booking: Booking) -> None:
        assert booking.reservation_id is not None  # the caller asked
        there = self._api.get(booking.reservation_id)
        if there is None or not there.live:
            self._settle_ended(booking, there)
            return
        # Whatever it holds is what is confirmed; if that is not what is wanted, the plan changes it again.
        # Of one that makes no sense nothing is confirmed, and to send it again is the way to make it right.
        asked = booking
        if there.oddity:
            asked = replace(booking, pending=booking.spec)
        settled = adopted_from(asked, there)
        lacks_mark = booking.reason is Reason.TAKEN_OVER and there.mark is None
        is_made = not (there.oddity or lacks_mark)
        if settled.content != booking.pending:
            is_made = False
        if not is_made:
            settled = self._not_made(booking, settled)
        if booking.is_unanswered or settled != booking:
            if is_made:
                self._records.count_done("update", booking)
            self._records.record(settled, "settled", "read back")

    def _settle_ended(self, booking: Booking, there: Reservation | None) -> None:
        """Record that a reservation ended, and whether the change in doubt was made before."""
        assert booking.reservation_id is not None  # the caller asked
        if there is not None and there.onto(booking.spec) == booking.pending:
            self._records.count_done("update", booking)
            ended = booking.booked(booking.reservation_id)
        else:
            # A change that it does not show came after its end, so the calendar counts again.
            unchanged = replace(booking, pending=booking.spec)
            ended = unchanged.booked(booking.reservation_id)
            ended = replace(ended, origin="")
        self._records.take_over(ended, there)

    def _not_made(self, booking: Booking, there: Booking) -> Booking:
        """Return what a change comes to that is not made; `there` is the booking with what the API has."""
        # It is from a reading that is forgotten.
        there = replace(there, origin="", attempts=booking.attempts)
        until = self.settled_at(booking)
        if self._api.time().earliest < until:
            return there.late(booking, until)
        if booking.attempts < MAX_ATTEMPTS:
            return there
        detail = f"{booking.attempts} requests to change it got no answer, and it is not changed; {RESOLVE}."
        refused = there.with_state(there.state, Reason.REFUSED, detail)
        return replace(
            refused, pending=booking.pending, origin=booking.origin, attempts=0
        )

    def _settle_cancel(self, booking: Booking, *, repeat: bool) -> None:
        # Only bookings that have one are cancelled.
        assert booking.reservation_id is not None
        there = self._api.get(booking.reservation_id)
        if there is None or not there.live:
            self._records.confirm_cancelled(booking)
        elif repeat and booking.attempts >= MAX_ATTEMPTS:
            detail = f"{booking.attempts} requests to cancel it got no answer, and it is not; {RESOLVE}."
            self._records.refuse_cancel(booking, there, detail)
        elif repeat and self._settings.mode.cancels:
            try:
                self._canceller.repeat(booking)
            except OutcomeUnknown:
                return  # recorded; looked at again in the next cycle
