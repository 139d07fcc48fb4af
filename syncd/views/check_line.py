"""The line of `status --check`, as Nagios and Icinga read it: a word, a sentence, numbers behind a bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import IntEnum

from syncd.core.booking import BookingState
from syncd.core.visible import visible
from syncd.views.concerns import ConcernKind
from syncd.views.moments import age
from syncd.views.status import Status

_SHOWN = 3


class Urgency(IntEnum):
    """What a check comes to; the values are the exit codes of the monitoring plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def urgency_of(status: Status) -> Urgency:
    """Return how urgently a person is needed."""
    if not status.is_running or any(one.is_critical for one in status.concerns):
        return Urgency.CRITICAL
    return Urgency.WARNING if status.concerns else Urgency.OK


def check_line(status: Status) -> str:
    """Return the whole line about a status."""
    sentence = "; ".join([_running(status), *_titles(status)])
    told = _told(urgency_of(status), sentence)
    return f"{told} | {' '.join(_numbers(status))}"


def unknown_line(why: str) -> str:
    """Return the line of a check that could not look."""
    return _told(Urgency.UNKNOWN, why)


def _told(urgency: Urgency, sentence: str) -> str:
    """Return a text in which nothing that somebody wrote ends the line or begins the numbers."""
    return f"SYNCD {urgency.name} - {visible(sentence)}".replace("|", "\\x7c")


def _running(status: Status) -> str:
    daemon = status.daemon
    if daemon is None:
        return "NOT RUNNING, no daemon has used this state yet"
    if not status.is_running:
        return f"NOT RUNNING, last sign of life {age(daemon.gone_since, status.now)}"
    if status.last_cycle is None:
        return "running, no cycle has ended yet"
    return f"running, last cycle {age(status.last_cycle.ended_at, status.now)}"


def _titles(status: Status) -> Iterator[str]:
    """Yield what needs a person, in few words: the most urgent first, of many meetings their number."""
    numbers = Counter(concern.kind for concern in status.concerns)
    for kind, number in numbers.items():
        if kind in _COUNTED:
            yield f"{number} {_COUNTED[kind]}"
            continue
        titles = [one.title for one in status.concerns if one.kind is kind]
        yield from titles[:_SHOWN]
        if number > _SHOWN:
            yield f"{number - _SHOWN} more like that"


_COUNTED = {
    ConcernKind.DOUBT: "in doubt",
    ConcernKind.REFUSED: "refused",
    ConcernKind.QUARANTINED: "quarantined",
    ConcernKind.IN_TUYA: "to look at in Tuya",
}


def _seconds(status: Status, moments: Iterable[datetime]) -> int:
    """Return how many seconds ago the first of these moments was."""
    apart = status.now - min(moments)
    return max(0, int(apart.total_seconds()))


def _numbers(status: Status) -> Iterator[str]:
    """Yield the performance data: value, then from where on it warns and is critical, least, most."""
    yield f"running={int(status.is_running)};;1:;0;1"
    yield f"api_usable={int(status.api_trouble is None)};;1:;0;1"
    if status.last_cycle is not None:
        yield f"last_cycle_age={_seconds(status, [status.last_cycle.ended_at])}s;;;0"
    good = [source.last_ok_at for source in status.sources if source.last_ok_at]
    if good:
        yield f"oldest_reading_age={_seconds(status, good)}s;;;0"
    yield f"sources={len(status.sources)};;;0"
    numbers = Counter(concern.kind for concern in status.concerns)
    yield f"failing_sources={numbers[ConcernKind.SOURCE]};0;;0"
    yield f"held={status.held.cancellations};;0;0"
    for name, kind in (
        ("in_doubt", ConcernKind.DOUBT),
        ("refused", ConcernKind.REFUSED),
        ("quarantined", ConcernKind.QUARANTINED),
    ):
        yield f"{name}={numbers[kind]};0;;0"
    for state in (BookingState.BOOKED, BookingState.APPROVAL, BookingState.WAITING):
        yield f"{state}={status.counts.get(state, 0)};;;0"
    most = status.monthly_calls or ""
    yield f"calls_this_month={status.calls_this_month}c;;;0;{most}"
