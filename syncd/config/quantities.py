"""Quantities in a configuration file: a number and a unit, and the value that they stand for.

Durations, sizes and percentages; each has a way to read it and one to write it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from syncd.config.values import from_text, problem

_SECONDS = {
    "d": 86400,
    "h": 3600,
    "m": 60,
    "s": 1,
}
# Far beyond any use, far below what a datetime can be moved by.
_LONGEST = timedelta(days=3650)
_TOO_MANY_SECONDS = _LONGEST.days * 86400 + 1
_BYTES = {
    "GB": 10**9,
    "GiB": 2**30,
    "MB": 10**6,
    "MiB": 2**20,
    "kB": 10**3,
    "KB": 10**3,
    "KiB": 2**10,
    "B": 1,
}
_LARGEST = 10**12
_DURATION = re.compile(r"([0-9]{1,15})([smhd])")
_SIZE = re.compile(r"([0-9]{1,15}) ?([A-Za-z]+)")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")


def parse_duration(value: object) -> timedelta:
    """Parse a duration, `"30s"`, `"5m"`, `"12h"` or `"30d"`, from one second to 3650 days."""
    if isinstance(value, timedelta):
        duration = value
    else:
        found = _DURATION.fullmatch(_text_of(value))
        if found is None:
            raise problem('must be a duration such as "30s", "5m", "12h" or "30d"')
        number, unit = found.groups()
        seconds = int(number) * _SECONDS[unit]
        duration = timedelta(seconds=min(seconds, _TOO_MANY_SECONDS))
    if not timedelta(seconds=1) <= duration <= _LONGEST:
        raise problem('must be from "1s" to "3650d"')
    return duration


def duration_text(duration: timedelta) -> str:
    """Return a duration as the file writes it, in the largest unit that has it whole."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit, length in _SECONDS.items() if seconds % length == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_size(value: object) -> int:
    """Parse a size such as `"50MB"` to bytes: kB, MB, GB by thousands, KiB, MiB, GiB by 1024; to 1000 GB."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        found = _SIZE.fullmatch(_text_of(value))
        if found is None or found[2] not in _BYTES:
            raise problem('must be a size such as "500kB", "50MB" or "1GiB"')
        number, unit = found.groups()
        size = int(number) * _BYTES[unit]
    if not 1 <= size <= _LARGEST:
        raise problem('must be from "1B" to "1000GB"')
    return size


def size_text(size: int) -> str:
    """Return a size in bytes as the file writes it, in the largest unit that has it whole."""
    unit = next(unit for unit, length in _BYTES.items() if size % length == 0)
    return f"{size // _BYTES[unit]}{unit}"


def parse_share(value: object) -> float:
    """Parse a percentage from 0 % to 100 %: `"30%"` is 0.3."""
    if isinstance(value, float):
        share = value
    else:
        found = _SHARE.fullmatch(_text_of(value))
        if found is None:
            raise problem('must be a percentage such as "30%"')
        share = float(found[1]) / 100
    if not 0 <= share <= 1:
        raise problem('must be from "0%" to "100%"')
    return share


def share_text(share: float) -> str:
    """Return a share as the file writes it, in percent."""
    percent = round(share * 100, 3)
    return f"{percent:g}%"


def _text_of(value: object) -> str:
    """Return a value as it is written in the file; empty if it is no text."""
    return value if isinstance(value, str) else ""


Duration = Annotated[
    timedelta, *from_text(parse_duration, duration_text, {"pattern": r"^[0-9]+[smhd]$"})
]
Size = Annotated[
    int,
    *from_text(parse_size, size_text, {"pattern": r"^[0-9]+ ?([kKMG]B|[KMG]iB|B)$"}),
]
Share = Annotated[
    float, *from_text(parse_share, share_text, {"pattern": r"^[0-9]+(\.[0-9]+)? ?%$"})
]
