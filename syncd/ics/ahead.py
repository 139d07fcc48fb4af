"""Parses UIDs while the rest of their document is still being looked through.

A first reading of a large calendar has two costs of about the same size: looking at every event once, to tell
which are over, and parsing the few that are not. One after the other, the first leaves all cores but one idle.
So what was seen is parsed by workers while this process looks on, and by both when it is through.

It is speculation, as processors execute what stands behind a branch: more events of a UID may follow, and
what stands around them is known for certain only at the end. So each answer is kept with the events that it
is of, and counts only if these are all events that its UID turned out to have; else the UID is parsed anew.
What is missing because a worker ended is parsed as if nothing had been parsed ahead.

What else was considered: looking through pieces of the document in the workers. Then each byte has to go
through a pipe, 150 MB in place of 10, the pieces have to be cut where no event is, and their columns joined;
on two cores it takes as long, since either way both are busy all the time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from syncd.core.bounds import UID_WALL_S
from syncd.ics.parallel import CpuAllowance, OnBegin, ParserPool
from syncd.ics.series import ParsedSeries
from syncd.ics.vevent import RawEvent
from syncd.ics.worker import (
    LOOK_S,
    Instructions,
    Share,
    Worker,
    parse_series,
    wait_for_any,
)

_SHARE = 20  # UIDs at a time: with their answer they fit into a pipe, so that nobody waits to write
_MOST_WORKERS = (
    3  # one process does not find more in the same time than so many can parse
)


class ParsingAhead:
    """Plain UIDs that are parsed by workers of a pool while others are still being found.

    Costly ones among them, of which there should be none, spend `allowance`; then it parses no more.
    On leaving the block the workers go back to the pool; one that is still at work is ended.
    """

    def __init__(
        self, pool: ParserPool, instructions: Instructions, allowance: CpuAllowance
    ) -> None:
        self._pool = pool
        self._instructions = instructions
        self._allowance = allowance
        self._waiting: deque[tuple[str, Sequence[RawEvent]]] = deque()
        self._wanted: Mapping[str, Sequence[RawEvent]] = {}
        self._workers: list[Worker] = []
        # This process is busy, too. One that ended is not replaced.
        self._may_hire = min(pool.most - 1, _MOST_WORKERS)
        # With the events that were parsed, which may not be all of their UID.
        self._found: list[tuple[Sequence[RawEvent], ParsedSeries]] = []

    def __enter__(self) -> ParsingAhead:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            self._pool.give_back(worker)
        self._workers = []

    def put(self, uid: str, raw_events: Sequence[RawEvent]) -> None:
        """Have a plain UID parsed; returns at once."""
        self._waiting.append((uid, raw_events))

    def wants_more(self) -> bool:
        """Give the workers what there is, and tell whether they will soon have nothing to do."""
        self._hand_out()
        return len(self._waiting) < _SHARE

    def settle(self, wanted: Mapping[str, Sequence[RawEvent]]) -> None:
        """Learn which UIDs are wanted, all of them plain, with which events; others will not be parsed."""
        self._waiting.clear()
        self._wanted = wanted
        known = self._handed_out()
        for uid, raw_events in wanted.items():
            if known.get(uid) != raw_events:
                self._waiting.append((uid, raw_events))
        self._hand_out()

    def finish(
        self, alive: Callable[[], object], under_way: OnBegin
    ) -> dict[str, ParsedSeries]:
        """Return what the UIDs say that are wanted; some may be missing.

        What was not parsed by now, or with other events, is parsed by the workers and right here.
        `alive` and `under_way` are as in `ParserPool.parse_all`.
        """
        deadline = time.monotonic() + UID_WALL_S
        while time.monotonic() < deadline:
            alive()
            self._hand_out()
            busy = [worker for worker in self._workers if not worker.is_free]
            if self._waiting:
                uid, raw_events = self._waiting.pop()
                under_way(uid, raw_events)
                series = parse_series(uid, raw_events, *self._instructions)
                self._take(raw_events, series)
            elif busy:
                under_way(None, ())
                wait_for_any(busy, LOOK_S)
            else:
                break
        under_way(None, ())
        found: dict[str, ParsedSeries] = {}
        for raw_events, series in self._found:
            if self._wanted.get(series.uid) == raw_events:
                found[series.uid] = series
        return found

    def _handed_out(self) -> dict[str, Sequence[RawEvent]]:
        """Return the events of the UIDs that were parsed, or are being parsed."""
        known = {series.uid: raw_events for raw_events, series in self._found}
        for worker in self._workers:
            if not worker.is_free:
                known.update(worker.share)
        return known

    def _hand_out(self) -> None:
        """Take the answers that are there, and give more to each worker that is free."""
        for worker in tuple(self._workers):
            if not worker.is_free and worker.has_answered:
                self._take_answer(worker)
            if worker.is_free:
                worker.take(self._next_share())
        if self._may_hire and len(self._waiting) >= _SHARE:
            self._may_hire -= 1
            self._hire()

    def _hire(self) -> None:
        """Give some of what waits to another worker, if one is to be had."""
        try:
            worker = self._pool.hire(self._instructions)
        except OSError:
            self._may_hire = 0
            return
        self._workers.append(worker)
        worker.take(self._next_share())

    def _next_share(self) -> Share | None:
        """Return what a worker is to parse next; None if nothing waits."""
        count = min(_SHARE, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)] or None

    def _take_answer(self, worker: Worker) -> None:
        """Take what a worker says of its share; it says nothing more if it is gone."""
        share = worker.share
        answers = worker.answers_to_share()
        if answers is None:
            self._workers.remove(worker)
            worker.end()
            return
        for (_, raw_events), series in zip(share, answers, strict=True):
            self._take(raw_events, series)

    def _take(self, raw_events: Sequence[RawEvent], series: ParsedSeries) -> None:
        """Keep what events say; leave the rest if it took too much."""
        self._found.append((raw_events, series))
        self._allowance.spend(series.cost_s)
        if self._allowance.is_spent:
            self._waiting.clear()
            self._may_hire = 0
