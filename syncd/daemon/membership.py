"""A daemon among the others on a shared ledger: whether it writes, which sources it reads, by which clock.

A thread looks at the lease and the members at each tick, renews, takes or gives back the lease, and writes that
this daemon lives. The work loop asks at each step where it stands: there its term begins, and is over.
Promises: a term that is over is never taken up again; who leaves gives back at once what it holds.
Must not: write anything of the work itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex

import structlog

from syncd import __version__, migrations
from syncd.assembly import open_ledger, reading_basis
from syncd.config import Config
from syncd.core.backoff import backed_off
from syncd.core.leases import (
    Move,
    Timing,
    assignment,
    candidates,
    next_move,
    writer_lease,
)
from syncd.daemon.mandate import Changed, Term
from syncd.errors import LedgerAhead, LedgerError, TermOver
from syncd.ledger import Ledger
from syncd.ledger.clock import LedgerClock
from syncd.ledger.holding import WriterTerm, process_name, since_boot
from syncd.ledger.leases import Beat, LeaseStore, Seen

log = structlog.get_logger(__name__)

_GRACE_S = 60.0  # of one step of the work; one that takes longer hangs
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
_MOST_UNREACHABLE = 3  # cycles in a row, then another one is to try
_STANDS_BACK_S = 120.0
_LAST_TICK_S = 10.0  # that a farewell waits for

USUAL_TIMING = Timing()

_RAN_OUT = "The lease could not be renewed in time, so another daemon may write now; this one joins them again."
_TAKEN = "Another daemon writes now, because this one was held up or cut off from the ledger."
_GIVEN_BACK = "A daemon with a later configuration or program writes from now on."
_NO_API = (
    f"The API could not be reached from here in {_MOST_UNREACHABLE} cycles in a row, so another daemon is to try; "
    "see to the network of this machine."
)


class Members:
    """What a process is among the daemons on a shared ledger, over all the times that it joins them.

    `lived_at_s` tells when its work was last alive, on the monotonic clock. `elapsed` is a clock in seconds that
    nobody sets and that goes on while the machine sleeps.
    """

    def __init__(
        self,
        configuration: Path,
        lived_at_s: Callable[[], float],
        timing: Timing = USUAL_TIMING,
        elapsed: Callable[[], float] = since_boot,
    ) -> None:
        self.holder = token_hex(16)
        self.name = process_name()
        self.configuration = str(configuration)
        self.timing = timing
        self.elapsed = elapsed
        self.started_s = elapsed()
        self._lived_at_s = lived_at_s
        self._stands_back_until_s = 0.0

    def join(self, config: Config) -> Membership:
        """Open the ledger of a configuration and become a member; raise `LedgerError`."""
        ledger = open_ledger(config, owner=True)
        ledger.sources.daemon = self.name
        try:
            return Membership(self, ledger, config)
        except BaseException:
            ledger.close()
            raise

    def stand_back(self) -> None:
        """Leave the lease to others for a while."""
        self._stands_back_until_s = self.elapsed() + _STANDS_BACK_S

    @property
    def stands_back(self) -> bool:
        """Tell whether the lease is left to others now."""
        return self.elapsed() < self._stands_back_until_s

    @property
    def is_at_work(self) -> bool:
        """Tell whether the work loop showed a sign of life not long ago."""
        return time.monotonic() - self._lived_at_s() < _GRACE_S


class Membership:
    """One time for which a process is a member, with the `ledger` that it opened; has one term at most.

    `term` and `sources` change in `step` alone. `complaint` says since when the ledger is not reached.
    """

    def __init__(self, members: Members, ledger: Ledger, config: Config) -> None:
        """Become a member, and the writer if nobody is; raise `LedgerError`."""
        self.ledger = ledger
        self.term: Term | None = None
        self.sources: frozenset[str] = frozenset()
        self.complaint = ""
        self._members = members
        self._timing = members.timing
        self._lease = writer_lease(config.api.client_id)
        self._store: LeaseStore = ledger.lease_store(self._lease)
        # All below is shared with the thread.
        self._guard = threading.RLock()
        self._notes = ledger.local_notes()
        self._names = config.source_names
        self._basis = reading_basis(config)
        self._given: frozenset[str] = frozenset()
        self._given_by: object = None
        self._held: WriterTerm | None = None
        self._lost: LedgerError | None = None
        self._why = "it left"
        self._unreachable = 0
        self._is_told_anew = False
        self._woken = threading.Event()
        self._is_over = False
        seen = self._store.look()
        self._clock = LedgerClock(seen.now, members.elapsed)
        since_start = timedelta(seconds=members.elapsed() - members.started_s)
        self._started_at = seen.now - since_start
        self._seen = seen
        self._beaten_at_s = members.elapsed()
        self._store.join(self._beat(), self._timing.ttl_s)
        self._tick()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    # The work loop

    def now(self) -> datetime:
        """Return the present by the clock of the ledger."""
        return self._clock.now()

    def step(self) -> Changed | None:
        """Return what became otherwise since the last step; begin the term that was taken meanwhile.

        Raises `TermOver` when the term is over, `LedgerAhead` when a later version has converted the ledger.
        """
        with self._guard:
            if self._lost is not None:
                raise self._lost
            held = self._held
            if held is not None and not held.trusted():
                raise TermOver(_RAN_OUT)
            if held is not None and self.term is None:
                self._begin(held)
                self.sources = self._given
                return Changed.TERM
            if self.sources != self._given:
                self.sources = self._given
                return Changed.SOURCES
        return None

    def follow(self, config: Config) -> None:
        """Go by a configuration that was taken over; raise `TermOver` when another lease goes with it."""
        if writer_lease(config.api.client_id) != self._lease:
            raise TermOver(
                "The client of the API is another one now, so this daemon joins those of that client."
            )
        with self._guard:
            self._names = config.source_names
            self._basis = reading_basis(config)
            self._is_told_anew = True
        self._woken.set()

    def note_api(self, *, unreachable: bool) -> None:
        """Note whether a cycle could reach the API; after some that could not another daemon is to try."""
        self._unreachable = self._unreachable + 1 if unreachable else 0
        if self._unreachable < _MOST_UNREACHABLE or not self._is_another_there():
            return
        self._members.stand_back()
        self._why = "it could not reach the API"
        self._lose(TermOver(_NO_API))

    @property
    def line(self) -> str:
        """Return what this daemon is among the others, for `systemctl status`."""
        seen = self._seen
        told = f"{len(self.sources)} of {len(self._names)} sources"
        if self.term is not None:
            return f"writer; {told}"
        if seen.lease is None or not seen.lease.lives or not seen.daemon:
            return f"reader; {told}; nobody writes yet"
        return f"reader; {told}; {seen.daemon} writes"

    def leave(self, *, reachable: bool = True) -> None:
        """Give back the lease, be no member any more, and close the ledger; never raises `LedgerError`.

        A ledger that is not `reachable` is told nothing: what is held there ends by itself.
        """
        with self._guard:
            self._is_over = True
            held = self._held
        if held is not None:
            held.trust.end()
        self._woken.set()
        if reachable:
            self._thread.join(_LAST_TICK_S)
            with suppress(LedgerError):
                if held is not None:
                    held.end(self._why)
                self._store.leave(self._members.holder)
        # What was being read when the ledger was lost ended no process.
        self.ledger.under_way.stops()
        with suppress(LedgerError):
            self.ledger.close()

    def explained(self, error: LedgerError) -> LedgerError:
        """Return why an error of the ledger came, if it is that a later version has converted it."""
        with suppress(LedgerError):
            if not self.ledger.is_of_this_version():
                return LedgerAhead(self._ahead())
        return error

    def _begin(self, held: WriterTerm) -> None:
        held.begin(self.ledger)
        log.info("this daemon writes from now on", term=held.term, epoch=held.epoch)
        self.term = Term(held.term, held.trusted)

    def _is_another_there(self) -> bool:
        """Tell whether somebody else could write."""
        others = candidates(self._seen.view.members)
        return any(member.holder != self._members.holder for member in others)

    # The thread

    def _run(self) -> None:
        failures = 0
        pause_s = self._timing.tick_s
        while True:
            self._woken.wait(pause_s)
            self._woken.clear()
            if self._is_over:
                return
            try:
                self._tick()
            except LedgerError as error:
                failures += 1
                pause = backed_off(_FIRST_PAUSE, failures, _LONGEST_PAUSE)
                pause_s = min(pause.total_seconds(), self._timing.ttl_s)
                self._note_trouble(error)
            else:
                failures = 0
                pause_s = self._timing.tick_s
                self.complaint = ""

    def _note_trouble(self, error: LedgerError) -> None:
        """Say that the ledger is not reached; trust runs out by itself, and what works meets the same error."""
        if not self.complaint:
            log.warning("the lease cannot be looked at", why=str(error))
        self.complaint = f"the ledger is not reached: {error}"

    def _tick(self) -> None:
        """Look at the lease, do what is to be done about it, and write that this daemon lives."""
        if self._lost is not None:
            return  # the work ends this membership at its next step
        seen = self._store.look()
        self._clock.set(seen.now)
        self._seen = seen
        if seen.revision.isdecimal() and int(seen.revision) > int(migrations.HEAD):
            self._lose(LedgerAhead(self._ahead()))
            return
        with self._guard:
            held = self._held
            went_back = self._notes.compare(seen.position)
        if held is not None and self.term is not None and went_back:
            self._lose(TermOver(went_back))
            return
        self._share(seen)
        if self._members.is_at_work:
            self._move(seen, held)

    def _share(self, seen: Seen) -> None:
        """Find out which sources are read here, as every member does from what it sees."""
        among = tuple(member.holder for member in candidates(seen.view.members))
        with self._guard:
            if self._given_by == (self._names, among):
                return
            given = assignment(self._names, among)
            me = self._members.holder
            self._given = frozenset(name for name in given if given[name] == me)
            self._given_by = (self._names, among)
            self._is_told_anew = True

    def _move(self, seen: Seen, held: WriterTerm | None) -> None:
        is_due = self._is_told_anew or (
            self._members.elapsed() - self._beaten_at_s >= self._timing.renew_s
        )
        move = next_move(
            seen.view,
            self._members.holder,
            held.term if held is not None else None,
            stands_back=self._members.stands_back,
            dead=self._notes.dead,
        )
        if held is None:
            if is_due:
                self._write_beat(None)
            if move is Move.TAKE:
                self._take()
        elif move is Move.RENEW:
            if is_due and not self._write_beat(held):
                self._lose(TermOver(_RAN_OUT))
        elif move is Move.GIVE_BACK:
            self._lose(TermOver(_GIVEN_BACK))
            held.end("another one goes by a later configuration or program")
        else:
            self._lose(TermOver(_TAKEN))

    def _take(self) -> None:
        members = self._members
        term = WriterTerm.take(
            self._store,
            self._notes,
            members.holder,
            members.name,
            timing=self._timing,
            elapsed=members.elapsed,
            refused=self.ledger.note_refusal,
        )
        if term is None:
            return
        with self._guard:
            self._held = term
            is_too_late = self._is_over
        if is_too_late:
            term.end("it left")

    def _write_beat(self, held: WriterTerm | None) -> bool:
        """Write that this daemon lives, and prolong its term if it has one; return whether that lasts."""
        beat = self._beat()
        began_s = self._members.elapsed()
        self._is_told_anew = False
        lasts = False
        if held is not None:
            lasts = held.renew(beat)
        else:
            self._store.renew(None, beat, self._timing.ttl_s)
        self._beaten_at_s = began_s
        return lasts

    def _beat(self) -> Beat:
        members = self._members
        return Beat(
            name=members.name,
            holder=members.holder,
            pid=os.getpid(),
            version=__version__,
            configuration=members.configuration,
            started_at=self._started_at,
            basis=self._basis,
            reads=len(self._given),
        )

    def _lose(self, error: LedgerError) -> None:
        """Let nothing more leave; the next step of the work raises the error."""
        with self._guard:
            if self._held is not None:
                self._held.trust.end()
            if self._lost is None:
                self._lost = error

    def _ahead(self) -> str:
        return (
            f"A later version of syncd works on the ledger {self.ledger.name} and has converted it: install "
            "that version here too."
        )
