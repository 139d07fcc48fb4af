"""A plan in the making, to which every part of planning writes what it decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Change, Keep, Skip, Wait
from syncd.core.meeting import Meeting
from syncd.core.reasons import Reason


@dataclass(slots=True)
class Draft:
    """The decisions of one call of `plan`, in the order in which they are taken.

    `changes` are the rows of the plan, `kept` the bookings that stay as they are.
    `amended` are records by row that change without any request, `closed` those that end without one, and
    `noted` new records of meetings that are not booked yet.
    """

    changes: list[Change] = field(default_factory=list)
    kept: list[Keep] = field(default_factory=list)
    amended: dict[int, Booking] = field(default_factory=dict)
    closed: list[Booking] = field(default_factory=list)
    noted: list[Booking] = field(default_factory=list)

    @property
    def unchanged(self) -> list[Booking]:
        """Return the bookings that are as they should be."""
        return [keep.booking for keep in self.kept if keep.unchanged]

    def add(self, change: Change) -> None:
        """Add a row to the plan."""
        self.changes.append(change)

    def remove(self, changes: Iterable[Change]) -> None:
        """Take rows back, each by its identity."""
        gone = {id(change) for change in changes}
        self.changes = [change for change in self.changes if id(change) not in gone]

    def skip(
        self, meeting: Meeting, reason: Reason, detail: str, booking: Booking | None
    ) -> None:
        """Add the row of a meeting that is not booked or changed, and why."""
        self.add(Skip.of_meeting(meeting, reason, detail, booking))

    def wait(
        self, meeting: Meeting, reason: Reason, detail: str, booking: Booking | None
    ) -> None:
        """Add the row of a meeting that is booked or changed later, and record it for `status`."""
        self.add(Wait(meeting, reason, detail, booking))
        self.record_unbooked(meeting, booking, BookingState.WAITING, reason, detail)

    def keep(
        self,
        booking: Booking,
        reason: Reason | None,
        detail: str,
        *,
        unchanged: bool = False,
    ) -> None:
        """Record that a booking stays as it is, and why."""
        self.kept.append(Keep(booking, reason, detail, unchanged))

    def amend(self, booking: Booking) -> None:
        """Record a booking that changes without a request, in place of what was amended before."""
        self.amended[booking.row] = booking

    def remember(
        self, booking: Booking, meeting: Meeting, *, settled: bool = False
    ) -> None:
        """Amend a record by who shows its meeting now, and from what content that came.

        With `settled` nothing is open about it any more.
        """
        noted = booking.shown_by(meeting, origin=meeting.occurrence.fingerprint)
        is_open = noted.reason is not None or noted.drifted or noted.attempts
        if settled and is_open:
            noted = replace(noted.settled(), drifted="")
        if noted != booking:
            self.amend(noted)

    def latest(self, booking: Booking) -> Booking:
        """Return a booking as it is amended so far."""
        return self.amended.get(booking.row, booking)

    def close(
        self,
        booking: Booking,
        state: BookingState,
        reason: Reason | None = None,
        detail: str = "",
    ) -> None:
        """Record that a booking ends in a closed state without a request."""
        self.closed.append(booking.with_state(state, reason, detail))

    def record_unbooked(
        self,
        meeting: Meeting,
        booking: Booking | None,
        state: BookingState,
        reason: Reason,
        detail: str,
    ) -> None:
        """Record, for `status`, a meeting that has no reservation, in place of its record if it has one."""
        if booking is not None and booking.reservation_id is not None:
            return  # the record of a former reservation tells more
        record = Booking.of(meeting, state, reason, detail)
        if booking is None:
            self.noted.append(record)
            return
        record = replace(record, row=booking.row)
        as_old = replace(record, updated_at=booking.updated_at)
        if as_old != booking:
            self.amend(record)
