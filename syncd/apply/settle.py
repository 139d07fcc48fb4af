"""Settles what is in doubt by looking, never by repeating blindly.

A create without an answer is searched by mark, then by content.
Found: adopted. Not found: looked for again until the request can no longer arrive; then it counts as not
made, and the plan may book it anew.
Updates and cancels set a state, so they are compared with what is there.
What looking cannot settle is held until a person decides (`syncd resolve`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from syncd.apply.applier import GRACE, MARGIN, MAX_TRIES, Applier
from syncd.apply.drift import completed
from syncd.apply.ports import Api, BookingLedger
from syncd.apply.swap import named
from syncd.core.booking import HOLDING_STATES, UNANSWERED_STATES, Booking, BookingState
from syncd.core.listing import Listing
from syncd.core.reasons import Reason
from syncd.core.recognise import Duplicate, adopted_from, made_by, search_window
from syncd.core.reservation import Reservation
from syncd.core.resolve import Decision, Verdict, resolvable
from syncd.core.settings import Settings
from syncd.errors import OutcomeUnknown, ReservationError

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
"""Requests about one reservation without any answer before a person is asked."""

_LEAN = "The API's list does not tell which reservations are ours."
_RESOLVE = "settle it with: syncd resolve"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def _one_by_one(bookings: Sequence[Booking]) -> Iterator[None]:
    """Leave bookings in doubt when the API refuses a question about them, so that all others go on."""
    try:
        yield
    except ReservationError as error:
        for booking in bookings:
            log.warning("still in doubt", error=str(error), **named(booking))


class Settler:
    """Settles the bookings in doubt of one ledger; `settle` may be called again and again."""

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        settings: Settings,
        applier: Applier,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._applier = applier
        self._clock = clock

    def settle(self) -> None:
        """Settle as far as persons decided and looking can, and repeat cancels; raises `ApiUnusable`."""
        self._carry_out_decisions()
        self._settle(repeat=True)

    def look(self) -> None:
        """Settle as far as looking can, and send nothing; raises `ApiUnusable`."""
        self._settle(repeat=False)

    def _settle(self, *, repeat: bool) -> None:
        doubtful = self._ledger.bookings.in_doubt(self._clock())
        if doubtful:
            doubtful = self._begun_anew(doubtful)
        creates = [b for b in doubtful if b.state is BookingState.SENDING and b.reservation_id is None]
        if creates:
            with _one_by_one(creates):
                self._settle_creates(creates)
        for booking in doubtful:
            with _one_by_one([booking]):
                if booking.state is BookingState.CANCELLING:
                    self._settle_cancel(booking, repeat=repeat)
                elif booking.reservation_id is not None:
                    self._settle_update(booking)

    def _begun_anew(self, doubtful: Sequence[Booking]) -> tuple[Booking, ...]:
        """The same, where a wait that began in the future begins now: the API's clock was set back."""
        latest = self._api.time().latest
        bookings: list[Booking] = []
        for booking in doubtful:
            assert booking.attempted_at is not None  # a booking in doubt has it
            if booking.attempted_at <= latest + GRACE:
                bookings.append(booking)
                continue
            bookings.append(replace(booking, attempted_at=latest, retry_at=None))
            self._ledger.bookings.amend(bookings[-1])
        return tuple(bookings)

    # Creates

    def _settle_creates(self, creates: Sequence[Booking]) -> None:
        start, end = search_window(creates, MARGIN)
        creators = {b.spec.creator for b in creates}
        found = self._api.find(start, end, creator=creators.pop() if len(creators) == 1 else None)
        known = self._ledger.bookings.recorded({r.reservation_id for r in found})
        found = completed(found, [b.spec for b in creates], self._api, known)
        for booking in creates:
            self._settle_create(booking, made_by(booking, found, known), found, known)

    def _settle_create(
        self, booking: Booking, found: Sequence[Reservation], listing: Listing, known: Collection[str]
    ) -> None:
        live = [r for r in found if r.live]
        if booking.mark is None and len(live) > 1:
            ids = ", ".join(r.reservation_id for r in live)
            self._wait(booking, f"Several reservations look like it ({ids}); {_RESOLVE}.")
        elif live:
            self._take(booking, live[0], "found by looking")
            for reservation in live[1:]:
                self._applier.drop_duplicate(Duplicate(reservation, live[0]))
        elif found:
            # It was made, and a person or an approver ended it since.
            self._applier.take_over(adopted_from(booking, found[-1]), found[-1])
        elif not listing.lacks(booking.mark, booking.spec.creator, known):
            self._wait(
                booking,
                "A request was sent, its answer was lost, and nothing proves that it is not made: "
                f"{listing.trouble or _LEAN} It is looked for again; {_RESOLVE}.",
            )
        else:
            self._not_found(booking)

    def _not_found(self, booking: Booking) -> None:
        settled_at = self._settled_at(booking)
        if self._api.time().earliest < settled_at:
            said_no = booking.reason is Reason.REFUSED
            what = "the API answered that it failed" if said_no else "its answer was lost"
            self._wait(
                booking,
                f"A request was sent, {what}, and it is not found yet; "
                f"looked for until {settled_at:%Y-%m-%d %H:%M:%S} UTC, then tried once more.",
            )
        elif booking.reason is Reason.REFUSED and booking.attempts >= MAX_TRIES:
            self._refuse(
                booking, f"The API answered {booking.attempts} times that it failed, and not why; {_RESOLVE}."
            )
        elif booking.attempts >= MAX_ATTEMPTS:
            if _RESOLVE in booking.detail:
                return  # it says already what a person has to know, such as why a decision was no help
            self._wait(booking, f"{booking.attempts} requests got no answer, and none is found; {_RESOLVE}.")
        else:
            self._give_back(booking, "not made", "not found after request_validity")

    def _settled_at(self, booking: Booking) -> datetime:
        """When the request in doubt can no longer arrive, by the API's clock."""
        assert booking.attempted_at is not None  # a booking in doubt has it
        settings = self._settings
        # Without an answer of any kind (a kill) the request may have been signed late.
        latest = booking.attempted_at + settings.signing_limit + settings.request_validity + GRACE
        return booking.retry_at or latest

    def _take(self, booking: Booking, reservation: Reservation, detail: str) -> None:
        self._ledger.bookings.record(
            adopted_from(booking, reservation), at=self._clock(), what="adopted", detail=detail
        )
        self._applier.count["adopted"] += 1
        log.info("adopted", reservation_id=reservation.reservation_id, source=booking.source)

    def _give_back(self, booking: Booking, what: str, detail: str, *, attempts: int | None = None) -> None:
        """Leave a create to the plan again."""
        waiting = replace(
            booking,
            state=BookingState.WAITING,
            attempted_at=None,
            attempts=booking.attempts if attempts is None else attempts,
            retry_at=None,
            blocked_by=None,
            detail="",
            reason=None,
        )
        self._ledger.bookings.record(waiting, at=self._clock(), what=what, detail=detail)

    def _wait(self, booking: Booking, detail: str) -> None:
        reason = Reason.REFUSED if booking.reason is Reason.REFUSED else Reason.IN_DOUBT
        if booking.detail != detail:
            self._ledger.bookings.amend(replace(booking, reason=reason, detail=detail))

    def _refuse(self, booking: Booking, detail: str) -> None:
        """A create of which it is certain that it is not made, and that is not tried again."""
        refused = replace(
            booking.with_state(BookingState.REFUSED, Reason.REFUSED, detail),
            attempted_at=None,
            attempts=0,
            retry_at=None,
        )
        self._ledger.bookings.record(refused, at=self._clock(), what="refused", detail=detail)

    # Updates and cancels

    def _settle_update(self, booking: Booking) -> None:
        assert booking.reservation_id is not None  # the caller asked
        there = self._api.get(booking.reservation_id)
        if there is None or not there.live:
            # A change that it does not show came after its end, so the calendar counts again.
            shown = there is not None and there.onto(booking.spec) == booking.pending
            before = replace(booking, pending=booking.pending if shown else booking.spec)
            ended = before.booked(booking.reservation_id)
            self._applier.take_over(ended if shown else replace(ended, origin=""), there)
            return
        # Whatever it holds is what is confirmed; if that is not what is wanted, the plan changes it again.
        # Of one that makes no sense nothing is confirmed, and to send it again is the way to make it right.
        asked = replace(booking, pending=booking.spec) if there.oddity else booking
        settled = adopted_from(asked, there)
        if there.oddity or settled.content != booking.pending:
            settled = self._not_made(booking, settled)
        if booking.is_unanswered or settled != booking:
            self._ledger.bookings.record(settled, at=self._clock(), what="settled", detail="read back")

    def _not_made(self, booking: Booking, there: Booking) -> Booking:
        """What a change comes to that is not made; `there` is the booking with what the API has."""
        # It is from a reading that is forgotten.
        there = replace(there, origin="", attempts=booking.attempts)
        until = self._settled_at(booking)
        if self._api.time().earliest < until:
            return there.late(booking, until)
        if booking.attempts < MAX_ATTEMPTS:
            return there
        detail = f"{booking.attempts} requests to change it got no answer, and it is not changed; {_RESOLVE}."
        refused = there.with_state(there.state, Reason.REFUSED, detail)
        return replace(refused, pending=booking.pending, origin=booking.origin, attempts=0)

    def _settle_cancel(self, booking: Booking, *, repeat: bool) -> None:
        assert booking.reservation_id is not None  # only bookings that have one are cancelled
        there = self._api.get(booking.reservation_id)
        if there is None or not there.live:
            self._applier.finish_cancelled(booking)
        elif repeat and booking.attempts >= MAX_ATTEMPTS:
            detail = f"{booking.attempts} requests to cancel it got no answer, and it is not; {_RESOLVE}."
            self._applier.give_up_cancel(booking, there, detail)
        elif repeat and self._settings.mode.cancels:
            try:
                self._applier.finish_cancel(booking)
            except OutcomeUnknown:
                return  # recorded; looked at again in the next cycle

    # What a person decided

    def _carry_out_decisions(self) -> None:
        decisions = self._ledger.people.decisions()
        by_row = {b.row: b for b in self._ledger.bookings.current()} if decisions else {}
        due: list[tuple[Booking, Decision]] = []
        for decision in decisions:
            booking = by_row.get(decision.booking)
            if booking is None or not resolvable(booking):
                self._ledger.people.drop_decision(decision.booking)
            else:
                due.append((booking, decision))
        if not due:
            return
        with _one_by_one([booking for booking, _ in due]):
            found = self._listed([booking for booking, decision in due if _is_looked_for(booking, decision)])
            for booking, decision in due:
                with _one_by_one([booking]):
                    if self._carry_out(booking, decision, found):
                        self._ledger.people.drop_decision(decision.booking)

    def _listed(self, bookings: Sequence[Booking]) -> Listing:
        """All that the API has in the time of these bookings."""
        if not bookings:
            return Listing()
        start, end = search_window(bookings, MARGIN)
        creators = {b.spec.creator for b in bookings}
        found = self._api.find(start, end, creator=creators.pop() if len(creators) == 1 else None)
        known = self._ledger.bookings.recorded({r.reservation_id for r in found})
        return completed(found, [b.spec for b in bookings], self._api, known)

    def _carry_out(self, booking: Booking, decision: Decision, found: Listing) -> bool:
        """Carry a decision out; False while a request that was lost may still arrive, so that it waits."""
        detail = f"decided by {decision.decided_by}"
        if decision.verdict is Verdict.ADOPT:
            return self._adopt_decided(booking, decision, detail)
        if booking.in_doubt:
            return self._decide_in_doubt(booking, decision, found, detail)
        if booking.is_vanished:
            return self._decide_vanished(booking, decision, found, detail)
        if decision.verdict is Verdict.DROP:
            self._drop(booking, detail)
        elif booking.state in HOLDING_STATES:
            self._change_again(booking, detail)
        else:
            return self._book_again(booking, found, detail)
        return True

    def _decide_in_doubt(self, booking: Booking, decision: Decision, found: Listing, detail: str) -> bool:
        """Look first; what that settles needs no decision, and what may still arrive is waited for."""
        if booking.state is BookingState.CANCELLING:
            self._settle_cancel(booking, repeat=False)
        elif booking.reservation_id is not None:
            self._settle_update(booking)
        else:
            known = self._ledger.bookings.recorded({r.reservation_id for r in found})
            self._settle_create(booking, made_by(booking, found, known), found, known)
        now = next(b for b in self._ledger.bookings.of(booking.key.uid) if b.row == booking.row)
        retry = decision.verdict is Verdict.RETRY
        if now.in_doubt and retry and now.state is BookingState.CANCELLING:
            # A cancel sets a state, so sending it again does no harm even if the lost one arrives.
            self._ledger.bookings.record(
                replace(now, attempts=0), at=self._clock(), what="resolve: retry", detail=detail
            )
        elif now.in_doubt and self._api.time().earliest < self._settled_at(now):
            return False
        elif now.in_doubt and retry and not found.lacks(now.mark, now.spec.creator, ()):
            return False  # the list does not tell
        elif now.in_doubt and retry:
            self._give_back(now, "resolve: retry", detail, attempts=0)
        elif now.in_doubt:
            self._drop(now, detail)
        elif retry and now.reason is Reason.REFUSED:
            self._retry_refused(now, detail)
        elif (
            not retry and now.state in {BookingState.WAITING, *HOLDING_STATES} and not _is_made(booking, now)
        ):
            self._drop(replace(now, pending=booking.pending, origin=booking.origin), detail)
        return True

    def _decide_vanished(self, booking: Booking, decision: Decision, found: Listing, detail: str) -> bool:
        """Look first, since it may be there again; else it is booked again, or was ended for good."""
        if any(r.live and r.reservation_id == booking.reservation_id for r in found):
            self._ledger.bookings.record(
                booking.settled(), at=self._clock(), what="there again", detail=detail
            )
            return True
        if decision.verdict is Verdict.RETRY:
            return self._book_again(booking, found, detail)
        self._drop(booking.with_state(BookingState.RELEASED), detail)
        return True

    def _retry_refused(self, booking: Booking, detail: str) -> None:
        if booking.state in HOLDING_STATES:
            self._ledger.bookings.record(
                booking.settled(), at=self._clock(), what="resolve: retry", detail=detail
            )
        elif booking.reservation_id is None:
            self._give_back(booking, "resolve: retry", detail, attempts=0)

    def _change_again(self, booking: Booking, detail: str) -> None:
        """Leave a change or cancel that was refused or given up to the plan."""
        assert booking.reservation_id is not None  # these states have one
        there = self._api.get(booking.reservation_id)
        settled = booking.settled()
        if there is None or not there.live:
            self._applier.take_over(settled, there)
        else:
            self._ledger.bookings.record(settled, at=self._clock(), what="resolve: retry", detail=detail)

    def _book_again(self, booking: Booking, found: Listing, detail: str) -> bool:
        """Leave a meeting without live reservation to the plan, unless the API has one for it already.

        False when the API's list does not tell whether it has, so that the decision waits.
        """
        known = self._ledger.bookings.recorded({r.reservation_id for r in found})
        asked = replace(
            booking, pending=booking.pending or booking.content, attempted_at=booking.attempted_at or _EPOCH
        )
        own = [r for r in found if r.reservation_id == booking.reservation_id]
        by_mark, by_content = made_by(asked, found, known), made_by(replace(asked, mark=None), found, known)
        live = [r for r in (*own, *by_mark, *by_content) if r.live]
        if live:
            self._take(booking, live[0], f"{detail}; found by looking")
        elif not found.lacks(booking.mark, booking.spec.creator, known):
            return False
        elif booking.reservation_id is None:
            self._give_back(booking, "resolve: retry", detail, attempts=0)
        else:
            # Its record ends here, so that the plan finds a meeting without one.
            former = booking.with_state(BookingState.CANCELLED, booking.reason, booking.detail)
            self._ledger.bookings.record(former, at=self._clock(), what="resolve: retry", detail=detail)
        return True

    def _adopt_decided(self, booking: Booking, decision: Decision, detail: str) -> bool:
        reservation_id = decision.reservation_id or ""
        there = self._api.get(reservation_id)
        holders = self._ledger.bookings.holders([reservation_id]).values()
        taken = any(holder.row != booking.row for holder in holders)
        if there is None or not there.live or there.oddity or taken:
            why = "is not live in Tuya"
            if there is not None and there.live:
                why = "belongs to another booking" if taken else f"makes no sense ({there.oddity})"
            told = replace(booking, detail=f"Not adopted: {reservation_id} {why}; {_RESOLVE}.")
            self._ledger.bookings.record(told, at=self._clock(), what="resolve: adopt", detail=told.detail)
            log.warning("not adopted", reservation_id=reservation_id)
            return True
        is_the_lost_one = there.mark is not None and str(there.mark) == booking.mark
        may_arrive = booking.in_doubt and self._api.time().earliest < self._settled_at(booking)
        if may_arrive and not is_the_lost_one:
            return False  # it would come beside this one, or change it
        self._take(booking, there, detail)
        return True

    def _drop(self, booking: Booking, detail: str) -> None:
        """Give up what was asked for: the booking stays as the API last confirmed it."""
        state = booking.state
        if state in UNANSWERED_STATES or state is BookingState.WAITING:
            state = BookingState.BOOKED if booking.reservation_id else BookingState.REFUSED
        cancel = booking.state is BookingState.CANCELLING
        dropped = replace(
            booking.with_state(state, Reason.DROPPED, f"Given up, {detail}."),
            content=(booking.content or booking.pending) if booking.reservation_id else None,
            pending=None if cancel else booking.pending,
            evidence=None,
            attempted_at=None,
            attempts=0,
            retry_at=None,
            blocked_by=None,
        )
        self._ledger.bookings.record(dropped, at=self._clock(), what="resolve: drop", detail=detail)


def _is_looked_for(booking: Booking, decision: Decision) -> bool:
    """Whether a decision needs to know what the API has in the time of a booking."""
    if booking.is_vanished:
        return decision.verdict is not Verdict.ADOPT
    if decision.verdict is Verdict.ADOPT or booking.state in {BookingState.CANCELLING, *HOLDING_STATES}:
        return False
    if booking.in_doubt:
        return booking.reservation_id is None
    return decision.verdict is Verdict.RETRY


def _is_made(before: Booking, now: Booking) -> bool:
    """Whether what was pending is what the reservation holds now."""
    return now.content is not None and now.content == before.pending
