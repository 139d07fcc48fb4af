"""The year of the benchmark: its calendars move and are edited as said, and its ledger forgets what is over."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.benchmarks import year
from tests.benchmarks.churn import MovingCalendar

START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def uids(file: Path) -> set[bytes]:
    """The UIDs that stand in a calendar."""
    return set(re.findall(rb"\nUID:(.*(?:\r\n .*)*)", file.read_bytes()))


def calendar() -> MovingCalendar:
    """One that shows about 200 events."""
    return MovingCalendar("c", 200, START, 1, 0.3)


def test_a_moving_calendar_is_about_as_large_all_year() -> None:
    """So many events stand in it as were asked for, from the first day to the last."""
    moving = calendar()
    for day in range(0, 365, 50):
        shown = moving.shown(START + timedelta(days=day))
        assert 160 < len(shown) < 250


def test_its_window_moves_on(tmp_path: Path) -> None:
    """Over the year some of its events are dropped and others come; from one day to the next few do."""
    moving, file = calendar(), tmp_path / "c.ics"
    found: list[set[bytes]] = []
    for day in range(0, 365, 30):
        moving.write(file, START + timedelta(days=day))
        assert file.read_bytes().endswith(b"END:VEVENT\r\nEND:VCALENDAR\r\n")
        found.append(uids(file))
    assert found[0] - found[-1]
    assert found[-1] - found[0]
    assert all(len(one ^ other) < len(one) / 5 for one, other in pairwise(found))


def test_each_day_has_its_edits(tmp_path: Path) -> None:
    """On a day at most four events are others, gone or back; in a week several of what is coming are."""
    moving, file = calendar(), tmp_path / "c.ics"
    moving.write(file, START)
    before = _events(file)
    first = before
    for _ in range(5):
        moving.edit(START)
        moving.write(file, START)
        after = _events(file)
        assert 1 <= len(before ^ after) <= 7  # three that change have two versions
        before = after
    assert len(first ^ before) > 4


def _events(file: Path) -> set[bytes]:
    text = file.read_bytes()
    return set(re.findall(rb"BEGIN:VEVENT\r\n.*?END:VEVENT\r\n", text, re.DOTALL))


@pytest.mark.slow
def test_the_ledger_forgets_what_is_over(tmp_path: Path) -> None:
    """With a retention of two weeks no table has more rows after eight weeks than what is remembered asks for.

    Generations are those of the bookings that are there, and nothing is kept for UIDs that are over.
    """
    months = list(
        year.measure(
            tmp_path,
            1,
            START,
            lambda _line: None,
            days=56,
            events=150,
            retention_days=14,
        )
    )
    assert [month.weeks for month in months] == [4, 8]
    rows = months[-1].rows
    assert rows["bookings"] > 10
    assert rows["generations"] <= rows["bookings"]
    assert rows["kept"] <= 150
    assert rows["agenda"] <= 150
    told = year.markdown(months)
    assert "| 8 |" in told
    assert "| bookings |" in told
    assert len(year.document(months)["months"]) == 2
