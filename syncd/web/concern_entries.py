"""What needs a person, as the front page shows it: entries with the command, and how many more are alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncd.core.booking import Booking
from syncd.core.occurrence import event_key
from syncd.views.alike import few_of_each
from syncd.views.catalogue import counted, phrase
from syncd.views.concerns import CONCERN_WORDS, Concern, ConcernKind, sameness_of
from syncd.views.moments import span_told
from syncd.web.commands import Command, CommandWords

_SHOWN_OF_EACH = 10

_STYLES = {
    ConcernKind.DOUBT: ("doubt", "?"),
    ConcernKind.VANISHED: ("doubt", "?"),
    ConcernKind.HELD: ("held", "‖"),
}


@dataclass(frozen=True, slots=True)
class HeldMeeting:
    """A meeting of which a cancel is held, with its time and the name of its room."""

    event: str
    topic: str
    when: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcernEntry:
    """One thing that needs a person; `room` is the name of its room, `event` the key of its event.

    `meetings` are the first that are held, of which `more` are not shown.
    """

    concern: Concern
    kind: str
    style: str
    glyph: str
    room: str | None
    event: str | None
    commands: tuple[Command, ...]
    meetings: tuple[HeldMeeting, ...] = ()
    more: int = 0

    @property
    def key(self) -> str | None:
        """Return the KEY that `resolve` and `ack` take, where no command that is shown has it."""
        key = self.concern.key
        if key is None or any(key in command.text for command in self.commands):
            return None
        return key


@dataclass(frozen=True, slots=True)
class ConcernCount:
    """How many things of a kind need a person, in words, with its look."""

    told: str
    style: str
    glyph: str


@dataclass(frozen=True, slots=True)
class ConcernList:
    """What needs a person: how much of each kind, entries, and sentences about those that are left out."""

    counts: tuple[ConcernCount, ...]
    entries: tuple[ConcernEntry, ...]
    more: tuple[str, ...]


def concern_list(
    concerns: Sequence[Concern],
    rooms: Mapping[str, str],
    held: int,
    words: CommandWords,
) -> ConcernList:
    """Return the list of what needs a person, in its order; `rooms` are names by id, `held` are cancellations."""
    shown, alike = few_of_each(concerns, sameness_of, lambda _: _SHOWN_OF_EACH)
    entries = tuple(_entry(concern, rooms, held, words) for concern in shown)
    more: list[str] = []
    for (kind, _reason, source), number in alike:
        where = phrase("needs.in_source", source=source) if source else ""
        more.append(
            counted("needs.more", number, kind=CONCERN_WORDS[kind], where=where)
        )
    return ConcernList(tuple(_counts(concerns, held)), entries, tuple(more))


def _counts(concerns: Sequence[Concern], held: int) -> Iterator[ConcernCount]:
    numbers = Counter(concern.kind for concern in concerns)
    if ConcernKind.HELD in numbers:
        numbers[ConcernKind.HELD] = held
    for kind, number in numbers.items():
        style, glyph = _look(kind)
        yield ConcernCount(counted(f"kind.{kind.value}", number), style, glyph)


def _entry(
    concern: Concern, rooms: Mapping[str, str], held: int, words: CommandWords
) -> ConcernEntry:
    room: str | None = None
    if concern.room_id is not None:
        room = rooms.get(concern.room_id, concern.room_id)
    meetings = tuple(_held(one, rooms, words) for one in concern.meetings)
    style, glyph = _look(concern.kind)
    return ConcernEntry(
        concern=concern,
        kind=CONCERN_WORDS[concern.kind],
        style=style,
        glyph=glyph,
        room=room,
        event=event_key(concern.uid) if concern.uid else None,
        commands=tuple(words.of_concern(concern, held)),
        meetings=meetings,
        more=max(0, held - len(meetings)),
    )


def _held(
    booking: Booking, rooms: Mapping[str, str], words: CommandWords
) -> HeldMeeting:
    spec = booking.spec
    room_id = booking.room_id or ""
    return HeldMeeting(
        event=event_key(booking.key.uid),
        topic=spec.topic or booking.key.uid,
        when=span_told(spec.start, spec.end, words.zone),
        room=rooms.get(room_id, room_id),
    )


def _look(kind: ConcernKind) -> tuple[str, str]:
    return _STYLES.get(kind, ("refused", "✕"))
