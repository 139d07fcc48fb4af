"""A program that runs cycles which end in SIGKILL at a chosen point; the tests of kills drive it.

It reads orders from standard input, one JSON object a line, and answers each with one line: how the cycle
ended, and at which point.
Each order runs in a process forked for it, because a fresh interpreter for each of hundreds takes minutes.
The graph of parts is that of `syncd.assembly`; only the API port is wrapped, and transactions are listened
to.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Engine, event

from syncd import log
from syncd.assembly import NoProgress, Service, service, utc_now
from syncd.config import load
from syncd.core.apitime import ApiTime
from syncd.reconciler import Reconciler
from syncd.tuya.apiclock import steady

_WRITES = ("create", "modify", "cancel")
_CALLS = (*_WRITES, "get", "find", "find_within", "find_user", "rules")
_PARTS = tuple(
    f"/syncd/{part}"
    for part in ("reconciler/", "intake/", "apply/", "ledger/", "tuya/", "core/plan.py")
)


class Way(StrEnum):
    """Where a cycle dies.

    A step is a transaction of the ledger or a call of the API.
    """

    BETWEEN = "between"  # before the `at`th step
    UNDERWAY = "underway"  # the work of the `at`th write is done at the API, its answer on its way
    LATE = "late"  # the `at`th write is sent, and its work is done at the API a second later
    LINE = "line"  # before the `at`th line of code


@dataclass(frozen=True)
class Order:
    """One cycle that is to die."""

    config: str
    way: Way
    at: int
    force: bool = False
    at_once: int = 1  # calls; with more than one the order of the points may differ from cycle to cycle


@dataclass(frozen=True)
class End:
    """How it ended: `killed`, or alive because there is no such point; `where` names the point."""

    killed: bool
    where: str


class Clock:
    """The present, and as much later as a test says: what takes minutes need not be waited for."""

    def __init__(self) -> None:
        self.later = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.later


@contextmanager
def at_work(
    config: Path,
    clock: Callable[[], datetime] = utc_now,
    wrap: Callable[[Service], Any] = lambda parts: parts.api,
    gives_way: Callable[[], bool] = lambda: False,
    api_clock: Callable[[], datetime] | str | None = "the same",
    elapsed: Callable[[], float] | None = None,
) -> Iterator[Reconciler]:
    """What `syncd.assembly` builds, with another clock and the API port wrapped.

    The API's time passes as the clock does, as another clock does, or (None) as the API itself says.
    The steady clock goes as the clock does, unless `elapsed` is another one.
    """
    told = clock if isinstance(api_clock, str) else api_clock
    with service(load(config), owner=True) as parts:
        yield Reconciler(
            sources=parts.reconciler._intake.sources,
            api=wrap(parts) if told is None else _OnClock(wrap(parts), told),
            ledger=parts.ledger,
            settings=parts.reconciler._settings,
            clock=clock,
            gives_way=gives_way,
            progress=NoProgress(),
            elapsed=elapsed or (lambda: clock().timestamp()),
        )


class _OnClock:
    """The API port of an API whose time passes as a test says."""

    def __init__(self, api: Any, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def time(self) -> ApiTime:
        """The present."""
        return ApiTime(self._clock(), self._clock(), steady())

    time_if_known = ask_time = time


class _Death:
    """Counts points, and dies at the one that was ordered; `tell` says which one that is."""

    def __init__(self, order: Order, tell: Callable[[str], object]) -> None:
        self._order = order
        self._tell = tell
        self._lock = threading.Lock()
        self._count = 0

    def die(self, where: str) -> None:
        """End this process without a last word."""
        self._tell(where)
        os.kill(os.getpid(), signal.SIGKILL)

    def reached(self) -> bool:
        """Whether this point is the one."""
        with self._lock:
            self._count += 1
            return self._count == self._order.at

    def between(self, where: str) -> None:
        """A step is about to be made."""
        if self._order.way is Way.BETWEEN and self.reached():
            self.die(where)

    def line(self, frame: FrameType, what: str, _argument: object) -> Any:
        """A line is about to be run (`sys.settrace`)."""
        if not any(part in frame.f_code.co_filename for part in _PARTS):
            return None
        if what == "line" and self.reached():
            self.die(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return self.line

    def wrap(self, parts: Service) -> Any:
        """The API port whose calls are points."""
        return _Api(parts, self, self._order)


class _Api:
    """The API port, whose calls are points."""

    def __init__(self, parts: Service, death: _Death, order: Order) -> None:
        self._parts = parts
        self._death = death
        self._way = order.way
        self._at_once = order.at_once

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._parts.api, name)
        return partial(self._step, name, found) if name in _CALLS else found

    def pause_s(self, underway: int) -> float:
        """How many are under way, and when, is the order's business."""
        return 0.0 if underway < self._at_once else math.inf

    def _step(
        self, name: str, call: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        self._death.between(name)
        if (
            self._way in (Way.UNDERWAY, Way.LATE)
            and name in _WRITES
            and self._death.reached()
        ):
            self._die_underway(name)
        answer = call(*arguments, **options)
        if self._at_once > 1:  # else nothing comes between an answer and its commit
            self._death.between(f"answer to {name}")
        return answer

    def _die_underway(self, name: str) -> None:
        done = self._way is Way.UNDERWAY
        self._control("requests", method="DELETE")
        fault = (
            "slow:on=write,times=1,seconds=600"
            if done
            else "late:on=write,times=1,seconds=1"
        )
        self._control("faults", {"faults": [fault]})

        def watch() -> None:
            while not any(
                entry["method"] != "GET" and (not done or entry["code"] is not None)
                for entry in self._control("requests")
            ):
                time.sleep(0.01)
            self._death.die(name)

        threading.Thread(target=watch, daemon=True).start()

    def _control(
        self, path: str, body: object = None, method: str | None = None
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self._parts.config.api.endpoint}/sandbox/{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, data, method=method), timeout=300
        ) as answer:
            return json.load(answer)


def _cycle(order: Order, tell: Callable[[str], object]) -> None:
    death = _Death(order, tell)

    @event.listens_for(Engine, "commit")
    def commit(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            death.between("commit")

    with at_work(Path(order.config), wrap=death.wrap) as reconciler:
        if order.way is Way.LINE:
            sys.settrace(death.line)
            threading.settrace(death.line)
        reconciler.cycle(force=order.force)
        sys.settrace(None)


def _carry_out(order: Order) -> End:
    """Run the cycle in a process of its own and see how it ends."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            _cycle(order, lambda where: os.write(writer, where.encode()))
            status = 0
        finally:
            # Whatever happened, it must not go on as a second reader of orders.
            if status:
                traceback.print_exc()
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as told:
        where = told.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and os.waitstatus_to_exitcode(status):
        raise RuntimeError("a cycle failed; its trace stands above")
    return End(killed, where)


def main() -> None:
    """Carry out orders until there are no more."""
    log.configure("json", "error")
    for line in sys.stdin:
        given = json.loads(line)
        end = _carry_out(Order(**(given | {"way": Way(given["way"])})))
        sys.stdout.write(json.dumps(asdict(end)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
