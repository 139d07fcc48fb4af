"""Which UIDs a plan leaves at rest: planning them again says the same until a known moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd.core.booking import Booking
from syncd.core.changes import Change, Skip, Wait, uid_of
from syncd.core.draft import Draft
from syncd.core.mapper import Mapped, Skipped
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Occurrence, OccurrenceKey, extent_of
from syncd.core.policy import Policy
from syncd.core.reasons import Reason
from syncd.core.totals import Rest

Seen = Mapping[OccurrenceKey, tuple[Witnessed, Mapped]]

_A_MOMENT = timedelta(milliseconds=1)


def at_rest(
    draft: Draft,
    wishes: Sequence[Booking],
    bookings: Sequence[Booking],
    seen: Seen,
    policy: Policy,
    now: datetime,
) -> dict[str, Rest]:
    """Return the UIDs that need no look for a while, each with how it rests.

    `bookings` are the current ones after the plan, `wishes` are new records.
    A UID rests if nothing is done or noted about it, and each of its bookings has its occurrence in all the
    sources that ever showed it.
    """
    noted = (*draft.amended.values(), *draft.closed, *wishes)
    restless = {booking.key.uid for booking in noted}
    restless |= {uid_of(change) for change in draft.changes if not _lasts(change, seen)}
    restless |= {
        b.key.uid for b in bookings if _needs_a_look(b) or not _is_wanted(b, seen)
    }
    found: defaultdict[str, _Gathered] = defaultdict(_Gathered)
    for booking in bookings:
        found[booking.key.uid].add_booking(booking)
    for change in draft.changes:
        if isinstance(change, Skip):
            found[uid_of(change)].skipped += 1
    for key, (witnessed, result) in seen.items():
        found[key.uid].moments += (
            *_turns(witnessed.occurrence, result, policy),
            *witnessed.ends,
        )
    return {
        uid: gathered.rest(now)
        for uid, gathered in found.items()
        if uid not in restless
    }


def _lasts(change: Change, seen: Seen) -> bool:
    """Tell whether a change is said again and again until its time comes, and needs nobody."""
    match change:
        case Wait(reason=reason):
            return reason is Reason.TOO_EARLY
        case Skip(key=key, needs_person=needs_person):
            return (
                key in seen and isinstance(seen[key][1], Skipped) and not needs_person
            )
        case _:
            return False


def _needs_a_look(booking: Booking) -> bool:
    """Tell whether something about a booking is open, whatever the calendars say of it."""
    return booking.may_still_change or booking.is_vanished


def _is_wanted(booking: Booking, seen: Seen) -> bool:
    known = seen.get(booking.key)
    if known is None or known[0].occurrence.cancelled or isinstance(known[1], Skipped):
        return False
    # What a source means that showed it before and does not now depends on all that this source shows.
    return set(booking.witnesses) <= set(known[0].witnesses)


def _turns(
    occurrence: Occurrence, result: Mapped, policy: Policy
) -> Iterable[datetime]:
    """Yield when an occurrence enters the horizon, can be booked, or is over."""
    horizon = policy.window.end - policy.window.start
    spans = [extent_of(occurrence)] if isinstance(result, Skipped) else result.specs
    for span in spans:
        # A moment later, because the horizon does not include its end.
        yield from (span.start - horizon + _A_MOMENT, span.end)
        if policy.advance is not None:
            yield span.start - policy.advance


@dataclass(slots=True)
class _Gathered:
    """What is known of one UID."""

    is_booked: bool = False
    skipped: int = 0
    moments: list[datetime] = field(default_factory=list)

    def add_booking(self, booking: Booking) -> None:
        """Add a booking, which is over at the end of its meeting."""
        self.is_booked = True
        self.moments.append(booking.spec.end)

    def rest(self, now: datetime) -> Rest:
        """Return how it rests: until the first of its moments."""
        until = min((moment for moment in self.moments if moment > now), default=None)
        return Rest(until, self.skipped, is_empty=not (self.is_booked or self.skipped))
