"""Which files of attachments were published here, and which contents refer to them."""

from __future__ import annotations

from itertools import chain

from sqlalchemy import and_, or_, select

from syncd.core.booking import BookingState
from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.facts import Fact, Facts

_PREFIX = (
    "published:"  # begins the fact that a file, named behind it, is ours to remove
)


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
        self._facts.set(Fact(f"{_PREFIX}{filename}", str, str), folder)

    def forget(self, filename: str) -> None:
        """Remember a published file no more."""
        self._facts.drop(f"{_PREFIX}{filename}")

    def attached(self) -> str:
        """Return the contents, as JSON texts, of all bookings that have attachments and are not given up."""
        c = tables.bookings.c
        given_up = or_(
            c.state == BookingState.RELEASED,
            and_(c.state == BookingState.REFUSED, c.reservation_id.is_(None)),
        )
        with_some = or_(
            c.content.contains('"attachments":[{'),
            c.pending.contains('"attachments":[{'),
        )
        query = select(c.content, c.pending).where(tables.CURRENT, ~given_up, with_some)
        texts = chain.from_iterable(self._database.rows(query))
        return "\n".join(text for text in texts if text)
