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
from syncd.ics import ParsedSeries, RawEvent, fingerprint_of_events, topic_of_events
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
        known = self._remarks_of(source.name)
        judged_by = self._judged_by(source)
        changed: dict[str, str] = {}
        for uid, series in parsed.items():
            remark = _remark_on(series, judged_by)
            if remark != kept[uid].remarks:
                changed[uid] = remark
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
        return ParsedSeries(
            uid=uid,
            occurrences=(),
            presence=Presence.QUARANTINED if uid else None,
            defects=tuple(defects_of(uid, remark)),
            next_start=None,
        )

    def set_aside(
        self, uid: str, raw_events: Sequence[RawEvent], why: str, until: datetime
    ) -> ParsedSeries:
        """Return what is told of a UID that is not parsed before a moment, when its turn comes again."""
        defect = Defect(
            uid=uid,
            line=raw_events[0].line,
            reason=Reason.TOO_COSTLY,
            detail=why,
            topic=topic_of_events(raw_events),
            fingerprint=fingerprint_of_events(raw_events),
        )
        return ParsedSeries(
            uid=uid,
            occurrences=(),
            presence=Presence.QUARANTINED,
            defects=(defect,),
            next_start=until + self._horizon,
        )

    def _remarks_of(self, source: str) -> dict[str, str]:
        """Return the remarks of a source as they are remembered, by UID."""
        known = self._known.get(source)
        if known is None:
            known = dict(self._worklist.remarks(source))
            self._known[source] = known
        return known

    def _judged_by(self, source: CalendarSource) -> str:
        """Return the identity of what decides whether an event is too costly, beside its text."""
        told = (self._program, source.max_occurrences, self._horizon, source.locale)
        digest = hashlib.sha256(repr(told).encode())
        return digest.hexdigest()[:16]


def defects_of(uid: str, remark: str) -> list[Defect]:
    """Return the defects of a UID that a remark tells.

    Those that were written before syncd knew of topics and fingerprints lack them, until the event is parsed.
    """
    defects: list[Defect] = []
    for line, reason, detail, document, *of_event in json.loads(remark)["defects"]:
        defects.append(Defect(uid, line, Reason(reason), detail, document, *of_event))
    return defects


def notes_of(remarks: Iterable[str]) -> list[Note]:
    """Return the notes that remarks tell, in their order."""
    notes: list[Note] = []
    for remark in remarks:
        for reason, detail in json.loads(remark)["notes"]:
            notes.append(Note(Reason(reason), detail))
    return notes


def _remark_on(series: ParsedSeries, judged_by: str) -> str:
    """Return the remark on a UID as JSON; empty if nothing is to be said."""
    defects: list[list[object]] = []
    is_costly = False
    for defect in series.defects:
        told = [
            defect.line,
            defect.reason,
            defect.detail,
            defect.document,
            defect.topic,
            defect.fingerprint,
            defect.about,
        ]
        defects.append(told)
        if defect.reason is Reason.TOO_COSTLY:
            is_costly = True
    notes = sorted([note.reason, note.detail] for note in series.contradictions)
    if not defects and not notes:
        return ""
    remark: dict[str, object] = {"defects": defects, "notes": notes}
    if is_costly and series.next_start is None:
        remark["judged_by"] = judged_by  # not found again while that stays
    return json.dumps(remark)
