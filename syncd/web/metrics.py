"""`/metrics`: what the ledger knows, as Prometheus reads it; asked of the ledger at each scrape.

The values are those of `Status`, which the commands show, and what was counted beside it; nothing is decided
here. No label holds what a calendar or a person wrote: names of sources stand in the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from syncd.errors import LedgerError
from syncd.web.answers import File
from syncd.web.asked import Asked
from syncd.web.health import readiness_told
from syncd.web.metric_families import (
    families_of_daemon,
    families_of_ledger,
    family_of_availability,
)
from syncd.web.metric_values import MetricValues


class LedgerCollector(Collector):
    """The metrics of one scrape."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; without a ledger those of the daemon alone."""
        asked = self._asked
        is_ready, _ = readiness_told(asked)
        yield from families_of_daemon(asked.present, asked.now, is_ready=is_ready)
        try:
            values = MetricValues.of(asked)
        except LedgerError:
            yield family_of_availability(is_available=False)
            return
        yield family_of_availability(is_available=True)
        yield from families_of_ledger(values)


def metrics_file(asked: Asked) -> File:
    """Return the metrics, in the format that the client takes: OpenMetrics or text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LedgerCollector(asked))
    encode, media_type = choose_encoder(asked.accept)
    return File(
        body=encode(registry), media_type=media_type, headers={"Vary": "Accept"}
    )
