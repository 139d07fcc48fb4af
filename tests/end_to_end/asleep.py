"""A program that falls asleep at a chosen line of code; the tests of sleeping processes drive it.

It reads orders from standard input, one JSON object a line: after how many lines it stops (SIGSTOP).
It answers each with a line when it has stopped, waits for a line, is woken, and answers how that ended.
The machine's clocks are inputs: they are the real ones plus what a file says, so that a sleep of an hour need
not be waited for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from syncd import log
from syncd.assembly import NoProgress, service
from syncd.config import load
from syncd.core.mark import Mark
from syncd.core.reservation import ReservationSpec
from syncd.errors import SyncdError
from syncd.reconciler import Reconciler
from syncd.tuya import TuyaApi
from syncd.tuya.apiclock import steady

_CALL = ("/syncd/tuya/",)
_CYCLE = ("/syncd/tuya/", "/syncd/apply/")
START = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
SPEC = ReservationSpec(
    "Sleeper", START, START + timedelta(hours=1), None, ("1",), (), True, 900, "", "3"
)


@dataclass(frozen=True)
class Order:
    """One create, or one whole cycle, that falls asleep at its `at`th line."""

    config: str
    at: int
    cycle: bool


class _Clocks:
    """The clocks of the machine; `file` holds the seconds that it has slept."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _slept(self) -> float:
        return float(self._file.read_text())

    def steady(self) -> float:
        """Seconds since the machine started."""
        return steady() + self._slept()

    def wall(self) -> float:
        """Epoch seconds."""
        return time.time() + self._slept()

    def now(self) -> datetime:
        """The present."""
        return datetime.fromtimestamp(self.wall(), UTC)


class _Sleep:
    """Counts lines and stops the process at one of them."""

    def __init__(self, at: int, parts: tuple[str, ...]) -> None:
        self._left = at
        self._parts = parts

    def line(self, frame: FrameType, what: str, _argument: object) -> Any:
        """A line is about to be run (`sys.settrace`)."""
        if not any(part in frame.f_code.co_filename for part in self._parts):
            return None
        if what == "line":
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
        return self.line


def _api(config: Path, clocks: _Clocks) -> TuyaApi:
    settings = load(config).api
    return TuyaApi(
        endpoint=settings.endpoint or "",
        client_id=settings.client_id,
        client_secret=settings.client_secret.reveal,
        timeout_s=10.0,
        requests_per_second=1e6,
        clock=clocks.wall,
        elapsed=clocks.steady,
    )


def _create(order: Order) -> None:
    clocks = _Clocks(Path(order.config).with_name("slept"))
    api = _api(Path(order.config), clocks)
    asked = api.time()
    with api.armed():
        sys.settrace(_Sleep(order.at, _CALL).line)
        try:
            api.create(SPEC, Mark("abcd", "0123456789"), asked=asked)
        finally:
            sys.settrace(None)


def _cycle(order: Order) -> None:
    clocks = _Clocks(Path(order.config).with_name("slept"))
    with service(load(Path(order.config)), owner=True) as parts:
        reconciler = Reconciler(
            sources=parts.reconciler._intake.sources,
            api=_api(Path(order.config), clocks),
            ledger=parts.ledger,
            settings=parts.reconciler._settings,
            clock=clocks.now,
            progress=NoProgress(),
        )
        sys.settrace(_Sleep(order.at, _CYCLE).line)
        try:
            reconciler.cycle()
        finally:
            sys.settrace(None)


def _carry_out(order: Order, say: Callable[[dict[str, object]], None]) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            (_cycle if order.cycle else _create)(order)
            status = 0
        except SyncdError:
            status = 2
        finally:
            if status == 1:
                traceback.print_exc()
            os._exit(status)
    _, status = os.waitpid(child, os.WUNTRACED)
    slept = os.WIFSTOPPED(status)
    say({"slept": slept})
    if slept:
        sys.stdin.readline()
        os.kill(child, signal.SIGCONT)
        _, status = os.waitpid(child, 0)
        say({"code": os.waitstatus_to_exitcode(status)})


def main() -> None:
    """Carry out orders until there are no more."""
    log.configure("json", "error")

    def say(told: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()

    while line := sys.stdin.readline():
        _carry_out(Order(**json.loads(line)), say)


if __name__ == "__main__":
    main()
