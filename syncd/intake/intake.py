"""Reads the sources: what each of them says, as far as it changed or needs a look.

A scan of a source tells which UIDs say something new; their events are kept in the ledger, and the UIDs come
on its worklist.
A reading of a cycle is about the UIDs that are ready alone; that it would say the same of all others as
before is what the worklist stands for.
Unreadable is never empty: of a source that cannot be read everything stays as it was known.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from importlib.metadata import version
from itertools import chain

from syncd import __version__
from syncd.core.bounds import COSTLY_S, SOURCE_CPU_S
from syncd.core.occurrence import Presence, Reading, Window
from syncd.errors import SourceError, SourceUnavailable
from syncd.ics import CpuAllowance, ParsedSeries, ParserPool, RawEvent
from syncd.intake.absent_files import AbsentFiles, Glance
from syncd.intake.excerpt import SourceExcerpt, excerpt_of
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource, IntakeLedger, Kept, WorklistStore
from syncd.intake.raw_events import digest_of_events, unpacked
from syncd.intake.reading import Bounded, defects_as_of_now, reading_of
from syncd.intake.remarks import Remarks
from syncd.intake.scan import Scan, ScanResult, digest_of_documents
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
# For parsing, which looks much farther ahead than is booked.
_AS_GOOD_AS_NOW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _ParsedAhead:
    """What was parsed of a source since a moment: aside, in this cycle, or in one that gave way to it."""

    at: datetime
    parsed: Mapping[str, ParsedSeries]


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
        self._pool = pool
        self._alive = alive
        self._poison = poison
        self._elapsed = elapsed
        self._absent = AbsentFiles(self._worklist, file_grace, elapsed)
        self._anew = False  # whatever was found before, because a person asked for it
        self._turns = Turns(puts_off=elsewhere is not None, others_wait=others_wait)
        self._remarks = Remarks(self._worklist, horizon, program())
        self._states = SourceStates(self._worklist)
        self._aside: dict[str, Scan] = {}
        self._ahead: dict[str, _ParsedAhead] = {}

    def refresh_after(self, name: str) -> timedelta | None:
        """Return how long the calendars of a source ask to be left alone (RFC 7986 section 5.7)."""
        state = self._states.get(name)
        return (
            state.parser.refresh_after if state is not None and state.readable else None
        )

    def awaited(self) -> Mapping[str, timedelta]:
        """Return in how long sources are to be read again, because files of them are gone, by name."""
        return self._absent.awaited()

    # What changed

    def update(
        self, names: Collection[str] | None, now: datetime, *, force: bool = False
    ) -> tuple[str, ...]:
        """Find out what the sources say anew, and put it on the worklist; return the names of those read."""
        self._anew = force
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
            bounded = self._bounded(source, None, now, {})
            window = Window.ahead(now, self._horizon)
            self._elsewhere(source.name, partial(scan.run_aside, window, bounded))
            return False
        self._take_in(source, scan, scan.run())
        return True

    def _begin_scan(self, source: CalendarSource, now: datetime) -> Scan:
        """Fetch the documents of a source; raises `SourceError` also if it is set aside."""
        self._refuse_poison(source, "", now)
        with self._ledger.under_way.working(source.name):
            fetched = source.fetch()
        self._refuse_poison(source, digest_of_documents(fetched), now)
        known = self._states.last(source)
        return Scan(
            source, fetched, known, self._ledger, self._salt, now, self._elapsed()
        )

    def _refuse_poison(
        self, source: CalendarSource, digest: str, now: datetime
    ) -> None:
        """Raise `SourceUnavailable` if reading a source ended the process, or fetching it (no digest)."""
        why = self._poison.why_not(source.name, "", digest, now)
        if why is not None:
            raise SourceUnavailable(source.name, why[0])

    def _take_in(self, source: CalendarSource, scan: Scan, result: ScanResult) -> None:
        """Store what a scan found, and remember how the source stands."""
        problems = "; ".join(result.diff.problems)
        if problems and result.diff.index.event_count == 0:
            self._unreadable(source, problems, scan.at)
            return
        standing, error = (IN_PART, problems) if problems else (WHOLE, None)
        glance = Glance(source.name, scan.fetched, scan.at, scan.at_s)
        index = self._absent.noted(
            glance, scan.known.index, result.diff.index, complete=not problems
        )
        result = replace(result, diff=replace(result.diff, index=index))
        missing = self._absent.missing(glance, index)
        self._absent.watch(glance, index, missing, complete=not problems)
        state = SourceState(
            scan.at, index, result.parser, standing, error, scan.fetched.notes, missing
        )
        if state.index != scan.known.index or scan.known.standing != state.standing:
            scan.take_in(result, state.standing, Window.ahead(scan.at, self._horizon))
            self._remarks.forget(source.name)
        if scan.known.standing not in {state.standing, UNKNOWN}:
            self._worklist.add_all([source.name])
        self._states[source.name] = state
        self._ahead[source.name] = _ParsedAhead(scan.at, result.parsed)
        if state.error is None:
            scan.fetched.accept()

    def let_go(self) -> None:
        """Drop what was parsed: no cycle will soon ask for the same again."""
        self._ahead = {}

    @property
    def judged_at(self) -> datetime:
        """Return the moment at which it was last judged which events are over."""
        return self._ledger.facts.get(JUDGED_AT) or _LONG_AGO

    def forget(self, now: datetime) -> None:
        """Look at everything as if for the first time: what was known may rest on something else."""
        unread = {
            source.name: self._states.index_of(source).unread()
            for source in self.sources
        }
        self._states.forget()
        self._ahead = {}
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
            state = self._states.get(source.name)
            if state is None:
                continue
            if state.readable:
                own = kept.get(source.name, {})
                parsed[source.name] = self._parsed(
                    source, state, own, window, allowance
                )
                found[source.name] = self._reading(
                    source, state, own, parsed[source.name], window
                )
            else:
                assert state.at is not None  # this process read it
                found[source.name] = Reading.unreadable(
                    source.name, state.at, window, state.error or ""
                )
        postponed = {
            name: reading.postponed
            for name, reading in found.items()
            if reading.postponed
        }
        left = frozenset(chain.from_iterable(postponed.values()))
        self._turns.end(
            left,
            [name for name, series in parsed.items() if _was_costly(series.values())],
        )
        configured = [source.name for source in self.sources]
        unheard = _uids_in(
            kept, (name for name in configured if not _is_heard(found.get(name)))
        )
        return Readings(
            readings={name: found[name] for name in configured if name in found},
            next_start=_next_starts(parsed.values()),
            postponed=postponed,
            unheard=unheard | left,
            shelved=_uids_in(kept, kept.keys() - configured),
        )

    def _reading(
        self,
        source: CalendarSource,
        state: SourceState,
        kept: Mapping[str, Kept],
        parsed: Mapping[str, ParsedSeries],
        window: Window,
    ) -> Reading:
        remarks = self._remarks.update(source, kept, parsed)
        postponed = frozenset(kept.keys() - parsed.keys())
        return reading_of(source.name, state, parsed, remarks, window, postponed)

    def _parsed(
        self,
        source: CalendarSource,
        state: SourceState,
        kept: Mapping[str, Kept],
        window: Window,
        allowance: CpuAllowance,
    ) -> dict[str, ParsedSeries]:
        """Return what the source says of these UIDs; those that have to wait are left out."""
        ahead = self._ahead.get(source.name)
        if (
            ahead is None
            or not timedelta() <= window.start - ahead.at < _AS_GOOD_AS_NOW
        ):
            ahead = _ParsedAhead(window.start, {})
        parsed = {uid: ahead.parsed[uid] for uid in kept if uid in ahead.parsed}
        work = {
            uid: unpacked(one.events) for uid, one in kept.items() if uid not in parsed
        }
        bounded = self._bounded(source, allowance, window.start, kept)
        parsed |= bounded.parse(work, state.parser, window)
        for uid, series in parsed.items():
            if series.defects:
                raw_events = unpacked(kept[uid].events)
                parsed[uid] = defects_as_of_now(series, raw_events, state.index, window)
        self._ahead[source.name] = _ParsedAhead(ahead.at, parsed)
        return parsed

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
            found[source.name] = excerpt_of(
                uid,
                unpacked(kept[source.name][uid].events),
                state.index,
                parser=state.parser,
                locale=source.locale,
                window=reading.window,
                quarantined=reading.presence.get(uid) is Presence.QUARANTINED,
            )
        return found

    def _bounded(
        self,
        source: CalendarSource,
        of_cycle: CpuAllowance | None,
        now: datetime,
        kept: Mapping[str, Kept],
    ) -> Bounded:
        """Return the bounds for parsing the UIDs of a source; `of_cycle` is what a cycle may take.

        What was too costly is remembered in the remarks on what is `kept` of these UIDs.
        """
        under_way = self._ledger.under_way
        known = {uid: one.remarks for uid, one in kept.items() if one.remarks}

        def verdict(uid: str, raw_events: Sequence[RawEvent]) -> ParsedSeries | None:
            if uid:
                aside = self._poison.why_not(
                    source.name, uid, digest_of_events(raw_events), now
                )
                if aside is not None:
                    return self._remarks.set_aside(uid, raw_events, *aside)
            if self._anew or uid not in known:
                return None
            return self._remarks.too_costly(source, uid, known[uid])

        def tell(uid: str | None, raw_events: Sequence[RawEvent]) -> None:
            if uid is None:
                under_way.end()
            else:
                under_way.begin(source.name, uid, digest_of_events(raw_events))

        return Bounded(
            self._pool,
            CpuAllowance(SOURCE_CPU_S, of_cycle),
            alive=_nobody if of_cycle is None else self._alive,
            under_way=tell,
            verdict=verdict,
        )

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


def _was_costly(series: Iterable[ParsedSeries]) -> bool:
    return any(one.cost_s > COSTLY_S for one in series)


def _is_heard(reading: Reading | None) -> bool:
    return reading is not None and reading.readable


def _uids_in(
    kept: Mapping[str, Mapping[str, Kept]], sources: Iterable[str]
) -> frozenset[str]:
    """Return the UIDs of which something is kept in any of these sources."""
    return frozenset(chain.from_iterable(kept.get(name, ()) for name in sources))


def _next_starts(parsed: Iterable[Mapping[str, ParsedSeries]]) -> dict[str, datetime]:
    """Return, by UID, when something of it comes into reach of a reading, in any source."""
    found: dict[str, datetime] = {}
    for sources in parsed:
        for uid, series in sources.items():
            if series.next_start is not None:
                found[uid] = min(series.next_start, found.get(uid, series.next_start))
    return found


@cache
def program() -> str:
    """Return the version of this program and of the rules of time zones."""
    return f"{__version__} {version('tzdata')}"


def _nobody() -> None:
    """Do nothing: nobody waits for a sign of life from another thread."""
