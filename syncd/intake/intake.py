"""Reads the sources: what each of them says, as far as it changed or needs a look.

A scan of a source tells which UIDs say something new; their events are kept in the ledger, and the UIDs come
on its worklist.
A reading of a cycle is about the UIDs that are ready alone; that it would say the same of all others as
before is what the worklist stands for.
Unreadable is never empty: of a source that cannot be read everything stays as it was known.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from importlib.metadata import version
from itertools import chain

from syncd import __version__
from syncd.core.bounds import COSTLY_S
from syncd.core.occurrence import Presence, Reading, Window
from syncd.errors import SourceError, SourceUnavailable
from syncd.ics import ParsedSeries, ParserPool
from syncd.intake.absent_files import AbsentFiles, Glance
from syncd.intake.excerpt import SourceExcerpt, excerpt_of
from syncd.intake.parsing import UidParser
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource, IntakeLedger, Kept, WorklistStore
from syncd.intake.raw_events import unpacked
from syncd.intake.reading import reading_of
from syncd.intake.remarks import Remarks
from syncd.intake.scan import Scan, ScanResult, digest_of_documents
from syncd.intake.source_index import SourceIndex
from syncd.intake.state import (
    IN_PART,
    UNKNOWN,
    UNREADABLE,
    WHOLE,
    SourceState,
    SourceStates,
)
from syncd.intake.turns import Turns
from syncd.ledger.facts import JUDGED_AT, SALT

Prepare = Callable[[Collection[str], bool], None]
"""Begins to fetch the named sources, where that takes time; the flag says to ask anew whatever is kept."""

Elsewhere = Callable[[str, Callable[[], None]], None]
"""Does work of the named source in another thread, and wakes the source when it is done."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Readings:
    """What the sources say of some UIDs: readings by source, in the order of the configuration.

    `next_start`, by UID, is when something of it comes into reach of a reading, at the latest.
    `postponed` are UIDs that come in the next cycle, because what was looked at took enough, by source.
    `unheard` are the UIDs that also stand in a source of which nothing is known now, `shelved` those in one
    that is not configured now and may come back.
    """

    readings: Mapping[str, Reading]
    next_start: Mapping[str, datetime]
    postponed: Mapping[str, frozenset[str]]
    unheard: frozenset[str]
    shelved: frozenset[str]


class Intake:
    """Reads some or all sources at a time.

    What a source said last stays at hand, for cycles in which only others are due.
    With `elsewhere` a large source is scanned aside, and its readings follow when that is done.
    `pool` parses what may be costly; `alive` is called at each step.
    `others_wait` tells whether something else is due meanwhile; what is costly then gives way to it.
    `elapsed` is a steady clock, by which a file of a directory that is gone has `file_grace`.
    """

    def __init__(
        self,
        sources: Iterable[CalendarSource],
        *,
        ledger: IntakeLedger,
        horizon: timedelta,
        prepare: Prepare,
        elsewhere: Elsewhere | None,
        pool: ParserPool,
        alive: Callable[[], object],
        others_wait: Callable[[], bool],
        poison: Poison,
        file_grace: timedelta,
        elapsed: Callable[[], float],
    ) -> None:
        self.sources = tuple(sources)
        self._ledger = ledger
        self._worklist: WorklistStore = ledger.worklist
        self._horizon = horizon
        self._prepare = prepare
        self._elsewhere = elsewhere
        self._alive = alive
        self._poison = poison
        self._elapsed = elapsed
        self._absent = AbsentFiles(self._worklist, file_grace, elapsed)
        self._turns = Turns(puts_off=elsewhere is not None, others_wait=others_wait)
        self._remarks = Remarks(self._worklist, horizon, program())
        self._parser = UidParser(
            pool=pool,
            poison=poison,
            remarks=self._remarks,
            under_way=ledger.under_way,
            alive=alive,
        )
        self._states = SourceStates(self._worklist)
        self._aside: dict[str, Scan] = {}

    def refresh_after(self, name: str) -> timedelta | None:
        """Return how long the calendars of a source ask to be left alone (RFC 7986 section 5.7)."""
        state = self._states.get(name)
        if state is None or not state.readable:
            return None
        return state.parser.refresh_after

    def awaited(self) -> Mapping[str, timedelta]:
        """Return in how long sources are to be read again, because files of them are gone, by name."""
        return self._absent.awaited()

    # What changed

    def update(
        self, names: Collection[str] | None, now: datetime, *, force: bool = False
    ) -> tuple[str, ...]:
        """Find out what the sources say anew, and put it on the worklist; return the names of those read."""
        self._parser.anew = force
        if force:
            self._poison.forget()
        read: list[str] = []
        for source in self._wanted(names, force=force):
            self._alive()
            if self._update_source(source, now):
                read.append(source.name)
        return tuple(read)

    def _update_source(self, source: CalendarSource, now: datetime) -> bool:
        """Find out what a source says anew; return False while another thread does."""
        aside = self._aside.get(source.name)
        if aside is not None:
            if not aside.ended:
                aside.again = True  # its end wakes the source
                return False
            del self._aside[source.name]
            if aside.found is not None:
                self._take_in(source, aside, aside.found)
                if not aside.again:
                    return True
        try:
            scan = self._begin_scan(source, now)
        except SourceError as error:
            self._unreadable(source, str(error), now)
            return True
        if self._elsewhere is not None and scan.is_large:
            self._aside[source.name] = scan
            bounded = self._parser.bounds_aside(source, now)
            window = Window.ahead(now, self._horizon)
            work = partial(scan.run_aside, window, bounded)
            self._elsewhere(source.name, work)
            return False
        self._take_in(source, scan, scan.run())
        return True

    def _begin_scan(self, source: CalendarSource, now: datetime) -> Scan:
        """Fetch the documents of a source; raises `SourceError` also if it is set aside."""
        self._refuse_poison(source, "", now)
        with self._ledger.under_way.working(source.name):
            fetched = source.fetch()
        self._refuse_poison(source, digest_of_documents(fetched), now)
        return Scan(
            source=source,
            fetched=fetched,
            known=self._states.last(source),
            ledger=self._ledger,
            salt=self._salt,
            at=now,
            at_s=self._elapsed(),
        )

    def _refuse_poison(
        self, source: CalendarSource, digest: str, now: datetime
    ) -> None:
        """Raise `SourceUnavailable` if reading a source ended the process, or fetching it (no digest)."""
        why = self._poison.why_not(source.name, "", digest, now)
        if why is not None:
            sentence, _ = why
            raise SourceUnavailable(source.name, sentence)

    def _take_in(self, source: CalendarSource, scan: Scan, result: ScanResult) -> None:
        """Store what a scan found, and remember how the source stands."""
        problems = "; ".join(result.diff.problems)
        if problems and result.diff.index.event_count == 0:
            self._unreadable(source, problems, scan.at)
            return
        complete = not problems
        standing = WHOLE if complete else IN_PART
        known = scan.known
        glance = Glance(source.name, scan.fetched, scan.at, scan.at_s)
        index = self._absent.noted(
            glance, known.index, result.diff.index, complete=complete
        )
        diff = replace(result.diff, index=index)
        result = replace(result, diff=diff)
        missing = self._absent.missing(glance, index)
        self._absent.watch(glance, index, missing, complete=complete)
        if index != known.index or standing != known.standing:
            window = Window.ahead(scan.at, self._horizon)
            scan.take_in(result, standing, window)
            self._remarks.forget(source.name)
        if known.standing not in {standing, UNKNOWN}:
            self._worklist.add_all([source.name])
        self._states[source.name] = SourceState(
            at=scan.at,
            index=index,
            parser=result.parser,
            standing=standing,
            error=problems or None,
            notes=scan.fetched.notes,
            missing=missing,
        )
        self._parser.remember(source.name, scan.at, result.parsed)
        if complete:
            scan.fetched.accept()

    def let_go(self) -> None:
        """Drop what was parsed: no cycle will soon ask for the same again."""
        self._parser.let_go()

    @property
    def judged_at(self) -> datetime:
        """Return the moment at which it was last judged which events are over."""
        return self._ledger.facts.get(JUDGED_AT) or _LONG_AGO

    def forget(self, now: datetime) -> None:
        """Look at everything as if for the first time: what was known may rest on something else."""
        unread: dict[str, SourceIndex] = {}
        for source in self.sources:
            known = self._states.index_of(source)
            unread[source.name] = known.unread()
        self._states.forget()
        self._parser.let_go()
        self._worklist.forget_indexes()
        for name, index in unread.items():
            # A file may be gone just now, and its bookings are not to go with it.
            if index.formers:
                self._worklist.record_scan(name, index.packed(), UNKNOWN, kept={})
        self._ledger.facts.set(JUDGED_AT, now)

    def readings_of(self, uids: Collection[str], now: datetime) -> Readings:
        """Return what the sources say of these UIDs, as far as this process read them."""
        window = Window.ahead(now, self._horizon)
        kept = self._worklist.kept_of(uids)
        allowance = self._turns.begin(uids)
        parsed: dict[str, Mapping[str, ParsedSeries]] = {}
        found: dict[str, Reading] = {}
        for source in self._turns.in_order(self.sources):
            name = source.name
            state = self._states.get(name)
            if state is None:
                continue
            if not state.readable:
                found[name] = _unreadable_reading(name, state, window)
                continue
            own = kept.get(name, {})
            series = self._parser.parse_kept(source, state, own, window, allowance)
            remarks = self._remarks.update(source, own, series)
            postponed = frozenset(own.keys() - series.keys())
            parsed[name] = series
            found[name] = reading_of(name, state, series, remarks, window, postponed)
        left = _left_to_next_cycle(found.values())
        costly = [name for name, series in parsed.items() if _was_costly(series)]
        self._turns.end(left, costly)
        return self._readings(kept, found, parsed, left)

    def _readings(
        self,
        kept: Mapping[str, Mapping[str, Kept]],
        found: Mapping[str, Reading],
        parsed: Mapping[str, Mapping[str, ParsedSeries]],
        left: frozenset[str],
    ) -> Readings:
        """Return what was found and parsed by source; `left` are the UIDs that were postponed in any."""
        readings: dict[str, Reading] = {}
        unheard: list[str] = []
        for source in self.sources:
            reading = found.get(source.name)
            if reading is not None:
                readings[source.name] = reading
            if reading is None or not reading.readable:
                unheard.append(source.name)
        configured = {source.name for source in self.sources}
        shelved = kept.keys() - configured
        return Readings(
            readings=readings,
            next_start=_next_starts(parsed.values()),
            postponed={
                name: reading.postponed
                for name, reading in found.items()
                if reading.postponed
            },
            unheard=_uids_in(kept, unheard) | left,
            shelved=_uids_in(kept, shelved),
        )

    def excerpts(
        self, uid: str, readings: Mapping[str, Reading]
    ) -> dict[str, SourceExcerpt]:
        """Return, by source, how a UID is written in what these readings are of."""
        kept = self._worklist.kept_of([uid])
        found: dict[str, SourceExcerpt] = {}
        for source in self.sources:
            state = self._states.get(source.name)
            if state is None or not state.readable or source.name not in kept:
                continue
            reading = readings[source.name]
            own = kept[source.name][uid]
            found[source.name] = excerpt_of(
                uid,
                unpacked(own.events),
                state.index,
                parser=state.parser,
                locale=source.locale,
                window=reading.window,
                quarantined=reading.presence.get(uid) is Presence.QUARANTINED,
            )
        return found

    def _wanted(
        self, names: Collection[str] | None, *, force: bool
    ) -> Iterator[CalendarSource]:
        """Yield the sources of these names (None: all), once they are prepared."""
        wanted = [
            source for source in self.sources if names is None or source.name in names
        ]
        self._prepare([source.name for source in wanted], force)
        yield from wanted

    def _unreadable(self, source: CalendarSource, error: str, now: datetime) -> None:
        """Remember why a source cannot be read now; if it could before, all of its UIDs are ready."""
        self._absent.forget(source.name)
        known = self._states.last(source)
        self._states[source.name] = replace(
            known, at=now, error=error, standing=UNREADABLE
        )
        if known.standing != UNREADABLE:
            self._worklist.set_standing(source.name, UNREADABLE)
            self._worklist.add_all([source.name])

    @cached_property
    def _salt(self) -> int:
        """Return the key of the digests, which this installation has for good."""
        salt = self._ledger.facts.get(SALT)
        if salt is None:
            salt = secrets.randbits(64)
            self._ledger.facts.set(SALT, salt)
        return salt


def _unreadable_reading(source: str, state: SourceState, window: Window) -> Reading:
    assert state.at is not None  # this process tried to read it
    return Reading.unreadable(source, state.at, window, state.error or "")


def _left_to_next_cycle(readings: Iterable[Reading]) -> frozenset[str]:
    """Return the UIDs that any of these readings postpones."""
    return frozenset(chain.from_iterable(reading.postponed for reading in readings))


def _was_costly(parsed: Mapping[str, ParsedSeries]) -> bool:
    """Tell whether one of the UIDs of a source took long."""
    return any(series.cost_s > COSTLY_S for series in parsed.values())


def _uids_in(
    kept: Mapping[str, Mapping[str, Kept]], sources: Iterable[str]
) -> frozenset[str]:
    """Return the UIDs of which something is kept in any of these sources."""
    uids: set[str] = set()
    for source in sources:
        uids.update(kept.get(source, ()))
    return frozenset(uids)


def _next_starts(
    parsed: Iterable[Mapping[str, ParsedSeries]],
) -> dict[str, datetime]:
    """Return, by UID, when something of it comes into reach of a reading, in any source."""
    found: dict[str, datetime] = {}
    for of_source in parsed:
        for uid, series in of_source.items():
            if series.next_start is None:
                continue
            known = found.get(uid)
            if known is None or series.next_start < known:
                found[uid] = series.next_start
    return found


@cache
def program() -> str:
    """Return the version of this program and of the rules of time zones."""
    return f"{__version__} {version('tzdata')}"
