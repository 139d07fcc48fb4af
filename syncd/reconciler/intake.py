"""Reads the sources: what each of them says, as far as it changed or needs a look.

Looking through a source tells which UIDs say something new; their text is kept in the ledger, and they come
on its agenda.
A reading of a cycle is about the UIDs that are due alone; that it would say the same of all others as
before is what the agenda stands for.
Unreadable is never empty: of a source that cannot be read everything stays as it was known.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial

from syncd.core.occurrence import Defect, Reading, Window
from syncd.core.reasons import Note, Reason
from syncd.core.reservation import Booking
from syncd.errors import SourceError
from syncd.ics import (
    Document,
    Inventory,
    Presences,
    Understood,
    read,
    understand_all,
)
from syncd.reconciler.ports import Agenda, CalendarSource, Kept, Ledger
from syncd.reconciler.search import (
    IN_PART,
    JUDGED_AT,
    UNKNOWN,
    UNREADABLE,
    WHOLE,
    Found,
    Look,
    Search,
    understanding,
    unpacked,
)

Prepare = Callable[[Collection[str], bool], None]
"""Begins to fetch the named sources, where that takes time; the flag says to ask anew whatever is kept."""

Elsewhere = Callable[[str, Callable[[], None]], None]
"""Does work of the named source in another thread, and wakes the source when it is done."""

_LONG_AGO = "1970-01-01T00:00:00+00:00"
_SALT = "salt"  # the fact that keeps feeds from provoking equal digests
_AS_GOOD_AS_NOW = timedelta(minutes=10)  # for understanding, which looks much farther ahead than is booked


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What was understood of a source since a moment: aside, in this cycle, or in one that gave way to it."""

    at: datetime
    understood: Mapping[str, Understood]


@dataclass(frozen=True, slots=True)
class Said:
    """What the sources say of some UIDs: readings by source, in the order of the configuration.

    `next_start`, by UID, is when something of it comes into reach of a reading, at the latest.
    `unheard` are the UIDs that also stand in a source of which nothing is known now, `shelved` those in one
    that is not configured now and may come back.
    """

    readings: Mapping[str, Reading]
    next_start: Mapping[str, datetime]
    unheard: frozenset[str]
    shelved: frozenset[str]


class Intake:
    """Reads some or all sources at a time.

    What a source said last stays at hand, for cycles in which only others are due.
    With `elsewhere` a large source is looked through aside, and its readings follow when it is done.
    """

    def __init__(
        self,
        sources: Iterable[CalendarSource],
        *,
        ledger: Ledger,
        horizon: timedelta,
        prepare: Prepare,
        elsewhere: Elsewhere | None,
    ) -> None:
        self.sources = tuple(sources)
        self._ledger = ledger
        self._agenda: Agenda = ledger.agenda
        self._horizon = horizon
        self._prepare = prepare
        self._elsewhere = elsewhere
        self._looks: dict[str, Look] = {}
        self._aside: dict[str, Search] = {}
        self._ahead: dict[str, _Ahead] = {}
        self._remarked: dict[str, dict[str, str]] = {}  # by source and UID, as in the ledger

    def refresh_after(self, name: str) -> timedelta | None:
        """How long the calendars of a source ask to be left alone (RFC 7986 section 5.7)."""
        look = self._looks.get(name)
        return look.understanding.refresh_after if look is not None and look.readable else None

    # Everything, without keeping anything

    def look(
        self, names: Collection[str] | None, bookings: Iterable[Booking], now: datetime
    ) -> Iterator[tuple[CalendarSource, Sequence[Document], Reading]]:
        """Read whole sources and keep nothing; each with its documents, held until the next one only.

        `names` None means all sources; the UIDs of `bookings` are looked at whatever they say.
        """
        window = Window.ahead(now, self._horizon)
        booked = frozenset(booking.key.uid for booking in bookings)
        for source in self._wanted(names, force=False):
            try:
                fetched = source.fetch()
            except SourceError as error:
                yield source, (), Reading.unreadable(source.name, now, window, str(error))
                continue
            reading = read(
                fetched.documents,
                source=source.name,
                scope=source.scope,
                locale=source.locale,
                window=window,
                at=now,
                problems=fetched.problems,
                booked=booked,
            )
            notes = tuple(Note(Reason.SERVER_ODD, note) for note in fetched.notes)
            yield source, fetched.documents, replace(reading, notes=reading.notes + notes)

    # What changed

    def look_through(
        self, names: Collection[str] | None, now: datetime, *, force: bool = False
    ) -> tuple[str, ...]:
        """Find out what the sources say anew, and put it on the agenda; the names of those looked at."""
        looked_at = []
        for source in self._wanted(names, force=force):
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
                fetched = source.fetch()
            except SourceError as error:
                self._unreadable(source, str(error), now)
            else:
                search = Search(source, fetched, self._known(source), self._ledger, self._salt, now)
                if self._elsewhere is not None and search.is_large:
                    self._aside[source.name] = search
                    self._elsewhere(source.name, partial(search.run_aside, Window.ahead(now, self._horizon)))
                    continue
                self._take_in(source, search, search.run())
            looked_at.append(source.name)
        return tuple(looked_at)

    def _take_in(self, source: CalendarSource, search: Search, found: Found) -> None:
        problems = "; ".join(found.findings.problems)
        if problems and found.findings.inventory.events == 0:
            self._unreadable(source, problems, search.at)
            return
        standing, error = (IN_PART, problems) if problems else (WHOLE, None)
        inventory = found.findings.inventory
        look = Look(search.at, inventory, found.understanding, standing, error, search.fetched.notes)
        if look.inventory != search.known.inventory or search.known.standing != look.standing:
            search.take_in(found, look.standing, Window.ahead(search.at, self._horizon))
            self._remarked.pop(source.name, None)
        if search.known.standing not in {look.standing, UNKNOWN}:
            self._agenda.open_all([source.name])
        self._looks[source.name] = look
        self._ahead[source.name] = _Ahead(search.at, found.understood)
        if look.error is None:
            search.fetched.accept()

    def let_go(self) -> None:
        """No cycle will soon ask for the same again: what was understood need not be held."""
        self._ahead = {}

    @property
    def judged_at(self) -> datetime:
        """When it was last judged which events are over."""
        return datetime.fromisoformat(self._ledger.get_fact(JUDGED_AT) or _LONG_AGO)

    def forget(self, now: datetime) -> None:
        """Look at everything as if for the first time: what was known may rest on something else."""
        self._looks, self._ahead = {}, {}
        self._agenda.forget_inventories()
        self._ledger.set_fact(JUDGED_AT, now.isoformat())

    def said_of(self, uids: Collection[str], now: datetime) -> Said:
        """What the sources say of these UIDs, as far as this process looked at them."""
        window = Window.ahead(now, self._horizon)
        kept = self._agenda.kept_of(uids)
        readings: dict[str, Reading] = {}
        next_start: dict[str, datetime] = {}
        for source in self.sources:
            look = self._looks.get(source.name)
            if look is None:
                continue
            if not look.readable:
                assert look.at is not None  # this process looked
                readings[source.name] = Reading.unreadable(source.name, look.at, window, look.error or "")
                continue
            understood = self._understood(source.name, look, kept.get(source.name, {}), window)
            for uid, one in understood.items():
                if one.next_start is not None:
                    next_start[uid] = min(one.next_start, next_start.get(uid, one.next_start))
            remarks = self._remarks(source.name, kept.get(source.name, {}), understood)
            readings[source.name] = _reading(source.name, look, understood, remarks, window)
        configured = {source.name for source in self.sources}
        heard = {name for name, reading in readings.items() if reading.readable}
        unheard = {uid for name in configured.intersection(kept) - heard for uid in kept[name]}
        shelved = {uid for name in kept.keys() - configured for uid in kept[name]}
        return Said(readings, next_start, frozenset(unheard), frozenset(shelved))

    def _understood(
        self, source: str, look: Look, kept: Mapping[str, Kept], window: Window
    ) -> dict[str, Understood]:
        ahead = self._ahead.get(source)
        if ahead is None or not timedelta() <= window.start - ahead.at < _AS_GOOD_AS_NOW:
            ahead = _Ahead(window.start, {})
        understood = {uid: ahead.understood[uid] for uid in kept if uid in ahead.understood}
        work = {uid: unpacked(one.pieces) for uid, one in kept.items() if uid not in understood}
        understood |= {one.uid: one for one in understand_all(work, look.understanding, window)}
        for uid, one in understood.items():
            if one.defects:  # in which line it stands now
                pieces = unpacked(kept[uid].pieces)
                there = [replace(piece, line=look.inventory.line_of(piece)) for piece in pieces]
                understood[uid] = look.understanding.of(uid, there, window)
        self._ahead[source] = _Ahead(ahead.at, understood)
        return understood

    def _remarks(
        self, source: str, kept: Mapping[str, Kept], understood: Mapping[str, Understood]
    ) -> dict[str, str]:
        """What is to be said of a source's UIDs, by UID, brought up to date."""
        if source not in self._remarked:
            self._remarked[source] = dict(self._agenda.remarks(source))
        known = self._remarked[source]
        changed = {
            uid: said for uid, one in understood.items() if (said := _remarks(one)) != kept[uid].remarks
        }
        if changed:
            self._agenda.remark(source, changed)
            known.update(changed)
        return {uid: said for uid, said in known.items() if said}

    def _wanted(self, names: Collection[str] | None, *, force: bool) -> Iterator[CalendarSource]:
        wanted = [source for source in self.sources if names is None or source.name in names]
        self._prepare([source.name for source in wanted], force)
        yield from wanted

    def _known(self, source: CalendarSource) -> Look:
        """How a source was found last, by this process or a former one."""
        look = self._looks.get(source.name)
        if look is not None:
            return look
        stored = self._agenda.inventory(source.name)
        inventory = Inventory.unpacked(stored[0]) if stored else Inventory()
        return Look(
            None, inventory, understanding(source, inventory), standing=stored[1] if stored else UNKNOWN
        )

    def _unreadable(self, source: CalendarSource, error: str, now: datetime) -> None:
        known = self._known(source)
        self._looks[source.name] = replace(known, at=now, error=error, standing=UNREADABLE)
        if known.standing != UNREADABLE:
            self._agenda.set_standing(source.name, UNREADABLE)
            self._agenda.open_all([source.name])

    @cached_property
    def _salt(self) -> int:
        stored = self._ledger.get_fact(_SALT)
        if stored is None:
            stored = str(secrets.randbits(64))
            self._ledger.set_fact(_SALT, stored)
        return int(stored)


def _reading(
    source: str,
    look: Look,
    understood: Mapping[str, Understood],
    remarks: Mapping[str, str],
    window: Window,
) -> Reading:
    defects: list[Defect] = []
    notes: dict[Note, None] = dict.fromkeys(sorted(look.understanding.notes, key=lambda note: note.detail))
    notes |= {Note(Reason.SERVER_ODD, note): None for note in look.notes}
    for uid in sorted(remarks):
        said = json.loads(remarks[uid])
        defects += [Defect(uid, line, Reason(why), text, name) for line, why, text, name in said["defects"]]
        notes |= {Note(Reason(why), text): None for why, text in said["notes"]}
    assert look.at is not None  # this process looked
    return Reading(
        source=source,
        at=look.at,
        window=window,
        digest=look.inventory.digest,
        occurrences=tuple(
            sorted((o for one in understood.values() for o in one.occurrences), key=lambda o: o.key)
        ),
        presence=Presences({uid: one.presence for uid, one in understood.items()}, look.inventory),
        defects=tuple(sorted(defects, key=lambda d: (d.document, d.line, d.uid))),
        notes=tuple(notes),
        error=look.error,
        documents=look.inventory.documents,
        events=look.inventory.events,
    )


def _remarks(one: Understood) -> str:
    """What is to be said of a UID also while nobody looks at it, as JSON; empty if nothing."""
    said = {
        "defects": [[d.line, d.reason, d.detail, d.document] for d in one.defects],
        "notes": sorted([n.reason, n.detail] for n in one.contradictions),
    }
    return json.dumps(said) if any(said.values()) else ""
