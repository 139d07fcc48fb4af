"""What was done, for people: a line for each step under its day, with why and who decided it beneath."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from syncd.core.cause import SYNCD, TUYA
from syncd.core.reasons import MEANINGS, PROOFS, Evidence
from syncd.ledger.history import Step
from syncd.views.fields import fields_told
from syncd.views.rows import Row, SheetColumn, print_rows
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet

_COLUMNS = (
    SheetColumn("time", whole=True),
    SheetColumn("what", whole=True),
    SheetColumn("when", whole=True),
    SheetColumn("meeting", rest=True),
)

_WORDS = {
    "noted": "waits",
    "create": "sent to book",
    "created": "booked",
    "adopted": "taken over",
    "update": "sent to change",
    "updated": "changed",
    "cancel": "sent to cancel",
    "step aside: done": "left its room",
    "step back: done": "back in its room",
    "approval": "to be approved",
    "released": "ended in Tuya",
    "vanished": "gone from Tuya",
    "closed": "given up",
    "resolve: retry": "tried again",
    "resolve: drop": "given up",
    "resolve: adopt": "taken over",
    "makes no sense in Tuya": "odd in Tuya",
    "makes sense again": "sound again",
}
"""What was done, in the words of a table; the others are as they stand."""

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


def done_told(step: Step) -> str:
    """Return what was done, in a word or two."""
    what = step.entry.what
    return _WORDS.get(what, what)


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
    said += _reason_told(step)
    said.append(decided_told(step))
    return " ".join(said)


def _reason_told(step: Step) -> Iterator[str]:
    entry = step.entry
    if entry.what == "updated" and entry.detail:
        yield f"New: {fields_told(entry.detail.split(', '))}."
    told = "" if entry.what in _DETAIL_IS_TECHNICAL else entry.detail
    if told:
        yield told if told.endswith((".", "!", "?")) else f"{told}."
    elif entry.reason is not None:
        yield MEANINGS[entry.reason]


_DETAIL_IS_TECHNICAL = frozenset({"create", "update", "updated", "cancel", "adopted"})


def decided_told(step: Step) -> str:
    """Return who decided a step, as a sentence."""
    entry = step.entry
    if entry.by is None:
        return "Who decided it was not recorded then."
    if entry.by == TUYA:
        return "By Tuya."
    if entry.evidence is Evidence.APPROVED:
        return f"Approved by {entry.by}."
    if entry.by != SYNCD:
        return f"By {entry.by}."
    source = f", source {entry.source}" if entry.source else ""
    proof = f": {PROOFS[entry.evidence]}" if entry.evidence else ""
    return f"By syncd{source}{proof}."
