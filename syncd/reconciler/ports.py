"""What a cycle needs of the ledger beside what reading and writing need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from syncd.apply.ports import BookingLedger
from syncd.core.booking import Booking
from syncd.core.occurrence import Defect
from syncd.intake.ports import IntakeLedger


class RecentCancel(Protocol):
    """A cancel that was made: for the budget."""

    @property
    def source(self) -> str: ...
    @property
    def evidence(self) -> str | None: ...


class Ledger(BookingLedger, IntakeLedger, Protocol):
    """What is remembered; see `syncd.ledger`."""

    def due(self, now: datetime) -> tuple[Booking, ...]: ...
    def unsettled(self, now: datetime) -> tuple[Booking, ...]: ...
    def cancels_since(self, since: datetime) -> Iterable[RecentCancel]: ...
    def digest_of(self, source: str) -> str | None: ...
    def record_reading(
        self,
        source: str,
        *,
        at: datetime,
        state: str,
        complete: bool,
        events: int,
        digest: str,
        error: str | None,
        defects: Sequence[Defect],
    ) -> None: ...
    def record_defects(self, source: str, defects: Sequence[Defect], *, at: datetime) -> None: ...
    def approved(self) -> frozenset[str]: ...
    def spend_approval(self, checksum: str) -> None: ...
    def calls_in_month(self, at: datetime) -> int: ...
    def person(self, address: str, not_before: datetime) -> tuple[bool, str | None]: ...
    def remember_person(self, address: str, user_id: str | None, at: datetime) -> None: ...
    def prune(self, before: datetime) -> int: ...
