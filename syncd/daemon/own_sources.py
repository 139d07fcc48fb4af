"""Which sources are read here, and which of them the next step of the work is to read.

Feeds are asked as soon as they are due, and owed to the work once they have answered something new.
Where several daemons share a ledger, each reads some of the sources, and hears of what the others read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog

from syncd.assembly import Service
from syncd.daemon.hearing import Hearing
from syncd.daemon.looks import UnchangedLooks
from syncd.daemon.mandate import Mandate
from syncd.daemon.refreshes import Refreshes
from syncd.daemon.schedule import EVERYTHING
from syncd.daemon.surroundings import Surroundings
from syncd.ledger import Ledger, SourceRecord

log = structlog.get_logger(__name__)


class OwnSources:
    """The sources that are read here, by the parts that read them.

    `owed` are those to be read next. `heard` are those that others have read, for the next cycle of who writes.
    """

    def __init__(
        self, parts: Service, ledger: Ledger, mandate: Mandate, around: Surroundings
    ) -> None:
        self.owed: set[str] = set()
        self.heard: dict[str, SourceRecord | None] = {}
        self._parts = parts
        self._ledger = ledger
        self._mandate = mandate
        self._around = around
        self._names: frozenset[str] = frozenset()
        self._refreshes = Refreshes(ledger.people)
        self._looks = UnchangedLooks(
            ledger.sources, ledger.measurements, around.looks_every, mandate.now
        )
        self._hearing = _hearing_of(ledger)

    def swap(self, parts: Service) -> None:
        """Go on with other parts, of which nothing is known; nothing is owed then."""
        self._parts = parts
        self._around.background.forget()
        self.owed = set()
        self.heard = {}
        self._hearing = _hearing_of(self._ledger)

    def follow(self, names: frozenset[str], *, anew: bool) -> None:
        """Read these sources from now on, and once at once: all if it begins `anew`, else those that are new."""
        new = names - self._names
        gone = self._names - names
        self._names = names
        if not anew:
            self._change_hands(new | gone)
        for name in names:
            self._postpone_feed(name)
        wakes = self._around.wakes
        if anew:
            wakes.wake(EVERYTHING, "start")
            return
        for name in new:
            wakes.wake(name, "start")

    def take(self, due: Collection[str]) -> frozenset[str]:
        """Ask the feeds that are due, and owe all else; return the feeds whose answers say nothing new."""
        names = self._names
        if EVERYTHING not in due:
            names = names.intersection(due)
        subscriptions = self._parts.subscriptions
        arrived = self._around.background.arrived(subscriptions)
        self._ask(names - arrived)
        self.owed |= {name for name in names if name not in subscriptions}
        unchanged = self._pass_over(arrived)
        self.owed |= arrived - unchanged
        return unchanged

    def hear_refreshes(self) -> bool:
        """Note the sources that a person wants to be read now, and ask the feeds among them; tell whether any.

        Whoever forces it ends what a feed is left alone for; that a source is no longer there is no matter.
        """
        # Those of others are for them.
        among = self._names if self._ledger.is_shared else None
        taken = self._refreshes.take(among)
        wishes = [wish for wish in taken if wish.source in self._names]
        if not wishes:
            return False
        log.info("a person asked for a reading", sources=len(wishes))
        for wish in wishes:
            if wish.source not in self._parts.subscriptions:
                self.owed.add(wish.source)
                continue
            if wish.forced:
                self._around.scheduler.postpone(wish.source, self._mandate.now())
            self._ask([wish.source], force=wish.forced)
        return True

    def hear(self, named: frozenset[str]) -> None:
        """Hear what others stored: what is read here is read anew, of the other ones `named` it is kept."""
        if self._hearing is None:
            return
        reconciler = self._parts.reconciler
        foreign = named - self._names
        heard = self._hearing.step(self._names, foreign, reconciler.counting)
        for name in heard.changed:
            reconciler.forget_source(name)
        self._read_anew(heard.changed)
        self.heard.update(heard.foreign)

    def take_owed(self) -> frozenset[str]:
        """Return the sources that are owed, which are read now."""
        names = frozenset(self.owed)
        self.owed = set()
        self._looks.drop(names)
        return names

    def take_heard(self) -> Mapping[str, SourceRecord | None]:
        """Return what was heard of sources that others read, which is taken in now."""
        heard, self.heard = self.heard, {}
        return heard

    def note_put_off(self) -> None:
        """Owe what was to be read and was left, and what others wrote while it was read."""
        reconciler = self._parts.reconciler
        self.owed |= set(reconciler.put_off)
        self._read_anew(reconciler.take_stale())

    def note_read(self, names: Collection[str]) -> None:
        """Note when sources that were read are due again; raise `LedgerError`."""
        for name in names:
            self._postpone_feed(name)
        scheduler = self._around.scheduler
        next_runs = {name: scheduler.next_run(name) for name in names}
        self._ledger.sources.record_next_runs(next_runs)

    @property
    def is_any_known(self) -> bool:
        """Tell whether a source is owed that was read before, so that it may have been edited."""
        return any(map(self._parts.reconciler.was_read, self.owed))

    def write_looks(self, *, when_due: bool = False) -> None:
        """Write the looks that are noted in memory alone, if that is due; raise `LedgerError`."""
        if when_due:
            self._looks.write_when_due(self._around.scheduler)
        else:
            self._looks.write(self._around.scheduler)

    def _ask(self, names: Collection[str], *, force: bool = False) -> None:
        self._around.background.fetch(self._parts.subscriptions, names, force=force)

    def _pass_over(self, arrived: frozenset[str]) -> frozenset[str]:
        """Return the feeds for which no cycle is run, because their answers say nothing new."""
        # What other answers of theirs said is still to be taken.
        waiting = self.owed.union(self._parts.reconciler.put_off)
        unchanged = self._looks.take(self._parts, arrived - waiting)
        self._around.sums.add_unchanged(len(unchanged))
        for name in unchanged:
            self._postpone_feed(name)
        return unchanged

    def _postpone_feed(self, name: str) -> None:
        """Postpone a feed that failed, or that says how often it changes."""
        subscriptions = self._parts.subscriptions
        if name not in subscriptions:
            return
        scheduler = self._around.scheduler
        until = subscriptions.waits_until(name)
        if until is not None:
            scheduler.postpone(name, until)
            return
        floor = self._parts.reconciler.refresh_after(name)
        if floor is not None:
            scheduler.leave_out(name, self._mandate.now() + floor)

    # Among others

    def _read_anew(self, names: Collection[str]) -> None:
        """Read sources of which others stored something: here what is read here, else by what is heard next."""
        if not names or self._hearing is None:
            return
        self._hearing.forget(names)
        subscriptions = self._parts.subscriptions
        own = self._names.intersection(names)
        feeds = {name for name in own if name in subscriptions}
        self._forget_feeds(feeds)
        self._ask(feeds)
        self.owed |= own - feeds

    def _forget_feeds(self, names: Collection[str]) -> None:
        """Know nothing of feeds that another member asked, or is to ask."""
        self._parts.subscriptions.forget(names)
        self._around.background.forget(names)

    def _change_hands(self, names: frozenset[str]) -> None:
        """Know nothing of sources that are read here from now on, or no more."""
        if self._hearing is not None:
            self._hearing.forget(names)
        self._forget_feeds(names)
        for name in names:
            self._parts.reconciler.forget_source(name)
            self.heard.pop(name, None)
        self.owed &= self._names
        self._looks.drop(names)


def _hearing_of(ledger: Ledger) -> Hearing | None:
    return Hearing(ledger) if ledger.is_shared else None
