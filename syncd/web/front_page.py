"""`/`: the verdict, what needs a person, today, sources, last cycles, the plan of the moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.booking import BookingState
from syncd.ledger.operation import CycleRecord
from syncd.reconciler import CONCERNS, DONE
from syncd.views.catalogue import phrase
from syncd.views.choice import Day
from syncd.views.concerns import ConcernKind
from syncd.views.documents import status_document
from syncd.views.members import MemberStatus, role_of
from syncd.views.status import SourceStatus, Status
from syncd.web.asked import Asked
from syncd.web.commands import CommandWords
from syncd.web.concern_entries import ConcernList, concern_list
from syncd.web.day_page import DayPage, day_page, room_names, today_of
from syncd.web.verdict import FrontVerdict, front_verdict

_CYCLES = 10
_SOURCES = 30


@dataclass(frozen=True, slots=True)
class CycleRow:
    """A cycle, with what it did and found in words."""

    cycle: CycleRecord
    told: str


@dataclass(frozen=True, slots=True)
class MemberShown:
    """A daemon that shares the ledger, with what it does in words, and their style and sign."""

    name: str
    does: str
    style: str
    glyph: str
    reads: int
    beat_at: datetime
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPage:
    """All that the front page shows; `members` only of a ledger that several daemons share.

    `sources` are those in front, failing ones first, `other_sources` the rest of many.
    `last_complete` is when a cycle ended last that could use the API.
    """

    verdict: FrontVerdict
    status: Status
    needs: ConcernList
    today: DayPage
    members: tuple[MemberShown, ...]
    sources: tuple[SourceStatus, ...]
    other_sources: tuple[SourceStatus, ...]
    cycles: tuple[CycleRow, ...]
    last_complete: datetime | None
    plan: tuple[str, ...]


def show_front(asked: Asked) -> FrontPage:
    """Return what the front page shows."""
    status = asked.status()
    today = today_of(asked)
    cycles = asked.ledger.operation.cycles(_CYCLES)
    complete = [cycle.ended_at for cycle in cycles if cycle.outcome != "failed"]
    in_order = sorted(status.sources, key=lambda source: source.error is None)
    return FrontPage(
        verdict=front_verdict(status, asked.present),
        status=status,
        needs=concern_list(
            status.concerns,
            room_names(asked),
            status.held.cancellations,
            CommandWords(asked.now, asked.zone),
        ),
        today=day_page(asked, Day(today, asked.zone), links_from=today),
        members=tuple(map(_member_row, status.sharing.members)),
        sources=tuple(in_order[:_SOURCES]),
        other_sources=tuple(in_order[_SOURCES:]),
        cycles=tuple(CycleRow(cycle, _cycle_told(cycle)) for cycle in cycles),
        last_complete=max(complete, default=None),
        plan=tuple(_plan_told(status, asked.ledger.worklist.count_planned())),
    )


def front_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `status --json`."""
    return status_document(asked.status(asked.ledger.bookings.all()))


def _member_row(member: MemberStatus) -> MemberShown:
    style, glyph = "booked", "✓"
    if not member.lives:
        style, glyph = "over", "–"
    elif member.is_behind:
        style, glyph = "refused", "✕"
    return MemberShown(
        name=member.name,
        does=role_of(member),
        style=style,
        glyph=glyph,
        reads=member.reads,
        beat_at=member.beat_at,
        version=member.version,
    )


def _cycle_told(cycle: CycleRecord) -> str:
    """Return what a cycle did, and what it found that needs a person."""
    if cycle.error:
        return cycle.error
    told = _counted(cycle, (*DONE, *CONCERNS))
    return ", ".join(told) or phrase("cycles.nothing")


def _counted(cycle: CycleRecord, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        number = cycle.counts.get(name)
        if number:
            yield f"{number} {name.replace('_', ' ')}"


def _plan_told(status: Status, planned: int) -> Iterator[str]:
    """Yield what the ledger and the last cycle say of what is not written, each kind with its number."""
    found = [*status.concerns, *status.seen]
    refused = sum(concern.kind is ConcernKind.REFUSED for concern in found)
    counts: Mapping[str, int] = {}
    if status.last_cycle is not None:
        counts = status.last_cycle.counts
    numbers = {
        "create": counts.get("would_create", 0),
        "update": counts.get("would_update", 0),
        "cancel": counts.get("would_cancel", 0),
        "planned": planned,
        "waiting": status.counts.get(BookingState.WAITING, 0),
        "held": status.held.cancellations,
        "doubt": status.in_doubt,
        "refused": refused,
        "skipped": counts.get("skipped", 0),
    }
    for name, number in numbers.items():
        if number:
            yield phrase(f"plan.books.{name}", n=number)
