"""How the events of a source are parsed within bounds, and how its UIDs stand in a reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.core.occurrence import Presence, Window
from syncd.ics.parallel import CpuAllowance, OnBegin, ParserPool
from syncd.ics.series import ParsedSeries, SeriesParser
from syncd.ics.vevent import RawEvent
from syncd.intake.source_index import SourceIndex


@dataclass(frozen=True, slots=True)
class Bounded:
    """How UIDs are understood within bounds, and what is known without that.

    `verdict` tells of a UID with these pieces what was found before, where finding it again would cost much.
    `pool`, `allowance`, `alive` and `under_way` are those of `ParserPool.parse_all`.
    """

    pool: ParserPool
    allowance: CpuAllowance
    alive: Callable[[], object] = lambda: None
    under_way: OnBegin = lambda _uid, _pieces: None
    verdict: Callable[[str, Sequence[RawEvent]], ParsedSeries | None] = lambda _uid, _pieces: None

    def understand(
        self, work: Mapping[str, Sequence[RawEvent]], parser: SeriesParser, window: Window
    ) -> dict[str, ParsedSeries]:
        """Return what each UID says; those that come in the next cycle are left out."""
        found: dict[str, ParsedSeries] = {}
        for uid, pieces in work.items():
            known = self.verdict(uid, pieces)
            if known is not None:
                document = parser.document_of(pieces[0])
                named = (replace(d, document=d.document or document) for d in known.defects)
                found[uid] = replace(known, defects=tuple(named))
        rest = {uid: pieces for uid, pieces in work.items() if uid not in found}
        answers = self.pool.parse_all(
            rest,
            parser,
            window,
            allowance=self.allowance,
            alive=self.alive,
            under_way=self.under_way,
        )
        found.update((one.uid, one) for one in answers)
        return found


class Presences(Mapping[str, Presence]):
    """How UIDs stand in a reading; those that nobody looked at are known by being there, and are not listed.

    `parsed` has None for a UID of which nothing that counts was found.
    """

    def __init__(self, parsed: Mapping[str, Presence | None], index: SourceIndex) -> None:
        self._understood = {uid: there for uid, there in parsed.items() if there is not None}
        self._index = index

    def __getitem__(self, uid: str) -> Presence:
        known = self._understood.get(uid)
        if known is None and (not uid or not self._index.holds(uid)):
            raise KeyError(uid)
        return known or Presence.SERIES

    def __iter__(self) -> Iterator[str]:
        return iter(self._understood)

    def __len__(self) -> int:
        return len(self._understood)
