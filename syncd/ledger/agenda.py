"""What the sources said, as far as it matters, and which UIDs need a look when.

An inventory tells what a source held when it was last looked through; the pieces of the UIDs that matter are
kept, so that they can be read again without the calendar.
The agenda has a line for each UID that matters: due now (it is *open*), at a moment, or not before it
changes (it *rests*), with the text of what it adds to a plan meanwhile.
Whatever is written about a booking opens its UID, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, delete, func, insert, or_, select, text, update
from sqlalchemy.sql import Select

from syncd.core.reservation import epoch_ms
from syncd.ledger import rows

_Transaction = Callable[[], AbstractContextManager[Connection]]

_OPEN: TextClause = text(
    "INSERT INTO agenda (uid, due_at, tally) VALUES (:uid, 0, '') ON CONFLICT (uid) DO UPDATE SET due_at = 0"
)
_DUE = select(rows.agenda.c.uid, rows.agenda.c.tally).where(rows.agenda.c.due_at <= bindparam("now"))
_NEXT_DUE = select(func.min(rows.agenda.c.due_at, type_=rows.INSTANT)).where(
    rows.agenda.c.due_at > bindparam("now")
)
_LATER: TextClause = text(
    "INSERT INTO agenda (uid, due_at, tally) VALUES (:uid, :due, '') "
    "ON CONFLICT (uid) DO UPDATE SET due_at = CASE WHEN agenda.due_at < excluded.due_at "
    "THEN agenda.due_at ELSE excluded.due_at END"
)


def open_uids(connection: Connection, uids: Iterable[str]) -> None:
    """Put UIDs on the agenda, due at once."""
    lines = [{"uid": uid} for uid in sorted(set(uids))]
    if lines:
        connection.execute(_OPEN, lines)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one UID in one source: its pieces, packed by the caller, and remarks on them."""

    pieces: bytes = field(repr=False)
    remarks: str = ""


class Agenda:
    """The part of the ledger that spares reading and planning what did not change."""

    def __init__(
        self, reading: _Transaction, writing: _Transaction, noted: Callable[[str, str], object]
    ) -> None:
        """`noted` is told of a fact, by name and value, that was written."""
        self._reading = reading
        self._writing = writing
        self._noted = noted

    # What sources said

    def inventory(self, source: str) -> tuple[bytes, str] | None:
        """The packed inventory of a source and how the source stood; None if it was never looked through."""
        c = rows.inventories.c
        with self._reading() as connection:
            standing = connection.execute(select(c.standing).where(c.source == source)).scalar()
            return None if standing is None else (rows.inventory_of(connection, source), standing)

    def take_in(
        self,
        source: str,
        packed: Iterable[bytes],
        standing: str,
        *,
        kept: Mapping[str, bytes],
        dropped: Collection[str] = (),
        opened: Collection[str] = (),
        later: Mapping[str, datetime] | None = None,
    ) -> None:
        """Store what looking through a source found, all or nothing.

        `packed` is its inventory, piece by piece.
        `kept` are packed VEVENTs by UID, `dropped` the UIDs of which nothing is left.
        `opened` need a look now, `later` ones not before a moment, unless they are due before.
        """
        with self._writing() as connection:
            rows.put(connection, rows.inventories, {"source": source}, {"standing": standing})
            rows.replace_inventory(connection, source, packed)
            gone = [*dropped, *kept]
            if gone:
                c = rows.kept.c
                one = delete(rows.kept).where(c.source == source, c.uid == bindparam("gone"))
                connection.execute(one, [{"gone": uid} for uid in gone])
            if kept:
                lines = [{"source": source, "uid": uid, "pieces": pieces} for uid, pieces in kept.items()]
                connection.execute(insert(rows.kept), lines)
            open_uids(connection, opened)
            if later:
                connection.execute(_LATER, [{"uid": uid, "due": epoch_ms(due)} for uid, due in later.items()])

    def set_standing(self, source: str, standing: str) -> None:
        """Remember how a source stands of which nothing could be read."""
        with self._writing() as connection:
            rows.put(connection, rows.inventories, {"source": source}, {"standing": standing})

    def uids_kept(self, source: str) -> list[str]:
        """The UIDs of a source of which pieces are kept."""
        with self._reading() as connection:
            return list(
                connection.execute(select(rows.kept.c.uid).where(rows.kept.c.source == source)).scalars()
            )

    def pieces_of(self, source: str, uid: str) -> bytes | None:
        """The kept pieces of one UID in one source."""
        c = rows.kept.c
        with self._reading() as connection:
            query = select(c.pieces).where(c.source == source, c.uid == uid)
            found: bytes | None = connection.execute(query).scalar()
        return found

    def kept_of(self, uids: Collection[str]) -> dict[str, dict[str, Kept]]:
        """What is kept of these UIDs, by source and UID."""
        wanted = list(uids)
        found: dict[str, dict[str, Kept]] = {}
        with self._reading() as connection:
            for some in rows.shares(wanted):
                query = select(rows.kept).where(rows.kept.c.uid.in_(some))
                for row in connection.execute(query):
                    found.setdefault(row.source, {})[row.uid] = Kept(row.pieces, row.remarks or "")
        return found

    def in_several_sources(self, uids: Collection[str]) -> frozenset[str]:
        """Those of the UIDs of which pieces of several sources are kept."""
        if not uids:
            return frozenset()
        c = rows.kept.c
        query = select(c.uid).group_by(c.uid).having(func.count() > 1)
        with self._reading() as connection:
            return frozenset(connection.execute(query).scalars()) & frozenset(uids)

    def remarks(self, source: str) -> dict[str, str]:
        """All remarks on what is kept of a source, by UID."""
        c = rows.kept.c
        query = select(c.uid, c.remarks).where(c.source == source, text("remarks IS NOT NULL"))
        with self._reading() as connection:
            return {row.uid: row.remarks for row in connection.execute(query)}

    def remark(self, source: str, remarks: Mapping[str, str]) -> None:
        """Replace the remarks on what is kept of these UIDs; an empty one is none."""
        c = rows.kept.c
        change = update(rows.kept).where(c.source == source, c.uid == bindparam("of"))
        lines = [{"of": uid, "said": said or None} for uid, said in remarks.items()]
        with self._writing() as connection:
            connection.execute(change.values(remarks=bindparam("said")), lines)

    # The agenda

    def uids(self) -> frozenset[str]:
        """All UIDs that matter."""
        with self._reading() as connection:
            return frozenset(connection.execute(select(rows.agenda.c.uid)).scalars())

    def due(self, now: datetime) -> dict[str, str]:
        """The UIDs that need a look now, each with the text of what it added to a plan while it rested."""
        with self._reading() as connection:
            return {row.uid: row.tally for row in connection.execute(_DUE, {"now": now})}

    def next_due(self, now: datetime) -> datetime | None:
        """When the next UID that rests needs a look."""
        with self._reading() as connection:
            found: datetime | None = connection.execute(_NEXT_DUE, {"now": now}).scalar()
        return found

    def open_all(self, sources: Collection[str] | None = None, *, counted: bool = False) -> None:
        """All UIDs need a look now, or those of which pieces of some sources are kept.

        `counted`: only if they add something to a plan while they rest.
        """
        change = update(rows.agenda).values(due_at=rows.EPOCH)
        if counted:
            change = change.where(rows.agenda.c.tally != "")
        if sources is not None:
            kept = select(rows.kept.c.uid).where(rows.kept.c.source.in_(sources))
            change = change.where(rows.agenda.c.uid.in_(kept))
        with self._writing() as connection:
            connection.execute(
                change.where(or_(rows.agenda.c.due_at > rows.EPOCH, rows.agenda.c.due_at.is_(None)))
            )

    def rest(
        self,
        resting: Mapping[str, tuple[datetime | None, str]],
        *,
        over: Collection[str],
        total: tuple[str, str],
    ) -> None:
        """Let UIDs rest until a moment (None: until they change) with a tally; forget those that are over.

        `total` is the name and the new value of the fact that sums up what rests.
        """
        c = rows.agenda.c
        with self._writing() as connection:
            if resting:
                change = update(rows.agenda).where(c.uid == bindparam("of"))
                lines = [{"of": uid, "due": due, "said": said} for uid, (due, said) in resting.items()]
                connection.execute(change.values(due_at=bindparam("due"), tally=bindparam("said")), lines)
            if over:
                gone = [{"gone": uid} for uid in over]
                connection.execute(delete(rows.agenda).where(c.uid == bindparam("gone")), gone)
                connection.execute(delete(rows.kept).where(rows.kept.c.uid == bindparam("gone")), gone)
            name, value = total
            rows.put(connection, rows.facts, {"name": name}, {"value": value})
        self._noted(name, value)

    def forget_inventories(self) -> None:
        """Look through all sources as if for the first time."""
        with self._writing() as connection:
            connection.execute(delete(rows.inventories))
            connection.execute(delete(rows.inventory_parts))

    def forget_source(self, connection: Connection, name: str) -> None:
        """Drop what a source said; its UIDs need a look."""
        c = rows.kept.c
        open_uids(connection, connection.execute(select(c.uid).where(c.source == name)).scalars())
        connection.execute(delete(rows.kept).where(c.source == name))
        for table in (rows.inventories, rows.inventory_parts):
            connection.execute(delete(table).where(table.c.source == name))


def due_bookings(now: datetime) -> Select[Any]:
    """The current bookings of the UIDs that need a look."""
    agenda = select(rows.agenda.c.uid).where(rows.agenda.c.due_at <= now)
    return select(rows.bookings).where(rows.bookings.c.uid.in_(agenda), rows.CURRENT)
