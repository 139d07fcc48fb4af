"""All of the notices of a daemon: looks at how things stand, threads that deliver, and the ping.

Nothing of it is loaded before a channel is configured.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.assembly import utc_now
from syncd.config import Config
from syncd.errors import LedgerError, LedgerLocked
from syncd.ledger import Ledger
from syncd.reconciler import CycleReport

if TYPE_CHECKING:
    from syncd.notices.channels import CourierThread, NoticeThread
    from syncd.notices.last_word import LastWord
    from syncd.notices.ping import PingThread, Pulse
    from syncd.notices.teller import Teller

log = structlog.get_logger(__name__)

_GOOD_CYCLES = 2  # until a ledger that could not be used counts as one that can
_LONGEST_FINISH_S = 30.0  # of a run that somebody waits for


class NoticeService:
    """The notices of one process that owns a ledger; whoever makes it ends it with `close`.

    A defect in it is logged and ends nothing; `LedgerError` is a matter of the work.
    """

    def __init__(
        self, ledger: Ledger, config: Config, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._config: Config | None = None
        self._teller: Teller | None = None
        self._last_word: LastWord | None = None
        self._couriers: list[CourierThread] = []
        self._ping: PingThread | None = None
        self._pulse: Pulse | None = None
        self._cycles = 0
        self.take_over(config)

    def take_over(self, config: Config) -> None:
        """Go by another configuration; what is wrong with it here is logged."""
        before = self._config
        self._config = config
        try:
            self._follow(before, config)
        except LedgerError:
            raise
        except Exception as error:  # the main job goes on without notices
            log.critical("defect of syncd; please report this line", exc_info=error)

    def _follow(self, before: Config | None, config: Config) -> None:
        if not config.notices.is_anybody_told:
            self._end()
            self._teller = None
            return
        if before is None or _is_otherwise(before, config):
            self._end()
            if before is not None:
                # What was wrong may be mended.
                self._ledger.notices.make_due(self._clock())
            self._start(config)
        if self._teller is not None:
            self._teller.take_over(config)

    def note_cycle(self, report: CycleReport) -> None:
        """Note what a cycle came to."""
        self._cycles += 1
        if self._teller is not None:
            self._teller.note_cycle(goes_on=report.left > 0)
        if self._ping is not None and not report.interrupted:
            from syncd.notices.ping import pulse_of

            self._pulse = pulse_of(report)
            self._ping.take(self._pulse)

    def note_nothing_new(self) -> None:
        """Note that sources were looked at and no cycle was needed: things are as the last one left them."""
        if self._ping is not None and self._pulse is not None:
            self._ping.take(self._pulse)

    def step(self, problems: Sequence[str]) -> None:
        """Look how things stand if that is due; raise `LedgerError`.

        `problems` keep the configuration file from being used.
        """
        if self._teller is None:
            return
        try:
            is_new = self._teller.look_when_due(problems)
            if self._last_word is not None and self._cycles >= _GOOD_CYCLES:
                is_new = self._last_word.settle(self._ledger) or is_new
        except LedgerError:
            raise
        except Exception as error:  # the main job goes on without notices
            log.critical("defect of syncd; please report this line", exc_info=error)
            return
        if is_new:
            for courier in self._couriers:
                courier.wake()

    def tell_unusable(self, error: LedgerError) -> None:
        """Tell at once that the ledger cannot be used, as the last thing that is done."""
        if self._config is not None:
            tell_unusable(self._config, error)

    def note_waiting(self, sentence: str) -> None:
        """Tell that the ledger cannot be used for long, in a thread of its own."""
        if self._last_word is not None:
            told = f"{sentence[:1].upper()}{sentence[1:]}."
            thread = threading.Thread(
                target=self._last_word.say, args=(told,), daemon=True
            )
            thread.start()

    def finish(self, seconds: float) -> None:
        """Wait so long at most until all that can be delivered now is, and end."""
        until = time.monotonic() + seconds
        for thread in self._threads():
            thread.wait_idle(max(0.0, until - time.monotonic()))
        self.close()

    def _threads(self) -> list[NoticeThread]:
        threads: list[NoticeThread] = [*self._couriers]
        if self._ping is not None:
            threads.append(self._ping)
        return threads

    def close(self) -> None:
        """End what delivers; what is in the outbox is delivered after the next start."""
        threads = self._end()
        if threads:
            from syncd.notices.channels import wait_for

            wait_for(threads)

    def _end(self) -> list[NoticeThread]:
        """Tell the threads to end and return them; one that takes its place waits for what is under way."""
        threads = self._threads()
        for thread in threads:
            thread.end()
        self._couriers = []
        self._ping = None
        return threads

    def _start(self, config: Config) -> None:
        from syncd.notices.channels import CourierThread, channels_of, pinger_of
        from syncd.notices.last_word import LastWord
        from syncd.notices.teller import Teller

        if self._teller is None:
            self._teller = Teller(self._ledger, config, self._clock)
        self._last_word = LastWord(config, self._clock)
        self._last_word.prepare()
        store = self._ledger.notices
        for channel in channels_of(config, self._clock):
            turn = self._turns[channel.name.value]
            self._couriers.append(CourierThread(store, channel, self._clock, turn))
        pinger = pinger_of(config)
        if pinger is not None:
            from syncd.notices.ping import PingThread

            self._ping = PingThread(pinger, store)


def tell_unusable(config: Config, error: LedgerError) -> None:
    """Tell that the ledger of a configuration cannot be used; one that another syncd uses can be."""
    if isinstance(error, LedgerLocked) or not config.notices.is_anybody_told:
        return
    from syncd.notices.last_word import LastWord

    try:
        LastWord(config, utc_now).say(str(error))
    except Exception as defect:  # what is wrong with the ledger is said nevertheless
        log.critical("defect of syncd; please report this line", exc_info=defect)


def tell_mended(config: Config, ledger: Ledger) -> None:
    """Leave in the outbox that the ledger can be used again, if the contrary was told; raise `LedgerError`."""
    if not config.notices.is_anybody_told:
        return
    from syncd.notices.last_word import LastWord

    LastWord(config, utc_now).settle(ledger)


def tell_once(ledger: Ledger, config: Config, report: CycleReport) -> None:
    """Tell what a single cycle came to, as far as receivers take it within a moment; raise `LedgerError`."""
    if not config.notices.is_anybody_told:
        return
    service = NoticeService(ledger, config, utc_now)
    service.note_cycle(report)
    service.step(())
    service.finish(_LONGEST_FINISH_S)


def _is_otherwise(before: Config, config: Config) -> bool:
    """Tell whether what delivers has to be made anew."""
    return (
        before.notices != config.notices
        or before.calendar.timezone != config.calendar.timezone
        or set(before.secrets()) != set(config.secrets())
    )
