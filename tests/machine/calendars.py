"""What the calendars of the machine say: as the machine knows it, and as iCalendar files on disk.

The truth is written down here once as values and once as text, so what they ask for is known without the
code under test.
Files are damaged on the way to the disk; what a reader can still hear of them is told by `hear`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from tests.conftest import calendar

FIRST_DAY = datetime(2030, 3, 4, tzinfo=UTC)
UIDS = ("p", "q", "r", "s")
FILES: Mapping[str, tuple[str, ...]] = {
    "one": ("one.ics",),
    "two": ("two.ics",),
    "three": ("three/early.ics", "three/late.ics"),
}
"""The files of each source; the third is a directory, which holds each UID in one of its two files."""
CONFIRMATIONS = {"one": 1, "two": 2, "three": 1}
FILE_GRACE = timedelta(minutes=2)
CANCELLED_BY_METHOD = "METHOD:CANCEL"

Key: TypeAlias = tuple[str, str | None]
"""UID and original start: what tells meetings apart."""


@dataclass(frozen=True)
class Meeting:
    """One date as a calendar shows it; `rooms` may be empty, `revision` is its SEQUENCE.

    `withdrawn` is the content line that takes it back (cancelled, or not blocking time), if any; it may be
    the METHOD of the calendar in which it stands.
    """

    title: str
    start: datetime
    minutes: int
    rooms: tuple[str, ...]
    revision: int
    withdrawn: str = ""

    @property
    def end(self) -> datetime:
        """Exclusive."""
        return self.start + timedelta(minutes=self.minutes)

    @property
    def topic(self) -> str:
        """Its SUMMARY, which tells every edit from the one before."""
        return f"{self.title} {self.revision}"

    def later(self, days: int) -> Meeting:
        """The same on a later day."""
        return replace(self, start=self.start + timedelta(days=days))

    def text(self, uid: str, *properties: str) -> str:
        """As a VEVENT."""
        return "\r\n".join(
            [
                "BEGIN:VEVENT",
                f"UID:{uid}",
                "DTSTAMP:20300101T000000Z",
                f"SEQUENCE:{self.revision}",
                f"DTSTART:{utc(self.start)}",
                f"DTEND:{utc(self.end)}",
                f"SUMMARY:{self.topic}",
                "ORGANIZER:mailto:boss@example.com",
                *(
                    f"ATTENDEE;CUTYPE=ROOM:mailto:room-{room}@example.com"
                    for room in self.rooms
                ),
                *(
                    [self.withdrawn]
                    if self.withdrawn not in ("", CANCELLED_BY_METHOD)
                    else []
                ),
                *properties,
                "END:VEVENT",
            ]
        )


@dataclass(frozen=True)
class Event:
    """All that a calendar says under one UID.

    `every` is the number of days between the dates of a series, 0 for a single meeting.
    `left_out` (EXDATE) and `changed` (RECURRENCE-ID) name dates of the series by their number.
    `told_off`: it stands in a calendar whose METHOD cancels all that is in it.
    """

    main: Meeting
    every: int = 0
    count: int = 1
    left_out: frozenset[int] = frozenset()
    changed: Mapping[int, Meeting] = field(default_factory=dict)
    told_off: bool = False

    def original(self, number: int) -> Meeting:
        """A date as the rule of the series has it."""
        return self.main.later(number * self.every)

    def dates(self) -> Iterator[tuple[str | None, Meeting]]:
        """Original start (None: it does not recur) and meeting of each date."""
        if not self.every:
            yield None, self._as_told(self.main)
            return
        for number in range(self.count):
            if number not in self.left_out:
                plain = self.original(number)
                yield utc(plain.start), self._as_told(self.changed.get(number, plain))

    def _as_told(self, meeting: Meeting) -> Meeting:
        return (
            replace(meeting, withdrawn=CANCELLED_BY_METHOD)
            if self.told_off
            else meeting
        )

    def text(self, uid: str, *, broken: bool = False) -> str:
        """As VEVENTs; a broken one has a start that nobody can read."""
        rule = []
        if self.every:
            rule = [f"RRULE:FREQ=DAILY;INTERVAL={self.every};COUNT={self.count}"]
            rule += [
                f"EXDATE:{utc(self.original(number).start)}"
                for number in sorted(self.left_out)
            ]
        main = self.main.text(uid, *rule)
        if broken:
            main = main.replace("DTSTART:", "DTSTART:soon after ")
        overrides = (
            meeting.text(uid, f"RECURRENCE-ID:{utc(self.original(number).start)}")
            for number, meeting in sorted(self.changed.items())
            if number < self.count and number not in self.left_out
        )
        return "\r\n".join([main, *overrides])


@dataclass(frozen=True)
class Damage:
    """What is wrong with a file: `kind`, and the part of it that is left or the UID that is broken.

    Of kind `away` are only files of a directory, and the directory is there.
    """

    kind: str
    share: float = 0.5
    uid: str = ""


DAMAGES = ("cut", "empty file", "html", "noise", "missing", "broken event")
AWAY = Damage("away")


@dataclass
class Heard:
    """What an attentive person understands of a source today.

    `complete` says whether absence means anything; `unclear` are UIDs that are there and not understood, or
    may come back in a moment. About those `asked` for a person decides, unless another copy says more.
    """

    complete: bool
    meetings: dict[Key, Meeting] = field(default_factory=dict)
    uids: set[str] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


@dataclass
class Memory:
    """What was heard of a source: what is believed, what it ever told of, and what it lacked how often.

    `held` is how many UIDs a file had at least when it was last read.
    """

    believed: dict[Key, Meeting] = field(default_factory=dict)
    told_of: set[Key] = field(default_factory=set)
    missed: Counter[Key] = field(default_factory=Counter)
    held: dict[str, int] = field(default_factory=dict)


class Calendars:
    """The calendars of all sources, their files, and what was ever heard of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: dict[str, dict[str, Event]] = {source: {} for source in FILES}
        self.damage: dict[str, Damage] = {}
        self.memory = {source: Memory() for source in FILES}
        self.rivals: dict[str, str] = {}
        """By source a VEVENT that a stranger wrote into it, which says nothing to anybody."""
        self._away_since: dict[str, datetime] = {}

    # To the disk

    def write(self) -> None:
        """Put every file on disk as it is now, damage included."""
        for source, names in FILES.items():
            for name in names:
                path, damage = self.folder / name, self.damage.get(name)
                path.parent.mkdir(exist_ok=True)
                if damage and damage.kind == "missing":
                    path.unlink(missing_ok=True)
                    # A directory without its files; its absence is what proves nothing.
                    if len(names) > 1:
                        self._remove_directory(path.parent)
                        break
                elif damage and damage.kind == AWAY.kind:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(self._body(source, name, damage))

    @staticmethod
    def _remove_directory(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    def _body(self, source: str, name: str, damage: Damage | None) -> bytes:
        kind = damage.kind if damage else ""
        broken = damage.uid if damage and kind == "broken event" else ""
        kept: list[str] = []
        told_off: list[str] = []
        for uid, event in sorted(self.events[source].items()):
            if file_of(source, uid) == name:
                several = told_off if event.told_off else kept
                several.append(event.text(uid, broken=uid == broken))
        if source in self.rivals and name == FILES[source][0]:
            kept.append(self.rivals[source])
        body = calendar(*kept) if kept or not told_off else b""
        if told_off:
            body += calendar(CANCELLED_BY_METHOD, *told_off)
        match kind:
            case "cut":
                assert damage is not None  # it has a kind
                return body[: int(len(body) * damage.share)]
            case "empty file":
                return b""
            case "html":
                return b"<!DOCTYPE html><html><body>Please sign in</body></html>"
            case "noise":
                return bytes(range(256))
        return body

    # What is heard of it

    def hear(
        self,
        sources: Iterable[str],
        now: datetime,
        *,
        certain: bool,
        booked: Mapping[str, set[str]],
    ) -> dict[str, Heard]:
        """What can be understood of these sources now, and with that what is believed from now on.

        It is not `certain` that a program heard it too that was killed meanwhile.
        `booked` are the UIDs that each source showed and that have reservations.
        """
        heard = {source: self._hear(source, now) for source in sources}
        for source, mine in heard.items():
            self._count(source, certain=certain and mine.complete)
        for source, mine in heard.items():
            elsewhere: dict[Key, int] = {}
            for key, meeting in (
                pair for other in heard.values() for pair in other.meetings.items()
            ):
                elsewhere[key] = max(meeting.revision, elsewhere.get(key, 0))
            emptied = not booked.get(source, set()) & (mine.uids | mine.unclear)
            self._believe(source, mine, elsewhere, certain=certain, emptied=emptied)
        return heard

    def _hear(self, source: str, now: datetime) -> Heard:
        heard = Heard(complete=True)
        for name in FILES[source]:
            damage = self.damage.get(name)
            kind = damage.kind if damage else ""
            if kind == AWAY.kind:
                since = self._away_since.setdefault(name, now)
                self._miss(heard, source, name, now - since)
                continue
            self._away_since.pop(name, None)
            if kind == "missing":
                heard = Heard(complete=False)
                break
            if kind not in ("", "broken event"):
                heard.complete = False
                continue
            for uid, event in self.events[source].items():
                if file_of(source, uid) != name:
                    continue
                heard.uids.add(uid)
                if damage and uid == damage.uid:
                    heard.unclear.add(uid)
                else:
                    heard.meetings |= {
                        (uid, date): meeting for date, meeting in event.dates()
                    }
        return heard

    def _miss(self, heard: Heard, source: str, name: str, away: timedelta) -> None:
        """Nothing follows of a file that is gone at first; of several UIDs that it held a person is asked."""
        memory = self.memory[source]
        lost = {uid for uid, _ in memory.believed if file_of(source, uid) == name}
        if away < FILE_GRACE:
            heard.unclear |= lost
        elif memory.held.get(name, 0) > 1 or all(
            self.damage.get(other) == AWAY for other in FILES[source]
        ):
            heard.asked |= lost

    def _count(self, source: str, *, certain: bool) -> None:
        """Remember how many UIDs each file has; at least, if nobody knows whether it was read."""
        held = self.memory[source].held
        for name in FILES[source]:
            if name not in self.damage:
                now = sum(file_of(source, uid) == name for uid in self.events[source])
                held[name] = now if certain else min(now, held.get(name, now))

    def _believe(
        self,
        source: str,
        heard: Heard,
        elsewhere: Mapping[Key, int],
        *,
        certain: bool,
        emptied: bool,
    ) -> None:
        """What is not there any more is believed until it was told, or shown often enough.

        Where another source has a copy that is as new, that one counts as soon as this one lacks it; an older
        one too, if this source was `emptied` of all that it had.
        """
        memory = self.memory[source]
        believed, missed = memory.believed, memory.missed
        believed |= heard.meetings
        memory.told_of |= set(heard.meetings)
        for key in [key for key in believed if key not in heard.meetings]:
            if not heard.complete or key[0] in heard.unclear:
                continue
            missed[key] += 1
            told = key[0] in heard.uids
            asked = key[0] in heard.asked
            superseded = key in elsewhere and (
                emptied or asked or elsewhere[key] >= believed[key].revision
            )
            shown = missed[key] >= CONFIRMATIONS[source] and not asked
            if told or superseded or shown:
                del believed[key]
        for key in [
            key
            for key in missed
            if (certain and key in heard.meetings) or key not in believed
        ]:
            del missed[key]

    # What it asks for

    def truth(self, sources: Iterable[str], now: datetime) -> dict[Key, Meeting]:
        """What the calendars would say if every file could be read: of several copies the newest.

        A copy that is over says nothing any more; an older one that is still to come then counts.
        """
        return newest(
            (
                {
                    (uid, date): meeting
                    for uid, event in events.items()
                    for date, meeting in event.dates()
                }
                for events in map(self.events.__getitem__, sources)
            ),
            now,
        )

    def belief(self, sources: Iterable[str], now: datetime) -> dict[Key, Meeting]:
        """What an attentive person takes for the truth."""
        return newest((self.memory[source].believed for source in sources), now)


def newest(
    copies: Iterable[Mapping[Key, Meeting]], now: datetime
) -> dict[Key, Meeting]:
    """Of each meeting the copy with the highest revision of those that are not over."""
    found: dict[Key, Meeting] = {}
    for each in copies:
        for key, meeting in each.items():
            rival = found.get(key)
            if meeting.end > now and (
                rival is None or meeting.revision > rival.revision
            ):
                found[key] = meeting
    return found


def file_of(source: str, uid: str) -> str:
    """The file in which a source has a UID."""
    names = FILES[source]
    return names[ord(uid[0]) % len(names)]


def utc(moment: datetime) -> str:
    """As RFC 5545 writes an instant (section 3.3.5, form 2)."""
    return f"{moment:%Y%m%dT%H%M%SZ}"
