"""The files of the state are moved, deleted or replaced under the program: it ends and sends nothing more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import HANG_S, Office, ahead, event
from tests.daemon.running import Daemon, running, until


def _move_away(file: Path) -> None:
    file.rename(file.parent / "elsewhere")


def _replace_by_a_copy(file: Path) -> None:
    copy = file.with_name("copy")
    shutil.copy2(file, copy)
    copy.replace(file)


def _move_all(file: Path) -> None:
    elsewhere = file.parent / "elsewhere"
    elsewhere.mkdir()
    for one in file.parent.glob("state.db*"):
        one.rename(elsewhere / one.name)


def _without(suffix: str) -> Callable[[Path], None]:
    return lambda file: file.with_name(file.name + suffix).unlink()


WAYS: dict[str, tuple[Callable[[Path], object], int]] = {
    "moved away": (_move_away, 78),
    "deleted": (Path.unlink, 78),
    "moved with all beside it": (_move_all, 78),
    "replaced by a copy": (_replace_by_a_copy, 1),
    "without its -wal": (_without("-wal"), 1),
    "without its -shm": (_without("-shm"), 1),
    "without its lock": (_without(".lock"), 1),
}


def _ended(daemon: Daemon) -> int:
    until(lambda: daemon.process.poll() is not None, "its end")
    daemon._thread.join(5)
    return int(daemon.process.returncode)


@pytest.mark.first(2)
@pytest.mark.parametrize("way", WAYS)
def test_a_daemon_whose_state_is_not_its_file_any_more_ends(
    office: Office, way: str
) -> None:
    """It ends by itself with a sentence, tells its manager, and sends nothing that came after."""
    spoil, code = WAYS[way]
    office.write(event("m", ahead(1)))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=1), "the first booking")
        office.forget_requests()
        spoil(office.folder / "state.db")
        office.write(event("m", ahead(1)), event("n", ahead(2)))
        assert _ended(daemon) == code
        assert any(
            "no longer the file that was opened" in line for line in daemon.lines
        )
        assert not any("Traceback" in line for line in daemon.lines)
        assert "no longer the file that was opened" in daemon.manager.status
    assert office.writes() == []


@pytest.mark.slow
def test_a_quiet_daemon_notices_too(office: Office) -> None:
    """Nothing is due and nothing changes: the end comes from looking at the file alone."""
    office.write()
    with running(office) as daemon:
        daemon.settle()
        _move_away(office.folder / "state.db")
        assert _ended(daemon) == 78


@pytest.mark.slow
def test_a_link_that_leads_elsewhere_is_another_file(office: Office) -> None:
    """The name of the state is a symbolic link: when it leads to another file, that is another ledger."""
    real, other = office.folder / "real.db", office.folder / "other.db"
    (office.folder / "state.db").symlink_to(real)
    office.write(event("m", ahead(1)))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=1), "the first booking")
        shutil.copy2(real, other)
        new = office.folder / "new"
        new.symlink_to(other)
        new.replace(office.folder / "state.db")
        assert _ended(daemon) == 1


@pytest.mark.slow
def test_the_next_start_goes_on_with_what_was_put_back(office: Office) -> None:
    """After the file is back in its place nothing is booked twice and nothing is lost."""
    office.write(event("m", ahead(1), room=None))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=1), "the first booking")
        _move_all(office.folder / "state.db")
        assert _ended(daemon) == 78
    for file in (office.folder / "elsewhere").iterdir():
        file.rename(office.folder / file.name)
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["unchanged"]) == (0, 1)
    assert len(office.reservations(live=False)) == 1


@pytest.mark.slow
def test_once_ends_in_the_middle_of_its_cycle(office: Office) -> None:
    """The file goes away while a call is under way: nothing that was not begun is sent."""
    office.change(("requests_per_second = 100.0", "requests_per_second = 1.0"))
    office.write(*(event(f"m{day}", ahead(day)) for day in range(1, 9)))
    office.fault("slow:on=create,seconds=1")
    process = office.start("once", "--json")
    until(lambda: "create" in office.writes(), "a create under way")
    _move_away(office.folder / "state.db")
    begun = len(office.writes())
    out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out) == (78, "")
    assert "no longer the file that was opened" in err
    assert "Traceback" not in err
    assert len(office.writes()) <= begun + 1
