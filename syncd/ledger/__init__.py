"""What syncd knows, durable: a small store for each subject, over one database.

Every method of a store that writes is one transaction that is on disk when it returns; none stays open
across calls, and all of them pass one gate.
So a booking whose intent was recorded survives a kill at any instruction.
One process owns the ledger; others read it, and may leave approvals, decisions and wishes, while the owner runs.
No error of the database or of the file system leaves this package: each becomes a `LedgerError`.
The schema with its constraints is in `syncd.migrations`.
"""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Self

from syncd.errors import LedgerAway, LedgerBusy, LedgerError
from syncd.ledger.address import LedgerAddress
from syncd.ledger.bookings import Bookings, prune_bookings
from syncd.ledger.database import Database
from syncd.ledger.facts import MOVING, Facts, partly_moved
from syncd.ledger.feed_entries import FeedEntries
from syncd.ledger.fence import Fence
from syncd.ledger.gate import Calls, WritingGate, prune_calls
from syncd.ledger.history import History, HistoryEntry
from syncd.ledger.index_versions import inventories_of
from syncd.ledger.latency import ChangeLatency
from syncd.ledger.leases import LeaseStore, prune_terms
from syncd.ledger.local_notes import LocalNotes
from syncd.ledger.measurements import CounterName, Measurements
from syncd.ledger.notices import NoticeStore
from syncd.ledger.operation import Operation
from syncd.ledger.paid_calls import PaidCalls
from syncd.ledger.people import (
    Approval,
    People,
    Refresh,
    prune_people,
)
from syncd.ledger.postgres_settings import ServerAbout
from syncd.ledger.published import PublishedFiles
from syncd.ledger.sources import Quarantined, SourceRecord, Sources
from syncd.ledger.sqlite_backend import Patience
from syncd.ledger.timetable import Timetable
from syncd.ledger.underway import UnderWay
from syncd.ledger.worklist import Worklist

__all__ = [
    "Approval",
    "HistoryEntry",
    "Ledger",
    "LedgerAddress",
    "Quarantined",
    "Refresh",
    "SourceRecord",
]


class Ledger:
    """An open ledger; a context manager. Every method raises `LedgerError` when it cannot be trusted.

    `bookings`, `history`, `timetable`, `feed_entries`, `sources`, `worklist`, `people`, `operation`, `notices`,
    `published`, `facts`, `calls` and `measurements` are its stores; `under_way` is what this process is working
    on, `latency` measures how long its changes take.
    """

    def __init__(self, database: Database, *, owner: bool) -> None:
        self._database = database
        # Of a shared one others go on with the count at any moment.
        paid = owner and database.is_shared
        self.calls = PaidCalls(database) if paid else Calls(database)
        self.measurements = Measurements(database)
        self._gate = WritingGate(database, self.calls, self.measurements)
        # Nobody but the owner of a file sets any, and they are asked for again and again.
        alone = owner and not database.is_shared
        self.facts = Facts(database, self._gate, cached=alone)
        self.bookings = Bookings(database, self._gate, self.facts, is_owner=owner)
        self.history = History(database)
        self.timetable = Timetable(database)
        self.feed_entries = FeedEntries(database)
        inventories = inventories_of(database, self._gate, owner=owner)
        self.worklist = Worklist(database, self._gate, self.facts, inventories)
        self.sources = Sources(database, self._gate, self.worklist)
        self.people = People(database, self._gate)
        self.operation = Operation(database, self._gate)
        self.notices = NoticeStore(database, self._gate, self.facts, self.measurements)
        self.published = PublishedFiles(database, self.facts)
        kept_beside = database.companion(".underway") if owner else None
        self.under_way = UnderWay(kept_beside)
        self.latency = ChangeLatency(self.measurements)

    @classmethod
    def open(
        cls,
        address: str | LedgerAddress,
        *,
        owner: bool,
        patience_s: float = 5.0,
        patience: Patience | None = None,
        converts_aside: bool = False,
    ) -> Ledger:
        """Open the ledger at an address or a database URL (`sqlite:////var/lib/syncd/state.db`).

        The owner creates the database, brings it to the current schema and holds it until `close`.
        Others see it as it is: an absent one is empty, nothing is created, and what they write is lost.
        A write waits `patience_s` seconds for that of another process, or as long as `patience` lasts;
        then it raises `LedgerBusy`.
        `converts_aside`: another process brings it to the current schema, because this one lives for long.
        Raises `LedgerLocked` naming the owner, `LedgerTooNew` or `LedgerAhead`, `LedgerAway`, else `LedgerError`.
        """
        address = LedgerAddress.of(address)
        database = Database(
            address,
            owner=owner,
            patience_s=patience_s,
            patience=patience,
            converts_aside=converts_aside,
        )
        ledger = cls(database, owner=owner)
        if owner and ledger.facts.get(MOVING) is not None:
            ledger.close()
            raise partly_moved(address.name)
        return ledger

    @property
    def is_shared(self) -> bool:
        """Return whether several machines reach it."""
        return self._database.is_shared

    @property
    def name(self) -> str:
        """Return what it is called in what people read."""
        return self._database.address.name

    def lease_store(self, lease: str) -> LeaseStore:
        """Return the store of a lease and of the members; of a shared ledger."""
        return LeaseStore(self._database, lease)

    def local_notes(self) -> LocalNotes:
        """Return what this machine remembers of a shared ledger that this process owns here."""
        return LocalNotes(self._database.address)

    def begin_term(self, fence: Fence | None, *, recovering: bool = False) -> None:
        """Write for a term of the lease of a shared ledger from now on; None: leave that to others again.

        What others wrote meanwhile counts. `recovering`: the ledger may lack what it had, so nothing is
        created before that is settled (`Bookings.recovery`). Raises `LedgerError`.
        """
        self._gate.fence = fence
        if fence is not None:
            self.measurements.add(CounterName.LEASE_TAKEOVERS)
            self.bookings.begin_term(recovering=recovering)

    def note_refusal(self) -> None:
        """Count that the fence kept something from being written."""
        self.measurements.add(CounterName.FENCE_REFUSALS)

    @property
    def basis(self) -> str:
        """Return what the readings of this process rest on, as `basis_of` tells it, on a shared ledger."""
        return self.worklist.versions.basis

    def begin_reading(self, basis: str) -> None:
        """Let other parts of this process read from now on, which rest on that and know of no index yet."""
        self.worklist.versions.clear()
        self.worklist.versions.basis = basis

    def prune(self, before: datetime, *, unseen_before: datetime | None = None) -> int:
        """Forget what has been over since before a moment; returns the number of bookings forgotten.

        That is closed bookings with their history, counts of calls, approvals, answers of the directory.
        The generation of an occurrence goes with its last booking, but stays if its meetings were not over
        `unseen_before`: as long as anybody may find a reservation by its mark, that is not given twice.
        """
        with self._gate.writing() as connection:
            forgotten = prune_bookings(connection, before, unseen_before or before)
            prune_calls(connection, before)
            prune_people(connection, before)
            if self.is_shared:
                prune_terms(connection, before)
        self.bookings.note_progress()
        return forgotten

    def version(self) -> object:
        """Return a value that equals the one before only if nothing was committed since, by any process."""
        return self._database.version()

    def is_of_this_version(self) -> bool:
        """Tell whether it still is as this version of the program reads it; for who keeps it open and looks on."""
        return self._database.is_of_this_version()

    def size(self) -> int:
        """Return how many bytes it takes."""
        return self._database.size()

    def server(self) -> ServerAbout | None:
        """Return what its server is; None for a file, or where there is no ledger yet."""
        return self._database.server()

    def require_in_place(self) -> None:
        """Raise `LedgerError` when its files are no longer those of their names: moved, deleted, replaced."""
        self._database.require_in_place()

    def close(self) -> None:
        """Store what is still in memory and give up ownership; closing twice does no harm."""
        try:
            self._gate.store_counts()
        except (LedgerAway, LedgerBusy):
            pass  # whoever waited for it before was told; a few calls are not counted
        except LedgerError:
            if not self._is_lost():
                raise  # a ledger that is no longer its file was complained of before, and keeps no count
        finally:
            self.under_way.close()
            self._database.close()

    def _is_lost(self) -> bool:
        try:
            self._database.require_in_place()
        except LedgerError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except LedgerError:
            # What ended the work is told, not that the same keeps the rest from being stored.
            if not isinstance(error, LedgerError):
                raise
