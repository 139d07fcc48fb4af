"""Whether the rate of the configuration is reached: many creates, each answered after 50 ms."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.generator import Archive
from tests.benchmarks.measuring import cycle
from tests.benchmarks.office import Office, place

RATES = (50.0, 100.0)
_EVENTS = 6000  # a few hundred of their occurrences are within the horizon
_ANSWERED_AFTER = "late:seconds=0.05"


def measure(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """By configured rate: calls, and the rate between the first create and the last."""
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    archive = Archive(_EVENTS, now)
    calendar = folder / "office.ics"
    office = Office(folder, archive.rooms, [("office", calendar)])
    archive.write(folder / "base.ics")
    place(folder / "base.ics", calendar)
    found: dict[str, Any] = {}
    for configured in RATES:
        office.restore("empty")
        calls: list[tuple[float, str]] = []

        def note(line: str, calls: list[tuple[float, str]] = calls) -> None:
            calls.append((time.monotonic(), line.split(maxsplit=1)[0]))

        with office.sandbox(
            requests_per_second=configured, faults=(_ANSWERED_AFTER,), log=note
        ):
            figures = cycle(office.configuration, now)
        creates = [at for at, method in calls if method == "POST"]
        within = [at for at, _ in calls if creates[0] <= at <= creates[-1]]
        reached = (len(within) - 1) / (creates[-1] - creates[0])
        found[f"{configured:g}"] = {
            "creates": len(creates),
            "calls": figures.calls,
            "seconds": creates[-1] - creates[0],
            "reached": reached,
            "share": reached / configured,
        }
        say(
            f"{configured:g} calls/s configured, {reached:.1f} reached ({reached / configured:.1%}): "
            f"{len(creates)} creates, {len(within)} calls in {creates[-1] - creates[0]:.1f} s"
        )
    return found
