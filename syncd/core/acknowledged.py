"""What persons have seen of that which is wrong with events: it counts for nothing until the event changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from syncd.core.booking import Booking
from syncd.core.changes import Change, Skip, Wait
from syncd.core.occurrence import Defect
from syncd.core.reasons import REFUSALS, Reason
from syncd.core.resolve import full_name, is_refused, key_of

_ACKNOWLEDGED = REFUSALS | {Reason.UNMAPPED_PERSON, Reason.QUARANTINED}
"""Reasons of rows in a plan that are about refused or quarantined events."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That a person has seen what is wrong with an event as it was then.

    `subject` is the KEY of a booking or the UID of a quarantined event, `fingerprint` that of the event then.
    """

    subject: str
    fingerprint: str
    acknowledged_by: str
    at: datetime


class Acknowledged:
    """All acknowledgements, asked for the events that they are about."""

    def __init__(self, acknowledgements: Iterable[Acknowledgement] = ()) -> None:
        self._by_event = {
            (one.subject, one.fingerprint): one for one in acknowledgements
        }

    def of_booking(self, booking: Booking) -> Acknowledgement | None:
        """Return who has seen that a booking is refused; None if nobody has, or the event changed since."""
        if not self._by_event or not is_refused(booking):
            return None
        return self._by_event.get((full_name(booking), booking.origin))

    def of_defect(self, defect: Defect) -> Acknowledgement | None:
        """Return who has seen that an event is quarantined; None if nobody has, or it changed since."""
        if not defect.uid or not defect.fingerprint:
            return None
        return self._by_event.get((defect.uid, defect.fingerprint))

    def of_change(self, change: Change) -> Acknowledgement | None:
        """Return who has seen what a row of a plan says of an event that is not booked or not understood."""
        if not self._by_event or change.reason not in _ACKNOWLEDGED:
            return None
        match change:
            case Skip(key=key, room_id=room_id, fingerprint=fingerprint):
                pass
            case Wait(meeting=meeting, room_id=room_id):
                key = meeting.key
                fingerprint = meeting.occurrence.fingerprint
            case _:
                return None
        return self._by_event.get((key_of(key, room_id), fingerprint))
