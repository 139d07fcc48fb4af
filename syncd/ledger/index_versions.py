"""How the sources stand and what is indexed of them; on a shared ledger also by whose reading, in which version.

A member compares what it reads of a source with the index that it knows, and stores what is new of it. So each
write of an index gives it a version that was never there before, and asks for the one that its process knows:
who was asleep meanwhile, or reads a source beside another one, stores nothing (`StaleIndex`).
Of one source a process knows one version, from when it read it first until it is told to forget the source;
nothing that it reads afterwards may be of another one.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import randbits
from typing import TypeAlias

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)

from syncd.errors import StaleIndex
from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.gate import WritingGate

ANEW = "anew"
"""How a source stands that was read, but what a plan rests on changed since: all of it needs a look."""

_SLEPT_AT_MOST = timedelta(hours=1)
_PROGRAM = 8  # hexadecimal digits of a basis
_INDEX = tables.inventories.c
_BLOCK = tables.inventory_buckets.c
_OF_THE_SOURCE = select(
    _INDEX.standing, _INDEX.version, _INDEX.made_by, _INDEX.read_at
).where(_INDEX.source == bindparam("of"))
_REPLACE = (
    update(tables.inventories)
    .where(_INDEX.source == bindparam("of"), _INDEX.version == bindparam("known"))
    .values(
        version=bindparam("new"),
        made_by=bindparam("by"),
        standing=bindparam("stands"),
        read_at=bindparam("at"),
    )
)
_IS_CURRENT = (
    select(literal(1))
    .where(_INDEX.source == bindparam("of"), _INDEX.version == bindparam("known"))
    .with_for_update()
)
_STAMPS = select(_INDEX.source, _INDEX.version, _INDEX.made_by)
Buckets: TypeAlias = Mapping[int, Sequence[bytes]]
"""Buckets of an index, packed, each in pieces."""

_NONE = -1
"""The version of an index that does not exist."""


def basis_of(program: str, configuration: str) -> str:
    """Return what tells readings apart that may not be mixed: 16 hexadecimal digits, the first of the program.

    `program` is all of the program that decides what a reading comes to, `configuration` the text by which.
    """
    own = hashlib.sha256(program.encode()).hexdigest()[:_PROGRAM]
    rules = hashlib.sha256(configuration.encode()).hexdigest()[:_PROGRAM]
    return own + rules


@dataclass(frozen=True, slots=True)
class KnownIndex:
    """The index of a source as a process knows it; `read_at` is when it was read that way."""

    version: int = _NONE
    made_by: str = ""
    standing: str = ""
    read_at: datetime | None = None


class IndexVersions:
    """Which version of each index this process knows; `basis` is what its own readings rest on."""

    def __init__(self) -> None:
        self.basis = ""
        self._known: dict[str, KnownIndex] = {}
        self._own: set[str] = set()  # those that this process has stored

    def version_of(self, source: str) -> int:
        """Return the version that is known of the index of a source; of none there is no such index."""
        known = self._known.get(source)
        return _NONE if known is None else known.version

    def knows(self, source: str) -> bool:
        """Tell whether anything is known of a source, and be it that it has no index."""
        return source in self._known

    def is_of(self, source: str, version: int) -> bool:
        """Tell whether the index of a source that stands in the ledger is the one that is known."""
        known = self._known.get(source)
        return known is not None and known.version == version

    def take(self, source: str, found: KnownIndex) -> None:
        """Note what the ledger has of a source; raise `StaleIndex` if something else is known of it."""
        known = self._known.setdefault(source, found)
        if known.version != found.version:
            raise StaleIndex(source)

    def note(self, source: str, stored: KnownIndex) -> None:
        """Note what this process has stored."""
        self._known[source] = stored
        self._own.add(source)

    def is_later(self, source: str, asked_at: datetime) -> bool:
        """Tell whether another process may have read a source after this one began to ask it at a moment.

        What was read long after that is from a clock that was wrong.
        """
        known = self._known.get(source)
        if known is None or known.read_at is None or source in self._own:
            return False
        return asked_at <= known.read_at < asked_at + _SLEPT_AT_MOST

    def forget(self, source: str) -> None:
        """Know nothing of a source, so that it can be read as it is now."""
        self._known.pop(source, None)
        self._own.discard(source)

    def clear(self) -> None:
        """Know nothing of any source."""
        self._known.clear()
        self._own.clear()

    def all(self) -> Mapping[str, KnownIndex]:
        """Return what is known, by source."""
        return self._known

    def is_own(self, made_by: str) -> bool:
        """Tell whether an index rests on what the readings of this process rest on.

        One that was made before the ledger was shared rests on what the ledger says that it rests on.
        """
        return made_by in {"", self.basis}

    def is_by_another_program(self, source: str) -> bool:
        """Tell whether the index of a source was made by another version of the program."""
        known = self._known.get(source)
        if known is None or self.is_own(known.made_by):
            return False
        return known.made_by[:_PROGRAM] != self.basis[:_PROGRAM]


class Inventories:
    """The indexes in a ledger on which one process alone works."""

    def __init__(self, database: Database, gate: WritingGate) -> None:
        self._database = database
        self._gate = gate
        self.versions = IndexVersions()

    def buckets_of(self, source: str) -> dict[int, bytes]:
        """Return the buckets of the index of a source; none if it was never looked through."""
        with self._database.reading() as connection:
            return self._buckets(connection, source)

    def _buckets(self, connection: Connection, source: str) -> dict[int, bytes]:
        blocks_of = select(_BLOCK.bucket, _BLOCK.packed).where(_BLOCK.source == source)
        in_order = blocks_of.order_by(_BLOCK.bucket, _BLOCK.number)
        blocks: dict[int, list[bytes]] = {}
        for row in connection.execute(in_order).all():
            blocks.setdefault(row.bucket, []).append(row.packed)
        return {number: b"".join(own) for number, own in blocks.items()}

    def standing_of(self, source: str) -> str:
        """Return how a source stood when it was looked through last; empty if it never was."""
        standing_of = select(_INDEX.standing).where(_INDEX.source == source)
        return self._database.scalar(standing_of) or ""

    def known_of(self, source: str) -> KnownIndex:
        """Return the index of a source as it stands in the ledger, but for its buckets."""
        return KnownIndex(standing=self.standing_of(source))

    @contextlib.contextmanager
    def replaced(
        self,
        source: str,
        standing: str,
        at: datetime,  # noqa: ARG002  # as where several work
    ) -> Iterator[Connection]:
        """Begin a transaction that stores what a look at a source found, and how it stands since."""
        with self._gate.writing() as connection:
            of_the_source = {"source": source}
            values = {"standing": standing}
            tables.put(connection, tables.inventories, of_the_source, values)
            yield connection

    def require_anew(self, connection: Connection, standing: str) -> None:
        """Let all sources stand so."""
        connection.execute(update(tables.inventories).values(standing=standing))

    def forget_all(
        self,
        left: Mapping[str, Buckets],
        at: datetime,
        *,
        own_too: bool,  # noqa: ARG002  # as where several work
    ) -> None:
        """Drop all indexes, but for what is `left` of some: they stand as if nothing was ever read."""
        with self._gate.writing() as connection:
            connection.execute(delete(tables.inventories))
            connection.execute(delete(tables.inventory_buckets))
        for source, buckets in left.items():
            with self.replaced(source, "", at) as connection:
                replace_buckets(connection, source, buckets, whole=True)

    def forget(self, connection: Connection, source: str) -> None:
        """Drop the index of a source."""
        for table in (tables.inventories, tables.inventory_buckets):
            tables.remove(connection, table, {"source": source})

    def is_current(self, connection: Connection, source: str) -> bool:  # noqa: ARG002  # as where several work
        """Tell whether what is known of a source is what the ledger has, until the end of the transaction."""
        return True

    def stale(self, sources: Collection[str]) -> frozenset[str]:  # noqa: ARG002  # as where several work
        """Return those of the sources of which another process stored something since they were read."""
        return frozenset()

    def stamps(self) -> dict[str, tuple[int, str]]:
        """Return the version of each index, and what its reading rests on."""
        return {}


class SharedInventories(Inventories):
    """The indexes in a ledger on which members work."""

    def buckets_of(self, source: str) -> dict[int, bytes]:
        """Return the buckets of the index of a source; raise `StaleIndex` if it is another one by now."""
        with self._database.reading() as connection:
            self.versions.take(source, _found(connection, source))
            return self._buckets(connection, source)

    def standing_of(self, source: str) -> str:
        """Return how a source stood when it was looked through last; empty if it never was.

        Where that rests on something else than the readings of this process, all of it needs a look.
        Raise `StaleIndex` if it is another one by now.
        """
        found = self.known_of(source)
        if found.standing and not self.versions.is_own(found.made_by):
            return ANEW
        return found.standing

    def known_of(self, source: str) -> KnownIndex:
        """Return the index of a source as it stands in the ledger, but for its buckets."""
        with self._database.reading() as connection:
            found = _found(connection, source)
        self.versions.take(source, found)
        return found

    @contextlib.contextmanager
    def replaced(
        self, source: str, standing: str, at: datetime
    ) -> Iterator[Connection]:
        """Begin a transaction that stores what a look at a source found; raise `StaleIndex` and store nothing.

        Its row is locked first of all, and what is known of it since is known once that is committed.
        """
        new = self._new(standing, at)
        with self._gate.writing() as connection:
            self._replace(connection, source, new)
            yield connection
        self.versions.note(source, new)

    def _new(self, standing: str, at: datetime) -> KnownIndex:
        return KnownIndex(_new_version(), self.versions.basis, standing, at)

    def _replace(self, connection: Connection, source: str, new: KnownIndex) -> None:
        known = self.versions.version_of(source)
        if known == _NONE:
            _insert(connection, source, new)
            return
        values = {"of": source, "known": known, "new": new.version}
        of_reading = {"by": new.made_by, "stands": new.standing, "at": new.read_at}
        if not connection.execute(_REPLACE, values | of_reading).rowcount:
            raise StaleIndex(source)

    def require_anew(self, connection: Connection, standing: str) -> None:
        """Let all sources stand so that rest on something else than the readings of this process.

        Every member reads them anew.
        """
        is_other = _INDEX.made_by != self.versions.basis
        in_order = select(_INDEX.source).where(is_other).order_by(_INDEX.source)
        connection.execute(in_order.with_for_update()).all()
        change = update(tables.inventories).where(is_other)
        connection.execute(change.values(standing=standing, version=_new_version()))

    def forget_all(
        self, left: Mapping[str, Buckets], at: datetime, *, own_too: bool
    ) -> None:
        """Drop the indexes that this process knows, as it knows them; whatever was read since stays.

        In one step with what is `left` of them, or a member would read a source as if it had never been read.
        `own_too`: also those that rest on the same as the readings of this process.
        """
        basis = self.versions.basis
        with self._gate.writing() as connection:
            for source, known in sorted(self.versions.all().items(), key=_first_of):
                if own_too or known.made_by != basis:
                    self._forget_known(connection, source, left.get(source), at)
        self.versions.clear()

    def _forget_known(
        self,
        connection: Connection,
        source: str,
        left: Buckets | None,
        at: datetime,
    ) -> None:
        if not self.is_current(connection, source):
            return
        if left is None:
            self.forget(connection, source)
            return
        self._replace(connection, source, self._new("", at))
        replace_buckets(connection, source, left, whole=True)

    def is_current(self, connection: Connection, source: str) -> bool:
        """Tell whether what is known of a source is what the ledger has, until the end of the transaction."""
        asked = {"of": source, "known": self.versions.version_of(source)}
        return connection.execute(_IS_CURRENT, asked).first() is not None

    def stale(self, sources: Collection[str]) -> frozenset[str]:
        """Return those of the sources of which another process stored something since they were read."""
        stamps = self.stamps()
        found: set[str] = set()
        for source in sources:
            version, _ = stamps.get(source, (_NONE, ""))
            if not self.versions.is_of(source, version):
                found.add(source)
        return frozenset(found)

    def stamps(self) -> dict[str, tuple[int, str]]:
        """Return the version of each index, and what its reading rests on."""
        rows = self._database.rows(_STAMPS)
        return {row.source: (row.version, row.made_by) for row in rows}


def inventories_of(
    database: Database, gate: WritingGate, *, owner: bool
) -> Inventories:
    """Return the indexes of a ledger; who does not own it compares nothing with them."""
    if database.is_shared and owner:
        return SharedInventories(database, gate)
    return Inventories(database, gate)


def replace_buckets(
    connection: Connection, source: str, buckets: Buckets, *, whole: bool
) -> None:
    """Replace some buckets of the index of a source, or `whole` all; nothing is left of an empty one."""
    if whole:
        tables.remove(connection, tables.inventory_buckets, {"source": source})
    of_the_source = delete(tables.inventory_buckets).where(_BLOCK.source == source)
    of_one = of_the_source.where(_BLOCK.bucket == bindparam("of"))
    former = [{"of": number} for number in buckets]
    if former:
        connection.execute(of_one, former)
    for bucket, pieces in buckets.items():
        for number, block in enumerate(tables.in_blocks(pieces)):
            row = {
                "source": source,
                "bucket": bucket,
                "number": number,
                "packed": block,
            }
            connection.execute(insert(tables.inventory_buckets), row)


def _first_of(item: tuple[str, KnownIndex]) -> str:
    return item[0]


def _new_version() -> int:
    return randbits(62) + 1


def _found(connection: Connection, source: str) -> KnownIndex:
    row = connection.execute(_OF_THE_SOURCE, {"of": source}).first()
    if row is None:
        return KnownIndex()
    return KnownIndex(row.version, row.made_by, row.standing, row.read_at)


def _insert(connection: Connection, source: str, new: KnownIndex) -> None:
    """Store an index of a source that has none; raise `StaleIndex` if it has one by now."""
    from sqlalchemy.dialects.postgresql import insert as insert_if_absent

    row = insert_if_absent(tables.inventories).values(
        source=source,
        version=new.version,
        made_by=new.made_by,
        standing=new.standing,
        read_at=new.read_at,
    )
    if not connection.execute(row.on_conflict_do_nothing()).rowcount:
        raise StaleIndex(source)
