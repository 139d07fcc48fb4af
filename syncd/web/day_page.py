"""`/day/2026-12-01`: the timeline of a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from syncd.views.agenda import DayAgenda
from syncd.views.choice import Day
from syncd.web.answers import NotUnderstood
from syncd.web.asked import Asked


def show_day(asked: Asked) -> DayAgenda:
    """Return the meetings of the day that is asked for; raises `NotUnderstood` for none."""
    day = Day(_day(asked), asked.zone)
    bookings = asked.ledger.timetable.between(day.start, day.end)
    names = {room.id: room.name or room.id for room in asked.config.rooms}
    return DayAgenda.of(bookings, day, names)


def day_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `agenda --json`."""
    return show_day(asked).document()


def _day(asked: Asked) -> date:
    said = asked.parameters["day"]
    try:
        day = date.fromisoformat(said)
        day + timedelta(days=1)  # the last day there is has no end
    except (ValueError, OverflowError):
        today = asked.now.astimezone(asked.zone).date()
        raise NotUnderstood(
            f"{said} is no day; write a date such as {today}.",
            (f"/day/{today}", "Today"),
        ) from None
    return day
