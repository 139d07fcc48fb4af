"""Reservations that no meeting wants: given up, held for a person, or kept.

Every cancel of a plan comes through here with what it rests on, and meets the mode, the budget and what
people decided before.
What is held once stays held until it is approved or its meeting is back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from syncd.core.booking import HOLDING_STATES, Booking
from syncd.core.changes import Cancel, Hold, Skip, Update
from syncd.core.draft import Draft
from syncd.core.evidence import (
    Absence,
    Coverage,
    absence,
    absence_in,
    awaited_file,
    held_checksum,
    within_budget,
)
from syncd.core.occurrence import Missing, Reading
from syncd.core.policy import Policy
from syncd.core.reasons import Evidence, Reason
from syncd.core.totals import Totals


class Cancels:
    """Decides about cancels for one draft; `conclude` comes last, when all of them are proposed."""

    def __init__(
        self,
        draft: Draft,
        readings: Mapping[str, Reading],
        policy: Policy,
        resting: Totals | None = None,
    ) -> None:
        self._draft = draft
        self._readings = readings
        self._policy = policy
        self._resting = resting or Totals()
        self._shown: list[Cancel] = []
        self._told: list[Cancel | Update] = []
        self._instead: dict[int, Update] = {}
        self._live_of_source: Counter[str] = Counter()
        self._coverages: dict[str, Coverage] = {}

    def take_stock(self, bookings: Iterable[Booking]) -> None:
        """Count what is live, by the source that decided it and by those that show it; what rests, too."""
        live_of_source: Counter[str] = Counter()
        shown: Counter[str] = Counter()
        present: Counter[str] = Counter()
        returned: Counter[str] = Counter()
        for booking in bookings:
            # Those that hold no slot are asked about as well.
            named = (booking.source, *booking.witnesses)
            shown.update(dict.fromkeys(named, 0))
            live_of_source[booking.source] += 0
            if booking.state not in HOLDING_STATES:
                continue
            live_of_source[booking.source] += 1
            shown.update(booking.witnesses)
            seen = [
                name for name in booking.witnesses if self._has_event(name, booking)
            ]
            present.update(seen)
            if booking.reason is Reason.SOURCE_EMPTY:
                returned.update(seen)
        self._count_with_resting(live_of_source, shown, present, returned)

    def _count_with_resting(
        self,
        live_of_source: Counter[str],
        shown: Counter[str],
        present: Counter[str],
        returned: Counter[str],
    ) -> None:
        """Take note of what was counted, together with what rests in the same sources; it is there."""
        resting = self._resting
        for name in live_of_source:
            live_of_source[name] += resting.live[name]
        self._live_of_source = live_of_source
        self._coverages = {}
        for name, count in shown.items():
            there = resting.shown[name]
            self._coverages[name] = Coverage(
                count + there, present[name] + there, returned[name]
            )

    def _has_event(self, source: str, booking: Booking) -> bool:
        return (
            source in self._readings
            and booking.key.uid in self._readings[source].presence
        )

    def absence_in(self, booking: Booking, source: str) -> Absence:
        """Judge what one source proves that does not show a booking's occurrence."""
        reading = self._readings.get(source)
        coverage = self._coverages.get(source, Coverage())
        return absence_in(booking, source, reading, self._policy.safety, coverage)

    def awaited_file(self, uid: str, sources: Collection[str]) -> Missing | None:
        """Return a file of these sources that held a UID and may be written anew; None if there is none."""
        missing: list[Missing] = []
        for name in sources:
            if name in self._readings:
                missing += self._readings[name].missing_with(uid)
        return awaited_file(missing, self._policy.safety)

    def absence(self, booking: Booking) -> Absence:
        """Judge what all sources together prove of a booking whose occurrence none of them shows."""
        policy = self._policy
        return absence(
            booking, self._readings, policy.configured, policy.safety, self._coverages
        )

    def propose(
        self, booking: Booking, reason: Reason, evidence: Evidence, detail: str
    ) -> None:
        """Cancel a reservation on that evidence, unless something is in the way."""
        if evidence is Evidence.INFERRED:
            self.hold(booking, reason, detail)
        elif not self._policy.mode.cancels:
            self._skip(booking, Reason.MODE, self._mode_forbids(detail))
        elif (
            booking.reason in {Reason.REFUSED, Reason.DROPPED}
            and booking.pending is None
        ):
            self._skip(booking, booking.reason, booking.detail)
        elif evidence is Evidence.SHOWN:
            self._shown.append(Cancel(booking, reason, evidence, detail))
        else:
            self._told.append(Cancel(booking, reason, evidence, detail))

    def give_room_up(self, update: Update) -> None:
        """Propose an update that leaves a meeting without its room, because its event no longer names one.

        For a meeting room that is as much as a cancel, so it counts among what a source tells.
        """
        self._told.append(update)

    def hold(
        self,
        booking: Booking,
        reason: Reason,
        detail: str,
        instead: Update | None = None,
    ) -> None:
        """Leave a cancel, or what is to be done instead, to a person, and remember why."""
        mode = self._policy.mode
        if instead is None and not mode.cancels:
            self._skip(booking, Reason.MODE, self._mode_forbids(detail))
            return
        if instead is not None and not mode.updates:
            detail = f"The mode {mode} does not change reservations. {detail}"
            self._skip(booking, Reason.MODE, detail)
            return
        if booking.reason is not reason:
            booking = replace(
                booking,
                pending=None,
                reason=reason,
                detail=detail,
                retry_at=None,
                blocked_by=None,
            )
            self._draft.amended[booking.row] = booking
        if instead is not None:
            self._instead[booking.row] = replace(instead, booking=booking)
        self._draft.add(Hold(booking, reason, booking.detail, approvable=True))

    def conclude(self) -> str | None:
        """Spend the budget and carry out what was approved; return the checksum of that held set, if any."""
        self._stop_floods()
        self._spend_budget()
        holds = [change for change in self._draft.changes if isinstance(change, Hold)]
        held = [hold for hold in holds if hold.approvable]
        checksum = held_checksum(hold.booking for hold in held)
        if checksum not in self._policy.approved:
            return None
        self._draft.remove(held)
        for hold in held:
            booking = hold.booking
            update = self._instead.get(booking.row)
            if update is not None:
                self._draft.add(replace(update, evidence=Evidence.APPROVED))
                continue
            cancel = Cancel(booking, hold.reason, Evidence.APPROVED, hold.detail)
            self._draft.add(cancel)
        return checksum

    def _stop_floods(self) -> None:
        """Make what the calendars tell, or hold all that a source tells in this cycle if it is a flood.

        What was held for it before stays held, and does not count again.
        """
        safety = self._policy.safety
        new: Counter[str] = Counter()
        for change in self._told:
            if change.booking.reason is not Reason.TOLD_FLOOD:
                new[change.booking.source] += 1
        for change in self._told:
            booking = change.booking
            name = booking.source
            # A source may tell of meetings that another one decided about until now.
            live = max(self._live_of_source[name], new[name])
            is_flood = safety.is_flood(new[name], live)
            was_held = booking.reason is Reason.TOLD_FLOOD
            if not is_flood and not was_held:
                self._draft.add(change)
                continue
            detail = (
                f"The source {name!r} tells to give up {new[name]} of its {live} live bookings at once, more "
                "than safety.told_share and told_floor allow."
            )
            instead = change if isinstance(change, Update) else None
            self.hold(booking, Reason.TOLD_FLOOD, detail, instead)

    def _spend_budget(self) -> None:
        count = Counter(cancel.booking.source for cancel in self._shown)
        affordable = within_budget(count, self._live_of_source, self._policy.safety)
        for cancel in self._shown:
            booking = cancel.booking
            name = booking.source
            was_held = booking.reason is Reason.OVER_BUDGET
            if name in affordable and not was_held:
                self._draft.add(cancel)
                continue
            detail = (
                f"{count[name]} of the {self._live_of_source[name]} live bookings of {name!r} would be "
                "cancelled, more than safety.cancel_share and cancel_floor allow."
            )
            self.hold(booking, Reason.OVER_BUDGET, detail)

    def _skip(self, booking: Booking, reason: Reason, detail: str) -> None:
        self._draft.add(Skip.of_booking(booking, reason, detail))

    def _mode_forbids(self, detail: str) -> str:
        return f"The mode {self._policy.mode} does not cancel reservations. {detail}"
