"""Looks up reservations that are known by their ids, with few calls.

A call tells of one reservation, or of a page of all that are at a time, whosever they are.
So what lies close together is listed, and what lies apart is asked for one by one.
What is expected of a list is judged by our own reservations; where others fill it, its first page tells
that it would not pay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

from syncd.apply.ports import Api
from syncd.apply.tasks import Task, call
from syncd.core.booking import Booking
from syncd.core.reservation import Reservation

ON_A_PAGE = 50
"""Reservations that a call for a list tells of."""

_CROWDED = 4  # meetings fill a quarter of all hours, so there they stand so many times as close
_NIGHT_DAYS = 1 - 1 / _CROWDED
_DAY = timedelta(days=1)
_FEW = 3  # up to so many, a list spares nothing worth the risk of a page in vain
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# Whatever the API's window means (start, overlap), a reservation is in it.
_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the API has of reservations, by id, and the bookings about which it was not asked any more."""

    found: Mapping[str, Reservation]
    unasked: Sequence[Booking]


def look_up(
    bookings: Sequence[Booking],
    api: Api,
    density: float,
    ending: Callable[[], bool] = lambda: False,
) -> Task[Answers]:
    """Return what the API has of the reservations of these bookings; raise `ApiUnusable`.

    `density` is how many reservations of ours there are in a day.
    `ending` tells, after a list or a call for one, whether no more is to be asked.
    At most as many calls as bookings; more where others fill the first list, and where lists move.
    What a list lacks that may lag behind is left out.
    """
    found: dict[str, Reservation] = {}
    left = deque(_groups(bookings, density))
    lists_pay = True
    while left:
        group = left.popleft()
        if lists_pay and len(group) > _FEW:
            listed = yield from call(_listed, group, api)
            lists_pay = listed is not None
            if listed is None:
                left.appendleft(group)
            else:
                found |= listed.shown
                left.extendleft([booking] for booking in listed.left_out)
        else:
            booking = group.pop(0)
            there = yield from call(api.get, booking.reservation_id or "")
            if there is not None:
                found[there.reservation_id] = there
            if group:
                left.appendleft(group)
        if ending():
            break
    return Answers(found, list(chain.from_iterable(left)))


def pages_between(first: datetime, last: datetime, density: float) -> float:
    """Return how many pages a list of the time between two moments has, as far as it is ours.

    Days with their nights hold `density` each; what is shorter may be all by day.
    """
    days = (last - first) / _DAY
    days_with_nights = min(days * _CROWDED, days + _NIGHT_DAYS)
    return days_with_nights * density / ON_A_PAGE


def _groups(bookings: Iterable[Booking], density: float) -> list[list[Booking]]:
    """Group bookings so that listing a group takes no more calls than reading each."""
    groups: list[list[Booking]] = []
    until = _LONG_AGO
    in_order = sorted(bookings, key=lambda booking: booking.spec.start)
    for booking in in_order:
        spec = booking.spec
        if not groups or pages_between(until, spec.start, density) > 1:
            groups.append([])
        groups[-1].append(booking)
        until = max(until, spec.end)
    return groups


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a list shows, by id, and the bookings that it may have left out because it moved."""

    shown: Mapping[str, Reservation]
    left_out: Sequence[Booking]


def _listed(group: Sequence[Booking], api: Api) -> _Listed | None:
    """Return all reservations of the time of a group; None if it takes fewer calls to ask for each.

    None too if a list is refused or contradicts itself. While other changes are written, a list of several
    pages changes between two of them and may leave some out: what it shows is there.
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
    shown = {there.reservation_id: there for there in listing}
    if not listing.doubt:
        return _Listed(shown, ())
    if not listing.moved:
        return None
    left_out = [booking for booking in group if booking.reservation_id not in shown]
    if len(left_out) > len(group) / 2:
        return None
    return _Listed(shown, left_out)
