"""What a cycle needs of the ledger beside what reading and writing need."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from syncd.apply.ports import (
    BookingLedger,
    BookingStore,
    CounterStore,
    DecisionStore,
    Latency,
)
from syncd.core.acknowledged import Acknowledged
from syncd.core.booking import Booking
from syncd.core.occurrence import Defect
from syncd.core.totals import Skips, Totals
from syncd.intake.ports import ChangeNotes, IntakeLedger, WorklistStore
from syncd.ledger.agenda import News
from syncd.ledger.measurements import GaugeName, HistogramName
from syncd.ledger.operation import CycleRecord
from syncd.ledger.sources import ReadingRecord, SourceRecord


class RecentCancel(Protocol):
    """A cancel that was made: for the budget."""

    @property
    def source(self) -> str: ...
    @property
    def evidence(self) -> str | None: ...


class CycleBookings(BookingStore, Protocol):
    """The record of bookings, as a cycle asks for it."""

    def ready(self, now: datetime) -> tuple[Booking, ...]: ...
    def totals(
        self,
        now: datetime,
        ready: frozenset[str],
        bookings: Collection[Booking] = (),
        sources: Collection[str] = (),
    ) -> Totals: ...
    def waiting(self) -> int: ...
    def unsettled(self, now: datetime) -> tuple[Booking, ...]: ...
    def cancels_since(self, since: datetime) -> Iterable[RecentCancel]: ...


class CycleWorklist(WorklistStore, Protocol):
    """Which UIDs need a look when, and those that are held back."""

    def make_ready(self, uids: Collection[str]) -> None: ...
    def mark_planned(self, planned: Mapping[str, Skips], seen: News) -> None: ...
    def make_planned_ready(self) -> None: ...


class SourceStore(Protocol):
    """How the sources stood when they were looked at last."""

    def all(self) -> Mapping[str, SourceRecord]: ...
    def digests(self) -> Mapping[str, str]: ...
    def record_readings(self, readings: Iterable[ReadingRecord]) -> None: ...
    def record_defects(
        self, source: str, defects: Sequence[Defect], *, at: datetime
    ) -> None: ...


class PeopleStore(DecisionStore, Protocol):
    """What persons left for a cycle or have seen, and what the directory said of them."""

    def acknowledged(self) -> Acknowledged: ...
    def approved(self) -> frozenset[str]: ...
    def spend_approval(self, checksum: str) -> None: ...
    def user_of(
        self, address: str, not_before: datetime
    ) -> tuple[bool, str | None]: ...
    def record_user(self, address: str, user_id: str | None, at: datetime) -> None: ...


class CallCount(Protocol):
    """The calls that were made."""

    def in_month(self, at: datetime) -> int: ...


class MeasurementStore(CounterStore, Protocol):
    """What is measured for monitoring; see `syncd.ledger.measurements`."""

    def observe(self, name: HistogramName, seconds: float, *labels: str) -> None: ...
    def set(self, name: GaugeName, value: float) -> None: ...


class LatencyStore(Latency, ChangeNotes, Protocol):
    """What measures how long changes of calendars take, from the one end to the other."""

    def keep(self, uids: Collection[str]) -> None: ...


class OperationStore(Protocol):
    """What is remembered of the cycles."""

    def record_cycle(self, cycle: CycleRecord) -> None: ...


class Ledger(BookingLedger, IntakeLedger, Protocol):
    """What is remembered; see `syncd.ledger`."""

    @property
    def bookings(self) -> CycleBookings: ...
    @property
    def worklist(self) -> CycleWorklist: ...
    @property
    def sources(self) -> SourceStore: ...
    @property
    def people(self) -> PeopleStore: ...
    @property
    def calls(self) -> CallCount: ...
    @property
    def operation(self) -> OperationStore: ...
    @property
    def measurements(self) -> MeasurementStore: ...
    @property
    def latency(self) -> LatencyStore: ...
    def prune(
        self, before: datetime, *, unseen_before: datetime | None = None
    ) -> int: ...
