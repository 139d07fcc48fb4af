"""What a person decides with `syncd resolve`: looked at first, never blindly, one by one or by state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from tuya_connector import TuyaOpenAPI

from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, calendar, event
from tests.end_to_end.killed import Clock, at_work

WAITED = timedelta(minutes=6)


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _cycle(
    office: Office, later: timedelta = timedelta(), *, force: bool = False
) -> CycleReport:
    clock = Clock()
    clock.later = later
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        return reconciler.cycle(force=force)


def _decide(office: Office, *arguments: str) -> str:
    ran = office.run("resolve", *arguments)
    assert ran.code == 0, ran.err
    return ran.out


def _states(office: Office) -> dict[str, tuple[str, str | None]]:
    return {
        b["uid"]: (b["state"], b["reason"])
        for b in office.status()["bookings"]
        if b["state"] != "cancelled"
    }


def _end_by_hand(office: Office, topic: str) -> None:
    (found,) = [r for r in office.reservations() if r["topic"] == topic]
    office.control(f"reservations/{found['reservation_id']}", {"status": 3})


# Never blindly, and not while what was lost may still arrive


@pytest.mark.first(1)
@pytest.mark.parametrize("fault", ["lost", "error", "garbage", "false:work=done"])
def test_retry_finds_what_was_booked_after_all(office: Office, fault: str) -> None:
    """The answer was lost, the work was done, the list was late: --retry finds it and books nothing."""
    office.write(event("m", ahead(3), room=None))
    office.fault(f"{fault}{',' if ':' in fault else ':'}on=create", "lag:seconds=60")
    _cycle(office)
    office.fault()
    _decide(office, "m", "--retry")
    office.forget_requests()
    assert _cycle(office).counts["adopted"] == 1
    assert office.writes() == []
    assert len(office.reservations(live=False)) == 1


@pytest.mark.first(1)
@pytest.mark.parametrize("verdict", ["--retry", "--drop"])
def test_a_decision_waits_for_what_may_still_arrive(
    office: Office, verdict: str
) -> None:
    """A create that is lost may come for some minutes; only then is it sent again, or given up."""
    office.write(event("m", ahead(3), room=None))
    office.fault("closed:on=create,times=1")
    _cycle(office)
    office.forget_requests()
    _decide(office, "m", verdict)
    for _ in range(2):
        assert _cycle(office).counts["in_doubt"] == 1
    assert office.writes() == []
    _cycle(office, WAITED)
    assert office.writes() == (["create"] if verdict == "--retry" else [])
    expected = ("booked", None) if verdict == "--retry" else ("refused", "dropped")
    assert _states(office)["m"] == expected


def test_an_adoption_waits_for_what_may_still_arrive_beside_it(office: Office) -> None:
    """Another reservation is named while the lost one may still come: it is taken when it no longer can."""
    office.write(event("m", ahead(3), room=None))
    office.fault("closed:on=create,times=1")
    _cycle(office)
    client = TuyaOpenAPI(office.url, office.client_id, office.client_secret)
    client.connect()
    start = int(ahead(3).timestamp()) * 1000
    wanted = {
        "topic": "By hand",
        "start_time": start,
        "end_time": start + 3_600_000,
        "participants": ["3"],
    }
    answer = client.post(
        "/v2.0/iot-03/meeting-reservations", {**wanted, "notice": True, "creator": "3"}
    )
    _decide(office, "m", "--adopt", answer["result"])
    assert _cycle(office).counts["in_doubt"] == 1
    assert _cycle(office, WAITED).counts["in_doubt"] == 0
    (left,) = office.reservations(live=False)
    assert (left["reservation_id"], left["topic"]) == (answer["result"], "Meeting m")


def test_retry_of_a_change_in_doubt_looks_first(office: Office) -> None:
    """A lost update that was made is found; one that was not is made once more, and once only."""
    office.write(event("m", ahead(3)), event("n", ahead(4)))
    _cycle(office)
    office.write(event("m", ahead(3, 12)), event("n", ahead(4, 12)))
    office.fault("lost:on=modify,times=1", "closed:on=modify,after=1")
    _cycle(office)
    office.fault()
    office.forget_requests()
    if office.status()["in_doubt"]:
        _decide(office, "--all", "in doubt", "--retry")
    _cycle(office, WAITED)
    assert office.writes() in ([], ["modify"])
    assert _cycle(office, WAITED).outcome == "ok"
    assert len(office.reservations(live=False)) == 2


# Released and dropped ones


@pytest.mark.first(1)
@pytest.mark.parametrize("room", ["small", None])
def test_retry_books_anew_what_a_person_ended(office: Office, room: str | None) -> None:
    """Released, and wanted after all: booked once more, with a mark of its own, and then quiet."""
    office.write(event("m", ahead(3), room=room), event("n", ahead(4), room=room))
    _cycle(office)
    _end_by_hand(office, "Meeting m")
    _cycle(office, force=True)
    assert _states(office)["m"] == ("released", "released")
    _decide(office, "m", "--retry")
    assert _cycle(office).counts["created"] == 1
    assert len({r["description"] for r in office.reservations(live=False)}) == 3
    office.forget_requests()
    assert _cycle(office, force=True).outcome == "ok"
    assert office.writes() == []


def test_retry_of_what_came_to_life_again_takes_it(office: Office) -> None:
    """A person ended it and took that back: nothing is booked, the old reservation counts again."""
    office.write(event("m", ahead(3)))
    _cycle(office)
    (before,) = office.reservations()
    _end_by_hand(office, "Meeting m")
    _cycle(office, force=True)
    office.control(f"reservations/{before['reservation_id']}", {"status": 1})
    _decide(office, "m", "--retry")
    office.forget_requests()
    assert _cycle(office).counts["adopted"] == 1
    assert office.writes() == []
    assert _states(office)["m"] == ("booked", None)


@pytest.mark.slow
def test_retry_of_a_dropped_create_looks_and_books(office: Office) -> None:
    """Given up, then wanted after all: what is there by its mark is taken, else it is booked."""
    office.write(event("m", ahead(3)), event("n", ahead(4)))
    office.fault("refuse:code=1109,on=create,times=2")
    _cycle(office)
    office.fault()
    assert "2 bookings refused" in _decide(office, "--all", "refused", "--drop")
    _cycle(office)
    assert set(_states(office).values()) == {("refused", "dropped")}
    assert _cycle(office).outcome == "ok"
    assert "2 bookings dropped" in _decide(office, "--all", "dropped", "--retry")
    assert _cycle(office).counts["created"] == 2
    assert len(office.reservations(live=False)) == 2


def test_dropping_what_was_released_keeps_it_so(office: Office) -> None:
    """--drop of a released one: nothing is sent, and no policy books it again."""
    office.write(event("m", ahead(3)))
    _cycle(office)
    _end_by_hand(office, "Meeting m")
    _cycle(office, force=True)
    _decide(office, "m", "--drop")
    office.change(("[[sources]]", '[drift]\non_cancel = "rebook"\n[[sources]]'))
    office.forget_requests()
    assert _cycle(office, force=True).outcome == "ok"
    assert (_states(office)["m"], office.writes()) == (("released", "dropped"), [])


@pytest.mark.first(1)
@pytest.mark.parametrize("change", ["modify", "cancel"])
def test_retry_of_a_refused_change_makes_it(office: Office, change: str) -> None:
    """An update or cancel that the API refused is made once more on a person's word."""
    office.write(event("m", ahead(3)), event("n", ahead(4)))
    _cycle(office)
    office.write(
        *([event("m", ahead(3, 12))] if change == "modify" else []),
        event("n", ahead(4)),
    )
    office.fault(f"refuse:code=1109,on={change},times=1")
    assert _cycle(office).counts["refused"] == 1
    _decide(office, "m", "--retry")
    report = _cycle(office)
    assert (report.outcome, report.counts["updated"] + report.counts["cancelled"]) == (
        "ok",
        1,
    )


# By state


@pytest.mark.slow
def test_all_of_a_state_and_of_a_source(office: Office) -> None:
    """--all takes the words of the contract, narrowed down by --source, and says how many."""
    office.change(
        (
            'path = "office.ics"',
            'path = "office.ics"\n[[sources]]\nname = "b"\npath = "b.ics"',
        )
    )
    office.write(event("m", ahead(3)), event("n", ahead(4)))
    (office.folder / "b.ics").write_bytes(calendar(event("o", ahead(5))))
    _cycle(office)
    for topic in ("Meeting m", "Meeting n", "Meeting o"):
        _end_by_hand(office, topic)
    _cycle(office, force=True)
    assert "2 bookings released" in _decide(
        office, "--all", "released", "--source", "office", "--retry"
    )
    assert _cycle(office).counts["created"] == 2
    assert "1 booking released" in _decide(office, "--all", "Released", "--retry")
    assert _cycle(office).counts["created"] == 1


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "state", ["in_doubt", "in doubt", "refused", "released", "dropped", "vanished"]
)
def test_a_state_that_nothing_is_in_is_said(office: Office, state: str) -> None:
    """With nothing in that state there is a sentence, and nobody is needed."""
    office.write(event("m", ahead(3)))
    _cycle(office)
    ran = office.run("resolve", "--all", state, "--retry")
    assert ran.code == 0
    assert f"No booking is {state.replace('_', ' ')}" in ran.out


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "arguments",
    [
        ("--all", "lost", "--retry"),
        ("--all", "booked", "--drop"),
        ("--all", "released", "--adopt", "1"),
        ("--all", "released"),
        ("--all", "released", "--retry", "--drop"),
        ("m", "--all", "released", "--retry"),
        ("--retry",),
        ("m", "--source", "office", "--retry"),
        ("--all", "released", "--source", "nowhere", "--retry"),
    ],
    ids=" ".join,
)
def test_wrong_usage_leaves_with_2(office: Office, arguments: tuple[str, ...]) -> None:
    """A wrong STATE names the right ones; what does not go together is wrong usage."""
    office.write()
    ran = office.run("resolve", *arguments)
    assert (ran.code, ran.out) == (2, "")
    if arguments[1:2] in (("lost",), ("booked",)):
        told = " ".join(ran.err.replace("│", " ").split())
        assert "in_doubt, refused, released, dropped, vanished" in told
