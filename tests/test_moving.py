"""`syncd migrate-state`: a ledger that is moved is the same ledger, whatever interrupts it."""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from syncd.core.acknowledged import Acknowledgement
from syncd.core.leases import writer_lease
from syncd.core.occurrence import OccurrenceKey
from syncd.errors import LedgerError, LedgerLocked, LedgerMisplaced
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.database import Database
from syncd.ledger.facts import ADOPTED_AT, MOVING
from syncd.ledger.holding import hold_lease
from syncd.ledger.leases import Beat, LeaseStore
from syncd.ledger.local_notes import LocalNotes
from syncd.ledger.moving import MoveReport, move
from tests.conftest import Office, ahead
from tests.conftest import event as calendar_event
from tests.daemon.running import running
from tests.test_ledger import NOW, booked, cancelled, wish

_LEFT_OUT = {"alembic_version", "daemons", "leases", "terms", "refreshes"}
_ALLOWED = {
    "state": "read",
    "verdict": "retry",
    "booking": 1,
}
"""What columns hold that have no value of any kind."""

_OF_SEVERAL = ("shown_by", "version", "made_by", "read_at", "news", "daemon")
"""Columns that only a ledger in PostgreSQL has."""

Rows = dict[str, list[tuple[object, ...]]]


def nobody(_table: str, _rows: int) -> None:
    """Take note of nothing."""


@pytest.fixture
def filled(tmp_path: Path) -> LedgerAddress:
    """A ledger in a file with rows in every table, and with numbers that were given to rows that are gone."""
    file = tmp_path / "old.db"
    with Ledger.open(f"sqlite:///{file}", owner=True) as ledger:
        stored = ledger.bookings.record(
            booked("a", detail="a\0b"),
            wish("b"),
            booked("c", document="ä\0"),
            booked("d"),
            at=NOW,
            what="test",
        )
        ledger.bookings.record(cancelled(stored[0], None), at=NOW, what="test")
        ledger.facts.set(ADOPTED_AT, NOW)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM bookings WHERE uid = 'd'")
        for table in tables_of(database):
            fill(database, table)
        database.execute("INSERT INTO quarantine SELECT * FROM quarantine LIMIT 1")
    return LedgerAddress(f"sqlite:///{file}", own=tmp_path)


def tables_of(database: sqlite3.Connection) -> list[str]:
    """The tables of a ledger in a file."""
    found = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return sorted(name for (name,) in found if name != "alembic_version")


def fill(database: sqlite3.Connection, table: str) -> None:
    """Add two rows to a table that has none: one with everything, one with as little as can be."""
    (held,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    if held:
        return
    columns = database.execute(f"PRAGMA table_info({table})").fetchall()
    for number in (1, 2):
        row: dict[str, object] = {}
        for _, name, kind, is_needed, _, in_key in columns:
            if number == 1 or is_needed or in_key:
                row[name] = _ALLOWED.get(name, of_kind(kind, name, number))
        if table == "decisions":
            row["booking"] = number
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        line = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        database.execute(line, tuple(row.values()))


def of_kind(kind: str, name: str, number: int) -> object:
    """A value for a column."""
    match kind:
        case "TEXT":
            return f"{name} ü€\U0001f600 {number}"
        case "BLOB":
            return bytes(range(256)) * 30 * number
        case "FLOAT":
            return 0.1 * number
        case "BOOLEAN":
            return number % 2
        case "INTEGER":
            return number
        case "BIGINT":
            return 4_102_444_800_000 + number
    raise AssertionError(kind)


def content(address: LedgerAddress) -> Rows:
    """Every row of a ledger, in an order that both kinds of database have."""
    if address.file is not None:
        with closing(sqlite3.connect(address.file)) as database:
            names = tables_of(database)
            return {name: rows_of(database, name) for name in names if is_moved(name)}
    url = address.url.replace("+psycopg", "")
    with psycopg.connect(url) as shared:
        found = shared.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        names = sorted(name for (name,) in found.fetchall())
        return {name: rows_of(shared, name) for name in names if is_moved(name)}


def is_moved(table: str) -> bool:
    """Whether a table is part of what is moved."""
    return table not in _LEFT_OUT


def rows_of(database: Any, table: str) -> list[tuple[object, ...]]:
    """The rows of a table, each column by its name, in one order."""
    found = database.execute(f"SELECT * FROM {table}")
    names = [one[0] for one in found.description]
    rows: list[tuple[object, ...]] = []
    for row in found.fetchall():
        named = dict(zip(names, row, strict=True))
        for only_shared in _OF_SEVERAL:
            named.pop(only_shared, None)
        rows.append(tuple(plain(named[name]) for name in sorted(named)))
    return sorted(rows, key=repr)


def plain(value: object) -> object:
    """A value as both kinds of database have it."""
    return int(value) if isinstance(value, bool) else value


def without_nul(rows: Rows) -> Rows:
    """The rows as PostgreSQL can have them."""
    said = repr(rows).replace(r"\x00b", "␀b").replace(r"ä\x00", "ä␀")
    found: Rows = eval(said)
    return {name: sorted(lines, key=repr) for name, lines in found.items()}


def in_file(tmp_path: Path, name: str) -> LedgerAddress:
    """The address of a file."""
    return LedgerAddress(f"sqlite:///{tmp_path / name}", own=tmp_path)


@pytest.fixture
def shared(database: str, tmp_path: Path) -> LedgerAddress:
    """The address of an empty ledger in PostgreSQL."""
    own = tmp_path / "own"
    own.mkdir()
    return LedgerAddress(database, own=own)


@pytest.fixture(params=["shared", "file"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerAddress:
    """The address of a new ledger, of either kind."""
    if request.param == "file":
        return in_file(tmp_path, "new.db")
    found: LedgerAddress = request.getfixturevalue("shared")
    return found


class Statements:
    """Counts what is asked of databases, and what of it writes to what a ledger holds."""

    def __init__(self) -> None:
        self.asked = 0
        self.writing: list[str] = []

    def __enter__(self) -> Statements:
        event.listen(Engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)

    def _note(self, _c: object, _cursor: object, said: str, *_: object) -> None:
        self.asked += 1
        is_lease = "leases" in said or "terms" in said or "daemons" in said
        if said.split(maxsplit=1)[0] in {"INSERT", "UPDATE", "DELETE"} and not is_lease:
            self.writing.append(said)


# There and back


def test_there_and_back(
    filled: LedgerAddress, shared: LedgerAddress, tmp_path: Path
) -> None:
    """A file to PostgreSQL, to a file: each table is equal; NUL, which that does not take, is written out."""
    before = content(filled)
    assert all(before.values()), "every table has rows"
    back = in_file(tmp_path, "back.db")
    told: list[str] = []
    report = move(filled, shared, lambda table, _rows: told.append(table))
    assert report.wrote
    assert set(told) == before.keys()
    assert report.rows() == sum(map(len, before.values()))
    assert content(shared) == without_nul(before)
    move(shared, back, nobody)
    assert content(back) == without_nul(before)
    assert content(filled) == before


def test_from_file_to_file(filled: LedgerAddress, tmp_path: Path) -> None:
    """Nothing is changed on the way."""
    new = in_file(tmp_path, "new.db")
    move(filled, new, nobody)
    assert content(new) == content(filled)


def test_an_equal_one_is_not_written(
    filled: LedgerAddress, target: LedgerAddress
) -> None:
    """A second run finds both equal, and writes to neither."""
    first = move(filled, target, nobody)
    with Statements() as statements:
        second = move(filled, target, nobody)
    assert statements.writing == []
    assert not second.wrote
    assert second.rows() == first.rows()
    assert not any(one.is_copied for one in second.tables)


def test_it_goes_on_as_if_it_had_not_been_moved(
    filled: LedgerAddress, target: LedgerAddress
) -> None:
    """The new one is known as the latest, and gives no number twice."""
    given = max(int(str(row[-1])) for row in numbers(filled))
    move(filled, target, nobody)
    with Ledger.open(target, owner=True) as ledger:
        assert not ledger.bookings.fresh
        (stored,) = ledger.bookings.record(wish("new"), at=NOW, what="test")
        assert stored.row == given + 1
        key = OccurrenceKey("", "c", None)
        assert ledger.bookings.next_generations([key]) == {key: 1}


def numbers(address: LedgerAddress) -> list[tuple[object, ...]]:
    """The numbers that a file has given."""
    assert address.file is not None
    with closing(sqlite3.connect(address.file)) as database:
        return database.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'bookings'"
        ).fetchall()


def test_numbers_that_are_given_stay_given(
    tmp_path: Path, shared: LedgerAddress
) -> None:
    """Also if none of the rows is left, on the way there and on the way back."""
    old, back = in_file(tmp_path, "old.db"), in_file(tmp_path, "back.db")
    with Ledger.open(old, owner=True) as ledger:
        for _ in range(3):
            ledger.bookings.record(cancelled(booked(), None), at=NOW, what="test")
        ledger.prune(NOW.replace(year=2030))
    move(old, shared, nobody)
    move(shared, back, nobody)
    assert numbers(back) == [(3,)]
    with Ledger.open(back, owner=True) as ledger:
        (stored,) = ledger.bookings.record(wish(), at=NOW, what="test")
        assert stored.row == 4


def test_a_copy_that_was_put_back_stays_one(
    filled: LedgerAddress, target: LedgerAddress
) -> None:
    """What cannot prove what it does not hold proves it nowhere."""
    filled.beside(".lock").unlink()
    move(filled, target, nobody)
    with Ledger.open(target, owner=True) as ledger:
        assert ledger.bookings.fresh


def test_through_a_pooler(filled: LedgerAddress, pooled: str, tmp_path: Path) -> None:
    """A single connection to each database is enough."""
    shared = LedgerAddress(pooled, own=tmp_path)
    move(filled, shared, nobody)
    back = in_file(tmp_path, "back.db")
    move(shared, back, nobody)
    assert content(back) == without_nul(content(filled))


# What is refused


def test_another_ledger_is_not_replaced(
    filled: LedgerAddress, target: LedgerAddress, tmp_path: Path
) -> None:
    """Neither one that is at work, nor a part of another one; what is there stays."""
    with Ledger.open(target, owner=True) as ledger:
        ledger.people.approve("c", NOW, "ann")
    before = content(target)
    with pytest.raises(LedgerError, match=r"another ledger already \(approvals\)"):
        move(filled, target, nobody)
    assert content(target) == before
    with Ledger.open(target, owner=True) as ledger:
        ledger.facts.set(MOVING, "whose")
    with pytest.raises(LedgerError, match="a part of another ledger"):
        move(filled, target, nobody)
    with pytest.raises(LedgerLocked, match="not whole yet"):
        move(target, in_file(tmp_path, "third.db"), nobody)
    assert not (tmp_path / "third.db").exists()


def test_beside_an_owner(filled: LedgerAddress, target: LedgerAddress) -> None:
    """While one of the two is at work nothing is moved; afterwards it is."""
    before = content(filled)
    for address in (filled, target):
        with Ledger.open(address, owner=True), pytest.raises(LedgerLocked):
            move(filled, target, nobody)
    assert content(filled) == before
    assert not any(content(target).values())
    move(filled, target, nobody)


def test_a_writer_on_another_machine(
    filled: LedgerAddress, shared: LedgerAddress, tmp_path: Path
) -> None:
    """It is known by its lease, of whichever client of the API, on the way there and on the way back."""
    elsewhere = replace(shared, own=tmp_path)
    host = os.uname().nodename
    for source, target in ((filled, shared), (shared, in_file(tmp_path, "back.db"))):
        refused = pytest.raises(LedgerLocked, match=f"Process {os.getpid()} on {host}")
        with closing(Database(elsewhere, owner=True, patience_s=1.0)) as database:
            store = LeaseStore(database, writer_lease("c"))
            with hold_lease(store, LocalNotes(elsewhere), elsewhere.name), refused:
                move(source, target, nobody, client_id="d")
        move(source, target, nobody)


def test_a_member_that_only_reads(filled: LedgerAddress, shared: LedgerAddress) -> None:
    """It could become the writer at any moment."""
    beat = Beat("there:7", "h", 7, "1", "/etc/syncd/syncd.toml", NOW, "basis")
    with closing(Database(shared, owner=False, patience_s=1.0)) as database:
        store = LeaseStore(database, "writer:c")
        store.join(beat, 60.0)
        with pytest.raises(LedgerLocked, match="Process 7 on there"):
            move(filled, shared, nobody)
        store.leave("h")
    move(filled, shared, nobody)


def test_nothing_to_move(
    filled: LedgerAddress, shared: LedgerAddress, tmp_path: Path
) -> None:
    """No ledger there, or the same twice: a sentence, and nothing is made."""
    absent = in_file(tmp_path, "absent.db")
    with pytest.raises(LedgerError, match="no ledger at"):
        move(absent, shared, nobody)
    assert absent.file is not None
    assert not absent.file.exists()
    with pytest.raises(LedgerMisplaced, match="Both addresses name"):
        move(filled, filled, nobody)


def test_an_approval_that_comes_meanwhile(
    filled: LedgerAddress, target: LedgerAddress
) -> None:
    """What a person decides while it is moved is not lost: it is said, and the second run takes it along."""

    def approve(table: str, _rows: int) -> None:
        if table == "approvals":
            with Ledger.open(filled, owner=False) as beside:
                beside.people.approve("late", NOW, "ann")

    with pytest.raises(LedgerError, match="approvals changed"):
        move(filled, target, approve)
    with pytest.raises(LedgerLocked, match="not whole yet"):
        Ledger.open(target, owner=True)
    report = move(filled, target, nobody)
    assert [one.name for one in report.tables if one.is_copied] == ["approvals"]
    assert ("late" in repr(content(target))) is True


# Kills


def child(work: Callable[[], object]) -> int:
    """Do something in a process of its own; return how that ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_KILLED = 9


def kill_at(number: int) -> None:
    """End this process without a word at a step: before a statement, after one, or before a COMMIT."""
    left = number

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(_KILLED)

    def statement(_c: object, _cursor: object, said: str, *_: object) -> None:
        # How tables are described is asked before anything is done.
        if "PRAGMA" not in said and "pg_catalog" not in said:
            step()

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "after_cursor_execute", statement)
    event.listen(Engine, "commit", step)


def killed_moves(
    source: LedgerAddress, fresh: Callable[[], LedgerAddress], every: int
) -> Iterator[LedgerAddress]:
    """Yield a target of a move that was killed at one step after the other, until one ends by itself."""
    number = every
    while True:
        target = fresh()

        def work(target: LedgerAddress = target, number: int = number) -> None:
            kill_at(number)
            move(source, target, nobody)

        code = child(work)
        if code == 0:
            return
        assert code == _KILLED
        yield target
        number += every


def completed(source: LedgerAddress, target: LedgerAddress) -> MoveReport:
    """Complete a move that was killed; until that is done nobody works on the new ledger."""
    if MOVING.name in repr(content(target).get("facts")):
        with pytest.raises(LedgerLocked, match="not whole yet"):
            Ledger.open(target, owner=True)
    return move(source, target, nobody)


@pytest.mark.first(1, 1)
@pytest.mark.parametrize("every", [97, 5])
def test_killed_from_file_to_file(
    filled: LedgerAddress, tmp_path: Path, every: int
) -> None:
    """The same command completes it, whenever it was killed."""
    names = iter(range(100_000))

    def fresh() -> LedgerAddress:
        return in_file(tmp_path, f"new{next(names)}.db")

    wanted = content(filled)
    kills = 0
    for target in killed_moves(filled, fresh, every):
        completed(filled, target)
        assert content(target) == wanted
        kills += 1
    assert kills > 300 // every


@pytest.mark.first(0, 1)
@pytest.mark.parametrize("every", [101, 9])
def test_killed_to_postgres_and_back(
    filled: LedgerAddress, fresh_database: Callable[[], str], tmp_path: Path, every: int
) -> None:
    """The same command completes it, whenever it was killed; on the way back, too."""
    names = iter(range(100_000))

    def fresh() -> LedgerAddress:
        return LedgerAddress(fresh_database(), own=tmp_path)

    def fresh_file() -> LedgerAddress:
        return in_file(tmp_path, f"back{next(names)}.db")

    wanted = without_nul(content(filled))
    moved = None
    for target in killed_moves(filled, fresh, every):
        completed(filled, target)
        assert content(target) == wanted
        moved = target
    assert moved is not None
    for target in killed_moves(moved, fresh_file, every):
        completed(moved, target)
        assert content(target) == wanted


# The command


def state_of(office: Office, url: str) -> None:
    """Let the configuration name another ledger."""
    text = (office.folder / "syncd.toml").read_text()
    kept, _, _ = text.partition("[state]")
    office.configure(f'{kept}[state]\nurl = "{url}"\n')


def test_an_office_moves(office: Office, database: str) -> None:
    """To PostgreSQL and back: a cycle afterwards writes nothing to the API, nor about any booking."""
    office.write(calendar_event("a", ahead(2)), calendar_event("b", ahead(3)))
    office.once()
    file = office.folder / "state.db"
    home = LedgerAddress(f"sqlite:///{file}")
    url = database.replace("postgres@", "postgres:hush@")
    shared = LedgerAddress(database, own=office.folder)
    booked_before = of_bookings(home)
    ran = office.run("migrate-state", str(file), url)
    assert (ran.code, ran.err) == (0, "")
    assert "2 bookings" in ran.out
    assert f'url = "{database}"' in ran.out
    assert "hush" not in ran.out
    again = office.run("migrate-state", f"sqlite:///{file}", url)
    assert (again.code, "nothing was written" in again.out) == (0, True)
    state_of(office, url)
    cycle_without_a_write(office)
    assert of_bookings(shared) == booked_before
    back = office.folder / "back.db"
    ran = office.run("migrate-state", url, str(back))
    assert (ran.code, ran.err) == (0, "")
    assert f'url = "sqlite:///{back}"' in ran.out
    state_of(office, f"sqlite:///{back}")
    cycle_without_a_write(office)
    assert of_bookings(LedgerAddress(f"sqlite:///{back}")) == booked_before


def cycle_without_a_write(office: Office) -> None:
    """A cycle finds everything as it is."""
    assert office.run("plan", "--json").code == 0
    office.forget_requests()
    assert office.once()["outcome"] == "ok"
    assert office.writes() == []


def of_bookings(address: LedgerAddress) -> Rows:
    """What a ledger holds about bookings."""
    found = content(address)
    return {name: found[name] for name in ("bookings", "history", "generations")}


def test_what_the_command_refuses(office: Office, database: str) -> None:
    """A sentence and a code for each, without the password."""
    office.write(calendar_event("a", ahead(2)))
    office.once()
    file = str(office.folder / "state.db")
    url = database.replace("postgres@", "postgres:hush@")
    nowhere = url.replace("127.0.0.1", "127.0.0.2").replace("/test", "/none")
    refused = {
        (file, "mysql://a:hush@b/c"): (78, "TO: must be sqlite:///FILE"),
        ("postgresql://a:hush@b/c", file): (
            78,
            "FROM: must begin with postgresql+psycopg",
        ),
        (file, file): (78, "Both addresses"),
        (file, f"{office.folder}/none/new.db"): (78, "does not exist"),
        (file, url.replace("/test_", "/absent_")): (69, "does not exist"),
        (file, nowhere): (69, "cannot be used now"),
        (f"{office.folder}/absent.db", url): (1, "no ledger at"),
        (url, f"{office.folder}/new.db"): (1, "another ledger already"),
    }
    with Ledger.open(LedgerAddress(database, own=office.folder), owner=True) as ledger:
        ledger.people.approve("c", NOW, "ann")
    with Ledger.open(f"sqlite:///{office.folder}/new.db", owner=True) as ledger:
        ledger.people.acknowledge(Acknowledgement("s", "f", "ann", NOW))
    for (source, target), (code, sentence) in refused.items():
        ran = office.run("migrate-state", source, target)
        assert (ran.code, sentence in ran.err) == (code, True), (target, ran)
        assert "hush" not in ran.err + ran.out
    assert office.run("migrate-state", file).code == 2


@pytest.mark.slow
def test_beside_a_daemon(office: Office, database: str) -> None:
    """Its state is not moved while it runs."""
    office.write(calendar_event("a", ahead(2)))
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) == 1, "booked")
        ran = office.run("migrate-state", str(office.folder / "state.db"), database)
        assert (ran.code, f"Process {daemon.process.pid}" in ran.err) == (75, True)
