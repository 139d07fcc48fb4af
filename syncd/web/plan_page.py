"""`/plan` and `/plan.md`: the plan of the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncd.core.occurrence import event_key
from syncd.views.alike import MANY, few_of_each
from syncd.views.catalogue import phrase
from syncd.views.documents import plan_document
from syncd.views.plan_markdown import plan_markdown
from syncd.views.plan_rows import (
    PlanRow,
    by_source,
    count_told,
    most_shown,
    rows_of,
    sameness,
)
from syncd.views.plan_words import PlanWords
from syncd.web.answers import File
from syncd.web.asked import Asked
from syncd.web.recalled import recalled_plan
from syncd.web.states import ShownState, shown

_STYLES = {
    "create": ("booked", "+"),
    "update": ("approval", "↻"),
    "cancel": ("refused", "−"),
    "refused": ("refused", "✕"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChange:
    """One change of a plan: its look (`state`), what it is about, and why; `event` is the key of its event."""

    state: ShownState
    row: PlanRow
    when: str
    room: str
    event: str | None


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """The changes of a source: how many of each kind, those that are shown, and what is said of the others."""

    source: str
    told: str
    changes: tuple[ShownChange, ...]
    more: tuple[str, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPage:
    """The plan of the moment; `told` counts its changes in words, `unread` says of sources why they are not.

    `approval` is the checksum under which the `held` cancellations are approved, None if there are none.
    """

    mode: str
    checksum: str
    unchanged: int
    told: str
    held: int
    approval: str | None
    groups: tuple[SourceChanges, ...]
    unread: tuple[str, ...]


def show_plan(asked: Asked) -> PlanPage:
    """Return what a cycle would do now, by what is known."""
    preview = recalled_plan(asked)
    words = PlanWords.of(asked.config)
    plan = preview.plan
    rows = rows_of(plan, preview.refusals, words)
    groups: list[SourceChanges] = []
    for source, group in by_source(rows):
        told = count_told(group, plan.mode)
        groups.append(_group(source, told, group, words))
    unread = [
        phrase("plan.unread", name=report.name, error=report.error)
        for report in preview.sources
        if report.error
    ]
    return PlanPage(
        mode=plan.mode.value,
        checksum=plan.checksum,
        unchanged=plan.unchanged,
        told=count_told(rows, plan.mode) or phrase("plan.nothing"),
        held=len(plan.held),
        approval=plan.held_checksum,
        groups=tuple(groups),
        unread=tuple(unread),
    )


def plan_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `plan --json`."""
    return plan_document(recalled_plan(asked), asked.config)


def plan_file(asked: Asked) -> File:
    """Return the plan as a document for a ticket."""
    names = PlanWords.of(asked.config)
    text = plan_markdown(recalled_plan(asked), names, asked.now)
    return File(body=text.encode(), media_type="text/markdown; charset=utf-8")


def _group(
    source: str, told: str, group: Sequence[PlanRow], words: PlanWords
) -> SourceChanges:
    told_whole, alike = few_of_each(group, sameness, most_shown)
    changes = tuple(_shown(row, words) for row in told_whole[:MANY])
    words_of = {sameness(row): _look(row).word for row in group}
    more: list[str] = []
    for kind, number in alike:
        _, reason, detail = kind
        word = words_of[kind]
        more.append(
            phrase("plan.more", n=number, action=word, detail=detail, reason=reason)
        )
    return SourceChanges(
        source, told, changes, tuple(more), left_out=max(0, len(told_whole) - MANY)
    )


def _look(row: PlanRow) -> ShownState:
    """Return how a row looks: by how its meeting stands, else by what is done."""
    if row.standing is not None:
        return shown(row.standing)
    style, glyph = _STYLES[row.action]
    return ShownState(style, glyph, phrase(f"plan.action.{row.action}"))


def _shown(row: PlanRow, words: PlanWords) -> ShownChange:
    when = ""
    if row.start is not None and row.end is not None:
        when = words.span(row.start, row.end)
    return ShownChange(
        state=_look(row),
        row=row,
        when=when,
        room="" if row.room_id is None else words.room(row.room_id),
        event=event_key(row.uid) if row.uid else None,
    )
