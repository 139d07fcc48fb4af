"""The plan of the moment and the story of an event, by what the ledger knows; nobody else is asked anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from syncd.assembly import Service, assemble
from syncd.ics import ParserPool
from syncd.reconciler import Preview
from syncd.web.asked import Asked

if TYPE_CHECKING:
    from syncd.explain import Story


def recalled_plan(asked: Asked) -> Preview:
    """Return the plan of the moment; raises `LedgerError`."""
    with _parts(asked) as parts:
        return parts.reconciler.previewer.recalled()


def recalled_event(uid: str, asked: Asked) -> Story:
    """Return the story of a UID; raises `LedgerError`."""
    from syncd.explain import recalled_story

    with _parts(asked) as parts:
        return recalled_story(uid, parts)


@contextmanager
def _parts(asked: Asked) -> Iterator[Service]:
    """Build the parts over the ledger of the page; nothing of them writes, or asks a source or the API."""
    parts = assemble(
        asked.config,
        asked.ledger,
        owner=False,
        pool=ParserPool(keep=False),
        stopping=lambda: False,
    )
    try:
        yield parts
    finally:
        parts.api.close()
