"""What a daemon has to work with: the ledger that it owns, or its place among the members of a shared one.

A member that cannot use the ledger, or whose term is over, ends its work and joins the others again as soon as it
can: that is the one way back from all that is wrong with a shared ledger and passes.
"""

from __future__ import annotations

from collections.abc import Callable

from syncd.config import Config
from syncd.daemon.absence import LedgerAbsence
from syncd.daemon.mandate import Alone, Changed, Mandate
from syncd.daemon.membership import Members, Membership
from syncd.daemon.schedule import CONFIGURATION
from syncd.daemon.surroundings import Surroundings
from syncd.daemon.work import Work
from syncd.errors import LedgerAway, LedgerBusy, LedgerError, TermOver
from syncd.ledger import Ledger

_PASSES = (LedgerAway, LedgerBusy, TermOver)


class Engagement:
    """The `work` of a daemon, None while there is no ledger to work on.

    `on` is the ledger that it owns, or the members that it is to join. `follow` is called whenever other sources
    are read here than before: with True to read them all.
    """

    def __init__(
        self, on: Ledger | Members, around: Surroundings, follow: Callable[[bool], None]
    ) -> None:
        self.work: Work | None = None
        self._on = on
        self._around = around
        self._follow = follow
        self._membership: Membership | None = None
        self._absence = LedgerAbsence()

    def begin(self, config: Config) -> None:
        """Begin to work, or note why that cannot be yet; raise `LedgerError` for what does not pass."""
        if isinstance(self._on, Ledger):
            self._begin_work(config, self._on, Alone())
        else:
            self._join(config, self._on)

    def told(self, said: str) -> str:
        """Return in a line what is `said` of the work, and where this daemon stands."""
        membership = self._membership
        if membership is None:
            return _line(self._absence.sentence, said)
        return _line(membership.line, said, membership.complaint)

    def step(self, config: Config) -> Work | None:
        """Return the work to go on with: another one when a term began. Raises `LedgerError`."""
        if self._membership is not None:
            match self._membership.step():
                case Changed.TERM:
                    self._end_work()
                    self._begin_work(config, self._membership.ledger, self._membership)
                case Changed.SOURCES:
                    self._follow(False)
        return self.work

    def wait(self, config: Config) -> None:
        """Join the others if it is time, and tell when that could not be for long; raise `LedgerError`."""
        self._absence.tell_when_long(config)
        if self._absence.pause_s == 0 and isinstance(self._on, Members):
            self._join(config, self._on)

    @property
    def pause_s(self) -> float:
        """Return after how many seconds the ledger is tried again, while there is no work."""
        return self._absence.pause_s

    def note_taken_over(self, config: Config) -> None:
        """Go by a configuration that was taken over among the others too; raise `TermOver`."""
        if self._membership is not None:
            self._membership.follow(config)

    def lose(self, error: LedgerError) -> None:
        """End the work until the ledger can be used again: what is known of it may be wrong by then.

        Raises the error if it does not pass by itself, or is about a ledger that is owned.
        """
        membership = self._membership
        if membership is None:
            raise error
        if not isinstance(error, _PASSES):
            raise membership.explained(error)
        self._absence.note(error)
        self.end(reachable=not isinstance(error, LedgerAway))
        self._follow(True)

    def end(self, *, reachable: bool = True) -> None:
        """End the work, and give back what is held of a shared ledger if that is `reachable`."""
        self._end_work()
        membership, self._membership = self._membership, None
        if membership is not None:
            membership.leave(reachable=reachable)

    def _join(self, config: Config, members: Members) -> None:
        try:
            membership = members.join(config)
        except _PASSES as error:
            self._absence.note(error)
            return
        self._membership = membership
        try:
            membership.step()
            self._begin_work(config, membership.ledger, membership)
            self._absence.end(config, membership.ledger)
        except LedgerError as error:
            self.lose(error)

    def _begin_work(self, config: Config, ledger: Ledger, mandate: Mandate) -> None:
        self.work = Work(config, ledger, mandate, self._around)
        self.work.note_configuration()
        self._follow(True)

    def _end_work(self) -> None:
        work, self.work = self.work, None
        if work is None:
            return
        work.end()
        self._around.background.forget()
        if work.to_reload:
            self._around.wakes.wake(CONFIGURATION, "still to be done")


def _line(*told: str) -> str:
    return "; ".join(filter(None, told))
