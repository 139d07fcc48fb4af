"""Compares the ledger with the API: when that is due, and before the first creates of a process.

How it is done says `syncd.apply.drift`; here is when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from syncd.apply.applier import Applier
from syncd.apply.drift import DriftCheck, is_due, is_unproven
from syncd.apply.questions import Questions, count_leftovers
from syncd.apply.records import GRACE
from syncd.core.occurrence import Window
from syncd.core.reasons import Reason
from syncd.core.settings import Settings
from syncd.ledger.facts import UNPROVEN_AT, Recovery
from syncd.reconciler.planning import Batch, Decided, Planning
from syncd.reconciler.ports import Ledger
from syncd.reconciler.preview import UNPROVEN

log = structlog.get_logger(__name__)


class Comparison:
    """The comparisons of one process; `was_made` tells whether there was one yet."""

    def __init__(
        self,
        *,
        api: Questions,
        ledger: Ledger,
        settings: Settings,
        planning: Planning,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._planning = planning
        self._clock = clock
        self.was_made = False
        self.due_at: datetime | None = None
        """When what was put off until nothing can arrive any more is to be planned again."""
        self._latest: datetime | None = None  # the latest present that a cycle saw

    def is_due(self, now: datetime) -> bool:
        """Tell whether to compare at the beginning of a cycle; remember the present.

        A clock that ran ahead may have taken meetings for over that are still to come.
        """
        self.due_at = None
        latest = self._latest
        self._latest = now
        if latest is not None and now < latest:
            return True
        recovery = self._ledger.bookings.recovery
        since = recovery.since if recovery is not None else None
        if since is not None and now >= since + self._longest_way:
            return True
        return is_due(self._ledger, now, self._settings.drift_check)

    def run(self, batch: Batch, applier: Applier) -> None:
        """Compare everything; raise `ApiUnusable`.

        What was written is read back before: what the API made of it is no change of a person.
        """
        applier.read_back()
        self.was_made = True
        recovered_at = self._recovered_at()
        may_arrive = recovered_at is not None and self._is_ahead(recovered_at)
        now = self._clock()
        window = Window.ahead(now, self._settings.horizon)
        meetings = batch.desired.meetings(window.reach)
        self._drift_check(applier).inspect(meetings, now, may_arrive=may_arrive)
        is_unknown = self._ledger.facts.get(UNPROVEN_AT) is not None
        if recovered_at is not None and not is_unknown:
            self._ledger.bookings.note_recovery(None)
            log.info("the ledger has what was lost")

    def without_what_is_booked(
        self, decided: Decided, applier: Applier, *, compared: bool
    ) -> Decided:
        """Return a plan that creates nothing that the API has, and nothing that has to be proven first.

        `compared` tells whether this cycle compared everything.
        A state that was put back whole, from a backup or with its machine, looks like the latest one; so a
        process looks before its first creates.
        While there are strays, one may be of a meeting that a source shows again after it could not be read.
        While a ledger that was put back may lack what was sent, nothing is created; then everything is compared.
        """
        if not decided.plan.to_book:
            return decided
        recovered_at = self._recovered_at()
        if recovered_at is not None:
            if self._is_ahead(recovered_at):
                return _put_off_until(recovered_at, decided)
            if not compared:
                self.run(decided.batch, applier)
                compared = True
                decided = self._planning.decide(decided.batch)
        is_proven = not is_unproven(self._ledger)
        strays, _duplicates = count_leftovers(self._ledger.facts)
        if strays and not compared:
            self.run(decided.batch, applier)
            decided = self._planning.decide(decided.batch)
        wanted = decided.plan.to_book
        if not wanted or (self.was_made and is_proven):
            return decided
        drift_check = self._drift_check(applier)
        found, hidden = drift_check.look_for(wanted, self._clock())
        self.was_made = True
        if found:
            decided = self._planning.decide(decided.batch)
        if is_proven:
            return decided
        plan = decided.plan.put_off(hidden, Reason.UNPROVEN, UNPROVEN)
        return replace(decided, plan=plan)

    def _recovered_at(self) -> datetime | None:
        """Return when no request can arrive any more that a ledger which was put back does not know of.

        None if it lacks nothing. It counts from when this was asked first after that; raise `ApiUnusable`.
        """
        bookings = self._ledger.bookings
        recovery = bookings.recovery
        if recovery is None:
            return None
        since = recovery.since
        if since is None:
            since = self._api.time().latest
            bookings.note_recovery(Recovery(since))
            log.warning(
                "the ledger was put back",
                message="What was recorded last may be lost: nothing is created before the API was asked.",
            )
        return since + self._longest_way

    @property
    def _longest_way(self) -> timedelta:
        """Return how long a request may take from its intent until it arrives."""
        settings = self._settings
        return settings.signing_limit + settings.request_validity + GRACE

    def _is_ahead(self, at: datetime) -> bool:
        """Tell whether a moment of the API's clock is to come; if so a cycle is due then."""
        left = at - self._api.time().earliest
        if left <= timedelta():
            return False
        self.due_at = self._clock() + left
        return True

    def _drift_check(self, applier: Applier) -> DriftCheck:
        return DriftCheck(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            records=applier.records,
            canceller=applier.canceller,
        )


def _put_off_until(at: datetime, decided: Decided) -> Decided:
    """Return a plan in which every create waits, because one of the same meeting may still arrive."""
    wanted = {meeting.key for meeting in decided.plan.to_book}
    sentence = (
        "The database of the ledger was put back, so a request that was sent before may be lost to it: this is "
        f"booked after {at:%H:%M:%S} UTC, when none can arrive any more and the API was asked once more."
    )
    plan = decided.plan.put_off(wanted, Reason.UNPROVEN, sentence)
    return replace(decided, plan=plan)
