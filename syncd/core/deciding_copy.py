"""Chooses which of several copies of a meeting decides what it is.

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

from syncd.core.booking import CLOSED_STATES, Booking
from syncd.core.occurrence import Authority, Occurrence, OccurrenceKey


@dataclass(frozen=True, slots=True)
class Decider:
    """Which copy decided about a meeting until now: its source and document, and what it said (fingerprint).

    `document` is empty where nobody noted it. `of_others`: it decided about other dates of the event only.
    `past`: what it decided about is cancelled or over by now, or vanished in Tuya.
    """

    source: str
    origin: str
    document: str = ""
    of_others: bool = False
    past: bool = False


DecidersOf = Callable[[Collection[str]], Mapping[OccurrenceKey, Decider]]
"""Returns which copy decided until now about each meeting of some UIDs."""


@dataclass(frozen=True, slots=True)
class DecidingCopy:
    """The copy that decides, a cancel by another one that a person has to judge, and the reason."""

    occurrence: Occurrence
    told_off: Occurrence | None
    why: str


def deciders_of(bookings: Iterable[Booking]) -> dict[OccurrenceKey, Decider]:
    """Return which copy decided about each meeting until now, as its bookings and former ones remember it.

    What vanished waits for a person as it was: who decided about it counts only where nothing else goes on.
    """

    def goes_on(booking: Booking) -> bool:
        return booking.state not in CLOSED_STATES and not booking.is_vanished

    def latest_last(booking: Booking) -> tuple[bool, float, int]:
        at = 0.0
        if booking.updated_at is not None:
            at = booking.updated_at.timestamp()
        return (goes_on(booking), at, booking.row)

    deciders: dict[OccurrenceKey, Decider] = {}
    for booking in sorted(bookings, key=latest_last):
        if booking.origin:
            deciders[booking.key] = Decider(
                booking.source,
                booking.origin,
                booking.document,
                past=not goes_on(booking),
            )
    return deciders


def decide(
    copies: Sequence[Occurrence],
    decider: Decider | None = None,
    owners: frozenset[str] = frozenset(),
    *,
    signed: bool = True,
) -> DecidingCopy | None:
    """Choose the copy of one occurrence that decides; None if none of them states what the meeting is.

    `decider` is the copy that decided until now, `owners` are the addresses whose calendars the administrator
    named.
    `signed`: some copy of the event names people, so one that names none only witnesses that somebody is
    busy. A copy that only takes guests off (`uninvites`) states nothing either, but a person has to judge it.
    """
    stating: list[Occurrence] = []
    for copy in copies:
        only_busy = signed and copy.authority is Authority.NOBODY
        if not only_busy and not copy.uninvites:
            stating.append(copy)
    if not stating:
        return None
    if len(copies) == 1:
        return DecidingCopy(copies[0], None, "")
    choice = _Choice(stating, decider, owners)
    chosen, why = choice.made()
    told_off = _told_off(chosen, copies)
    return DecidingCopy(chosen, told_off, why)


@dataclass(slots=True)
class _Choice:
    """One choice among several copies of an occurrence."""

    copies: Sequence[Occurrence]
    decider: Decider | None
    owners: frozenset[str]

    def made(self) -> tuple[Occurrence, str]:
        """Return the copy that decides, and why in a sentence."""
        current = self._current()
        theirs = self._of_the_organizer(current)
        if theirs:
            return max(theirs, key=revision), "It is the copy of its organizer."
        if current is None:
            why = "It is the newest copy by SEQUENCE, then LAST-MODIFIED."
            return self._first(), why
        if self.decider is not None and self.decider.of_others:
            # Nothing is booked yet that a cancel could take away: the organizer's newest word counts.
            why = "It is the newest copy of the organizer who decided before."
            return self._newest_of_one_organizer(current), why
        later = [copy for copy in self.copies if _takes_over(copy, current)]
        if later:
            why = f"It has a higher SEQUENCE than the copy in {current.source!r} that decided before."
            return max(later, key=revision), why
        why = "It decided before, and no later revision of its organizer takes over."
        return current, why

    def _current(self) -> Occurrence | None:
        """Return the copy that decided before; None if its source shows no copy, or none decided yet."""
        decider = self.decider
        if decider is None:
            return None
        own = [copy for copy in self.copies if copy.source == decider.source]
        there = [copy for copy in own if copy.document == decider.document] or own
        same = [copy for copy in there if copy.fingerprint == decider.origin] or there
        return max(same, key=revision, default=None)

    def _of_the_organizer(self, current: Occurrence | None) -> list[Occurrence]:
        """Return the copies in calendars of the organizer, as far as they are about a meeting of that person.

        A meeting has the organizer that the copy names which decided until now, if it names one.
        """
        named: frozenset[str] = frozenset()
        if current is not None:
            named = _organizer(current)
        found: list[Occurrence] = []
        for copy in self.copies:
            if copy.authority is not Authority.ORGANIZER:
                continue
            if named and named.isdisjoint(copy.copy_organizer):
                continue
            if not self._is_overruled(copy):
                found.append(copy)
        return found

    def _newest_of_one_organizer(self, current: Occurrence) -> Occurrence:
        """Return the newest among a copy and those of the organizer whom it names."""
        of_the_same = [
            copy
            for copy in self.copies
            if copy is current or share_organizer(copy, current)
        ]
        return max(of_the_same, key=revision)

    def _first(self) -> Occurrence:
        """Return the copy that decides when nobody decided yet."""
        organizers: set[str] = set()
        for copy in self.copies:
            organizers.update(copy.copy_organizer)
        is_said = any(copy.authority is Authority.ORGANIZER for copy in self.copies)
        claims_count = not is_said and organizers.isdisjoint(self.owners)

        def rank(copy: Occurrence) -> tuple[object, ...]:
            claimed = claims_count and copy.authority is Authority.CLAIMED
            by_its_claim = claimed and not self._is_overruled(copy)
            is_credible = not self._is_cancel_of_a_stranger(copy)
            return (by_its_claim, is_credible, *revision(copy))

        return max(self.copies, key=rank)  # max keeps the first of equals

    def _is_cancel_of_a_stranger(self, copy: Occurrence) -> bool:
        """Tell whether a copy is cancelled that another organizer's copy shows alive."""
        if not copy.cancelled:
            return False
        for other in self.copies:
            if other.cancelled or not other.copy_organizer:
                continue
            if not share_organizer(copy, other):
                return True
        return False

    def _is_overruled(self, copy: Occurrence) -> bool:
        """Tell whether a copy is cancelled and its organizer has shown the meeting alive since."""
        if not copy.cancelled:
            return False
        return any(_takes_over(other, copy) for other in self.copies)


def revision(copy: Occurrence) -> tuple[int, bool, bool, bool, float]:
    """Sort the newest of several copies last (RFC 5546 section 2.1.5).

    SEQUENCE first; of one SEQUENCE a cancelling method is the later word, and what says a date by itself
    counts before a date that a series gives, a live copy before a cancelled one. DTSTAMP is no revision: many
    programs write the time of the download.
    """
    by_method = copy.cancelled and copy.by_method
    is_live = not copy.cancelled
    modified = 0.0
    if copy.last_modified is not None:
        modified = copy.last_modified.timestamp()
    return (copy.sequence, by_method, copy.explicit, is_live, modified)


def is_later(copy: Occurrence, current: Occurrence) -> bool:
    """Tell whether a copy proves to be a later revision than the one that decides: of the same ORGANIZER."""
    return copy.sequence > current.sequence and share_organizer(copy, current)


def _takes_over(copy: Occurrence, current: Occurrence) -> bool:
    """Tell whether a copy is a later revision that shows the meeting alive; a cancel does not take over."""
    return is_later(copy, current) and not copy.cancelled


def _told_off(chosen: Occurrence, copies: Sequence[Occurrence]) -> Occurrence | None:
    """Return a copy that calls a meeting off which the copy that decides shows alive; None if there is none.

    An older one, by SEQUENCE, then LAST-MODIFIED, speaks of the past. A single date of an export of busy
    times says nothing about a series that names people.
    """
    if chosen.cancelled:
        return None
    for copy in copies:
        calls_off = copy.cancelled or copy.uninvites
        if copy is chosen or not calls_off:
            continue
        of_busy_times = copy.authority is Authority.NOBODY and copy.explicit
        if not of_busy_times and not _is_past(copy, chosen):
            return copy
    return None


def _is_past(copy: Occurrence, chosen: Occurrence) -> bool:
    """Tell whether a copy calls a meeting off that goes on in the copy that decides.

    An organizer who takes guests off sends these a cancellation, and the others the meeting anew with the
    same SEQUENCE, in which those guests stand no more.
    """
    if copy.sequence != chosen.sequence:
        return copy.sequence < chosen.sequence
    same_organizer = share_organizer(copy, chosen)
    by_the_organizer = chosen.authority is Authority.ORGANIZER
    if copy.uninvites and (by_the_organizer or not same_organizer):
        return True
    guests = _guests(copy)
    if copy.uninvites or (copy.by_method and guests and same_organizer):
        return guests.isdisjoint(_guests(chosen))
    if copy.last_modified is None or chosen.last_modified is None:
        return False
    return copy.last_modified < chosen.last_modified


def share_organizer(copy: Occurrence, other: Occurrence) -> bool:
    """Tell whether two copies name the same organizer; one that names none shares it with nobody."""
    return not _organizer(copy).isdisjoint(_organizer(other))


def _organizer(copy: Occurrence) -> frozenset[str]:
    """Return the addresses of the organizer whom a copy names."""
    return frozenset(copy.copy_organizer)


def _guests(copy: Occurrence) -> set[str]:
    """Return the addresses of the attendees whom a copy names."""
    addresses: set[str] = set()
    for attendee in copy.attendees:
        addresses.update(attendee.person.addresses)
    return addresses
