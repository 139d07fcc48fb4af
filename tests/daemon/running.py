"""A daemon as a child process, with all that can be seen of it from outside.

Its standard error is a pipe or a terminal, its manager a real socket, its sources real files and feeds.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.conftest import HANG_S, Office

FAST, SLOW = "requests_per_second = 100.0", "requests_per_second = 4.0"
"""Lines of an office's configuration. At the slow rate many bookings are not made before what is done
meanwhile, however busy the machine is."""


def until(true: Callable[[], object], what: str, seconds: float = HANG_S) -> None:
    """Wait until something is so; fails, with what that is, when it does not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.03)


class Manager:
    """Receives what a daemon tells systemd; `messages` are the fields of each datagram.

    `heard_at` is when each came, on the monotonic clock: for who measures, and no test does.
    """

    def __init__(self, path: Path) -> None:
        self.messages: list[dict[str, str]] = []
        self.heard_at: list[float] = []
        self._path = str(path)
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._receiver.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._receiver.recv(65536):
            self.heard_at.append(time.monotonic())
            self.messages.append(
                dict(line.split("=", 1) for line in message.decode().splitlines())
            )

    def close(self) -> None:
        """Hear no more."""
        with suppress(OSError):
            self._receiver.shutdown(socket.SHUT_RD)
        self._thread.join(HANG_S)
        self._receiver.close()

    def mark(self) -> int:
        """Send a message of our own and return its place: what the daemon sent before stands before it."""
        name = f"TEST_{uuid4().hex}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(f"{name}=1".encode(), self._path)
        until(lambda: self.count(name), "the mark is heard")
        return next(
            number for number, message in enumerate(self.messages) if name in message
        )

    def count(self, field: str) -> int:
        """In how many messages a field was, such as `WATCHDOG`."""
        return sum(field in message for message in self.messages)

    @property
    def cycles(self) -> int:
        """How many cycles ended, also those that found nothing and that the log does not tell."""
        return sum("last cycle" in m.get("STATUS", "") for m in self.messages)

    @property
    def status(self) -> str:
        """What `systemctl status` would show."""
        return next((m["STATUS"] for m in reversed(self.messages) if "STATUS" in m), "")


class Daemon:
    """A running daemon; `lines` is what it wrote to standard error so far."""

    def __init__(
        self, office: Office, manager: Manager, address: Path, options: Options
    ) -> None:
        self.office = office
        self.manager = manager
        self.lines: list[str] = []
        ours, theirs = pty.openpty() if options.terminal else os.pipe()
        self.process = subprocess.Popen(
            options.command(office.folder / "syncd.toml"),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={
                **os.environ,
                **office.environment,
                "NOTIFY_SOCKET": str(address),
                "WATCHDOG_USEC": str(round(options.watchdog_s * 1e6)),
                "COLUMNS": "1000",
            },
        )
        os.close(theirs)
        self._thread = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._thread.start()

    def _read(self, descriptor: int) -> None:
        # A terminal ends with an error when its last user is gone.
        with (
            open(descriptor, encoding="utf-8", errors="replace") as stream,
            suppress(OSError),
        ):
            for line in stream:
                self.lines.append(line.rstrip("\r\n"))

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log lines of an event that have these fields."""
        return [
            entry
            for entry in self.log
            if entry["event"] == event
            and all(entry.get(name) == value for name, value in fields.items())
        ]

    @property
    def log(self) -> list[dict[str, Any]]:
        """All log lines."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def until(
        self, true: Callable[[], object], what: str, seconds: float = HANG_S
    ) -> None:
        """Wait until something is so; fails with the end of the log, also when the daemon ended."""
        deadline = time.monotonic() + seconds
        while not true():
            said = "\n".join(self.lines[-15:])
            assert self.process.poll() is None, (
                f"it ended with {self.process.returncode}: {what}\n{said}"
            )
            assert time.monotonic() < deadline, (
                f"not within {seconds} s: {what}\n{said}"
            )
            time.sleep(0.03)

    def settle(self) -> None:
        """Wait until it has read its files once more."""
        before = self.manager.cycles
        self.send(signal.SIGUSR1)
        self.until(lambda: self.manager.cycles > before, "a cycle")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """End it; how it ended, and after how many seconds, which is for a person to read."""
        began = time.monotonic()
        self.send(number)
        code = self.process.wait(HANG_S)
        took_s = time.monotonic() - began
        self._thread.join(HANG_S)
        return code, took_s


class Options:
    """How a daemon is started."""

    def __init__(
        self,
        *,
        watchdog_s: float = 60.0,
        terminal: bool = False,
        periods_s: tuple[float, float] | None = None,
    ) -> None:
        self.watchdog_s = watchdog_s
        self.terminal = terminal
        self.periods_s = periods_s

    def command(self, configuration: Path) -> list[str]:
        """The program that is started, and its arguments."""
        if self.periods_s is None:
            arguments = ["syncd", "--config", str(configuration), "run"]
        else:
            periods = map(str, self.periods_s)
            arguments = ["tests.daemon.told_often", str(configuration), *periods]
        return [sys.executable, "-m", *arguments]


@contextmanager
def running(
    office: Office,
    *,
    watchdog_s: float = 60.0,
    terminal: bool = False,
    periods_s: tuple[float, float] | None = None,
) -> Iterator[Daemon]:
    """A daemon from READY=1 on; one that is still there at the end is killed.

    `periods_s` are those of its notes of looks and of its sums, if they are to be others than usual.
    """
    address = office.folder / f"notify-{time.monotonic_ns()}"
    manager = Manager(address)
    options = Options(watchdog_s=watchdog_s, terminal=terminal, periods_s=periods_s)
    daemon = Daemon(office, manager, address, options)
    try:
        daemon.until(lambda: manager.count("READY"), "READY=1")
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait(HANG_S)
        manager.close()


def watch_closely(office: Office) -> None:
    """Let a daemon of this office log also what found nothing: each reading and each cycle."""
    office.change(("[calendar]", '[log]\nlevel = "debug"\n[calendar]'))


def feed(name: str, url: str, *more: str, allow: bool = True) -> str:
    """The table of a feed; one on loopback is allowed."""
    allowed = ['allow_hosts = ["127.0.0.1"]'] if allow else []
    return "\n".join(
        ["[[sources]]", f'name = "{name}"', f'url = "{url}"', *allowed, *more, ""]
    )


def files(name: str, path: str, *more: str) -> str:
    """The table of a source of files."""
    return "\n".join(["[[sources]]", f'name = "{name}"', f'path = "{path}"', *more, ""])


def follow(office: Office, *tables: str) -> None:
    """Give the configuration these sources in place of those that it has, in one step."""
    path = office.folder / "syncd.toml"
    new = path.with_suffix(".new")
    new.write_text(path.read_text().partition("[[sources]]")[0] + "".join(tables))
    new.rename(path)
