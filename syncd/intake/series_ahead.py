"""Which series of a large document are parsed before it is known what else it says.

See `syncd.ics.ahead` for why. Events that do not recur come first, since nothing else is to be expected of
their UIDs. Series are held back for a while: their changed dates mostly stand near, and what comes later makes
what was parsed void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from syncd.core.bounds import SOURCE_CPU_S
from syncd.core.document import Document
from syncd.core.occurrence import Window
from syncd.ics import CpuAllowance, ParsedSeries, RawEvent
from syncd.ics.ahead import ParsingAhead
from syncd.ics.worker import Instructions
from syncd.intake.document_index import DocumentIndex
from syncd.intake.known import parser_of
from syncd.intake.parsing import Bounded
from syncd.intake.ports import CalendarSource
from syncd.intake.raw_events import Spans, earliest
from syncd.intake.source_index import SourceIndex
from syncd.intake.vevents import context_at_begin

AHEAD_FROM = 32 << 20
"""Bytes of a document from which on it is worth to start workers for it."""

_HELD = 200  # UIDs


class SeriesAhead:
    """The series of one document that are parsed while it is looked through; nothing of it was known before.

    `spans` has when an event can occur. Nothing is parsed ahead of a document whose begin does not tell what
    stands around its events, or where there is one core.
    """

    def __init__(
        self,
        document: Document,
        source: CalendarSource,
        bounded: Bounded,
        window: Window,
        spans: Spans,
    ) -> None:
        self._bounded = bounded
        self._reach = window.reach
        self._spans = spans
        self._held: dict[str, list[RawEvent]] = {}
        self._seen: set[str] = set()
        self._put: dict[str, Sequence[RawEvent]] = {}
        self._line = 0
        self._context = context_at_begin(document)
        contexts = () if self._context is None else (self._context,)
        self._key = self._context.key if self._context else ""
        index = DocumentIndex(document.name, document.base_url, contexts=contexts)
        self._parser = parser_of(source, SourceIndex(documents=(index,)))
        self._parsing = ParsingAhead(
            bounded.pool,
            Instructions(self._parser, window),
            CpuAllowance(SOURCE_CPU_S),
        )

    def __enter__(self) -> SeriesAhead:
        self._parsing.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._parsing.__exit__(kind, error, traceback)

    def add(self, uid: str, text: bytes, line: int) -> None:
        """Take in an event of a UID that matters, in the order of the document."""
        if self._context is None or not uid:
            return
        if line < self._line:
            self._stop()  # it was no plain document, and is split once more
            return
        self._line = line
        raw_event = RawEvent(self._context.key, line, text)
        if uid in self._held:
            self._held[uid].append(raw_event)
        elif uid not in self._seen:
            self._seen.add(uid)
            if _is_series(text):
                self._held[uid] = [raw_event]
            else:
                self._parse(uid, (raw_event,))
        if self._parsing.wants_more() and len(self._held) > _HELD:
            oldest = next(iter(self._held))
            self._parse(oldest, tuple(self._held.pop(oldest)))

    def settle(
        self, index: SourceIndex, changed: Mapping[str, Sequence[RawEvent]]
    ) -> None:
        """Learn what the source turned out to say, and which UIDs of it changed."""
        context = self._context
        wanted: dict[str, Sequence[RawEvent]] = {}
        if context is not None and index.contexts.get(context.key) == context:
            wanted = {
                uid: raw_events
                for uid, raw_events in changed.items()
                if self._put.get(uid) == raw_events or self._is_worth(uid, raw_events)
            }
        self._parsing.settle(wanted)

    def go_on(self) -> None:
        """Give the workers more to do; to be called now and then while there is something else to do."""
        self._parsing.wants_more()

    def finish(self) -> dict[str, ParsedSeries]:
        """Return what those of the UIDs that changed say that are worth it; some may be missing."""
        return self._parsing.finish(self._bounded.alive, self._bounded.under_way)

    def _stop(self) -> None:
        """Have nothing more parsed."""
        self._context = None
        self._held = {}

    def _parse(self, uid: str, raw_events: Sequence[RawEvent]) -> None:
        """Have a UID parsed, if that is worth it."""
        if self._is_worth(uid, raw_events):
            self._put[uid] = raw_events
            self._parsing.put(uid, raw_events)

    def _is_worth(self, uid: str, raw_events: Sequence[RawEvent]) -> bool:
        """Tell whether events are plain, come into reach, and are not set aside."""
        if not (uid and raw_events):
            return False
        begins = earliest(raw_events, self._spans)
        if begins is not None and begins > self._reach:
            return False
        keys = {raw_event.context for raw_event in raw_events}
        if keys != {self._key} or not self._parser.is_plain(raw_events):
            return False
        return self._bounded.verdict(uid, raw_events) is None


def _is_series(text: bytes) -> bool:
    """Tell whether an event is part of a series, of which others may stand elsewhere."""
    return b"\nRRULE" in text or b"\nRECURRENCE-ID" in text
