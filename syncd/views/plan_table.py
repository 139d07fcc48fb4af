"""A plan for people: its changes in order, and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.reasons import Reason
from syncd.reconciler import Preview
from syncd.views.cycle_table import print_oddities, print_seen, print_source_reports
from syncd.views.screen import words
from syncd.views.sheet import FEW, MANY, STYLES, Sheet, few_of_each, plain_table

_ACTIONS = ("create", "update", "cancel", "hold", "wait", "skip")


def print_plan(sheet: Sheet, preview: Preview) -> None:
    """Print what would be done, in the order in which it would be done."""
    plan = preview.plan
    if plan.changes:
        _print_changes(sheet, plan.changes)
    counts = Counter(_action(change) for change in plan.changes)
    said = ", ".join(
        f"{counts[action]} to {action}" for action in _ACTIONS if counts[action]
    )
    sheet.say(
        f"{said or 'Nothing to do'}; {plan.unchanged} unchanged. "
        f"Mode {plan.mode.value}, plan {plan.checksum}."
    )
    if plan.held_checksum:
        sheet.say(
            f"{len(plan.held)} cancellations are held until a person approves them: "
            f"syncd approve {plan.held_checksum}",
            style="magenta",
        )
    print_seen(sheet, preview.seen)
    print_source_reports(sheet, preview.sources)
    print_oddities(sheet, preview.oddities)


def _print_changes(sheet: Sheet, changes: Sequence[Change]) -> None:
    """Print a table of changes, and of those that say the same how many more there are."""
    table = plain_table("", "when", "room", "meeting", "why")
    shown, alike = few_of_each(changes, _sameness, _shown_of)
    for change in shown[:MANY]:
        action = _action(change)
        table.add_row(
            words(action, style=STYLES[action]),
            sheet.span(*_times(change)),
            sheet.room(change.room_id),
            words(_name(change)),
            words(_why(change)),
        )
    sheet.say(table)
    sheet.say_more(len(shown))
    for (action, reason, detail), count in alike:
        sheet.say(f"… and {count} more to {action}, {reason}: {detail}", style="dim")


# A change, as a row shows it


def _action(change: Change) -> str:
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


def _times(change: Change) -> tuple[datetime | None, datetime | None]:
    span = change.span if isinstance(change, Skip) else change.spec
    if span is None:
        return None, None
    return span.start, span.end


def _name(change: Change) -> str:
    """Return the topic of a change, or its UID."""
    topic = change.topic if isinstance(change, Skip) else change.spec.topic
    return topic or change.key.uid


def _why(change: Change) -> str:
    if isinstance(change, Update):
        return f"{change.reason.value}: {', '.join(change.changed)}"
    if isinstance(change, Create) and change.reason is Reason.NEW:
        notes = "; ".join(note.detail for note in change.meeting.notes)
        return notes or change.reason.value
    if not change.detail:
        return change.reason.value
    return f"{change.reason.value}: {change.detail}"


def _sameness(change: Change) -> tuple[str, str, str] | None:
    """Return what makes rows of a plan say the same; None for what a person wants to see one by one."""
    match change:
        case Wait(reason=Reason.TOO_EARLY):
            return ("wait", change.reason.value, change.detail)
        case Hold(reason=Reason.VANISHED):
            return ("hold", change.reason.value, change.detail)
        case Skip(needs_person=False):
            return ("skip", change.reason.value, change.detail)
        case Skip(alike=alike) if alike:
            return ("skip", change.reason.value, alike)
        case _:
            return None


def _shown_of(sameness: tuple[str, str, str]) -> int:
    """Return how many rows of a plan are shown that say the same: of a fault in many events one."""
    return 1 if sameness[1] == Reason.QUARANTINED else FEW
