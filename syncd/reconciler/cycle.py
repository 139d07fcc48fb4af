"""One cycle: read, settle, compare, plan, apply, report.

`Reconciler.cycle` is the page that calls the other parts in their order.
What is decided is decided in `syncd.core`, what is done is done in `syncd.apply`, and what a cycle needs beside
these has modules of its own next to this one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from syncd.apply.applier import Applier
from syncd.apply.decisions import Decisions
from syncd.apply.ports import Api, Progress
from syncd.apply.questions import Questions, count_leftovers
from syncd.apply.settle import Settler
from syncd.apply.unread import Unread
from syncd.core.changes import Mode
from syncd.core.settings import Settings
from syncd.errors import ApiUnreachable, ApiUnusable, ClockWrong, ReservationError
from syncd.ics import ParserPool
from syncd.intake.intake import PORTION, Intake, Prepare
from syncd.intake.known import AT_HAND
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource
from syncd.intake.scanner import Elsewhere
from syncd.intake.worklist import Worklist
from syncd.ledger import SourceRecord
from syncd.reconciler.clock import ClockCheck
from syncd.reconciler.comparison import Comparison
from syncd.reconciler.inputs import ANSWER_KEPT, InputGatherer
from syncd.reconciler.plan_records import PlanRecords
from syncd.reconciler.planning import Batch, Decided, Planning
from syncd.reconciler.ports import Ledger
from syncd.reconciler.preview import Previewer
from syncd.reconciler.report import CycleReport, SourceReport
from syncd.reconciler.reporter import Outcome, Reporter
from syncd.reconciler.source_records import SourceRecords
from syncd.reconciler.unwritten import Unwritten
from syncd.reconciler.upkeep import Upkeep

log = structlog.get_logger(__name__)

_NOTHING_HEARD: Mapping[str, SourceRecord | None] = {}


class Reconciler:
    """Keeps reservations in step with calendars; one cycle at a time.

    `clock` gives the present as an aware datetime; `stopping` tells whether to end soon.
    `gives_way` is asked while changes are written; on its word the rest of them is left to the next cycle.
    `prepare` is told which sources are about to be read; `elsewhere` may read large ones in another thread.
    `pool` parses what may be costly; `alive` is called at each step.
    `others_wait` tells, while that goes on, whether a source is due meanwhile.
    `elapsed` is a clock in seconds that nobody sets.
    `at_hand` and `portion` bound the memory that reading takes; see `syncd.intake.intake`.
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
        at_hand: int = AT_HAND,
        portion: int = PORTION,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._stopping = stopping
        self._gives_way = gives_way
        self._progress = progress
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
            at_hand=at_hand,
            portion=portion,
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
        self._comparison = Comparison(
            api=self._api,
            ledger=ledger,
            settings=settings,
            planning=self._planning,
            clock=clock,
        )
        self._unread = Unread(elapsed)
        self._unwritten = Unwritten(ledger, self._worklist, clock)
        self._plan_records = PlanRecords(ledger, len(self._intake.sources), clock)
        self._upkeep = Upkeep(ledger, settings)
        self.previewer = Previewer(
            intake_over=partial(intake_over, elsewhere=None, others_wait=lambda: False),
            api=self._api,
            ledger=ledger,
            clock=clock,
            clock_check=self._clock_check,
            gatherer=self._gatherer,
            records=self._records,
            settings=settings,
        )

    def refresh_after(self, name: str) -> timedelta | None:
        """Return how long the calendars of a source ask to be left alone; None if they do not say."""
        return self._intake.refresh_after(name)

    def read(self, names: Collection[str]) -> tuple[SourceReport, ...]:
        """Read sources for the member of a shared ledger that plans; return what became of them.

        Files that have been gone for long enough are looked for, too; what is read is planned by the writer.
        """
        now = self._clock()
        wanted = self._intake.with_overdue(names)
        looked_at = self._intake.update(wanted, now)
        self._poison.survived(looked_at, (), now)
        said = self._intake.readings_of((), now).readings
        in_order = self._intake.in_order(looked_at)
        readings = [said[one.name] for one in in_order if one.name in said]
        reports = self._records.store_read(readings, looked_at)
        self._ledger.latency.keep(())  # the writer does not know since when
        self._intake.let_go()
        self._reporter.note_read()
        return reports

    def cycle(
        self,
        only: Collection[str] | None = None,
        *,
        force: bool = False,
        heard: Mapping[str, SourceRecord | None] = _NOTHING_HEARD,
    ) -> CycleReport:
        """Run one whole cycle; an API that cannot be used is an outcome, not an exception.

        `only` names the sources to read (None: all), beside those in which a file has been gone for long
        enough; of the others what they said last counts, if they were read before.
        `force` forgets what is known of the API's rules, asks feeds anew and looks at every reservation.
        `heard` are the sources that other members of a shared ledger have read since, by their records.
        """
        began = time.monotonic()
        now = self._clock()
        self._api.begin()
        calls_before = Counter(self._api.calls)
        if force:
            self._gatherer.forget_rules()
            self._ledger.worklist.add_all()
        self._worklist.check(self._gatherer.known_advance(), now)
        compares = self._comparison.is_due(now) or force
        strays, _duplicates = count_leftovers(self._ledger.facts)
        # What is compared or looked for has to be known whole.
        self._unwritten.begin_cycle(anew=compares or strays > 0)
        others = self._intake.others
        others.hear(self._intake.in_order(heard), heard, now)
        names = self._intake.with_overdue(only)
        looked_at = self._intake.update(names, now, force=force)
        batch = self._planning.batch(now)
        self._poison.survived(looked_at, batch.heard, now)
        changed: dict[str, int] = {}
        for source in self._intake.in_order(looked_at):
            # Unless another member has stored something of it meanwhile.
            if source.name in batch.said.readings:
                changed[source.name] = looked_at[source.name]
        reports = self._records.store(batch.said, changed, heard)
        applier = self._applier()
        decided: Decided | None = None
        error: str | None = None
        clock_wrong = False
        unreachable = False
        try:
            decided = self._settle_and_write(batch, applier, compare=compares)
            self._upkeep.remove_attachments(decided.plan)
            if self._clock_check.is_judged:
                self._upkeep.prune_once_a_day(now)
        except (ClockWrong, ApiUnusable, ReservationError) as ended:
            # The last of a question, not of a change.
            self._unwritten.give_up()
            error = str(ended)
            clock_wrong = isinstance(ended, ClockWrong)
            unreachable = isinstance(ended, ApiUnreachable)
        else:
            self._ledger.latency.keep(self._not_written_yet(batch))
        self._api.remember()
        self._intake.let_go()
        outcome = Outcome(
            batch=batch,
            decided=decided,
            applier=applier,
            left=len(self._unwritten.backlog) + applier.unbegun,
            unread=len(self._unread),
            sources=reports,
            calls=Counter(self._api.calls) - calls_before,
            seconds=time.monotonic() - began,
            error=error,
            clock_wrong=clock_wrong,
            unreachable=unreachable,
        )
        return self._reporter.report(outcome, interrupted=self._stopping())

    def was_read(self, name: str) -> bool:
        """Tell whether this process tried to read a source before."""
        return self._intake.was_read(name)

    def knows(self, name: str) -> bool:
        """Tell whether a source that says the same as last time needs no cycle.

        Its last complete reading is known to this process, and one more of the same proves nothing new.
        """
        return self._intake.knows_whole(name) and name not in self._reporter.counting

    @property
    def counting(self) -> frozenset[str]:
        """Return the sources whose next complete reading is evidence even if it says the same as the last one."""
        return self._reporter.counting | self._intake.others.awaiting_files()

    def forget_source(self, name: str) -> None:
        """Know nothing of a source: another member stored something of it, or it comes to this one or goes."""
        self._intake.others.forget_source(name)
        self._records.forget(name)

    def take_stale(self) -> frozenset[str]:
        """Return, once, the sources that others wrote while this process looked at them.

        Nothing is known of them: they are to be read anew, a feed after it was asked anew, or heard of.
        """
        return self._intake.others.take_stale()

    @property
    def due_at(self) -> datetime | None:
        """Return when a cycle is due although no source is; None before the first one."""
        due_at = self._reporter.due_at
        awaited = self._comparison.due_at
        if due_at is None or awaited is None:
            return due_at
        return min(due_at, awaited)

    @property
    def put_off(self) -> Collection[str]:
        """Return the sources that the last cycle was to read and left to the next one."""
        return self._intake.put_off

    def _not_written_yet(self, batch: Batch) -> frozenset[str]:
        """Return the UIDs whose changes are to be written by later cycles."""
        later = batch.said.postponed.values()
        return frozenset(self._unwritten.backlog.uids).union(*later)

    # The steps of a cycle

    def _settle_and_write(
        self, batch: Batch, applier: Applier, *, compare: bool
    ) -> Decided:
        """Settle what is in doubt, compare with the API when that is due, plan, and carry the plan out."""
        now = self._clock()
        self._clock_check.judge(ask=False)
        decisions = self._ledger.people.decisions()
        goes_on = self._unwritten.backlog or self._unread
        if not (compare or batch.ready or decisions or goes_on):
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
                self._comparison.run(batch, applier)
            # Before planning: what comes later is not expired.
            approved = self._ledger.people.approved()
            decided = self._planning.decide(batch)
            decided = self._comparison.without_what_is_booked(
                decided, applier, compared=compare
            )
            decided = self._unwritten.beside(decided)
            self._carry_out(decided, approved, applier, settler)
        return decided

    def _idle(self, batch: Batch, now: datetime) -> Decided | None:
        """Plan with no UIDs, and record that; None if it comes out that every UID is ready."""
        decided = self._planning.decide_idle(batch, now)
        if decided is not None and self._settings.mode is not Mode.OBSERVE:
            self._plan_records.record(decided.plan)
            approved = self._ledger.people.approved()
            self._plan_records.expire_approvals(approved, batch)
        return decided

    def _observe(self, batch: Batch, applier: Applier, *, compare: bool) -> Decided:
        """Plan, and write nothing to the API."""
        if compare:
            self._comparison.run(batch, applier)
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
        self._plan_records.record(plan)
        self._planning.defer(decided)
        self._unwritten.note(decided)
        if plan.released is not None:
            applier.canceller.intend_approved(plan)
            self._ledger.people.spend_approval(plan.released)
        unused = approved - {plan.released}
        self._plan_records.expire_approvals(unused, decided.batch)
        try:
            applier.apply(plan, self._unwritten.backlog)
        except (ApiUnusable, ReservationError):
            self._look_once_more(settler)
            raise
        self._look_once_more(settler)
        self._unwritten.settle(decided, applier.records.written)

    def _look_once_more(self, settler: Settler) -> None:
        """Look at what is in doubt; most lost answers are settled at the end of the cycle that lost them."""
        try:
            settler.look()
        except (ApiUnusable, ReservationError) as error:
            log.warning("not settled", error=str(error))

    def _applier(self) -> Applier:
        return Applier(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            clock=self._clock,
            stopping=self._stopping,
            gives_way=self._gives_way,
            progress=self._progress,
            unread=self._unread,
        )
