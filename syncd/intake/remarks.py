"""What is to be said of a UID also while nobody looks at it: defects and notes, as the ledger keeps them.

A remark is a JSON text beside the events that are kept of a UID in a source.
That a UID was too costly to parse is remembered there, too, while everything that decided it is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from syncd.core.occurrence import Defect, Presence
from syncd.core.reasons import Note, Reason
from syncd.ics import ParsedSeries, RawEvent
from syncd.intake.ports import CalendarSource, Kept, WorklistStore


class Remarks:
    """The remarks on the UIDs of all sources.

    `program` is the version of whatever parses; with it, a horizon and the settings of a source it is decided
    whether an event is too costly.
    """

    def __init__(
        self, worklist: WorklistStore, horizon: timedelta, program: str
    ) -> None:
        self._worklist = worklist
        self._horizon = horizon
        self._program = program
        # By source and UID, as in the ledger.
        self._known: dict[str, dict[str, str]] = {}

    def forget(self, source: str) -> None:
        """Forget the remarks of a source, which the ledger has otherwise by now."""
        self._known.pop(source, None)

    def update(
        self,
        source: CalendarSource,
        kept: Mapping[str, Kept],
        parsed: Mapping[str, ParsedSeries],
    ) -> dict[str, str]:
        """Store the remarks on UIDs that were parsed; return all remarks of the source, by UID."""
        if source.name not in self._known:
            self._known[source.name] = dict(self._worklist.remarks(source.name))
        known = self._known[source.name]
        judged_by = self._judged_by(source)
        remarks = {uid: _remark_on(series, judged_by) for uid, series in parsed.items()}
        changed = {
            uid: remark
            for uid, remark in remarks.items()
            if remark != kept[uid].remarks
        }
        if changed:
            self._worklist.remark(source.name, changed)
            known.update(changed)
        return {uid: remark for uid, remark in known.items() if remark}

    def too_costly(
        self, source: CalendarSource, uid: str, remark: str
    ) -> ParsedSeries | None:
        """Return what was found of a UID that was too costly; None if it was not, or may be so no longer."""
        if json.loads(remark).get("judged_by") != self._judged_by(source):
            return None
        presence = Presence.QUARANTINED if uid else None
        return ParsedSeries(uid, (), presence, tuple(defects_of(uid, remark)), None)

    def set_aside(
        self, uid: str, raw_events: Sequence[RawEvent], why: str, until: datetime
    ) -> ParsedSeries:
        """Return what is told of a UID that is not parsed before a moment, when its turn comes again."""
        defect = Defect(uid, raw_events[0].line, Reason.TOO_COSTLY, why)
        return ParsedSeries(
            uid, (), Presence.QUARANTINED, (defect,), until + self._horizon
        )

    def _judged_by(self, source: CalendarSource) -> str:
        """Return the identity of what decides whether an event is too costly, beside its text."""
        told = (self._program, source.max_occurrences, self._horizon, source.locale)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def defects_of(uid: str, remark: str) -> list[Defect]:
    """Return the defects of a UID that a remark tells."""
    return [
        Defect(uid, line, Reason(why), text, document)
        for line, why, text, document in json.loads(remark)["defects"]
    ]


def notes_of(remarks: Iterable[str]) -> list[Note]:
    """Return the notes that remarks tell, in their order."""
    notes: list[Note] = []
    for remark in remarks:
        notes += [Note(Reason(why), text) for why, text in json.loads(remark)["notes"]]
    return notes


def _remark_on(series: ParsedSeries, judged_by: str) -> str:
    """Return the remark on a UID as JSON; empty if nothing is to be said."""
    said = {
        "defects": [[d.line, d.reason, d.detail, d.document] for d in series.defects],
        "notes": sorted([n.reason, n.detail] for n in series.contradictions),
    }
    if not any(said.values()):
        return ""
    too_costly = any(defect.reason is Reason.TOO_COSTLY for defect in series.defects)
    if too_costly and series.next_start is None:
        # Not found again while that stays.
        return json.dumps(said | {"judged_by": judged_by})
    return json.dumps(said)
