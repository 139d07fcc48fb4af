"""Merges what several calendars say of a meeting into one: which dates there are, and who shows them.

Any calendar may hold a copy of a meeting. Which copy decides what one date is, is chosen in `deciding_copy`;
here is decided which dates there are: those that the copies show which decided about the event until now, or
else the organizer's own.

Tried before and given up: each date judged by itself. Then a guest's calendar that was not updated kept the
dates that the organizer had taken off, beside the new ones where a series was moved, and any calendar could
add dates to a meeting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import TypeAlias

from syncd.core.deciding_copy import (
    Decider,
    DecidersOf,
    decide,
    is_later,
    revision,
    share_organizer,
)
from syncd.core.occurrence import (
    Authority,
    Occurrence,
    OccurrenceKey,
    Presence,
    Reading,
    extent_of,
    recurrence_id_of,
)

_Event: TypeAlias = tuple[str, str]  # scope and UID
_Voice: TypeAlias = tuple[str, str]  # source and document


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
    for key, found in sorted(copies.by_key.items(), key=itemgetter(0)):
        event = (key.scope, key.uid)
        among = standing.get(event)
        if among is not None and among.denies(key, found):
            continue
        decider = deciders.get(key)
        if decider is None and among is not None:
            decider = among.decider_among(found)
        counting = found
        if decider is None:
            # Which of two dates is right would be a guess, so the event is reported, and not booked.
            counting = [copy for copy in found if not copy.contested]
        is_signed = event in copies.signed
        seen = _witnessed(counting, decider, owners, signed=is_signed)
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
                key = occurrence.key
                found.by_key.setdefault(key, []).append(occurrence)
                event = (key.scope, key.uid)
                voice = _voice(occurrence)
                if voices.setdefault(event, voice) != voice:
                    found.shared.add(event)
                if occurrence.authority is not Authority.NOBODY:
                    found.signed.add(event)
                if occurrence.contested:
                    found.contested.add(key.uid)
        return found

    def uids_of_several(self) -> set[str]:
        """Return the UIDs of which there may be several copies of an occurrence."""
        several = self.contested.copy()
        for _, uid in self.shared:
            several.add(uid)
        for key, found in self.by_key.items():
            if len(found) > 1:
                several.add(key.uid)
        return several


def _standing(
    shared: Collection[_Event],
    copies: Mapping[OccurrenceKey, Sequence[Occurrence]],
    deciders: Mapping[OccurrenceKey, Decider],
    readings: Mapping[str, Reading],
) -> dict[_Event, _Standing]:
    """Return for each event of which there are several copies whose word counts about its dates."""
    if not shared:
        return {}
    said: defaultdict[_Event, list[Occurrence]] = defaultdict(list)
    for key, found in copies.items():
        event = (key.scope, key.uid)
        if event in shared:
            said[event] += found
    known: defaultdict[_Event, list[Decider]] = defaultdict(list)
    for key, decider in deciders.items():
        event = (key.scope, key.uid)
        if event in shared:
            known[event].append(decider)
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
        at = key.recurrence_id or ""
        if not self.until or at >= self.until:
            return False
        if self.newest.authority is Authority.ORGANIZER:
            return True
        return not any(is_later(other, self.newest) for other in others)


@dataclass(frozen=True, slots=True)
class _Standing:
    """Whose word counts about the dates of one event of which there are several copies.

    `former` are the voices that decided about any of its dates until now; what is over tells that only where
    nothing goes on. `deciding` are those that decide which dates there are: the organizer's own, else the
    former; of those that decided about what is over, the latest revision. `newest` is the newest word of each
    voice.
    """

    former: frozenset[_Voice]
    deciding: Mapping[_Voice, _Speaker]
    newest: Mapping[_Voice, Occurrence]

    @classmethod
    def of(
        cls,
        said: Sequence[Occurrence],
        known: Sequence[Decider],
        readings: Mapping[str, Reading],
    ) -> _Standing:
        """Return the standing of the copies of one event, by those that are known to have decided."""
        newest: dict[_Voice, Occurrence] = {}
        for copy in said:
            voice = _voice(copy)
            before = newest.setdefault(voice, copy)
            newest[voice] = max(before, copy, key=revision)
        live = [decider for decider in known if not decider.past]
        former = _voices_of(live or known, said)
        organizers: set[str] = set()
        for copy in said:
            if _voice(copy) in former:
                organizers.update(copy.copy_organizer)
        standing = former if live else _latest(former, newest)
        deciding = _of_the_organizer(said, organizers) or standing
        speakers: dict[_Voice, _Speaker] = {}
        for voice in deciding:
            speakers[voice] = _speaker(newest[voice], said, newest, readings)
        return cls(former, speakers, newest)

    def decider_among(self, copies: Sequence[Occurrence]) -> Decider | None:
        """Return which of the copies of a date is of those that decided about others; None if none is."""
        own = [copy for copy in copies if _voice(copy) in self.former]
        if not own:
            return None
        newest = max(own, key=revision)
        return Decider(
            newest.source, newest.fingerprint, newest.document, of_others=True
        )

    def denies(self, key: OccurrenceKey, copies: Sequence[Occurrence]) -> bool:
        """Tell whether those that decide have the event without this date, which only others show."""
        voices = {_voice(copy) for copy in copies}
        if not voices.isdisjoint(self.deciding):
            return False
        others = [self.newest[voice] for voice in voices]
        speakers = self.deciding.values()
        return any(speaker.denies(key, others) for speaker in speakers)


def _voice(copy: Occurrence) -> _Voice:
    return (copy.source, copy.document)


def _latest(
    voices: frozenset[_Voice], newest: Mapping[_Voice, Occurrence]
) -> frozenset[_Voice]:
    """Return the voices of which no other one is a later revision.

    Where nothing goes on these alone tell which dates there are: of a single meeting that became a series,
    and the series was called off, an old copy does not make a meeting again.
    """
    outdated: set[_Voice] = set()
    for voice in voices:
        if any(is_later(newest[other], newest[voice]) for other in voices):
            outdated.add(voice)
    return voices - outdated


def _voices_of(
    known: Iterable[Decider], said: Sequence[Occurrence]
) -> frozenset[_Voice]:
    """Return the voices that decided and are there; a document that was renamed is known by its content."""
    there = {_voice(copy) for copy in said}
    found: set[_Voice] = set()
    renamed: dict[str, str] = {}
    for decider in known:
        voice = (decider.source, decider.document)
        if voice in there:
            found.add(voice)
        else:
            renamed[decider.origin] = decider.source
    if renamed:
        for copy in said:
            if renamed.get(copy.fingerprint) == copy.source:
                found.add(_voice(copy))
    return frozenset(found)


def _of_the_organizer(
    said: Iterable[Occurrence], organizers: set[str]
) -> frozenset[_Voice]:
    """Return the voices of calendars of the organizer, by the word of the administrator; none if unclear.

    Whoever has a calendar named after him may write the UID of somebody else's meeting into it, with himself
    as the organizer: so it has to be an organizer that those copies name which decided until now.
    """
    theirs: list[Occurrence] = []
    for copy in said:
        is_known = not organizers.isdisjoint(copy.copy_organizer)
        if copy.authority is Authority.ORGANIZER and (is_known or not organizers):
            theirs.append(copy)
    if not all(share_organizer(copy, theirs[0]) for copy in theirs):
        return frozenset()
    return frozenset(_voice(copy) for copy in theirs)


def _speaker(
    newest: Occurrence,
    said: Sequence[Occurrence],
    voices: Collection[_Voice],
    readings: Mapping[str, Reading],
) -> _Speaker:
    """Return a copy as a whole by its newest word; `voices` has all that its source has of the event."""
    reading = readings[newest.source]
    uid = newest.key.uid
    own_documents = [source for source, _ in voices if source == newest.source]
    is_alone = len(own_documents) == 1
    is_whole = is_alone and reading.presence.get(uid) is Presence.SERIES
    if not is_whole:
        voice = _voice(newest)
        own = [copy for copy in said if _voice(copy) == voice]
        is_whole = not all(copy.explicit for copy in own)
    if not is_whole or not reading.complete or reading.missing_with(uid):
        return _Speaker(newest, "")
    until = recurrence_id_of(reading.window.reach)
    return _Speaker(newest, until)


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
    ends: tuple[datetime, ...] = ()
    if len(copies) > 1:
        ends = tuple(extent_of(copy).end for copy in copies)
    return Witnessed(
        occurrence=decision.occurrence,
        witnesses=witnesses,
        ends=ends,
        told_off=decision.told_off,
        why=decision.why,
    )
