"""What is kept of how the sources stand: for `status`, the log and the next cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from syncd.core.occurrence import Defect, Reading
from syncd.core.reasons import MEANINGS, Reason
from syncd.intake.intake import Readings
from syncd.ledger.facts import MISSING_FILES
from syncd.ledger.measurements import CounterName
from syncd.ledger.sources import ReadingRecord
from syncd.reconciler.cycle_log import SourceLog
from syncd.reconciler.ports import Ledger
from syncd.reconciler.report import SourceReport

log = structlog.get_logger(__name__)


def missing_told(file: str) -> str:
    """Return the sentence about a file of a directory that is gone for a moment."""
    return (
        f"The file {file} is gone; nothing follows for what it held before it has stayed away for "
        "safety.file_grace."
    )


class SourceRecords:
    """The records of the sources; `file_grace` is how long a file that is gone is awaited."""

    def __init__(
        self, ledger: Ledger, file_grace: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._file_grace = file_grace
        self._clock = clock
        # By source, of the last complete reading; None before the ledger was asked.
        self._digests: dict[str, str] | None = None
        # By source, as the ledger has them.
        self._defects: dict[str, frozenset[Defect]] = {}
        # Files that are gone for a moment, by source; None before the ledger was asked.
        self._missing: dict[str, list[str]] | None = None
        self._log = SourceLog()

    def report(self, reading: Reading, changed: int = 0) -> SourceReport:
        """Return what became of a source, compared with its last reading.

        `changed` is how many UIDs say something new in it.
        """
        notes = [note.detail for note in reading.notes]
        notes += map(missing_told, self._awaited(reading))
        later = len(reading.postponed)
        if later:
            notes.append(
                f"{later} events take long to understand; they are read in the next cycles."
            )
        return SourceReport(
            name=reading.source,
            state=self._state_of(reading),
            events=reading.events,
            error=reading.error,
            changed=changed,
            notes=tuple(notes),
            postponed=later,
        )

    def store(
        self,
        said: Readings,
        looked_at: Mapping[str, int],
        heard: Iterable[str] = (),
    ) -> tuple[SourceReport, ...]:
        """Record what was said in a cycle; return reports of the sources that were looked at in it.

        These are given by name, with how many UIDs say something new in them. Of those that others read, and
        that were `heard`, their readers have recorded all but what is wrong in them.
        """
        fresh = [said.readings[name] for name in looked_at]
        reports = [self.report(reading, looked_at[reading.source]) for reading in fresh]
        self._store_fresh(fresh, reports)
        others = said.speaking.keys() - looked_at.keys()
        for name in sorted(others):
            self._store_defects(said.speaking[name])
        elsewhere = [said.readings[name] for name in heard if name in said.readings]
        for reading in elsewhere:
            self._store_defects(reading)
        self._store_missing([*fresh, *elsewhere])
        reports += map(self.report, elsewhere)
        return tuple(reports)

    def store_read(
        self, readings: Sequence[Reading], looked_at: Mapping[str, int]
    ) -> tuple[SourceReport, ...]:
        """Record readings whose events the writer of a shared ledger understands; return reports of them."""
        reports = [
            self.report(reading, looked_at[reading.source]) for reading in readings
        ]
        self._store_fresh(readings, reports, knows_defects=False)
        return tuple(reports)

    def forget(self, name: str) -> None:
        """Know nothing of a source: another process records how it stands."""
        # Asked anew, when it is to be told whether a source says the same.
        self._digests = None
        self._defects.pop(name, None)

    def _state_of(self, reading: Reading) -> str:
        if not reading.readable:
            return "unreadable"
        if not reading.complete:
            return "read"
        if self._digests is None:
            self._digests = dict(self._ledger.sources.digests())
        known = self._digests.get(reading.source)
        return "unchanged" if reading.digest == known else "read"

    def _awaited(self, reading: Reading) -> list[str]:
        """Return the files that are gone for less than `safety.file_grace`."""
        return [
            file.document
            for file in reading.missing
            if file.is_awaited(self._file_grace)
        ]

    def _store_fresh(
        self,
        readings: Sequence[Reading],
        reports: Sequence[SourceReport],
        *,
        knows_defects: bool = True,
    ) -> None:
        """Record readings together, and log each."""
        if not readings:
            return
        pairs = list(zip(readings, reports, strict=True))
        for report in reports:
            self._ledger.measurements.add(
                CounterName.SOURCE_READINGS, report.name, report.result
            )
        records = [_record(*pair) for pair in pairs]
        if not knows_defects:
            records = [replace(record, defects=None) for record in records]
        self._ledger.sources.record_readings(records)
        for reading, report in pairs:
            if reading.readable and knows_defects:
                self._defects[reading.source] = frozenset(reading.defects)
            if reading.complete and self._digests is not None:
                self._digests[reading.source] = reading.digest
            self._log.tell(reading, report)

    def _store_defects(self, reading: Reading) -> None:
        """Record what is quarantined of a source whose events were parsed after it was looked at."""
        if not reading.readable:
            return
        source = reading.source
        defects = frozenset(reading.defects)
        if self._defects.get(source) == defects:
            return
        self._ledger.sources.record_defects(source, reading.defects, at=self._clock())
        self._defects[source] = defects

    def _store_missing(self, readings: Iterable[Reading]) -> None:
        """Record, for `status` and the log, which files of directories are gone for a moment."""
        if self._missing is None:
            self._missing = self._ledger.facts.get(MISSING_FILES) or {}
        known = dict(self._missing)
        for reading in readings:
            known.pop(reading.source, None)
            awaited = self._awaited(reading)
            if awaited:
                known[reading.source] = awaited
        if known == self._missing:
            return
        newly_missing = known.keys() - self._missing.keys()
        for source in newly_missing:
            log.warning(
                "files missing",
                source=source,
                reason=Reason.FILE_MISSING.value,
                files=len(known[source]),
                detail=MEANINGS[Reason.FILE_MISSING],
            )
        self._missing = known
        self._ledger.facts.set(MISSING_FILES, known)


def _record(reading: Reading, report: SourceReport) -> ReadingRecord:
    """Return what the ledger keeps of a reading."""
    return ReadingRecord(
        source=reading.source,
        at=reading.at,
        state=report.state,
        complete=reading.complete,
        events=reading.events,
        digest=reading.digest,
        error=reading.error,
        defects=reading.defects,
    )
