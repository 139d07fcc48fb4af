"""How the events of UIDs are parsed within bounds, and what need not be parsed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.core.bounds import SOURCE_CPU_S
from syncd.core.occurrence import Window
from syncd.ics.parallel import CpuAllowance, OnBegin, ParserPool
from syncd.ics.series import ParsedSeries, SeriesParser
from syncd.ics.vevent import RawEvent
from syncd.intake.known import Known
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource, Kept, UnderWay
from syncd.intake.raw_events import digest_of_events, unpacked
from syncd.intake.reading import defects_as_of_now
from syncd.intake.remarks import Remarks

# For parsing, which looks much farther ahead than is booked.
_AS_GOOD_AS_NOW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Bounded:
    """The bounds within which UIDs are parsed, and what is known without that.

    `verdict` tells of a UID with these events what was found before, where finding it again would cost much.
    `pool`, `allowance`, `alive` and `under_way` are those of `ParserPool.parse_all`.
    """

    pool: ParserPool
    allowance: CpuAllowance
    alive: Callable[[], object] = lambda: None
    under_way: OnBegin = lambda _uid, _events: None
    verdict: Callable[[str, Sequence[RawEvent]], ParsedSeries | None] = (
        lambda _uid, _events: None
    )

    def parse(
        self,
        work: Mapping[str, Sequence[RawEvent]],
        parser: SeriesParser,
        window: Window,
    ) -> dict[str, ParsedSeries]:
        """Return what each UID says; those that come in the next cycle are left out."""
        found: dict[str, ParsedSeries] = {}
        rest: dict[str, Sequence[RawEvent]] = {}
        for uid, raw_events in work.items():
            known = self.verdict(uid, raw_events)
            if known is None:
                rest[uid] = raw_events
            else:
                document = parser.document_of(raw_events[0])
                found[uid] = _with_document(known, document)
        answers = self.pool.parse_all(
            rest,
            parser,
            window,
            allowance=self.allowance,
            alive=self.alive,
            under_way=self.under_way,
        )
        for series in answers:
            found[series.uid] = series
        return found


@dataclass(frozen=True, slots=True)
class _ParsedAhead:
    """What was parsed of a source since a moment: aside, in this cycle, or in one that gave way to it."""

    at: datetime
    parsed: Mapping[str, ParsedSeries]


class UidParser:
    """Parses UIDs of all sources within bounds, and has at hand what it parsed a moment ago.

    `pool` parses what may be costly; `alive` is called at each step.
    While `anew` is set, what was found too costly before is tried again, because a person asked for it.
    """

    def __init__(
        self,
        *,
        pool: ParserPool,
        poison: Poison,
        remarks: Remarks,
        under_way: UnderWay,
        alive: Callable[[], object],
    ) -> None:
        self.anew = False
        self._pool = pool
        self._poison = poison
        self._remarks = remarks
        self._under_way = under_way
        self._alive = alive
        self._ahead: dict[str, _ParsedAhead] = {}

    def remember(
        self, source: str, at: datetime, parsed: Mapping[str, ParsedSeries]
    ) -> None:
        """Have at hand what was parsed of a source at a moment, instead of all that was before."""
        if parsed:
            self._ahead[source] = _ParsedAhead(at, parsed)
        else:
            self._ahead.pop(source, None)

    def forget_source(self, source: str) -> None:
        """Drop what was parsed of a source."""
        self._ahead.pop(source, None)

    def let_go(self) -> None:
        """Drop what was parsed."""
        self._ahead = {}

    def parse_kept(
        self,
        source: CalendarSource,
        known: Callable[[], Known],
        kept: Mapping[str, Kept],
        window: Window,
        allowance: CpuAllowance,
    ) -> dict[str, ParsedSeries]:
        """Return what the source says of these UIDs; those that have to wait are left out.

        `known` gives what is known of the source, and is called only if something has to be parsed.
        """
        ahead = self._ahead_of(source.name, window.start)
        parsed: dict[str, ParsedSeries] = {}
        work: dict[str, Sequence[RawEvent]] = {}
        for uid, own in kept.items():
            before = ahead.parsed.get(uid)
            if before is None:
                work[uid] = unpacked(own.events)
            else:
                parsed[uid] = before
        if work:
            bounded = self._bounded(source, allowance, self._alive, window.start, kept)
            parsed |= bounded.parse(work, known().parser, window)
        for uid, series in parsed.items():
            if series.defects:
                raw_events = unpacked(kept[uid].events)
                parsed[uid] = defects_as_of_now(
                    series, raw_events, known().index, window
                )
        self.remember(source.name, ahead.at, parsed)
        return parsed

    def bounds_aside(self, source: CalendarSource, now: datetime) -> Bounded:
        """Return the bounds for what another thread parses of a source, for whose sign of life nobody waits."""
        return self._bounded(source, None, _nobody, now, {})

    def _ahead_of(self, source: str, now: datetime) -> _ParsedAhead:
        """Return what was parsed of a source so lately that it would be the same now."""
        ahead = self._ahead.get(source)
        if ahead is not None:
            age = now - ahead.at
            if timedelta() <= age < _AS_GOOD_AS_NOW:
                return ahead
        return _ParsedAhead(now, {})

    def _bounded(
        self,
        source: CalendarSource,
        of_cycle: CpuAllowance | None,
        alive: Callable[[], object],
        now: datetime,
        kept: Mapping[str, Kept],
    ) -> Bounded:
        """Return the bounds for parsing the UIDs of a source; `of_cycle` is what a cycle may take.

        What was too costly is remembered in the remarks on what is `kept` of these UIDs.
        """
        known = {uid: own.remarks for uid, own in kept.items() if own.remarks}

        def verdict(uid: str, raw_events: Sequence[RawEvent]) -> ParsedSeries | None:
            if uid:
                digest = digest_of_events(raw_events)
                aside = self._poison.why_not(source.name, uid, digest, now)
                if aside is not None:
                    why, until = aside
                    return self._remarks.set_aside(uid, raw_events, why, until)
            if self.anew or uid not in known:
                return None
            return self._remarks.too_costly(source, uid, known[uid])

        def tell(uid: str | None, raw_events: Sequence[RawEvent]) -> None:
            if uid is None:
                self._under_way.end()
            else:
                digest = digest_of_events(raw_events)
                self._under_way.begin(source.name, uid, digest)

        return Bounded(
            self._pool,
            CpuAllowance(SOURCE_CPU_S, of_cycle),
            alive=alive,
            under_way=tell,
            verdict=verdict,
        )


def _with_document(series: ParsedSeries, document: str) -> ParsedSeries:
    """Return a series whose defects all name a document: this one, where they name none."""
    defects = [
        replace(defect, document=defect.document or document)
        for defect in series.defects
    ]
    return replace(series, defects=tuple(defects))


def _nobody() -> None:
    """Do nothing: nobody waits for a sign of life from another thread."""
