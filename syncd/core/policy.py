"""What planning needs to know beside calendars and bookings.

Values of the configuration, of people's approvals, and of the API calls that are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd.core.changes import Cancel, Change, Create, Mode, OnCancel, OnChange, Update
from syncd.core.evidence import Safety
from syncd.core.occurrence import Window

CALLS_OF_A_WRITE = 2
"""The request, and reading it back."""

NEAR = timedelta(days=3)
"""Meetings that are booked and changed also when the API calls of a month run short."""


@dataclass(frozen=True, slots=True)
class CallBudget:
    """API calls of the month: how many are `left` for writes, and whether they run `short` at this pace."""

    left: int
    short: bool = False

    def put_off(
        self, changes: Sequence[Change], now: datetime
    ) -> list[Create | Update]:
        """Return the changes that have to wait, because cancels and nearer meetings get the calls."""
        wanted = [c for c in changes if isinstance(c, Create | Update)]
        wanted.sort(key=lambda c: (c.meeting.spec.start, c.meeting.key))
        cancels = sum(isinstance(c, Cancel) for c in changes)
        affordable = max(0, self.left - cancels) // CALLS_OF_A_WRITE
        return [
            change
            for place, change in enumerate(wanted)
            if place >= affordable
            or (self.short and change.meeting.spec.start > now + NEAR)
        ]


REPAIRS = 3
"""Repairs of the same difference in a row; after these it stays, and a person is told."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was repaired at a reservation, for the content `origin` of the calendar, and how often."""

    origin: str
    fields: tuple[str, ...]
    times: int

    def is_of(self, origin: str, fields: tuple[str, ...]) -> bool:
        """Tell whether it is about this difference."""
        return (self.origin, self.fields) == (origin, fields)


@dataclass(frozen=True, slots=True)
class Policy:
    """What planning needs to know beside calendars and bookings.

    `configured` are the names of all sources; `readings` of a cycle may cover fewer.
    `advance` is how far ahead the tenant lets book (None: no limit is known).
    `approved` are the checksums of held sets that a person released.
    `calls` is what the API calls of this month allow (None: not metered).
    `repairs` are those that are not known to last, by row of their booking.
    """

    mode: Mode
    window: Window
    configured: tuple[str, ...]
    safety: Safety = field(default_factory=Safety)
    advance: timedelta | None = None
    approved: frozenset[str] = frozenset()
    on_change: OnChange = OnChange.ACCEPT
    on_cancel: OnCancel = OnCancel.RESPECT
    calls: CallBudget | None = None
    repairs: Mapping[int, Repaired] = field(default_factory=dict)

    def beyond_horizon(self, start: datetime) -> str:
        """Return a sentence about when a meeting is booked that starts beyond the horizon."""
        ahead = self.window.end - self.window.start
        return (
            f"It begins beyond the horizon of {ahead.days} days (calendar.horizon); "
            f"it is booked when it comes within the horizon, on {start - ahead:%Y-%m-%d}."
        )
