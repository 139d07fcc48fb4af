"""A plan says what it would change, what will be refused and why, and what another configuration would do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from syncd.views.markdown import markdown_text
from tests.conftest import LARGE_ROOM, SMALL_ROOM, Office, ahead, event

HALF = timedelta(minutes=30)
HOUR = 2 * HALF


def _rows(document: dict[str, Any], action: str) -> list[dict[str, Any]]:
    return [row for row in document["changes"] if row["action"] == action]


@pytest.mark.slow
def test_meetings_that_the_plan_sets_against_each_other(office: Office) -> None:
    """Of two that want one room one is a create and one will be refused, as the cycle then has it."""
    office.write(
        event("b", ahead(2), 60, "SUMMARY:First", "CREATED:20260101T000000Z"),
        event("a", ahead(2) + HALF, 60, "SUMMARY:Second", "CREATED:20260201T000000Z"),
        event("c", ahead(2) + HALF, 60, room="large"),
    )
    plan = office.plan()
    assert [row["uid"] for row in _rows(plan, "create")] == ["b", "c"]
    (refused,) = _rows(plan, "wait")
    assert (refused["uid"], refused["reason"]) == ("a", "room_conflict")
    assert refused["detail"].startswith("will be refused: First (UID b) holds Small")
    assert refused["payload"]["topic"] == "Second"
    assert (plan["counts"]["create"], plan["counts"]["refused"]) == (2, 1)
    shown = office.run("plan")
    assert (shown.code, "2 to create, 1 will be refused" in shown.out) == (3, True)
    counts = office.once()["counts"]
    assert (counts["created"], counts["refused"]) == (2, 1)
    # A booking that cannot leave goes on to hold its room.
    office.write(
        event("b", ahead(2), 60, "SUMMARY:First", room="large"),
        event("a", ahead(2) + HALF, 60, "SUMMARY:Second"),
        event("c", ahead(2) + HALF, 60, room="large"),
        event("d", ahead(2) + HOUR, 60),
    )
    told = {row["uid"]: row["detail"] for row in _rows(office.plan(), "wait")}
    assert set(told) == {"a", "b"}
    assert "(UID c) holds Large meeting room" in told["b"]
    assert "(UID b) holds Small meeting room" in told["a"]


@pytest.mark.slow
def test_updates_say_what_was_and_what_becomes(office: Office) -> None:
    """Values are told as people read them: times in the zone, rooms and people by name."""
    office.write(event("a", ahead(2), 60, "SUMMARY:Review"))
    office.once()
    office.write(
        event(
            "a",
            ahead(2) + HOUR,
            60,
            "SUMMARY:Review of the budget",
            "ATTENDEE:mailto:alice@example.com",
            room="large",
        )
    )
    (row,) = office.plan()["changes"]
    differences = {one["field"]: one for one in row["differences"]}
    assert set(differences) == {"time", "topic", "room", "participants"}
    assert differences["room"]["was"] == "Small meeting room"
    assert differences["room"]["becomes"] == "Large meeting room"
    assert differences["participants"]["becomes"] == "alice@example.com"
    assert 'topic: "Review" → "Review of the budget"' in row["detail"]
    office.change(('mode = "full"', 'mode = "observe"'))
    shown = office.run("plan")
    assert (shown.code, "1 would be updated" in shown.out) == (3, True)
    assert "room: Small meeting room → Large meeting room" in shown.out


@pytest.mark.slow
def test_what_is_held_is_shown_alone(office: Office) -> None:
    """Held cancellations with their evidence and how many of which source, and the command that releases them."""
    office.write(*(event(f"m{n}", ahead(2, 6 + n)) for n in range(5)))
    office.once()
    office.write()
    document = office.run("plan", "--held", "--json").json
    assert [row["evidence"] for row in document["changes"]] == ["inferred"] * 5
    shown = office.run("plan", "--held")
    assert shown.code == 1
    assert "Source office: 5 held, source_empty, inferred." in shown.out
    assert shown.out.count("[source_empty]") == 1
    assert shown.out.count("These 5: ") == 2
    assert f"syncd approve {document['held']['checksum']}" in shown.out
    ticket = office.run("plan", "--held", "--format", "markdown")
    assert ticket.out.count("| hold |") == 5


@pytest.mark.slow
def test_foreign_text_has_no_effect_in_a_ticket(office: Office) -> None:
    """Pipes, links, HTML and mentions of calendars are shown in Markdown as they were written."""
    topic = "a | b [x](http://evil.example) <img src=x> @everyone `c` *d* \\| www.e.com"
    office.write(event("a", ahead(2), 60, f"SUMMARY:{topic}"))
    ran = office.run("plan", "--format", "markdown")
    (row,) = [line for line in ran.out.splitlines() if line.startswith("| create")]
    assert row.replace("\\|", "").count("|") == 6
    assert "<img" not in row
    assert "[x](" not in row
    assert "@everyone" not in row
    assert "\\`c\\`" in row
    assert office.run("plan", "--format", "markdown", "--json").code == 2
    assert markdown_text("alice@example.com") == "alice@example.com"


@pytest.mark.slow
def test_what_another_configuration_would_do(office: Office) -> None:
    """Only what differs is shown, by the state in force; neither state nor API is written to."""
    office.write(
        event("a", ahead(2)), event("b", ahead(3), room=None), event("c", ahead(4))
    )
    office.once()
    office.forget_requests()
    text = (office.folder / "syncd.toml").read_text()
    elsewhere = office.folder / "elsewhere"
    elsewhere.mkdir()
    other = elsewhere / "new.toml"
    changed = text.replace(
        'name = "office"\n', f'name = "office"\nroom = "{LARGE_ROOM}"\n'
    )
    changed = changed.replace('"office.ics"', '"../office.ics"')
    other.write_text(changed.replace('"tuya-secret"', '"../tuya-secret"'))
    ran = office.run("plan", "--with", str(other), "--json")
    assert ran.code == 3
    (difference,) = ran.json["differences"]
    assert difference["now"] is None
    assert difference["with"]["uid"] == "b"
    assert difference["with"]["room_id"] == LARGE_ROOM
    assert ran.json["now"]["counts"]["unchanged"] == 3
    shown = office.run("plan", "--with", str(other))
    assert "1 meeting differs. Nothing was changed" in " ".join(shown.out.split())
    assert "room: no room → Large meeting room" in shown.out
    assert office.run("plan", "--with", str(office.folder / "syncd.toml")).code == 0
    assert office.writes() == []
    assert sorted(file.name for file in elsewhere.iterdir()) == ["new.toml"]
    other.write_text(changed.replace('mode = "full"', 'mode = "fool"'))
    assert office.run("plan", "--with", str(other)).code == 78
    assert office.run("plan", "--with", str(elsewhere / "none.toml")).code == 78


@pytest.mark.slow
def test_a_plan_that_was_carried_out_foresaw_what_came(office: Office) -> None:
    """What was foreseen over many overlapping meetings is what the API then refused."""
    rooms = ("small", "large")
    office.write(
        *(
            event(
                f"m{n}", ahead(2, 6) + n * timedelta(minutes=20), 45, room=rooms[n % 2]
            )
            for n in range(24)
        )
    )
    counts = office.plan()["counts"]
    done = office.once()["counts"]
    assert (counts["create"], counts["refused"]) == (done["created"], done["refused"])
    assert SMALL_ROOM in {one["room_id"] for one in office.reservations()}


@pytest.mark.slow
def test_each_sentence_of_a_plan_stands_once(office: Office) -> None:
    """Who is unknown in a meeting is one line, and what meetings that follow each other share stands once."""
    strangers = [f"ATTENDEE:mailto:{name}@example.com" for name in ("dan", "eve")]
    office.write(
        *(event(f"m{n}", ahead(2 + n), 60, *strangers) for n in range(2)),
        event("alone", ahead(5), 60, strangers[0]),
    )
    lines = [line.strip() for line in office.run("plan").out.splitlines()]
    told = [line for line in lines if "No user id" in line]
    assert told == [
        "These 2: No user id is known for dan@example.com, eve@example.com.",
        "No user id is known for dan@example.com.",
    ]


@pytest.mark.slow
def test_of_many_people_a_plan_names_who_comes_and_who_goes(office: Office) -> None:
    """Where people are told by their number, those that make the difference are named."""
    users = "".join(f'"p{n}@example.com" = "1{n}"\n' for n in range(6))
    office.change(("[people.addresses]\n", f"[people.addresses]\n{users}"))
    people = [f"ATTENDEE:mailto:p{n}@example.com" for n in range(6)]
    office.write(event("a", ahead(2), 60, *people[:5]))
    office.once()
    office.write(event("a", ahead(2), 60, *people[1:]))
    (row,) = office.plan()["changes"]
    assert row["detail"] == (
        "participants: 5 people → 5 people (with p5@example.com, without p0@example.com)"
    )


@pytest.mark.slow
def test_a_person_who_leaves_is_named_in_a_comparison(office: Office) -> None:
    """Whom the other configuration no longer knows is told by the address in the one in force."""
    people = [f"ATTENDEE:mailto:{name}@example.com" for name in ("alice", "bob")]
    office.write(event("a", ahead(2), 60, *people))
    office.once()
    changed = office.folder / "changed.toml"
    text = (office.folder / "syncd.toml").read_text()
    changed.write_text(text.replace('"bob@example.com" = "2"\n', ""))
    shown = office.run("plan", "--with", str(changed)).out
    assert (
        "participants: alice@example.com, bob@example.com → alice@example.com" in shown
    )
