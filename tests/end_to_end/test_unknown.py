"""Who and what the calendars name and the configuration does not know: `unknown`."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.conftest import Office, ahead, event

ANNA = "ATTENDEE;CN=Anna Adams:mailto:anna@example.com"
ZED = "ATTENDEE;CN=Zed:mailto:zed@example.com"
ALICE = "ATTENDEE:mailto:alice@example.com"


def _in_zone(uid: str, zone: str, *lines: str) -> str:
    return (
        event(uid, ahead(2), 60, *lines, room=None)
        .replace("DTSTART:", f"DTSTART;TZID={zone}:")
        .replace("00Z\r\nDTEND", "00\r\nDTEND")
    )


def _fill(office: Office) -> None:
    """Write a calendar with two unknown people, three places and a zone."""
    office.write(
        event(
            "a", ahead(1), 60, ANNA, ZED, ALICE, "LOCATION:Smal meeting room", room=None
        ),
        event("b", ahead(2), 60, ANNA, "LOCATION:=1+1", room=None),
        event("c", ahead(3), 60, "ORGANIZER:mailto:anna@example.com", "LOCATION:Annex"),
        event("d", ahead(4), 60, "LOCATION:Smal  meeting room", room=None),
        event("e", ahead(5), 60, "LOCATION:Microsoft Teams Meeting", room=None),
        event("f", ahead(6), 60, "LOCATION:https://zoom.us/j/1", room=None),
        event("g", ahead(7), 60, "LOCATION:Large Meeting Room", room=None),
        event(
            "h",
            ahead(8),
            60,
            "ATTENDEE;CUTYPE=ROOM;CN=Cellar:mailto:cellar@example.com",
            room=None,
        ),
        event("p", ahead(9), 60, ZED, "CLASS:PRIVATE", "SUMMARY:Secret", room=None),
        _in_zone("y", "Nowhere", "SUMMARY:In the zone"),
        _in_zone("z", "Nowhere"),
    )


def _document(office: Office, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    ran = office.run("unknown", *arguments, "--json")
    assert ran.code == 0, ran
    found: dict[str, list[dict[str, Any]]] = ran.json
    return found


def test_what_is_unknown_is_told_most_frequent_first_with_the_line_to_paste(
    office: Office,
) -> None:
    """Known people, rooms, placeless words, links and private meetings are left out; what is pasted is known."""
    _fill(office)
    found = _document(office)
    people = [(p["address"], p["name"], p["count"]) for p in found["people"]]
    assert people == [
        ("anna@example.com", "Anna Adams", 3),
        ("zed@example.com", "Zed", 1),
    ]
    assert found["people"][0]["example"].startswith("Meeting ")
    rooms = {room["text"]: (room["count"], room["nearest"]) for room in found["rooms"]}
    assert rooms == {
        "Smal meeting room": (2, "Small meeting room"),
        "=1+1": (1, None),
        "Cellar": (1, None),
    }
    assert found["rooms"][0]["text"] == "Smal meeting room"
    assert found["zones"] == [
        {
            "name": "Nowhere",
            "count": 2,
            "example": "In the zone",
            "line": '"Nowhere" = ""',
        }
    ]
    assert "Secret" not in str(found)
    lines = {room["text"]: room["line"] for room in found["rooms"]}
    person, zone = found["people"][0]["line"], found["zones"][0]["line"]
    office.change(
        (
            "[people.addresses]",
            f"[people.addresses]\n{person.replace(chr(34) * 2, chr(34) + '7' + chr(34))}",
        ),
        (
            'name = "Small meeting room"',
            f'name = "Small meeting room"\n{lines["Smal meeting room"]}',
        ),
        (
            "[api]",
            f"[calendar.timezones]\n{zone.replace(chr(34) * 2, chr(34) + 'Europe/Berlin' + chr(34))}\n[api]",
        ),
    )
    found = _document(office)
    assert [p["address"] for p in found["people"]] == ["zed@example.com"]
    assert {room["text"] for room in found["rooms"]} == {"=1+1", "Cellar"}
    assert found["zones"] == []
    assert office.writes() == []
    assert not (office.folder / "state.db").exists()


@pytest.mark.slow
def test_each_kind_alone_as_text_and_for_spreadsheets(office: Office) -> None:
    """A cell that a spreadsheet would compute is text there; people read what is unknown and what to paste."""
    _fill(office)
    rows = list(
        csv.DictReader(io.StringIO(office.run("unknown", "rooms", "--csv").out))
    )
    assert rows[0].keys() == {"text", "count", "nearest", "example"}
    assert "'=1+1" in {row["text"] for row in rows}
    rows = list(csv.DictReader(io.StringIO(office.run("unknown", "--csv").out)))
    assert [row["kind"] for row in rows] == ["people"] * 2 + ["rooms"] * 3 + ["zones"]
    told = office.run("unknown").out
    assert 'anna@example.com (Anna Adams): 3 meetings, such as "Meeting a".' in told
    assert '  locations = ["Smal meeting room"]' in told
    assert '"Nowhere": 2 events' in told


@pytest.mark.slow
def test_a_source_that_cannot_be_read_is_said(office: Office) -> None:
    """More may be unknown in it, so the exit code is 1; what is known of the others is shown."""
    office.change(
        ("[[sources]]", '[[sources]]\nname = "gone"\npath = "gone.ics"\n[[sources]]')
    )
    _fill(office)
    ran = office.run("unknown", "people")
    assert ran.code == 1
    assert "anna@example.com" in ran.out
    assert "Source gone could not be read as a whole" in ran.err
    assert office.run("unknown", "houses").code == 2
    assert office.run("unknown", "--csv", "--json").code == 2


@pytest.mark.slow
def test_a_link_beside_a_place_is_no_part_of_its_name(office: Office) -> None:
    """One place is counted once, whatever links stand beside it; of two places the whole is told."""
    written = ("Attic", "Attic; https://meet.example.com/1", "Tower\\, second floor")
    office.write(
        *(
            event(f"m{n}", ahead(2 + n), 60, f"LOCATION:{location}", room=None)
            for n, location in enumerate(written)
        )
    )
    rooms = _document(office, "rooms")["rooms"]
    assert [(room["text"], room["count"]) for room in rooms] == [
        ("Attic", 2),
        ("Tower, second floor", 1),
    ]
