"""What calendar programs are told, for organizers: the meetings of a room, and what is not booked.

The states and reasons are those of `status`; the ledger counts how often what is told of a meeting changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from syncd.config import Config
from syncd.core.booking import Booking
from syncd.core.feedback import Standing, is_problem, standing_of, wanted_of
from syncd.core.occurrence import Defect, event_key
from syncd.core.reasons import MEANINGS, Reason
from syncd.core.text import fold_space
from syncd.ics.content import FEED_MARK
from syncd.ics.writing import (
    ContentLine,
    calendar_bytes,
    moment_value,
    text_value,
    time_line,
)
from syncd.ledger import Ledger, Quarantined
from syncd.ledger.feed_entries import FeedEntry
from syncd.views.catalogue import phrase
from syncd.views.moments import in_zone

KEPT = timedelta(days=30)
"""How long a feed goes on telling of what is over, called off or settled."""

_REFRESHED_EVERY = "PT5M"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEvent:
    """One event of a feed; `key` names it in all feeds of an instance.

    `is_busy`: it takes its time. `is_called_off` is kept for a while, so that programs that had it learn it.
    A day as `start` and `end` stands for the whole of it.
    """

    key: str
    title: str
    sentences: tuple[str, ...]
    start: datetime | date
    end: datetime | date
    place: str
    is_busy: bool
    is_certain: bool
    is_called_off: bool
    sequence: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class PublishedFeed:
    """A calendar for subscribers: its name, whose it is, and its events."""

    name: str
    instance: str
    events: tuple[FeedEvent, ...]

    def ics(self) -> bytes:
        """Return it as iCalendar (RFC 5545, 7986); the same bytes as long as it tells the same."""
        name = text_value(self.name)
        mark = (FEED_MARK, text_value(self.instance))
        properties = (
            ("VERSION", "2.0"),
            ("PRODID", "-//syncd//feedback//EN"),
            ("CALSCALE", "GREGORIAN"),
            ("METHOD", "PUBLISH"),
            mark,
            ("NAME", name),
            ("X-WR-CALNAME", name),
            ("REFRESH-INTERVAL;VALUE=DURATION", _REFRESHED_EVERY),
            ("X-PUBLISHED-TTL", _REFRESHED_EVERY),
        )
        events = [[*self._lines(event), mark] for event in self.events]
        return calendar_bytes(properties, events)

    def _lines(self, event: FeedEvent) -> list[ContentLine]:
        changed_at = moment_value(event.changed_at)
        lines = [
            ("UID", text_value(f"{event.key}@{self.instance}")),
            ("DTSTAMP", changed_at),
            ("LAST-MODIFIED", changed_at),
            ("SEQUENCE", str(event.sequence)),
            time_line("DTSTART", event.start),
            time_line("DTEND", event.end),
            ("SUMMARY", text_value(event.title)),
            ("DESCRIPTION", text_value("\n".join(event.sentences))),
            ("STATUS", _status_of(event)),
            ("TRANSP", "OPAQUE" if event.is_busy else "TRANSPARENT"),
        ]
        if event.place:
            lines.append(("LOCATION", text_value(event.place)))
        return lines


def _status_of(event: FeedEvent) -> str:
    if event.is_called_off:
        return "CANCELLED"
    return "CONFIRMED" if event.is_certain else "TENTATIVE"


class Feedback:
    """The feeds of an installation at a moment, by what its ledger knows."""

    def __init__(self, ledger: Ledger, config: Config, now: datetime) -> None:
        self._ledger = ledger
        self._config = config
        self._zone = config.calendar.timezone
        self._since = now - KEPT
        self._rooms: Mapping[str, str] = {
            room.id: room.name or room.id for room in config.rooms
        }

    def of_room(self, room_id: str) -> PublishedFeed | None:
        """Return the meetings of a room that are not long over; None for a room that nobody knows."""
        if room_id not in self._rooms and not self._ledger.timetable.has_room(room_id):
            return None
        entries = self._ledger.feed_entries.of_room(room_id, self._since, self._since)
        events = tuple(self._in_room(entry) for entry in entries)
        return PublishedFeed(
            self._room(room_id), self._config.reservation.instance, events
        )

    def of_problems(self) -> PublishedFeed:
        """Return what is not booked as the calendars want it, and what was settled a short time ago."""
        entries = self._ledger.feed_entries.problems(self._since)
        events = [self._as_problem(entry) for entry in entries]
        events += self._quarantined()
        instance = self._config.reservation.instance
        name = phrase("feed.problems", instance=instance)
        return PublishedFeed(name, instance, tuple(events))

    def _room(self, room_id: str | None) -> str:
        if not room_id:
            return ""
        return fold_space(self._rooms.get(room_id, room_id))

    def _in_room(self, entry: FeedEntry) -> FeedEvent:
        """Return what the feed of a room says of a meeting."""
        booking = entry.booking
        standing = standing_of(booking)
        is_booked = standing is Standing.BOOKED and not entry.has_left
        sentences = tuple(self._told(booking))
        if entry.has_left:
            sentences = (phrase("feed.left"),)
        return FeedEvent(
            key=entry.entry_key,
            title=_title(booking.spec.topic, is_booked=is_booked),
            sentences=sentences,
            start=entry.start,
            end=entry.end,
            place=self._room(entry.room_id),
            is_busy=is_booked,
            is_certain=is_booked,
            is_called_off=entry.gone_at is not None,
            sequence=entry.sequence,
            changed_at=entry.changed_at,
        )

    def _as_problem(self, entry: FeedEntry) -> FeedEvent:
        """Return what the feed of problems says of a meeting that is one, or was."""
        if entry.has_left:
            return self._in_room(entry)
        booking = entry.booking
        wanted = wanted_of(booking)
        sentences = tuple(self._told(booking))
        if not entry.is_problem:
            sentences = (phrase("feed.settled"), *sentences)
        return FeedEvent(
            key=entry.entry_key,
            title=_title(wanted.topic, is_booked=not _lacks_something(booking)),
            sentences=sentences,
            start=wanted.start,
            end=wanted.end,
            place=self._room(wanted.room_id),
            is_busy=False,
            is_certain=False,
            is_called_off=not entry.is_problem,
            sequence=entry.sequence,
            changed_at=entry.changed_at,
        )

    def _told(self, booking: Booking) -> Iterator[str]:
        """Yield how a meeting stands, and why."""
        if standing_of(booking) is not Standing.BOOKED:
            yield phrase(f"feed.state.{booking.state.value}")
            yield from _why(booking, self._zone)
        elif is_problem(booking):
            yield from _why(booking, self._zone)
            yield self._kept(booking)
        else:
            yield phrase("feed.booked")

    def _kept(self, booking: Booking) -> str:
        """Return as what a meeting stays booked of which a change came to nothing."""
        spec = booking.spec
        start = spec.start.astimezone(self._zone)
        end = spec.end.astimezone(self._zone)
        return phrase(
            "feed.kept",
            start=f"{start:%Y-%m-%d %H:%M}",
            end=f"{end:%Y-%m-%d %H:%M}",
            zone=self._zone.key,
            room=self._room(spec.room_id) or phrase("feed.no_room"),
        )

    def _quarantined(self) -> Iterator[FeedEvent]:
        """Yield the events that cannot be understood: on the day on which that was seen first."""
        configured = self._config.source_names
        told: set[str] = set()
        for quarantined in self._ledger.sources.quarantine():
            if quarantined.source not in configured:
                continue
            event = self._not_understood(quarantined)
            if event.key not in told:
                told.add(event.key)
                yield event

    def _not_understood(self, quarantined: Quarantined) -> FeedEvent:
        defect = quarantined.defect
        seen_at = quarantined.first_seen_at
        day = seen_at.astimezone(self._zone).date()
        where = phrase("feed.place", source=quarantined.source, line=defect.line)
        sentences = (MEANINGS[Reason.QUARANTINED], MEANINGS[defect.reason])
        return FeedEvent(
            key=_key_of_defect(quarantined.source, defect, seen_at),
            title=_title(defect.topic, is_booked=False),
            sentences=(*sentences, fold_space(defect.detail), fold_space(where)),
            start=day,
            end=day + timedelta(days=1),
            place="",
            is_busy=False,
            is_certain=False,
            is_called_off=False,
            sequence=0,
            changed_at=seen_at,
        )


def _title(topic: str, *, is_booked: bool) -> str:
    """Return the title of an event of a feed, which says first that it is not booked."""
    named = fold_space(topic) or phrase("feed.untitled")
    if is_booked:
        return named
    return phrase("feed.not_booked", topic=named)


def _lacks_something(booking: Booking) -> bool:
    """Tell whether a calendar asks for what is not booked: for a meeting, or for a change of it."""
    if standing_of(booking) is not Standing.BOOKED:
        return True
    return is_problem(booking) and booking.pending is not None


def _why(booking: Booking, zone: ZoneInfo) -> Iterable[str]:
    """Return why a meeting stands as it does: what the reason means, then what is known besides."""
    told: list[str] = []
    if booking.reason is not None:
        told.append(MEANINGS[booking.reason])
    if booking.detail:
        detail = fold_space(booking.detail)
        told.append(in_zone(detail, zone))
        if told[-1] != detail:
            told.append(phrase("feed.zone", zone=zone.key))
    return dict.fromkeys(told)


def _key_of_defect(source: str, defect: Defect, seen_at: datetime) -> str:
    """Return what names a defect in feeds; another one of the same event has another key."""
    apart = json.dumps([source, defect.document, defect.reason, seen_at.isoformat()])
    if not defect.uid:
        apart += f" in line {defect.line}"
    digest = hashlib.sha256(apart.encode("utf-8", "surrogatepass"))
    return f"{event_key(defect.uid)}-{digest.hexdigest()[:8]}"
