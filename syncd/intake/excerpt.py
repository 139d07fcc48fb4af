"""The components of one UID as they are written in a source, for `syncd explain`.

What they mean is left to the parser that a cycle uses, so that an excerpt never tells another story.
Nothing in here decides what is booked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from syncd.core.occurrence import Moment, Occurrence, OccurrenceKey, Window, extent_of
from syncd.ics.content import RawCalendar, RawComponent, split, tzid_of, unescaped
from syncd.ics.contexts import Locale
from syncd.ics.quirks import repaired
from syncd.ics.series import ParsedSeries, SeriesParser, lines_of
from syncd.ics.vevent import RawEvent
from syncd.ics.zones import UnknownZone, Zones
from syncd.intake.source_index import SourceIndex

_DATED = ("DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE")
_YEAR = timedelta(days=366)
_Parses: TypeAlias = Callable[[datetime, datetime], ParsedSeries]


@dataclass(frozen=True, slots=True)
class WrittenComponent:
    """One VEVENT as it stands in a document, its values as written.

    `recurrence_id` is None for a master or an event that does not recur; `excluded` counts dates in EXDATE.
    """

    document: str
    line: int
    start: str
    recurrence_id: str | None
    recurs: bool
    excluded: int
    sequence: str
    last_modified: str
    status: str
    method: str
    topic: str


@dataclass(frozen=True, slots=True)
class ZoneUse:
    """What the times under one TZID were taken for; `tzid` None stands for times that carry none.

    `zone` is None when nobody knows it, `because` is a clause, `contradiction` a sentence or empty.
    """

    tzid: str | None
    zone: str | None
    because: str
    contradiction: str = ""


@dataclass(frozen=True, slots=True)
class SourceExcerpt:
    """One UID in one source.

    `later` is its first occurrence that begins beyond the horizon.
    `past` counts the occurrences that are over since `past_since` (None: since the series began); it is
    None where they are too many to count.
    `written` are the lines of an event that is quarantined, none of a private one.
    """

    parts: tuple[WrittenComponent, ...]
    zones: tuple[ZoneUse, ...]
    later: Occurrence | None
    past: int | None
    past_since: datetime | None
    written: tuple[str, ...] = ()


def excerpt_of(
    uid: str,
    raw_events: Sequence[RawEvent],
    index: SourceIndex,
    *,
    parser: SeriesParser,
    locale: Locale,
    window: Window,
    quarantined: bool = False,
) -> SourceExcerpt:
    """Return the excerpt of a UID from its events in a source.

    Of one that is `quarantined` nothing is told beyond the horizon: finding it out may cost too much.
    """
    parts: list[WrittenComponent] = []
    zones: dict[ZoneUse, None] = {}
    written: list[str] = []
    for event in raw_events:
        context = index.contexts[event.context]
        (calendar,) = split(context.text)
        method = calendar.properties.get("METHOD", "").upper()
        raw = RawComponent("VEVENT", index.line_of(event), tuple(lines_of(event)))
        parts.append(_written(raw, context.document, method))
        if quarantined and not _is_private(raw):
            written += raw.own_lines()
        for use in _zone_uses(raw, calendar, locale, window):
            zones[use] = None
    if quarantined:
        return SourceExcerpt(
            parts=tuple(parts),
            zones=tuple(zones),
            later=None,
            past=None,
            past_since=None,
            written=tuple(written),
        )

    def parse(start: datetime, reach: datetime) -> ParsedSeries:
        between = Window(start=start, end=reach, reach=reach)
        return parser.parse(uid, raw_events, between)

    past, past_since = _past(parse, window.start)
    return SourceExcerpt(
        parts=tuple(parts),
        zones=tuple(zones),
        later=_later(parse, window.end),
        past=past,
        past_since=past_since,
    )


def extent(occurrence: Occurrence) -> tuple[datetime, datetime]:
    """Return when an occurrence begins and ends; whole days last from midnight to midnight."""
    span = extent_of(occurrence)
    if isinstance(occurrence.when, Moment):
        return span.start, span.start
    return span.start, span.end


def _written(raw: RawComponent, document: str, method: str) -> WrittenComponent:
    """Return a component as it is written, found in a document with a METHOD."""

    def first(name: str) -> str:
        return (raw.first(name) or "").strip()

    excluded = 0
    for _, dates in raw.values("EXDATE"):
        excluded += len(dates.split(","))
    topic = ""
    if not _is_private(raw):
        topic = _topic(raw)
    return WrittenComponent(
        document=document,
        line=raw.line,
        start=first("DTSTART"),
        recurrence_id=first("RECURRENCE-ID") or None,
        recurs=bool(first("RRULE") or first("RDATE")),
        excluded=excluded,
        sequence=first("SEQUENCE"),
        last_modified=first("LAST-MODIFIED"),
        status=first("STATUS").upper(),
        method=method,
        topic=topic,
    )


def _is_private(raw: RawComponent) -> bool:
    """Return whether a component says that it is not for everybody."""
    said = (raw.first("CLASS") or "PUBLIC").strip().upper()
    return said in {"PRIVATE", "CONFIDENTIAL"}


def _topic(raw: RawComponent) -> str:
    """Return the first SUMMARY of a component, empty if there is none."""
    for summary in repaired(raw).properties.get("SUMMARY", ()):
        return unescaped(summary.value.strip())
    return ""


# Zones


def _zone_uses(
    raw: RawComponent, calendar: RawCalendar, locale: Locale, window: Window
) -> Iterator[ZoneUse]:
    """Yield how each TZID of a component is understood, in the order of their first use."""
    zones = locale.zones_of(calendar)
    for name in _DATED:
        for parameters, value in raw.values(name):
            tzid = (tzid_of(parameters) or "").strip('" ')
            first, *_ = re.split("[,/]", value)  # of several times, or of a period
            if first.strip().upper().endswith("Z"):
                yield ZoneUse("UTC", "UTC", "the times end with a Z")
            elif tzid:
                yield _named(tzid, zones, window)
            else:
                yield _floating(zones, calendar.properties, locale)


def _named(tzid: str, zones: Zones, window: Window) -> ZoneUse:
    """Return how a TZID is understood."""
    try:
        zone, because = zones.meaning(tzid)
    except UnknownZone:
        because = "nobody knows this name; name its zone under [calendar.timezones]"
        return ZoneUse(tzid, None, because)
    contradiction = zones.contradiction(tzid, window.start)
    return ZoneUse(tzid, zone, because, contradiction)


def _floating(zones: Zones, properties: Mapping[str, str], locale: Locale) -> ZoneUse:
    """Return how times that carry no TZID are understood."""
    if locale.floating is not None:
        rule = "timezone of the source says so"
    elif properties.get("X-WR-TIMEZONE"):
        rule = "X-WR-TIMEZONE of the calendar says so"
    else:
        rule = "calendar.timezone says so"
    try:
        zone = zones.zone(None)
    except UnknownZone as error:
        return ZoneUse(None, None, str(error))
    if isinstance(zone, ZoneInfo):
        return ZoneUse(None, zone.key, rule)
    return ZoneUse(None, properties["X-WR-TIMEZONE"], rule)


# Beyond the window


def _past(parse: _Parses, now: datetime) -> tuple[int | None, datetime | None]:
    """Return how many occurrences are over, and since when they were counted; a parser takes only so many."""
    for years in (100, 1):
        since = now - years * _YEAR
        series = parse(since, now)
        if series.defects:
            continue
        count = 0
        for occurrence in series.occurrences:
            _, end = extent(occurrence)
            if end <= now and not occurrence.cancelled:
                count += 1
        if years == 100:
            return count, None
        return count, since
    return None, None


def _later(parse: _Parses, horizon: datetime) -> Occurrence | None:
    """Return the first occurrence that begins beyond the horizon, looked for farther and farther away."""
    for years in (0.25, 1, 10):
        series = parse(horizon, horizon + years * _YEAR)
        by_begin: dict[tuple[datetime, OccurrenceKey], Occurrence] = {}
        for occurrence in series.occurrences:
            begin, _ = extent(occurrence)
            if begin >= horizon and not occurrence.cancelled:
                by_begin.setdefault((begin, occurrence.key), occurrence)
        if by_begin:
            return by_begin[min(by_begin)]
        if series.defects:
            break
    return None
