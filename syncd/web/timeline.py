"""A day as a timeline: rooms as rows, five minutes as columns, in two lanes.

The first lane has what the building holds, the second what a calendar wants and the building does not hold, each
right under what is in its way.
Everything is a number of a column or a row, because styles come from classes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from syncd.core.booking import Booking, BookingState
from syncd.core.occurrence import event_key
from syncd.views.agenda import hours_told
from syncd.views.choice import Day, by_time, is_in_the_building, is_only_wanted
from syncd.views.state_words import StateWord, state_word_of
from syncd.web import states
from syncd.web.states import ShownState

COLUMN = timedelta(minutes=5)
HOUR = timedelta(hours=1)
COLUMNS_PER_HOUR = HOUR // COLUMN
MOST_HOURS = 25
"""Hours of the longest day, that on which the clocks are put back."""

_ROWS = 6  # above which what overlaps is laid over each other


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMeeting:
    """One meeting: `hours` are told within its day, `detail` says why it is not simply booked.

    `column` and `span` are columns of the grid, `row` is that within the lane of its room.
    `more` counts those that are wanted at the same time and stand behind it (`is_behind`) in the grid.
    `is_late` is what begins near the end of the grid.
    """

    key: str
    topic: str
    hours: str
    standing: StateWord
    detail: str
    room_id: str | None
    is_there: bool
    start: datetime
    end: datetime
    blocked_by: str | None
    reservation_id: str | None
    column: int = 1
    span: int = 1
    row: int = 1
    more: int = 0
    is_behind: bool = False
    is_late: bool = False

    @property
    def state(self) -> ShownState:
        """Return how it is shown."""
        return states.shown(self.standing)

    @property
    def lane(self) -> int:
        """Return 1 for what the building holds, 2 for what is only wanted."""
        return 1 if self.is_there else 2


def shown_meeting(booking: Booking, day: Day) -> ShownMeeting:
    """Return a booking as a meeting of a day."""
    spec = booking.spec
    return ShownMeeting(
        key=event_key(booking.key.uid),
        topic=spec.topic or booking.key.uid,
        hours=hours_told(day, booking),
        standing=state_word_of(booking),
        detail=booking.detail,
        room_id=booking.room_id,
        is_there=is_in_the_building(booking),
        start=spec.start,
        end=spec.end,
        blocked_by=booking.blocked_by,
        reservation_id=booking.reservation_id,
    )


def meetings_of(bookings: Iterable[Booking], day: Day) -> list[ShownMeeting]:
    """Return the meetings of a day by time: those of the building, the wanted ones, those ended in Tuya."""
    found: list[ShownMeeting] = []
    for booking in sorted(bookings, key=by_time):
        is_released = booking.state is BookingState.RELEASED
        if is_released or is_in_the_building(booking) or is_only_wanted(booking):
            found.append(shown_meeting(booking, day))
    return found


def under_each_other(meetings: Sequence[ShownMeeting]) -> list[ShownMeeting]:
    """Return the meetings of a room by time, each that is only wanted right behind the one in its way."""
    there = [one for one in meetings if one.is_there]
    wanted = [one for one in meetings if not one.is_there]
    behind: dict[int, list[ShownMeeting]] = {}
    alone: list[ShownMeeting] = []
    for one in wanted:
        place = _in_the_way(one, there)
        if place is None:
            alone.append(one)
        else:
            behind.setdefault(place, []).append(one)
    in_order: list[ShownMeeting] = []
    for place, one in enumerate(there):
        while alone and alone[0].start < one.start:
            in_order.append(alone.pop(0))
        in_order.append(one)
        in_order += behind.get(place, ())
    return in_order + alone


def _in_the_way(wanted: ShownMeeting, there: Sequence[ShownMeeting]) -> int | None:
    """Return the place of the meeting for which another one was refused, else of the first that overlaps it."""
    overlapping: int | None = None
    for place, one in enumerate(there):
        if wanted.blocked_by is not None and one.reservation_id == wanted.blocked_by:
            return place
        if overlapping is None and one.start < wanted.end and wanted.start < one.end:
            overlapping = place
    return overlapping


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours that a timeline shows, whole ones, in a day."""

    start: datetime
    end: datetime

    @classmethod
    def of(
        cls, day: Day, working: tuple[time, time], meetings: Iterable[ShownMeeting]
    ) -> Hours:
        """Return the working hours, widened to all that begins or ends on the day."""
        first = _at(day, working[0])
        last = _at(day, working[1])
        if last <= first:
            last = day.end
        for one in meetings:
            begins = one.start >= day.start
            ends = one.end <= day.end
            if one.start <= day.start and one.end >= day.end:
                continue  # all of the day, however long that is shown
            if begins:
                first = min(first, one.start)
                last = max(last, one.start + COLUMN)
            if ends:
                first = min(first, one.end - COLUMN)
                last = max(last, one.end)
        begin = day.start.astimezone(UTC)
        begin += (first - begin) // HOUR * HOUR
        hours = -((begin - last) // HOUR)
        return cls(begin, begin + hours * HOUR)

    @property
    def number(self) -> int:
        """Return how many hours there are."""
        return (self.end - self.start) // HOUR

    def column(self, moment: datetime) -> int:
        """Return the column in which a moment is, from 1; one outside is at the next edge."""
        moment = min(max(moment, self.start), self.end)
        return (moment - self.start) // COLUMN + 1

    def column_after(self, moment: datetime) -> int:
        """Return the column before which something ends at a moment."""
        moment = min(max(moment, self.start), self.end)
        return -((self.start - moment) // COLUMN) + 1

    def placed(self, meeting: ShownMeeting) -> ShownMeeting:
        """Return a meeting in its columns."""
        column = min(self.column(meeting.start), self.number * COLUMNS_PER_HOUR)
        span = max(1, self.column_after(meeting.end) - column)
        is_late = column > self.number * COLUMNS_PER_HOUR * 2 // 3
        return replace(meeting, column=column, span=span, is_late=is_late)


def _at(day: Day, clock: time) -> datetime:
    return datetime.combine(day.date, clock, day.zone)


@dataclass(frozen=True, slots=True)
class HourMark:
    """An hour on the ruler."""

    column: int
    told: str


@dataclass(frozen=True, slots=True)
class RoomRow:
    """A room with its meetings in the order of the list."""

    room_id: str | None
    name: str
    meetings: tuple[ShownMeeting, ...]

    @property
    def is_crowded(self) -> bool:
        """Return whether more is wanted at one time than the grid has place for."""
        return any(one.more for one in self.meetings)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The meetings of a day by room; `now` is the column of the present, None on other days."""

    day: Day
    hours: int
    marks: tuple[HourMark, ...]
    now: int | None
    rooms: tuple[RoomRow, ...]

    @classmethod
    def of(
        cls,
        day: Day,
        rooms: Sequence[tuple[str | None, str]],
        meetings: Iterable[ShownMeeting],
        *,
        working: tuple[time, time],
        now: datetime,
    ) -> Timeline:
        """Return the timeline of rooms, by id and name, with the meetings of all of them."""
        by_room: dict[str | None, list[ShownMeeting]] = {}
        shown = {room_id for room_id, _ in rooms}
        for one in meetings:
            if one.room_id in shown:
                by_room.setdefault(one.room_id, []).append(one)
        all_shown = [one for ones in by_room.values() for one in ones]
        hours = Hours.of(day, working, all_shown)
        is_in_sight = hours.start <= now < hours.end
        rows: list[RoomRow] = []
        for room_id, name in rooms:
            placed = [hours.placed(one) for one in by_room.get(room_id, ())]
            rows.append(_room_row(room_id, name, placed))
        return cls(
            day=day,
            hours=hours.number,
            marks=tuple(_marks(hours, day)),
            now=hours.column(now) if is_in_sight else None,
            rooms=tuple(rows),
        )


def _marks(hours: Hours, day: Day) -> Iterable[HourMark]:
    for number in range(hours.number):
        at = hours.start + number * HOUR
        column = number * COLUMNS_PER_HOUR + 1
        yield HourMark(column, f"{at.astimezone(day.zone):%H:%M}")


def _room_row(
    room_id: str | None, name: str, meetings: Sequence[ShownMeeting]
) -> RoomRow:
    """Return a room with each of its meetings in a row; of what is wanted at one time the first is on top."""
    first_lane, height = _stacked([one for one in meetings if one.is_there])
    wanted = [one for one in meetings if not one.is_there]
    second_lane = _behind_each_other(wanted)
    if room_id is None:
        # There is no page of no room that would show the others.
        second_lane, _ = _stacked(wanted)
    second_lane = [replace(one, row=height + one.row) for one in second_lane]
    both = sorted((*first_lane, *second_lane), key=_by_start)
    return RoomRow(room_id, name, tuple(under_each_other(both)))


def _by_start(meeting: ShownMeeting) -> tuple[datetime, int]:
    return meeting.start, meeting.lane


def _stacked(meetings: Iterable[ShownMeeting]) -> tuple[list[ShownMeeting], int]:
    """Return meetings each in the first row that is free then, and how many rows they take."""
    free_from: list[int] = []
    stacked: list[ShownMeeting] = []
    for one in meetings:
        row = _first_free(free_from, one.column)
        free_from[row : row + 1] = [one.column + one.span]
        stacked.append(replace(one, row=row + 1))
    return stacked, len(free_from)


def _first_free(free_from: Sequence[int], column: int) -> int:
    """Return the first row that is free at a column; where there are many rows already, the last one."""
    for row, free in enumerate(free_from):
        if free <= column:
            return row
    return min(len(free_from), _ROWS - 1)


def _behind_each_other(meetings: Iterable[ShownMeeting]) -> list[ShownMeeting]:
    """Return meetings in one row: those that overlap one in front stand behind it, and are counted there."""
    shown: list[ShownMeeting] = []
    front = -1
    for one in meetings:
        if front >= 0 and one.column < shown[front].column + shown[front].span:
            shown.append(replace(one, is_behind=True))
            shown[front] = replace(shown[front], more=shown[front].more + 1)
        else:
            front = len(shown)
            shown.append(one)
    return shown
