"""What is wanted, and what the API has.

`ReservationSpec` is content in canonical form: two equal readings give equal specs.
`Reservation` is whatever the API says of one; what makes no sense in it can be read, too.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import IntEnum
from typing import Any

from syncd.core.mark import Mark
from syncd.core.occurrence import require_aware
from syncd.core.text import fold_space

DESCRIPTION_LIMIT = 256
"""UTF-16 code units of a description (API page "Add Meeting Reservation": 256 characters)."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One entry of `attachments`; what is None is left out of the request."""

    url: str
    name: str | None = None
    size: str | None = None
    type: str | None = None

    def comparable(self) -> dict[str, object]:
        """Return what is known of it by API field name."""
        values = {
            "url": self.url,
            "name": self.name,
            "size": self.size,
            "type": self.type,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ReservationSpec:
    """The content of a reservation as the calendar wants it; the description without mark.

    Field names are those of the API; `start` and `end` are instants, `notice_time_s` is in seconds.
    """

    topic: str
    start: datetime
    end: datetime
    room_id: str | None
    participants: tuple[str, ...]
    cc_participants: tuple[str, ...]
    notice: bool
    notice_time_s: int
    description: str
    creator: str
    attachments: tuple[Attachment, ...] = ()

    def __post_init__(self) -> None:
        require_aware(self.start, "start")
        require_aware(self.end, "end")
        if self.end <= self.start:
            raise ValueError("a reservation ends after it starts")
        if not self.participants:
            raise ValueError(
                "a reservation has a participant; the creator takes part if nobody else does"
            )

    def in_room(self, room_id: str | None) -> ReservationSpec:
        """Return the same meeting in another room."""
        return replace(self, room_id=room_id)

    def in_the_way_of(self, other: ReservationSpec) -> bool:
        """Tell whether the two cannot be in their room together."""
        same_room = self.room_id is not None and self.room_id == other.room_id
        return same_room and self.start < other.end and other.start < self.end

    def comparable(self) -> dict[str, object]:
        """Return the content by API field name, in plain JSON values; the basis of every comparison."""
        return {
            "topic": self.topic,
            "start_time": epoch_ms(self.start),
            "end_time": epoch_ms(self.end),
            "meeting_room_id": self.room_id,
            "participants": list(self.participants),
            "cc_participants": list(self.cc_participants),
            "notice": self.notice,
            "notice_time": self.notice_time_s,
            "description": self.description,
            "creator": self.creator,
            "attachments": [attachment.comparable() for attachment in self.attachments],
        }

    @property
    def fingerprint(self) -> str:
        """Return the identity of the content, 32 hexadecimal digits."""
        text = json.dumps(self.comparable(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def changed_from(self, other: ReservationSpec) -> tuple[str, ...]:
        """Return the API's names of the fields in which the two differ, in the API's order."""
        mine = self.comparable()
        theirs = other.comparable()
        return tuple(name for name in mine if mine[name] != theirs[name])


class ReservationStatus(IntEnum):
    """`status` of a reservation as the API reads it back (API page "Query Meeting List")."""

    NORMAL = 1
    AWAITING_APPROVAL = 2
    CANCELLED = 3
    REJECTED = 4


# Every reservation was made with these.
_ESSENTIAL = (
    "topic",
    "participants",
    "creator",
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as the API has it, whatever that is; `oddity` says what makes no sense in it.

    `description` is as stored, mark included; `room_id` is None for a meeting without a room
    (the API says `""`).
    `start` and `end` are None where the API tells no time of a meeting, `status` where it tells none that is
    documented; other absent fields are None or empty, and `unsaid` has their names.
    `flaw` is a sentence about what these fields cannot show, such as a question that was refused.
    """

    reservation_id: str
    status: ReservationStatus | None
    topic: str
    start: datetime | None
    end: datetime | None
    room_id: str | None
    participants: tuple[str, ...]
    cc_participants: tuple[str, ...]
    notice: bool | None
    notice_time_s: int | None
    description: str
    creator: str
    modifier: str
    created_at: datetime | None
    modified_at: datetime | None
    attachments: tuple[Attachment, ...] = ()
    unsaid: frozenset[str] = frozenset()
    flaw: str = ""

    @classmethod
    def unread(cls, reservation_id: str, flaw: str) -> Reservation:
        """Return a reservation of which nothing is known but its id, and why."""
        return cls(
            reservation_id=reservation_id,
            status=None,
            topic="",
            start=None,
            end=None,
            room_id=None,
            participants=(),
            cc_participants=(),
            notice=None,
            notice_time_s=None,
            description="",
            creator="",
            modifier="",
            created_at=None,
            modified_at=None,
            unsaid=frozenset(_COMPARED),
            flaw=flaw,
        )

    @property
    def live(self) -> bool:
        """Return whether it holds its slot: normal, waiting for approval, or nobody knows."""
        return self.status not in (
            ReservationStatus.CANCELLED,
            ReservationStatus.REJECTED,
        )

    @property
    def oddity(self) -> str:
        """Return what makes no sense in it, as a sentence; empty for a sound one."""
        if self.flaw:
            return self.flaw
        if self.start is None or self.end is None:
            lacking: list[str] = []
            if self.start is None:
                lacking.append("start")
            if self.end is None:
                lacking.append("end")
            return f"It has no {' and no '.join(lacking)} that makes sense."
        if self.end <= self.start:
            return "It does not end after its start."
        if self.status is None:
            return "It has no status that is documented."
        return ""

    @property
    def gaps(self) -> str:
        """Return what every reservation has and this one does not say, as a sentence; empty if nothing."""
        lacking = [name for name in _ESSENTIAL if name in self.unsaid]
        if not lacking:
            return ""
        return f"It says nothing of its {', '.join(lacking)}."

    @property
    def mark(self) -> Mark | None:
        """Return the mark in its description; None if it has none."""
        return Mark.find(self.description)

    def onto(self, spec: ReservationSpec) -> ReservationSpec | None:
        """Return the content that this shows, over that of a spec; None if it makes no sense.

        What an answer leaves out stays, and so does text that differs in form alone.
        People count as a set: the API documents no order for them.
        """
        if self.oddity or self.start is None or self.end is None:
            return None
        organizer = self.creator or spec.creator
        present = self.participants or (organizer,)
        description = Mark.strip(self.description)
        said: dict[str, Any] = {
            "topic": _in_form_of(spec.topic, self.topic),
            "room_id": self.room_id,
            "participants": _in_order_of(spec.participants, present),
            "cc_participants": _in_order_of(spec.cc_participants, self.cc_participants),
            "description": _in_form_of(spec.description, description),
            "creator": self.creator,
            "attachments": self.attachments or spec.attachments,
        }
        if self.notice is not None:
            said["notice"] = self.notice
        if self.notice_time_s is not None:
            said["notice_time_s"] = self.notice_time_s
        for name in self.unsaid:
            said.pop(name, None)
        return replace(spec, start=self.start, end=self.end, **said)

    def is_by(self, creator: str) -> bool:
        """Tell whether a person made it, as far as it says who did."""
        return "creator" in self.unsaid or self.creator == creator

    def is_in_place_of(self, other: Reservation | ReservationSpec) -> bool:
        """Tell whether creator, room and time are those of another one, and all of them are known."""
        if self.oddity or self.unsaid & {"creator", "room_id"}:
            return False
        place = (self.creator, self.room_id, self.start, self.end)
        return place == (other.creator, other.room_id, other.start, other.end)

    def is_over(self, now: datetime) -> bool:
        """Tell whether all its time has passed, as far as that is known."""
        if self.end is None or self.end > now:
            return False
        return self.start is None or self.start <= now

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Tell whether it shares time with the half-open interval, as far as its times are known.

        Without an end that makes sense it takes all time from its start on.
        """
        begins = self.start
        ends = self.end
        if begins is not None and ends is not None and ends <= begins:
            ends = None
        if begins is not None and begins >= end:
            return False
        return ends is None or start < ends

    def age_key(self) -> tuple[int, str]:
        """Return what sorts the oldest first: ids are snowflakes, so the lower number was made earlier."""
        if self.reservation_id.isdigit():
            return (int(self.reservation_id), "")
        return (0, self.reservation_id)


_COMPARED = tuple(f.name for f in fields(ReservationSpec))


def same_text(one: str, other: str) -> bool:
    """Tell whether two texts are equal but for their form: white space, and how letters are composed."""
    return one == other or _form(one) == _form(other)


def _form(text: str) -> str:
    return fold_space(unicodedata.normalize("NFC", text))


def _in_form_of(known: str, text: str) -> str:
    """Return a text, as it is known if it differs in form alone."""
    if same_text(known, text):
        return known
    return text


def _in_order_of(known: tuple[str, ...], people: tuple[str, ...]) -> tuple[str, ...]:
    """Return people, in the order in which they are known if they are the same ones."""
    if sorted(known) == sorted(people):
        return known
    return people


def epoch_ms(moment: datetime) -> int:
    """Return milliseconds since 1970, exact (no floating point in between)."""
    require_aware(moment, "moment")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000
