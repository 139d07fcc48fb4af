"""Numbers of things in words."""

from __future__ import annotations


def some(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where there is not one: `1 event`, `2 events`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
