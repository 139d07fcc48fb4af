"""What the JSON of the API means: payloads from specs, reservations, rooms and rules from answers.

Promises: a payload is a function of its arguments, field by field in the documented order; ids are strings
whatever JSON type they had; times are exact.
Tolerates what the documentation leaves open: absent fields, camelCase twins, numbers as text.
Must not: guess.
An answer whose meaning decides a booking and cannot be told is `ApiUnusable`, never a default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from syncd.core.reservation import Attachment, Mark, Reservation, ReservationSpec, ReservationStatus
from syncd.errors import ApiUnusable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    booking_date=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
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
    """A meeting room (page "Query Meeting Rooms"); `approval`: bookings wait for a person; `open`: bookable.

    `capacity` is in persons, None where the API does not say.
    """

    room_id: str
    name: str
    address: str
    capacity: int | None
    approval: bool
    open: bool


def payload(spec: ReservationSpec, mark: Mark | None, *, modifier: str | None = None) -> dict[str, object]:
    """The JSON body of "Add Meeting Reservation", or with `modifier` of "Modify Meeting Reservation".

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
    body["description"] = spec.description if mark is None else mark.append_to(spec.description)
    if modifier is not None:
        body["modifier"] = modifier
    return body


class Fields:
    """One JSON object of an answer, read by documented name or its camelCase twin."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise _unexpected(what)
        self._value = value
        self._what = what

    def value(self, *names: str) -> object:
        """The first field of these names that is there and not null, else None."""
        for name in names:
            for spelling in (name, _camel_case(name)):
                if (found := self._value.get(spelling)) is not None:
                    return found
        return None

    def text(self, *names: str) -> str:
        """Text, or a number as text; empty when absent."""
        found = self.value(*names)
        return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""

    def texts(self, *names: str) -> tuple[str, ...]:
        """A list of texts or numbers; empty when absent."""
        found = self.value(*names)
        if not isinstance(found, list):
            return ()
        return tuple(str(item) for item in found if isinstance(item, str | int))

    def integer(self, *names: str) -> int | None:
        """A whole number, or one as text; None when absent."""
        return whole_number(self.value(*names))

    def boolean(self, *names: str) -> bool | None:
        """True or false, also as text; None when absent."""
        found = self.value(*names)
        return {"true": True, "false": False}.get(str(found).lower())

    def moment(self, *names: str) -> datetime | None:
        """Epoch milliseconds as an instant in UTC; None when absent."""
        milliseconds = self.integer(*names)
        if milliseconds is None:
            return None
        try:
            return _EPOCH + timedelta(milliseconds=milliseconds)
        except OverflowError:
            raise _unexpected(self._what) from None

    def identifier(self, *names: str) -> str:
        """An id.

        Raises `ApiUnusable` when it is absent or could not stand in a URL.
        """
        found = identifier(self.value(*names))
        if found is None:
            raise _unexpected(f"{self._what} without id")
        return found

    def items(self, *names: str) -> list[object]:
        """The list of a page; a page without list is empty."""
        found = self.value(*names)
        if found is None:
            return []
        if not isinstance(found, list):
            raise _unexpected(self._what)
        return found


def reservation(value: object) -> Reservation:
    """One item of "Query Meeting List" or the result of "Query Meeting".

    Raises `ApiUnusable` when id, times or status, which decide bookings, are absent or unknown.
    """
    fields = Fields(value, "a reservation")
    start, end = fields.moment("start_time"), fields.moment("end_time")
    if start is None or end is None:
        raise _unexpected("a reservation without times")
    status = fields.integer("status")
    if status not in set(ReservationStatus):
        raise _unexpected(f"a reservation with the status {status if status is not None else 'missing'}")
    return Reservation(
        reservation_id=fields.identifier("reservation_id", "id"),
        status=ReservationStatus(status),
        topic=fields.text("topic"),
        start=start,
        end=end,
        room_id=fields.text("room_id", "meeting_room_id") or None,
        participants=fields.texts("participants"),
        cc_participants=fields.texts("cc_participants"),
        notice=fields.boolean("notice"),
        notice_time_s=fields.integer("notice_time"),
        description=fields.text("description"),
        creator=fields.text("creator"),
        modifier=fields.text("modifier"),
        created_at=fields.moment("gmt_create"),
        modified_at=fields.moment("gmt_modified"),
        attachments=tuple(_attachment(item) for item in fields.items("attachments")),
    )


def _attachment(value: object) -> Attachment:
    fields = Fields(value, "an attachment")
    return Attachment(
        url=fields.text("url"),
        name=fields.text("name") or None,
        size=fields.text("size") or None,
        type=fields.text("type") or None,
    )


def room(value: object) -> Room:
    """One item of "Query Meeting Rooms"."""
    fields = Fields(value, "a room")
    return Room(
        room_id=fields.identifier("id", "room_id"),
        name=fields.text("name"),
        address=fields.text("address"),
        capacity=fields.integer("space"),
        approval=fields.text("reservation_approved") == "Y",
        open=fields.text("room_status") != "stop",
    )


def booking_rules(value: object) -> BookingRules:
    """The result of "Query Meeting Reservation Rules"; none configured means the documented defaults."""
    if not value:
        return UNCONFIGURED_RULES
    fields = Fields(value, "booking rules")
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
    """A JSON number or text that is a whole number, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return int(value)
    return None


def identifier(value: object) -> str | None:
    """An id as text, if it is one that can stand in a URL without escaping."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _IDENTIFIER.fullmatch(text) else None


@cache
def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _unexpected(what: str) -> ApiUnusable:
    return ApiUnusable(
        f"the API answered with something undocumented where {what} was expected; nothing was changed: "
        "check that api.endpoint is the reservation API, and look for a newer version of syncd"
    )
