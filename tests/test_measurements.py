"""What is counted for monitoring is on disk with what it counts, over restarts and from several threads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd.errors import LedgerError
from syncd.ledger import Ledger
from syncd.ledger.facts import ADOPTED_AT
from syncd.ledger.latency import ChangeLatency
from syncd.ledger.measurements import BOUNDS, CounterName, GaugeName, HistogramName

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
CHANGES, READINGS = CounterName.CHANGES, CounterName.SOURCE_READINGS
LATENCY = HistogramName.CHANGE_TO_BOOKING


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the ledger of a test is."""
    return tmp_path / "state.db"


@pytest.fixture
def ledger(file: Path) -> Iterator[Ledger]:
    """The ledger of its owner."""
    with Ledger.open(f"sqlite:///{file}", owner=True) as opened:
        yield opened


def write(ledger: Ledger) -> None:
    """Write anything."""
    ledger.facts.set(ADOPTED_AT, NOW)


def beside(file: Path) -> Ledger:
    """Open the ledger as somebody who only looks."""
    return Ledger.open(f"sqlite:///{file}", owner=False)


def test_it_is_stored_with_the_next_write(ledger: Ledger, file: Path) -> None:
    """Nothing is written for a count alone; the next write of the ledger stores it for whoever looks."""
    ledger.measurements.add(CHANGES, "create", "done")
    ledger.measurements.set(GaugeName.API_CLOCK_OFFSET, 1.5)
    with beside(file) as other:
        assert other.measurements.all().counter(CHANGES, "create", "done") == 0
        write(ledger)
        seen = other.measurements.all()
    assert seen.counter(CHANGES, "create", "done") == 1
    assert seen.counter(CHANGES, "create", "refused") == 0
    assert seen.gauges == {GaugeName.API_CLOCK_OFFSET: 1.5}


def test_a_write_that_is_undone_stores_nothing_and_loses_nothing(
    ledger: Ledger, file: Path
) -> None:
    """What was counted goes with the transaction: undone with it, and stored once with the next one."""
    ledger.measurements.add(CHANGES, "create", "done")
    with pytest.raises(LedgerError), ledger._gate.writing() as connection:
        connection.exec_driver_sql("INSERT INTO nothing VALUES (1)")
    with beside(file) as other:
        assert other.measurements.all().counter(CHANGES, "create", "done") == 0
    write(ledger)
    assert ledger.measurements.all().counter(CHANGES, "create", "done") == 1


def test_it_goes_on_after_a_restart(file: Path) -> None:
    """A counter goes on where the process before left it, also with what that one wrote while it closed."""
    for _ in range(3):
        with Ledger.open(f"sqlite:///{file}", owner=True) as opened:
            opened.measurements.add(CHANGES, "cancel", "done")
            opened.measurements.observe(HistogramName.CYCLE, 0.2)
    with beside(file) as other:
        seen = other.measurements.all()
    assert seen.counter(CHANGES, "cancel", "done") == 3
    assert seen.histogram(HistogramName.CYCLE).sum == pytest.approx(0.6)


def test_observations_fall_into_their_buckets(ledger: Ledger, file: Path) -> None:
    """A bound belongs to its bucket; what exceeds all has one too, and that of a former bound the next one."""
    bounds = BOUNDS[LATENCY]
    for seconds in (0.0, bounds[0], bounds[0] + 0.01, bounds[-1] + 1):
        ledger.measurements.observe(LATENCY, seconds, "file")
    write(ledger)
    with closing(sqlite3.connect(file)) as database, database:
        former = ("change_to_booking", '["file"]', "0.7", 5.0)
        database.execute("INSERT INTO measurements VALUES (?, ?, ?, ?)", former)
    found = ledger.measurements.all().histogram(LATENCY, "file")
    assert found.buckets[:2] == (2.0, 1.0 + 5.0)
    assert found.buckets[-1] == 1.0
    assert sum(found.buckets) == 9.0
    assert ledger.measurements.all().histogram(LATENCY, "feed").sum == 0.0


def test_threads_lose_nothing(ledger: Ledger) -> None:
    """Threads count while another one stores; in the end each count is there once."""

    def count() -> None:
        for _ in range(200):
            ledger.measurements.add(CounterName.API_REQUESTS, "get", "ok")
            ledger.measurements.observe(HistogramName.API_REQUEST, 0.01, "GET")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        write(ledger)
    for thread in threads:
        thread.join()
    write(ledger)
    seen = ledger.measurements.all()
    assert seen.counter(CounterName.API_REQUESTS, "get", "ok") == 800
    assert sum(seen.histogram(HistogramName.API_REQUEST, "GET").buckets) == 800


def test_a_source_that_goes_takes_its_counts_along(ledger: Ledger) -> None:
    """The readings of a source are forgotten with it, whatever it is called, and those of no other."""
    names = ("a", "a%", "a_", "ab", 'a", "b', "Büro")
    for name in names:
        ledger.measurements.add(READINGS, name, "changed")
    ledger.sources.forget("gone")
    ledger.sources.forget("a%")
    seen = ledger.measurements.all()
    kept = {name for name in names if seen.counter(READINGS, name, "changed")}
    assert kept == set(names) - {"a%"}


def test_what_a_later_version_measures_is_left_out(ledger: Ledger, file: Path) -> None:
    """A name that this version does not know is no trouble."""
    write(ledger)
    with closing(sqlite3.connect(file)) as database, database:
        later = ("weather", "[]", "", 5.0)
        database.execute("INSERT INTO measurements VALUES (?, ?, ?, ?)", later)
    assert ledger.measurements.all().counters == {}


def test_how_long_a_change_takes(ledger: Ledger) -> None:
    """It counts from the first change that is not booked yet, for each booking, until the UID is let go."""
    latency = ChangeLatency(ledger.measurements)
    latency.note(["a", "b"], "file", NOW)
    latency.note(["a"], "feed", NOW + timedelta(seconds=30))
    latency.measure("a", NOW + timedelta(seconds=60))
    latency.measure("a", NOW + timedelta(seconds=60))
    latency.measure("never changed", NOW)
    latency.keep(["a"])
    latency.measure("b", NOW + timedelta(days=1))
    latency.keep([])
    latency.measure("a", NOW + timedelta(days=1))
    write(ledger)
    seen = ledger.measurements.all()
    assert sum(seen.histogram(LATENCY, "file").buckets) == 2
    assert seen.histogram(LATENCY, "file").sum == 120.0
    assert sum(seen.histogram(LATENCY, "feed").buckets) == 0
