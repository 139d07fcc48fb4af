"""The reading of a source: how it is put together from what was parsed, and where its defects stand now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from syncd.core.occurrence import Defect, Occurrence, Presence, Reading, Window
from syncd.core.reasons import Note, Reason
from syncd.ics.series import ParsedSeries
from syncd.ics.vevent import RawEvent
from syncd.intake.raw_events import earliest
from syncd.intake.remarks import defects_of, notes_of
from syncd.intake.source_index import SourceIndex
from syncd.intake.state import SourceState


class Presences(Mapping[str, Presence]):
    """How UIDs stand in a reading; those that nobody looked at are known by being there, and are not listed.

    `parsed` has None for a UID of which nothing that counts was found; `index` tells which UIDs are there.
    """

    def __init__(
        self, parsed: Mapping[str, Presence | None], index: SourceIndex
    ) -> None:
        self._parsed = {
            uid: there for uid, there in parsed.items() if there is not None
        }
        self._index = index

    def __getitem__(self, uid: str) -> Presence:
        known = self._parsed.get(uid)
        if known is None and (not uid or not self._index.holds(uid)):
            raise KeyError(uid)
        return known or Presence.SERIES

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed)

    def __len__(self) -> int:
        return len(self._parsed)


def reading_of(
    source: str,
    state: SourceState,
    parsed: Mapping[str, ParsedSeries],
    remarks: Mapping[str, str],
    window: Window,
    postponed: frozenset[str],
) -> Reading:
    """Return the reading of a source that this process read.

    `parsed` are the UIDs that were looked at, `postponed` those that come in the next cycle; `remarks` are
    all that the source has, by UID.
    """
    assert state.at is not None  # this process read it
    occurrences: list[Occurrence] = []
    for series in parsed.values():
        occurrences += series.occurrences
    defects: list[Defect] = []
    for uid in sorted(remarks):
        defects += defects_of(uid, remarks[uid])
    notes = sorted(state.parser.notes, key=lambda note: note.detail)
    notes += [Note(Reason.SERVER_ODD, note) for note in state.notes]
    notes += notes_of(remarks[uid] for uid in sorted(remarks))
    presence = {uid: series.presence for uid, series in parsed.items()}
    # Nothing follows from them now.
    presence |= dict.fromkeys(postponed, Presence.QUARANTINED)
    return Reading(
        source=source,
        at=state.at,
        window=window,
        digest=state.index.digest,
        occurrences=tuple(sorted(occurrences, key=lambda occurrence: occurrence.key)),
        presence=Presences(presence, state.index),
        defects=tuple(
            sorted(
                defects, key=lambda defect: (defect.document, defect.line, defect.uid)
            )
        ),
        notes=tuple(dict.fromkeys(notes)),
        error=state.error,
        documents=len(state.index.documents),
        events=state.index.event_count,
        postponed=postponed,
        missing=state.missing,
    )


def defects_as_of_now(
    series: ParsedSeries,
    raw_events: Sequence[RawEvent],
    index: SourceIndex,
    window: Window,
) -> ParsedSeries:
    """Return a series with its defects in the lines in which they stand now.

    Of one that begins beyond the reach of a reading nothing is told before it comes near: most of that is
    mended by then, and whoever reads it can do nothing about a meeting that nobody books yet.
    What was too costly is told at once, because it is remembered by that and not tried again.
    """
    begins = earliest(raw_events)
    is_costly = any(defect.reason is Reason.TOO_COSTLY for defect in series.defects)
    if begins is not None and begins > window.reach and not is_costly:
        return replace(
            series, defects=(), next_start=min(begins, series.next_start or begins)
        )
    lines = {event.line: index.line_of(event) for event in raw_events}
    defects = (
        replace(defect, line=lines.get(defect.line, defect.line))
        for defect in series.defects
    )
    return replace(series, defects=tuple(defects))
