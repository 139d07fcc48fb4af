"""One VEVENT as values: what the library parsed, judged property by property.

When it takes place is read by `syncd.ics.times`, everything else of it by `syncd.ics.details`.
A property that decides identity or time and cannot be read is a defect of the whole UID; any other that
cannot be read is treated as absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from itertools import chain

from syncd.core.occurrence import (
    Days,
    Moment,
    Occurrence,
    Timespan,
    When,
    recurrence_id_of,
)
from syncd.core.reasons import Reason
from syncd.ics.content import BrokenComponent, RawComponent
from syncd.ics.details import template_of
from syncd.ics.duration import Duration
from syncd.ics.properties import Properties, parameter_of
from syncd.ics.quirks import repaired
from syncd.ics.rule import BrokenRule, Rule
from syncd.ics.times import (
    FIRST_YEAR,
    ListedDate,
    Start,
    check_years,
    excluded_dates,
    length_of,
    out_of_range,
    recurrence_dates,
    single_start,
    start_and_end,
)
from syncd.ics.vevent import ParsedContext
from syncd.ics.zones import ONE_DAY, UnknownZone, Zones, midnight


@dataclass(frozen=True, slots=True)
class Component:
    """A parsed VEVENT.

    `calendar` is the key of the VCALENDAR that it stands in, `method` the METHOD of that in upper case.
    `template` holds everything of an occurrence but its key and its time.
    `says_cancelled`: its own STATUS is CANCELLED, whatever the METHOD.
    """

    uid: str
    line: int
    document: str
    calendar: str
    method: str
    zones: Zones
    template: Occurrence
    start: Start
    duration: Duration | None
    recurrence_id: Start | None
    this_and_future: bool
    rules: tuple[Rule, ...]
    excluded_rules: tuple[Rule, ...]
    dates: tuple[ListedDate, ...]
    excluded: tuple[Start, ...]
    says_cancelled: bool
    event: Properties

    @property
    def text(self) -> str:
        """Return all that it says; equal for two that say the same in the same words."""
        return self.event.text

    @property
    def zone(self) -> tzinfo:
        """Return the rules of the zone of its start."""
        return self.zones.zone(self.start.tzid)

    @property
    def recurs(self) -> bool:
        """Tell whether this is the master of a series."""
        return bool(self.rules or self.dates)

    @property
    def revision(self) -> tuple[int, bool, float]:
        """Return what sorts the newest of several components with one identity last.

        SEQUENCE, then a cancelling method, then LAST-MODIFIED (RFC 5546 section 2.1.5). DTSTAMP is none: in a
        published calendar it is the time of the export, a second later for each component of one export.
        """
        return (self.template.sequence, self.method == "CANCEL", self.modified)

    @property
    def modified(self) -> float:
        """Return LAST-MODIFIED in epoch seconds; 0 if it is not told."""
        modified = self.template.last_modified
        if modified is None:
            return 0.0
        return modified.timestamp()

    @property
    def organizer(self) -> frozenset[str]:
        """Return the addresses of the organizer; empty if there is none."""
        organizer = self.template.organizer
        if organizer is None:
            return frozenset()
        return frozenset(organizer.addresses)

    @property
    def guests(self) -> frozenset[str]:
        """Return the addresses of all attendees, rooms too."""
        people = (attendee.person for attendee in self.template.attendees)
        return frozenset(chain.from_iterable(person.addresses for person in people))

    @property
    def timing(self) -> tuple[object, ...]:
        """Return all that decides when it takes place, and whether."""
        rules = (self.rules, self.excluded_rules, self.dates, self.excluded)
        # What is floating in two calendars, whole days too, may be meant in two zones.
        begin = (
            self.template.zone
            if self.start.is_date
            else self.recurrence_id_at(self.start)
        )
        return (
            begin,
            self.start,
            self.duration,
            self.this_and_future,
            *rules,
            self.template.cancelled,
        )

    def when(self, start: Start, duration: Duration | None) -> When:
        """Return when the occurrence that begins at `start` takes place; raises `BrokenComponent`.

        Days of the length are added on the wall clock, the rest to the instant (RFC 5545 section 3.3.6).
        """
        if start.is_date:
            length = duration.days if duration is not None else 1
            day = start.wall.date()
            end_day = day + max(1, length) * ONE_DAY
            check_years(day, end_day)
            return Days(day, end_day)
        instant = start.instant(self.zones)
        check_years(instant)
        if duration is None or not duration.rough:
            return Moment(instant)
        nominal_end = start.wall + duration.days * ONE_DAY
        end = self.zones.instant(nominal_end, start.tzid) + duration.exact
        check_years(end)
        return Timespan(instant, end)

    def recurrence_id_at(self, start: Start) -> str:
        """Return the canonical recurrence id of an original start of this component's series."""
        if start.is_date:
            return recurrence_id_of(start.wall.date())
        return recurrence_id_of(start.instant(self.zones))


def parse_component(raw: RawComponent, context: ParsedContext) -> Component:
    """Return the values of one VEVENT; raises `BrokenComponent`."""
    event = Properties(repaired(raw))
    try:
        return _component(event, context)
    except UnknownZone as error:
        raise BrokenComponent(Reason.UNKNOWN_TIMEZONE, str(error), error.tzid) from None
    except OverflowError:
        raise out_of_range() from None


def _component(event: Properties, context: ParsedContext) -> Component:
    zones = context.zones
    recurrence_id = single_start(event, "RECURRENCE-ID")
    written_start, end = start_and_end(event, zones)
    start = written_start or _start_of_cancel(recurrence_id, context)
    excluded = tuple(excluded_dates(event))
    dates = tuple(recurrence_dates(event, zones))
    added = [entry for entry, _ in dates]
    _check_times(start, recurrence_id, excluded, added, zones)
    return Component(
        uid=event.raw.uid,
        line=event.raw.line,
        document=context.document,
        calendar=context.calendar,
        method=context.method,
        zones=zones,
        template=template_of(event, start, context),
        start=start,
        duration=length_of(event, start, end, zones),
        recurrence_id=recurrence_id,
        this_and_future=_is_this_and_future(event),
        rules=_rules(event, "RRULE", start),
        excluded_rules=_rules(event, "EXRULE", start),
        dates=dates,
        excluded=excluded,
        says_cancelled=event.text_of("STATUS").upper() == "CANCELLED",
        event=event,
    )


def _start_of_cancel(recurrence_id: Start | None, context: ParsedContext) -> Start:
    """Return what stands for the start of a cancellation without DTSTART (RFC 5546 section 3.2.5).

    It then has a place in no window. Raises `BrokenComponent` for any other event.
    """
    if context.method != "CANCEL":
        raise BrokenComponent(Reason.BROKEN_PROPERTY, "the event has no DTSTART")
    if recurrence_id is not None:
        return recurrence_id
    long_ago = date(FIRST_YEAR, 1, 1)
    return Start(midnight(long_ago), is_date=True)


def _check_times(
    start: Start,
    recurrence_id: Start | None,
    excluded: Sequence[Start],
    dates: Sequence[Start],
    zones: Zones,
) -> None:
    """Raise `BrokenComponent` or `UnknownZone` if one of the times of an event cannot be counted with.

    An unknown zone quarantines wherever it decides time, in EXDATE and RDATE too.
    """
    own = [start] if recurrence_id is None else [start, recurrence_id]
    walls = [found.wall for found in (*own, *dates)]
    check_years(*walls)
    for found in (*own, *excluded, *dates):
        if found.tzid is not None:
            zones.resolve(found.tzid)


def _is_this_and_future(event: Properties) -> bool:
    """Tell whether RECURRENCE-ID has RANGE=THISANDFUTURE (RFC 5545 section 3.2.13)."""
    values = event.values("RECURRENCE-ID")
    if not values:
        return False
    return "THISANDFUTURE" in parameter_of(values[0], "RANGE").upper()


def _rules(event: Properties, name: str, start: Start) -> tuple[Rule, ...]:
    try:
        rules = [Rule.parse(line.value) for line in event.written(name)]
        if start.is_date:
            rules = [rule.of_whole_days() for rule in rules]
    except BrokenRule as error:
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY, f"{name} cannot be read: {error}"
        ) from None
    return tuple(rules)
