"""`/event/KEY`: what `explain` says of an event; KEY is a digest of its UID."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.core.booking import Booking
from syncd.core.occurrence import event_key
from syncd.core.resolve import full_name
from syncd.ledger import Ledger
from syncd.views.catalogue import phrase
from syncd.views.concerns import sent_again_at
from syncd.views.state_words import StateWord, state_word_in_plan
from syncd.web.answers import NotThere
from syncd.web.asked import Asked
from syncd.web.commands import (
    Command,
    CommandWords,
    acknowledgement,
    approval,
    explanation,
    retry,
)
from syncd.web.recalled import recalled_event
from syncd.web.states import ShownState, shown, state_of

if TYPE_CHECKING:
    from syncd.explain import Line, Story, ToldDate
    from syncd.explain.verdicts import Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDate:
    """One date of an event in one room: how it stands, and all that is to be said of it.

    `commands` are what a person may type about it, `history` what happened so far.
    """

    title: str
    state: ShownState
    needs_person: bool
    is_former: bool
    lines: tuple[Line, ...]
    history: tuple[Line, ...]
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """The story of an event; `quarantined` is the state of one that cannot be understood, `defects` say why."""

    uid: str
    topic: str
    quarantined: ShownState | None
    defects: tuple[Line, ...]
    where: tuple[Line, ...]
    dates: tuple[ShownDate, ...]
    more: tuple[Line, ...]
    end: tuple[Line, ...]
    commands: tuple[Command, ...]


def show_event(asked: Asked) -> EventPage:
    """Return the event that is asked for; raises `NotThere` for an unknown one."""
    from syncd.explain import told_story

    story = _story(asked)
    told = told_story(story)
    words = CommandWords(asked.now, asked.zone)
    is_quarantined = any(where.defects for where in story.where)
    why = {line.text for line in told.quarantined}
    commands = [explanation(story.uid)]
    if is_quarantined:
        commands.append(acknowledgement(story.uid))
    return EventPage(
        uid=story.uid,
        topic=story.topic or phrase("event.untitled"),
        quarantined=shown(StateWord.QUARANTINED) if is_quarantined else None,
        defects=told.quarantined,
        where=tuple(line for line in told.where if line.text not in why),
        dates=tuple(_date(date, story, words) for date in told.dates),
        more=told.more,
        end=tuple(_without_empty(told.end)),
        commands=tuple(commands),
    )


def event_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `explain --json`."""
    return _story(asked).document()


def _story(asked: Asked) -> Story:
    uid = _uid_of(asked.ledger, asked.parameters["key"])
    return recalled_event(uid, asked)


def _uid_of(ledger: Ledger, key: str) -> str:
    """Return the UID of a key: of what is booked, quarantined, or kept because it may be booked later."""
    uid = ledger.timetable.uid_of(key)
    if uid is not None:
        return uid
    for quarantined in ledger.sources.quarantine():
        if event_key(quarantined.defect.uid) == key:
            return quarantined.defect.uid
    for known in ledger.worklist.uids():
        if event_key(known) == key:
            return known
    raise NotThere(phrase("error.event"), ("/history", phrase("nav.history")))


def _date(date: ToldDate, story: Story, words: CommandWords) -> ShownDate:
    fate = date.fate
    state = shown(StateWord.UNBOOKED)
    commands: list[Command] = []
    if fate.booking is not None:
        state = state_of(fate.booking)
        commands += _commands(fate, fate.booking, words)
    elif fate.change is not None:
        standing = state_word_in_plan(fate.change)
        state = shown(standing or StateWord.UNBOOKED)
    plan = story.examined.plan
    if fate.approvable and plan.held_checksum is not None:
        approve = f"syncd approve {plan.held_checksum}"
        commands.append(approval(approve, len(plan.held)))
    return ShownDate(
        title=date.title,
        state=state,
        needs_person=fate.needs_person,
        is_former=fate.closed,
        lines=date.lines,
        history=date.history,
        commands=tuple(commands),
    )


def _commands(fate: Fate, booking: Booking, words: CommandWords) -> Iterator[Command]:
    """Yield what a person may type about a booking that is in doubt or was refused."""
    key = full_name(booking)
    if booking.in_doubt:
        again = sent_again_at(booking)
        yield words.retry_doubt(retry(key).text, again)
    elif fate.needs_person and not fate.approvable:
        yield retry(key)
        yield acknowledgement(key)


def _without_empty(lines: Iterable[Line]) -> Iterable[Line]:
    return (line for line in lines if line.text)
