"""Which UIDs a cycle looks at, and the plan for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from syncd.core.changes import Create, Plan, Write
from syncd.core.occurrence import Reading
from syncd.core.plan import plan
from syncd.core.totals import Resting
from syncd.errors import StaleIndex
from syncd.intake.intake import Intake, Readings
from syncd.intake.worklist import Worklist
from syncd.ledger.agenda import News
from syncd.reconciler.inputs import Desired, InputGatherer, PlanInputs
from syncd.reconciler.ports import Ledger

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """The UIDs that are ready, what the sources say of them, and which meetings that asks for.

    `news` tells later whether there was news of one since it was looked at.
    """

    ready: frozenset[str]
    news: News
    said: Readings
    desired: Desired

    @property
    def heard(self) -> frozenset[str]:
        """Return the UIDs that were read, without those that come in the next cycle."""
        return self.ready.difference(*self.said.postponed.values())


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan with all that it was decided from.

    `waiting` are changes of former plans that are not made yet.
    """

    batch: Batch
    inputs: PlanInputs
    resting: Resting
    plan: Plan
    waiting: tuple[Write, ...] = ()


def plan_for(
    readings: Mapping[str, Reading],
    inputs: PlanInputs,
    ledger: Ledger,
    now: datetime,
    resting: Resting | None = None,
) -> Plan:
    """Return the plan for these readings, with the generation of the mark of each create.

    `resting` stands for all that is not planned; None: everything is.
    """
    desired = inputs.desired
    decided = plan(
        desired.witnessed,
        desired.mapped,
        readings,
        inputs.bookings,
        inputs.policy,
        now,
        resting,
    )
    keys = {
        change.meeting.key for change in decided.writes if isinstance(change, Create)
    }
    if keys:
        generations = ledger.bookings.next_generations(keys)
        decided = decided.numbered(generations)
    log.debug(
        "plan",
        checksum=decided.checksum,
        writes=len(decided.writes),
        unchanged=decided.unchanged,
    )
    return decided


class Planning:
    """Decides what a cycle does; nothing is written but which UIDs rest."""

    def __init__(
        self,
        *,
        intake: Intake,
        worklist: Worklist,
        gatherer: InputGatherer,
        ledger: Ledger,
        clock: Callable[[], datetime],
    ) -> None:
        self._intake = intake
        self._worklist = worklist
        self._gatherer = gatherer
        self._ledger = ledger
        self._clock = clock

    def batch(self, now: datetime, former: Batch | None = None) -> Batch:
        """Return what is ready now; `former` as it is if nothing more became ready and there is no news."""
        news = self._worklist.ready(now)
        if former is not None and news.items() <= former.news.items():
            return former
        ready = frozenset(news)
        said = self._intake.readings_of(ready, now)
        desired = self._gatherer.desired(said.speaking, now, remember=True)
        return Batch(ready, news, said, desired)

    def decide(self, batch: Batch) -> Decided:
        """Return the plan for a batch, and for what became ready meanwhile.

        A source of which another member stores something while the plan is made has no part in it.
        """
        former: Batch | None = batch
        while True:
            now = self._clock()
            try:
                return self._decide(self.batch(now, former), now)
            except StaleIndex as error:
                self._intake.others.forget_stale(error.source)
                former = None

    def _decide(self, batch: Batch, now: datetime) -> Decided:
        inputs = self._inputs(batch, now)
        # It was asked anew, and is another.
        if not self._worklist.check(inputs.policy.advance, now):
            batch = self.batch(now, batch)
            inputs = self._inputs(batch, now)
        blockers = {
            booking.blocked_by for booking in inputs.bookings if booking.blocked_by
        }
        holders = self._ledger.bookings.holders(blockers)
        totals = self._ledger.bookings.totals(
            now, batch.ready, inputs.bookings, _named(batch, inputs)
        )
        resting = Resting(totals, batch.said.readings, holders)
        return self._decided(batch, inputs, resting, now)

    def decide_idle(self, batch: Batch, now: datetime) -> Decided | None:
        """Plan with no UIDs.

        Return None if the tenant's booking limit changed, which makes every UID ready, or if another member
        has just stored something of a source that is asked for.
        """
        inputs = self._gatherer.idle(now)
        if not self._worklist.check(inputs.policy.advance, now):
            return None
        totals = self._ledger.bookings.totals(now, batch.ready)
        resting = Resting(totals, batch.said.readings)
        try:
            return self._decided(batch, inputs, resting, now)
        except StaleIndex as error:
            self._intake.others.forget_stale(error.source)
            return None

    def defer(self, decided: Decided) -> None:
        """Let the UIDs of a plan rest for which planning again would say the same."""
        batch = decided.batch
        self._worklist.rest(
            batch.news,
            batch.said,
            decided.plan,
            decided.inputs.bookings,
            self._clock(),
        )

    def _decided(
        self, batch: Batch, inputs: PlanInputs, resting: Resting, now: datetime
    ) -> Decided:
        decided = plan_for(batch.said.speaking, inputs, self._ledger, now, resting)
        return Decided(batch, inputs, resting, decided)

    def _inputs(self, batch: Batch, now: datetime) -> PlanInputs:
        bookings = self._ledger.bookings.ready(now) if batch.ready else ()
        return self._gatherer.inputs(batch.desired, bookings, now, remember=True)


def _named(batch: Batch, inputs: PlanInputs) -> set[str]:
    """Return the sources that any meeting or booking of a plan names: those of which it asks how many others."""
    names: set[str] = set()
    for booking in inputs.bookings:
        names.add(booking.source)
        names.update(booking.witnesses)
    for seen in batch.desired.witnessed:
        names.update(seen.witnesses)
    return names
