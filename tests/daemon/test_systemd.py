"""Messages to systemd, received by a real socket as systemd would."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from syncd.daemon.systemd import Notifier
from tests.conftest import HANG_S


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """A manager that listens, on a socket in the file system or an abstract one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(
            str(tmp_path / "notify")
            if request.param == "path"
            else f"\0syncd-test-{os.getpid()}"
        )
        receiver.settimeout(HANG_S)
        yield receiver


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    """What systemd would set for a service."""
    name = manager.getsockname()
    return {
        "NOTIFY_SOCKET": name if isinstance(name, str) else "@" + name[1:].decode(),
        **more,
    }


def received(manager: socket.socket) -> list[str]:
    """The lines of the next message."""
    return manager.recv(65536).decode().split("\n")


def silent(manager: socket.socket) -> bool:
    """Whether nothing is waiting."""
    manager.setblocking(False)
    try:
        manager.recv(65536)
    except BlockingIOError:
        return True
    finally:
        manager.settimeout(HANG_S)
    return False


def test_messages_are_those_of_the_protocol(manager: socket.socket) -> None:
    """Each call is one datagram with the fields of sd_notify(3)."""
    notifier = Notifier.from_environment(environment(manager))
    notifier.extend_timeout(90.5)
    assert received(manager) == ["EXTEND_TIMEOUT_USEC=90500000"]
    notifier.ready("12 booked")
    assert received(manager) == ["READY=1", "STATUS=12 booked"]
    notifier.status("13 booked – all well")
    assert received(manager) == ["STATUS=13 booked – all well"]
    notifier.stopping()
    assert received(manager) == ["STOPPING=1"]


def test_a_reload_carries_the_time_on_the_monotonic_clock(
    manager: socket.socket,
) -> None:
    """Type=notify-reload compares the time with that of its signal, on its own clock of the same kind."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier.from_environment(environment(manager)).reloading()
    first, second = received(manager)
    assert first == "RELOADING=1"
    name, _, microseconds = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert (
        before
        <= int(microseconds)
        <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    )


def test_a_status_is_one_line_that_fits(manager: socket.socket) -> None:
    """No text adds a field, and no text is too long for a message."""
    notifier = Notifier.from_environment(environment(manager))
    notifier.status("unreadable: a\nMAINPID=1\r\nWATCHDOG=trigger\u2028\x0bREADY=1\t.")
    assert received(manager) == [
        "STATUS=unreadable: a MAINPID=1 WATCHDOG=trigger READY=1 ."
    ]
    notifier.ready("🗓" * 5000)
    message = manager.recv(65536)
    assert message.startswith(b"READY=1\nSTATUS=")
    assert len(message) < 4096
    notifier.status("half of a pair \ud83d")
    assert received(manager) == ["STATUS=half of a pair \\ud83d"]


def test_signs_of_life_come_three_times_in_the_watchdogs_time(
    manager: socket.socket,
) -> None:
    """However often the work says that it goes on, the manager hears it a third of its time apart."""
    notifier = Notifier.from_environment(environment(manager, WATCHDOG_USEC="600000"))
    for says in (
        notifier.alive,
        lambda: notifier.begin(3),
        lambda: notifier.advance(1),
    ):
        says()
        assert received(manager) == ["WATCHDOG=1"]
        time.sleep(0.2)
    began, count = time.monotonic(), 0
    while count < 4:
        notifier.alive()
        notifier.begin(3)
        notifier.advance(1)
        count += not silent(manager)
        time.sleep(0.005)
    assert time.monotonic() - began >= 3 * 0.2


def test_a_sign_of_life_is_the_field_of_the_protocol(manager: socket.socket) -> None:
    """The sign goes out with the first call, and it is that of sd_notify(3)."""
    notifier = Notifier.from_environment(
        environment(manager, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
    )
    notifier.alive()
    assert received(manager) == ["WATCHDOG=1"]
    notifier.alive()
    assert silent(manager)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "²"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_for_this_process_there_are_no_signs(
    manager: socket.socket, variables: dict[str, str]
) -> None:
    """No watchdog, one that is meant for another process, or nonsense: nothing is sent."""
    Notifier.from_environment(environment(manager, **variables)).alive()
    assert silent(manager)


@pytest.mark.parametrize("address", [None, "", "@", "notify", "vsock:2:1234"])
def test_without_a_manager_nothing_happens(address: str | None) -> None:
    """On a terminal, or with an address of another kind, every call does nothing and says nothing."""
    variables = {"WATCHDOG_USEC": "1000000"} | (
        {} if address is None else {"NOTIFY_SOCKET": address}
    )
    notifier = Notifier.from_environment(variables)
    with structlog.testing.capture_logs() as logs:
        notifier.ready("x")
        notifier.reloading()
        notifier.status("x")
        notifier.alive()
        notifier.extend_timeout(1)
        notifier.stopping()
    assert logs == []


def test_a_manager_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    """One warning, no exception, and a manager that comes back is told again."""
    path = tmp_path / "notify"
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(path)})
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            notifier.status("nobody listens")
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert str(path) not in str(logs)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(HANG_S)
        notifier.status("somebody")
        assert received(receiver) == ["STATUS=somebody"]


def test_a_manager_that_does_not_read_does_not_hold_up_the_work(tmp_path: Path) -> None:
    """With its queue full a message is given up after some seconds, while the manager still sleeps."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(100_000):
                    filler.sendto(b"full", str(tmp_path / "notify"))
            notifier = Notifier(str(tmp_path / "notify"))
            began = time.monotonic()
            notifier.status("not heard")
            assert time.monotonic() - began > 1


def test_no_descriptor_stays_open(manager: socket.socket) -> None:
    """Messages leave nothing behind, whether they arrive or not."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    reached = Notifier.from_environment(environment(manager))
    unreached = Notifier("/nowhere/notify")
    for _ in range(5):
        reached.status("x")
        unreached.status("x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_systemds_own_tool_says_the_same(manager: socket.socket) -> None:
    """The fields are those that `systemd-notify` sends, where it is installed."""
    try:
        subprocess.run(
            ["systemd-notify", "--no-block", "--ready", "--status=all well"],
            check=True,
            env={**os.environ, **environment(manager)},
        )
    except FileNotFoundError:
        pytest.skip("systemd-notify is not installed")
    theirs = set(received(manager))
    Notifier.from_environment(environment(manager)).ready("all well")
    ours = set(received(manager))
    assert ours <= theirs
