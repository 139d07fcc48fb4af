"""Says to a monitor that waits for it that all goes well, or does not: the protocol of Healthchecks.

A monitor that hears nothing raises the alarm by itself, which is the only way to learn that a machine is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from syncd.core.amounts import some
from syncd.errors import LedgerError
from syncd.ledger.notices import ChannelName, DeliveryResult, NoticeStore
from syncd.notices.channel import Undelivered
from syncd.notices.post import Poster
from syncd.reconciler import CycleReport

log = structlog.get_logger(__name__)

EVERY_S = 60.0
"""At most so often, unless what is said changes."""

_AGAIN_S = 10.0  # after a ping that did not arrive
_FAILED = "/fail"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is said: whether the last cycle went through, and its line."""

    is_good: bool
    line: str


def pulse_of(report: CycleReport) -> Pulse:
    """Return what is said of a cycle: its outcome and counts, without a name."""
    told = [
        f"{number} {name.replace('_', ' ')}"
        for name, number in report.counts.items()
        if number
    ]
    unread = sum(source.error is not None for source in report.sources)
    if unread:
        told.append(f"{some(unread, 'source')} not read")
    counts = ", ".join(told) or "nothing to do"
    line = f"cycle {report.outcome}: {counts}; {report.seconds:.1f} s"
    return Pulse(report.outcome != "failed", line)


class Pinger:
    """Posts to the address of a monitor, `/fail` behind it when a cycle failed."""

    name = ChannelName.PING

    def __init__(self, url: str, allow_hosts: tuple[str, ...]) -> None:
        self._poster = Poster(url, allow_hosts, "notices.allow_hosts")
        self.where = self._poster.host
        self.interrupt = self._poster.interrupt
        self.knock = self._poster.knock

    def say(self, pulse: Pulse) -> str:
        """Post what is said and return the status of the reply; raise `Undelivered` unless it was taken."""
        suffix = "" if pulse.is_good else _FAILED
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        reply = self._poster.post(pulse.line.encode(), headers, suffix)
        if not reply.is_good:
            raise Undelivered(
                f"{self.where} answered with status {reply.status}", told=reply.text
            )
        return f"status {reply.status}"


class PingThread:
    """Says the latest pulse: a change at once, the same once a minute at most; one that is lost soon again."""

    def __init__(
        self,
        pinger: Pinger,
        store: NoticeStore,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pinger = pinger
        self._store = store
        self._elapsed = elapsed
        self._changed = threading.Condition()
        self._next: Pulse | None = None
        self._latest: Pulse | None = None
        self._tried: Pulse | None = None
        self._is_over = False
        self._said: Pulse | None = None
        self._said_at_s = 0.0
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="ping", daemon=True)
        self._thread.start()

    def take(self, pulse: Pulse) -> None:
        """Note what is to be said next; returns at once."""
        with self._changed:
            self._next = pulse
            self._latest = pulse
            self._changed.notify_all()

    def end(self) -> None:
        """Say nothing more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._pinger.interrupt()

    def wait_idle(self, timeout_s: float) -> None:
        """Wait until the latest pulse was said, or could not be."""
        with self._changed:
            self._changed.wait_for(lambda: self._tried is self._latest, timeout_s)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (pulse := self._due()) is not None:
            with suppress(LedgerError):  # only the count of it is missing
                self._try(pulse)
            with self._changed:
                self._tried = pulse
                self._changed.notify_all()

    def _try(self, pulse: Pulse) -> None:
        try:
            self._say(pulse)
        except LedgerError:
            raise
        except Exception as error:  # whatever it is, the others go on
            log.critical("defect of syncd; please report this line", exc_info=error)

    def _due(self) -> Pulse | None:
        """Wait until something is to be said and return it; None: the end."""
        with self._changed:
            while not self._is_over:
                pause_s = self._pause_s()
                if pause_s is not None and pause_s <= 0:
                    pulse = self._next
                    self._next = None
                    return pulse
                self._changed.wait(pause_s)
        return None

    def _pause_s(self) -> float | None:
        """Return how long not to say what is to be said; None if that is nothing."""
        if self._next is None:
            return None
        if self._is_failing:
            return self._said_at_s + _AGAIN_S - self._elapsed()
        if self._said is None or self._said.is_good != self._next.is_good:
            return 0.0
        return self._said_at_s + EVERY_S - self._elapsed()

    def _say(self, pulse: Pulse) -> None:
        try:
            self._pinger.say(pulse)
        except Undelivered as error:
            self._said_at_s = self._elapsed()
            self._note_failure(pulse, error)
            self._store.count(ChannelName.PING, DeliveryResult.FAILED)
        else:
            self._said = pulse
            self._said_at_s = self._elapsed()
            self._is_failing = False
            self._store.count(ChannelName.PING, DeliveryResult.DELIVERED)

    def _note_failure(self, pulse: Pulse, error: Undelivered) -> None:
        """Keep what did not arrive, unless something newer is to be said, and log it once."""
        with self._changed:
            if self._is_over:
                return
            if self._next is None:
                self._next = pulse
        if not self._is_failing:
            log.warning(
                "notice not delivered", channel=ChannelName.PING.value, error=str(error)
            )
        self._is_failing = True
