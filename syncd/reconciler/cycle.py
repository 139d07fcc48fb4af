"""The cycle itself, and the same without writing.

`preview` reads and plans; `cycle` also settles, records and writes.
Both ask the same questions in the same order, so that what `plan` announces is what `once` does.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from syncd.core.changes import Create, Mode, Plan, Skip
from syncd.core.occurrence import Reading, Window
from syncd.core.plan import plan
from syncd.core.reasons import Reason
from syncd.core.reservation import Booking, BookingState
from syncd.errors import ApiUnusable, ReservationError
from syncd.ics import Account, account_of
from syncd.reconciler.apply import Applier
from syncd.reconciler.grounds import Grounds, Groundwork, Wish
from syncd.reconciler.inspect import inspect, is_due, last_compared, leftovers, look_for, remember
from syncd.reconciler.intake import Intake, Prepare
from syncd.reconciler.outcome import (
    Adoption,
    CycleReport,
    Examination,
    Preview,
    SourceReport,
    is_refused,
    noted,
)
from syncd.reconciler.ports import Api, CalendarSource, Facts, Ledger, Progress, Settings
from syncd.reconciler.settle import Settler

log = structlog.get_logger(__name__)

_ADDRESS = re.compile(r"\S+@\S+")  # files may be called so

_FIRST_LOOK, _LAST_LOOK = timedelta(seconds=2), timedelta(minutes=1)  # at what is in doubt

_HELD = "held"  # the fact that says what the last cycle held: checksum, blank, number


def last_held(ledger: Facts) -> tuple[str | None, int]:
    """Checksum and number of the cancellations that the last cycle held."""
    checksum, _, count = (ledger.get_fact(_HELD) or " 0").partition(" ")
    return checksum or None, int(count)


class Reconciler:
    """Keeps reservations in step with calendars; one cycle at a time.

    `clock` gives the present as an aware datetime; `stopping` tells whether to end soon.
    `prepare` is told which sources are about to be read.
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
        progress: Progress,
        prepare: Prepare = lambda _names, _force: None,
    ) -> None:
        self._intake = Intake(sources, horizon=settings.horizon, prepare=prepare)
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._stopping = stopping
        self._progress = progress
        self._looks = 0  # at what is in doubt, in a row
        self._latest: datetime | None = None  # the latest present that a cycle saw
        self.due_at: datetime | None = None  # when a cycle is due although no source is; after each cycle
        self._compared = False  # the ledger with the API, by this process
        self._groundwork = Groundwork(sources=self._intake.sources, api=api, ledger=ledger, settings=settings)

    def preview(self, only: Collection[str] | None = None) -> Preview:
        """What a cycle would do now; writes nothing, neither here nor there. Raises `ApiUnusable`."""
        now = self._clock()
        readings = self._looked_at(only, now)
        wish = self._groundwork.wish(readings, now, remember=False)
        decided = self._plan(readings, self._groundwork.grounds(wish, now, remember=False), now)
        return Preview(decided, noted((self._report(r) for r in readings.values()), decided))

    def examine(self, uid: str) -> Examination:
        """What a cycle would do now and why, with an account of one UID; writes nothing, like `preview`.

        Everything is read and planned, since budget, held sets and keys that move depend on all meetings;
        a plan of one UID alone would be another plan.
        An API that cannot be used is told in the outcome.
        """
        now = self._clock()
        readings: dict[str, Reading] = {}
        accounts: dict[str, Account] = {}
        for source, documents, reading in self._intake.look(None, now):
            readings[source.name] = reading
            if uid in reading.presence:
                accounts[source.name] = account_of(
                    uid,
                    documents,
                    source=source.name,
                    scope=source.scope,
                    locale=source.locale,
                    window=reading.window,
                )
        unasked = None
        try:
            wish = self._groundwork.wish(readings, now, remember=False)
            grounds = self._groundwork.grounds(wish, now, remember=False)
        except (ApiUnusable, ReservationError) as error:
            unasked = str(error)
            wish = self._groundwork.wish(readings, now, remember=False, ask=False)
            grounds = self._groundwork.grounds(wish, now, remember=False, ask=False)
        return Examination(now, readings, grounds, self._plan(readings, grounds, now), accounts, unasked)

    def held_now(self, checksum: str) -> tuple[str | None, int]:
        """The checksum and number of the cancellations that are held now.

        What the last cycle held is looked at first; else the plan of this moment, as `preview` shows it, or
        without the API if that cannot be used.
        """
        known = last_held(self._ledger)
        if known[0] == checksum:
            return known
        try:
            decided = self.preview().plan
        except (ApiUnusable, ReservationError):
            return known
        return decided.held_checksum, len(decided.held)

    def adoption(self, *, apply: bool) -> Adoption:
        """Which reservations with our mark the ledger does not know; with `apply` it takes them over.

        Nothing is written to the API. Raises `ApiUnusable`.
        """
        now = self._clock()
        readings = self._looked_at(None, now)
        wish = self._groundwork.wish(readings, now, remember=apply)
        found = self._groundwork.recognised(wish, self._ledger.current(), now)
        if apply:
            remember(found.adopted, found, self._ledger, now)
            self._ledger.mark_adopted(now)
        reports = (self._report(reading) for reading in readings.values())
        unreadable = tuple(report for report in reports if report.error)
        return Adoption(found.adopted, found.strays, len(found.duplicates), unreadable)

    def cycle(self, only: Collection[str] | None = None, *, force: bool = False) -> CycleReport:
        """One whole cycle; an API that cannot be used is an outcome, not an exception.

        `only` names the sources to read (None: all); of the others what they said last counts, if they were
        read before.
        `force` forgets what is known of the API's rules, asks feeds anew and looks at every reservation.
        """
        if force:
            self._groundwork.forget_rules()
        began, now = time.monotonic(), self._clock()
        calls_before = Counter(self._api.calls)
        applier = Applier(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            clock=self._clock,
            stopping=self._stopping,
            progress=self._progress,
        )
        fresh = self._intake.read(only, now, force=force)
        reports = tuple(self._report(reading) for reading in fresh.values())
        for reading, report in zip(fresh.values(), reports, strict=True):
            self._remember_reading(reading, report)
        readings = self._intake.completed(fresh)
        decided: Plan | None = None
        error: str | None = None
        try:
            decided = self._settle_and_write(readings, applier, force=force)
            self._forget_what_is_long_over(now)
        except (ApiUnusable, ReservationError) as unusable:  # the latter of a question, not of a change
            error = str(unusable)
        return self._summarise(
            decided=decided,
            applier=applier,
            readings=readings,
            reports=noted(reports, decided),
            calls=Counter(self._api.calls) - calls_before,
            seconds=time.monotonic() - began,
            error=error,
        )

    def _settle_and_write(self, readings: Mapping[str, Reading], applier: Applier, *, force: bool) -> Plan:
        now = self._clock()
        wish = self._groundwork.wish(readings, now, remember=True)
        # A clock that ran ahead may have taken meetings for over that are still to come.
        set_back = self._latest is not None and now < self._latest
        self._latest = now
        compare = force or set_back or is_due(self._ledger, now, self._settings.drift_check)
        if self._settings.mode is Mode.OBSERVE:
            if compare:
                self._inspect(wish, applier)
            return self._decide(readings, wish)
        settler = Settler(
            api=self._api, ledger=self._ledger, settings=self._settings, applier=applier, clock=self._clock
        )
        with self._api.armed():
            settler.settle()
            if compare:
                self._inspect(wish, applier)
            approved = self._ledger.approved()
            decided = self._decide(readings, wish)
            if not compare and self._finds_booked(decided, wish, applier):
                decided = self._decide(readings, wish)
            self._record_silently(decided)
            if decided.released is not None:
                applier.intend_approved(decided)
                self._ledger.spend_approval(decided.released)
            if len(readings) == len(self._intake.sources):
                # A word that this cycle did not need was for a set that is no longer held.
                for unused in approved - {decided.released}:
                    self._ledger.spend_approval(unused)
            try:
                applier.apply(decided)
            finally:
                self._look_once_more(settler)
        return decided

    def _finds_booked(self, decided: Plan, wish: Wish, applier: Applier) -> bool:
        """Whether the API may have what is about to be created, and the ledger has what there is now.

        A state that was put back whole, from a backup or with its machine, looks like the latest one; so a
        process looks before its first creates.
        While there are strays, one may be of a meeting that a source shows again after it could not be read.
        """
        wanted = [c.meeting for c in decided.writes if isinstance(c, Create)]
        if not wanted:
            return False
        if leftovers(self._ledger)[0]:
            self._inspect(wish, applier)
            return True
        if self._compared:
            return False
        self._compared = True
        return look_for(
            wanted,
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            applier=applier,
            now=self._clock(),
        )

    def _inspect(self, wish: Wish, applier: Applier) -> None:
        self._compared = True
        inspect(
            api=self._api,
            ledger=self._ledger,
            settings=self._settings,
            applier=applier,
            clock=self._clock,
            meetings=wish.meetings(Window.ahead(self._clock(), self._settings.horizon).reach),
        )

    def _decide(self, readings: Mapping[str, Reading], wish: Wish) -> Plan:
        now = self._clock()
        return self._plan(readings, self._groundwork.grounds(wish, now, remember=True), now)

    def _forget_what_is_long_over(self, now: datetime) -> None:
        """Once a day; the ledger of a service that runs for years must not grow for years."""
        today = f"{now:%Y-%m-%d}"
        if self._ledger.get_fact("pruned") != today:
            self._ledger.prune(now - self._settings.retention)
            self._ledger.set_fact("pruned", today)

    def _look_once_more(self, settler: Settler) -> None:
        """Most lost answers are settled by one look at the end of the cycle that lost them."""
        try:
            settler.settle()
        except (ApiUnusable, ReservationError) as error:
            log.warning("not settled", error=str(error))

    def _record_silently(self, decided: Plan) -> None:
        """What the plan changes in the ledger alone."""
        now = self._clock()
        held = f"{decided.held_checksum or ''} {len(decided.held)}"
        if self._ledger.get_fact(_HELD) != held:
            self._ledger.set_fact(_HELD, held)
        known = [b for b in decided.amended if b.row]
        wishes = [b for b in decided.amended if not b.row]
        if known:
            self._ledger.amend(*known)
        if wishes:
            self._ledger.record(*wishes, at=now, what="noted")
        if decided.closed:
            self._ledger.record(*decided.closed, at=now, what="closed")

    # Sources

    def _looked_at(self, only: Collection[str] | None, now: datetime) -> dict[str, Reading]:
        """Readings of which nothing is kept."""
        return {source.name: reading for source, _, reading in self._intake.look(only, now)}

    def _report(self, reading: Reading) -> SourceReport:
        if not reading.readable:
            state = "unreadable"
        elif reading.complete and self._ledger.digest_of(reading.source) == reading.digest:
            state = "unchanged"
        else:
            state = "read"
        notes = tuple(note.detail for note in reading.notes)
        return SourceReport(reading.source, state, reading.events, reading.error, notes)

    def _remember_reading(self, reading: Reading, report: SourceReport) -> None:
        self._ledger.record_reading(
            reading.source,
            at=reading.at,
            state=report.state,
            complete=reading.complete,
            events=reading.events,
            digest=reading.digest,
            error=reading.error,
            defects=reading.defects,
        )
        log.info(
            "source",
            source=reading.source,
            state=report.state,
            events=reading.events,
            occurrences=len(reading.occurrences),
            quarantined=len(reading.defects),
            error=_ADDRESS.sub("…", reading.error) if reading.error else None,
        )

    # Deciding

    def _plan(self, readings: Mapping[str, Reading], grounds: Grounds, now: datetime) -> Plan:
        decided = plan(
            grounds.wish.witnessed, grounds.wish.mapped, readings, grounds.bookings, grounds.policy, now
        ).numbered(self._ledger.next_generation)
        log.info("plan", checksum=decided.checksum, writes=len(decided.writes), unchanged=decided.unchanged)
        return decided

    def _next_due(self, current: Sequence[Booking]) -> datetime:
        """When a cycle has something to do although no source says anything new."""
        now, settings = self._clock(), self._settings
        moments = [last_compared(self._ledger, now) + settings.drift_check]
        moments += [b.retry_at for b in current if b.retry_at is not None and not b.in_doubt]
        if any(b.in_doubt for b in current):
            self._looks += 1
            moments.append(now + min(_FIRST_LOOK * 2 ** min(self._looks, 10), _LAST_LOOK))
        else:
            self._looks = 0
        advance = self._groundwork.known_advance()
        if advance is not None:
            moments += [b.spec.start - advance for b in current if b.reason is Reason.TOO_EARLY]
        return max(min(moments), now + _FIRST_LOOK)

    def refresh_after(self, name: str) -> timedelta | None:
        """How long the calendars of a source ask to be left alone; None if they do not say."""
        return self._intake.refresh_after(name)

    # Telling

    def _summarise(
        self,
        *,
        decided: Plan | None,
        applier: Applier,
        readings: Mapping[str, Reading],
        reports: tuple[SourceReport, ...],
        calls: Mapping[str, int],
        seconds: float,
        error: str | None,
    ) -> CycleReport:
        current = self._ledger.current()
        self.due_at = self._next_due(current)
        skips = [c for c in decided.changes if isinstance(c, Skip)] if decided else []
        quarantined = {(d.document, d.uid, d.line) for r in readings.values() for d in r.defects}
        counts = {
            "created": applier.count["created"],
            "updated": applier.count["updated"],
            "cancelled": applier.count["cancelled"],
            "unchanged": decided.unchanged if decided else 0,
            "adopted": applier.count["adopted"],
            "held": len(decided.held) if decided else 0,
            "refused": sum(is_refused(b) for b in current),
            "in_doubt": sum(b.in_doubt for b in current),
            "quarantined": len(quarantined),
            "waiting": sum(b.state is BookingState.WAITING for b in current),
            "skipped": sum(not s.needs_person for s in skips),
        }
        report = CycleReport(
            plan=decided,
            counts=counts,
            sources=reports,
            calls={method: calls.get(method, 0) for method in ("GET", "POST", "PUT")},
            seconds=round(seconds, 3),
            error=error,
            interrupted=self._stopping(),
        )
        log.info(
            "cycle",
            outcome=report.outcome,
            seconds=report.seconds,
            rekeyed=decided.rekeyed if decided else 0,
            **counts,
            **{f"calls_{method.lower()}": n for method, n in report.calls.items()},
        )
        return report
