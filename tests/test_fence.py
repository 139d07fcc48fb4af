"""What keeps a process whose term is over from writing, and what a term does about a ledger that was put back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.core.booking import Booking, BookingState
from syncd.core.leases import Timing
from syncd.errors import CommitUnknown, LedgerAway, NotDurable, TermOver
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.facts import Recovery
from syncd.ledger.fence import Fence
from syncd.ledger.holding import WriterTerm, hold_writer
from syncd.ledger.measurements import CounterName
from tests.conftest import HANG_S
from tests.daemon.running import until
from tests.postgres import statement
from tests.postgres_keeper import Cluster, as_nobody
from tests.proxy import LossyProxy
from tests.test_lease_store import OVER, Run, here, made, run, there
from tests.test_ledger import NOW, SPEC, booked, wish

__all__ = ["here", "run", "there"]  # fixtures

CLIENT = "client"
LEASE = f"writer:{CLIENT}"
TIMING = Timing()


def sending(uid: str = "a") -> Booking:
    """A create whose request is about to leave."""
    return replace(
        wish(uid),
        state=BookingState.SENDING,
        mark=f"mark of {uid}",
        pending=SPEC,
        attempted_at=NOW,
    )


def begun(ledger: Ledger, holder: str = "me") -> WriterTerm:
    """Take the lease for a term of an open ledger."""
    notes = ledger.local_notes()
    term = WriterTerm.take(
        ledger.lease_store(LEASE),
        notes,
        holder,
        "host:1",
        timing=TIMING,
        refused=ledger.note_refusal,
    )
    assert term is not None
    recovering = bool(notes.compare(term.position))
    ledger.begin_term(term.fence, recovering=recovering)
    notes.settle()
    return term


# Another one writes


def test_a_writer_that_was_followed_writes_nothing(
    here: LedgerAddress, there: LedgerAddress, run: Run
) -> None:
    """Whoever was held up for too long learns it at the next write, and leaves nothing behind but its counts."""
    with (
        Ledger.open(here, owner=True) as first,
        Ledger.open(there, owner=True) as second,
    ):
        term = begun(first)
        first.calls.count("GET", NOW)
        run(OVER)
        begun(second, "other")
        for write in (
            lambda: first.bookings.record(booked(), at=NOW, what="test"),
            first.worklist.add_all,
            lambda: first.bookings.note_recovery(None),
        ):
            with pytest.raises(TermOver, match="took over"):
                write()
        assert not term.trusted()
        assert second.bookings.current() == ()
        (stored,) = second.bookings.record(booked(), at=NOW, what="test")
        # The former one ends its own term alone.
        term.end("stopped")
        second.bookings.record(replace(stored, detail="x"), at=NOW, what="test")
        first.close()
        measured = second.measurements.all()
        assert measured.counter(CounterName.FENCE_REFUSALS) == 3
        assert measured.counter(CounterName.LEASE_TAKEOVERS) == 2
        assert second.calls.in_month(NOW) == 1


def test_no_intent_is_written_when_the_lease_ran_out(
    here: LedgerAddress, run: Run
) -> None:
    """An answer may still be recorded, as long as nobody took over; nothing new is asked."""
    with Ledger.open(here, owner=True) as ledger:
        begun(ledger)
        (stored,) = ledger.bookings.record(sending(), at=NOW, what="test")
        run(OVER)
        ledger.bookings.record(stored.booked("r1"), at=NOW, what="test")
        in_doubt = replace(booked("c"), state=BookingState.CANCELLING, attempted_at=NOW)
        for intent in (sending("b"), in_doubt):
            with pytest.raises(TermOver, match="ran out"):
                ledger.bookings.record(intent, at=NOW, what="test")
        assert len(ledger.bookings.current()) == 1


def test_a_promoted_standby_ends_the_term(here: LedgerAddress) -> None:
    """A pooler may hide that the connection is to another server now; its timeline tells."""
    with Ledger.open(here, owner=True) as ledger:
        term = begun(ledger)
        ledger.begin_term(Fence(LEASE, term.holding, "00000009"))
        with pytest.raises(TermOver, match="standby promoted"):
            ledger.bookings.record(sending(), at=NOW, what="test")


def test_who_has_no_term_is_not_fenced(
    here: LedgerAddress, there: LedgerAddress
) -> None:
    """A member that does not write to the API keeps what it read, beside the one that does."""
    with (
        Ledger.open(here, owner=True) as writer,
        Ledger.open(there, owner=True) as reader,
    ):
        begun(writer)
        reader.worklist.add_all()
        writer.bookings.record(booked(), at=NOW, what="test")


# What COMMIT did not say


@pytest.mark.parametrize("passes_on", [True, False], ids=["committed", "not"])
def test_an_answer_to_a_commit_is_lost(
    database: str, postgres: Cluster, tmp_path: Path, run: Run, passes_on: bool
) -> None:
    """It is an error, after which nothing is sent; the next term finds what is recorded, and nothing else."""
    proxy = LossyProxy(postgres.port)
    through = database.replace(f":{postgres.port}/", f":{proxy.port}/")
    address = LedgerAddress(through, own=made(tmp_path / "here"))
    with Ledger.open(address, owner=True) as ledger:
        begun(ledger)
        proxy.drop(b"COMMIT\0", after=b"FOR KEY SHARE", passes_on=passes_on)
        with pytest.raises(CommitUnknown, match="nothing is sent"):
            ledger.bookings.record(sending(), at=NOW, what="test")
        assert proxy.dropped.wait(HANG_S)
        begun(ledger)
        found = [booking.state for booking in ledger.bookings.current()]
        assert found == ([BookingState.SENDING] if passes_on else [])
        ledger.bookings.record(sending("b"), at=NOW, what="test")
    proxy.close()


@contextmanager
def without_standby(cluster: Cluster) -> Iterator[None]:
    """Let every COMMIT wait for a standby that is not there."""
    wanted = "ALTER SYSTEM SET synchronous_standby_names = '{}'"
    for name in ("nobody", ""):
        statement(cluster, wanted.format(name))
        statement(cluster, "SELECT pg_reload_conf()")
        if name:
            yield


_WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def test_a_commit_that_waits_for_a_standby_is_not_believed(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    """Cancelled by an administrator it says that it is done; no call follows, and a taking waits for it."""
    here = LedgerAddress(own_cluster.url("ledger"), own=made(tmp_path / "here"))
    there = replace(here, own=made(tmp_path / "there"))
    with (
        Ledger.open(here, owner=True) as first,
        Ledger.open(there, owner=True) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        begun(first)
        statement(own_cluster, "SELECT pg_reload_conf()")
        with without_standby(own_cluster):
            recording = pool.submit(
                first.bookings.record, sending(), at=NOW, what="test"
            )
            until(lambda: statement(own_cluster, _WAITS), "it waits for a standby")
            statement(
                own_cluster,
                OVER.replace("UPDATE", "SET synchronous_commit = local; UPDATE"),
                "ledger",
            )
            taking = pool.submit(begun, second, "other")
            locked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            until(lambda: statement(own_cluster, locked), "the taking waits")
            assert second.bookings.current() == ()
            ((pid,),) = statement(own_cluster, _WAITS)
            statement(own_cluster, f"SELECT pg_cancel_backend({pid})")
            with pytest.raises(NotDurable, match="nothing is sent"):
                recording.result(HANG_S)
        taking.result(HANG_S)
        assert [one.state for one in second.bookings.current()] == [
            BookingState.SENDING
        ]


# A database that was put back


@contextmanager
def dumped(cluster: Cluster, database: str, file: Path) -> Iterator[None]:
    """Dump a database at the beginning, and put the dump back over it at the end."""
    url = database.replace("+psycopg", "")
    dump = [str(cluster.programs / "pg_dump"), "-Fc", "-f", str(file), url]
    subprocess.run(dump, check=True, **as_nobody())
    yield
    restore = [str(cluster.programs / "pg_restore"), "--clean", "--if-exists"]
    subprocess.run([*restore, "-d", url, str(file)], check=True, **as_nobody())


def test_an_old_dump_is_put_back_below_a_writer(
    here: LedgerAddress, postgres: Cluster, tmp_path: Path
) -> None:
    """It creates nothing by what it does not know: the next term is told that the ledger may lack something."""
    directory = made(tmp_path / "dump")
    directory.chmod(0o777)
    for parent in tmp_path.parents:
        with suppress(PermissionError):
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    with Ledger.open(here, owner=True) as ledger:
        notes = ledger.local_notes()
        term = begun(ledger)
        ledger.bookings.mark_adopted(NOW)
        (first,) = ledger.bookings.record(booked("a"), at=NOW, what="test")
        with dumped(postgres, here.url, directory / "dump"):
            ledger.bookings.record(booked("b"), at=NOW, what="test")
            ledger.bookings.record(sending("c"), at=NOW, what="test")
            notes.compare(ledger.lease_store(LEASE).look().position)
        # The lease came back with the same term, and a sequence before what was given.
        with pytest.raises(TermOver, match="put back"):
            ledger.bookings.record(sending("d"), at=NOW, what="test")
        assert ledger.bookings.current() == (first,)
        term.trust.end()
        was_fresh = ledger.bookings.fresh
        begun(ledger)
        assert (was_fresh, ledger.bookings.fresh) == (False, True)
        assert ledger.bookings.recovery == Recovery()
        ledger.bookings.mark_adopted(NOW)
        assert ledger.bookings.fresh
        # Any later writer knows it too.
        ledger.bookings.note_recovery(Recovery(NOW))
    with Ledger.open(here, owner=True) as ledger, hold_writer(ledger, CLIENT):
        assert ledger.bookings.recovery == Recovery(NOW)
        ledger.bookings.note_recovery(None)
        assert not ledger.bookings.fresh


# Calls


def test_calls_are_counted_before_they_leave(
    here: LedgerAddress, there: LedgerAddress, run: Run
) -> None:
    """What is stored is never less than what left, and never beyond the budget; who ends gives back the rest."""
    stored = "SELECT coalesce(sum(count), 0)::int FROM calls"
    within = 45
    with (
        Ledger.open(here, owner=True) as first,
        Ledger.open(there, owner=True) as second,
    ):
        made_calls = 0
        for ledger, number in ((first, 3), (second, 12), (first, 9)):
            for _ in range(number):
                assert ledger.calls.count("GET", NOW, within)
                made_calls += 1
                ((paid,),) = run(stored)
                assert made_calls <= int(str(paid)) <= within
        assert ledger.calls.count("POST", NOW, within)
        made_calls += 1
        # What is paid for one method may be used for another one, but by nobody else.
        while first.calls.count("PUT", NOW, within):
            made_calls += 1
        assert not first.calls.count("GET", NOW, within)
        first.close()
        assert first is not second
        while second.calls.count("GET", NOW, within):
            made_calls += 1
        assert made_calls == within
        assert second.calls.in_month(NOW) == within
        assert second.calls.in_month(NOW + timedelta(days=60)) == 0
    assert run(stored) == [(within,)]


def test_calls_that_cannot_be_counted_do_not_leave(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    """Without the database there is no call."""
    address = LedgerAddress(own_cluster.url("ledger"), own=made(tmp_path / "here"))
    with Ledger.open(address, owner=True) as ledger:
        for _ in range(10):
            ledger.calls.count("GET", NOW)
        own_cluster.stop()
        with pytest.raises(LedgerAway):
            ledger.calls.count("GET", NOW)
        own_cluster.start()
        assert ledger.calls.count("GET", NOW)
        assert ledger.calls.in_month(NOW) == 11
