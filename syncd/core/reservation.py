"""What is wanted, what the API has, and what we remember of it.

`ReservationSpec` is content in canonical form: two equal readings give equal specs.
`Booking` is the durable record of one reservation; its transitions are methods here, so that the ledger
only stores them and a state that cannot be is never built.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any

from syncd.core.occurrence import OccurrenceKey, require_aware
from syncd.core.reasons import Evidence, Reason
from syncd.core.text import fold_space

DESCRIPTION_LIMIT = 256
"""UTF-16 code units of a description (API page "Add Meeting Reservation": 256 characters)."""

MARK_LENGTH = 20
_MARK = re.compile(r"sy:([0-9a-z]{4})-([0-9a-z]{10})")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no letter that looks like a digit


def _short_hash(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), "big")
    return "".join(_ALPHABET[(number >> (5 * i)) & 31] for i in range(length))


@dataclass(frozen=True, slots=True)
class Mark:
    """The ownership mark of one reservation, at the end of its description: `[sy:iiii-kkkkkkkkkk]`.

    `instance` tells whose it is, `token` which reservation of an occurrence.
    Read back without its brackets too, so that an edit around it does not lose it.
    """

    instance: str
    token: str

    def __str__(self) -> str:
        return f"[sy:{self.instance}-{self.token}]"

    @classmethod
    def of(cls, instance: str, key: OccurrenceKey, generation: int) -> Mark:
        """The mark of the `generation`th reservation made for an occurrence.

        The room is left out on purpose: a reservation keeps its mark when its meeting changes rooms.
        """
        identity = json.dumps([instance, key.scope, key.uid, key.recurrence_id, generation])
        return cls(instance=cls.instance_code(instance), token=_short_hash(identity, 10))

    @staticmethod
    @cache
    def instance_code(instance: str) -> str:
        """The four characters that stand for `reservation.instance` in a mark."""
        return _short_hash("instance:" + instance, 4)

    @classmethod
    def find(cls, description: str) -> Mark | None:
        """The last mark in a text, whoever made it; None if there is none."""
        found = _MARK.findall(description)
        return cls(*found[-1]) if found else None

    @staticmethod
    def strip(description: str) -> str:
        """The description without marks."""
        return re.sub(r"\n?\[?" + _MARK.pattern + r"\]?", "", description)

    def append_to(self, description: str) -> str:
        """The description as it is sent."""
        return f"{description}\n{self}" if description else str(self)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One entry of `attachments`; what is None is left out of the request."""

    url: str
    name: str | None = None
    size: str | None = None
    type: str | None = None


_OF_ATTACHMENTS = tuple(f.name for f in fields(Attachment))


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
            raise ValueError("a reservation has a participant; the creator takes part if nobody else does")

    def in_room(self, room_id: str | None) -> ReservationSpec:
        """The same meeting in another room."""
        return replace(self, room_id=room_id)

    def in_the_way_of(self, other: ReservationSpec) -> bool:
        """Whether the two cannot be in their room together."""
        same_room = self.room_id is not None and self.room_id == other.room_id
        return same_room and self.start < other.end and other.start < self.end

    def comparable(self) -> dict[str, object]:
        """The content by API field name, in plain JSON values; the basis of every comparison."""
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
            "attachments": [
                {name: value for name in _OF_ATTACHMENTS if (value := getattr(a, name)) is not None}
                for a in self.attachments
            ],
        }

    @property
    def fingerprint(self) -> str:
        """Identity of the content, 32 hexadecimal digits."""
        text = json.dumps(self.comparable(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def changed_from(self, other: ReservationSpec) -> tuple[str, ...]:
        """API names of the fields in which the two differ, in the API's order."""
        mine, theirs = self.comparable(), other.comparable()
        return tuple(name for name, value in mine.items() if value != theirs[name])


class ReservationStatus(IntEnum):
    """`status` of a reservation as the API reads it back (API page "Query Meeting List")."""

    NORMAL = 1
    AWAITING_APPROVAL = 2
    CANCELLED = 3
    REJECTED = 4


_ESSENTIAL = ("topic", "participants", "creator")  # every reservation was made with these


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
        """A reservation of which nothing is known but its id, and why."""
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
        """Whether it holds its slot: normal, waiting for approval, or nobody knows."""
        return self.status not in (ReservationStatus.CANCELLED, ReservationStatus.REJECTED)

    @property
    def oddity(self) -> str:
        """What makes no sense in it, as a sentence; empty for a sound one."""
        if self.flaw:
            return self.flaw
        if self.start is None or self.end is None:
            lacking = [name for name, at in (("start", self.start), ("end", self.end)) if at is None]
            return f"It has no {' and no '.join(lacking)} that makes sense."
        if self.end <= self.start:
            return "It does not end after its start."
        if self.status is None:
            return "It has no status that is documented."
        return ""

    @property
    def gaps(self) -> str:
        """What every reservation has and this one does not say, as a sentence; empty if there is nothing."""
        lacking = [name for name in _ESSENTIAL if name in self.unsaid]
        return f"It says nothing of its {', '.join(lacking)}." if lacking else ""

    @property
    def mark(self) -> Mark | None:
        """The mark in its description."""
        return Mark.find(self.description)

    def onto(self, spec: ReservationSpec) -> ReservationSpec | None:
        """The content that this shows, over that of a spec; None if it makes no sense.

        What an answer leaves out stays, and so does text that differs in form alone.
        People count as a set: the API documents no order for them.
        """
        if self.oddity or self.start is None or self.end is None:
            return None
        organizer = self.creator or spec.creator
        said: dict[str, Any] = {
            "topic": _in_form_of(spec.topic, self.topic),
            "room_id": self.room_id,
            "participants": _in_order_of(spec.participants, self.participants or (organizer,)),
            "cc_participants": _in_order_of(spec.cc_participants, self.cc_participants),
            "notice": spec.notice if self.notice is None else self.notice,
            "notice_time_s": spec.notice_time_s if self.notice_time_s is None else self.notice_time_s,
            "description": _in_form_of(spec.description, Mark.strip(self.description)),
            "creator": self.creator,
            "attachments": self.attachments or spec.attachments,
        }
        said = {name: value for name, value in said.items() if name not in self.unsaid}
        return replace(spec, start=self.start, end=self.end, **said)

    def is_by(self, creator: str) -> bool:
        """Whether a person made it, as far as it says who did."""
        return "creator" in self.unsaid or self.creator == creator

    def is_in_place_of(self, other: Reservation | ReservationSpec) -> bool:
        """Whether creator, room and time are those of another one, and all of them are known."""
        places = [(r.creator, r.room_id, r.start, r.end) for r in (self, other)]
        return not self.oddity and not self.unsaid & {"creator", "room_id"} and places[0] == places[1]

    def is_somebody_elses(self, booking: Booking) -> bool:
        """Whether it shows neither creator nor mark nor place of a booking that is said to hold it."""
        if self.oddity or self.is_by(booking.spec.creator) or (self.mark and str(self.mark) == booking.mark):
            return False
        spec = booking.spec
        same_room = "room_id" in self.unsaid or self.room_id == spec.room_id
        return not (same_room and (self.start, self.end) == (spec.start, spec.end))

    def is_over(self, now: datetime) -> bool:
        """Whether all its time has passed, as far as that is known."""
        return self.end is not None and self.end <= now and (self.start is None or self.start <= now)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether it shares time with the half-open interval, as far as its times are known.

        Without an end that makes sense it takes all time from its start on.
        """
        ends = self.end
        if self.start is not None and ends is not None and ends <= self.start:
            ends = None
        return (self.start is None or self.start < end) and (ends is None or start < ends)

    def age_key(self) -> tuple[int, str]:
        """Sorts the oldest first: ids are snowflakes, so the lower number was made earlier."""
        if self.reservation_id.isdigit():
            return (int(self.reservation_id), "")
        return (0, self.reservation_id)


_COMPARED = tuple(f.name for f in fields(ReservationSpec))


def same_text(one: str, other: str) -> bool:
    """Whether two texts are equal but for their form: white space, and how letters are composed."""
    return one == other or _form(one) == _form(other)


def _form(text: str) -> str:
    return fold_space(unicodedata.normalize("NFC", text))


def _in_form_of(known: str, text: str) -> str:
    return known if same_text(known, text) else text


def _in_order_of(known: tuple[str, ...], people: tuple[str, ...]) -> tuple[str, ...]:
    return known if sorted(known) == sorted(people) else people


class BookingState(StrEnum):
    """The states of a booking, as `status --json` names them."""

    WAITING = "waiting"
    SENDING = "sending"
    BOOKED = "booked"
    APPROVAL = "approval"
    REFUSED = "refused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    RELEASED = "released"
    ENDED = "ended"


CLOSED_STATES = frozenset({BookingState.CANCELLED, BookingState.ENDED})
"""States that no longer hold their key: the same meeting may be booked anew."""

HOLDING_STATES = frozenset({BookingState.BOOKED, BookingState.APPROVAL})
"""States in which a reservation is known to hold its slot."""

UNANSWERED_STATES = frozenset({BookingState.SENDING, BookingState.CANCELLING})
"""States in which a request left, or was about to leave, whose outcome is not known."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Our record of one reservation, or of the wish for one.

    `content` is what the API last confirmed, `pending` what is on its way or was refused, in doubt or
    wanted; at least one of them is there.
    `state` SENDING with a `reservation_id` is an update whose answer is not known, without one a create.
    `origin` is the fingerprint of the occurrence that `content` (or `pending`) was mapped from.
    `witnesses` are the sources whose last readable reading showed the meeting; `source` decided its content,
    by what stands in its `document`.
    `missed` counts complete distinct readings of which the last, `missed_in`, did not hold the event.
    `evidence` is what a cancel rested on, set when it is decided.
    `attempts` counts the requests that were sent since the last one that is done or refused; with a refusal
    it counts the answers that said no without a code, and the request is made again while it is not 0.
    `drifted` is the origin for which `content` was sent that somebody changed in Tuya since.
    `echo` is the fingerprint of the content as the API gave it back, where it kept other values.
    `row` is the ledger's own number, 0 before it is stored.
    """

    key: OccurrenceKey
    room_id: str | None
    generation: int
    mark: str | None
    state: BookingState
    source: str
    witnesses: tuple[str, ...]
    origin: str
    content: ReservationSpec | None = None
    pending: ReservationSpec | None = None
    reservation_id: str | None = None
    reason: Reason | None = None
    detail: str = ""
    attempted_at: datetime | None = None
    retry_at: datetime | None = None
    blocked_by: str | None = None
    evidence: Evidence | None = None
    missed: int = 0
    missed_in: str = ""
    attempts: int = 0
    drifted: str = ""
    echo: str = ""
    document: str = ""
    updated_at: datetime | None = None
    row: int = 0

    def __post_init__(self) -> None:
        if self.content is None and self.pending is None:
            raise ValueError("a booking has content or pending content")
        needs_id = {
            BookingState.BOOKED,
            BookingState.APPROVAL,
            BookingState.CANCELLING,
            BookingState.RELEASED,
        }
        if self.state in needs_id and not self.reservation_id:
            raise ValueError(f"a booking in state {self.state} has a reservation id")
        if self.state in HOLDING_STATES and self.content is None:
            raise ValueError(f"a booking in state {self.state} has confirmed content")
        if self.state is BookingState.SENDING and (self.pending is None or self.attempted_at is None):
            raise ValueError("a booking in state sending has pending content and the time of its attempt")

    @property
    def spec(self) -> ReservationSpec:
        """The content to show: confirmed if there is any, else pending."""
        spec = self.content or self.pending
        assert spec is not None  # __post_init__ keeps it so
        return spec

    @property
    def in_doubt(self) -> bool:
        """Tell whether a request left and what became of it is not certain yet.

        The one meaning of *in doubt*; `Ledger.in_doubt` asks the same of the database.
        """
        return self.is_unanswered or self.may_still_change

    @property
    def is_unanswered(self) -> bool:
        """Tell whether a request left and nobody has looked yet what became of it."""
        return self.state in UNANSWERED_STATES

    @property
    def may_still_change(self) -> bool:
        """Whether a change without answer, in `pending`, may still arrive at the reservation."""
        return self.state in HOLDING_STATES and self.reason is Reason.IN_DOUBT

    @property
    def is_vanished(self) -> bool:
        """Tell whether its reservation is gone with so many others that a person has to decide about it."""
        return self.state in HOLDING_STATES and self.reason is Reason.VANISHED

    @property
    def is_tried_again(self) -> bool:
        """Tell whether a request that was refused is made again although the content is the same."""
        return self.reason is Reason.REFUSED and self.attempts > 0

    def late(self, sent: Booking, until: datetime) -> Booking:
        """The reservation as it was found, while what was `sent` may still arrive and undo another change."""
        detail = (
            "A change was sent, its answer was lost, and it is not made yet; "
            f"nothing else is sent until {until:%Y-%m-%d %H:%M:%S} UTC, because it may still arrive."
        )
        return replace(
            self,
            pending=sent.pending,
            attempted_at=sent.attempted_at,
            attempts=sent.attempts,
            reason=Reason.IN_DOUBT,
            detail=detail,
            retry_at=until,
        )

    def sending(self, pending: ReservationSpec, origin: str, at: datetime) -> Booking:
        """The intent to create or to update; stored before the request leaves."""
        # What failed is counted for a content; what got no answer for the reservation.
        counted = not self.is_tried_again or self.pending == pending
        return replace(
            self,
            state=BookingState.SENDING,
            pending=pending,
            origin=origin,
            attempted_at=at,
            attempts=self.attempts + 1 if counted else 1,
            reason=None,
            detail="",
            retry_at=None,
            blocked_by=None,
        )

    def booked(self, reservation_id: str, *, approval: bool = False) -> Booking:
        """The API confirmed what was pending (or, with nothing pending, what it has)."""
        content = self.pending or self.content
        assert content is not None  # __post_init__ keeps it so
        return replace(
            self,
            state=BookingState.APPROVAL if approval else BookingState.BOOKED,
            reservation_id=reservation_id,
            content=content,
            room_id=content.room_id,
            drifted="",
            echo="",
        ).settled()

    def lost(self, at: datetime) -> Booking:
        """The same when it comes out that it does not hold its reservation: a create in doubt."""
        intent = self.sending(self.spec, self.origin, at)
        return replace(intent, reservation_id=None, content=None, echo="", drifted="")

    def settled(self) -> Booking:
        """The same with nothing left open: no request, refusal or doubt."""
        return replace(
            self,
            pending=None if self.content else self.pending,
            reason=None,
            detail="",
            attempted_at=None,
            attempts=0,
            retry_at=None,
            blocked_by=None,
        )

    def changed_in_tuya(self, content: ReservationSpec) -> Booking:
        """Somebody changed the reservation there: its content now, and from what origin it was before."""
        return replace(self, content=content, drifted=self.drifted or self.origin, echo="")

    def unclear(self, oddity: str) -> Booking:
        """The same while its reservation makes no sense, or the API does not tell of it."""
        detail = f"{oddity} It stays as it is; look at reservation {self.reservation_id} in Tuya."
        return replace(self, reason=Reason.UNCLEAR_IN_TUYA, detail=detail)

    def vanished(self, detail: str) -> Booking:
        """Return the booking in its state, with the remark that a person has to decide about it."""
        return self.settled().with_state(self.state, Reason.VANISHED, detail)

    def cancelling(self, reason: Reason, evidence: Evidence, detail: str, at: datetime) -> Booking:
        """The intent to cancel and what it rests on; stored before the request leaves."""
        return replace(
            self,
            state=BookingState.CANCELLING,
            reason=reason,
            evidence=evidence,
            detail=detail,
            attempted_at=at,
            attempts=1,
            retry_at=None,
        )

    def called_off(self, detail: str) -> Booking:
        """Return the booking after its reservation was cancelled.

        A cancel that a person approved against the copy which decides leaves a record that holds its key, as
        one that a person made in Tuya does: the calendar goes on showing the meeting, and it must not be
        booked again for that.
        """
        against_the_calendar = self.reason is Reason.NOT_THE_ORGANIZER
        state = BookingState.RELEASED if against_the_calendar else BookingState.CANCELLED
        return replace(self.with_state(state, self.reason, detail), attempted_at=None, retry_at=None)

    def with_state(self, state: BookingState, reason: Reason | None = None, detail: str = "") -> Booking:
        """The same booking in another state, for a reason."""
        return replace(self, state=state, reason=reason, detail=detail)


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, exact (no floating point in between)."""
    require_aware(moment, "moment")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000
