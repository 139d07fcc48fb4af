"""The history of bookings: a line for each step of each of them, with its reason and who decided it.

A step that an earlier version recorded has no reason and nobody who decided it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, select

from syncd.core.booking import Booking
from syncd.core.cause import SYNCD, Cause
from syncd.core.reasons import Evidence, Reason
from syncd.ledger import tables
from syncd.ledger.database import Database

_LINE = tables.history.c
_BOOKING = tables.bookings.c
_DECISION = tables.decisions.c

# What a request left behind that was answered since: its answer is a line of its own.
_REQUESTS = ("create", "update", "cancel")
_CLOSED = "closed"

_ADD = insert(tables.history).returning(_LINE.id)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step in the life of a booking.

    `source` is the one that decided about its meeting then; `by` is who decided the step: a person, syncd or
    Tuya. They are None in what an earlier version recorded.
    """

    at: datetime
    what: str
    detail: str
    source: str | None = None
    reason: Reason | None = None
    evidence: Evidence | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step with the meeting that it is about; what is not about one meeting has no UID.

    `room_id`, `start` and `end` are those that the booking had then; `document` held the copy that decided.
    """

    entry: HistoryEntry
    uid: str | None = None
    recurrence_id: str | None = None
    topic: str = ""
    room_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    reservation_id: str | None = None
    document: str = ""


@dataclass(frozen=True, slots=True)
class StepFilter:
    """Which steps are asked for: those from `since` until before `until`, and of these; None: any."""

    since: datetime | None = None
    until: datetime | None = None
    source: str | None = None
    uid: str | None = None
    room_id: str | None = None

    def includes(self, step: Step) -> bool:
        """Tell whether a step is asked for."""
        asked = (
            (self.source, step.entry.source),
            (self.uid, step.uid),
            (self.room_id, step.room_id),
        )
        is_of_these = all(wanted in (None, found) for wanted, found in asked)
        return is_of_these and self.includes_time(step.entry.at)

    def includes_time(self, at: datetime) -> bool:
        """Tell whether what was done at a moment is asked for, whatever it is about."""
        if self.since is not None and at < self.since:
            return False
        return self.until is None or at < self.until


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """What is recorded of all bookings that one transaction stores."""

    at: datetime
    what: str
    detail: str
    cause: Cause


ENTRIES: Select[Any] = select(
    _LINE.at,
    _LINE.what,
    _LINE.detail,
    _LINE.source,
    _LINE.reason,
    _LINE.evidence,
    _LINE.decided_by,
)
"""The query for what `entry_of` reads."""

_MEETING = (
    _BOOKING.uid,
    _BOOKING.recurrence_id,
    _BOOKING.content,
    _BOOKING.pending,
    _BOOKING.reservation_id,
)
_STEPS = ENTRIES.add_columns(
    *_MEETING,
    _LINE.document,
    func.coalesce(_LINE.room_id, _BOOKING.room_id).label("room"),
    _LINE.start_at,
    _LINE.end_at,
).where(_BOOKING.row == _LINE.booking)
_DECISIONS: Select[Any] = select(
    _DECISION.at,
    _DECISION.verdict,
    _DECISION.decided_by,
    _BOOKING.source,
    *_MEETING,
    _BOOKING.document,
    _BOOKING.room_id.label("room"),
).where(_BOOKING.row == _DECISION.booking)


def entry_of(row: Row[Any]) -> HistoryEntry:
    """Return the entry in a row; raises ValueError when it makes no sense."""
    return HistoryEntry(
        at=row.at,
        what=row.what,
        detail=row.detail,
        source=row.source,
        reason=None if row.reason is None else Reason(row.reason),
        evidence=None if row.evidence is None else Evidence(row.evidence),
        by=row.decided_by,
    )


def add_entries(
    connection: Connection, bookings: Iterable[Booking], step: HistoryStep
) -> int:
    """Add a line about the same step to the history of each of these bookings, which are stored.

    Returns the number of the last line; 0 if there is none.
    """
    latest = 0
    for booking in bookings:
        spec = booking.pending or booking.spec
        evidence = step.cause.evidence_of(booking)
        line = {
            "booking": booking.row,
            "at": step.at,
            "what": step.what,
            "detail": step.detail,
            "source": booking.source,
            "reason": step.cause.reason_of(booking),
            "evidence": evidence,
            "decided_by": _decided_by(connection, booking, evidence, step.cause),
            "document": booking.document,
            "room_id": booking.room_id or spec.room_id or "",
            "start_at": spec.start,
            "end_at": spec.end,
        }
        latest = int(connection.execute(_ADD, line).scalar_one())
    return latest


def _decided_by(
    connection: Connection, booking: Booking, evidence: Evidence | None, cause: Cause
) -> str:
    """Return who decided a step: as the cause says; of what was approved before, who approved it."""
    if cause.by is not None:
        return cause.by
    if evidence is not Evidence.APPROVED:
        return SYNCD
    approved = (
        select(_LINE.decided_by)
        .where(_LINE.booking == booking.row, _LINE.evidence == Evidence.APPROVED)
        .order_by(_LINE.id.desc())
        .limit(1)
    )
    return connection.execute(approved).scalar() or SYNCD


class History:
    """The store of what was done, over all bookings that are remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def steps(self, wanted: StepFilter, latest: int | None = None) -> tuple[Step, ...]:
        """Return the steps that are asked for, oldest first; of many only the `latest`.

        A request is no step of its own once it has an answer, and neither is the end of a record whose
        meeting is over.
        """
        query = _STEPS.where(*_conditions(wanted), _is_told())
        query = query.order_by(_LINE.at.desc(), _LINE.id.desc())
        if latest is not None:
            query = query.limit(latest)
        with self._database.making_sense("The history"):
            found = [_step_of(row) for row in self._database.rows(query)]
        return tuple(reversed(found))

    def decided(self) -> tuple[Step, ...]:
        """Return what persons decided about bookings and no cycle has carried out yet, oldest first."""
        query = _DECISIONS.order_by(_DECISION.at, _DECISION.booking)
        with self._database.making_sense("A decision"):
            return tuple(_decision_of(row) for row in self._database.rows(query))


def _conditions(wanted: StepFilter) -> list[ColumnElement[bool]]:
    """Return what a filter asks of a line, in such a way that the indexes of time, UID and booking serve."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(_LINE.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(_LINE.at < wanted.until)
    if wanted.uid is not None:
        conditions.append(_BOOKING.uid == wanted.uid)
    if wanted.source is not None:
        source = func.coalesce(_LINE.source, _BOOKING.source)
        conditions.append(source == wanted.source)
    if wanted.room_id is not None:
        room = func.coalesce(_LINE.room_id, _BOOKING.room_id)
        conditions.append(room == wanted.room_id)
    return conditions


def _is_told() -> ColumnElement[bool]:
    """Return the condition that a line is a step that is told of."""
    later = tables.history.alias("later")
    answered = (
        select(later.c.id)
        .where(later.c.booking == _LINE.booking, later.c.id > _LINE.id)
        .exists()
    )
    is_answered = _LINE.what.in_(_REQUESTS) & answered
    is_over = (_LINE.what == _CLOSED) & _LINE.reason.is_(None)
    return ~(is_answered | is_over)


def _step_of(row: Row[Any]) -> Step:
    step = _with_meeting(row, entry_of(row))
    if row.start_at is None:
        return step
    return replace(step, start=row.start_at, end=row.end_at)


def _decision_of(row: Row[Any]) -> Step:
    entry = HistoryEntry(
        at=row.at,
        what=f"resolve: {row.verdict}",
        detail="The next cycle carries it out.",
        source=row.source,
        by=row.decided_by,
    )
    return _with_meeting(row, entry)


def _with_meeting(row: Row[Any], entry: HistoryEntry) -> Step:
    """Return a step with what its booking says now."""
    content = json.loads(row.content or row.pending)
    return Step(
        entry=entry,
        uid=row.uid,
        recurrence_id=row.recurrence_id or None,
        topic=content["topic"],
        room_id=row.room or None,
        start=tables.instant_of(content["start_time"]),
        end=tables.instant_of(content["end_time"]),
        reservation_id=row.reservation_id,
        document=row.document or "",
    )


def merged(*several: Sequence[Step]) -> tuple[Step, ...]:
    """Return steps of several kinds in one order, oldest first."""
    steps = [step for some in several for step in some]
    return tuple(sorted(steps, key=_time))


def _time(step: Step) -> datetime:
    return step.entry.at
