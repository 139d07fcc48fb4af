"""How sources were found when they were read last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from syncd.core.occurrence import Missing
from syncd.ics import SeriesParser
from syncd.intake.ports import CalendarSource, WorklistStore
from syncd.intake.source_index import SourceIndex

# How a source stands.
UNKNOWN = ""  # never read
WHOLE = "whole"
IN_PART = "in part"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source was found; `at` is None if a former process read it.

    `missing` are the files of a directory that were gone then, as it told them.
    """

    at: datetime | None
    index: SourceIndex
    parser: SeriesParser
    standing: str
    error: str | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def readable(self) -> bool:
        """Tell whether anything is known of what it says now."""
        return self.standing != UNREADABLE


def parser_of(source: CalendarSource, index: SourceIndex) -> SeriesParser:
    """Return the parser for the events of a source, with the contexts that its documents have now."""
    return SeriesParser(
        index.contexts,
        source=source.name,
        scope=source.scope,
        locale=source.locale,
        max_occurrences=source.max_occurrences,
    )


class SourceStates:
    """How the sources were found last: by this process, by name, or by a former one, as the ledger has it."""

    def __init__(self, worklist: WorklistStore) -> None:
        self._worklist = worklist
        self._own: dict[str, SourceState] = {}

    def __setitem__(self, name: str, state: SourceState) -> None:
        self._own[name] = state

    def get(self, name: str) -> SourceState | None:
        """Return how this process found a source last; None if it did not read it."""
        return self._own.get(name)

    def last(self, source: CalendarSource) -> SourceState:
        """Return how a source was found last, by this process or a former one."""
        state = self._own.get(source.name)
        if state is not None:
            return state
        index, standing = self._stored(source.name)
        return SourceState(None, index, parser_of(source, index), standing)

    def index_of(self, source: CalendarSource) -> SourceIndex:
        """Return what stood in a source when it was read last, by this process or a former one."""
        state = self._own.get(source.name)
        if state is not None:
            return state.index
        index, _ = self._stored(source.name)
        return index

    def forget(self) -> None:
        """Forget how this process found the sources."""
        self._own = {}

    def _stored(self, name: str) -> tuple[SourceIndex, str]:
        """Return the index and the standing of a source as the ledger has them."""
        stored = self._worklist.index_of(name)
        if stored is None:
            return SourceIndex(), UNKNOWN
        packed, standing = stored
        return SourceIndex.unpacked(packed), standing
