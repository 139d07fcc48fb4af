"""Calendars that are hard to read right, through the whole program."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LARGE_ROOM, SMALL_ROOM, Office, ahead, calendar, event


def _sources(office: Office, *names: str, extra: str = "") -> None:
    """Give the office these sources, one file each."""
    tables = "".join(
        f'[[sources]]\nname = "{name}"\npath = "{name}.ics"\n{extra}' for name in names
    )
    office.change(('[[sources]]\nname = "office"\npath = "office.ics"\n', tables))


def _starts(reservations: list[dict[str, Any]]) -> list[int]:
    return [reservation["start_time"] for reservation in reservations]


def test_one_made_up_zone_name_means_what_each_calendar_defines(office: Office) -> None:
    """Three sources with a "Customized Time Zone" at +01, +09 and -05 give three instants in one run."""
    offsets = {"oslo": "+0100", "tokyo": "+0900", "lima": "-0500"}
    _sources(office, *offsets)
    day = ahead(2)
    for name, offset in offsets.items():
        zone = "\r\n".join(
            [
                "BEGIN:VTIMEZONE",
                "TZID:Customized Time Zone",
                "BEGIN:STANDARD",
                "DTSTART:16010101T000000",
                f"TZOFFSETFROM:{offset}",
                f"TZOFFSETTO:{offset}",
                "END:STANDARD",
                "END:VTIMEZONE",
            ]
        )
        meeting = "\r\n".join(
            [
                "BEGIN:VEVENT",
                f"UID:{name}",
                f"DTSTART;TZID=Customized Time Zone:{day:%Y%m%dT%H%M%S}",
                "DURATION:PT1H",
                f"SUMMARY:{name}",
                "END:VEVENT",
            ]
        )
        (office.folder / f"{name}.ics").write_bytes(calendar(zone, meeting))
    assert office.once()["counts"]["created"] == 3
    starts = {r["topic"]: r["start_time"] for r in office.reservations()}
    hours = {"oslo": 1, "tokyo": 9, "lima": -5}
    assert starts == {
        n: int((day - timedelta(hours=h)).timestamp() * 1000) for n, h in hours.items()
    }


@pytest.mark.slow
def test_a_calendar_whose_uids_all_change_writes_nothing(office: Office) -> None:
    """New UIDs at every reading leave each reservation as it is, and are said."""
    days = range(1, 7)
    office.write(
        *(event(f"first-{day}", ahead(day), 60, f"SUMMARY:Talk {day}") for day in days)
    )
    assert office.once()["counts"]["created"] == 6
    before = [r["reservation_id"] for r in office.reservations()]
    office.forget_requests()
    for round_ in ("second", "third"):
        office.write(
            *(
                event(f"{round_}-{day}", ahead(day), 60, f"SUMMARY:Talk {day}")
                for day in days
            )
        )
        assert "6 of 6 UIDs changed, re-keyed" in office.run("plan").out
        done = office.once()
        assert done["counts"]["unchanged"] == 6
        assert "6 of 6 UIDs changed, re-keyed" in done["sources"][0]["notes"][0]
    assert office.writes() == []
    assert [r["reservation_id"] for r in office.reservations()] == before
    assert office.once()["sources"][0]["notes"] == []


@pytest.mark.slow
def test_one_meeting_in_five_calendars_is_one_reservation(office: Office) -> None:
    """It stays while one of them shows it, and is cancelled when the last one no longer does."""
    people = ("ann", "ben", "cem", "dee", "eve")
    _sources(office, *people)
    meeting = event("shared", ahead(1), 60)

    def show(name: str, *events: str) -> None:
        own = event(f"own-{name}", ahead(3), 30, room=None)
        (office.folder / f"{name}.ics").write_bytes(calendar(own, *events))

    for name in people:
        show(name, meeting)
    assert office.once()["counts"]["created"] == 6
    (reservation,) = [r for r in office.reservations() if r["room_id"] == SMALL_ROOM]
    office.forget_requests()
    for name in people[:4]:
        show(name)
        assert office.once()["counts"]["cancelled"] == 0
    assert office.writes() == []
    assert reservation in office.reservations()
    show(people[4])
    assert office.once()["counts"]["cancelled"] == 1
    assert [r for r in office.reservations() if r["room_id"] == SMALL_ROOM] == []


def test_a_zone_that_contradicts_its_name_is_reported(office: Office) -> None:
    """The IANA name counts, and the cycle says that the calendar defines the zone otherwise."""
    zone = "\r\n".join(
        [
            "BEGIN:VTIMEZONE",
            "TZID:Europe/Berlin",
            "BEGIN:STANDARD",
            "DTSTART:19700101T000000",
            "TZOFFSETFROM:+0500",
            "TZOFFSETTO:+0500",
            "END:STANDARD",
            "END:VTIMEZONE",
        ]
    )
    start: datetime = ahead(2, 9)
    lines = event("m", start).replace(
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
        f"DTSTART;TZID=Europe/Berlin:{start:%Y%m%dT%H%M%S}",
    )
    office.calendar_file.write_bytes(calendar(zone, lines))
    (source,) = office.once()["sources"]
    (note,) = source["notes"]
    assert 'the time zone "Europe/Berlin" otherwise' in note


def test_nothing_of_a_masked_meeting_but_time_and_room_leaves_the_process(
    office: Office,
) -> None:
    """A private meeting is booked as such: no text, no guests, no links in any request or log line."""
    secrets = ("Quietword", "quiet-guest", "quiet.example.org")
    office.write(
        event(
            "m",
            ahead(1),
            60,
            "SUMMARY:Quietword",
            "CLASS:PRIVATE",
            "DESCRIPTION:Quietword about quiet.example.org",
            "ATTENDEE:mailto:quiet-guest@example.com",
            "ATTENDEE:mailto:bob@example.com",
            "ATTACH:https://quiet.example.org/Quietword.pdf",
            room="large",
        )
    )
    done = office.run("once", "--json")
    (reservation,) = office.reservations()
    assert (reservation["topic"], reservation["room_id"]) == (
        "Private meeting",
        LARGE_ROOM,
    )
    assert reservation["participants"] == [reservation["creator"]]
    everything = f"{office.control('requests')}{office.control('reservations')}{done.out}{done.err}"
    assert not [secret for secret in secrets if secret in everything]


@pytest.mark.slow
def test_one_fault_in_many_events_is_told_once_for_a_file(office: Office) -> None:
    """An empty RRULE in each event is one line of the plan for a person, and a row each in the document."""
    broken = [event(f"broken-{day}", ahead(day), 60, "RRULE:") for day in range(1, 6)]
    office.write(
        *broken,
        event("other", ahead(2), 60, "RRULE:FREQ=NEVER"),
        event("sane", ahead(3)),
    )
    rows = [row for row in office.plan()["changes"] if row["reason"] == "quarantined"]
    assert len(rows) == 6
    plan = office.run("plan")
    shown = [line for line in plan.out.splitlines() if "broken-" in line]
    assert len(shown) == 1
    assert "and 4 more to skip: office, office.ics: RRULE cannot be read" in " ".join(
        plan.out.split()
    )
    assert "other" in plan.out
    assert office.once()["counts"]["quarantined"] == 6


@pytest.mark.slow
def test_people_and_rooms_that_cannot_be_read_are_told(office: Office) -> None:
    """Whoever is left out of a meeting stands in the notes of its row, a room with the name that is near."""
    lines = ["ATTENDEE;CN=Bob", 'ATTENDEE;CN="Eve:nobody', "LOCATION:Smal meeting room"]
    office.write(event("meeting", ahead(2), 60, *lines, room=None))
    (row,) = office.plan()["changes"]
    assert sorted(note["reason"] for note in row["notes"]) == [
        "unknown_room",
        "unreadable_person",
        "unreadable_person",
    ]
    assert any(
        'did you mean "Small meeting room"?' in note["detail"] for note in row["notes"]
    )
    assert office.once()["counts"]["created"] == 1


@pytest.mark.slow
def test_a_room_that_declines_is_given_up(office: Office) -> None:
    """A booked room whose answer turns to no leaves the reservation, and comes back with its yes."""

    def answer(status: str, number: int) -> None:
        line = f"ATTENDEE;CUTYPE=ROOM;PARTSTAT={status}:mailto:room-small@example.com"
        office.write(
            event("meeting", ahead(2), 60, line, f"SEQUENCE:{number}", room="large")
        )

    rooms = []
    for number, status in enumerate(("ACCEPTED", "DECLINED", "ACCEPTED")):
        answer(status, number)
        office.once()
        rooms.append({r["room_id"] for r in office.reservations()})
    assert rooms == [{SMALL_ROOM, LARGE_ROOM}, {LARGE_ROOM}, {SMALL_ROOM, LARGE_ROOM}]


def test_an_alarm_at_an_absolute_time_stays_with_its_date(office: Office) -> None:
    """Whenever one looks, an absolute alarm is of one date of its series, so nothing is written again."""
    first = ahead(1)
    trigger = f"TRIGGER:{first - timedelta(minutes=20):%Y%m%dT%H%M%SZ}"
    alarm = "\r\n".join(["BEGIN:VALARM", "ACTION:DISPLAY", trigger, "END:VALARM"])
    office.write(event("series", first, 60, "RRULE:FREQ=DAILY;COUNT=3", alarm))
    assert office.once()["counts"]["created"] == 3
    assert [r["notice_time"] for r in office.reservations()] == [1200, 900, 900]
    office.forget_requests()
    assert office.run("once", "--force", "--json").json["counts"]["unchanged"] == 3
    assert office.writes() == []


def _directory(office: Office) -> Path:
    """Give the office a directory of calendars instead of its file."""
    folder = office.folder / "calendars"
    folder.mkdir()
    office.change(('path = "office.ics"', 'path = "calendars"'))
    return folder


def test_of_two_dates_in_two_files_none_is_guessed(office: Office) -> None:
    """One UID at two dates, or in two series, is reported and not booked until that is mended."""
    folder = _directory(office)
    neighbour, rule = event("n", ahead(1)), "RRULE:FREQ=WEEKLY;COUNT=2"
    (folder / "a.ics").write_bytes(
        calendar(event("m", ahead(2)), event("s", ahead(4), 60, rule), neighbour)
    )
    (folder / "b.ics").write_bytes(
        calendar(event("m", ahead(3)), event("s", ahead(5), 60, rule))
    )
    done = office.run("once", "--json")
    assert (
        done.code,
        done.json["counts"]["created"],
        done.json["counts"]["quarantined"],
    ) == (1, 1, 2)
    assert _starts(office.reservations()) == [int(ahead(1).timestamp() * 1000)]
    (folder / "b.ics").write_bytes(calendar(event("m", ahead(3), 60, "SEQUENCE:1")))
    done = office.run("once", "--json")
    assert (
        done.code,
        done.json["counts"]["created"],
        done.json["counts"]["quarantined"],
    ) == (0, 2, 0)
    assert sorted(_starts(office.reservations())) == [
        int(ahead(day).timestamp() * 1000) for day in (1, 3, 4)
    ]


@pytest.mark.slow
def test_another_date_in_another_file_moves_no_booking(office: Office) -> None:
    """Whoever writes the UID of a booked meeting at another date is reported; what was booked goes on."""
    folder = _directory(office)
    (folder / "a.ics").write_bytes(calendar(event("m", ahead(2))))
    assert office.once()["counts"]["created"] == 1
    (folder / "b.ics").write_bytes(calendar(event("m", ahead(3))))
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["quarantined"]) == (1, 1)
    assert office.writes() == ["create"]
    (folder / "a.ics").write_bytes(
        calendar(event("m", ahead(2), 60, "SUMMARY:Retrospective"))
    )
    assert office.run("once", "--json").json["counts"]["updated"] == 1
    (reservation,) = office.reservations()
    assert (reservation["topic"], reservation["start_time"]) == (
        "Retrospective",
        int(ahead(2).timestamp() * 1000),
    )
