"""What a route is given: what was asked for, by which configuration, and the ledger to look into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from syncd.config import Config
from syncd.core.booking import Booking
from syncd.ledger import Ledger
from syncd.views.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """How the daemon that serves is at this moment, as far as the ledger does not say it.

    `config` is the one in force; `problems` keep the configuration file from being used.
    `idle` is how long the work loop has given no sign of life, `patience` after how long it counts as stuck.
    `taken_over_at` is when a configuration was taken over last.
    """

    config: Config
    problems: tuple[str, ...] = ()
    idle: timedelta = timedelta()
    patience: timedelta = timedelta(seconds=60)
    taken_over_at: datetime | None = None

    @property
    def is_stuck(self) -> bool:
        """Return whether the work loop makes no progress."""
        return self.idle > self.patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question: `parameters` are those of the address, `query` what stands behind its `?`, each once.

    `accept` is what the client says that it takes.
    """

    present: Present
    now: datetime
    open_ledger: Callable[[], Ledger]
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = ""

    @property
    def config(self) -> Config:
        """Return the configuration in force."""
        return self.present.config

    @property
    def ledger(self) -> Ledger:
        """Return the ledger, read-only; raises `LedgerError` for one that cannot be read."""
        return self.open_ledger()

    @property
    def zone(self) -> tzinfo:
        """Return the time zone of all that a person reads."""
        return self.config.calendar.timezone

    def status(self, bookings: tuple[Booking, ...] | None = None) -> Status:
        """Return what the ledger knows of the present, with these bookings; raises `LedgerError`."""
        return Status.of(
            self.ledger,
            self.config,
            now=self.now,
            bookings=bookings,
            problems=self.present.problems,
        )
