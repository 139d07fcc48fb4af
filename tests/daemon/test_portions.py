"""Many calendars that are read for the first time: a daemon takes in some in each cycle, and forgets none."""

from __future__ import annotations

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import files, follow, running

_SOURCES = 4
_EVENTS = 510  # more than one cycle takes in beside those of another source
_LATER = 60  # days ahead: outside of the horizon, so that it is read and not booked


@pytest.mark.slow
def test_what_a_cycle_puts_off_the_next_one_reads(office: Office) -> None:
    """Sources that are due in hours only are all read, though one has enough news for a cycle."""
    names = [f"s{number}" for number in range(_SOURCES)]
    for name in names:
        events = [
            event(f"{number}.{name}", ahead(_LATER), room=None)
            for number in range(_EVENTS)
        ]
        (office.folder / f"{name}.ics").write_bytes(calendar(*events))
    follow(office, *(files(name, f"{name}.ics", 'interval = "12h"') for name in names))
    with running(office) as daemon:
        daemon.until(
            lambda: all(
                source["events"] == _EVENTS for source in office.status()["sources"]
            ),
            "all are read",
        )
        daemon.until(
            lambda: len(daemon.logged("cycle")) >= _SOURCES, "a cycle for each"
        )
        assert len(daemon.logged("source")) == _SOURCES
