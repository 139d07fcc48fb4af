"""What of a daemon is there whatever becomes of its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from syncd.assembly import Stop
from syncd.daemon.background import BackgroundReads
from syncd.daemon.schedule import Scheduler, Wakes
from syncd.daemon.sums import Sums
from syncd.daemon.systemd import Notifier
from syncd.ics import ParserPool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a daemon has from its start to its end."""

    stop: Stop
    notifier: Notifier
    wakes: Wakes
    scheduler: Scheduler
    background: BackgroundReads
    parsers: ParserPool
    sums: Sums
    looks_every: timedelta
