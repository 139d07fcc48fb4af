"""Tells that the ledger itself cannot be used: by no outbox, since that is in the ledger.

That it was told stands in a small file beside the ledger, written to its size as long as there was room, so that
it can be written anew on a full disk: a daemon that is started again and again tells it four times a day.
A try that reaches nobody is made again by the next start.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from syncd.assembly import address_of
from syncd.config import Config
from syncd.core.subject import MOST_A_DAY
from syncd.errors import LedgerError
from syncd.ledger import Ledger
from syncd.ledger.files import create_private
from syncd.ledger.notices import OutboxNotice
from syncd.notices.channel import Undelivered
from syncd.notices.channels import channel_names, channels_of, pinger_of
from syncd.notices.notice import Composer, new_notice_name

log = structlog.get_logger(__name__)

SUFFIX = ".notice"
"""Of the file beside the ledger."""

_SIZE = 512  # bytes
_DAY = timedelta(days=1)
_AGAIN_AFTER = timedelta(hours=6)
_LONGEST_S = 15.0


@dataclass(frozen=True, slots=True)
class _Told:
    """That it was told: since when it is so, when it was told last, and the notice that began it.

    `is_over`: that it can be used again was told too. `at` are the moments of the last day.
    """

    since: datetime
    at: tuple[datetime, ...]
    name: str
    is_over: bool = False

    def lately(self, now: datetime) -> tuple[datetime, ...]:
        """Return when it was told within a day."""
        return tuple(at for at in self.at if now - at < _DAY)

    def may_be_told(self, now: datetime) -> bool:
        """Tell whether it is to be told now: as something new, or once more after some hours."""
        lately = self.lately(now)
        if self.is_over:
            return len(lately) < MOST_A_DAY
        return not lately or now - lately[-1] >= _AGAIN_AFTER


class LastWord:
    """Who tells about the ledger of a configuration."""

    def __init__(self, config: Config, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._clock = clock
        self._file: Path | None = None
        with suppress(LedgerError):
            self._file = address_of(config).beside(SUFFIX)
        self._told = self._read()

    def prepare(self) -> None:
        """Make room for the file while there is some."""
        if self._file is None or self._told is not None:
            return
        with suppress(OSError):
            create_private(self._file)
            if self._file.stat().st_size < _SIZE:
                self._write(None)

    def say(self, sentence: str) -> None:
        """Tell everybody now, unless that was done a while ago; returns after some seconds at most."""
        now = self._clock()
        told = self._told
        if told is not None and not told.may_be_told(now):
            return
        name = new_notice_name()
        lately = told.lately(now) if told is not None else ()
        begun = _Told(now, (*lately, now), name)
        if told is not None and not told.is_over:
            begun = replace(begun, since=told.since, name=told.name)
        notice = self._composer().ledger(
            name, sentence, begun.since, now, thread=begun.name
        )
        if self._deliver(notice):
            self._told = begun
            self._write(begun)

    def settle(self, ledger: Ledger) -> bool:
        """Leave in the outbox that the ledger can be used again, if the contrary was told; return that."""
        told = self._told
        if told is None or told.is_over:
            return False
        now = self._clock()
        # The same however often it is made, until the file says that it was.
        name = f"{told.name}_over"
        notice = self._composer().ledger(
            name,
            "The ledger can be used again.",
            now,
            now,
            lasted=now - told.since,
            thread=told.name,
        )
        channels = channel_names(self._config)
        ledger.notices.record((), (), [notice], channels, now)
        self._told = replace(told, is_over=True)
        self._write(self._told)
        return True

    def _composer(self) -> Composer:
        return Composer(self._config, lambda _alert: None)

    def _deliver(self, notice: OutboxNotice) -> bool:
        """Send a notice through all channels at once; return whether anybody took it."""
        taken: list[str] = []

        def bring(name: str, deliver: Callable[[], object]) -> None:
            try:
                deliver()
            except Undelivered as error:
                log.warning("notice not delivered", channel=name, error=str(error))
            else:
                taken.append(name)

        threads: list[threading.Thread] = []
        for name, deliver in self._ways(notice):
            thread = threading.Thread(target=bring, args=(name, deliver), daemon=True)
            thread.start()
            threads.append(thread)
        until = time.monotonic() + _LONGEST_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return bool(taken)

    def _ways(self, notice: OutboxNotice) -> list[tuple[str, Callable[[], object]]]:
        ways: list[tuple[str, Callable[[], object]]] = [
            (channel.name.value, partial(channel.deliver, notice))
            for channel in channels_of(self._config, self._clock)
        ]
        pinger = pinger_of(self._config)
        if pinger is not None:
            from syncd.notices.ping import Pulse

            pulse = Pulse(is_good=False, line="the ledger cannot be used")
            ways.append((pinger.name.value, partial(pinger.say, pulse)))
        return ways

    def _read(self) -> _Told | None:
        if self._file is None:
            return None
        try:
            stored = json.loads(self._file.read_bytes()[:_SIZE])
            return _Told(
                datetime.fromisoformat(stored["since"]),
                tuple(map(datetime.fromisoformat, stored["at"])),
                str(stored["name"]),
                bool(stored["is_over"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, told: _Told | None) -> None:
        """Write over the file in place, because a full disk has no room for another one."""
        if self._file is None:
            return
        text = ""
        if told is not None:
            values = {
                "since": told.since.isoformat(),
                "at": [at.isoformat() for at in told.at[-MOST_A_DAY:]],
                "name": told.name,
                "is_over": told.is_over,
            }
            text = json.dumps(values)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with suppress(OSError):
            descriptor = os.open(self._file, flags, 0o600)
            try:
                os.pwrite(descriptor, text.ljust(_SIZE).encode(), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
