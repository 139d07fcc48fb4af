"""`explain` finds what a person means: by UID, reservation, a piece of the topic, or by room and time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.sandbox import Sandbox, SandboxSettings
from tests.conftest import Office, ahead, event

HALF = timedelta(minutes=30)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office in which several meetings have like topics, one is quarantined and one is free time."""
    with Sandbox(SandboxSettings()).running() as running:
        folder: Path = tmp_path_factory.mktemp("crowd")
        made = Office(folder, running.url, running.client_id, running.client_secret)
        made.write(
            event("review", ahead(2), 60, "SUMMARY:Budget Review"),
            event(
                "series",
                ahead(3),
                60,
                "SUMMARY:Budget talks",
                "RRULE:FREQ=DAILY;COUNT=3",
            ),
            event("street", ahead(2) + HALF, 60, "SUMMARY:Straße"),
            event("free", ahead(2), 60, "SUMMARY:Yoga", "TRANSP:TRANSPARENT"),
            event("broken", ahead(2), 60, "SUMMARY:Broken one", "RRULE:FREQ=NEVER"),
            event("secret", ahead(5), 60, "SUMMARY:Sesame", "CLASS:PRIVATE"),
        )
        made.once()
        yield made


@pytest.mark.slow
def test_several_are_listed(crowd: Office) -> None:
    """Each event that may be meant has a number, a time, a room and the command that tells its story."""
    ran = crowd.run("explain", "BUDGET")
    lines = ran.out.splitlines()
    assert (ran.code, lines[0][:17]) == (0, "2 events are mean")
    assert lines[1].startswith("1  ")
    assert "Small meeting room" in lines[1]
    assert lines[2].strip() == "syncd explain review"
    found = crowd.run("explain", "budget", "--json").json["matches"]
    assert [match["uid"] for match in found] == ["review", "series"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "uid"),
    [
        ("STRASSE", "street"),
        ("yoga", "free"),
        ("broken o", "broken"),
        ("series", "series"),
    ],
)
def test_one_tells_its_story(crowd: Office, asked: str, uid: str) -> None:
    """A piece of the topic, case-folded, is enough; so it is for what is quarantined or not to be booked."""
    document = crowd.run("explain", asked, "--json").json
    assert (document["uid"], document["known"]) == (uid, True)


@pytest.mark.slow
def test_a_reservation_is_found(crowd: Office) -> None:
    """A reservation id tells the story of its event, and who decided about it."""
    first = crowd.reservations()[0]["reservation_id"]
    document = crowd.run("explain", first, "--json").json
    assert document["uid"] == "review"
    created = document["occurrences"][0]["history"][-1]
    assert (created["what"], created["reason"], created["by"]) == (
        "created",
        "new",
        "syncd",
    )


@pytest.mark.slow
def test_room_and_time_alone(crowd: Office) -> None:
    """Who has a room, or wants it, at a time; where nobody does, what comes closest."""
    at = f"{ahead(2) + HALF + HALF / 2:%Y-%m-%dT%H:%MZ}"
    both = crowd.run("explain", "--room", "small MEETING room", "--at", at, "--json")
    states = {match["uid"]: match["state"] for match in both.json["matches"]}
    assert (states, both.code) == ({"review": "booked", "street": "refused"}, 1)
    early = f"{ahead(2) + HALF / 2:%Y-%m-%dT%H:%MZ}"
    one = crowd.run("explain", "--room", "Small meeting room", "--at", early, "--json")
    assert one.json["uid"] == "review"
    night = f"{ahead(2, 20):%Y-%m-%dT%H:%MZ}"
    none = crowd.run("explain", "--room", "Small meeting room", "--at", night)
    assert none.code == 1
    assert "syncd knows of no meeting in Small meeting room" in none.out
    assert "syncd explain street" in none.out


@pytest.mark.slow
def test_a_time_narrows_a_story(crowd: Office) -> None:
    """Of a series that is asked for by a day only this day is told."""
    day = f"{ahead(4):%Y-%m-%d}"
    document = crowd.run("explain", "talks", "--at", day, "--json").json
    assert len(document["occurrences"]) == 1
    assert len(crowd.run("explain", "talks", "--json").json["occurrences"]) == 3


@pytest.mark.slow
def test_a_private_topic_does_not_find(crowd: Office) -> None:
    """The topic of a private event stays in the calendar; by what stands in its place it is found."""
    assert crowd.run("explain", "sesame").code == 1
    assert crowd.run("explain", "private mee", "--json").json["uid"] == "secret"


@pytest.mark.slow
def test_without_a_ledger_the_calendars_are_read(office: Office) -> None:
    """Before the first cycle an event is found by its topic as well."""
    office.write(event("a", ahead(2), 60, "SUMMARY:Kick-off"))
    assert office.run("explain", "kick", "--json").json["uid"] == "a"
    assert not (office.folder / "state.db").exists()


@pytest.mark.slow
def test_nothing_asked_for_is_wrong_usage(office: Office) -> None:
    """Without text, room or time there is nothing to explain."""
    assert office.run("explain").code == 2
    assert office.run("explain", "--room", "nowhere").code == 2
    assert office.run("explain", "x", "--at", "sometime").code == 2
