"""What was decided and is not written yet, and how the worklist counts its UIDs meanwhile.

A UID whose changes wait is *planned*: it is not ready, so the next cycles do not plan it again. Whatever
happens to it, a source that says something new or a record of it, makes it ready, and its changes are dropped.
The other changes of its own plan make it ready as well; where these were made as they were meant, it is
planned again, and when the last of them is made it rests without another look.

That a UID is planned counts for the process alone that has its changes: the first cycle of another one makes
all of them ready.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from syncd.apply.backlog import Backlog
from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Create
from syncd.core.reasons import Reason
from syncd.core.totals import Skips
from syncd.intake.worklist import Deferred, Worklist
from syncd.reconciler.planning import Decided
from syncd.reconciler.ports import Ledger


class Unwritten:
    """The backlog of one process, in step with the worklist."""

    def __init__(
        self, ledger: Ledger, worklist: Worklist, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._lines = ledger.worklist
        self._worklist = worklist
        self._clock = clock
        self.backlog = Backlog()
        self._is_known = False  # what the ledger says is planned
        # How UIDs rest once their changes are made, and how many of these are not made yet.
        self._rests: dict[str, Deferred] = {}
        self._to_write: Counter[str] = Counter()
        self._news: dict[str, int] = {}  # of these UIDs, as they were planned

    def begin_cycle(self, *, anew: bool) -> None:
        """Make ready the UIDs whose turn comes to be planned once more; `anew`: all that are planned."""
        if anew or not self._is_known:
            self.backlog = Backlog()
            self._rests = {}
            self._to_write = Counter()
            self._news = {}
            self._lines.make_planned_ready()
            self._is_known = True
            return
        due = [*self.backlog.due(), *self.backlog.over(self._clock())]
        self._lines.make_ready(due)

    def give_up(self) -> None:
        """Let the next cycle plan everything anew, after a failure."""
        self._is_known = False

    def beside(self, decided: Decided) -> Decided:
        """Drop the changes of the UIDs that were planned anew; return the plan as it is beside the others.

        To the planner the others are at rest, so their reservations count as unchanged there.
        """
        ready = decided.batch.ready
        again = ready & self.backlog.uids
        self.backlog.drop(again)
        for uid in ready & self._rests.keys():
            self._forget(uid)
        waiting = self.backlog.changes()
        changing = sum(not isinstance(change, Create) for change in waiting)
        plan = decided.plan
        plan = replace(plan, unchanged=plan.unchanged - changing)
        return replace(decided, plan=plan, waiting=waiting)

    def note(self, decided: Decided) -> None:
        """Note what a plan is about to write, and how its UIDs will rest after that."""
        plan = decided.plan
        rests = self._worklist.deferred(
            plan.at_rest_once_written, decided.batch.said, self._clock()
        )
        self._rests |= rests
        news = decided.batch.news
        self._news |= {uid: news[uid] for uid in rests if uid in news}
        for change in plan.writes:
            if change.key.uid in rests:
                self._to_write[change.key.uid] += 1

    def settle(self, decided: Decided, written: Mapping[str, int]) -> None:
        """Let the UIDs whose changes wait count as planned, and those rest whose changes are all made.

        `written` counts the changes that were made as they were meant, by UID. A UID of which something is
        open, or of which a change was not made after all, is planned anew.
        """
        concerned = {change.key.uid for change in decided.plan.writes}
        concerned |= self.backlog.take_begun()
        concerned &= self._rests.keys()
        if not concerned:
            return
        open_ones = self._ledger.bookings.unsettled(self._clock())
        disturbed = {booking.key.uid for booking in open_ones if _is_open(booking)}
        waiting = self.backlog.uids
        planned: dict[str, Skips] = {}
        resting: dict[str, Deferred] = {}
        anew: list[str] = []
        news = dict(self._news)
        for uid in concerned:
            self._to_write[uid] -= written.get(uid, 0)
            until, skips = self._rests[uid]
            is_made = self._to_write[uid] == 0
            if uid in waiting and uid not in disturbed:
                planned[uid] = skips
                continue
            self._forget(uid)
            if is_made and uid not in disturbed:
                resting[uid] = (until, skips)
            else:
                anew.append(uid)
        if resting:
            self._lines.defer(resting, over=(), at=self._clock(), seen=news)
        self._lines.mark_planned(planned, news)
        self._lines.make_ready(anew)
        self.backlog.bound()

    def _forget(self, uid: str) -> None:
        self._rests.pop(uid, None)
        self._to_write.pop(uid, None)
        self._news.pop(uid, None)


def _is_open(booking: Booking) -> bool:
    """Tell whether something about a booking is open, so that its UID needs a look."""
    if booking.reason is Reason.TOO_EARLY:
        return booking.state is not BookingState.WAITING
    is_made = booking.state in {BookingState.BOOKED, BookingState.APPROVAL}
    return not is_made or booking.reason is not None or booking.retry_at is not None
