"""Files that go from a directory under a running daemon, and the cycle that comes by itself for them."""

from __future__ import annotations

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import files, follow, running

GRACE = "[safety]\nfile_grace = "


def _write(office: Office, name: str, *uids: str) -> None:
    folder = office.folder / "files"
    folder.mkdir(exist_ok=True)
    events = (event(uid, ahead(2), room=None) for uid in uids)
    (folder / name).write_bytes(calendar(*events))


def _start(office: Office, grace: str) -> None:
    _write(office, "alone.ics", "alone")
    _write(office, "several.ics", "one", "two")
    _write(office, "other.ics", "stays")
    office.change(("[api]", f'{GRACE}"{grace}"\n[api]'))
    follow(office, files("files", "files", 'interval = "12h"'))


@pytest.mark.slow
def test_a_file_that_stays_away_is_judged_without_another_file_event(
    office: Office,
) -> None:
    """The daemon looks again when the grace is over: one event is cancelled, several are held."""
    _start(office, "3s")
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) == 4, "everything is booked")
        for name in ("alone.ics", "several.ics"):
            (office.folder / "files" / name).unlink()
        daemon.until(
            lambda: daemon.logged("cancelled", uid="alone"), "the event of its own file"
        )
        daemon.until(
            lambda: any(c["held"] == 2 for c in daemon.logged("cycle")),
            "the others are held",
        )
        daemon.settle()
        assert office.writes() == ["create"] * 4 + ["cancel"]


def test_a_file_that_is_written_anew_costs_nothing(office: Office) -> None:
    """A file that goes, is missed, and comes back within the grace leads to no request at all."""
    _start(office, "10m")
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) == 4, "everything is booked")
        (office.folder / "files" / "several.ics").unlink()
        daemon.until(
            lambda: any(
                s["source"] == "files" and s["events"] == 2
                for s in daemon.logged("source")
            ),
            "the file was missed",
        )
        _write(office, "again.ics", "one", "two")
        daemon.until(
            lambda: daemon.logged("source")[-1]["events"] == 4, "the file is read"
        )
        daemon.settle()
        assert office.writes() == ["create"] * 4
