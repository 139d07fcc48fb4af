"""What a cycle costs when nothing changed: no file opened, no call, and reads that do not grow."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as sql_event
from sqlalchemy.engine import Engine

from syncd.assembly import service, utc_now
from syncd.config import load
from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import files, follow
from tests.end_to_end.killed import Clock, at_work
from tests.end_to_end.opened import opened_files

_RARELY_COMPARED = '[schedule]\ndrift_check = "30d"\n[people.addresses]'
_GROWING = (
    "bookings",
    "history",
    "generations",
    "kept",
    "agenda",
    "inventory_buckets",
    "bodies",
)


@contextmanager
def _statements() -> Iterator[list[tuple[str, Any]]]:
    """All that is asked of the database meanwhile."""
    asked: list[tuple[str, Any]] = []

    def note(
        _c: object,
        _cursor: object,
        statement: str,
        parameters: Any,
        _x: object,
        many: bool,
    ) -> None:
        asked.append((statement, parameters[0] if many else parameters))

    sql_event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sql_event.remove(Engine, "before_cursor_execute", note)


@contextmanager
def _writes() -> Iterator[list[Connection]]:
    """All transactions meanwhile that write, each with its connection."""
    committed: list[Connection] = []

    def note(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            committed.append(connection)

    sql_event.listen(Engine, "commit", note)
    try:
        yield committed
    finally:
        sql_event.remove(Engine, "commit", note)


def _age(office: Office) -> None:
    """As if the calendars had been written a while ago: a file just written proves nothing by its times."""
    for file in office.folder.glob("*.ics"):
        os.utime(file, ns=(file.stat().st_atime_ns, time.time_ns() - 10**10))
    time.sleep(2.1)


@pytest.fixture
def settled(office: Office) -> Office:
    """An office with everything booked, whose calendar was written some time ago."""
    office.write(
        *(
            event(f"single{n}", ahead(1 + n % 5, 8 + n % 9), room="small")
            for n in range(40)
        ),
        event("series", ahead(1, 7), 60, "RRULE:FREQ=WEEKLY;COUNT=9", room="large"),
        event("private", ahead(2), 60, "TRANSP:TRANSPARENT", room="large"),
    )
    _age(office)
    for _ in range(3):
        office.once()
    return office


@pytest.mark.slow
def test_a_quiet_cycle_opens_no_calendar_and_asks_the_ledger_a_few_things(
    settled: Office,
) -> None:
    """An unchanged file costs a stat; what is read of the ledger is found by an index."""
    clock = Clock()
    with at_work(settled.folder / "syncd.toml", clock) as reconciler:
        first = reconciler.cycle()
        with opened_files() as opened, _statements() as asked:
            second = reconciler.cycle()
    assert first.counts == second.counts
    assert second.counts["unchanged"] > 20
    assert not any(second.calls.values())
    assert not [name for name in opened if name.endswith(".ics")]
    assert len(asked) < 40
    with closing(sqlite3.connect(settled.folder / "state.db")) as ledger:
        for statement, parameters in asked:
            if re.match(r"\s*(BEGIN|PRAGMA|COMMIT)", statement):
                continue
            plan = [
                row[3]
                for row in ledger.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            scans = [
                line
                for line in plan
                if re.match(rf"SCAN ({'|'.join(_GROWING)})\b", line)
            ]
            assert not scans or "LIMIT" in statement, (statement, plan)


@pytest.mark.slow
def test_a_quiet_cycle_looks_at_no_booking(settled: Office) -> None:
    """However many bookings there are, a cycle without news loads none of them."""
    with at_work(settled.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
        with _statements() as asked:
            reconciler.cycle()
        rows = 0
        with closing(sqlite3.connect(settled.folder / "state.db")) as ledger:
            for statement, parameters in asked:
                if statement.startswith("SELECT") and "FROM bookings" in statement:
                    rows += len(ledger.execute(statement, parameters).fetchall())
    assert rows == 0


@pytest.mark.slow
def test_before_its_first_creates_a_process_loads_what_may_be_theirs_alone(
    settled: Office,
) -> None:
    """Whether a new meeting is booked already is told by the bookings of its days, found by an index."""
    singles = [
        event(f"single{n}", ahead(1 + n % 5, 8 + n % 9), room="small")
        for n in range(40)
    ]
    settled.write(*singles, event("new", ahead(6, 23), room="small"))
    with at_work(settled.folder / "syncd.toml") as reconciler, _statements() as asked:
        report = reconciler.cycle()
    assert report.counts["created"] == 1
    with closing(sqlite3.connect(settled.folder / "state.db")) as ledger:
        for statement, parameters in asked:
            if (
                statement.startswith("SELECT")
                and "FROM bookings" in statement
                and "state NOT IN" in statement
                and "count("
                not in statement  # what is at rest is counted, and not loaded
            ):
                assert len(ledger.execute(statement, parameters).fetchall()) < 20, (
                    statement
                )
                plan = [
                    row[3]
                    for row in ledger.execute(
                        f"EXPLAIN QUERY PLAN {statement}", parameters
                    )
                ]
                assert not any(line.startswith("SCAN bookings") for line in plan), (
                    statement,
                    plan,
                )


@pytest.mark.slow
def test_comparing_with_the_api_asks_the_ledger_as_often_whatever_is_booked(
    settled: Office,
) -> None:
    """All bookings are loaded at once, and what was given to them is not asked one by one."""
    clock = Clock()
    with at_work(settled.folder / "syncd.toml", clock) as reconciler:
        reconciler.cycle()
        clock.later = timedelta(hours=2)
        with _statements() as asked:
            report = reconciler.cycle()
    assert report.calls["GET"] > 0
    assert report.counts["unchanged"] > 30
    assert (
        sum(bool(re.search("FROM (bookings|generations)", text)) for text, _ in asked)
        < 10
    )


@pytest.mark.slow
def test_what_enters_the_horizon_is_booked_without_reading_the_calendar(
    settled: Office,
) -> None:
    """A later date of a series comes by its time, although its file is not opened again."""
    clock = Clock()
    with at_work(settled.folder / "syncd.toml", clock) as reconciler:
        reconciler.cycle()
        clock.later = timedelta(days=2)
        with opened_files() as opened:
            report = reconciler.cycle()
    assert report.plan is not None
    assert report.plan.closed  # what was over by then
    assert not [name for name in opened if name.endswith(".ics")]


@pytest.mark.first(1)
def test_each_state_has_a_key_of_its_own(settled: Office) -> None:
    """The digests that tell what changed have a key that no feed can know, and that no command shows."""

    def key() -> str:
        with closing(sqlite3.connect(settled.folder / "state.db")) as ledger:
            ((value,),) = ledger.execute(
                "SELECT value FROM facts WHERE name = 'salt'"
            ).fetchall()
        return str(value)

    first = key()
    settled.once()
    assert key() == first
    assert (
        first
        not in settled.run("status", "--json").out + settled.run("once", "--json").err
    )
    for file in settled.folder.glob("state.db*"):
        file.unlink()
    settled.once()
    assert key() != first


def test_a_cycle_over_many_sources_writes_as_often_as_over_one(office: Office) -> None:
    """How the sources stand is stored together, however many were read; what the cycle came to is the rest."""
    names = [f"s{number}" for number in range(6)]
    for number, name in enumerate(names):
        meeting = event(name, ahead(1 + number), room=None)
        (office.folder / f"{name}.ics").write_bytes(calendar(meeting))
    _age(office)
    follow(office, *(files(name, f"{name}.ics") for name in names))
    with at_work(office.folder / "syncd.toml") as reconciler:
        for _ in range(3):
            reconciler.cycle()
        written: list[int] = []
        for some in (names[:1], names):
            with _writes() as writes:
                report = reconciler.cycle(some)
            assert {source.state for source in report.sources} == {"unchanged"}
            written.append(len(writes))
    assert written == [2, 2]


def test_what_one_source_costs_does_not_grow_with_the_others(office: Office) -> None:
    """A look at one source, and an edit of it, ask the ledger as much among many sources as among few."""
    names = [f"s{number}" for number in range(24)]
    files_of = [files(name, f"{name}.ics") for name in names]
    for number, name in enumerate(names):
        meeting = event(name, ahead(1 + number % 5, 8 + number % 9), room=None)
        (office.folder / f"{name}.ics").write_bytes(calendar(meeting))
    asked_of: list[list[tuple[str, int]]] = []
    for number, some in enumerate((3, len(names))):
        _age(office)
        follow(office, *files_of[:some])
        with at_work(office.folder / "syncd.toml") as reconciler:
            for _ in range(3):
                reconciler.cycle()
            with _statements() as asked:
                reconciler.cycle(["s1"])
                edited = event("s1", ahead(2, 9), 60, f"SUMMARY:v{number}", room=None)
                (office.folder / "s1.ics").write_bytes(calendar(edited))
                report = reconciler.cycle(["s1"])
            assert report.counts["updated"] == 1
            assert report.counts["unchanged"] == some - 1
        asked_of.append(list(_rows(office, asked)))
    assert asked_of[0] == asked_of[1]


def _rows(office: Office, asked: list[tuple[str, Any]]) -> Iterator[tuple[str, int]]:
    """Each statement, with how many rows it finds in the ledger of an office; what is counted loads none."""
    with closing(sqlite3.connect(office.folder / "state.db")) as ledger:
        for statement, parameters in asked:
            rows = 0
            if statement.startswith("SELECT") and "count(*)" not in statement:
                rows = len(ledger.execute(statement, parameters).fetchall())
            yield statement, rows


@pytest.mark.slow
def test_what_is_done_once_a_day_waits_for_no_news(settled: Office) -> None:
    """A ledger forgets what is long over each day, although no source says anything and nothing is compared."""
    settled.change(("[people.addresses]", _RARELY_COMPARED))
    clock = Clock()
    with at_work(settled.folder / "syncd.toml", clock) as reconciler:
        today = clock().date()
        midnight = datetime.combine(today, datetime.min.time(), UTC) + timedelta(days=1)
        reconciler.cycle()
        while clock().date() == today:
            due = reconciler.due_at
            assert due is not None
            assert due <= midnight
            clock.later += max(due - clock(), timedelta(minutes=1))
            reconciler.cycle([])
    with closing(sqlite3.connect(settled.folder / "state.db")) as ledger:
        pruned = ledger.execute("SELECT value FROM facts WHERE name = 'pruned'")
        assert pruned.fetchall() == [(clock().date().isoformat(),)]


def test_what_stays_open_is_looked_at_again_without_news(office: Office) -> None:
    """What is held, or waits for what no clock tells, comes to its turn within minutes."""
    office.write(*(event(f"e{n}", ahead(1 + n), room=None) for n in range(5)))
    clock = Clock()
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        reconciler.cycle()
        office.write()
        assert reconciler.cycle().counts["held"] == 5
        for _ in range(3):
            due = reconciler.due_at
            assert due is not None
            assert due - clock() <= timedelta(minutes=5)
            clock.later += timedelta(minutes=5)
            assert reconciler.cycle([]).counts["held"] == 5


@pytest.mark.slow
def test_observing_takes_no_word_of_a_person(settled: Office) -> None:
    """In mode observe nothing is carried out, so an approval stays for the mode that may."""
    settled.change(('mode = "full"', 'mode = "observe"'))
    with service(load(settled.folder / "syncd.toml"), owner=True) as parts:
        parts.reconciler.cycle()
        parts.ledger.people.approve("0123456789ab", utc_now(), "somebody")
        parts.reconciler.cycle()
        assert parts.ledger.people.approved() == {"0123456789ab"}
