"""Metrics of a running daemon: the same as what commands say, exact over kills, and each look at a feed."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import SLOW, feed, follow, running
from tests.sources.server import FeedServer, published
from tests.web.serving import Client, let_serve, served
from tests.web.test_metrics import Scrape

pytestmark = pytest.mark.slow


def meetings(number: int) -> list[str]:
    """So many meetings, one after the other in one room."""
    return [event(f"m{one}", ahead(2, one)) for one in range(number)]


def test_metrics_and_commands_say_the_same(office: Office) -> None:
    """Each number that status has is that of the metrics, while something of most kinds needs a person."""
    address = let_serve(office)
    sales = '[[sources]]\nname = "sales"\npath = "sales.ics"\n'
    office.change(("[[sources]]", f"{sales}[[sources]]"))
    staged = [
        event("booked", ahead(2)),
        event("taken", ahead(2)),
        event("far", ahead(20)),
        event("broken", ahead(3), 60, "RRULE:FREQ=NEVER"),
        event("free", ahead(4), 60, "TRANSP:TRANSPARENT"),
        *(event(f"gone{day}", ahead(3, 6 + day)) for day in range(5)),
    ]
    office.write(*staged)
    # From the beginning: a daemon may read the calendar before it reads an edited configuration.
    budget = '[safety]\ncancel_share = "1%"\ncancel_floor = 0\n[reservation]'
    office.change(("[reservation]", budget))
    client = Client(address)
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) == 6, "it is booked")
        office.write(*staged[:5])
        daemon.until(
            lambda: client.document("/")["held"]["cancellations"], "something is held"
        )
        status, scrape = client.document("/"), Scrape.of(client)
        printed = office.status()
    assert scrape.value("held_cancellations") == printed["held"]["cancellations"] > 0
    states = Counter(booking["state"] for booking in printed["bookings"])
    counted = scrape.by_label("bookings", "state")
    assert {state: number for state, number in counted.items() if number} == states
    assert scrape.value("api_month_calls") == status["calls_this_month"]
    for source in printed["sources"]:
        name = source["name"]
        assert scrape.value("source_events", source=name) == source["events"]
        quarantined = scrape.value("source_quarantined_events", source=name)
        assert quarantined == source["quarantined"]
        is_failing = scrape.value("source_consecutive_failures", source=name) > 0
        assert is_failing is (source["error"] is not None)
    assert scrape.value("source_quarantined_events", source="office") == 1
    assert scrape.value("source_consecutive_failures", source="sales") > 0
    assert scrape.value("bookings_skipped", reason="transparent") == 1


def test_changes_are_exact_over_kills(office: Office) -> None:
    """However often the daemon is killed while it books, each meeting counts once as made."""
    address = let_serve(office)
    office.change(("requests_per_second = 100.0", SLOW))
    office.write(*meetings(16))
    for made in (4, 8, 12):
        with running(office) as daemon:
            daemon.until(lambda: len(office.reservations()) >= made, "some are booked")  # noqa: B023
            daemon.send(signal.SIGKILL)
    client = Client(address)
    with running(office) as daemon:

        def done() -> float:
            return Scrape.of(client).value(
                "changes_total", action="create", result="done"
            )

        daemon.until(client.answers, "it is served")
        daemon.until(lambda: len(office.reservations()) == 16, "all are booked")
        daemon.until(lambda: done() >= 16, "all are counted")
        daemon.settle()
        assert done() == 16


def test_each_look_at_a_feed_counts(office: Office) -> None:
    """Answers that say nothing new, for which no cycle is run, count as looks like the others."""
    let_serve(office)
    with FeedServer().running() as server:
        server.pages["/a"] = published(calendar(event("first", ahead(2))), etag='"1"')
        url = f"http://127.0.0.1:{server.port}/a"
        follow(office, feed("sales", url, 'interval = "1s"'))
        with running(office) as daemon:
            daemon.until(lambda: len(server.requests) >= 5, "it was asked some times")
            code, _ = daemon.stop()
            assert code == 0
        with served(office) as client:
            readings = Scrape.of(client).by_label("source_readings_total", "result")
        asked = len(server.requests)
        assert readings["changed"] == 1
        assert readings["unreadable"] == 0
        # The answer to the last question may have come when the daemon was about to leave.
        assert 0 <= asked - readings["changed"] - readings["unchanged"] <= 1
