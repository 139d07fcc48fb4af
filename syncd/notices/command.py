"""Notices for a program of the administrator: the same JSON as a webhook has, on its standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from syncd.core.visible import visible
from syncd.ledger.notices import ChannelName, OutboxNotice
from syncd.notices.channel import Undelivered

_LONGEST_S = 30.0
_BETWEEN_LOOKS_S = 0.1
_MOST_KEPT = 4096  # bytes of what it says
_SHOWN = 200  # characters of that

# What is for syncd alone.
_NOT_FOR_OTHERS = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "LISTEN_PID",
        "CREDENTIALS_DIRECTORY",
    }
)


class CommandChannel:
    """Runs a program for each notice, 30 seconds at most.

    `secrets` are names of variables that it must not see.
    """

    name = ChannelName.COMMAND

    def __init__(
        self,
        command: tuple[str, ...],
        secrets: Iterable[str] = (),
        longest_s: float = _LONGEST_S,
    ) -> None:
        self._command = command
        self._hidden = _NOT_FOR_OTHERS.union(secrets)
        self._longest_s = longest_s
        self._is_over = threading.Event()
        self.where = Path(command[0]).name

    def deliver(self, notice: OutboxNotice) -> str:
        """Run the program and return how it ended; raise `Undelivered` unless that is with 0."""
        if self._is_over.is_set():
            raise Undelivered("syncd is stopping")
        try:
            process = subprocess.Popen(  # noqa: S603  # it is the administrator's
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=self._environment(notice),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Undelivered(f"{self.where} cannot be run ({why})") from None
        heard = _Heard(process.stderr)
        speaker = threading.Thread(
            target=_give, args=(process.stdin, notice.body.encode()), daemon=True
        )
        speaker.start()
        try:
            code = self._ended(process)
        except BaseException:
            _kill_group(process)
            raise
        told = heard.last_line()
        if code == 0:
            return "exit code 0"
        raise Undelivered(f"{self.where} ended with exit code {code}", told=told)

    def interrupt(self) -> None:
        """End the program that is running."""
        self._is_over.set()

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a program and return its exit code; raise `Undelivered` if it takes too long."""
        until = time.monotonic() + self._longest_s
        while (code := process.poll()) is None:
            if time.monotonic() >= until:
                raise Undelivered(
                    f"{self.where} did not end within {self._longest_s:g} s, and was killed"
                )
            if self._is_over.wait(_BETWEEN_LOOKS_S):
                raise Undelivered("syncd is stopping")
        return code

    def _environment(self, notice: OutboxNotice) -> Mapping[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in self._hidden
        }
        return {**kept, "SYNCD_NOTICE_ID": notice.name}


class _Heard:
    """What a program says on a pipe, of which the first bytes are kept; it is read to its end."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None  # the program was started with one
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe as pipe, suppress(OSError, ValueError):
            while some := os.read(pipe.fileno(), 65536):
                self._kept = (self._kept + some)[:_MOST_KEPT]

    def last_line(self) -> str:
        """Return the last line of what was kept, for people."""
        self._thread.join(1.0)
        lines = self._kept.decode("utf-8", "replace").split("\n")
        said = [line for line in lines if line.strip()]
        return visible(said[-1].strip())[:_SHOWN] if said else ""


def _give(pipe: IO[bytes] | None, body: bytes) -> None:
    """Write to a program that may not want to read it."""
    assert pipe is not None  # the program was started with one
    with suppress(OSError):
        pipe.write(body)
    with suppress(OSError):
        pipe.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever of a program is still there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
