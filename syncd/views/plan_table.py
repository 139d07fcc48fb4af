"""A plan for people: its changes by source, and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from syncd.core.changes import Hold, Plan
from syncd.reconciler import Preview
from syncd.views.alike import MANY, few_of_each
from syncd.views.cycle_table import print_oddities, print_seen, print_source_reports
from syncd.views.plan_rows import (
    PlanRow,
    by_source,
    count_told,
    most_shown,
    rows_of,
    sameness,
)
from syncd.views.plan_words import PlanWords, held_on
from syncd.views.rows import Row, SheetColumn, print_rows
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet

_COLUMNS = (
    SheetColumn("", whole=True),
    SheetColumn("when", whole=True),
    SheetColumn("meeting", rest=True),
    SheetColumn("room"),
)


def print_plan(sheet: Sheet, preview: Preview, names: PlanWords) -> None:
    """Print what would be done, by source, in the order in which it would be done."""
    plan = preview.plan
    rows = rows_of(plan, preview.refusals, names)
    print_plan_rows(sheet, rows, plan)
    told = count_told(rows, plan.mode) or "Nothing to do"
    sheet.tell(
        f"{told}; {plan.unchanged} unchanged. "
        f"Mode {plan.mode.value}, plan {plan.checksum}; times in {sheet.zone_name}."
    )
    _print_approval(sheet, plan)
    print_seen(sheet, preview.seen)
    print_source_reports(sheet, preview.sources)
    print_oddities(sheet, preview.oddities)


def print_held(sheet: Sheet, preview: Preview, names: PlanWords) -> None:
    """Print what is held alone, with how much of each source, why, and what it rests on."""
    plan = preview.plan
    held = [
        change
        for change in plan.changes
        if isinstance(change, Hold) and change.approvable
    ]
    if not held:
        sheet.tell("Nothing is held, so there is nothing to approve.")
        return
    rows = [row for row in rows_of(plan, {}, names) if row.approvable]
    print_plan_rows(sheet, rows, plan)
    counts = Counter((hold.booking.source, hold.reason, held_on(hold)) for hold in held)
    for (source, reason, evidence), number in sorted(counts.items()):
        sheet.tell(f"Source {source}: {number} held, {reason.value}, {evidence.value}.")
    sheet.tell(f"Times in {sheet.zone_name}.")
    _print_approval(sheet, plan)


def print_plan_rows(sheet: Sheet, rows: Sequence[PlanRow], plan: Plan) -> None:
    """Print rows by source, and of those that say the same how many more there are."""
    for source, group in by_source(rows):
        heading = f"Source {source}: {count_told(group, plan.mode)}"
        sheet.say(words(heading, "bold"))
        shown, more = few_of_each(group, sameness, most_shown)
        print_rows(sheet, _COLUMNS, list(_lines(sheet, shown[:MANY])), headed=False)
        sheet.say_more(len(shown))
        for (action, reason, detail), count in more:
            sheet.tell(
                f"… and {count} more to {action}: {detail} [{reason}]", style="dim"
            )
        sheet.say()


def _lines(sheet: Sheet, rows: Sequence[PlanRow]) -> Iterator[Row]:
    """Yield the lines of rows; what is said of several in a row stands once, beneath the last of them."""
    for run in _runs(rows):
        for row in run[:-1]:
            yield _line(sheet, row, ())
        last = run[-1]
        told = last.sentences
        if len(run) > 1:
            told = tuple(f"These {len(run)}: {sentence}" for sentence in told)
        yield _line(sheet, last, told)


def _runs(rows: Sequence[PlanRow]) -> Iterator[list[PlanRow]]:
    """Yield rows that follow each other and of which the same is said; one by one where nothing is."""
    run: list[PlanRow] = []
    for row in rows:
        is_alike = run and row.sentences and _said_of(row) == _said_of(run[-1])
        if run and not is_alike:
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _said_of(row: PlanRow) -> tuple[str, tuple[str, ...]]:
    return row.action, row.sentences


def _line(sheet: Sheet, row: PlanRow, sentences: tuple[str, ...]) -> Row:
    style = STYLES.get(row.action, "")
    cells = (
        words(row.action, style=style),
        sheet.span(row.start, row.end),
        words(row.topic or row.uid),
        sheet.room(row.room_id),
    )
    return Row(cells, sentences)


def _print_approval(sheet: Sheet, plan: Plan) -> None:
    if plan.held_checksum is None:
        return
    number = len(plan.held)
    noun = "cancellation is" if number == 1 else "cancellations are"
    sheet.tell(f"{number} {noun} held until a person approves them:", style="magenta")
    sheet.say(words(f"  syncd approve {plan.held_checksum}"), soft_wrap=True)
