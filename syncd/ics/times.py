"""The date and time properties of one VEVENT: start, end, length, and the dates of lists.

Times are read as wall clock plus TZID and resolved by our own `Zones`, because the library shares zones
between documents and turns unknown ones into naive times.
A property that decides time and cannot be read raises `BrokenComponent`, a defect of the whole UID.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import chain
from typing import Any

from syncd.core.reasons import Reason
from syncd.ics.content import BrokenComponent, tzid_of
from syncd.ics.duration import Duration, parse_duration
from syncd.ics.properties import Properties
from syncd.ics.zones import ONE_DAY, Zones, midnight, wall_clock

_IS_DATE = re.compile(r";VALUE=DATE(?=;|$)", re.IGNORECASE)
_WHOLE_DAY_FLAGS = (
    "X-MICROSOFT-CDO-ALLDAYEVENT",
    "X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT",
)

# Programs put dates that they do not know into year 1 (.NET), and years of two digits into the first century;
# birthdays without a year stand in 1604 (Apple), 1601 or 1899. At the end Python needs a year of room.
FIRST_YEAR, _LAST_YEAR = 1000, 9998


def out_of_range() -> BrokenComponent:
    """Return the error for a date that no meeting has, or that cannot be counted with."""
    years = f"{FIRST_YEAR} to {_LAST_YEAR}"
    return BrokenComponent(
        Reason.BROKEN_PROPERTY, f"a date lies outside of the years {years}"
    )


def check_years(*moments: date) -> None:
    """Raise `BrokenComponent` for the ends of time, where programs put dates that they do not know."""
    if any(not FIRST_YEAR <= moment.year <= _LAST_YEAR for moment in moments):
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
        return replace(self, wall=wall)

    def instant(self, zones: Zones) -> datetime:
        """Return the UTC instant that it means; raises `UnknownZone`."""
        return zones.instant(self.wall, self.tzid)


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
    parameters = next((line.parameters for line in event.written(name)), None)
    if parameters is None:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} cannot be read")
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


def recurrence_dates(
    event: Properties, zones: Zones
) -> Iterator[tuple[Start, Duration | None]]:
    """Yield the dates of RDATE (RFC 5545 section 3.8.5.2), a period with its length.

    Raises `BrokenComponent` or `UnknownZone`.
    """
    for moment, parameters, text in _listed(event, "RDATE"):
        if not isinstance(moment, tuple):
            yield _start(moment, "RDATE", parameters), None
            continue
        begin = _start(moment[0], "RDATE", parameters)
        if isinstance(moment[1], timedelta):
            length = parse_duration(text.partition("/")[2])
        else:
            end = _start(moment[1], "RDATE", parameters)
            length = Duration(exact=end.instant(zones) - begin.instant(zones))
        if length.rough <= timedelta():
            raise BrokenComponent(
                Reason.END_BEFORE_START, "a period in RDATE has no length"
            )
        yield begin, length


def _listed(event: Properties, name: str) -> Iterator[tuple[Any, str, str]]:
    """Yield each date of a list property with the raw parameters of its line, and its text."""
    values, written = event.values(name), event.written(name)
    lines = list(zip(values, written, strict=False))
    are_all_read = len(values) == len(written)
    for value, line in lines:
        if len(_dates_in(value)) != line.value.count(",") + 1:
            are_all_read = False
    if not are_all_read:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"{name} cannot be read")
    for value, line in lines:
        texts = line.value.split(",")
        for entry, text in zip(_dates_in(value), texts, strict=True):
            yield entry.dt, line.parameters, text


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
    is_timed = (
        start is not None and not start.is_date and (end is None or not end.is_date)
    )
    if start is None or not is_timed or not _is_flagged_whole_day(event):
        return start, end
    return _as_whole_days(start, end, zones)


def _is_flagged_whole_day(event: Properties) -> bool:
    flags = chain.from_iterable(event.written(name) for name in _WHOLE_DAY_FLAGS)
    return any(flag.value.strip().upper() == "TRUE" for flag in flags)


def _as_whole_days(
    start: Start, end: Start | None, zones: Zones
) -> tuple[Start, Start | None]:
    """Return the days that begin with two times in one zone; the times themselves if there is no such zone.

    Tried are the zone of either, the calendar's, and UTC: programs turn local midnights into any of these.
    """
    written = [start] if end is None else [start, end]
    named = [found.tzid for found in written if found.tzid not in {None, "UTC"}]
    for tzid in (*named, None, "UTC"):
        zone = zones.zone(tzid)
        days = [_day_at_midnight(found, zone, zones) for found in written]
        first, last = days[0], days[-1]
        if first is not None and last is not None:
            return (first, None) if end is None else (first, last)
    return start, end


def _day_at_midnight(start: Start, zone: tzinfo, zones: Zones) -> Start | None:
    """Return the day that begins with a time in a zone; None if none does."""
    wall = wall_clock(start.instant(zones), zone)
    return Start(wall, is_date=True) if wall.time() == time() else None


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
    return Duration(exact=end.instant(zones) - start.instant(zones))


def _written_length(event: Properties, start: Start) -> Duration | None:
    """Return DURATION; in days where Outlook's flag made a date of the start. Raises `BrokenComponent`."""
    written = event.written("DURATION")
    if not written:
        return None
    length = parse_duration(written[0].value)
    if not start.is_date:
        return length
    was_time = "T" in event.written("DTSTART")[0].value
    if was_time and not length.exact % ONE_DAY:
        length = Duration(days=length.days + length.exact // ONE_DAY)
    if length.exact:
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY, "DURATION of a whole-day event is not in days"
        )
    return length
