"""The alarms of a VEVENT (RFC 5545 section 3.6.6, RFC 9074): when they fire, as far as a time says so."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from syncd.core.occurrence import Alarm
from syncd.ics.content import RawComponent
from syncd.ics.duration import parse_duration
from syncd.ics.zones import Zones

# What can be counted with; the mapper decides how far before is sensible.
_FARTHEST = timedelta(days=3660)
_RELATED_TO_END = re.compile(r';RELATED="?END\b')


def alarms_of(raw: RawComponent, zones: Zones) -> Iterator[Alarm]:
    """Yield the triggers of alarms that do something; one that cannot be read is no alarm.

    ACTION:NONE does nothing, and with PROXIMITY (RFC 9074 section 8) a place triggers it and no time.
    """
    for alarm in raw.subcomponents("VALARM"):
        if _does_nothing(alarm) or alarm.first("PROXIMITY") is not None:
            continue
        for parameters, value in alarm.values("TRIGGER"):
            with contextlib.suppress(ValueError, OverflowError):
                yield _alarm(parameters, value.strip().upper(), zones)


def _does_nothing(alarm: RawComponent) -> bool:
    action = alarm.first("ACTION") or ""
    return action.strip().upper() == "NONE"


def _alarm(parameters: str, value: str, zones: Zones) -> Alarm:
    """Return the alarm of one TRIGGER (RFC 5545 section 3.8.6.3), whose value is in upper case.

    Raises `ValueError` or `OverflowError` for one that cannot be read or counted with.
    """
    if value[:1].isdigit():
        wall = datetime.strptime(value, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007  # its zone is the Z
        return Alarm(at=zones.instant(wall, "UTC"))
    offset = parse_duration(value).rough
    if abs(offset) > _FARTHEST:
        raise ValueError
    from_end = _RELATED_TO_END.search(parameters.upper()) is not None
    return Alarm(offset=offset, from_end=from_end)
