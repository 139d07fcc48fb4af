"""`/source/NAME`: one source, how it was read last, and what it has booked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from syncd.config import Source
from syncd.core.occurrence import event_key
from syncd.ledger import Quarantined
from syncd.views.catalogue import phrase
from syncd.views.choice import Day
from syncd.views.documents import source_document
from syncd.views.moments import length, span_told
from syncd.views.status import SourceStatus
from syncd.views.typed import as_argument
from syncd.web.answers import NotThere
from syncd.web.asked import Asked
from syncd.web.commands import Command
from syncd.web.day_page import room_names, today_of
from syncd.web.timeline import ShownMeeting, meetings_of

_AHEAD = timedelta(days=7)
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ShownDefect:
    """An event that cannot be understood: where it stands and why; `event` is its key, if it has a UID."""

    quarantined: Quarantined
    event: str | None
    command: Command


@dataclass(frozen=True, slots=True)
class BookedMeeting:
    """A meeting of a source, with its time and the name of its room."""

    meeting: ShownMeeting
    when: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePage:
    """A source; `place` says what is read, feeds by their host only, and `command` looks into what is wrong."""

    source: SourceStatus
    is_running: bool
    place: str
    interval: str
    is_left_alone: bool
    command: Command
    defects: tuple[ShownDefect, ...]
    booked: tuple[BookedMeeting, ...]
    left_out: int


def show_source(asked: Asked) -> SourcePage:
    """Return how a source stands; raises `NotThere` for one that is not configured."""
    configured = _configured(asked)
    status = asked.status()
    source = next(one for one in status.sources if one.name == configured.name)
    booked = _booked(asked, source.name)
    next_at = source.next_run_at
    is_left_alone = next_at is not None and source.error is not None
    doctor = f"syncd doctor --source {as_argument(source.name)}"
    quarantine = asked.ledger.sources.quarantine(source.name)
    return SourcePage(
        source=source,
        is_running=status.is_running,
        place=_place(configured),
        interval=configured.cron or length(source.interval),
        is_left_alone=is_left_alone,
        command=Command(doctor, phrase("command.failing_source")),
        defects=tuple(map(_defect, quarantine)),
        booked=booked[:_SHOWN],
        left_out=max(0, len(booked) - _SHOWN),
    )


def source_document_of(asked: Asked) -> Mapping[str, object]:
    """Return its entry of `status --json`."""
    name = _configured(asked).name
    sources = asked.status().sources
    return source_document(next(one for one in sources if one.name == name))


def _configured(asked: Asked) -> Source:
    name = asked.parameters["source"]
    for source in asked.config.sources:
        if source.name == name:
            return source
    raise NotThere(phrase("error.source", source=name))


def _place(source: Source) -> str:
    """Return what is read, without a path that may be as secret as a password."""
    if source.url is not None:
        host = urlsplit(source.url).hostname or ""
        return phrase("source.kind.feed", place=host)
    return phrase("source.kind.file", place=source.path)


def _defect(quarantined: Quarantined) -> ShownDefect:
    uid = quarantined.defect.uid
    purpose = phrase("command.quarantined")
    if not uid:
        return ShownDefect(quarantined, None, Command("syncd plan", purpose))
    explain = Command(f"syncd explain {as_argument(uid)}", purpose)
    return ShownDefect(quarantined, event_key(uid), explain)


def _booked(asked: Asked, name: str) -> tuple[BookedMeeting, ...]:
    """Return what a source decides about in the coming days, by time."""
    own = asked.ledger.timetable.between(asked.now, asked.now + _AHEAD, sources={name})
    rooms = room_names(asked)
    today = Day(today_of(asked), asked.zone)
    booked: list[BookedMeeting] = []
    for meeting in meetings_of(own, today):
        room = phrase("day.no_room")
        if meeting.room_id is not None:
            room = rooms.get(meeting.room_id, meeting.room_id)
        when = span_told(meeting.start, meeting.end, asked.zone)
        booked.append(BookedMeeting(meeting, when, room))
    return tuple(booked)
