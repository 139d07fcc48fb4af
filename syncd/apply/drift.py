"""Compares the API's own list with the ledger: the drift check, and the first look of a ledger that was lost.

Asked rarely and all at once.
A list may lag behind, so what it says otherwise than the ledger is asked once more, one by one, before
it is believed; and a list that contradicts itself proves nothing by what it lacks.
What makes no sense, or is refused, is left as it is and named; all else is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from syncd.apply.cancel import Canceller
from syncd.apply.ports import BookingLedger
from syncd.apply.questions import Questions
from syncd.apply.records import BookingRecords, ended_early
from syncd.apply.repairs import forget_repairs
from syncd.apply.search import list_around_meetings, list_everything, unproven
from syncd.apply.vanished import (
    AbsenceCheck,
    forget_vanished,
    hold_vanished,
    seems_gone,
)
from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.listing import Listing
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey, Window
from syncd.core.reasons import Reason
from syncd.core.recognise import Recognised, recognise
from syncd.core.reservation import Reservation, ReservationStatus
from syncd.core.settings import Settings
from syncd.ledger.facts import COMPARED_AT, UNPROVEN_AT

log = structlog.get_logger(__name__)


def is_due(ledger: BookingLedger, now: datetime, every: timedelta) -> bool:
    """Tell whether to compare: `every` has passed, a clock was set back, or the ledger proves nothing."""
    fact = UNPROVEN_AT if ledger.bookings.fresh else COMPARED_AT
    last = ledger.facts.get(fact)
    if last is None:
        return True
    age = now - last
    return not timedelta() <= age < every


def is_unproven(ledger: BookingLedger) -> bool:
    """Tell whether the ledger alone does not prove that something is not booked.

    It is fresh, or what it was compared with first proved nothing.
    """
    if ledger.bookings.fresh:
        return True
    return ledger.facts.get(UNPROVEN_AT) is not None


def last_compared(ledger: BookingLedger, now: datetime) -> datetime:
    """Return when ledger and API were compared last; `now` if never, or if that lies ahead."""
    last = ledger.facts.get(COMPARED_AT)
    if last is None:
        return now
    return min(last, now)


def remember(
    adopted: Sequence[Booking],
    recognised: Recognised,
    ledger: BookingLedger,
    now: datetime,
) -> None:
    """Record what is taken over, and which generations were given to any of what was recognised."""
    if adopted:
        ledger.bookings.record(
            *adopted, at=now, what="adopted", detail="found by its mark"
        )
        log.info("adopted", bookings=len(adopted))
    free = ledger.bookings.next_generations(recognised.generations)
    for key, generation in recognised.generations.items():
        if generation >= free[key]:
            ledger.bookings.raise_generation(key, generation)


class DriftCheck:
    """The comparison of one ledger with what the API has."""

    def __init__(
        self,
        *,
        api: Questions,
        ledger: BookingLedger,
        settings: Settings,
        records: BookingRecords,
        canceller: Canceller,
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._bookings = ledger.bookings
        self._settings = settings
        self._records = records
        self._canceller = canceller

    def inspect(
        self, meetings: Sequence[Meeting], now: datetime, *, may_arrive: bool = False
    ) -> None:
        """Compare all reservations with all bookings; raise `ApiUnusable`.

        It takes over what people and approvers did to our reservations, and reservations of ours that the
        ledger has lost; it cancels duplicates where the mode allows it.
        `may_arrive`: a request of which nothing is known may still, so that the list does not prove everything.
        """
        known = self._bookings.current()
        window = Window.ahead(now, self._settings.horizon)
        listing = list_everything(self._api, known, meetings, now, window.reach)
        found = {there.reservation_id: there for there in listing}
        are_there_again = forget_vanished(known, found, self._ledger, now)
        if are_there_again:
            known = self._bookings.current()
        are_changed = self._take_over_changes(known, listing, found, now)
        if are_changed:
            known = self._bookings.current()
        self._take_over_lost(known, listing, meetings, now)
        self._note_comparison(listing, now, may_arrive=may_arrive)

    def look_for(
        self, meetings: Sequence[Meeting], now: datetime
    ) -> tuple[bool, frozenset[OccurrenceKey]]:
        """Take over what is booked of these meetings and not known; raise `ApiUnusable`.

        It asks for the time around them alone, and compares with the bookings that may be of the same
        meetings.
        Returns whether anything was taken over, and the meetings that may be booked unseen.
        """
        settings = self._settings
        listing = list_around_meetings(meetings, self._api)
        marks = {str(there.mark) for there in listing if there.mark}
        uids = {meeting.key.uid for meeting in meetings}
        known = self._bookings.concerned(uids, marks)
        recognised = recognise(
            listing.reservations, meetings, known, settings.instance, now
        )
        adopted = [found for found in recognised.adopted if self._is_live(found)]
        self._adopt(adopted, recognised, now)
        hidden = unproven(meetings, listing, settings)
        return bool(adopted), hidden

    def _take_over_changes(
        self,
        known: Sequence[Booking],
        listing: Listing,
        found: Mapping[str, Reservation],
        now: datetime,
    ) -> bool:
        """Take over what the API says otherwise of reservations that the ledger knows; tell whether it does.

        Of those that are gone with too many others at once a person decides.
        """
        compared = [booking for booking in known if _is_compared(booking, now)]
        otherwise: list[Booking] = []
        absent: list[Booking] = []
        for booking in compared:
            there = found.get(booking.reservation_id or "")
            if _as_expected(booking, there):
                continue
            otherwise.append(booking)
            if seems_gone(booking, there, now):
                absent.append(booking)
        self._forget_repairs(known, otherwise)
        count = len(compared)
        check = AbsenceCheck(self._api, self._settings, listing, count)
        absences = check.run(absent)
        gone_before = sum(booking.is_vanished for booking in absent)
        gone = len(absences.vanished) + gone_before
        hold_vanished(absences.vanished, gone, count, self._ledger, now)
        absent_rows = {booking.row for booking in absent}
        unseen = absent_rows - absences.told.keys()
        for booking in otherwise:
            if booking.row in unseen:
                continue  # it vanished, or the list proves nothing and others are asked for first
            if booking.row in absences.told:
                there = absences.told[booking.row]
            else:
                there = self._api.get(booking.reservation_id or "")
            self._take_over(booking, there, now)
        return bool(otherwise)

    def _forget_repairs(
        self, known: Sequence[Booking], otherwise: Sequence[Booking]
    ) -> None:
        """Forget the repairs of the bookings that are as they should be."""
        rows = {booking.row for booking in known}
        changed = {booking.row for booking in otherwise}
        drifted = {booking.row for booking in known if booking.drifted}
        lasting = rows - changed - drifted
        forget_repairs(self._ledger.facts, lasting, rows)

    def _take_over(
        self, booking: Booking, there: Reservation | None, now: datetime
    ) -> None:
        """Record what the API says of one reservation otherwise than the ledger, if it makes sense."""
        if there is None or not there.live:
            booking = self._records.leave_unclear(booking, "")
        else:
            booking = self._note_trouble(booking, there)
            if there.oddity:
                return
        if there is not None and booking.is_contradicted_by(there):
            self._records.lose(booking)
            return
        if not _is_same_state(booking, there, now):
            booking = self._records.take_over(booking, there)
            log.info(
                "changed in the API",
                reservation_id=booking.reservation_id,
                state=booking.state.value,
            )
        if there is None or booking.state not in HOLDING_STATES:
            return
        if not _is_same_content(booking, there):
            self._records.take_change(booking, there)

    def _note_trouble(self, booking: Booking, there: Reservation) -> Booking:
        """Record what makes no sense in a live reservation, or that nothing does any more."""
        trouble = there.oddity or there.gaps
        if trouble:
            self._api.note(booking.reservation_id or "", trouble)
        return self._records.leave_unclear(booking, trouble)

    def _take_over_lost(
        self,
        known: Sequence[Booking],
        listing: Listing,
        meetings: Sequence[Meeting],
        now: datetime,
    ) -> None:
        """Take over reservations with our mark that no booking has, and sort out what is superfluous."""
        # That marks of what is over were given is known, if they are of reservations that are recorded.
        ended: set[str] = set()
        for there in listing:
            if there.is_over(now) or not there.live:
                ended.add(there.reservation_id)
        recorded = self._bookings.recorded(ended)
        in_question = [
            there for there in listing if there.reservation_id not in recorded
        ]
        recognised = recognise(
            in_question, meetings, known, self._settings.instance, now
        )
        # Where nothing was cancelled, there is nothing that a list might still show.
        was_anything_booked = any(booking.reservation_id for booking in known)
        certain = not listing.doubt and not was_anything_booked
        adopted = list(recognised.adopted)
        if not certain:
            adopted = [booking for booking in adopted if self._is_live(booking)]
        self._adopt(adopted, recognised, now)
        left: list[Reservation] = []
        for duplicate in recognised.duplicates:
            is_gone = self._canceller.cancel_duplicate(duplicate)
            if not is_gone:
                left.append(duplicate.reservation)
        self._api.compared(recognised.strays, left)
        for stray in recognised.strays:
            log.warning("stray", reservation_id=stray.reservation_id)

    def _adopt(
        self, adopted: Sequence[Booking], recognised: Recognised, now: datetime
    ) -> None:
        self._records.counts["adopted"] += len(adopted)
        remember(adopted, recognised, self._ledger, now)

    def _is_live(self, booking: Booking) -> bool:
        """Ask the API whether a reservation that a list shows is live."""
        there = self._api.get(booking.reservation_id or "")
        return there is not None and there.live

    def _note_comparison(
        self, listing: Listing, now: datetime, *, may_arrive: bool
    ) -> None:
        """Record that ledger and API were compared, and whether that proves what is not booked."""
        facts = self._ledger.facts
        if may_arrive or (listing.trouble and is_unproven(self._ledger)):
            facts.set(UNPROVEN_AT, now)
        else:
            self._bookings.mark_adopted(now)
            if facts.get(UNPROVEN_AT) is not None:
                facts.set(UNPROVEN_AT, None)
        facts.set(COMPARED_AT, now)


def _is_compared(booking: Booking, now: datetime) -> bool:
    if booking.state not in HOLDING_STATES:
        return False
    return booking.spec.end > now


def _as_expected(booking: Booking, there: Reservation | None) -> bool:
    if there is None or there.gaps:
        return False
    if booking.reason is Reason.UNCLEAR_IN_TUYA:
        return False  # it makes sense again, which is to be recorded
    if there.status is not _status_of(booking):
        return False
    return _is_same_content(booking, there)


def _is_same_state(booking: Booking, there: Reservation | None, now: datetime) -> bool:
    if there is None:
        return False
    if there.status is not _status_of(booking):
        return False
    return not ended_early(booking, there, now)


def _status_of(booking: Booking) -> ReservationStatus:
    if booking.state is BookingState.APPROVAL:
        return ReservationStatus.AWAITING_APPROVAL
    return ReservationStatus.NORMAL


def _is_same_content(booking: Booking, there: Reservation) -> bool:
    shown = there.onto(booking.spec)
    if shown is None:
        return False
    if shown == booking.spec:
        return True
    return (
        shown.fingerprint == booking.echo
    )  # as the API made of it when it was written
