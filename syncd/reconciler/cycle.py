"""The cycle itself, and the same without writing.

`preview` reads and plans; `cycle` also settles, records and writes.
Both ask the same questions in the same order, so that what `plan` announces is what `once` does.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

import structlog

from syncd.core.changes import Mode, Plan, Skip
from syncd.core.occurrence import Reading, Window
from syncd.core.plan import plan
from syncd.core.reservation import BookingState
from syncd.errors import ApiUnusable, ReservationError, SourceError
from syncd.ics import Account, Document, account_of, read
from syncd.reconciler.apply import Applier
from syncd.reconciler.grounds import Grounds, Groundwork, Wish
from syncd.reconciler.inspect import adoptable, inspect, is_due, listed
from syncd.reconciler.outcome import (
    Adoption,
    CycleReport,
    Examination,
    Preview,
    SourceReport,
    is_refused,
    noted,
)
from syncd.reconciler.ports import Api, CalendarSource, Ledger, Progress, Settings
from syncd.reconciler.settle import Settler

log = structlog.get_logger(__name__)


class Reconciler:
    """Keeps reservations in step with calendars; one cycle at a time.

    `clock` gives the present as an aware datetime; `stopping` tells whether to end soon.
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
    ) -> None:
        self._sources = tuple(sources)
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._stopping = stopping
        self._progress = progress
        self._groundwork = Groundwork(sources=self._sources, api=api, ledger=ledger, settings=settings)

    def preview(self, only: Collection[str] = ()) -> Preview:
        """What a cycle would do now; writes nothing, neither here nor there. Raises `ApiUnusable`."""
        now = self._clock()
        readings = self._read(only, now)
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
        for source, documents, reading in self._read_each((), now):
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

    def adoption(self, *, apply: bool) -> Adoption:
        """Which reservations with our mark the ledger does not know; with `apply` it takes them over.

        Nothing is written to the API. Raises `ApiUnusable`.
        """
        now = self._clock()
        readings = self._read((), now)
        wish = self._groundwork.wish(readings, now, remember=apply)
        meetings = wish.meetings(Window.ahead(now, self._settings.horizon).reach)
        bookings = self._ledger.current()
        reservations = listed(self._api, bookings, meetings, now)
        found = adoptable(reservations, bookings, meetings, self._settings, now)
        if apply:
            self._ledger.record(*found.adopted, at=now, what="adopted", detail="found by its mark")
            for key, generation in found.generations.items():
                self._ledger.raise_generation(key, generation)
            self._ledger.mark_adopted(now)
        reports = (self._report(reading) for reading in readings.values())
        unreadable = tuple(report for report in reports if report.error)
        return Adoption(found.adopted, found.strays, len(found.duplicates), unreadable)

    def cycle(self, only: Collection[str] = (), *, force: bool = False) -> CycleReport:
        """One whole cycle; an API that cannot be used is an outcome, not an exception.

        `force` forgets what is known of the API's rules and looks at every reservation again.
        """
        if force:
            self._ledger.set_fact("max_day", "")
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
        readings = self._read(only, now)
        reports = tuple(self._report(reading) for reading in readings.values())
        for reading, report in zip(readings.values(), reports, strict=True):
            self._remember_reading(reading, report)
        decided: Plan | None = None
        error: str | None = None
        try:
            decided = self._settle_and_write(readings, applier, force=force)
            self._forget_what_is_long_over(now)
        except ApiUnusable as unusable:
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
        compare = force or is_due(self._ledger, now, self._settings.drift_check)
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
            decided = self._decide(readings, wish)
            self._record_silently(decided)
            if decided.released is not None:
                self._ledger.spend_approval(decided.released)
            try:
                applier.apply(decided)
            finally:
                self._look_once_more(settler)
        return decided

    def _inspect(self, wish: Wish, applier: Applier) -> None:
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
        except ApiUnusable as error:
            log.warning("not settled", error=str(error))

    def _record_silently(self, decided: Plan) -> None:
        """What the plan changes in the ledger alone."""
        now = self._clock()
        held = f"{decided.held_checksum or ''} {len(decided.held)}"
        if self._ledger.get_fact("held") != held:
            self._ledger.set_fact("held", held)
        known = [b for b in decided.amended if b.row]
        wishes = [b for b in decided.amended if not b.row]
        if known:
            self._ledger.amend(*known)
        if wishes:
            self._ledger.record(*wishes, at=now, what="noted")
        if decided.closed:
            self._ledger.record(*decided.closed, at=now, what="closed")

    # Reading

    def _read(self, only: Collection[str], now: datetime) -> dict[str, Reading]:
        """Readings by source in the order of the configuration; unreadable is never empty."""
        return {source.name: reading for source, _, reading in self._read_each(only, now)}

    def _read_each(
        self, only: Collection[str], now: datetime
    ) -> Iterator[tuple[CalendarSource, Sequence[Document], Reading]]:
        """Each source with its documents, held no longer than until the next one, and their reading."""
        window = Window.ahead(now, self._settings.horizon)
        for source in self._sources:
            if only and source.name not in only:
                continue
            try:
                fetched = source.fetch()
            except SourceError as error:
                yield source, (), Reading.unreadable(source.name, now, window, str(error))
                continue
            reading = read(
                fetched.documents,
                source=source.name,
                scope=source.scope,
                locale=source.locale,
                window=window,
                at=now,
                problems=fetched.problems,
            )
            yield source, fetched.documents, reading

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
        )

    # Deciding

    def _plan(self, readings: Mapping[str, Reading], grounds: Grounds, now: datetime) -> Plan:
        decided = plan(
            grounds.wish.witnessed, grounds.wish.mapped, readings, grounds.bookings, grounds.policy, now
        ).numbered(self._ledger.next_generation)
        log.info("plan", checksum=decided.checksum, writes=len(decided.writes), unchanged=decided.unchanged)
        return decided

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
