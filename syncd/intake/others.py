"""What others found: a former process, or another member of a shared ledger, by what the ledger has of it.

A source that another member reads stands here as that one found it, with the same evidence: how it stands and
when it was read are told by its index, in one step with it; its record tells of later readings that found the
same. So nothing depends on which of the two was stored first.
Must not: ask a source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from syncd.errors import StaleIndex
from syncd.intake.absent_files import AbsentFiles, Glance
from syncd.intake.known import KnownSources
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource, WorklistStore
from syncd.intake.scanner import Scanner
from syncd.intake.state import (
    IN_PART,
    NOTHING_READ,
    UNREADABLE,
    WHOLE,
    Outline,
    SourceState,
)
from syncd.ledger import SourceRecord

_NOT_WHOLE = "another member of the shared ledger could not read all of it"

Records = Mapping[str, SourceRecord | None]
"""Records by source; None where there is none yet."""


class OtherReaders:
    """The sources as others found them; `grace` is `safety.file_grace`, `elapsed` a steady clock."""

    def __init__(
        self,
        *,
        worklist: WorklistStore,
        scanner: Scanner,
        known: KnownSources,
        absent: AbsentFiles,
        poison: Poison,
        grace: timedelta,
        elapsed: Callable[[], float],
    ) -> None:
        self._worklist = worklist
        self._scanner = scanner
        self._known = known
        self._absent = absent
        self._poison = poison
        self._grace = grace
        self._elapsed = elapsed
        self._heard: set[str] = set()

    def recall(
        self,
        sources: Iterable[CalendarSource],
        records: Mapping[str, SourceRecord],
        now: datetime,
    ) -> None:
        """Take sources to stand as they did when they were looked at last, by their records.

        Of a source without a record nothing is known, as before its first reading.
        """
        for source in sources:
            self._recall(source, records[source.name], now)

    def _recall(
        self, source: CalendarSource, record: SourceRecord, now: datetime
    ) -> None:
        at = record.last_read_at
        if self._worklist.standing_of(source.name) == UNREADABLE:
            self._note_unreadable(source.name, at, record.error)
            return
        standing = WHOLE if record.error is None else IN_PART
        self._note(source, standing, at, record.error, judged_at=now)

    def hear(
        self, sources: Iterable[CalendarSource], records: Records, now: datetime
    ) -> None:
        """Take sources to stand as other members found them last.

        Nothing is known of one that rests on another configuration or program, or that changes just now.
        """
        for source in sources:
            name = source.name
            self._scanner.forget_source(name)
            self._heard.add(name)
            try:
                self._hear(source, records[name], now)
            except StaleIndex:
                self._scanner.forget_stale(name)

    def _hear(
        self, source: CalendarSource, record: SourceRecord | None, now: datetime
    ) -> None:
        known = self._worklist.known_of(source.name)
        is_read = known.standing in {WHOLE, IN_PART, UNREADABLE}
        if not is_read or not self._worklist.versions.is_own(known.made_by):
            return
        at = known.read_at or now
        error: str | None = _NOT_WHOLE
        if record is not None and record.error is not None:
            error = record.error
        if known.standing == UNREADABLE:
            self._note_unreadable(source.name, at, error)
            return
        if known.standing == WHOLE:
            error = None
            if record is not None and record.last_ok_at is not None:
                at = max(at, record.last_ok_at)
        # What is gone was gone then; nobody has looked since.
        self._note(source, known.standing, at, error, judged_at=at)

    def _note(
        self,
        source: CalendarSource,
        standing: str,
        at: datetime,
        error: str | None,
        *,
        judged_at: datetime,
    ) -> None:
        known = self._known.of(source)
        glance = Glance(source.name, judged_at, self._elapsed())
        state = SourceState(
            at=at,
            outline=Outline.of(known),
            standing=standing,
            error=error,
            missing=self._absent.missing(glance, known.index),
        )
        self._scanner.note(source.name, state)

    def _note_unreadable(self, name: str, at: datetime, error: str | None) -> None:
        state = SourceState(
            at=at, outline=NOTHING_READ, standing=UNREADABLE, error=error
        )
        self._scanner.note(name, state)

    def forget_source(self, name: str) -> None:
        """Know nothing of a source: another member stored something of it, or it comes to this one or goes.

        What the members suspect of ending their processes is known as of now.
        """
        self._scanner.forget_source(name)
        self._heard.discard(name)
        self._poison.reload()

    def forget_stale(self, name: str) -> None:
        """Forget a source because another member has just stored something of it."""
        self._scanner.forget_stale(name)

    def forget_changed(self) -> None:
        """Forget the sources of which another member stored something since this process knows them."""
        for name in self._worklist.stale_among(self._scanner.states):
            self._scanner.forget_stale(name)

    def take_stale(self) -> frozenset[str]:
        """Return, once, the sources of which another member stored something while this one looked at them.

        Nothing is known of them any more: they are to be read, or heard of, anew.
        """
        stale = frozenset(self._scanner.stale)
        self._scanner.stale.clear()
        return stale

    def awaiting_files(self) -> frozenset[str]:
        """Return the sources that others read and in which a file is gone for a moment.

        The next reading of one is evidence even if it says the same.
        """
        found: set[str] = set()
        for name in self._heard:
            state = self._scanner.state_of(name)
            missing = () if state is None else state.missing
            if any(file.is_awaited(self._grace) for file in missing):
                found.add(name)
        return frozenset(found)
