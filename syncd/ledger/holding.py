"""The right to write on a ledger: a term of the lease on a shared one, the lock on the file on any other.

`WriterTerm` is one holding of the lease, with its fence and its trust. A daemon decides at each tick what to do
about the lease (`syncd.core.leases.next_move`); a command that ends soon holds it by `hold_writer`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from secrets import token_hex

import structlog

from syncd.core.leases import Holding, Timing, Trust, writer_lease
from syncd.core.ledger_position import Position
from syncd.errors import LedgerError, LedgerLocked
from syncd.ledger import Ledger
from syncd.ledger.fence import Fence
from syncd.ledger.leases import Beat, LeaseStore, Seen
from syncd.ledger.local_notes import LocalNotes
from syncd.ledger.ownership import locked_by

log = structlog.get_logger(__name__)

_LAST_RENEWAL_S = 10.0  # that an end waits for


def since_boot() -> float:
    """Return the seconds since this machine started, those that it slept included (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_name() -> str:
    """Return what this process is called among the members of a ledger: its host and its number."""
    return f"{os.uname().nodename}:{os.getpid()}"


class WriterTerm:
    """One holding of the lease by this process; `position` is where the ledger was when it began.

    `fence` and `trust` are its own: what they let through ends with it. One thread renews it, others ask.
    """

    def __init__(
        self,
        store: LeaseStore,
        notes: LocalNotes,
        holding: Holding,
        timing: Timing,
        elapsed: Callable[[], float],
        refused: Callable[[], object],
    ) -> None:
        self.holding = holding
        self.trust = Trust(timing, elapsed)
        self.epoch = 0
        self.position = Position("", "", 0)
        self._store = store
        self._notes = notes
        self._ttl_s = timing.ttl_s
        self._elapsed = elapsed
        self._refused = refused

    @classmethod
    def take(
        cls,
        store: LeaseStore,
        notes: LocalNotes,
        holder: str,
        daemon: str,
        *,
        timing: Timing,
        elapsed: Callable[[], float] = since_boot,
        refused: Callable[[], object] = lambda: None,
    ) -> WriterTerm | None:
        """Take the lease and return the new term; None if another one holds it. Raises `LedgerError`.

        That of a holder that died in the same directory is taken at once. `refused` is called when the fence
        keeps something from being written.
        """
        term = cls(store, notes, (holder, token_hex(16)), timing, elapsed, refused)
        notes.note_taking(holder)
        began_s = elapsed()
        epoch = store.take(term.holding, daemon, timing.ttl_s, notes.dead)
        if epoch is None:
            return None
        notes.note_holder(holder)
        term.epoch = epoch
        term.position = store.look().position
        term.trust.extend(began_s)
        return term

    @property
    def term(self) -> str:
        """Return the random name of this term."""
        return self.holding[1]

    @property
    def fence(self) -> Fence:
        """Return what each writing transaction of this term begins with."""
        return Fence(
            self._store.lease, self.holding, self.position.timeline, self._refuse
        )

    def begin(self, ledger: Ledger) -> None:
        """Let its ledger be written in this term from now on, and know whether it may lack what it had.

        Raises `LedgerError`.
        """
        lost = self._notes.compare(self.position)
        ledger.begin_term(self.fence, recovering=bool(lost))
        self._notes.settle()

    def trusted(self) -> bool:
        """Tell whether a request may leave now."""
        return self.trust.lasts()

    def renew(self, beat: Beat | None = None) -> bool:
        """Prolong it, and write that a member lives; return whether it lasts. Raises `LedgerError`.

        Without an answer trust runs out by itself.
        """
        began_s = self._elapsed()
        if self._store.renew(self.holding, beat, self._ttl_s):
            self.trust.extend(began_s)
            return True
        self.trust.end()
        return False

    def end(self, why: str) -> None:
        """Let nothing more leave, and the next one begin at once. Raises `LedgerError`."""
        self.trust.end()
        self._store.end(self.holding, why)
        self._notes.note_holder(None)

    def _refuse(self) -> None:
        self.trust.end()
        self._refused()


@contextlib.contextmanager
def hold_writer(
    ledger: Ledger,
    client_id: str,
    *,
    timing: Timing | None = None,
    elapsed: Callable[[], float] = since_boot,
) -> Iterator[Callable[[], bool]]:
    """Be the one that writes on a ledger that this process owns, while the context lasts.

    Yields what tells whether a request may leave now. Of a ledger in a file that is always so.
    Raises `LedgerLocked` naming the process that writes on a shared one, and where it runs; the term of a
    process that died on this machine is taken at once.
    """
    if not ledger.is_shared:
        yield _always
        return
    ledger.sources.daemon = process_name()
    store = ledger.lease_store(writer_lease(client_id))
    notes = ledger.local_notes()
    with hold_lease(
        store,
        notes,
        ledger.name,
        timing=timing,
        elapsed=elapsed,
        refused=ledger.note_refusal,
    ) as term:
        term.begin(ledger)
        yield term.trusted


@contextlib.contextmanager
def hold_lease(
    store: LeaseStore,
    notes: LocalNotes,
    where: str,
    *,
    timing: Timing | None = None,
    elapsed: Callable[[], float] = since_boot,
    refused: Callable[[], object] = lambda: None,
) -> Iterator[WriterTerm]:
    """Hold a lease and renew it while the context lasts; yields its term.

    `where` names the ledger for people. Raises `LedgerLocked` naming another process that holds it.
    """
    timing = timing or Timing()
    term = WriterTerm.take(
        store,
        notes,
        token_hex(16),
        process_name(),
        timing=timing,
        elapsed=elapsed,
        refused=refused,
    )
    if term is None:
        raise held_by_another(store.look(), where, timing)
    try:
        with _renewed(term, timing):
            yield term
    finally:
        # What cannot be told now ends by itself, and is followed at once here.
        with contextlib.suppress(LedgerError):
            term.end("its command ended")


def held_by_another(seen: Seen, where: str, timing: Timing) -> LedgerLocked:
    """Return the error that names who holds the lease, and says when it is free at the latest."""
    locked = locked_by(_told(seen.daemon), where)
    return LedgerLocked(
        f"{locked} If it was killed or its machine is gone, the ledger is free within "
        f"{timing.ttl_s:g} seconds."
    )


def require_nobody(seen: Seen, where: str) -> None:
    """Raise `LedgerLocked` naming a member that lives on a shared ledger, whether it writes or not."""
    for one in seen.members:
        if one.lives:
            raise locked_by(_told(one.name), where)


def _told(daemon: str) -> str:
    """Return what people are told of a process by its name among the members."""
    host, _, pid = daemon.rpartition(":")
    return f"Process {pid} on {host}" if pid.isdecimal() else f"The daemon {daemon}"


def _always() -> bool:
    return True


@contextlib.contextmanager
def _renewed(term: WriterTerm, timing: Timing) -> Iterator[None]:
    """Renew a term from a thread while the context lasts."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(timing.renew_s):
            try:
                if not term.renew():
                    return  # the next write is told
            except LedgerError as error:
                # Trust runs out by itself; the next transaction tells what is wrong.
                log.debug("the lease is not renewed", error=str(error))

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LAST_RENEWAL_S)
