"""The VEVENTs of one UID to its occurrences and defects.

Each UID is understood by itself, from its own text and from what stands around it in its documents, so a bad
series costs one series, and what is understood of a UID stays true while its text stays.
Chooses among components with one identity, never by the order in which they stand.
Knows no documents as a whole: whether they are complete is judged where they are taken apart.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from syncd.core.occurrence import (
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
from syncd.ics.component import Component, Surroundings, address_of, out_of_range, parse
from syncd.ics.components import BrokenComponent, RawCalendar, RawComponent, content_lines, decode, split
from syncd.ics.duration import parse_duration
from syncd.ics.pieces import Context, Piece
from syncd.ics.recurrence import Instance, expand, next_start, original_start
from syncd.ics.zones import ONE_DAY, Zones

_ADDRESS = re.compile(r"[^@\s/]+@[^@\s/]+\.[^@\s/]+")
_ASKS = ("REFRESH-INTERVAL", "X-PUBLISHED-TTL")  # RFC 7986 section 5.7, and Outlook's name
_SEVERAL_UIDS = "the event has several UIDs, so lines between two events are lost"


@dataclass(frozen=True, slots=True)
class Locale:
    """How times without a usable zone are read.

    `floating` decides for the source (None: X-WR-TIMEZONE of the calendar, else `default`);
    `aliases` are TZIDs that only the administrator can know.
    """

    default: ZoneInfo
    floating: ZoneInfo | None = None
    aliases: Mapping[str, ZoneInfo] = field(default_factory=dict)

    def zones_of(self, calendar: RawCalendar) -> Zones:
        """The zones of one VCALENDAR."""
        definitions = (component for component in calendar.components if component.name == "VTIMEZONE")
        said = calendar.properties.get("X-WR-TIMEZONE", "")
        return Zones(definitions, self.aliases, self.floating or said or self.default)


@dataclass(frozen=True, slots=True)
class Understood:
    """What one UID of a source says for a window.

    `presence` is None where there is no component with a UID.
    `next_start` is when the first occurrence begins that begins at or after the window's reach, or earlier;
    None: there is none, however far one looks.
    `rivals`: several components have one identity, so what tells the newest of them matters, DTSTAMP too.
    """

    uid: str
    occurrences: tuple[Occurrence, ...] = ()
    presence: Presence | None = None
    defects: tuple[Defect, ...] = ()
    next_start: datetime | None = None
    rivals: bool = False

    @property
    def contradictions(self) -> frozenset[Note]:
        """Time zones of the documents that are not what their names say."""
        notes = (note for occurrence in self.occurrences for note in occurrence.notes)
        return frozenset(note for note in notes if note.reason is Reason.TIMEZONE_CONTRADICTS)


class Understanding:
    """Understands the UIDs of one source; each context is looked into once, when it is first needed.

    `scope` is part of every key: empty when a UID means the same meeting in all sources.
    """

    def __init__(self, contexts: Mapping[str, Context], *, source: str, scope: str, locale: Locale) -> None:
        # Plain dictionaries, because it may go to another process.
        self._contexts = dict(contexts)
        self._source = source
        self._scope = scope
        self._locale = replace(locale, aliases=dict(locale.aliases))
        self._calendars: dict[str, RawCalendar] = {}
        self._surroundings: dict[str, Surroundings] = {}

    def __getstate__(self) -> dict[str, object]:
        """What was looked up stays behind when it goes to another process."""
        return self.__dict__ | {"_calendars": {}, "_surroundings": {}}

    @property
    def refresh_after(self) -> timedelta | None:
        """How long the calendars ask to be left alone; the longest of them counts."""
        asking = [
            key
            for key, context in self._contexts.items()
            if any(f"{name}:".encode() in context.text for name in _ASKS)
        ]
        return max(filter(None, (_refresh_after(self._calendar(key)) for key in asking)), default=None)

    def of(self, uid: str, pieces: Sequence[Piece], window: Window) -> Understood:
        """What all VEVENTs of one UID say; `uid` is empty for those that have none.

        What cannot be understood is told with its line and never guessed; one defect quarantines the UID.
        """
        components: list[Component] = []
        defects: list[Defect] = []
        for piece in pieces:
            try:
                component = self._component(uid, piece)
            except BrokenComponent as broken:
                document = self._contexts[piece.context].document
                defects.append(Defect(uid, piece.line, broken.reason, broken.detail, document))
            else:
                components += [component] if component is not None else []
        if defects or not components:
            return _quarantined(uid, defects)
        components.sort(key=lambda component: (component.document, component.line))
        rivals = True  # until it is known: the newest of them may come to be told by DTSTAMP
        try:
            copies = _by_identity(components)
            rivals = len(copies) < len(components)
            chosen = sorted(map(_deciding, copies), key=lambda c: (c.document, c.line))
            occurrences = tuple(self._occurrences(uid, chosen, _notes(copies), window))
            following = next_start(chosen, window.reach)
        except (BrokenComponent, OverflowError) as error:
            reason = error if isinstance(error, BrokenComponent) else out_of_range()
            first = components[0]
            defects = [Defect(uid, first.line, reason.reason, reason.detail, first.document)]
            return replace(_quarantined(uid, defects), rivals=rivals)
        of_master = any(component.recurrence_id is None for component in chosen)
        presence = Presence.SERIES if of_master else Presence.DETACHED
        return Understood(
            uid, tuple(sorted(occurrences, key=lambda o: o.key)), presence, (), following, rivals
        )

    def _occurrences(
        self, uid: str, chosen: Sequence[Component], notes: tuple[Note, ...], window: Window
    ) -> Iterator[Occurrence]:
        templates = {
            id(component): replace(component.template, notes=(*notes, *_zone_notes(component, window)))
            for component in chosen
        }
        for instance in expand(chosen, window):
            if touches(instance, window):
                key = OccurrenceKey(self._scope, uid, instance.recurrence_id)
                yield replace(templates[id(instance.component)], key=key, when=instance.when)

    def _component(self, uid: str, piece: Piece) -> Component | None:
        """The values of a piece, None if its UIDs have defects of their own; raises `BrokenComponent`."""
        lines = tuple(line for _, line in content_lines(decode(piece.text)))
        raw = RawComponent("VEVENT", piece.line, lines)
        if len(raw.uids) > 1:
            if not uid:
                return None
            raise BrokenComponent(Reason.BROKEN_PROPERTY, _SEVERAL_UIDS)
        if not uid:
            raise BrokenComponent(Reason.NO_UID, "the event has no UID, so it cannot be followed")
        return parse(raw, self._around(piece.context))

    def _around(self, key: str) -> Surroundings:
        if key not in self._surroundings:
            context, calendar = self._contexts[key], self._calendar(key)
            self._surroundings[key] = Surroundings(
                source=self._source,
                document=context.document,
                base_url=context.base_url,
                zones=self._locale.zones_of(calendar),
                method_cancel=calendar.properties.get("METHOD", "").upper() == "CANCEL",
                owners=_owners(calendar, context.document),
            )
        return self._surroundings[key]

    def _calendar(self, key: str) -> RawCalendar:
        if key not in self._calendars:
            (self._calendars[key],) = split(self._contexts[key].text)
        return self._calendars[key]


def _quarantined(uid: str, defects: Sequence[Defect]) -> Understood:
    return Understood(uid, presence=Presence.QUARANTINED if uid and defects else None, defects=tuple(defects))


def _refresh_after(calendar: RawCalendar) -> timedelta | None:
    """How long a calendar asks to be left alone, a day at most."""
    for name in _ASKS:
        with contextlib.suppress(BrokenComponent, OverflowError):
            interval = parse_duration(calendar.properties.get(name, "")).rough
            if interval > timedelta():
                return min(interval, ONE_DAY)
    return None


def _owners(calendar: RawCalendar, document: str) -> frozenset[str]:
    """The addresses of the person whose calendar it is, from its own properties and the file's name.

    Google and Nextcloud write them into X-WR-CALNAME, Apple and Zimbra into X-OWNER or X-WR-RELCALID.
    """
    names = [calendar.properties.get(name, "") for name in ("X-WR-CALNAME", "X-OWNER", "X-WR-RELCALID")]
    names.append(re.sub(r"\.ics$", "", document.rpartition("/")[2], flags=re.IGNORECASE))
    return frozenset(address for name in names if _ADDRESS.fullmatch(address := address_of(name)))


def _by_identity(components: Sequence[Component]) -> list[list[Component]]:
    """The components of each identity: none, or each original start in the terms of the deciding master."""
    masters = [component for component in components if component.recurrence_id is None]
    master = _deciding(masters) if masters else None
    copies: dict[str, list[Component]] = {}
    for component in components:
        identity = original_start(component, master) if component.recurrence_id else ""
        copies.setdefault(identity, []).append(component)
    return list(copies.values())


def _notes(copies: Iterable[Sequence[Component]]) -> tuple[Note, ...]:
    several = (found for found in copies if len(found) > 1)
    rivals = sum(len({component.text for component in found}) - 1 for found in several)
    detail = f"{rivals + 1} components have this UID and date; the newest by SEQUENCE was taken"
    return (Note(Reason.DUPLICATE_COMPONENT, detail),) if rivals else ()


def _deciding(copies: Sequence[Component]) -> Component:
    """The copy that counts, as `syncd.core.witness.deciding` has it for sources.

    Otherwise than there a cancellation counts before the event of the same SEQUENCE, as in one mailbox.
    Raises `BrokenComponent` when nothing tells which of two is newer, and they take place at other times.
    """
    if len(copies) == 1:
        return copies[0]
    live = [copy.template.sequence for copy in copies if not copy.template.cancelled]

    def rank(copy: Component) -> tuple[bool, tuple[int, bool, float, float]]:
        overruled = copy.template.cancelled and copy.template.sequence < max(live, default=-1)
        return copy.template.organizers_copy and not overruled, copy.revision

    highest = max(rank(copy) for copy in copies)
    newest = [copy for copy in copies if rank(copy) == highest]
    if any(copy.timing != newest[0].timing for copy in newest):
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY,
            "several components have this UID at different times, and neither SEQUENCE nor LAST-MODIFIED nor "
            "DTSTAMP tells which is the newest",
        )
    return max(newest, key=lambda copy: copy.text)


def _zone_notes(component: Component, window: Window) -> Iterator[Note]:
    """A time zone of the document that is not what its name says."""
    detail = component.zones.contradiction(component.start.tzid, window.start)
    if detail:
        yield Note(Reason.TIMEZONE_CONTRADICTS, detail)


def touches(instance: Instance, window: Window) -> bool:
    """Whether an occurrence is not over; whole days count a day longer, their zone is decided later."""
    match instance.when:
        case Days(end=end):
            return datetime.combine(end, time(), UTC) > window.start - ONE_DAY
        case Moment(start=end) | Timespan(end=end):
            return end > window.start
