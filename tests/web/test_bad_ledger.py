"""What is served while the ledger cannot be read: that it cannot, and nothing else; and then the page again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Office, ahead, event
from tests.daemon.running import until
from tests.web.serving import Client, ledger_of, let_serve, read, served


@pytest.fixture(scope="module")
def page(shared_office: Office) -> Iterator[tuple[Office, Client]]:
    """An office with a meeting, and its page."""
    let_serve(shared_office)
    shared_office.write(event("first", ahead(2, 9), 120))
    read(shared_office)
    with served(shared_office) as client:
        yield shared_office, client


def version(file: Path, number: str) -> None:
    """Let a ledger be that of another version of the program."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", [number])


def gone(file: Path) -> None:
    """Move a ledger away."""
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{file}{suffix}")
        if part.exists():
            part.rename(f"{file}-away{suffix}")


def foreign(file: Path) -> None:
    """Put another file in the place of a ledger."""
    gone(file)
    file.write_bytes(b"This is no database, and long enough to look like one." * 100)


BAD = {
    "gone": gone,
    "later": lambda file: version(file, "9999"),
    "earlier": lambda file: version(file, "0003"),
    "foreign": foreign,
}


@pytest.mark.parametrize("name", BAD)
def test_a_ledger_that_cannot_be_read_is_said(
    page: tuple[Office, Client], name: str
) -> None:
    """Pages and documents are 503 with the sentence that names the cure; health goes on, readiness does not."""
    office, client = page
    file = ledger_of(office)
    before = current_version(file)
    spoil: Callable[[Path], object] = BAD[name]
    spoil(file)
    try:
        # What is open goes on until it is looked at as a file.
        until(lambda: client.ask("/").status == 503, "the page says that")
        for path in ("/", "/history", "/source/office", "/plan"):
            for accept in ("text/html", "application/json"):
                answer = client.ask(path, accept=accept)
                assert answer.status == 503, path
                assert "ledger" in answer.text
                assert "Meeting" not in answer.text
                assert "etag" not in answer.headers
        assert client.ask("/healthz").text == "ok\n"
        ready = client.ask("/readyz")
        assert (ready.status, ready.text) == (503, "missing: ledger\n")
    finally:
        mend(file, before)
    assert client.ask("/").status == 200
    assert client.ask("/readyz").status == 200


def current_version(file: Path) -> str:
    """Return of which version a ledger is."""
    with closing(sqlite3.connect(file)) as database:
        ((number,),) = database.execute("SELECT version_num FROM alembic_version")
        return str(number)


def mend(file: Path, before: str) -> None:
    """Put a ledger back as it was."""
    if Path(f"{file}-away").exists():
        for suffix in ("", "-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
            away = Path(f"{file}-away{suffix}")
            if away.exists():
                away.rename(f"{file}{suffix}")
    version(file, before)
