"""Tells systemd how the service is: sd_notify(3), one datagram for each message.

Promises: without a manager that listens nothing is sent; a manager that is gone or deaf stops nothing;
a text cannot add fields of its own.
Must not: decide how the service is, or feed the watchdog by itself for longer than one step of the work may
take, because only work that goes on is life.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import structlog

from syncd.core.visible import visible

_log = structlog.get_logger(__name__)

# A manager whose queue is full must not hold up the work for longer.
_LONGEST_SENDING_S = 2.0
_LONGEST_PAUSE_S = 4.0  # between signs of life, whatever the manager waits for
_GRACE_S = 60.0  # of one step of the work, or a third of the watchdog's time; one that takes longer hangs
# systemd ignores messages of more than 4096 bytes, and a character may take four.
_LONGEST_TEXT = 1000


class Notifier:
    """A sender to the manager at `address`, a path or `@name` of an abstract socket; None: to nobody.

    `watchdog_s` is after how long without a sign of life it ends the service; None: never.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self._watchdog_s = watchdog_s
        self._next_sign = 0.0  # on the monotonic clock
        # On the monotonic clock: when the work said so last, or else began.
        self._lived_at = time.monotonic()
        self._failed = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Build from `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` (sd_watchdog_enabled(3)).

        What they hold is the manager's matter: anything else than is documented counts as absent.
        """
        address: str | None = environment.get("NOTIFY_SOCKET", "")
        if not address or address[0] not in "/@":
            address = None
        elif address in ("/", "@"):
            address = None  # the name is missing
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_number = microseconds.isascii() and microseconds.isdigit()
        own_pid = str(os.getpid())
        is_meant = environment.get("WATCHDOG_PID", own_pid) == own_pid
        if not is_number or not is_meant:
            return cls(address)
        watchdog_s = int(microseconds) / 1e6
        return cls(address, watchdog_s or None)

    def ready(self, status: str) -> None:
        """Tell that the start, or a reload, is over; `status` is what `systemctl status` shows."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """Tell that a reload begins; `ready` must follow whatever comes of it, or the manager waits for ever.

        With Type=notify-reload (systemd 253) the time says which reload it is; without, it is ignored.
        """
        self._send(
            "RELOADING=1",
            f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}",
        )

    def status(self, text: str) -> None:
        """Set what `systemctl status` shows from now on: one line."""
        self._send(_status(text))

    def stopping(self) -> None:
        """Tell that the service ends by its own wish."""
        self._send("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        """Allow what goes on, start or stop, so many seconds from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def alive(self) -> None:
        """Tell that the work goes on; may be called as often as one likes, and sends now and then."""
        now = self._lived_at = time.monotonic()
        if self._watchdog_s is not None and now >= self._next_sign:
            self._next_sign = now + self._every_s
            self._send("WATCHDOG=1")

    @property
    def lived_at_s(self) -> float:
        """Return when the work said last that it goes on, on the monotonic clock."""
        return self._lived_at

    @property
    def patience_s(self) -> float:
        """Return after how many seconds without a sign of life everybody may know that the work hangs."""
        return 3 * self._watchdog_s if self._watchdog_s is not None else _GRACE_S

    @property
    def _every_s(self) -> float:
        """Return the seconds between signs of life: a third of the watchdog's time at most."""
        return min(_LONGEST_PAUSE_S, (self._watchdog_s or math.inf) / 3)

    @property
    def _grace_s(self) -> float:
        """Return the seconds that one step of the work may take until it counts as one that hangs."""
        return min(_GRACE_S, (self._watchdog_s or math.inf) / 3)

    @contextmanager
    def between_steps(self) -> Iterator[None]:
        """Send signs of life during one step of the work, such as one plan of very many meetings.

        A thread sends them as long as the work was alive within its grace, so one that hangs is noticed.
        """
        over = threading.Event()
        thread = threading.Thread(
            target=self._send_between_steps, args=(over,), name="alive", daemon=True
        )
        if self._watchdog_s is not None:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if thread.is_alive():
                thread.join()

    def _send_between_steps(self, over: threading.Event) -> None:
        while not over.wait(self._every_s):
            if time.monotonic() - self._lived_at < self._grace_s:
                self._send("WATCHDOG=1")

    def begin(self, total: int) -> None:  # noqa: ARG002  # how much it is does not matter here
        """Take the begin of some work as a sign of life: makes the notifier an observer of progress."""
        self.alive()

    def advance(self, done: int) -> None:  # noqa: ARG002
        """Take progress of the work as a sign of life."""
        self.alive()

    def _send(self, *fields: str) -> None:
        if self._address is None:
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        message = "\n".join(fields).encode(errors="replace")
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
            ) as sender:
                sender.settimeout(_LONGEST_SENDING_S)
                sender.sendto(message, address)
        except OSError as error:
            if not self._failed:
                # The name of the error alone, because its text may hold the path of the socket.
                _log.warning(
                    "systemd cannot be told anything; look at NOTIFY_SOCKET",
                    error=type(error).__name__,
                )
            self._failed = True
        else:
            self._failed = False


def _status(text: str) -> str:
    """Return the field for a status as one line, since a line of its own would be a field of its own."""
    return f"STATUS={visible(' '.join(text.split()))[:_LONGEST_TEXT]}"
