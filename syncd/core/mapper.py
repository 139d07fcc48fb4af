"""From an occurrence to the reservations that it asks for: one per room, or a reason why none.

Pure: the same occurrence under the same rules always gives equal specs, byte for byte.
Nothing is left out without a `Note`, nothing skipped without a `Reason`.
Field by field this follows the API page "Add Meeting Reservation"; `config/README.md` has the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from syncd.core.attachments import Publication, attachments_of
from syncd.core.mark import MARK_LENGTH
from syncd.core.occurrence import (
    LONGEST_LEAD,
    PRIVATE_TOPIC,
    Attendee,
    Days,
    Moment,
    Occurrence,
    Person,
    Role,
    Timespan,
)
from syncd.core.reasons import Note, Reason
from syncd.core.reservation import DESCRIPTION_LIMIT, ReservationSpec
from syncd.core.rooms import RoomRule, Rooms, without_delegators
from syncd.core.text import cut, fold_space, plain, utf16_length

_OF_ROOMS = frozenset({Reason.UNKNOWN_ROOM, Reason.ROOM_DECLINED})


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What one source adds: its room for events that name none, its creator, who is always in copy."""

    room_id: str | None = None
    creator: str | None = None
    cc: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappingRules:
    """The configuration as the mapper sees it; names and values are those of the configuration file.

    `people` maps lower-case addresses to user ids.
    """

    creator: str
    all_day: str = "skip"
    working_hours: tuple[time, time] = (time(9), time(18))
    transparent: str = "skip"
    tentative: str = "book"
    private: str = "mask"
    roomless: str = "book"
    notice: bool = True
    notice_time_s: int = 900
    marker: bool = True
    unmapped: str = "skip"
    optional: str = "participant"
    declined: str = "skip"
    rooms: tuple[RoomRule, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, SourceRules] = field(default_factory=dict)
    publish_base_url: str = ""
    publish_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an occurrence asks for: one spec per room, in the order in which the event names them.

    `rejected` is a sentence when a rule rejects the event until a person acts (people.unmapped).
    """

    specs: tuple[ReservationSpec, ...]
    notes: tuple[Note, ...] = ()
    publications: tuple[Publication, ...] = ()
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An occurrence that is not booked by rule; `notes` say what was left out before that was decided."""

    reason: Reason
    detail: str
    notes: tuple[Note, ...] = ()


Mapped: TypeAlias = Wanted | Skipped


@dataclass(slots=True)
class _People:
    """The people of an event, each group in order and without repeats.

    `participants` and `informed` are user ids, `unmapped` addresses or names without one.
    """

    participants: dict[str, None] = field(default_factory=dict)
    informed: dict[str, None] = field(default_factory=dict)
    unmapped: dict[str, None] = field(default_factory=dict)


class Mapper:
    """Converts occurrences by one set of rules."""

    def __init__(self, rules: MappingRules) -> None:
        self._rules = rules
        self._rooms = Rooms(rules.rooms)

    def addresses(self, occurrence: Occurrence) -> Iterator[str]:
        """Yield the addresses of people of an occurrence without a user id, to be looked up."""
        people = [a.person for a in self._guests(occurrence)]
        if occurrence.organizer is not None:
            people.append(occurrence.organizer)
        for person in people:
            if person.addresses and self._user_of(person) is None:
                yield from person.addresses

    def rooms_told(self, occurrence: Occurrence) -> dict[str, str]:
        """Return for each room that an occurrence asks for a clause that says which rule chose it."""
        return self._rooms.told(occurrence, self._of_source(occurrence).room_id)

    def map(self, occurrence: Occurrence) -> Mapped:
        """Return the reservations that an occurrence asks for, or why it is not booked."""
        rules = self._rules
        skipped = self._skipped_by_rule(occurrence)
        if skipped is not None:
            return skipped
        if isinstance(occurrence.when, Moment):
            detail = "The event has neither an end nor a duration."
            return Skipped(Reason.NO_DURATION, detail)
        if isinstance(occurrence.when, Days) and rules.all_day == "skip":
            return Skipped(Reason.ALL_DAY, "The event lasts whole days.")
        span = self._span(occurrence.when, occurrence.zone)
        if span is None:
            detail = "A clock change leaves the event no length."
            return Skipped(Reason.NO_DURATION, detail)
        notes: list[Note] = []
        default = self._of_source(occurrence).room_id
        rooms = self._rooms.of(occurrence, default, notes)
        if not rooms and rules.roomless == "skip":
            said = " ".join(note.detail for note in notes)
            detail = said or "The event names no room of the configuration."
            return Skipped(Reason.ROOMLESS, detail, (*occurrence.notes, *notes))
        if occurrence.private and rules.private == "mask":
            return self._masked(occurrence, span, rooms, notes)
        return self._shown(occurrence, span, rooms, notes)

    def _skipped_by_rule(self, occurrence: Occurrence) -> Skipped | None:
        """Return which rule leaves an event out for what it is; None if none does."""
        rules = self._rules
        if occurrence.from_feed:
            detail = (
                "The event was copied from a feed of syncd, which tells what is booked."
            )
            return Skipped(Reason.OWN_FEED, detail)
        if occurrence.transparent and rules.transparent == "skip":
            return Skipped(Reason.TRANSPARENT, "The event is marked as free time.")
        if occurrence.tentative and rules.tentative == "skip":
            return Skipped(Reason.TENTATIVE, "The event is tentative.")
        if occurrence.private and rules.private == "skip":
            return Skipped(Reason.PRIVATE, "The event is private.")
        return None

    def _masked(
        self,
        occurrence: Occurrence,
        span: Timespan,
        rooms: tuple[str, ...],
        notes: list[Note],
    ) -> Wanted:
        """Return reservations that say nothing of an event but its time, rooms and creator."""
        rules = self._rules
        creator = self._creator(occurrence)
        spec = ReservationSpec(
            topic=PRIVATE_TOPIC,
            start=span.start,
            end=span.end,
            room_id=None,
            participants=(creator,),
            cc_participants=(),
            notice=rules.notice,
            notice_time_s=rules.notice_time_s,
            description="",
            creator=creator,
        )
        of_rooms = tuple(note for note in notes if note.reason in _OF_ROOMS)
        return Wanted(_per_room(spec, rooms), of_rooms)

    def _shown(
        self,
        occurrence: Occurrence,
        span: Timespan,
        rooms: tuple[str, ...],
        notes: list[Note],
    ) -> Wanted:
        """Return reservations with all that an event says; `notes` are those on its rooms."""
        rules = self._rules
        creator = self._creator(occurrence)
        people = self._people(occurrence)
        if people.unmapped:
            names = ", ".join(dict.fromkeys(people.unmapped))
            detail = f"No user id is known for {names}."
            notes.append(Note(Reason.UNMAPPED_ATTENDEE, detail))
        present = tuple(people.participants) or (creator,)
        informed = [user for user in people.informed if user not in present]
        attachments, publications = attachments_of(
            occurrence, rules.publish_base_url, rules.publish_types, notes
        )
        spec = ReservationSpec(
            topic=fold_space(occurrence.summary) or "(no title)",
            start=span.start,
            end=span.end,
            room_id=None,
            participants=present,
            cc_participants=tuple(informed),
            notice=rules.notice,
            notice_time_s=self._notice_time(occurrence, span),
            description=self._description(occurrence, notes),
            creator=creator,
            attachments=attachments,
        )
        return Wanted(
            _per_room(spec, rooms),
            (*occurrence.notes, *notes),
            publications,
            self._rejected(people),
        )

    def _span(self, when: Timespan | Days, zone_name: str) -> Timespan | None:
        """Return the instants of an occurrence; None where a clock change leaves the day no working hours."""
        if isinstance(when, Timespan):
            return when
        zone = ZoneInfo(zone_name)
        if self._rules.all_day == "whole-day":
            begins = datetime.combine(when.start, time(), zone)
            ends = datetime.combine(when.end, time(), zone)
        else:
            opening, closing = self._rules.working_hours
            last_day = when.end - timedelta(days=1)
            begins = datetime.combine(when.start, opening, zone)
            ends = datetime.combine(last_day, closing, zone)
        # Compared as instants, since a clock change may put the end before the start.
        start = begins.astimezone(UTC)
        end = ends.astimezone(UTC)
        if start >= end:
            return None
        return Timespan(start, end)

    # People

    def _of_source(self, occurrence: Occurrence) -> SourceRules:
        return self._rules.sources.get(occurrence.source, SourceRules())

    def _guests(self, occurrence: Occurrence) -> list[Attendee]:
        """Return the people among the attendees, without those who sent a delegate that is invited too."""
        guests: list[Attendee] = []
        for attendee in without_delegators(occurrence.attendees):
            is_room = self._rooms.of_attendee(attendee) is not None
            if not is_room and not attendee.is_resource:
                guests.append(attendee)
        return guests

    def _user_of(self, person: Person) -> str | None:
        for address in person.addresses:
            if address in self._rules.people:
                return self._rules.people[address]
        return None

    def _creator(self, occurrence: Occurrence) -> str:
        """Return the user id of the organizer, else the creator of the source, else that of all."""
        if occurrence.organizer is not None:
            user = self._user_of(occurrence.organizer)
            if user:
                return user
        return self._of_source(occurrence).creator or self._rules.creator

    def _people(self, occurrence: Occurrence) -> _People:
        """Sort the guests of an event, and those who are always in copy, by what the rules make of them."""
        rules = self._rules
        found = _People()
        for attendee in self._guests(occurrence):
            group = self._group_of(attendee, found)
            if group is None:
                continue
            user = self._user_of(attendee.person)
            if user is None:
                name = next(iter(attendee.person.addresses), attendee.person.name)
                found.unmapped[name or "an attendee without address"] = None
            else:
                group[user] = None
        for address in self._of_source(occurrence).cc:
            user = rules.people.get(address)
            if user is None:
                found.unmapped[address] = None
            else:
                found.informed[user] = None
        return found

    def _group_of(self, attendee: Attendee, people: _People) -> dict[str, None] | None:
        """Return the group to which the rules count an attendee; None if they leave it out."""
        rules = self._rules
        if attendee.declined and rules.declined == "skip":
            return None
        if attendee.role is Role.INFORMED:
            return people.informed
        if attendee.role is not Role.OPTIONAL:
            return people.participants
        groups = {"participant": people.participants, "cc": people.informed}
        return groups.get(rules.optional)

    def _rejected(self, people: _People) -> str:
        """Return why people without user id reject the event (people.unmapped); empty if they do not."""
        if not people.unmapped or self._rules.unmapped != "reject":
            return ""
        return (
            f"No user id is known for {', '.join(people.unmapped)}; "
            "add them to the people file, or set people.unmapped to skip."
        )

    # Notice, text, attachments

    def _notice_time(self, occurrence: Occurrence, span: Timespan) -> int:
        """Return the seconds from its nearest alarm to the start; the default if none comes before."""
        leads = []
        for alarm in occurrence.alarms:
            related = span.end if alarm.from_end else span.start
            fires = alarm.at or related + alarm.offset
            lead = span.start - fires
            if timedelta() <= lead <= LONGEST_LEAD:
                leads.append(int(lead.total_seconds()))
        return min(leads, default=self._rules.notice_time_s)

    def _description(self, occurrence: Occurrence, notes: list[Note]) -> str:
        """Return plain text and joining link within what the mark leaves; the link stays when text is cut."""
        limit = DESCRIPTION_LIMIT
        if self._rules.marker:
            limit -= MARK_LENGTH + 1
        text = plain(occurrence.description)
        link = fold_space(occurrence.joining_link)
        if link and utf16_length(link) > limit:
            detail = "The joining link is longer than a description may be."
            notes.append(Note(Reason.TEXT_CUT, detail))
            link = ""
        shortened = cut(text, limit)
        fitted = shortened
        if link and link not in shortened:
            text = text.replace(link, " ").strip()
            shortened = cut(text, limit - utf16_length(link) - 1)
            fitted = link
            if shortened.strip("…"):
                fitted = f"{shortened}\n{link}"
        if shortened != text:
            detail = f"The description was cut to {DESCRIPTION_LIMIT} characters."
            notes.append(Note(Reason.TEXT_CUT, detail))
        return fitted


def _per_room(
    spec: ReservationSpec, rooms: tuple[str, ...]
) -> tuple[ReservationSpec, ...]:
    """Return a spec for each room, or the one without a room where there is none."""
    if not rooms:
        return (spec,)
    return tuple(spec.in_room(room) for room in rooms)
