"""The main job from outside: a calendar file, the program as a child process, the API over a socket."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import HANG_S, LARGE_ROOM, SMALL_ROOM, Office, ahead, event


def actions(plan: Any) -> list[tuple[str, str]]:
    """Action and UID of each change that is neither waiting nor skipped."""
    return [
        (c["action"], c["uid"])
        for c in plan["changes"]
        if c["action"] not in ("wait", "skip")
    ]


def announced(office: Office) -> Any:
    """The plan, checked against what a cycle then does."""
    ran = office.run("plan", "--json")
    counts = ran.json["counts"]
    assert ran.code == (
        3 if counts["create"] + counts["update"] + counts["cancel"] else 0
    )
    before = len(office.writes())
    done = office.run("once", "--json")
    assert done.code == 0, done.err
    result = done.json["counts"]
    assert (result["created"], result["updated"], result["cancelled"]) == (
        counts["create"],
        counts["update"],
        counts["cancel"],
    )
    assert (
        len(office.writes()) - before
        == counts["create"] + counts["update"] + counts["cancel"]
    )
    assert office.run("plan", "--json").code == 0
    return ran.json


def test_each_occurrence_is_booked_once_and_a_quiet_world_costs_nothing(
    office: Office,
) -> None:
    """A series and a single event are booked once each; a second cycle sends no mutating call."""
    office.write(
        event("single", ahead(1)),
        event("series", ahead(1, 11), 30, "RRULE:FREQ=DAILY;COUNT=4", room="large"),
    )
    plan = announced(office)
    assert [c["recurrence_id"] for c in plan["changes"] if c["uid"] == "series"] == [
        f"{ahead(day, 11):%Y%m%dT%H%M%SZ}" for day in (1, 2, 3, 4)
    ]
    assert [r["room_id"] for r in office.reservations()] == [
        SMALL_ROOM,
        *[LARGE_ROOM] * 4,
    ]
    office.forget_requests()
    again = office.once()
    assert again["counts"]["unchanged"] == 5
    assert again["calls"] == {"GET": 0, "POST": 0, "PUT": 0}
    assert office.writes() == []


@pytest.mark.slow
def test_moving_a_meeting_is_one_put_on_the_same_id(office: Office) -> None:
    """A meeting that moves keeps its reservation."""
    office.write(event("m", ahead(1)))
    announced(office)
    (before,) = office.reservations()
    office.forget_requests()
    office.write(event("m", ahead(1, 14)))
    plan = announced(office)
    (change,) = plan["changes"]
    assert (change["action"], change["changed"]) == (
        "update",
        ["start_time", "end_time"],
    )
    assert change["payload"]["modifier"] == "3"
    (after,) = office.reservations()
    assert after["reservation_id"] == before["reservation_id"]
    assert after["start_time"] == int(ahead(1, 14).timestamp()) * 1000
    assert office.writes() == ["modify"]


@pytest.mark.slow
def test_a_cancelled_status_cancels(office: Office) -> None:
    """STATUS:CANCELLED is told, so it cancels at once."""
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    announced(office)
    office.write(event("m", ahead(1), 60, "STATUS:CANCELLED"), event("n", ahead(2)))
    (change,) = announced(office)["changes"]
    assert (change["action"], change["reason"]) == ("cancel", "event_cancelled")
    assert len(office.reservations()) == 1
    states = {b["uid"]: b["state"] for b in office.status()["bookings"]}
    assert states == {"m": "cancelled", "n": "booked"}


def test_a_removed_event_cancels(office: Office) -> None:
    """An event that a complete reading of a file no longer holds is cancelled."""
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    announced(office)
    office.write(event("n", ahead(2)))
    (change,) = announced(office)["changes"]
    assert (change["action"], change["reason"], change["uid"]) == (
        "cancel",
        "event_gone",
        "m",
    )
    assert len(office.reservations()) == 1


@pytest.mark.slow
def test_a_second_room_gives_a_second_reservation(office: Office) -> None:
    """Each room of an event has a reservation of its own; a room taken away is cancelled alone."""
    office.write(event("m", ahead(1)))
    announced(office)
    both = "ATTENDEE;CUTYPE=ROOM:mailto:room-large@example.com"
    office.write(event("m", ahead(1), 60, both))
    assert actions(announced(office)) == [("create", "m")]
    assert {r["room_id"] for r in office.reservations()} == {SMALL_ROOM, LARGE_ROOM}
    office.write(event("m", ahead(1)))
    assert actions(announced(office)) == [("cancel", "m")]
    assert [r["room_id"] for r in office.reservations()] == [SMALL_ROOM]


@pytest.mark.slow
def test_a_changed_room_is_a_change_and_no_rebooking(office: Office) -> None:
    """A meeting that goes to another room keeps its reservation and its mark."""
    office.write(event("m", ahead(1)))
    announced(office)
    (before,) = office.reservations()
    office.write(event("m", ahead(1), room="large"))
    assert actions(announced(office)) == [("update", "m")]
    (after,) = office.reservations()
    assert after["reservation_id"] == before["reservation_id"]
    assert after["room_id"] == LARGE_ROOM
    assert after["description"] == before["description"]


@pytest.mark.slow
def test_a_series_that_is_shifted_keeps_its_reservations(office: Office) -> None:
    """When every date of a series moves by an hour, every reservation is changed and none rebooked."""
    office.write(event("s", ahead(1), 30, "RRULE:FREQ=DAILY;COUNT=5"))
    announced(office)
    before = {r["reservation_id"] for r in office.reservations()}
    office.write(event("s", ahead(1, 10), 30, "RRULE:FREQ=DAILY;COUNT=5"))
    assert actions(announced(office)) == [("update", "s")] * 5
    assert {r["reservation_id"] for r in office.reservations()} == before


@pytest.mark.slow
def test_a_meeting_that_comes_back_is_booked_anew(office: Office) -> None:
    """After its cancel a meeting can be booked again, under a new mark."""
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    announced(office)
    office.write(event("n", ahead(2)))
    announced(office)
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    assert actions(announced(office)) == [("create", "m")]
    marks = [
        r["description"]
        for r in office.reservations(live=False)
        if r["topic"] == "Meeting m"
    ]
    assert len(set(marks)) == 2


@pytest.mark.slow
def test_meetings_beyond_the_limit_of_the_tenant_wait(office: Office) -> None:
    """What the tenant does not let book yet is waiting, which is no error."""
    office.write(event("near", ahead(2)), event("far", ahead(12)))
    done = office.run("once", "--json")
    assert done.code == 0
    assert done.json["counts"]["waiting"] == 1
    (waiting,) = [b for b in office.status()["bookings"] if b["state"] == "waiting"]
    assert (waiting["uid"], waiting["reason"]) == ("far", "too_early")
    office.write(event("near", ahead(2)), event("far", ahead(3)))
    assert actions(announced(office)) == [("create", "far")]


@pytest.mark.slow
def test_modes_limit_what_is_written(office: Office) -> None:
    """observe writes nothing, create-only creates, no-cancel also changes, full also cancels."""
    office.change(('mode = "full"', 'mode = "observe"'))
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    assert office.run("plan", "--json").code == 3
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["created"], office.writes()) == (0, 0, [])
    office.change(('mode = "observe"', 'mode = "create-only"'))
    office.once()
    assert office.writes() == ["create", "create"]
    office.write(event("m", ahead(1, 15)))
    office.once()
    assert office.writes() == ["create", "create"]
    assert {c["reason"] for c in office.plan()["changes"]} == {"mode"}
    office.change(('mode = "create-only"', 'mode = "no-cancel"'))
    office.once()
    assert office.writes() == ["create", "create", "modify"]
    office.change(('mode = "no-cancel"', 'mode = "full"'))
    office.once()
    assert office.writes() == ["create", "create", "modify", "cancel"]


@pytest.mark.slow
def test_a_conflict_names_the_other_and_is_tried_again(office: Office) -> None:
    """A refused meeting says who holds the room, and is booked when our own plan frees the slot."""
    office.write(
        event("first", ahead(1), 60, "CREATED:20260101T000000Z"),
        event("other", ahead(3)),
    )
    office.once()
    (held, _) = office.reservations()
    second = event("second", ahead(1), 60, "CREATED:20260102T000000Z")
    office.write(
        event("first", ahead(1), 60, "CREATED:20260101T000000Z"),
        event("other", ahead(3)),
        second,
    )
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["refused"]) == (1, 1)
    (refused,) = [b for b in office.status()["bookings"] if b["state"] == "refused"]
    assert refused["reason"] == "room_conflict"
    assert held["reservation_id"] in refused["detail"]
    office.forget_requests()
    office.once()
    assert office.writes() == []
    office.write(event("other", ahead(3)), second)
    assert office.once()["counts"]["created"] == 1
    assert [r["topic"] for r in office.reservations()] == [
        "Meeting second",
        "Meeting other",
    ]


@pytest.mark.slow
def test_a_conflict_with_what_a_person_ended_is_tried_again(office: Office) -> None:
    """The room of a meeting that somebody cancelled in Tuya goes to the meeting that was refused for it."""
    first = event("first", ahead(1), 60, "CREATED:20260101T000000Z")
    second = event("second", ahead(1), 60, "CREATED:20260102T000000Z")
    office.write(first)
    office.once()
    office.write(first, second)
    assert office.run("once", "--json").json["counts"]["refused"] == 1
    (held,) = office.reservations()
    office.control(f"reservations/{held['reservation_id']}", {"status": 3})
    office.run("once", "--force")
    office.run("once")
    live = [r["topic"] for r in office.reservations() if r["status"] == 1]
    assert live == ["Meeting second"]


def test_a_booking_that_needs_approval_says_so(office: Office) -> None:
    """A created reservation is read back: it may be waiting for a person."""
    office.write(event("m", ahead(1)))
    office.change(("requests_per_second", 'timeout = "1h"\nrequests_per_second'))
    office.fault("slow:on=create,seconds=3600")
    process = office.start("once", "--json")
    try:
        while process.poll() is None:
            if found := office.reservations(live=False):
                office.control(
                    f"reservations/{found[0]['reservation_id']}", {"status": 2}
                )
                break
        office.fault()
    finally:
        process.communicate(timeout=HANG_S)
    assert [b["state"] for b in office.status()["bookings"]] == ["approval"]


def test_a_lost_answer_is_settled_by_looking(make_office: Any) -> None:
    """Every answer is lost after the work: each meeting is found and adopted, none is booked twice."""
    office = make_office(faults=("lost:on=create,every=2",))
    office.write(*(event(f"m{n}", ahead(1, 8 + n), 30) for n in range(6)))
    done = office.run("once", "--json")
    assert done.code == 0, done.err
    counts = done.json["counts"]
    assert (counts["created"], counts["adopted"], counts["in_doubt"]) == (3, 3, 0)
    assert len(office.reservations()) == 6
    assert office.writes() == ["create"] * 6


def test_a_create_that_never_arrived_is_repeated_only_after_its_validity(
    make_office: Any,
) -> None:
    """A request that is lost on its way is looked for until it can no longer arrive, then sent once more."""
    office = make_office(faults=("closed:on=create,times=1",))
    office.change(
        ("requests_per_second", 'request_validity = "1s"\nrequests_per_second')
    )
    office.write(event("m", ahead(1)))
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["in_doubt"]) == (1, 1)
    assert office.plan()["changes"][0]["reason"] == "in_doubt"
    ends = time.monotonic() + HANG_S
    while not office.once()["counts"]["created"]:
        assert time.monotonic() < ends
        time.sleep(0.2)
    assert len(office.reservations()) == 1
    assert office.writes() == ["create", "create"]


def test_a_lost_ledger_books_nothing_twice(office: Office) -> None:
    """Without its ledger the program finds its reservations by their marks."""
    office.write(
        event("m", ahead(1)),
        event("s", ahead(1, 12), 30, "RRULE:FREQ=DAILY;COUNT=3", room="large"),
    )
    office.once()
    for file in office.folder.glob("state.db*"):
        file.unlink()
    office.forget_requests()
    again = office.once()
    assert again["counts"]["unchanged"] == 4
    assert office.writes() == []


def _most_of_twenty_gone(office: Office) -> list[str]:
    """Twenty meetings are booked, and fifteen of them, more than the budget allows, are gone; all twenty."""
    meetings = [event(f"m{n}", ahead(1 + n // 8, 6 + n % 8), 30) for n in range(20)]
    office.write(*meetings)
    office.once()
    office.write(*meetings[15:])
    return meetings


@pytest.mark.slow
def test_held_cancellations_are_released_by_their_checksum_only(office: Office) -> None:
    """More cancels than the budget allows are held; `approve` releases exactly that set."""
    _most_of_twenty_gone(office)
    held = office.run("plan", "--json")
    assert held.code == 1
    checksum = held.json["held"]["checksum"]
    assert held.json["held"]["cancellations"] == 15
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["held"]) == (1, 15)
    assert office.status()["held"] == {"checksum": checksum, "cancellations": 15}
    wrong = office.run("approve", "000000000000")
    assert wrong.code == 1
    assert checksum in wrong.err
    assert office.run("approve", checksum).code == 0
    assert office.once()["counts"]["cancelled"] == 15
    assert len(office.reservations()) == 5
    assert office.status()["held"] == {"checksum": None, "cancellations": 0}


@pytest.mark.slow
def test_force_asks_the_api_again_and_changes_nothing(office: Office) -> None:
    """`once --force` compares with the API and finds nothing to do."""
    office.write(event("m", ahead(1)))
    office.once()
    office.forget_requests()
    forced = office.run("once", "--force", "--json")
    assert forced.code == 0
    assert forced.json["calls"]["GET"] > 0
    assert office.writes() == []


def test_a_running_meeting_is_still_followed(office: Office) -> None:
    """A meeting that began is booked, and its longer end reaches the room."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    office.write(event("m", now - timedelta(minutes=30)))
    assert office.once()["counts"]["created"] == 1
    office.write(event("m", now - timedelta(minutes=30), 90))
    assert office.once()["counts"]["updated"] == 1


@pytest.mark.slow
def test_what_plan_shows_is_approved_before_any_cycle_held_it(office: Office) -> None:
    """The checksum that `plan` shows counts at once, and the next cycle carries it out."""
    _most_of_twenty_gone(office)
    checksum = office.plan()["held"]["checksum"]
    assert office.run("approve", checksum).code == 0
    assert office.once()["counts"]["cancelled"] == 15


@pytest.mark.slow
def test_an_approval_that_was_not_needed_does_not_last(office: Office) -> None:
    """A word that the next cycle did not use is not kept for the next time that the same set is held."""
    meetings = _most_of_twenty_gone(office)
    checksum = office.plan()["held"]["checksum"]
    assert office.run("approve", checksum).code == 0
    office.write(*meetings)
    assert office.once()["counts"]["cancelled"] == 0
    office.write(*meetings[15:])
    done = office.once()["counts"]
    assert (done["cancelled"], done["held"]) == (0, 15)
    assert office.plan()["held"]["checksum"] == checksum
