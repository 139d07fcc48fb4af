"""A large first booking: paced, shown, interrupted, continued."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.conftest import HANG_S, Office, ahead, event

ROOMS = 5
PER_DAY = 68  # quarters of an hour from 06:00 to 23:00
RATE = 100.0  # the office's requests_per_second

ROOM_TABLES = "".join(
    f'[[rooms]]\nid = "140000000000000000{n}"\nname = "Hall {n}"\naddresses = ["hall-{n}@example.com"]\n'
    for n in range(ROOMS)
)


def people(count: int) -> str:
    """A people file."""
    return "address,user_id\n" + "".join(
        f"person{n}@example.com,u{n}\n" for n in range(count)
    )


def meeting(number: int) -> str:
    """One of many quarters of an hour, no two in one room at once, with four of the people."""
    room, slot = number % ROOMS, number // ROOMS
    start = ahead(1 + slot // PER_DAY, 6 + slot % PER_DAY // 4, slot % 4 * 15)
    guests = [
        f"ATTENDEE:mailto:person{(number * 7 + k) % 200}@example.com" for k in range(4)
    ]
    return event(f"m{number}", start, 15, f"LOCATION:Hall {room}", *guests, room=None)


def with_meetings(office: Office, count: int) -> Office:
    """The office with so many meetings in 5 rooms with 200 people."""
    (office.folder / "people.csv").write_text(people(200))
    office.change(
        ("[people.addresses]", '[people]\nfile = "people.csv"\n[people.addresses]')
    )
    office.change(("[[sources]]", ROOM_TABLES + "[[sources]]"))
    office.write(*map(meeting, range(count)))
    return office


def on_a_terminal(office: Office, interrupt_after: int | None) -> tuple[int, str]:
    """Run `once` on a pseudo-terminal; Ctrl-C after so many bookings. Returns exit code and screen text."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(office.folder / "syncd.toml"),
            "once",
        ],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(slave)
    text = b""
    while True:
        readable, _, _ = select.select([master], [], [], 0.5)
        try:
            chunk = os.read(master, 65536) if readable else b"wait"
        except OSError:  # the terminal is gone with its last user
            break
        text += b"" if chunk == b"wait" else chunk
        if (
            interrupt_after is not None
            and len(office.reservations()) >= interrupt_after
        ):
            process.send_signal(signal.SIGINT)
            interrupt_after = None
    os.close(master)
    return process.wait(timeout=HANG_S), text.decode(errors="replace")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("count", "first", "first_rate"),
    # The small one begins so slowly that it cannot be through before the interrupt arrives.
    [(160, 5, 4.0), pytest.param(2000, 300, RATE, marks=pytest.mark.slow)],
    ids=["small", "two thousand"],
)
def test_a_long_run_is_interrupted_and_continued(
    office: Office, count: int, first: int, first_rate: float
) -> None:
    """A long run shows its progress, ends in order on Ctrl-C, goes on where it was, books nothing twice."""
    with_meetings(office, count)
    office.change(
        (f"requests_per_second = {RATE}", f"requests_per_second = {first_rate}")
    )
    code, screen = on_a_terminal(office, interrupt_after=first)
    assert code == 130
    assert "goes on from here" in screen
    some = len(office.reservations())
    assert first <= some < count
    office.change(
        (f"requests_per_second = {first_rate}", f"requests_per_second = {RATE}")
    )
    began = time.monotonic()
    code, screen = on_a_terminal(office, interrupt_after=None)
    seconds = time.monotonic() - began
    assert code == 0, screen[-2000:]
    assert "Booking" in screen
    assert f"/{count - some}" in screen.replace(" ", "")
    # The pace is a promise to the API; slower is the machine's affair.
    assert (count - some) / seconds <= RATE
    reservations = office.reservations()
    assert len(reservations) == count
    assert max(Counter(r["topic"] for r in reservations).values()) == 1
    office.forget_requests()
    assert office.once()["counts"]["unchanged"] == count
    assert office.writes() == []
    print(
        f"{count - some} meetings in {seconds:.1f} s, {(count - some) / seconds:.0f}/s"
    )
