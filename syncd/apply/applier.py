"""Carries out a plan: each change as a task, and changes that do not conflict side by side.

Every request has its intent in the ledger before it leaves and its answer right after it came.
Changes begin in the order of the plan; one that conflicts with another (the same meeting, or the same room
at one time) waits until that is done, and so does all that comes after it.
A failure of one change is an outcome, not the end of the cycle; only an API that cannot be used ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from syncd.apply.backlog import Backlog, begins_swap
from syncd.apply.cancel import Canceller
from syncd.apply.create import Creator
from syncd.apply.dispatch import Dispatcher
from syncd.apply.modify import Modifier
from syncd.apply.ports import Api, BookingLedger, Progress
from syncd.apply.read_back import look_up
from syncd.apply.records import BookingRecords, log_fields
from syncd.apply.refusals import RefusalInquiry
from syncd.apply.swap import RoomSwap
from syncd.apply.tasks import Task, run_task
from syncd.apply.unread import Unread
from syncd.apply.update import Updater
from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.changes import Cancel, Create, Mode, Plan, Update, Write
from syncd.core.reservation import Reservation, ReservationStatus
from syncd.core.settings import Settings
from syncd.errors import ApiUnusable, OutcomeUnknown, ReservationError
from syncd.ledger.facts import UNREAD_SINCE

log = structlog.get_logger(__name__)


class Applier:
    """The writing of one cycle: its changes in order, and reading back what was written.

    `records` and `canceller` serve those too who settle what is in doubt or compare with the API.
    What is not begun stays in the backlog; `unbegun` counts what was to go first and a stop left out.
    """

    def __init__(
        self,
        *,
        api: Api,
        ledger: BookingLedger,
        settings: Settings,
        clock: Callable[[], datetime],
        stopping: Callable[[], bool],
        gives_way: Callable[[], bool],
        progress: Progress,
        unread: Unread,
    ) -> None:
        self._api = api
        self._bookings = ledger.bookings
        self._settings = settings
        self._stopping = stopping
        self._gives_way = gives_way
        self._progress = progress
        self._unread = unread
        records = BookingRecords(
            api=api, ledger=ledger, settings=settings, unread=unread, clock=clock
        )
        refusals = RefusalInquiry(
            api=api, ledger=ledger, settings=settings, records=records, clock=clock
        )
        modifier = Modifier(api=api, records=records, refusals=refusals)
        self.records = records
        self._swap = RoomSwap(modifier=modifier, records=records)
        self._creator = Creator(
            api=api,
            ledger=ledger,
            settings=settings,
            records=records,
            refusals=refusals,
            clock=clock,
        )
        self._updater = Updater(
            api=api,
            ledger=ledger,
            settings=settings,
            records=records,
            refusals=refusals,
            modifier=modifier,
            swap=self._swap,
        )
        self.canceller = Canceller(
            api=api,
            ledger=ledger,
            settings=settings,
            records=records,
            refusals=refusals,
            clock=clock,
        )
        self._facts = ledger.facts
        self._clock = clock
        if not unread.is_taken_up:
            self._take_up_unread()
        self._dispatcher = Dispatcher(pause_s=api.pause_s, ending=self._ends)
        self._is_reading = False
        self._may_give_way = False
        self._has_given_way = False
        self._done = 0
        self.unbegun = 0

    def apply(self, plan: Plan, backlog: Backlog) -> None:
        """Carry out what waits and the writes of a plan, or as many as are made before a stop or a giving way.

        What was written is read back as far as `Unread` says, and all of it when nothing is left to write.
        Raises `ApiUnusable` when no further call makes sense; what was done until then is recorded.
        """
        first = backlog.take(plan)
        to_write = len(first) + len(backlog)
        if to_write and self._facts.get(UNREAD_SINCE) is None:
            self._facts.set(UNREAD_SINCE, self._clock())
        self._progress.begin(to_write)
        days = self._settings.horizon / timedelta(days=1)
        self._unread.density = (plan.unchanged + to_write + len(self._unread)) / days
        with self._dispatcher as dispatcher:
            try:
                self._begin_all(first, backlog)
                dispatcher.finish()
                if not self._has_given_way:
                    self._begin_reading()
                    dispatcher.finish()
                self._note_if_all_is_read()
            except (ApiUnusable, ReservationError):
                # The latter of a question, not of a change.
                dispatcher.give_up()
                self._unread.call_for_all()
                with suppress(ApiUnusable, ReservationError):
                    run_task(self._read_back(self._unread.take()))
                raise

    def read_back(self) -> None:
        """Read back all that former cycles wrote, or begin to before a stop; raise `ApiUnusable`."""
        self._unread.call_for_all()
        while portion := self._unread.take():
            run_task(self._read_back(portion))
            if self._ends():
                break
        self._note_if_all_is_read()

    def _take_up_unread(self) -> None:
        """Let be read back what a former process wrote and did not read back."""
        self._unread.is_taken_up = True
        since = self._facts.get(UNREAD_SINCE)
        if since is None or self._settings.mode is Mode.OBSERVE:
            return
        for booking in self._bookings.written_since(since):
            self._unread.add(booking)

    def _note_if_all_is_read(self) -> None:
        if not self._unread and self._facts.get(UNREAD_SINCE) is not None:
            self._facts.set(UNREAD_SINCE, None)

    def _begin_all(self, first: Sequence[Write], backlog: Backlog) -> None:
        """Begin one change after another: those that go first, then what waits, until that ends."""
        for number, change in enumerate(first):
            if not self._begin(change):
                self.unbegun = len(first) - number
                return
        self._may_give_way = any(map(begins_swap, first))
        while (waiting := backlog.next()) is not None:
            if not self._begin(waiting):
                return
            backlog.begin(waiting)
            # Not before one of these is begun, so that each cycle comes further.
            self._may_give_way = True

    def _begin(self, change: Write) -> bool:
        """Begin a change when it is its turn; return False, with nothing begun, if none is to begin any more."""
        alone = self._is_part_of_swap(change)
        self._dispatcher.wait_for_turn(change, alone=alone)
        if self._ends():
            return False
        if alone:
            run_task(self._write(change))
        else:
            self._dispatcher.start(self._write(change), change)
        if not self._is_reading and (portion := self._unread.take()):
            self._dispatcher.start(self._read_back(portion))
        return True

    def _begin_reading(self) -> None:
        """Begin to read back all that was written, or some of it, where that ends."""
        self._unread.call_for_all()
        while portion := self._unread.take():
            self._dispatcher.wait_for_turn(None)
            self._dispatcher.start(self._read_back(portion))
            # Not before some of it is asked about, so that each cycle comes further.
            self._may_give_way = True
            if self._ends():
                return

    def _ends(self) -> bool:
        """Tell whether no other change is to begin, because of a stop or to give way where it may."""
        if self._has_given_way:
            return True
        if self._may_give_way and not self._swap.is_open:
            self._has_given_way = self._gives_way()
        return self._has_given_way or self._stopping()

    def _is_part_of_swap(self, change: Write) -> bool:
        """Tell whether a change, if it fails, takes back others."""
        if not isinstance(change, Update):
            return False
        return bool(change.vacating) or self._swap.has_touched(change.booking)

    def _write(self, change: Write) -> Task[None]:
        attempt = self._dispatcher.next_attempt()
        try:
            match change:
                case Create():
                    yield from self._creator.create(change)
                case Update():
                    yield from self._updater.update(change)
                case Cancel():
                    yield from self.canceller.cancel(change)
                case _:
                    assert_never(change)
        except OutcomeUnknown:
            self._dispatcher.answer_lost(attempt)
        except ReservationError as error:
            self.records.counts["refused"] += 1
            log.warning("not written", error=str(error))
        else:
            self._dispatcher.answered()
        self._done += 1
        self._progress.advance(self._done)

    def _read_back(self, ids: Sequence[str]) -> Task[None]:
        """Read what was written: it may wait for approval, and the API may have kept other values."""
        written = self._holding(ids)
        bookings = list(written.values())
        density = self._unread.density
        self._is_reading = True
        try:
            answers = yield from look_up(bookings, self._api, density, self._ends)
        except ApiUnusable:
            self._unread.put_back(bookings)
            raise
        finally:
            self._is_reading = False
        self._unread.put_back(answers.unasked)
        # A list may lag behind; the drift check looks again.
        shown = written.keys() & answers.found.keys()
        for reservation_id, booking in self._holding(shown).items():
            # What was written meanwhile is read anew.
            if booking == written[reservation_id]:
                self._compare(booking, answers.found[reservation_id])

    def _holding(self, ids: Collection[str]) -> Mapping[str, Booking]:
        """Return the bookings that hold these reservations now, by reservation id."""
        holders = self._bookings.holders(ids)
        return {
            name: booking
            for name, booking in holders.items()
            if booking.state in HOLDING_STATES
        }

    def _compare(self, booking: Booking, reservation: Reservation) -> None:
        """Record what a reservation that was written just now holds otherwise than it was sent."""
        if booking.is_contradicted_by(reservation):
            self.records.lose(booking)
            return
        there = reservation.onto(booking.spec)
        if there is None:
            oddity = reservation.oddity if reservation.live else ""
            self.records.leave_unclear(booking, oddity)
            return
        differs = there.changed_from(booking.spec)
        if differs:
            log.warning("kept otherwise", fields=list(differs), **log_fields(booking))
            kept = replace(booking, echo=there.fingerprint)
            self.records.amend(kept)
        is_normal = reservation.status is ReservationStatus.NORMAL
        is_booked = booking.state is BookingState.BOOKED
        if is_normal != is_booked:
            self.records.take_over(booking, reservation)
