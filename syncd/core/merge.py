"""The same meeting in several calendars is one meeting: whose copy decides about it, and who shows it.

A *copy* is what one VCALENDAR says of a meeting. Anybody may have one: the organizer, each guest, an export
of free and busy times, and whoever writes a file with the same UID. Only the organizer changes a meeting
(RFC 5546 section 2.1.4), but a file proves nothing about its writer. So the word of a copy counts by what the
administrator said (`owner` of a source, or a file named after an address), and where nothing was said the
copy that decides goes on deciding, until another one proves that it is a later revision: a higher SEQUENCE of
the same ORGANIZER. A cancel needs more than that, because it cannot be taken back: while the copy that
decides shows the meeting alive, it is left to a person.

Tried before and given up: the newest copy by SEQUENCE, then LAST-MODIFIED, whoever's it is. Then any calendar
could move or cancel the meetings of all others, and an export of free and busy times took their rooms.
And each date judged by itself: then a guest's calendar that was not updated kept the dates that the organizer
had taken off, beside the new ones where a series was moved, and any calendar could add dates to a meeting.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from syncd.core.booking import CLOSED_STATES, Booking
from syncd.core.occurrence import (
    Authority,
    Occurrence,
    OccurrenceKey,
    Presence,
    Reading,
    extent_of,
    recurrence_id_of,
)


@dataclass(frozen=True, slots=True)
class Decider:
    """Which copy decided about a meeting until now: its source and document, and what it said (fingerprint).

    `document` is empty where nobody noted it. `of_others`: it decided about other dates of the event only.
    `past`: what it decided about is cancelled or over by now.
    """

    source: str
    origin: str
    document: str = ""
    of_others: bool = False
    past: bool = False


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One occurrence with the copy that decides its content, and all sources that show it.

    `told_off` is a copy that does not decide and says that the meeting is cancelled, while the one that
    decides shows it alive; None if there is none.
    `ends` tells when each copy is over, which its source no longer shows then; it is empty for a single one.
    `why` says in a sentence for a person why this copy decides; it is empty for a single one.
    """

    occurrence: Occurrence
    witnesses: tuple[str, ...]
    ends: tuple[datetime, ...] = ()
    told_off: Occurrence | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class DecidingCopy:
    """The copy that decides, a cancel by another one that a person has to judge, and the reason."""

    occurrence: Occurrence
    told_off: Occurrence | None
    why: str


DecidersOf = Callable[[Collection[str]], Mapping[OccurrenceKey, Decider]]
"""Returns which copy decided until now about each meeting of some UIDs."""


def _nobody_decided(_uids: Collection[str]) -> Mapping[OccurrenceKey, Decider]:
    return {}


def merge(
    readings: Mapping[str, Reading],
    deciders_of: DecidersOf = _nobody_decided,
    owners: frozenset[str] = frozenset(),
) -> tuple[Witnessed, ...]:
    """Return the occurrences of all readings, each once with the copy that decides, sorted by key.

    `deciders_of` is asked about the meetings of which there are several copies; `owners` are the addresses
    whose calendars the administrator named. Between copies that nothing tells apart the source that comes
    first in `readings` decides, which is the order of the configuration.
    """
    copies = _Copies.of(readings)
    several = copies.uids_of_several()
    deciders = deciders_of(several) if several else {}
    standing = _standing(copies.shared, copies.by_key, deciders, readings)
    merged: list[Witnessed] = []
    for key, found in sorted(copies.by_key.items(), key=lambda item: item[0]):
        event = (key.scope, key.uid)
        among = standing.get(event)
        if among is not None and among.denies(key, found):
            continue
        decider = deciders.get(key)
        if decider is None and among is not None:
            decider = among.decider_among(found)
        # Which of two dates is right would be a guess, so the event is reported, and not booked.
        told = found if decider else [copy for copy in found if not copy.contested]
        seen = _witnessed(told, decider, owners, signed=event in copies.signed)
        if seen is not None:
            merged.append(seen)
    return tuple(merged)


@dataclass(slots=True)
class _Copies:
    """The copies of all occurrences.

    `signed` are the events of which a copy names people, `shared` those with copies of several voices, and
    `contested` the UIDs of which no revision tells the newer copy.
    """

    by_key: dict[OccurrenceKey, list[Occurrence]] = field(default_factory=dict)
    signed: set[_Event] = field(default_factory=set)
    shared: set[_Event] = field(default_factory=set)
    contested: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, readings: Mapping[str, Reading]) -> _Copies:
        """Gather the copies that the readings show."""
        found = cls()
        voices: dict[_Event, _Voice] = {}
        for reading in readings.values():
            for occurrence in reading.occurrences:
                event = (occurrence.key.scope, occurrence.key.uid)
                found.by_key.setdefault(occurrence.key, []).append(occurrence)
                voice = _voice(occurrence)
                if voices.setdefault(event, voice) != voice:
                    found.shared.add(event)
                if occurrence.authority is not Authority.NOBODY:
                    found.signed.add(event)
                if occurrence.contested:
                    found.contested.add(occurrence.key.uid)
        return found

    def uids_of_several(self) -> set[str]:
        """Return the UIDs of which there may be several copies of an occurrence."""
        of_shared = {uid for _, uid in self.shared}
        repeated = {key.uid for key, found in self.by_key.items() if len(found) > 1}
        return self.contested | of_shared | repeated


def deciders_of(bookings: Iterable[Booking]) -> dict[OccurrenceKey, Decider]:
    """Return which copy decided about each meeting until now, as its bookings and former ones remember it."""

    def latest_last(booking: Booking) -> tuple[bool, float, int]:
        at = booking.updated_at.timestamp() if booking.updated_at else 0.0
        return (booking.state not in CLOSED_STATES, at, booking.row)

    known = sorted(bookings, key=latest_last)
    return {
        b.key: Decider(b.source, b.origin, b.document, past=b.state in CLOSED_STATES)
        for b in known
        if b.origin
    }


_Event: TypeAlias = tuple[str, str]  # scope and UID
_Voice: TypeAlias = tuple[str, str]  # source and document


def _standing(
    shared: Collection[_Event],
    copies: Mapping[OccurrenceKey, Sequence[Occurrence]],
    deciders: Mapping[OccurrenceKey, Decider],
    readings: Mapping[str, Reading],
) -> dict[_Event, _Standing]:
    """Return for each event of which there are several copies whose word counts about its dates."""
    if not shared:
        return {}
    said: dict[_Event, list[Occurrence]] = {event: [] for event in shared}
    for key, found in copies.items():
        if (key.scope, key.uid) in said:
            said[key.scope, key.uid] += found
    known: dict[_Event, list[Decider]] = {event: [] for event in shared}
    for key, decider in deciders.items():
        if (key.scope, key.uid) in known:
            known[key.scope, key.uid].append(decider)
    return {
        event: _Standing.of(said[event], known[event], readings) for event in shared
    }


@dataclass(frozen=True, slots=True)
class _Speaker:
    """A copy of an event as a whole: its newest word, and up to when it speaks of all dates.

    `until` is a recurrence id; empty if the copy speaks only of the dates that it shows.
    """

    newest: Occurrence
    until: str

    def denies(self, key: OccurrenceKey, others: Iterable[Occurrence]) -> bool:
        """Tell whether the event is there without this date, which only others show, by their newest word.

        The organizer's own calendar is not doubted; what decided until now is, by a later revision.
        """
        if not self.until or (key.recurrence_id or "") >= self.until:
            return False
        if self.newest.authority is Authority.ORGANIZER:
            return True
        return not any(_is_later(other, self.newest) for other in others)


@dataclass(frozen=True, slots=True)
class _Standing:
    """Whose word counts about the dates of one event of which there are several copies.

    `former` are the voices that decided about any of its dates until now, `deciding` those that decide which
    dates there are: the organizer's own, else the former. `newest` is the newest word of each voice.
    """

    former: frozenset[_Voice]
    deciding: Mapping[_Voice, _Speaker]
    newest: Mapping[_Voice, Occurrence]

    @classmethod
    def of(
        cls,
        said: Sequence[Occurrence],
        known: Iterable[Decider],
        readings: Mapping[str, Reading],
    ) -> _Standing:
        """Return the standing of the copies of one event, by those that are known to have decided."""
        newest: dict[_Voice, Occurrence] = {}
        for copy in said:
            before = newest.setdefault(_voice(copy), copy)
            newest[_voice(copy)] = max(before, copy, key=_revision)
        former = _former(tuple(known), said, newest)
        organizers: set[str] = set()
        for copy in said:
            if _voice(copy) in former:
                organizers.update(copy.copy_organizer)
        deciding = _of_the_organizer(said, organizers) or former
        speakers = {
            voice: _speaker(newest[voice], said, newest, readings) for voice in deciding
        }
        return cls(former, speakers, newest)

    def decider_among(self, copies: Sequence[Occurrence]) -> Decider | None:
        """Return which of the copies of a date is of those that decided about others; None if none is."""
        own = [copy for copy in copies if _voice(copy) in self.former]
        if not own:
            return None
        newest = max(own, key=_revision)
        return Decider(
            newest.source, newest.fingerprint, newest.document, of_others=True
        )

    def denies(self, key: OccurrenceKey, copies: Sequence[Occurrence]) -> bool:
        """Tell whether those that decide have the event without this date, which only others show."""
        voices = {_voice(copy) for copy in copies}
        if not voices.isdisjoint(self.deciding):
            return False
        others = [self.newest[voice] for voice in voices]
        return any(speaker.denies(key, others) for speaker in self.deciding.values())


def _voice(copy: Occurrence) -> _Voice:
    return (copy.source, copy.document)


def _former(
    known: Sequence[Decider],
    said: Sequence[Occurrence],
    newest: Mapping[_Voice, Occurrence],
) -> frozenset[_Voice]:
    """Return the voices that decided about an event until now, by the bookings that are known.

    What is over tells who decided only where nothing goes on, and then the latest revision alone: of a single
    meeting that became a series, and the series was called off, an old copy does not make a meeting again.
    """
    live = [decider for decider in known if not decider.past]
    if live:
        return _voices_of(live, said)
    past = _voices_of(known, said)
    outdated = {
        voice
        for voice in past
        if any(_is_later(newest[other], newest[voice]) for other in past)
    }
    return past - outdated


def _voices_of(
    known: Iterable[Decider], said: Sequence[Occurrence]
) -> frozenset[_Voice]:
    """Return the voices that decided and are there; a document that was renamed is known by its content."""
    there = {_voice(copy) for copy in said}
    found: set[_Voice] = set()
    renamed: dict[str, str] = {}
    for decider in known:
        if (decider.source, decider.document) in there:
            found.add((decider.source, decider.document))
        else:
            renamed[decider.origin] = decider.source
    if renamed:
        found |= {
            _voice(copy)
            for copy in said
            if renamed.get(copy.fingerprint) == copy.source
        }
    return frozenset(found)


def _of_the_organizer(
    said: Sequence[Occurrence], organizers: Collection[str]
) -> frozenset[_Voice]:
    """Return the voices of calendars of the organizer, by the word of the administrator; none if unclear.

    Whoever has a calendar named after him may write the UID of somebody else's meeting into it, with himself
    as the organizer: so it has to be an organizer that those copies name which decided until now.
    """
    theirs = [copy for copy in said if copy.authority is Authority.ORGANIZER]
    theirs = [
        copy
        for copy in theirs
        if not organizers or not _organizer(copy).isdisjoint(organizers)
    ]
    if not all(_share_organizer(copy, theirs[0]) for copy in theirs):
        return frozenset()
    return frozenset(_voice(copy) for copy in theirs)


def _speaker(
    newest: Occurrence,
    said: Sequence[Occurrence],
    voices: Collection[_Voice],
    readings: Mapping[str, Reading],
) -> _Speaker:
    """Return a copy as a whole by its newest word; `voices` has all that its source has of the event."""
    own = [copy for copy in said if _voice(copy) == _voice(newest)]
    reading, uid = readings[newest.source], newest.key.uid
    alone = sum(source == newest.source for source, _ in voices) == 1
    as_series = alone and reading.presence.get(uid) is Presence.SERIES
    whole = as_series or not all(copy.explicit for copy in own)
    if not whole or not reading.complete or reading.missing_with(uid):
        return _Speaker(newest, "")
    return _Speaker(newest, recurrence_id_of(reading.window.reach))


def _witnessed(
    copies: Sequence[Occurrence],
    decider: Decider | None,
    owners: frozenset[str],
    *,
    signed: bool,
) -> Witnessed | None:
    """Return an occurrence with its witnesses; None if only copies show it that state nothing of it."""
    decision = decide(copies, decider, owners, signed=signed)
    if decision is None:
        return None
    witnesses = tuple(dict.fromkeys(copy.source for copy in copies))
    ends = tuple(extent_of(copy).end for copy in copies) if len(copies) > 1 else ()
    return Witnessed(
        decision.occurrence, witnesses, ends, decision.told_off, decision.why
    )


def decide(
    copies: Sequence[Occurrence],
    decider: Decider | None = None,
    owners: frozenset[str] = frozenset(),
    *,
    signed: bool = True,
) -> DecidingCopy | None:
    """Choose the copy of one occurrence that decides; None if none of them states what the meeting is.

    `signed`: some copy of the event names people, so one that names none only witnesses that somebody is
    busy. A copy that only takes guests off (`uninvites`) states nothing either, but a person has to judge it.
    """
    people = [
        copy for copy in copies if copy.authority is not Authority.NOBODY or not signed
    ]
    stating = [copy for copy in people if not copy.uninvites]
    if not stating:
        return None
    if len(copies) == 1:
        return DecidingCopy(copies[0], None, "")
    chosen, why = _Choice(stating, decider, owners).made()
    return DecidingCopy(chosen, _told_off(chosen, copies), why)


@dataclass(slots=True)
class _Choice:
    """One choice among several copies of an occurrence."""

    copies: Sequence[Occurrence]
    decider: Decider | None
    owners: frozenset[str]

    def made(self) -> tuple[Occurrence, str]:
        """Return the copy that decides, and why in a sentence."""
        current = self._current()
        theirs = [copy for copy in self.copies if copy.authority is Authority.ORGANIZER]
        theirs = [copy for copy in theirs if self._may_be_theirs(copy, current)]
        if theirs:
            return max(theirs, key=_revision), "It is the copy of its organizer."
        if current is None:
            return (
                self._first(),
                "It is the newest copy by SEQUENCE, then LAST-MODIFIED.",
            )
        if self.decider is not None and self.decider.of_others:
            # Nothing is booked yet that a cancel could take away: the organizer's newest word counts.
            theirs = [
                copy
                for copy in self.copies
                if copy is current or _share_organizer(copy, current)
            ]
            return max(
                theirs, key=_revision
            ), "It is the newest copy of the organizer who decided before."
        later = [
            copy
            for copy in self.copies
            if _is_later(copy, current) and not copy.cancelled
        ]
        if later:
            why = f"It has a higher SEQUENCE than the copy in {current.source!r} that decided before."
            return max(later, key=_revision), why
        return (
            current,
            "It decided before, and no later revision of its organizer takes over.",
        )

    def _may_be_theirs(self, copy: Occurrence, current: Occurrence | None) -> bool:
        """Tell whether a copy in a calendar of the organizer that it names is about a meeting of that person.

        A meeting has the organizer that the copy names which decided until now, if it names one.
        """
        named = _organizer(current) if current is not None else frozenset()
        return (not named or bool(named & _organizer(copy))) and not self._is_overruled(
            copy
        )

    def _current(self) -> Occurrence | None:
        """Return the copy that decided before; None if its source shows no copy, or none decided yet."""
        decider = self.decider
        if decider is None:
            return None
        own = [copy for copy in self.copies if copy.source == decider.source]
        there = [copy for copy in own if copy.document == decider.document]
        same = [copy for copy in there or own if copy.fingerprint == decider.origin]
        return max(same or there or own, key=_revision, default=None)

    def _first(self) -> Occurrence:
        """Return the copy that decides when nobody decided yet."""
        said = any(copy.authority is Authority.ORGANIZER for copy in self.copies)
        addresses = frozenset[str]().union(*map(_organizer, self.copies))
        claims_count = not said and not addresses & self.owners

        def rank(copy: Occurrence) -> tuple[object, ...]:
            claimed = claims_count and copy.authority is Authority.CLAIMED
            claimed = claimed and not self._is_overruled(copy)
            return (claimed, not self._is_cancel_of_a_stranger(copy), *_revision(copy))

        return max(self.copies, key=rank)  # max keeps the first of equals

    def _is_cancel_of_a_stranger(self, copy: Occurrence) -> bool:
        """Tell whether a copy is cancelled that another organizer's copy shows alive."""
        return copy.cancelled and any(
            _organizer(other)
            and not other.cancelled
            and not _share_organizer(copy, other)
            for other in self.copies
        )

    def _is_overruled(self, copy: Occurrence) -> bool:
        """Tell whether a copy is cancelled and its organizer has shown the meeting alive since."""
        return copy.cancelled and any(
            other.sequence > copy.sequence
            and not other.cancelled
            and _share_organizer(copy, other)
            for other in self.copies
        )


def _revision(copy: Occurrence) -> tuple[int, bool, bool, bool, float]:
    """Sort the newest of several copies last (RFC 5546 section 2.1.5).

    SEQUENCE first; of one SEQUENCE a cancelling method is the later word, and what says a date by itself
    counts before a date that a series gives, a live copy before a cancelled one. DTSTAMP is no revision: many
    programs write the time of the download.
    """
    modified = copy.last_modified.timestamp() if copy.last_modified else 0.0
    by_method = copy.cancelled and copy.by_method
    return (copy.sequence, by_method, copy.explicit, not copy.cancelled, modified)


def _is_later(copy: Occurrence, current: Occurrence) -> bool:
    """Tell whether a copy proves to be a later revision than the one that decides: of the same ORGANIZER."""
    return copy.sequence > current.sequence and _share_organizer(copy, current)


def _told_off(chosen: Occurrence, copies: Sequence[Occurrence]) -> Occurrence | None:
    """Return a copy that calls a meeting off which the copy that decides shows alive; None if there is none.

    An older one, by SEQUENCE, then LAST-MODIFIED, speaks of the past. A single date of an export of busy
    times says nothing about a series that names people.
    """
    if chosen.cancelled:
        return None
    for copy in copies:
        of_busy_times = copy.authority is Authority.NOBODY and copy.explicit
        calls_off = (copy.cancelled or copy.uninvites) and not of_busy_times
        if calls_off and copy is not chosen and not _is_past(copy, chosen):
            return copy
    return None


def _is_past(copy: Occurrence, chosen: Occurrence) -> bool:
    """Tell whether a copy calls a meeting off that goes on in the copy that decides.

    An organizer who takes guests off sends these a cancellation, and the others the meeting anew with the
    same SEQUENCE, in which those guests stand no more.
    """
    if copy.sequence != chosen.sequence:
        return copy.sequence < chosen.sequence
    if copy.uninvites and (
        chosen.authority is Authority.ORGANIZER or not _share_organizer(copy, chosen)
    ):
        return True
    guests = _guests(copy)
    if copy.uninvites or (copy.by_method and guests and _share_organizer(copy, chosen)):
        return not guests & _guests(chosen)
    if copy.last_modified is None or chosen.last_modified is None:
        return False
    return copy.last_modified < chosen.last_modified


def _share_organizer(copy: Occurrence, other: Occurrence) -> bool:
    return bool(_organizer(copy) & _organizer(other))


def _guests(copy: Occurrence) -> frozenset[str]:
    return frozenset[str]().union(*(guest.person.addresses for guest in copy.attendees))


def _organizer(copy: Occurrence) -> frozenset[str]:
    return frozenset(copy.copy_organizer)
