"""Records what a plan changes in the ledger alone: without a request, and without the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime

import structlog

from syncd.core.booking import Booking
from syncd.core.changes import Hold, Plan
from syncd.core.reasons import MEANINGS, Reason
from syncd.ledger.facts import HELD, Held
from syncd.reconciler.planning import Batch
from syncd.reconciler.ports import Ledger

log = structlog.get_logger(__name__)


class PlanRecords:
    """The records of the plans over so many `sources`."""

    def __init__(
        self, ledger: Ledger, sources: int, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._sources = sources
        self._clock = clock

    def record(self, plan: Plan) -> None:
        """Record the bookings that a plan closes or amends, and what it holds."""
        self._record_held(plan)
        bookings = self._ledger.bookings
        now = self._clock()
        # First what is over: its meeting may go on in another record, and a key has one that is current.
        if plan.closed:
            bookings.record(*plan.closed, at=now, what="closed")
        over = {booking.row for booking in plan.closed}
        known: list[Booking] = []
        noted_only: list[Booking] = []
        for booking in plan.amended:
            if not booking.row:
                noted_only.append(booking)
            elif booking.row not in over:
                known.append(booking)
        if known:
            bookings.amend(*known, at=now)
        if noted_only:
            bookings.record(*noted_only, at=now, what="noted")

    def expire_approvals(self, approved: Collection[str], batch: Batch) -> None:
        """After a cycle over all sources, mark approvals of sets that are no longer held as spent."""
        if len(batch.said.readings) != self._sources:
            return
        for checksum in approved:
            self._ledger.people.spend_approval(checksum)

    def _record_held(self, plan: Plan) -> None:
        facts = self._ledger.facts
        held = Held(plan.held_checksum, len(plan.held))
        if facts.get(HELD) != held:
            facts.set(HELD, held)
            _log_held(plan)


def _log_held(plan: Plan) -> None:
    """Log what a person has to decide about, why, and by which command; never what it is about."""
    kinds: Counter[tuple[str, Reason]] = Counter()
    for change in plan.changes:
        if isinstance(change, Hold) and change.approvable:
            kinds[change.booking.source, change.reason] += 1
    for (source, reason), count in sorted(kinds.items()):
        log.warning(
            "held",
            source=source,
            reason=reason.value,
            bookings=count,
            detail=MEANINGS[reason],
            cure=f"syncd approve {plan.held_checksum}, or mend the calendar or the configuration",
        )
