"""Looks at one source after the other, and remembers how each stands."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial

from syncd.core.occurrence import Window
from syncd.errors import SourceError, SourceUnavailable, StaleIndex
from syncd.intake.absent_files import AbsentFiles, Glance
from syncd.intake.known import Known, KnownSources
from syncd.intake.parsing import UidParser
from syncd.intake.poison import Poison
from syncd.intake.ports import CalendarSource, Fetched, IntakeLedger
from syncd.intake.remarks import Remarks
from syncd.intake.scan import (
    Scan,
    ScanResult,
    TrackedUids,
    digest_of_documents,
    signature_of_documents,
)
from syncd.intake.state import (
    IN_PART,
    NOTHING_READ,
    UNKNOWN,
    UNREADABLE,
    WHOLE,
    Outline,
    SourceState,
)
from syncd.ledger.facts import SALT
from syncd.ledger.tables import instant_of

Elsewhere = Callable[[str, Callable[[], None]], None]
"""Does work of the named source in another thread, and wakes the source when it is done."""


class Scanner:
    """Scans sources, and knows how those stand that this process tried to read.

    With `elsewhere` a large source is scanned aside.
    `elapsed` is a steady clock.
    """

    def __init__(
        self,
        *,
        ledger: IntakeLedger,
        known: KnownSources,
        absent: AbsentFiles,
        remarks: Remarks,
        parser: UidParser,
        poison: Poison,
        horizon: timedelta,
        elsewhere: Elsewhere | None,
        elapsed: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._worklist = ledger.worklist
        self._known = known
        self._absent = absent
        self._remarks = remarks
        self._parser = parser
        self._poison = poison
        self._horizon = horizon
        self._elsewhere = elsewhere
        self._elapsed = elapsed
        self._states: dict[str, SourceState] = {}
        self._aside: dict[str, Scan] = {}
        self._tracked_uids = TrackedUids(self._worklist)
        self.stale: set[str] = set()
        """Sources of which another member of a shared ledger stored something while this process looked on."""
        self.made_ready = 0
        """UIDs that say nothing new and were made ready in this row of scans."""

    @contextmanager
    def in_a_row(self) -> Iterator[None]:
        """Ask what scans need once for all of this context; nothing of it is held while no scan is made."""
        self.made_ready = 0
        try:
            yield
        finally:
            self._tracked_uids.forget()

    def state_of(self, name: str) -> SourceState | None:
        """Return how this process found a source last; None if it did not try to read it."""
        return self._states.get(name)

    @property
    def states(self) -> Mapping[str, SourceState]:
        """Return how this process found the sources that it tried to read, by name."""
        return self._states

    def note(self, name: str, state: SourceState) -> None:
        """Take a source to stand so, which somebody else found out."""
        self._states[name] = state

    def knows_whole(self, name: str) -> bool:
        """Tell whether all that a source said last is known, and it is not being read."""
        state = self._states.get(name)
        if state is None or name in self._aside:
            return False
        return state.standing == WHOLE

    def forget(self) -> None:
        """Forget how the sources stand; the ledger has no index of any by now."""
        self._states = {}
        for scan in self._aside.values():
            scan.is_stored = False

    def forget_source(self, name: str) -> None:
        """Know nothing of a source any more: another process stored something of it, or reads it from now on.

        What another thread is finding out of it comes too late.
        """
        self._states.pop(name, None)
        self._aside.pop(name, None)
        self._absent.forget_source(name)
        self._remarks.forget(name)
        self._parser.forget_source(name)
        self._known.forget_source(name)
        self._worklist.versions.forget(name)

    def forget_stale(self, name: str) -> None:
        """Forget a source because what was known of it is not what the ledger has; it is to be read anew."""
        self.forget_source(name)
        self.stale.add(name)

    def scan(self, source: CalendarSource, now: datetime) -> int | None:
        """Find out what a source says anew, and put it on the worklist; return how many UIDs do.

        Return None while another thread finds that out, or if another member has read the source since.
        """
        try:
            return self._scan(source, now)
        except StaleIndex:
            self.forget_stale(source.name)
            return None

    def _scan(self, source: CalendarSource, now: datetime) -> int | None:
        aside = self._aside.get(source.name)
        if aside is not None:
            if not aside.ended:
                aside.again = True  # its end wakes the source
                return None
            del self._aside[source.name]
            if aside.found is not None:
                changed = self._take_in(source, aside, aside.found)
                self._tracked_uids.forget()
                if not aside.again:
                    return changed
        try:
            fetched = self._fetch(source, now)
        except SourceError as error:
            self._unreadable(source, str(error), now)
            return 0
        if self._is_as_it_was(source, fetched, now):
            return 0
        scan = self._begin_scan(source, fetched, now)
        self._refuse_late(source, fetched.asked_at or now)
        bounded = self._parser.bounds_aside(source, now)
        window = Window.ahead(now, self._horizon)
        if self._elsewhere is not None and scan.is_large:
            self._aside[source.name] = scan
            work = partial(scan.run_aside, window, bounded)
            self._elsewhere(source.name, work)
            return None
        return self._take_in(source, scan, scan.run(window, bounded))

    def _fetch(self, source: CalendarSource, now: datetime) -> Fetched:
        """Return the documents of a source; raises `SourceError` also if it is set aside."""
        self._refuse_poison(source, "", now)
        with self._ledger.under_way.working(source.name):
            fetched = source.fetch()
        self._refuse_poison(source, digest_of_documents(fetched), now)
        return fetched

    def _is_as_it_was(
        self, source: CalendarSource, fetched: Fetched, now: datetime
    ) -> bool:
        """Tell whether all documents are seen to be those that this process read last; note it if so.

        Then nothing has to be compared, and nothing that is known of the source is loaded.
        """
        state = self._states.get(source.name)
        if state is None or not state.signature or fetched.problems:
            return False
        if signature_of_documents(fetched) != state.signature:
            return False
        self._states[source.name] = replace(state, at=now, notes=fetched.notes)
        fetched.accept()
        return True

    def _begin_scan(
        self, source: CalendarSource, fetched: Fetched, now: datetime
    ) -> Scan:
        """Return a scan of documents, to be compared with what is known of their source."""
        return Scan(
            source=source,
            fetched=fetched,
            known=self._known.of(source),
            standing=self._standing_of(source.name),
            ledger=self._ledger,
            salt=self._salt,
            at=now,
            at_s=self._elapsed(),
            tracked_uids=self._tracked_uids,
        )

    def _standing_of(self, name: str) -> str:
        """Return how a source stood when it was read last, by this process or a former one."""
        state = self._states.get(name)
        if state is not None:
            return state.standing
        return self._worklist.standing_of(name)

    def _refuse_poison(
        self, source: CalendarSource, digest: str, now: datetime
    ) -> None:
        """Raise `SourceUnavailable` if reading a source ended the process, or fetching it (no digest)."""
        why = self._poison.why_not(source.name, "", digest, now)
        if why is not None:
            sentence, _ = why
            raise SourceUnavailable(source.name, sentence)

    def _refuse_late(self, source: CalendarSource, asked_at: datetime) -> None:
        """Raise `StaleIndex` if another member may have read a source after it was asked here."""
        if self._worklist.versions.is_later(source.name, asked_at):
            raise StaleIndex(source.name)

    def _take_in(self, source: CalendarSource, scan: Scan, result: ScanResult) -> int:
        """Store what a scan found, and remember how the source stands; return how many UIDs changed."""
        problems = "; ".join(result.diff.problems)
        if problems and result.diff.index.event_count == 0:
            self._unreadable(source, problems, scan.at)
            return 0
        complete = not problems
        standing = WHOLE if complete else IN_PART
        glance = Glance(source.name, scan.at, scan.at_s)
        former = scan.known.index
        index = self._absent.noted(
            glance, scan.fetched, former, result.diff.index, complete=complete
        )
        diff = replace(result.diff, index=index)
        result = replace(result, diff=diff)
        missing = self._absent.missing(glance, index)
        self._absent.watch(glance, index, missing, complete=complete)
        if index != former or standing != scan.standing:
            window = Window.ahead(scan.at, self._horizon)
            self.made_ready += scan.take_in(result, standing, window)
            scan.is_stored = True
            self._remarks.forget(source.name)
        if scan.standing != UNKNOWN:
            self._note_changes(source, scan, result)
        known = Known(index, result.parser, scan.is_stored)
        self._known.keep(source.name, known)
        signature = ""
        if complete and not index.formers:
            signature = signature_of_documents(scan.fetched)
        self._states[source.name] = SourceState(
            at=scan.at,
            outline=Outline.of(known),
            standing=standing,
            signature=signature,
            error=problems or None,
            notes=scan.fetched.notes,
            missing=missing,
        )
        self._parser.remember(source.name, scan.at, result.parsed)
        if complete:
            scan.fetched.accept()
        return len(result.diff.changed)

    def _note_changes(
        self, source: CalendarSource, scan: Scan, result: ScanResult
    ) -> None:
        """Note since when a source says something new, which its first reading is not.

        Which of the files of a directory an event is in is not asked: it is the one that changed last.
        """
        if not result.diff.changed:
            return
        latest_ms = max((one.changed_ms for one in scan.fetched.documents), default=0)
        changed_at = scan.at
        if latest_ms:
            changed_at = min(instant_of(latest_ms), scan.at)
        self._ledger.latency.note(result.diff.changed, source.kind, changed_at)

    def _unreadable(self, source: CalendarSource, error: str, now: datetime) -> None:
        """Remember why a source cannot be read now; if it could before, all of its UIDs are ready."""
        self._absent.forget(source.name)
        former = self._standing_of(source.name)
        self._refuse_late(source, now)
        known = self._states.get(source.name)
        outline = NOTHING_READ if known is None else known.outline
        self._states[source.name] = SourceState(
            at=now, outline=outline, standing=UNREADABLE, error=error
        )
        if former != UNREADABLE:
            made_ready = self._worklist.set_standing(source.name, UNREADABLE, now)
            self.made_ready += made_ready

    @cached_property
    def _salt(self) -> int:
        """Return the key of the digests, which this installation has for good."""
        salt = self._ledger.facts.get(SALT)
        if salt is None:
            salt = self._ledger.facts.set_first(SALT, secrets.randbits(64))
        return salt
