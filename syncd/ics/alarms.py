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


def alarms_of(raw: RawComponent, zones: Zones) -> Iterator[Alarm]:
    """Yield the triggers of alarms that do something; one that cannot be read is no alarm.

    ACTION:NONE does nothing, and with PROXIMITY (RFC 9074 section 8) a place triggers it and no time.
    """
    for alarm in raw.subcomponents("VALARM"):
        does_nothing = (alarm.first("ACTION") or "").strip().upper() == "NONE"
        if does_nothing or alarm.first("PROXIMITY") is not None:
            continue
        for parameters, written in alarm.values("TRIGGER"):
            with contextlib.suppress(ValueError, OverflowError):
                yield _trigger(parameters.upper(), written.strip().upper(), zones)


def _trigger(parameters: str, written: str, zones: Zones) -> Alarm:
    """Return one TRIGGER in upper case (RFC 5545 section 3.8.6.3); raises `ValueError` or `OverflowError`."""
    if written[:1].isdigit():
        wall = datetime.strptime(written, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007  # its zone is the Z
        return Alarm(at=zones.instant(wall, "UTC"))
    from_end = re.search(r';RELATED="?END\b', parameters) is not None
    offset = parse_duration(written).rough
    if abs(offset) > _FARTHEST:
        raise ValueError
    return Alarm(offset=offset, from_end=from_end)
