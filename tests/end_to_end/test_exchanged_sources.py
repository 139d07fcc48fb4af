"""Files are given to other sources where a UID is a meeting in each: reservations follow their meetings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import files, follow
from tests.end_to_end.killed import at_work

COUNT = 8


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _cycle(office: Office) -> CycleReport:
    with at_work(office.folder / "syncd.toml") as reconciler:
        return reconciler.cycle()


def _follow(office: Office, **paths: str) -> None:
    follow(
        office,
        *(
            files(name, f"{path}.ics", 'uid_scope = "source"')
            for name, path in paths.items()
        ),
    )


def _show(
    office: Office,
    file: str,
    day: int,
    *,
    uids: str = "",
    without: int = 0,
    moved: int = 0,
) -> None:
    """A file of events, each at an hour of its own; `moved` of them are later than before."""
    shown = [
        event(
            f"{uids or file}{number}",
            ahead(day, 6 + number, 30 if number < moved else 0),
            20,
            f"SUMMARY:{file} {number}",
            room=None,
        )
        for number in range(COUNT - without)
    ]
    (office.folder / f"{file}.ics").write_bytes(calendar(*shown))


@dataclass(frozen=True)
class Case:
    """What becomes of the sources; with `same` both files have the same UIDs."""

    before: dict[str, str]
    after: dict[str, str]
    same: bool = False


CASES = {
    "paths exchanged": Case({"a": "x", "b": "y"}, {"a": "y", "b": "x"}),
    "paths exchanged, same UIDs": Case(
        {"a": "x", "b": "y"}, {"a": "y", "b": "x"}, same=True
    ),
    "a ring of three": Case(
        {"a": "x", "b": "y", "c": "z"}, {"a": "y", "b": "z", "c": "x"}
    ),
    "a ring of three, same UIDs": Case(
        {"a": "x", "b": "y", "c": "z"}, {"a": "y", "b": "z", "c": "x"}, same=True
    ),
    "names exchanged": Case({"a": "x", "b": "y"}, {"b": "x", "a": "y"}),
    "a source renamed": Case({"a": "x", "b": "y"}, {"c": "x", "b": "y"}),
    "a path given to a new name": Case(
        {"a": "x", "b": "y"}, {"a": "z", "c": "x", "b": "y"}
    ),
    "one path handed down": Case({"a": "x", "b": "y"}, {"a": "y", "b": "z", "c": "x"}),
}


@pytest.mark.first(2)
@pytest.mark.parametrize("name", CASES)
def test_reservations_follow_their_file(office: Office, name: str) -> None:
    """Nothing is booked, changed, cancelled or held, in this cycle or the next, and all is known."""
    case = CASES[name]
    for day, file in enumerate("xyz", 2):
        _show(office, file, day, uids="same" if case.same else "")
    _follow(office, **case.before)
    _cycle(office)
    before = office.reservations(live=False)
    extra = COUNT * (len(set(case.after.values()) - set(case.before.values())))
    _follow(office, **case.after)
    office.forget_requests()
    for number in range(2):
        counts = _cycle(office).counts
        assert (counts["created"], counts["held"]) == (0 if number else extra, 0)
        assert (counts["updated"], counts["cancelled"]) == (0, 0)
    assert set(office.writes()) <= {"create"}
    assert {r["reservation_id"] for r in before} <= {
        r["reservation_id"] for r in office.reservations()
    }
    assert _cycle(office).outcome == "ok"


@pytest.mark.parametrize("same", [False, True])
def test_events_that_were_edited_meanwhile_go_along(office: Office, same: bool) -> None:
    """Some events change while the paths are exchanged: those are changed in place."""
    uids = "same" if same else ""
    for day, file in enumerate("xy", 2):
        _show(office, file, day, uids=uids)
    _follow(office, a="x", b="y")
    _cycle(office)
    _show(office, "x", 2, uids=uids, moved=2)
    _follow(office, a="y", b="x")
    report = _cycle(office)
    assert (
        report.counts["created"],
        report.counts["updated"],
        report.counts["held"],
    ) == (0, 2, 0)
    assert len(office.reservations(live=False)) == 2 * COUNT
    assert _cycle(office).outcome == "ok"


@pytest.mark.parametrize("ended", ["cancelled by a person", "refused"])
def test_what_people_and_the_api_said_follows_too(office: Office, ended: str) -> None:
    """What was ended in Tuya or refused is not booked because its file has another source now."""
    for day, file in enumerate("xy", 2):
        _show(office, file, day)
    if ended == "refused":
        office.fault("refuse:code=1109,on=create,times=1")
    _follow(office, a="x", b="y")
    _cycle(office)
    if ended != "refused":
        office.control(
            f"reservations/{office.reservations()[0]['reservation_id']}", {"status": 3}
        )
        with at_work(office.folder / "syncd.toml") as reconciler:
            reconciler.cycle(force=True)
    office.fault()
    _follow(office, a="y", b="x")
    office.forget_requests()
    for _ in range(2):
        _cycle(office)
    assert office.writes() == []


def test_a_create_in_doubt_is_not_booked_under_another_source(office: Office) -> None:
    """The answer was lost and the paths are exchanged: nothing is sent before that is settled."""
    for day, file in enumerate("xy", 2):
        _show(office, file, day)
    office.fault("closed:on=create,times=1")
    _follow(office, a="x", b="y")
    _cycle(office)
    _follow(office, a="y", b="x")
    office.forget_requests()
    report = _cycle(office)
    assert (office.writes(), report.counts["in_doubt"]) == ([], 1)


def test_two_sources_that_show_the_same_keep_their_own(office: Office) -> None:
    """Two files with equal events have a reservation each, before and after an exchange."""
    for file in "xy":
        _show(office, file, 2, uids="same")
    (office.folder / "y.ics").write_bytes((office.folder / "x.ics").read_bytes())
    _follow(office, a="x", b="y")
    assert _cycle(office).counts["created"] == 2 * COUNT
    _follow(office, a="y", b="x")
    office.forget_requests()
    assert _cycle(office).outcome == "ok"
    assert office.writes() == []
    _show(office, "y", 2, uids="same", without=1)
    _cycle(office)
    assert len(office.reservations()) >= 2 * COUNT - 1
