"""Hears of the sources that other members read: by the versions of their indexes in the ledger, each second.

All versions are compared each time, because the order of commits could hide one from who asks for later ones only.
Must not: read a calendar, or decide what follows from one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncd.ledger import Ledger, SourceRecord

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What other members stored since the last look.

    `changed` are sources that are read here of which another member stored an index. `foreign` are sources that
    are read elsewhere and say something new, or were read completely once more when that counts, by what the
    ledger has of the last reading.
    """

    changed: frozenset[str] = frozenset()
    foreign: Mapping[str, SourceRecord | None] = field(default_factory=dict)


NOTHING = Heard()

Stamps = Mapping[str, tuple[int, str]]
_NO_INDEX = (-1, "")


class Hearing:
    """The looks of one member at what the others store."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._look_again_at_s = 0.0  # on the monotonic clock
        self._version: object = None  # of the ledger, at the last look
        # Of foreign sources: the version of the index, and when it was complete, as they were heard last.
        self._heard: dict[str, int] = {}
        self._complete_at: dict[str, datetime | None] = {}

    def step(
        self,
        own: frozenset[str],
        foreign: frozenset[str],
        counting: Collection[str],
    ) -> Heard:
        """Return what is new of the `own` sources and of the `foreign` ones; raise `LedgerError`.

        Of the `counting` ones a complete reading is new even if it says the same as the last one.
        """
        now_s = time.monotonic()
        if now_s < self._look_again_at_s:
            return NOTHING
        self._look_again_at_s = now_s + _LOOK_EVERY_S
        version = self._ledger.version()
        if version == self._version:
            return NOTHING
        self._version = version
        stamps = self._ledger.worklist.index_stamps()
        changed = {name for name in own if self._is_otherwise(name, stamps)}
        heard = self._new_versions(foreign, stamps)
        again = foreign.intersection(counting)
        records: dict[str, SourceRecord | None] = {}
        if heard or again:
            known = self._ledger.sources.all()
            heard |= self._complete_again(again, known)
            records = {name: known.get(name) for name in heard}
        return Heard(frozenset(changed), records)

    def forget(self, names: Collection[str]) -> None:
        """Hear of sources anew, because they were read here meanwhile."""
        self._version = None
        for name in names:
            self._heard.pop(name, None)
            self._complete_at.pop(name, None)

    def _is_otherwise(self, name: str, stamps: Stamps) -> bool:
        """Tell whether a source that is known here has another version by now."""
        versions = self._ledger.worklist.versions
        version, _ = stamps.get(name, _NO_INDEX)
        return versions.knows(name) and not versions.is_of(name, version)

    def _new_versions(self, foreign: frozenset[str], stamps: Stamps) -> set[str]:
        """Return the foreign sources whose index was stored since they were heard last."""
        found: set[str] = set()
        for name in foreign:
            version, _ = stamps.get(name, _NO_INDEX)
            if self._heard.get(name) != version:
                self._heard[name] = version
                found.add(name)
        return found

    def _complete_again(
        self, names: Collection[str], known: Mapping[str, SourceRecord]
    ) -> set[str]:
        """Return the sources of which there is a later complete reading than at the last look."""
        found: set[str] = set()
        for name in names:
            record = known.get(name)
            at = record.last_ok_at if record is not None else None
            if at is not None and at != self._complete_at.get(name):
                self._complete_at[name] = at
                found.add(name)
        return found
