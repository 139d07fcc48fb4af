"""A day as columns and rows: where meetings stand, what overlaps, and days that are not of 24 hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from syncd.core.booking import Booking, BookingState
from syncd.core.reasons import Reason
from syncd.views.choice import Day
from syncd.web.grid import grid_styles
from syncd.web.timeline import (
    COLUMNS_PER_HOUR,
    MOST_HOURS,
    ShownMeeting,
    Timeline,
    meetings_of,
)
from tests.booked import booking_of_an_hour

BERLIN = ZoneInfo("Europe/Berlin")
WORKING = (time(9), time(18))
DAY = Day(date(2026, 12, 1), BERLIN)


def at(hour: int, minute: int = 0, day: Day = DAY) -> datetime:
    """A time on a day, in UTC."""
    moment = datetime.combine(day.date, time(hour, minute), day.zone)
    return moment.astimezone(UTC)


def booked(uid: str, start: datetime, minutes: int = 60, **others: object) -> Booking:
    """A booking in a room, with other values of its fields."""
    made = booking_of_an_hour(uid, start, f"r-{uid}")
    assert made.content is not None
    spec = replace(
        made.content, room_id="a", end=start + timedelta(minutes=minutes), topic=uid
    )
    return replace(made, room_id="a", content=spec, **others)  # type: ignore[arg-type]  # of a test


def wanted(uid: str, start: datetime, minutes: int = 60, **others: object) -> Booking:
    """A booking that was refused because the room is taken."""
    made = booked(uid, start, minutes)
    return replace(
        made,
        content=None,
        pending=made.content,
        reservation_id=None,
        state=BookingState.REFUSED,
        reason=Reason.ROOM_CONFLICT,
        **others,  # type: ignore[arg-type]  # of a test
    )


def shown(*bookings: Booking, day: Day = DAY, now: datetime | None = None) -> Timeline:
    """The timeline of one room."""
    return Timeline.of(
        day,
        [("a", "A")],
        meetings_of(bookings, day),
        working=WORKING,
        now=now or at(23, 59, day),
    )


def row(timeline: Timeline) -> dict[str, ShownMeeting]:
    """The meetings of the one room, by title, in the order of the list."""
    (room,) = timeline.rooms
    return {one.topic: one for one in room.meetings}


def test_meetings_stand_in_columns_of_five_minutes() -> None:
    """From the working hours on, which are shown even if nothing is booked."""
    timeline = shown(booked("m", at(9, 30), 90), now=at(11, 22))
    assert (timeline.hours, timeline.marks[0].told) == (9, "09:00")
    meeting = row(timeline)["m"]
    assert (meeting.column, meeting.span, meeting.row, meeting.lane) == (7, 18, 1, 1)
    assert timeline.now == 2 * COLUMNS_PER_HOUR + 5
    assert shown(now=at(8)).now is None


def test_the_hours_are_widened_to_what_begins_and_ends() -> None:
    """To whole hours; what goes on over midnight widens nothing on its far side, and all days widen nothing."""
    early, late = booked("early", at(7, 40), 20), booked("late", at(18, 30), 45)
    timeline = shown(early, late)
    assert (timeline.marks[0].told, timeline.hours) == ("07:00", 13)
    over = booked("over", at(22), 600)
    timeline = shown(over)
    assert (timeline.marks[0].told, timeline.hours) == ("09:00", 14)
    assert row(timeline)["over"].hours == "22:00–02 Dec →"
    yesterday = booked("yesterday", at(9) - timedelta(hours=20), 21 * 60)
    timeline = shown(yesterday)
    assert (timeline.marks[0].told, timeline.hours) == ("09:00", 9)
    assert (row(timeline)["yesterday"].column, row(timeline)["yesterday"].span) == (
        1,
        12,
    )
    whole = booked("whole", DAY.start.astimezone(UTC), 24 * 60)
    timeline = shown(whole)
    assert (timeline.hours, row(timeline)["whole"].span) == (9, 9 * COLUMNS_PER_HOUR)


def test_what_is_refused_follows_what_is_in_its_way() -> None:
    """By the reservation that was named, else by what overlaps; in the lane beneath."""
    timeline = shown(
        booked("first", at(9)),
        booked("second", at(10)),
        booked("third", at(12)),
        wanted("refused", at(9, 30), 60, blocked_by="r-second"),
        wanted("overlaps", at(12, 30), 15),
        wanted("alone", at(15)),
    )
    assert list(row(timeline)) == [
        "first",
        "second",
        "refused",
        "third",
        "overlaps",
        "alone",
    ]
    assert {one.row for one in row(timeline).values() if one.lane == 2} == {2}


def test_of_several_that_are_wanted_one_is_in_front() -> None:
    """The others stay in the list, and the first says how many they are."""
    timeline = shown(
        booked("m", at(9), 120),
        wanted("a", at(9)),
        wanted("b", at(9, 15)),
        wanted("c", at(9, 45)),
        wanted("d", at(10)),
    )
    found = row(timeline)
    assert [found[name].more for name in "abcd"] == [2, 0, 0, 0]
    assert [found[name].is_behind for name in "abcd"] == [False, True, True, False]


def test_what_has_no_room_hides_nothing() -> None:
    """Meetings that name no room are all in rows of the grid: there is no page that shows those behind."""
    bookings = [replace(wanted(name, at(9)), room_id=None) for name in "ab"]
    timeline = Timeline.of(
        DAY,
        [(None, "Without a room")],
        meetings_of(bookings, DAY),
        working=WORKING,
        now=at(9),
    )
    assert [(one.row, one.is_behind) for one in row(timeline).values()] == [
        (1, False),
        (2, False),
    ]


def test_what_the_building_holds_twice_is_seen_twice() -> None:
    """Two reservations at one time, as there should never be, are in rows of their own."""
    timeline = shown(booked("a", at(9)), booked("b", at(9, 30)), wanted("c", at(9)))
    assert [one.row for one in row(timeline).values()] == [1, 3, 2]


def test_what_ended_in_tuya_is_wanted_and_not_there() -> None:
    """And what is cancelled is not shown at all."""
    released = booked("released", at(9), state=BookingState.RELEASED)
    cancelled = booked("cancelled", at(10), state=BookingState.CANCELLED)
    found = row(shown(released, cancelled))
    assert {name: one.lane for name, one in found.items()} == {"released": 2}


def test_days_on_which_the_clocks_are_set() -> None:
    """The line goes on by what passes: 25 hours in autumn, of which one is told twice, and 23 in spring."""
    autumn = Day(date(2026, 10, 25), BERLIN)
    first = booked("first", autumn.start.astimezone(UTC), 30)
    last = booked("last", autumn.end.astimezone(UTC) - timedelta(minutes=30), 30)
    timeline = shown(first, last, day=autumn)
    assert timeline.hours == MOST_HOURS
    assert [mark.told for mark in timeline.marks].count("02:00") == 2
    assert row(timeline)["last"].column == 25 * COLUMNS_PER_HOUR - 5
    spring = Day(date(2026, 3, 29), BERLIN)
    first = booked("first", spring.start.astimezone(UTC), 30)
    last = booked("last", spring.end.astimezone(UTC) - timedelta(minutes=30), 30)
    assert shown(first, last, day=spring).hours == 23


def test_there_is_a_class_for_each_place() -> None:
    """As many columns as the longest day has."""
    styles = grid_styles()
    last = MOST_HOURS * COLUMNS_PER_HOUR
    for name in ("c1", f"c{last}", "n1", f"n{last}", "r1", "hours-1", "hours-25"):
        assert f".{name}{{" in styles
