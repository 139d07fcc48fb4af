"""The events of a source that nobody knew: which of them matter, judged many at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import TypeAlias

from syncd.intake.ports import TrackedSeries

IsCurrent: TypeAlias = Callable[[bytes, bytes | None], bool]
"""Called with the text of an event and its notable lines; tells whether it can have an occurrence that is not
over."""

OnCurrent: TypeAlias = Callable[[str, bytes, int], None]
"""Called with the UID of an event, its text, and the line where it begins in a document that nobody knew."""

_HELD_AT_ONCE = 1 << 18
"""Bytes of events that wait to be judged together: a question for each of these would cost more."""

_NewEvent: TypeAlias = tuple[bytes, Mapping[bytes, str], bytes, int, bool]
"""An event that nobody knew: its verbatim digest, its UIDs by digest, text and line; whether it is current."""


class NewEvents:
    """The events that the parent does not have, as far as they matter.

    `names` are the UIDs, by their digests, of which one matters: it is current, or its UID is tracked.
    `current` are the verbatim digests of those that are not over.
    `texts` has the texts of events of these UIDs, by verbatim digest, as far as they were seen.
    """

    def __init__(
        self,
        is_current: IsCurrent,
        tracked: TrackedSeries,
        on_current: OnCurrent,
    ) -> None:
        self._is_current = is_current
        self._tracked = tracked
        self._on_current = on_current
        # Seen, and not judged yet: which of those that are over matter is asked for many at once.
        self._unjudged: list[_NewEvent] = []
        self._unjudged_size = 0
        self.names: dict[bytes, str] = {}
        self.current: set[bytes] = set()
        self.texts: dict[bytes, bytes] = {}

    def add(
        self,
        verbatim: bytes,
        names: Mapping[bytes, str],
        text: bytes,
        notable: bytes | None,
        line: int,
    ) -> None:
        """Look at an event; it is judged by `settle` at the latest."""
        is_current = self._is_current(text, notable)
        self._unjudged.append((verbatim, names, text, line, is_current))
        self._unjudged_size += len(text)
        if self._unjudged_size > _HELD_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Judge the events of which that was left; keep the texts of those that are seen to matter by now."""
        events, self._unjudged, self._unjudged_size = self._unjudged, [], 0
        over: set[str] = set()
        for _, names, _, _, is_current in events:
            if not is_current:
                over.update(names.values())
        tracked = self._tracked.tracked_among(over)
        mattering = self.names
        for verbatim, names, text, line, is_current in events:
            if is_current:
                self.current.add(verbatim)
                mattering.update(names)
            elif tracked:
                self._note_tracked(names, tracked)
            if not mattering.keys().isdisjoint(names):
                self.texts[verbatim] = text
                for name in names.values():
                    self._on_current(name, text, line)

    def _note_tracked(self, names: Mapping[bytes, str], tracked: Set[str]) -> None:
        """Note which of the UIDs of an event matter because they are tracked."""
        for uid, name in names.items():
            if name in tracked:
                self.names[uid] = name
