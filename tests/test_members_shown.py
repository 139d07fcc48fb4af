"""How the daemons on a shared ledger are shown: by `status`, its document, metrics and doctor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.core.leases import writer_lease
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.database import Database
from syncd.ledger.holding import hold_lease, process_name
from syncd.ledger.leases import Beat, LeaseStore
from syncd.ledger.local_notes import LocalNotes
from syncd.views.members import MemberStatus, Sharing, role_of
from tests.conftest import Office
from tests.postgres import statement
from tests.postgres_keeper import Cluster
from tests.test_ledger import NOW

TTL_S = 300.0


def beat(name: str, basis: str, reads: int = 0) -> Beat:
    """What a daemon writes of itself."""
    return Beat(name, f"h{name}", 7, "1.2", f"/etc/{name}.toml", NOW, basis, reads)


@pytest.fixture
def office_of_several(
    make_office: Any, database: str, tmp_path: Path
) -> Iterator[tuple[Office, LeaseStore]]:
    """An office whose state is in PostgreSQL, and the store of its lease."""
    office: Office = make_office()
    text = (office.folder / "syncd.toml").read_text()
    office.configure(f'{text}[state]\nurl = "{database}"\n')
    own = tmp_path / "own"
    own.mkdir()
    address = LedgerAddress(database, own=own)
    with closing(Database(address, owner=True, patience_s=1.0)) as opened:
        yield office, LeaseStore(opened, writer_lease(office.client_id))


def test_nobody_yet(office_of_several: tuple[Office, LeaseStore]) -> None:
    """Before the first daemon there are no members and no lease, and nothing runs."""
    office, _ = office_of_several
    status = office.status()
    assert (status["members"], status["lease"], status["running"]) == ([], None, False)
    assert "NOT RUNNING" in office.run("status").out


def test_members_and_their_writer(
    office_of_several: tuple[Office, LeaseStore], postgres: Cluster, database: str
) -> None:
    """Each with what it does, as long as it lives; of several the one that writes is the daemon of the status."""
    office, store = office_of_several
    store.join(beat("a:1", "x", 3), TTL_S)
    store.join(beat("b:2", "x", 4), TTL_S)
    epoch = store.take(("hb:2", "t"), "b:2", TTL_S)
    status = office.status()
    assert status["running"]
    assert status["daemon"]["name"] == "b:2"
    shown = [(one["name"], one["writer"], one["lives"]) for one in status["members"]]
    assert shown == [("b:2", True, True), ("a:1", False, True)]
    assert status["lease"]["daemon"] == "b:2"
    assert (status["lease"]["epoch"], status["lease"]["term"]) == (epoch, "t")
    assert 0 < status["lease"]["expires_in"] <= TTL_S
    table = office.run("status").out
    assert [word in table for word in ("b:2", "writes", "a:1", "reads")] == [True] * 4
    doctor = office.run("doctor", "--offline", "--json")
    # What asks a server is left out offline, so it is asked with a connection.
    assert doctor.code in {0, 1}
    told = office.run("doctor", "--json").out
    assert "2 daemons work on this ledger; b:2 writes." in told
    # One is gone: killed an hour ago, by the clock of the database.
    statement(
        postgres,
        "UPDATE daemons SET expires_at = clock_timestamp() - interval '1 hour' WHERE name = 'b:2'",
        database.rpartition("/")[2],
    )
    store.end(("hb:2", "t"), "test")
    status = office.status()
    assert (status["running"], status["daemon"]["name"]) == (True, "a:1")
    table = office.run("status").out
    assert "gone" in table
    assert "Nobody writes at this moment; b:2 did last (term 1)." in table
    assert "none of them writes" in office.run("doctor", "--json").out


def test_members_that_differ(office_of_several: tuple[Office, LeaseStore]) -> None:
    """Those behind the latest configuration are named, as what needs a person."""
    office, store = office_of_several
    store.join(beat("a:1", "older"), TTL_S)
    store.join(beat("b:2", "later"), TTL_S)
    status = office.status()
    (concern,) = [one for one in status["concerns"] if one["kind"] == "members_differ"]
    assert "a:1 (1.2)" in concern["detail"]
    assert "waits: an earlier configuration" in office.run("status").out
    assert "a:1 (1.2, /etc/a:1.toml) goes by an earlier" in json.dumps(
        office.run("doctor", "--json").json
    )


def test_a_command_that_writes_is_no_member(
    office_of_several: tuple[Office, LeaseStore], database: str, tmp_path: Path
) -> None:
    """It is named as long as it holds the lease."""
    office, store = office_of_several
    store.join(beat("a:1", "x"), TTL_S)
    with ExitStack() as stack:
        notes = LocalNotes(LedgerAddress(database, own=tmp_path / "own"))
        stack.enter_context(hold_lease(store, notes, "it"))
        table = office.run("status").out
    assert f"{process_name()} writes, a command that ends soon" in table


def test_a_clock_that_is_wrong(
    office_of_several: tuple[Office, LeaseStore], postgres: Cluster, database: str
) -> None:
    """Who lives is told by the clock of the database, and its last sign by ours."""
    _, store = office_of_several
    store.join(beat("a:1", "x"), TTL_S)
    address = LedgerAddress(database, own=Path("/nowhere"))
    with Ledger.open(address, owner=False) as ledger:
        daemon = ledger.operation.daemon()
        assert daemon is not None
        assert daemon.is_running(daemon.beat_at + timedelta(days=1))
        statement(
            postgres,
            "UPDATE daemons SET stopped_at = beat_at, expires_at = clock_timestamp()",
            database.rpartition("/")[2],
        )
        daemon = ledger.operation.daemon()
        assert daemon is not None
        assert not daemon.is_running(daemon.beat_at)


def test_what_a_member_does() -> None:
    """One word for each."""
    one = MemberStatus("a", "h", "1", "c", "b", 0, NOW, True, False, False)
    assert role_of(one) == "reads"
    assert Sharing().behind == []


def test_who_looked_at_a_source(office_of_several: tuple[Office, LeaseStore]) -> None:
    """Each source of a shared ledger has the name of the daemon, or of the command, that looked at it last."""
    office, _ = office_of_several
    office.write()
    office.run("once")
    (source,) = office.status()["sources"]
    host, _, pid = source["daemon"].rpartition(":")
    assert (host, pid.isdecimal()) == (process_name().rpartition(":")[0], True)
