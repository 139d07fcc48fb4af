"""What a cycle would do, without doing it: `plan`, `explain`, `approve` and `adopt`.

The sources are read by the path of a cycle over a ledger of which nothing is changed, with every UID ready,
so that what `plan` announces is what `once` does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from syncd.apply.drift import is_unproven, remember
from syncd.apply.questions import Questions, all_oddities
from syncd.core.booking import CLOSED_STATES, Booking
from syncd.core.by_content import ByContent
from syncd.core.foreseen import foreseen_refusals
from syncd.core.occurrence import Defect, Reading
from syncd.core.reasons import Reason
from syncd.core.settings import Settings
from syncd.core.totals import Resting
from syncd.errors import ApiUnusable, ReservationError
from syncd.intake import Overlay, SourceExcerpt
from syncd.intake.intake import Intake
from syncd.intake.ports import IntakeLedger
from syncd.ledger.facts import HELD, Held
from syncd.reconciler.by_hand import HandMadeReservations, with_adopted
from syncd.reconciler.clock import ClockCheck
from syncd.reconciler.inputs import InputGatherer, PlanInputs
from syncd.reconciler.planning import plan_for
from syncd.reconciler.ports import Ledger
from syncd.reconciler.report import (
    Adoption,
    Calendars,
    Examination,
    Preview,
    SourceReport,
    noted,
)
from syncd.reconciler.source_records import SourceRecords

UNPROVEN = (
    "A list of the API is refused or contradicts itself, and this state does not tell that it is not booked; "
    "it is booked as soon as a list proves it."
)

RECOVERING = (
    "The database of the ledger was put back, so a request that was sent before may be lost to it: this is "
    "booked when none can arrive any more and the API was asked once more."
)


class IntakeOver(Protocol):
    """Builds an intake over a ledger that reads everything in its own thread."""

    def __call__(self, *, ledger: IntakeLedger) -> Intake: ...


@dataclass(frozen=True, slots=True)
class _Anew:
    """What was read without keeping anything: readings, and excerpts of what was asked for, by source."""

    readings: Mapping[str, Reading]
    excerpts: Mapping[str, SourceExcerpt]


@dataclass(frozen=True, slots=True)
class _Recalled:
    """What the ledger knows of some UIDs: readings of all sources, those that speak of them, and excerpts."""

    uids: frozenset[str]
    readings: Mapping[str, Reading]
    speaking: Mapping[str, Reading]
    excerpts: Mapping[str, SourceExcerpt]


class Previewer:
    """Says what a cycle would do now; neither the ledger nor the API is written to, but for `adoption`."""

    def __init__(
        self,
        *,
        intake_over: IntakeOver,
        api: Questions,
        ledger: Ledger,
        clock: Callable[[], datetime],
        clock_check: ClockCheck,
        gatherer: InputGatherer,
        records: SourceRecords,
        settings: Settings,
    ) -> None:
        self._intake_over = intake_over
        self._api = api
        self._ledger = ledger
        self._clock = clock
        self._clock_check = clock_check
        self._gatherer = gatherer
        self._records = records
        self._by_hand = HandMadeReservations(api=api, ledger=ledger, settings=settings)

    def preview(self, only: Collection[str] | None = None) -> Preview:
        """Return the plan of a cycle that reads the sources named `only` (None: all).

        Raises `ApiUnusable`.
        """
        now = self._clock()
        self._api.begin()
        bookings = self._ledger.bookings.current()
        anew = self._read_anew(only, bookings, now)
        readings = anew.readings
        inputs = self._inputs(readings, bookings, now, ask=True)
        decided = plan_for(readings, inputs, self._ledger, now)
        if is_unproven(self._ledger):
            hidden = self._gatherer.unproven
            decided = decided.put_off(hidden, Reason.UNPROVEN, UNPROVEN)
        if self._ledger.bookings.recovery is not None:
            keys = {meeting.key for meeting in decided.to_book}
            decided = decided.put_off(keys, Reason.UNPROVEN, RECOVERING)
        reports = noted(self._reports(readings), decided)
        oddities = self._api.current_oddities()
        return Preview(
            decided,
            reports,
            oddities=oddities,
            acknowledged=self._ledger.people.acknowledged(),
            refusals=foreseen_refusals(decided, bookings),
        )

    def readings(self, only: Collection[str]) -> Mapping[str, Reading]:
        """Return what these sources say now, by name; nothing is kept, and the API is not asked."""
        return self._read_anew(only, (), self._clock()).readings

    def examine(self, uid: str) -> Examination:
        """Return what a cycle would do now and why, with excerpts of one UID.

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
            inputs = self._inputs(readings, bookings, now, ask=True)
        except (ApiUnusable, ReservationError) as error:
            unasked = str(error)
            inputs = self._inputs(readings, bookings, now, ask=False)
        decided = plan_for(readings, inputs, self._ledger, now)
        return Examination(
            now=now,
            readings=readings,
            inputs=inputs,
            plan=decided,
            excerpts=anew.excerpts,
            unasked=unasked,
        )

    def recalled(self) -> Preview:
        """Return the plan of this moment by what the ledger knows of the calendars; nobody is asked anything.

        Where the last cycle read everything it is that of `preview`.
        """
        now = self._clock()
        bookings = self._ledger.bookings.current()
        known = self._recall(None, bookings, now)
        inputs = self._inputs(known.readings, bookings, now, ask=False)
        decided = plan_for(known.readings, inputs, self._ledger, now)
        return Preview(
            decided,
            noted(self._reports(known.readings), decided),
            oddities=all_oddities(self._ledger.facts, bookings),
            acknowledged=self._ledger.people.acknowledged(),
            refusals=foreseen_refusals(decided, bookings),
        )

    def examine_recalled(self, uid: str) -> Examination:
        """Return what the next cycle decides about one UID, by what the ledger knows; nobody is asked anything.

        All that is at rest stands for itself, as in a cycle, so that it costs little.
        """
        now = self._clock()
        ledger = self._ledger
        ready = ledger.bookings.ready(now)
        own = [booking for booking in ledger.bookings.of(uid) if booking not in ready]
        current = [one for one in own if one.state not in CLOSED_STATES]
        bookings = (*ready, *current)
        known = self._recall(uid, bookings, now)
        inputs = self._inputs(known.speaking, bookings, now, ask=False)
        blockers = {one.blocked_by for one in bookings if one.blocked_by}
        totals = ledger.bookings.totals(now, known.uids, bookings, known.readings)
        resting = Resting(totals, known.readings, ledger.bookings.holders(blockers))
        decided = plan_for(known.speaking, inputs, ledger, now, resting)
        return Examination(
            now=now,
            readings=known.readings,
            inputs=inputs,
            plan=decided,
            excerpts=known.excerpts,
            unasked=None,
        )

    def _recall(
        self, uid: str | None, bookings: Iterable[Booking], now: datetime
    ) -> _Recalled:
        """Return what is known of the UIDs that are ready and one more, None: of all, without asking a source."""
        overlay = Overlay(self._ledger, [] if uid is None else [uid])
        intake = self._intake_over(ledger=overlay)
        records = self._ledger.sources.all()
        intake.others.recall(intake.in_order(records), records, now)
        if uid is None:
            uids = overlay.worklist.ready(now)
            uids |= {booking.key.uid for booking in bookings}
        else:
            uids = self._ledger.worklist.ready(now) | {uid}
        said = intake.readings_of(uids, now)
        excerpts: Mapping[str, SourceExcerpt] = {}
        if uid is not None:
            excerpts = intake.excerpts(uid, said.readings)
        return _Recalled(uids, said.readings, said.speaking, excerpts)

    def calendars(self) -> Calendars:
        """Return what the calendars ask for now; nothing is kept, and the API is not asked."""
        now = self._clock()
        readings = self._read_anew(None, (), now).readings
        desired = self._gatherer.desired(readings, now, remember=False, ask=False)
        reports = self._reports(readings)
        defects: list[tuple[str, Defect]] = []
        for name, reading in readings.items():
            defects += [(name, defect) for defect in reading.defects]
        return Calendars(now, desired, tuple(reports), tuple(defects))

    def held_now(self, checksum: str) -> Held:
        """Return the checksum and number of the cancellations that are held now.

        What the last cycle held is looked at first; else the plan of this moment, as `preview` shows it, or
        without the API if that cannot be used.
        """
        known = self._ledger.facts.get(HELD)
        if known is None:
            known = Held()
        if known.checksum == checksum:
            return known
        try:
            decided = self.preview().plan
        except (ApiUnusable, ReservationError):
            return known
        return Held(decided.held_checksum, len(decided.held))

    def adoption(
        self, *, apply: bool, by_content: bool = False, by: str = ""
    ) -> Adoption:
        """Return which reservations of the API the ledger does not know; with `apply` take them over.

        That is those with our mark, and `by_content` those that people made by hand, which `by` decided.
        Nothing is written to the API. Raises `ApiUnusable`, and with `apply` `ClockWrong`.
        """
        if apply:
            self._clock_check.judge(ask=True)
        now = self._clock()
        bookings = self._ledger.bookings.current()
        anew = self._read_anew(None, bookings, now)
        desired = self._gatherer.desired(anew.readings, now, remember=apply)
        found = self._gatherer.recognised(desired, bookings, now)
        hand_made: ByContent | None = None
        taken_over: tuple[Booking, ...] = ()
        if by_content:
            hand_made = self._by_hand.find(
                self._gatherer.listing,
                desired.meetings(self._gatherer.reach(now)),
                with_adopted(bookings, found.adopted),
                now,
                ask=apply,
            )
        if apply:
            remember(found.adopted, found, self._ledger, now)
        if hand_made is not None:
            # Marks are given after those that were found.
            taken_over, _left = self._by_hand.bookings_of(hand_made)
        if apply and hand_made is not None:
            self._by_hand.take_over(hand_made, now, by)
        if apply and not self._api.troubled_lists():
            self._ledger.bookings.mark_adopted(now)
        reports = self._reports(anew.readings)
        unreadable = tuple(report for report in reports if report.error)
        live = {there.reservation_id for there in self._gatherer.listing if there.live}
        known = {booking.reservation_id for booking in bookings}
        return Adoption(
            adopted=found.adopted,
            strays=found.strays,
            duplicates=len(found.duplicates),
            unreadable=unreadable,
            oddities=self._api.current_oddities(),
            taken_over=taken_over,
            hand_made=hand_made,
            listed=len(live),
            known=len(live & known),
        )

    def _inputs(
        self,
        readings: Mapping[str, Reading],
        bookings: tuple[Booking, ...],
        now: datetime,
        *,
        ask: bool,
    ) -> PlanInputs:
        """Return what a plan for these readings rests on; nothing of it is remembered."""
        gatherer = self._gatherer
        desired = gatherer.desired(readings, now, remember=False, ask=ask)
        return gatherer.inputs(desired, bookings, now, remember=False, ask=ask)

    def _reports(self, readings: Mapping[str, Reading]) -> list[SourceReport]:
        return [self._records.report(reading) for reading in readings.values()]

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
        kept_whole = [] if asked is None else [asked]
        overlay = Overlay(self._ledger, kept_whole)
        intake = self._intake_over(ledger=overlay)
        intake.forget(now)
        intake.update(only, now)
        booked = {booking.key.uid for booking in bookings}
        ready = overlay.worklist.ready(now) | booked
        readings = dict(intake.readings_of(ready, now).readings)
        if asked is None:
            return _Anew(readings, {})
        return _Anew(readings, intake.excerpts(asked, readings))
