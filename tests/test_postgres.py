"""A ledger in PostgreSQL beyond the contract: its owner, lost answers, wrong settings, plans of queries."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import event, text

from syncd.core.booking import BookingState
from syncd.core.occurrence import OccurrenceKey
from syncd.errors import (
    CommitUnknown,
    LedgerAway,
    LedgerLocked,
    LedgerMisplaced,
    LedgerUnfit,
    NotDurable,
)
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.address import Durability
from syncd.ledger.backup import back_up
from syncd.ledger.booking_rows import encode_spec
from syncd.ledger.history import StepFilter
from tests.conftest import Office, ahead, engine_of
from tests.conftest import event as calendar_event
from tests.postgres import statement
from tests.postgres_keeper import Cluster, free_port
from tests.test_ledger import NOW, SPEC, booked, wish

MINUTE = timedelta(minutes=1)


def own_directory(parent: Path, name: str) -> Path:
    """The directory of one machine."""
    made = parent / name
    made.mkdir()
    return made


@pytest.fixture
def here(database: str, tmp_path: Path) -> LedgerAddress:
    """The ledger as this machine reaches it."""
    return LedgerAddress(database, own=own_directory(tmp_path, "here"))


@pytest.fixture
def there(here: LedgerAddress, tmp_path: Path) -> LedgerAddress:
    """The same ledger as another machine reaches it."""
    return replace(here, own=own_directory(tmp_path, "there"))


def name_in(address: LedgerAddress) -> str:
    """The name of the database."""
    return str(address.parsed.database)


# One owner of each directory


def test_a_directory_has_one_owner(here: LedgerAddress, there: LedgerAddress) -> None:
    """A second process in the same directory is refused; one in its own works beside it."""
    with Ledger.open(here, owner=True) as ledger:
        with pytest.raises(LedgerLocked, match=f"Process {os.getpid()}"):
            Ledger.open(here, owner=True)
        (stored,) = ledger.bookings.record(booked(), at=NOW, what="test")
        with Ledger.open(there, owner=True) as beside:
            assert beside.bookings.current() == (stored,)
            beside.people.approve("c", NOW, "ann")


# A server that cannot be used


@pytest.mark.parametrize(
    ("old", "new"), [("/test_", "/absent_"), ("postgres@", "bob:hush@")]
)
def test_a_server_that_refuses(
    database: str, tmp_path: Path, old: str, new: str
) -> None:
    """A missing database or a login that is refused is said, without the password."""
    with pytest.raises(LedgerAway) as caught:
        Ledger.open(LedgerAddress(database.replace(old, new), own=tmp_path), owner=True)
    assert "does not exist" in str(caught.value)
    assert "hush" not in f"{caught.value!s} {caught.value!r}"


def test_an_absent_ledger_is_empty_for_a_reader(
    postgres: Cluster, empty_database: Callable[[str], str], tmp_path: Path
) -> None:
    """As with a file: nothing is created by looking."""
    address = LedgerAddress(empty_database(""), own=tmp_path)
    name = name_in(address)
    with Ledger.open(address, owner=False) as ledger:
        assert ledger.bookings.current() == ()
        assert ledger.server() is None
    tables = statement(
        postgres, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'", name
    )
    assert tables == []
    statement(postgres, "CREATE TABLE foreign_one (id integer)", name)
    for owner in (True, False):
        with pytest.raises(LedgerMisplaced, match="another program"):
            Ledger.open(address, owner=owner)


@pytest.mark.parametrize(
    ("change", "durability", "cure"),
    [
        ("synchronous_commit = off", "local", "set synchronous_commit = on"),
        ("synchronous_commit = local", "local", "set synchronous_commit = on"),
        ("lock_timeout = 0", "replicated", "set synchronous_standby_names"),
    ],
)
def test_settings_that_could_lose_what_is_recorded(
    here: LedgerAddress,
    postgres: Cluster,
    change: str,
    durability: Durability,
    cure: str,
) -> None:
    """They are refused with the cure, also when they change under an open ledger."""
    address = replace(here, durability=durability)
    alter = f"ALTER DATABASE {name_in(here)} SET {change}"
    if durability == "local":
        ledger = Ledger.open(address, owner=True)
        statement(postgres, alter, name_in(here))
        engine_of(ledger).dispose()
        with pytest.raises(LedgerUnfit, match=cure):
            ledger.bookings.record(booked(), at=NOW, what="test")
        ledger.close()
    with pytest.raises(LedgerUnfit, match=cure):
        Ledger.open(address, owner=True)


def test_another_encoding_is_refused(
    empty_database: Callable[[str], str], tmp_path: Path
) -> None:
    """What calendars say does not fit into it."""
    url = empty_database("ENCODING 'LATIN1'")
    with pytest.raises(LedgerUnfit, match="ENCODING 'UTF8'"):
        Ledger.open(LedgerAddress(url, own=tmp_path), owner=True)


def test_a_password_is_asked_at_each_login(here: LedgerAddress) -> None:
    """So it can be rotated without a restart."""
    asked: list[str] = []

    def password() -> str:
        asked.append("once more")
        return "any"

    with Ledger.open(replace(here, password=password), owner=True) as ledger:
        before = len(asked)
        engine_of(ledger).dispose()
        ledger.bookings.record(booked(), at=NOW, what="test")
    assert len(asked) > before > 0


def test_there_is_no_copy_of_a_database(here: LedgerAddress, tmp_path: Path) -> None:
    """Its own program makes one."""
    with pytest.raises(LedgerMisplaced, match="pg_dump"):
        back_up(here, tmp_path / "copy.db")


# What COMMIT said


def test_what_commit_did_not_promise(own_cluster: Cluster, tmp_path: Path) -> None:
    """An answer that is lost or that promises less ends the work; a start finds out what is recorded."""
    address = LedgerAddress(own_cluster.url("ledger"), own=tmp_path)
    Ledger.open(address, owner=True).close()
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    standby = "ALTER SYSTEM SET synchronous_standby_names = '{}'"
    for number, (end, error) in enumerate(
        [("pg_cancel_backend", NotDurable), ("pg_terminate_backend", CommitUnknown)]
    ):
        ledger = Ledger.open(address, owner=True)
        statement(own_cluster, standby.format("nobody"))
        statement(own_cluster, "SELECT pg_reload_conf()")
        with ThreadPoolExecutor(1) as pool:
            recording = pool.submit(
                ledger.bookings.record, booked(f"u{number}"), at=NOW, what="test"
            )
            while not recording.done():
                for (pid,) in statement(own_cluster, waits):
                    statement(own_cluster, f"SELECT {end}({pid})")
            with pytest.raises(error):
                recording.result()
        statement(own_cluster, standby.format(""))
        statement(own_cluster, "SELECT pg_reload_conf()")
        ledger.close()
    with Ledger.open(address, owner=True) as ledger:
        assert len(ledger.bookings.current()) == 2
        own_cluster.stop()
        for _ in range(2):
            with pytest.raises(LedgerAway):
                ledger.bookings.record(booked("z"), at=NOW, what="test")
        own_cluster.start()
        ledger.bookings.record(booked("z"), at=NOW, what="test")
    own_cluster.stop()
    own_cluster.start(fsync="off")
    with pytest.raises(LedgerUnfit, match="set fsync = on"):
        Ledger.open(address, owner=True)


def test_a_stop_cancels_no_commit(here: LedgerAddress) -> None:
    """The driver would cancel what waits, which makes of a COMMIT that waits for a standby a lesser one."""
    with Ledger.open(here, owner=True) as ledger:
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), ledger._gate.writing() as connection:
            connection.execute(text("SELECT pg_sleep(60)"))
        ledger.bookings.record(booked(), at=NOW, what="test")


# Behind a pooler


def test_threads_share_the_one_connection_of_a_pooler(
    pooled: str, tmp_path: Path
) -> None:
    """No transaction waits for another one of its own thread."""
    with Ledger.open(LedgerAddress(pooled, own=tmp_path), owner=True) as ledger:

        def record(number: int) -> None:
            ledger.bookings.record(booked(f"u{number}"), at=NOW, what="test")
            assert ledger.bookings.of(f"u{number}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(record, range(20)))
        assert ledger.bookings.count_by_state() == {BookingState.BOOKED: 20}
        with (
            pytest.raises(AssertionError, match="within another"),
            ledger._gate.writing(),
        ):
            ledger.bookings.current()


# Sizes and plans


def test_long_lists_of_witnesses_are_counted(here: LedgerAddress) -> None:
    """An index takes no row of more than 2,704 bytes."""
    many = tuple(f"source number {number}" for number in range(400))
    with Ledger.open(here, owner=True) as ledger:
        ledger.bookings.record(
            booked("a", witnesses=many),
            booked("b", witnesses=("s", many[0])),
            at=NOW,
            what="test",
        )
        totals = ledger.bookings.totals(NOW, frozenset(), (), (many[0], "s"))
        assert totals.shown == {many[0]: 2, "s": 1}
        assert ledger.worklist.longest_uid == 2_000
        # Nothing of it repeats, or the index would hold it packed.
        uid = token_hex(1_000)
        ledger.bookings.record(wish(uid), at=NOW, what="test")
        ledger.worklist.record_scan(
            "office", {}, "", at=NOW, whole=True, kept={uid: b"x"}, ready=[uid]
        )
        ledger.worklist.remark("office", {uid: "x"})
        assert ledger.worklist.ready(NOW) == {"a", "b", uid}


def test_nul_in_texts(here: LedgerAddress) -> None:
    """PostgreSQL takes none, so a sign for it is stored, and `record` says what is stored."""
    with Ledger.open(here, owner=True) as ledger:
        (stored,) = ledger.bookings.record(
            booked(detail="a\0b"), at=NOW, what="test", detail="\0"
        )
        assert stored.detail == "a␀b"
        assert ledger.bookings.current() == (stored,)


_READS: tuple[Callable[[Ledger], object], ...] = (
    lambda ledger: ledger.bookings.ready(NOW),
    lambda ledger: ledger.bookings.unsettled(NOW),
    lambda ledger: ledger.bookings.in_doubt(NOW),
    lambda ledger: ledger.bookings.open(),
    lambda ledger: ledger.bookings.count_by_state(),
    lambda ledger: ledger.bookings.count_drift(),
    lambda ledger: ledger.bookings.waiting(),
    lambda ledger: ledger.bookings.of("u5"),
    lambda ledger: ledger.bookings.concerned({"u5"}, {"m5"}),
    lambda ledger: ledger.bookings.holders({"r5"}),
    lambda ledger: ledger.bookings.recorded({"r5"}),
    lambda ledger: ledger.bookings.totals(NOW, frozenset(), (), ("s1",)),
    lambda ledger: ledger.bookings.next_generations([OccurrenceKey("", "u5", None)]),
    lambda ledger: ledger.bookings.history(5),
    lambda ledger: ledger.history.steps(StepFilter(NOW, NOW + MINUTE)),
    lambda ledger: ledger.timetable.between(NOW, NOW + MINUTE),
    lambda ledger: ledger.timetable.uid_of("k5"),
    lambda ledger: ledger.worklist.ready(NOW),
    lambda ledger: ledger.worklist.next_ready(NOW),
)

_FILL = """
INSERT INTO bookings (scope, uid, recurrence_id, room_id, generation, mark, state, source, witnesses, origin,
  content, detail, reservation_id, missed, missed_in, updated_at, start_at, end_at, event_key)
SELECT '', 'u' || n, '', 'r' || n % 50, 0, 'm' || n, CASE WHEN n % 20 = 0 THEN 'booked' ELSE 'ended' END,
  's' || n % 100, '["s' || n % 100 || '"]', '', '{content}', '', 'r' || n, 0, '',
  n * 60000, n * 60000, n * 60000 + 1, 'k' || n FROM generate_series(1, 20000) AS n;
INSERT INTO history (booking, at, what, detail) SELECT row, updated_at, 'booked', '' FROM bookings;
INSERT INTO agenda (uid, due_at, skipped) SELECT uid, 99999999999999, 0 FROM bookings WHERE state = 'booked';
INSERT INTO generations (scope, uid, recurrence_id, highest) SELECT '', uid, '', 0 FROM bookings;
ANALYZE;
"""


def test_reads_are_indexed(here: LedgerAddress, postgres: Cluster) -> None:
    """What a cycle asks uses an index: the cost does not follow what is remembered."""
    fill = _FILL.replace("{content}", encode_spec(SPEC))
    statement(postgres, fill, name_in(here))
    with Ledger.open(here, owner=True) as ledger:
        engine = engine_of(ledger)
        asked: list[tuple[str, Any]] = []

        def note(
            _c: object, _cursor: object, said: str, values: Any, *_: object
        ) -> None:
            asked.append((said, values))

        event.listen(engine, "before_cursor_execute", note)
        for read in _READS:
            read(ledger)
        event.remove(engine, "before_cursor_execute", note)
        assert len(asked) > len(_READS)
        with engine.connect() as connection:
            for said, values in asked:
                rows = connection.exec_driver_sql(f"EXPLAIN {said}", values).scalars()
                plan = "\n".join(rows)
                for table in ("bookings", "history", "agenda", "generations"):
                    assert f"Seq Scan on {table}" not in plan, f"{said}\n{plan}"


def test_texts_are_in_the_order_of_their_bytes(
    here: LedgerAddress, postgres: Cluster
) -> None:
    """As in a file, whatever order the database has."""
    columns = statement(
        postgres,
        "SELECT DISTINCT collation_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type = 'text'",
        name_in(here),
    )
    assert columns == [("C",)]


# The whole program


@pytest.fixture
def guarded(
    postgres: Cluster, empty_database: Callable[[str], str]
) -> Iterator[tuple[str, str, str]]:
    """An empty database with the role that owns it, which needs a password: URL, role and password."""
    role, password = f"guarded_{token_hex(4)}", token_hex(8)
    statement(postgres, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    url = empty_database(f"OWNER {role}")
    yield url, role, password
    statement(postgres, f"DROP OWNED BY {role}", url.rpartition("/")[2])
    statement(postgres, f"ALTER DATABASE {url.rpartition('/')[2]} OWNER TO postgres")
    statement(postgres, f"DROP ROLE {role}")


@pytest.fixture
def shared_office(make_office: Any, database: str) -> Office:
    """An office with its state in PostgreSQL, an API that loses an answer, and a meeting to be booked."""
    office: Office = make_office(faults=("lost:on=create,times=1",))
    with_password = database.replace("postgres@", "postgres:hush@")
    text = (office.folder / "syncd.toml").read_text()
    office.configure(f'{text}[state]\nurl = "{with_password}"\n')
    office.write(calendar_event("a", ahead(3)), calendar_event("b" * 2_001, ahead(4)))
    return office


def test_the_main_job(shared_office: Office, database: str, postgres: Cluster) -> None:
    """Plan, book, look, and settle a lost answer, by one run after the other; never twice."""
    office = shared_office
    assert office.run("plan", "--json").code == 3
    first = office.run("once")
    assert "events are left out" in first.err
    assert office.once()["outcome"] == "ok"
    assert len(office.reservations()) == 1
    ran = [office.run(*words) for words in (("status",), ("agenda",), ("explain", "a"))]
    # No daemon works on it.
    assert [one.code for one in ran] == [1, 0, 0], ran
    shown = office.run("check", "--show")
    doctor = office.run("doctor", "--json")
    assert "takes" in doctor.out
    backup = office.run("backup", str(office.folder / "copy"))
    assert (backup.code, "pg_dump" in backup.err) == (78, True)
    daemon = office.run("run")
    assert (daemon.code, "timer" in daemon.err) == (78, True)
    (kept,) = statement(
        postgres,
        "SELECT value FROM facts WHERE name = 'configuration'",
        database.rpartition("/")[2],
    )
    told = (shown.out, shown.err, doctor.out, backup.err, daemon.err, str(kept))
    assert not any("hush" in one for one in told)


def test_codes_of_a_server_that_cannot_be_used(
    shared_office: Office, database: str, postgres: Cluster, tmp_path: Path
) -> None:
    """69 if it is away, 75 beside an owner or a later version, 78 if its settings are refused; none books."""
    office = shared_office
    address = LedgerAddress(database, own=own_directory(tmp_path, "elsewhere"))
    with Ledger.open(address, owner=True):
        assert office.run("once").code == 75
    name = database.rpartition("/")[2]
    statement(postgres, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert office.run("once").code == 78
    statement(postgres, f"ALTER DATABASE {name} RESET synchronous_commit")
    statement(postgres, "UPDATE alembic_version SET version_num = '9999'", name)
    for command in ("once", "status", "plan"):
        ran = office.run(command)
        assert (ran.code, "A later version" in ran.err) == (75, True)
    (port,) = re.findall(r":(\d+)/", database)
    for old, new, why in (
        (f"/{name}", "/absent", 'database "absent" does not exist'),
        (f":{port}/", f":{free_port()}/", "refused"),
    ):
        office.change((old, new))
        for command in ("once", "status", "plan"):
            ran = office.run(command)
            assert (ran.code, ran.err.count("\n")) == (69, 1), ran.err
            assert why in ran.err
            assert "hush" not in ran.err
    assert office.reservations() == []


def test_a_role_with_a_password(
    make_office: Any, guarded: tuple[str, str, str]
) -> None:
    """An ordinary role that owns its database suffices; its password is read anew, and is shown nowhere."""
    url, role, password = guarded
    office: Office = make_office()
    file = office.folder / "state-password"
    file.touch(mode=0o600)
    file.write_text(f"{password}\n")
    text = (office.folder / "syncd.toml").read_text()
    url = url.replace("postgres@", f"{role}@")
    office.configure(
        f'{text}[state]\nurl = "{url}"\npassword = {{ file = "{file.name}" }}\n'
    )
    office.write(calendar_event("a", ahead(3)))
    assert office.once()["outcome"] == "ok"
    assert len(office.reservations()) == 1
    shown = office.run("check", "--show")
    assert (shown.code, role in shown.out) == (0, True)
    file.write_text("guessed-7c1d")
    for command in ("once", "status", "doctor"):
        ran = office.run(command)
        told = ran.out + ran.err
        assert "password authentication failed" in told
        assert ran.code == (1 if command == "doctor" else 69)
        assert not any(
            secret in told + shown.out for secret in (password, "guessed-7c1d")
        )
