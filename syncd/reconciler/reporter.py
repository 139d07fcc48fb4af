"""What a cycle came to: its report, its line in the log, and when and why the next one is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from syncd.apply.applier import Applier
from syncd.apply.drift import last_compared
from syncd.apply.questions import all_oddities
from syncd.core.booking import Booking
from syncd.core.changes import Cancel, Change, Create, Mode, Plan, Update, Wait
from syncd.core.evidence import counting_sources
from syncd.core.occurrence import Defect, count_quarantined
from syncd.core.reasons import Reason
from syncd.intake.intake import Intake
from syncd.ledger.measurements import CounterName, GaugeName, HistogramName
from syncd.ledger.operation import API_TROUBLE, ApiTrouble, CycleRecord
from syncd.reconciler.clock import ClockCheck
from syncd.reconciler.cycle_log import CycleLog
from syncd.reconciler.planning import Batch, Decided
from syncd.reconciler.ports import Ledger
from syncd.reconciler.report import (
    CycleReport,
    SourceReport,
    counts_of,
    noted,
    seen_of,
)

_METHODS = ("GET", "POST", "PUT")
# At what is in doubt.
_FIRST_LOOK = timedelta(seconds=2)
_LAST_LOOK = timedelta(minutes=1)
# At what stays ready without a moment of its own: a budget that is free again, a disk that has room again.
_ANOTHER_TRY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a cycle did, as its parts tell it; `decided` is None if it ended before there was a plan.

    `left` counts the changes that it left to the next one, `unread` what is to be read back.
    """

    batch: Batch
    decided: Decided | None
    applier: Applier
    left: int
    unread: int
    sources: tuple[SourceReport, ...]
    calls: Counter[str]
    seconds: float
    error: str | None
    clock_wrong: bool
    unreachable: bool

    @property
    def left_nothing_open(self) -> bool:
        """Tell whether no UID was ready and nothing was written, so that no booking became open."""
        if self.decided is None or self.decided.batch.ready or self.left:
            return False
        return not self.decided.plan.writes and not self.applier.records.written

    @property
    def goes_on(self) -> bool:
        """Tell whether the next cycle is due at once, to go on with what this one left."""
        if self.left or any(source.postponed for source in self.sources):
            return True
        return self.unread > 0 and self.error is None

    @property
    def may_free_a_room(self) -> bool:
        """Tell whether something was written, while a meeting waits for a room that it may have freed."""
        if self.decided is None or not self.decided.plan.writes:
            return False
        return any(map(_waits_for_a_room, self.decided.plan.changes))


class Reporter:
    """Reports cycles, and says after each when the next one is due although no source is.

    Of the sources that are `counting` the next reading is evidence even if it says the same as the last.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        clock_check: ClockCheck,
        drift_check: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self.due_at: datetime | None = None
        self.counting: frozenset[str] = frozenset()
        self._log = CycleLog()
        self._ledger = ledger
        self._intake = intake
        self._clock_check = clock_check
        self._drift_check = drift_check
        self._clock = clock
        self._looks = 0  # at what is in doubt, in a row

    def note_read(self) -> None:
        """Set when the next reading is due for the files that are gone, after one without a plan."""
        awaited = self._intake.awaited()
        self.due_at = None
        if awaited:
            self.due_at = self._clock() + min(awaited.values())

    def report(self, outcome: Outcome, *, interrupted: bool) -> CycleReport:
        """Return the report of a cycle and log it; set when the next one is due."""
        left = outcome.left
        open_ones: Sequence[Booking] = ()
        if not outcome.left_nothing_open:
            open_ones = self._ledger.bookings.unsettled(self._clock())
        self.due_at = self._next_due(outcome, open_ones)
        if outcome.decided is not None:
            self.counting = _counting(outcome.decided)
        if outcome.goes_on:
            self.due_at = self._clock()
        plan = outcome.decided.plan if outcome.decided else None
        defects = _defects_of(outcome)
        acknowledged = self._ledger.people.acknowledged()
        seen = seen_of(acknowledged, open_ones, defects)
        report = CycleReport(
            plan=plan,
            counts=self._counts(outcome, open_ones, defects, seen),
            sources=noted(outcome.sources, plan),
            calls={method: outcome.calls[method] for method in _METHODS},
            seconds=round(outcome.seconds, 3),
            error=outcome.error,
            interrupted=interrupted,
            left=left,
            waiting=outcome.decided.waiting if outcome.decided else (),
            oddities=all_oddities(self._ledger.facts, open_ones),
            clock=self._clock_check.sentence or None,
            clock_wrong=outcome.clock_wrong,
            unreachable=outcome.unreachable,
            seen=seen,
        )
        self._log.tell(report)
        self._remember(report)
        return report

    def _remember(self, report: CycleReport) -> None:
        """Record what the cycle came to, and whether the API can be used as far as it was asked."""
        now = self._clock()
        calls = sum(report.calls.values())
        measurements = self._ledger.measurements
        measurements.add(CounterName.CYCLES, report.outcome)
        measurements.observe(HistogramName.CYCLE, report.seconds)
        if report.error is None and not report.interrupted:
            measurements.set(GaugeName.CYCLE_COMPLETED_AT, now.timestamp())
        cycle = CycleRecord(
            ended_at=now,
            seconds=report.seconds,
            outcome=report.outcome,
            counts={**report.counts, **_only_planned(report.plan)},
            calls=calls,
            error=report.error,
        )
        self._ledger.operation.record_cycle(cycle)
        former = self._ledger.facts.get(API_TROUBLE)
        if report.error is not None and not report.clock_wrong:
            since = former.since if former else now
            trouble = ApiTrouble(since, report.error)
            self._ledger.facts.set(API_TROUBLE, trouble)
        elif former is not None and calls:
            self._ledger.facts.set(API_TROUBLE, None)

    def _counts(
        self,
        outcome: Outcome,
        open_ones: Sequence[Booking],
        defects: Iterable[Defect],
        seen: Mapping[str, int],
    ) -> dict[str, int]:
        decided = outcome.decided
        return counts_of(
            plan=decided.plan if decided else None,
            at_rest=decided.resting.totals if decided else None,
            applied=outcome.applier.records.counts,
            open_ones=open_ones,
            waiting=self._ledger.bookings.waiting(),
            quarantined=count_quarantined(defects),
            seen=seen,
        )

    def _next_due(self, outcome: Outcome, open_ones: Sequence[Booking]) -> datetime:
        """Return when a cycle has something to do although no source says anything new."""
        now = self._clock()
        compared_at = last_compared(self._ledger, now)
        moments = [compared_at + self._drift_check, _next_day(now)]
        awaited = self._intake.awaited()
        moments += [now + left for left in awaited.values()]
        is_looked_at = False
        for booking in open_ones:
            if booking.in_doubt or booking.is_tried_again:
                is_looked_at = True
            if booking.retry_at is not None and not booking.in_doubt:
                moments.append(booking.retry_at)
        if is_looked_at:
            self._looks += 1
            pause = _FIRST_LOOK * 2 ** min(self._looks, 10)
            moments.append(now + min(pause, _LAST_LOOK))
        else:
            self._looks = 0
        ready_at = self._ledger.worklist.next_ready(now)
        if ready_at is not None:
            moments.append(ready_at)
        if outcome.may_free_a_room:
            moments.append(now + _FIRST_LOOK)
        elif outcome.batch.ready:
            moments.append(now + _ANOTHER_TRY)
        return max(min(moments), now + _FIRST_LOOK)


def _defects_of(outcome: Outcome) -> list[Defect]:
    """Return what is quarantined in all sources."""
    defects: list[Defect] = []
    for reading in outcome.batch.said.speaking.values():
        defects += reading.defects
    return defects


def _waits_for_a_room(change: Change) -> bool:
    return isinstance(change, Wait) and change.reason is Reason.ROOM_CONFLICT


def _counting(decided: Decided) -> frozenset[str]:
    """Return the sources whose readings are counted for the absence of an event, as of a plan."""
    bookings = {booking.row: booking for booking in decided.inputs.bookings}
    for booking in decided.plan.amended:
        bookings[booking.row] = booking
    return frozenset().union(*map(counting_sources, bookings.values()))


def _next_day(now: datetime) -> datetime:
    """Return when the next day begins, with what is done once a day (UTC)."""
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, UTC)


def _only_planned(plan: Plan | None) -> dict[str, int]:
    """Return how many changes of each kind mode observe leaves undone; nothing in other modes."""
    if plan is None or plan.mode is not Mode.OBSERVE:
        return {}
    kinds = (("create", Create), ("update", Update), ("cancel", Cancel))
    return {
        f"would_{name}": sum(isinstance(change, kind) for change in plan.changes)
        for name, kind in kinds
    }
