"""Why a step in the life of a booking was taken, and who decided it."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.core.booking import Booking
from syncd.core.reasons import Evidence, Reason

SYNCD = "syncd"
"""Who decided a step that follows from the calendars and the rules of the configuration."""

TUYA = "Tuya"
"""Who decided a step that was taken there: somebody changed or ended it, or the API said no."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The reason of a step, what it rests on, and who decided it: a person by name, else syncd or Tuya.

    What is None is as the booking says.
    """

    reason: Reason | None = None
    evidence: Evidence | None = None
    by: str | None = None

    def reason_of(self, booking: Booking) -> Reason | None:
        """Return the reason of the step that left a booking as it is."""
        return self.reason or booking.reason

    def evidence_of(self, booking: Booking) -> Evidence | None:
        """Return what the step that left a booking as it is rests on."""
        return self.evidence or booking.evidence


AS_THE_BOOKING_SAYS = Cause()
IN_TUYA = Cause(by=TUYA)
