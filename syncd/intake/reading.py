"""The reading of a source: how it is put together from what was parsed, and where its defects stand now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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

    `parsed` has None for a UID of which nothing that counts was found; `holds` tells of any other
    whether it is there.
    """

    def __init__(
        self,
        parsed: Mapping[str, Presence | None],
        holds: Callable[[str], bool],
    ) -> None:
        self._parsed: dict[str, Presence] = {}
        for uid, presence in parsed.items():
            if presence is not None:
                self._parsed[uid] = presence
        self._holds = holds

    def __getitem__(self, uid: str) -> Presence:
        known = self._parsed.get(uid)
        if known is not None:
            return known
        if uid and self._holds(uid):
            return Presence.SERIES
        raise KeyError(uid)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed)

    def __len__(self) -> int:
        return len(self._parsed)


class ReadingsByName(Mapping[str, Reading]):
    """The readings of all sources that were read, in the order of the configuration.

    Those that are `speaking` are there. Any other, in which nothing is to be looked at, is made when it is
    asked for, and once: most plans ask for none, and a cycle over a thousand sources of which one changed
    costs as much as one over ten.
    `states` are those of all sources that were read, `places` gives the order, and `make` the reading of one.
    """

    def __init__(
        self,
        speaking: Mapping[str, Reading],
        states: Mapping[str, SourceState],
        places: Mapping[str, int],
        make: Callable[[str, SourceState], Reading],
    ) -> None:
        self._made = dict(speaking)
        self._states = states
        self._places = places
        self._make = make

    def __getitem__(self, name: str) -> Reading:
        if name not in self._made:
            self._made[name] = self._make(name, self._states[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._states, key=self._places.__getitem__))

    def __len__(self) -> int:
        return len(self._states)


def reading_of(
    source: str,
    state: SourceState,
    holds: Callable[[str], bool],
    parsed: Mapping[str, ParsedSeries],
    remarks: Mapping[str, str],
    window: Window,
    postponed: frozenset[str],
) -> Reading:
    """Return the reading of a source that this process read.

    `parsed` are the UIDs that were looked at, `postponed` those that come in the next cycle; `remarks` are
    all that the source has, by UID. `holds` tells of any UID whether it is there.
    """
    occurrences: list[Occurrence] = []
    for series in parsed.values():
        occurrences += series.occurrences
    uids = sorted(remarks)
    defects: list[Defect] = []
    for uid in uids:
        defects += defects_of(uid, remarks[uid])
    outline = state.outline
    notes = list(outline.notes)
    notes += [Note(Reason.SERVER_ODD, note) for note in state.notes]
    notes += notes_of(remarks[uid] for uid in uids)
    presence = {uid: series.presence for uid, series in parsed.items()}
    # Nothing follows from them now.
    presence |= dict.fromkeys(postponed, Presence.QUARANTINED)
    return Reading(
        source=source,
        at=state.at,
        window=window,
        digest=outline.digest,
        occurrences=tuple(sorted(occurrences, key=lambda occurrence: occurrence.key)),
        presence=Presences(presence, holds),
        defects=tuple(sorted(defects, key=_place_of)),
        notes=tuple(dict.fromkeys(notes)),
        error=state.error,
        documents=outline.documents,
        events=outline.events,
        postponed=postponed,
        missing=state.missing,
    )


def _place_of(defect: Defect) -> tuple[str, int, str]:
    """Return where a defect stands, for the order in which defects are told."""
    return defect.document, defect.line, defect.uid


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
        next_start = min(begins, series.next_start or begins)
        return replace(series, defects=(), next_start=next_start)
    line_now = {event.line: index.line_of(event) for event in raw_events}
    defects: list[Defect] = []
    for defect in series.defects:
        line = line_now.get(defect.line, defect.line)
        defects.append(replace(defect, line=line))
    return replace(series, defects=tuple(defects))
