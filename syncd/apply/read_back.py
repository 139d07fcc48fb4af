"""Looks up reservations that are known by their ids, with few calls.

A call tells of one reservation, or of a page of all that are at a time, whosever they are.
So what lies close together is listed, and what lies apart is asked for one by one.
What is expected of a list is judged by our own reservations; where others fill it, its first page tells
that it would not pay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from syncd.apply.ports import Api
from syncd.core.booking import Booking
from syncd.core.reservation import Reservation

_ON_A_PAGE = 50
_CROWDED = 4  # meetings fill a quarter of all hours, so there they stand so many times as close
_NIGHT_DAYS = 1 - 1 / _CROWDED
_FEW = 3  # up to so many, a list spares nothing worth the risk of a page in vain
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_MARGIN = timedelta(minutes=5)  # whatever the API's window means (start, overlap), a reservation is in it


def look_up(bookings: Sequence[Booking], api: Api, density: float) -> dict[str, Reservation]:
    """What the API has of the reservations of these bookings, by id; raises `ApiUnusable`.

    `density` is how many reservations of ours there are in a day.
    At most as many calls as bookings; one more where others fill the first list.
    What a list lacks that may lag behind is left out.
    """
    found: dict[str, Reservation] = {}
    lists_pay = True
    page_days = _ON_A_PAGE / density  # with its nights; all by day it is shorter
    page = timedelta(days=max(page_days / _CROWDED, page_days - _NIGHT_DAYS))
    for group in _groups(bookings, page):
        listed = None
        if lists_pay and len(group) > _FEW:
            listed = _listed(group, api)
            lists_pay = listed is not None
        if listed is None:
            asked = (api.get(b.reservation_id) for b in group if b.reservation_id)
            listed = tuple(r for r in asked if r is not None)
        found |= {r.reservation_id: r for r in listed}
    return found


def _groups(bookings: Iterable[Booking], page: timedelta) -> list[list[Booking]]:
    """Those that lie so close together that a list has no more pages than it shows of them."""
    groups: list[list[Booking]] = []
    until = _LONG_AGO
    for booking in sorted(bookings, key=lambda b: b.spec.start):
        if booking.spec.start > until + page:
            groups.append([])
        groups[-1].append(booking)
        until = max(until, booking.spec.end)
    return groups


def _listed(group: Sequence[Booking], api: Api) -> tuple[Reservation, ...] | None:
    """All reservations of the time of a group; None if it takes fewer calls to ask for each.

    None too if a list is refused or contradicts itself.
    """
    first, last = min(b.spec.start for b in group), max(b.spec.end for b in group)
    creators = {b.spec.creator for b in group}
    creator = creators.pop() if len(creators) == 1 else None  # what others booked there fills pages too
    listing = api.find_within(len(group), first - _MARGIN, last + _MARGIN, creator=creator)
    return None if listing is None or listing.doubt else listing.reservations
