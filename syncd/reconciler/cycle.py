"""The cycle itself, and the same without writing.

`preview` reads and plans; `cycle` also settles, records and writes.
Both ask the same questions in the same order, so that what `plan` announces is what `once` does.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from syncd.core.adopt import adopt
from syncd.core.changes import Meeting, Mode, Plan, Skip, Wait
from syncd.core.evidence import Safety
from syncd.core.mapper import Mapped, Mapper, Wanted
from syncd.core.occurrence import OccurrenceKey, Reading, Window
from syncd.core.plan import Policy, plan
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import HOLDING_STATES, Booking, BookingState
from syncd.core.witness import Witnessed, merge
from syncd.errors import ApiUnusable, SourceError
from syncd.ics import read
from syncd.reconciler.apply import MARGIN, Applier
from syncd.reconciler.inspect import inspect
from syncd.reconciler.ports import Api, CalendarSource, Ledger, Progress, Settings
from syncd.reconciler.settle import settle

log = structlog.get_logger(__name__)

_RULES_KEPT = timedelta(hours=12)  # how long the tenant's booking rules are believed
_NOBODY_KEPT = timedelta(hours=24)  # how long "no such user" is believed

_REFUSED_REASONS = {Reason.REFUSED, Reason.ROOM_CONFLICT}


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one source in a cycle, as `once --json` names it; `notes` are sentences for people."""

    name: str
    state: str
    events: int
    error: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan with what it rests on."""

    plan: Plan
    sources: tuple[SourceReport, ...]
    error: str | None = None

    @property
    def needs_person(self) -> bool:
        """Whether something in it is a matter for a person."""
        return (
            self.error is not None
            or bool(self.plan.held)
            or any(source.error for source in self.sources)
            or any(_concerns_a_person(change) for change in self.plan.changes)
        )


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What a cycle did; `counts` has the names of `once --json`."""

    plan: Plan | None
    counts: Mapping[str, int]
    sources: tuple[SourceReport, ...]
    calls: Mapping[str, int]
    seconds: float
    error: str | None = None
    interrupted: bool = False

    @property
    def outcome(self) -> str:
        """`ok`, `attention` (a person has to look) or `failed` (the API cannot be used)."""
        if self.error is not None:
            return "failed"
        concerns = ("held", "refused", "in_doubt", "quarantined")
        if any(self.counts[name] for name in concerns) or any(s.error for s in self.sources):
            return "attention"
        return "ok"


def _concerns_a_person(change: object) -> bool:
    match change:
        case Skip(needs_person=needed):
            return needed
        case Wait(reason=reason):
            return reason is Reason.ROOM_CONFLICT
        case _:
            return getattr(change, "reason", None) is Reason.IN_DOUBT


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

    def preview(self, only: Collection[str] = ()) -> Preview:
        """What a cycle would do now; writes nothing, neither here nor there. Raises `ApiUnusable`."""
        now = self._clock()
        readings = self._read(only, now)
        decided = self._decide(readings, now, remember=False)
        return Preview(decided, _noted((self._report(r) for r in readings.values()), decided))

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
            reports=_noted(reports, decided),
            calls=Counter(self._api.calls) - calls_before,
            seconds=time.monotonic() - began,
            error=error,
        )

    def _settle_and_write(self, readings: Mapping[str, Reading], applier: Applier, *, force: bool) -> Plan:
        if self._settings.mode is Mode.OBSERVE:
            return self._decide(readings, self._clock(), remember=True)
        with self._api.armed():
            self._settle(applier)
            inspect(
                api=self._api,
                ledger=self._ledger,
                applier=applier,
                clock=self._clock,
                every=self._settings.drift_check,
                force=force,
            )
            decided = self._decide(readings, self._clock(), remember=True)
            self._record_silently(decided)
            if decided.released is not None:
                self._ledger.spend_approval(decided.released)
            try:
                applier.apply(decided)
            finally:
                self._look_once_more(applier)
        return decided

    def _settle(self, applier: Applier) -> None:
        settle(
            api=self._api, ledger=self._ledger, settings=self._settings, applier=applier, clock=self._clock
        )

    def _forget_what_is_long_over(self, now: datetime) -> None:
        """Once a day; the ledger of a service that runs for years must not grow for years."""
        today = f"{now:%Y-%m-%d}"
        if self._ledger.get_fact("pruned") != today:
            self._ledger.prune(now - self._settings.retention)
            self._ledger.set_fact("pruned", today)

    def _look_once_more(self, applier: Applier) -> None:
        """Most lost answers are settled by one look at the end of the cycle that lost them."""
        try:
            self._settle(applier)
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
        window = Window.ahead(now, self._settings.horizon)
        readings: dict[str, Reading] = {}
        for source in self._sources:
            if only and source.name not in only:
                continue
            try:
                fetched = source.fetch()
            except SourceError as error:
                readings[source.name] = Reading.unreadable(source.name, now, window, str(error))
                continue
            readings[source.name] = read(
                fetched.documents,
                source=source.name,
                scope=source.scope,
                locale=source.locale,
                window=window,
                at=now,
                problems=fetched.problems,
            )
        return readings

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

    def _decide(self, readings: Mapping[str, Reading], now: datetime, *, remember: bool) -> Plan:
        """The plan for these readings; with `remember`, what was learned on the way is stored."""
        witnessed = merge(readings)
        mapped = self._map(witnessed, now, remember=remember)
        bookings = self._ledger.current()
        if self._ledger.fresh:
            bookings = (*bookings, *self._adopted(witnessed, mapped, now, remember=remember))
        approved = self._ledger.approved()
        policy = Policy(
            mode=self._settings.mode,
            window=Window.ahead(now, self._settings.horizon),
            configured=tuple(source.name for source in self._sources),
            safety=self._safety(now),
            advance=self._advance(now, remember=remember),
            approved=approved,
        )
        decided = plan(witnessed, mapped, readings, bookings, policy, now).numbered(
            self._ledger.next_generation
        )
        log.info("plan", checksum=decided.checksum, writes=len(decided.writes), unchanged=decided.unchanged)
        return decided

    def _map(
        self, witnessed: Sequence[Witnessed], now: datetime, *, remember: bool
    ) -> dict[OccurrenceKey, Mapped]:
        mapper = Mapper(self._settings.mapping)
        if self._settings.lookup:
            mapper = self._with_directory(mapper, witnessed, now, remember=remember)
        return {seen.occurrence.key: mapper.map(seen.occurrence) for seen in witnessed}

    def _with_directory(
        self, mapper: Mapper, witnessed: Sequence[Witnessed], now: datetime, *, remember: bool
    ) -> Mapper:
        """Ask the tenant's directory for addresses that the people file does not know, each once."""
        found: dict[str, str] = {}
        for address in sorted({a for seen in witnessed for a in mapper.addresses(seen.occurrence)}):
            known, user = self._ledger.person(address, not_before=now - _NOBODY_KEPT)
            if not known:
                try:
                    user = self._api.find_user(address)
                except ApiUnusable as error:
                    # The directory is a product of its own: without it people stay unmapped, rooms do not.
                    log.warning("directory", error=str(error))
                    break
                if remember:
                    self._ledger.remember_person(address, user, now)
            if user is not None:
                found[address] = user
        rules = self._settings.mapping
        return Mapper(replace(rules, people={**found, **rules.people}))

    def _adopted(
        self,
        witnessed: Sequence[Witnessed],
        mapped: Mapping[OccurrenceKey, Mapped],
        now: datetime,
        *,
        remember: bool,
    ) -> tuple[Booking, ...]:
        """A ledger without history proves nothing: ask the API what of all this is booked already."""
        meetings = [
            Meeting(seen.occurrence, seen.witnesses, spec)
            for seen in witnessed
            if isinstance(wanted := mapped[seen.occurrence.key], Wanted)
            for spec in wanted.specs
        ]
        window = Window.ahead(now, self._settings.horizon)
        last = max((m.spec.end for m in meetings), default=window.reach)
        reservations = self._api.find(now - MARGIN, min(last, window.reach) + MARGIN)
        adopted = tuple(adopt(reservations, meetings, self._settings.instance))
        if not remember:
            # Rows tell bookings apart while planning; these are never stored.
            return tuple(replace(b, row=-number) for number, b in enumerate(adopted, start=1))
        if adopted:
            adopted = self._ledger.record(*adopted, at=now, what="adopted", detail="found by its mark")
            log.info("adopted", bookings=len(adopted))
        self._ledger.mark_adopted(now)
        return adopted

    def _safety(self, now: datetime) -> Safety:
        settings = self._settings
        recent = self._ledger.cancels_since(now - settings.cancel_window)
        return Safety(
            cancel_share=settings.cancel_share,
            cancel_floor=settings.cancel_floor,
            empty_hold=settings.empty_hold,
            confirmations={source.name: source.confirmations for source in self._sources},
            cancelled_recently=Counter(c.source for c in recent if c.evidence == Evidence.SHOWN),
        )

    def _advance(self, now: datetime, *, remember: bool) -> timedelta | None:
        """How far ahead the tenant lets book; asked rarely, because rules change rarely."""
        days, _, asked = (self._ledger.get_fact("max_day") or "").partition(" ")
        known = days if asked and now - datetime.fromisoformat(asked) < _RULES_KEPT else None
        if known is None:
            max_day = self._api.rules().max_day
            known = "" if max_day is None else str(max_day)
            if remember:
                self._ledger.set_fact("max_day", f"{known} {now.isoformat()}")
        return timedelta(days=int(known)) if known else None

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
            "refused": sum(_refused(b) for b in current),
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


def _noted(reports: Iterable[SourceReport], decided: Plan | None) -> tuple[SourceReport, ...]:
    """The reports with what the plan found out about their sources."""
    said = {renamed.source: (str(renamed),) for renamed in decided.renamed} if decided else {}
    return tuple(replace(report, notes=report.notes + said.get(report.name, ())) for report in reports)


def _refused(booking: Booking) -> bool:
    """Whether a booking, or a change of it, stands refused."""
    if booking.state is BookingState.REFUSED:
        return True
    return booking.state in HOLDING_STATES and booking.reason in _REFUSED_REASONS
