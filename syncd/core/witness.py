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
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.occurrence import Authority, Occurrence, OccurrenceKey, Reading, extent_of
from syncd.core.reservation import Booking


@dataclass(frozen=True, slots=True)
class Decider:
    """Which copy decided about a meeting until now: its source, and the fingerprint of what it said."""

    source: str
    origin: str


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
class Decision:
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
    copies: dict[OccurrenceKey, list[Occurrence]] = {}
    signed: set[tuple[str, str]] = set()
    for reading in readings.values():
        for occurrence in reading.occurrences:
            key = occurrence.key
            copies.setdefault(key, []).append(occurrence)
            if occurrence.authority is not Authority.NOBODY:
                signed.add((key.scope, key.uid))
    several = {key.uid for key, found in copies.items() if len(found) > 1 or found[0].contested}
    deciders = deciders_of(several) if several else {}
    merged: list[Witnessed] = []
    for key, found in sorted(copies.items(), key=lambda item: item[0]):
        is_signed = (key.scope, key.uid) in signed
        decider = deciders.get(key)
        # Which of two dates is right would be a guess, so the event is reported, and not booked.
        told = found if decider else [copy for copy in found if not copy.contested]
        seen = _witnessed(told, decider, owners, signed=is_signed)
        if seen is not None:
            merged.append(seen)
    return tuple(merged)


def deciders_of(bookings: Iterable[Booking]) -> dict[OccurrenceKey, Decider]:
    """Return which copy decided about each meeting until now, as its bookings remember it."""
    return {booking.key: Decider(booking.source, booking.origin) for booking in bookings if booking.origin}


def _witnessed(
    copies: Sequence[Occurrence], decider: Decider | None, owners: frozenset[str], *, signed: bool
) -> Witnessed | None:
    """Return an occurrence with its witnesses; None if only copies show it that state nothing of it."""
    decision = decide(copies, decider, owners, signed=signed)
    if decision is None:
        return None
    witnesses = tuple(dict.fromkeys(copy.source for copy in copies))
    ends = tuple(extent_of(copy).end for copy in copies) if len(copies) > 1 else ()
    return Witnessed(decision.occurrence, witnesses, ends, decision.told_off, decision.why)


def decide(
    copies: Sequence[Occurrence],
    decider: Decider | None = None,
    owners: frozenset[str] = frozenset(),
    *,
    signed: bool = True,
) -> Decision | None:
    """Choose the copy of one occurrence that decides; None if none of them states what the meeting is.

    `signed`: some copy of the event names people, so one that names none only witnesses that somebody is
    busy. A copy that only takes guests off (`uninvites`) states nothing either, but a person has to judge it.
    """
    people = [copy for copy in copies if copy.authority is not Authority.NOBODY or not signed]
    stating = [copy for copy in people if not copy.uninvites]
    if not stating:
        return None
    if len(people) == 1:
        return Decision(people[0], None, "")
    chosen, why = _Choice(stating, decider, owners).made()
    return Decision(chosen, _told_off(chosen, people), why)


@dataclass(slots=True)
class _Choice:
    """One choice among several copies of an occurrence."""

    copies: Sequence[Occurrence]
    decider: Decider | None
    owners: frozenset[str]

    def made(self) -> tuple[Occurrence, str]:
        """Return the copy that decides, and why in a sentence."""
        theirs = [copy for copy in self.copies if copy.authority is Authority.ORGANIZER]
        theirs = [copy for copy in theirs if not self._is_overruled(copy)]
        if theirs:
            return max(theirs, key=_revision), "It is the copy of its organizer."
        current = self._current()
        if current is None:
            return self._first(), "It is the newest copy by SEQUENCE, then LAST-MODIFIED."
        later = [copy for copy in self.copies if _is_later(copy, current) and not copy.cancelled]
        if later:
            why = f"It has a higher SEQUENCE than the copy in {current.source!r} that decided before."
            return max(later, key=_revision), why
        return current, "It decided before, and no later revision of its organizer takes over."

    def _current(self) -> Occurrence | None:
        """Return the copy that decided before; None if its source shows no copy, or none decided yet."""
        if self.decider is None:
            return None
        own = [copy for copy in self.copies if copy.source == self.decider.source]
        same = [copy for copy in own if copy.fingerprint == self.decider.origin]
        return max(same or own, key=_revision, default=None)

    def _first(self) -> Occurrence:
        """Return the copy that decides when nobody decided yet."""
        said = any(copy.authority is Authority.ORGANIZER for copy in self.copies)
        addresses = {address for copy in self.copies for address in _organizer(copy)}
        claims_count = not said and not addresses & self.owners

        def rank(copy: Occurrence) -> tuple[object, ...]:
            claimed = claims_count and copy.authority is Authority.CLAIMED
            claimed = claimed and not self._is_overruled(copy)
            return (claimed, not self._is_cancel_of_a_stranger(copy), *_revision(copy))

        return max(self.copies, key=rank)  # max keeps the first of equals

    def _is_cancel_of_a_stranger(self, copy: Occurrence) -> bool:
        """Whether a copy is cancelled that another organizer's copy shows alive."""
        return copy.cancelled and any(
            _organizer(other) and not other.cancelled and not _share_organizer(copy, other)
            for other in self.copies
        )

    def _is_overruled(self, copy: Occurrence) -> bool:
        """Whether a copy is cancelled and its organizer has shown the meeting alive since."""
        return copy.cancelled and any(
            other.sequence > copy.sequence and not other.cancelled and _share_organizer(copy, other)
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
    """Whether a copy proves to be a later revision than the one that decides: of the same ORGANIZER."""
    if not _share_organizer(copy, current):
        return False
    if copy.sequence == current.sequence:
        return copy.explicit and not current.explicit
    return copy.sequence > current.sequence


def _told_off(chosen: Occurrence, copies: Sequence[Occurrence]) -> Occurrence | None:
    """Return a copy that calls a meeting off which the copy that decides shows alive; None if there is none.

    An older one, by SEQUENCE, speaks of the past. Of one SEQUENCE a cancel counts if it is of the same
    ORGANIZER and says so by its METHOD or by a later LAST-MODIFIED; one that takes guests off counts while
    the copy that decides invites any of them. The organizer's own copy is not doubted for that.
    """
    if chosen.cancelled:
        return None
    for copy in copies:
        if (copy.cancelled or copy.uninvites) and copy is not chosen and _speaks_later(copy, chosen):
            return copy
    return None


def _speaks_later(copy: Occurrence, chosen: Occurrence) -> bool:
    if copy.sequence != chosen.sequence:
        return copy.sequence > chosen.sequence
    if chosen.authority is Authority.ORGANIZER or not _share_organizer(copy, chosen):
        return False
    if copy.uninvites:
        return bool(_guests(copy) & _guests(chosen))
    return copy.by_method or _modified(copy) > _modified(chosen)


def _modified(copy: Occurrence) -> float:
    return copy.last_modified.timestamp() if copy.last_modified else 0.0


def _share_organizer(copy: Occurrence, other: Occurrence) -> bool:
    return bool(_organizer(copy) & _organizer(other))


def _guests(copy: Occurrence) -> frozenset[str]:
    return frozenset(address for guest in copy.attendees for address in guest.person.addresses)


def _organizer(copy: Occurrence) -> frozenset[str]:
    return frozenset(copy.copy_organizer)
