"""The lease of a shared ledger: who may take it when, how long it lasts, and who the members are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from syncd.core.leases import Timing
from syncd.errors import LedgerLocked, TermOver
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.holding import WriterTerm, hold_writer, process_name
from syncd.ledger.leases import Beat, LeaseStore
from syncd.ledger.local_notes import LocalNotes
from tests.conftest import HANG_S
from tests.daemon.running import until
from tests.postgres import statement
from tests.postgres_keeper import Cluster
from tests.test_ledger import NOW, booked

CLIENT = "client"
TIMING = Timing()
OVER = "UPDATE leases SET expires_at = clock_timestamp() - interval '1 s'"


@pytest.fixture
def here(database: str, tmp_path: Path) -> LedgerAddress:
    """The ledger as this machine reaches it."""
    return LedgerAddress(database, own=made(tmp_path / "here"))


@pytest.fixture
def there(here: LedgerAddress, tmp_path: Path) -> LedgerAddress:
    """The same ledger as another machine reaches it."""
    return replace(here, own=made(tmp_path / "there"))


def made(directory: Path) -> Path:
    """A new directory."""
    directory.mkdir()
    return directory


@pytest.fixture
def ledger(here: LedgerAddress) -> Iterator[Ledger]:
    """The ledger, open as a member has it."""
    with Ledger.open(here, owner=True) as opened:
        yield opened


@pytest.fixture
def store(ledger: Ledger) -> LeaseStore:
    """The store of its lease."""
    return ledger.lease_store(f"writer:{CLIENT}")


@pytest.fixture
def run(postgres: Cluster, database: str) -> Callable[[str], list[tuple[object, ...]]]:
    """Carries out a statement in the database of the ledger."""
    name = database.rpartition("/")[2]

    def run(text: str) -> list[tuple[object, ...]]:
        return statement(postgres, text, name)

    return run


Run = Callable[[str], list[tuple[object, ...]]]


def take(
    store: LeaseStore, notes: LocalNotes, holder: str = "me", **also: object
) -> WriterTerm | None:
    """Take the lease."""
    return WriterTerm.take(store, notes, holder, "host:1", timing=TIMING, **also)  # type: ignore[arg-type]


def beat(name: str, basis: str = "b", holder: str = "") -> Beat:
    """What a member writes of itself."""
    return Beat(name, holder or f"holder of {name}", 1, "1.0", "/c", NOW, basis, 3)


@contextmanager
def locked(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Another session that holds the row of the lease, and undoes what it did."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SELECT 1 FROM leases FOR UPDATE")
        yield connection
        connection.rollback()


def is_waiting(run: Run) -> bool:
    """Tell whether a session waits for a lock."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(run(waiting))


# One writer


def test_a_second_writer_is_refused(here: LedgerAddress, there: LedgerAddress) -> None:
    """Whoever writes is named with its machine; afterwards the next one begins at once."""
    with (
        Ledger.open(here, owner=True) as first,
        Ledger.open(there, owner=True) as second,
    ):
        with hold_writer(first, CLIENT) as trusted:
            assert trusted()
            told = (
                f"Process {os.getpid()} on {os.uname().nodename} .* within 30 seconds"
            )
            with pytest.raises(LedgerLocked, match=told), hold_writer(second, CLIENT):
                pass
            with hold_writer(second, "another client"):
                first.bookings.record(booked(), at=NOW, what="test")
        assert not trusted()
        with hold_writer(second, CLIENT):
            second.bookings.record(booked("b"), at=NOW, what="test")
        terms = first.lease_store(f"writer:{CLIENT}").terms()
    assert [(term.epoch, term.daemon, term.why) for term in terms] == [
        (1, process_name(), "its command ended"),
        (2, process_name(), "its command ended"),
    ]


def test_a_file_has_no_lease(tmp_path: Path) -> None:
    """There the lock on the file is all, and everything may leave."""
    with (
        Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger,
        hold_writer(ledger, CLIENT) as trusted,
    ):
        assert trusted()
        assert not ledger.is_shared


def test_the_next_writer_follows_a_killed_one(
    here: LedgerAddress, there: LedgerAddress, run: Run
) -> None:
    """At once in its directory, as soon as its time is over elsewhere."""
    code = (
        "import sys, time; from pathlib import Path; from syncd.ledger import Ledger, LedgerAddress; "
        "from syncd.ledger.holding import hold_writer; "
        "ledger = Ledger.open(LedgerAddress(sys.argv[1], own=Path(sys.argv[2])), owner=True); "
        f"held = hold_writer(ledger, '{CLIENT}'); held.__enter__(); print(1, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, here.url, str(here.own)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    with Ledger.open(there, owner=True) as elsewhere:
        with (
            pytest.raises(LedgerLocked, match="free within"),
            hold_writer(elsewhere, CLIENT),
        ):
            pass
        with Ledger.open(here, owner=True) as ledger, hold_writer(ledger, CLIENT):
            pass
        run(
            "UPDATE leases SET holder = 'x', expires_at = clock_timestamp() + interval '1 h'"
        )
        with pytest.raises(LedgerLocked), hold_writer(elsewhere, CLIENT):
            pass
        run(OVER)
        with hold_writer(elsewhere, CLIENT):
            pass


def test_a_holder_of_another_start_of_the_machine_is_not_taken_for_dead(
    ledger: Ledger, store: LeaseStore, there: LedgerAddress
) -> None:
    """Notes that came here with a copy of the directory name nobody who is dead."""
    notes = ledger.local_notes()
    assert take(store, notes) is not None
    assert ledger.local_notes().dead == {"me"}
    kept = notes._file.read_text()
    with Ledger.open(there, owner=True) as copy:
        copied = copy.local_notes()
        copied._file.write_text(kept)
        notes = copy.local_notes()
        assert notes.dead == frozenset()
        assert take(copy.lease_store(store.lease), notes, "other") is None


def test_a_kill_before_the_taking_hides_no_holder(
    ledger: Ledger, store: LeaseStore
) -> None:
    """A process that noted itself and took nothing leaves the one before it known as dead."""
    assert take(store, ledger.local_notes(), "first") is not None
    ledger.local_notes().note_taking("second")
    notes = ledger.local_notes()
    assert notes.dead == {"first", "second"}
    assert take(store, notes, "third") is not None
    assert ledger.local_notes().dead == {"third"}


def test_a_taking_whose_answer_was_lost_is_taken_again(
    ledger: Ledger, store: LeaseStore
) -> None:
    """The same process gets a new term, and that of which it does not know fences it."""
    notes = ledger.local_notes()
    first = take(store, notes)
    second = take(store, notes)
    assert first is not None
    assert second is not None
    assert (first.epoch, second.epoch) == (1, 2)
    assert not first.renew()
    assert not first.trusted()
    assert second.renew()
    assert second.trusted()
    first.end("too late")
    assert second.renew()


# Time


def test_a_renewal_that_waits_counts_from_after_it(
    ledger: Ledger, store: LeaseStore, here: LedgerAddress, run: Run
) -> None:
    """What another session held and gave up shortens no lease, and trust ends earlier than that."""
    term = take(store, ledger.local_notes())
    assert term is not None
    with ThreadPoolExecutor(1) as pool:
        with locked(here.url) as other:
            renewing = pool.submit(term.renew)
            until(lambda: is_waiting(run), "it waits")
            other.execute("SELECT pg_sleep(1.5)")
            ((released,),) = other.execute("SELECT clock_timestamp()").fetchall()
        assert renewing.result(HANG_S)
    ((left,),) = run(
        f"SELECT extract(epoch FROM expires_at - '{released}'::timestamptz)::float8 FROM leases"
    )
    assert isinstance(left, float)
    assert left >= TIMING.ttl_s
    assert term.trust.until_s < term._elapsed() + TIMING.trusted_s


def test_a_lease_that_ran_out_is_not_prolonged(
    ledger: Ledger, store: LeaseStore, run: Run
) -> None:
    """Also if nobody took it: a new term is taken, in which all is looked at."""
    term = take(store, ledger.local_notes())
    assert term is not None
    run(OVER)
    assert not term.renew(beat("a"))
    assert not term.trusted()
    assert [member.name for member in store.look().members] == ["a"]
    assert take(store, ledger.local_notes(), "other") is not None


def test_a_renewal_does_not_wait_for_what_is_written_and_a_taking_does(
    ledger: Ledger, store: LeaseStore, there: LedgerAddress, run: Run
) -> None:
    """A transaction that passed the fence ends before another one writes."""
    term = take(store, ledger.local_notes())
    assert term is not None
    ledger.begin_term(term.fence)
    taking: Future[WriterTerm | None]
    with Ledger.open(there, owner=True) as other, ThreadPoolExecutor(1) as pool:
        with ledger._gate.writing():
            assert pool.submit(term.renew).result(HANG_S)
            run(OVER)
            taking = pool.submit(
                take, other.lease_store(store.lease), other.local_notes(), "other"
            )
            until(lambda: is_waiting(run), "it waits")
            assert not taking.done()
        assert taking.result(HANG_S) is not None


def test_trust_counts_the_time_of_the_asking(ledger: Ledger, store: LeaseStore) -> None:
    """It begins with the attempt, and ends with a margin before the lease."""
    clock = iter([100.0, 101.0, 125.0, 130.0])
    term = take(store, ledger.local_notes(), elapsed=lambda: next(clock))
    assert term is not None
    assert term.trust.until_s == 125.0
    assert term.trusted()
    assert not term.trusted()
    assert term.renew()
    assert term.trust.until_s == 155.0


def test_it_passes_a_pooler(pooled: str, tmp_path: Path) -> None:
    """With the one connection of a pooler in transaction mode, while two threads use it."""
    address = LedgerAddress(pooled, own=made(tmp_path / "pooled"))
    often = Timing(ttl_s=6.0, renew_s=0.05, margin_s=1.0, tick_s=0.05)
    with (
        Ledger.open(address, owner=True) as ledger,
        hold_writer(ledger, CLIENT, timing=often) as trusted,
    ):
        for number in range(20):
            assert ledger.calls.count("GET", NOW)
            ledger.bookings.record(booked(f"u{number}"), at=NOW, what="test")
        assert trusted()
        assert 0 < ledger.lease_store(f"writer:{CLIENT}").look().left_s <= 6.0
        assert len(ledger.bookings.current()) == 20


# Members


def test_members_see_each_other(ledger: Ledger, store: LeaseStore, run: Run) -> None:
    """Each sees who lives, by which basis since when; who leaves is gone at the next look."""
    for name in ("a", "b"):
        store.join(beat(name), TIMING.ttl_s)
    first, second = store.look().members
    assert (first.name, second.name) == ("a", "b")
    assert first.lives
    assert first.reads == 3
    assert first.started_at == NOW
    assert first.basis_since == second.basis_since > 0
    store.renew(None, beat("a", "new"), TIMING.ttl_s)
    renewed = store.look()
    assert renewed.members[0].basis_since > renewed.members[1].basis_since
    assert abs(renewed.now - renewed.members[0].beat_at).total_seconds() < HANG_S
    # What was met before is as old as then.
    store.join(beat("c"), TIMING.ttl_s)
    assert store.look().members[2].basis_since == second.basis_since
    store.leave("holder of b")
    assert [member.lives for member in store.look().members] == [True, False, True]
    run(
        "UPDATE daemons SET expires_at = clock_timestamp() - interval '25 h' WHERE name <> 'a'"
    )
    store.join(beat("a"), TIMING.ttl_s)
    assert [member.name for member in store.look().members] == ["a"]


def test_a_look_says_where_the_ledger_is(ledger: Ledger, store: LeaseStore) -> None:
    """Its cluster, its timeline, and how much it knows; of a lease nobody held nothing."""
    seen = store.look()
    assert seen.lease is None
    assert seen.position.timeline == "00000001"
    assert seen.position.system.isdecimal()
    assert seen.position.progress == 0
    ledger.bookings.record(booked(), at=NOW, what="test")
    after = store.look()
    assert after.position.progress == 1
    assert after.now > seen.now
    assert after.revision.isdecimal()


def test_a_later_version_ends_the_term_of_an_earlier_one(
    ledger: Ledger, store: LeaseStore
) -> None:
    """Whoever converts the ledger lets nobody write by the former schema; the lease is free when trust is over."""
    term = take(store, ledger.local_notes())
    assert term is not None
    ledger.begin_term(term.fence)
    # Who finds it converted, as whoever waited for that does, ends nothing.
    with ledger._database.writing() as connection:
        ledger._database._backend.lock_schema(connection)
    ledger.bookings.record(booked("before"), at=NOW, what="test")
    former = text("UPDATE alembic_version SET version_num = '0014'")
    with ledger._database.writing() as connection:
        connection.execute(former)
        ledger._database._backend.lock_schema(connection)
    with pytest.raises(TermOver):
        ledger.bookings.record(booked(), at=NOW, what="test")
    assert take(store, ledger.local_notes(), "other") is None
