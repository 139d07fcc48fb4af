"""What `/metrics` shows: all names, in both formats, with counts that the API's own log confirms."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from syncd.assembly import service, utc_now
from syncd.config import load
from syncd.core.booking import BookingState
from syncd.ledger import Ledger
from syncd.web.asked import Asked, Present
from syncd.web.metrics import metrics_file
from tests.booked import booking_of_an_hour
from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import feed, follow
from tests.sources.server import FeedServer, status
from tests.web.serving import Client, let_serve, read, served

OPENMETRICS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""What Prometheus says that it takes."""

NAMES = {
    "build_info": "gauge version python",
    "ready": "gauge",
    "mode_info": "gauge mode",
    "source_last_success_timestamp_seconds": "gauge source",
    "source_last_attempt_timestamp_seconds": "gauge source",
    "source_next_attempt_timestamp_seconds": "gauge source",
    "source_interval_seconds": "gauge source",
    "source_consecutive_failures": "gauge source",
    "source_events": "gauge source",
    "source_quarantined_events": "gauge source",
    "source_readings": "counter source result",
    "bookings": "gauge state",
    "bookings_skipped": "gauge reason",
    "held_cancellations": "gauge",
    "doubt_oldest_timestamp_seconds": "gauge",
    "changes": "counter action result",
    "cancellations": "counter evidence",
    "drift_bookings": "gauge kind",
    "drift_check_last_success_timestamp_seconds": "gauge",
    "api_requests": "counter operation result",
    "api_request_duration_seconds": "histogram method",
    "api_usable": "gauge",
    "api_month_calls": "gauge",
    "api_month_calls_forecast": "gauge",
    "api_month_calls_limit": "gauge",
    "api_clock_offset_seconds": "gauge",
    "api_token_expiry_timestamp_seconds": "gauge",
    "cycles": "counter outcome",
    "cycle_duration_seconds": "histogram",
    "cycle_last_complete_timestamp_seconds": "gauge",
    "notices": "counter channel result",
    "lease_held": "gauge lease",
    "members": "gauge",
    "lease_takeovers": "counter",
    "fence_refusals": "counter",
    "change_to_booking_seconds": "histogram kind",
    "config_last_reload_successful": "gauge",
    "config_last_reload_success_timestamp_seconds": "gauge",
    "heartbeat_timestamp_seconds": "gauge",
    "ledger_size_bytes": "gauge",
    "ledger_available": "gauge",
}
"""All metrics, with type and labels."""

CLOSED_SETS = {
    ("source_readings_total", "result"): "changed unchanged unreadable",
    (
        "bookings",
        "state",
    ): "waiting sending booked approval refused cancelling cancelled released ended",
    (
        "bookings_skipped",
        "reason",
    ): "all_day transparent tentative private own_feed roomless no_duration",
    ("changes_total", "action"): "create update cancel",
    ("changes_total", "result"): "done refused doubt",
    ("cancellations_total", "evidence"): "told shown approved",
    ("drift_bookings", "kind"): "changed cancelled missing doubled",
    ("api_requests_total", "result"): "ok refused throttled auth ambiguous unreachable",
    ("api_request_duration_seconds_count", "method"): "GET POST PUT",
    ("cycles_total", "outcome"): "ok attention failed",
    ("change_to_booking_seconds_count", "kind"): "file feed caldav",
    ("notices_total", "channel"): "webhook mail command ping",
    ("notices_total", "result"): "delivered failed gone given_up",
}
"""What a label can say, of those that say one of a few things."""


class Scrape:
    """One answer of `/metrics`, as the official parser reads it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = list(families)
        self.samples = [sample for family in self.families for sample in family.samples]

    @classmethod
    def of(cls, client: Client, accept: str = "*/*") -> Scrape:
        """Ask for the metrics in a format."""
        answer = client.ask("/metrics", accept=accept)
        assert answer.status == 200, answer.text
        if answer.headers["content-type"].startswith("application/openmetrics-text"):
            families: Iterable[Metric]
            families = read_openmetrics(answer.text)  # type: ignore[no-untyped-call]
            return cls(families)
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return cls(read_text(answer.text))

    def value(self, name: str, **labels: str) -> float:
        """The one value with these labels."""
        (found,) = [
            sample.value
            for sample in self.samples
            if sample.name == f"syncd_{name}" and sample.labels == labels
        ]
        return found

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """The sums of the values of a metric by one of its labels."""
        found: Counter[str] = Counter()
        for sample in self.samples:
            if sample.name == f"syncd_{name}":
                found[sample.labels[label]] += sample.value  # type: ignore[assignment]
        return dict(found)

    @property
    def shapes(self) -> dict[str, str]:
        """The type and the labels of each metric."""
        shapes: dict[str, str] = {}
        for family in self.families:
            labels = family.samples[0].labels if family.samples else {}
            own = [label for label in labels if label != "le"]
            name = family.name.removeprefix("syncd_").removesuffix("_total")
            shapes[name] = " ".join([family.type, *sorted(own)])
        return shapes


def sorted_shape(shape: str) -> str:
    """A shape of `NAMES` with its labels in order."""
    kind, *labels = shape.split()
    return " ".join([kind, *sorted(labels)])


@pytest.fixture
def client(office: Office) -> Iterator[Client]:
    """The page of the office, with debug off."""
    let_serve(office)
    with served(office) as asking:
        yield asking


def test_all_metrics_in_both_formats(office: Office, client: Client) -> None:
    """The official parser reads both formats without an error: the same names, types, labels and values."""
    office.write(
        event("first", ahead(2)), event("free", ahead(3), 60, "TRANSP:TRANSPARENT")
    )
    read(office)
    text, openmetrics = Scrape.of(client), Scrape.of(client, OPENMETRICS)
    expected = {name: sorted_shape(shape) for name, shape in NAMES.items()}
    assert text.shapes == openmetrics.shapes == expected
    assert all(family.documentation for family in text.families)
    of_both = [
        {
            (s.name, *s.labels.items()): s.value
            for s in scrape.samples
            if "heartbeat" not in s.name
        }
        for scrape in (text, openmetrics)
    ]
    assert of_both[0] == of_both[1]
    assert text.value("ready") == text.value("ledger_available") == 1
    assert text.value("mode_info", mode="full") == 1
    assert text.value("bookings", state="booked") == 1
    assert text.value("bookings_skipped", reason="transparent") == 1
    assert text.value("ledger_size_bytes") > 10_000
    assert text.value("source_interval_seconds", source="office") == 300
    assert text.value("change_to_booking_seconds_count", kind="file") == 0


def test_closed_sets_stand_there_from_the_start(office: Office, client: Client) -> None:
    """Before anything happened each value that a label can have is there, so that the first one is an increase."""
    read(office)  # of a source that is not there
    scrape = Scrape.of(client)
    for (name, label), values in CLOSED_SETS.items():
        assert set(scrape.by_label(name, label)) == set(values.split()), name
    assert scrape.by_label("api_requests_total", "operation").keys() >= {
        "create",
        "token",
    }
    assert scrape.value("source_last_success_timestamp_seconds", source="office") == 0
    assert scrape.value("source_consecutive_failures", source="office") == 1
    assert scrape.value("doubt_oldest_timestamp_seconds") == 0


def test_counts_are_those_of_the_log_of_the_api(office: Office, client: Client) -> None:
    """Requests, changes and calls agree with what the API noted itself, while answers are lost and refused."""
    office.write(
        event("a", ahead(2)),
        event("b", ahead(3)),
        event("taken", ahead(3)),
        event("gone", ahead(4)),
    )
    read(office)
    office.fault(
        "lost:on=modify,every=2", "throttled:every=9", "lost:on=cancel,times=1"
    )
    office.write(
        event("a", ahead(2), 30),
        event("b", ahead(3), 30),
        event("new", ahead(5)),
        event("gone", ahead(4), 60, "STATUS:CANCELLED"),
    )
    read(office)
    office.fault()
    read(office)
    log = office.control("requests")
    scrape = Scrape.of(client)
    of_ours = {"modify": "update", "get_rules": "rules"}
    noted = Counter(of_ours.get(one["operation"], one["operation"]) for one in log)
    counted = scrape.by_label("api_requests_total", "operation")
    assert {name: number for name, number in counted.items() if number} == dict(noted)
    assert sum(counted.values()) == scrape.value("api_month_calls") == len(log)
    timed = scrape.by_label("api_request_duration_seconds_count", "method")
    assert timed == Counter(one["method"] for one in log)
    results = scrape.by_label("api_requests_total", "result")
    assert results["throttled"] == sum(
        one["fault"].startswith("throttled") for one in log
    )
    lost = sum(one["fault"].startswith("lost") for one in log)
    assert results["ambiguous"] == lost > 0
    assert scrape.value("changes_total", action="create", result="done") == 4
    assert scrape.value("changes_total", action="update", result="done") == 2
    assert scrape.value("changes_total", action="cancel", result="done") == 1
    assert scrape.value("cancellations_total", evidence="told") == 1
    doubts = scrape.by_label("changes_total", "result")["doubt"]
    assert doubts == lost
    assert scrape.by_label("changes_total", "result")["refused"] == 1
    assert scrape.value("change_to_booking_seconds_count", kind="file") == 4
    assert scrape.by_label("cycles_total", "outcome") == {
        "ok": 2,
        "attention": 1,
        "failed": 0,
    }


def skipped_by_cycle(office: Office) -> int:
    """Run a cycle; how many occurrences it counts as skipped."""
    config = load(office.folder / "syncd.toml")
    with service(config, owner=True) as parts:
        return parts.reconciler.cycle().counts["skipped"]


def test_skipped_are_those_that_a_cycle_counts(office: Office) -> None:
    """What is left out by a rule counts also of an event of which something else is open, until it is settled."""
    let_serve(office)
    rule = "RRULE:FREQ=DAILY;COUNT=3"
    free = [f"RECURRENCE-ID:{ahead(3):%Y%m%dT%H%M%SZ}", "TRANSP:TRANSPARENT"]
    other = event("other", ahead(2))
    office.write(other)
    read(office)
    series = event("series", ahead(2), 60, rule)
    office.write(other, series, event("series", ahead(3), 60, *free))
    for taken in (True, False):
        skipped = skipped_by_cycle(office)
        with served(office) as client:
            scrape = Scrape.of(client)
        assert scrape.value("bookings", state="refused") == taken
        assert scrape.value("bookings_skipped", reason="transparent") == skipped == 1
        office.write(series, event("series", ahead(3), 60, *free))
    office.write(series)
    assert skipped_by_cycle(office) == 0
    with served(office) as client:
        assert (
            sum(Scrape.of(client).by_label("bookings_skipped", "reason").values()) == 0
        )


def test_a_feed_is_timed_from_its_answer(office: Office) -> None:
    """What a feed says anew counts from the moment of its answer, as changes of files do from the write."""
    with FeedServer().running() as server:
        server.pages["/a"] = status(200, calendar(event("first", ahead(2))))
        url = f"http://127.0.0.1:{server.port}/a"
        let_serve(office)
        follow(office, feed("sales", url))
        read(office)
        server.pages["/a"] = status(200, calendar(event("first", ahead(2), 30)))
        read(office)
        with served(office) as client:
            scrape = Scrape.of(client)
    assert scrape.value("change_to_booking_seconds_count", kind="feed") == 1
    assert scrape.value("change_to_booking_seconds_count", kind="file") == 0
    readings = {"changed": 2, "unchanged": 0, "unreadable": 0}
    assert scrape.by_label("source_readings_total", "result") == readings


def test_a_scrape_costs_the_same_whatever_waits(office: Office) -> None:
    """With two hundred meetings that wait it takes as many steps as with one: none of them is loaded."""
    config = load(office.folder / "syncd.toml")
    with Ledger.open(config.state.url, owner=True) as ledger:

        def steps() -> int:
            present = Present(config=config)
            asked = Asked(present=present, now=utc_now(), open_ledger=lambda: ledger)
            calls = 0

            def count(_frame: object, what: str, _argument: object) -> None:
                nonlocal calls
                calls += what == "call"

            sys.setprofile(count)
            try:
                metrics_file(asked)
            finally:
                sys.setprofile(None)
            return calls

        def wait_for(number: int) -> None:
            meeting = booking_of_an_hour(f"m{number}", ahead(2), f"{number}")
            waits = replace(
                meeting,
                state=BookingState.WAITING,
                content=None,
                pending=meeting.content,
                reservation_id=None,
            )
            ledger.bookings.record(waits, at=utc_now(), what="noted")

        wait_for(0)
        steps()  # what is made once
        before = steps()
        for number in range(1, 200):
            wait_for(number)
        assert steps() <= before + 100


def test_no_label_says_what_a_calendar_says(office: Office) -> None:
    """Names of sources come back as they are configured; topics, rooms, people and UIDs stand nowhere."""
    name = 'a\\"} syncd_ready 7 <b>é'
    let_serve(office)
    office.change(('name = "office"', f'name = "{name}"'))
    office.write(
        event(
            "uid-of-theirs",
            ahead(2),
            60,
            "SUMMARY:Takeover",
            "ATTENDEE:mailto:alice@example.com",
        ),
        event("broken", ahead(3), 60, "RRULE:FREQ=NEVER", "SUMMARY:Merger"),
    )
    read(office)
    with served(office) as asking:
        scrapes = [Scrape.of(asking), Scrape.of(asking, OPENMETRICS)]
        text = asking.ask("/metrics").text
    for scrape in scrapes:
        assert set(scrape.by_label("source_events", "source")) == {
            'a"} syncd_ready 7 <b>é'
        }
        assert scrape.value("ready") == 1
    for private in (
        "uid-of",
        "Takeover",
        "alice",
        "broken",
        "Merger",
        "small",
        "1410148741926678528",
    ):
        assert private not in text


def test_without_a_ledger_it_says_so(office: Office, client: Client) -> None:
    """A ledger that is missing or damaged is a metric and no error, and what follows from it is left out."""
    scrapes = [Scrape.of(client)]
    read(office)
    assert Scrape.of(client).value("ledger_available") == 1
    (office.folder / "state.db").write_bytes(b"no ledger" * 1000)
    for companion in ("state.db-wal", "state.db-shm"):
        (office.folder / companion).unlink(missing_ok=True)
    scrapes.append(Scrape.of(client))
    for scrape in scrapes:
        assert scrape.value("ledger_available") == scrape.value("ready") == 0
        assert scrape.value("config_last_reload_successful") == 1
        assert "bookings" not in scrape.shapes


def test_it_needs_the_token_of_the_page(office: Office) -> None:
    """Where the page asks for a token, so do the metrics, and Prometheus can send it."""
    secret = office.folder / "web-token"
    secret.touch(mode=0o600)
    secret.write_text("a-token-of-twenty-letters")
    let_serve(office, 'token = { file = "web-token" }')
    with served(office) as asking:
        refused = asking.ask("/metrics")
        assert refused.status == 401
        assert "syncd_" not in refused.text
        asking.headers["Authorization"] = "Bearer a-token-of-twenty-letters"
        assert Scrape.of(asking).value("ledger_available") == 0
