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
from datetime import timedelta

from syncd.core.booking import Booking
from syncd.core.occurrence import Missing, Presence, Reading
from syncd.core.reasons import Evidence, Reason


@dataclass(frozen=True, slots=True)
class Absence:
    """What the readings say about a booking without its occurrence; no evidence means: leave it alone.

    While more complete readings without the event are needed, `missed` is how many there were and
    `counted_in` identifies the last of them.
    """

    evidence: Evidence | None
    reason: Reason
    detail: str
    missed: int = 0
    counted_in: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what a source shows among the live bookings is in its reading.

    `live` counts the live bookings that the source shows.
    `present` counts those of them whose event is in its reading.
    `returned` counts those of `present` that are held because none was (`source_empty`).
    """

    live: int = 0
    present: int = 0
    returned: int = 0


@dataclass(frozen=True, slots=True)
class Safety:
    """When a cancel may happen without a person (configuration: `[safety]`, `sources.confirmations`).

    `confirmations` by source; `cancelled_recently` counts the *shown* cancels by source within the window.
    `told_share` (0 to 1) and `told_floor` bound what one source may *tell* to give up in one cycle.
    `file_grace` is how long a file of a directory may be away before that means anything.
    """

    cancel_share: float = 0.3
    cancel_floor: int = 10
    empty_hold: int = 3
    told_share: float = 0.5
    told_floor: int = 20
    file_grace: timedelta = timedelta(minutes=1)
    confirmations: Mapping[str, int] = field(default_factory=dict)
    cancelled_recently: Mapping[str, int] = field(default_factory=dict)

    def allowed(self, live: int) -> int:
        """Return how many *shown* cancels a source with so many live bookings may make in the window."""
        # Rounded first, because 0.29 * 100 is 28.999999999999996.
        share = round(self.cancel_share * live, 6)
        return max(self.cancel_floor, int(share))

    def is_flood(self, told: int, live: int) -> bool:
        """Tell whether a source with so many live future bookings tells too many of them off at once.

        A calendar can say in one line that all of its meetings are off (METHOD:CANCEL in its head, a lost
        RRULE, an export without LOCATION), and each of them is evidence by itself. So both bounds have to
        be passed: a large share, which one real change hardly reaches, and a number that one cancelled
        series hardly has.
        """
        return exceeds(told, live, self.told_share, self.told_floor)


def exceeds(count: float, total: int, share: float, floor: int) -> bool:
    """Tell whether a count passes both bounds: a share (0 to 1) of a total, and a number."""
    # Rounded first, because 0.29 * 100 is 28.999999999999996.
    return count > floor and round(count, 6) > round(share * total, 6)


def absence(
    booking: Booking,
    readings: Mapping[str, Reading],
    configured: Iterable[str],
    safety: Safety,
    coverages: Mapping[str, Coverage],
) -> Absence:
    """Judge a booking of which no reading holds the occurrence.

    What the source says that decided about the meeting counts at once, if it *tells*. Else every source that
    showed the meeting is asked, and one that cannot answer is enough to keep it.
    `coverages` are those of the sources by name.
    """
    known = set(configured)
    witnesses = [name for name in booking.witnesses if name in known]
    if not witnesses:
        return Absence(
            Evidence.INFERRED,
            Reason.SOURCE_REMOVED,
            f"The source {booking.source!r} is no longer in the configuration.",
        )
    answers: dict[str, Absence] = {}
    for name in witnesses:
        reading = readings.get(name)
        coverage = coverages.get(name, Coverage())
        answers[name] = absence_in(booking, name, reading, safety, coverage)
    own = answers.get(booking.source)
    if own is not None and own.evidence is Evidence.TOLD:
        return own
    for grade in (None, Evidence.INFERRED):
        for answer in answers.values():
            if answer.evidence is grade:
                return answer
    for answer in answers.values():
        if answer.reason is Reason.EVENT_GONE:
            without = [readings[name] for name in witnesses]
            return confirmed(booking, answer, without, safety)
    return answers[witnesses[0]]


def absence_in(
    booking: Booking,
    name: str,
    reading: Reading | None,
    safety: Safety,
    coverage: Coverage,
) -> Absence:
    """Judge what one source proves that does not show a booking's occurrence.

    That the whole event is gone is still to be confirmed.
    """
    if reading is None or not reading.readable:
        return Absence(None, Reason.UNCONFIRMED, f"The source {name!r} was not read.")
    presence = reading.presence.get(booking.key.uid)
    if presence is Presence.QUARANTINED and not _is_whole(booking, reading):
        return Absence(
            None,
            Reason.QUARANTINED,
            "The event is in the calendar but cannot be understood.",
        )
    if not reading.complete:
        # What is missing may tell otherwise, also of a series that is there: of two exports the newer.
        return Absence(
            None, Reason.UNCONFIRMED, f"The source {name!r} was not read completely."
        )
    missing = reading.missing_with(booking.key.uid)
    awaited = awaited_file(missing, safety)
    if awaited is not None:
        # What is left, a series without its changed date for one, may be older than what the file said.
        detail = (
            f"The file {awaited.document} is gone from the directory of {name!r}; nothing follows before it "
            "has stayed away for safety.file_grace."
        )
        return Absence(None, Reason.FILE_MISSING, detail)
    # What is quarantined here is the copy of another document, so a whole series is there, too.
    if presence in {Presence.SERIES, Presence.QUARANTINED}:
        return _without_date(booking, name, reading)
    return _without_event(booking, name, reading, safety, coverage)


def _is_whole(booking: Booking, reading: Reading) -> bool:
    """Tell whether the document that decided about a booking has its series; another one is broken then."""
    if booking.key.recurrence_id is None:
        return False
    uid = booking.key.uid
    for occurrence in reading.occurrences:
        same_document = occurrence.document == booking.document
        if same_document and occurrence.key.uid == uid and not occurrence.explicit:
            return True
    return False


def _without_date(booking: Booking, name: str, reading: Reading) -> Absence:
    """Judge what it proves that a complete reading of a source has the event without this date."""
    if (
        booking.key.recurrence_id is not None
        and booking.spec.start >= reading.window.reach
    ):
        return Absence(
            None, Reason.UNCONFIRMED, "The series was not read so far ahead."
        )
    missing = reading.missing_with(booking.key.uid)
    with_others = _file_with_others(missing)
    if with_others is not None:
        return _gone_with_others(name, with_others)
    if booking.key.recurrence_id is None:
        # Nothing says that it is cancelled, so a calendar whose times all go wrong meets the budget.
        detail = "The event is in the calendar, but not at a coming time."
        return Absence(Evidence.SHOWN, Reason.NO_LONGER_BOOKABLE, detail)
    detail = "The calendar still has the event, without this date."
    # Where the date may have stood in a file that is gone, nobody said that it is off.
    evidence = Evidence.SHOWN if missing else Evidence.TOLD
    return Absence(evidence, Reason.OCCURRENCE_REMOVED, detail)


def _without_event(
    booking: Booking, name: str, reading: Reading, safety: Safety, coverage: Coverage
) -> Absence:
    """Judge what it proves that a complete reading of a source holds nothing of an event."""
    missing = reading.missing_with(booking.key.uid)
    with_others = _file_with_others(missing)
    # Without any of its neighbours it may be another calendar that was read.
    # Once held it stays so: neither meetings that end by themselves nor what that other calendar brings
    # talk it out of it.
    if booking.reason is Reason.SOURCE_EMPTY:
        alone = coverage.returned == 0
    else:
        alone = coverage.present == 0 and coverage.live > safety.empty_hold
    if alone or reading.documents == 0:
        what = (
            "no event at all"
            if reading.events == 0
            else "none of the events that were booked"
        )
        detail = f"The source {name!r} has {what}, but {coverage.live} live bookings."
        return Absence(Evidence.INFERRED, Reason.SOURCE_EMPTY, detail)
    if with_others is not None:
        return _gone_with_others(name, with_others)
    if booking.reason is Reason.FILE_GONE:
        # Held once, until approved.
        return Absence(Evidence.INFERRED, Reason.FILE_GONE, booking.detail)
    if missing:
        detail = f"Its file {missing[0].document} is gone from the directory of {name!r}, others are there."
    else:
        detail = f"The event is gone from {name!r}, the others are there."
    return Absence(Evidence.SHOWN, Reason.EVENT_GONE, detail)


def awaited_file(missing: Iterable[Missing], safety: Safety) -> Missing | None:
    """Return a file that is gone for so short a time that it may be written anew; None if there is none."""
    for file in missing:
        if file.is_awaited(safety.file_grace):
            return file
    return None


def _file_with_others(missing: Iterable[Missing]) -> Missing | None:
    """Return a missing file that held other events, too; None if there is none."""
    return next((file for file in missing if not file.alone), None)


def _gone_with_others(name: str, file: Missing) -> Absence:
    """Return what it proves that a file is gone which held other events, too: that a person has to look."""
    detail = f"The file {file.document}, which held it and other events, is gone from the directory of {name!r}."
    return Absence(Evidence.INFERRED, Reason.FILE_GONE, detail)


def confirmed(
    booking: Booking, shown: Absence, without: Sequence[Reading], safety: Safety
) -> Absence:
    """Return `shown` once enough readings lack the event; until then an absence from which nothing follows.

    A round counts when every source that has to lack the event was read anew since the last one, and the
    rounds of other sources do not count for these.
    """
    confirmations = safety.confirmations
    needed = max(confirmations.get(reading.source, 1) for reading in without)
    counted = _read_in(booking.missed_in)
    same_sources = counted.keys() == {reading.source for reading in without}
    seen = booking.missed if same_sources else 0
    anew = all(counted.get(reading.source) != reading.identity for reading in without)
    if anew:
        seen += 1
    if seen >= needed:
        return shown
    reason = Reason.UNCONFIRMED
    detail = f"The event is missing in {seen} of the {needed} complete readings that are needed."
    if not anew:
        return Absence(None, reason, detail, booking.missed, booking.missed_in)
    lines = [f"{reading.identity} {reading.source}" for reading in without]
    lines.sort()
    return Absence(None, reason, detail, seen, "\n".join(lines))


def counting_sources(booking: Booking) -> frozenset[str]:
    """Return the sources whose next complete readings count for the absence of a booking's event.

    They count even when they say the same as the last ones; empty if no absence is being counted.
    """
    if not booking.missed:
        return frozenset()
    return frozenset(_read_in(booking.missed_in))


def _read_in(counted_in: str) -> dict[str, str]:
    """Return the identity of the reading of each source that was counted last; names may have blanks."""
    identities: dict[str, str] = {}
    for line in counted_in.split("\n"):
        identity, _, source = line.partition(" ")
        identities[source] = identity
    return identities


def within_budget(
    shown: Mapping[str, int], live_of_source: Mapping[str, int], safety: Safety
) -> set[str]:
    """Return the sources whose *shown* cancels of this cycle may all be made."""
    affordable: set[str] = set()
    for name, count in shown.items():
        recently = safety.cancelled_recently.get(name, 0)
        live_before = live_of_source.get(name, 0) + recently
        if count + recently <= safety.allowed(live_before):
            affordable.add(name)
    return affordable


def held_checksum(held: Iterable[Booking]) -> str | None:
    """Return the identity of a set of held cancellations, 12 hexadecimal digits; None for the empty set."""
    rows: list[list[str]] = []
    for booking in held:
        key = booking.key
        reservation_id = booking.reservation_id or ""
        rows.append([key.scope, key.uid, key.recurrence_id or "", reservation_id])
    if not rows:
        return None
    text = json.dumps(sorted(rows))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
