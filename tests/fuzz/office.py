"""The calendar of one office as the fuzzing knows it, and how people change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias

from tests.conftest import calendar
from tests.machine.calendars import Event, Meeting

ROOMS = {
    "red": "1410148741926678531",
    "green": "1410148741926678532",
    "blue": "1410148741926678533",
}
HORIZON_DAYS = 10
FEW, MANY = 4, 10
"""With fewer events, people add one; with more, they do not."""

Content: TypeAlias = tuple[str, str, int, int, str]
"""UID, topic, start, end and room of a reservation."""
Place: TypeAlias = tuple[datetime, str]
"""A start on the hour and the name of a room."""


@dataclass
class Office:
    """One calendar: what it says, and as a file at `path`."""

    path: Path
    events: dict[str, Event] = field(default_factory=dict)
    named: int = 0
    revision: int = 0

    def write(self) -> None:
        """Put it on disk, if it says something else than the file."""
        body = calendar(
            *(
                _with_people(uid, event.text(uid))
                for uid, event in sorted(self.events.items())
            )
        )
        if not self.path.exists() or self.path.read_bytes() != body:
            self.path.write_bytes(body)

    def wanted(self, after: datetime) -> Counter[Content]:
        """What has to be booked of the meetings that begin later."""
        found: Counter[Content] = Counter()
        for uid, event in self.events.items():
            for _, meeting in event.dates():
                if meeting.withdrawn or meeting.start <= after:
                    continue
                for room in meeting.rooms or ("",):
                    place = ROOMS.get(room, "")
                    found[
                        uid, meeting.topic, ms(meeting.start), ms(meeting.end), place
                    ] += 1
        return found

    def taken(self, after: datetime) -> set[tuple[int, str]]:
        """Starts and room ids that the calendar asks for."""
        return {(start, room) for _, _, start, _, room in self.wanted(after)}

    def editable(self, now: datetime, but: Collection[str] = ()) -> list[str]:
        """UIDs of events that go on and do not begin soon, except some."""
        soon = now + timedelta(hours=3)
        found = []
        for uid, event in sorted(self.events.items()):
            begins_later = all(meeting.start > soon for _, meeting in event.dates())
            if uid not in but and begins_later and not event.main.withdrawn:
                found.append(uid)
        return found

    def drop_what_is_over(self, now: datetime) -> None:
        """Take events away whose last date is over."""
        for uid, event in list(self.events.items()):
            if all(meeting.end < now for _, meeting in event.dates()):
                del self.events[uid]

    # Edits

    def add(self, place: Place, *, roomless: bool = False) -> str:
        """Put a new event there and return its UID."""
        self.named += 1
        uid = f"u{self.named}"
        self.move(uid, place, roomless=roomless)
        return uid

    def move(self, uid: str, place: Place, *, roomless: bool = False) -> None:
        """Let an event be one meeting at this place."""
        start, room = place
        self.events[uid] = Event(self._meeting(uid, start, () if roomless else (room,)))

    def reword(self, uid: str, *, withdrawn: str = "") -> None:
        """Give an event another topic, or take it back with a content line."""
        main = self.events[uid].main
        self.events[uid] = replace(
            self.events[uid], main=self._meeting(uid, main.start, main.rooms, withdrawn)
        )

    def change(self, random: Random, uid: str, place: Place) -> str:
        """Change an event in some way and return how; it may move to the place."""
        event = self.events[uid]
        how = random.choice(
            ["move", "move", "word", "cancel", "remove", "series", "date"]
        )
        match how:
            case "move":
                self.move(uid, place)
            case "word":
                self.reword(uid)
            case "cancel":
                self.reword(uid, withdrawn="STATUS:CANCELLED")
            case "series" if not event.every:
                self.events[uid] = Event(
                    self._meeting(uid, place[0], ()), every=1, count=2
                )
            case "date" if event.every:
                left_out = event.left_out | {random.randrange(event.count)}
                self.events[uid] = replace(event, left_out=frozenset(left_out))
            case _:
                del self.events[uid]
                return "remove"
        return how

    def exchange(self, one: str, other: str) -> None:
        """Let two single meetings take each other's places."""
        mine, theirs = self.events[one].main, self.events[other].main
        self.events[one] = Event(self._meeting(one, theirs.start, theirs.rooms))
        self.events[other] = Event(self._meeting(other, mine.start, mine.rooms))

    def _meeting(
        self, uid: str, start: datetime, rooms: tuple[str, ...], withdrawn: str = ""
    ) -> Meeting:
        self.revision += 1
        return Meeting(uid, start, 60, rooms, self.revision, withdrawn)


def _with_people(uid: str, text: str) -> str:
    """The VEVENTs of a UID with one of three persons, whom only the tenant's directory knows."""
    number = sum(map(ord, uid)) % 3
    return text.replace(
        "SUMMARY:", f"ATTENDEE:mailto:person-{number}@example.com\r\nSUMMARY:"
    )


def ms(moment: datetime) -> int:
    """Epoch milliseconds."""
    return round(moment.timestamp() * 1000)


def uid_in(topic: str) -> str:
    """The UID of the event that has this topic."""
    return topic.partition(" ")[0]
