"""What we remember of one reservation.

`Booking` is the durable record of it; its transitions are methods here, so that the ledger only stores them
and a state that cannot be is never built.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from syncd.core.meeting import Meeting
from syncd.core.occurrence import Occurrence, OccurrenceKey
from syncd.core.reasons import HELD_FOR_A_PERSON, Evidence, Reason
from syncd.core.reservation import Reservation, ReservationSpec


class BookingState(StrEnum):
    """The states of a booking, as `status --json` names them."""

    WAITING = "waiting"
    SENDING = "sending"
    BOOKED = "booked"
    APPROVAL = "approval"
    REFUSED = "refused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    RELEASED = "released"
    ENDED = "ended"


CLOSED_STATES = frozenset({BookingState.CANCELLED, BookingState.ENDED})
"""States that no longer hold their key: the same meeting may be booked anew."""

HOLDING_STATES = frozenset({BookingState.BOOKED, BookingState.APPROVAL})
"""States in which a reservation is known to hold its slot."""

UNANSWERED_STATES = frozenset({BookingState.SENDING, BookingState.CANCELLING})
"""States in which a request left, or was about to leave, whose outcome is not known."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Our record of one reservation, or of the wish for one.

    `content` is what the API last confirmed, `pending` what is on its way or was refused, in doubt or
    wanted; at least one of them is there.
    `state` SENDING with a `reservation_id` is an update whose answer is not known, without one a create.
    `origin` is the fingerprint of the occurrence that `content` (or `pending`) was mapped from.
    `witnesses` are the sources whose last readable reading showed the meeting; `source` decided its content,
    by what stands in its `document`.
    `missed` counts complete distinct readings of which the last, `missed_in`, did not hold the event.
    `evidence` is what a cancel rested on, set when it is decided.
    `attempts` counts the requests that were sent since the last one that is done or refused; with a refusal
    it counts the answers that said no without a code, and the request is made again while it is not 0.
    `drifted` is the origin for which `content` was sent that somebody changed in Tuya since.
    `echo` is the fingerprint of the content as the API gave it back, where it kept other values.
    `row` is the ledger's own number, 0 before it is stored.
    """

    key: OccurrenceKey
    room_id: str | None
    generation: int
    mark: str | None
    state: BookingState
    source: str
    witnesses: tuple[str, ...]
    origin: str
    content: ReservationSpec | None = None
    pending: ReservationSpec | None = None
    reservation_id: str | None = None
    reason: Reason | None = None
    detail: str = ""
    attempted_at: datetime | None = None
    retry_at: datetime | None = None
    blocked_by: str | None = None
    evidence: Evidence | None = None
    missed: int = 0
    missed_in: str = ""
    attempts: int = 0
    drifted: str = ""
    echo: str = ""
    document: str = ""
    updated_at: datetime | None = None
    row: int = 0

    def __post_init__(self) -> None:
        if self.content is None and self.pending is None:
            raise ValueError("a booking has content or pending content")
        needs_id = {
            BookingState.BOOKED,
            BookingState.APPROVAL,
            BookingState.CANCELLING,
            BookingState.RELEASED,
        }
        if self.state in needs_id and not self.reservation_id:
            raise ValueError(f"a booking in state {self.state} has a reservation id")
        if self.state in HOLDING_STATES and self.content is None:
            raise ValueError(f"a booking in state {self.state} has confirmed content")
        if self.state is BookingState.SENDING and (
            self.pending is None or self.attempted_at is None
        ):
            raise ValueError(
                "a booking in state sending has pending content and the time of its attempt"
            )

    @classmethod
    def of(
        cls,
        meeting: Meeting,
        state: BookingState = BookingState.WAITING,
        reason: Reason | None = None,
        detail: str = "",
        *,
        generation: int = 0,
        mark: str | None = None,
    ) -> Booking:
        """Return a new record of a meeting that has no reservation yet."""
        return cls(
            key=meeting.key,
            room_id=meeting.spec.room_id,
            generation=generation,
            mark=mark,
            state=state,
            source=meeting.occurrence.source,
            witnesses=meeting.witnesses,
            origin=meeting.occurrence.fingerprint,
            pending=meeting.spec,
            reason=reason,
            detail=detail,
            document=meeting.occurrence.document,
        )

    def shown_by(self, meeting: Meeting, origin: str | None = None) -> Booking:
        """Return the booking with the copy that decides about its meeting now, and all that show it.

        `origin` is that of its content; None: the one that it has.
        """
        return replace(
            self,
            source=meeting.occurrence.source,
            document=meeting.occurrence.document,
            witnesses=meeting.witnesses,
            origin=self.origin if origin is None else origin,
        )

    def called_off_by(self, copy: Occurrence) -> Booking:
        """Return the booking with the copy that decides to call its meeting off.

        That copy decides from then on. Of several bookings of a meeting each may remember another one, and
        the copy of that one, which still shows the meeting, would make it again.
        """
        return replace(
            self, source=copy.source, document=copy.document, origin=copy.fingerprint
        )

    @property
    def spec(self) -> ReservationSpec:
        """Return the content to show: confirmed if there is any, else pending."""
        spec = self.content or self.pending
        assert spec is not None  # __post_init__ keeps it so
        return spec

    @property
    def in_doubt(self) -> bool:
        """Tell whether a request left and what became of it is not certain yet.

        The one meaning of *in doubt*; `ledger.bookings.in_doubt` asks the same of the database.
        """
        return self.is_unanswered or self.may_still_change

    @property
    def may_hold(self) -> bool:
        """Tell whether its reservation has its slot, or may have it; what ended in Tuya is in nobody's way."""
        return self.in_doubt or self.state in HOLDING_STATES

    @property
    def is_unanswered(self) -> bool:
        """Tell whether a request left and nobody has looked yet what became of it."""
        return self.state in UNANSWERED_STATES

    @property
    def may_still_change(self) -> bool:
        """Tell whether a change without answer, in `pending`, may still arrive at the reservation."""
        return self.state in HOLDING_STATES and self.reason is Reason.IN_DOUBT

    @property
    def is_vanished(self) -> bool:
        """Tell whether its reservation is gone with so many others that a person has to decide about it."""
        return self.state in HOLDING_STATES and self.reason is Reason.VANISHED

    @property
    def is_held(self) -> bool:
        """Tell whether a cancel of it, or the loss of its room, waits until a person approves that."""
        return self.state in HOLDING_STATES and self.reason in HELD_FOR_A_PERSON

    @property
    def is_tried_again(self) -> bool:
        """Tell whether a request that was refused is made again although the content is the same."""
        return self.reason is Reason.REFUSED and self.attempts > 0

    @property
    def lacks_mark(self) -> bool:
        """Tell whether its reservation was made by hand and does not carry the mark of this record yet."""
        return self.state in HOLDING_STATES and self.reason is Reason.TAKEN_OVER

    def is_contradicted_by(self, reservation: Reservation) -> bool:
        """Tell whether a reservation shows neither creator nor mark nor place of this booking.

        That one is somebody else's, although the booking is said to hold it.
        """
        if reservation.oddity or reservation.is_by(self.spec.creator):
            return False
        if reservation.mark and str(reservation.mark) == self.mark:
            return False
        spec = self.spec
        same_room = (
            "room_id" in reservation.unsaid or reservation.room_id == spec.room_id
        )
        same_time = (reservation.start, reservation.end) == (spec.start, spec.end)
        return not (same_room and same_time)

    def late(self, sent: Booking, until: datetime) -> Booking:
        """Return the booking while what was `sent` may still arrive and undo another change."""
        detail = (
            "A change was sent, its answer was lost, and it is not made yet; "
            f"nothing else is sent until {until:%Y-%m-%d %H:%M:%S} UTC, because it may still arrive."
        )
        return replace(
            self,
            pending=sent.pending,
            attempted_at=sent.attempted_at,
            attempts=sent.attempts,
            reason=Reason.IN_DOUBT,
            detail=detail,
            retry_at=until,
        )

    def sending(self, pending: ReservationSpec, origin: str, at: datetime) -> Booking:
        """Return the intent to create or to update, which is stored before the request leaves."""
        # What failed is counted for a content; what got no answer for the reservation.
        counted = not self.is_tried_again or self.pending == pending
        # Until it is answered, that it writes the mark as well has to be known.
        reason = self.reason if self.lacks_mark else None
        return replace(
            self,
            state=BookingState.SENDING,
            pending=pending,
            origin=origin,
            attempted_at=at,
            attempts=self.attempts + 1 if counted else 1,
            reason=reason,
            detail="",
            retry_at=None,
            blocked_by=None,
        )

    def booked(self, reservation_id: str, *, approval: bool = False) -> Booking:
        """Return the booking after the API confirmed what was pending, or what it has if nothing was."""
        content = self.pending or self.content
        assert content is not None  # __post_init__ keeps it so
        return replace(
            self,
            state=BookingState.APPROVAL if approval else BookingState.BOOKED,
            reservation_id=reservation_id,
            content=content,
            room_id=content.room_id,
            drifted="",
            echo="",
        ).settled()

    def lost(self, at: datetime) -> Booking:
        """Return the booking as a create in doubt, because it does not hold its reservation after all."""
        intent = self.sending(self.spec, self.origin, at)
        return replace(intent, reservation_id=None, content=None, echo="", drifted="")

    def settled(self) -> Booking:
        """Return the booking with nothing left open: no request, refusal or doubt."""
        return replace(
            self,
            pending=None if self.content else self.pending,
            reason=None,
            detail="",
            attempted_at=None,
            attempts=0,
            retry_at=None,
            blocked_by=None,
        )

    def changed_in_tuya(self, content: ReservationSpec) -> Booking:
        """Return the booking with the content that somebody gave it there; `drifted` is its origin before."""
        return replace(
            self, content=content, drifted=self.drifted or self.origin, echo=""
        )

    def unclear(self, oddity: str) -> Booking:
        """Return the booking while its reservation makes no sense, or the API does not tell of it."""
        detail = f"{oddity} It stays as it is; look at reservation {self.reservation_id} in Tuya."
        return replace(self, reason=Reason.UNCLEAR_IN_TUYA, detail=detail)

    def vanished(self, detail: str) -> Booking:
        """Return the booking in its state, with the remark that a person has to decide about it."""
        return self.settled().with_state(self.state, Reason.VANISHED, detail)

    def cancelling(
        self, reason: Reason, evidence: Evidence, detail: str, at: datetime
    ) -> Booking:
        """Return the intent to cancel and what it rests on, which is stored before the request leaves."""
        return replace(
            self,
            state=BookingState.CANCELLING,
            reason=reason,
            evidence=evidence,
            detail=detail,
            attempted_at=at,
            attempts=1,
            retry_at=None,
        )

    def called_off(self, detail: str) -> Booking:
        """Return the booking after its reservation was cancelled.

        A cancel that a person approved against the copy which decides leaves a record that holds its key, as
        one that a person made in Tuya does: the calendar goes on showing the meeting, and it must not be
        booked again for that.
        """
        against_the_calendar = self.reason is Reason.NOT_THE_ORGANIZER
        state = (
            BookingState.RELEASED if against_the_calendar else BookingState.CANCELLED
        )
        return replace(
            self.with_state(state, self.reason, detail),
            attempted_at=None,
            retry_at=None,
        )

    def with_state(
        self, state: BookingState, reason: Reason | None = None, detail: str = ""
    ) -> Booking:
        """Return the booking in another state, for a reason."""
        return replace(self, state=state, reason=reason, detail=detail)
