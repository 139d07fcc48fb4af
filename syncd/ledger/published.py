"""Which files of attachments were published here, and which contents refer to them."""

from __future__ import annotations

from itertools import chain

from sqlalchemy import and_, or_, select

from syncd.core.booking import BookingState
from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.facts import Fact, Facts

_PREFIX = "published:"
"""Begins the name of a fact that says that a file, named behind it, is ours to remove."""


class PublishedFiles:
    """The store of published attachments: what stands here is ours to remove, everything else is not."""

    def __init__(self, database: Database, facts: Facts) -> None:
        self._database = database
        self._facts = facts

    def folders(self) -> dict[str, str]:
        """Return the directory of each published file, by file name."""
        return self._facts.beginning(_PREFIX)

    def note(self, filename: str, folder: str) -> None:
        """Remember that a file in this directory is ours to remove; before it is written."""
        published = Fact(f"{_PREFIX}{filename}", str, str)
        self._facts.set(published, folder)

    def forget(self, filename: str) -> None:
        """Remember a published file no more."""
        self._facts.drop(f"{_PREFIX}{filename}")

    def attached(self) -> str:
        """Return the contents, as JSON texts, of all bookings that have attachments and are not given up."""
        c = tables.bookings.c
        is_released = c.state == BookingState.RELEASED
        is_refused = c.state == BookingState.REFUSED
        was_never_made = c.reservation_id.is_(None)
        given_up = or_(is_released, and_(is_refused, was_never_made))
        has_some = or_(
            c.content.contains('"attachments":[{'),
            c.pending.contains('"attachments":[{'),
        )
        current = select(c.content, c.pending).where(tables.CURRENT)
        query = current.where(~given_up, has_some)
        texts = chain.from_iterable(self._database.rows(query))
        return "\n".join(filter(None, texts))
