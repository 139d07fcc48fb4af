"""What the ledger knows of the present, in one value that tables and documents render."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.apply import Oddity, all_oddities, count_leftovers
from syncd.core.booking import CLOSED_STATES, Booking, BookingState
from syncd.core.reasons import REFUSALS, Reason
from syncd.ledger import Ledger, SourceRecord
from syncd.ledger.facts import HELD, MISSING_FILES, Held
from syncd.reconciler import clock_told, forecast


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a configured source stood when it was last looked at; `state` is unread if it never was."""

    name: str
    state: str = "unread"
    last_read_at: datetime | None = None
    last_ok_at: datetime | None = None
    events: int = 0
    quarantined: int = 0
    error: str | None = None
    next_run_at: datetime | None = None

    @classmethod
    def of(cls, name: str, record: SourceRecord | None) -> SourceStatus:
        """Return the status of a source by its record; None: it has none."""
        if record is None:
            return cls(name)
        return cls(
            name,
            record.state,
            record.last_read_at,
            record.last_ok_at,
            record.events,
            record.quarantined,
            record.error,
            record.next_run_at,
        )


@dataclass(frozen=True, slots=True)
class Status:
    """What is booked, how the sources stand, and what waits for a person.

    `bookings` are all that are remembered, closed ones too, by key and room.
    `strays` and `duplicates` count reservations with our mark that are nobody's.
    `missing_files` are gone for a moment, by source.
    `calls_forecast` is how many calls the month will have at its end; `monthly_calls` may be made, 0: any.
    `clock` is a sentence about the clock of this machine, empty when it is right; when it is `clock_wrong`,
    nothing is written.
    """

    mode: str
    bookings: tuple[Booking, ...]
    sources: tuple[SourceStatus, ...]
    held: Held
    missing_files: Mapping[str, Sequence[str]]
    oddities: tuple[Oddity, ...]
    strays: int
    duplicates: int
    calls_this_month: int
    calls_forecast: int
    monthly_calls: int
    clock: str
    clock_wrong: bool

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        *,
        mode: str,
        configured: Iterable[str],
        monthly_calls: int,
        now: datetime,
    ) -> Status:
        """Return what the ledger knows, without asking anybody; raises `LedgerError`."""
        records = ledger.sources.all()
        bookings = ledger.bookings.all()
        used = ledger.calls.in_month(now)
        strays, duplicates = count_leftovers(ledger.facts)
        clock, clock_wrong = clock_told(ledger.facts)
        missing_files = ledger.facts.get(MISSING_FILES)
        return cls(
            mode=mode,
            bookings=bookings,
            sources=tuple(
                SourceStatus.of(name, records.get(name)) for name in configured
            ),
            held=ledger.facts.get(HELD) or Held(),
            missing_files=missing_files or {},
            oddities=all_oddities(ledger.facts, bookings),
            strays=strays,
            duplicates=duplicates,
            calls_this_month=used,
            calls_forecast=forecast(used, now),
            monthly_calls=monthly_calls,
            clock=clock,
            clock_wrong=clock_wrong,
        )

    @property
    def current(self) -> tuple[Booking, ...]:
        """Return the bookings that are neither cancelled nor ended."""
        return tuple(
            booking for booking in self.bookings if booking.state not in CLOSED_STATES
        )

    @property
    def in_doubt(self) -> int:
        """Return of how many bookings it is not certain what became of a request."""
        return sum(booking.in_doubt for booking in self.bookings)

    @property
    def vanished(self) -> int:
        """Return how many bookings vanished from Tuya at once."""
        return sum(booking.is_vanished for booking in self.bookings)

    @property
    def needs_attention(self) -> bool:
        """Return whether something waits for a person, or for what is to be found out."""
        return (
            self.held.checksum is not None
            or bool(self.oddities)
            or self.clock_wrong
            or self.vanished > 0
            or any(_is_open(booking) for booking in self.current)
            or any(source.error or source.quarantined for source in self.sources)
        )


def _is_open(booking: Booking) -> bool:
    """Return whether a booking waits for a person, or for what is to be found out."""
    if booking.in_doubt or booking.reason in REFUSALS:
        return True
    return (
        booking.state is BookingState.REFUSED and booking.reason is not Reason.DROPPED
    )
