"""The VEVENTs of one UID to its occurrences and defects.

Each UID is understood by itself, from its own text and from what stands around it in its documents, so a bad
series costs one series, and what is understood of a UID stays true while its text stays.
Chooses among components with one identity, never by the order in which they stand.
Knows no documents as a whole: whether they are complete is judged where they are taken apart.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from syncd.core.bounds import (
    DATE_S,
    ITEM_LENGTH,
    ITEM_S,
    MAX_DATES_PASSED,
    MAX_ITEMS,
    MAX_OCCURRENCES,
)
from syncd.core.occurrence import (
    LONGEST_LEAD,
    Alarm,
    Authority,
    Days,
    Defect,
    Inline,
    Moment,
    Occurrence,
    OccurrenceKey,
    Presence,
    Timespan,
    Window,
)
from syncd.core.reasons import Note, Reason
from syncd.ics.component import Component, parse_component
from syncd.ics.content import (
    BrokenComponent,
    RawCalendar,
    RawComponent,
    content_lines,
    decode,
    is_guessed,
    split,
)
from syncd.ics.copies import SAYS_NOTHING, Copy, copies_of, differ_without_revision
from syncd.ics.details import address_of
from syncd.ics.duration import parse_duration
from syncd.ics.plain import is_plain, is_plain_context
from syncd.ics.recurrence import Instance, begin_of
from syncd.ics.times import out_of_range
from syncd.ics.vevent import BESIDE, GUESSED, Context, ParsedContext, RawEvent
from syncd.ics.zones import ONE_DAY, Zones

_ADDRESS = re.compile(r"[^@\s/]+@[^@\s/]+\.[^@\s/]+")
_ASKS = ("REFRESH-INTERVAL", "X-PUBLISHED-TTL")  # RFC 7986 section 5.7, and Outlook's name
_SEVERAL_DATES = (
    "the event stands in several calendars at different times, and neither SEQUENCE nor LAST-MODIFIED tells "
    "which is the newest"
)
_ABOUT_DOCUMENTS = frozenset({Reason.TIMEZONE_CONTRADICTS, Reason.CHARSET_UNKNOWN})
_SEVERAL_UIDS = "the event has several UIDs, so lines between two events are lost"


@dataclass(frozen=True, slots=True)
class Locale:
    """How a source is to be read: its times without a usable zone, and whose calendars they are.

    `floating` decides for the source (None: X-WR-TIMEZONE of the calendar, else `default`);
    `aliases` are TZIDs that only the administrator can know, `owner` is the address of the person whose
    calendars stand in the source, if the administrator said so.
    """

    default: ZoneInfo
    floating: ZoneInfo | None = None
    aliases: Mapping[str, ZoneInfo] = field(default_factory=dict)
    owner: str | None = None

    def zones_of(self, calendar: RawCalendar) -> Zones:
        """The zones of one VCALENDAR."""
        definitions = (component for component in calendar.components if component.name == "VTIMEZONE")
        said = calendar.properties.get("X-WR-TIMEZONE", "")
        return Zones(definitions, self.aliases, self.floating or said or self.default)


@dataclass(frozen=True, slots=True)
class _Whole:
    """The copies of one UID, all their dates within a window, and when the first one beyond it begins."""

    copies: Sequence[Copy]
    occurrences: list[Occurrence]
    next_start: datetime | None


@dataclass(frozen=True, slots=True)
class ParsedSeries:
    """What one UID of a source says for a window.

    `presence` is None where there is no component with a UID.
    `next_start` is when the first occurrence begins that begins at or after the window's reach, or earlier;
    None: there is none, however far one looks.
    `cpu_s` is what it took to understand it.
    """

    uid: str
    occurrences: tuple[Occurrence, ...] = ()
    presence: Presence | None = None
    defects: tuple[Defect, ...] = ()
    next_start: datetime | None = None
    cpu_s: float = field(default=0.0, compare=False)

    @property
    def items(self) -> int:
        """How many smaller things hang on its occurrences, counted for each of them."""
        known: dict[tuple[int, ...], int] = {}  # the dates of a series share what hangs on them
        total = 0
        for occurrence in self.occurrences:
            shared = (occurrence.attendees, occurrence.alarms, occurrence.attachments, occurrence.description)
            key = tuple(map(id, shared))
            if key not in known:
                known[key] = _items_of(occurrence)
            total += known[key]
        return total

    @property
    def cost_s(self) -> float:
        """About how much CPU it takes in all: understood, and then mapped, planned and recorded."""
        return self.cpu_s + len(self.occurrences) * DATE_S + self.items * ITEM_S

    @property
    def contradictions(self) -> frozenset[Note]:
        """Time zones of the documents that are not what their names say."""
        notes = (note for occurrence in self.occurrences for note in occurrence.notes)
        return frozenset(note for note in notes if note.reason in _ABOUT_DOCUMENTS)


class SeriesParser:
    """Understands the UIDs of one source; each context is looked into once, when it is first needed.

    `scope` is part of every key: empty when a UID means the same meeting in all sources.
    """

    def __init__(
        self,
        contexts: Mapping[str, Context],
        *,
        source: str,
        scope: str,
        locale: Locale,
        max_occurrences: int = MAX_OCCURRENCES,
    ) -> None:
        # Plain dictionaries, because it may go to another process.
        self._contexts = dict(contexts)
        self._source = source
        self._scope = scope
        self._max_occurrences = max_occurrences
        self._locale = replace(locale, aliases=dict(locale.aliases))
        self._calendars: dict[str, RawCalendar] = {}
        self._parsed_contexts: dict[str, ParsedContext] = {}
        self._plain: dict[str, bool] = {}

    def __getstate__(self) -> dict[str, object]:
        """What was looked up stays behind when it goes to another process."""
        return self.__dict__ | {"_calendars": {}, "_parsed_contexts": {}}

    def for_work(self, work: Iterable[Sequence[RawEvent]]) -> SeriesParser:
        """The same with no more of what stands around than these pieces need, for another process."""
        needed = {raw_event.context for raw_events in work for raw_event in raw_events}
        return SeriesParser(
            {key: self._contexts[key] for key in needed},
            source=self._source,
            scope=self._scope,
            locale=self._locale,
            max_occurrences=self._max_occurrences,
        )

    def document_of(self, raw_event: RawEvent) -> str:
        """The name of the document that a piece stands in."""
        return self._contexts[raw_event.context].document

    def is_plain(self, raw_events: Sequence[RawEvent]) -> bool:
        """Whether understanding these pieces is certain to cost little; see `syncd.ics.plain`."""
        return is_plain(raw_events) and all(
            self._is_plain_around(raw_event.context) for raw_event in raw_events
        )

    def _is_plain_around(self, key: str) -> bool:
        if key not in self._plain:
            self._plain[key] = is_plain_context(self._contexts[key].text)
        return self._plain[key]

    @property
    def refresh_after(self) -> timedelta | None:
        """How long the calendars ask to be left alone; the longest of them counts."""
        asking = [
            key
            for key, context in self._contexts.items()
            if any(f"{name}:".encode() in context.text for name in _ASKS)
        ]
        return max(filter(None, (_refresh_after(self._calendar(key)) for key in asking)), default=None)

    @property
    def notes(self) -> frozenset[Note]:
        """What is to be said of whole documents although they were read."""
        notes = set()
        for context in self._contexts.values():
            if f"\r\n{BESIDE}\r\n".encode() in context.text:
                notes.add(Note(Reason.TEXT_AROUND, _TEXT_AROUND.format(context.document)))
            if f"\r\n{GUESSED}\r\n".encode() in context.text:
                notes.add(_charset_unknown(context.document))
        return frozenset(notes)

    def parse(self, uid: str, raw_events: Sequence[RawEvent], window: Window) -> ParsedSeries:
        """What all VEVENTs of one UID say; `uid` is empty for those that have none.

        What cannot be understood is told with its line and never guessed; one defect quarantines the UID.
        """
        components: list[Component] = []
        defects: list[Defect] = []
        broken: dict[str, str] = {}  # the context of each VCALENDAR
        stating = [raw_event for raw_event in raw_events if not self._says_nothing(raw_event.context)]
        for raw_event in stating:
            try:
                component = self._component(uid, raw_event)
            except BrokenComponent as error:
                document = self._contexts[raw_event.context].document
                defects.append(Defect(uid, raw_event.line, error.reason, error.detail, document))
                broken[raw_event.vcalendar] = raw_event.context
            else:
                components += [component] if component is not None else []
        components = self._beside_broken(components, broken)
        if not components:
            return _quarantined(uid, defects)
        components.sort(key=lambda component: (component.document, component.line))
        try:
            whole = self._whole(uid, components, window)
        except (BrokenComponent, OverflowError) as error:
            unclear = self._broken_alone(uid, components, window)
            defects += unclear.values() or [_defect(uid, components, error)]
            broken |= {
                raw_event.vcalendar: raw_event.context
                for raw_event in stating
                if raw_event.vcalendar in unclear
            }
            components = self._beside_broken(components, broken) if unclear else []
            if not components:
                return _quarantined(uid, defects)
            try:
                whole = self._whole(uid, components, window)
            except (BrokenComponent, OverflowError) as again:
                defects.append(_defect(uid, components, again))
                return _quarantined(uid, defects)
        occurrences = self._noted(whole.occurrences, raw_events)
        presence = _presence(whole.copies, occurrences, defects)
        if differ_without_revision(whole.copies):
            first = components[0]
            defects.append(Defect(uid, first.line, Reason.BROKEN_PROPERTY, _SEVERAL_DATES, first.document))
            occurrences = [replace(occurrence, contested=True) for occurrence in occurrences]
            presence = Presence.QUARANTINED
        return ParsedSeries(
            uid=uid,
            occurrences=tuple(sorted(occurrences, key=lambda o: o.key)),
            presence=presence,
            defects=tuple(defects),
            next_start=whole.next_start,
        )

    def _whole(self, uid: str, components: Sequence[Component], window: Window) -> _Whole:
        """Return the copies that some components are, with their dates; raises `BrokenComponent`."""
        copies = copies_of(components)
        occurrences = [o for copy in copies for o in self._occurrences(uid, copy, window)]
        check_items(occurrences)
        starts = [copy.next_start(window.reach) for copy in copies]
        found = (start for start in starts if start is not None)
        return _Whole(copies, occurrences, min(found, default=None))

    def _broken_alone(self, uid: str, components: Sequence[Component], window: Window) -> dict[str, Defect]:
        """Return the VCALENDARs that make no sense by themselves, each with what is wrong; none if all do.

        What somebody wrote into a file of his own must not hold up the good copies of others.
        """
        said: dict[str, list[Component]] = {}
        for component in components:
            said.setdefault(component.calendar, []).append(component)
        unclear: dict[str, Defect] = {}
        for calendar, own in said.items():
            try:
                self._whole(uid, own, window)
            except (BrokenComponent, OverflowError) as error:
                unclear[calendar] = _defect(uid, own, error)
        return unclear

    def _says_nothing(self, key: str) -> bool:
        """Tell whether a VCALENDAR holds what a guest answers or asks, which says nothing of the meeting.

        Looked at before its events are read, which may lack what a meeting has.
        """
        method = self._calendar(key).properties.get("METHOD", "")
        return method.strip().upper() in SAYS_NOTHING

    def _beside_broken(self, components: list[Component], broken: Mapping[str, str]) -> list[Component]:
        """Return the components of whole copies, unless the broken one is that which decides.

        A broken copy in somebody's file must not hold up the good one of another. But where the administrator
        said that the broken one is the organizer's, no other may speak for it.
        """
        if not broken:
            return components
        whole = [component for component in components if component.calendar not in broken]
        owners = {address for key in broken.values() for address in self._parsed_context(key).owners}
        if any(owners & component.organizer for component in whole):
            return []
        return whole

    def _occurrences(self, uid: str, copy: Copy, window: Window) -> Iterator[Occurrence]:
        templates: dict[int, Occurrence] = {}
        for component in (*copy.chosen, *copy.added):
            said = (*copy.notes, *component.template.notes, *_zone_notes(component, window))
            explicit = component.recurrence_id is not None
            templates[id(component)] = replace(component.template, notes=said, explicit=explicit)
        count = _Count(self._max_occurrences, window)
        instances: list[Instance] = []
        for instance in copy.instances(window):
            if touches(instance, window):
                count.add(instance)
                instances.append(instance)
            else:
                count.pass_over()
        single = _alarms_of_single_dates(instances, copy)
        for instance in instances:
            key = OccurrenceKey(self._scope, uid, instance.recurrence_id)
            template = templates[id(instance.component)]
            alarms = single.get(instance.recurrence_id, template.alarms)
            yield replace(template, key=key, when=instance.when, alarms=alarms)

    def _noted(self, occurrences: list[Occurrence], raw_events: Sequence[RawEvent]) -> list[Occurrence]:
        """Return the occurrences, with a note where letters of their event were guessed."""
        guessed = {
            self._contexts[raw_event.context].document
            for raw_event in raw_events
            if is_guessed(raw_event.text)
        }
        if not guessed:
            return occurrences
        notes = tuple(map(_charset_unknown, sorted(guessed)))
        return [replace(occurrence, notes=occurrence.notes + notes) for occurrence in occurrences]

    def _component(self, uid: str, raw_event: RawEvent) -> Component | None:
        """The values of a piece, None if its UIDs have defects of their own; raises `BrokenComponent`."""
        raw = RawComponent("VEVENT", raw_event.line, tuple(lines_of(raw_event)))
        if len(raw.uids) > 1:
            if not uid:
                return None
            raise BrokenComponent(Reason.BROKEN_PROPERTY, _SEVERAL_UIDS)
        if not uid:
            raise BrokenComponent(Reason.NO_UID, "the event has no UID, so it cannot be followed")
        component = parse_component(raw, self._parsed_context(raw_event.context))
        return replace(component, calendar=raw_event.vcalendar) if raw_event.calendar else component

    def _parsed_context(self, key: str) -> ParsedContext:
        if key not in self._parsed_contexts:
            context, calendar = self._contexts[key], self._calendar(key)
            self._parsed_contexts[key] = ParsedContext(
                source=self._source,
                document=context.document,
                calendar=key,
                base_url=context.base_url,
                zones=self._locale.zones_of(calendar),
                method=calendar.properties.get("METHOD", "").strip().upper(),
                owners=self._owners(context.document),
                claims=_claims(calendar),
            )
        return self._parsed_contexts[key]

    def _owners(self, document: str) -> frozenset[str]:
        """Return the addresses whose calendar the administrator said that a document is.

        A name of a file that is an address says so for that file, else the `owner` of the source does.
        """
        name = re.sub(r"\.ics$", "", document.rpartition("/")[2], flags=re.IGNORECASE)
        address = address_of(name)
        if _ADDRESS.fullmatch(address):
            return frozenset({address})
        return frozenset({self._locale.owner}) if self._locale.owner else frozenset()

    def _calendar(self, key: str) -> RawCalendar:
        if key not in self._calendars:
            (self._calendars[key],) = split(self._contexts[key].text)
        return self._calendars[key]


def lines_of(raw_event: RawEvent) -> Iterator[str]:
    """Yield the content lines of an event, unfolded."""
    for _, line in content_lines(decode(raw_event.text)):
        yield line


_TEXT_AROUND = "text around the calendar in {} was left out; look at what makes it"


def _charset_unknown(document: str) -> Note:
    return Note(
        Reason.CHARSET_UNKNOWN,
        f"bytes of {document} that are not UTF-8 were read as Windows-1252; save it as UTF-8, or have its "
        "server name the charset",
    )


class _Count:
    """Counts the dates of one UID, those within the horizon and those that are looked at behind it."""

    def __init__(self, most: int, window: Window) -> None:
        self._most, self._end = most, window.end
        horizon = max(window.end - window.start, ONE_DAY)
        self._left = most
        self._left_behind = most * (1 + ceil((window.reach - window.end) / horizon))
        self._left_outside = MAX_DATES_PASSED

    def pass_over(self) -> None:
        """Count a date that is over; raises `BrokenComponent` if there are too many to look at."""
        self._left_outside -= 1
        if self._left_outside < 0:
            raise BrokenComponent(
                Reason.TOO_MANY_OCCURRENCES,
                f"the event has more than {MAX_DATES_PASSED} dates just before the horizon; give its rule a "
                "longer interval",
            )

    def add(self, instance: Instance) -> None:
        """One more; raises `BrokenComponent` if that is too many."""
        within = instance.starts_before(self._end)
        self._left -= within
        self._left_behind -= not within
        if self._left < 0 or self._left_behind < 0:
            raise BrokenComponent(
                Reason.TOO_MANY_OCCURRENCES,
                f"the event has more than {self._most} dates within the horizon; "
                "raise calendar.max_occurrences if that is right",
            )


def _items_of(occurrence: Occurrence) -> int:
    """The attendees, alarms and attachments of an occurrence, and its text and data by length."""
    texts = (occurrence.summary, occurrence.description, occurrence.location, occurrence.joining_link)
    inline = (a.data for a in occurrence.attachments if isinstance(a, Inline))
    length = sum(map(len, texts)) + sum(len(data) for data in inline if data)
    listed = len(occurrence.attendees) + len(occurrence.alarms) + len(occurrence.attachments)
    return listed + length // ITEM_LENGTH


def check_items(occurrences: Sequence[Occurrence]) -> None:
    """Refuse what would be costly after it was understood; raises `BrokenComponent`."""
    if ParsedSeries("", tuple(occurrences)).items > MAX_ITEMS:
        raise BrokenComponent(
            Reason.TOO_COSTLY,
            f"its {len(occurrences)} dates hold more than {MAX_ITEMS} attendees, alarms, attachments and "
            "pieces of text in all; shorten what stands in the event, or its series",
        )


def _defect(uid: str, components: Sequence[Component], error: BrokenComponent | OverflowError) -> Defect:
    """Return what is wrong with some components, told at the first of them."""
    told = error if isinstance(error, BrokenComponent) else out_of_range()
    first = components[0]
    return Defect(uid, first.line, told.reason, told.detail, first.document)


def _quarantined(uid: str, defects: Sequence[Defect]) -> ParsedSeries:
    return ParsedSeries(
        uid, presence=Presence.QUARANTINED if uid and defects else None, defects=tuple(defects)
    )


def _refresh_after(calendar: RawCalendar) -> timedelta | None:
    """How long a calendar asks to be left alone, a day at most."""
    for name in _ASKS:
        with contextlib.suppress(BrokenComponent, OverflowError):
            interval = parse_duration(calendar.properties.get(name, "")).rough
            if interval > timedelta():
                return min(interval, ONE_DAY)
    return None


def _claims(calendar: RawCalendar) -> frozenset[str]:
    """Return the addresses of the person whose calendar it is, as the calendar itself says.

    Google and Nextcloud write them into X-WR-CALNAME, Apple and Zimbra into X-OWNER or X-WR-RELCALID.
    """
    names = [calendar.properties.get(name, "") for name in ("X-WR-CALNAME", "X-OWNER", "X-WR-RELCALID")]
    return frozenset(address for name in names if _ADDRESS.fullmatch(address := address_of(name)))


def _presence(
    copies: Sequence[Copy], occurrences: Sequence[Occurrence], defects: Sequence[Defect]
) -> Presence | None:
    """Return how a UID stands in its source; None if it is not there.

    What is missing beside a broken copy proves nothing, unless the copy of the organizer is whole.
    """
    if not copies:
        return Presence.QUARANTINED if defects else None
    if defects and not any(o.authority is Authority.ORGANIZER for o in occurrences):
        return Presence.QUARANTINED
    stands = {copy.presence for copy in copies}
    return Presence.SERIES if Presence.SERIES in stands else Presence.DETACHED


def _zone_notes(component: Component, window: Window) -> Iterator[Note]:
    """A time zone of the document that is not what its name says."""
    detail = component.zones.contradiction(component.start.tzid, window.start)
    if detail:
        yield Note(Reason.TIMEZONE_CONTRADICTS, detail)


def _alarms_of_single_dates(instances: Sequence[Instance], copy: Copy) -> dict[str | None, tuple[Alarm, ...]]:
    """Return the alarms, by recurrence id, of dates whose series has some at an absolute time.

    Such an alarm fires once (RFC 5545 section 3.8.6.3), so it belongs to the next date after it alone.
    """
    concerned = [
        instance
        for instance in instances
        if (instance.component.recurs or instance.component.this_and_future)
        and any(alarm.at is not None for alarm in instance.component.template.alarms)
    ]
    if not concerned:
        return {}
    begins = [begin_of(instance) for instance in concerned]
    window = Window(min(begins) - LONGEST_LEAD, max(begins), max(begins))
    known = sorted({*begins, *_begins(copy, window)})
    found: dict[str | None, tuple[Alarm, ...]] = {}
    for instance, begin in zip(concerned, begins, strict=True):
        place = bisect_left(known, begin)
        since = known[place - 1] if place else begin - LONGEST_LEAD
        alarms = instance.component.template.alarms
        found[instance.recurrence_id] = tuple(a for a in alarms if a.at is None or since < a.at <= begin)
    return found


def _begins(copy: Copy, window: Window) -> set[datetime]:
    """Return when the dates around a window begin, none where they are too many."""
    with contextlib.suppress(BrokenComponent):
        return {begin_of(instance) for instance in copy.instances(window)}
    return set()


def touches(instance: Instance, window: Window) -> bool:
    """Whether an occurrence is not over; whole days count a day longer, their zone is decided later."""
    match instance.when:
        case Days(end=end):
            return datetime.combine(end, time(), UTC) > window.start - ONE_DAY
        case Moment(start=end) | Timespan(end=end):
            return end > window.start
