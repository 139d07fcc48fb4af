"""The lines of the log about sources and cycles: at info for what is new, and for nothing else.

What goes wrong is told as a warning, or an error where nothing can be done without the API, once while it stays
the same, and told again when it is over.
All the rest is for who looks closely, at debug.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

import structlog

from syncd.core.amounts import some
from syncd.core.occurrence import Reading
from syncd.reconciler.report import CONCERNS, DONE, CycleReport, SourceReport

log = structlog.get_logger(__name__)

# How things stand until somebody or something changes that.
_STANDING = (*CONCERNS, "waiting", "acknowledged")

_ADDRESS = re.compile(r"\S+@\S+")  # files may be called so


class SourceLog:
    """Logs the readings of one process, each by what is new in it."""

    def __init__(self) -> None:
        # What was wrong when a source was told of last (None: nothing), by source.
        self._errors: dict[str, str | None] = {}

    def tell(self, reading: Reading, report: SourceReport) -> None:
        """Log a reading."""
        error = None
        if reading.error:
            error = _ADDRESS.sub("…", reading.error)
        was_wrong = self._errors.get(report.name) is not None
        log.log(
            self._level_of(report, error),
            "source",
            message=_sentence_of(report, error, was_wrong=was_wrong),
            source=reading.source,
            state=report.state,
            events=reading.events,
            changed=report.changed,
            occurrences=len(reading.occurrences),
            quarantined=len(reading.defects),
            error=error,
        )

    def _level_of(self, report: SourceReport, error: str | None) -> int:
        """Return the level for a reading, and take note of what is wrong."""
        is_first = report.name not in self._errors
        former = self._errors.get(report.name)
        self._errors[report.name] = error
        if error is not None and error != former:
            return logging.WARNING
        is_over = former is not None and error is None
        if is_over or report.changed:
            return logging.INFO
        if is_first and report.state == "read":
            return logging.INFO
        return logging.DEBUG


def _sentence_of(report: SourceReport, error: str | None, *, was_wrong: bool) -> str:
    """Return what a look at a source came to."""
    name = report.name
    if error is not None:
        whole = "" if report.state == "unreadable" else " as a whole"
        stay = "" if "bookings stay" in error else " Its bookings stay."
        return f"Source {name} cannot be read{whole}: {error}.{stay}"
    if was_wrong:
        return f"Source {name} can be read again."
    if report.changed == 1:
        return f"Source {name} says something new of 1 event."
    if report.changed:
        return f"Source {name} says something new of {report.changed} events."
    return f"Source {name} says nothing new."


class CycleLog:
    """Logs the cycles of one process, each by what it did or found.

    The first one says how things stand.
    """

    def __init__(self) -> None:
        self._standing: dict[str, int] | None = None
        self._error: str | None = None

    def tell(self, report: CycleReport) -> None:
        """Log a cycle."""
        calls = {f"calls_{method.lower()}": n for method, n in report.calls.items()}
        had_error = self._error is not None
        log.log(
            self._level_of(report),
            "cycle",
            message=_cycle_sentence(report, had_error=had_error),
            outcome=report.outcome,
            seconds=report.seconds,
            rekeyed=report.plan.rekeyed if report.plan else 0,
            left=report.left,
            error=report.error,
            **report.counts,
            **calls,
        )

    def _level_of(self, report: CycleReport) -> int:
        """Return the level for a cycle, and take note of how things stand after it."""
        is_other_error = report.error != self._error
        self._error = report.error
        if report.error is not None:
            # What stands is not counted without a plan.
            return logging.ERROR if is_other_error else logging.DEBUG
        standing = {name: report.counts[name] for name in _STANDING}
        standing["left"] = report.left
        is_other = standing != self._standing
        self._standing = standing
        if is_other or is_other_error or _did_something(report):
            return logging.INFO
        if any(map(_says_something_new, report.sources)):
            return logging.INFO
        return logging.DEBUG


def _cycle_sentence(report: CycleReport, *, had_error: bool) -> str:
    """Return what a cycle came to: why it failed, else what it did, and what needs a person."""
    if report.error is not None:
        return f"{report.error[:1].upper()}{report.error[1:].rstrip('.')}."
    done = _listed(report.counts, DONE) or "nothing to do"
    unseen = {name: report.unseen(name) for name in CONCERNS}
    wrong = _listed(unseen, CONCERNS)
    unread = sum(source.error is not None for source in report.sources)
    if unread:
        told = f"{some(unread, 'source')} not read"
        wrong = ", ".join(filter(None, (wrong, told)))
    again = "The API can be used again. " if had_error else ""
    told = f"{again}A cycle is done: {done}."
    return f"{told} Needs a person: {wrong}." if wrong else told


def _listed(counts: Mapping[str, int], names: Iterable[str]) -> str:
    told = [
        f"{counts[name]} {name.replace('_', ' ')}" for name in names if counts[name]
    ]
    return ", ".join(told)


def _did_something(report: CycleReport) -> bool:
    """Tell whether anything was written."""
    if any(report.counts[name] for name in DONE):
        return True
    return report.plan is not None and report.plan.rekeyed > 0


def _says_something_new(source: SourceReport) -> bool:
    return source.changed > 0
