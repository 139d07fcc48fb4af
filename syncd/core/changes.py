"""The vocabulary of a plan: what may be done about a meeting or a booking, and the plan as a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from syncd.core.booking import Booking, BookingState
from syncd.core.evidence import held_checksum
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey, Timespan
from syncd.core.reasons import FOR_A_PERSON, Evidence, Note, Reason
from syncd.core.reservation import ReservationSpec
from syncd.core.totals import Rest


class Mode(StrEnum):
    """What may be written (configuration: `mode`)."""

    OBSERVE = "observe"
    CREATE_ONLY = "create-only"
    NO_CANCEL = "no-cancel"
    FULL = "full"

    @property
    def updates(self) -> bool:
        """Return whether reservations may be changed; `observe` plans as `full` and writes nothing."""
        return self is not Mode.CREATE_ONLY

    @property
    def cancels(self) -> bool:
        """Return whether reservations may be cancelled."""
        return self in {Mode.FULL, Mode.OBSERVE}


class OnChange(StrEnum):
    """What to do when somebody changed a reservation in Tuya (configuration: `drift.on_change`)."""

    ACCEPT = "accept"
    REPAIR = "repair"
    REPORT = "report"


class OnCancel(StrEnum):
    """What to do when somebody cancelled a reservation in Tuya (configuration: `drift.on_cancel`)."""

    RESPECT = "respect"
    REBOOK = "rebook"


@dataclass(frozen=True, slots=True)
class _OfMeeting:
    """A change that is about a meeting."""

    meeting: Meeting

    @property
    def key(self) -> OccurrenceKey:
        """Return which occurrence it is about."""
        return self.meeting.key

    @property
    def spec(self) -> ReservationSpec:
        """Return the content to show: what the meeting wants."""
        return self.meeting.spec

    @property
    def room_id(self) -> str | None:
        """Return the room that the meeting wants; None for none."""
        return self.meeting.spec.room_id


@dataclass(frozen=True, slots=True)
class _OfBooking:
    """A change that is about a booking."""

    booking: Booking

    @property
    def key(self) -> OccurrenceKey:
        """Return which occurrence it is about."""
        return self.booking.key

    @property
    def spec(self) -> ReservationSpec:
        """Return the content to show: what the booking has."""
        return self.booking.spec

    @property
    def room_id(self) -> str | None:
        """Return the room of the booking; None for none."""
        return self.booking.room_id


@dataclass(frozen=True, slots=True)
class Create(_OfMeeting):
    """Book a meeting; `booking` is the record that waits for it or was refused or released before.

    `generation` counts the reservations ever made for the occurrence; it is part of the mark.
    """

    reason: Reason
    detail: str = ""
    booking: Booking | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Update(_OfMeeting):
    """Change a reservation in place; `changed` are the API's names of the fields that differ.

    `vacating` are bookings that give up their room for a moment before this is sent, because meetings take
    each other's places; each has an update of its own later in the plan.
    `evidence` is that a person approved it, if it was held before.
    """

    booking: Booking
    changed: tuple[str, ...]
    reason: Reason = Reason.CHANGED
    detail: str = ""
    vacating: tuple[Booking, ...] = ()
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Cancel(_OfBooking):
    """Cancel a reservation, and what that rests on."""

    reason: Reason
    evidence: Evidence
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hold(_OfBooking):
    """A booking left as it is although something speaks against it.

    `approvable` cancellations form the held set that `approve` releases; the others settle by themselves.
    """

    reason: Reason
    detail: str
    approvable: bool = False


@dataclass(frozen=True, slots=True)
class Wait(_OfMeeting):
    """A meeting that is wanted and cannot be booked yet; `booking` is its record, if there is one."""

    reason: Reason
    detail: str
    booking: Booking | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that is not booked or not changed, and why.

    Exactly as much is known as the reason allows: a quarantined UID has no occurrence.
    `fingerprint` is that of the event, as far as it is known.
    `alike` is equal for those that a list may tell once with a count: one fault in many events of one file.
    """

    key: OccurrenceKey
    source: str
    reason: Reason
    detail: str
    room_id: str | None = None
    topic: str = ""
    span: Timespan | None = None
    reservation_id: str | None = None
    notes: tuple[Note, ...] = ()
    fingerprint: str = ""
    alike: str = ""

    @property
    def needs_person(self) -> bool:
        """Return whether a person has to do something about it."""
        return self.reason in FOR_A_PERSON

    @classmethod
    def of_meeting(
        cls, meeting: Meeting, reason: Reason, detail: str, booking: Booking | None
    ) -> Skip:
        """Return the row of a wanted meeting that is not booked, or of a change of it that is not made."""
        return cls(
            key=meeting.key,
            source=meeting.occurrence.source,
            reason=reason,
            detail=detail,
            room_id=meeting.spec.room_id,
            topic=meeting.spec.topic,
            span=Timespan(meeting.spec.start, meeting.spec.end),
            reservation_id=booking.reservation_id if booking else None,
            fingerprint=meeting.occurrence.fingerprint,
        )

    @classmethod
    def of_booking(cls, booking: Booking, reason: Reason, detail: str) -> Skip:
        """Return the row of a reservation that would be cancelled and is not."""
        return cls(
            key=booking.key,
            source=booking.source,
            reason=reason,
            detail=detail,
            room_id=booking.room_id,
            topic=booking.spec.topic,
            span=Timespan(booking.spec.start, booking.spec.end),
            reservation_id=booking.reservation_id,
        )


@dataclass(frozen=True, slots=True)
class Keep:
    """A booking that stays as it is, and why; no row of the plan is about it.

    `unchanged`: it is as the calendar wants it, or as somebody changed it in Tuya, which is respected.
    Else a reason or a detail says what it waits for.
    """

    booking: Booking
    reason: Reason | None
    detail: str
    unchanged: bool = False


Write: TypeAlias = Create | Update | Cancel
"""A change that sends a mutating request."""

Change: TypeAlias = Write | Hold | Wait | Skip


@dataclass(frozen=True, slots=True)
class Renamed:
    """Meetings of a source that go on under other UIDs: `uids` of the `of` that have bookings."""

    source: str
    uids: int
    of: int

    def __str__(self) -> str:
        return (
            f"{self.uids} of {self.of} UIDs changed, re-keyed; the reservations stay."
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a cycle would do, in writing order.

    `kept` are the bookings that stay as they are; each planned one is here, in a change or in `closed`.
    `amended` are records that change without any request: counters, witnesses, keys that moved, and (with
    row 0) wishes that are new; `closed` those that need no longer be kept in mind.
    `rekeyed` counts the bookings that follow their meeting to another key, `renamed` says which sources
    gave their meetings other UIDs.
    `released` is the checksum of the approved held set that this plan carries out.
    `at_rest` are the UIDs that need no look for a while, `at_rest_once_written` those that will need none when
    each of their writes is made.
    """

    mode: Mode
    changes: tuple[Change, ...]
    unchanged: int
    kept: tuple[Keep, ...] = ()
    amended: tuple[Booking, ...] = ()
    closed: tuple[Booking, ...] = ()
    rekeyed: int = 0
    renamed: tuple[Renamed, ...] = ()
    released: str | None = None
    at_rest: Mapping[str, Rest] = field(default_factory=dict, compare=False, repr=False)
    at_rest_once_written: Mapping[str, Rest] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def to_book(self) -> tuple[Meeting, ...]:
        """Return the meetings that it books."""
        return tuple(
            change.meeting for change in self.writes if isinstance(change, Create)
        )

    def numbered(self, following: Mapping[OccurrenceKey, int]) -> Plan:
        """Return the plan with the generation of each create; two rooms of one occurrence get two.

        `following` is the next generation of each occurrence that is to be created.
        """
        counters: dict[OccurrenceKey, int] = {}
        changes: list[Change] = []
        for change in self.changes:
            if isinstance(change, Create):
                key = change.meeting.key
                generation = counters.get(key, following[key])
                counters[key] = generation + 1
                changes.append(replace(change, generation=generation))
            else:
                changes.append(change)
        return replace(self, changes=tuple(changes))

    def put_off(
        self, keys: Collection[OccurrenceKey], reason: Reason, detail: str
    ) -> Plan:
        """Return the plan in which the creates of some occurrences wait."""
        changes: list[Change] = []
        noted: list[Booking] = []
        for change in self.changes:
            if not isinstance(change, Create) or change.meeting.key not in keys:
                changes.append(change)
                continue
            changes.append(Wait(change.meeting, reason, detail, change.booking))
            # The record of a reservation that was released or refused tells more than that it waits.
            if change.booking is None or change.booking.reservation_id is None:
                noted.append(_waiting(change.meeting, reason, detail, change.booking))
        rows = {record.row for record in noted if record.row}
        amended = [record for record in self.amended if record.row not in rows]
        put_off = {key.uid for key in keys}
        once_written = {
            uid: rest
            for uid, rest in self.at_rest_once_written.items()
            if uid not in put_off
        }
        return replace(
            self,
            changes=tuple(changes),
            amended=(*amended, *noted),
            at_rest_once_written=once_written,
        )

    @property
    def writes(self) -> tuple[Write, ...]:
        """Return the changes that send a mutating request."""
        return tuple(c for c in self.changes if isinstance(c, Create | Update | Cancel))

    @property
    def held(self) -> tuple[Booking, ...]:
        """Return the bookings whose cancellation a person has to approve."""
        return tuple(
            c.booking for c in self.changes if isinstance(c, Hold) and c.approvable
        )

    @property
    def held_checksum(self) -> str | None:
        """Return the checksum that `approve` takes; None if nothing is held."""
        return held_checksum(self.held)

    @property
    def checksum(self) -> str:
        """Return the identity of all rows, 12 hexadecimal digits, free of anything that only time changes."""
        rows = [_row(change) for change in self.changes]
        text = json.dumps(rows)
        digest = hashlib.sha256(text.encode())
        return digest.hexdigest()[:12]


def _waiting(
    meeting: Meeting, reason: Reason, detail: str, record: Booking | None
) -> Booking:
    """Return the record of a meeting that waits, in place of the one that it has."""
    waiting = Booking.of(meeting, BookingState.WAITING, reason, detail)
    if record is None:
        return waiting
    return replace(waiting, row=record.row, updated_at=record.updated_at)


def _row(change: Change) -> list[str | None]:
    """Return what of a change counts in the checksum of its plan."""
    match change:
        case Create() | Update() | Wait():
            content = change.spec.fingerprint
        case Cancel() | Hold():
            content = change.booking.reservation_id or ""
        case Skip():
            content = change.reservation_id or ""
    key = change.key
    return [
        type(change).__name__,
        key.scope,
        key.uid,
        key.recurrence_id,
        change.room_id,
        content,
        change.reason.value,
    ]
