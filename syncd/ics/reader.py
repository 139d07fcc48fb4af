"""Documents of one source to one `Reading`.

Splits, parses and groups by UID across all documents, chooses among components with one identity,
and expands each UID by itself, so that one bad series costs one series.
"""

from __future__ import annotations

import contextlib
import hashlib
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
    Reading,
    Timespan,
    Window,
)
from syncd.core.reasons import Note, Reason
from syncd.ics.component import Component, address_of, out_of_range, parse
from syncd.ics.components import BrokenComponent, Incomplete, RawCalendar, split
from syncd.ics.duration import parse_duration
from syncd.ics.recurrence import Instance, expand, original_start
from syncd.ics.zones import ONE_DAY, Zones

_ADDRESS = re.compile(r"[^@\s/]+@[^@\s/]+\.[^@\s/]+")


@dataclass(frozen=True, slots=True)
class Document:
    """One body as it was read: `name` for people (a file's name, a host), `base_url` for relative links."""

    name: str
    body: bytes
    base_url: str = field(default="", repr=False)


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


@dataclass(slots=True)
class _Collected:
    """What the documents of one source said, before anything is expanded."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    problems: list[str] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    by_uid: dict[str, list[Component]] = field(default_factory=dict)
    base_urls: dict[str, str] = field(default_factory=dict)
    refresh_after: timedelta | None = None
    events: int = 0


def read(
    documents: Iterable[Document],
    *,
    source: str,
    scope: str,
    locale: Locale,
    window: Window,
    at: datetime,
    problems: Sequence[str] = (),
) -> Reading:
    """What a source says for a window.

    `scope` is part of every key: empty when a UID means the same meeting in all sources.
    A document that is not provably whole makes the reading incomplete and contributes nothing.
    `problems` are sentences about documents that could not be had at all.
    """
    said = _Collected(problems=list(problems))
    for document in documents:
        _collect(document, said, source, locale)
    occurrences: list[Occurrence] = []
    presence = {defect.uid: Presence.QUARANTINED for defect in said.defects if defect.uid}
    for uid, components in said.by_uid.items():
        if uid in presence:
            continue
        try:
            chosen, notes = _newest_of_each(components)
            instances = list(expand(chosen, window))
        except (BrokenComponent, OverflowError) as error:
            broken = error if isinstance(error, BrokenComponent) else out_of_range()
            first = components[0]
            said.defects.append(Defect(uid, first.line, broken.reason, broken.detail, first.document))
            presence[uid] = Presence.QUARANTINED
            continue
        of_master = any(component.recurrence_id is None for component in chosen)
        presence[uid] = Presence.SERIES if of_master else Presence.DETACHED
        occurrences.extend(
            replace(
                instance.component.template,
                key=OccurrenceKey(scope, uid, instance.recurrence_id),
                when=instance.when,
                base_url=said.base_urls[instance.component.document],
                notes=(*notes, *_zone_notes(instance.component, window)),
            )
            for instance in instances
            if touches(instance, window)
        )
    return Reading(
        source=source,
        at=at,
        window=window,
        digest=said.digest.hexdigest()[:32],
        occurrences=tuple(sorted(occurrences, key=lambda o: o.key)),
        presence=presence,
        defects=tuple(sorted(said.defects, key=lambda d: (d.document, d.line, d.uid))),
        notes=tuple(
            dict.fromkeys(n for o in occurrences for n in o.notes if n.reason is Reason.TIMEZONE_CONTRADICTS)
        ),
        error="; ".join(said.problems) or None,
        readable=not said.problems or bool(said.by_uid),
        refresh_after=said.refresh_after,
        documents=len(said.base_urls),
        events=said.events,
    )


def _collect(document: Document, said: _Collected, source: str, locale: Locale) -> None:
    """Parse one document; what cannot be understood becomes a problem or a defect."""
    said.digest.update(hashlib.sha256(document.body).digest())
    said.base_urls[document.name] = document.base_url
    try:
        calendars = split(document.body)
    except Incomplete as error:
        said.problems.append(f"{document.name} {error}")
        return
    for calendar in calendars:
        zones = locale.zones_of(calendar)
        method_cancel = calendar.properties.get("METHOD", "").upper() == "CANCEL"
        owners = _owners(calendar, document)
        said.refresh_after = max(filter(None, (said.refresh_after, _refresh_after(calendar))), default=None)
        for raw in calendar.components:
            if raw.name != "VEVENT":
                continue
            said.events += 1
            if len(uids := raw.uids) > 1:
                detail = "the event has several UIDs, so lines between two events are lost"
                said.defects.extend(
                    Defect(uid, raw.line, Reason.BROKEN_PROPERTY, detail, document.name)
                    for uid in uids
                    if uid
                )
                continue
            try:
                if not raw.uid:
                    raise BrokenComponent(Reason.NO_UID, "the event has no UID, so it cannot be followed")
                component = parse(
                    raw,
                    zones=zones,
                    document=document.name,
                    source=source,
                    method_cancel=method_cancel,
                    owners=owners,
                )
            except BrokenComponent as broken:
                said.defects.append(Defect(raw.uid, raw.line, broken.reason, broken.detail, document.name))
            else:
                said.by_uid.setdefault(raw.uid, []).append(component)


def _refresh_after(calendar: RawCalendar) -> timedelta | None:
    """How long a calendar asks to be left alone (RFC 7986 section 5.7, or Outlook's name), a day at most."""
    for name in ("REFRESH-INTERVAL", "X-PUBLISHED-TTL"):
        with contextlib.suppress(BrokenComponent, OverflowError):
            interval = parse_duration(calendar.properties.get(name, "")).rough
            if interval > timedelta():
                return min(interval, ONE_DAY)
    return None


def _owners(calendar: RawCalendar, document: Document) -> frozenset[str]:
    """The addresses of the person whose calendar it is, from its own properties and the file's name.

    Google and Nextcloud write them into X-WR-CALNAME, Apple and Zimbra into X-OWNER or X-WR-RELCALID.
    """
    names = [calendar.properties.get(name, "") for name in ("X-WR-CALNAME", "X-OWNER", "X-WR-RELCALID")]
    names.append(re.sub(r"\.ics$", "", document.name.rpartition("/")[2], flags=re.IGNORECASE))
    return frozenset(address for name in names if _ADDRESS.fullmatch(address := address_of(name)))


def _newest_of_each(components: Sequence[Component]) -> tuple[list[Component], tuple[Note, ...]]:
    """One component per identity (none, or each original start): the organizer's copy, else the newest.

    Never the order in the file decides; see `Component.revision`.
    """
    masters = [component for component in components if component.recurrence_id is None]
    master = _deciding(masters) if masters else None
    copies: dict[str, list[Component]] = {}
    for component in components:
        identity = original_start(component, master) if component.recurrence_id else ""
        copies.setdefault(identity, []).append(component)
    chosen = [_deciding(found) for found in copies.values()]
    rivals = sum(len({component.text for component in found}) - 1 for found in copies.values())
    detail = f"{rivals + 1} components have this UID and date; the newest by SEQUENCE was taken"
    notes = (Note(Reason.DUPLICATE_COMPONENT, detail),) if rivals else ()
    return sorted(chosen, key=lambda c: (c.document, c.line)), notes


def _deciding(copies: Sequence[Component]) -> Component:
    """The copy that counts, as `syncd.core.witness.deciding` has it for sources.

    Otherwise than there a cancellation counts before the event of the same SEQUENCE, as in one mailbox.
    Raises `BrokenComponent` when nothing tells which of two is newer, and they take place at other times.
    """
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
