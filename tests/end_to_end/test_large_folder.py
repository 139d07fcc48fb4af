"""What a directory of many files costs: what is opened and what is written follow the files that changed."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.end_to_end.killed import at_work
from tests.end_to_end.opened import opened_files

_FILES = 300
_LONG_AGO_NS = 10**11
_BOOKED = 5  # of the events: the others lie beyond the horizon


def _write(folder: Path, number: int, *lines: str) -> None:
    """Write a file of one event, which seems to be there for long."""
    days = 1 + number if number < _BOOKED else 300
    body = calendar(event(f"event{number}", ahead(days), 60, *lines, room="small"))
    file = folder / f"{number:04}.ics"
    new = folder / "new"
    new.write_bytes(body)
    new.rename(file)
    times = time.time_ns() - _LONG_AGO_NS
    os.utime(file, ns=(times, times))


@pytest.fixture
def folder(office: Office) -> Path:
    """A directory of many files whose events are booked, as far as that is due."""
    folder = office.folder / "files"
    folder.mkdir()
    for number in range(_FILES):
        _write(folder, number)
    office.change((f'path = "{office.calendar_file.name}"', f'path = "{folder.name}"'))
    time.sleep(2.1)
    for _ in range(2):
        office.once()
    office.forget_requests()
    return folder


def _rows(office: Office) -> dict[int, bytes]:
    """What is stored of the index of the source, by the numbers of rows: one written again has another."""
    with closing(sqlite3.connect(office.folder / "state.db")) as ledger:
        rows = ledger.execute("SELECT rowid, packed FROM inventory_buckets")
        return dict(rows)


def _names(opened: Collection[str]) -> set[str]:
    return {Path(name).name for name in opened if name.endswith(".ics")}


@pytest.mark.slow
def test_an_edit_costs_what_it_changed(office: Office, folder: Path) -> None:
    """One file is opened, one event is changed, and little of the index is written."""
    with at_work(office.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
        before = _rows(office)
        _write(folder, 3, "DESCRIPTION:changed")
        with opened_files() as opened:
            report = reconciler.cycle()
        after = _rows(office)
    assert report.counts["updated"] == 1
    assert office.writes() == ["modify"]
    assert _names(opened) == {"0003.ics"}
    written = [packed for row, packed in after.items() if row not in before]
    assert len(written) == 1
    assert len(written[0]) < sum(map(len, after.values())) / 50


@pytest.mark.slow
def test_files_that_come_and_go_cost_what_they_are(
    office: Office, folder: Path
) -> None:
    """Of a new file and of one that is gone two buckets are written, and what is about all files."""
    with at_work(office.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
        before = _rows(office)
        (folder / "0299.ics").unlink()
        _write(folder, _FILES)
        with opened_files() as opened:
            reconciler.cycle()
        after = _rows(office)
    assert _names(opened) == {"0300.ics"}
    written = [packed for row, packed in after.items() if row not in before]
    assert len(written) <= 3
    assert any(b"0299.ics" in packed for packed in written)


@pytest.mark.slow
def test_what_was_edited_is_known_after_a_restart(office: Office, folder: Path) -> None:
    """What was written in parts is read as a whole: the next process opens no file and writes nothing."""
    with at_work(office.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
        for number in (3, 200):
            _write(folder, number, "DESCRIPTION:changed")
            time.sleep(2.1)  # so that its times are believed
            reconciler.cycle()
    with at_work(office.folder / "syncd.toml") as reconciler:
        before = _rows(office)
        with opened_files() as opened:
            report = reconciler.cycle()
        assert not _names(opened)
        assert _rows(office) == before
    assert report.counts["unchanged"] == _BOOKED
    assert office.writes() == ["modify"]
