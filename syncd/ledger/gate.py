"""The gate that every writing transaction of the ledger passes, and what is counted until one does.

No store begins a writing transaction by itself, so what must hold for all writes has one place.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Executable, TableClause, delete, func, select, text

from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.fence import Fence
from syncd.ledger.measurements import Measurements

_ADD_CALLS = text(
    "INSERT INTO calls (month, method, count) VALUES (:month, :method, :more) "
    "ON CONFLICT (month, method) DO UPDATE SET count = calls.count + excluded.count"
)


class Calls:
    """The calls to the API, by calendar month (UTC) and method; may be used from several threads.

    A call is counted in memory until the next write of the ledger, so a kill may lose a few.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unstored: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()
        # Held while counted calls are neither here nor there.
        self._storing = threading.RLock()

    def count(self, method: str, at: datetime, within: int | None = None) -> bool:  # noqa: ARG002
        """Count one call; return True: that no more than `within` are made, the caller saw before.

        It never touches the disk: nothing may come between an answer and its record.
        """
        self.add(month_of(at), method, 1)
        return True

    def add(self, month: str, method: str, more: int) -> None:
        """Count calls of a month until the next write; below zero: take them off."""
        with self._counting:
            self._unstored[month, method] += more

    def give_back(self) -> None:
        """Do nothing: none is counted that was not made."""

    def in_month(self, at: datetime) -> int:
        """Return how many calls were made in the calendar month of a moment."""
        month = month_of(at)
        c = tables.calls.c
        query = select(func.sum(c.count)).where(c.month == month)
        with self._storing, self._counting:
            number = int(self._database.scalar(query) or 0)
            for (counted_in, _), unstored in self._unstored.items():
                if counted_in == month:
                    number += unstored
        return number

    @property
    def wait_for_a_write(self) -> bool:
        """Return whether calls were counted that are not stored yet."""
        return bool(self._unstored)

    @contextlib.contextmanager
    def taken(self) -> Iterator[Mapping[tuple[str, str], int]]:
        """Hand out what is not stored yet to be stored in the block; counts it again if that raises."""
        with self._storing:
            with self._counting:
                counted = self._unstored
                self._unstored = Counter()
            try:
                yield counted
            except BaseException:
                with self._counting:
                    self._unstored.update(counted)
                raise


class WritingGate:
    """Begins the writing transactions of all stores.

    `fence` is that of the term in which this process writes on a shared ledger. None: it has none, because
    the ledger is a file, or because this process leaves to others what only one may do.
    """

    def __init__(
        self, database: Database, calls: Calls, measurements: Measurements
    ) -> None:
        self._database = database
        self._calls = calls
        self._measurements = measurements
        self.changes = 0
        """How often this process wrote about bookings, or deferred UIDs."""
        self.fence: Fence | None = None

    @contextlib.contextmanager
    def writing(
        self, *, asks: bool = False, fenced: bool = True
    ) -> Iterator[Connection]:
        """Begin a transaction; it is on disk when the block ends, and undone when it raises.

        What was counted and measured since the last one is stored besides.
        `asks`: an intent is written, after which a request leaves. Raises `TermOver` when the term of this
        process is over, unless it is not `fenced`, because it adds to what others add to as well.
        """
        with (
            self._calls.taken() as counted,
            self._measurements.stored_with() as measured,
            self._database.writing() as connection,
        ):
            if fenced and self.fence is not None:
                self.fence.require(connection, asks=asks)
            yield connection
            if counted:
                add_calls(connection, counted)
            measured.store(connection)

    def store_counts(self) -> None:
        """Store what was counted and measured, also after the term of this process."""
        self._calls.give_back()
        if self._calls.wait_for_a_write or self._measurements.wait_for_a_write:
            with self.writing(fenced=False):
                pass

    def execute(
        self,
        statement: Executable,
        parameters: Sequence[Mapping[str, object]] | None = None,
    ) -> None:
        """Carry out one statement, or one for each of the parameters, as a transaction."""
        with self.writing() as connection:
            connection.execute(statement, parameters)

    def put(
        self, into: TableClause, key: Mapping[str, object], values: Mapping[str, object]
    ) -> None:
        """Set columns of the row with a key, new or not, as a transaction."""
        with self.writing() as connection:
            tables.put(connection, into, key, values)


def prune_calls(connection: Connection, before: datetime) -> None:
    """Forget the calls of the months before that of a moment."""
    is_old = tables.calls.c.month < month_of(before)
    connection.execute(delete(tables.calls).where(is_old))


def add_calls(connection: Connection, counted: Mapping[tuple[str, str], int]) -> None:
    """Add calls, counted by month and method, to those that are stored."""
    lines: list[dict[str, object]] = []
    for (month, method), more in counted.items():
        lines.append({"month": month, "method": method, "more": more})
    connection.execute(_ADD_CALLS, lines)


def month_of(at: datetime) -> str:
    """Return the calendar month of a moment (UTC), as calls are counted by it."""
    in_utc = at.astimezone(UTC)
    return in_utc.strftime("%Y-%m")
