"""What a cycle, a preview or an examination comes to; the values that commands show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.apply.questions import Oddity
from syncd.core.acknowledged import Acknowledged
from syncd.core.booking import Booking
from syncd.core.by_content import ByContent
from syncd.core.changes import Change, Plan, Skip, Wait, Write
from syncd.core.foreseen import Holder
from syncd.core.occurrence import Defect, Reading, count_quarantined
from syncd.core.reasons import Reason
from syncd.core.reservation import Reservation
from syncd.core.resolve import is_refused
from syncd.core.totals import Totals
from syncd.intake import SourceExcerpt
from syncd.reconciler.inputs import Desired, PlanInputs

DONE = ("created", "updated", "cancelled", "adopted")
"""Counts of a cycle that say what it did."""

CONCERNS = ("held", "refused", "in_doubt", "vanished", "quarantined")
"""Counts of a cycle that say what a person has to look at."""


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one source in a cycle, as `once --json` names it; `notes` are sentences for people.

    `changed` counts the UIDs that say something new.
    `postponed` counts events that are read in the next cycle, because others took enough in this one.
    """

    name: str
    state: str
    events: int
    error: str | None
    changed: int = 0
    notes: tuple[str, ...] = ()
    postponed: int = 0

    @property
    def result(self) -> str:
        """Return how looking at it ended: unreadable (also in part), changed or unchanged."""
        if self.error is not None:
            return "unreadable"
        return "changed" if self.changed else "unchanged"


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan with what it rests on, and what persons have seen of it.

    `refusals` tell which of its changes will be refused, by their index, and who of us holds the room.
    """

    plan: Plan
    sources: tuple[SourceReport, ...]
    error: str | None = None
    oddities: tuple[Oddity, ...] = ()
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    refusals: Mapping[int, Holder] = field(default_factory=dict)

    @property
    def needs_person(self) -> bool:
        """Tell whether something in it is a matter for a person."""
        if self.error is not None:
            return True
        if self.oddities or self.plan.held:
            return True
        if _is_any_unread(self.sources):
            return True
        return any(map(self._needs_person_for, self.plan.changes))

    @property
    def seen(self) -> int:
        """Return how many rows would be a matter for a person, had nobody acknowledged them."""
        for_a_person = filter(_concerns_a_person, self.plan.changes)
        return sum(map(self._is_seen, for_a_person))

    def _needs_person_for(self, change: Change) -> bool:
        return _concerns_a_person(change) and not self._is_seen(change)

    def _is_seen(self, change: Change) -> bool:
        return self.acknowledged.of_change(change) is not None


@dataclass(frozen=True, slots=True)
class Examination:
    """What a cycle would decide at `now`, all that it would decide it from, and how one UID was read.

    `excerpts` are by source, of those that hold the UID.
    `unasked` says why the API could not be asked; the plan then rests on what is known without it.
    """

    now: datetime
    readings: Mapping[str, Reading]
    inputs: PlanInputs
    plan: Plan
    excerpts: Mapping[str, SourceExcerpt]
    unasked: str | None


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What a cycle did; `counts` has the names of `once --json`, `left` counts what it left to the next.

    `seen` are those of the counts that persons have acknowledged, by the same names.
    `waiting` are the changes of former plans that were not made yet when it planned.
    `clock` says that the clock of this machine is off, `clock_wrong` that nothing was written because of it.
    `unreachable`: it failed because the API gave no answer.
    """

    plan: Plan | None
    counts: Mapping[str, int]
    sources: tuple[SourceReport, ...]
    calls: Mapping[str, int]
    seconds: float
    error: str | None = None
    interrupted: bool = False
    left: int = 0
    waiting: tuple[Write, ...] = ()
    oddities: tuple[Oddity, ...] = ()
    clock: str | None = None
    clock_wrong: bool = False
    unreachable: bool = False
    seen: Mapping[str, int] = field(default_factory=dict)

    def unseen(self, name: str) -> int:
        """Return one of the counts without what persons have acknowledged of it."""
        return self.counts[name] - self.seen.get(name, 0)

    @property
    def outcome(self) -> str:
        """`ok`, `attention` (a person has to look) or `failed` (the API cannot be used)."""
        if self.error is not None:
            return "failed"
        if self.oddities or _is_any_unread(self.sources):
            return "attention"
        if any(map(self.unseen, CONCERNS)):
            return "attention"
        return "ok"


def _is_any_unread(sources: Iterable[SourceReport]) -> bool:
    """Tell whether a source could not be read, or not as a whole."""
    return any(source.error or source.postponed for source in sources)


def _concerns_a_person(change: Change) -> bool:
    match change:
        case Skip(needs_person=needed):
            return needed
        case Wait(reason=reason):
            return reason is Reason.ROOM_CONFLICT
        case _:
            return getattr(change, "reason", None) in {Reason.IN_DOUBT, Reason.VANISHED}


@dataclass(frozen=True, slots=True)
class Calendars:
    """What the calendars ask for at a moment, how each source stood, and what cannot be understood in it."""

    now: datetime
    desired: Desired
    sources: tuple[SourceReport, ...]
    defects: tuple[tuple[str, Defect], ...] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """Reservations with our mark that the ledger does not know: bookings for them, and what is left over.

    `strays` belong to no meeting of the calendars; `duplicates` counts those that an older one replaces.
    `hand_made` is what those without a mark are, if that was asked, and `taken_over` the bookings for them.
    `listed` counts all coming reservations that the API shows, `known` those of them that the ledger has.
    """

    adopted: tuple[Booking, ...]
    strays: tuple[Reservation, ...]
    duplicates: int
    unreadable: tuple[SourceReport, ...]
    oddities: tuple[Oddity, ...] = ()
    taken_over: tuple[Booking, ...] = ()
    hand_made: ByContent | None = None
    listed: int = 0
    known: int = 0

    @property
    def is_any_ambiguous(self) -> bool:
        """Tell whether nobody can tell which hand-made reservation is which meeting."""
        return self.hand_made is not None and bool(self.hand_made.ambiguous)


def counts_of(
    *,
    plan: Plan | None,
    at_rest: Totals | None,
    applied: Mapping[str, int],
    open_ones: Collection[Booking],
    waiting: int,
    quarantined: int,
    seen: Mapping[str, int],
) -> dict[str, int]:
    """Return the counts of a cycle, by their names in `once --json`; `seen` are those that were acknowledged.

    `open_ones` are the bookings that are not simply booked; `plan` and `at_rest` are None if none was made.
    """
    skipped = 0
    if plan is not None:
        skips = [change for change in plan.changes if isinstance(change, Skip)]
        skipped += sum(not skip.needs_person for skip in skips)
    if at_rest is not None:
        skipped += at_rest.skipped
    return {
        "created": applied["created"],
        "updated": applied["updated"],
        "cancelled": applied["cancelled"],
        "unchanged": plan.unchanged if plan else 0,
        "adopted": applied["adopted"],
        "held": len(plan.held) if plan else 0,
        "refused": sum(map(is_refused, open_ones)),
        "in_doubt": sum(booking.in_doubt for booking in open_ones),
        "vanished": sum(booking.is_vanished for booking in open_ones),
        "quarantined": quarantined,
        "waiting": waiting,
        "skipped": skipped,
        "acknowledged": sum(seen.values()),
    }


def seen_of(
    acknowledged: Acknowledged, open_ones: Iterable[Booking], defects: Iterable[Defect]
) -> dict[str, int]:
    """Return how many refused bookings and quarantined events persons have acknowledged."""
    bookings = filter(acknowledged.of_booking, open_ones)
    return {
        "refused": len(list(bookings)),
        "quarantined": count_quarantined(filter(acknowledged.of_defect, defects)),
    }


def noted(
    reports: Iterable[SourceReport], decided: Plan | None
) -> tuple[SourceReport, ...]:
    """Return the reports with what the plan found out about their sources."""
    said: dict[str, str] = {}
    if decided is not None:
        for renamed in decided.renamed:
            said[renamed.source] = str(renamed)
    with_notes: list[SourceReport] = []
    for report in reports:
        notes = list(report.notes)
        if report.name in said:
            notes.append(said[report.name])
        with_notes.append(replace(report, notes=tuple(notes)))
    return tuple(with_notes)
