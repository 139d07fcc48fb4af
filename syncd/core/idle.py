"""Which UIDs a plan leaves at rest: planning them again says the same until a known moment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from syncd.core.booking import Booking
from syncd.core.changes import Change, Create, Skip, Update, Wait
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
    bookings: Sequence[Booking],
    seen: Seen,
    policy: Policy,
    now: datetime,
) -> tuple[dict[str, Rest], dict[str, Rest]]:
    """Return the UIDs that need no look for a while, and those that need none once they are written.

    Each comes with how it rests.
    `bookings` are the current ones after the plan, and `seen` has all occurrences with what was made of them.
    A UID rests if nothing is done or noted about it, and each of its bookings has its occurrence in all the
    sources that ever showed it. It will rest if nothing is to be done but to book and to change meetings of
    which there is one copy: another one may still say what a person has to judge.
    """
    found: defaultdict[str, _Gathered] = defaultdict(_Gathered)
    for booking in bookings:
        found[booking.key.uid].add_booking(booking)
    for change in draft.changes:
        if isinstance(change, Skip):
            found[change.key.uid].skips[change.reason] += 1
    for key, (witnessed, result) in seen.items():
        moments = found[key.uid].moments
        moments += _turns(witnessed.occurrence, result, policy)
        moments += witnessed.ends
    written: set[str] = set()
    for change in draft.changes:
        if isinstance(change, Create | Update):
            written.add(change.key.uid)
            found[change.key.uid].is_booked = True
    several = {key.uid for key, (witnessed, _) in seen.items() if witnessed.ends}
    restless = _restless(draft, bookings, seen)
    resting: dict[str, Rest] = {}
    once_written: dict[str, Rest] = {}
    for uid, gathered in found.items():
        if uid in restless:
            continue
        if uid not in written:
            resting[uid] = gathered.rest(now)
        elif uid not in several:
            once_written[uid] = gathered.rest(now)
    return resting, once_written


def _restless(draft: Draft, bookings: Iterable[Booking], seen: Seen) -> set[str]:
    """Return the UIDs about which something is done or noted beside writing, or open."""
    restless: set[str] = set()
    for booking in chain(draft.amended.values(), draft.closed, draft.noted):
        restless.add(booking.key.uid)
    for change in draft.changes:
        if not _is_written_only(change) and not _lasts(change, seen):
            restless.add(change.key.uid)
    for keep in draft.kept:
        if not keep.unchanged and keep.reason is not None:
            restless.add(keep.booking.key.uid)
    for booking in bookings:
        if _needs_a_look(booking) or not _is_wanted(booking, seen):
            restless.add(booking.key.uid)
    return restless


def _is_written_only(change: Change) -> bool:
    """Tell whether nothing is left to do for a change once it is made; attachments may be published later."""
    if not isinstance(change, Create | Update):
        return False
    return not change.meeting.publications


def _lasts(change: Change, seen: Seen) -> bool:
    """Tell whether a change is said again and again until its time comes, and needs nobody."""
    if isinstance(change, Wait):
        return change.reason is Reason.TOO_EARLY
    if not isinstance(change, Skip) or change.key not in seen:
        return False
    _, mapped = seen[change.key]
    return isinstance(mapped, Skipped) and not change.needs_person


def _needs_a_look(booking: Booking) -> bool:
    """Tell whether something about a booking is open, whatever the calendars say of it."""
    return booking.may_still_change or booking.is_vanished


def _is_wanted(booking: Booking, seen: Seen) -> bool:
    """Tell whether the occurrence of a booking asks for it in all the sources that showed it before."""
    known = seen.get(booking.key)
    if known is None:
        return False
    witnessed, mapped = known
    if witnessed.occurrence.cancelled or isinstance(mapped, Skipped):
        return False
    # What a source means that showed it before and does not now depends on all that this source shows.
    return set(booking.witnesses) <= set(witnessed.witnesses)


def _turns(
    occurrence: Occurrence, result: Mapped, policy: Policy
) -> Iterable[datetime]:
    """Yield when an occurrence enters the horizon, can be booked, or is over."""
    horizon = policy.window.end - policy.window.start
    spans = [extent_of(occurrence)] if isinstance(result, Skipped) else result.specs
    for span in spans:
        # A moment later, because the horizon does not include its end.
        yield span.start - horizon + _A_MOMENT
        yield span.end
        if policy.advance is not None:
            yield span.start - policy.advance


@dataclass(slots=True)
class _Gathered:
    """What is known of one UID."""

    is_booked: bool = False
    skips: Counter[Reason] = field(default_factory=Counter)
    moments: list[datetime] = field(default_factory=list)

    def add_booking(self, booking: Booking) -> None:
        """Add a booking, which is over at the end of its meeting."""
        self.is_booked = True
        self.moments.append(booking.spec.end)

    def rest(self, now: datetime) -> Rest:
        """Return how it rests: until the first of its moments."""
        to_come = [moment for moment in self.moments if moment > now]
        until = min(to_come, default=None)
        is_empty = not self.is_booked and not self.skips
        return Rest(until, self.skips, is_empty)
