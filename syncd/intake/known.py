"""What is known of the sources from their last look: at hand for some of them, in the ledger for all.

The index of a calendar of 500 events is some 35 kB, with the parser for its events thrice that. Held for each
of a thousand calendars that was the most of the daemon's memory, and nearly all of them say nothing new for
hours. So what was used last stays at hand, up to a number of bytes, and the others are read from the ledger
when they are due, which takes about as long as asking a feed.

An index is the same value whether it stayed at hand or was read again, since the ledger is written in one step
with it (`syncd.intake.scan`) and by this process alone; or, on a shared ledger, since nothing else is read than
what is known of the source (`syncd.errors.StaleIndex`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from syncd.ics import SeriesParser
from syncd.intake.ports import CalendarSource, WorklistStore
from syncd.intake.source_index import SourceIndex

AT_HAND = 4 << 20
"""Bytes that stay at hand, about: fifty calendars of 500 events, or one of any size."""

_PARSER = 24 << 10  # bytes of a parser with the zones of one calendar, about
_TIMES_PARSED = (
    8  # what a context takes when it was parsed, for each byte of its text, about
)


@dataclass(frozen=True, slots=True)
class Known:
    """The index of a source, and the parser for its events, with the contexts that its documents have.

    `is_stored`: the ledger has the index bucket by bucket, so that one that changed can be replaced alone.
    """

    index: SourceIndex
    parser: SeriesParser
    is_stored: bool

    @classmethod
    def of(cls, source: CalendarSource, buckets: Mapping[int, bytes]) -> Known:
        """Return what is known of a source from its index as the ledger has it."""
        index = SourceIndex.unpacked(buckets)
        is_stored = index.is_packed_in(buckets)
        return cls(index, parser_of(source, index), is_stored)

    def unread(self, source: CalendarSource) -> Known:
        """Return what is left when nothing that was read counts; see `SourceIndex.unread`."""
        index = self.index.unread()
        return Known(index, parser_of(source, index), is_stored=False)

    @property
    def size(self) -> int:
        """Return how many bytes it takes in memory, about."""
        contexts = self.index.contexts.values()
        texts = sum(len(context.text) for context in contexts)
        return self.index.size + _PARSER + _TIMES_PARSED * texts


def parser_of(source: CalendarSource, index: SourceIndex) -> SeriesParser:
    """Return the parser for the events of a source, with the contexts that its documents have now."""
    return SeriesParser(
        index.contexts,
        source=source.name,
        scope=source.scope,
        locale=source.locale,
        max_occurrences=source.max_occurrences,
    )


class KnownSources:
    """What is known of the sources; what was asked for last is at hand, about `most` bytes of it.

    The last one is at hand however large it is, because the same cycle asks for it again.
    """

    def __init__(self, worklist: WorklistStore, most: int = AT_HAND) -> None:
        self._worklist = worklist
        self._most = most
        # By source, the one that was asked for last at the end; with the size of each.
        self._at_hand: OrderedDict[str, tuple[Known, int]] = OrderedDict()
        self._size = 0

    def of(self, source: CalendarSource) -> Known:
        """Return what is known of a source; an empty index if it was never read."""
        held = self._at_hand.get(source.name)
        if held is not None:
            self._at_hand.move_to_end(source.name)
            known, _ = held
            return known
        known = Known.of(source, self._worklist.index_of(source.name))
        if self._worklist.versions.is_by_another_program(source.name):
            known = known.unread(source)
        self.keep(source.name, known)
        return known

    def holds(self, source: CalendarSource, uid: str) -> bool:
        """Tell whether there is a VEVENT with a UID in a source, over or not."""
        return self.of(source).index.holds(uid)

    def keep(self, name: str, known: Known) -> None:
        """Have at hand what is known of a source now, which the ledger has too."""
        self._drop(name)
        size = known.size
        self._at_hand[name] = (known, size)
        self._size += size
        while self._size > self._most and len(self._at_hand) > 1:
            oldest = next(iter(self._at_hand))
            self._drop(oldest)

    def forget_source(self, name: str) -> None:
        """Have nothing of a source at hand: another process stored something of it."""
        self._drop(name)

    def forget(self) -> None:
        """Have nothing at hand: the ledger has it otherwise by now."""
        self._at_hand.clear()
        self._size = 0

    def _drop(self, name: str) -> None:
        held = self._at_hand.pop(name, None)
        if held is not None:
            _, size = held
            self._size -= size
