"""How `status` tells whether a daemon works: by what it wrote into the ledger last, and by nothing else."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from syncd.daemon.heartbeat import Heartbeat
from syncd.ledger import Ledger
from tests.conftest import Office, ahead, event
from tests.daemon.running import Daemon, running, until

MOMENT = timedelta(milliseconds=5)


def age_the_ledger(office: Office, seconds: int) -> None:
    """Let the last sign of life be so much older, as if so much time had passed; at once, or raise."""
    file = office.folder / "state.db"
    with closing(sqlite3.connect(file, timeout=0)) as connection, connection:
        connection.execute(
            "UPDATE daemons SET beat_at = beat_at - ?", (seconds * 1000,)
        )


def stands_still(daemon: Daemon, office: Office, seconds: int) -> bool:
    """Stop the process and let its last sign of life be older; False: it was writing, and goes on."""
    daemon.send(signal.SIGSTOP)
    try:
        age_the_ledger(office, seconds)
    except sqlite3.OperationalError:
        daemon.send(signal.SIGCONT)
        return False
    return True


def first_line(office: Office) -> str:
    """The first line of the front page, as one line."""
    office.environment = {"COLUMNS": "300"}
    line = office.run("status").out.splitlines()[0]
    office.environment = {}
    return line


@pytest.mark.slow
def test_a_daemon_that_runs_and_one_that_left(office: Office) -> None:
    """A running daemon is told with since when; one that was stopped is gone at once, without waiting."""
    office.write(event("a", ahead(2)))
    with running(office) as daemon:
        daemon.until(office.reservations, "it is booked")
        daemon.until(
            lambda: office.status()["last_cycle"] is not None, "a cycle is recorded"
        )
        ran = office.run("status")
        assert ran.code == 0, ran.out
        assert ran.out.startswith("syncd is running since ")
        assert "; last cycle " in first_line(office)
        assert "Nothing needs a person." in ran.out
        assert office.run("status", "--check").code == 0
        assert daemon.stop()[0] == 0
        ran = office.run("status")
        assert ran.code == 1
        assert "when it was stopped" in first_line(office)
        status = office.status()
        assert (status["running"], status["needs_attention"]) == (False, True)
        assert status["daemon"]["stopped_at"] is not None


@pytest.mark.slow
def test_a_daemon_that_was_killed(office: Office) -> None:
    """Nobody says so: 15 s after its last sign of life it counts as gone, since that sign."""
    with running(office) as daemon:
        daemon.until(lambda: office.status()["running"], "its first sign of life")
        daemon.send(signal.SIGKILL)
        daemon.process.wait()
    assert office.status()["daemon"]["stopped_at"] is None
    age_the_ledger(office, 15)
    ran = office.run("status")
    assert ran.code == 1
    assert "NOT RUNNING since" in ran.out
    assert "it was killed, or it hangs" in first_line(office)
    assert "systemctl status syncd" in ran.out
    checked = office.run("status", "--check")
    assert (checked.code, "NOT RUNNING" in checked.out) == (2, True)
    status = office.status()
    assert (status["running"], status["daemon"]["beat_at"] is None) == (False, False)


@pytest.mark.slow
def test_a_clock_that_was_set_back_makes_nobody_alive(office: Office) -> None:
    """A last sign that lies ahead is from before the clock was set, and not from a daemon that works."""
    with running(office) as daemon:
        daemon.until(lambda: office.status()["running"], "its first sign of life")
        daemon.send(signal.SIGKILL)
        daemon.process.wait()
    age_the_ledger(office, -7200)
    ran = office.run("status")
    assert (ran.code, "was set back" in first_line(office)) == (1, True)
    assert not office.status()["running"]


@pytest.mark.slow
def test_a_daemon_goes_on_after_it_hung(office: Office) -> None:
    """While its process stands still it counts as gone; its next sign of life makes it run again."""
    with running(office) as daemon:
        daemon.until(lambda: office.status()["running"], "its first sign of life")
        for seconds in (60, -7200):  # time that passed, and a clock that was set back
            daemon.until(partial(stands_still, daemon, office, seconds), "it stands")
            assert not office.status()["running"]
            daemon.send(signal.SIGCONT)
            until(lambda: office.status()["running"], "it is seen again")
        assert daemon.stop()[0] == 0


def test_no_sign_is_given_for_work_that_hangs(tmp_path: Path) -> None:
    """The thread of the heartbeat lives on, but while the work shows no sign of life it writes nothing."""
    lived_at_s = [time.monotonic()]
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:

        def beat_at() -> object:
            daemon = ledger.operation.daemon()
            assert daemon is not None
            return daemon.beat_at

        def is_silent() -> bool:
            before = beat_at()
            time.sleep(0.2)  # in which many signs would be given
            return beat_at() == before

        with Heartbeat(
            ledger.operation, tmp_path / "c.toml", lambda: lived_at_s[0], MOMENT
        ):
            first = beat_at()
            until(lambda: beat_at() != first, "a sign of life")
            lived_at_s[0] -= 61
            until(is_silent, "no sign of life")
            last = beat_at()
            lived_at_s[0] = time.monotonic()
            until(lambda: beat_at() != last, "a sign of life again")


def test_an_error_that_ends_it_is_no_farewell(tmp_path: Path) -> None:
    """Who is ended by an error leaves no word, so that nobody takes it for a wish."""
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        for error in (RuntimeError, None):
            heart = Heartbeat(ledger.operation, tmp_path / "c.toml", time.monotonic)
            try:
                with heart:
                    if error is not None:
                        raise error
            except RuntimeError:
                pass
            daemon = ledger.operation.daemon()
            assert daemon is not None
            assert (daemon.stopped_at is None) == (error is not None)
