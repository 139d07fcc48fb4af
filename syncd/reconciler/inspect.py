"""Compares the API's own list with the ledger: the drift check, and the first look of a ledger that was lost.

Asked rarely and all at once.
A list may lag behind, so what it says otherwise than the ledger is asked once more, one by one, before
it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import structlog

from syncd.core.adopt import Duplicate, Recognised, recognise, search_window
from syncd.core.changes import Meeting
from syncd.core.occurrence import Window
from syncd.core.reservation import HOLDING_STATES, Booking, BookingState, Reservation, ReservationStatus
from syncd.reconciler.apply import MARGIN, Applier, ended_early
from syncd.reconciler.ports import Api, Facts, Ledger, Settings

log = structlog.get_logger(__name__)

INSPECTED = "inspected"
"""The fact: when ledger and API were compared last."""

_LEFTOVERS = "leftovers"  # the fact that says how many are nobody's: strays, blank, duplicates


def is_due(ledger: Ledger, now: datetime, every: timedelta) -> bool:
    """Whether to compare: `every` has passed, a clock was set back, or the ledger proves nothing."""
    last = ledger.get_fact(INSPECTED)
    if ledger.fresh or not last:
        return True
    return not timedelta() <= now - datetime.fromisoformat(last) < every


def last_compared(ledger: Ledger, now: datetime) -> datetime:
    """When ledger and API were compared last; `now` if never, or if that lies ahead."""
    last = ledger.get_fact(INSPECTED)
    return min(datetime.fromisoformat(last), now) if last else now


def listed(
    api: Api,
    bookings: Sequence[Booking],
    meetings: Sequence[Meeting],
    now: datetime,
    until: datetime,
) -> tuple[Reservation, ...]:
    """What the API has, of all states, in the time of these bookings and meetings; raises `ApiUnusable`.

    It asks `until` the end of what may be booked at least: there may be what no record and no meeting tells
    of, since meetings move, and a ledger that was put back looks like any other.
    """
    held = [b for b in bookings if b.state in HOLDING_STATES and b.spec.end > now]
    starts, ends = [now], [until, *(m.spec.end for m in meetings)]
    if held:
        start, end = search_window(held, timedelta())
        starts.append(start)
        ends.append(end)
    return api.find(min(starts) - MARGIN, max(ends) + MARGIN)


def adoptable(
    reservations: Sequence[Reservation],
    bookings: Sequence[Booking],
    meetings: Sequence[Meeting],
    settings: Settings,
    now: datetime,
) -> Recognised:
    """What reservations with our mark turn out to be."""
    return recognise(reservations, meetings, bookings, settings.instance, now)


def inspect(
    *,
    api: Api,
    ledger: Ledger,
    settings: Settings,
    applier: Applier,
    clock: Callable[[], datetime],
    meetings: Sequence[Meeting],
) -> None:
    """Take over what the API knows otherwise than the ledger; raises `ApiUnusable`.

    What people and approvers did to our reservations; reservations of ours that the ledger has lost; and
    duplicates, which are cancelled where the mode allows it.
    """
    now = clock()
    known = ledger.current()
    reservations = listed(api, known, meetings, now, Window.ahead(now, settings.horizon).reach)
    found = {r.reservation_id: r for r in reservations}
    otherwise = [
        b
        for b in known
        if b.state in HOLDING_STATES
        and b.spec.end > now
        and not _as_expected(b, found.get(b.reservation_id or ""))
    ]
    for booking in otherwise:
        _look_closer(booking, api, applier, now)
    if otherwise:
        known = ledger.current()
    # That marks of what is over were given is known, if they are of reservations that are recorded.
    over = ledger.recorded({r.reservation_id for r in reservations if r.end <= now or not r.live})
    in_question = tuple(r for r in reservations if r.reservation_id not in over)
    recognised = adoptable(in_question, known, meetings, settings, now)
    certain = not any(b.reservation_id for b in known)  # nothing was cancelled that a list might still show
    adopted = [b for b in recognised.adopted if certain or _still_live(api, b.reservation_id)]
    applier.count["adopted"] += len(adopted)
    remember(adopted, recognised, ledger, now)
    left = [d for d in recognised.duplicates if not applier.drop_duplicate(d)]
    _remember_leftovers(ledger, recognised.strays, left)
    ledger.mark_adopted(now)
    ledger.set_fact(INSPECTED, now.isoformat())


def look_for(
    meetings: Sequence[Meeting],
    *,
    api: Api,
    ledger: Ledger,
    settings: Settings,
    applier: Applier,
    now: datetime,
) -> bool:
    """Take over what is booked of these meetings and not known; whether anything is. Raises `ApiUnusable`.

    It asks for the time around them alone, and compares with the bookings that may be of the same meetings.
    """
    found = {r.reservation_id: r for start, end in _around(meetings) for r in api.find(start, end)}
    marks = {str(mark) for r in found.values() if (mark := r.mark)}
    known = ledger.concerned({m.key.uid for m in meetings}, marks)
    recognised = adoptable(tuple(found.values()), known, meetings, settings, now)
    adopted = [b for b in recognised.adopted if _still_live(api, b.reservation_id)]
    applier.count["adopted"] += len(adopted)
    remember(adopted, recognised, ledger, now)
    return bool(adopted)


def _around(meetings: Iterable[Meeting]) -> Iterator[tuple[datetime, datetime]]:
    """Windows in which these meetings would be listed; what lies far from all of them is in none."""
    spans = sorted((m.spec.start - MARGIN, m.spec.end + MARGIN) for m in meetings)
    start, end = spans[0]
    for begins, ends in spans:
        if begins > end:
            yield start, end
            start = begins
        end = max(end, ends)
    yield start, end


def remember(adopted: Sequence[Booking], recognised: Recognised, ledger: Ledger, now: datetime) -> None:
    """Record what is taken over, and which generations were given to any of what was recognised."""
    if adopted:
        ledger.record(*adopted, at=now, what="adopted", detail="found by its mark")
        log.info("adopted", bookings=len(adopted))
    free = ledger.next_generations(recognised.generations)
    for key, generation in recognised.generations.items():
        if generation >= free[key]:
            ledger.raise_generation(key, generation)


def _look_closer(booking: Booking, api: Api, applier: Applier, now: datetime) -> None:
    assert booking.reservation_id is not None  # these states have one
    there = api.get(booking.reservation_id)
    if there is None or there.status is not _status_of(booking) or ended_early(booking, there, now):
        booking = applier.take_over(booking, there)
        log.info("changed in the API", reservation_id=booking.reservation_id, state=booking.state.value)
    if there is not None and booking.state in HOLDING_STATES and not _same_content(booking, there):
        applier.take_change(booking, there)


def _as_expected(booking: Booking, there: Reservation | None) -> bool:
    return there is not None and there.status is _status_of(booking) and _same_content(booking, there)


def _status_of(booking: Booking) -> ReservationStatus:
    approval = booking.state is BookingState.APPROVAL
    return ReservationStatus.AWAITING_APPROVAL if approval else ReservationStatus.NORMAL


def _same_content(booking: Booking, there: Reservation) -> bool:
    shown = there.onto(booking.spec)
    return shown == booking.spec or shown.fingerprint == booking.echo


def _still_live(api: Api, reservation_id: str | None) -> bool:
    there = api.get(reservation_id or "")
    return there is not None and there.live


def leftovers(ledger: Facts) -> tuple[int, int]:
    """How many reservations with our mark the last comparison found nobody's: strays, and duplicates."""
    strays, _, duplicates = (ledger.get_fact(_LEFTOVERS) or "0 0").partition(" ")
    return int(strays), int(duplicates)


def _remember_leftovers(ledger: Ledger, strays: Sequence[Reservation], left: Sequence[Duplicate]) -> None:
    said = f"{len(strays)} {len(left)}"
    if ledger.get_fact(_LEFTOVERS) != said:
        ledger.set_fact(_LEFTOVERS, said)
    for stray in strays:
        log.warning("stray", reservation_id=stray.reservation_id)
