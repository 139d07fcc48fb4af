"""What the tests of a campus share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.campus import cluster as clusters
from tests.campus.daemons import Campus, campus
from tests.conftest import Office, ahead, event
from tests.postgres_keeper import Cluster

WINDOW_S = 4
"""How long the API takes a request, in seconds: less than two times a lease."""


def meetings(*topics: str, day: int = 2) -> dict[str, str]:
    """Events by their topics, one after the other."""
    return {
        f"Meeting {topic}": event(topic, ahead(day, 6 + number), 30)
        for number, topic in enumerate(topics)
    }


@pytest.fixture
def broken() -> Iterator[Cluster]:
    """A server of its own with an empty database `ledger`."""
    with clusters.cluster() as made:
        yield made


@pytest.fixture
def several(
    broken: Cluster, tmp_path: Path, make_office: Callable[..., Office]
) -> Iterator[Campus]:
    """A campus on a server of its own, whose API takes a request for some seconds only."""
    switches = (f"time_window={WINDOW_S}",)
    with campus(tmp_path, make_office, broken, switches=switches) as made:
        made.validity = "5s"
        yield made
