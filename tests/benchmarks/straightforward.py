"""The straightforward pipeline, for comparison: parse everything, expand everything, each time.

Run as a script by the Python of the peers' own environment, which has these libraries; prints how many
occurrences the coming 30 days hold.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Read the calendar that the first argument names, from the moment that the second one names."""
    icalendar = import_module("icalendar")
    # Stands nowhere else.
    recurring_ical_events = import_module("recurring_ical_events")
    now = datetime.fromisoformat(sys.argv[2])
    wall, cpu = time.perf_counter(), time.process_time()
    calendar = icalendar.Calendar.from_ical(Path(sys.argv[1]).read_bytes())
    found = recurring_ical_events.of(calendar).between(now, now + timedelta(days=30))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sys.stdout.write(
        json.dumps({"wall_s": wall, "cpu_s": cpu, "occurrences": len(found)})
    )


if __name__ == "__main__":
    main()
