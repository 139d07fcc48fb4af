"""What the JSON of the API means: payloads from specs, reservations, rooms and rules from answers.

Promises: a payload is a function of its arguments, field by field in the documented order; ids are strings
whatever JSON type they had; times are exact.
Tolerates what the documentation leaves open: absent fields, camelCase twins, numbers as text.
Whatever JSON stands where a reservation should be is read: what it does not say is told, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from syncd.core.mark import Mark
from syncd.core.reservation import (
    Attachment,
    Reservation,
    ReservationSpec,
    ReservationStatus,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS, _LATEST_MS = 10**12, 10**13  # 2001 to 2286
_LONGEST_NOTICE_S = 366 * 86_400
_IDENTIFIER = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True)
class BookingRules:
    """The tenant's booking rules (page "Query Meeting Reservation Rules"); None where the API says nothing.

    `start_time` and `end_time` are wall-clock texts like `07:00`, of a zone that is not documented.
    `min_minute` and `release_time` are in minutes, `max_hour` in hours, `max_day` in days ahead.
    """

    booking_date: tuple[str, ...] = ()
    start_time: str | None = None
    end_time: str | None = None
    min_minute: int | None = None
    max_hour: int | None = None
    max_day: int | None = None
    release_time: int | None = None


UNCONFIGURED_RULES = BookingRules(
    booking_date=(
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ),
    start_time="07:00",
    end_time="23:00",
    min_minute=30,
    max_hour=5,
    max_day=7,
    release_time=10,
)
"""What holds while a tenant has configured nothing (only the Chinese page prints it)."""


@dataclass(frozen=True, slots=True)
class Room:
    """A meeting room (page "Query Meeting Rooms").

    `approval`: bookings wait for a person to approve them; `open`: it can be booked.
    `capacity` is in persons, None where the API does not say.
    """

    room_id: str
    name: str
    address: str
    capacity: int | None
    approval: bool
    open: bool


@dataclass(frozen=True, slots=True)
class User:
    """A person of the tenant's user directory (page "Query Users"); what it does not tell is empty."""

    user_id: str
    name: str
    email: str
    enabled: bool


def payload(
    spec: ReservationSpec, mark: Mark | None, *, modifier: str | None = None
) -> dict[str, object]:
    """Return the JSON body of "Add Meeting Reservation"; with `modifier`, of "Modify Meeting Reservation".

    A modification carries the full representation, since the documentation does not say whether a field
    that is left out is kept; so a meeting without room says `""` there, which is how the API itself writes
    "no room" when it is read, while an added one leaves the field out, as documented.
    """
    body = spec.comparable()
    if spec.room_id is None:
        if modifier is None:
            del body["meeting_room_id"]
        else:
            body["meeting_room_id"] = ""
    body["description"] = (
        spec.description if mark is None else mark.append_to(spec.description)
    )
    if modifier is not None:
        body["modifier"] = modifier
    return body


class AnswerFields:
    """One JSON object of an answer, read by documented name or its camelCase twin.

    Anything else than an object has no fields.
    """

    def __init__(self, value: object) -> None:
        self._value = value if isinstance(value, dict) else {}

    def value(self, *names: str) -> object:
        """Return the first field of these names that is there and not null, else None."""
        for name in names:
            for spelling in (name, _camel_case(name)):
                if (found := self._value.get(spelling)) is not None:
                    return found
        return None

    def text(self, *names: str) -> str:
        """Return a text, or a number as text; empty when absent."""
        found = self.value(*names)
        return _well_formed(str(found)) if _is_text(found) else ""

    def texts(self, *names: str) -> tuple[str, ...]:
        """Return a list of texts, numbers as text; empty when absent."""
        found = self.value(*names)
        if not isinstance(found, list):
            return ()
        return tuple(_well_formed(str(item)) for item in found if _is_text(item))

    def integer(self, *names: str) -> int | None:
        """Return a whole number, also one that is written as text; None when absent."""
        return whole_number(self.value(*names))

    def boolean(self, *names: str) -> bool | None:
        """Return true or false, also where it is written as text; None when absent."""
        found = self.value(*names)
        return {"true": True, "false": False}.get(str(found).lower())

    def moment(self, *names: str) -> datetime | None:
        """Return a time in UTC from 13 digits of milliseconds; None when absent or anything else."""
        milliseconds = self.integer(*names)
        if milliseconds is None or not _EARLIEST_MS <= milliseconds < _LATEST_MS:
            return None
        return _EPOCH + timedelta(milliseconds=milliseconds)

    def identifier(self, *names: str) -> str | None:
        """Return an id; None when it is absent or could not stand in a URL."""
        return identifier(self.value(*names))

    def items(self, *names: str) -> list[object]:
        """Return a list of JSON values; empty when absent."""
        found = self.value(*names)
        return found if isinstance(found, list) else []


_TEXTS = ("topic", "room_id", "description", "creator")
_LISTS = ("participants", "cc_participants")


def reservation(value: object, reservation_id: str = "") -> Reservation:
    """Read an item of "Query Meeting List" or the result of "Query Meeting", as far as it can be read.

    `reservation_id` is the one that was asked for; without it that is empty where the answer has no usable
    one.
    """
    if not isinstance(value, dict):
        return Reservation.unread(
            reservation_id, "What the API tells of it is no reservation."
        )
    fields = AnswerFields(value)
    status = fields.integer("status")
    known = ReservationStatus(status) if status in set(ReservationStatus) else None
    unsaid, unreadable = _gaps(fields)
    return Reservation(
        reservation_id=reservation_id
        or fields.identifier("reservation_id", "id")
        or "",
        status=known,
        topic=fields.text("topic"),
        start=fields.moment("start_time"),
        end=fields.moment("end_time"),
        room_id=fields.text("room_id", "meeting_room_id") or None,
        participants=fields.texts("participants"),
        cc_participants=fields.texts("cc_participants"),
        notice=fields.boolean("notice"),
        notice_time_s=_notice_time_s(fields),
        description=fields.text("description"),
        creator=fields.text("creator"),
        modifier=fields.text("modifier"),
        created_at=fields.moment("gmt_create"),
        modified_at=fields.moment("gmt_modified"),
        attachments=tuple(_attachment(item) for item in fields.items("attachments")),
        unsaid=unsaid,
        flaw=f"Its {' and its '.join(unreadable)} cannot be read."
        if unreadable
        else "",
    )


def _gaps(fields: AnswerFields) -> tuple[frozenset[str], list[str]]:
    """Return the names of the fields that are not told, and of those that are there but unreadable."""
    unsaid: set[str] = set()
    unreadable: list[str] = []
    for name in (*_TEXTS, *_LISTS):
        found = (
            fields.value("room_id", "meeting_room_id")
            if name == "room_id"
            else fields.value(name)
        )
        readable = _is_text(found) if name in _TEXTS else _is_list_of_texts(found)
        if not readable:
            unsaid.add(name)
        if found is not None and not readable:
            unreadable.append(name)
    return frozenset(unsaid), unreadable


def _notice_time_s(fields: AnswerFields) -> int | None:
    seconds = fields.integer("notice_time")
    return (
        seconds if seconds is not None and 0 <= seconds <= _LONGEST_NOTICE_S else None
    )


def _well_formed(text: str) -> str:
    """Replace the halves of surrogate pairs in a text, which no database and no terminal takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _is_text(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _attachment(value: object) -> Attachment:
    fields = AnswerFields(value)
    return Attachment(
        url=fields.text("url"),
        name=fields.text("name") or None,
        size=fields.text("size") or None,
        type=fields.text("type") or None,
    )


def room(value: object) -> Room | None:
    """Read an item of "Query Meeting Rooms"; return None if it has no usable id."""
    fields = AnswerFields(value)
    room_id = fields.identifier("id", "room_id")
    if room_id is None:
        return None
    return Room(
        room_id=room_id,
        name=fields.text("name"),
        address=fields.text("address"),
        capacity=fields.integer("space"),
        approval=fields.text("reservation_approved") == "Y",
        open=fields.text("room_status") != "stop",
    )


def user(value: object) -> User | None:
    """Read an item of "Query Users"; return None if it has no usable id."""
    fields = AnswerFields(value)
    user_id = fields.identifier("id", "user_id")
    if user_id is None:
        return None
    return User(
        user_id=user_id,
        name=fields.text("name"),
        email=fields.text("email"),
        enabled=fields.integer("status") != 0,
    )


def booking_rules(value: object) -> BookingRules:
    """Read the result of "Query Meeting Reservation Rules"; return the defaults where it is empty."""
    if not value:
        return UNCONFIGURED_RULES
    fields = AnswerFields(value)
    return BookingRules(
        booking_date=fields.texts("booking_date"),
        start_time=fields.text("start_time") or None,
        end_time=fields.text("end_time") or None,
        min_minute=fields.integer("min_minute"),
        max_hour=fields.integer("max_hour"),
        max_day=fields.integer("max_day"),
        release_time=fields.integer("release_time"),
    )


def whole_number(value: object) -> int | None:
    """Return a JSON number or text as int if it is a whole number, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return int(value)
    return None


def identifier(value: object) -> str | None:
    """Return an id as text if it can stand in a URL without escaping, else None."""
    if not _is_text(value):
        return None
    text = str(value)
    return text if _IDENTIFIER.fullmatch(text) else None


@cache
def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
