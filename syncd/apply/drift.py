"""Compares the API's own list with the ledger: the drift check, and the first look of a ledger that was lost.

Asked rarely and all at once.
A list may lag behind, so what it says otherwise than the ledger is asked once more, one by one, before
it is believed; and a list that contradicts itself proves nothing by what it lacks.
What makes no sense, or is refused, is left as it is and named; all else is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from syncd.apply.applier import MARGIN, Applier, ended_early
from syncd.apply.ports import Api, BookingLedger
from syncd.apply.questions import Questions
from syncd.apply.repairs import forget_repairs
from syncd.apply.vanished import MOST_ASKED, Sieve, forget_vanished, hold_vanished, seems_gone
from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.listing import Listing
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey, Window
from syncd.core.reasons import Reason
from syncd.core.recognise import GENERATIONS, Recognised, recognise, search_window
from syncd.core.reservation import Reservation, ReservationSpec, ReservationStatus
from syncd.core.settings import Settings
from syncd.ledger.facts import COMPARED_AT, UNPROVEN_AT

log = structlog.get_logger(__name__)


def is_due(ledger: BookingLedger, now: datetime, every: timedelta) -> bool:
    """Whether to compare: `every` has passed, a clock was set back, or the ledger proves nothing."""
    last = ledger.facts.get(UNPROVEN_AT if ledger.bookings.fresh else COMPARED_AT)
    return last is None or not timedelta() <= now - last < every


def is_unproven(ledger: BookingLedger) -> bool:
    """Whether the ledger alone does not tell that something is not booked.

    It is fresh, or what it was compared with first proved nothing.
    """
    return ledger.bookings.fresh or ledger.facts.get(UNPROVEN_AT) is not None


def last_compared(ledger: BookingLedger, now: datetime) -> datetime:
    """When ledger and API were compared last; `now` if never, or if that lies ahead."""
    return min(ledger.facts.get(COMPARED_AT) or now, now)


def listed(
    api: Api,
    bookings: Sequence[Booking],
    meetings: Sequence[Meeting],
    now: datetime,
    until: datetime,
) -> Listing:
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
    listing = api.find(min(starts) - MARGIN, max(ends) + MARGIN)
    known_ids = {b.reservation_id for b in bookings if b.reservation_id}
    return completed(listing, [m.spec for m in meetings], api, known_ids)


def completed(
    listing: Listing, wanted: Iterable[ReservationSpec], api: Api, known_ids: Collection[str]
) -> Listing:
    """A list with the marks that it leaves out, as far as they may be those of something wanted.

    What stands in the place of something wanted is asked for first, and at most `MOST_ASKED` in all.
    """
    specs = list(wanted)
    creators, places = {s.creator for s in specs}, {(s.creator, s.start, s.end) for s in specs}
    lean = [
        r
        for r in listing
        if "description" in r.unsaid
        and r.live
        and r.reservation_id not in known_ids
        and r.creator in creators
    ]
    lean.sort(key=lambda r: (r.creator, r.start, r.end) not in places)
    asked = {r.reservation_id: api.get(r.reservation_id) for r in lean[:MOST_ASKED]}
    whole = tuple(asked.get(r.reservation_id) or r for r in listing)
    return replace(listing, reservations=whole)


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
    api: Questions,
    ledger: BookingLedger,
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
    known = ledger.bookings.current()
    listing = listed(api, known, meetings, now, Window.ahead(now, settings.horizon).reach)
    found = {r.reservation_id: r for r in listing}
    if forget_vanished(known, found, ledger, now):
        known = ledger.bookings.current()
    compared = [b for b in known if b.state in HOLDING_STATES and b.spec.end > now]
    otherwise = [b for b in compared if not _as_expected(b, found.get(b.reservation_id or ""))]
    changed = {b.row for b in otherwise}
    lasting = (b.row for b in known if b.row not in changed and not b.drifted)
    forget_repairs(ledger.facts, lasting, {b.row for b in known})
    absent = [b for b in otherwise if seems_gone(b, found.get(b.reservation_id or ""), now)]
    sifted = Sieve(api, settings, listing, len(compared)).sift(absent)
    gone = len(sifted.vanished) + sum(b.is_vanished for b in absent)
    hold_vanished(sifted.vanished, gone, len(compared), ledger, now)
    unseen = {b.row for b in absent} - sifted.told.keys()
    for booking in otherwise:
        if booking.row in unseen:
            continue  # it vanished, or the list proves nothing and others are asked for first
        there = (
            sifted.told[booking.row] if booking.row in sifted.told else api.get(booking.reservation_id or "")
        )
        _take_over(booking, there, api, applier, now)
    if otherwise:
        known = ledger.bookings.current()
    # That marks of what is over were given is known, if they are of reservations that are recorded.
    over = ledger.bookings.recorded({r.reservation_id for r in listing if r.is_over(now) or not r.live})
    in_question = tuple(r for r in listing if r.reservation_id not in over)
    recognised = adoptable(in_question, known, meetings, settings, now)
    # Where nothing was cancelled, there is nothing that a list might still show.
    certain = not listing.doubt and not any(b.reservation_id for b in known)
    adopted = [b for b in recognised.adopted if certain or _still_live(api, b.reservation_id)]
    applier.count["adopted"] += len(adopted)
    remember(adopted, recognised, ledger, now)
    left = [d.reservation for d in recognised.duplicates if not applier.drop_duplicate(d)]
    api.compared(recognised.strays, left)
    for stray in recognised.strays:
        log.warning("stray", reservation_id=stray.reservation_id)
    if listing.trouble and is_unproven(ledger):
        ledger.facts.set(UNPROVEN_AT, now)
    else:
        ledger.bookings.mark_adopted(now)
        if ledger.facts.get(UNPROVEN_AT) is not None:
            ledger.facts.set(UNPROVEN_AT, None)
    ledger.facts.set(COMPARED_AT, now)


def look_for(
    meetings: Sequence[Meeting],
    *,
    api: Api,
    ledger: BookingLedger,
    settings: Settings,
    applier: Applier,
    now: datetime,
) -> tuple[bool, frozenset[OccurrenceKey]]:
    """Take over what is booked of these meetings and not known; raises `ApiUnusable`.

    It asks for the time around them alone, and compares with the bookings that may be of the same meetings.
    Returns whether anything was taken over, and the meetings that may be booked unseen.
    """
    listing = Listing.joined(api.find(start, end) for start, end in _around(meetings))
    listing = completed(listing, [m.spec for m in meetings], api, ())
    marks = {str(mark) for r in listing if (mark := r.mark)}
    known = ledger.bookings.concerned({m.key.uid for m in meetings}, marks)
    recognised = adoptable(listing.reservations, known, meetings, settings, now)
    adopted = [b for b in recognised.adopted if _still_live(api, b.reservation_id)]
    applier.count["adopted"] += len(adopted)
    remember(adopted, recognised, ledger, now)
    return bool(adopted), unproven(meetings, listing, settings)


def unproven(meetings: Iterable[Meeting], listing: Listing, settings: Settings) -> frozenset[OccurrenceKey]:
    """The meetings that may be booked although a list does not show them."""
    if not listing.trouble and not any("description" in r.unsaid for r in listing):
        return frozenset()
    generations = range(GENERATIONS)
    return frozenset(
        meeting.key
        for meeting in meetings
        if not all(
            listing.lacks(str(Mark.of(settings.instance, meeting.key, g)), meeting.spec.creator)
            for g in generations
        )
    )


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


def remember(
    adopted: Sequence[Booking], recognised: Recognised, ledger: BookingLedger, now: datetime
) -> None:
    """Record what is taken over, and which generations were given to any of what was recognised."""
    if adopted:
        ledger.bookings.record(*adopted, at=now, what="adopted", detail="found by its mark")
        log.info("adopted", bookings=len(adopted))
    free = ledger.bookings.next_generations(recognised.generations)
    for key, generation in recognised.generations.items():
        if generation >= free[key]:
            ledger.bookings.raise_generation(key, generation)


def _take_over(
    booking: Booking, there: Reservation | None, api: Questions, applier: Applier, now: datetime
) -> None:
    """Record what the API says of one reservation otherwise than the ledger, if it makes sense."""
    assert booking.reservation_id is not None  # these states have one
    trouble = (there.oddity or there.gaps) if there is not None and there.live else ""
    if trouble:
        api.note(booking.reservation_id, trouble)
    booking = applier.leave_unclear(booking, trouble)
    if there is not None and there.live and there.oddity:
        return
    if there is not None and booking.is_contradicted_by(there):
        applier.lose(booking)
        return
    if there is None or there.status is not _status_of(booking) or ended_early(booking, there, now):
        booking = applier.take_over(booking, there)
        log.info("changed in the API", reservation_id=booking.reservation_id, state=booking.state.value)
    if there is not None and booking.state in HOLDING_STATES and not _same_content(booking, there):
        applier.take_change(booking, there)


def _as_expected(booking: Booking, there: Reservation | None) -> bool:
    return (
        there is not None
        and booking.reason is not Reason.UNCLEAR_IN_TUYA
        and not there.gaps
        and there.status is _status_of(booking)
        and _same_content(booking, there)
    )


def _status_of(booking: Booking) -> ReservationStatus:
    approval = booking.state is BookingState.APPROVAL
    return ReservationStatus.AWAITING_APPROVAL if approval else ReservationStatus.NORMAL


def _same_content(booking: Booking, there: Reservation) -> bool:
    shown = there.onto(booking.spec)
    return shown is not None and (shown == booking.spec or shown.fingerprint == booking.echo)


def _still_live(api: Api, reservation_id: str | None) -> bool:
    there = api.get(reservation_id or "")
    return there is not None and there.live
