"""What the metrics are made of: one value of all that the ledger knows, at one scrape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from syncd.core.booking import BookingState
from syncd.core.totals import Skips
from syncd.ledger.counts import DriftCounts
from syncd.ledger.facts import COMPARED_AT
from syncd.ledger.holding import process_name
from syncd.ledger.measurements import Measured
from syncd.views.concerns import ConcernKind
from syncd.views.status import Status
from syncd.web.asked import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValues:
    """All that `/metrics` shows of the ledger.

    `closed` are the bookings that are over or cancelled and still remembered, `drift` those that are otherwise
    in Tuya, `doubt_since` is when the oldest request was sent whose answer is not known.
    `writes`: this process is the one that does, `members` live on the ledger.
    """

    status: Status
    measured: Measured
    closed: Mapping[BookingState, int]
    skips: Skips
    drift: DriftCounts
    doubt_since: datetime | None
    compared_at: datetime | None
    size_bytes: int
    writes: bool
    members: int

    @classmethod
    def of(cls, asked: Asked) -> MetricValues:
        """Return what the ledger knows; raises `LedgerError`."""
        ledger = asked.ledger
        status = asked.status()
        return cls(
            status=status,
            measured=ledger.measurements.all(),
            closed=ledger.bookings.count_closed(),
            skips=ledger.worklist.skips(),
            drift=ledger.bookings.count_drift(),
            doubt_since=_doubt_since(status),
            compared_at=ledger.facts.get(COMPARED_AT),
            size_bytes=ledger.size(),
            writes=_writes(status) or not ledger.is_shared,
            members=sum(one.lives for one in status.sharing.members) or 1,
        )


def _writes(status: Status) -> bool:
    """Tell whether this process holds the lease of a shared ledger."""
    lease = status.sharing.lease
    if lease is None or not lease.expires_in_s:
        return False
    return lease.daemon == process_name()


def _doubt_since(status: Status) -> datetime | None:
    told = (*status.concerns, *status.seen)
    doubts = [concern for concern in told if concern.kind is ConcernKind.DOUBT]
    return min(filter(None, (doubt.since for doubt in doubts)), default=None)
