"""Changes of reservations whose meetings ask for something else than they have.

Every update of a plan comes through here and meets the mode.
One that would leave a meeting without its room is weighed as a cancel is.
"""

from __future__ import annotations

from syncd.core.booking import Booking
from syncd.core.cancels import Cancels
from syncd.core.changes import Mode, Update
from syncd.core.draft import Draft
from syncd.core.meeting import Meeting
from syncd.core.reasons import Reason

_MARKED = "description"


class Updates:
    """Decides about updates for one draft."""

    def __init__(self, draft: Draft, cancels: Cancels, mode: Mode) -> None:
        self._draft = draft
        self._cancels = cancels
        self._mode = mode

    def follow(self, meeting: Meeting, booking: Booking, reason: Reason) -> None:
        """Change the reservation with its meeting, unless a room is given up without a word of the event."""
        same_event = booking.origin == meeting.occurrence.fingerprint
        if not same_event or not _gives_room_up(meeting, booking):
            self.propose(meeting, booking, reason)
            return
        detail = "Nothing names a room for the meeting any more, and the event did not change."
        changed = meeting.spec.changed_from(booking.spec)
        update = Update(meeting, booking, changed, Reason.RULES_CHANGED)
        self._cancels.hold(booking, Reason.RULES_CHANGED, detail, instead=update)

    def propose(
        self, meeting: Meeting, booking: Booking, reason: Reason, detail: str = ""
    ) -> None:
        """Add the update of a reservation, or why the mode forbids it."""
        changed = _changed(meeting, booking)
        if not self._mode.updates:
            fields = ", ".join(changed)
            detail = f"The mode {self._mode} does not change reservations ({fields})."
            self._draft.skip(meeting, Reason.MODE, detail, booking)
            return
        update = Update(meeting, booking, changed, reason, detail)
        # One that was sent before was weighed then, and a doubt is not forgotten for being held.
        if _gives_room_up(meeting, booking) and reason is not Reason.IN_DOUBT:
            self._cancels.give_room_up(update)
        else:
            self._draft.add(update)


def _changed(meeting: Meeting, booking: Booking) -> tuple[str, ...]:
    """Return the API's names of the fields that an update changes; where a mark is to be written, that too."""
    changed = meeting.spec.changed_from(booking.spec)
    if not booking.lacks_mark:
        return changed
    in_order = meeting.spec.comparable()
    return tuple(name for name in in_order if name in {*changed, _MARKED})


def _gives_room_up(meeting: Meeting, booking: Booking) -> bool:
    """Tell whether an update would leave a meeting without the room that it has."""
    return booking.room_id is not None and meeting.spec.room_id is None
