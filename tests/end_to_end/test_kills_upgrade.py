"""A process that is killed while it converts its ledger: the next start has all, and books nothing twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from structlog.testing import capture_logs

from syncd import migrations
from syncd.assembly import open_ledger
from syncd.config import load
from tests.conftest import Office, ahead
from tests.conftest import event as vevent
from tests.end_to_end.killed import at_work
from tests.former import bring_to

FORMER = [f"{number:04}" for number in range(1, int(migrations.HEAD))]
"""The revisions from which a ledger may come."""


def copy_rows(source: Path, target: Path) -> None:
    """Copy the rows of every table that both databases have, in the columns that they share.

    A table that needs a column which the source lacks stays empty: it holds what can be read anew.
    """
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("ATTACH ? AS former", (str(source),))
        for table in _tables(connection, "main"):
            theirs = _columns(connection, "former", table).keys()
            ours = _columns(connection, "main", table)
            shared = ours.keys() & theirs
            if table == "alembic_version" or any(
                needed for name, needed in ours.items() if name not in shared
            ):
                continue
            names = ", ".join(sorted(shared))
            connection.execute(
                f"INSERT INTO main.{table} ({names}) SELECT {names} FROM former.{table}"
            )


def _tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    query = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [name for (name,) in connection.execute(query)]


def _columns(
    connection: sqlite3.Connection, schema: str, table: str
) -> dict[str, bool]:
    """Return the columns of a table; True where a row cannot do without it."""
    rows = connection.execute(f"PRAGMA {schema}.table_info({table})")
    return {
        name: bool(required) and default is None
        for _, name, _, required, default, _ in rows
    }


def use_former_schema(office: Office, revision: str) -> None:
    """Put a ledger of an earlier version, with the same bookings, in the place of the office's own."""
    file = office.folder / "state.db"
    former = office.folder / "former.db"
    bring_to(former, revision)
    copy_rows(file, former)
    for leftover in office.folder.glob("state.db*"):
        leftover.unlink()
    former.rename(file)
    file.chmod(0o600)


def killed_while_converting(config: Path, at: int) -> bool:
    """Convert the ledger in a child that kills itself before its `at`th statement or commit.

    Return whether it came to that; False means that it was converted before so many steps were made.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _die_at(at)
            open_ledger(load(config), owner=True).close()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.waitstatus_to_exitcode(status) == 0, (
        "the conversion failed; its trace stands above"
    )
    return killed


def _die_at(at: int) -> None:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_statement(*_: Any) -> None:
        step()

    def before_commit(_connection: Connection) -> None:
        step()

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "commit", before_commit)


def once_quietly(office: Office) -> Any:
    """Run a cycle in this process, which is quicker than a program for each of hundreds of kills."""
    with capture_logs(), at_work(office.folder / "syncd.toml") as reconciler:
        return reconciler.cycle()


@pytest.mark.slow
@pytest.mark.first(1, 2)
@pytest.mark.parametrize("revision", FORMER)
def test_a_kill_between_any_two_statements_of_a_conversion_loses_nothing(
    make_office: Callable[..., Office], revision: str
) -> None:
    """Wherever a conversion dies, the next start ends it, knows each booking and writes nothing."""
    office = make_office()
    events = (
        vevent("a", ahead(2)),
        vevent("b", ahead(3), room="large"),
        vevent("c", ahead(4), room=None),
    )
    office.write(*events)
    assert once_quietly(office).counts["created"] == 3
    before = office.reservations(live=False)
    kept = office.folder / "kept.db"
    use_former_schema(office, revision)
    (office.folder / "state.db").rename(kept)
    deaths = 0
    while True:
        for leftover in office.folder.glob("state.db*"):
            leftover.unlink()
        (office.folder / "state.db").write_bytes(kept.read_bytes())
        (office.folder / "state.db").chmod(0o600)
        if not killed_while_converting(office.folder / "syncd.toml", deaths + 1):
            break
        deaths += 1
        with open_ledger(load(office.folder / "syncd.toml"), owner=True) as ledger:
            assert sorted(booking.key.uid for booking in ledger.bookings.current()) == [
                "a",
                "b",
                "c",
            ]
            assert {booking.state.value for booking in ledger.bookings.current()} == {
                "booked"
            }
    assert deaths > 3, "a conversion has several steps"
    office.forget_requests()
    report = once_quietly(office)
    assert (report.outcome, report.counts["unchanged"]) == ("ok", 3)
    assert office.writes() == []
    assert office.reservations(live=False) == before
