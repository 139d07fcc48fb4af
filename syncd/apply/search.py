"""Asks the API what it has around bookings and meetings, and what such a list proves.

Time windows are asked for with a margin, and marks that a list leaves out are asked for one by one, where
they matter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from syncd.apply.ports import Api, BookingStore
from syncd.apply.vanished import MOST_ASKED
from syncd.core.booking import HOLDING_STATES, Booking
from syncd.core.listing import Listing
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.recognise import GENERATIONS, search_window
from syncd.core.reservation import Reservation, ReservationSpec
from syncd.core.settings import Settings

MARGIN = timedelta(days=1)
"""Around a slot when the API is searched: what its window means (start, overlap) is not documented."""

_Window: TypeAlias = tuple[datetime, datetime]
_Place: TypeAlias = tuple[str | None, datetime | None, datetime | None]
"""Whose reservation stands at which time, as far as it says so."""


def list_everything(
    api: Api,
    bookings: Sequence[Booking],
    meetings: Sequence[Meeting],
    now: datetime,
    until: datetime,
) -> Listing:
    """Return what the API has, of all states, in the time of these bookings and meetings.

    It asks `until` the end of what may be booked at least: there may be what no record and no meeting tells
    of, since meetings move, and a ledger that was put back looks like any other.
    Raises `ApiUnusable`.
    """
    start = now
    end = until
    specs = [meeting.spec for meeting in meetings]
    for spec in specs:
        end = max(end, spec.end)
    held: list[Booking] = []
    for booking in bookings:
        if booking.state not in HOLDING_STATES:
            continue
        if booking.spec.end > now:
            held.append(booking)
    if held:
        first, last = search_window(held, timedelta())
        start = min(start, first)
        end = max(end, last)
    listing = api.find(start - MARGIN, end + MARGIN)
    known_ids = {b.reservation_id for b in bookings if b.reservation_id}
    return with_marks(listing, specs, api, known_ids)


def list_around_meetings(meetings: Sequence[Meeting], api: Api) -> Listing:
    """Return what the API has in the time around these meetings alone; raise `ApiUnusable`."""
    listings: list[Listing] = []
    for start, end in _windows_around(meetings):
        part = api.find(start, end)
        listings.append(part)
    listing = Listing.joined(listings)
    specs = [meeting.spec for meeting in meetings]
    return with_marks(listing, specs, api, ())


def list_around_bookings(
    bookings: Sequence[Booking], api: Api, store: BookingStore
) -> Listing:
    """Return what the API has in the time of these bookings; raise `ApiUnusable`."""
    start, end = search_window(bookings, MARGIN)
    specs = [booking.spec for booking in bookings]
    creators = {spec.creator for spec in specs}
    creator = None
    if len(creators) == 1:
        creator = creators.pop()
    listing = api.find(start, end, creator=creator)
    ids = {reservation.reservation_id for reservation in listing}
    known_ids = store.recorded(ids)
    return with_marks(listing, specs, api, known_ids)


def with_marks(
    listing: Listing,
    wanted: Iterable[ReservationSpec],
    api: Api,
    known_ids: Collection[str],
) -> Listing:
    """Return a list with the marks that it leaves out, as far as they may be those of something wanted.

    What stands in the place of something wanted is asked for first, and at most `MOST_ASKED` in all.
    `known_ids` are of reservations that are somebody's already.
    """
    specs = list(wanted)
    creators: set[str] = set()
    places: set[_Place] = set()
    for spec in specs:
        creators.add(spec.creator)
        places.add((spec.creator, spec.start, spec.end))

    def may_be_wanted(reservation: Reservation) -> bool:
        if "description" not in reservation.unsaid:
            return False
        if not reservation.live:
            return False
        if reservation.reservation_id in known_ids:
            return False
        return reservation.creator in creators

    def stands_elsewhere(reservation: Reservation) -> bool:
        place = (reservation.creator, reservation.start, reservation.end)
        return place not in places

    without_mark = [r for r in listing if may_be_wanted(r)]
    without_mark.sort(key=stands_elsewhere)
    asked: dict[str, Reservation | None] = {}
    for reservation in without_mark[:MOST_ASKED]:
        reservation_id = reservation.reservation_id
        asked[reservation_id] = api.get(reservation_id)
    whole: list[Reservation] = []
    for reservation in listing:
        told = asked.get(reservation.reservation_id)
        whole.append(told or reservation)
    return replace(listing, reservations=tuple(whole))


def unproven(
    meetings: Iterable[Meeting], listing: Listing, settings: Settings
) -> frozenset[OccurrenceKey]:
    """Return the meetings that may be booked although a list does not show them."""
    leaves_out_marks = any("description" in r.unsaid for r in listing)
    proves_all = not listing.trouble and not leaves_out_marks
    if proves_all:
        return frozenset()
    unseen: set[OccurrenceKey] = set()
    for meeting in meetings:
        if not _is_lacking(meeting, listing, settings):
            unseen.add(meeting.key)
    return frozenset(unseen)


def _is_lacking(meeting: Meeting, listing: Listing, settings: Settings) -> bool:
    """Tell whether a list proves that no generation of a meeting is booked."""
    creator = meeting.spec.creator
    for generation in range(GENERATIONS):
        mark = Mark.of(settings.instance, meeting.key, generation)
        if not listing.lacks(str(mark), creator):
            return False
    return True


def _windows_around(meetings: Iterable[Meeting]) -> Iterator[_Window]:
    """Yield windows in which these meetings would be listed; what lies far from all of them is in none."""
    spans: list[_Window] = []
    for meeting in meetings:
        begins = meeting.spec.start - MARGIN
        ends = meeting.spec.end + MARGIN
        spans.append((begins, ends))
    spans.sort()
    start, end = spans[0]
    for begins, ends in spans:
        if begins > end:
            yield start, end
            start = begins
        end = max(end, ends)
    yield start, end
