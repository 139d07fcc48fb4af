"""Whether a booking whose meeting is not in the calendars may be cancelled, and on what evidence.

"Could not read it" must never turn into "it is gone".
So every cancel rests on evidence of a grade: *told* by the calendar itself, *shown* by complete readings,
*inferred* from something larger (then a person decides), or unknown (then nothing happens).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from syncd.core.occurrence import Presence, Reading
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import Booking


@dataclass(frozen=True, slots=True)
class Absence:
    """What the readings say about a booking without its occurrence; no evidence means: leave it alone.

    `counted_in` identifies the complete readings that lack the event, while more of them are needed.
    """

    evidence: Evidence | None
    reason: Reason
    detail: str
    counted_in: str = ""


@dataclass(frozen=True, slots=True)
class Safety:
    """When a cancel may happen without a person (configuration: `[safety]`, `sources.confirmations`).

    `confirmations` by source; `cancelled_recently` counts the *shown* cancels by source within the window.
    """

    cancel_share: float = 0.3
    cancel_floor: int = 10
    empty_hold: int = 3
    confirmations: Mapping[str, int] = field(default_factory=dict)
    cancelled_recently: Mapping[str, int] = field(default_factory=dict)

    def allowed(self, live: int) -> int:
        """How many *shown* cancels a source with so many live future bookings may make in the window."""
        # Rounded first, because 0.29 * 100 is 28.999999999999996.
        return max(self.cancel_floor, int(round(self.cancel_share * live, 6)))


def absence(
    booking: Booking,
    readings: Mapping[str, Reading],
    configured: Iterable[str],
    safety: Safety,
    live_of_witness: Mapping[str, int],
) -> Absence:
    """Judge a booking of which no reading holds the occurrence.

    Every source that showed the meeting is asked; one that cannot answer is enough to keep it.
    `live_of_witness` counts the live bookings that each source shows.
    """
    known = set(configured)
    witnesses = [name for name in booking.witnesses if name in known]
    if not witnesses:
        return Absence(
            Evidence.INFERRED,
            Reason.SOURCE_REMOVED,
            f"The source {booking.source!r} is no longer in the configuration.",
        )
    answers = [answer(booking, name, readings.get(name), safety, live_of_witness) for name in witnesses]
    for grade in (None, Evidence.INFERRED):
        weakest = next((a for a in answers if a.evidence is grade), None)
        if weakest is not None:
            return weakest
    shown = next((a for a in answers if a.evidence is Evidence.SHOWN), None)
    if shown is None:
        return answers[0]
    return _confirmed(booking, shown, [readings[name] for name in witnesses], safety)


def answer(
    booking: Booking,
    name: str,
    reading: Reading | None,
    safety: Safety,
    live_of_witness: Mapping[str, int],
) -> Absence:
    """What one source proves that does not show a booking's occurrence; *shown* is still to be confirmed."""
    if reading is None or not reading.readable:
        return Absence(None, Reason.UNCONFIRMED, f"The source {name!r} was not read.")
    presence = reading.presence.get(booking.key.uid)
    if presence is Presence.QUARANTINED:
        return Absence(None, Reason.QUARANTINED, "The event is in the calendar but cannot be understood.")
    if not reading.complete:
        # What is missing may tell otherwise, also of a series that is there: of two exports the newer.
        return Absence(None, Reason.UNCONFIRMED, f"The source {name!r} was not read completely.")
    recurs = booking.key.recurrence_id is not None
    if presence is Presence.SERIES and recurs and booking.spec.start >= reading.window.reach:
        return Absence(None, Reason.UNCONFIRMED, "The series was not read so far ahead.")
    if presence is Presence.SERIES:
        detail = "The calendar still has the event, without this date."
        return Absence(Evidence.TOLD, Reason.OCCURRENCE_REMOVED, detail)
    live = live_of_witness.get(name, 0)
    # Once held it stays so: meetings that end by themselves must not talk the others out of it.
    held_before = booking.reason is Reason.SOURCE_EMPTY
    if reading.documents == 0 or (reading.events == 0 and (held_before or live > safety.empty_hold)):
        detail = f"The source {name!r} has no event at all, but {live} live bookings."
        return Absence(Evidence.INFERRED, Reason.SOURCE_EMPTY, detail)
    detail = f"The event is gone from {name!r}, the others are there."
    return Absence(Evidence.SHOWN, Reason.EVENT_GONE, detail)


def _confirmed(booking: Booking, shown: Absence, without: Sequence[Reading], safety: Safety) -> Absence:
    """The same once enough readings have shown it; until then nothing follows.

    A round counts when every source that showed the event was read anew since the last one.
    """
    needed = max(safety.confirmations.get(reading.source, 1) for reading in without)
    counted = booking.missed_in.split()
    anew = all(reading.identity not in counted for reading in without)
    seen = booking.missed + anew
    if seen >= needed:
        return shown
    detail = f"The event is missing in {seen} of the {needed} complete readings that are needed."
    identities = " ".join(sorted({reading.identity for reading in without}))
    return Absence(None, Reason.UNCONFIRMED, detail, identities if anew else booking.missed_in)


def within_budget(shown: Mapping[str, int], live_of_source: Mapping[str, int], safety: Safety) -> set[str]:
    """The sources whose *shown* cancels of this cycle may all be made."""
    return {
        name
        for name, count in shown.items()
        if count + safety.cancelled_recently.get(name, 0)
        <= safety.allowed(live_of_source.get(name, 0) + safety.cancelled_recently.get(name, 0))
    }


def held_checksum(held: Iterable[Booking]) -> str | None:
    """Identity of a set of held cancellations, 12 hexadecimal digits; None for the empty set."""
    rows = sorted([b.key.scope, b.key.uid, b.key.recurrence_id or "", b.reservation_id or ""] for b in held)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12] if rows else None
