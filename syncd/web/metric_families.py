"""The metrics by name, each with its type, its meaning and its labels.

The values of closed sets stand there from the start, with 0, so that the first of a kind is an increase.
A moment is in seconds since 1970, and 0 where it never was.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, product
from typing import TypeVar

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from syncd import __version__
from syncd.core.booking import BookingState
from syncd.core.reasons import BY_RULE, Evidence
from syncd.ledger.measurements import (
    BOUNDS,
    CounterName,
    GaugeName,
    Histogram,
    HistogramName,
    Measured,
)
from syncd.ledger.notices import ChannelName, DeliveryResult
from syncd.tuya.requests import METHODS, OPERATIONS, RESULTS
from syncd.views.status import SourceStatus, Status
from syncd.web.asked import Present
from syncd.web.metric_values import MetricValues

_READINGS = ("changed", "unchanged", "unreadable")
_CHANGES = (("create", "update", "cancel"), ("done", "refused", "doubt"))
_EVIDENCE = (Evidence.TOLD, Evidence.SHOWN, Evidence.APPROVED)
_OUTCOMES = ("ok", "attention", "failed")
_KINDS = ("file", "feed", "caldav")

Labels = TypeVar("Labels", bound=tuple[str, ...])


# What the daemon knows itself


def families_of_daemon(
    present: Present, now: datetime, *, is_ready: bool
) -> Iterator[Metric]:
    """Yield what is known without a ledger."""
    labels = (__version__, platform.python_version())
    yield _gauge(
        "build_info", "Version of syncd and of Python.", "version python", {labels: 1}
    )
    yield _number("ready", "Whether /readyz says ready.", is_ready)
    mode = (present.config.mode,)
    yield _gauge("mode_info", "The mode in force.", "mode", {mode: 1})
    yield _moment(
        "heartbeat_timestamp_seconds",
        "When the work loop was alive last, as /healthz and the watchdog of systemd judge it.",
        now - present.idle,
    )
    yield _number(
        "config_last_reload_successful",
        "Whether the configuration file as it is now is in force.",
        not present.problems,
    )
    yield _moment(
        "config_last_reload_success_timestamp_seconds",
        "When a configuration was taken over last.",
        present.taken_over_at,
    )


def family_of_availability(*, is_available: bool) -> Metric:
    """Return whether the ledger can be read; where it cannot, all that follows from it is left out."""
    return _number("ledger_available", "Whether the ledger can be read.", is_available)


# What the ledger knows


def families_of_ledger(values: MetricValues) -> Iterator[Metric]:
    """Yield all metrics that are made of the ledger."""
    yield from _of_sources(values.status.sources, values.measured)
    yield from _of_bookings(values)
    yield from _of_changes(values.measured)
    yield from _of_drift(values)
    yield from _of_api(values.status, values.measured)
    yield from _of_cycles(values.measured)
    yield from _of_notices(values.measured)
    yield from _of_sharing(values)
    yield _number(
        "ledger_size_bytes",
        "Bytes that the ledger takes on disk.",
        values.size_bytes,
    )


def _of_sources(
    sources: Iterable[SourceStatus], measured: Measured
) -> Iterator[Metric]:
    moments: dict[str, dict[str, datetime | None]] = {
        "last_success": {},
        "last_attempt": {},
        "next_attempt": {},
    }
    numbers: dict[str, dict[tuple[str, ...], float]] = {
        "interval_seconds": {},
        "consecutive_failures": {},
        "events": {},
        "quarantined_events": {},
    }
    readings: dict[tuple[str, ...], float] = {}
    for source in sources:
        name = source.name
        moments["last_success"][name] = source.last_ok_at
        moments["last_attempt"][name] = source.last_read_at
        moments["next_attempt"][name] = source.next_run_at
        numbers["interval_seconds"][name,] = source.interval.total_seconds()
        numbers["consecutive_failures"][name,] = source.failures
        numbers["events"][name,] = source.events
        numbers["quarantined_events"][name,] = source.quarantined
        for result in _READINGS:
            counted = measured.counter(CounterName.SOURCE_READINGS, name, result)
            readings[name, result] = counted
    for kind, told in moments.items():
        by_source = {(name,): _seconds(at) for name, at in told.items()}
        full_name = f"source_{kind}_timestamp_seconds"
        yield _gauge(full_name, _HELP_OF_SOURCES[kind], "source", by_source)
    for kind, counted_by_source in numbers.items():
        told_of_kind = _HELP_OF_SOURCES[kind]
        yield _gauge(f"source_{kind}", told_of_kind, "source", counted_by_source)
    yield _counter(
        "source_readings",
        "Looks at a source: it said something new, the same, or could not be read as a whole.",
        "source result",
        readings,
    )


_HELP_OF_SOURCES = {
    "last_success": "When a source was read as a whole last; 0: never.",
    "last_attempt": "When a source was looked at last; 0: never.",
    "next_attempt": "When a source is looked at next; 0: not known yet.",
    "interval_seconds": "How often a source is to be looked at.",
    "consecutive_failures": "Looks in a row at which a source could not be read as a whole.",
    "events": "Events in a source when it could be read last.",
    "quarantined_events": "Events of a source that cannot be understood.",
}


def _of_bookings(values: MetricValues) -> Iterator[Metric]:
    status = values.status
    by_state: dict[tuple[str, ...], float] = {}
    for state in BookingState:
        number = status.counts.get(state, 0) + values.closed.get(state, 0)
        by_state[state.value,] = number
    yield _gauge(
        "bookings",
        "Bookings by state; those that are over as long as they are remembered (state.retention).",
        "state",
        by_state,
    )
    by_reason = {
        (reason.value,): float(values.skips.get(reason, 0))
        for reason in sorted(BY_RULE)
    }
    yield _gauge(
        "bookings_skipped",
        "Occurrences within the horizon that are not booked by a rule of the configuration.",
        "reason",
        by_reason,
    )
    yield _number(
        "held_cancellations",
        "Cancellations that wait for syncd approve.",
        status.held.cancellations,
    )
    yield _moment(
        "doubt_oldest_timestamp_seconds",
        "When the oldest request was sent whose answer is not known; 0: none.",
        values.doubt_since,
    )


def _of_changes(measured: Measured) -> Iterator[Metric]:
    changes = {
        labels: measured.counter(CounterName.CHANGES, *labels)
        for labels in product(*_CHANGES)
    }
    yield _counter(
        "changes",
        "Changes of reservations: known to be made, refused by the API, or without a certain answer at first; "
        "what was in doubt and turns out to be made counts as done then.",
        "action result",
        changes,
    )
    cancellations = {
        (evidence.value,): measured.counter(CounterName.CANCELLATIONS, evidence.value)
        for evidence in _EVIDENCE
    }
    yield _counter(
        "cancellations",
        "Cancelled reservations by what that rests on.",
        "evidence",
        cancellations,
    )
    yield _histogram(
        "change_to_booking_seconds",
        "From the change of a calendar until the API has it; a first reading of a source is no change.",
        "kind",
        _observed(measured, HistogramName.CHANGE_TO_BOOKING, _KINDS),
        BOUNDS[HistogramName.CHANGE_TO_BOOKING],
    )


def _of_drift(values: MetricValues) -> Iterator[Metric]:
    drift = values.drift
    kinds = {
        ("changed",): drift.changed,
        ("cancelled",): drift.cancelled,
        ("missing",): values.status.vanished,
        ("doubled",): values.status.duplicates,
    }
    yield _gauge(
        "drift_bookings",
        "Reservations that are otherwise in Tuya than we made them: changed or cancelled there by somebody, "
        "missing with many others at once, or a second one of a meeting.",
        "kind",
        kinds,
    )
    yield _moment(
        "drift_check_last_success_timestamp_seconds",
        "When ledger and API were compared last; 0: never.",
        values.compared_at,
    )


def _of_api(status: Status, measured: Measured) -> Iterator[Metric]:
    requests = {
        labels: measured.counter(CounterName.API_REQUESTS, *labels)
        for labels in product(OPERATIONS, RESULTS)
    }
    yield _counter(
        "api_requests",
        "Requests of the API: answered well; refused; asked to wait; not accepted before token, clock, secret, "
        "right or quota is mended; a write that may have been carried out; or without any answer of use.",
        "operation result",
        requests,
    )
    yield _histogram(
        "api_request_duration_seconds",
        "How long requests of the API took, those without an answer too.",
        "method",
        _observed(measured, HistogramName.API_REQUEST, METHODS),
        BOUNDS[HistogramName.API_REQUEST],
    )
    yield _number(
        "api_usable",
        "Whether the API could be used when it was asked last.",
        status.api_trouble is None,
    )
    yield _number(
        "api_month_calls",
        "Calls of the API in this calendar month (UTC).",
        status.calls_this_month,
    )
    yield _number(
        "api_month_calls_forecast",
        "Calls that the month will have at this pace.",
        status.calls_forecast,
    )
    yield _number(
        "api_month_calls_limit",
        "Calls that a month may have (api.monthly_calls); 0: not metered.",
        status.monthly_calls,
    )
    yield _known(
        "api_clock_offset_seconds",
        "The clock of the API minus that of this machine; absent before the first answer.",
        measured.gauges.get(GaugeName.API_CLOCK_OFFSET),
    )
    yield _number(
        "api_token_expiry_timestamp_seconds",
        "When the access token expires; it is renewed before; 0: there is none yet.",
        measured.gauges.get(GaugeName.API_TOKEN_EXPIRY, 0.0),
    )


def _of_cycles(measured: Measured) -> Iterator[Metric]:
    outcomes = {
        (outcome,): measured.counter(CounterName.CYCLES, outcome)
        for outcome in _OUTCOMES
    }
    yield _counter(
        "cycles",
        "Cycles by outcome: all is well, something needs a person, or the API could not be used.",
        "outcome",
        outcomes,
    )
    yield _histogram(
        "cycle_duration_seconds",
        "How long cycles took.",
        "",
        {(): measured.histogram(HistogramName.CYCLE)},
        BOUNDS[HistogramName.CYCLE],
    )
    yield _number(
        "cycle_last_complete_timestamp_seconds",
        "When a cycle came to its end last, without an API that cannot be used; 0: never.",
        measured.gauges.get(GaugeName.CYCLE_COMPLETED_AT, 0.0),
    )


def _of_notices(measured: Measured) -> Iterator[Metric]:
    tries = {
        (channel.value, result.value): measured.counter(
            CounterName.NOTICES, channel.value, result.value
        )
        for channel, result in product(ChannelName, DeliveryResult)
    }
    yield _counter(
        "notices",
        "Tries to deliver a notice: taken, not taken and tried again, refused for good, or given up.",
        "channel result",
        tries,
    )


def _of_sharing(values: MetricValues) -> Iterator[Metric]:
    yield _gauge(
        "lease_held",
        "Whether this daemon holds the lease without which nobody writes; of a ledger in a file it always does.",
        "lease",
        {("writer",): float(values.writes)},
    )
    yield _number(
        "members",
        "Daemons that live on this ledger.",
        values.members,
    )
    yield _counter(
        "lease_takeovers",
        "Terms that began, of all daemons on this ledger; of one in a file none.",
        "",
        {(): values.measured.counter(CounterName.LEASE_TAKEOVERS)},
    )
    yield _counter(
        "fence_refusals",
        "Writes of a daemon whose term was over, which the ledger refused.",
        "",
        {(): values.measured.counter(CounterName.FENCE_REFUSALS)},
    )


# Families


def _gauge(
    name: str, told: str, labels: str, values: Mapping[Labels, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"syncd_{name}", told, labels=labels.split())
    for own, value in values.items():
        family.add_metric(own, value)
    return family


def _number(name: str, told: str, value: float) -> GaugeMetricFamily:
    return _gauge(name, told, "", {(): float(value)})


def _known(name: str, told: str, value: float | None) -> GaugeMetricFamily:
    """Return a gauge that has no value as long as none is known."""
    known = GaugeMetricFamily(f"syncd_{name}", told)
    if value is not None:
        known.add_metric((), value)
    return known


def _moment(name: str, told: str, at: datetime | None) -> GaugeMetricFamily:
    return _number(name, told, _seconds(at))


def _seconds(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()


def _counter(
    name: str, told: str, labels: str, values: Mapping[Labels, float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"syncd_{name}", told, labels=labels.split())
    for own, value in values.items():
        family.add_metric(own, value)
    return family


def _observed(
    measured: Measured, name: HistogramName, labels: Iterable[str]
) -> dict[tuple[str, ...], Histogram]:
    return {(label,): measured.histogram(name, label) for label in labels}


def _histogram(
    name: str,
    told: str,
    labels: str,
    values: Mapping[tuple[str, ...], Histogram],
    bounds: Sequence[float],
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"syncd_{name}", told, labels=labels.split())
    names = [*map(str, bounds), "+Inf"]
    for own, histogram in values.items():
        up_to = accumulate(histogram.buckets)
        buckets = list(zip(names, up_to, strict=True))
        family.add_metric(own, buckets, histogram.sum)
    return family
