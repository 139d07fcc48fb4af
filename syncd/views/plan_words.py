"""What a plan says of its changes in words: what differs, who holds a room, why something is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from syncd.config import Config
from syncd.core.changes import Change, Create, Hold, Update
from syncd.core.foreseen import Holder
from syncd.core.reasons import HELD_ON, MEANINGS, PROOFS, Evidence, Reason
from syncd.core.reservation import ReservationSpec
from syncd.views.fields import FIELD_WORDS
from syncd.views.moments import in_zone, span_told

_TIMES = frozenset({"start_time", "end_time"})
_OBVIOUS = frozenset({Reason.NEW, Reason.CHANGED})
_FEW_PEOPLE = 3
_MOST_TEXT = 40


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that an update changes, in words, with what it was and what it becomes."""

    field: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.field}: {self.was} → {self.becomes}"


@dataclass(frozen=True, slots=True)
class PlanWords:
    """How values are named: times in a zone, rooms and people by the names of the configuration."""

    zone: tzinfo
    rooms: Mapping[str, str]
    people: Mapping[str, str]

    @classmethod
    def of(cls, config: Config, *others: Config) -> PlanWords:
        """Return the words of a configuration; whom only `others` know is named as they do."""
        rooms = {room.id: room.name or room.id for room in config.rooms}
        people: dict[str, str] = {}
        for one in (*others, config):
            people.update(one.people.addresses_by_user)
        return cls(config.calendar.timezone, rooms, people)

    def room(self, room_id: str | None) -> str:
        """Return the name of a room."""
        if room_id is None:
            return "no room"
        return self.rooms.get(room_id, room_id)

    def span(self, start: datetime, end: datetime) -> str:
        """Return from when until when."""
        return span_told(start, end, self.zone)

    def sentences(self, change: Change, holder: Holder | None) -> tuple[str, ...]:
        """Return what is to be said of a change, each once; `holder` is in the way of it, if somebody is."""
        said = [in_zone(told, self.zone) for told in self._said(change, holder)]
        return tuple(dict.fromkeys(said))

    def _said(self, change: Change, holder: Holder | None) -> Iterator[str]:
        if holder is not None:
            yield self.refused(holder)
        if isinstance(change, Update):
            yield from map(str, self.differences(change))
        if isinstance(change, Create):
            for note in change.meeting.notes:
                yield note.detail
        if change.reason not in _OBVIOUS:
            yield f"{_why(change)} [{change.reason.value}]"
        if isinstance(change, Hold) and change.approvable:
            evidence = held_on(change)
            yield f"The evidence: {PROOFS[evidence]} [{evidence.value}]."

    def refused(self, holder: Holder) -> str:
        """Return that the API will refuse a request, and who holds the room."""
        spec = holder.spec
        when = self.span(spec.start, spec.end)
        return (
            f"will be refused: {spec.topic} (UID {holder.key.uid}) holds "
            f"{self.room(spec.room_id)}, {when}."
        )

    def differences(self, update: Update) -> list[Difference]:
        """Return what an update changes, a time as a whole."""
        found: list[Difference] = []
        old = update.booking.spec
        new = update.spec
        if _TIMES.intersection(update.changed):
            was = self.span(old.start, old.end)
            becomes = self.span(new.start, new.end)
            found.append(Difference("time", was, becomes))
        for name in update.changed:
            if name not in _TIMES:
                was = self._value(name, old)
                becomes = self._value(name, new) + self._exchanged(name, old, new)
                found.append(Difference(FIELD_WORDS[name], was, becomes))
        return found

    def _value(self, name: str, spec: ReservationSpec) -> str:
        """Return the value of a field in words, by the API's name of it."""
        match name:
            case "topic":
                return f'"{spec.topic}"'
            case "meeting_room_id":
                return self.room(spec.room_id)
            case "participants":
                return self._people(spec.participants)
            case "cc_participants":
                return self._people(spec.cc_participants)
            case "notice":
                return "on" if spec.notice else "off"
            case "notice_time":
                return f"{spec.notice_time_s / 60:g} min before"
            case "description":
                return _text_told(spec.description)
            case "creator":
                return self._person(spec.creator)
            case _:
                return _number_told(len(spec.attachments))

    def _exchanged(self, name: str, old: ReservationSpec, new: ReservationSpec) -> str:
        """Return who comes and who goes, where people are told by their number; else nothing."""
        lists = {
            "participants": (old.participants, new.participants),
            "cc_participants": (old.cc_participants, new.cc_participants),
        }
        before, after = lists.get(name, ((), ()))
        if max(len(before), len(after)) <= _FEW_PEOPLE:
            return ""
        said: list[str] = []
        for word, some, others in (("with", after, before), ("without", before, after)):
            exchanged = [user for user in some if user not in others]
            if exchanged:
                said.append(f"{word} {self._people(exchanged)}")
        return f" ({', '.join(said)})" if said else ""

    def _people(self, user_ids: Sequence[str]) -> str:
        """Return a few people by their names, of more how many they are."""
        if 0 < len(user_ids) <= _FEW_PEOPLE:
            return ", ".join(map(self._person, user_ids))
        return f"{len(user_ids)} people" if user_ids else "nobody"

    def _person(self, user_id: str) -> str:
        return self.people.get(user_id, f"user {user_id}")


def held_on(hold: Hold) -> Evidence:
    """Return what a cancel that is held rests on."""
    return HELD_ON.get(hold.reason, Evidence.INFERRED)


def _why(change: Change) -> str:
    """Return why a change is made or not, as a sentence."""
    if change.reason is Reason.ROOM_FREE_AGAIN:
        return MEANINGS[change.reason]  # its detail says how it was before
    return change.detail or MEANINGS[change.reason]


def _text_told(text: str) -> str:
    """Return a description as far as a line has place for it."""
    if not text:
        return "none"
    folded = " ".join(text.split())
    if len(folded) > _MOST_TEXT:
        folded = f"{folded[:_MOST_TEXT]}…"
    return f'"{folded}"'


def _number_told(number: int) -> str:
    return str(number) if number else "none"
