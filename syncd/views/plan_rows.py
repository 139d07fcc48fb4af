"""A plan as rows that tables and documents render: which change, of what, why, grouped by source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.changes import (
    Cancel,
    Change,
    Create,
    Hold,
    Mode,
    Plan,
    Skip,
    Update,
    Wait,
)
from syncd.core.foreseen import Holder
from syncd.core.reasons import Reason
from syncd.views.alike import FEW
from syncd.views.catalogue import phrase
from syncd.views.plan_words import PlanWords
from syncd.views.state_words import THERE, StateWord, state_word_in_plan

ACTIONS = ("create", "update", "cancel", "hold", "wait", "skip")
REFUSED = "refused"
"""The action of a request that will be made, and refused because another meeting of ours holds the room."""

_LEFT = "left"


def _is(standing: StateWord) -> str:
    """Return what rows are counted as that stand so; an action may have the same name."""
    return f"is {standing.value}"


_TO_COME = {
    "create": "to create",
    "update": "to update",
    "cancel": "to cancel",
    REFUSED: "will be refused",
    _LEFT: "left as they are",
    **{_is(standing): phrase(f"state.{standing.value}") for standing in StateWord},
}
_WOULD = {
    **_TO_COME,
    "create": "would be created",
    "update": "would be updated",
    "cancel": "would be cancelled",
    REFUSED: "would be refused",
    _is(StateWord.HELD): "would be held",
    _is(StateWord.WAITING): "would wait",
    _is(StateWord.SKIPPED): "would be skipped",
}
_ORDER = tuple(_TO_COME)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One change as a person reads it; `sentences` say what differs and why.

    `standing` is how its meeting stands, None for what sends a request.
    `alike` is equal for rows that a list may tell once with a count; `approvable` is what waits for a person.
    """

    action: str
    source: str
    uid: str
    recurrence_id: str | None
    room_id: str | None
    topic: str
    start: datetime | None
    end: datetime | None
    reason: Reason
    sentences: tuple[str, ...]
    alike: str = ""
    approvable: bool = False
    standing: StateWord | None = None

    @property
    def counted_as(self) -> str:
        """Return what it is counted as: how its meeting stands, else what is done."""
        if self.standing is None:
            return self.action
        return _LEFT if self.standing in THERE else _is(self.standing)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Return what tells its meeting and room from others."""
        return self.source, self.uid, self.recurrence_id or "", self.room_id or ""


def rows_of(
    plan: Plan, refusals: Mapping[int, Holder], words: PlanWords
) -> tuple[PlanRow, ...]:
    """Return the rows of a plan in the order in which the changes are made; `refusals` are by index."""
    rows: list[PlanRow] = []
    for index, change in enumerate(plan.changes):
        holder = refusals.get(index)
        start, end = _times(change)
        row = PlanRow(
            action=action_of(change) if holder is None else REFUSED,
            source=deciding_source(change),
            uid=change.key.uid,
            recurrence_id=change.key.recurrence_id,
            room_id=change.room_id,
            topic=change.topic if isinstance(change, Skip) else change.spec.topic,
            start=start,
            end=end,
            reason=change.reason,
            sentences=words.sentences(change, holder),
            alike=_alike(change),
            approvable=isinstance(change, Hold) and change.approvable,
            standing=state_word_in_plan(change),
        )
        rows.append(row)
    return tuple(rows)


def action_of(change: Change) -> str:
    """Return the word of `plan --json` for what is done."""
    match change:
        case Create():
            return "create"
        case Update():
            return "update"
        case Cancel():
            return "cancel"
        case Hold():
            return "hold"
        case Wait():
            return "wait"
        case Skip():
            return "skip"


def deciding_source(change: Change) -> str:
    """Return the source that decides about a change."""
    match change:
        case Create(meeting=meeting) | Update(meeting=meeting) | Wait(meeting=meeting):
            return meeting.occurrence.source
        case Cancel(booking=booking) | Hold(booking=booking):
            return booking.source
        case Skip(source=source):
            return source


def _times(change: Change) -> tuple[datetime | None, datetime | None]:
    span = change.span if isinstance(change, Skip) else change.spec
    if span is None:
        return None, None
    return span.start, span.end


def _alike(change: Change) -> str:
    """Return what makes rows say the same; empty for what a person wants to see one by one."""
    match change:
        case Wait(reason=Reason.TOO_EARLY) | Hold(reason=Reason.VANISHED):
            return change.detail or change.reason.value
        case Skip(needs_person=False):
            return change.detail or change.reason.value
        case Skip(alike=alike):
            return alike
        case _:
            return ""


def by_source(rows: Iterable[PlanRow]) -> Iterator[tuple[str, Sequence[PlanRow]]]:
    """Yield each source with its rows, by name; the rows stay in their order."""
    groups: dict[str, list[PlanRow]] = {}
    for row in rows:
        groups.setdefault(row.source, []).append(row)
    yield from sorted(groups.items())


def count_told(rows: Iterable[PlanRow], mode: Mode) -> str:
    """Return how many changes there are of each kind, in words; in mode observe what would be done."""
    counts = Counter(row.counted_as for row in rows)
    words = _WOULD if mode is Mode.OBSERVE else _TO_COME
    said = [f"{counts[action]} {words[action]}" for action in _ORDER if counts[action]]
    return ", ".join(said)


def sameness(row: PlanRow) -> tuple[str, str, str] | None:
    """Return what makes rows of a plan say the same; None for what a person wants to see one by one."""
    if not row.alike or row.action == REFUSED:
        return None
    return row.action, row.reason.value, row.alike


def most_shown(alike: tuple[str, str, str]) -> int:
    """Return how many rows of a plan are shown that say the same: of a fault in many events one."""
    return 1 if alike[1] == Reason.QUARANTINED else FEW
