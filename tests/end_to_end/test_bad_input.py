"""Bad input and failing neighbours: one clear sentence, the right exit code, nothing lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG_S, Office, Ran, ahead, calendar, event

SOURCE_DAMAGE = {
    "binary junk": (os.urandom(20) + b"\0" + os.urandom(4000), "is binary data"),
    "an empty file": (b"", "is empty"),
    "a web page": (
        b"<!DOCTYPE html><html><body>Please log in</body></html>",
        "is a web page",
    ),
    "a cut calendar": (
        calendar(event("m", ahead(1)), event("n", ahead(2)))[:-60],
        "is cut off",
    ),
    "plain text": (b"Dear all,\nthe calendar has moved.\n", "is not a calendar"),
}


def one_sentence(ran: Ran) -> str:
    """The only line on standard error that is no log line."""
    lines = [line for line in ran.err.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ran.err
    return lines[0]


@pytest.mark.first(1)
@pytest.mark.parametrize("what", SOURCE_DAMAGE)
def test_a_damaged_calendar_is_unreadable_and_loses_nothing(
    office: Office, what: str
) -> None:
    """What is not a whole calendar cancels nothing, is named, and asks for a person."""
    body, sentence = SOURCE_DAMAGE[what]
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    office.once()
    office.forget_requests()
    office.calendar_file.write_bytes(body)
    done = office.run("once", "--json")
    assert done.code == 1
    (source,) = done.json["sources"]
    assert source["state"] == "unreadable"
    assert sentence in source["error"]
    assert office.writes() == []
    assert len(office.reservations()) == 2
    assert office.status()["sources"][0]["error"] == source["error"]


def test_a_missing_file_is_unreadable(office: Office) -> None:
    """A file that is gone is no empty calendar."""
    office.write(event("m", ahead(1)))
    office.once()
    office.calendar_file.unlink()
    done = office.run("once", "--json")
    assert done.code == 1
    assert "does not exist" in done.json["sources"][0]["error"]
    assert len(office.reservations()) == 1


def test_one_broken_event_costs_that_event(office: Office) -> None:
    """A broken event is quarantined with its line, its reservation stays, and the others go on."""
    office.write(event("good", ahead(1)), event("bad", ahead(2)))
    office.once()
    broken = event("bad", ahead(2), 60, "RRULE:FREQ=FORTNIGHTLY")
    office.write(event("good", ahead(1, 10)), broken, event("new", ahead(3)))
    plan = office.plan()
    (skipped,) = [c for c in plan["changes"] if c["action"] == "skip"]
    assert (skipped["uid"], skipped["reason"]) == ("bad", "quarantined")
    assert "line 12" in skipped["detail"]
    done = office.run("once", "--json")
    assert done.code == 1
    counts = done.json["counts"]
    assert (
        counts["created"],
        counts["updated"],
        counts["cancelled"],
        counts["quarantined"],
    ) == (1, 1, 0, 1)
    assert len(office.reservations()) == 3
    office.write(
        event("good", ahead(1, 10)), event("bad", ahead(2)), event("new", ahead(3))
    )
    assert office.run("once", "--json").code == 0


def test_a_bad_line_of_the_people_file_is_named(office: Office) -> None:
    """The line number and what is wrong, exit 78, nothing sent."""
    (office.folder / "people.csv").write_text(
        "address,user_id\ncarol@example.com,4\ndave@example.com\n"
    )
    office.change(
        ("[people.addresses]", '[people]\nfile = "people.csv"\n[people.addresses]')
    )
    office.write(event("m", ahead(1)))
    ran = office.run("once")
    assert ran.code == 78
    assert "line 3" in one_sentence(ran)
    assert office.writes() == []


def test_five_mistakes_are_named_in_one_run(office: Office) -> None:
    """`check` reports everything at once, each with its path."""
    office.change(
        ('mode = "full"', 'mode = "everything"'),
        ('timezone = "Europe/Berlin"', 'timezone = "Europe/Bärlin"'),
        ("requests_per_second", "request_per_second"),
        ('path = "office.ics"', 'path = "office.ics"\ninterval = "5 minutes"'),
        ('file = "tuya-secret"', 'file = "no-such-secret"'),
    )
    ran = office.run("check")
    assert ran.code == 78
    for path in (
        "mode:",
        "calendar.timezone:",
        "api.request_per_second:",
        "interval:",
        "api.client_secret:",
    ):
        assert sum(path in line for line in ran.err.splitlines()) == 1, ran.err


@pytest.mark.slow
def test_an_api_that_is_down_ends_the_cycle(office: Office) -> None:
    """Exit 69 with a sentence; bookings stay, and the next cycle books what was missed, once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        office.change((office.url, f"http://127.0.0.1:{taken.getsockname()[1]}"))
        office.write(event("m", ahead(1)))
        ran = office.run("once")
        assert ran.code == 69
        assert office.run("plan").code == 69
    office.change((f"http://127.0.0.1:{taken_port(office)}", office.url))
    assert office.once()["counts"]["created"] == 1


def taken_port(office: Office) -> str:
    """The port that the configuration names now."""
    text = (office.folder / "syncd.toml").read_text()
    return text.partition('endpoint = "http://127.0.0.1:')[2].partition('"')[0]


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("quota", "quota"),
        ("unsubscribed", "subscri"),
        ("unsubscribed:code=28841105", "authoris"),
    ],
)
def test_an_unusable_api_says_what_to_do(
    make_office: Any, fault: str, word: str
) -> None:
    """A spent quota or a missing subscription ends the cycle at once, without a storm of retries."""
    office = make_office(faults=(fault,))
    office.write(*(event(f"m{n}", ahead(1, 8 + n), 30) for n in range(5)))
    ran = office.run("once", "--json")
    assert ran.code == 69
    assert word in ran.json["error"]
    assert sum(ran.json["calls"].values()) <= 3


@pytest.mark.slow
def test_an_api_that_says_no_costs_one_reservation(make_office: Any) -> None:
    """A refusal is recorded with code and message, the others are booked, and it is not repeated."""
    office = make_office(faults=("refuse:on=create,times=1,code=1109",))
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    done = office.run("once", "--json")
    assert (
        done.code,
        done.json["counts"]["created"],
        done.json["counts"]["refused"],
    ) == (1, 1, 1)
    (refused,) = [b for b in office.status()["bookings"] if b["state"] == "refused"]
    assert "1109" in refused["detail"]
    office.forget_requests()
    assert office.run("once", "--json").code == 1
    assert office.writes() == []
    # Which of the two was refused is chance: they are on their way side by side.
    titles = ("SUMMARY:Another title", "SUMMARY:Yet another title")
    office.write(
        event("m", ahead(1), 60, titles[0]), event("n", ahead(2), 60, titles[1])
    )
    assert office.once()["counts"]["created"] == 1


def test_a_wrong_secret_is_said(office: Office) -> None:
    """Code 1004 ends in exit 69 and a sentence about the secret."""
    (office.folder / "tuya-secret").write_text("wrong")
    office.write(event("m", ahead(1)))
    ran = office.run("once")
    assert ran.code == 69
    assert "secret" in ran.out.lower() + ran.err.lower()


def test_a_secret_that_others_can_read_is_refused(office: Office) -> None:
    """Exit 78 and how to mend it."""
    (office.folder / "tuya-secret").chmod(0o644)
    ran = office.run("check")
    assert ran.code == 78
    assert "chmod" in one_sentence(ran)


@pytest.mark.slow
def test_a_second_owner_leaves(make_office: Any) -> None:
    """While one cycle runs, another leaves with 75 and names the owner."""
    office = make_office(faults=("slow:on=create,seconds=3600",))
    office.change(("requests_per_second", 'timeout = "1h"\nrequests_per_second'))
    office.write(event("m", ahead(1)))
    first = office.start("once", "--json")
    try:
        while not (office.folder / "state.db").exists() or not office.writes():
            assert first.poll() is None
        second = office.run("once")
        assert second.code == 75
        assert str(first.pid) in one_sentence(second)
        assert office.run("status", "--json").code in (0, 1)
    finally:
        office.fault()
        first.communicate(timeout=HANG_S)
    assert first.returncode == 0


def test_a_read_only_state_directory_is_said(office: Office) -> None:
    """The ledger cannot be written: one sentence, and nothing is sent."""
    state = office.folder / "state"
    state.mkdir()
    office.change(
        ("[reservation]", '[state]\nurl = "sqlite:///state/state.db"\n[reservation]')
    )
    office.write(event("m", ahead(1)))
    with read_only(state):
        ran = office.run("once")
        assert ran.code == 78
        assert "state" in one_sentence(ran)
    assert office.writes() == []
    assert office.run("once", "--json").code == 0


class read_only:  # noqa: N801  # reads as a verb where it is used
    """A directory that cannot be written to: by its mode, and for root by a read-only mount of itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def __enter__(self) -> None:
        self.folder.chmod(0o500)
        if os.geteuid() == 0:
            bind = subprocess.run(
                ["mount", "--bind", self.folder, self.folder],
                capture_output=True,
                check=False,
            )
            if bind.returncode:
                pytest.skip(
                    "root may write anywhere, and this machine lets nobody mount"
                )
            self.mounted = True
            subprocess.run(["mount", "-o", "remount,ro,bind", self.folder], check=True)

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", self.folder], check=True)
        self.folder.chmod(0o700)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_loses_nothing(office: Office, small_disk: Path) -> None:
    """A ledger that cannot grow ends the cycle with a sentence; with room again nothing is booked twice."""
    office.change(
        (
            "[reservation]",
            f'[state]\nurl = "sqlite:///{small_disk}/state.db"\n[reservation]',
        )
    )
    office.write(
        *(event(f"m{n}", ahead(1 + n % 5, 6 + n // 5 % 14), 10) for n in range(60))
    )
    first = office.run("once", "--json")
    assert first.code == 1
    assert "full" in one_sentence(first) or "space" in one_sentence(first)
    assert len(office.reservations()) < 60
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    for _ in range(3):
        last = office.run("once", "--json")
    assert last.code == 0, last.err
    topics = [r["topic"] for r in office.reservations()]
    assert len(topics) == len(set(topics)) == 60


def test_wrong_usage_is_exit_2() -> None:
    """An unknown command is a matter of usage."""
    ran = subprocess.run(
        [sys.executable, "-m", "syncd", "bokk"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
