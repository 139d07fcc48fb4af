"""Which files this process opens while a test looks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_opened: list[str] | None = None


def _note_opened(what: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and what == "open" and isinstance(arguments[0], str):
        _opened.append(arguments[0])


# Audit hooks stay for the life of a process, so there is one.
sys.addaudithook(_note_opened)


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Collect the paths of the files that are opened while the context lasts."""
    global _opened  # noqa: PLW0603  # the hook knows nothing else
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None
