"""What tables of a configuration claim for themselves: names, ids and addresses, each of which may stand once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from syncd.config.validation import Problem

Claim = tuple[tuple[str, int], str, object]
"""The table with its number, the key, and what stands there."""


def tables_of(
    raw: Mapping[str, Any], name: str
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the tables of a list with their numbers, as they are written."""
    listed = raw.get(name)
    if not isinstance(listed, list | tuple):
        return
    for n, table in enumerate(listed):
        if isinstance(table, dict):
            yield n, table


def _texts(value: object) -> Iterator[str]:
    values = value if isinstance(value, list) else [value]
    yield from (text for text in values if isinstance(text, str))


def claims_of_rooms(
    rooms: Iterable[tuple[int, Mapping[str, Any]]],
    keys: Iterable[str],
    fold: Callable[[str], str],
) -> Iterator[Claim]:
    """Yield what rooms claim for themselves with these keys, folded for comparison."""
    for n, room in rooms:
        for name in keys:
            for claim in _texts(room.get(name)):
                yield ("rooms", n), name, fold(claim)


def folded_address(text: str) -> str:
    """Return an address as addresses are compared."""
    return text.strip().lower().removeprefix("mailto:")


def claimed_twice(claims: Iterable[Claim]) -> Iterator[Problem]:
    """Yield a problem for each claim that another table made before; a repeat within one is harmless."""
    owners: dict[str, tuple[str, int]] = {}
    for owner, name, claim in claims:
        if not isinstance(claim, str):
            continue
        first = owners.setdefault(claim, owner)
        if first != owner:
            table, n = first
            yield Problem(
                (*owner, name),
                f"stands twice: entry {n + 1} of [[{table}]] has the same; each may stand once",
            )
