"""Files of a directory go, stay away and come back, with real directories and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.assembly import utc_now
from syncd.reconciler import Reconciler
from tests.conftest import CONFIGURATION, Office, ahead, calendar, event
from tests.end_to_end.killed import Clock, at_work

_FOLDER = 'path = "files"'
_SHORT, _LONG = timedelta(seconds=50), timedelta(seconds=70)


def _events(name: str, count: int) -> list[str]:
    day = 1 + sum(name.encode()) % 5
    return [
        event(f"{name}{n}", ahead(day, 6 + n * 2), 45, room="small")
        for n in range(count)
    ]


def _write(office: Office, name: str, count: int = 1, *, file: str = "") -> Path:
    path = office.folder / "files" / f"{file or name}.ics"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(calendar(*_events(name, count)))
    return path


@contextmanager
def _booked(
    office: Office, pattern: str = _FOLDER, **files: int
) -> Iterator[tuple[Reconciler, Clock]]:
    """A process that booked these files, each with so many events; its clocks go as the test says."""
    office.configure(CONFIGURATION, ('path = "office.ics"', pattern))
    for name, count in files.items():
        _write(office, name, count)
    clock = Clock()
    with at_work(office.folder / "syncd.toml", clock=clock) as reconciler:
        assert reconciler.cycle().counts["created"] == sum(files.values())
        yield reconciler, clock


def _done(reconciler: Reconciler, *sources: str) -> tuple[int, int, int, int]:
    counts = reconciler.cycle(sources or None).counts
    return counts["created"], counts["updated"], counts["cancelled"], counts["held"]


NOTHING = (0, 0, 0, 0)


@pytest.mark.parametrize(
    "pattern", [_FOLDER, 'path = "files/*.ics"'], ids=["directory", "glob"]
)
@pytest.mark.parametrize(
    ("count", "then"), [(1, (0, 0, 1, 0)), (3, (0, 0, 0, 3))], ids=["one", "several"]
)
def test_a_file_that_stays_away(
    office: Office, pattern: str, count: int, then: tuple[int, int, int, int]
) -> None:
    """Nothing follows at first; the cycle that comes by itself then cancels one event, or holds several."""
    with _booked(office, pattern, a=count, b=2) as (reconciler, clock):
        (office.folder / "files" / "a.ics").unlink()
        assert _done(reconciler) == NOTHING
        clock.later += _SHORT
        assert _done(reconciler) == NOTHING
        assert reconciler.previewer.preview().plan.changes == ()
        due = reconciler.due_at
        assert due is not None
        assert timedelta() < due - clock() < timedelta(seconds=11)
        clock.later += _LONG - _SHORT
        planned = reconciler.previewer.preview().plan
        assert (len(planned.writes), len(planned.held)) == then[2:]
        nobody: tuple[str, ...] = ()
        counts = reconciler.cycle(nobody).counts
        assert (counts["cancelled"], counts["held"]) == then[2:]
        assert _done(reconciler) == (0, 0, 0, then[3])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ["a", "c"], ids=["the same name", "another name"])
@pytest.mark.parametrize("looked", [True, False], ids=["missed", "not missed"])
def test_a_file_that_comes_back(
    office: Office, count: int, name: str, looked: bool
) -> None:
    """Written anew, under its name or another one, it leaves no trace: no request, then or later."""
    with _booked(office, a=count, b=2) as (reconciler, clock):
        (office.folder / "files" / "a.ics").unlink()
        if looked:
            assert _done(reconciler) == NOTHING
        clock.later += _SHORT
        _write(office, "a", count, file=name)
        for _ in range(3):
            assert _done(reconciler) == NOTHING
            clock.later += _LONG
        assert office.writes() == ["create"] * (count + 2)


def test_what_went_to_other_files_is_there_and_what_stays_judged_is_judged(
    office: Office,
) -> None:
    """Events that moved to another file are there; one that left a file that is there is shown to be gone."""
    with _booked(office, a=3, b=3) as (reconciler, clock):
        (office.folder / "files" / "a.ics").unlink()
        kept = _events("b", 2)
        (office.folder / "files" / "b.ics").write_bytes(
            calendar(*kept, *_events("a", 2))
        )
        assert _done(reconciler) == (0, 0, 1, 0)
        clock.later += _LONG
        assert _done(reconciler) == (0, 0, 0, 1)
        clock.later += _LONG
        assert _done(reconciler) == (0, 0, 0, 1)
        # What moved belongs to the other file from then on.
        (office.folder / "files" / "b.ics").write_bytes(
            calendar(*kept, *_events("a", 1))
        )
        assert _done(reconciler) == (0, 0, 1, 1)


def test_an_override_in_a_file_that_is_gone_for_a_moment(office: Office) -> None:
    """A date stays where its override put it while the file with the override is awaited."""
    series = event("s", ahead(2), 45, "RRULE:FREQ=DAILY;COUNT=3", room="small")
    start = f"RECURRENCE-ID:{ahead(3):%Y%m%dT%H%M%SZ}"
    override = event("s", ahead(3, 5), 45, start, room="small")
    with _booked(office, b=2) as (reconciler, clock):
        folder = office.folder / "files"
        (folder / "s.ics").write_bytes(calendar(series))
        (folder / "o.ics").write_bytes(calendar(override, *_events("o", 1)))
        assert _done(reconciler) == (4, 0, 0, 0)
        body = (folder / "o.ics").read_bytes()
        (folder / "o.ics").unlink()
        assert _done(reconciler) == NOTHING
        clock.later += _SHORT
        (folder / "o.ics").write_bytes(body)
        assert _done(reconciler) == NOTHING
        (folder / "o.ics").unlink()
        assert _done(reconciler) == NOTHING
        clock.later += _LONG
        assert _done(reconciler) == (0, 1, 0, 1)


def test_all_files_of_a_directory(office: Office) -> None:
    """An emptied directory proves nothing at first, and then a person is asked."""
    with _booked(office, a=1, b=3) as (reconciler, clock):
        for path in (office.folder / "files").iterdir():
            path.unlink()
        assert _done(reconciler) == NOTHING
        clock.later += _LONG
        assert _done(reconciler) == (0, 0, 0, 4)


@pytest.mark.parametrize(
    "step", [timedelta(days=300), -timedelta(hours=3)], ids=["ahead", "back"]
)
def test_a_clock_that_steps_does_not_shorten_the_grace(
    office: Office, step: timedelta
) -> None:
    """However the clock of the machine is set, a file has its grace by a clock that nobody sets."""
    office.configure(CONFIGURATION, ('path = "office.ics"', _FOLDER))
    for name in ("a", "b"):
        _write(office, name, 2)
    clock, steady = Clock(), Clock()
    with at_work(
        office.folder / "syncd.toml",
        clock=clock,
        elapsed=lambda: steady().timestamp(),
        api_clock=clock,
    ) as reconciler:
        assert reconciler.cycle().counts["created"] == 4
        path = office.folder / "files" / "a.ics"
        path.unlink()
        assert _done(reconciler) == NOTHING
        clock.later += step / 100_000 if step > timedelta() else step
        steady.later += timedelta(seconds=1)
        assert _done(reconciler) == NOTHING
    # The time that a later process finds is right, too.
    with at_work(
        office.folder / "syncd.toml", clock=clock, api_clock=clock
    ) as reconciler:
        assert _done(reconciler) == NOTHING
        clock.later += _LONG
        assert _done(reconciler) == (0, 0, 0, 2)


def test_another_process_goes_on_counting(office: Office) -> None:
    """A file that one process missed first is judged by the next, and plan says the same before."""
    with _booked(office, a=1, b=2) as (reconciler, clock):
        (office.folder / "files" / "a.ics").unlink()
        assert _done(reconciler) == NOTHING
    clock.later += _LONG
    with at_work(office.folder / "syncd.toml", clock=clock) as reconciler:
        assert len(reconciler.previewer.preview().plan.writes) == 1
        assert _done(reconciler) == (0, 0, 1, 0)
    assert utc_now() < clock()
