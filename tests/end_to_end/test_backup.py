"""`syncd backup`: one state of the ledger in one file, and what happens when it is put back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Office, ahead, event
from tests.daemon.running import running


def booked(office: Office) -> list[str]:
    """What is live in the API."""
    return sorted(reservation["topic"] for reservation in office.reservations())


def put_back(office: Office, copy: Path) -> None:
    """Restore a backup as the manual says, with syncd stopped."""
    for suffix in ("-wal", "-shm"):
        (office.folder / f"state.db{suffix}").unlink(missing_ok=True)
    shutil.copyfile(copy, office.folder / "state.db")


@pytest.mark.slow
def test_a_copy_is_whole_private_and_alone(office: Office) -> None:
    """While the daemon runs a copy has all bookings, mode 600 whatever the umask, and needs no other file."""
    office.write(event("one", ahead(1)), event("two", ahead(2)))
    copy = office.folder / "copies" / "state copy.db"
    copy.parent.mkdir()
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) == 2, "booked")
        ran = office.run("backup", str(copy))
        assert (ran.code, ran.err) == (0, "")
        assert "2 bookings" in ran.out
        assert "verified" in ran.out
        assert daemon.process.poll() is None
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert list(copy.parent.iterdir()) == [copy]
    with closing(sqlite3.connect(copy)) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert opened.execute("SELECT count(*) FROM bookings").fetchone() == (2,)
        assert opened.execute("SELECT count(*) FROM daemons").fetchone() == (0,)


@pytest.mark.slow
def test_an_existing_file_is_not_replaced(office: Office) -> None:
    """A name that is taken, by a link too, is refused with 1 and stays as it is; nothing is left beside it."""
    office.write(event("one", ahead(1)))
    office.once()
    copy = office.folder / "copy.db"
    copy.write_text("precious")
    dangling = office.folder / "link.db"
    dangling.symlink_to(office.folder / "nowhere")
    before = set(office.folder.iterdir())
    for target in (copy, dangling, office.folder):
        ran = office.run("backup", str(target))
        assert ran.code == 1
        assert "not replaced" in ran.err
    assert copy.read_text() == "precious"
    assert set(office.folder.iterdir()) == before


@pytest.mark.slow
def test_what_cannot_be_copied_is_said(office: Office) -> None:
    """No state yet, no such directory, a file that is no ledger: a sentence, 1, and no file."""
    target = office.folder / "copy.db"
    nothing = office.run("backup", str(target))
    assert nothing.code == 1
    assert "nothing to back up" in nothing.err
    office.write(event("one", ahead(1)))
    office.once()
    nowhere = office.run("backup", str(office.folder / "none" / "copy.db"))
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.err
    for file in office.folder.glob("state.db*"):
        file.unlink()
    (office.folder / "state.db").write_bytes(b"x" * 8192)
    foreign = office.run("backup", str(target))
    assert foreign.code == 1
    assert "no ledger" in foreign.err
    assert not list(office.folder.glob("*copy.db*"))


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("lost", ["on the same machine", "with all that lay beside it"])
def test_a_backup_that_is_put_back_books_nothing_twice(
    office: Office, lost: str
) -> None:
    """What was booked after the backup is found in the API before anything is booked, wherever it is put."""
    office.write(event("one", ahead(1)))
    office.once()
    copy = office.folder / "copy.db"
    office.run("backup", str(copy))
    office.write(event("one", ahead(1)), event("two", ahead(2, 15), room=None))
    office.once()
    assert booked(office) == ["Meeting one", "Meeting two"]
    if lost != "on the same machine":
        for file in office.folder.glob("state.db*"):
            file.unlink()
    put_back(office, copy)
    office.forget_requests()
    report = office.once()
    assert report["outcome"] == "ok"
    assert report["counts"]["adopted"] == 1
    assert office.writes() == []
    assert booked(office) == ["Meeting one", "Meeting two"]
    office.forget_requests()
    assert office.once()["outcome"] == "ok"
    assert office.control("requests") == [], "compared once, and not again and again"


@pytest.mark.slow
def test_a_backup_after_a_new_beginning_is_known_as_one(office: Office) -> None:
    """The state was lost and begun anew, which has less history: the backup is still compared with the API."""
    days = [event(f"m{day}", ahead(day)) for day in range(1, 7)]
    office.write(*days)
    office.once()
    copy = office.folder / "copy.db"
    office.run("backup", str(copy))
    for file in office.folder.glob("state.db*"):
        file.unlink()
    office.write(days[0])
    office.once()
    office.write(*days, event("late", ahead(5, 15), room=None))
    office.once()
    put_back(office, copy)
    lock = office.folder / "state.db.lock"
    lock.write_text(f"{os.getpid():<20}\n{1:<20}\n")
    office.forget_requests()
    assert office.once()["outcome"] == "ok"
    assert office.writes() == []
    assert "Meeting late" in booked(office)
    assert len(booked(office)) == 7
