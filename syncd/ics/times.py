"""The date and time properties of one VEVENT: start, end, length, and the dates of lists.

Times are read as wall clock plus TZID and resolved by our own `Zones`, because the library shares zones
between documents and turns unknown ones into naive times.
A property that decides time and cannot be read raises `BrokenComponent`, a defect of the whole UID.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, TypeAlias

from syncd.core.reasons import Reason
from syncd.ics.content import BrokenComponent, tzid_of
from syncd.ics.duration import Duration, parse_duration
from syncd.ics.properties import Properties
from syncd.ics.quirks import Property
from syncd.ics.zones import ONE_DAY, Zones, midnight, wall_clock

_IS_DATE = re.compile(r";VALUE=DATE(?=;|$)", re.IGNORECASE)
_WHOLE_DAY_FLAGS = (
    "X-MICROSOFT-CDO-ALLDAYEVENT",
    "X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT",
)

# Programs put dates that they do not know into year 1 (.NET), and years of two digits into the first century;
# birthdays without a year stand in 1604 (Apple), 1601 or 1899. At the end Python needs a year of room.
FIRST_YEAR = 1000
_LAST_YEAR = 9998


def out_of_range() -> BrokenComponent:
    """Return the error for a date that no meeting has, or that cannot be counted with."""
    years = f"{FIRST_YEAR} to {_LAST_YEAR}"
    return BrokenComponent(
        Reason.BROKEN_PROPERTY, f"a date lies outside of the years {years}"
    )


def check_years(*moments: date) -> None:
    """Raise `BrokenComponent` for the ends of time, where programs put dates that they do not know."""
    for moment in moments:
        if not FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise out_of_range()


@dataclass(frozen=True, slots=True)
class Start:
    """A date or date-time property as written: naive wall clock (midnight for VALUE=DATE) and zone.

    `tzid` None means floating, "UTC" is UTC.
    """

    wall: datetime
    tzid: str | None = None
    is_date: bool = False

    def at(self, wall: datetime) -> Start:
        """Return another time of the same kind in the same zone."""
        return Start(wall, self.tzid, self.is_date)

    def instant(self, zones: Zones) -> datetime:
        """Return the UTC instant that it means; raises `UnknownZone`."""
        return zones.instant(self.wall, self.tzid)


ListedDate: TypeAlias = tuple[Start, Duration | None]
"""A date that a series names one by one, and its length where it has one of its own."""


def _start(value: object, name: str, parameters: str) -> Start:
    """Return a date or time that was read without its zone, which stands in the raw `parameters`.

    A Z counts first. Raises `BrokenComponent` for a value that is neither.
    """
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return Start(value.replace(tzinfo=None), "UTC")
        return Start(value, tzid_of(parameters) or None)
    if isinstance(value, date):
        return Start(midnight(value), is_date=True)
    raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} is not a date or a time")


def single_start(event: Properties, name: str) -> Start | None:
    """Return a property that may stand once, None if it does not; raises `BrokenComponent`."""
    values = event.values(name)
    if not values:
        return None
    if len(values) > 1:
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY, f"{name} stands more than once in the event"
        )
    written = event.written(name)
    if not written:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} cannot be read")
    parameters = written[0].parameters
    moment = getattr(values[0], "dt", None)
    if isinstance(moment, datetime) and _IS_DATE.search(parameters):
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY, f"{name} is called a date and has a time"
        )
    return _start(moment, name, parameters)


def excluded_dates(event: Properties) -> Iterator[Start]:
    """Yield the dates of EXDATE (RFC 5545 section 3.8.5.1); raises `BrokenComponent`."""
    for moment, parameters, _ in _listed(event, "EXDATE"):
        yield _start(moment, "EXDATE", parameters)


def recurrence_dates(event: Properties, zones: Zones) -> Iterator[ListedDate]:
    """Yield the dates of RDATE (RFC 5545 section 3.8.5.2), a period with its length.

    Raises `BrokenComponent` or `UnknownZone`.
    """
    for moment, parameters, text in _listed(event, "RDATE"):
        if not isinstance(moment, tuple):
            yield _start(moment, "RDATE", parameters), None
            continue
        first, last = moment
        begin = _start(first, "RDATE", parameters)
        if isinstance(last, timedelta):
            _, _, written_length = text.partition("/")
            length = parse_duration(written_length)
        else:
            end = _start(last, "RDATE", parameters)
            length = _time_between(begin, end, zones)
        if length.rough <= timedelta():
            raise BrokenComponent(
                Reason.END_BEFORE_START, "a period in RDATE has no length"
            )
        yield begin, length


def _listed(event: Properties, name: str) -> Iterator[tuple[Any, str, str]]:
    """Yield each date of a list property with the raw parameters of its line, and its text."""
    values = event.values(name)
    written = event.written(name)
    if not _are_all_read(values, written):
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} cannot be read")
    for value, line in zip(values, written, strict=True):
        texts = line.value.split(",")
        for entry, text in zip(_dates_in(value), texts, strict=True):
            yield entry.dt, line.parameters, text


def _are_all_read(values: Sequence[object], written: Sequence[Property]) -> bool:
    """Tell whether there is a value for each date of the lines of a list property."""
    if len(values) != len(written):
        return False
    for value, line in zip(values, written, strict=True):
        if len(_dates_in(value)) != line.value.count(",") + 1:
            return False
    return True


def _dates_in(value: object) -> Sequence[Any]:
    """Return the dates of the value of one line; none of a value that is no list."""
    dates: Sequence[Any] = getattr(value, "dts", ())
    return dates


def start_and_end(event: Properties, zones: Zones) -> tuple[Start | None, Start | None]:
    """Return DTSTART and DTEND; as dates where Outlook's flag says that their midnights mean whole days.

    Raises `BrokenComponent` or `UnknownZone`.
    """
    start = single_start(event, "DTSTART")
    end = single_start(event, "DTEND")
    if start is None or start.is_date:
        return start, end
    if end is not None and end.is_date:
        return start, end
    if not _is_flagged_whole_day(event):
        return start, end
    return _as_whole_days(start, end, zones)


def _is_flagged_whole_day(event: Properties) -> bool:
    for name in _WHOLE_DAY_FLAGS:
        for flag in event.written(name):
            if flag.value.strip().upper() == "TRUE":
                return True
    return False


def _as_whole_days(
    start: Start, end: Start | None, zones: Zones
) -> tuple[Start, Start | None]:
    """Return the days that begin with two times in one zone; the times themselves if there is no such zone.

    Tried are the zone of either, the calendar's, and UTC: programs turn local midnights into any of these.
    """
    candidates = [start.tzid]
    if end is not None:
        candidates.append(end.tzid)
    named = [tzid for tzid in candidates if tzid not in {None, "UTC"}]
    for tzid in (*named, None, "UTC"):
        zone = zones.zone(tzid)
        first = _day_at_midnight(start, zone, zones)
        if first is None:
            continue
        if end is None:
            return first, None
        last = _day_at_midnight(end, zone, zones)
        if last is not None:
            return first, last
    return start, end


def _day_at_midnight(start: Start, zone: tzinfo, zones: Zones) -> Start | None:
    """Return the day that begins with a time in a zone; None if none does."""
    wall = wall_clock(start.instant(zones), zone)
    if wall.time() != time():
        return None
    return Start(wall, is_date=True)


def length_of(
    event: Properties, start: Start, end: Start | None, zones: Zones
) -> Duration | None:
    """Return the length from DTEND (exact between two instants) or DURATION; None if the event says neither.

    Raises `BrokenComponent` for one that is negative, or of another kind than the start.
    """
    length = (
        _written_length(event, start)
        if end is None
        else _length_between(start, end, zones)
    )
    if length is not None and length.rough < timedelta():
        raise BrokenComponent(
            Reason.END_BEFORE_START, "the event ends before it starts"
        )
    return length


def _length_between(start: Start, end: Start, zones: Zones) -> Duration:
    if end.is_date != start.is_date:
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY,
            "DTSTART and DTEND are not of one kind (date or time)",
        )
    if start.is_date:
        return Duration(days=(end.wall - start.wall).days)
    return _time_between(start, end, zones)


def _time_between(start: Start, end: Start, zones: Zones) -> Duration:
    return Duration(exact=end.instant(zones) - start.instant(zones))


def _written_length(event: Properties, start: Start) -> Duration | None:
    """Return DURATION; in days where Outlook's flag made a date of the start. Raises `BrokenComponent`."""
    written = event.written("DURATION")
    written_start = event.written("DTSTART")
    if not written or not written_start:
        return None  # of a cancellation without DTSTART the length says nothing
    length = parse_duration(written[0].value)
    if not start.is_date:
        return length
    was_time = "T" in written_start[0].value
    if was_time and not length.exact % ONE_DAY:
        length = Duration(days=length.days + length.exact // ONE_DAY)
    if length.exact:
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY, "DURATION of a whole-day event is not in days"
        )
    return length
