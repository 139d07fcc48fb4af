"""Which rooms an event asks for: by its attendees, by its LOCATION, by its source.

Pure, as the mapper is whose part it is; a room is never invented, and what names none is told in a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from syncd.core.occurrence import Attendee, Occurrence
from syncd.core.reasons import Note, Reason
from syncd.core.text import fold_name, fold_space, normal_form

_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
# In NFKC, where the full-width forms of a comma and a semicolon are these; the comma of Chinese lists is not.
_SEPARATORS = (_LINE_END, re.compile(";"), re.compile("[,\u3001]"))
_LINK = re.compile(
    r"\S+://\S+|\b(?:https?|tel|sips?|skype|callto|mailto|msteams|zoommtg|zoomus|facetime):\S+"
    r"|(?:\w[\w-]*\.)+[a-z]{2,}/\S*|\+?\d[\d ()/-]{5,}",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
# What programs and people write where a meeting has no place.
_OF_PROGRAMS = (
    "teams microsoft ms zoom webex cisco skype google meet hangouts jitsi gotomeeting goto bluejeans "
    "ringcentral whereby facetime slack nextcloud talk bigbluebutton bbb livekit"
)
_OF_CALLS = (
    "meeting meetings call conference conferencing video audio phone telephone web dial in link invite "
    "besprechung videokonferenz videocall videoanruf telefon telefonkonferenz telko anruf konferenz termin "
    "r\u00e9union reuni\u00f3n llamada visio visioconf\u00e9rence riunione vergadering m\u00f6te m\u00f8de"
)
_OF_NO_PLACE = (
    "online virtual virtuell remote hybrid home office homeoffice tbd tba tbc na none no location "
    "kein keine ort unknown unbekannt offen via on by at over per f\u00fcr bei mit und and or oder the a of"
)
_PLACELESS = frozenset(" ".join((_OF_PROGRAMS, _OF_CALLS, _OF_NO_PLACE)).split())
_LIKE = 0.7  # how near a name must be to be offered
_ALMOST = 0.85  # how near a part must be to be told of where another part names a room
_REMEMBERED = 4096  # answers to which name is nearest, since the same places are named again and again
_LONGEST = 200  # no name of a room is longer


@dataclass(frozen=True, slots=True)
class RoomRule:
    """How a room is recognised: lower-case addresses, names as `fold_name` gives them, expressions.

    `name` is what people call it, `written` are the names as the configuration has them.
    """

    room_id: str
    addresses: frozenset[str]
    texts: frozenset[str]
    expressions: tuple[re.Pattern[str], ...] = ()
    name: str = ""
    written: tuple[str, ...] = ()


class Rooms:
    """The rooms of the configuration, found by what events say."""

    def __init__(self, rules: Sequence[RoomRule]) -> None:
        self._rules = rules
        self._by_address: dict[str, RoomRule] = {}
        self._by_text: dict[str, RoomRule] = {}
        self._written: dict[str, str] = {}
        for rule in rules:
            self._by_address |= dict.fromkeys(rule.addresses, rule)
            self._by_text |= dict.fromkeys(rule.texts, rule)
            for text in rule.written:
                self._written[fold_name(text)] = text
        self._nearest: dict[tuple[str, float], str] = {}

    def of_attendee(self, attendee: Attendee) -> RoomRule | None:
        """Return the room that an attendee is by its address."""
        for address in attendee.person.addresses:
            if address in self._by_address:
                return self._by_address[address]
        return None

    def of(
        self, occurrence: Occurrence, default: str | None, notes: list[Note]
    ) -> tuple[str, ...]:
        """Return room ids without repeats, from the first of attendees, LOCATION and source that names any.

        A room that declined is not brought back by another of them.
        """
        found, declined = self._of_attendees(occurrence, notes)
        if not found:
            named = self._of_location(occurrence, notes)
            found = [room_id for room_id in named if room_id not in declined]
        if not found and default is not None and default not in declined:
            found = [default]
        self._note_places(occurrence, found, notes)
        return tuple(dict.fromkeys(found))

    def knows(self, location: str) -> bool:
        """Tell whether a LOCATION, as a whole or in parts, names a room."""
        known, _ = self._named(normal_form(location))
        return bool(known)

    def told(self, occurrence: Occurrence, default: str | None) -> dict[str, str]:
        """Return for each room of `of` a clause that says which rule chose it."""
        said: dict[str, str] = {}
        for attendee in without_delegators(occurrence.attendees):
            rule = self.of_attendee(attendee)
            if rule is None or attendee.declined:
                continue
            addresses = attendee.person.addresses
            address = next(a for a in addresses if a in rule.addresses)
            said.setdefault(rule.room_id, f"its address {address} is invited")
        if not said:
            location = occurrence.location
            known, _ = self._named(normal_form(location))
            for rule in known:
                said[rule.room_id] = self._told_by_location(rule, location)
        by_source = "it is the room of the source, and the event names none"
        chosen = self.of(occurrence, default, [])
        return {room_id: said.get(room_id, by_source) for room_id in chosen}

    def _told_by_location(self, rule: RoomRule, written: str) -> str:
        """Return by which of the names and expressions of a room LOCATION names it."""
        parts = (written, *self._parts(normal_form(written), _SEPARATORS))
        for part in parts:
            folded = fold_name(part)
            if folded in rule.texts:
                name = self._written.get(folded, "")
                return f"LOCATION names {name!r}"
        spellings = [fold_space(part) for part in parts]
        spellings += [fold_name(part) for part in parts]
        for expression in rule.expressions:
            if any(map(expression.search, spellings)):
                return f"LOCATION matches the expression {expression.pattern!r}"
        return "LOCATION matches the expression ''"

    def _of_attendees(
        self, occurrence: Occurrence, notes: list[Note]
    ) -> tuple[list[str], set[str]]:
        """Return the ids of rooms that are invited, and of those that declined."""
        invited: list[str] = []
        declined: dict[str, RoomRule] = {}
        for attendee in without_delegators(occurrence.attendees):
            rule = self.of_attendee(attendee)
            if rule is None:
                if attendee.is_resource:
                    name = _name_of(attendee)
                    what = "room" if attendee.is_room else "resource"
                    note = self._unknown(name, what, private=occurrence.private)
                    notes.append(note)
            elif attendee.declined:
                declined[rule.room_id] = rule
            else:
                invited.append(rule.room_id)
        for room_id in invited:
            declined.pop(room_id, None)  # asked twice, and one answer is no
        for rule in declined.values():
            detail = f"The room {rule.name or rule.room_id!r} declined."
            notes.append(Note(Reason.ROOM_DECLINED, detail))
        return invited, set(declined)

    # LOCATION

    def _of_location(self, occurrence: Occurrence, notes: list[Note]) -> list[str]:
        """Return the rooms that LOCATION names, and note what looks like a place and is none of them."""
        written = occurrence.location
        if not written or written.isspace():
            return []
        private = occurrence.private
        known, unknown = self._named(normal_form(written))
        if not known:
            if is_place(written):
                notes.append(self._unknown(written, private=private))
            return []
        almost = [part for part in unknown if self._nearest_to(part, _ALMOST)]
        notes += [self._unknown(part, private=private) for part in almost]
        return [rule.room_id for rule in known]

    def _named(self, text: str) -> tuple[list[RoomRule], list[str]]:
        """Return the rooms that a text names, as a whole or in parts, and the parts that name none."""
        rule = self._by_text.get(fold_name(text))
        if rule is not None:
            return [rule], []
        known: list[RoomRule] = []
        unknown: list[str] = []
        for part in self._parts(text, _SEPARATORS):
            rule = self._of_text(part)
            if rule is not None:
                known.append(rule)
            elif fold_space(part):
                unknown.append(part)
        if not known:
            rule = self._match(text)
            if rule is not None:
                known.append(rule)
        return known, unknown

    def _parts(self, text: str, separators: Sequence[re.Pattern[str]]) -> Iterator[str]:
        """Yield the parts of a text between separators; one that is a name is not taken apart any more."""
        if not separators or fold_name(text) in self._by_text:
            yield text
            return
        for part in separators[0].split(text):
            yield from self._parts(part, separators[1:])

    def _of_text(self, text: str) -> RoomRule | None:
        """Return the room that one part of a text names; None if it names none."""
        folded = fold_name(text)
        if not folded:
            return None
        rule = self._by_text.get(folded)
        if rule is not None:
            return rule
        return self._match(text)

    def _match(self, text: str) -> RoomRule | None:
        """Return the first room one of whose expressions is found in a text, as written or case-folded."""
        spellings = {fold_space(text), fold_name(text)}
        for rule in self._rules:
            for expression in rule.expressions:
                if any(map(expression.search, spellings)):
                    return rule
        return None

    # Notes

    def _note_places(
        self, occurrence: Occurrence, found: Iterable[str], notes: list[Note]
    ) -> None:
        """Note what stands in VLOCATION and VRESOURCE alone, because no room is taken from there."""
        if not occurrence.places:
            return
        booked = set(found)
        said = fold_name(occurrence.location)
        for place in dict.fromkeys(occurrence.places):
            if fold_name(place) == said or not is_place(place):
                continue
            known, _ = self._named(normal_form(place))
            are_booked = all(rule.room_id in booked for rule in known)
            if not known or not are_booked:
                notes.append(self._unknown(place, private=occurrence.private))

    def _unknown(self, written: str, what: str = "room", *, private: bool) -> Note:
        """Return the note about a name that is no room of the configuration."""
        if private:
            detail = "The event names a room that the configuration does not know."
            return Note(Reason.UNKNOWN_ROOM, detail)
        shown = fold_space(written)[:_LONGEST]
        sentence = f"The {what} {shown!r} is no room of the configuration"
        nearest = self._nearest_to(written, _LIKE)
        if nearest:
            return Note(Reason.UNKNOWN_ROOM, f'{sentence}; did you mean "{nearest}"?')
        return Note(Reason.UNKNOWN_ROOM, f"{sentence}.")

    def _nearest_to(self, written: str, likeness: float) -> str:
        """Return the known name that is nearest to a text or to one of its parts, empty if none is near."""
        text = normal_form(written[:_LONGEST])
        question = (text, likeness)
        known = self._nearest.get(question)
        if known is not None:
            return known
        if len(self._nearest) >= _REMEMBERED:
            self._nearest.clear()
        parts = (text, *self._parts(text, _SEPARATORS))
        answer = self._nearest_of(parts, likeness)
        self._nearest[question] = answer
        return answer

    def _nearest_of(self, parts: Iterable[str], likeness: float) -> str:
        """Return the known name that is nearest to the first part that has one; empty if none has."""
        for part in dict.fromkeys(map(fold_name, parts)):
            if not part:
                continue
            found = get_close_matches(part, self._by_text, n=1, cutoff=likeness)
            if found:
                nearest = found[0]
                return self._written.get(nearest, nearest)
        return ""


def parts_of(location: str) -> tuple[str, ...]:
    """Return a LOCATION as a whole, and its parts in which rooms are looked for one by one, as written."""
    parts = [location]
    for separator in _SEPARATORS:
        parts = [piece for part in parts for piece in separator.split(part)]
    shown = map(fold_space, (location, *parts))
    return tuple(dict.fromkeys(part for part in shown if part))


def without_delegators(attendees: Sequence[Attendee]) -> Sequence[Attendee]:
    """Return the attendees without those whose delegate is invited too (RFC 5545 section 3.2.5)."""
    if not any(attendee.delegated for attendee in attendees):
        return attendees
    listed: set[str] = set()
    sent_by: set[str] = set()
    for attendee in attendees:
        listed.update(attendee.person.addresses)
        sent_by.update(attendee.delegated_from)
    going: list[Attendee] = []
    for attendee in attendees:
        represented = _is_represented(attendee, listed, sent_by)
        if not represented:
            going.append(attendee)
    return going


def _is_represented(attendee: Attendee, listed: set[str], sent_by: set[str]) -> bool:
    """Tell whether an attendee said that somebody goes instead who is among the attendees."""
    if not attendee.delegated:
        return False
    own = set(attendee.person.addresses)
    if not own.isdisjoint(sent_by):
        return True
    delegates = listed.intersection(attendee.delegated_to) - own
    return bool(delegates)


def is_place(text: str) -> bool:
    """Tell whether a LOCATION may be meant as a place: more than links, numbers and words for none."""
    written = normal_form(text)[:_LONGEST]
    without_links = _LINK.sub(" ", written)
    words = _WORD.findall(without_links)
    return any(word.casefold() not in _PLACELESS for word in words)


def _name_of(attendee: Attendee) -> str:
    person = attendee.person
    if person.name:
        return person.name
    return ", ".join(person.addresses) or "without name"
