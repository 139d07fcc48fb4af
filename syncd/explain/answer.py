"""What `syncd explain` answers: the story of the one event that is meant, or a list of those that may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from rich.text import Text

from syncd.assembly import Service
from syncd.explain.finder import (
    FoundMeeting,
    Lookup,
    by_event,
    event_uids,
    matches_in_ledger,
    matches_in_plan,
    nearest_in_time,
)
from syncd.explain.story import Story, story_of
from syncd.views.alike import MANY
from syncd.views.documents import iso
from syncd.views.rows import Row, SheetColumn, print_rows
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet
from syncd.views.typed import as_argument

_COLUMNS = (
    SheetColumn("", whole=True),
    SheetColumn("when", whole=True),
    SheetColumn("meeting", rest=True),
    SheetColumn("room"),
    SheetColumn("state", whole=True),
)


@dataclass(frozen=True, slots=True)
class FoundMeetings:
    """Several meetings that may be meant, or, if none is (`are_nearest`), those that come closest."""

    matches: tuple[FoundMeeting, ...]
    are_nearest: bool = False

    @property
    def needs_person(self) -> bool:
        """Return whether none is meant, or one of them is a matter for a person."""
        if self.are_nearest:
            return True
        return any(match.needs_person for match in self.matches)

    def document(self) -> dict[str, object]:
        """Return the document of `explain --json` where not one event alone is meant."""
        documents = [_document(match) for match in self.matches]
        if self.are_nearest:
            return {"known": False, "matches": [], "nearest": documents}
        return {"known": True, "matches": documents, "nearest": []}


def answer_of(wanted: Lookup, parts: Service, now: datetime) -> Story | FoundMeetings:
    """Return the story of the event that is meant, else what may be meant; raises `LedgerError`.

    The calendars are read for a story, and for what the ledger does not know.
    """
    known = _named(wanted, parts)
    if known is not None:
        return _narrowed(story_of(known, parts), wanted)
    found = matches_in_ledger(parts.ledger, wanted)
    if not found:
        return _from_calendars(wanted, parts, now)
    events = list(event_uids(found))
    if len(events) > 1 or not events[0]:
        return FoundMeetings(by_event(found, now))
    (uid,) = events
    story = story_of(uid, parts)
    planned = matches_in_plan(story.examined, wanted)
    others = [match for match in planned if match.uid != uid]
    if others:
        return FoundMeetings(by_event((*found, *others), now))
    return _narrowed(story, wanted)


def _named(wanted: Lookup, parts: Service) -> str | None:
    """Return the UID that is asked for by itself, if the ledger keeps such an event; else None."""
    text = wanted.text
    if text is None or not parts.ledger.worklist.kept_of([text]):
        return None
    return text


def _from_calendars(
    wanted: Lookup, parts: Service, now: datetime
) -> Story | FoundMeetings:
    """Answer by what a cycle would plan, where the ledger knows nothing that is meant."""
    unknown: Story | None = None
    if wanted.text is None:
        examined = parts.reconciler.previewer.examine("")
    else:
        unknown = story_of(wanted.text, parts)
        if unknown.known:
            return _narrowed(unknown, wanted)
        examined = unknown.examined
    found = matches_in_plan(examined, wanted)
    events = list(event_uids(found))
    if len(events) == 1 and events[0]:
        return _narrowed(story_of(events[0], parts), wanted)
    if events:
        return FoundMeetings(by_event(found, now))
    if unknown is not None and unknown.suggestions:
        return unknown
    anywhere = Lookup(text=wanted.text)
    near = matches_in_ledger(parts.ledger, anywhere) if wanted.text else ()
    if near or unknown is None:
        nearest = near or nearest_in_time(parts.ledger, wanted, now)
        return FoundMeetings(by_event(nearest, now), are_nearest=True)
    return unknown


def _narrowed(story: Story, wanted: Lookup) -> Story:
    """Return a story with the dates in the room and at the time that are asked for; with all if none is."""
    if wanted.asks_for_text_alone:
        return story
    fates = [
        fate for fate in story.fates if wanted.fits(fate.room_id, fate.start, fate.end)
    ]
    if not fates:
        return story
    return replace(story, fates=tuple(fates), left_out=len(story.fates) - len(fates))


def _document(match: FoundMeeting) -> dict[str, object]:
    return {
        "uid": match.uid,
        "recurrence_id": match.recurrence_id,
        "topic": match.topic,
        "start": iso(match.start),
        "end": iso(match.end),
        "room_id": match.room_id,
        "source": match.source,
        "state": match.state,
        "reason": match.reason,
        "detail": match.detail,
        "reservation_id": match.reservation_id,
        "command": _command(match),
    }


def _command(match: FoundMeeting) -> str | None:
    if not match.uid:
        return None
    return f"syncd explain {as_argument(match.uid)}"


def print_listing(sheet: Sheet, listing: FoundMeetings, asked: str) -> None:
    """Print the meetings that may be meant, each with its number and the command that tells its story."""
    if listing.are_nearest:
        sheet.tell(f"syncd knows of no meeting {asked}.", style="red")
    if listing.matches and listing.are_nearest:
        sheet.tell("What comes closest:")
    elif listing.matches:
        number = len(listing.matches)
        noun = "event is" if number == 1 else "events are"
        sheet.tell(f"{number} {noun} meant; times in {sheet.zone_name}.")
    rows = list(_rows(sheet, listing.matches[:MANY]))
    print_rows(sheet, _COLUMNS, rows, headed=False)
    sheet.say_more(len(listing.matches))


def _rows(sheet: Sheet, matches: Iterable[FoundMeeting]) -> Iterator[Row]:
    for number, match in enumerate(matches, 1):
        cells: tuple[Text, ...] = (
            words(str(number)),
            sheet.span(match.start, match.end),
            words(match.topic or match.uid or match.place),
            sheet.room(match.room_id),
            words(match.state, STYLES.get(match.state, "")),
        )
        command = _command(match)
        if command is None:
            yield Row(cells, (match.detail,))
        else:
            yield Row(cells, (), (words(command),))
