"""What another configuration would do beside the one in force: the changes that differ, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.text import Text

from syncd.config import Config
from syncd.reconciler import Preview
from syncd.views.alike import MANY
from syncd.views.documents import plan_document
from syncd.views.markdown import markdown_table, markdown_text
from syncd.views.plan_markdown import row_cells
from syncd.views.plan_rows import PlanRow, count_told, rows_of
from syncd.views.plan_words import PlanWords
from syncd.views.rows import Row, SheetColumn, print_rows
from syncd.views.screen import words
from syncd.views.sheet import STYLES, Sheet

_WRITES = frozenset({"create", "update", "cancel", "refused"})
_COLUMNS = (
    SheetColumn("", whole=True),
    SheetColumn("", whole=True),
    SheetColumn("when", whole=True),
    SheetColumn("meeting", rest=True),
    SheetColumn("room"),
)


@dataclass(frozen=True, slots=True)
class Side:
    """A configuration with its plan: that of the file `name`; `other` is the one on the other side."""

    name: str
    config: Config
    preview: Preview
    other: Config

    @property
    def rows(self) -> tuple[PlanRow, ...]:
        """Return the rows of its plan."""
        return rows_of(self.preview.plan, self.preview.refusals, self.words)

    @property
    def words(self) -> PlanWords:
        """Return how values are named: also who is known on the other side alone."""
        return PlanWords.of(self.config, self.other)


@dataclass(frozen=True, slots=True)
class Pair:
    """What two configurations would do about one meeting in one room; None: nothing.

    The numbers are those of the rows in their plans.
    """

    now: PlanRow | None
    then: PlanRow | None
    number_now: int | None = None
    number_then: int | None = None


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """The plan in force beside that of another configuration, and the pairs of rows that differ."""

    now: Side
    then: Side
    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, now: Side, then: Side) -> PlanComparison:
        """Compare two plans by meeting and room."""
        before = _by_identity(now.rows)
        after = _by_identity(then.rows)
        pairs: list[Pair] = []
        for identity in dict.fromkeys((*before, *after)):
            number_now, row_now = before.get(identity, (None, None))
            number_then, row_then = after.get(identity, (None, None))
            if row_now != row_then:
                pairs.append(Pair(row_now, row_then, number_now, number_then))
        return cls(now, then, tuple(sorted(pairs, key=_position)))

    @property
    def writes_differ(self) -> bool:
        """Return whether other requests would be sent."""
        rows = [row for pair in self.pairs for row in (pair.now, pair.then)]
        return any(row is not None and row.action in _WRITES for row in rows)

    def document(self) -> dict[str, object]:
        """Return the document of `plan --with FILE --json`."""
        now = plan_document(self.now.preview, self.now.config)
        then = plan_document(self.then.preview, self.then.config)
        return {
            "now": _side(self.now, now),
            "with": _side(self.then, then),
            "differences": [
                {
                    "now": _numbered(now, pair.number_now),
                    "with": _numbered(then, pair.number_then),
                }
                for pair in self.pairs
            ],
        }


_Identity = tuple[str, str, str, int]


def _by_identity(
    rows: tuple[PlanRow, ...],
) -> Mapping[_Identity, tuple[int, PlanRow]]:
    """Return the rows with their numbers, by meeting and room; of several alike each by itself."""
    found: dict[_Identity, tuple[int, PlanRow]] = {}
    copies: Counter[tuple[str, str, str]] = Counter()
    for number, row in enumerate(rows):
        name = (row.uid, row.recurrence_id or "", row.room_id or "")
        found[(*name, copies[name])] = (number, row)
        copies[name] += 1
    return found


def _position(pair: Pair) -> tuple[str, float, str, str]:
    row = pair.then or pair.now
    assert row is not None  # a pair has at least one
    start = row.start.timestamp() if row.start else float("inf")
    return row.source, start, row.uid, row.room_id or ""


def _side(side: Side, document: Mapping[str, object]) -> dict[str, object]:
    told = {name: document[name] for name in ("checksum", "mode", "held", "counts")}
    return {"configuration": side.name, **told}


def _numbered(document: Mapping[str, object], number: int | None) -> object:
    changes = document["changes"]
    assert isinstance(changes, list)  # `plan_document` makes it so
    return None if number is None else changes[number]


def print_comparison(sheet: Sheet, comparison: PlanComparison) -> None:
    """Print the changes that differ, each as it is now and as it would be."""
    sheet.tell(f"With {comparison.then.name}: {_told(comparison.then)}.")
    sheet.tell(f"Now: {_told(comparison.now)}.")
    if not comparison.pairs:
        sheet.tell("Nothing differs; nothing was changed.")
        return
    sheet.say()
    rows = list(_lines(sheet, comparison))
    print_rows(sheet, _COLUMNS, rows[: 2 * MANY], headed=False)
    sheet.say()
    sheet.tell(
        f"{_count_told(comparison)}. Nothing was changed; times in {sheet.zone_name}."
    )


def _count_told(comparison: PlanComparison) -> str:
    """Return how many meetings differ, and that not all of very many are shown."""
    number = len(comparison.pairs)
    noun = "meeting differs" if number == 1 else "meetings differ"
    shown = f", of which {MANY} are shown; --json has all" if number > MANY else ""
    return f"{number} {noun}{shown}"


def _told(side: Side) -> str:
    return count_told(side.rows, side.preview.plan.mode) or "nothing to do"


def _lines(sheet: Sheet, comparison: PlanComparison) -> Iterator[Row]:
    for pair in comparison.pairs:
        yield _line(sheet, "now", pair.now, pair.then)
        yield _line(sheet, "with", pair.then, pair.now)


def _line(sheet: Sheet, side: str, row: PlanRow | None, other: PlanRow | None) -> Row:
    if row is None:
        assert other is not None  # a pair has at least one
        topic = words(other.topic or other.uid, "dim")
        blank = words("")
        nothing = words("nothing", "dim")
        return Row((words(side), nothing, blank, topic, sheet.room(other.room_id)))
    cells: tuple[Text, ...] = (
        words(side),
        words(row.action, STYLES.get(row.action, "")),
        sheet.span(row.start, row.end),
        words(row.topic or row.uid),
        sheet.room(row.room_id),
    )
    return Row(cells, row.sentences)


def comparison_markdown(comparison: PlanComparison) -> str:
    """Return the comparison as a Markdown document."""
    then = comparison.then
    lines = [
        "# What another configuration would do",
        "",
        f"With {markdown_text(then.name)}: {_told(then)}.",
        "",
        f"Now: {_told(comparison.now)}.",
        "",
    ]
    cells: list[tuple[str, ...]] = []
    for pair in comparison.pairs[:MANY]:
        cells.append(("now", *_cells(pair.now, comparison.now)))
        cells.append(("with", *_cells(pair.then, comparison.then)))
    headers = ("", "change", "when", "meeting", "room", "why")
    lines += markdown_table(headers, cells)
    lines += ["", f"{_count_told(comparison)}; times in {_zone(then)}."]
    return "\n".join(lines) + "\n"


def _cells(row: PlanRow | None, side: Side) -> tuple[str, ...]:
    if row is None:
        return ("nothing", "", "", "", "")
    return row_cells(row, side.words)


def _zone(side: Side) -> str:
    return str(side.config.calendar.timezone)
