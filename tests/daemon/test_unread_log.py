"""A daemon whose log nobody reads: it works, obeys signals and stops, and says later what is missing."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.conftest import HANG_S, Office, ahead, event
from tests.daemon.running import until

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, fcntl(2)


def full_pipe() -> tuple[int, int]:
    """A pipe into which nothing more goes."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")
    os.set_blocking(writer, True)
    return reader, writer


def small_pipe() -> tuple[int, int]:
    """A pipe of one page."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, _SET_PIPE_SIZE, 4096)
    return reader, writer


def stream_socket() -> tuple[int, int]:
    """What a service manager of today gives: a connected socket, here a small one."""
    reader, writer = socket.socketpair()
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return reader.detach(), writer.detach()


def stopped_terminal() -> tuple[int, int]:
    """A terminal on which somebody pressed Ctrl-S."""
    reader, writer = pty.openpty()
    termios.tcflow(writer, termios.TCOOFF)
    return reader, writer


def nobody() -> tuple[int, int]:
    """A pipe whose reader went away, and an end of another one to keep."""
    reader, writer = os.pipe()
    os.close(reader)
    kept, other = os.pipe()
    os.close(other)
    return kept, writer


def full_disk() -> tuple[int, int]:
    """A file on a disk that is full."""
    return os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)


KINDS = (full_pipe, small_pipe, stream_socket, stopped_terminal, nobody, full_disk)


def start(office: Office, errors: int, *arguments: str) -> subprocess.Popen[bytes]:
    """The program with this standard error."""
    text = (office.folder / "syncd.toml").read_text()
    if "[log]" not in text:
        office.change(
            (
                "[people.addresses]",
                '[log]\nlevel = "debug"\nformat = "json"\n[people.addresses]',
            )
        )
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(office.folder / "syncd.toml"),
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )


def uids(office: Office) -> set[str]:
    """What is booked, by the UIDs in the topics."""
    return {r["topic"].removeprefix("Meeting ") for r in office.reservations()}


@pytest.mark.first(2)
@pytest.mark.parametrize("kind", KINDS)
def test_nobody_waits_for_a_reader(
    office: Office, kind: Callable[[], tuple[int, int]]
) -> None:
    """Meetings are booked, edits are followed, signals are heeded and a stop ends with 0, all unread."""
    reader, writer = kind()
    office.write(event("first", ahead(2)))
    process = start(office, writer, "run")
    try:
        until(lambda: uids(office) == {"first"}, "the first is booked")
        events = [event("first", ahead(2))]
        for number in range(4):
            events += [
                event(f"e{number}-{n}", ahead(3 + number, 6 + n)) for n in range(4)
            ]
            office.write(*events)
            process.send_signal(signal.SIGUSR1)
            until(lambda n=number: f"e{n}-3" in uids(office), "an edit is followed")  # type: ignore[misc]  # no type can be written
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    finally:
        process.kill()
        process.wait(HANG_S)
        os.close(reader)
        os.close(writer)


def read_now(reader: int) -> bytes:
    """What can be read without waiting for more."""
    seen = b""
    while select.select([reader], [], [], 0.5)[0]:
        data = os.read(reader, 65536)
        if not data:
            break
        seen += data
    return seen


BURST = """
import structlog
from syncd import log, streams
streams.take_over()
log.configure({form!r}, "debug")
told = structlog.get_logger("syncd.test")
for number in range(20_000):
    told.debug("line", number=number, text="x" * 100)
print("done", flush=True)
input()
told.info("read again")
"""


@pytest.mark.first(2)
@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("kind", [full_pipe, small_pipe, stream_socket])
def test_what_was_lost_is_counted_and_said(
    form: str, kind: Callable[[], tuple[int, int]]
) -> None:
    """When it is read again each line is whole, and all lines that are missing are counted."""
    reader, writer = kind()
    process = subprocess.Popen(
        [sys.executable, "-c", BURST.replace("{form!r}", repr(form))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
    )
    os.close(writer)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    seen = b""
    while b" lost, because nobody read the log" not in seen:
        assert select.select([reader], [], [], HANG_S)[0]
        seen += os.read(reader, 65536)
    process.stdin.write("\n")
    process.stdin.close()
    seen += read_now(reader)
    assert process.wait(HANG_S) == 0
    process.stdout.close()
    os.close(reader)
    lines = [line for line in seen.decode().splitlines() if line]
    lost = sum(
        int(n) for n in re.findall(r"(\d+) lines? w\w+ lost, because", seen.decode())
    )
    assert lost > 0
    assert sum("read again" in line for line in lines) == 1
    whole = [line for line in lines if "x" * 100 in line]
    assert len(whole) + lost == 20_000
    if form == "json":
        entries = [json.loads(line) for line in lines]
        numbers = [entry["number"] for entry in entries if "number" in entry]
        assert numbers == sorted(numbers)
        assert sum(entry.get("lost", 0) for entry in entries) == lost


@pytest.mark.slow
def test_a_reader_that_comes_back_to_a_fifo(office: Office) -> None:
    """A reader may leave and another come: what was written meanwhile is counted."""
    path = office.folder / "log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    office.write(event("first", ahead(2)))
    process = start(office, writer, "run")
    try:
        until(lambda: uids(office) == {"first"}, "the first is booked")
        os.close(reader)
        office.write(event("first", ahead(2)), event("second", ahead(3)))
        until(
            lambda: "second" in uids(office), "nobody listens, and the second is booked"
        )
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        seen = b""

        def told() -> bool:
            nonlocal seen
            process.send_signal(signal.SIGUSR1)
            with suppress(BlockingIOError):
                seen += os.read(reader, 65536)
            return b"lost, because nobody read the log" in seen

        until(told, "the loss is said")
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    finally:
        process.kill()
        process.wait(HANG_S)
        os.close(reader)
        os.close(writer)


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_one_cycle_does_not_wait_either(
    office: Office, kind: Callable[[], tuple[int, int]]
) -> None:
    """`once` ends by itself, with its code, while nobody reads what it says."""
    reader, writer = kind()
    office.write(*(event(f"e{n}", ahead(2, 6 + n)) for n in range(8)))
    process = start(office, writer, "once")
    assert process.wait(HANG_S) == 0
    assert len(office.reservations()) == 8
    assert start(office, writer, "check").wait(HANG_S) == 0
    office.change(('mode = "full"', 'mode = "fool"'))
    assert start(office, writer, "check").wait(HANG_S) == 78
    os.close(reader)
    os.close(writer)


def test_flags_of_a_shared_stream_stay(office: Office) -> None:
    """Standard error is not made non-blocking, which whoever shares it would feel."""
    reader, writer = os.pipe()
    office.write(event("first", ahead(2)))
    before = fcntl.fcntl(writer, fcntl.F_GETFL)
    assert start(office, writer, "once").wait(HANG_S) == 0
    assert fcntl.fcntl(writer, fcntl.F_GETFL) == before
    os.close(reader)
    os.close(writer)


def test_a_stream_that_others_made_non_blocking_is_complete(office: Office) -> None:
    """A pipe that does not block, with a reader that is slow, gets every result."""
    office.write(*(event(f"e{n:04}", ahead(2 + n // 20), 20) for n in range(400)))
    reader, writer = os.pipe()
    fcntl.fcntl(writer, _SET_PIPE_SIZE, 4096)
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(office.folder / "syncd.toml"),
            "plan",
            "--json",
        ],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        document = json.load(stream)
    assert process.wait(HANG_S) == 3
    assert len(document["changes"]) >= 100
