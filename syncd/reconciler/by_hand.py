"""Takes over reservations that people made by hand, as bookings of the meetings that they are.

Nothing is written to the API: the next cycle brings content and mark up to date, as far as the mode allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from syncd.apply.ports import Api
from syncd.core.booking import Booking
from syncd.core.by_content import ByContent, match_by_content
from syncd.core.cause import Cause
from syncd.core.listing import Listing
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Reason
from syncd.core.reservation import Reservation
from syncd.core.settings import Settings
from syncd.reconciler.ports import Ledger

_TELLING = frozenset({"description", "room_id", "topic", "creator"})


class HandMadeReservations:
    """The reservations of the API without a mark, held against meetings that have none."""

    def __init__(self, *, api: Api, ledger: Ledger, settings: Settings) -> None:
        self._api = api
        self._bookings = ledger.bookings
        self._settings = settings
        rules = settings.mapping
        of_sources = [source.creator for source in rules.sources.values()]
        self._stand_ins = {rules.creator, *filter(None, of_sources)}

    def find(
        self,
        listing: Listing,
        meetings: Sequence[Meeting],
        known: Sequence[Booking],
        now: datetime,
        *,
        ask: bool,
    ) -> ByContent:
        """Return which reservations of a list are which meetings; raise `ApiUnusable`.

        With `ask` each of these is asked for by itself, because a list may lag behind.
        A list that is in doubt may hide a second one of a meeting, so nothing follows from it.
        """
        if listing.doubt or listing.nameless:
            return ByContent()
        listed = self._told_whole(listing, meetings)
        found = match_by_content(listed, meetings, known, self._stand_ins, now)
        if not ask or not found.found:
            return found
        asked = {match.reservation.reservation_id for match in found.found}
        listed = self._asked_again(listed, asked)
        return match_by_content(listed, meetings, known, self._stand_ins, now)

    def bookings_of(
        self, found: ByContent
    ) -> tuple[tuple[Booking, ...], tuple[Booking, ...]]:
        """Return the bookings that hold what was found, and the records of what is left to a person.

        Each has a mark of its own, to be written when it holds a reservation.
        """
        keys = {match.meeting.key for match in found.found}
        keys.update(booking.key for booking in found.left)
        following = dict(self._bookings.next_generations(keys))
        bookings: list[Booking] = []
        for match in found.found:
            key = match.meeting.key
            generation = following[key]
            following[key] = generation + 1
            bookings.append(match.booking(generation, self._mark(key, generation)))
        left: list[Booking] = []
        for record in found.left:
            key = record.key
            generation = following[key]
            following[key] = generation + 1
            mark = self._mark(key, generation)
            marked = str(mark) if mark else None
            left.append(replace(record, generation=generation, mark=marked))
        return tuple(bookings), tuple(left)

    def take_over(self, found: ByContent, now: datetime, by: str) -> None:
        """Store the bookings of what was found, and what is left; `by` is the person who decided it."""
        bookings, left = self.bookings_of(found)
        if bookings:
            self._bookings.record(
                *bookings,
                at=now,
                what="adopted",
                detail="made by hand; found by its content",
                cause=Cause(reason=Reason.TAKEN_OVER, by=by),
            )
        if left:
            self._bookings.record(
                *left,
                at=now,
                what="refused",
                detail="it is ambiguous which reservation made by hand it is",
                cause=Cause(by=by),
            )
        for booking in (*bookings, *left):
            self._bookings.raise_generation(booking.key, booking.generation)

    def _mark(self, key: OccurrenceKey, generation: int) -> Mark | None:
        if not self._settings.mapping.marker:
            return None
        return Mark.of(self._settings.instance, key, generation)

    def _told_whole(
        self, listing: Listing, meetings: Sequence[Meeting]
    ) -> list[Reservation]:
        """Return a list with what it leaves out of reservations that stand at the time of a meeting."""
        times = {(meeting.spec.start, meeting.spec.end) for meeting in meetings}
        lacking = [r for r in listing if r.live and r.unsaid & _TELLING]
        asked = {r.reservation_id for r in lacking if (r.start, r.end) in times}
        return self._asked_again(list(listing), asked)

    def _asked_again(
        self, listed: Sequence[Reservation], asked: set[str]
    ) -> list[Reservation]:
        """Return a list in which some are as the API tells each of them; what is gone is left out."""
        whole: list[Reservation] = []
        for reservation in listed:
            told: Reservation | None = reservation
            if reservation.reservation_id in asked:
                told = self._api.get(reservation.reservation_id)
            if told is not None:
                whole.append(told)
        return whole


def with_adopted(
    bookings: Sequence[Booking], adopted: Sequence[Booking]
) -> list[Booking]:
    """Return bookings as they are once some are adopted, in place of the records that these replace."""
    replaced = {booking.row for booking in adopted if booking.row}
    kept = [booking for booking in bookings if booking.row not in replaced]
    return [*kept, *adopted]
