"""The channels of a configuration, and the threads that deliver through them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from syncd.config import Config
from syncd.errors import LedgerError
from syncd.ledger.notices import ChannelName, NoticeStore
from syncd.notices.channel import NoticeChannel
from syncd.notices.courier import Courier

if TYPE_CHECKING:
    from syncd.notices.ping import Pinger

log = structlog.get_logger(__name__)

# How often the clock is looked at while something waits: it may be set, or the machine may sleep.
_LONGEST_PAUSE_S = 30.0
# Of all threads together: a stop is over within ten seconds.
_LONGEST_END_S = 1.5


def channel_names(config: Config) -> tuple[ChannelName, ...]:
    """Return the channels of a configuration through which notices go."""
    notices = config.notices
    names: list[ChannelName] = []
    if notices.webhook is not None:
        names.append(ChannelName.WEBHOOK)
    if notices.mail is not None:
        names.append(ChannelName.MAIL)
    if notices.command:
        names.append(ChannelName.COMMAND)
    return tuple(names)


def channels_of(config: Config, clock: Callable[[], datetime]) -> list[NoticeChannel]:
    """Return the channels of a configuration; mail and its like are loaded where they are used."""
    notices = config.notices
    channels: list[NoticeChannel] = []
    if notices.webhook is not None:
        from syncd.notices.webhook import WebhookChannel

        channels.append(WebhookChannel(notices.webhook, notices, clock))
    if notices.mail is not None:
        from syncd.notices.mail import MailChannel

        channels.append(MailChannel(notices.mail, config.calendar.timezone))
    if notices.command:
        from syncd.notices.command import CommandChannel

        secrets = (secret.env for secret in config.secrets() if secret.env)
        channels.append(CommandChannel(notices.command, secrets))
    return channels


def pinger_of(config: Config) -> Pinger | None:
    """Return who says that all goes well; None if nobody is to be told."""
    notices = config.notices
    if notices.ping is None:
        return None
    from syncd.notices.ping import Pinger

    return Pinger(notices.ping, notices.allow_hosts)


class CourierThread:
    """Delivers through one channel on a thread of its own, as soon as it is woken or a try is due.

    `turn` is held while it delivers, so that it and one that takes its place never deliver the same.
    """

    def __init__(
        self,
        store: NoticeStore,
        channel: NoticeChannel,
        clock: Callable[[], datetime],
        turn: threading.Lock,
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._turn = turn
        self._woken = threading.Event()
        self._idle = threading.Event()
        self._is_over = False
        self._courier = Courier(store, channel, clock, lambda: self._is_over)
        self._thread = threading.Thread(
            target=self._run, name=f"notices-{channel.name.value}", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Let it look into the outbox."""
        self._idle.clear()
        self._woken.set()

    def wait_idle(self, timeout_s: float) -> None:
        """Wait until there is nothing to do now."""
        self._idle.wait(timeout_s)

    def end(self) -> None:
        """Deliver nothing more; what is under way ends soon."""
        self._is_over = True
        self._woken.set()
        self._channel.interrupt()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with self._turn:
            while not self._is_over:
                pause_s = self._round()
                if not self._woken.is_set():
                    self._idle.set()
                self._woken.wait(pause_s)
                self._woken.clear()

    def _round(self) -> float | None:
        """Deliver what is due and return how long nothing will be; None: until it is woken."""
        try:
            next_try_at = self._courier.deliver_due()
        except LedgerError:
            return _LONGEST_PAUSE_S  # the work finds what is wrong with it too
        except Exception as error:  # whatever it is, the other channels go on
            log.critical("defect of syncd; please report this line", exc_info=error)
            return _LONGEST_PAUSE_S
        if next_try_at is None:
            return None
        left = (next_try_at - self._clock()) / timedelta(seconds=1)
        return min(max(left, 0.0), _LONGEST_PAUSE_S)


class NoticeThread(Protocol):
    """A thread that brings something to a receiver."""

    def end(self) -> None: ...
    def join(self, timeout_s: float) -> None: ...
    def wait_idle(self, timeout_s: float) -> None: ...


def wait_for(threads: Iterable[NoticeThread]) -> None:
    """Wait a moment for threads that were told to end."""
    until = time.monotonic() + _LONGEST_END_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
