"""Columns of digests of one width, packed one behind the other, and how a digest is found in one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from itertools import chain, compress

CELL = 16
"""Bytes of a digest."""

_FEW = 25  # searches of a column that cost no more than to put it in order


def cells_of(column: bytes) -> Iterator[bytes]:
    """Yield the digests of a packed column, one for each row."""
    starts = range(0, len(column), CELL)
    return (column[start : start + CELL] for start in starts)


class Column:
    """Digests one behind the other, one for each row; `cells` is all of them as bytes."""

    def __init__(self, cells: bytes = b"") -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(self.cells) // CELL

    def __getitem__(self, row: int) -> bytes:
        return self.cells[row * CELL : (row + 1) * CELL]

    def rows_with(self, digests: Collection[bytes]) -> Iterator[int]:
        """Yield all rows that hold one of these digests, in no order."""
        if len(digests) <= _FEW:
            return chain.from_iterable(map(self.rows_of, digests))
        rows = range(len(self))
        is_wanted = map(digests.__contains__, cells_of(self.cells))
        return compress(rows, is_wanted)

    def rows_of(self, digest: bytes) -> Iterator[int]:
        """Yield all rows that hold a digest, in order."""
        place = self.cells.find(digest)
        while place >= 0:
            if place % CELL == 0:
                yield place // CELL
            place = self.cells.find(digest, place + 1)


class Finder:
    """Tells whether a digest stands in a column; one that is asked often is put in order first.

    Ordered digests take no more room than others. A dict would answer a little sooner and takes eight times
    the room, which of a thousand calendars is more than all else that is kept of them.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._is_ordered = False
        self._searches = 0

    def holds(self, digest: bytes) -> bool:
        """Tell whether a row holds a digest."""
        self._searches += 1
        if self._searches > _FEW and not self._is_ordered:
            cells = sorted(cells_of(self._column.cells))
            self._column = Column(b"".join(cells))
            self._is_ordered = True
        if not self._is_ordered:
            return next(self._column.rows_of(digest), None) is not None
        place = bisect_left(self._column, digest)
        return place < len(self._column) and self._column[place] == digest
