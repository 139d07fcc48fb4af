"""Reads the sources: what each of them says, as far as it changed or needs a look.

A scan of a source tells which UIDs say something new; their events are kept in the ledger, and the UIDs come
on its worklist.
A reading of a cycle is about the UIDs that are ready alone; that it would say the same of all others as
before is what the worklist stands for.
Unreadable is never empty: of a source that cannot be read everything stays as it was known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.metadata import version
from itertools import chain

from syncd import __version__
from syncd.core.bounds import COSTLY_S
from syncd.core.occurrence import Presence, Reading, Window
from syncd.errors import StaleIndex
from syncd.ics import ParsedSeries, ParserPool
from syncd.intake.absent_files import AbsentFiles
from syncd.intake.excerpt import SourceExcerpt, excerpt_of
from syncd.intake.known import AT_HAND, KnownSources
from syncd.intake.others import OtherReaders
from syncd.intake.parsing import UidParser
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource, IntakeLedger, Kept, WorklistStore
from syncd.intake.raw_events import unpacked
from syncd.intake.reading import ReadingsByName, reading_of
from syncd.intake.remarks import Remarks
from syncd.intake.scanner import Elsewhere, Scanner
from syncd.intake.state import SourceState
from syncd.intake.turns import Turns
from syncd.ledger.facts import JUDGED_AT
from syncd.ledger.index_versions import Buckets
from syncd.ledger.tables import to_milliseconds

Prepare = Callable[[Collection[str], bool], None]
"""Begins to fetch the named sources, where that takes time; the flag says to ask anew whatever is kept."""

PORTION = 500
"""UIDs that say something new, after which a cycle takes in no other source; each takes about 20 kB of memory
until its changes are under way, so that a first reading of many calendars takes no more than that of one."""

_FIRST_READINGS_S = 0.5
"""After so long a cycle begins no other first reading of a source, so that an edit waits no longer."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Readings:
    """What the sources say of some UIDs: readings by source, in the order of the configuration.

    `readings` are of all sources that were read; the `speaking` ones are those that say something of these
    UIDs, or of which something is always to be told.
    `next_start`, by UID, is when something of it comes into reach of a reading, at the latest.
    `postponed` are UIDs that come in the next cycle, because what was looked at took enough, by source.
    `unheard` are the UIDs that also stand in a source of which nothing is known now, `shelved` those in one
    that is not configured now and may come back.
    """

    readings: Mapping[str, Reading]
    speaking: Mapping[str, Reading]
    next_start: Mapping[str, datetime]
    postponed: Mapping[str, frozenset[str]]
    unheard: frozenset[str]
    shelved: frozenset[str]


class Intake:
    """Reads some or all sources at a time.

    How each source stands stays in memory, for cycles in which only others are due; of what is known of them
    `at_hand` bytes do, and the rest is read from the ledger when it is due.
    With `elsewhere` a large source is scanned aside, and its readings follow when that is done; and sources
    are put off to the next cycle once `portion` UIDs say something new.
    `pool` parses what may be costly; `alive` is called at each step.
    `others_wait` tells whether something else is due meanwhile; what is costly then gives way to it.
    `elapsed` is a steady clock, by which a file of a directory that is gone has `file_grace`.
    `others` has the sources as others found them, a former process or other members of a shared ledger.
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
        at_hand: int = AT_HAND,
        portion: int = PORTION,
    ) -> None:
        self.sources = tuple(sources)
        self._places = {source.name: place for place, source in enumerate(self.sources)}
        self._ledger = ledger
        self._worklist: WorklistStore = ledger.worklist
        self._horizon = horizon
        self._prepare = prepare
        self._alive = alive
        self._poison = poison
        self._absent = AbsentFiles(self._worklist, file_grace, elapsed)
        self._elapsed = elapsed
        self._takes_portions = elsewhere is not None
        self._portion = portion
        self._turns = Turns(puts_off=elsewhere is not None, others_wait=others_wait)
        self._remarks = Remarks(self._worklist, horizon, program())
        self._parser = UidParser(
            pool=pool,
            poison=poison,
            remarks=self._remarks,
            under_way=ledger.under_way,
            alive=alive,
        )
        self._known = KnownSources(self._worklist, at_hand)
        self._scanner = Scanner(
            ledger=ledger,
            known=self._known,
            absent=self._absent,
            remarks=self._remarks,
            parser=self._parser,
            poison=poison,
            horizon=horizon,
            elsewhere=elsewhere,
            elapsed=elapsed,
        )
        self.others = OtherReaders(
            worklist=self._worklist,
            scanner=self._scanner,
            known=self._known,
            absent=self._absent,
            poison=poison,
            grace=file_grace,
            elapsed=elapsed,
        )
        self.put_off = frozenset[str]()

    def refresh_after(self, name: str) -> timedelta | None:
        """Return how long the calendars of a source ask to be left alone (RFC 7986 section 5.7)."""
        state = self._scanner.state_of(name)
        if state is None or not state.readable:
            return None
        return state.outline.refresh_after

    def knows_whole(self, name: str) -> bool:
        """Tell whether this process knows all that a source said last, and is not reading it just now."""
        return self._scanner.knows_whole(name)

    def awaited(self) -> Mapping[str, timedelta]:
        """Return in how long sources are to be read again, because files of them are gone, by name."""
        return self._absent.awaited()

    def with_overdue(self, only: Collection[str] | None) -> Collection[str] | None:
        """Return the sources to read (None: all), with those in which a file has been gone for long enough."""
        if only is None:
            return None
        names = set(only)
        for name, left in self.awaited().items():
            if left <= timedelta():
                names.add(name)
        return names

    # What changed

    def update(
        self, names: Collection[str] | None, now: datetime, *, force: bool = False
    ) -> Mapping[str, int]:
        """Find out what the sources say anew, and put it on the worklist.

        Return, by source, how many UIDs say something new in those that were read.
        In a daemon sources are `put_off` to the next cycle once others said so much that parsing and planning
        it takes enough memory. Those that this process reads for the first time come last, and are put off
        as well once that took long enough: an edit does not wait for them.
        """
        self._parser.anew = force
        if force:
            self._poison.forget()
        # As it is stored, because a reading is told from others by its moment.
        at = to_milliseconds(now)
        with self._scanner.in_a_row():
            return self._scan(self._wanted(names, force=force), at)

    def _scan(self, sources: Iterable[CalendarSource], now: datetime) -> dict[str, int]:
        """Scan sources or put them off; return, by those scanned, how many UIDs say something new."""
        read: dict[str, int] = {}
        put_off: list[str] = []
        news = 0
        first_ones_s = 0.0
        for source in sources:
            is_first = not self.was_read(source.name)
            takes_long = is_first and first_ones_s >= _FIRST_READINGS_S
            is_much = news + self._scanner.made_ready >= self._portion
            if self._takes_portions and (takes_long or is_much):
                put_off.append(source.name)
                continue
            self._alive()
            began_s = self._elapsed()
            changed = self._scanner.scan(source, now)
            if changed is not None:
                read[source.name] = changed
                news += changed
            if is_first:
                first_ones_s += self._elapsed() - began_s
        self.put_off = frozenset(put_off)
        return read

    def was_read(self, name: str) -> bool:
        """Tell whether this process tried to read a source before."""
        return self._scanner.state_of(name) is not None

    def let_go(self) -> None:
        """Drop what was parsed: no cycle will soon ask for the same again."""
        self._parser.let_go()

    @property
    def judged_at(self) -> datetime:
        """Return the moment at which it was last judged which events are over."""
        return self._ledger.facts.get(JUDGED_AT) or _LONG_AGO

    def forget(self, now: datetime, *, own_too: bool = True) -> None:
        """Look at everything as if for the first time: what was known may rest on something else.

        Unless `own_too`, what is known of a source on a shared ledger stays if it rests on the same.
        """
        self._known.forget()
        self._worklist.versions.clear()
        left: dict[str, Buckets] = {}
        for source in self.sources:
            index = self._known.of(source).index.unread()
            # A file may be gone just now, and its bookings are not to go with it.
            if index.formers:
                left[source.name] = index.packed()
        self._known.forget()
        self._scanner.forget()
        self._parser.let_go()
        self._worklist.forget_indexes(left, now, own_too=own_too)
        self._ledger.facts.set(JUDGED_AT, now)

    def readings_of(self, uids: Collection[str], now: datetime) -> Readings:
        """Return what the sources say of these UIDs, as far as this process read them."""
        window = Window.ahead(now, self._horizon)
        kept = self._worklist.kept_of(uids)
        self.others.forget_changed()  # after that: what is kept is of the same version then
        allowance = self._turns.begin(uids)
        parsed: dict[str, Mapping[str, ParsedSeries]] = {}
        found: dict[str, Reading] = {}
        names = kept.keys() | self._worklist.remarked_sources()
        for source in self._turns.in_order(self.in_order(names)):
            name = source.name
            state = self._scanner.state_of(name)
            if state is None:
                continue
            if not state.readable:
                found[name] = _unreadable_reading(name, state, window)
                continue
            own = kept.get(name, {})
            known = partial(self._known.of, source)
            try:
                series = self._parser.parse_kept(source, known, own, window, allowance)
                remarks = self._remarks.update(source, own, series)
            except StaleIndex:
                self.others.forget_stale(name)
                continue
            postponed = frozenset(own.keys() - series.keys())
            parsed[name] = series
            holds = partial(self._known.holds, source)
            found[name] = reading_of(
                name, state, holds, series, remarks, window, postponed
            )
        left = _left_to_next_cycle(found.values())
        costly = [name for name, series in parsed.items() if _was_costly(series)]
        self._turns.end(left, costly)
        speaking = {source.name: found[source.name] for source in self.in_order(found)}
        return self._readings(kept, speaking, window, parsed, left)

    def _silent_reading(self, name: str, state: SourceState, window: Window) -> Reading:
        """Return the reading of a source in which nothing is to be looked at, and of which nothing is told."""
        if not state.readable:
            return _unreadable_reading(name, state, window)
        source = self.sources[self._places[name]]
        holds = partial(self._known.holds, source)
        return reading_of(name, state, holds, {}, {}, window, frozenset())

    def _readings(
        self,
        kept: Mapping[str, Mapping[str, Kept]],
        speaking: Mapping[str, Reading],
        window: Window,
        parsed: Mapping[str, Mapping[str, ParsedSeries]],
        left: frozenset[str],
    ) -> Readings:
        """Return what was parsed and said by source; `left` are the UIDs that were postponed in any."""
        unheard: list[str] = []
        shelved: list[str] = []
        for name in kept:
            reading = speaking.get(name)
            if name not in self._places:
                shelved.append(name)
            elif reading is None or not reading.readable:
                unheard.append(name)
        return Readings(
            readings=ReadingsByName(
                speaking,
                self._scanner.states,
                self._places,
                partial(self._silent_reading, window=window),
            ),
            speaking=speaking,
            next_start=_next_starts(parsed.values()),
            postponed={
                name: reading.postponed
                for name, reading in speaking.items()
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
            state = self._scanner.state_of(source.name)
            if state is None or not state.readable or source.name not in kept:
                continue
            reading = readings[source.name]
            own = kept[source.name][uid]
            known = self._known.of(source)
            found[source.name] = excerpt_of(
                uid,
                unpacked(own.events),
                known.index,
                parser=known.parser,
                locale=source.locale,
                window=reading.window,
                quarantined=reading.presence.get(uid) is Presence.QUARANTINED,
            )
        return found

    def _wanted(
        self, names: Collection[str] | None, *, force: bool
    ) -> Iterator[CalendarSource]:
        """Yield the sources of these names (None: all), once they are prepared.

        One that was put off comes first; then those that were read before, because an edit does not wait for
        first readings; then what was put off and the rest.
        """
        wanted = list(self.sources if names is None else self.in_order(names))
        wanted.sort(key=self._place)
        put_off = [source for source in wanted if source.name in self.put_off]
        if put_off:
            # It waited once; whatever else is new, it does not wait for ever.
            wanted.remove(put_off[0])
            wanted.insert(0, put_off[0])
        self._prepare([source.name for source in wanted], force)
        yield from wanted

    def in_order(self, names: Iterable[str]) -> list[CalendarSource]:
        """Return the configured ones of these sources, in the order of the configuration."""
        places = [self._places[name] for name in names if name in self._places]
        return [self.sources[place] for place in sorted(places)]

    def _place(self, source: CalendarSource) -> tuple[bool, bool]:
        """Return what sorts sources by whose turn it is."""
        return not self.was_read(source.name), source.name not in self.put_off


def _unreadable_reading(source: str, state: SourceState, window: Window) -> Reading:
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
