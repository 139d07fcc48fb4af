"""What is measured for monitoring, over restarts: counters, histograms, and what only the daemon knows.

As the calls of a month are, it is kept in memory until the next write of the ledger and stored in the same
transaction, so that a step and its count are on disk together.
Whoever reads the ledger beside the daemon sees it: `syncd.web` shows it at `/metrics`.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection, delete, select, text

from syncd.ledger import tables
from syncd.ledger.database import Database

Labels = tuple[str, ...]


class CounterName(StrEnum):
    """What is counted; beside each its labels."""

    SOURCE_READINGS = "source_readings"  # source, result
    CHANGES = "changes"  # action, result
    CANCELLATIONS = "cancellations"  # evidence
    API_REQUESTS = "api_requests"  # operation, result
    CYCLES = "cycles"  # outcome
    NOTICES = "notices"  # channel, result
    LEASE_TAKEOVERS = "lease_takeovers"
    FENCE_REFUSALS = "fence_refusals"


class HistogramName(StrEnum):
    """What is measured in seconds; beside each its labels."""

    API_REQUEST = "api_request_duration"  # method
    CYCLE = "cycle_duration"
    CHANGE_TO_BOOKING = "change_to_booking"  # kind of the source


class GaugeName(StrEnum):
    """What only the daemon knows, as it was last."""

    API_CLOCK_OFFSET = "api_clock_offset"
    API_TOKEN_EXPIRY = "api_token_expiry"  # noqa: S105  # a name
    CYCLE_COMPLETED_AT = "cycle_completed_at"


BOUNDS: dict[HistogramName, tuple[float, ...]] = {
    HistogramName.API_REQUEST: (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    HistogramName.CYCLE: (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0),
    HistogramName.CHANGE_TO_BOOKING: (
        *(0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
        *(300.0, 900.0, 3600.0, 21600.0),
    ),
}
"""The upper bounds of the buckets of each histogram, in seconds; one without bound comes after them."""

_COUNTED = ""
_SUM = "sum"
_VALUE = "value"
_UNBOUND = "inf"
_Key = tuple[str, str, str]  # the columns name, labels and part

_UPSERT = (
    "INSERT INTO measurements (name, labels, part, value) VALUES (:name, :labels, :part, :value) "
    "ON CONFLICT (name, labels, part) DO UPDATE SET value = "
)
_ADD = text(f"{_UPSERT}measurements.value + excluded.value")
_SET = text(f"{_UPSERT}excluded.value")


@dataclass(frozen=True, slots=True)
class Histogram:
    """Numbers of observations by the bucket that they fall into, and the sum of what was observed.

    The last of the buckets is that without an upper bound.
    """

    buckets: tuple[float, ...]
    sum: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured, by name and labels; what never happened is not there."""

    counters: Mapping[CounterName, Mapping[Labels, float]] = field(default_factory=dict)
    histograms: Mapping[HistogramName, Mapping[Labels, Histogram]] = field(
        default_factory=dict
    )
    gauges: Mapping[GaugeName, float] = field(default_factory=dict)

    def counter(self, name: CounterName, *labels: str) -> float:
        """Return how often something was counted."""
        return self.counters.get(name, {}).get(labels, 0.0)

    def histogram(self, name: HistogramName, *labels: str) -> Histogram:
        """Return the histogram of something, an empty one if it was never measured."""
        found = self.histograms.get(name, {}).get(labels)
        if found is not None:
            return found
        return Histogram((0.0,) * (len(BOUNDS[name]) + 1))


class Measurements:
    """The store of what is measured; may be used from several threads.

    What is measured is kept in memory until the next write of the ledger, so a kill may lose a little of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._unstored = _Unstored()

    def add(self, name: CounterName, *labels: str, more: float = 1) -> None:
        """Count something; it never touches the disk."""
        key = (name.value, json.dumps(labels), _COUNTED)
        with self._lock:
            self._unstored.add(key, more)

    def observe(self, name: HistogramName, seconds: float, *labels: str) -> None:
        """Add an observation to a histogram; it never touches the disk."""
        of_labels = json.dumps(labels)
        bucket = _bucket_of(name, seconds)
        with self._lock:
            self._unstored.add((name.value, of_labels, bucket), 1)
            self._unstored.add((name.value, of_labels, _SUM), seconds)

    def set(self, name: GaugeName, value: float) -> None:
        """Give a gauge a value in place of the one before; it never touches the disk."""
        key = (name.value, json.dumps(()), _VALUE)
        with self._lock:
            self._unstored.assigned[key] = value

    @property
    def wait_for_a_write(self) -> bool:
        """Return whether something was measured that is not stored yet."""
        return bool(self._unstored.added or self._unstored.assigned)

    @contextlib.contextmanager
    def stored_with(self) -> Iterator[_Unstored]:
        """Hand out what is not stored yet to be stored in the block; takes it back if that raises."""
        with self._lock:
            taken = self._unstored
            self._unstored = _Unstored()
        try:
            yield taken
        except BaseException:
            with self._lock:
                self._unstored.take_back(taken)
            raise

    def all(self) -> Measured:
        """Return all that is stored; what a later version measures is left out."""
        counters: defaultdict[CounterName, dict[Labels, float]] = defaultdict(dict)
        parts: defaultdict[HistogramName, defaultdict[Labels, dict[str, float]]]
        parts = defaultdict(lambda: defaultdict(dict))
        gauges: dict[GaugeName, float] = {}
        with self._database.making_sense("A measurement"):
            for name, of_labels, part, value in self._rows():
                labels = tuple(json.loads(of_labels))
                if name in _COUNTERS:
                    counters[CounterName(name)][labels] = value
                elif name in _HISTOGRAMS:
                    parts[HistogramName(name)][labels][part] = value
                elif name in _GAUGES:
                    gauges[GaugeName(name)] = value
            histograms: dict[HistogramName, dict[Labels, Histogram]] = {}
            for histogram, by_labels in parts.items():
                histograms[histogram] = {
                    labels: _histogram(histogram, own)
                    for labels, own in by_labels.items()
                }
        return Measured(counters, histograms, gauges)

    def _rows(self) -> Iterable[tuple[str, str, str, float]]:
        c = tables.measurements.c
        query = select(c.name, c.labels, c.part, c.value)
        return [tuple(row) for row in self._database.rows(query)]


_COUNTERS = frozenset(CounterName)
_HISTOGRAMS = frozenset(HistogramName)
_GAUGES = frozenset(GaugeName)


@dataclass(slots=True)
class _Unstored:
    """What is to be added to stored values, and what is to stand in their place."""

    added: dict[_Key, float] = field(default_factory=dict)
    assigned: dict[_Key, float] = field(default_factory=dict)

    def add(self, key: _Key, more: float) -> None:
        """Add to what is to be added to a stored value."""
        self.added[key] = self.added.get(key, 0.0) + more

    def take_back(self, taken: _Unstored) -> None:
        """Take in what was to be stored before this and was not."""
        for key, more in taken.added.items():
            self.add(key, more)
        self.assigned = taken.assigned | self.assigned

    def store(self, connection: Connection) -> None:
        """Store it in a transaction."""
        if self.added:
            connection.execute(_ADD, _lines(self.added))
        if self.assigned:
            connection.execute(_SET, _lines(self.assigned))


def forget_readings(connection: Connection, source: str) -> None:
    """Drop what was counted of a source, in the transaction of another store."""
    c = tables.measurements.c
    beginning = json.dumps((source,))[:-1]
    # Compared as it stands: in LIKE a name with % would mean others too.
    of_the_source = text("substr(labels, 1, :length) = :beginning").bindparams(
        length=len(beginning) + 1, beginning=f"{beginning},"
    )
    readings = delete(tables.measurements).where(c.name == CounterName.SOURCE_READINGS)
    connection.execute(readings.where(of_the_source))


def _lines(values: Mapping[_Key, float]) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    # In one order, so that members do not wait for each other.
    for (name, labels, part), value in sorted(values.items()):
        lines.append({"name": name, "labels": labels, "part": part, "value": value})
    return lines


def _bucket_of(name: HistogramName, seconds: float) -> str:
    """Return the name of the bucket that an observation falls into: its upper bound."""
    for bound in BOUNDS[name]:
        if seconds <= bound:
            return repr(bound)
    return _UNBOUND


def _histogram(name: HistogramName, parts: Mapping[str, float]) -> Histogram:
    """Return a histogram from its stored parts; those of former bounds fall into the next bucket of now."""
    bounds = BOUNDS[name]
    buckets = [0.0] * (len(bounds) + 1)
    for part, number in parts.items():
        if part == _SUM:
            continue
        bound = math.inf if part == _UNBOUND else float(part)
        place = sum(known < bound for known in bounds)
        buckets[place] += number
    return Histogram(tuple(buckets), parts.get(_SUM, 0.0))
