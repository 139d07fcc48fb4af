"""A database that is restarted again and again while much is booked (row 11)."""

from __future__ import annotations

import pytest

from tests.campus import cluster as clusters
from tests.campus.daemons import Campus
from tests.conftest import ahead, event
from tests.daemon.running import until
from tests.postgres_keeper import Cluster


def many(number: int) -> dict[str, str]:
    """So many events, in two rooms and on several days, none at the time of another one."""
    found: dict[str, str] = {}
    for one in range(number):
        day, rest = divmod(one, 60)
        slot, large = divmod(rest, 2)
        start = ahead(1 + day, 6 + slot // 4, slot % 4 * 15)
        room = "large" if large else "small"
        found[f"Meeting m{one}"] = event(f"m{one}", start, 15, room=room)
    return found


def await_progress(campus: Campus) -> None:
    """Wait until something more is booked, or everything is."""
    made = len(campus.api.writes())
    until(
        lambda: len(campus.api.writes()) > made or campus.at_rest(),
        "something is booked",
    )


@pytest.mark.slow
@pytest.mark.first(0, 0)
@pytest.mark.parametrize("times", [3, 50])
def test_the_database_crashes_under_a_first_booking(
    several: Campus, broken: Cluster, times: int
) -> None:
    """Nothing is lost, and nothing doubled."""
    several.write("s1", many(200))
    several.start("a", "b", "c")
    for _ in range(times):
        await_progress(several)
        clusters.restart(broken)
    until(several.at_rest, "booked")
    several.require_good()
