"""Going live over bookings that people made by hand: `adopt --by-content`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import LARGE_ROOM, SMALL_ROOM, Office, ahead, event
from tests.end_to_end.tenant import Tenant

ORGANIZED = "ORGANIZER:mailto:alice@example.com"  # user 1


def booked_by_hand(
    tenant: Tenant, topic: str, start: datetime, minutes: int = 60, **fields: Any
) -> str:
    """Book a meeting in the small room by hand, as alice; its reservation id."""
    end = start + timedelta(minutes=minutes)
    given = {"meeting_room_id": SMALL_ROOM, "creator": "1", **fields}
    return tenant.booking(
        topic,
        int(start.timestamp() * 1000),
        int(end.timestamp() * 1000),
        **{name: value for name, value in given.items() if value is not None},
    )


@pytest.mark.slow
def test_hand_made_bookings_become_those_of_the_calendar(office: Office) -> None:
    """They are shown, taken over, brought up to date in place, and follow the calendar from then on."""
    tenant = Tenant(office)
    as_wanted: dict[str, Any] = {
        "participants": ["1"],
        "notice": True,
        "notice_time": 900,
    }
    plain = booked_by_hand(tenant, "Meeting plain", ahead(1), **as_wanted)
    other = booked_by_hand(tenant, "  MEETING  other ", ahead(2), description="Old")
    foreign = booked_by_hand(tenant, "Their own", ahead(3))
    events = [
        event("plain", ahead(1), 60, ORGANIZED),
        event("other", ahead(2), 60, ORGANIZED, "DESCRIPTION:New"),
        event("new", ahead(4), 60, ORGANIZED),
    ]
    office.write(*events)
    before = office.reservations()
    office.forget_requests()
    shown = office.run("adopt", "--by-content", "--json")
    assert shown.code == 3
    assert {b["reservation_id"] for b in shown.json["adopted"]} == {plain, other}
    assert {b["by"] for b in shown.json["adopted"]} == {"content"}
    assert [r["reservation_id"] for r in shown.json["unmatched"]] == [foreign]
    assert not office.status()["bookings"]
    told = office.run("adopt", "--by-content")
    assert told.code == 3
    assert "2 reservations made by hand would be taken over" in told.out
    assert "Tuya shows 3 reservations to come, 0 of them known" in told.out
    applied = office.run("adopt", "--by-content", "--apply", "--json")
    assert (applied.code, applied.json["applied"]) == (0, True)
    assert office.reservations() == before
    assert office.writes() == []
    planned = {c["uid"]: c for c in office.plan()["changes"]}
    assert {uid: c["action"] for uid, c in planned.items()} == {
        "plain": "update",
        "other": "update",
        "new": "create",
    }
    assert planned["plain"]["changed"] == ["description"]
    assert planned["plain"]["reason"] == "taken_over"
    done = office.once()
    assert (done["counts"]["created"], done["counts"]["updated"]) == (1, 2)
    live = {r["reservation_id"]: r for r in office.reservations()}
    assert len(live) == 4
    assert "[sy:" in live[plain]["description"]
    assert live[other]["description"].startswith("New\n[sy:")
    assert live[other]["topic"] == "Meeting other"
    assert live[foreign] == next(r for r in before if r["reservation_id"] == foreign)
    office.forget_requests()
    assert office.run("once", "--force", "--json").code == 0
    assert office.writes() == []
    again = office.run("adopt", "--by-content", "--json")
    assert (again.code, again.json["adopted"]) == (0, [])
    assert (again.json["listed"], again.json["known"]) == (4, 3)
    assert "None has our mark and is to be adopted." in office.run("adopt").out
    for file in office.folder.glob("state.db*"):
        file.unlink()
    assert office.once()["counts"]["adopted"] == 3
    assert office.writes() == []
    office.write(*events[1:])
    office.once()
    assert plain not in {r["reservation_id"] for r in office.reservations()}


@pytest.mark.slow
def test_what_nobody_can_tell_is_left(office: Office) -> None:
    """Two events or two reservations in one place, another topic, creator, time or room: nothing is taken."""
    tenant = Tenant(office)
    roomless: dict[str, Any] = {"meeting_room_id": None}
    twins = [
        booked_by_hand(tenant, "Meeting twin", ahead(1), **roomless) for _ in range(2)
    ]
    booked_by_hand(tenant, "Same", ahead(2))
    booked_by_hand(tenant, "Meeting by-bob", ahead(3), creator="2")
    booked_by_hand(tenant, "Meeting late", ahead(4), 30)
    booked_by_hand(tenant, "Meeting room", ahead(5), meeting_room_id=LARGE_ROOM)
    booked_by_hand(tenant, "Something else", ahead(6))
    booked_by_hand(tenant, "Meeting nobody", ahead(5, 14), **roomless, creator="3")
    office.write(
        event("twin", ahead(1), 60, ORGANIZED, room=None),
        event("one", ahead(2), 60, ORGANIZED, "SUMMARY:Same"),
        event("two", ahead(2), 60, ORGANIZED, "SUMMARY:Same"),
        event("by-bob", ahead(3), 60, ORGANIZED),
        event("late", ahead(4), 60, ORGANIZED),
        event("room", ahead(5), 60, ORGANIZED),
        event("else", ahead(6), 60, ORGANIZED),
        event("nobody", ahead(5, 14), 60, room=None),
    )
    before = office.reservations()
    applied = office.run("adopt", "--by-content", "--apply", "--json")
    assert (applied.code, applied.json["adopted"]) == (1, [])
    sizes = [
        (len(group["meetings"]), len(group["reservations"]))
        for group in applied.json["ambiguous"]
    ]
    assert sorted(sizes) == [(1, 2), (2, 1)]
    in_the_way = {
        r["topic"]: [m["uid"] for m in r["in_the_way_of"]]
        for r in applied.json["unmatched"]
    }
    assert in_the_way == {
        "Meeting by-bob": ["by-bob"],
        "Meeting late": ["late"],
        "Meeting room": [],
        "Something else": ["else"],
        "Meeting nobody": [],
    }
    assert office.reservations() == before
    told = office.run("adopt", "--by-content")
    assert told.code == 1
    assert "Nobody can tell which is which" in told.out
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["created"]) == (1, 2)
    made = [r for r in office.reservations() if r not in before]
    assert {r["topic"] for r in made} == {"Meeting room", "Meeting nobody"}
    assert office.run("resolve", "twin", "--adopt", twins[1]).code == 0
    assert office.once()["counts"]["updated"] == 1
    live = {r["reservation_id"]: r for r in office.reservations()}
    assert "[sy:" in live[twins[1]]["description"]
    assert "[sy:" not in live[twins[0]]["description"]


@pytest.mark.slow
def test_without_an_organizer_whoever_booked_the_room_booked_the_meeting(
    office: Office,
) -> None:
    """Room, time and topic tell; also where the API refused the meeting before, because of that booking."""
    tenant = Tenant(office)
    office.write(event("m", ahead(1)))
    made = booked_by_hand(tenant, "Meeting m", ahead(1))
    assert office.run("once").code == 1
    assert [b["reason"] for b in office.status()["bookings"]] == ["room_conflict"]
    applied = office.run("adopt", "--by-content", "--apply", "--json")
    assert applied.code == 0
    assert office.once()["counts"]["updated"] == 1
    (only,) = office.reservations()
    assert only["reservation_id"] == made
    (booking,) = office.status()["bookings"]
    assert (booking["state"], booking["reason"]) == ("booked", None)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["observe", "create-only"])
def test_a_mode_that_changes_nothing_leaves_it_as_it_is(
    office: Office, mode: str
) -> None:
    """It counts as booked, and is brought up to date when the mode allows it."""
    tenant = Tenant(office)
    office.write(event("m", ahead(1), 60, ORGANIZED))
    booked_by_hand(tenant, "Meeting m", ahead(1))
    office.change(('mode = "full"', f'mode = "{mode}"'))
    assert office.run("adopt", "--by-content", "--apply").code == 0
    office.forget_requests()
    office.run("once", "--force")
    office.run("once", "--force")
    assert office.writes() == []
    office.change((f'mode = "{mode}"', 'mode = "no-cancel"'))
    assert office.once()["counts"]["updated"] == 1
    assert office.writes() == ["modify"]


@pytest.mark.slow
def test_a_lost_answer_does_not_lose_the_mark(office: Office) -> None:
    """The change that writes the mark is sent again until the reservation shows it."""
    tenant = Tenant(office)
    office.write(event("m", ahead(1), 60, ORGANIZED))
    booked_by_hand(tenant, "Meeting m", ahead(1))
    office.run("adopt", "--by-content", "--apply")
    office.fault("closed:on=modify,times=1")
    office.run("once")
    office.run("once")
    (only,) = office.reservations()
    assert "[sy:" in only["description"]
    assert [b["state"] for b in office.status()["bookings"]] == ["booked"]
