"""Feeds of a running daemon: what is asked, how often, and what is remembered over restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import Daemon, feed, files, follow, running, watch_closely
from tests.sources.server import (
    Behaviour,
    FeedServer,
    drip,
    http_date,
    published,
    status,
    with_basic,
)

ONE = event("one", ahead(2), room=None)
TWO = event("two", ahead(3), room=None)


def topics(office: Office) -> list[str]:
    """What is booked."""
    return sorted(r["topic"] for r in office.reservations())


def readings(daemon: Daemon, name: str, state: str | None = None) -> int:
    """How often a source was read."""
    return len(
        daemon.logged("source", source=name, **({"state": state} if state else {}))
    )


def gaps(server: FeedServer, path: str) -> list[float]:
    """The seconds between the requests for a page."""
    times = [request.at for request in server.asked(path)]
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.slow
def test_after_a_restart_not_modified_is_enough(
    office: Office, feed_server: FeedServer
) -> None:
    """Body and validators outlive the process: a 304 is a whole reading, and nothing is written again."""
    feed_server.pages["/kept"] = published(
        calendar(ONE),
        etag='"v1"',
        last_modified=http_date(datetime.now(UTC) - timedelta(minutes=1)),
    )
    watch_closely(office)
    follow(office, feed("kept", feed_server.url("/kept"), 'interval = "1h"'))
    with running(office) as daemon:
        daemon.until(lambda: topics(office) == ["Meeting one"], "booked")
        assert daemon.stop()[0] == 0
    office.forget_requests()
    with running(office) as daemon:
        daemon.until(lambda: readings(daemon, "kept"), "read again")
        daemon.until(lambda: daemon.logged("cycle", unchanged=1), "and understood")
    first, second = feed_server.asked("/kept")
    assert "if-none-match" not in first.headers
    assert second.headers["if-none-match"] == '"v1"'
    assert "if-modified-since" in second.headers
    assert office.writes() == []


@pytest.mark.slow
def test_an_answer_that_is_no_calendar_is_neither_kept_nor_believed(
    office: Office, feed_server: FeedServer
) -> None:
    """Half a calendar and a web page bring validators of their own: the old ones and the booking stay."""
    bodies = {
        name: calendar(event(name, ahead(2), room=None))
        for name in ("half", "cut", "page")
    }
    faults: dict[str, Behaviour] = {
        "half": status(
            200, bodies["half"].replace(b"END:VCALENDAR\r\n", b""), etag='"bad"'
        ),
        "cut": status(
            200,
            bodies["cut"][:99],
            etag='"bad"',
            content_length=str(len(bodies["cut"])),
        ),
        "page": status(200, b"<!DOCTYPE html><title>Log in</title>", etag='"bad"'),
    }
    for name, body in bodies.items():
        feed_server.pages[f"/{name}"] = published(body, etag='"good"')
    often = ('interval = "1s"', "confirmations = 1")
    watch_closely(office)
    follow(
        office, *(feed(name, feed_server.url(f"/{name}"), *often) for name in faults)
    )
    with running(office) as daemon:
        daemon.until(lambda: len(topics(office)) == 3, "booked")
        before = {name: len(feed_server.asked(f"/{name}")) for name in faults}
        for name, fault in faults.items():
            feed_server.pages[f"/{name}"] = fault
        # The third request was sent after what came of the fault was recorded.
        daemon.until(
            lambda: all(
                len(feed_server.asked(f"/{name}")) >= n + 3
                for name, n in before.items()
            ),
            "every fault was met",
        )
        for name in faults:
            since = feed_server.asked(f"/{name}")[before[name] :]
            # Without condition, now and then, because a server may fail for that.
            assert {request.headers.get("if-none-match") for request in since} <= {
                '"good"',
                None,
            }
            assert since[0].headers.get("if-none-match") == '"good"'
        assert all(source["error"] for source in office.status()["sources"])
        for name, body in bodies.items():
            feed_server.pages[f"/{name}"] = published(body, etag='"good"')
        before = {name: readings(daemon, name, "unchanged") for name in faults}
        daemon.until(
            lambda: all(
                readings(daemon, name, "unchanged") > n for name, n in before.items()
            ),
            "all well again",
        )
    assert not daemon.logged("cancelled")
    assert len(topics(office)) == 3


@pytest.mark.slow
def test_a_wish_for_patience_outlives_restarts(
    office: Office, feed_server: FeedServer
) -> None:
    """Retry-After, as seconds and as a date, binds a new process, SIGUSR1 and `once`; `--force` asks."""
    later = http_date(datetime.now(UTC) + timedelta(hours=1))
    feed_server.pages["/seconds"] = status(503, retry_after="3600")
    feed_server.pages["/date"] = status(429, retry_after=later)
    follow(
        office,
        *(
            feed(name, feed_server.url(f"/{name}"), 'interval = "1s"')
            for name in ("seconds", "date")
        ),
        files("office", "office.ics"),
    )
    office.write(ONE)
    with running(office) as daemon:
        daemon.until(
            lambda: all(
                readings(daemon, name, "unreadable") for name in ("seconds", "date")
            ),
            "both were asked and ask for patience",
        )
        daemon.stop()
    with running(office) as daemon:
        daemon.settle()
        daemon.settle()
        assert office.run("once").code == 75
    ran = office.run("once", "--json")
    assert ran.code == 1
    told = {source["name"]: source["error"] for source in ran.json["sources"]}
    assert "--force" in told["seconds"]
    assert "--force" in told["date"]
    for name in ("seconds", "date"):
        assert len(feed_server.asked(f"/{name}")) == 1
        feed_server.pages[f"/{name}"] = published(calendar(TWO))
    assert office.run("once", "--force").code == 0
    assert [len(feed_server.asked(f"/{name}")) for name in ("seconds", "date")] == [
        2,
        2,
    ]
    assert topics(office) == ["Meeting one", "Meeting two"]


@pytest.mark.slow
def test_force_asks_without_condition(office: Office, feed_server: FeedServer) -> None:
    """A server that wrongly says "not modified" is found out with `once --force`."""
    feed_server.pages["/stuck"] = published(calendar(ONE), etag='"always"')
    follow(office, feed("stuck", feed_server.url("/stuck"), "confirmations = 1"))
    assert office.run("once").code == 0
    feed_server.pages["/stuck"] = published(calendar(ONE, TWO), etag='"always"')
    assert office.run("once").code == 0
    assert topics(office) == ["Meeting one"]
    assert office.run("once", "--force").code == 0
    assert topics(office) == ["Meeting one", "Meeting two"]
    asked = [
        request.headers.get("if-none-match") for request in feed_server.asked("/stuck")
    ]
    assert asked == [None, '"always"', None]


def test_not_modified_says_nothing_of_the_configuration(
    office: Office, feed_server: FeedServer
) -> None:
    """Under an unchanged feed another rule of the configuration decides anew."""
    free = event("free", ahead(4), 60, "TRANSP:TRANSPARENT", room=None)
    feed_server.pages["/kept"] = published(calendar(ONE, free), etag='"v1"')
    follow(office, feed("kept", feed_server.url("/kept")))
    assert office.run("once").code == 0
    assert topics(office) == ["Meeting one"]
    office.change(("[calendar]", '[calendar]\ntransparent = "book"'))
    assert office.run("once").code == 0
    assert topics(office) == ["Meeting free", "Meeting one"]
    assert feed_server.asked("/kept")[-1].headers["if-none-match"] == '"v1"'


@pytest.mark.slow
def test_not_modified_says_nothing_of_the_program(
    office: Office, feed_server: FeedServer
) -> None:
    """What a former version made of an unchanged feed counts for that version alone."""
    feed_server.pages["/kept"] = published(calendar(ONE, TWO), etag='"v1"')
    follow(office, feed("kept", feed_server.url("/kept")))
    office.change(('mode = "full"', 'mode = "observe"'))
    office.run("once")
    with closing(sqlite3.connect(office.folder / "state.db")) as ledger, ledger:
        for table in ("kept", "agenda"):  # a version that took it for over
            ledger.execute(f"DELETE FROM {table} WHERE uid = 'two'")
    office.change(('mode = "observe"', 'mode = "full"'))
    assert office.run("once").code == 0
    assert topics(office) == ["Meeting one"]
    with closing(sqlite3.connect(office.folder / "state.db")) as ledger, ledger:
        ledger.execute(
            "UPDATE facts SET value = 'former' || value WHERE name = 'basis'"
        )
    assert office.run("once").code == 0
    assert topics(office) == ["Meeting one", "Meeting two"]
    assert feed_server.asked("/kept")[-1].headers["if-none-match"] == '"v1"'


@pytest.fixture(scope="module")
def daemon(shared_office: Office, feed_server: FeedServer) -> Iterator[Daemon]:
    """One daemon with feeds that are asked every second, unless something speaks against it."""
    often = 'interval = "1s"'
    feed_server.pages["/well"] = published(calendar(ONE))
    feed_server.pages["/failing"] = status(500)
    feed_server.pages["/floor"] = published(
        calendar(
            "REFRESH-INTERVAL;VALUE=DURATION:PT1H", event("floor", ahead(2), room=None)
        )
    )
    feed_server.pages["/common"] = published(
        calendar(event("common", ahead(2), room=None))
    )
    feed_server.pages["/drip"] = drip
    watch_closely(shared_office)
    follow(
        shared_office,
        feed("well", feed_server.url("/well"), often),
        feed("failing", feed_server.url("/failing"), often),
        feed("floor", feed_server.url("/floor"), often),
        feed("twin-1", feed_server.url("/common"), 'interval = "1h"'),
        feed("twin-2", feed_server.url("/common"), 'interval = "1h"'),
        feed("drip", feed_server.url("/drip"), 'interval = "1h"', 'timeout = "1h"'),
        feed("private", feed_server.url("/private"), 'interval = "1h"', allow=False),
        files("office", "office.ics", 'interval = "1h"'),
    )
    shared_office.write(event("file", ahead(2), room=None))
    with running(shared_office) as started:
        yield started


def test_a_slow_feed_delays_nobody(daemon: Daemon, feed_server: FeedServer) -> None:
    """While one feed drips, files and other feeds are booked, and a change of a file is too."""
    daemon.until(lambda: feed_server.asked("/drip"), "the slow feed is being read")
    wanted = {"Meeting file", "Meeting one", "Meeting floor", "Meeting common"}
    daemon.until(lambda: wanted <= set(topics(daemon.office)), "the others are booked")
    daemon.office.write(
        event("file", ahead(2), room=None), event("more", ahead(2), room=None)
    )
    daemon.until(
        lambda: "Meeting more" in topics(daemon.office),
        "the file that changed meanwhile",
    )
    assert readings(daemon, "drip") == 0


def test_equal_urls_are_asked_once(daemon: Daemon, feed_server: FeedServer) -> None:
    """Two sources with one URL are one request, and both are read."""
    daemon.until(
        lambda: readings(daemon, "twin-1") and readings(daemon, "twin-2"),
        "both are read",
    )
    assert len(feed_server.asked("/common")) == 1


def test_a_private_address_is_refused_with_its_cure(
    daemon: Daemon, feed_server: FeedServer
) -> None:
    """Nothing is asked there, and the message names the key that allows it."""
    daemon.until(lambda: readings(daemon, "private", "unreadable"), "refused")
    told = {
        source["name"]: source["error"] for source in daemon.office.status()["sources"]
    }
    assert "allow_hosts" in told["private"]
    assert "loopback" in told["private"]
    assert feed_server.asked("/private") == []


def test_a_calendar_says_how_often_it_changes(
    daemon: Daemon, feed_server: FeedServer
) -> None:
    """REFRESH-INTERVAL is a floor: others are asked every second meanwhile."""

    def due(name: str) -> datetime:
        (source,) = (s for s in daemon.office.status()["sources"] if s["name"] == name)
        return datetime.fromisoformat(source["next_run_at"])

    daemon.until(lambda: readings(daemon, "floor"), "it was read")
    daemon.until(
        lambda: due("floor") > datetime.now(UTC) + timedelta(minutes=30),
        "the floor is known",
    )
    floor, well = len(feed_server.asked("/floor")), len(feed_server.asked("/well"))
    daemon.until(
        lambda: len(feed_server.asked("/well")) >= well + 4,
        "another feed is asked again and again",
    )
    assert len(feed_server.asked("/floor")) == floor


@pytest.mark.slow
def test_a_feed_that_fails_is_asked_less_and_less(
    daemon: Daemon, feed_server: FeedServer
) -> None:
    """Each pause is longer than the one before; the first success ends that."""
    daemon.until(
        lambda: len(feed_server.asked("/failing")) >= 4, "it failed four times"
    )
    # Not before two and four seconds, less the jitter; later is the machine's affair.
    _, second, third = gaps(feed_server, "/failing")[:3]
    assert second > 1.7
    assert third > 3.4
    feed_server.pages["/failing"] = published(calendar(TWO))
    daemon.until(lambda: "Meeting two" in topics(daemon.office), "it is well")
    asked, well = len(feed_server.asked("/failing")), len(feed_server.asked("/well"))
    daemon.until(
        lambda: len(feed_server.asked("/failing")) >= asked + 4,
        "asked every second again",
    )
    # Not less often than others: after as many failures the pauses would be eight times those, and more.
    assert len(feed_server.asked("/well")) - well < 4 * 4
    assert "Meeting two" in topics(daemon.office)


def test_a_changed_configuration_ends_the_waiting(
    daemon: Daemon, feed_server: FeedServer
) -> None:
    """A feed whose failure a person mended by editing its table is asked at once, not in an hour."""
    feed_server.pages["/private"] = published(
        calendar(event("allowed", ahead(2), room=None))
    )
    text = (daemon.office.folder / "syncd.toml").read_text()
    table = feed("private", feed_server.url("/private"), 'interval = "1h"', allow=False)
    assert table in text
    allowed = feed("private", feed_server.url("/private"), 'interval = "1h"')
    daemon.office.configure(text.replace(table, allowed))
    daemon.until(
        lambda: "Meeting allowed" in topics(daemon.office), "asked, read and booked"
    )


@pytest.mark.slow
def test_a_rotated_password_ends_the_waiting(
    office: Office, feed_server: FeedServer, closing: Callable[..., Daemon]
) -> None:
    """A feed that was refused is asked at once with the new password, without a restart."""
    password = office.folder / "feed-password"
    password.touch(mode=0o600)
    password.write_text("former")
    feed_server.pages["/closed"] = with_basic(
        "reader", "latter", published(calendar(ONE))
    )
    auth = 'auth = { type = "basic", username = "reader", password = { file = "feed-password" } }'
    follow(office, feed("closed", feed_server.url("/closed"), 'interval = "1h"', auth))
    daemon = closing(running(office))
    daemon.until(lambda: readings(daemon, "closed", "unreadable"), "refused")
    password.write_text("latter")
    daemon.until(
        lambda: topics(office) == ["Meeting one"], "asked with the new password"
    )
