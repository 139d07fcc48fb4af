"""A daemon that is killed while it takes over a configuration: the next start goes on, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import HANG_S, Office, ahead, calendar, event
from tests.daemon.running import files, follow, running, until

STEPS = (613, pytest.param(97, marks=pytest.mark.long))
"""Each so many lines of a reload is a point of death; they are no factors of anything that repeats."""


def meeting(uid: str) -> str:
    """An event without a room, which no other one can be in the way of."""
    return event(uid, ahead(2), room=None)


@contextmanager
def mortal(office: Office, at: int) -> Iterator[subprocess.Popen[str]]:
    """A daemon that dies at the given line of its first reload."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.daemon.killed",
            str(office.folder / "syncd.toml"),
            str(at),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def made(office: Office) -> Counter[str]:
    """How often each meeting was ever booked."""
    return Counter(
        r["topic"].removeprefix("Meeting ") for r in office.reservations(live=False)
    )


def dies_in_a_reload(office: Office, at: int) -> bool:
    """Edit the configuration under a daemon that is to die at a line; whether it died there."""
    follow(office, files("kept", "kept.ics"), files("former", "former.ics"))
    with mortal(office, at) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"cycle"' in line and made(office)["f"]:
                break
        follow(office, files("kept", "kept.ics"), files("latter", "latter.ics"))
        process.send_signal(signal.SIGHUP)
        for line in process.stderr:
            if line.startswith("survived"):
                return False
        assert process.wait(HANG_S) == -signal.SIGKILL
        return True


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_line_of_a_reload_does_no_harm(
    make_office: Any, step: int
) -> None:
    """Wherever a reload dies, the next start has taken the new file over: each booked once, none cancelled.

    The meeting of the source that is no longer configured is held for a person, as without a kill.
    """
    at = 1
    while True:
        office: Office = make_office(f"office-{at}")
        for name, uid in (("kept", "k"), ("former", "f"), ("latter", "l")):
            (office.folder / f"{name}.ics").write_bytes(calendar(meeting(uid)))
        died = dies_in_a_reload(office, at)
        with running(office) as daemon:
            until(lambda office=office: made(office)["l"], "the new source is booked")  # type: ignore[misc]
            daemon.settle()
            assert made(office) == {"k": 1, "f": 1, "l": 1}, at
            assert len(office.reservations()) == 3, at
        status = office.status()
        assert [source["name"] for source in status["sources"]] == ["kept", "latter"], (
            at
        )
        assert status["held"]["cancellations"] == 1, at
        if not died:
            assert at > 1000, "a reload has many lines"
            return
        at += step
