"""The database of a shared ledger is put back to an earlier state: nothing is booked twice, nothing is lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.core.changes import Wait
from syncd.reconciler import CycleReport
from syncd.tuya import LATEST_SIGNING_S
from tests.conftest import HANG_S, Office, ahead, event
from tests.end_to_end.killed import Clock, at_work
from tests.postgres import statement
from tests.postgres_keeper import Cluster, as_nobody

VALIDITY = timedelta(minutes=5)
SIGNING = timedelta(seconds=LATEST_SIGNING_S)


@pytest.fixture
def shared_office(make_office: Any, database: str) -> Iterator[Office]:
    """An office with its state in PostgreSQL."""
    office: Office = make_office()
    text = (office.folder / "syncd.toml").read_text()
    office.configure(f'{text}[state]\nurl = "{database}"\n')
    with capture_logs():
        yield office


@contextmanager
def lost(cluster: Cluster, database: str) -> Iterator[None]:
    """Take the database back, at the end, to what it was at the beginning."""
    url = database.replace("+psycopg", "")
    with TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o777)
        file = f"{directory}/dump"
        dump = [str(cluster.programs / "pg_dump"), "-Fc", "-f", file, url]
        subprocess.run(dump, check=True, **as_nobody())
        yield
        restore = [str(cluster.programs / "pg_restore"), "--clean", "--if-exists"]
        subprocess.run([*restore, "-d", url, file], check=True, **as_nobody())


def cycle(office: Office, later: timedelta = timedelta()) -> CycleReport:
    """One cycle of a process of its own, at the present or later."""
    clock = Clock()
    clock.later = later
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        return reconciler.cycle()


def until_quiet(office: Office) -> None:
    """Wait until the API has answered all."""
    ends = time.monotonic() + HANG_S
    while any(entry["code"] is None for entry in office.control("requests")):
        assert time.monotonic() < ends, json.dumps(office.control("requests"))
        time.sleep(0.03)


def waiting(report: CycleReport) -> set[str]:
    """Why meetings wait."""
    changes = report.plan.changes if report.plan else ()
    return {change.reason.value for change in changes if isinstance(change, Wait)}


def test_what_was_lost_is_found(
    shared_office: Office, database: str, postgres: Cluster
) -> None:
    """A booked meeting of which the ledger knows nothing is adopted; a new one waits until all is certain."""
    office = shared_office
    office.write(event("m", ahead(1)))
    assert cycle(office).counts["created"] == 1
    with lost(postgres, database):
        office.write(event("m", ahead(1)), event("n", ahead(2)))
        assert cycle(office).counts["created"] == 1
    office.write(event("m", ahead(1)), event("n", ahead(2)), event("p", ahead(3)))
    office.forget_requests()
    report = cycle(office)
    assert (report.counts["adopted"], report.counts["created"]) == (1, 0)
    assert waiting(report) == {"unproven"}
    assert {change["reason"] for change in office.plan()["changes"]} == {"unproven"}
    almost = cycle(office, SIGNING + VALIDITY - timedelta(minutes=1))
    assert (almost.counts["created"], waiting(almost)) == (0, {"unproven"})
    assert office.writes() == []
    report = cycle(office, SIGNING + VALIDITY + timedelta(minutes=1))
    assert (report.counts["created"], waiting(report)) == (1, set())
    assert len(office.reservations(live=False)) == 3
    assert cycle(office, SIGNING + VALIDITY + timedelta(minutes=1)).outcome == "ok"
    assert office.writes() == ["create"]


def test_a_request_that_was_lost_to_the_ledger_arrives_late(
    shared_office: Office, database: str, postgres: Cluster
) -> None:
    """Its meeting is not booked before the request can no longer arrive, and is adopted when it has."""
    office = shared_office
    office.change(("requests_per_second", 'timeout = "1s"\nrequests_per_second'))
    office.write(event("m", ahead(1)))
    assert cycle(office).counts["created"] == 1
    office.forget_requests()
    office.write(event("m", ahead(1)), event("q", ahead(2), room=None))
    with lost(postgres, database):
        office.fault("late:on=create,times=1,seconds=3000")
        assert cycle(office).counts["in_doubt"] == 1
    report = cycle(office)
    assert (report.counts["created"], waiting(report)) == (0, {"unproven"})
    office.fault()  # what it held up goes on
    until_quiet(office)
    report = cycle(office, timedelta(minutes=1))
    later = cycle(office, SIGNING + VALIDITY + timedelta(minutes=1))
    assert report.counts["adopted"] + later.counts["adopted"] == 1
    assert later.counts["created"] == 0
    assert office.writes() == ["create"]
    assert len(office.reservations(live=False)) == 2


def test_the_first_look_after_it_is_remembered(
    shared_office: Office, database: str, postgres: Cluster
) -> None:
    """Whoever writes next, elsewhere too, goes on waiting: it is written in the ledger since when."""
    office = shared_office
    office.write(event("m", ahead(1)))
    cycle(office)
    with lost(postgres, database):
        office.write(event("m", ahead(1)), event("n", ahead(2)))
        cycle(office)
    cycle(office)
    name = database.rpartition("/")[2]

    def asked() -> list[tuple[object, ...]]:
        return statement(
            postgres, "SELECT value FROM facts WHERE name = 'recovery'", name
        )

    (first,) = asked()
    for notes in office.folder.glob("ledger-*.notes"):
        notes.unlink()
    cycle(office, timedelta(minutes=2))
    assert asked() == [first]
    cycle(office, SIGNING + VALIDITY + timedelta(minutes=1))
    assert asked() == [("",)]
