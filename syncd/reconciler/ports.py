"""What the reconciler needs of the world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from syncd.core.changes import Mode, OnCancel, OnChange
from syncd.core.decisions import Decision
from syncd.core.listing import Listing
from syncd.core.mapper import MappingRules
from syncd.core.occurrence import Defect, OccurrenceKey
from syncd.core.reservation import Booking, Mark, Reservation, ReservationSpec
from syncd.ics import Document, Locale


class Fetched(Protocol):
    """The documents of a source, a sentence for each that could not be had, and what else is to be said.

    `accept` is called when they were read as whole calendars.
    """

    @property
    def documents(self) -> tuple[Document, ...]: ...
    @property
    def problems(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def accept(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CalendarSource:
    """One configured source: how to fetch it and how to read it.

    `scope` is empty when a UID means the same meeting in all sources, else the source's name.
    `confirmations` complete readings without an event count as gone.
    """

    name: str
    fetch: Callable[[], Fetched]
    locale: Locale
    scope: str = ""
    confirmations: int = 1


class BookingRules(Protocol):
    """The tenant's rules, as far as they decide what can be booked."""

    @property
    def max_day(self) -> int | None: ...


class Api(Protocol):
    """The reservation API; see `syncd.tuya` for errors and meanings."""

    def get(self, reservation_id: str) -> Reservation | None: ...
    def find(
        self, start: datetime, end: datetime, *, creator: str | None = None, room_ids: Sequence[str] = ()
    ) -> Listing: ...
    def find_within(
        self, calls: int, start: datetime, end: datetime, *, creator: str | None = None
    ) -> Listing | None: ...
    def rules(self) -> BookingRules: ...
    def find_user(self, address: str) -> str | None: ...
    def create(self, spec: ReservationSpec, mark: Mark | None) -> str: ...
    def modify(
        self, reservation_id: str, spec: ReservationSpec, mark: Mark | None, modifier: str
    ) -> None: ...
    def cancel(self, reservation_id: str) -> None: ...
    def armed(self) -> AbstractContextManager[None]: ...
    def pause_s(self, underway: int) -> float: ...
    @property
    def calls(self) -> Mapping[str, int]: ...


class RecentCancel(Protocol):
    """A cancel that was made: for the budget."""

    @property
    def source(self) -> str: ...
    @property
    def evidence(self) -> str | None: ...


class Facts(Protocol):
    """Small texts that are remembered under names."""

    def get_fact(self, name: str) -> str | None: ...


class Kept(Protocol):
    """What is kept of one UID in one source."""

    @property
    def pieces(self) -> bytes: ...
    @property
    def remarks(self) -> str: ...


class Agenda(Protocol):
    """What sources said, as far as it matters, and which UIDs need a look when; see `syncd.ledger.agenda`."""

    def inventory(self, source: str) -> tuple[bytes, str] | None: ...
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
    ) -> None: ...
    def set_standing(self, source: str, standing: str) -> None: ...
    def forget_inventories(self) -> None: ...
    def uids_kept(self, source: str) -> Sequence[str]: ...
    def pieces_of(self, source: str, uid: str) -> bytes | None: ...
    def kept_of(self, uids: Collection[str]) -> Mapping[str, Mapping[str, Kept]]: ...
    def in_several_sources(self, uids: Collection[str]) -> frozenset[str]: ...
    def remarks(self, source: str) -> Mapping[str, str]: ...
    def remark(self, source: str, remarks: Mapping[str, str]) -> None: ...
    def uids(self) -> frozenset[str]: ...
    def due(self, now: datetime) -> Mapping[str, str]: ...
    def next_due(self, now: datetime) -> datetime | None: ...
    def open_all(self, sources: Collection[str] | None = None, *, counted: bool = False) -> None: ...
    def rest(
        self,
        resting: Mapping[str, tuple[datetime | None, str]],
        *,
        over: Collection[str],
        total: tuple[str, str],
    ) -> None: ...


class Ledger(Facts, Protocol):
    """What is remembered; see `syncd.ledger`."""

    @property
    def agenda(self) -> Agenda: ...

    @property
    def fresh(self) -> bool: ...
    def mark_adopted(self, at: datetime) -> None: ...
    def current(self) -> tuple[Booking, ...]: ...
    def due(self, now: datetime) -> tuple[Booking, ...]: ...
    def unsettled(self, now: datetime) -> tuple[Booking, ...]: ...
    def in_doubt(self, now: datetime) -> tuple[Booking, ...]: ...
    def concerned(self, uids: Collection[str], marks: Collection[str]) -> tuple[Booking, ...]: ...
    def holders(self, reservation_ids: Collection[str]) -> Mapping[str, Booking]: ...
    def recorded(self, reservation_ids: Collection[str]) -> frozenset[str]: ...
    def bookings_of(self, uid: str) -> tuple[Booking, ...]: ...
    def next_generations(self, keys: Collection[OccurrenceKey]) -> Mapping[OccurrenceKey, int]: ...
    def raise_generation(self, key: OccurrenceKey, generation: int) -> None: ...
    def record(
        self, *bookings: Booking, at: datetime, what: str, detail: str = ""
    ) -> tuple[Booking, ...]: ...
    def amend(self, *bookings: Booking) -> None: ...
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
    def decisions(self) -> Sequence[Decision]: ...
    def drop_decision(self, booking: int) -> None: ...
    def set_fact(self, name: str, value: str) -> None: ...
    def calls_in_month(self, at: datetime) -> int: ...
    def prune(self, before: datetime) -> int: ...
    def approved(self) -> frozenset[str]: ...
    def spend_approval(self, checksum: str) -> None: ...
    def person(self, address: str, not_before: datetime) -> tuple[bool, str | None]: ...
    def remember_person(self, address: str, user_id: str | None, at: datetime) -> None: ...


class Progress(Protocol):
    """Who is told how far the writing is; a progress bar, or nobody."""

    def begin(self, total: int) -> None: ...
    def advance(self, done: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration as the reconciler sees it; names are those of the configuration file.

    `signing_limit` is how long after an intent its request may still be signed and sent.
    """

    mode: Mode
    horizon: timedelta
    instance: str
    mapping: MappingRules
    request_validity: timedelta = timedelta(minutes=5)
    signing_limit: timedelta = timedelta(seconds=30)
    cancel_share: float = 0.3
    cancel_floor: int = 10
    cancel_window: timedelta = timedelta(hours=24)
    empty_hold: int = 3
    told_share: float = 0.5
    told_floor: int = 20
    owners: frozenset[str] = frozenset()
    drift_check: timedelta = timedelta(hours=1)
    on_change: OnChange = OnChange.ACCEPT
    on_cancel: OnCancel = OnCancel.RESPECT
    monthly_calls: int = 0
    retention: timedelta = timedelta(days=90)
    lookup: bool = False
    publish_dir: Path | None = None
