"""One cycle: settle, read, plan, check, apply.

`Reconciler.cycle` is the page that calls the other parts in their order; what is decided is decided in
`syncd.core`, and what is done in `syncd.apply`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from syncd.apply.applier import Applier
from syncd.apply.decisions import Decisions
from syncd.apply.drift import DriftCheck, is_due, is_unproven
from syncd.apply.ports import Api, Progress
from syncd.apply.publish import remove_unneeded
from syncd.apply.questions import Questions, count_leftovers
from syncd.apply.settle import Settler
from syncd.core.changes import Create, Hold, Mode, Plan, uid_of
from syncd.core.meeting import Meeting
from syncd.core.occurrence import Window
from syncd.core.reasons import MEANINGS, Reason
from syncd.core.settings import Settings
from syncd.errors import ApiUnusable, ClockWrong, ReservationError
from syncd.ics import ParserPool
from syncd.intake.intake import Elsewhere, Intake, Prepare
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource
from syncd.intake.worklist import Worklist
from syncd.ledger.facts import HELD, PRUNED_ON, Held
from syncd.reconciler.clock import ClockCheck
from syncd.reconciler.inputs import ANSWER_KEPT, InputGatherer
from syncd.reconciler.planning import Batch, Decided, Planning
from syncd.reconciler.ports import Ledger
from syncd.reconciler.preview import UNPROVEN, Previewer
from syncd.reconciler.report import CycleReport
from syncd.reconciler.reporter import Outcome, Reporter
from syncd.reconciler.source_records import SourceRecords

log = structlog.get_logger(__name__)


class Reconciler:
    """Keeps reservations in step with calendars; one cycle at a time.

    `clock` gives the present as an aware datetime; `stopping` tells whether to end soon.
    `gives_way` is asked while changes are written; on its word the rest of them is left to the next cycle.
    `prepare` is told which sources are about to be read; `elsewhere` may read large ones in another thread.
    `pool` parses what may be costly; `alive` is called at each step.
    `others_wait` tells, while that goes on, whether a source is due meanwhile.
    `elapsed` is a clock in seconds that nobody sets.
    `previewer` says what a cycle would do.
    """

    def __init__(
        self,
        *,
        sources: Sequence[CalendarSource],
        api: Api,
        ledger: Ledger,
        settings: Settings,
        clock: Callable[[], datetime],
        stopping: Callable[[], bool] = lambda: False,
        gives_way: Callable[[], bool] = lambda: False,
        progress: Progress,
        prepare: Prepare = lambda _names, _force: None,
        elsewhere: Elsewhere | None = None,
        pool: ParserPool | None = None,
        alive: Callable[[], object] = lambda: None,
        others_wait: Callable[[], bool] = lambda: False,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._stopping = stopping
        self._gives_way = gives_way
        self._progress = progress
        self._left: Collection[str] = ()  # UIDs of changes that the last cycle left
        self._latest: datetime | None = None  # the latest present that a cycle saw
        self._first = (
            True  # no cycle of this process has looked at published attachments
        )
        self._compared = False  # the ledger with the API, by this process
        self._poison = Poison(ledger, clock())
        intake_over = partial(
            Intake,
            sources,
            horizon=settings.horizon,
            prepare=prepare,
            pool=pool or ParserPool(keep=False),
            alive=alive,
            poison=self._poison,
            file_grace=settings.file_grace,
            elapsed=elapsed,
        )
        self._intake = intake_over(
            ledger=ledger, elsewhere=elsewhere, others_wait=others_wait
        )
        self._worklist = Worklist(
            ledger,
            self._intake,
            rules=settings,
            horizon=settings.horizon,
            people_kept=ANSWER_KEPT if settings.lookup else None,
        )
        self._api = Questions(api, ledger, clock)
        self._clock_check = ClockCheck(self._api, ledger, clock)
        self._reporter = Reporter(
            ledger, self._intake, self._clock_check, settings.drift_check, clock
        )
        self._records = SourceRecords(ledger, settings.file_grace, clock)
        self._gatherer = InputGatherer(
            sources=self._intake.sources,
            api=self._api,
            ledger=ledger,
            settings=settings,
            alive=alive,
        )
        self._planning = Planning(
            intake=self._intake,
            worklist=self._worklist,
            gatherer=self._gatherer,
            ledger=ledger,
            clock=clock,
        )
        self.previewer = Previewer(
            intake_over=partial(intake_over, elsewhere=None, others_wait=lambda: False),
            api=self._api,
            ledger=ledger,
            clock=clock,
            clock_check=self._clock_check,
            gatherer=self._gatherer,
            records=self._records,
        )

    def refresh_after(self, name: str) -> timedelta | None:
        """Return how long the calendars of a source ask to be left alone; None if they do not say."""
        return self._intake.refresh_after(name)

    def cycle(
        self, only: Collection[str] | None = None, *, force: bool = False
    ) -> CycleReport:
        """Run one whole cycle; an API that cannot be used is an outcome, not an exception.

        `only` names the sources to read (None: all), beside those in which a file has been gone for long
        enough; of the others what they said last counts, if they were read before.
        `force` forgets what is known of the API's rules, asks feeds anew and looks at every reservation.
        """
        began, now = time.monotonic(), self._clock()
        self._api.begin()
        calls_before = Counter(self._api.calls)
        if force:
            self._gatherer.forget_rules()
            self._ledger.worklist.add_all()
        self._worklist.check(self._gatherer.known_advance(), now)
        looked_at = self._intake.update(
            self._with_overdue_files(only), now, force=force
        )
        batch = self._planning.batch(now)
        self._poison.survived(looked_at, batch.heard, now)
        reports = self._records.store(batch.said.readings, looked_at)
        applier = self._applier()
        decided: Decided | None = None
        error: str | None = None
        clock_wrong = False
        try:
            decided = self._settle_and_write(batch, applier, force=force)
            self._remove_attachments(decided)
            self._prune_once_a_day(now)
        except ClockWrong as wrong:
            error, clock_wrong = str(wrong), True
        # The latter of a question, not of a change.
        except (
            ApiUnusable,
            ReservationError,
        ) as unusable:
            error = str(unusable)
        self._api.remember()
        self._left = {uid_of(change) for change in applier.left}
        if not self._left:
            self._intake.let_go()
        outcome = Outcome(
            batch=batch,
            decided=decided,
            applier=applier,
            sources=reports,
            calls=Counter(self._api.calls) - calls_before,
            seconds=time.monotonic() - began,
            error=error,
            clock_wrong=clock_wrong,
        )
        return self._reporter.report(outcome, interrupted=self._stopping())

    @property
    def due_at(self) -> datetime | None:
        """Return when a cycle is due although no source is; None before the first one."""
        return self._reporter.due_at

    # The steps of a cycle

    def _with_overdue_files(
        self, only: Collection[str] | None
    ) -> Collection[str] | None:
        """Return the sources to read, with those in which a file has been gone for long enough."""
        if only is None:
            return None
        awaited = self._intake.awaited()
        overdue = {name for name, left in awaited.items() if left <= timedelta()}
        return {*only, *overdue}

    def _settle_and_write(
        self, batch: Batch, applier: Applier, *, force: bool
    ) -> Decided:
        """Settle what is in doubt, compare with the API when that is due, plan, and carry the plan out."""
        now = self._clock()
        compare = self._is_comparison_due(now) or force
        self._clock_check.judge(ask=False)
        decisions = self._ledger.people.decisions()
        if not (compare or batch.ready or decisions):
            idle = self._idle(batch, now)
            if idle is not None:
                return idle
        if compare or decisions or self._ledger.bookings.in_doubt(now):
            self._clock_check.judge(ask=True)  # the API is asked about these anyway
        if self._settings.mode is Mode.OBSERVE:
            return self._observe(batch, applier, compare=compare)
        settler = Settler(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            records=applier.records,
            canceller=applier.canceller,
            clock=self._clock,
        )
        persons = Decisions(
            api=self._api, ledger=self._ledger, records=applier.records, settler=settler
        )
        with self._api.armed():
            persons.carry_out()
            settler.settle()
            if compare:
                self._compare(batch, applier)
            # Before planning: what comes later is not expired.
            approved = self._ledger.people.approved()
            decided = self._without_what_is_booked(
                self._planning.decide(batch), applier, compared=compare
            )
            self._carry_out(decided, approved, applier, settler)
        return decided

    def _is_comparison_due(self, now: datetime) -> bool:
        """Tell whether to compare with the API; remember the present.

        A clock that ran ahead may have taken meetings for over that are still to come.
        """
        set_back = self._latest is not None and now < self._latest
        self._latest = now
        return set_back or is_due(self._ledger, now, self._settings.drift_check)

    def _idle(self, batch: Batch, now: datetime) -> Decided | None:
        """Plan with no UIDs, and record that; None if it comes out that every UID is ready."""
        decided = self._planning.decide_idle(batch, now)
        if decided is not None and self._settings.mode is not Mode.OBSERVE:
            self._record_silently(decided.plan)
            self._expire_approvals(self._ledger.people.approved(), batch)
        return decided

    def _observe(self, batch: Batch, applier: Applier, *, compare: bool) -> Decided:
        """Plan, and write nothing to the API."""
        if compare:
            self._compare(batch, applier)
        decided = self._planning.decide(batch)
        self._planning.defer(decided)
        return decided

    def _carry_out(
        self,
        decided: Decided,
        approved: frozenset[str],
        applier: Applier,
        settler: Settler,
    ) -> None:
        """Record a plan, apply it, and look once more at what is in doubt then.

        `approved` are the sets that were approved before it was made.
        """
        plan = decided.plan
        if plan.writes or plan.closed:
            self._clock_check.judge(ask=True)
        self._record_silently(plan)
        self._planning.defer(decided)
        if plan.released is not None:
            applier.canceller.intend_approved(plan)
            self._ledger.people.spend_approval(plan.released)
        self._expire_approvals(approved - {plan.released}, decided.batch)
        try:
            applier.apply(plan, self._left)
        except (ApiUnusable, ReservationError):
            self._look_once_more(settler)
            raise
        self._look_once_more(settler)

    def _without_what_is_booked(
        self, decided: Decided, applier: Applier, *, compared: bool
    ) -> Decided:
        """Return a plan that creates nothing that the API has, and nothing that has to be proven first.

        A state that was put back whole, from a backup or with its machine, looks like the latest one; so a
        process looks before its first creates.
        While there are strays, one may be of a meeting that a source shows again after it could not be read.
        """
        unproven = is_unproven(self._ledger)
        if not _wanted(decided.plan):
            return decided
        if not compared and count_leftovers(self._ledger.facts)[0]:
            self._compare(decided.batch, applier)
            decided = self._planning.decide(decided.batch)
        elif self._compared and not unproven:
            return decided
        wanted = _wanted(decided.plan)
        if not wanted or (self._compared and not unproven):
            return decided
        found, hidden = self._drift_check(applier).look_for(wanted, self._clock())
        self._compared = True
        if found:
            decided = self._planning.decide(decided.batch)
        if not unproven:
            return decided
        return replace(
            decided, plan=decided.plan.put_off(hidden, Reason.UNPROVEN, UNPROVEN)
        )

    def _compare(self, batch: Batch, applier: Applier) -> None:
        """Compare the ledger with the API."""
        self._compared = True
        now = self._clock()
        meetings = batch.desired.meetings(
            Window.ahead(now, self._settings.horizon).reach
        )
        self._drift_check(applier).inspect(meetings, now)

    def _drift_check(self, applier: Applier) -> DriftCheck:
        return DriftCheck(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            records=applier.records,
            canceller=applier.canceller,
        )

    # What is recorded beside

    def _record_silently(self, decided: Plan) -> None:
        """Record what a plan changes in the ledger alone."""
        now = self._clock()
        held = Held(decided.held_checksum, len(decided.held))
        if self._ledger.facts.get(HELD) != held:
            self._ledger.facts.set(HELD, held)
            _log_held(decided)
        # First what is over: its meeting may go on in another record, and a key has one that is current.
        if decided.closed:
            self._ledger.bookings.record(*decided.closed, at=now, what="closed")
        over = {booking.row for booking in decided.closed}
        known = [
            booking
            for booking in decided.amended
            if booking.row and booking.row not in over
        ]
        noted_only = [booking for booking in decided.amended if not booking.row]
        if known:
            self._ledger.bookings.amend(*known)
        if noted_only:
            self._ledger.bookings.record(*noted_only, at=now, what="noted")

    def _expire_approvals(self, approved: Collection[str], batch: Batch) -> None:
        """After a cycle over all sources, mark approvals of sets that are no longer held as spent."""
        if len(batch.said.readings) == len(self._intake.sources):
            for unused in approved:
                self._ledger.people.spend_approval(unused)

    def _remove_attachments(self, decided: Decided) -> None:
        """Remove published attachments that nobody needs: when something changed, and once at the start."""
        settings = self._settings
        if settings.mode is Mode.OBSERVE or not (
            decided.plan.changes or decided.plan.closed or self._first
        ):
            return
        self._first = False
        remove_unneeded(
            self._ledger.published, settings.publish_dir, settings.publish_mode
        )

    def _prune_once_a_day(self, now: datetime) -> None:
        """Forget what is long over: the ledger of a service that runs for years must not grow for years."""
        if not self._clock_check.is_judged:
            return
        today = now.date()
        if self._ledger.facts.get(PRUNED_ON) != today:
            self._ledger.prune(now - self._settings.retention)
            self._ledger.facts.set(PRUNED_ON, today)

    def _look_once_more(self, settler: Settler) -> None:
        """Look at what is in doubt; most lost answers are settled at the end of the cycle that lost them."""
        try:
            settler.look()
        except (ApiUnusable, ReservationError) as error:
            log.warning("not settled", error=str(error))

    # What is told

    def _applier(self) -> Applier:
        return Applier(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            clock=self._clock,
            stopping=self._stopping,
            gives_way=self._gives_way,
            progress=self._progress,
        )


def _wanted(plan: Plan) -> list[Meeting]:
    """Return the meetings that a plan books."""
    return [change.meeting for change in plan.writes if isinstance(change, Create)]


def _log_held(decided: Plan) -> None:
    """Log what a person has to decide about, why, and by which command; never what it is about."""
    held = [
        change
        for change in decided.changes
        if isinstance(change, Hold) and change.approvable
    ]
    kinds = Counter((hold.booking.source, hold.reason) for hold in held)
    for (source, reason), count in sorted(kinds.items()):
        log.warning(
            "held",
            source=source,
            reason=reason.value,
            bookings=count,
            detail=MEANINGS[reason],
            cure=f"syncd approve {decided.held_checksum}, or mend the calendar or the configuration",
        )
