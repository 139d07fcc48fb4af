"""Parses many UIDs, each within its bounds: costly ones in processes that can be ended from outside.

A worker (`syncd.ics.worker`) parses one UID after another and answers; before each it sets a timer of CPU
time whose signal ends the process, inside C code too, and its memory is limited.
So a UID that takes too much costs a worker and is told as `too_costly`; another worker goes on with the rest.
Workers are started when there is something for them, kept for the next time, and gone with the process that
started them, however that ends.
Events that are plain (`syncd.ics.plain`) are parsed right here, or, where they are very many, by workers.

Why a pool of our own: the standard library's `ProcessPoolExecutor` is as quick, but when one of its processes
ends, the pool is broken and fails all work that is under way or waiting, without telling which UID was the
reason or how its process ended. `multiprocessing.Pool` starts another process, but the work of the ended one
never answers. A limit inside of our own process was considered too: a Python signal handler runs between
bytecodes only, so it does not end a regular expression or a C loop, and it gives no memory back. One process
for each UID would be safe and is too slow for thousands. Here the order of parsing is known, the exit code
says which bound was passed, and only the UID that passed it is lost.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import selectors
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from syncd.core.bounds import COSTLY_S, SOURCE_CPU_S
from syncd.core.occurrence import Window
from syncd.ics.series import ParsedSeries, SeriesParser
from syncd.ics.vevent import RawEvent
from syncd.ics.worker import (
    LOOK_S,
    TOO_COSTLY,
    Instructions,
    Share,
    Worker,
    ended_series,
    parse_series,
)

OnBegin: TypeAlias = Callable[[str | None, Sequence[RawEvent]], object]
"""Called with the UID that is begun and its VEVENTs, and with None when nothing is under way any more."""

PARALLEL_FROM = 1_500
"""UIDs from which on several workers are quicker; starting them takes as long as some hundred UIDs."""

_SHARE = 100  # plain UIDs at a time, which bounds what is in memory
_ATTEMPTS = 2  # with a UID whose worker ended, before the UID is taken for the reason


class CpuAllowance:
    """How much CPU costly UIDs may still take; those that are not costly take nothing of it.

    `parent` is an allowance of which this one is a part.
    It is spent too once `others_wait` says so, and something was begun.
    """

    def __init__(
        self,
        seconds: float,
        parent: CpuAllowance | None = None,
        *,
        others_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self._left_s = seconds
        self._parent = parent
        self._others_wait = others_wait
        self._begun = False

    @property
    def is_spent(self) -> bool:
        """Tell whether nothing more is to be begun."""
        if self._left_s <= 0:
            return True
        if self._parent is not None and self._parent.is_spent:
            return True
        return self._begun and self._others_wait()

    def spend(self, seconds: float) -> None:
        """Count the CPU that a UID took."""
        self._begun = True
        if seconds > COSTLY_S:
            self._left_s -= seconds
            if self._parent is not None:
                self._parent.spend(seconds)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The UIDs that are to be parsed at once, how, and who is told of it."""

    work: Mapping[str, Sequence[RawEvent]]
    parser: SeriesParser
    window: Window
    alive: Callable[[], object]
    under_way: OnBegin

    def instructions(self, uids: Sequence[str]) -> Instructions:
        """Return what a worker has to know before it gets any of these UIDs."""
        events = (self.work[uid] for uid in uids)
        return Instructions(self.parser.for_work(events), self.window)

    def shares(self, uids: Sequence[str]) -> Iterator[Share]:
        """Yield these UIDs with their VEVENTs, some at a time."""
        rest = iter(uids)
        while taken := list(islice(rest, _SHARE)):
            yield [(uid, self.work[uid]) for uid in taken]

    def parse(self, uid: str) -> ParsedSeries:
        """Return what one UID says, parsed in this process."""
        return parse_series(uid, self.work[uid], self.parser, self.window)


class ParserPool:
    """The workers of a process; several threads may ask.

    `workers`, then `most`, is how many there may be for one piece of work: None for one on each core.
    Without `keep` they end with each piece of work.
    """

    def __init__(self, workers: int | None = None, *, keep: bool = True) -> None:
        self._keep = keep
        if workers is None:
            workers = len(os.sched_getaffinity(0))
        self.most = workers
        self._idle: list[Worker] = []
        self._guard = threading.Lock()
        self._closed = False

    def parse_all(
        self,
        work: Mapping[str, Sequence[RawEvent]],
        parser: SeriesParser,
        window: Window,
        *,
        allowance: CpuAllowance | None = None,
        alive: Callable[[], object] = lambda: None,
        under_way: OnBegin = lambda _uid, _raw_events: None,
    ) -> Iterator[ParsedSeries]:
        """Yield what each UID says, in any order; those that `allowance` leaves no room for are left out.

        Plain UIDs have an allowance of their own, which only a calendar that is made to be slow exceeds.
        `alive` is called at least each second.
        `under_way` is told which UID is begun, where that is known, and None when it is done.
        """
        batch = _Batch(work, parser, window, alive, under_way)
        plain: list[str] = []
        costly: list[str] = []
        for uid, raw_events in work.items():
            group = plain if parser.is_plain(raw_events) else costly
            group.append(uid)
        seconds = SOURCE_CPU_S if allowance else math.inf
        for_plain = CpuAllowance(seconds)
        if plain and len(work) >= PARALLEL_FROM and self.most > 1:
            yield from self._parse_in_shares(batch, plain, for_plain)
        else:
            yield from _parse_here(batch, plain, for_plain)
        if costly:
            for_costly = allowance or CpuAllowance(math.inf)
            yield from self._parse_one_by_one(batch, costly, for_costly)

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that are idle; those at work end when they are done."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def hire(self, instructions: Instructions) -> Worker:
        """Return a worker that has its instructions. Raises `OSError` if none can be had."""
        while True:
            with self._guard:
                worker = self._idle.pop() if self._idle else None
            is_fresh = worker is None
            worker = worker or Worker()
            if worker.instruct(instructions) or is_fresh:
                return worker
            worker.end()

    def give_back(self, worker: Worker) -> None:
        """Keep one worker for the next time, and end any other, and one that is still at work."""
        with self._guard:
            may_keep = self._keep and not self._closed and not self._idle
            if may_keep and worker.is_free:
                self._idle.append(worker)
                return
        worker.end()

    # Costly ones: one worker, one UID at a time, so that it is known which one ended it

    def _parse_one_by_one(
        self, batch: _Batch, uids: Sequence[str], allowance: CpuAllowance
    ) -> Iterator[ParsedSeries]:
        instructions = batch.instructions(uids)
        worker: Worker | None = None
        attempts = 0
        left = list(reversed(uids))
        try:
            while left and not allowance.is_spent:
                uid = left[-1]
                attempts += 1
                raw_events = batch.work[uid]
                batch.alive()
                batch.under_way(uid, raw_events)
                worker = worker or self.hire(instructions)
                one = worker.parse(uid, raw_events, batch.alive)
                batch.under_way(None, ())
                if one is None:
                    code = worker.end()
                    worker = None
                    if code not in TOO_COSTLY and attempts < _ATTEMPTS:
                        continue
                    one = ended_series(uid, raw_events, batch.parser, code)
                left.pop()
                attempts = 0
                allowance.spend(one.cost_s)
                yield one
        except OSError:
            return  # no process is to be had now: what is left comes in the next cycle
        finally:
            if worker is not None:
                self.give_back(worker)

    # Very many plain ones: shares of them, for one worker on each core

    def _parse_in_shares(
        self, batch: _Batch, uids: Sequence[str], allowance: CpuAllowance
    ) -> Iterator[ParsedSeries]:
        shares = batch.shares(uids)
        instructions = batch.instructions(uids)
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as busy:
            for _ in range(self.most):
                try:
                    worker = self.hire(instructions)
                except OSError:
                    break  # no process more is to be had: fewer do, or none
                stack.callback(self.give_back, worker)
                if worker.take(next(shares, None)):
                    busy.register(worker.answers, selectors.EVENT_READ, worker)
            while busy.get_map():
                batch.alive()
                for key, _ in busy.select(LOOK_S):
                    worker = key.data
                    share = worker.share
                    answer = worker.answer()
                    # Before anything is made of the answer, so that the worker does not wait for that.
                    may_go_on = answer is not None and not allowance.is_spent
                    more = next(shares, None) if may_go_on else None
                    if not worker.take(more):
                        busy.unregister(key.fileobj)
                    yield from _answered(batch, share, answer, allowance)
        for share in shares:  # all workers are gone, or nothing more is to be begun
            if allowance.is_spent:
                return
            yield from _answered(batch, share, None, allowance)


def _parse_here(
    batch: _Batch, uids: Sequence[str], allowance: CpuAllowance
) -> Iterator[ParsedSeries]:
    """Yield what plain UIDs say, parsed in this process, as far as the allowance goes."""
    for uid in uids:
        if allowance.is_spent:
            break
        batch.alive()
        batch.under_way(uid, batch.work[uid])
        one = batch.parse(uid)
        allowance.spend(one.cost_s)
        yield one
    batch.under_way(None, ())


def _answered(
    batch: _Batch, share: Share, answer: bytes | None, allowance: CpuAllowance
) -> Iterator[ParsedSeries]:
    """Yield what a worker said of a share of plain UIDs; without an answer they are parsed right here."""
    answers: list[ParsedSeries] = []
    if answer is not None:
        answers = pickle.loads(answer)  # noqa: S301  # our own worker's
    for place, (uid, _) in enumerate(share):
        batch.alive()
        one = answers[place] if answers else batch.parse(uid)
        allowance.spend(one.cost_s)
        yield one
