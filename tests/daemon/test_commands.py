"""When a running daemon works by itself, and what commands beside it do."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from syncd.sandbox import Sandbox
from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import Daemon, feed, files, follow, running, watch_closely
from tests.sources.server import FeedServer, published


def meeting(uid: str) -> str:
    """An event without a room, which no other one can be in the way of."""
    return event(uid, ahead(2), room=None)


def topics(office: Office) -> set[str]:
    """What is booked."""
    return {r["topic"] for r in office.reservations()}


@pytest.fixture(scope="module")
def daemon(shared_office: Office, feed_server: FeedServer) -> Iterator[Daemon]:
    """One daemon for all; only the feed `often` becomes due by itself while the tests run."""
    folder = shared_office.folder
    for name in ("rarely", "often"):
        feed_server.pages[f"/{name}"] = published(calendar(meeting(name)))
    (folder / "emptied.ics").write_bytes(
        calendar(*(meeting(f"emptied-{n}") for n in range(5)))
    )
    shared_office.write(meeting("file"))
    watch_closely(shared_office)
    follow(
        shared_office,
        files("office", "office.ics", 'interval = "6h"'),
        files("emptied", "emptied.ics", 'interval = "6h"'),
        files("nightly", "office.ics", 'cron = "30 3 * * *"', 'uid_scope = "global"'),
        feed("rarely", feed_server.url("/rarely"), 'interval = "6h"'),
        feed("often", feed_server.url("/often"), 'interval = "1s"'),
    )
    with running(shared_office) as started:
        started.until(lambda: len(topics(shared_office)) == 8, "all is booked")
        yield started


@pytest.fixture(scope="module", autouse=True)
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose project is not subscribed to what it asks; it rests while the other tests run."""
    with Sandbox().running() as api:
        office = Office(
            tmp_path_factory.mktemp("refused"),
            api.url,
            api.client_id,
            api.client_secret,
        )
        office.fault("unsubscribed:on=list")
        office.write(meeting("asked"))
        with running(office) as started:
            started.until(
                lambda: started.logged("cycle", outcome="failed"), "the list is refused"
            )
            started.until(
                lambda: "28841101" in started.manager.status, "systemd is told"
            )
            yield started


def test_each_source_has_its_interval_or_hours(
    daemon: Daemon, feed_server: FeedServer
) -> None:
    """A feed is read every second while another one is not; `cron` is in the zone of the configuration."""
    asked = len(feed_server.asked("/often"))
    rarely = len(feed_server.asked("/rarely"))
    daemon.until(
        lambda: len(feed_server.asked("/often")) >= asked + 3, "asked again and again"
    )
    assert len(feed_server.asked("/rarely")) == rarely
    due = {
        source["name"]: source["next_run_at"]
        for source in daemon.office.status()["sources"]
    }
    nightly = datetime.fromisoformat(due["nightly"])
    # 03:30 in Berlin.
    assert (nightly.minute, nightly.astimezone(UTC).hour) in {
        (30, 1),
        (30, 2),
    }
    assert datetime.now(UTC) < nightly < datetime.now(UTC) + timedelta(hours=25)
    assert datetime.fromisoformat(due["rarely"]) < datetime.now(UTC) + timedelta(
        hours=7
    )


def test_a_signal_reads_all_sources_at_once(
    daemon: Daemon, feed_server: FeedServer
) -> None:
    """SIGUSR1 asks every feed and reads every file, due or not."""
    asked = len(feed_server.asked("/rarely"))
    read = len(daemon.logged("source", source="office"))
    daemon.send(signal.SIGUSR1)
    daemon.until(
        lambda: len(feed_server.asked("/rarely")) == asked + 1, "the feed is asked"
    )
    daemon.until(
        lambda: len(daemon.logged("source", source="office")) == read + 1,
        "the file is read",
    )


def test_a_cycle_of_ones_own_is_refused(daemon: Daemon) -> None:
    """`once` leaves with 75, and says who owns the state and what to do instead."""
    ran = daemon.office.run("once")
    assert ran.code == 75
    assert f"Process {daemon.process.pid}" in ran.err
    assert "SIGUSR1" in ran.err


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("plan", ""),
        ("status", "syncd is running since"),
        ("status --all", "file"),
        ("explain file", "file"),
        ("check", ""),
    ],
)
def test_commands_work_beside_it(daemon: Daemon, command: str, told: str) -> None:
    """What only looks works while the daemon runs, and sees what it did."""
    ran = daemon.office.run(*command.split())
    assert ran.code == 0, ran.err
    assert told in ran.out


@pytest.mark.slow
def test_an_approval_is_carried_out(daemon: Daemon) -> None:
    """What is held stays until `approve`; then the daemon cancels it without being woken."""
    office = daemon.office
    (office.folder / "emptied.ics").write_bytes(calendar())
    daemon.until(lambda: daemon.logged("cycle", held=5), "the cancellations are held")
    assert "Meeting emptied-0" in topics(office)
    checksum = office.status()["held"]["checksum"]
    assert office.run("approve", checksum).code == 0
    daemon.until(
        lambda: not any("emptied" in topic for topic in topics(office)), "cancelled"
    )


@pytest.mark.slow
def test_a_decision_is_carried_out(daemon: Daemon) -> None:
    """What was refused is sent once more after `resolve --retry`, without the daemon being woken."""
    office = daemon.office
    office.fault("refuse:on=create,code=1109,times=1")
    office.write(meeting("file"), meeting("refused"))
    daemon.until(lambda: daemon.logged("refused", uid="refused"), "refused")
    assert "Meeting refused" not in topics(office)
    ran = office.run("resolve", "refused", "--retry")
    assert ran.code == 0, ran.err
    daemon.until(lambda: "Meeting refused" in topics(office), "booked")


@pytest.mark.slow
def test_what_the_api_refuses_to_tell_ends_nothing(refused: Daemon) -> None:
    """An API that cannot be used fails the cycle, is left alone for a while, and then asked again."""
    office = refused.office
    assert len(office.control("requests")) < 10
    office.fault()
    refused.until(lambda: "Meeting asked" in topics(office), "tried again by itself")
