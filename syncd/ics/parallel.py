"""Understands UIDs, each within its bounds: what may be costly in a process that can be ended from outside.

A worker understands one UID after another and answers; before each it sets a timer of CPU time whose signal
ends the process, inside C code too, and its memory is limited.
So a UID that takes too much costs a worker and is told as `too_costly`; another worker goes on with the rest.
Workers are started when there is something for them, kept for the next time, and gone with the process that
started them, however that ends.
Events that are plain (`syncd.ics.plain`) are understood right here, or, where they are very many, by workers.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import resource
import select
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import IO, Any, TypeAlias

from syncd.core.bounds import COSTLY_S, SOURCE_CPU_S, UID_CPU_S, UID_MEMORY, UID_WALL_S
from syncd.core.occurrence import Defect, Presence, Window
from syncd.core.reasons import Reason
from syncd.ics.series import ParsedSeries, SeriesParser
from syncd.ics.vevent import RawEvent

_Work: TypeAlias = Mapping[str, Sequence[RawEvent]]
_Share: TypeAlias = list[tuple[str, Sequence[RawEvent]]]

UnderWay: TypeAlias = Callable[[str | None, Sequence[RawEvent]], object]
"""Told which UID, with its pieces, is begun, and None when nothing is under way any more."""

PARALLEL_FROM = 1_500
"""UIDs from which on several workers are quicker; starting them takes as long as some hundred UIDs."""

_SHARE = 100  # plain UIDs at a time, which bounds what is in memory
_LOOK_S = 1.0  # between signs of life while a worker is waited for
_IDLE_S = 600.0  # after which a worker that has nothing to do ends
_ATTEMPTS = 2  # with a UID whose worker ended, before the UID is taken for the reason
_LENGTH = struct.Struct("<Q")


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
        """Whether nothing more is to be begun."""
        if self._left_s <= 0 or (self._parent is not None and self._parent.is_spent):
            return True
        return self._begun and self._others_wait()

    def spend(self, seconds: float) -> None:
        """Count what a UID took."""
        self._begun = True
        if seconds > COSTLY_S:
            self._left_s -= seconds
            if self._parent is not None:
                self._parent.spend(seconds)


class ParserPool:
    """The workers of a process; several threads may ask.

    `workers` is how many there may be for one piece of work: None for one on each core.
    Without `keep` they end with each piece of work.
    """

    def __init__(self, workers: int | None = None, *, keep: bool = True) -> None:
        self._keep = keep
        self._most = len(os.sched_getaffinity(0)) if workers is None else workers
        self._idle: list[_Worker] = []
        self._guard = threading.Lock()
        self._closed = False

    def parse_all(
        self,
        work: _Work,
        parser: SeriesParser,
        window: Window,
        *,
        allowance: CpuAllowance | None = None,
        alive: Callable[[], object] = lambda: None,
        under_way: UnderWay = lambda _uid, _pieces: None,
    ) -> Iterator[ParsedSeries]:
        """What each UID says, in any order; those that `allowance` leaves no room for are left out.

        Plain UIDs have an allowance of their own, which only a calendar that is made to be slow exceeds.
        `alive` is called at least each second.
        `under_way` is told which UID is begun, where that is known, and None when it is done.
        """
        plain = [uid for uid, raw_events in work.items() if parser.is_plain(raw_events)]
        known = frozenset(plain)
        costly = [uid for uid in work if uid not in known]
        many = len(work) >= PARALLEL_FROM and self._most > 1
        for_plain = CpuAllowance(SOURCE_CPU_S if allowance else math.inf)
        allowance = allowance or CpuAllowance(math.inf)
        if plain and many:
            yield from self._shared_out(work, plain, parser, window, for_plain, alive)
        else:
            for uid in plain:
                if for_plain.is_spent:
                    break
                alive()
                under_way(uid, work[uid])
                one = parse_series(uid, work[uid], parser, window)
                for_plain.spend(one.cost_s)
                yield one
            under_way(None, ())
        if costly:
            yield from self._one_by_one(work, costly, parser, window, allowance, alive, under_way)

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

    # Costly ones: one worker, one UID at a time, so that it is known which one ended it

    def _one_by_one(
        self,
        work: _Work,
        uids: Sequence[str],
        parser: SeriesParser,
        window: Window,
        allowance: CpuAllowance,
        alive: Callable[[], object],
        under_way: UnderWay,
    ) -> Iterator[ParsedSeries]:
        instructions = (parser.for_work(work[uid] for uid in uids), window)
        worker: _Worker | None = None
        attempts = 0
        left = list(reversed(uids))
        try:
            while left and not allowance.is_spent:
                uid, attempts = left[-1], attempts + 1
                alive()
                under_way(uid, work[uid])
                worker = worker or self._worker(instructions)
                one = worker.ask(uid, work[uid], alive)
                under_way(None, ())
                if one is None:
                    ended = worker.end()
                    worker = None
                    if ended not in _TOO_COSTLY and attempts < _ATTEMPTS:
                        continue
                    one = _too_costly(uid, work[uid], parser, _SENTENCES.get(ended, _ENDED))
                left.pop()
                attempts = 0
                allowance.spend(one.cost_s)
                yield one
        except OSError:
            return  # no process is to be had now: what is left comes in the next cycle
        finally:
            if worker is not None:
                self._give_back(worker)

    def _worker(self, instructions: tuple[SeriesParser, Window]) -> _Worker:
        """A worker that knows what to do. Raises `OSError` if none can be had."""
        while True:
            with self._guard:
                worker = self._idle.pop() if self._idle else None
            fresh = worker is None
            worker = worker or _Worker()
            if worker.instruct(instructions) or fresh:
                return worker
            worker.end()

    def _give_back(self, worker: _Worker) -> None:
        """Keep one worker for the next time; one that is still at work answers nobody."""
        with self._guard:
            if worker.is_free and self._keep and not self._closed and not self._idle:
                self._idle.append(worker)
                return
        worker.end()

    # Very many plain ones: shares of them, for one worker on each core

    def _shared_out(
        self,
        work: _Work,
        uids: Sequence[str],
        parser: SeriesParser,
        window: Window,
        allowance: CpuAllowance,
        alive: Callable[[], object],
    ) -> Iterator[ParsedSeries]:
        shares = _shares(work, uids)
        instructions = (parser.for_work(work[uid] for uid in uids), window)
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as busy:
            for _ in range(self._most):
                try:
                    worker = self._worker(instructions)
                except OSError:
                    break  # no process more is to be had: fewer do, or none
                stack.callback(self._give_back, worker)
                if worker.take(next(shares, None)):
                    busy.register(worker.answers, selectors.EVENT_READ, worker)
            while busy.get_map():
                alive()
                for key, _ in busy.select(_LOOK_S):
                    share, answer = key.data.share, key.data.answer()
                    # Before anything is made of the answer, so that the worker does not wait for that.
                    more = None if answer is None or allowance.is_spent else next(shares, None)
                    if not key.data.take(more):
                        busy.unregister(key.fileobj)
                    yield from self._answered(share, answer, parser, window, allowance, alive)
        for share in shares:  # all workers are gone, or nothing more is to be begun
            if allowance.is_spent:
                return
            yield from self._answered(share, None, parser, window, allowance, alive)

    def _answered(
        self,
        share: _Share,
        answer: bytes | None,
        parser: SeriesParser,
        window: Window,
        allowance: CpuAllowance,
        alive: Callable[[], object],
    ) -> Iterator[ParsedSeries]:
        """What a worker said of a share of plain UIDs; without an answer they are understood right here."""
        answers = pickle.loads(answer) if answer is not None else None  # noqa: S301  # our own worker's
        for place, (uid, raw_events) in enumerate(share):
            alive()
            one = answers[place] if answers else parse_series(uid, raw_events, parser, window)
            allowance.spend(one.cost_s)
            yield one


def _shares(work: _Work, uids: Sequence[str]) -> Iterator[_Share]:
    rest = iter(uids)
    while share := [(uid, work[uid]) for uid in islice(rest, _SHARE)]:
        yield share


def parse_series(
    uid: str, raw_events: Sequence[RawEvent], parser: SeriesParser, window: Window
) -> ParsedSeries:
    """What one UID says, with the CPU that it took; a defect of the program in it costs this UID alone."""
    began = time.thread_time()
    try:
        one = parser.parse(uid, raw_events, window)
    except MemoryError:
        one = _too_costly(uid, raw_events, parser, _SENTENCES[_NO_MEMORY])
    except Exception as error:  # whatever one event provokes must not end the reading of all others
        detail = (
            f"the event meets a defect of syncd ({type(error).__name__}); please report it with the event"
        )
        one = _defective(uid, raw_events, parser, Reason.BROKEN_PROPERTY, detail)
    return replace(one, cpu_s=time.thread_time() - began)


_NO_MEMORY = 77
"""How a worker leaves that has no memory left, not even to say so."""

_OVERDUE = -signal.SIGALRM
"""How a worker counts as ended that did not answer for very long."""

_TOO_COSTLY = frozenset({-signal.SIGPROF, _NO_MEMORY, _OVERDUE})
_ENDED = "understanding it ended its process twice; take the event apart, or report it with the event"
_SENTENCES = {
    -signal.SIGPROF: f"understanding it takes more than {UID_CPU_S:g} s; simplify its rules, zones or text",
    _NO_MEMORY: f"understanding it takes more than {UID_MEMORY >> 20} MB of memory; make the event smaller",
    _OVERDUE: f"understanding it was not done within {UID_WALL_S:g} s; it is tried again when it changes",
}


def _too_costly(uid: str, raw_events: Sequence[RawEvent], parser: SeriesParser, detail: str) -> ParsedSeries:
    one = _defective(uid, raw_events, parser, Reason.TOO_COSTLY, detail)
    return replace(one, cpu_s=UID_CPU_S)


def _defective(
    uid: str, raw_events: Sequence[RawEvent], parser: SeriesParser, reason: Reason, detail: str
) -> ParsedSeries:
    first = min(raw_events, key=lambda raw_event: raw_event.line)
    defect = Defect(uid, first.line, reason, detail, parser.document_of(first))
    return ParsedSeries(uid, (), Presence.QUARANTINED if uid else None, (defect,), None)


class _Worker:
    """A process that understands one share after another."""

    def __init__(self) -> None:
        """Raises `OSError` if it cannot be started."""
        # Nothing of the program is loaded but what understands events.
        # In a group of its own, because Ctrl-C goes to a whole group and is for this process to act on.
        script = f"import sys; sys.path = {sys.path!r}; from {__name__} import work; work()"
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter and our own module
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin
        self.answers = self._process.stdout
        self.share: _Share = []
        self.is_free = True
        self._is_overdue = False

    def end(self) -> int:
        """End it if it still goes on; how it ended: minus the number of the signal, or its exit code."""
        self._process.kill()
        code = self._process.wait()
        for pipe in (self._requests, self.answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return _OVERDUE if self._is_overdue else code

    def instruct(self, instructions: tuple[SeriesParser, Window]) -> bool:
        """Say how the following shares are to be understood; whether it is there to hear that."""
        return self._process.poll() is None and self._send(instructions)

    def take(self, share: _Share | None) -> bool:
        """Give it a share, if there is one; it answers, or its answer is None."""
        if share is None:
            return False
        self.share, self.is_free = share, False
        self._send(share)
        return True

    def ask(
        self, uid: str, raw_events: Sequence[RawEvent], alive: Callable[[], object]
    ) -> ParsedSeries | None:
        """What it makes of one UID; None if it is gone, or does not answer for very long."""
        self.take([(uid, raw_events)])
        deadline = time.monotonic() + UID_WALL_S
        while not _is_readable(self.answers, _LOOK_S):
            alive()
            if time.monotonic() > deadline:
                self._is_overdue = True
                return None
        answer = self.answer()
        if answer is None:
            self._process.wait()  # by itself, so that it is known how
            return None
        found: list[ParsedSeries] = pickle.loads(answer)  # noqa: S301  # from our own worker
        return found[0]

    def _send(self, message: object) -> bool:
        """Give it what it is to know; False if it is gone, which is also seen where it does not answer."""
        try:
            _write(self._requests, message)
        except BrokenPipeError:
            return False
        return True

    def answer(self) -> bytes | None:
        """What it made of its share, None if it is gone."""
        with contextlib.suppress(EOFError):
            answer = _read(self.answers)
            self.is_free = True
            return answer
        return None


def _write(pipe: IO[bytes], message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    """Raises `EOFError` when the other side is gone, in the middle of a message too."""
    (length,) = _LENGTH.unpack(_read_exactly(pipe, _LENGTH.size))
    return _read_exactly(pipe, length)


def _read_exactly(pipe: IO[bytes], length: int) -> bytes:
    """So many bytes, also of a pipe without a buffer, which gives what is there."""
    parts: list[bytes] = []
    while length:
        part = pipe.read(length)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _is_readable(pipe: IO[bytes], seconds: float) -> bool:
    """Whether there is something to read, or the other side is gone, within a time."""
    poll = select.poll()  # which has no bound on the number of a descriptor
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def work() -> None:
    """What a worker does until the process that started it is gone, or has had nothing for it for long."""
    # Without a buffer, where what was read ahead would not be seen by the poll.
    requests, answers = open(0, "rb", buffering=0), sys.stdout.buffer  # noqa: SIM115  # to the end
    with contextlib.suppress(OSError, ValueError):  # where that is forbidden, the service's own limit holds
        resource.setrlimit(resource.RLIMIT_AS, (UID_MEMORY, UID_MEMORY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    instructions: tuple[SeriesParser, Window] | None = None
    try:
        while _is_readable(requests, _IDLE_S):
            message = pickle.loads(_read(requests))  # noqa: S301  # from the process that started this one
            if isinstance(message, tuple):
                instructions = message
                continue
            assert instructions is not None  # they always come first
            _answer(answers, message, *instructions)
    except (EOFError, BrokenPipeError):
        pass
    except MemoryError:
        os._exit(_NO_MEMORY)


def _answer(answers: IO[bytes], share: _Share, parser: SeriesParser, window: Window) -> None:
    """Understand a share; each UID, and what is made of it to be sent, has so much CPU and no more."""
    found: list[ParsedSeries] = []
    for uid, raw_events in share:
        signal.setitimer(signal.ITIMER_PROF, UID_CPU_S)
        found.append(parse_series(uid, raw_events, parser, window))
    data: Any = pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
    signal.setitimer(signal.ITIMER_PROF, 0)
    answers.write(_LENGTH.pack(len(data)))
    answers.write(data)
    answers.flush()
