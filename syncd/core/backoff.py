"""How long to leave alone what failed, and how long it may fail until it cannot wait."""

from __future__ import annotations

from datetime import datetime, timedelta

LONGEST_BACK_OFF = timedelta(hours=6)
"""What fails is tried again at least so often, unless its own interval is longer."""

_LEAST_STALE = timedelta(hours=1)
_INTERVALS_UNTIL_STALE = 3
_MICROSECOND = timedelta(microseconds=1)


def backed_off(
    interval: timedelta, failures: int, longest: timedelta = LONGEST_BACK_OFF
) -> timedelta:
    """Return how long to wait after failures in a row: `interval` after the first, then doubling.

    Never more than `longest`, and never less than `interval`.
    """
    doublings = min(max(failures - 1, 0), 64)
    # In whole microseconds, because a month of doubling exceeds what a timedelta can be.
    waited = min((interval // _MICROSECOND) << doublings, longest // _MICROSECOND)
    return max(interval, waited * _MICROSECOND)


def is_stale(since: datetime, interval: timedelta, now: datetime) -> bool:
    """Tell whether what is read every `interval` was not read for so long that a person must not wait."""
    longest = max(_LEAST_STALE, interval * _INTERVALS_UNTIL_STALE)
    return now - since > longest
