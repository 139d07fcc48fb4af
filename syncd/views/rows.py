"""Rows for people that keep to one line each, with what is to be said of a row indented beneath it.

A table of rich breaks its cells; here the one column that may be long (a topic) is cut where the line ends, and
what must be whole stands beneath.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from syncd import streams
from syncd.views.screen import words
from syncd.views.sheet import Sheet

_GAP = 2
_INDENT = 2
_LEAST = 12
"""Cells that a column has at least, however narrow the screen is."""
_MOST = 24
"""Cells that a column has at most, unless it is the one that takes what is left or is never cut."""


@dataclass(frozen=True, slots=True)
class SheetColumn:
    """A column of rows: `whole` is never cut, `rest` takes what the others leave."""

    header: str
    whole: bool = False
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of cells; sentences beneath it may be broken, names beneath them are not.

    `heading` stands above it.
    """

    cells: tuple[Text, ...]
    sentences: tuple[str, ...] = ()
    names: tuple[Text, ...] = ()
    heading: Text | None = None


def print_rows(
    sheet: Sheet,
    columns: Sequence[SheetColumn],
    rows: Sequence[Row],
    *,
    headed: bool = True,
) -> None:
    """Print rows, under their headers if they are `headed`; nothing if there are none."""
    if not rows:
        return
    shown = list(rows)
    if headed:
        headers = tuple(words(column.header, "bold") for column in columns)
        shown.insert(0, Row(headers))
    widths = _widths(sheet.width, columns, shown)
    for row in shown:
        if row.heading is not None:
            sheet.say()
            sheet.say(row.heading)
        sheet.say(_line(row.cells, widths), no_wrap=True, overflow="ignore", crop=False)
        print_beneath(sheet, row.sentences, row.names)


def print_beneath(
    sheet: Sheet, sentences: Iterable[str], names: Iterable[Text], indent: int = _INDENT
) -> None:
    """Print sentences in the width that there is, and names whole, however wide the screen is."""
    for sentence in sentences:
        sheet.tell(sentence, indent=indent, style="dim")
    for name in names:
        sheet.say(Text.assemble(" " * indent, name), soft_wrap=True)


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = words("")
    for cell, width in zip(cells, widths, strict=True):
        fitted = _cut(cell, width)
        line.append_text(fitted)
        line.append(" " * (width - cell_len(fitted.plain) + _GAP))
    line.rstrip()
    return line


def _cut(cell: Text, width: int) -> Text:
    """Return a cell that is no wider than that, with a sign where it was cut."""
    if cell_len(cell.plain) <= width:
        return cell
    sign = streams.output.shown("…")
    fitted = cell.copy()
    fitted.plain = set_cell_size(cell.plain, width - len(sign)).rstrip() + sign
    return fitted


def _widths(
    width: int, columns: Sequence[SheetColumn], rows: Iterable[Row]
) -> list[int]:
    wanted = [0] * len(columns)
    for row in rows:
        for number, cell in enumerate(row.cells):
            wanted[number] = max(wanted[number], cell_len(cell.plain))
    for number, column in enumerate(columns):
        if not column.whole and not column.rest:
            wanted[number] = min(wanted[number], _MOST)
    # The column that takes the rest gives way first, then the others that may be cut.
    for is_rest in (True, False):
        for number, column in enumerate(columns):
            too_much = sum(wanted) + _GAP * (len(columns) - 1) - width
            if too_much > 0 and not column.whole and column.rest is is_rest:
                least = min(wanted[number], _LEAST)
                wanted[number] = max(least, wanted[number] - too_much)
    return wanted
