"""What rooms and people of calendars are in Tuya: `rooms suggest` and `people suggest`."""

from __future__ import annotations

import csv
import io
import tomllib
from typing import Any

import pytest

from tests.conftest import CONFIGURATION, Office, Ran, ahead, event
from tests.end_to_end.tenant import Tenant

WITHOUT_ROOMS = (
    CONFIGURATION[: CONFIGURATION.index("[[rooms]]")]
    + CONFIGURATION[CONFIGURATION.index("[[sources]]") :]
)


def at(location: str, *more: str) -> tuple[str, ...]:
    """The content lines of an event at a place."""
    return (f"LOCATION:{location}", *more)


def suggested(ran: Ran) -> dict[str, dict[str, Any]]:
    """The tables of rooms that were printed, by name."""
    tables = tomllib.loads(ran.out)["rooms"]
    return {table.get("name", table["id"]): table for table in tables}


@pytest.mark.slow
def test_rooms_are_matched_by_what_tells_them_apart(office: Office) -> None:
    """A number never gives way to another; what is pasted places the meetings that it says."""
    tenant = Tenant(office)
    ids = {name: tenant.room(name) for name in ("Room 3.15", "Berlin", "Bord Room")}
    office.configure(WITHOUT_ROOMS)
    office.write(
        event("a", ahead(1), 60, *at("Room 3.15 (12)"), room=None),
        event("b", ahead(2), 60, *at("Room 3.16"), room=None),
        event("c", ahead(3), 60, *at("Conference room Berlin"), room=None),
        event("d", ahead(4), 60, *at("Bern"), room=None),
        event("e", ahead(5), 60, *at("Microsoft Teams Meeting"), room=None),
        event(
            "f",
            ahead(6),
            60,
            "ATTENDEE;CUTYPE=ROOM;CN=Board Room:mailto:board@example.com",
            room=None,
        ),
        event("g", ahead(7), 60, *at("Room 3.15"), room=None),
    )
    ran = office.run("rooms", "suggest")
    assert ran.code == 0
    tables = suggested(ran)
    assert {name: table["id"] for name, table in tables.items()} == ids
    assert tables["Room 3.15"]["locations"] == ["Room 3.15 (12)"]
    assert tables["Berlin"]["locations"] == ["Conference room Berlin"]
    assert tables["Bord Room"]["addresses"] == ["board@example.com"]
    left = ran.out[ran.out.index("# No room is surely meant") :]
    assert "Room 3.16" in left
    assert "Bern" in left
    assert "Microsoft Teams Meeting" in left[left.index("# No place") :]
    office.configure(WITHOUT_ROOMS + ran.out)
    planned = {change["uid"]: change["room_id"] for change in office.plan()["changes"]}
    assert planned["a"] == planned["g"] == ids["Room 3.15"]
    assert planned["c"] == ids["Berlin"]
    assert planned["f"] == ids["Bord Room"]
    assert planned["b"] is None
    assert office.writes() == ["add_room"] * 3


@pytest.mark.slow
def test_what_is_too_close_is_left_to_a_person(office: Office) -> None:
    """Two rooms that a name is as like to, and two of one name, are comments."""
    tenant = Tenant(office)
    for name in ("Mozart North", "Mozart South", "Twin", "Twin"):
        tenant.room(name)
    office.configure(WITHOUT_ROOMS)
    office.write(
        event("a", ahead(1), 60, *at("Mozart"), room=None),
        event("b", ahead(2), 60, *at("Twin"), room=None),
    )
    ran = office.run("rooms", "suggest")
    tables = tomllib.loads(ran.out)["rooms"]
    assert [table.get("locations", []) for table in tables] == [[]] * 4
    assert "too close to the second best" in ran.out
    office.configure(WITHOUT_ROOMS + ran.out)
    assert office.run("check").code == 0


@pytest.mark.slow
def test_a_configured_room_keeps_what_it_has(office: Office) -> None:
    """Its table is printed whole with what is new, so that it takes the place of the old one."""
    tenant = Tenant(office)
    room = tenant.room("Aquarium")
    office.change(("1410148741926678528", room), ("Small meeting room", "Fish tank"))
    office.write(event("a", ahead(1), 60, *at("Aquarium"), room=None))
    ran = office.run("rooms", "suggest")
    assert suggested(ran)["Fish tank"] == {
        "id": room,
        "name": "Fish tank",
        "addresses": ["room-small@example.com"],
        "locations": ["Aquarium"],
    }
    assert "1410148741926678529" in ran.out, "a room that Tuya does not have is told of"


@pytest.mark.slow
def test_foreign_text_cannot_act(office: Office) -> None:
    """A location with quotation marks, escapes and line ends is a text of TOML, and so is a room's name."""
    Tenant(office).room('Odd "one" \\ \u202e\U0001f600')
    office.configure(WITHOUT_ROOMS)
    nasty = 'Odd "one" \\\\ \u202e\U0001f600 (12)'
    office.write(
        event("a", ahead(1), 60, *at(nasty), room=None),
        event("b", ahead(2), 60, *at('x"]\\n[api]\\n\x1b[31mred'), room=None),
        event("c", ahead(3), 60, *at("re:.* room"), room=None),
    )
    ran = office.run("rooms", "suggest")
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    tables = tomllib.loads(ran.out)
    assert set(tables) == {"rooms"}
    office.environment = {"PYTHONIOENCODING": "ascii"}
    in_ascii = office.run("rooms", "suggest").out
    assert in_ascii.isascii()
    assert tomllib.loads(in_ascii) == tables
    office.environment = {}
    office.configure(WITHOUT_ROOMS + ran.out)
    assert office.run("check").code == 0


@pytest.mark.slow
def test_only_the_one_enabled_user_of_an_address_is_taken(office: Office) -> None:
    """A name alone, a disabled user and an address of two users are comments."""
    tenant = Tenant(office)
    zoe = tenant.user("Zoe", "Zoe@Example.com")
    tenant.user("Mallory", "somebody@example.com")
    tenant.user("Gone", "gone@example.com", enabled=False)
    tenant.user("One", "two@example.com")
    tenant.user("Two", "two@example.com")
    for number in range(60):
        tenant.user(f"Clerk {number}", f"clerk{number}@example.com")
    guests = [
        "ATTENDEE;CN=Zoe:mailto:zoe@example.com",
        "ATTENDEE;CN=Mallory:mailto:mallory@example.com",
        "ATTENDEE:mailto:gone@example.com",
        "ATTENDEE:mailto:two@example.com",
        "ATTENDEE:mailto:clerk59@example.com",
        'ATTENDEE;CN="=HYPERLINK(1)":mailto:clerk1@example.com',
        "ORGANIZER:mailto:alice@example.com",
    ]
    office.write(event("a", ahead(1), 60, *guests))
    file = office.folder / "people.csv"
    ran = office.run("people", "suggest", "--output", str(file))
    assert (ran.code, ran.err) == (0, "")
    text = file.read_text()
    entries = [line for line in text.splitlines() if not line.startswith("#")]
    rows = {r["address"]: r for r in csv.DictReader(io.StringIO("\n".join(entries)))}
    assert set(rows) == {
        "zoe@example.com",
        "clerk59@example.com",
        "clerk1@example.com",
    }
    assert rows["zoe@example.com"]["user_id"] == zoe
    assert rows["clerk1@example.com"]["name"] == "'=HYPERLINK(1)"
    assert "of the same name" in text
    assert "is disabled" in text
    assert "several users have this address" in text
    office.change(
        ("[people.addresses]", '[people]\nfile = "people.csv"\n[people.addresses]')
    )
    assert office.run("check").code == 0
    again = office.run("people", "suggest", "--output", str(file))
    assert again.code == 1
    assert "exists and is left as it is" in again.err
    assert file.read_text() == text


@pytest.mark.slow
def test_a_source_that_cannot_be_read_is_said(office: Office) -> None:
    """What is printed is whole as far as it goes, and the exit code tells that it may lack something."""
    office.calendar_file.unlink(missing_ok=True)
    ran = office.run("rooms", "suggest")
    assert ran.code == 1
    assert "Source office is not in it" in ran.err
