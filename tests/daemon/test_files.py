"""Files that change under a running daemon, in all the ways that programs write them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import Daemon, files, follow, running

BURST = 500
LATER = 60  # days ahead: outside of the horizon, so that it is read and not booked


def meeting(uid: str, days: int = 2) -> str:
    """An event without a room, which no other one can be in the way of."""
    return event(uid, ahead(days), room=None)


@pytest.fixture(scope="module")
def daemon(shared_office: Office) -> Iterator[Daemon]:
    """One daemon whose sources never become due by themselves; each test has one for itself."""
    folder = shared_office.folder
    (folder / "burst").mkdir()
    for number in range(BURST):
        (folder / "burst" / f"{number:03}.ics").write_bytes(
            calendar(meeting(f"burst-{number}", LATER))
        )
    for version in ("old", "new"):
        (folder / version).mkdir()
    (folder / "old" / "linked.ics").write_bytes(calendar(meeting("linked-old")))
    (folder / "new" / "linked.ics").write_bytes(
        calendar(meeting("linked-old"), meeting("linked-new"))
    )
    (folder / "current").symlink_to("old")
    (folder / "replaced").mkdir()
    (folder / "replaced" / "a.ics").write_bytes(calendar(meeting("replaced-a")))
    sources = {"later": "later/deeper", "linked": "current/linked.ics"}
    names = ("office.ics", "renamed.ics", "twice.ics", "burst", "replaced", "open.ics")
    sources |= {name.removesuffix(".ics"): name for name in names}
    shared_office.write(meeting("first"))
    follow(
        shared_office,
        *(files(name, path, 'interval = "12h"') for name, path in sources.items()),
    )
    with running(shared_office) as started:
        started.until(lambda: started.logged("cycle"), "the first cycle")
        yield started


def booked(daemon: Daemon, *uids: str) -> Callable[[], bool]:
    """Whether each of these is booked, once."""

    def so() -> bool:
        topics = [r["topic"] for r in daemon.office.reservations()]
        return all(topics.count(f"Meeting {uid}") == 1 for uid in uids)

    return so


def replace(path: Path, *events: str) -> None:
    """Write beside a file and rename, as careful programs do."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(calendar(*events))
    beside.rename(path)


def test_a_finished_write_is_booked_at_once(daemon: Daemon) -> None:
    """What is written into a watched file is booked although its interval is not over for hours."""
    daemon.office.write(meeting("first"), meeting("written"))
    daemon.until(booked(daemon, "written"), "the new event is booked")


def test_a_file_that_is_replaced_is_booked(daemon: Daemon) -> None:
    """A file that was not there, and one that another is renamed over, are seen."""
    path = daemon.office.folder / "renamed.ics"
    replace(path, meeting("renamed-1"))
    daemon.until(booked(daemon, "renamed-1"), "the file that came")
    replace(path, meeting("renamed-1"), meeting("renamed-2"))
    daemon.until(booked(daemon, "renamed-2"), "the file that took its place")


def test_of_two_writes_the_last_one_counts(daemon: Daemon) -> None:
    """An editor that empties a file, writes half of it and then all is waited for; nothing comes twice."""
    path = daemon.office.folder / "twice.ics"
    whole = calendar(meeting("twice-1"), meeting("twice-2"))
    for content in (b"", whole[: len(whole) // 2], whole):
        path.write_bytes(content)
        time.sleep(0.1)
    daemon.until(booked(daemon, "twice-1", "twice-2"), "both events")


def test_a_directory_may_come_later(daemon: Daemon) -> None:
    """Of a directory that is not there, nor the one above it, the calendars are booked when they come."""
    folder = daemon.office.folder / "later" / "deeper"
    folder.mkdir(parents=True)
    (folder / "one.ics").write_bytes(calendar(meeting("later")))
    daemon.until(booked(daemon, "later"), "the directory that came")


def test_a_directory_may_be_replaced(daemon: Daemon) -> None:
    """A whole directory in the place of another is read, and goes on being watched."""
    folder = daemon.office.folder
    (folder / "fresh").mkdir()
    for name in "ab":
        (folder / "fresh" / f"{name}.ics").write_bytes(
            calendar(meeting(f"replaced-{name}"))
        )
    (folder / "replaced").rename(folder / "former")
    (folder / "fresh").rename(folder / "replaced")
    daemon.until(
        booked(daemon, "replaced-a", "replaced-b"), "the directory in its place"
    )
    (folder / "replaced" / "c.ics").write_bytes(calendar(meeting("replaced-c")))
    daemon.until(booked(daemon, "replaced-c"), "a file in the directory in its place")


def test_a_link_may_be_switched(daemon: Daemon) -> None:
    """A link on the way that leads elsewhere now is a changed calendar."""
    folder = daemon.office.folder
    daemon.until(booked(daemon, "linked-old"), "what the link led to")
    (folder / "switched").symlink_to("new")
    (folder / "switched").rename(folder / "current")
    daemon.until(booked(daemon, "linked-old", "linked-new"), "what the link leads to")


@pytest.mark.slow
def test_a_file_that_no_event_tells_of_is_found_by_looking(daemon: Daemon) -> None:
    """A file that is written and not closed gives no event of a finished write; the rescan finds it."""
    with (daemon.office.folder / "open.ics").open("wb", buffering=0) as file:
        file.write(calendar(meeting("open-1")))
        daemon.until(booked(daemon, "open-1"), "the file that was made")
        file.seek(0)
        file.write(calendar(meeting("open-1"), meeting("open-2")))
        daemon.until(
            booked(daemon, "open-1", "open-2"), "what was written without an event"
        )


@pytest.mark.slow
def test_a_burst_of_files_is_a_few_cycles(daemon: Daemon) -> None:
    """Five hundred files that change at once are read together and not each by itself."""
    folder = daemon.office.folder / "burst"
    beside = daemon.office.folder / "burst-new"
    beside.mkdir()
    for number in range(BURST):
        days = 3 if number == BURST - 1 else LATER + 1
        (beside / f"{number:03}.ics").write_bytes(
            calendar(meeting(f"burst-{number}", days))
        )
    before = daemon.manager.cycles
    for new in sorted(beside.iterdir()):
        new.rename(folder / new.name)
    daemon.until(booked(daemon, f"burst-{BURST - 1}"), "the last file")
    cycles = daemon.manager.cycles - before
    print(f"{BURST} files were {cycles} cycles")
    assert cycles < BURST / 10


@pytest.mark.slow
def test_a_large_calendar_is_read_beside_the_others(office: Office) -> None:
    """Nobody waits for it; a change that comes while it is read is not lost."""
    large = office.folder / "large.ics"
    bulk = [
        event(f"bulk-{number}", ahead(LATER), 60, "DESCRIPTION:" + "x" * 900, room=None)
        for number in range(5_000)
    ]
    replace(large, *bulk, meeting("in-large"))
    assert large.stat().st_size > 5_000_000
    office.write(meeting("small"))
    names = ("office", "large")
    follow(office, *(files(name, f"{name}.ics", 'interval = "12h"') for name in names))
    with running(office) as daemon:
        daemon.until(booked(daemon, "small"), "the small one is booked")
        replace(large, *bulk, meeting("in-large"), meeting("added"))
        office.write(meeting("small"), meeting("smaller"))
        daemon.until(booked(daemon, "smaller"), "the small one is booked again")
        daemon.until(booked(daemon, "in-large", "added"), "the large one is booked")
        daemon.until(
            lambda: daemon.logged("source", source="large", events=len(bulk) + 2),
            "it is read",
        )
        assert len(office.reservations()) == 4
