"""The recurrence set of one UID (RFC 5545 section 3.8.5): which occurrences, under which keys.

Rules run on the wall clock of the series' zone, and each result becomes an instant by itself, so a clock
change moves no meeting.
The key of an occurrence is its *original* start as computed here; RECURRENCE-ID of an override and
THISANDFUTURE change what happens at that start, never the key.
Every series is bounded in count; one that exceeds it is a defect of that UID alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from dateutil.rrule import rrulestr

from syncd.core.occurrence import When, Window
from syncd.core.reasons import Reason
from syncd.ics.component import BrokenComponent, Component, Duration, Start
from syncd.ics.zones import ONE_DAY, wall_clock

MAX_OCCURRENCES = 5_000
"""Occurrences of one UID inside the window; more is a mistake or an attack."""

MAX_STEPS = 100_000
"""Candidates that a rule may produce before the window is passed."""

_FARTHEST = timedelta(days=3660)  # an override that moves by more than ten years is found by itself only
_STEP = {
    "SECONDLY": timedelta(seconds=1),
    "MINUTELY": timedelta(minutes=1),
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKLY": timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True)
class Instance:
    """One occurrence: its recurrence id (None if it does not recur), its component, and its time."""

    recurrence_id: str | None
    component: Component
    when: When


def expand(components: Sequence[Component], window: Window) -> Iterator[Instance]:
    """The occurrences of one UID around the window; raises `BrokenComponent`.

    `components` are the newest of each identity: at most one without RECURRENCE-ID, one per RECURRENCE-ID.
    A single event or override is yielded wherever it lies: it costs nothing, and it may have been moved.
    """
    master = next((c for c in components if c.recurrence_id is None), None)
    overrides = {_override_key(c, c.recurrence_id, master): c for c in components if c.recurrence_id}
    if master is not None:
        if master.recurs or overrides:
            yield from _series(master, overrides, window)
        else:
            yield Instance(None, master, master.when(master.start, master.duration))
    for recurrence_id, override in overrides.items():
        yield Instance(recurrence_id, override, override.when(override.start, override.duration))


def _override_key(override: Component, original: Start, master: Component | None) -> str:
    """The canonical recurrence id of an override, in the terms of its series.

    Some writers give a date for a timed series; it then means the occurrence of that day.
    """
    if master is None or original.is_date == master.start.is_date:
        return override.recurrence_id_at(original)
    if original.is_date:
        that_day = datetime.combine(original.wall.date(), master.start.wall.time())
        return master.recurrence_id_at(master.start.at(that_day))
    return master.recurrence_id_at(
        master.start.at(datetime.combine(original.wall.date(), datetime.min.time()))
    )


def _series(master: Component, overrides: dict[str, Component], window: Window) -> Iterator[Instance]:
    ranges = sorted((key, c) for key, c in overrides.items() if c.this_and_future)
    excluded = _Excluded(master, window)
    seen: set[str] = set()
    for original, duration in _original_starts(master, *_bounds(master, ranges, window)):
        recurrence_id = master.recurrence_id_at(original)
        if recurrence_id in seen or recurrence_id in overrides or excluded.holds(original, recurrence_id):
            continue
        seen.add(recurrence_id)
        if len(seen) > MAX_OCCURRENCES:
            raise BrokenComponent(
                Reason.TOO_MANY_OCCURRENCES,
                f"the series has more than {MAX_OCCURRENCES} occurrences within the horizon",
            )
        governing = next((c for key, c in reversed(ranges) if key <= recurrence_id), None)
        if governing is None:
            yield Instance(recurrence_id, master, master.when(original, duration or master.duration))
        else:
            moved = _moved_alike(governing, original, master)
            yield Instance(recurrence_id, governing, governing.when(moved, governing.duration))


def _moved_alike(governing: Component, original: Start, master: Component) -> Start:
    """Where a THISANDFUTURE override puts a later occurrence: as far away as it put its own."""
    moved, reference = governing.start, governing.recurrence_id
    assert reference is not None  # an override has one
    if moved.is_date or original.is_date or reference.is_date:
        return moved.at(original.wall + (moved.wall - reference.wall))
    zones = governing.zones
    zone = zones.zone(moved.tzid)
    there = wall_clock(master.zones.instant(original.wall, original.tzid), zone)
    before = wall_clock(zones.instant(reference.wall, reference.tzid), zone)
    return moved.at(there + (moved.wall - before))


class _Excluded:
    """EXDATE and EXRULE of a master: instants, and dates that exclude a whole day of the series."""

    def __init__(self, master: Component, window: Window) -> None:
        self._instants: set[str] = set()
        self._days: set[date] = set()
        for entry in master.excluded:
            if entry.is_date or master.start.is_date:
                self._days.add(entry.wall.date())
            else:
                self._instants.add(master.recurrence_id_at(entry))
        low, high = _bounds(master, (), window)
        self._walls = {wall for text in master.excluded_rules for wall in _run(text, master, low, high)}

    def holds(self, original: Start, recurrence_id: str) -> bool:
        return (
            recurrence_id in self._instants
            or original.wall.date() in self._days
            or original.wall in self._walls
        )


def _bounds(
    master: Component, ranges: Sequence[tuple[str, Component]], window: Window
) -> tuple[datetime, datetime]:
    """Between which wall clock times an original start can touch the window."""
    lengths = [c.duration for c in (master, *(c for _, c in ranges))] + [d for _, d in master.dates]
    longest = max((length.rough for length in lengths if length is not None), default=timedelta())
    shifts = (abs(c.start.wall - c.recurrence_id.wall) for _, c in ranges if c.recurrence_id)
    shift = min(max(shifts, default=timedelta()), _FARTHEST)
    # Two days more than needed, because offsets differ by up to 26 hours around the world.
    low = window.start - min(longest, _FARTHEST) - shift - 2 * ONE_DAY
    high = window.reach + shift + 2 * ONE_DAY
    return low.astimezone(UTC).replace(tzinfo=None), high.astimezone(UTC).replace(tzinfo=None)


def _original_starts(
    master: Component, low: datetime, high: datetime
) -> Iterator[tuple[Start, Duration | None]]:
    """DTSTART, RRULE and RDATE within the bounds; duplicates are the caller's business."""
    start = master.start
    if low <= start.wall < high:
        yield start, None  # DTSTART is always the first instance
    for text in master.rules:
        for wall in _run(text, master, low, high):
            yield start.at(wall), None
    for entry, length in master.dates:
        if start.is_date or entry.is_date:
            wall = datetime.combine(entry.wall.date(), start.wall.time())
        else:
            wall = wall_clock(master.zones.instant(entry.wall, entry.tzid), master.zones.zone(start.tzid))
        if low <= wall < high:
            yield start.at(wall), length


def _run(text: str, master: Component, low: datetime, high: datetime) -> Iterator[datetime]:
    """The wall clock times of one rule within the bounds; raises `BrokenComponent`."""
    parts = _parts(text)
    first = master.start.wall
    until = _until(parts.pop("UNTIL"), master) if "UNTIL" in parts else high
    end = min(until, high)
    if end < first:
        return
    if "COUNT" not in parts:
        # Without COUNT nothing has to be counted: begin shortly before the window, and end behind it.
        first += _whole_intervals(parts, low - first)
        parts["UNTIL"] = f"{end:%Y%m%dT%H%M%S}"
    if not parts.get("INTERVAL", "1").strip("0").isdigit():
        raise BrokenComponent(Reason.BROKEN_PROPERTY, "INTERVAL of a rule is not a positive number")
    try:
        rule = rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=first)
        for steps, wall in enumerate(rule):
            if wall > end:
                return
            if steps > MAX_STEPS:
                raise BrokenComponent(
                    Reason.TOO_MANY_OCCURRENCES,
                    f"a rule gives more than {MAX_STEPS} dates before the horizon",
                )
            if wall >= low:
                yield wall
    except BrokenComponent:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"the rule cannot be read: {error}") from None


def _parts(text: str) -> dict[str, str]:
    """The parts of a RECUR value by upper-case name."""
    parts: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, equals, value = part.partition("=")
        if not equals or name.strip().upper() in parts:
            raise BrokenComponent(Reason.BROKEN_PROPERTY, f"RRULE has a broken part {part[:32]!r}")
        parts[name.strip().upper()] = value.strip().upper()
    return parts


def _whole_intervals(parts: dict[str, str], distance: timedelta) -> timedelta:
    """How far a rule can be begun later without a difference.

    In steps of fixed length whole intervals may be skipped: what BYxxx parts take from DTSTART (weekday,
    hour, minute, second) is the same after any number of them.
    """
    step = _STEP.get(parts.get("FREQ", ""))
    interval = parts.get("INTERVAL", "1")
    if step is None or not interval.isdigit() or int(interval) == 0 or distance <= timedelta():
        return timedelta()
    return max(0, distance // (step * int(interval)) - 1) * step * int(interval)


def _until(value: str, master: Component) -> datetime:
    """UNTIL as wall clock time of the series; a date includes that day (RFC 5545 section 3.3.10)."""
    try:
        wall = datetime.strptime(value[:8], "%Y%m%d")  # noqa: DTZ007  # wall clock on purpose
        if len(value) == 8 or master.start.is_date:
            return wall.replace(hour=23, minute=59, second=59)
        wall = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007  # as above
    except ValueError:
        raise BrokenComponent(Reason.BROKEN_PROPERTY, f"UNTIL={value[:32]} is not a date or a time") from None
    if value.endswith("Z"):
        return wall_clock(wall.replace(tzinfo=UTC), master.zones.zone(master.start.tzid))
    return wall
