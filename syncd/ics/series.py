"""The VEVENTs of one UID to its occurrences and defects.

Each UID is parsed by itself, from its own text and from what stands around it in its documents, so a bad
series costs one series, and what was parsed of a UID stays true while its text stays.
Which of several components with one identity counts never depends on the order in which they stand.
Knows no documents as a whole: whether they are complete is judged where they are split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from itertools import chain

from syncd.core.bounds import DATE_S, ITEM_S, MAX_OCCURRENCES
from syncd.core.occurrence import (
    Authority,
    Days,
    Defect,
    Moment,
    Occurrence,
    OccurrenceKey,
    Presence,
    Timespan,
    Window,
)
from syncd.core.reasons import Note, Reason
from syncd.ics.absolute_alarms import alarms_by_date
from syncd.ics.component import Component, parse_component
from syncd.ics.content import (
    NO_PART_OF_A_LINE,
    BrokenComponent,
    RawComponent,
    content_lines,
    decode,
    is_guessed,
)
from syncd.ics.contexts import Contexts, Locale, charset_unknown
from syncd.ics.copies import Copy, copies_of, differ_without_revision
from syncd.ics.event_text import identified
from syncd.ics.limits import DateLimits, check_items, items_of
from syncd.ics.plain import is_plain
from syncd.ics.recurrence import Instance
from syncd.ics.times import out_of_range
from syncd.ics.vevent import Context, RawEvent
from syncd.ics.zones import ONE_DAY

# Without these, lines are unfolded all at once, which takes a fifth of the time.
_NOT_PLAIN = ("\r", "\n\n", *NO_PART_OF_A_LINE)
_SEVERAL_DATES = (
    "the event stands in several calendars at different times, and neither SEQUENCE nor LAST-MODIFIED tells "
    "which is the newest"
)
_ABOUT_DOCUMENTS = frozenset({Reason.TIMEZONE_CONTRADICTS, Reason.CHARSET_UNKNOWN})
_SEVERAL_UIDS = "the event has several UIDs, so lines between two events are lost"


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
    `cpu_s` is the CPU that parsing it took.
    """

    uid: str
    occurrences: tuple[Occurrence, ...] = ()
    presence: Presence | None = None
    defects: tuple[Defect, ...] = ()
    next_start: datetime | None = None
    cpu_s: float = field(default=0.0, compare=False)

    @property
    def items(self) -> int:
        """Return how many attendees, alarms, attachments and pieces of text its occurrences have in all."""
        return items_of(self.occurrences)

    @property
    def cost_s(self) -> float:
        """Return about how much CPU it takes in all: parsed, and then mapped, planned and recorded."""
        dates_s = len(self.occurrences) * DATE_S
        items_s = self.items * ITEM_S
        return self.cpu_s + dates_s + items_s

    @property
    def contradictions(self) -> frozenset[Note]:
        """Return the notes of its occurrences that are about whole documents."""
        notes = chain.from_iterable(occurrence.notes for occurrence in self.occurrences)
        return frozenset(note for note in notes if note.reason in _ABOUT_DOCUMENTS)


@dataclass(slots=True)
class _Sorted:
    """The VEVENTs of one UID, the parsed ones apart from defects.

    `broken` are the keys of the VCALENDARs that have a defect.
    """

    raw_events: Sequence[RawEvent]
    components: list[Component] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


class SeriesParser:
    """Parses the UIDs of one source.

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
        self._contexts = Contexts(contexts, source, locale)
        self._scope = scope
        self._max_occurrences = max_occurrences

    def for_work(self, work: Iterable[Sequence[RawEvent]]) -> SeriesParser:
        """Return a parser with no more contexts than these series need, for another process."""
        needed: set[str] = set()
        for raw_events in work:
            needed.update(raw_event.context for raw_event in raw_events)
        return SeriesParser(
            self._contexts.subset(needed),
            source=self._contexts.source,
            scope=self._scope,
            locale=self._contexts.locale,
            max_occurrences=self._max_occurrences,
        )

    def document_of(self, raw_event: RawEvent) -> str:
        """Return the name of the document that a VEVENT stands in."""
        return self._contexts.document(raw_event.context)

    def is_plain(self, raw_events: Sequence[RawEvent]) -> bool:
        """Tell whether parsing these VEVENTs is certain to cost little; see `syncd.ics.plain`."""
        if not is_plain(raw_events):
            return False
        return all(
            self._contexts.is_plain(raw_event.context) for raw_event in raw_events
        )

    @property
    def refresh_after(self) -> timedelta | None:
        """Return how long the calendars ask to be left alone; the longest of them counts."""
        return self._contexts.refresh_after

    @property
    def notes(self) -> frozenset[Note]:
        """Return what is to be said of whole documents although they were read."""
        return self._contexts.notes

    def parse(
        self, uid: str, raw_events: Sequence[RawEvent], window: Window
    ) -> ParsedSeries:
        """Return what all VEVENTs of one UID say; `uid` is empty for those that have none.

        What cannot be parsed is told with its line and never guessed; one defect quarantines the UID.
        """
        series = self._parse(uid, raw_events, window)
        if not series.defects:
            return series
        defects = identified(series.defects, raw_events, self.document_of)
        return replace(series, defects=defects)

    def _parse(
        self, uid: str, raw_events: Sequence[RawEvent], window: Window
    ) -> ParsedSeries:
        """Return what all VEVENTs of one UID say; its defects lack the topic and the fingerprint."""
        found = self._parse_components(uid, raw_events)
        components = self._whole_copies(found)
        if not components:
            return _quarantined(uid, found.defects)
        whole = self._whole(uid, components, window)
        if isinstance(whole, Defect):
            self._sort_out_broken(uid, found, components, whole, window)
            components = self._whole_copies(found)
            if not components:
                return _quarantined(uid, found.defects)
            whole = self._whole(uid, components, window)
            if isinstance(whole, Defect):
                return _quarantined(uid, [*found.defects, whole])
        occurrences = self._with_notes(whole.occurrences, raw_events)
        presence = _presence(whole.copies, occurrences, found.defects)
        if differ_without_revision(whole.copies):
            error = BrokenComponent(Reason.BROKEN_PROPERTY, _SEVERAL_DATES)
            found.defects.append(_defect(uid, components, error))
            occurrences = [
                replace(occurrence, contested=True) for occurrence in occurrences
            ]
            presence = Presence.QUARANTINED
        occurrences.sort(key=lambda occurrence: occurrence.key)
        return ParsedSeries(
            uid=uid,
            occurrences=tuple(occurrences),
            presence=presence,
            defects=tuple(found.defects),
            next_start=whole.next_start,
        )

    def _parse_components(self, uid: str, raw_events: Sequence[RawEvent]) -> _Sorted:
        """Return the VEVENTs that say what the meeting is, parsed in the order of their documents."""
        telling = [
            raw_event
            for raw_event in raw_events
            if not self._contexts.says_nothing(raw_event.context)
        ]
        found = _Sorted(telling)
        for raw_event in telling:
            try:
                component = self._component(uid, raw_event)
            except BrokenComponent as error:
                found.defects.append(
                    Defect(
                        uid=uid,
                        line=raw_event.line,
                        reason=error.reason,
                        detail=error.detail,
                        document=self.document_of(raw_event),
                        about=error.about,
                    )
                )
                found.broken.add(raw_event.vcalendar)
            else:
                if component is not None:
                    found.components.append(component)
        found.components.sort(
            key=lambda component: (component.document, component.line)
        )
        return found

    def _component(self, uid: str, raw_event: RawEvent) -> Component | None:
        """Return a VEVENT as values, None if its UIDs have defects of their own; raises `BrokenComponent`."""
        lines = tuple(lines_of(raw_event))
        raw = RawComponent("VEVENT", raw_event.line, lines)
        if len(raw.uids) > 1:
            if not uid:
                return None
            raise BrokenComponent(Reason.BROKEN_PROPERTY, _SEVERAL_UIDS)
        if not uid:
            raise BrokenComponent(
                Reason.NO_UID, "the event has no UID, so it cannot be followed"
            )
        context = self._contexts.parsed(raw_event.context)
        component = parse_component(raw, context)
        if raw_event.calendar:
            # One of several VCALENDARs with this context.
            return replace(component, calendar=raw_event.vcalendar)
        return component

    def _whole_copies(self, found: _Sorted) -> list[Component]:
        """Return the components of VCALENDARs without defects; none if a broken one is that which decides.

        A broken copy in somebody's file must not hold up the good one of another. But where the administrator
        said that the broken one is the organizer's, no other may speak for it.
        """
        if not found.broken:
            return found.components
        owners: set[str] = set()
        for raw_event in found.raw_events:
            if raw_event.vcalendar in found.broken:
                context = self._contexts.parsed(raw_event.context)
                owners.update(context.owners)
        whole = [
            component
            for component in found.components
            if component.calendar not in found.broken
        ]
        if any(owners & component.organizer for component in whole):
            return []
        return whole

    def _whole(
        self, uid: str, components: Sequence[Component], window: Window
    ) -> _Whole | Defect:
        """Return the copies that some components are, with their dates; a defect if they make no sense."""
        try:
            copies = copies_of(components)
            occurrences: list[Occurrence] = []
            for copy in copies:
                occurrences += self._occurrences(uid, copy, window)
            check_items(occurrences)
            starts = [copy.next_start(window.reach) for copy in copies]
        except (BrokenComponent, OverflowError) as error:
            return _defect(uid, components, error)
        next_starts = [start for start in starts if start is not None]
        return _Whole(copies, occurrences, min(next_starts, default=None))

    def _sort_out_broken(
        self,
        uid: str,
        found: _Sorted,
        components: Sequence[Component],
        defect: Defect,
        window: Window,
    ) -> None:
        """Record which VCALENDARs make no sense by themselves, or that the components do so only together.

        What somebody wrote into a file of his own must not hold up the good copies of others.
        """
        by_calendar: dict[str, list[Component]] = {}
        for component in components:
            own = by_calendar.setdefault(component.calendar, [])
            own.append(component)
        unclear: dict[str, Defect] = {}
        for calendar, own in by_calendar.items():
            whole = self._whole(uid, own, window)
            if isinstance(whole, Defect):
                unclear[calendar] = whole
        if unclear:
            found.defects += unclear.values()
            found.broken |= unclear.keys()
        else:
            found.defects.append(defect)
            found.broken |= by_calendar.keys()

    def _occurrences(
        self, uid: str, copy: Copy, window: Window
    ) -> Iterator[Occurrence]:
        """Yield the occurrences of a copy that are not over; raises `BrokenComponent`."""
        templates: dict[int, Occurrence] = {}
        for component in (*copy.chosen, *copy.added):
            template = component.template
            zone_notes = _zone_notes(component, window)
            notes = (*copy.notes, *template.notes, *zone_notes)
            explicit = component.recurrence_id is not None
            if (notes, explicit) != (template.notes, template.explicit):
                template = replace(template, notes=notes, explicit=explicit)
            templates[id(component)] = template
        limits = DateLimits(self._max_occurrences, window)
        instances: list[Instance] = []
        for instance in copy.instances(window):
            if touches(instance, window):
                limits.add(instance)
                instances.append(instance)
            else:
                limits.pass_over()
        own_alarms = alarms_by_date(instances, copy)
        for instance in instances:
            recurrence_id = instance.recurrence_id
            template = templates[id(instance.component)]
            yield replace(
                template,
                key=OccurrenceKey(self._scope, uid, recurrence_id),
                when=instance.when,
                alarms=own_alarms.get(recurrence_id, template.alarms),
            )

    def _with_notes(
        self, occurrences: list[Occurrence], raw_events: Sequence[RawEvent]
    ) -> list[Occurrence]:
        """Return the occurrences, with a note where letters of their event were guessed."""
        guessed = {
            self.document_of(raw_event)
            for raw_event in raw_events
            if is_guessed(raw_event.text)
        }
        if not guessed:
            return occurrences
        notes = tuple(map(charset_unknown, sorted(guessed)))
        return [
            replace(occurrence, notes=occurrence.notes + notes)
            for occurrence in occurrences
        ]


def lines_of(raw_event: RawEvent) -> Sequence[str]:
    """Return the content lines of an event, unfolded."""
    text = decode(raw_event.text)
    plain = text.replace("\r\n", "\n")
    if any(map(plain.__contains__, _NOT_PLAIN)) or plain.startswith((" ", "\t", "\n")):
        return [line for _, line in content_lines(text)]
    unfolded = plain.replace("\n ", "").replace("\n\t", "")
    return unfolded.removesuffix("\n").split("\n")


def _defect(
    uid: str, components: Sequence[Component], error: BrokenComponent | OverflowError
) -> Defect:
    """Return what is wrong with some components, told at the first of them."""
    told = error if isinstance(error, BrokenComponent) else out_of_range()
    first = components[0]
    return Defect(
        uid=uid,
        line=first.line,
        reason=told.reason,
        detail=told.detail,
        document=first.document,
        about=told.about,
    )


def _quarantined(uid: str, defects: Sequence[Defect]) -> ParsedSeries:
    presence = Presence.QUARANTINED if uid and defects else None
    return ParsedSeries(uid, presence=presence, defects=tuple(defects))


def _presence(
    copies: Sequence[Copy], occurrences: Sequence[Occurrence], defects: Sequence[Defect]
) -> Presence | None:
    """Return how a UID stands in its source; None if it is not there.

    What is missing beside a broken copy proves nothing, unless the copy of the organizer is whole.
    """
    if not copies:
        return Presence.QUARANTINED if defects else None
    if defects:
        authorities = {occurrence.authority for occurrence in occurrences}
        if Authority.ORGANIZER not in authorities:
            return Presence.QUARANTINED
    if any(copy.presence is Presence.SERIES for copy in copies):
        return Presence.SERIES
    return Presence.DETACHED


def _zone_notes(component: Component, window: Window) -> Iterator[Note]:
    """Yield a note if the time zone of a start is not what its name says."""
    detail = component.zones.contradiction(component.start.tzid, window.start)
    if detail:
        yield Note(Reason.TIMEZONE_CONTRADICTS, detail)


def touches(instance: Instance, window: Window) -> bool:
    """Tell whether an occurrence is not over; whole days count a day longer, their zone is decided later."""
    match instance.when:
        case Days(end=end):
            return datetime.combine(end, time(), UTC) > window.start - ONE_DAY
        case Moment(start=end) | Timespan(end=end):
            return end > window.start
