"""Many rows that say the same: the first few of them are shown, and the others counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

_Row = TypeVar("_Row")
_Kind = TypeVar("_Kind")

MANY = 200
"""The rows of a table for people; the JSON document has all."""

FEW = 3
"""The rows that are shown of those that say the same."""


def few_of_each(
    rows: Sequence[_Row],
    kind: Callable[[_Row], _Kind | None],
    few: Callable[[_Kind], int] = lambda _: FEW,
) -> tuple[list[_Row], list[tuple[_Kind, int]]]:
    """Return the rows without a kind and the first few of each, and how many more there are of each."""
    seen: Counter[_Kind] = Counter()
    shown: list[_Row] = []
    for row in rows:
        name = kind(row)
        if name is not None:
            seen[name] += 1
        if name is None or seen[name] <= few(name):
            shown.append(row)
    more: list[tuple[_Kind, int]] = []
    for name, count in seen.items():
        left_out = count - few(name)
        if left_out > 0:
            more.append((name, left_out))
    return shown, more
