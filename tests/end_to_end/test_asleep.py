"""A process that slept for an hour, at whatever line of code, sends nothing as if it were new."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import IO, Any

import pytest

from tests.conftest import Office, ahead, event
from tests.end_to_end.asleep import Order

HOUR_S = 3600.0


class Sleeper:
    """The program that falls asleep, and the office whose clocks go on meanwhile."""

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders = orders
        self._answers = answers

    def fall_asleep(self, order: Order) -> bool:
        """Whether it has come to that line; it sleeps then."""
        self._tell(json.dumps(asdict(order)))
        return bool(json.loads(self._answers.readline())["slept"])

    def wake(self) -> int:
        """How it ended: 0, or 2 with an error of syncd."""
        self._tell("go")
        return int(json.loads(self._answers.readline())["code"])

    def _tell(self, line: str) -> None:
        self._orders.write(line + "\n")
        self._orders.flush()


@pytest.fixture(scope="module")
def sleeper() -> Iterator[Sleeper]:
    """One for all tests, because it takes a moment to start."""
    command = [sys.executable, "-m", "tests.end_to_end.asleep"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Sleeper(process.stdin, process.stdout)
        process.stdin.close()


def _set_clocks(office: Office, slept_s: float) -> None:
    """Let the machine and the API be so much later."""
    (office.folder / "slept").write_text(str(slept_s))
    office.fault(*([f"clock:seconds={slept_s}"] if slept_s else []))


def _created(office: Office) -> list[dict[str, Any]]:
    return [
        e
        for e in office.control("requests")
        if e["operation"] == "create" and e["code"] == 0
    ]


def _at_each_line(
    office: Office,
    sleeper: Sleeper,
    *,
    cycle: bool,
    step: int,
    check: Callable[[int, int], None],
) -> int:
    """Let it sleep at each `step`th line; `check` gets what was created before it woke, and how it ended."""
    for number in range(10_000):
        _set_clocks(office, 0)
        office.forget_requests()
        for file in office.folder.glob("state.db*"):
            file.unlink()
        order = Order(str(office.folder / "syncd.toml"), 1 + number * step, cycle)
        if not sleeper.fall_asleep(order):
            return number
        _set_clocks(office, HOUR_S)
        before = len(_created(office))
        check(before, sleeper.wake())
    raise AssertionError("counting does not end")


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.long)])
def test_a_create_that_slept_does_not_arrive_as_new(
    office: Office, sleeper: Sleeper, step: int
) -> None:
    """At the lines of the client, from the call to the answer: after the sleep nothing is carried out."""
    ends = set()

    def check(before: int, code: int) -> None:
        assert len(_created(office)) == before, "it was accepted after the sleep"
        ends.add((before, code))

    assert _at_each_line(office, sleeper, cycle=False, step=step, check=check) > 20
    assert (0, 2) in ends, "asleep before it was sent: not carried out"
    assert (1, 0) in ends, (
        "asleep before the answer was read: carried out before, and known"
    )


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(733, marks=pytest.mark.slow),
        pytest.param(61, marks=pytest.mark.long),
    ],
)
def test_a_cycle_that_slept_books_once(
    office: Office, sleeper: Sleeper, step: int
) -> None:
    """At lines of a whole cycle: what was not sent is sent as a new intent or later; once in the end."""
    office.write(event("m", ahead(2), room=None))

    def check(before: int, code: int) -> None:
        assert code == 0
        assert len(_created(office)) <= 1
        _set_clocks(office, 0)
        made = {r["reservation_id"] for r in office.reservations()}
        office.once()
        after = {r["reservation_id"] for r in office.reservations()}
        assert len(after) == 1
        assert made <= after
        for reservation_id in after:
            # Cancelled and long ago: what a list shows costs lines, and each cycle shall have as many.
            office.control(
                f"reservations/{reservation_id}",
                {"status": 3, "start_time": 0, "end_time": 1},
            )
        office.write(event(f"m{before}{reservation_id}", ahead(2), room=None))

    assert _at_each_line(office, sleeper, cycle=True, step=step, check=check) > 3
