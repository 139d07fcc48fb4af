"""Reads the sources: bytes to readings, and what each source said last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from syncd.core.occurrence import Reading, Window
from syncd.errors import SourceError
from syncd.ics import Document, read
from syncd.reconciler.ports import CalendarSource

Prepare = Callable[[Collection[str], bool], None]
"""Begins to fetch the named sources, where that takes time; the flag says to ask anew whatever is kept."""


class Intake:
    """Reads some or all sources at a time; unreadable is never empty.

    What a source said last stays at hand, for cycles in which only others are due.
    """

    def __init__(self, sources: Iterable[CalendarSource], *, horizon: timedelta, prepare: Prepare) -> None:
        self.sources = tuple(sources)
        self._horizon = horizon
        self._prepare = prepare
        self._last: dict[str, Reading] = {}

    def look(
        self, names: Collection[str] | None, now: datetime
    ) -> Iterator[tuple[CalendarSource, Sequence[Document], Reading]]:
        """Read without keeping anything; each source with its documents, held until the next one only.

        `names` None means all sources.
        """
        yield from self._each(names, now, force=False, keep=False)

    def read(
        self, names: Collection[str] | None, now: datetime, *, force: bool = False
    ) -> dict[str, Reading]:
        """Read, and keep what was whole; the readings by source in the order of the configuration."""
        fresh = {s.name: reading for s, _, reading in self._each(names, now, force=force, keep=True)}
        self._last |= fresh
        return fresh

    def completed(self, fresh: Mapping[str, Reading]) -> dict[str, Reading]:
        """These readings and the last ones of the other sources, in the order of the configuration."""
        known = {**self._last, **fresh}
        return {source.name: known[source.name] for source in self.sources if source.name in known}

    def refresh_after(self, name: str) -> timedelta | None:
        """How long the calendars of a source ask to be left alone (RFC 7986 section 5.7)."""
        last = self._last.get(name)
        return last.refresh_after if last is not None else None

    def _each(
        self, names: Collection[str] | None, now: datetime, *, force: bool, keep: bool
    ) -> Iterator[tuple[CalendarSource, Sequence[Document], Reading]]:
        window = Window.ahead(now, self._horizon)
        wanted = [source for source in self.sources if names is None or source.name in names]
        self._prepare([source.name for source in wanted], force)
        for source in wanted:
            try:
                fetched = source.fetch()
            except SourceError as error:
                yield source, (), Reading.unreadable(source.name, now, window, str(error))
                continue
            reading = read(
                fetched.documents,
                source=source.name,
                scope=source.scope,
                locale=source.locale,
                window=window,
                at=now,
                problems=fetched.problems,
            )
            if keep and reading.complete:
                fetched.accept()
            yield source, fetched.documents, reading
