"""The small words of a story: components, zones, what is asked for, lists and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from syncd.core.amounts import some
from syncd.core.reservation import ReservationSpec
from syncd.intake.excerpt import WrittenComponent, ZoneUse


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story; one that is told `once` is left out where it stands already."""

    text: str
    indent: int = 0
    style: str = ""
    once: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """How times, rooms and people are named: in a zone, by the names of the configuration."""

    zone: tzinfo
    rooms: Mapping[str, str]
    people: Mapping[str, str]

    def listed_people(self, user_ids: Sequence[str]) -> str:
        """Return people by their addresses, and by their user ids who has none."""
        return listed([self.people.get(user_id, user_id) for user_id in user_ids])

    def room(self, room_id: str | None) -> str:
        """Return the name of a room."""
        if room_id is None:
            return "no room"
        return self.rooms.get(room_id, f"room {room_id}")

    def at(self, moment: datetime | None) -> str:
        """Return a moment as people write it."""
        if moment is None:
            return "at an unknown time"
        return f"{moment.astimezone(self.zone):%a %d %b %Y %H:%M}"

    def span(self, start: datetime, end: datetime) -> str:
        """Return two moments as people write them, as short as the days allow."""
        begins = start.astimezone(self.zone)
        ends = end.astimezone(self.zone)
        if ends - begins < timedelta(minutes=1):
            return f"{begins:%a %d %b %Y %H:%M}"
        if begins.time() == ends.time() == time():
            last = ends - timedelta(days=1)
            if begins.date() == last.date():
                return f"{begins:%a %d %b %Y}, all day"
            return f"{begins:%a %d %b} – {last:%a %d %b %Y}, all day"
        if begins.date() == ends.date():
            return f"{begins:%a %d %b %Y %H:%M}–{ends:%H:%M}"
        return f"{begins:%a %d %b %H:%M} – {ends:%a %d %b %Y %H:%M}"


def asked_for(spec: ReservationSpec, words: Words) -> str:
    """Say what the calendar asks for beside time, room and topic."""
    participants = words.listed_people(spec.participants)
    asked = [
        f"creator {words.listed_people([spec.creator])}",
        f"participants {participants}",
    ]
    if spec.cc_participants:
        asked.append(f"in copy {words.listed_people(spec.cc_participants)}")
    minutes = f"{spec.notice_time_s / 60:g}"
    asked.append(f"a notice {minutes} minutes before" if spec.notice else "no notice")
    if spec.attachments:
        asked.append(some(len(spec.attachments), "attachment"))
    told = f"Asked for: {', '.join(asked)}."
    if not spec.room_id:
        told += " It names no known room, so it asks for none (calendar.roomless)."
    return told


def told_part(
    part: WrittenComponent, zones: Sequence[ZoneUse], words: Words, *, several: bool
) -> str:
    """Say what one component is; its document is named if there are several.

    Its times are told in the zone of the words, where the `zones` of its source say what they are.
    """
    place = f"{part.document}, line {part.line}" if several else f"Line {part.line}"
    what = "the series" if part.recurs else "the event"
    if part.recurrence_id is not None:
        date = _told_time(part.recurrence_id, zones, words)
        what = f"one date, {date}, on its own"
    said: list[str] = []
    if part.start:
        preposition = "from" if part.recurs else "at"
        said.append(f"{preposition} {_told_time(part.start, zones, words)}")
    if part.excluded:
        said.append(f"{some(part.excluded, 'date')} taken out (EXDATE)")
    said += [f"{name} {value}" for name, value in _marks(part) if value]
    told = f"{place}: {what}"
    if said:
        told += f" {', '.join(said)}"
    return f"{told}."


def _told_time(written: str, zones: Sequence[ZoneUse], words: Words) -> str:
    """Return a time as people write it, in their zone; as it is written where nobody knows when it is."""
    try:
        if len(written) == len("20261201"):
            return f"{datetime.strptime(written, '%Y%m%d').replace(tzinfo=UTC):%a %d %b %Y}"
        if written.endswith("Z"):
            return words.at(datetime.strptime(written, "%Y%m%dT%H%M%S%z"))
        zone = _only_zone(zones)
        if zone is None:
            return written
        wall = datetime.strptime(written, "%Y%m%dT%H%M%S").replace(tzinfo=zone)
        return words.at(wall)
    except ValueError:
        return written


def _only_zone(zones: Sequence[ZoneUse]) -> tzinfo | None:
    """Return the zone of all times that are not written in UTC; None for several or an unknown one."""
    names = {zone.zone for zone in zones if zone.tzid != "UTC"}
    name = names.pop() if len(names) == 1 else None
    try:
        return ZoneInfo(name) if name else None
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return None


def _marks(part: WrittenComponent) -> tuple[tuple[str, str], ...]:
    method = "" if part.method == "PUBLISH" else part.method
    return (
        ("SEQUENCE", part.sequence),
        ("STATUS", part.status),
        ("METHOD", method),
    )


def told_zone(zone: ZoneUse) -> str:
    """Say what times were taken for, and why."""
    if zone.tzid == "UTC":
        return "Times are written in UTC."
    if zone.zone is None:
        times = f'Times in "{zone.tzid}"' if zone.tzid else "Times without zone"
        return f"{times} cannot be placed: {zone.because}."
    if zone.tzid is None:
        return f"Times without zone are taken for {zone.zone}: {zone.because}."
    taken = zone.zone
    if zone.zone != zone.tzid:
        taken = f'"{zone.tzid}", which is taken for {zone.zone}'
    return f"Times are in {taken}: {zone.because}. {zone.contradiction}".strip()


def sentence(text: str) -> str:
    """Return a text with a full stop, if it has none."""
    if not text or text.endswith((".", "!", "?", "…")):
        return text
    return f"{text}."


def joined(first: str, second: str) -> str:
    """Join two sentences, into one where they say the same."""
    if not second or second in first:
        return first
    if first in second:
        return second
    return f"{first} {second}"


def listed(names: Sequence[str]) -> str:
    """Return names as people list them: `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
