"""The styles of the columns of a timeline: a class for each place and each length.

A page that forbids `style=` has no other way to say where something begins, so the rules are made here.
"""

from __future__ import annotations

from collections.abc import Iterator

from syncd.web.timeline import COLUMNS_PER_HOUR, MOST_HOURS

_MOST_ROWS = 8


def grid_styles() -> str:
    """Return the style sheet: `c13` begins in column 13, `n6` is six columns long, `r2` is in row 2."""
    return "\n".join(_rules()) + "\n"


def _rules() -> Iterator[str]:
    columns = MOST_HOURS * COLUMNS_PER_HOUR
    for hours in range(1, MOST_HOURS + 1):
        tracks = f"repeat({hours * COLUMNS_PER_HOUR},minmax(0,1fr))"
        yield f".hours-{hours}{{--hours:{hours};--tracks:{tracks}}}"
    # Only where there is a grid; elsewhere the same lists are lists.
    yield "@media (min-width:700px){"
    for column in range(1, columns + 1):
        yield f".c{column}{{grid-column-start:{column}}}"
        yield f".n{column}{{grid-column-end:span {column}}}"
    for row in range(1, _MOST_ROWS + 1):
        yield f".r{row}{{grid-row:{row}}}"
    yield "}"
