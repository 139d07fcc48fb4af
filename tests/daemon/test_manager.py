"""What systemd hears of a daemon, on a real socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import HANG_S, Office, ahead, event
from tests.daemon.running import files, follow, running, until


def ended(office: Office) -> tuple[int, list[str], str]:
    """Run the daemon to its end; exit code, what systemd heard, and what it said."""
    address = office.folder / "manager"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(address))
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "syncd",
                "--config",
                str(office.folder / "syncd.toml"),
                "run",
            ],
            env={**os.environ, "NOTIFY_SOCKET": str(address)},
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        receiver.setblocking(False)
        heard: list[str] = []
        while True:
            try:
                heard += receiver.recv(65536).decode().splitlines()
            except BlockingIOError:
                break
    address.unlink()
    return ran.returncode, heard, ran.stderr


@pytest.mark.slow
def test_a_daemon_that_cannot_begin_is_never_ready(office: Office) -> None:
    """A broken configuration ends with 78 and a ledger of another with 75, before READY=1."""
    good = (office.folder / "syncd.toml").read_text()
    office.change(('mode = "full"', 'mode = "fill"'))
    code, heard, said = ended(office)
    assert code == 78
    assert "mode" in said
    assert "READY=1" not in heard
    (office.folder / "syncd.toml").write_text(good)
    with running(office):
        code, heard, said = ended(office)
    assert code == 75
    assert "owns the ledger" in said
    assert "READY=1" not in heard


def test_what_systemd_hears_of_a_life(office: Office) -> None:
    """READY when files are watched, RELOADING with its time and READY after it, STATUS, STOPPING."""
    follow(office, files("office", "office.ics", 'interval = "6h"'))
    with running(office) as daemon:
        # Nothing but the watcher, or the reading that follows, can find this.
        office.write(event("early", ahead(2)))
        daemon.until(
            office.reservations, "what was written right after READY is booked"
        )
        manager = daemon.manager
        assert next(n for n, m in enumerate(manager.messages) if "READY" in m) == 1
        assert "EXTEND_TIMEOUT_USEC" in manager.messages[0]
        daemon.until(
            lambda: manager.status.startswith("1 booked; last cycle"),
            "the state in a line",
        )

        for broken in (False, True):
            if broken:
                office.change(('mode = "full"', 'mode = "fill"'))
            ready = manager.count("READY")
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            daemon.send(signal.SIGHUP)
            daemon.until(lambda n=ready: manager.count("READY") > n, "ready again")  # type: ignore[misc]  # no type can be written
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            reloading = next(m for m in reversed(manager.messages) if "RELOADING" in m)
            assert before <= int(reloading["MONOTONIC_USEC"]) <= after
        daemon.until(
            lambda: "configuration refused" in manager.status, "the verdict is told"
        )
        office.calendar_file.unlink()
        daemon.send(signal.SIGUSR1)
        daemon.until(
            lambda: "unreadable: office" in manager.status,
            "what needs a person is told",
        )
        assert "configuration refused" in manager.status
        assert not manager.count("STOPPING")
        assert daemon.stop()[0] == 0
        assert manager.count("STOPPING") == 1
        assert "STOPPING" in manager.messages[-1]


@pytest.mark.slow
def test_only_work_that_goes_on_is_life(office: Office) -> None:
    """An idle daemon gives signs of life; one whose work hangs gives none, though its threads go on."""
    office.write(event("first", ahead(2)))
    office.change(("requests_per_second", 'timeout = "10m"\nrequests_per_second'))
    with running(office, watchdog_s=3) as daemon:
        manager = daemon.manager
        daemon.until(office.reservations, "booked")
        count = manager.count("WATCHDOG")
        daemon.until(
            lambda: manager.count("WATCHDOG") >= count + 2, "signs of life without work"
        )
        office.fault("slow:on=create,seconds=3600")
        office.forget_requests()
        office.write(event("first", ahead(2)), event("hangs", ahead(3)))
        daemon.until(office.writes, "the request is under way")
        # A third of the watchdog's time is the grace of one step, and what was on its way.
        time.sleep(2)
        hangs_from = manager.mark()
        time.sleep(4)
        hung_until = manager.mark()
        assert not daemon.logged("created", uid="hangs")
        assert not [
            m for m in manager.messages[hangs_from:hung_until] if "WATCHDOG" in m
        ]
        office.fault()
        daemon.until(lambda: daemon.logged("created", uid="hangs"), "answered")
        count = manager.count("WATCHDOG")
        daemon.until(lambda: manager.count("WATCHDOG") > count, "signs of life again")


@pytest.mark.parametrize("address", ["missing", ""])
def test_without_a_manager_it_works_all_the_same(office: Office, address: str) -> None:
    """No socket, or one that is gone: the daemon books and ends in order."""
    office.write(event("alone", ahead(2)))
    place = str(Path(office.folder / address)) if address else ""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(office.folder / "syncd.toml"),
            "run",
        ],
        env={**os.environ, "NOTIFY_SOCKET": place},
        stderr=subprocess.PIPE,
    )
    until(office.reservations, "booked")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, said
    assert len(office.reservations()) == 1
