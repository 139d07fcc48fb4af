"""Feeds that say nothing new: what a look at one costs, what it still does, and what of it is logged."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import (
    Daemon,
    feed,
    files,
    follow,
    running,
    watch_closely,
)
from tests.sources.server import FeedServer, published, status

NAMES = ("a", "b", "c")
OFTEN = 'interval = "1s"'
HOUR_S = 3600.0


def meeting(uid: str, days: int = 2) -> str:
    """An event without a room, which no other one can be in the way of."""
    return event(uid, ahead(days), room=None)


def topics(office: Office) -> set[str]:
    """What is booked."""
    return {r["topic"] for r in office.reservations()}


def publish(server: FeedServer, name: str, version: str, *uids: str) -> None:
    """Let a feed show these meetings."""
    server.pages[f"/{name}"] = published(
        calendar(*map(meeting, uids)), etag=f'"{version}"'
    )


def looks(server: FeedServer, names: Iterable[str]) -> list[int]:
    """How often each feed was asked."""
    return [len(server.asked(f"/{name}")) for name in names]


def await_looks(
    daemon: Daemon, server: FeedServer, names: Iterable[str], n: int
) -> None:
    """Wait until each of these feeds was asked n times more."""
    known = list(names)
    wanted = [asked + n for asked in looks(server, known)]

    def asked_enough() -> bool:
        pairs = zip(looks(server, known), wanted, strict=True)
        return all(asked >= least for asked, least in pairs)

    daemon.until(asked_enough, f"{n} looks at each of {known}")


def source(office: Office, name: str) -> dict[str, Any]:
    """What `status` shows of a source."""
    shown: list[dict[str, Any]] = office.status()["sources"]
    return next(one for one in shown if one["name"] == name)


@contextmanager
def transactions(office: Office) -> Iterator[Callable[[], bool]]:
    """Tells whether anything was written into the ledger since it was asked last."""
    url = f"file:{office.folder / 'state.db'}?mode=ro"
    with closing(sqlite3.connect(url, uri=True)) as ledger:
        seen: list[int] = []

        def version() -> int:
            return int(ledger.execute("PRAGMA data_version").fetchone()[0])

        def written() -> bool:
            seen.append(version())
            return len(seen) > 1 and seen[-1] != seen[-2]

        written()
        yield written


def settled(daemon: Daemon, server: FeedServer) -> None:
    """Wait until nothing is left to do for what is booked and to be known of the feeds."""
    office = daemon.office
    wanted = {f"Meeting {name}" for name in NAMES} | {"Meeting file"}
    daemon.until(lambda: topics(office) == wanted, "all is booked")
    daemon.settle()
    daemon.settle()
    await_looks(daemon, server, NAMES, 1)


@pytest.fixture
def quiet(office: Office, feed_server: FeedServer) -> Office:
    """An office of three feeds that are asked every second, and a file; its log tells all."""
    for name in NAMES:
        publish(feed_server, name, "v1", name)
    office.write(meeting("file"))
    watch_closely(office)
    tables = [feed(name, feed_server.url(f"/{name}"), OFTEN) for name in NAMES]
    follow(office, files("office", "office.ics", 'interval = "6h"'), *tables)
    return office


def test_a_look_that_finds_nothing_ends_before_a_cycle(
    quiet: Office, feed_server: FeedServer
) -> None:
    """A 304 writes nothing into the ledger, begins no cycle, calls nobody and is no news for the log."""
    with running(quiet, periods_s=(HOUR_S, HOUR_S)) as daemon:
        settled(daemon, feed_server)
        quiet.forget_requests()
        with transactions(quiet) as written:
            lines = len(daemon.log)
            cycles = daemon.manager.cycles
            await_looks(daemon, feed_server, NAMES, 5)
            assert not written()
        assert daemon.manager.cycles == cycles
        assert quiet.control("requests") == []
        since = daemon.log[lines:]
        assert {(line["event"], line["level"]) for line in since} == {
            ("feed_answered", "debug")
        }


@pytest.mark.slow
def test_the_first_look_after_a_start_is_a_cycle(
    quiet: Office, feed_server: FeedServer
) -> None:
    """What a former process knew is looked at once by each process, and no more than once."""
    with running(quiet) as daemon:
        settled(daemon, feed_server)
        daemon.stop()
    with running(quiet) as daemon:
        await_looks(daemon, feed_server, NAMES, 4)
        read = Counter(line["source"] for line in daemon.logged("source"))
        assert {name: read[name] for name in NAMES} == dict.fromkeys(NAMES, 1)
        assert {line["state"] for line in daemon.logged("source")} == {"unchanged"}
        assert {line["level"] for line in daemon.logged("source")} == {"debug"}
        told = [line["level"] for line in daemon.logged("cycle")]
        assert told[0] == "info"
        assert set(told[1:]) <= {"debug"}


@pytest.mark.slow
def test_looks_that_found_nothing_are_told_together(
    quiet: Office, feed_server: FeedServer
) -> None:
    """`status` shows the last of them, now and then and after an orderly stop, and when the next one is due."""
    with running(quiet, periods_s=(1.0, HOUR_S)) as daemon:
        settled(daemon, feed_server)
        former = {name: source(quiet, name)["last_read_at"] for name in NAMES}

        def told() -> bool:
            return all(
                source(quiet, name)["last_read_at"] > former[name] for name in NAMES
            )

        daemon.until(told, "the looks are told")
        shown = source(quiet, "a")
        assert shown["state"] == "unchanged"
        assert shown["last_ok_at"] == shown["last_read_at"]
        assert shown["next_run_at"] > shown["last_read_at"]
        daemon.stop()
    with running(quiet, periods_s=(HOUR_S, HOUR_S)) as daemon:
        settled(daemon, feed_server)
        former = {name: source(quiet, name)["last_read_at"] for name in NAMES}
        await_looks(daemon, feed_server, NAMES, 2)
        assert not told()
        daemon.stop()
    assert told()


@pytest.mark.slow
def test_an_absence_is_confirmed_by_a_look_that_says_the_same(
    quiet: Office, feed_server: FeedServer
) -> None:
    """A second complete reading without the event is evidence, also as a 304; then looks cost nothing again."""
    publish(feed_server, "a", "v1", "a", "gone")
    with running(quiet, periods_s=(HOUR_S, HOUR_S)) as daemon:
        daemon.until(lambda: len(topics(quiet)) == 5, "all is booked")
        publish(feed_server, "a", "v2", "a")
        daemon.until(lambda: "Meeting gone" not in topics(quiet), "it is cancelled")
        # Of the old version, of the new one and of what confirmed it.
        answers = [
            line["status"] for line in daemon.logged("feed_answered", source="a")
        ]
        assert answers.count(200) == 2
        settled(daemon, feed_server)
        cycles = daemon.manager.cycles
        await_looks(daemon, feed_server, NAMES, 3)
        assert daemon.manager.cycles == cycles


@pytest.mark.slow
def test_a_feed_that_fails_is_told_once_and_again_when_it_is_well(
    quiet: Office, feed_server: FeedServer
) -> None:
    """One warning while the error stays the same, and one line when it is over."""
    good = feed_server.pages["/a"]
    with running(quiet, periods_s=(HOUR_S, HOUR_S)) as daemon:
        settled(daemon, feed_server)
        feed_server.pages["/a"] = status(500)
        daemon.until(
            lambda: len(daemon.logged("source", source="a", state="unreadable")) >= 3,
            "it failed three times",
        )
        failures = daemon.logged("source", source="a", state="unreadable")
        assert [line["level"] for line in failures[:3]] == ["warning", "debug", "debug"]
        feed_server.pages["/a"] = good
        daemon.until(
            lambda: daemon.logged("source", source="a", level="info", error=None)[1:],
            "it is well",
        )
        assert source(quiet, "a")["error"] is None
        cycles = daemon.manager.cycles
        await_looks(daemon, feed_server, NAMES, 3)
        assert daemon.manager.cycles == cycles
    assert not daemon.logged("cancelled")


@pytest.mark.slow
def test_persons_are_heard_while_nothing_changes(
    office: Office, feed_server: FeedServer
) -> None:
    """An approval and a decision are carried out although every feed answers 304 and there is nothing else."""
    uids = [f"emptied-{n}" for n in range(5)]
    publish(feed_server, "emptied", "v1", *uids)
    publish(feed_server, "other", "v1", "other")
    follow(
        office,
        *(
            feed(name, feed_server.url(f"/{name}"), OFTEN, "confirmations = 1")
            for name in ("emptied", "other")
        ),
    )
    office.fault("refuse:on=create,code=1109,times=1")
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("refused"), "one is refused")
        (refused,) = daemon.logged("refused")
        daemon.until(lambda: len(topics(office)) == 5, "the others are booked")
        await_looks(daemon, feed_server, ("emptied", "other"), 3)
        assert office.run("resolve", refused["uid"], "--retry").code == 0
        daemon.until(lambda: len(topics(office)) == 6, "it is sent once more")
        publish(feed_server, "emptied", "v2")
        daemon.until(lambda: daemon.logged("cycle", held=5), "they are held")
        await_looks(daemon, feed_server, ("emptied", "other"), 3)
        checksum = office.status()["held"]["checksum"]
        assert office.run("approve", checksum).code == 0
        daemon.until(lambda: topics(office) == {"Meeting other"}, "cancelled")


@pytest.mark.slow
def test_a_wish_to_be_left_alone_outlives_looks_that_find_nothing(
    quiet: Office, feed_server: FeedServer
) -> None:
    """REFRESH-INTERVAL counts from the last look, also if that was a 304."""
    feed_server.pages["/a"] = published(
        calendar("REFRESH-INTERVAL;VALUE=DURATION:PT1H", meeting("a")), etag='"v1"'
    )
    with running(quiet, periods_s=(1.0, HOUR_S)) as daemon:
        daemon.until(lambda: "Meeting a" in topics(quiet), "it is booked")
        daemon.until(lambda: source(quiet, "a")["next_run_at"], "its times are known")
        former = source(quiet, "a")
        # The status tells seconds, and a look within the same one would look like none.
        second = datetime.fromisoformat(former["last_read_at"]) + timedelta(seconds=1)
        daemon.until(lambda: datetime.now(UTC) > second, "the next second")
        daemon.send(signal.SIGUSR1)
        await_looks(daemon, feed_server, ("a",), 1)
        daemon.until(
            lambda: source(quiet, "a")["last_read_at"] > former["last_read_at"],
            "the look is told",
        )
        asked = looks(feed_server, ["a"])
        await_looks(daemon, feed_server, ("b", "c"), 3)
        assert looks(feed_server, ["a"]) == asked
        due = datetime.fromisoformat(source(quiet, "a")["next_run_at"])
        assert due > datetime.now(UTC) + timedelta(minutes=30)
        assert len(daemon.logged("source", source="a")) == 1


@pytest.mark.slow
def test_a_change_is_a_line_for_each_thing(
    quiet: Office, feed_server: FeedServer
) -> None:
    """At info one edit is its source, its change and its cycle, once each."""
    with running(quiet, periods_s=(HOUR_S, HOUR_S)) as daemon:
        settled(daemon, feed_server)
        lines = len(daemon.log)
        feed_server.pages["/a"] = published(
            calendar(event("a", ahead(2), 30, room=None)), etag='"v2"'
        )
        daemon.until(lambda: daemon.logged("cycle", updated=1), "the edit is made")
        await_looks(daemon, feed_server, NAMES, 3)
        told = [
            line["event"] for line in daemon.log[lines:] if line["level"] != "debug"
        ]
        assert told == ["source", "updated", "cycle"]


@pytest.mark.slow
def test_sums_are_told_now_and_then(quiet: Office, feed_server: FeedServer) -> None:
    """A line at info says what was done since the last one: each thing is in one of them."""
    with running(quiet, periods_s=(HOUR_S, 1.0)) as daemon:
        settled(daemon, feed_server)
        publish(feed_server, "b", "v2", "b", "b2")
        daemon.until(lambda: "Meeting b2" in topics(quiet), "an edit is made")
        lines = len(daemon.logged("hour"))
        daemon.until(lambda: len(daemon.logged("hour")) >= lines + 2, "sums are told")
        daemon.stop()
        told = daemon.logged("hour", level="info")
        assert len(told) == len(daemon.logged("hour"))
    sums: Counter[str] = Counter()
    for line in told:
        assert line["looks"] == line["unchanged"] + line["changed"] + line["failed"]
        assert line["seconds"] >= 1
        sums.update({key: value for key, value in line.items() if type(value) is int})
    assert (sums["created"], sums["updated"], sums["cancelled"]) == (5, 0, 0)
    assert (sums["changed"], sums["failed"]) == (5, 0)
    assert sums["calls_post"] == 5
    assert sums["cycles"] <= daemon.manager.cycles
    assert sums["looks"] > sums["cycles"]
    assert sums["looks"] <= len(feed_server.requests) + daemon.manager.cycles
