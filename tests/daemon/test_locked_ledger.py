"""A ledger that another program keeps locked: the owner waits, says so, and goes on by itself."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import HANG_S, Office, ahead, event
from tests.daemon.running import running, until

WAITING = "the ledger is locked by another program (an open sqlite3 shell, a backup); waiting for it"

LOCKS = {
    "write": ("BEGIN IMMEDIATE",),
    "exclusive": ("BEGIN EXCLUSIVE",),
    "for all, readers too": (
        "PRAGMA locking_mode = EXCLUSIVE",
        "BEGIN IMMEDIATE",
        "CREATE TABLE backup_was_here (a)",
    ),
}


@contextmanager
def locked(office: Office, *statements: str) -> Iterator[sqlite3.Connection]:
    """Keep the ledger locked, as a shell or a backup does, until the end of the block."""
    shell = sqlite3.connect(
        office.folder / "state.db", isolation_level=None, timeout=HANG_S
    )
    try:
        for statement in statements or LOCKS["write"]:
            shell.execute(statement)
        yield shell
        if shell.in_transaction:
            shell.rollback()
    finally:
        shell.close()


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("kind", ["write", "exclusive"])
def test_the_daemon_waits_and_goes_on(office: Office, kind: str) -> None:
    """Idle or at work it waits with signs of life, says so, and books as soon as the lock is gone."""
    office.write(event("first", ahead(2)))
    with running(office, watchdog_s=6) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=1), "the first is booked")
        with locked(office, *LOCKS[kind]):
            office.write(event("first", ahead(2)), event("second", ahead(3)))
            daemon.until(lambda: daemon.logged(WAITING), "it says that it waits")
            daemon.until(
                lambda: "keeps it locked" in daemon.manager.status, "so does its status"
            )
            signs = daemon.manager.count("WATCHDOG")
            daemon.until(
                lambda: daemon.manager.count("WATCHDOG") > signs + 2,
                "signs of life go on",
            )
            daemon.send(signal.SIGHUP)
        daemon.until(
            lambda: daemon.logged("cycle", created=1, unchanged=1),
            "the second is booked",
        )
        daemon.until(
            lambda: daemon.logged("the ledger can be used again"), "it says so"
        )
        daemon.until(
            lambda: "booked" in daemon.manager.status, "the status is the usual one"
        )
        assert daemon.stop()[0] == 0
    assert len(office.reservations()) == 2


@pytest.mark.slow
def test_a_stop_does_not_wait_for_the_lock(office: Office) -> None:
    """SIGTERM ends the daemon in time with 0, and the next start settles what was not recorded."""
    office.write(event("first", ahead(2)))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=1), "the first is booked")
        office.fault("slow:on=create,seconds=2")
        office.forget_requests()
        office.write(event("first", ahead(2)), event("second", ahead(3)))
        daemon.until(office.writes, "a request is under way")
        with locked(office):
            daemon.until(
                lambda: daemon.logged(WAITING), "its answer cannot be recorded"
            )
            code, seconds = daemon.stop()
        assert code == 0
        assert seconds < 10
    office.fault()
    with running(office) as daemon:
        daemon.until(
            lambda: daemon.logged("cycle", unchanged=2, in_doubt=0), "it is settled"
        )
    assert len(office.reservations()) == 2


@pytest.mark.slow
def test_an_answer_is_kept_until_it_can_be_recorded(office: Office) -> None:
    """An answer that comes while the ledger is locked is recorded afterwards: nothing is in doubt."""
    office.write(event("first", ahead(2)))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=1), "the first is booked")
        office.fault("slow:on=create,seconds=2")
        office.forget_requests()
        office.write(event("first", ahead(2)), event("second", ahead(3)))
        daemon.until(office.writes, "a request is under way")
        with locked(office):
            daemon.until(
                lambda: daemon.logged(WAITING), "its answer cannot be recorded"
            )
        daemon.until(
            lambda: daemon.logged("cycle", created=1, in_doubt=0, unchanged=1),
            "it is recorded",
        )
    assert office.writes() == ["create"]


@pytest.mark.slow
def test_a_start_waits_too(office: Office) -> None:
    """A daemon that finds the ledger locked waits, asks the manager for time, and becomes ready."""
    office.write(event("first", ahead(2)))
    office.once()
    with locked(office, *LOCKS["for all, readers too"]):
        process = office.start("run")
        assert process.stderr is not None
        while WAITING not in (line := process.stderr.readline()):
            assert line
    while '"ready"' not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANG_S)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_can_be_stopped(
    office: Office, number: signal.Signals
) -> None:
    """A signal ends a daemon that has not begun yet, with 0."""
    office.write(event("first", ahead(2)))
    office.once()
    with locked(office, *LOCKS["for all, readers too"]):
        process = office.start("run")
        assert process.stderr is not None
        while WAITING not in (line := process.stderr.readline()):
            assert line
        process.send_signal(number)
        process.communicate(timeout=HANG_S)
        assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("kind", LOCKS)
def test_one_cycle_waits(office: Office, kind: str) -> None:
    """`once` waits for the lock and does its work then."""
    office.write(event("first", ahead(2)))
    office.once()
    office.write(event("first", ahead(2)), event("second", ahead(3)))
    with locked(office, *LOCKS[kind]):
        process = office.start("once", "--json")
        assert process.stderr is not None
        while WAITING not in (line := process.stderr.readline()):
            assert line
    process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert len(office.reservations()) == 2


@pytest.mark.slow
def test_commands_say_who_may_hold_it(office: Office) -> None:
    """What looks works beside a writer; what writes gives up after seconds, with a sentence."""
    office.write(*(event(f"e{n}", ahead(2, 6 + n)) for n in range(4)))
    office.fault("refuse:on=create,code=1109,every=1")
    office.run("once")
    with locked(office):
        assert office.run("status").code == 1
        assert office.run("plan").code in (0, 1, 3)
        ran = office.run("resolve", "e1", "--drop")
    assert ran.code == 1
    assert "Another program keeps the ledger" in ran.err
    assert "sqlite3 shell, a backup" in ran.err
    assert office.run("resolve", "e1", "--drop").code == 0


EARLY = (signal.SIGHUP, signal.SIGUSR1)


@pytest.mark.first(1)
@pytest.mark.parametrize("number", [*EARLY, signal.SIGTERM, signal.SIGINT])
def test_signals_in_the_first_moments(office: Office, number: signal.Signals) -> None:
    """From its first instruction on a daemon is not ended by HUP or USR1, and with 0 by TERM or INT."""
    office.write(event("first", ahead(2)))
    # Python itself takes some time to start; this line stands before anything of the program runs.
    program = (
        "import os, signal, sys\n"
        "from syncd import early\n"
        "early.begin(sys.argv[1:])\n"
        "os.write(1, b'!')\n"
        "import runpy\n"
        "runpy.run_module('syncd', run_name='__main__', alter_sys=True)\n"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            program,
            "--config",
            str(office.folder / "syncd.toml"),
            "run",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == b"!"
    process.send_signal(number)
    if number in EARLY:
        until(lambda: process.poll() is not None or office.reservations(), "it books")
        for _ in range(20):
            process.send_signal(number)
        process.send_signal(signal.SIGTERM)
        process.send_signal(number)  # in the middle of the stop
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, errors
