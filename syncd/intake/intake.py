"""Reads the sources: what each of them says, as far as it changed or needs a look.

Looking through a source tells which UIDs say something new; their text is kept in the ledger, and they come
on its agenda.
A reading of a cycle is about the UIDs that are due alone; that it would say the same of all others as
before is what the agenda stands for.
Unreadable is never empty: of a source that cannot be read everything stays as it was known.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from importlib.metadata import version

from syncd import __version__
from syncd.core.bounds import COSTLY_S, CYCLE_CPU_S, SOURCE_CPU_S
from syncd.core.occurrence import Defect, Presence, Reading, Window
from syncd.core.reasons import Note, Reason
from syncd.errors import SourceError, SourceUnavailable
from syncd.ics import CpuAllowance, ParsedSeries, ParserPool, RawEvent
from syncd.intake.absent_files import AbsentFiles, Glance
from syncd.intake.excerpt import SourceExcerpt, excerpt_of
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource, Fetched, IntakeLedger, Kept, WorklistStore
from syncd.intake.reading import Bounded, Presences
from syncd.intake.scan import (
    IN_PART,
    UNKNOWN,
    UNREADABLE,
    WHOLE,
    Scan,
    ScanResult,
    SourceState,
    digest_of,
    digest_of_pieces,
    earliest,
    parser,
    unpacked,
)
from syncd.intake.source_index import SourceIndex
from syncd.ledger.facts import JUDGED_AT, SALT

Prepare = Callable[[Collection[str], bool], None]
"""Begins to fetch the named sources, where that takes time; the flag says to ask anew whatever is kept."""

Elsewhere = Callable[[str, Callable[[], None]], None]
"""Does work of the named source in another thread, and wakes the source when it is done."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_AS_GOOD_AS_NOW = timedelta(minutes=10)  # for understanding, which looks much farther ahead than is booked


@dataclass(frozen=True, slots=True)
class _ParsedAhead:
    """What was understood of a source since a moment: aside, in this cycle, or in one that gave way to it."""

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


Said = Readings  # until the worklist names it so, too


class Intake:
    """Reads some or all sources at a time.

    What a source said last stays at hand, for cycles in which only others are due.
    With `elsewhere` a large source is looked through aside, and its readings follow when it is done.
    `pool` understands what may be costly; `alive` is called at each step.
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
        self._crew = pool
        self._alive = alive
        self._others_wait = others_wait
        self._poison = poison
        self._elapsed = elapsed
        self._absent = AbsentFiles(self._worklist, file_grace, elapsed)
        self._anew = False  # whatever was found before, because a person asked for it
        self._served: Collection[str] = ()  # sources of which something was costly in the last cycle
        self._later = frozenset[str]()  # UIDs that the last cycle left
        self._costly_turn = False  # the last cycle left what is costly to this one
        self._states: dict[str, SourceState] = {}
        self._aside: dict[str, Scan] = {}
        self._ahead: dict[str, _ParsedAhead] = {}
        self._remarked: dict[str, dict[str, str]] = {}  # by source and UID, as in the ledger

    def refresh_after(self, name: str) -> timedelta | None:
        """How long the calendars of a source ask to be left alone (RFC 7986 section 5.7)."""
        state = self._states.get(name)
        return state.parser.refresh_after if state is not None and state.readable else None

    def awaited(self) -> Mapping[str, timedelta]:
        """In how long sources are to be looked at again, because files of them are gone, by name."""
        return self._absent.awaited()

    # What changed

    def update(self, names: Collection[str] | None, now: datetime, *, force: bool = False) -> tuple[str, ...]:
        """Find out what the sources say anew, and put it on the agenda; the names of those looked at."""
        looked_at = []
        self._anew = force
        if force:
            self._poison.forget()
        for source in self._wanted(names, force=force):
            self._alive()
            aside = self._aside.get(source.name)
            if aside is not None:
                if not aside.ended:
                    aside.again = True  # its end wakes the source
                    continue
                del self._aside[source.name]
                if aside.found is not None:
                    self._take_in(source, aside, aside.found)
                    if not aside.again:
                        looked_at.append(source.name)
                        continue
            try:
                scan = self._scan(source, now)
            except SourceError as error:
                self._unreadable(source, str(error), now)
            else:
                if self._elsewhere is not None and scan.is_large:
                    self._aside[source.name] = scan
                    bounded = self._bounded(source, None, now, {})
                    window = Window.ahead(now, self._horizon)
                    self._elsewhere(source.name, partial(scan.run_aside, window, bounded))
                    continue
                self._take_in(source, scan, scan.run())
            looked_at.append(source.name)
        return tuple(looked_at)

    def _fetched(self, source: CalendarSource, now: datetime) -> Fetched:
        """The documents of a source; raises `SourceError` also if it is set aside."""
        self._refuse_poison(source, "", now)
        with self._ledger.under_way.working(source.name):
            fetched = source.fetch()
        self._refuse_poison(source, digest_of(fetched), now)
        return fetched

    def _scan(self, source: CalendarSource, now: datetime) -> Scan:
        fetched = self._fetched(source, now)
        known = self._known(source)
        return Scan(source, fetched, known, self._ledger, self._salt, now, self._elapsed())

    def _refuse_poison(self, source: CalendarSource, digest: str, now: datetime) -> None:
        """Raise `SourceUnavailable` if reading a source ended the process, or fetching it (no digest)."""
        why = self._poison.why_not(source.name, "", digest, now)
        if why is not None:
            raise SourceUnavailable(source.name, why[0])

    def _take_in(self, source: CalendarSource, scan: Scan, result: ScanResult) -> None:
        problems = "; ".join(result.diff.problems)
        if problems and result.diff.index.event_count == 0:
            self._unreadable(source, problems, scan.at)
            return
        standing, error = (IN_PART, problems) if problems else (WHOLE, None)
        glance = Glance(source.name, scan.fetched, scan.at, scan.at_s)
        index = self._absent.noted(glance, scan.known.index, result.diff.index, complete=not problems)
        result = replace(result, diff=replace(result.diff, index=index))
        missing = self._absent.missing(glance, index)
        self._absent.watch(glance, index, missing, complete=not problems)
        state = SourceState(scan.at, index, result.parser, standing, error, scan.fetched.notes, missing)
        if state.index != scan.known.index or scan.known.standing != state.standing:
            scan.take_in(result, state.standing, Window.ahead(scan.at, self._horizon))
            self._remarked.pop(source.name, None)
        if scan.known.standing not in {state.standing, UNKNOWN}:
            self._worklist.add_all([source.name])
        self._states[source.name] = state
        self._ahead[source.name] = _ParsedAhead(scan.at, result.parsed)
        if state.error is None:
            scan.fetched.accept()

    def let_go(self) -> None:
        """No cycle will soon ask for the same again: what was understood need not be held."""
        self._ahead = {}

    @property
    def judged_at(self) -> datetime:
        """When it was last judged which events are over."""
        return self._ledger.facts.get(JUDGED_AT) or _LONG_AGO

    def forget(self, now: datetime) -> None:
        """Look at everything as if for the first time: what was known may rest on something else."""
        unread = {source.name: self._index(source).unread() for source in self.sources}
        self._states, self._ahead = {}, {}
        self._worklist.forget_indexes()
        for name, index in unread.items():
            if index.formers:  # a file may be gone just now, and its bookings are not to go with it
                self._worklist.record_scan(name, index.packed(), UNKNOWN, kept={})
        self._ledger.facts.set(JUDGED_AT, now)

    def readings_of(self, uids: Collection[str], now: datetime) -> Readings:
        """What the sources say of these UIDs, as far as this process looked at them."""
        window = Window.ahead(now, self._horizon)
        kept = self._worklist.kept_of(uids)
        found: dict[str, Reading] = {}
        next_start: dict[str, datetime] = {}
        postponed: dict[str, frozenset[str]] = {}
        # What is costly comes after what is not: by itself, in a cycle that follows at once.
        others = not self._later.issuperset(uids)
        others_first = self._elsewhere is not None and others and not self._costly_turn
        whole = CpuAllowance(0.0 if others_first else CYCLE_CPU_S, others_wait=self._others_wait)
        # First those of which nothing was costly in the last cycle, so that all have their turn.
        served: set[str] = set()
        for source in sorted(self.sources, key=lambda source: source.name in self._served):
            state = self._states.get(source.name)
            if state is None:
                continue
            if not state.readable:
                assert state.at is not None  # this process looked
                found[source.name] = Reading.unreadable(source.name, state.at, window, state.error or "")
                continue
            own = kept.get(source.name, {})
            parsed = self._understood(source, state, own, window, whole)
            if any(one.cost_s > COSTLY_S for one in parsed.values()):
                served.add(source.name)
            for uid, one in parsed.items():
                if one.next_start is not None:
                    next_start[uid] = min(one.next_start, next_start.get(uid, one.next_start))
            remarks = self._remarks(source.name, own, parsed)
            later = frozenset(own.keys() - parsed.keys())
            if later:
                postponed[source.name] = later
            found[source.name] = _reading(source.name, state, parsed, remarks, window, later)
        self._costly_turn = others_first and bool(postponed)
        self._later = frozenset[str]().union(*postponed.values())
        self._served = served
        readings = {source.name: found[source.name] for source in self.sources if source.name in found}
        configured = {source.name for source in self.sources}
        heard = {name for name, reading in readings.items() if reading.readable}
        unheard = {uid for name in configured.intersection(kept) - heard for uid in kept[name]}
        shelved = {uid for name in kept.keys() - configured for uid in kept[name]}
        return Readings(
            readings, next_start, postponed, frozenset(unheard).union(*postponed.values()), frozenset(shelved)
        )

    def _understood(
        self,
        source: CalendarSource,
        state: SourceState,
        kept: Mapping[str, Kept],
        window: Window,
        whole: CpuAllowance,
    ) -> dict[str, ParsedSeries]:
        """What the source says of these UIDs; those that have to wait are left out."""
        ahead = self._ahead.get(source.name)
        if ahead is None or not timedelta() <= window.start - ahead.at < _AS_GOOD_AS_NOW:
            ahead = _ParsedAhead(window.start, {})
        parsed = {uid: ahead.parsed[uid] for uid in kept if uid in ahead.parsed}
        work = {uid: unpacked(one.events) for uid, one in kept.items() if uid not in parsed}
        bounded = self._bounded(source, whole, window.start, kept)
        parsed |= bounded.understand(work, state.parser, window)
        for uid, one in parsed.items():
            if one.defects:
                parsed[uid] = _told(one, unpacked(kept[uid].events), state.index, window)
        self._ahead[source.name] = _ParsedAhead(ahead.at, parsed)
        return parsed

    def excerpts(self, uid: str, now: datetime) -> dict[str, SourceExcerpt]:
        """Return, by source, how a UID stands in what this process read of it last."""
        window = Window.ahead(now, self._horizon)
        found: dict[str, SourceExcerpt] = {}
        for name, kept in self._worklist.kept_of([uid]).items():
            state = self._states.get(name)
            source = next((source for source in self.sources if source.name == name), None)
            if state is None or source is None or not state.readable:
                continue
            quarantined = '"defects": [[' in kept[uid].remarks
            found[name] = excerpt_of(
                uid,
                unpacked(kept[uid].events),
                state.index,
                parser=state.parser,
                locale=source.locale,
                window=window,
                quarantined=quarantined,
            )
        return found

    def _bounded(
        self,
        source: CalendarSource,
        whole: CpuAllowance | None,
        now: datetime,
        kept: Mapping[str, Kept],
    ) -> Bounded:
        """Return the bounds within which the UIDs of a source are parsed; `whole` is what a cycle may take.

        What was too costly is remembered in the remarks on what is `kept` of these UIDs.
        """
        under_way = self._ledger.under_way
        known = {uid: one.remarks for uid, one in kept.items() if one.remarks}

        def verdict(uid: str, pieces: Sequence[RawEvent]) -> ParsedSeries | None:
            aside = self._poison.why_not(source.name, uid, digest_of_pieces(pieces), now) if uid else None
            if aside is not None:
                return _set_aside(uid, pieces, *aside, self._horizon)
            if self._anew or uid not in known:
                return None
            return _remembered(uid, known[uid], self._judged_by(source))

        def tell(uid: str | None, pieces: Sequence[RawEvent]) -> None:
            if uid is None:
                under_way.end()
            else:
                under_way.begin(source.name, uid, digest_of_pieces(pieces))

        return Bounded(
            self._crew,
            CpuAllowance(SOURCE_CPU_S, whole),
            alive=self._alive if whole is not None else _nobody,
            under_way=tell,
            verdict=verdict,
        )

    def _judged_by(self, source: CalendarSource) -> str:
        """Identity of what decides whether an event is too costly, beside its text."""
        told = (program(), source.max_occurrences, self._horizon, source.locale)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def _remarks(
        self, source: str, kept: Mapping[str, Kept], parsed: Mapping[str, ParsedSeries]
    ) -> dict[str, str]:
        """What is to be said of a source's UIDs, by UID, brought up to date."""
        if source not in self._remarked:
            self._remarked[source] = dict(self._worklist.remarks(source))
        known = self._remarked[source]
        judged_by = {s.name: self._judged_by(s) for s in self.sources if s.name == source}[source]
        said_now = {uid: _remarks(one, judged_by) for uid, one in parsed.items()}
        changed = {uid: said for uid, said in said_now.items() if said != kept[uid].remarks}
        if changed:
            self._worklist.remark(source, changed)
            known.update(changed)
        return {uid: said for uid, said in known.items() if said}

    def _wanted(self, names: Collection[str] | None, *, force: bool) -> Iterator[CalendarSource]:
        wanted = [source for source in self.sources if names is None or source.name in names]
        self._prepare([source.name for source in wanted], force)
        yield from wanted

    def _known(self, source: CalendarSource) -> SourceState:
        """How a source was found last, by this process or a former one."""
        state = self._states.get(source.name)
        if state is not None:
            return state
        stored = self._worklist.index_of(source.name)
        index = SourceIndex.unpacked(stored[0]) if stored else SourceIndex()
        return SourceState(None, index, parser(source, index), standing=stored[1] if stored else UNKNOWN)

    def _index(self, source: CalendarSource) -> SourceIndex:
        """What stood in a source when it was looked at last, by this process or a former one."""
        state = self._states.get(source.name)
        if state is not None:
            return state.index
        stored = self._worklist.index_of(source.name)
        return SourceIndex.unpacked(stored[0]) if stored else SourceIndex()

    def _unreadable(self, source: CalendarSource, error: str, now: datetime) -> None:
        self._absent.forget(source.name)
        known = self._known(source)
        self._states[source.name] = replace(known, at=now, error=error, standing=UNREADABLE)
        if known.standing != UNREADABLE:
            self._worklist.set_standing(source.name, UNREADABLE)
            self._worklist.add_all([source.name])

    @cached_property
    def _salt(self) -> int:
        salt = self._ledger.facts.get(SALT)
        if salt is None:
            salt = secrets.randbits(64)
            self._ledger.facts.set(SALT, salt)
        return salt


def _told(
    one: ParsedSeries, raw_events: Sequence[RawEvent], index: SourceIndex, window: Window
) -> ParsedSeries:
    """Return what is to be told of a UID with defects: in which lines they stand now.

    Of one that begins beyond the reach of a reading nothing is told before it comes near: most of that is
    mended by then, and whoever reads it can do nothing about a meeting that nobody books yet.
    """
    begins = earliest(raw_events)
    if begins is not None and begins > window.reach:
        return replace(one, defects=(), next_start=min(begins, one.next_start or begins))
    lines = {event.line: index.line_of(event) for event in raw_events}
    there = (replace(defect, line=lines.get(defect.line, defect.line)) for defect in one.defects)
    return replace(one, defects=tuple(there))


def _reading(
    source: str,
    state: SourceState,
    parsed: Mapping[str, ParsedSeries],
    remarks: Mapping[str, str],
    window: Window,
    postponed: frozenset[str],
) -> Reading:
    defects: list[Defect] = []
    notes: dict[Note, None] = dict.fromkeys(sorted(state.parser.notes, key=lambda note: note.detail))
    notes |= {Note(Reason.SERVER_ODD, note): None for note in state.notes}
    for uid in sorted(remarks):
        said = json.loads(remarks[uid])
        defects += [Defect(uid, line, Reason(why), text, name) for line, why, text, name in said["defects"]]
        notes |= {Note(Reason(why), text): None for why, text in said["notes"]}
    presence = {uid: one.presence for uid, one in parsed.items()}
    presence |= dict.fromkeys(postponed, Presence.QUARANTINED)  # nothing follows from them now
    assert state.at is not None  # this process looked
    return Reading(
        source=source,
        at=state.at,
        window=window,
        digest=state.index.digest,
        occurrences=tuple(
            sorted((o for one in parsed.values() for o in one.occurrences), key=lambda o: o.key)
        ),
        presence=Presences(presence, state.index),
        defects=tuple(sorted(defects, key=lambda d: (d.document, d.line, d.uid))),
        notes=tuple(notes),
        error=state.error,
        documents=len(state.index.documents),
        events=state.index.event_count,
        postponed=postponed,
        missing=state.missing,
    )


@cache
def program() -> str:
    """This version of the program and of the rules of time zones."""
    return f"{__version__} {version('tzdata')}"


def _set_aside(
    uid: str, pieces: Sequence[RawEvent], why: str, until: datetime, horizon: timedelta
) -> ParsedSeries:
    """A UID that is not looked at now, and comes to its turn again at a moment."""
    defect = Defect(uid, pieces[0].line, Reason.TOO_COSTLY, why)
    return ParsedSeries(uid, (), Presence.QUARANTINED, (defect,), until + horizon)


def _remembered(uid: str, remarks: str, judged_by: str) -> ParsedSeries | None:
    """What was found of a UID that was too costly; None if it was not, or may be so no longer."""
    said = json.loads(remarks)
    if said.get("judged_by") != judged_by:
        return None
    defects = tuple(Defect(uid, line, Reason(why), text, name) for line, why, text, name in said["defects"])
    return ParsedSeries(uid, (), Presence.QUARANTINED if uid else None, defects, None)


def _nobody() -> None:
    """Nobody waits for a sign of life from another thread."""


def _remarks(one: ParsedSeries, judged_by: str) -> str:
    """What is to be said of a UID also while nobody looks at it, as JSON; empty if nothing."""
    said = {
        "defects": [[d.line, d.reason, d.detail, d.document] for d in one.defects],
        "notes": sorted([n.reason, n.detail] for n in one.contradictions),
    }
    if not any(said.values()):
        return ""
    if any(d.reason is Reason.TOO_COSTLY for d in one.defects) and one.next_start is None:
        return json.dumps(said | {"judged_by": judged_by})  # not found again while that stays
    return json.dumps(said)
