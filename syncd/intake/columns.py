"""Columns of digests of one width, packed one behind the other, and how a digest is found in one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, compress

CELL = 16
"""Bytes of a digest."""

_FEW = 25  # searches of a column before it gets an index, which costs as much, and is large


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
    """Finds digests in a column: by searching it, or by an index.

    The index takes several times the memory of the column, so it is only made for many digests.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._index: dict[bytes, int] = {}
        self._searches = 0

    def row_of(self, digest: bytes) -> int | None:
        """Return a row that holds a digest; None if there is none."""
        self._searches += 1
        if self._searches <= _FEW:
            return next(self._column.rows_of(digest), None)
        if not self._index:
            cells = cells_of(self._column.cells)
            self._index = {cell: row for row, cell in enumerate(cells)}
        return self._index.get(digest)
