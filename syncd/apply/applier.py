"""Carries out a plan: each change step by step, and changes that do not touch each other side by side.

Every request has its intent in the ledger before it leaves and its answer right after it came.
Changes begin in the order of the plan; one that meets another's room and time, or its meeting, waits until
that is done, and so does all that comes after it.
A failure of one change is an outcome, not the end of the cycle; only an API that cannot be used ends it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from syncd.apply.dispatch import Dispatcher, Write, split_by_priority
from syncd.apply.ports import Api, BookingLedger, Progress
from syncd.apply.publish import publish
from syncd.apply.read_back import look_up
from syncd.apply.repairs import count_repair
from syncd.apply.swap import Exchange, named
from syncd.apply.tasks import Task, call, run
from syncd.core.apitime import ApiTime
from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Cancel, Create, Mode, Plan, Update
from syncd.core.listing import Listing
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.reasons import MEANINGS, Evidence, Reason
from syncd.core.recognise import Duplicate, adopted_from, made_by
from syncd.core.reservation import Reservation, ReservationSpec, ReservationStatus
from syncd.core.settings import Settings
from syncd.errors import (
    ApiUnusable,
    NotDone,
    NotExecuted,
    OutcomeUnknown,
    RateLimited,
    Refused,
    ReservationError,
)

log = structlog.get_logger(__name__)

MARGIN = timedelta(days=1)
"""Around a slot when the API is searched: what its window means (start, overlap) is not documented."""

GRACE = timedelta(seconds=5)
"""Beyond request_validity, for clocks that differ."""

MAX_TRIES = 3
"""Requests of one content that the API may answer with a no before it counts as refused."""

_READ_BACK = 100  # reservations that are read back together


class Applier:
    """Writes the changes of one cycle; `count` holds what came of them by the names of `once --json`."""

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
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._stopping = stopping
        self._gives_way = gives_way
        self._progress = progress
        self._written: list[Booking] = []  # to be read back
        self._density = 1.0  # reservations of ours in a day
        self._exchange = Exchange(ledger=ledger, set_content=self._set, refuse=self._refuse)
        self._dispatcher = Dispatcher(pause_s=api.pause_s, ending=self._ends)
        self._may_give_way = False
        self._has_given_way = False
        self.left: Sequence[Write] = ()
        self._done = 0
        self._doubtful: set[int] = set()
        self._approved: dict[int, Booking] = {}  # intents of the cancels that a person approved, by row
        self.count: Counter[str] = Counter()

    def apply(self, plan: Plan, left_before: Collection[str] = ()) -> None:
        """Carry out all writes of a plan, or as many as are made before a stop or before it gives way.

        What is new goes before what was left before, by UID, if it is little; `left` is what is not begun.
        Raises `ApiUnusable` when no further call makes sense; what was done until then is recorded.
        """
        first, others = split_by_priority(plan, left_before)
        writes = (*first, *others)
        self._progress.begin(len(writes))
        self._density = (plan.unchanged + len(writes)) / (self._settings.horizon / timedelta(days=1))
        with self._dispatcher as dispatcher:
            try:
                for number, change in enumerate(writes):
                    # Not before one of the others is begun, so that each cycle comes further.
                    self._may_give_way = number > len(first)
                    dispatcher.wait_for_turn(change, alone=self._is_exchange(change))
                    if self._ends():
                        self.left = writes[number:]
                        break
                    if self._is_exchange(change):
                        run(self._write(change))
                    else:
                        dispatcher.start(self._write(change), change)
                    if len(self._written) >= _READ_BACK:
                        dispatcher.start(self._read_back())
                dispatcher.finish()
            except (ApiUnusable, ReservationError):  # the latter of a question, not of a change
                dispatcher.give_up()
                with suppress(ApiUnusable, ReservationError):
                    run(self._read_back())
                raise
        run(self._read_back())

    def _ends(self) -> bool:
        """Whether no other change is to begin, because of a stop or to give way at a point where it may."""
        if self._may_give_way and not self._has_given_way and not self._exchange.is_open:
            self._has_given_way = self._gives_way()
        return self._has_given_way or self._stopping()

    def _is_exchange(self, change: Write) -> bool:
        """Whether a change, if it fails, takes back others."""
        return isinstance(change, Update) and (
            bool(change.aside) or self._exchange.has_touched(change.booking)
        )

    def _write(self, change: Write) -> Task[None]:
        attempt = self._dispatcher.next_attempt()
        try:
            match change:
                case Create():
                    yield from self._create(change)
                case Update():
                    yield from self._update(change)
                case Cancel():
                    yield from self._cancel(change)
                case _:
                    assert_never(change)
        except OutcomeUnknown:
            self._dispatcher.answer_lost(attempt)
        except ReservationError as error:
            self.count["refused"] += 1
            log.warning("not written", error=str(error))
        else:
            self._dispatcher.answered()
        self._done += 1
        self._progress.advance(self._done)

    # Create

    def _create(self, change: Create) -> Task[None]:
        meeting, former = change.meeting, change.booking
        if change.reason is Reason.ROOM_FREE_AGAIN and former:
            still_taken = yield from self._still_taken(meeting.spec, former)
            if still_taken:
                return
        meeting = self._published(meeting)
        asked, now = self._api.time(), self._clock()
        mark = None
        if self._settings.mapping.marker:
            mark = Mark.of(self._settings.instance, meeting.key, change.generation)
        record = Booking.of(meeting, generation=change.generation, mark=str(mark) if mark else None)
        intent = record.sending(meeting.spec, meeting.occurrence.fingerprint, asked.latest)
        if former is not None and former.reservation_id is None:
            intent = replace(intent, row=former.row, attempts=former.attempts + 1)
        elif former is not None:
            # The former reservation was released or rejected: its record ends where the new one begins.
            self._ledger.bookings.record(
                former.with_state(BookingState.CANCELLED, former.reason, former.detail),
                at=now,
                what="replaced",
                detail="The calendar changed after it ended in Tuya; it is booked anew.",
            )
        (intent,) = self._ledger.bookings.record(intent, at=now, what="create", detail=f"mark {intent.mark}")
        try:
            try:
                reservation_id = yield from call(self._api.create, meeting.spec, mark, asked=asked)
            except RateLimited as error:
                raise ApiUnusable(str(error)) from None
            except NotExecuted:
                # It provably did not arrive, so it may be sent again, as a request of now.
                asked = self._api.time()
                self._ledger.bookings.amend(intent := replace(intent, attempted_at=asked.latest))
                reservation_id = yield from call(self._created_at_last, meeting.spec, mark, asked)
            self._require_new(reservation_id)
        except Refused as refusal:
            yield from self._on_refused_create(intent, refusal)
        except OutcomeUnknown as error:
            self._doubt(intent, error)
            raise
        except NotDone as error:
            # No page says what it means here, so it proves nothing: looked for like one without an answer.
            self._doubt(intent, error)
        except ApiUnusable:
            waiting = intent.with_state(BookingState.WAITING, None, "Not sent: the API could not be used.")
            waiting = replace(waiting, attempts=intent.attempts - 1)
            self._ledger.bookings.record(waiting, at=self._clock(), what="not sent")
            raise
        else:
            self._confirm(intent.booked(reservation_id), "created")

    def _require_new(self, reservation_id: str) -> None:
        """Raise `OutcomeUnknown` when the id that a create gave is one that a booking has or had."""
        if self._ledger.bookings.recorded([reservation_id]):
            raise OutcomeUnknown(
                "the API answered with the id of another reservation, so it may be booked; "
                "syncd settles it by looking"
            )

    def _published(self, meeting: Meeting) -> Meeting:
        """The meeting with its inline attachments published, without those that cannot be."""
        return publish(
            meeting, self._ledger.published, self._settings.publish_dir, self._settings.publish_mode
        )

    def _created_at_last(self, spec: ReservationSpec, mark: Mark | None, asked: ApiTime) -> str:
        try:
            return self._api.create(spec, mark, asked=asked)
        except NotExecuted as error:
            raise ApiUnusable(str(error)) from None

    def _on_refused_create(self, intent: Booking, refusal: Refused) -> Task[None]:
        """The API publishes no codes for meetings, so the room itself is asked why.

        Our own mark there: an earlier request arrived after all. Another reservation: a conflict.
        Neither: a refusal that stands until the content changes.
        """
        spec = intent.spec
        try:
            found = yield from call(self._around, spec)
        except (ReservationError, ApiUnusable) as error:
            self._refuse(_not_explained(intent, BookingState.REFUSED, refusal))
            if isinstance(error, ApiUnusable):
                raise
            return
        known = self._ledger.bookings.recorded({r.reservation_id for r in found})
        ours = [r for r in made_by(intent, found, known) if r.live and r.mark is not None]
        blocker = _blocker(found, spec, None)
        if found.doubt and not ours and blocker is None:
            self._refuse(_not_explained(intent, BookingState.REFUSED, refusal))
            return
        intent = replace(intent, attempts=0)
        if ours:
            self._confirm(adopted_from(intent, ours[0]), "adopted")
        elif blocker is not None:
            self._conflict(intent, blocker, BookingState.REFUSED)
        else:
            detail = f"The API refused it with code {refusal.code}: {refusal.message}"
            self._refuse(intent.with_state(BookingState.REFUSED, Reason.REFUSED, detail))

    def _around(self, spec: ReservationSpec) -> Listing:
        rooms = [spec.room_id] if spec.room_id else []
        creator = None if rooms else spec.creator
        return self._api.find(spec.start - MARGIN, spec.end + MARGIN, creator=creator, room_ids=rooms)

    def _still_taken(self, spec: ReservationSpec, booking: Booking) -> Task[bool]:
        """Look before a meeting is tried again whose room was taken; looking costs no refusal."""
        found = yield from call(self._around, spec)
        blocker = _blocker(found, spec, booking.reservation_id)
        if blocker is None:
            return False
        self._conflict(booking, blocker, booking.state)
        return True

    def _conflict(self, booking: Booking, blocker: Reservation, state: BookingState) -> None:
        """Record who is in the way, and when to look again: of our own we learn it when it leaves."""
        holder = self._ledger.bookings.holders([blocker.reservation_id]).get(blocker.reservation_id)
        # Of one that stands elsewhere than we know, we do not learn when it leaves.
        ours = holder is not None and holder.spec.in_the_way_of(booking.pending or booking.spec)
        detail = (
            f"The room is taken{_when(blocker)} by reservation {blocker.reservation_id} ({blocker.topic})."
        )
        if blocker.oddity:
            detail = f"{detail} {blocker.oddity} Mend or cancel it in Tuya if it is in the way."
        refused = replace(
            booking.with_state(state, Reason.ROOM_CONFLICT, detail),
            blocked_by=blocker.reservation_id,
            retry_at=None if ours else self._clock() + self._settings.drift_check,
            attempted_at=None,
        )
        self._refuse(refused)

    def _refuse(self, booking: Booking) -> None:
        self._ledger.bookings.record(booking, at=self._clock(), what="refused", detail=booking.detail)
        self.count["refused"] += 1
        log.warning("refused", **named(booking))

    # Update

    def _update(self, change: Update) -> Task[None]:
        if change.booking.row in self._doubtful:
            return  # its step aside got no answer; the next cycle goes on from what is found
        for booking in change.aside:
            self._exchange.step_aside(booking)
        meeting, booking = change.meeting, self._exchange.latest(change.booking)
        assert booking.reservation_id is not None  # only bookings that have one are updated
        if change.reason is Reason.ROOM_FREE_AGAIN:
            still_taken = yield from self._still_taken(meeting.spec, booking)
            if still_taken:
                self._exchange.step_back(booking.row)
                return
        wanted, meeting = meeting, self._published(meeting)
        if meeting is not wanted and meeting.spec.comparable() == booking.spec.comparable():
            return  # all that differs are attachments that still cannot be published
        asked = self._api.time()
        shown = booking.shown_by(meeting)
        intent = shown.sending(meeting.spec, meeting.occurrence.fingerprint, asked.latest)
        if change.reason is Reason.REPAIRED:
            count_repair(self._ledger.facts, change)
        detail = ", ".join(change.changed)
        (intent,) = self._ledger.bookings.record(intent, at=self._clock(), what="update", detail=detail)
        back = replace(booking, row=intent.row)
        try:
            yield from self._modify(intent, back, asked)
        except Refused as refusal:
            yield from self._on_refused_update(back, intent, refusal)
            self._exchange.step_back(booking.row)
        except NotDone as error:
            kept = replace(back, pending=intent.pending, origin=intent.origin, attempted_at=None)
            self._refuse(_tried(kept, intent.attempts, back.state, str(error)))
            self._exchange.step_back(booking.row)
        else:
            self._exchange.has_moved(change.booking)
            self._confirm(intent.booked(booking.reservation_id), "updated")

    def _modify(self, intent: Booking, back: Booking, asked: ApiTime) -> Task[None]:
        """Send a change whose intent is recorded; `back` is the record if it was not sent.

        Raises `Refused`, `NotDone` (after a look), `OutcomeUnknown` (with the doubt recorded), `ApiUnusable`.
        """
        assert intent.pending is not None  # an intent has it
        assert intent.reservation_id is not None  # only bookings that have one are updated
        mark = Mark.find(intent.mark) if intent.mark else None
        try:
            yield from call(
                self._api.modify,
                intent.reservation_id,
                intent.pending,
                mark,
                intent.pending.creator,
                asked=asked,
            )
        except NotDone as error:
            there = yield from self._looked_at(intent, error)
            if there is None or not there.live:
                raise Refused(0, str(error)) from None  # there is nothing left to change
            if there.onto(intent.pending) != intent.pending:
                raise
        except OutcomeUnknown as error:
            self._doubt(intent, error)
            raise
        except (NotExecuted, ApiUnusable) as error:
            self._ledger.bookings.record(back, at=self._clock(), what="not sent")
            raise ApiUnusable(str(error)) from None

    def _looked_at(self, intent: Booking, error: NotDone | Refused) -> Task[Reservation | None]:
        """Look what a request left to which the API said no; returns what is there.

        Raises `OutcomeUnknown` and `ApiUnusable`, with the doubt recorded, when that cannot be asked.
        """
        assert intent.reservation_id is not None  # only bookings that have one are changed
        try:
            there = yield from call(self._api.get, intent.reservation_id)
        except ApiUnusable:
            self._doubt(intent, error)
            raise
        except ReservationError:
            self._doubt(intent, error)
            raise OutcomeUnknown(str(error)) from None
        return there

    def _set(self, booking: Booking, spec: ReservationSpec, what: str) -> Booking:
        """Give a reservation other content on the way of a larger change; its record stays otherwise.

        Raises `Refused` and `NotDone` (without effect), `OutcomeUnknown` (with the doubt recorded) and
        `ApiUnusable`.
        """
        assert booking.reservation_id is not None  # only bookings that have one are updated
        asked = self._api.time()
        intent = booking.sending(spec, booking.origin, asked.latest)
        (intent,) = self._ledger.bookings.record(intent, at=self._clock(), what=what)
        try:
            run(self._modify(intent, booking, asked))
        except (Refused, NotDone) as no:
            self._ledger.bookings.record(booking, at=self._clock(), what="refused", detail=str(no))
            raise
        done = replace(booking, content=spec, room_id=spec.room_id, attempted_at=None)
        (stored,) = self._ledger.bookings.record(done, at=self._clock(), what=f"{what}: done")
        return stored

    def _on_refused_update(self, back: Booking, intent: Booking, refusal: Refused) -> Task[None]:
        """The reservation stays as it was; why it cannot change is asked of the API."""
        assert intent.pending is not None  # an intent has it
        assert intent.reservation_id is not None  # only bookings that have one are updated
        kept = replace(back, pending=intent.pending, origin=intent.origin, attempted_at=None, attempts=0)
        try:
            now_there = yield from call(self._api.get, intent.reservation_id)
            if now_there is None or not now_there.live:
                self.take_over(replace(back, pending=None, attempts=0), now_there)
                return
            found = yield from call(self._around, intent.pending)
        except (ReservationError, ApiUnusable) as error:
            kept = replace(kept, attempts=intent.attempts)
            self._refuse(_not_explained(kept, kept.state, refusal))
            if isinstance(error, ApiUnusable):
                raise
            return
        blocker = _blocker(found, intent.pending, intent.reservation_id)
        if blocker is not None:
            self._conflict(kept, blocker, kept.state)
        elif found.doubt:
            kept = replace(kept, attempts=intent.attempts)
            self._refuse(_not_explained(kept, kept.state, refusal))
        else:
            detail = f"The API refused the change with code {refusal.code}: {refusal.message}"
            self._refuse(kept.with_state(kept.state, Reason.REFUSED, detail))

    # Cancel

    def intend_approved(self, plan: Plan) -> None:
        """Record the intents of all cancels that a person approved together, before any of them is sent.

        Then the approval may be spent: after a kill, or when the API cannot be used, they are settled
        without asking again.
        """
        approved = [c for c in plan.writes if isinstance(c, Cancel) and c.evidence is Evidence.APPROVED]
        asked = self._api.time().latest
        intents = [c.booking.cancelling(c.reason, c.evidence, c.detail, asked) for c in approved]
        stored = self._ledger.bookings.record(*intents, at=self._clock(), what="cancel", detail="approved")
        self._approved = {intent.row: intent for intent in stored}

    def _cancel(self, change: Cancel) -> Task[None]:
        booking = change.booking
        if booking.row in self._approved:
            yield from self._send_cancel(self._approved[booking.row], self._api.time())
            return
        asked = self._api.time()
        intent = booking.cancelling(change.reason, change.evidence, change.detail, asked.latest)
        (intent,) = self._ledger.bookings.record(
            intent, at=self._clock(), what="cancel", detail=f"{change.reason} ({change.evidence})"
        )
        yield from self._send_cancel(intent, asked, booking)

    def finish_cancel(self, intent: Booking) -> None:
        """Send a cancel whose intent is recorded once more: it sets a state, so repeating is safe.

        Raises `OutcomeUnknown`, with the doubt recorded, and `ApiUnusable`.
        """
        asked = self._api.time()
        again = replace(intent, attempts=intent.attempts + 1, attempted_at=asked.latest, retry_at=None)
        (again,) = self._ledger.bookings.record(again, at=self._clock(), what="cancel", detail="once more")
        run(self._send_cancel(again, asked, intent))

    def give_up_cancel(self, intent: Booking, there: Reservation, detail: str) -> None:
        """Record that a reservation stays, because the API does not cancel it."""
        waits = there.status is ReservationStatus.AWAITING_APPROVAL
        state = BookingState.APPROVAL if waits else BookingState.BOOKED
        kept = intent.with_state(state, Reason.REFUSED, detail)
        content = kept.content or kept.pending
        self._refuse(
            replace(
                kept,
                content=content,
                pending=None,
                attempted_at=None,
                evidence=None,
                attempts=0,
                retry_at=None,
            )
        )

    def _send_cancel(self, intent: Booking, asked: ApiTime, back: Booking | None = None) -> Task[None]:
        assert intent.reservation_id is not None  # only bookings that have one are cancelled
        try:
            yield from call(self._api.cancel, intent.reservation_id, asked=asked)
        except Refused as refusal:
            now_there = yield from self._looked_at(intent, refusal)
            if now_there is None or not now_there.live:
                self.finish_cancelled(intent)
                return
            detail = f"The API refused the cancel with code {refusal.code}: {refusal.message}"
            self.give_up_cancel(intent, now_there, detail)
        except NotDone as error:
            there = yield from self._looked_at(intent, error)
            if there is None or not there.live:
                self.finish_cancelled(intent)
            elif intent.attempts >= MAX_TRIES:
                self.give_up_cancel(intent, there, _no(str(error), intent.attempts))
            else:
                self._doubt(intent, error)
        except OutcomeUnknown as error:
            self._doubt(intent, error)
            raise
        except (NotExecuted, ApiUnusable) as error:
            if back is not None:
                self._ledger.bookings.record(replace(back, row=intent.row), at=self._clock(), what="not sent")
            raise ApiUnusable(str(error)) from None
        else:
            self.finish_cancelled(intent)

    def finish_cancelled(self, intent: Booking) -> None:
        """Record that a cancel took effect."""
        detail = MEANINGS[intent.reason] if intent.reason else ""
        done = intent.called_off(detail)
        self._ledger.bookings.record(done, at=self._clock(), what="cancelled", detail=detail)
        self.count["cancelled"] += 1
        log.info("cancelled", **named(done), evidence=done.evidence)

    # Outcomes

    def _confirm(self, booking: Booking, what: str) -> None:
        (stored,) = self._ledger.bookings.record(booking, at=self._clock(), what=what)
        self.count[what] += 1
        self._written.append(stored)
        log.info(what, **named(stored))

    def _doubt(self, intent: Booking, error: ReservationError) -> None:
        now = self._clock()
        self._doubtful.add(intent.row)
        reason = Reason.REFUSED if isinstance(error, NotDone) else Reason.IN_DOUBT
        if intent.state is BookingState.CANCELLING and intent.reason is not None:
            reason = intent.reason  # what a cancel rests on stays with it
        doubt = replace(
            intent.with_state(intent.state, reason, f"{str(error).rstrip('.')}. It is settled by looking."),
            retry_at=self._api.time().latest + self._settings.request_validity + GRACE,
        )
        self._ledger.bookings.record(doubt, at=now, what="in doubt", detail=str(error))
        log.warning("in doubt", **named(doubt))

    def _read_back(self) -> Task[None]:
        """Read what was written: it may wait for approval, and the API may have kept other values."""
        written, self._written = self._written, []
        if not written:
            return
        latest = [self._exchange.latest(b) for b in written]
        found = yield from call(look_up, latest, self._api, self._density)
        for booking in map(self._exchange.latest, written):
            reservation = found.get(booking.reservation_id or "")
            if reservation is None:
                continue  # a list may lag behind; the drift check looks again
            if booking.is_contradicted_by(reservation):
                self.lose(booking)
                continue
            there = reservation.onto(booking.spec)
            if there is None:
                self.leave_unclear(booking, reservation.oddity if reservation.live else "")
                continue
            differs = there.changed_from(booking.spec)
            if differs:
                log.warning("kept otherwise", fields=list(differs), **named(booking))
                self._ledger.bookings.amend(replace(booking, echo=there.fingerprint))
            expected = booking.state is BookingState.BOOKED
            if (reservation.status is ReservationStatus.NORMAL) != expected:
                self.take_over(booking, reservation)

    def lose(self, booking: Booking) -> None:
        """Give up a reservation that turns out to be somebody else's; what was booked is looked for."""
        self._doubt(booking.lost(self._clock()), OutcomeUnknown("the API gave the id of somebody else's"))

    def take_over(self, booking: Booking, reservation: Reservation | None) -> Booking:
        """Record the status that a reservation has in the API; None means that it is gone."""
        match reservation.status if reservation else None:
            case ReservationStatus.NORMAL if ended_early(booking, reservation, self._clock()):
                detail = "It was ended early in Tuya; booked again when the calendar changes."
                seen = booking.with_state(BookingState.RELEASED, Reason.RELEASED, detail)
            case ReservationStatus.NORMAL:
                seen = booking.with_state(BookingState.BOOKED)
            case ReservationStatus.AWAITING_APPROVAL:
                seen = booking.with_state(BookingState.APPROVAL, None, "It waits for approval in Tuya.")
            case ReservationStatus.REJECTED:
                detail = "The approval was rejected in Tuya."
                seen = booking.with_state(BookingState.REFUSED, Reason.REFUSED, detail)
                self.count["refused"] += 1
            case ReservationStatus.CANCELLED:
                detail = "It was cancelled in Tuya; booked again when the calendar changes."
                seen = booking.with_state(BookingState.RELEASED, Reason.RELEASED, detail)
            case None:
                detail = "It no longer exists in Tuya; booked again when the calendar changes."
                seen = booking.with_state(BookingState.RELEASED, Reason.RELEASED, detail)
        (stored,) = self._ledger.bookings.record(
            seen, at=self._clock(), what=seen.state.value, detail=seen.detail
        )
        return stored

    def leave_unclear(self, booking: Booking, oddity: str) -> Booking:
        """Record that a reservation makes no sense, or (without oddity) that it does so again.

        A booking that says already why it is not as it should be goes on saying that.
        """
        if booking.reason not in (None, Reason.UNCLEAR_IN_TUYA):
            return booking
        left = booking.unclear(oddity) if oddity else booking.with_state(booking.state)
        if (left.reason, left.detail) == (booking.reason, booking.detail) or not (oddity or booking.reason):
            return booking
        what = "makes no sense in Tuya" if oddity else "makes sense again"
        (stored,) = self._ledger.bookings.record(left, at=self._clock(), what=what, detail=oddity)
        return stored

    def take_change(self, booking: Booking, reservation: Reservation) -> None:
        """Record that somebody changed a reservation in Tuya; what follows is the plan's business."""
        content = reservation.onto(booking.spec)
        if content is None:
            return
        fields = content.changed_from(booking.spec)
        changed = booking.changed_in_tuya(content)
        self._ledger.bookings.record(
            changed, at=self._clock(), what="changed in Tuya", detail=", ".join(fields) or "nothing"
        )
        log.info("changed in the API", fields=list(fields), **named(changed))

    def drop_duplicate(self, duplicate: Duplicate) -> bool:
        """Cancel a live reservation that another one makes superfluous; whether that is done.

        Only if both say themselves that they stand in the same place: else it may be somebody's own.
        """
        reservation_id = duplicate.reservation.reservation_id
        if self._settings.mode is not Mode.FULL:
            log.warning("duplicate", reservation_id=reservation_id, of=duplicate.of.reservation_id)
            return False
        asked = self._api.time()
        there = self._api.get(reservation_id)
        stays = self._api.get(duplicate.of.reservation_id)
        if there is None or not there.live:
            return True
        if stays is None or not stays.live:
            return False  # the list was late: there is only one
        if not (there.is_in_place_of(stays) and stays.is_in_place_of(there)):
            log.warning("stray", reservation_id=reservation_id)
            return False
        try:
            self._api.cancel(reservation_id, asked=asked)
        except (ReservationError, ApiUnusable) as error:
            # Setting a state again is safe, so the next comparison does it.
            log.warning("duplicate", reservation_id=reservation_id, error=str(error))
            return False
        self.count["duplicates"] += 1
        log.info("duplicate cancelled", reservation_id=reservation_id, of=duplicate.of.reservation_id)
        return True


def ended_early(booking: Booking, reservation: Reservation | None, now: datetime) -> bool:
    """Whether a reservation is over before the time that was booked."""
    if reservation is None or reservation.oddity or reservation.end is None:
        return False
    return reservation.end <= now < booking.spec.end


def _when(blocker: Reservation) -> str:
    """From when to when a reservation takes its room, as far as it makes sense."""
    if blocker.oddity or blocker.start is None or blocker.end is None:
        return ""
    return f" from {blocker.start:%Y-%m-%d %H:%M} to {blocker.end:%H:%M} UTC"


def _not_explained(booking: Booking, state: BookingState, refusal: Refused) -> Booking:
    """A request that was refused with a code while the API could not be asked why."""
    said = f"The API refused it with code {refusal.code}: {refusal.message}; what is in the way was not told."
    return _tried(booking, booking.attempts, state, said)


def _tried(booking: Booking, attempts: int, state: BookingState, said: str) -> Booking:
    """A request that came to nothing, so that it is tried again or, after several times, not any more."""
    refused = booking.with_state(state, Reason.REFUSED, _no(said, attempts))
    return replace(refused, attempts=attempts if attempts < MAX_TRIES else 0, retry_at=None)


def _no(said: str, attempts: int) -> str:
    """What the API said to the last of so many tries, and what follows."""
    if attempts < MAX_TRIES:
        return f"{said} This was try {attempts} of {MAX_TRIES}; the next cycle tries again."
    return (
        f"{said} It was tried {attempts} times, and is not again until the event changes or a person says so "
        "with: syncd resolve --retry."
    )


def _blocker(found: Iterable[Reservation], spec: ReservationSpec, own_id: str | None) -> Reservation | None:
    """The reservation of somebody else that is in the way of a spec, first one that makes sense.

    One that does not say its room is in the one whose list shows it.
    """
    in_the_way = [
        r
        for r in found
        if spec.room_id is not None
        and r.live
        and (r.room_id == spec.room_id or "room_id" in r.unsaid)
        and r.reservation_id != own_id
        and r.overlaps(spec.start, spec.end)
    ]
    return min(in_the_way, key=lambda r: bool(r.oddity), default=None)
