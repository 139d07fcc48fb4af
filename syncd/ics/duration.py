"""Lengths as calendars write them: DURATION values (RFC 5545 section 3.3.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from syncd.core.reasons import Reason
from syncd.ics.content import BrokenComponent

_DURATION = re.compile(
    r"([+-])?P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Duration:
    """A length as RFC 5545 section 3.3.6 has it: days are nominal, the rest is exact."""

    days: int = 0
    exact: timedelta = timedelta()

    @property
    def rough(self) -> timedelta:
        """Return the length where days have 24 hours; for bounds only."""
        return timedelta(days=self.days) + self.exact


def parse_duration(text: str) -> Duration:
    """Read a DURATION value (RFC 5545 section 3.3.6); raises `BrokenComponent`.

    One without any part is zero: Outlook.com writes `P` and macOS `PT` for *at the start*.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY, f"DURATION {text.strip()[:40]!r} is not a duration"
        )
    weeks, days, hours, minutes, seconds = (
        int(part or 0) for part in match.groups()[1:]
    )
    sign = -1 if match[1] == "-" else 1
    exact = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return Duration(days=sign * (7 * weeks + days), exact=sign * exact)
