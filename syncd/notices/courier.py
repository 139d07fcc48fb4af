"""Delivers what is in the outbox, each channel in its own order, again and again until it is taken.

The oldest notice goes first, so that an end is not told before its beginning.
A receiver that takes one notice is given all that wait for it; one that takes a certain notice never holds up
no other.
A notice that arrived while the ledger could not be written is noted there later, and not sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from syncd.ledger.notices import DeliveryResult, NoticeStore, PendingNotice
from syncd.notices.channel import NoticeChannel, Undelivered

log = structlog.get_logger(__name__)

PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)
"""How long after each try that failed the next one is made; after the last of them the notice is given up."""


class Courier:
    """Delivers the notices of one channel."""

    def __init__(
        self,
        store: NoticeStore,
        channel: NoticeChannel,
        clock: Callable[[], datetime],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._channel = channel
        self._clock = clock
        self._stopping = stopping
        self._is_failing = False
        # By row: what is not noted in the ledger yet.
        self._done: dict[int, DeliveryResult] = {}

    def deliver_due(self) -> datetime | None:
        """Deliver what is due, and return when the next try is; None if nothing waits; raise `LedgerError`."""
        self._note_done()
        now = self._clock()
        pending = self._store.pending(self._channel.name)
        if any(one.next_try_at <= now for one in pending):
            self._deliver(pending, now)
            pending = self._store.pending(self._channel.name)
        return min((one.next_try_at for one in pending), default=None)

    def _deliver(self, pending: tuple[PendingNotice, ...], now: datetime) -> None:
        """Try the oldest and all that are due; if one of them is taken, the others too."""
        left: list[PendingNotice] = []
        is_any_taken = False
        for number, one in enumerate(pending):
            if self._stopping():
                return
            is_tried = is_any_taken or number == 0 or one.next_try_at <= now
            if not is_tried:
                left.append(one)
            elif self._try(one, is_due=one.next_try_at <= now):
                is_any_taken = True
        for one in left if is_any_taken else ():
            if self._stopping():
                return
            self._try(one, is_due=False)

    def _try(self, one: PendingNotice, *, is_due: bool) -> bool:
        """Try to deliver a notice and record what comes of it; return whether the receiver took it.

        A try before its time that fails counts for nothing.
        """
        try:
            answer = self._channel.deliver(one.notice)
        except Undelivered as error:
            self._tell_failure(one, error)
            if error.is_gone:
                self._finish(one, DeliveryResult.GONE)
            elif is_due:
                self._put_off(one, error)
            return False
        self._tell_arrival(one, answer)
        self._finish(one, DeliveryResult.DELIVERED)
        return True

    def _finish(self, one: PendingNotice, result: DeliveryResult) -> None:
        self._done[one.row] = result
        self._note_done()

    def _note_done(self) -> None:
        for row, result in list(self._done.items()):
            self._store.note_arrived(row, self._channel.name, result)
            del self._done[row]

    def _put_off(self, one: PendingNotice, error: Undelivered) -> None:
        """Record when a notice is tried again, or that it is given up."""
        sentence = str(error)
        if self._stopping():
            return
        if one.tries >= len(PAUSES):
            self._store.give_up(one.row, self._channel.name, self._clock(), sentence)
            log.error(
                "notice given up",
                channel=self._channel.name.value,
                notice=one.notice.name,
                tries=one.tries + 1,
                error=sentence,
            )
            return
        pause = PAUSES[one.tries]
        if error.wait is not None:
            pause = max(pause, error.wait)
        until = self._clock() + pause
        self._store.put_off(one.row, self._channel.name, until, sentence)

    def _tell_failure(self, one: PendingNotice, error: Undelivered) -> None:
        """Log that a receiver takes nothing: once, until it does again."""
        if self._stopping():
            return
        if not self._is_failing:
            log.warning(
                "notice not delivered",
                channel=self._channel.name.value,
                notice=one.notice.name,
                error=str(error),
            )
        self._is_failing = True

    def _tell_arrival(self, one: PendingNotice, answer: str) -> None:
        self._is_failing = False
        log.info(
            "notice delivered",
            channel=self._channel.name.value,
            notice=one.notice.name,
            tries=one.tries + 1,
            answer=answer,
        )
