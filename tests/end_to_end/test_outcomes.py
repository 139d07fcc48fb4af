"""What became of a request is said truly by every face of the program, and trying again ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from syncd.assembly import open_ledger
from syncd.config import load
from syncd.core.booking import Booking
from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, event
from tests.end_to_end.killed import Clock, at_work

BEFORE, AFTER = ahead(2, 9), ahead(2, 14)
WAITED = timedelta(minutes=6)  # longer than a lost request can be on its way
RUNS = 8


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _cycle(office: Office, clock: Clock) -> CycleReport:
    """One cycle of a process of its own, as a timer would start it."""
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        return reconciler.cycle()


def _booking(office: Office) -> Booking:
    with open_ledger(load(office.folder / "syncd.toml"), owner=False) as ledger:
        (booking,) = ledger.bookings.current()
        return booking


def _changed_once_booked(office: Office, change: str) -> None:
    """Book a meeting, then let the calendar change or lose it; another one stays."""
    other = event("other", ahead(3))
    office.write(event("m", BEFORE, room=None), other)
    _cycle(office, Clock())
    office.write(*([event("m", AFTER, room=None)] if change == "modify" else []), other)


# An update or cancel that is not made is never ok


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "fault", ["false", "closed", "gateway", "error:work=none", "garbage:work=none"]
)
@pytest.mark.parametrize("change", ["modify", "cancel"])
def test_what_is_not_made_is_never_ok(office: Office, change: str, fault: str) -> None:
    """Whatever the API does instead of a change, each cycle says that it is not made, and the calls end."""
    _changed_once_booked(office, change)
    office.fault(fault + (":" if ":" not in fault else ",") + f"on={change}")
    office.forget_requests()
    clock = Clock()
    for _ in range(RUNS):
        report = _cycle(office, clock)
        assert report.outcome != "ok"
        assert report.error or report.counts["in_doubt"] + report.counts["refused"] > 0
        clock.later += WAITED
    sent = len(office.writes())
    assert sent <= 5
    for _ in range(3):
        clock.later += WAITED
        report = _cycle(office, clock)
        assert (report.outcome, report.counts["refused"]) == ("attention", 1)
    assert len(office.writes()) == sent
    assert len(office.reservations()) == 2


@pytest.mark.parametrize("change", ["modify", "cancel"])
def test_a_no_is_tried_three_times_over_restarts(office: Office, change: str) -> None:
    """`result:false` each time: one request a cycle, three in all, then a refusal that says what to do."""
    _changed_once_booked(office, change)
    office.fault(f"false:on={change}")
    office.forget_requests()
    clock = Clock()
    for number in range(1, 6):
        assert _cycle(office, clock).outcome == "attention"
        assert len(office.writes()) == min(number, 3)
    booking = _booking_of(office, "m")
    assert (booking.reason, booking.in_doubt) == ("refused", False)
    assert "tried 3 times" in booking.detail
    assert "syncd resolve" in booking.detail


def _booking_of(office: Office, uid: str) -> Booking:
    with open_ledger(load(office.folder / "syncd.toml"), owner=False) as ledger:
        (booking,) = [b for b in ledger.bookings.current() if b.key.uid == uid]
        return booking


def test_a_no_that_passes_costs_one_cycle(office: Office) -> None:
    """After one `result:false` the next cycle makes the change, and nothing is left to say."""
    _changed_once_booked(office, "modify")
    office.fault("false:on=modify,times=1")
    assert _cycle(office, Clock()).counts["refused"] == 1
    report = _cycle(office, Clock())
    assert (report.outcome, report.counts["updated"]) == ("ok", 1)
    assert _booking_of(office, "m").attempts == 0


@pytest.mark.parametrize("change", ["modify", "cancel"])
def test_a_no_to_what_was_done_is_found_out_at_once(
    office: Office, change: str
) -> None:
    """The API says that it failed although it did it: reading back tells, and nothing is sent again."""
    _changed_once_booked(office, change)
    office.fault(f"false:on={change},work=done")
    office.forget_requests()
    report = _cycle(office, Clock())
    assert (report.outcome, office.writes()) == ("ok", [change])
    assert report.counts["updated"] + report.counts["cancelled"] == 1
    assert _cycle(office, Clock()).outcome == "ok"


def test_other_content_is_tried_anew_after_a_refusal(office: Office) -> None:
    """Three tries are those of one content: when the event changes again they begin anew."""
    _changed_once_booked(office, "modify")
    office.fault("false:on=modify")
    clock = Clock()
    for _ in range(2):
        _cycle(office, clock)
    office.write(event("m", ahead(2, 16), room=None), event("other", ahead(3)))
    office.forget_requests()
    for _ in range(4):
        _cycle(office, clock)
    assert office.writes() == ["modify"] * 3
    office.write(event("m", BEFORE, room=None), event("other", ahead(3)))
    report = _cycle(office, clock)
    assert (report.outcome, len(office.writes())) == ("ok", 3), (
        "what is booked is what is wanted again"
    )


# Creates


@pytest.mark.parametrize("lag", ["", "lag:seconds=30"])
def test_a_no_to_a_create_that_was_made_books_it_once(office: Office, lag: str) -> None:
    """The reservation is found by its mark, also where lists are late, and taken over."""
    office.write(event("m", BEFORE, room=None))
    office.fault("false:on=create,work=done,times=1", *filter(None, [lag]))
    clock = Clock()
    report = _cycle(office, clock)
    assert report.counts["in_doubt"] == bool(lag)
    office.fault()
    for _ in range(3):
        report = _cycle(office, clock)
    assert report.outcome == "ok"
    assert len(office.reservations(live=False)) == 1


def test_a_create_that_the_api_never_makes_ends_as_refused(office: Office) -> None:
    """`result:false` to each create: looked for, tried three times in all, then refused with a sentence."""
    office.write(event("m", BEFORE, room=None))
    office.fault("false:on=create")
    clock = Clock()
    for _ in range(RUNS):
        assert _cycle(office, clock).outcome == "attention"
        clock.later += WAITED
    assert office.writes() == ["create"] * 3
    booking = _booking(office)
    assert (booking.state, booking.reason, booking.in_doubt) == (
        "refused",
        "refused",
        False,
    )
    assert "3 times" in booking.detail
    office.fault()
    office.write(event("m", AFTER, room=None))
    assert _cycle(office, clock).counts["created"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "why", ["refuse:code=990005,on=list", "refuse:code=2099,on=list"]
)
def test_a_refusal_whose_cause_cannot_be_asked_is_a_refusal(
    office: Office, why: str
) -> None:
    """The API said no and refuses to list the room: said with its code, tried again, then refused."""
    office.write(event("m", BEFORE))
    office.once()  # the room's list was seen before, as it is in a running office
    office.write(event("m", BEFORE), event("n", BEFORE, room="large"))
    office.fault("refuse:code=990009,on=create", why)
    office.forget_requests()
    for _ in range(RUNS):
        with at_work(office.folder / "syncd.toml") as reconciler:
            # What a process looks at before its first create is another matter.
            reconciler._comparison.was_made = True
            report = reconciler.cycle()
        assert (
            report.outcome,
            report.counts["in_doubt"],
            report.counts["refused"],
        ) == ("attention", 0, 1)
    assert office.writes() == ["create"] * 3
    assert "990009" in _booking_of(office, "n").detail


# Every face says it


@pytest.mark.slow
def test_every_face_tells_of_a_change_in_doubt(office: Office) -> None:
    """once, status, plan and explain, as documents and for people, and their exit codes agree."""
    _changed_once_booked(office, "modify")
    office.fault("closed:on=modify")
    for _ in range(3):
        once = office.run("once", "--json")
    assert (once.code, once.json["outcome"], once.json["counts"]["in_doubt"]) == (
        1,
        "attention",
        1,
    )
    status = office.run("status", "--json")
    (told,) = [b for b in status.json["bookings"] if b["in_doubt"]]
    assert (status.code, status.json["in_doubt"], told["uid"], told["reason"]) == (
        1,
        1,
        "m",
        "in_doubt",
    )
    plan = office.run("plan", "--json")
    assert plan.code == 1
    assert [(c["action"], c["reason"]) for c in plan.json["changes"]] == [
        ("hold", "in_doubt")
    ]
    explain = office.run("explain", "m", "--json")
    assert explain.code == 1
    assert explain.json["occurrences"][0]["reason"] == "in_doubt"
    assert "1 in doubt" in office.run("once").out
    assert "1 in doubt" in office.run("status").out
    assert "may still arrive" in office.run("plan").out
    assert "may still arrive" in office.run("explain", "m").out


def test_a_change_that_is_taken_back_in_the_calendar_stays_in_doubt_until_it_cannot_arrive(
    office: Office,
) -> None:
    """The calendar says again what is booked, but the lost change may still come: not ok before it cannot."""
    _changed_once_booked(office, "modify")
    office.fault("closed:on=modify,times=1")
    _cycle(office, Clock())
    office.write(event("m", BEFORE, room=None), event("other", ahead(3)))
    clock = Clock()
    assert _cycle(office, clock).counts["in_doubt"] == 1
    clock.later += WAITED
    assert _cycle(office, clock).outcome == "ok"


def test_a_meeting_that_is_gone_while_a_change_may_arrive_is_cancelled_after_that(
    office: Office,
) -> None:
    """A cancel waits for the lost change before it, and is then made without anybody's help."""
    _changed_once_booked(office, "modify")
    office.fault("closed:on=modify,times=1")
    _cycle(office, Clock())
    office.write(event("other", ahead(3)))
    clock = Clock()
    report = _cycle(office, clock)
    assert (report.counts["in_doubt"], report.counts["cancelled"]) == (1, 0)
    clock.later += WAITED
    report = _cycle(office, clock)
    assert (report.outcome, report.counts["cancelled"]) == ("ok", 1)
