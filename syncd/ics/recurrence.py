"""The recurrence set of one UID (RFC 5545 section 3.8.5): which occurrences, under which keys.

Rules run on the wall clock of the series' zone, and each result becomes an instant by itself, so a clock
change moves no meeting.
The key of an occurrence is its *original* start as computed here; RECURRENCE-ID of an override and
THISANDFUTURE change what happens at that start, never the key.
How many occurrences a series has is for the caller to bound: they are yielded one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo

from syncd.core.occurrence import Days, Moment, Timespan, When, Window
from syncd.core.reasons import Reason
from syncd.ics.component import Component
from syncd.ics.content import BrokenComponent
from syncd.ics.rule import Rule, Until
from syncd.ics.rule_dates import Recurrence
from syncd.ics.times import ListedDate, Start
from syncd.ics.zones import ONE_DAY, midnight, wall_clock

_LOOK_AHEAD_DATES = 1_000
"""Dates that are looked at for the next one; of a series with more of them the first is near."""

_LOOK_AHEAD = (
    timedelta(days=8),
    timedelta(days=40),
    timedelta(days=400),
)
"""How far a next date is looked for: one of a week, of a month, of a year, or not at all."""

_LARGEST_COUNT = 1_000_000  # up to which the dates of a count are told apart in gaps; bounds the work

# How far a date may be from where it has an effect: ten years.
_FARTHEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Instance:
    """One occurrence: its recurrence id (None if it does not recur), its component, and its time."""

    recurrence_id: str | None
    component: Component
    when: When

    def starts_before(self, moment: datetime) -> bool:
        """Tell whether it begins before a moment; whole days as seen from where the day begins last."""
        match self.when:
            case Days(start=day):
                return datetime.combine(day, time(), UTC) < moment
            case Moment(start=start) | Timespan(start=start):
                return start < moment


def expand(
    components: Sequence[Component], window: Window, *, in_series: bool = False
) -> Iterator[Instance]:
    """Yield the occurrences of one UID around the window; raises `BrokenComponent`.

    `components` are the newest of each identity: at most one without RECURRENCE-ID, one per RECURRENCE-ID.
    `in_series`: the event recurs although nothing of these components says so.
    A single event or override is yielded wherever it lies: it costs nothing, and it may have been moved.
    """
    master = master_of(components)
    overrides: dict[str, Component] = {}
    for component in components:
        if component.recurrence_id is not None:
            overrides[original_start(component, master)] = component
    if master is not None:
        if master.recurs or overrides or in_series:
            yield from _series(master, overrides, window)
        else:
            yield _as_written(None, master)
    for recurrence_id, override in overrides.items():
        yield _as_written(recurrence_id, override)


def master_of(components: Sequence[Component]) -> Component | None:
    """Return the component that is the event as a whole; None among overrides alone."""
    for component in components:
        if component.recurrence_id is None:
            return component
    return None


def _as_written(recurrence_id: str | None, component: Component) -> Instance:
    """Return the occurrence at the component's own DTSTART."""
    when = component.when(component.start, component.duration)
    return Instance(recurrence_id, component, when)


def next_start(components: Sequence[Component], after: datetime) -> datetime | None:
    """Return when the first occurrence of one UID begins that begins at `after` or later, or an earlier time.

    None: there is none, however far one looks.
    A series is looked through for `_LOOK_AHEAD` only; the end of what was looked at is then the answer.
    `components` are those of `expand`, and so is what it raises.
    """
    master = master_of(components)
    looked_at = after
    for ahead in _LOOK_AHEAD:
        until = after + ahead
        dates = expand(components, Window(after, until, until))
        begins = [begin_of(instance) for instance in islice(dates, _LOOK_AHEAD_DATES)]
        if len(begins) == _LOOK_AHEAD_DATES:
            return looked_at  # too many so far ahead, and none up to here
        coming = [begin for begin in begins if begin >= after]
        first = min(coming, default=None)
        if first is not None and first < until:
            return first
        if master is None or not _goes_on(master, until):
            return first
        looked_at = until
    return looked_at


def excludes(master: Component, override: Component) -> bool:
    """Tell whether an EXDATE of a series excludes the date that an override is about."""
    without_rules = replace(master, excluded_rules=())  # EXRULE is not asked
    excluded = _Excluded(without_rules, master.start.wall)
    original = _original(override, master)
    return excluded.holds(original, original_start(override, master))


def begin_of(instance: Instance) -> datetime:
    """Return when an occurrence begins; whole days at the midnight of the zone that they are meant in."""
    match instance.when:
        case Days(start=day):
            zone = ZoneInfo(instance.component.template.zone)
            begin = datetime.combine(day, time(), zone)
            return begin.astimezone(UTC)
        case Moment(start=start) | Timespan(start=start):
            return start


def _goes_on(master: Component, until: datetime) -> bool:
    """Tell whether a series may have dates beyond a time; COUNT is not counted."""
    wall = _utc_wall(until) - 2 * ONE_DAY  # as far as offsets differ
    for rule in master.rules:
        if rule.until is None:
            return True
        if _last_wall(rule.until, master) >= wall:
            return True
    if any(entry.wall >= wall for entry, _ in master.dates):
        return True
    return master.recurs and master.start.wall >= wall


def original_start(override: Component, master: Component | None) -> str:
    """Return the canonical recurrence id of an override, in the terms of its series."""
    original = _original(override, master)
    if master is None or original.is_date == master.start.is_date:
        return override.recurrence_id_at(original)
    if original.is_date:
        # Some writers give a date for a timed series; it then means the occurrence of that day.
        wall = _at_time_of_start(original.wall.date(), master)
    else:
        wall = midnight(_day_of(original, master))
    return master.recurrence_id_at(master.start.at(wall))


def _original(override: Component, master: Component | None) -> Start:
    """Return RECURRENCE-ID; where a writer left its zone out, that of the series' start is meant."""
    original = override.recurrence_id
    assert original is not None  # an override has one
    if original.tzid is not None or original.is_date:
        return original
    return replace(original, tzid=(master or override).start.tzid)


def _day_of(start: Start, master: Component) -> date:
    """Return the day of a whole-day series that a time means; Outlook writes its local midnight in UTC."""
    if start.tzid == "UTC":
        zone = master.zones.zone(None)
        local = wall_clock(start.wall.replace(tzinfo=UTC), zone)
        if local.time() == time():
            return local.date()
    return start.wall.date()


def _series(
    master: Component, overrides: dict[str, Component], window: Window
) -> Iterator[Instance]:
    """Yield the dates of a series around a window that no override is about."""
    # THISANDFUTURE overrides: from its own date on each governs, up to the next one.
    starts_of_ranges = sorted(
        recurrence_id
        for recurrence_id, override in overrides.items()
        if override.this_and_future
    )
    ranges = [overrides[recurrence_id] for recurrence_id in starts_of_ranges]
    low, high = _bounds(master, ranges, window)
    excluded = _Excluded(master, high)
    seen: set[str] = set()
    for original, duration in _original_starts(master, low, high):
        recurrence_id = master.recurrence_id_at(original)
        if recurrence_id in seen or recurrence_id in overrides:
            continue
        if excluded.holds(original, recurrence_id):
            continue
        seen.add(recurrence_id)
        place = bisect_right(starts_of_ranges, recurrence_id)
        if place == 0:
            when = master.when(original, duration or master.duration)
            yield Instance(recurrence_id, master, when)
        else:
            governing = ranges[place - 1]
            moved = _moved_alike(governing, original, master)
            when = governing.when(moved, governing.duration)
            yield Instance(recurrence_id, governing, when)


def _moved_alike(governing: Component, original: Start, master: Component) -> Start:
    """Return where a THISANDFUTURE override puts a later occurrence: as far away as it put its own."""
    moved = governing.start
    reference = _original(governing, master)
    if moved.is_date or original.is_date or reference.is_date:
        distance = moved.wall - reference.wall
        return moved.at(original.wall + distance)
    # On the wall clock of the zone that it was moved to.
    zone = governing.zones.zone(moved.tzid)
    original_wall = wall_clock(original.instant(master.zones), zone)
    reference_wall = wall_clock(reference.instant(governing.zones), zone)
    distance = moved.wall - reference_wall
    return moved.at(original_wall + distance)


class _Excluded:
    """EXDATE and EXRULE of a master: instants, and dates that exclude a whole day of the series."""

    def __init__(self, master: Component, high: datetime) -> None:
        self._instants: set[str] = set()
        self._days: set[date] = set()
        for entry in master.excluded:
            if entry.is_date:
                self._days.add(entry.wall.date())
            elif master.start.is_date:
                self._days.add(_day_of(entry, master))
            else:
                self._instants.add(master.recurrence_id_at(entry))
        rules = dict.fromkeys(master.excluded_rules)
        self._rules = [_laid_out(rule, master, high) for rule in rules]

    def holds(self, original: Start, recurrence_id: str) -> bool:
        """Tell whether a date of the series is excluded."""
        if recurrence_id in self._instants:
            return True
        if original.wall.date() in self._days:
            return True
        return any(rule.holds(original.wall) for rule in self._rules)


def _bounds(
    master: Component, ranges: Sequence[Component], window: Window
) -> tuple[datetime, datetime]:
    """Return between which wall clock times an original start can touch the window.

    Raises `BrokenComponent` if an occurrence lasts too long to be counted with.
    """
    longest = _longest(master, ranges)
    if longest > _FARTHEST:
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY, "the dates of the series last longer than ten years"
        )
    shift = _farthest_shift(ranges)
    # Offsets differ by up to 26 hours around the world.
    low = window.start - longest - shift - 2 * ONE_DAY
    high = window.reach + shift + 2 * ONE_DAY
    return _utc_wall(low), _utc_wall(high)


def _longest(master: Component, ranges: Sequence[Component]) -> timedelta:
    """Return how long the longest occurrence of a series lasts."""
    lengths = [component.duration for component in (master, *ranges)]
    lengths += [length for _, length in master.dates]
    longest = timedelta()
    for length in lengths:
        if length is not None:
            longest = max(longest, length.rough)
    return longest


def _farthest_shift(ranges: Sequence[Component]) -> timedelta:
    """Return how far THISANDFUTURE moves dates at most, as far as that is counted with."""
    farthest = timedelta()
    for override in ranges:
        assert override.recurrence_id is not None  # an override has one
        shift = abs(override.start.wall - override.recurrence_id.wall)
        farthest = max(farthest, shift)
    return min(farthest, _FARTHEST)


def _utc_wall(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _original_starts(
    master: Component, low: datetime, high: datetime
) -> Iterator[ListedDate]:
    """Yield DTSTART, RRULE and RDATE within the bounds; a date may come several times."""
    start = master.start
    is_near = low <= start.wall < high
    if is_near and not _ended_before_start(master):
        yield start, None
    for rule in dict.fromkeys(master.rules):
        dates = _laid_out(rule, master, high)
        for wall in dates.since(low):
            yield start.at(wall), None
    for entry, length in master.dates:
        wall = _wall_of_date(entry, master)
        if low <= wall < high:
            yield start.at(wall), length


def _ended_before_start(master: Component) -> bool:
    """Tell whether all rules end before DTSTART, which is the first instance of any other series."""
    for rule in master.rules:
        if rule.until is None:
            return False
        if _last_wall(rule.until, master) >= master.start.wall:
            return False
    return bool(master.rules)


def _wall_of_date(entry: Start, master: Component) -> datetime:
    """Return a date of RDATE on the wall clock of its series; a day alone has the time of DTSTART."""
    if entry.is_date:
        return _at_time_of_start(entry.wall.date(), master)
    if master.start.is_date:
        return midnight(_day_of(entry, master))
    return wall_clock(entry.instant(master.zones), master.zone)


def _at_time_of_start(day: date, master: Component) -> datetime:
    return datetime.combine(day, master.start.wall.time())


def _laid_out(rule: Rule, master: Component, high: datetime) -> Recurrence:
    """Return a rule on the wall clock of its series, up to UNTIL or a bound."""
    first = master.start.wall
    end = high
    if rule.until is not None:
        end = min(high, _last_wall(rule.until, master))
    found = Recurrence(rule, first, end)
    if rule.count is None or rule.count > _LARGEST_COUNT:
        return found
    if master.start.is_date or not rule.several_a_day:
        return found
    # COUNT counts dates, and two times of the wall clock are one where one of them lies in a gap.
    known = 0
    doubled = _doubled(found, first, master.zone)
    while doubled > known:
        known = doubled
        longer = replace(rule, count=rule.count + known)
        found = Recurrence(longer, first, end)
        doubled = _doubled(found, first, master.zone)
    return found


def _doubled(found: Recurrence, first: datetime, zone: tzinfo) -> int:
    """Return how many times of the wall clock lie in gaps and mean the same instants as others."""
    count = 0
    for begin, end in _gaps(first, found.last, zone):
        for wall in found.since(begin):
            if wall >= end:
                break
            meant = wall + (end - begin)
            if meant <= found.last and found.holds(meant):
                count += 1
    return count


def _gaps(
    first: datetime, last: datetime, zone: tzinfo
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the wall clock times between which a clock change leaves time out, looked for week by week."""
    begin = (first - ONE_DAY).replace(tzinfo=UTC)
    until = (last + ONE_DAY).replace(tzinfo=UTC)
    before = _offset(begin, zone)
    while begin < until:
        end = begin + timedelta(weeks=1)
        after = _offset(end, zone)
        if after > before:
            change = _utc_wall(_change_between(begin, end, zone))
            yield change + before, change + after
        begin = end
        before = after


def _change_between(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    """Return the instant between two at which the offset changes, to the second."""
    before = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle -= timedelta(microseconds=middle.microsecond)
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _last_wall(until: Until, master: Component) -> datetime:
    """Return UNTIL on the wall clock of the series; a date includes that day (RFC 5545 section 3.3.10)."""
    if until.is_date:
        return _end_of(until.wall)
    if master.start.is_date:
        meant = Start(until.wall, "UTC" if until.is_utc else None)
        return _end_of(_day_of(meant, master))
    if until.is_utc:
        return wall_clock(until.wall.replace(tzinfo=UTC), master.zone)
    return until.wall


def _end_of(day: date) -> datetime:
    return midnight(day).replace(hour=23, minute=59, second=59)
