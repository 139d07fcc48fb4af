"""Carries out what persons decided about bookings with `syncd resolve`.

The API is looked at first: what that settles needs no decision, and while a lost request may still arrive the
decision waits.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from syncd.apply.ports import Api, BookingLedger
from syncd.apply.records import BookingRecords
from syncd.apply.search import list_around_bookings
from syncd.apply.settle import RESOLVE, Settler, left_in_doubt
from syncd.core.booking import HOLDING_STATES, UNANSWERED_STATES, Booking, BookingState
from syncd.core.cause import Cause
from syncd.core.listing import Listing
from syncd.core.reasons import Reason
from syncd.core.recognise import adopted_from, made_by
from syncd.core.reservation import Reservation
from syncd.core.resolve import Decision, Verdict, resolvable

log = structlog.get_logger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Decisions:
    """The decisions of persons that wait in one ledger."""

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        records: BookingRecords,
        settler: Settler,
    ) -> None:
        self._api = api
        self._bookings = ledger.bookings
        self._decisions = ledger.people
        self._records = records
        self._settler = settler

    def carry_out(self) -> None:
        """Carry out all decisions that can be by now, and drop them; raise `ApiUnusable`."""
        due = self._due()
        if not due:
            return
        bookings = [booking for booking, _decision in due]
        with left_in_doubt(bookings):
            found = self._list_for(due)
            for booking, decision in due:
                with left_in_doubt([booking]):
                    is_done = self._carry_out(booking, decision, found)
                    if is_done:
                        self._decisions.drop_decision(decision.booking)

    def _due(self) -> list[tuple[Booking, Decision]]:
        """Return the bookings that are open to a decision with it; drop the decisions about others."""
        decisions = self._decisions.decisions()
        if not decisions:
            return []
        current = self._bookings.current()
        by_row = {booking.row: booking for booking in current}
        due: list[tuple[Booking, Decision]] = []
        for decision in decisions:
            booking = by_row.get(decision.booking)
            if booking is None or not resolvable(booking):
                self._decisions.drop_decision(decision.booking)
            else:
                due.append((booking, decision))
        return due

    def _list_for(self, due: list[tuple[Booking, Decision]]) -> Listing:
        """Return all that the API has in the time of the bookings that are looked for."""
        bookings: list[Booking] = []
        for booking, decision in due:
            if _is_looked_for(booking, decision):
                bookings.append(booking)
        if not bookings:
            return Listing()
        return list_around_bookings(bookings, self._api, self._bookings)

    def _carry_out(self, booking: Booking, decision: Decision, found: Listing) -> bool:
        """Carry a decision out; return False if it has to wait."""
        cause = Cause(by=decision.decided_by)
        if decision.verdict is Verdict.ADOPT:
            return self._adopt(booking, decision, cause)
        if booking.in_doubt:
            return self._decide_in_doubt(booking, decision, found, cause)
        if booking.is_vanished:
            return self._decide_vanished(booking, decision, found, cause)
        if decision.verdict is Verdict.DROP:
            self._drop(booking, cause)
        elif booking.state in HOLDING_STATES:
            self._change_again(booking, cause)
        else:
            return self._book_again(booking, found, cause)
        return True

    # In doubt

    def _decide_in_doubt(
        self, booking: Booking, decision: Decision, found: Listing, cause: Cause
    ) -> bool:
        self._settler.look_at(booking, found)
        now = self._records.latest(booking)
        retry = decision.verdict is Verdict.RETRY
        if now.in_doubt and retry:
            return self._retry_in_doubt(now, found, cause)
        if now.in_doubt:
            return self._drop_in_doubt(now, cause)
        if retry:
            self._retry_refused(now, cause)
            return True
        can_be_given_up = now.state in {BookingState.WAITING, *HOLDING_STATES}
        if can_be_given_up and not _is_made(booking, now):
            asked_for = replace(now, pending=booking.pending, origin=booking.origin)
            self._drop(asked_for, cause)
        return True

    def _retry_in_doubt(self, booking: Booking, found: Listing, cause: Cause) -> bool:
        if booking.state is BookingState.CANCELLING:
            # A cancel sets a state, so sending it again does no harm even if the lost one arrives.
            anew = replace(booking, attempts=0)
            self._records.record(anew, "resolve: retry", _told(cause), cause)
            return True
        if self._may_arrive(booking):
            return False
        creator = booking.spec.creator
        is_lacking = found.lacks(booking.mark, creator, ())
        if not is_lacking:
            return False  # the list does not tell
        self._settler.give_back(
            booking, "resolve: retry", _told(cause), attempts=0, cause=cause
        )
        return True

    def _drop_in_doubt(self, booking: Booking, cause: Cause) -> bool:
        if self._may_arrive(booking):
            return False
        self._drop(booking, cause)
        return True

    def _may_arrive(self, booking: Booking) -> bool:
        """Tell whether the request in doubt may still arrive."""
        present = self._api.time()
        return present.earliest < self._settler.settled_at(booking)

    # Settled by now, or refused

    def _retry_refused(self, booking: Booking, cause: Cause) -> None:
        """Leave what looking found to be refused to the plan again."""
        if booking.reason is not Reason.REFUSED:
            return
        if booking.state in HOLDING_STATES:
            settled = booking.settled()
            self._records.record(settled, "resolve: retry", _told(cause), cause)
        elif booking.reservation_id is None:
            self._settler.give_back(
                booking, "resolve: retry", _told(cause), attempts=0, cause=cause
            )

    def _change_again(self, booking: Booking, cause: Cause) -> None:
        """Leave a change or cancel that was refused or given up to the plan."""
        assert booking.reservation_id is not None  # these states have one
        there = self._api.get(booking.reservation_id)
        settled = booking.settled()
        if there is None or not there.live:
            self._records.take_over(settled, there)
        else:
            self._records.record(settled, "resolve: retry", _told(cause), cause)

    def _decide_vanished(
        self, booking: Booking, decision: Decision, found: Listing, cause: Cause
    ) -> bool:
        """Look first, since it may be there again; else it is booked again, or was ended for good."""
        live = {there.reservation_id for there in found if there.live}
        if booking.reservation_id in live:
            settled = booking.settled()
            self._records.record(settled, "there again", _told(cause), cause)
            return True
        if decision.verdict is Verdict.RETRY:
            return self._book_again(booking, found, cause)
        released = booking.with_state(BookingState.RELEASED)
        self._drop(released, cause)
        return True

    def _book_again(self, booking: Booking, found: Listing, cause: Cause) -> bool:
        """Leave a meeting without live reservation to the plan, unless the API has one for it already.

        Return False when the API's list does not tell whether it has, so that the decision waits.
        """
        ids = {there.reservation_id for there in found}
        known = self._bookings.recorded(ids)
        live = _live_one_of(booking, found, known)
        if live is not None:
            adopted = adopted_from(booking, live)
            self._records.adopt(adopted, f"{_told(cause)}; found by looking", cause)
        elif not found.lacks(booking.mark, booking.spec.creator, known):
            return False
        elif booking.reservation_id is None:
            self._settler.give_back(
                booking, "resolve: retry", _told(cause), attempts=0, cause=cause
            )
        else:
            # Its record ends here, so that the plan finds a meeting without one.
            former = booking.with_state(
                BookingState.CANCELLED, booking.reason, booking.detail
            )
            self._records.record(former, "resolve: retry", _told(cause), cause)
        return True

    # Adopt and drop

    def _adopt(self, booking: Booking, decision: Decision, cause: Cause) -> bool:
        """Take the reservation that a person named; return False while the lost request may still arrive."""
        reservation_id = decision.reservation_id or ""
        there = self._api.get(reservation_id)
        why_not = self._why_not_adopted(booking, there, reservation_id)
        if why_not or there is None:
            sentence = f"Not adopted: {reservation_id} {why_not}; {RESOLVE}."
            told = replace(booking, detail=sentence)
            self._records.record(told, "resolve: adopt", sentence, cause)
            log.warning("not adopted", reservation_id=reservation_id)
            return True
        is_the_lost_one = False
        if there.mark is not None:
            is_the_lost_one = str(there.mark) == booking.mark
        if booking.in_doubt and self._may_arrive(booking) and not is_the_lost_one:
            return False  # it would come beside this one, or change it
        adopted = adopted_from(booking, there)
        if booking.reason is Reason.AMBIGUOUS and booking.mark and there.mark is None:
            # Made by hand, so the next change writes the mark.
            adopted = adopted.with_state(adopted.state, Reason.TAKEN_OVER)
        self._records.adopt(adopted, _told(cause), cause)
        return True

    def _why_not_adopted(
        self, booking: Booking, there: Reservation | None, reservation_id: str
    ) -> str:
        """Say why a reservation cannot be that of a booking, as the end of a sentence; empty if it can."""
        if there is None or not there.live:
            return "is not live in Tuya"
        holders = self._bookings.holders([reservation_id])
        for holder in holders.values():
            if holder.row != booking.row:
                return "belongs to another booking"
        if there.oddity:
            return f"makes no sense ({there.oddity})"
        return ""

    def _drop(self, booking: Booking, cause: Cause) -> None:
        """Give up what was asked for: the booking stays as the API last confirmed it."""
        state = booking.state
        is_open = state in UNANSWERED_STATES or state is BookingState.WAITING
        if is_open and booking.reservation_id:
            state = BookingState.BOOKED
        elif is_open:
            state = BookingState.REFUSED
        content = None
        if booking.reservation_id:
            content = booking.content or booking.pending
        was_cancel = booking.state is BookingState.CANCELLING
        told = f"Given up, {_told(cause)}."
        given_up = booking.with_state(state, Reason.DROPPED, told)
        dropped = replace(
            given_up,
            content=content,
            pending=None if was_cancel else booking.pending,
            evidence=None,
            attempted_at=None,
            attempts=0,
            retry_at=None,
            blocked_by=None,
        )
        self._records.record(dropped, "resolve: drop", _told(cause), cause)


def _told(cause: Cause) -> str:
    """Return who decided, as the end of a sentence."""
    return f"decided by {cause.by}"


def _is_looked_for(booking: Booking, decision: Decision) -> bool:
    """Tell whether a decision needs to know what the API has in the time of a booking."""
    if decision.verdict is Verdict.ADOPT:
        return False  # the person names it
    if booking.is_vanished:
        return True
    if booking.state in {BookingState.CANCELLING, *HOLDING_STATES}:
        return False  # it is asked for by its id
    if booking.in_doubt:
        return booking.reservation_id is None
    return decision.verdict is Verdict.RETRY


def _is_made(before: Booking, now: Booking) -> bool:
    """Tell whether what was pending is what the reservation holds now."""
    if now.content is None:
        return False
    return now.content == before.pending


def _live_one_of(
    booking: Booking, found: Listing, known: Collection[str]
) -> Reservation | None:
    """Return the live reservation of a booking: its own, or one that a request for it made.

    `known` are the ids that appear in any booking.
    """
    asked = replace(
        booking,
        pending=booking.pending or booking.content,
        attempted_at=booking.attempted_at or _EPOCH,
    )
    without_mark = replace(asked, mark=None)
    own_id = booking.reservation_id
    own = [there for there in found if there.reservation_id == own_id]
    by_mark = made_by(asked, found, known)
    by_content = made_by(without_mark, found, known)
    for there in (*own, *by_mark, *by_content):
        if there.live:
            return there
    return None
