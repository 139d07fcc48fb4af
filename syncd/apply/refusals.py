"""Finds out why the API refused something, and what follows from it.

The API publishes no codes for meetings, so the room itself is asked: another reservation there is a conflict,
which ends when that one leaves.
A refusal without one stands until the content changes; a failure without a cause is tried a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from syncd.apply.ports import Api, BookingLedger
from syncd.apply.records import BookingRecords
from syncd.apply.search import MARGIN
from syncd.apply.tasks import Task, call
from syncd.core.booking import Booking, BookingState
from syncd.core.listing import Listing
from syncd.core.reasons import Reason
from syncd.core.reservation import Reservation, ReservationSpec
from syncd.core.settings import Settings
from syncd.errors import ApiUnusable, NotDone, OutcomeUnknown, Refused, ReservationError

MAX_TRIES = 3
"""Requests of one content that the API may answer with a no before it counts as refused."""


class RefusalInquiry:
    """Questions to the API about what is in the way of a booking; the answers are recorded."""

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        settings: Settings,
        records: BookingRecords,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._bookings = ledger.bookings
        self._settings = settings
        self._records = records
        self._clock = clock

    def list_around(self, spec: ReservationSpec) -> Task[Listing]:
        """Return what the API has around the slot of a spec: in its room or, without one, by its creator."""
        find = self._api.find
        start = spec.start - MARGIN
        end = spec.end + MARGIN
        if spec.room_id:
            listing = yield from call(find, start, end, room_ids=[spec.room_id])
        else:
            listing = yield from call(find, start, end, creator=spec.creator)
        return listing

    def is_still_taken(self, spec: ReservationSpec, booking: Booking) -> Task[bool]:
        """Tell whether a room that was taken is so still, and record that; looking costs no refusal."""
        found = yield from self.list_around(spec)
        blocker = blocker_of(spec, found, booking.reservation_id)
        if blocker is None:
            return False
        self.record_conflict(booking, blocker, booking.state)
        return True

    def record_conflict(
        self,
        booking: Booking,
        blocker: Reservation,
        state: BookingState,
        code: int | None = None,
    ) -> None:
        """Record who is in the way, and when to look again: of our own we learn it when it leaves.

        `code` is that of the API's refusal.
        """
        blocker_id = blocker.reservation_id
        holder = self._bookings.holders([blocker_id]).get(blocker_id)
        wanted = booking.pending or booking.spec
        is_ours = False
        # Of one that ended or stands elsewhere, as far as we know, we do not learn when it leaves.
        if holder is not None and holder.may_hold:
            is_ours = holder.spec.in_the_way_of(wanted)
        look_again_at = None
        if not is_ours:
            look_again_at = self._clock() + self._settings.drift_check
        taken_by = f"reservation {blocker_id} ({blocker.topic})"
        detail = f"The room is taken{_when(blocker)} by {taken_by}."
        if blocker.oddity:
            detail = f"{detail} {blocker.oddity} Mend or cancel it in Tuya if it is in the way."
        refused = replace(
            booking.with_state(state, Reason.ROOM_CONFLICT, detail),
            blocked_by=blocker_id,
            retry_at=look_again_at,
            attempted_at=None,
        )
        self._records.refuse(refused, code, was_sent=code is not None)

    def look(
        self, intent: Booking, error: NotDone | Refused
    ) -> Task[Reservation | None]:
        """Return the reservation to whose change or cancel the API said no, None if it does not exist.

        Raises `OutcomeUnknown` and `ApiUnusable`, with the doubt recorded, when that cannot be asked.
        """
        # Only bookings that have one are changed.
        assert intent.reservation_id is not None
        try:
            there = yield from call(self._api.get, intent.reservation_id)
        except ApiUnusable:
            self._records.doubt(intent, error)
            raise
        except ReservationError:
            self._records.doubt(intent, error)
            raise OutcomeUnknown(str(error)) from None
        return there


def blocker_of(
    spec: ReservationSpec, found: Iterable[Reservation], own_id: str | None = None
) -> Reservation | None:
    """Return the reservation of somebody else that is in the way of a spec, first one that makes sense."""
    odd: Reservation | None = None
    for reservation in found:
        if reservation.reservation_id == own_id or not _blocks(reservation, spec):
            continue
        if not reservation.oddity:
            return reservation
        if odd is None:
            odd = reservation
    return odd


def _blocks(reservation: Reservation, spec: ReservationSpec) -> bool:
    if spec.room_id is None or not reservation.live:
        return False
    # One that does not say its room is in the one whose list shows it.
    is_there = reservation.room_id == spec.room_id or "room_id" in reservation.unsaid
    return is_there and reservation.overlaps(spec.start, spec.end)


def _when(blocker: Reservation) -> str:
    """Say from when to when a reservation takes its room, as far as it makes sense."""
    if blocker.oddity or blocker.start is None or blocker.end is None:
        return ""
    form = "%Y-%m-%d %H:%M UTC"
    return f" from {blocker.start:{form}} to {blocker.end:{form}}"


def unexplained(booking: Booking, state: BookingState, refusal: Refused) -> Booking:
    """Return a booking after a refusal with a code, where the API could not be asked why."""
    said = f"The API refused it with code {refusal.code}: {refusal.message}; what is in the way was not told."
    return tried(booking, booking.attempts, state, said)


def tried(booking: Booking, attempts: int, state: BookingState, said: str) -> Booking:
    """Return a booking whose request came to nothing: it is tried again or, after `MAX_TRIES`, refused."""
    detail = after_tries(said, attempts)
    refused = booking.with_state(state, Reason.REFUSED, detail)
    if attempts >= MAX_TRIES:
        attempts = 0
    return replace(refused, attempts=attempts, retry_at=None)


def after_tries(said: str, attempts: int) -> str:
    """Return what the API said to the last of so many tries, and what follows."""
    if attempts < MAX_TRIES:
        return f"{said} This was try {attempts} of {MAX_TRIES}; the next cycle tries again."
    return (
        f"{said} It was tried {attempts} times, and is not again until the event changes or a person says so "
        "with: syncd resolve --retry."
    )
