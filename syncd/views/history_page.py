"""What was done, for people: a line for each step under its day, with why and who decided it beneath."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from syncd.ledger.history import Step
from syncd.views.rows import Row, SheetColumn, print_rows
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet
from syncd.views.step_words import decided_told, done_told, reason_told

_COLUMNS = (
    SheetColumn("time", whole=True),
    SheetColumn("what", whole=True),
    SheetColumn("when", whole=True),
    SheetColumn("meeting", rest=True),
)

_STYLE_OF = {
    "created": "create",
    "updated": "update",
    "cancelled": "cancel",
    "refused": "refused",
    "in doubt": "sending",
    "approved": "hold",
    "vanished": "refused",
}


def print_history(sheet: Sheet, steps: Sequence[Step], *, asked: str) -> None:
    """Print steps, oldest first; `asked` says which were asked for, as the end of a sentence."""
    if not steps:
        sheet.tell(f"Nothing was done{asked}.")
        return
    sheet.tell(f"What was done{asked}; times in {sheet.zone_name}.")
    print_rows(sheet, _COLUMNS, list(_rows(sheet, steps)), headed=False)
    counts = Counter(done_told(step) for step in steps)
    told = ", ".join(f"{number} {word}" for word, number in counts.most_common())
    sheet.say()
    sheet.tell(f"{told}.")


def _rows(sheet: Sheet, steps: Iterable[Step]) -> Iterator[Row]:
    day = ""
    for step in steps:
        at = step.entry.at.astimezone(sheet.zone)
        today = f"{at:%a %d %b %Y}"
        heading = None if today == day else words(today, "bold")
        day = today
        style = STYLES.get(_STYLE_OF.get(step.entry.what, ""), "")
        cells: tuple[Text, ...] = (
            words(f"{at:%H:%M:%S}"),
            words(done_told(step), style),
            sheet.span(step.start, step.end),
            words(step.topic or step.uid or ""),
        )
        yield Row(cells, (why_told(sheet, step),), heading=heading)


def why_told(sheet: Sheet, step: Step) -> str:
    """Return where a step was done, why, and who decided it, in sentences."""
    said: list[str] = []
    if step.room_id:
        said.append(f"{sheet.room(step.room_id).plain}.")
    said += reason_told(step)
    said.append(decided_told(step))
    return " ".join(said)
