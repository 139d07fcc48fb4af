"""A plan as a Markdown document, such as for a ticket; what strangers wrote has no effect in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from syncd.core.changes import Plan
from syncd.reconciler import Preview
from syncd.views.alike import MANY, few_of_each
from syncd.views.markdown import markdown_table, markdown_text
from syncd.views.moments import moment_told
from syncd.views.plan_rows import (
    PlanRow,
    by_source,
    count_told,
    most_shown,
    rows_of,
    sameness,
)
from syncd.views.plan_words import PlanWords

_HEADERS = ("change", "when", "meeting", "room", "why")


def plan_markdown(
    preview: Preview, names: PlanWords, now: datetime, *, only_held: bool = False
) -> str:
    """Return the document of a plan; `only_held`: of what waits for an approval."""
    return "\n".join(_lines(preview, names, now, only_held=only_held)) + "\n"


def _lines(
    preview: Preview, names: PlanWords, now: datetime, *, only_held: bool
) -> Iterator[str]:
    plan = preview.plan
    rows = rows_of(plan, preview.refusals, names)
    if only_held:
        rows = tuple(row for row in rows if row.approvable)
    yield "# What is held" if only_held else "# What syncd would do"
    yield ""
    told = count_told(rows, plan.mode) or "Nothing to do"
    yield (
        f"{told}; {plan.unchanged} unchanged. Mode {plan.mode.value}, plan `{plan.checksum}`, "
        f"as of {moment_told(now, names.zone)} (times in {names.zone})."
    )
    yield from _approval(plan)
    for source, group in by_source(rows):
        yield ""
        yield f"## Source {markdown_text(source)}: {count_told(group, plan.mode)}"
        yield ""
        yield from _table(group, names)
    for report in preview.sources:
        if report.error:
            yield ""
            yield f"Source {markdown_text(report.name)}: {markdown_text(report.error)}."


def _approval(plan: Plan) -> Iterator[str]:
    if plan.held_checksum is not None:
        yield ""
        yield f"Held until a person approves it: `syncd approve {plan.held_checksum}`"


def _table(group: Sequence[PlanRow], names: PlanWords) -> Iterator[str]:
    shown, more = few_of_each(group, sameness, most_shown)
    cells = [row_cells(row, names) for row in shown[:MANY]]
    yield from markdown_table(_HEADERS, cells)
    if len(shown) > MANY:
        yield ""
        yield f"… and {len(shown) - MANY} more; `syncd plan --json` has all."
    for (action, reason, detail), count in more:
        yield ""
        yield f"… and {count} more to {action}: {markdown_text(detail)} \\[{reason}\\]"


def row_cells(row: PlanRow, names: PlanWords) -> tuple[str, ...]:
    """Return the cells of a change as Markdown."""
    when = ""
    if row.start is not None and row.end is not None:
        when = names.span(row.start, row.end)
    why = "<br>".join(map(markdown_text, row.sentences))
    return (
        row.action,
        when,
        markdown_text(row.topic or row.uid),
        markdown_text(names.room(row.room_id)),
        why,
    )
