"""The clock is wrong, or is set while syncd runs: said, nothing booked twice, nothing cancelled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, event
from tests.daemon.running import running
from tests.end_to_end.killed import Clock, at_work

DAY = timedelta(days=1)
STEPS = [
    timedelta(minutes=10),
    timedelta(hours=23),
    timedelta(minutes=-10),
    timedelta(hours=-23),
]


@pytest.fixture
def quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _cycle(office: Office, wall: Clock, api: Clock | None = None) -> CycleReport:
    """One cycle of a process of its own; the API's time is the real one unless a test says otherwise."""
    with at_work(office.folder / "syncd.toml", wall, api_clock=api) as reconciler:
        return reconciler.cycle()


def _stepped(by: timedelta) -> Clock:
    clock = Clock()
    clock.later = by
    return clock


# Waits go by a clock that nobody sets


@pytest.mark.first(2)
@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.usefixtures("quiet_log")
def test_a_clock_that_steps_books_nothing_twice(
    office: Office, step: timedelta
) -> None:
    """A create is on its way while the clock steps, over restarts: nothing is sent before it arrives."""
    office.change(("requests_per_second", 'timeout = "1s"\nrequests_per_second'))
    office.write(event("m", ahead(3), room=None))
    office.fault("late:on=create,times=1,seconds=3000")
    office.forget_requests()
    assert _cycle(office, Clock()).counts["in_doubt"] == 1
    for _ in range(3):
        assert _cycle(office, _stepped(step)).counts["in_doubt"] == 1
    assert office.writes() == ["create"]
    office.fault()  # what it held up goes on
    while any(
        entry["fault"] == "late" and entry["code"] is None
        for entry in office.control("requests")
    ):
        time.sleep(0.05)
    assert _cycle(office, _stepped(step)).counts["adopted"] == 1
    assert office.writes() == ["create"]
    assert len(office.reservations(live=False)) == 1


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.usefixtures("quiet_log")
def test_a_clock_that_steps_within_a_process_books_nothing_twice(
    office: Office, step: timedelta
) -> None:
    """The same in one process that goes on."""
    office.write(event("m", ahead(3), room=None))
    office.fault("closed:on=create")
    wall = Clock()
    with at_work(office.folder / "syncd.toml", wall, api_clock=None) as reconciler:
        for wall.later in (timedelta(), step, timedelta(), step):
            assert reconciler.cycle().counts["in_doubt"] == 1
    assert office.writes() == ["create"]


@pytest.mark.parametrize("change", ["modify", "create"])
@pytest.mark.usefixtures("quiet_log")
def test_a_clock_that_was_set_back_makes_no_wait_longer(
    office: Office, change: str
) -> None:
    """When the API's time says that a lost request can no longer arrive, it is made again."""
    office.write(event("m", ahead(3), room=None))
    if change == "modify":
        _cycle(office, Clock())
        office.write(event("m", ahead(3, 12), room=None))
    office.fault(f"closed:on={change},times=1")
    assert _cycle(office, Clock()).counts["in_doubt"] == 1
    back = _stepped(timedelta(hours=-20))
    api = _stepped(timedelta(minutes=6))
    assert _cycle(office, back, api).outcome == "ok"
    assert len(office.reservations()) == 1


@pytest.mark.usefixtures("quiet_log")
def test_an_api_whose_clock_was_set_back_makes_no_wait_endless(office: Office) -> None:
    """A wait that seems to begin next year begins now, and ends after request_validity."""
    office.write(event("m", ahead(3), room=None))
    office.fault("closed:on=create,times=1")
    late = _stepped(timedelta(hours=12))
    assert _cycle(office, late, late).counts["in_doubt"] == 1
    assert _cycle(office, Clock(), Clock()).counts["in_doubt"] == 1
    later = _stepped(timedelta(minutes=6))
    assert _cycle(office, later, later).outcome == "ok"
    assert len(office.reservations()) == 1


# A clock that is off is said; one that is far off decides nothing


def _edited(office: Office) -> None:
    """Meetings are edited, gone, new, and one is over soon."""
    office.write(
        event("m", ahead(1, 15)),
        event("new", ahead(2)),
        event("r", ahead(3), room=None),
    )


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("days", [400, 2, -2, -400])
def test_a_clock_that_is_days_off_writes_nothing(office: Office, days: int) -> None:
    """Meetings are edited meanwhile: nothing is booked, changed or cancelled; when it is right, all is."""
    office.write(
        event("m", ahead(1)), event("gone", ahead(2)), event("r", ahead(3), room=None)
    )
    assert office.once()["counts"]["created"] == 3
    before = office.reservations(live=False)
    states = {b["uid"]: b["state"] for b in office.status()["bookings"]}
    _edited(office)
    office.fault(f"clock:seconds={days * 86400}")
    office.forget_requests()
    for _ in range(2):
        ran = office.run("once", "--json")
        assert (ran.code, ran.json["outcome"]) == (1, "failed")
        assert (
            f"{abs(days)} days {'behind' if days > 0 else 'ahead of'}"
            in ran.json["error"]
        )
        assert "NTP" in ran.err
    assert office.writes() == []
    assert office.reservations(live=False) == before
    status = office.run("status", "--json")
    assert {b["uid"]: b["state"] for b in status.json["bookings"]} == states
    assert (status.code, status.json["clock_wrong"]) == (1, True)
    assert "nothing is written" in status.json["clock"]
    page = " ".join(office.run("status").out.split())
    assert "nothing is written" in page
    office.fault()
    counts = office.once()["counts"]
    assert (counts["created"], counts["updated"], counts["cancelled"]) == (1, 1, 1)
    assert office.status()["clock"] is None


@pytest.mark.parametrize("days", [400, -400])
@pytest.mark.usefixtures("quiet_log")
def test_the_machines_own_clock_is_days_off(office: Office, days: int) -> None:
    """It is this machine that is wrong, over several cycles in one process, and then is set right."""
    office.write(
        event("m", ahead(1)), event("gone", ahead(2)), event("r", ahead(3), room=None)
    )
    _cycle(office, Clock())
    before = office.reservations(live=False)
    _edited(office)
    wall = _stepped(days * DAY)
    with at_work(office.folder / "syncd.toml", wall, api_clock=None) as reconciler:
        for _ in range(3):
            report = reconciler.cycle()
            assert (report.outcome, report.clock_wrong) == ("failed", True)
        assert office.reservations(live=False) == before
        wall.later = timedelta()
        counts = reconciler.cycle().counts
    assert (counts["created"], counts["updated"], counts["cancelled"]) == (1, 1, 1)


@pytest.mark.slow
def test_a_clock_that_is_minutes_off_is_said_and_goes_on(office: Office) -> None:
    """Ten minutes: everything is done, and once and status say it, as documents and for people."""
    office.write(event("m", ahead(1)))
    office.fault("clock:seconds=600")
    ran = office.run("once", "--json")
    assert (ran.code, ran.json["counts"]["created"]) == (0, 1)
    assert "10 minutes behind" in ran.json["clock"]
    assert "10 minutes behind" in office.status()["clock"]
    assert "10 minutes behind" in office.run("status").out
    office.write(event("m", ahead(1, 12)))
    assert "10 minutes behind" in office.run("once").out
    office.fault("clock:seconds=200")
    office.write(event("m", ahead(1, 15)))
    assert office.once()["clock"] is None
    assert office.status()["clock"] is None


@pytest.mark.slow
def test_a_quiet_cycle_asks_nobody_what_time_it_is(office: Office) -> None:
    """With nothing to do no call is made, whatever the API's clock shows."""
    office.write(event("m", ahead(1)))
    office.once()
    office.fault("clock:seconds=86400000")
    office.forget_requests()
    ran = office.run("once", "--json")
    assert (ran.code, ran.json["calls"]) == (0, {"GET": 0, "POST": 0, "PUT": 0})


def test_the_daemon_says_once_that_the_clock_is_off(office: Office) -> None:
    """One warning for a change, and the line for the manager as long as it lasts."""
    office.write(event("m", ahead(1)))
    office.fault("clock:seconds=-1200")
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=1), "the booking")
        for hour in (12, 15):
            office.write(event("m", ahead(1, hour)))
            daemon.until(lambda: daemon.logged("cycle", updated=1), "the change")
            daemon.settle()
        assert len(daemon.logged("clock")) == 1
        assert "20 minutes ahead of" in daemon.manager.status


@pytest.mark.slow
def test_nothing_is_adopted_by_a_clock_that_is_days_off(office: Office) -> None:
    """A lost state is not rebuilt from what a wrong clock takes for the future."""
    office.write(event("m", ahead(1), room=None))
    office.once()
    for file in office.folder.glob("state.db*"):
        file.unlink()
    office.fault("clock:seconds=864000")
    ran = office.run("adopt", "--apply")
    assert ran.code == 1
    assert "10 days behind" in ran.err
    office.fault()
    assert office.run("adopt", "--apply").code == 0
