"""A story in plain sentences: what is so, why, and what can be done about it.

Times are in the zone of the configuration, rooms go by their names.
The first few of many alike are told, the rest are counted.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Mode, Update
from syncd.core.mark import Mark
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Occurrence
from syncd.core.reasons import MEANINGS, Evidence, Reason
from syncd.core.resolve import full_name, resolvable
from syncd.explain.phrases import asked_for, count, joined, listed, sentence, told_part, told_zone
from syncd.explain.story import Story, Where
from syncd.explain.verdicts import Fate
from syncd.ledger import HistoryEntry
from syncd.views.console import few_of_each
from syncd.views.screen import Screen, words

_SPACE = re.compile("[ \t\r\n]+")  # other controls are shown as what they are
_MOST_PARTS = 6
_MOST_HISTORY = 12

_EVIDENCE = {
    Evidence.TOLD: "the calendar itself says so",
    Evidence.SHOWN: "complete readings of the calendar show it",
    Evidence.INFERRED: "it is a conclusion",
    Evidence.APPROVED: "a person approved it",
}

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

_TOLD_WITH_SOURCE = frozenset({Reason.TIMEZONE_CONTRADICTS})
_TOLD_ELSEWHERE = frozenset({(Reason.UNMAPPED_ATTENDEE, Reason.UNMAPPED_PERSON)})  # of a note and a fate


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    indent: int = 0
    style: str = ""
    once: bool = False


def tell(story: Story, console: Screen) -> None:
    """Print a story."""
    width = max(console.width, 40)
    for line in _Teller(story).lines():
        hanging = " " * line.indent
        whole = textwrap.fill(
            words(_SPACE.sub(" ", line.text).strip()).plain,
            width=width,
            initial_indent=hanging,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for text in whole.split("\n"):
            console.print(words(text, line.style), soft_wrap=True)


class _Teller:
    """The sentences of one story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._examined = story.examined

    def lines(self) -> Iterator[_Line]:
        """The whole story."""
        story = self._story
        if not story.known:
            yield from self._unknown()
            return
        yield _Line(f"{story.topic or '(no title)'}", style="bold")
        yield _Line(f"UID {story.uid}")
        yield _Line("")
        yield from self._where()
        if self._examined.unasked is not None:
            yield _Line(
                f"The API could not be asked: {sentence(self._examined.unasked)} "
                "What follows is known without it: limits of the tenant may be missing, and after a lost "
                "state also what is booked already.",
                style="yellow",
            )
        yield from self._occurrences()
        yield from self._summary()

    # Not found

    def _unknown(self) -> Iterator[_Line]:
        story = self._story
        yield _Line(f"No calendar and no booking has the UID {story.uid!r}.", style="red")
        for where in story.searched:
            reading = where.reading
            if reading.error:
                yield _Line(
                    f"Source {where.name} could not be read ({reading.error}), so it may be in there.",
                    style="red",
                )
            else:
                yield _Line(f"Source {where.name} was read completely: {count(reading.events, 'event')}.")
        if not story.searched:
            yield _Line("The configuration names no source.")
        if story.suggestions:
            yield _Line("Perhaps one of these was meant:")
            for suggestion in story.suggestions:
                yield _Line(f"{suggestion.uid}  ({suggestion.because})", 2)
        else:
            yield _Line("UIDs compare exactly; syncd plan --json and syncd status --json list those known.")

    # Where it stands

    def _where(self) -> Iterator[_Line]:
        story = self._story
        for where in story.where:
            yield from self._source(where)
        for where in story.unreadable:
            yield _Line(
                f"Source {where.name} could not be read as a whole: {where.reading.error}. "
                "Nothing is cancelled because of what is missing from it.",
                style="red",
            )
        if not story.where:
            names = ", ".join(where.name for where in story.searched) or "none"
            yield _Line(
                f"No calendar that was read has it now (sources: {names}); its bookings tell what follows."
            )

    def _source(self, where: Where) -> Iterator[_Line]:
        account = where.account
        assert account is not None  # only sources that hold the UID are told of
        documents = list(dict.fromkeys(part.document for part in account.parts))
        found = count(len(account.parts), "component")
        looked = f"; the last cycle read it on {self._at(where.record.last_read_at)}" if where.record else ""
        yield _Line(f"Source {where.name} has it now, in {listed(documents)}: {found}{looked}.")
        for part in account.parts[:_MOST_PARTS]:
            yield _Line(told_part(part, several=len(documents) > 1), 2)
        if len(account.parts) > _MOST_PARTS:
            yield _Line(f"… and {len(account.parts) - _MOST_PARTS} more; --json has all.", 2, "dim")
        for zone in account.zones:
            yield _Line(told_zone(zone), 2, "red" if zone.zone is None else "")
        for defect in where.defects:
            yield _Line(
                f"It is quarantined, because it cannot be understood: {defect.document}, line {defect.line}: "
                f"{sentence(defect.detail)} [{defect.reason}] Until that is mended nothing of this event is "
                "booked, changed or cancelled; what is booked stays as it is.",
                2,
                "red",
            )

    # Occurrences

    def _occurrences(self) -> Iterator[_Line]:
        told = [fate for fate in self._story.fates if not _told_with_source(fate)]
        shown, alike = few_of_each(told, _sameness)
        said: set[str] = set()  # of a whole series once
        for fate in shown:
            yield _Line("")
            yield _Line(self._title(fate), style="bold")
            for line in self._fate(fate):
                if line.once and line.text in said:
                    continue
                said.add(line.text)
                yield replace(line, indent=line.indent + 2)
        if alike:
            yield _Line("")
        for kind, more in alike:
            yield _Line(f"… and {more} more like these ({kind}); --json has all.", style="dim")

    def _title(self, fate: Fate) -> str:
        when = self._span(fate.start, fate.end) if fate.start and fate.end else "No time is known"
        unasked = fate.room_id is None and fate.booking is None and fate.action in {"skip", "none"}
        return when if unasked else f"{when}, {self._room(fate.room_id)}"

    def _fate(self, fate: Fate) -> Iterator[_Line]:
        yield _Line(self._standing(fate), style="red" if fate.needs_person else "")
        if fate.seen is not None and fate.seen.why:
            yield _Line(self._decides(fate.seen), once=True)
        for text in (*self._moved(fate), *self._coming(fate)):
            yield _Line(text)
        if fate.wanted is not None:
            yield _Line(asked_for(fate.wanted), once=True)
            if room_by := self._story.room_by(fate):
                yield _Line(f"{self._room(fate.room_id)} is its room, because {room_by}.", once=True)
        for note in fate.notes:
            if (note.reason, fate.reason) not in _TOLD_ELSEWHERE and note.reason not in _TOLD_WITH_SOURCE:
                yield _Line(f"Besides: {note.detail}", style="yellow")
        yield from self._history(fate.history)

    def _standing(self, fate: Fate) -> str:
        """What is booked now."""
        booking = fate.booking
        if booking is None:
            return "It is not booked."
        name = f"reservation {booking.reservation_id}"
        match booking.state:
            case BookingState.BOOKED:
                return f"It is booked: {name}{self._otherwise(fate, booking)}."
            case BookingState.APPROVAL:
                waits = "and waits for a person's approval in Tuya"
                return f"It is booked as {name}{self._otherwise(fate, booking)} {waits}."
            case BookingState.WAITING:
                return "It is not booked yet."
            case BookingState.REFUSED:
                return "It is not booked: it was refused."
            case BookingState.SENDING if booking.reservation_id:
                return f"It is in doubt: a change of {name} was sent, and its answer is not known."
            case BookingState.SENDING:
                return "It is in doubt: a request to book it was sent, and its answer is not known."
            case BookingState.CANCELLING:
                return f"It is in doubt: a cancel of {name} was sent, and its answer is not known."
            case BookingState.RELEASED:
                return f"It is not booked: {name} was ended in Tuya."
            case BookingState.CANCELLED if booking.reservation_id:
                return f"Earlier: {name}, cancelled {self._at(booking.updated_at)}."
            case BookingState.CANCELLED:
                return f"Earlier: a wish that was never booked, given up {self._at(booking.updated_at)}."
            case BookingState.ENDED if booking.reservation_id:
                return f"It is over; it was {name}."
            case BookingState.ENDED:
                return "It is over, and was never booked."

    def _otherwise(self, fate: Fate, booking: Booking) -> str:
        """Where a reservation is now, if the calendar wants it elsewhere."""
        spec = booking.spec
        if (spec.start, spec.end, spec.room_id) == (fate.start, fate.end, fate.room_id):
            return ""
        return f", now {self._span(spec.start, spec.end)}, {self._room(spec.room_id)}"

    def _decides(self, seen: Witnessed) -> str:
        """Which of several copies decides, and why."""
        chosen = seen.occurrence
        readings = self._examined.readings
        copies = [o for name in seen.witnesses for o in readings[name].occurrences if o.key == chosen.key]
        places = list(dict.fromkeys(self._place(copy) for copy in copies))
        return f"Copies in {listed(places)} show it; that in {self._place(chosen)} decides. {seen.why}"

    def _place(self, copy: Occurrence) -> str:
        return f"{copy.source} ({copy.document or 'unnamed'})"

    def _moved(self, fate: Fate) -> Iterator[str]:
        """Where the date was before, and whether its reservation came from another key."""
        original = _instant_of(fate.key.recurrence_id)
        if original is not None and fate.start is not None and original != fate.start and not fate.closed:
            yield f"The series has it at {self._at(original)}; this date was moved."
        former = fate.moved_from
        if former is not None and former.uid != fate.key.uid:
            yield f"Its reservation came from UID {former.uid}: the calendar gave the meeting another UID."
        elif former is not None:
            was = _instant_of(former.recurrence_id)
            date = self._at(was) if was else former.recurrence_id or "the event before it recurred"
            yield f"Its reservation was made for another date of the series ({date}) and follows it."
        elif fate.booking is not None and _has_followed(fate.booking, self._story.instance):
            yield "Its reservation was made when the meeting had another date or UID, and followed it."

    def _coming(self, fate: Fate) -> Iterator[str]:
        """What a cycle would do, why, and what a person can do about it."""
        detail, why = sentence(fate.detail), _why(fate)
        match fate.action:
            case "create":
                yield f"{self._would('books')} {why}"
            case "update":
                assert isinstance(fate.change, Update)  # the action is named after it
                fields = listed([name.removeprefix("meeting_") for name in fate.change.changed])
                yield f"{self._would('changes')} {why} What differs: {fields}."
            case "cancel":
                evidence = getattr(fate.change, "evidence", Evidence.TOLD)
                yield f"{self._would('cancels')} {why} The evidence: {_EVIDENCE[evidence]}."
            case "hold" if fate.approvable:
                yield f"It would be cancelled, but is held until a person approves that: {why}"
                held = len(self._examined.plan.held)
                yield (
                    f"To cancel it, run: syncd approve {self._examined.plan.held_checksum} "
                    f"(that releases {'this one' if held == 1 else f'all {held} that are held'}). "
                    "To keep it, mend the calendar or the configuration."
                )
            case "hold" if fate.reason is Reason.IN_DOUBT:
                yield f"{self._doubt(fate.booking, detail)} [{fate.reason}]"
            case "hold":
                yield f"It stays as it is for now: {why}"
            case "wait":
                yield f"{why} {self._again(fate)}".strip()
            case "unchanged" if fate.booking is not None and fate.booking.drifted:
                yield detail
            case "unchanged":
                yield "It is as the calendar wants it; there is nothing to do."
            case "close":
                yield f"{why} The next cycle closes its record; nothing is sent."
            case "none" if fate.closed:
                if fate.reason is not None and fate.booking is not None and fate.booking.reservation_id:
                    evidence_of = fate.booking.evidence
                    yield f"{why} The evidence: {_EVIDENCE[evidence_of]}." if evidence_of else why
                elif fate.reason is not None:
                    yield why
            case _:
                if why:
                    yield why if fate.booking is None else f"{why} {self._kept(fate)}".strip()
        unread = fate.reason is Reason.UNCONFIRMED and fate.action != "hold"
        if fate.reason in _TO_DO and not fate.closed and fate.action != "cancel" and not unread:
            yield _TO_DO[fate.reason]
        yield from self._decision(fate)

    def _decision(self, fate: Fate) -> Iterator[str]:
        """What a person decided or may decide about a booking that was refused or is in doubt."""
        booking, decision = fate.booking, fate.decision
        if decision is not None:
            yield f"{decision.decided_by} decided: {decision.verdict}; the next cycle carries it out."
        elif booking is not None and fate.needs_person and resolvable(booking):
            ways = "--adopt RESERVATION_ID, --retry or --drop"
            yield f"Who knows better can decide: syncd resolve {shlex.quote(full_name(booking))} with {ways}."

    def _would(self, verb: str) -> str:
        if self._examined.plan.mode is Mode.OBSERVE:
            return f"In mode full the next cycle {verb} it; mode observe writes nothing."
        return f"The next cycle {verb} it."

    def _doubt(self, booking: Booking | None, detail: str) -> str:
        looked = "Each cycle looks for it in the API, and nothing is sent twice; nothing has to be done."
        if booking is None or booking.retry_at is None or booking.reservation_id is not None:
            return joined(detail, looked)
        return f"{looked} If it is not found by {self._at(booking.retry_at)}, it is sent once more."

    def _again(self, fate: Fate) -> str:
        advance = self._examined.grounds.policy.advance
        if fate.reason is Reason.TOO_EARLY and advance is not None and fate.start is not None:
            return f"Its booking rules (max_day) allow it from {self._at(fate.start - advance)} on."
        if fate.reason is not Reason.ROOM_CONFLICT or fate.booking is None:
            return ""
        ours = [b for b in self._examined.grounds.bookings if b.reservation_id == fate.booking.blocked_by]
        if ours:
            return f"That one is of UID {ours[0].key.uid}; it is tried again when that leaves the room."
        again = f"at {self._at(fate.booking.retry_at)} or " if fate.booking.retry_at else ""
        return f"It is tried again {again}when syncd frees the room."

    def _kept(self, fate: Fate) -> str:
        holding = {BookingState.BOOKED, BookingState.APPROVAL}
        return "Its reservation stays as it is." if fate.booking and fate.booking.state in holding else ""

    def _history(self, history: Sequence[HistoryEntry]) -> Iterator[_Line]:
        if history:
            yield _Line("So far:", style="dim")
        if len(history) > _MOST_HISTORY:
            yield _Line(f"… {len(history) - _MOST_HISTORY} earlier steps; --json has all.", 2, "dim")
        for entry in history[-_MOST_HISTORY:]:
            said = _HISTORY.get(entry.what, entry.what.capitalize())
            detail = f": {entry.detail}" if entry.detail else "."
            when = entry.at.astimezone(self._story.zone)
            yield _Line(f"{when:%a %d %b %H:%M:%S}  {said}{detail}", 2, "dim")

    # The end

    def _summary(self) -> Iterator[_Line]:
        story = self._story
        accounts = [where.account for where in story.where if where.account is not None]
        past = max((account.past for account in accounts if account.past is not None), default=0)
        since = next((a.past_since for a in accounts if a.past == past), None)
        if past and any(part.recurs for account in accounts for part in account.parts):
            when = f" since {since:%Y-%m-%d}" if since else ""
            yield _Line("")
            yield _Line(f"{count(past, 'earlier date')} of it {'is' if past == 1 else 'are'} over{when}.")
        if not story.fates:
            yield _Line("")
            if past:
                yield _Line("It is over, and nothing was booked for it; what is over is not booked.")
            else:
                yield _Line("It has no date to come, and nothing is booked for it.")

    # Words

    def _room(self, room_id: str | None) -> str:
        return "no room" if room_id is None else self._story.rooms.get(room_id, f"room {room_id}")

    def _at(self, moment: datetime | None) -> str:
        if moment is None:
            return "at an unknown time"
        return f"{moment.astimezone(self._story.zone):%a %d %b %Y %H:%M}"

    def _span(self, start: datetime, end: datetime) -> str:
        begins, ends = start.astimezone(self._story.zone), end.astimezone(self._story.zone)
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


def _told_with_source(fate: Fate) -> bool:
    """A quarantined UID is told of where its source is."""
    return fate.action == "skip" and fate.reason is Reason.QUARANTINED


def _sameness(fate: Fate) -> str:
    """What makes fates alike to a reader."""
    state = fate.booking.state.value if fate.booking else "not booked"
    return f"{state}, {fate.action}: {fate.reason}" if fate.reason else f"{state}, {fate.action}"


def _has_followed(booking: Booking, instance: str) -> bool:
    """Whether a reservation carries the mark of another key than its own."""
    mark = Mark.find(booking.mark) if booking.mark else None
    if mark is None or mark.instance != Mark.instance_code(instance):
        return False
    return mark != Mark.of(instance, booking.key, booking.generation)


def _instant_of(recurrence_id: str | None) -> datetime | None:
    """The original start of an occurrence; None for whole days, which are not moved by hours."""
    if recurrence_id is None or len(recurrence_id) < 16:
        return None
    return datetime.strptime(recurrence_id, "%Y%m%dT%H%M%S%z")


def _why(fate: Fate) -> str:
    """The reason in words with its code; a rule of the configuration is named beside what it met."""
    meaning = MEANINGS[fate.reason] if fate.reason else ""
    by_rule = fate.action == "skip" and fate.booking is None
    words = joined(sentence(fate.detail), meaning) if by_rule else sentence(fate.detail) or meaning
    return f"{words} [{fate.reason}]" if fate.reason else words
