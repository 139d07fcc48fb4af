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
# Whatever the API's window means (start, overlap), a reservation is in it.
_MARGIN = timedelta(minutes=5)


def look_up(
    bookings: Sequence[Booking], api: Api, density: float
) -> dict[str, Reservation]:
    """Return what the API has of the reservations of these bookings, by id; raise `ApiUnusable`.

    `density` is how many reservations of ours there are in a day.
    At most as many calls as bookings; more where others fill the first list, and where lists move.
    What a list lacks that may lag behind is left out.
    """
    found: dict[str, Reservation] = {}
    lists_pay = True
    page_days = _ON_A_PAGE / density  # with its nights; all by day it is shorter
    shortest_days = page_days / _CROWDED
    page_days = max(shortest_days, page_days - _NIGHT_DAYS)
    page = timedelta(days=page_days)
    for group in _groups(bookings, page):
        told: Sequence[Reservation] | None = None
        if lists_pay and len(group) > _FEW:
            told = _listed(group, api)
            lists_pay = told is not None
        if told is None:
            told = _asked_one_by_one(group, api)
        for reservation in told:
            found[reservation.reservation_id] = reservation
    return found


def _asked_one_by_one(group: Iterable[Booking], api: Api) -> Sequence[Reservation]:
    """Return the reservations of a group that exist, with a call for each."""
    there: list[Reservation] = []
    for booking in group:
        if not booking.reservation_id:
            continue
        reservation = api.get(booking.reservation_id)
        if reservation is not None:
            there.append(reservation)
    return there


def _groups(bookings: Iterable[Booking], page: timedelta) -> list[list[Booking]]:
    """Group bookings so that listing a group takes no more calls than reading each."""
    groups: list[list[Booking]] = []
    until = _LONG_AGO
    in_order = sorted(bookings, key=lambda booking: booking.spec.start)
    for booking in in_order:
        spec = booking.spec
        if spec.start > until + page:
            groups.append([])
        groups[-1].append(booking)
        until = max(until, spec.end)
    return groups


def _listed(group: Sequence[Booking], api: Api) -> Sequence[Reservation] | None:
    """Return all reservations of the time of a group; None if it takes fewer calls to ask for each.

    None too if a list is refused or contradicts itself. While other changes are written, a list of several
    pages changes between two of them and may leave some out: these are asked for.
    """
    specs = [booking.spec for booking in group]
    first = min(spec.start for spec in specs)
    last = max(spec.end for spec in specs)
    creators = {spec.creator for spec in specs}
    creator = None
    if len(creators) == 1:
        # What others booked there fills pages too.
        creator = creators.pop()
    most_calls = len(group)
    listing = api.find_within(
        most_calls, first - _MARGIN, last + _MARGIN, creator=creator
    )
    if listing is None:
        return None
    if not listing.doubt:
        return listing.reservations
    if not listing.moved:
        return None
    shown = {reservation.reservation_id for reservation in listing}
    left_out = [booking for booking in group if booking.reservation_id not in shown]
    if len(left_out) > len(group) / 2:
        return None
    others = _asked_one_by_one(left_out, api)
    return (*listing.reservations, *others)
