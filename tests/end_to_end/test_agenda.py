"""`agenda`: what is booked on a day, by room and time, in the zone of the configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import Office, ahead, event

BERLIN = ZoneInfo("Europe/Berlin")


def uids(office: Office, day: datetime, *arguments: str) -> list[str]:
    """The UIDs of the agenda of a day, in its order."""
    ran = office.run("agenda", f"{day:%Y-%m-%d}", "--json", *arguments)
    assert ran.code == 0
    assert ran.json["day"] == f"{day:%Y-%m-%d}"
    return [booking["uid"] for booking in ran.json["bookings"]]


@pytest.fixture
def booked(office: Office) -> Office:
    """Meetings of three days, one over midnight in Berlin, one refused."""
    meetings = (
        event("late", ahead(3, 15)),
        event("early", ahead(3, 7)),
        event("large", ahead(3, 12), room="large"),
        event("night", ahead(3, 21, 30), 180),
        event("next", ahead(4, 9)),
        event("alone", ahead(3, 10), room=None),
    )
    office.write(*meetings)
    office.once()
    office.write(*meetings, event("clash", ahead(3, 7, 30)))
    office.once()
    return office


@pytest.mark.slow
def test_a_day_by_room_and_time(booked: Office) -> None:
    """Rooms by name, meetings by time, those without a room last; what is not booked stands apart."""
    assert uids(booked, ahead(3)) == ["large", "early", "late", "night", "alone"]
    document = booked.run("agenda", f"{ahead(3):%Y-%m-%d}", "--json").json
    assert [one["uid"] for one in document["not_booked"]] == ["clash"]
    as_in_status = {one["uid"]: one for one in booked.status()["bookings"]}
    for one in document["bookings"]:
        assert one == as_in_status[one["uid"]]
    assert uids(booked, ahead(3), "--room", "large meeting room") == ["large"]
    assert uids(booked, ahead(9)) == []


@pytest.mark.slow
def test_a_meeting_over_midnight_is_on_both_days(booked: Office) -> None:
    """Days begin at midnight in calendar.timezone, not in UTC."""
    assert "night" in uids(booked, ahead(3))
    assert uids(booked, ahead(4)) == ["night", "next"]
    local = ahead(3, 21, 30).astimezone(BERLIN)
    shown = booked.run("agenda", f"{ahead(4):%Y-%m-%d}").out
    ends = local + timedelta(minutes=180)
    assert f"← {local:%d %b}–{ends:%H:%M}" in shown
    assert "Europe/Berlin" in shown


@pytest.mark.slow
def test_words_for_days(booked: Office) -> None:
    """Today, tomorrow and the days of the week, of which the next one is meant."""
    today = datetime.now(UTC).astimezone(BERLIN).date()
    said = {
        "today": today,
        "tomorrow": today + timedelta(days=1),
        f"{today:%a}".lower(): today,
        f"{today + timedelta(days=6):%A}": today + timedelta(days=6),
    }
    for word, day in said.items():
        ran = booked.run("agenda", word, "--json")
        now = datetime.now(UTC).astimezone(BERLIN).date()
        assert today != now or ran.json["day"] == str(day), word
    assert booked.run("agenda", "mo").code == 2


@pytest.mark.slow
def test_what_was_there_earlier_today_stays_on_the_page(booked: Office) -> None:
    """A cancelled meeting leaves the agenda, one that is refused never was on it."""
    booked.write(event("late", ahead(3, 15), 60, "STATUS:CANCELLED"))
    booked.run("once")
    assert "late" not in uids(booked, ahead(3))
    assert "clash" not in uids(booked, ahead(3))
