"""`syncd refresh`: a person asks the running daemon, through the ledger, to read now."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import feed, files, follow, running, watch_closely
from tests.sources.server import FeedServer, published, status

ONE = event("one", ahead(2), room=None)


@pytest.mark.slow
def test_without_a_daemon_nobody_is_told(office: Office) -> None:
    """Without a daemon it leaves with 1, says since when there is none, and what to do instead."""
    office.write(ONE)
    never = office.run("refresh")
    assert (never.code, never.out) == (1, "")
    assert "none has used it yet" in never.err
    assert "systemctl start syncd" in never.err
    with running(office) as daemon:
        daemon.stop()
    stopped = office.run("refresh", "--force")
    assert stopped.code == 1
    assert "the last one ended on" in stopped.err
    assert "syncd once" in stopped.err


def test_a_source_that_there_is_not_is_named(office: Office) -> None:
    """A name that is not configured is wrong usage, and the known ones are listed."""
    ran = office.run("refresh", "--source", "sales")
    assert ran.code == 2
    assert "office" in ran.err


@pytest.mark.slow
def test_the_daemon_reads_what_is_named(
    office: Office, feed_server: FeedServer
) -> None:
    """Feeds and files that are named are read at once, others are not; whoever writes the ledger may ask."""
    for name in ("one", "other"):
        feed_server.pages[f"/asked-{name}"] = published(calendar(ONE))
    watch_closely(office)
    hourly = 'interval = "1h"'
    follow(
        office,
        feed("one", feed_server.url("/asked-one"), hourly),
        feed("other", feed_server.url("/asked-other"), hourly),
        files("office", "office.ics", hourly),
    )
    office.write(ONE)
    with running(office) as daemon:
        daemon.until(lambda: len(feed_server.asked("/asked-other")) == 1, "the start")
        daemon.until(lambda: daemon.logged("source", source="office"), "and files")
        ran = office.run("refresh", "--source", "one", "--source", "office")
        assert (ran.code, ran.err) == (0, "")
        assert f"process {daemon.process.pid}, last sign of life" in ran.out
        daemon.until(lambda: len(feed_server.asked("/asked-one")) == 2, "it is read")
        daemon.until(
            lambda: len(daemon.logged("source", source="office")) == 2, "so are files"
        )
        assert len(feed_server.asked("/asked-other")) == 1
        office.run("refresh")
        daemon.until(lambda: len(feed_server.asked("/asked-other")) == 2, "all are")


@pytest.mark.slow
def test_force_asks_what_is_left_alone(office: Office, feed_server: FeedServer) -> None:
    """A feed in back-off is asked with --force alone; when it is good, its usual interval counts again."""
    page = "/left-alone"
    feed_server.pages[page] = status(503, retry_after="20000")
    watch_closely(office)
    follow(office, feed("sales", feed_server.url(page), 'interval = "1h"'))
    with running(office) as daemon:
        daemon.until(
            lambda: daemon.logged("source", source="sales", state="unreadable"),
            "it fails",
        )
        feed_server.pages[page] = published(calendar(ONE))
        assert office.run("refresh").code == 0
        daemon.until(lambda: daemon.logged("a person asked for a reading"), "heard")
        cycles = daemon.manager.cycles
        assert office.run("refresh", "--force").code == 0
        daemon.until(office.reservations, "it is read and booked")
        assert len(feed_server.asked(page)) == 2, "not asked without --force"
        daemon.until(lambda: daemon.manager.cycles > cycles, "the cycle ends")
        (record,) = office.status()["sources"]
        assert record["state"] == "read"
    next_run = _moment(record["next_run_at"]) - _moment(record["last_read_at"])
    assert next_run <= timedelta(hours=1, minutes=30)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
