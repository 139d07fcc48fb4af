"""The sentences about one occurrence: what is booked, why, what comes next, and what a person can do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime

from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.cause import SYNCD, TUYA
from syncd.core.changes import Mode, Update
from syncd.core.mark import Mark
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Occurrence
from syncd.core.reasons import MEANINGS, PROOFS, Evidence, Reason
from syncd.core.resolve import full_name, resolvable
from syncd.explain.phrases import Line, Words, asked_for, joined, listed, sentence
from syncd.explain.story import Story
from syncd.explain.verdicts import Fate
from syncd.ledger import HistoryEntry
from syncd.views.fields import fields_told

_MOST_HISTORY = 12

_HISTORY = {
    "noted": "Noted: it cannot be booked yet",
    "create": "A request to book it was sent",
    "created": "The API booked it",
    "adopted": "It was found in the API and taken over",
    "update": "A request to change it was sent, for",
    "updated": "The API changed it",
    "cancel": "A request to cancel it was sent, because of",
    "cancelled": "The API cancelled it",
    "refused": "The API said no",
    "in doubt": "The answer was lost",
    "not sent": "The request did not leave",
    "not made": "The lost request was never carried out",
    "settled": "The API was asked what it holds",
    "booked": "The API has it as booked",
    "approval": "The API has it as waiting for approval",
    "released": "It was ended in Tuya",
    "vanished": "It was gone from Tuya with many others",
    "there again": "It is there again in Tuya",
    "replaced": "Its place was taken by a new reservation",
    "closed": "The record was closed",
}

_TO_DO = {
    Reason.REFUSED: "Change the event so that the API can accept it; it is then sent again.",
    Reason.ROOM_CONFLICT: "To have it sooner, end the other reservation or choose another room or time.",
    Reason.MODE: "To let it happen, change mode in the configuration.",
    Reason.CHANGED_IN_TUYA: "Change the event or the reservation so that they agree, or set drift.on_change.",
    Reason.FILE_MISSING: "Nothing has to be done: the file comes back, or its staying away is judged.",
    Reason.UNCONFIRMED: "Nothing has to be done: the next complete readings decide.",
}

TOLD_WITH_SOURCE = frozenset({Reason.TIMEZONE_CONTRADICTS})
"""Notes that the line about a source tells already."""

# Of a note and a fate.
_TOLD_ELSEWHERE = frozenset({(Reason.UNMAPPED_ATTENDEE, Reason.UNMAPPED_PERSON)})

# With a reservation, and without one.
_STANDING = {
    BookingState.BOOKED: ("It is booked: {name}{elsewhere}.", ""),
    BookingState.APPROVAL: (
        "It is booked as {name}{elsewhere} and waits for a person's approval in Tuya.",
        "",
    ),
    BookingState.WAITING: ("It is not booked yet.", "It is not booked yet."),
    BookingState.REFUSED: (
        "It is not booked: it was refused.",
        "It is not booked: it was refused.",
    ),
    BookingState.SENDING: (
        "It is in doubt: a change of {name} was sent, and its answer is not known.",
        "It is in doubt: a request to book it was sent, and its answer is not known.",
    ),
    BookingState.CANCELLING: (
        "It is in doubt: a cancel of {name} was sent, and its answer is not known.",
        "",
    ),
    BookingState.RELEASED: ("It is not booked: {name} was ended in Tuya.", ""),
    BookingState.CANCELLED: (
        "Earlier: {name}, cancelled {at}.",
        "Earlier: a wish that was never booked, given up {at}.",
    ),
    BookingState.ENDED: (
        "It is over; it was {name}.",
        "It is over, and was never booked.",
    ),
}


class FateTeller:
    """Tells what becomes of the occurrences of one story."""

    def __init__(self, story: Story, words: Words) -> None:
        self._story = story
        self._examined = story.examined
        self._words = words

    def title(self, fate: Fate) -> str:
        when = "No time is known"
        if fate.start and fate.end:
            when = self._words.span(fate.start, fate.end)
        is_about_a_room = fate.room_id is not None or fate.booking is not None
        if not is_about_a_room and fate.action in {"skip", "none"}:
            return when
        return f"{when}, {self._words.room(fate.room_id)}"

    def lines(self, fate: Fate) -> Iterator[Line]:
        """Yield the lines about one occurrence, but for its history."""
        yield Line(self._standing(fate), style="red" if fate.needs_person else "")
        if fate.seen is not None and fate.seen.why:
            yield Line(self._decides(fate.seen), once=True)
        for text in (*self._moved(fate), *self._coming(fate)):
            yield Line(text)
        if fate.wanted is not None:
            yield Line(asked_for(fate.wanted, self._words), once=True)
            room_by = self._story.room_by(fate)
            if room_by:
                yield Line(
                    f"{self._words.room(fate.room_id)} is its room, because {room_by}.",
                    once=True,
                )
        for note in fate.notes:
            if note.reason in TOLD_WITH_SOURCE:
                continue
            if (note.reason, fate.reason) not in _TOLD_ELSEWHERE:
                yield Line(f"Besides: {note.detail}", style="yellow")

    def _standing(self, fate: Fate) -> str:
        """Say what is booked now."""
        booking = fate.booking
        if booking is None:
            return "It is not booked."
        with_reservation, without = _STANDING[booking.state]
        told = with_reservation if booking.reservation_id else without
        return told.format(
            name=f"reservation {booking.reservation_id}",
            elsewhere=self._elsewhere(fate, booking),
            at=self._words.at(booking.updated_at),
        )

    def _elsewhere(self, fate: Fate, booking: Booking) -> str:
        """Say where a reservation is now, if the calendar wants it elsewhere."""
        spec = booking.spec
        same_time = spec.start == fate.start and spec.end == fate.end
        if same_time and spec.room_id == fate.room_id:
            return ""
        return f", now {self._words.span(spec.start, spec.end)}, {self._words.room(spec.room_id)}"

    def _decides(self, seen: Witnessed) -> str:
        """Say which of several copies decides, and why."""
        chosen = seen.occurrence
        readings = self._examined.readings
        places: dict[str, None] = {}
        for name in seen.witnesses:
            for occurrence in readings[name].occurrences:
                if occurrence.key == chosen.key:
                    places[_place(occurrence)] = None
        return f"Copies in {listed(list(places))} show it; that in {_place(chosen)} decides. {seen.why}"

    def _moved(self, fate: Fate) -> Iterator[str]:
        """Say where the date was before, and whether its reservation came from another key."""
        original = _instant_of(fate.key.recurrence_id)
        is_known = original is not None and fate.start is not None
        if is_known and original != fate.start and not fate.closed:
            yield f"The series has it at {self._words.at(original)}; this date was moved."
        former = fate.moved_from
        if former is not None and former.uid != fate.key.uid:
            yield f"Its reservation came from UID {former.uid}: the calendar gave the meeting another UID."
        elif former is not None:
            was = _instant_of(former.recurrence_id)
            date = former.recurrence_id or "the event before it recurred"
            if was is not None:
                date = self._words.at(was)
            yield f"Its reservation was made for another date of the series ({date}) and follows it."
        elif fate.booking is not None and _has_followed(
            fate.booking, self._story.instance
        ):
            yield "Its reservation was made when the meeting had another date or UID, and followed it."

    # What comes next

    def _coming(self, fate: Fate) -> Iterator[str]:
        """Say what a cycle would do, why, and what a person can do about it."""
        yield from self._next(fate)
        unread = fate.reason is Reason.UNCONFIRMED and fate.action != "hold"
        if (
            fate.reason in _TO_DO
            and not fate.closed
            and fate.action != "cancel"
            and not unread
        ):
            yield _TO_DO[fate.reason]
        yield from self._decision(fate)

    def _next(self, fate: Fate) -> Iterator[str]:
        """Say what a cycle would do, and why."""
        why = _why(fate)
        match fate.action:
            case "create":
                yield f"{self._would('books')} {why}"
            case "update":
                yield f"{self._would('changes')} {why} What differs: {_differing(fate)}."
            case "cancel":
                evidence = getattr(fate.change, "evidence", Evidence.TOLD)
                yield f"{self._would('cancels')} {why} The evidence: {PROOFS[evidence]}."
            case "hold":
                yield from self._held(fate)
            case "wait":
                yield f"{why} {self._again(fate)}".strip()
            case "unchanged":
                yield _unchanged(fate)
            case "close":
                yield f"{why} The next cycle closes its record; nothing is sent."
            case _:
                yield from _left(fate)

    def _held(self, fate: Fate) -> Iterator[str]:
        """Say why a booking is left as it is, and how a person releases that."""
        why = _why(fate)
        if fate.approvable:
            plan = self._examined.plan
            released = (
                "this one"
                if len(plan.held) == 1
                else f"all {len(plan.held)} that are held"
            )
            yield f"It would be cancelled, but is held until a person approves that: {why}"
            yield (
                f"To cancel it, run: syncd approve {plan.held_checksum} (that releases {released}). "
                "To keep it, mend the calendar or the configuration."
            )
        elif fate.reason is Reason.IN_DOUBT:
            yield f"{self._doubt(fate.booking, sentence(fate.detail))} [{fate.reason}]"
        else:
            yield f"It stays as it is for now: {why}"

    def _decision(self, fate: Fate) -> Iterator[str]:
        """Say what a person decided or may decide about a booking that was refused or is in doubt."""
        booking, decision = fate.booking, fate.decision
        if decision is not None:
            yield f"{decision.decided_by} decided: {decision.verdict}; the next cycle carries it out."
        elif booking is not None and fate.needs_person and resolvable(booking):
            ways = "--adopt RESERVATION_ID, --retry or --drop"
            yield f"Who knows better can decide: syncd resolve {shlex.quote(full_name(booking))} with {ways}."

    def _would(self, verb: str) -> str:
        if self._examined.plan.mode is Mode.OBSERVE:
            return (
                f"In mode full the next cycle {verb} it; mode observe writes nothing."
            )
        return f"The next cycle {verb} it."

    def _doubt(self, booking: Booking | None, detail: str) -> str:
        looked = "Each cycle looks for it in the API, and nothing is sent twice; nothing has to be done."
        if (
            booking is None
            or booking.retry_at is None
            or booking.reservation_id is not None
        ):
            return joined(detail, looked)
        return f"{looked} If it is not found by {self._words.at(booking.retry_at)}, it is sent once more."

    def _again(self, fate: Fate) -> str:
        advance = self._examined.inputs.policy.advance
        if (
            fate.reason is Reason.TOO_EARLY
            and advance is not None
            and fate.start is not None
        ):
            return f"Its booking rules (max_day) allow it from {self._words.at(fate.start - advance)} on."
        if fate.reason is not Reason.ROOM_CONFLICT or fate.booking is None:
            return ""
        ours = [
            b
            for b in self._examined.inputs.bookings
            if b.reservation_id == fate.booking.blocked_by and b.may_hold
        ]
        if ours:
            return f"That one is of UID {ours[0].key.uid}; it is tried again when that leaves the room."
        again = ""
        if fate.booking.retry_at:
            again = f"at {self._words.at(fate.booking.retry_at)} or "
        return f"It is tried again {again}when syncd frees the room."

    def history(self, history: Sequence[HistoryEntry]) -> Iterator[Line]:
        """Yield what happened to a reservation so far, the last steps of many."""
        if history:
            yield Line("So far:", style="dim")
        if len(history) > _MOST_HISTORY:
            yield Line(
                f"… {len(history) - _MOST_HISTORY} earlier steps; --json has all.",
                2,
                "dim",
            )
        for entry in history[-_MOST_HISTORY:]:
            said = _HISTORY.get(entry.what, entry.what.capitalize())
            detail = f": {sentence(_detail_of(entry))}" if entry.detail else "."
            when = entry.at.astimezone(self._story.zone)
            by = _decided(entry)
            yield Line(f"{when:%a %d %b %H:%M:%S}  {said}{detail}{by}", 2, "dim")


def _detail_of(entry: HistoryEntry) -> str:
    """Return the detail of a step; of a change the fields in words."""
    if entry.what in {"update", "updated"}:
        return fields_told(entry.detail.split(", "))
    return entry.detail


def _decided(entry: HistoryEntry) -> str:
    """Return which person decided a step, as a sentence; empty where none did."""
    if entry.by in (None, SYNCD, TUYA):
        return ""
    verb = "Approved" if entry.evidence is Evidence.APPROVED else "Decided"
    return f" {verb} by {entry.by}."


def _differing(fate: Fate) -> str:
    """Name the fields in which a reservation differs from what its meeting wants."""
    assert isinstance(fate.change, Update)  # the action is named after it
    return listed([name.removeprefix("meeting_") for name in fate.change.changed])


def _unchanged(fate: Fate) -> str:
    if fate.booking is not None and fate.booking.drifted:
        return sentence(fate.detail)
    return "It is as the calendar wants it; there is nothing to do."


def _left(fate: Fate) -> Iterator[str]:
    """Say why nothing is done: it is a record of the past, or what it waits for."""
    why, booking = _why(fate), fate.booking
    if not why:
        return
    if fate.action != "none" or not fate.closed:
        if booking is not None and booking.state in HOLDING_STATES:
            why += " Its reservation stays as it is."
        yield why
    elif fate.reason is not None:
        if booking is not None and booking.reservation_id and booking.evidence:
            why += f" The evidence: {PROOFS[booking.evidence]}."
        yield why


def _place(copy: Occurrence) -> str:
    return f"{copy.source} ({copy.document or 'unnamed'})"


def _has_followed(booking: Booking, instance: str) -> bool:
    """Tell whether a reservation carries the mark of another key than its own."""
    mark = Mark.find(booking.mark) if booking.mark else None
    if mark is None or mark.instance != Mark.instance_code(instance):
        return False
    return mark != Mark.of(instance, booking.key, booking.generation)


def _instant_of(recurrence_id: str | None) -> datetime | None:
    """Return the original start of an occurrence; None for whole days, which are not moved by hours."""
    if recurrence_id is None or len(recurrence_id) < 16:
        return None
    return datetime.strptime(recurrence_id, "%Y%m%dT%H%M%S%z")


def _why(fate: Fate) -> str:
    """Return the reason in words with its code; a rule of the configuration stands beside what it met."""
    meaning = MEANINGS[fate.reason] if fate.reason else ""
    by_rule = fate.action == "skip" and fate.booking is None
    words = sentence(fate.detail) or meaning
    if by_rule:
        words = joined(sentence(fate.detail), meaning)
    return f"{words} [{fate.reason}]" if fate.reason else words
