"""The cycle itself, and the same without writing.

`preview` reads and plans; `cycle` also settles, records and writes.
Both ask the same questions in the same order, so that what `plan` announces is what `once` does.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from syncd.apply.applier import Applier
from syncd.apply.decisions import Decisions
from syncd.apply.drift import DriftCheck, is_due, is_unproven, last_compared, remember
from syncd.apply.ports import Api, Progress
from syncd.apply.publish import remove_unneeded
from syncd.apply.questions import Questions, all_oddities, count_leftovers
from syncd.apply.settle import Settler
from syncd.core.booking import Booking
from syncd.core.changes import Create, Hold, Mode, Plan, Skip, uid_of
from syncd.core.occurrence import Defect, Reading, Window, count_quarantined
from syncd.core.plan import plan as planned
from syncd.core.reasons import MEANINGS, Reason
from syncd.core.settings import Settings
from syncd.core.totals import Resting
from syncd.errors import ApiUnusable, ClockWrong, ReservationError
from syncd.ics import ParserPool
from syncd.intake import Overlay, SourceExcerpt
from syncd.intake.intake import Elsewhere, Intake, Prepare, Readings
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource
from syncd.intake.worklist import Agenda
from syncd.ledger.facts import HELD, MISSING_FILES, PRUNED_ON, Held
from syncd.reconciler.clock import ClockCheck
from syncd.reconciler.inputs import ANSWER_KEPT, Desired, InputGatherer, PlanInputs
from syncd.reconciler.ports import Ledger
from syncd.reconciler.report import (
    Adoption,
    CycleReport,
    Examination,
    Preview,
    SourceReport,
    is_refused,
    noted,
)

log = structlog.get_logger(__name__)

_ADDRESS = re.compile(r"\S+@\S+")  # files may be called so

_FIRST_LOOK, _LAST_LOOK = timedelta(seconds=2), timedelta(minutes=1)  # at what is in doubt

_UNPROVEN = (
    "A list of the API is refused or contradicts itself, and this state does not tell that it is not booked; "
    "it is booked as soon as a list proves it."
)


def missing_told(file: str) -> str:
    """Return the sentence about a file of a directory that is gone for a moment."""
    return (
        f"The file {file} is gone; nothing follows for what it held before it has stayed away for "
        "safety.file_grace."
    )


@dataclass(frozen=True, slots=True)
class _Matter:
    """What a cycle looks at: the UIDs that are due, what the sources say of them, and what that asks for."""

    ready: frozenset[str]
    said: Readings
    wish: Desired

    @property
    def heard(self) -> frozenset[str]:
        """The UIDs that were looked at."""
        return self.ready.difference(*self.said.postponed.values())


@dataclass(frozen=True, slots=True)
class _Anew:
    """What was read without keeping anything: readings, and excerpts of what was asked for, by source."""

    readings: Mapping[str, Reading]
    excerpts: Mapping[str, SourceExcerpt]


@dataclass(frozen=True, slots=True)
class _Decided:
    """A plan with all that it was decided from."""

    matter: _Matter
    grounds: PlanInputs
    resting: Resting
    plan: Plan


def _log_held(decided: Plan) -> None:
    """Say in the log what a person has to decide about, why, and by which command; never what it is about."""
    kinds = Counter(
        (c.booking.source, c.reason) for c in decided.changes if isinstance(c, Hold) and c.approvable
    )
    for (source, reason), count in sorted(kinds.items()):
        log.warning(
            "held",
            source=source,
            reason=reason.value,
            bookings=count,
            detail=MEANINGS[reason],
            cure=f"syncd approve {decided.held_checksum}, or mend the calendar or the configuration",
        )


class Reconciler:
    """Keeps reservations in step with calendars; one cycle at a time.

    `clock` gives the present as an aware datetime; `stopping` tells whether to end soon.
    `gives_way` is asked while changes are written; on its word the rest of them is left to the next cycle.
    `prepare` is told which sources are about to be read; `elsewhere` may read large ones in another thread.
    `pool` understands what may be costly; `alive` is called at each step.
    `others_wait` tells, while that goes on, whether a source is due meanwhile.
    `elapsed` is a clock in seconds that nobody sets.
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
        self._poison = Poison(ledger, clock())
        self._intake_over = partial(
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
        self._intake = self._intake_over(ledger=ledger, elsewhere=elsewhere, others_wait=others_wait)
        self._agenda = Agenda(
            ledger,
            self._intake,
            rules=settings,
            horizon=settings.horizon,
            people_kept=ANSWER_KEPT if settings.lookup else None,
        )
        self._api = api = Questions(api, ledger, clock)
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._stopping = stopping
        self._gives_way = gives_way
        self._progress = progress
        self._digests: dict[str, str] = {}  # by source, of the last complete reading
        self._defects: dict[str, frozenset[Defect]] = {}  # by source, as the ledger has them
        self._missing: dict[str, list[str]] | None = None  # files that are gone for a moment, by source
        self._left: Collection[str] = ()  # UIDs of changes that the last cycle left
        self._looks = 0  # at what is in doubt, in a row
        self._latest: datetime | None = None  # the latest present that a cycle saw
        self.due_at: datetime | None = None  # when a cycle is due although no source is; after each cycle
        self._first = True  # no cycle of this process has looked at published attachments
        self._compared = False  # the ledger with the API, by this process
        self._clock_check = ClockCheck(api, ledger, clock)
        self._groundwork = InputGatherer(
            sources=self._intake.sources, api=api, ledger=ledger, settings=settings, alive=alive
        )

    def preview(self, only: Collection[str] | None = None) -> Preview:
        """What a cycle would do now; writes nothing, neither here nor there. Raises `ApiUnusable`."""
        now = self._clock()
        self._api.begin()
        bookings = self._ledger.bookings.current()
        readings = self._read_anew(only, bookings, now).readings
        wish = self._groundwork.wish(readings, now, remember=False)
        grounds = self._groundwork.grounds(wish, bookings, now, remember=False)
        decided = self._plan(readings, grounds, now)
        if is_unproven(self._ledger):
            decided = decided.put_off(self._groundwork.unproven, Reason.UNPROVEN, _UNPROVEN)
        reports = noted((self._report(r) for r in readings.values()), decided)
        return Preview(decided, reports, oddities=self._api.current_oddities())

    def examine(self, uid: str) -> Examination:
        """What a cycle would do now and why, with an account of one UID; writes nothing, like `preview`.

        Everything is read and planned, since budget, held sets and keys that move depend on all meetings;
        a plan of one UID alone would be another plan.
        An API that cannot be used is told in the outcome.
        """
        now = self._clock()
        bookings = self._ledger.bookings.current()
        anew = self._read_anew(None, bookings, now, asked=uid)
        readings = anew.readings
        unasked = None
        try:
            wish = self._groundwork.wish(readings, now, remember=False)
            grounds = self._groundwork.grounds(wish, bookings, now, remember=False)
        except (ApiUnusable, ReservationError) as error:
            unasked = str(error)
            wish = self._groundwork.wish(readings, now, remember=False, ask=False)
            grounds = self._groundwork.grounds(wish, bookings, now, remember=False, ask=False)
        decided = self._plan(readings, grounds, now)
        return Examination(now, readings, grounds, decided, anew.excerpts, unasked)

    def held_now(self, checksum: str) -> Held:
        """Return the cancellations that are held now.

        What the last cycle held is looked at first; else the plan of this moment, as `preview` shows it, or
        without the API if that cannot be used.
        """
        known = self._ledger.facts.get(HELD) or Held()
        if known.checksum == checksum:
            return known
        try:
            decided = self.preview().plan
        except (ApiUnusable, ReservationError):
            return known
        return Held(decided.held_checksum, len(decided.held))

    def adoption(self, *, apply: bool) -> Adoption:
        """Which reservations with our mark the ledger does not know; with `apply` it takes them over.

        Nothing is written to the API. Raises `ApiUnusable`, and with `apply` `ClockWrong`.
        """
        if apply:
            self._clock_check.judge(ask=True)
        now = self._clock()
        bookings = self._ledger.bookings.current()
        readings = self._read_anew(None, bookings, now).readings
        wish = self._groundwork.wish(readings, now, remember=apply)
        found = self._groundwork.recognised(wish, bookings, now)
        if apply:
            remember(found.adopted, found, self._ledger, now)
            if not self._api.troubled_lists():
                self._ledger.bookings.mark_adopted(now)
        reports = (self._report(reading) for reading in readings.values())
        unreadable = tuple(report for report in reports if report.error)
        odd = self._api.current_oddities()
        return Adoption(found.adopted, found.strays, len(found.duplicates), unreadable, odd)

    def cycle(self, only: Collection[str] | None = None, *, force: bool = False) -> CycleReport:
        """One whole cycle; an API that cannot be used is an outcome, not an exception.

        `only` names the sources to read (None: all), beside those in which a file has been gone for long
        enough; of the others what they said last counts, if they were read before.
        `force` forgets what is known of the API's rules, asks feeds anew and looks at every reservation.
        """
        began, now = time.monotonic(), self._clock()
        self._api.begin()
        calls_before = Counter(self._api.calls)
        applier = Applier(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            clock=self._clock,
            stopping=self._stopping,
            gives_way=self._gives_way,
            progress=self._progress,
        )
        if force:
            self._groundwork.forget_rules()
            self._ledger.worklist.add_all()
        self._agenda.check(self._groundwork.known_advance(), now)
        if only is not None:
            awaited = self._intake.awaited()
            only = {*only, *(name for name, left in awaited.items() if left <= timedelta())}
        looked_at = self._intake.update(only, now, force=force)
        matter = self._matter(now)
        self._poison.survived(looked_at, matter.heard, now)
        readings = matter.said.readings
        fresh = [readings[name] for name in readings if name in looked_at]
        reports = tuple(self._report(reading) for reading in fresh)
        for reading, report in zip(fresh, reports, strict=True):
            self._remember_reading(reading, report)
        for name in sorted(readings.keys() - looked_at):
            self._remember_defects(readings[name])
        self._remember_missing(fresh)
        decided: _Decided | None = None
        error: str | None = None
        clock_wrong = False
        try:
            decided = self._settle_and_write(matter, applier, force=force)
            self._remove_attachments(decided)
            self._forget_what_is_long_over(now)
        except ClockWrong as wrong:
            error, clock_wrong = str(wrong), True
        except (ApiUnusable, ReservationError) as unusable:  # the latter of a question, not of a change
            error = str(unusable)
        self._api.remember()
        self._left = {uid_of(change) for change in applier.left}
        if not self._left:
            self._intake.let_go()
        return self._summarise(
            decided=decided,
            applier=applier,
            quarantined=count_quarantined(
                defect for reading in readings.values() for defect in reading.defects
            ),
            reports=noted(reports, decided.plan if decided else None),
            calls=Counter(self._api.calls) - calls_before,
            seconds=time.monotonic() - began,
            error=error,
            clock_wrong=clock_wrong,
        )

    def _remove_attachments(self, decided: _Decided) -> None:
        """Remove published attachments that nobody needs: when something changed, and once at the start."""
        settings = self._settings
        if settings.mode is Mode.OBSERVE or not (decided.plan.changes or decided.plan.closed or self._first):
            return
        self._first = False
        remove_unneeded(self._ledger.published, settings.publish_dir, settings.publish_mode)

    def _matter(self, now: datetime, former: _Matter | None = None) -> _Matter:
        """What is due now, and what the sources say of it; `former` as it is if nothing more became due."""
        ready = self._agenda.ready(now)
        if former is not None and ready <= former.ready:
            return former
        said = self._intake.readings_of(ready, now)
        return _Matter(ready, said, self._groundwork.wish(said.readings, now, remember=True))

    def _settle_and_write(self, matter: _Matter, applier: Applier, *, force: bool) -> _Decided:
        now = self._clock()
        # A clock that ran ahead may have taken meetings for over that are still to come.
        set_back = self._latest is not None and now < self._latest
        self._latest = now
        self._clock_check.judge(ask=False)
        compare = force or set_back or is_due(self._ledger, now, self._settings.drift_check)
        if not (compare or matter.ready or self._ledger.people.decisions()):
            idle = self._idle(matter, now)
            if idle is not None:
                return idle
        if compare or self._ledger.people.decisions() or self._ledger.bookings.in_doubt(now):
            self._clock_check.judge(ask=True)  # the API is asked about these anyway
        if self._settings.mode is Mode.OBSERVE:
            if compare:
                self._inspect(matter.wish, applier)
            decided = self._decide(matter)
            self._let_rest(decided)
            return decided
        settler = Settler(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            records=applier.records,
            canceller=applier.canceller,
            clock=self._clock,
        )
        decisions = Decisions(api=self._api, ledger=self._ledger, records=applier.records, settler=settler)
        with self._api.armed():
            decisions.carry_out()
            settler.settle()
            if compare:
                self._inspect(matter.wish, applier)
            approved = self._ledger.people.approved()
            decided = self._decide(matter)
            decided = self._without_what_is_booked(decided, applier, compared=compare)
            plan = decided.plan
            if plan.writes or plan.closed:
                self._clock_check.judge(ask=True)
            self._record_silently(plan)
            self._let_rest(decided)
            if plan.released is not None:
                applier.canceller.intend_approved(plan)
                self._ledger.people.spend_approval(plan.released)
            self._spend_what_was_not_needed(approved - {plan.released}, matter)
            try:
                applier.apply(plan, self._left)
            except (ApiUnusable, ReservationError):
                self._look_once_more(settler)
                raise
            self._look_once_more(settler)
        return decided

    def _without_what_is_booked(self, decided: _Decided, applier: Applier, *, compared: bool) -> _Decided:
        """A plan that creates nothing that the API has, and nothing of which that has to be proven first.

        A state that was put back whole, from a backup or with its machine, looks like the latest one; so a
        process looks before its first creates.
        While there are strays, one may be of a meeting that a source shows again after it could not be read.
        """
        unproven = is_unproven(self._ledger)
        if not any(isinstance(c, Create) for c in decided.plan.writes):
            return decided
        if not compared and count_leftovers(self._ledger.facts)[0]:
            self._inspect(decided.matter.wish, applier)
            decided = self._decide(decided.matter)
        elif self._compared and not unproven:
            return decided
        wanted = [c.meeting for c in decided.plan.writes if isinstance(c, Create)]
        if not wanted or (self._compared and not unproven):
            return decided
        found, hidden = self._drift_check(applier).look_for(wanted, self._clock())
        self._compared = True
        if found:
            decided = self._decide(decided.matter)
        return (
            replace(decided, plan=decided.plan.put_off(hidden, Reason.UNPROVEN, _UNPROVEN))
            if unproven
            else decided
        )

    def _inspect(self, wish: Desired, applier: Applier) -> None:
        self._compared = True
        now = self._clock()
        meetings = wish.meetings(Window.ahead(now, self._settings.horizon).reach)
        self._drift_check(applier).inspect(meetings, now)

    def _drift_check(self, applier: Applier) -> DriftCheck:
        return DriftCheck(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            records=applier.records,
            canceller=applier.canceller,
        )

    def _idle(self, matter: _Matter, now: datetime) -> _Decided | None:
        """What a cycle decides for which nothing is due; None if it comes out that everything is."""
        grounds = self._groundwork.idle(now)
        if not self._agenda.check(grounds.policy.advance, now):
            return None
        resting = Resting(self._ledger.bookings.totals(now, matter.ready))
        decided = self._plan(matter.said.readings, grounds, now, resting)
        if self._settings.mode is not Mode.OBSERVE:
            self._record_silently(decided)
            self._spend_what_was_not_needed(self._ledger.people.approved(), matter)
        return _Decided(matter, grounds, resting, decided)

    def _spend_what_was_not_needed(self, approved: Collection[str], matter: _Matter) -> None:
        """A word that a whole cycle did not need was for a set that is no longer held."""
        if len(matter.said.readings) == len(self._intake.sources):
            for unused in approved:
                self._ledger.people.spend_approval(unused)

    def _decide(self, matter: _Matter) -> _Decided:
        """The plan of what is due; what became due meanwhile comes to it."""
        now = self._clock()
        matter = self._matter(now, matter)
        grounds = self._grounds(matter, now)
        if not self._agenda.check(grounds.policy.advance, now):  # it was asked anew, and is another
            matter = self._matter(now, matter)
            grounds = self._grounds(matter, now)
        holders = self._ledger.bookings.holders({b.blocked_by for b in grounds.bookings if b.blocked_by})
        resting = Resting(self._ledger.bookings.totals(now, matter.ready), holders)
        decided = self._plan(matter.said.readings, grounds, now, resting)
        return _Decided(matter, grounds, resting, decided)

    def _grounds(self, matter: _Matter, now: datetime) -> PlanInputs:
        bookings = self._ledger.bookings.ready(now) if matter.ready else ()
        return self._groundwork.grounds(matter.wish, bookings, now, remember=True)

    def _let_rest(self, decided: _Decided) -> None:
        matter, bookings = decided.matter, decided.grounds.bookings
        self._agenda.rest(matter.ready, matter.said, decided.plan, bookings, self._clock())

    def _forget_what_is_long_over(self, now: datetime) -> None:
        """Once a day; the ledger of a service that runs for years must not grow for years."""
        if not self._clock_check.is_judged:
            return
        today = now.date()
        if self._ledger.facts.get(PRUNED_ON) != today:
            self._ledger.prune(now - self._settings.retention)
            self._ledger.facts.set(PRUNED_ON, today)

    def _look_once_more(self, settler: Settler) -> None:
        """Most lost answers are settled by one look at the end of the cycle that lost them."""
        try:
            settler.look()
        except (ApiUnusable, ReservationError) as error:
            log.warning("not settled", error=str(error))

    def _record_silently(self, decided: Plan) -> None:
        """What the plan changes in the ledger alone."""
        now = self._clock()
        held = Held(decided.held_checksum, len(decided.held))
        if self._ledger.facts.get(HELD) != held:
            self._ledger.facts.set(HELD, held)
            _log_held(decided)
        # First what is over: its meeting may go on in another record, and a key has one that is current.
        if decided.closed:
            self._ledger.bookings.record(*decided.closed, at=now, what="closed")
        over = {b.row for b in decided.closed}
        known = [b for b in decided.amended if b.row and b.row not in over]
        wishes = [b for b in decided.amended if not b.row]
        if known:
            self._ledger.bookings.amend(*known)
        if wishes:
            self._ledger.bookings.record(*wishes, at=now, what="noted")

    # Sources

    def _read_anew(
        self,
        only: Collection[str] | None,
        bookings: Iterable[Booking],
        now: datetime,
        asked: str | None = None,
    ) -> _Anew:
        """Read the sources as a cycle would that knows nothing of them yet, and keep nothing of it.

        Every UID is ready, those of the `bookings` too; of the one `asked` for, what is over is read as well.
        """
        overlay = Overlay(self._ledger, () if asked is None else [asked])
        intake = self._intake_over(ledger=overlay, elsewhere=None, others_wait=lambda: False)
        intake.forget(now)
        intake.update(only, now)
        ready = overlay.worklist.ready(now) | {booking.key.uid for booking in bookings}
        readings = intake.readings_of(ready, now).readings
        return _Anew(readings, {} if asked is None else intake.excerpts(asked, now))

    def _report(self, reading: Reading) -> SourceReport:
        if not reading.readable:
            state = "unreadable"
        elif reading.complete and reading.digest == (
            self._digests.get(reading.source) or self._ledger.sources.digest_of(reading.source)
        ):
            state = "unchanged"
        else:
            state = "read"
        notes = tuple(note.detail for note in reading.notes)
        notes += tuple(missing_told(file) for file in self._awaited(reading))
        later = len(reading.postponed)
        if later:
            notes += (f"{later} events take long to understand; they are read in the next cycles.",)
        return SourceReport(reading.source, state, reading.events, reading.error, notes, later)

    def _awaited(self, reading: Reading) -> list[str]:
        """Return the files that are gone for less than `safety.file_grace`."""
        return [file.document for file in reading.missing if file.is_awaited(self._settings.file_grace)]

    def _remember_missing(self, readings: Iterable[Reading]) -> None:
        """Keep in mind, for `status` and the log, which files of directories are gone for a moment."""
        if self._missing is None:
            self._missing = self._ledger.facts.get(MISSING_FILES) or {}
        known = dict(self._missing)
        for reading in readings:
            known.pop(reading.source, None)
            awaited = self._awaited(reading)
            if awaited:
                known[reading.source] = awaited
        if known == self._missing:
            return
        for source in known.keys() - self._missing.keys():
            log.warning(
                "files missing",
                source=source,
                reason=Reason.FILE_MISSING.value,
                files=len(known[source]),
                detail=MEANINGS[Reason.FILE_MISSING],
            )
        self._missing = known
        self._ledger.facts.set(MISSING_FILES, known)

    def _remember_reading(self, reading: Reading, report: SourceReport) -> None:
        self._ledger.sources.record_reading(
            reading.source,
            at=reading.at,
            state=report.state,
            complete=reading.complete,
            events=reading.events,
            digest=reading.digest,
            error=reading.error,
            defects=reading.defects,
        )
        if reading.readable:
            self._defects[reading.source] = frozenset(reading.defects)
        if reading.complete:
            self._digests[reading.source] = reading.digest
        log.info(
            "source",
            source=reading.source,
            state=report.state,
            events=reading.events,
            occurrences=len(reading.occurrences),
            quarantined=len(reading.defects),
            error=_ADDRESS.sub("…", reading.error) if reading.error else None,
        )

    def _remember_defects(self, reading: Reading) -> None:
        """Store what is quarantined of a source whose events were understood after it was looked at."""
        defects = frozenset(reading.defects)
        if reading.readable and self._defects.get(reading.source) != defects:
            self._ledger.sources.record_defects(reading.source, reading.defects, at=self._clock())
            self._defects[reading.source] = defects

    # Deciding

    def _plan(
        self,
        readings: Mapping[str, Reading],
        grounds: PlanInputs,
        now: datetime,
        resting: Resting | None = None,
    ) -> Plan:
        decided = planned(
            grounds.wish.witnessed,
            grounds.wish.mapped,
            readings,
            grounds.bookings,
            grounds.policy,
            now,
            resting,
        )
        keys = {change.meeting.key for change in decided.writes if isinstance(change, Create)}
        if keys:
            decided = decided.numbered(self._ledger.bookings.next_generations(keys))
        log.info("plan", checksum=decided.checksum, writes=len(decided.writes), unchanged=decided.unchanged)
        return decided

    def _next_due(self, open_ones: Sequence[Booking]) -> datetime:
        """When a cycle has something to do although no source says anything new."""
        now, settings = self._clock(), self._settings
        moments = [last_compared(self._ledger, now) + settings.drift_check]
        moments += [now + left for left in self._intake.awaited().values()]
        moments += [b.retry_at for b in open_ones if b.retry_at is not None and not b.in_doubt]
        if any(b.in_doubt or b.is_tried_again for b in open_ones):
            self._looks += 1
            moments.append(now + min(_FIRST_LOOK * 2 ** min(self._looks, 10), _LAST_LOOK))
        else:
            self._looks = 0
        turn = self._ledger.worklist.next_ready(now)
        if turn is not None:
            moments.append(turn)
        return max(min(moments), now + _FIRST_LOOK)

    def refresh_after(self, name: str) -> timedelta | None:
        """How long the calendars of a source ask to be left alone; None if they do not say."""
        return self._intake.refresh_after(name)

    # Telling

    def _summarise(
        self,
        *,
        decided: _Decided | None,
        applier: Applier,
        quarantined: int,
        reports: tuple[SourceReport, ...],
        calls: Mapping[str, int],
        seconds: float,
        error: str | None,
        clock_wrong: bool,
    ) -> CycleReport:
        nothing_open = decided is not None and not decided.matter.ready and not decided.plan.writes
        open_ones = () if nothing_open else self._ledger.bookings.unsettled(self._clock())
        goes_on = applier.left or any(report.postponed for report in reports)
        self.due_at = self._clock() if goes_on else self._next_due(open_ones)
        plan = decided.plan if decided else None
        skips = [c for c in plan.changes if isinstance(c, Skip)] if plan else []
        still = decided.resting.totals.skipped if decided else 0
        counts = {
            "created": applier.records.counts["created"],
            "updated": applier.records.counts["updated"],
            "cancelled": applier.records.counts["cancelled"],
            "unchanged": plan.unchanged if plan else 0,
            "adopted": applier.records.counts["adopted"],
            "held": len(plan.held) if plan else 0,
            "refused": sum(is_refused(b) for b in open_ones),
            "in_doubt": sum(b.in_doubt for b in open_ones),
            "vanished": sum(b.is_vanished for b in open_ones),
            "quarantined": quarantined,
            "waiting": self._ledger.bookings.waiting(),
            "skipped": sum(not s.needs_person for s in skips) + still,
        }
        report = CycleReport(
            plan=plan,
            counts=counts,
            sources=reports,
            calls={method: calls.get(method, 0) for method in ("GET", "POST", "PUT")},
            seconds=round(seconds, 3),
            error=error,
            interrupted=self._stopping(),
            left=len(applier.left),
            oddities=all_oddities(self._ledger.facts, open_ones),
            clock=self._clock_check.sentence or None,
            clock_wrong=clock_wrong,
        )
        log.info(
            "cycle",
            outcome=report.outcome,
            seconds=report.seconds,
            rekeyed=plan.rekeyed if plan else 0,
            left=report.left,
            **counts,
            **{f"calls_{method.lower()}": n for method, n in report.calls.items()},
        )
        return report
