"""Runs many pieces of waiting work, so that slow ones do not hold up the others, and no host is crowded.

A few run at a time; one that takes long no longer counts among the few, and another begins beside it.
What was slow the last time is slow from its begin: it leaves the few their places, and half of those at its
host.
A host is asked few things at once; what else is wanted of it waits without a thread.
Must not: know what the work is.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from typing import Generic, Self, TypeVar

from syncd.sources.http.workers import Workers

_Result = TypeVar("_Result")

QUICK = 8
"""Pieces of work at a time that are not known to be slow."""

MOST = 48
"""Pieces of work at a time altogether: each is a thread, and a service may have 128."""

AT_ONE_HOST = 4
"""Pieces of work at a time that ask one host."""

SLOW_AT_ONE_HOST = 2
"""Of these, such as were slow the last time."""

PATIENCE_S = 1.0
"""After so long a piece of work is a slow one."""


class _Job(Generic[_Result]):
    """A piece of work and the future of its result."""

    def __init__(
        self, work: Callable[[], _Result], name: Hashable, host: Hashable
    ) -> None:
        self.work = work
        self.name = name
        self.host = host
        self.future: Future[_Result] = Future()
        self.was_slow = False
        self.begun_at = 0.0  # on the monotonic clock


class _Queue:
    """Jobs that wait, one host after the other in turn, and for each host in the order in which they came."""

    def __init__(self) -> None:
        self._of_host: dict[Hashable, deque[_Job[object]]] = {}

    def __bool__(self) -> bool:
        return bool(self._of_host)

    def put(self, job: _Job[object]) -> None:
        """Add a job behind the others of its host."""
        self._of_host.setdefault(job.host, deque()).append(job)

    def pop(self, has_room: Callable[[Hashable], bool]) -> _Job[object] | None:
        """Remove and return the next job whose host has room; None if there is none."""
        for host in self._of_host:
            if has_room(host):
                break
        else:
            return None
        jobs = self._of_host.pop(host)
        job = jobs.popleft()
        if jobs:
            self._of_host[host] = jobs  # behind the other hosts
        return job

    def clear(self) -> list[_Job[object]]:
        """Remove and return all jobs."""
        jobs: list[_Job[object]] = []
        for waiting in self._of_host.values():
            jobs += waiting
        self._of_host = {}
        return jobs


class Lanes:
    """Threads for work that waits; leaving the context waits for what runs and drops the rest.

    While `may_begin` says no, nothing more is begun; `begin_waiting` is called when it may say otherwise.
    """

    def __init__(
        self,
        *,
        quick: int = QUICK,
        most: int = MOST,
        patience_s: float = PATIENCE_S,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_begin = may_begin
        self._quick = quick
        self._most = most
        self._most_slow = max(most - quick, 1)
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._waiting = _Queue()
        self._waiting_slow = _Queue()
        self._running: set[_Job[object]] = set()
        self._running_at: Counter[Hashable] = Counter()
        self._slow_at: Counter[Hashable] = Counter()
        self._slow_names: set[Hashable] = set()
        self._workers = Workers("fetch", most)
        self._closing = False
        self._starter: threading.Thread | None = None
        self._starter_has_a_time = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            dropped = self._waiting.clear() + self._waiting_slow.clear()
            self._changed.notify_all()
        for job in dropped:
            job.future.cancel()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)
        self._workers.close()
        if self._starter is not None:
            self._starter.join()

    def submit(
        self,
        work: Callable[[], _Result],
        *,
        name: Hashable = None,
        host: Hashable = None,
    ) -> Future[_Result]:
        """Begin a piece of work when it is its turn; return the future of its result.

        `name` stands for the work from one time to the next, so that it is known for slow.
        `host` is whom it asks; work without one never waits for a host.
        """
        job = _Job(work, name, host)
        with self._changed:
            if self._closing:
                job.future.cancel()
                return job.future
            job.was_slow = name in self._slow_names
            queue = self._waiting_slow if job.was_slow else self._waiting
            queue.put(job)  # type: ignore[arg-type]  # what comes of it is of the future's type
            self._begin_jobs()
            if self._waiting and not self._starter_has_a_time:
                self._wake_starter()
        return job.future

    def begin_waiting(self) -> None:
        """Begin what waits, as far as it may begin now."""
        with self._changed:
            self._begin_jobs()

    # What may begin; all under the lock

    def _begin_jobs(self) -> None:
        while True:
            job = self._next_job()
            if job is None:
                return
            work = partial(self._work, job)
            try:
                self._workers.run(work)
            except RuntimeError:
                # There is no thread for it, and nobody is to wait for its end.
                self._end(job)
                job.future.cancel()
                raise

    def _next_job(self) -> _Job[object] | None:
        """Return the job that may begin now, counted among the running ones; None if there is none."""
        running = len(self._running)
        if running >= self._most or not (self._waiting or self._waiting_slow):
            return None
        if not self._may_begin():
            return None
        slow = running - len(self._quick_since())
        job = None
        if running - slow < self._quick:
            job = self._waiting.pop(self._has_room)
        if job is None and slow < self._most_slow:
            job = self._waiting_slow.pop(self._has_room_for_slow)
        if job is None:
            return None
        job.begun_at = time.monotonic()
        self._running.add(job)
        self._running_at[job.host] += 1
        self._slow_at[job.host] += job.was_slow
        return job

    def _quick_since(self) -> list[float]:
        """Return when those running jobs began that are not slow, or not yet."""
        since = [job.begun_at for job in self._running if not job.was_slow]
        slow_before = time.monotonic() - self._patience_s
        return [begun_at for begun_at in since if begun_at > slow_before]

    def _has_room(self, host: Hashable) -> bool:
        return host is None or self._running_at[host] < AT_ONE_HOST

    def _has_room_for_slow(self, host: Hashable) -> bool:
        is_free = host is None or self._slow_at[host] < SLOW_AT_ONE_HOST
        return is_free and self._has_room(host)

    # The threads

    def _work(self, job: _Job[object]) -> None:
        """Run a job, and one after the other that may begin when it ended."""
        following: _Job[object] | None = job
        while following is not None:
            following = self._run(following)

    def _run(self, job: _Job[object]) -> _Job[object] | None:
        """Run a job; return the one that this thread goes on with."""
        try:
            job.future.set_result(job.work())
        except BaseException as error:  # it is for who asks the future
            job.future.set_exception(error)
        with self._changed:
            self._end(job)
            following = self._next_job()
            if following is not None:
                self._begin_jobs()
            if self._closing:
                self._changed.notify_all()
        return following

    def _end(self, job: _Job[object]) -> None:
        took_s = time.monotonic() - job.begun_at
        if took_s <= self._patience_s:
            self._slow_names.discard(job.name)
        elif job.name is not None:
            self._slow_names.add(job.name)
        self._running.discard(job)
        self._slow_at[job.host] -= job.was_slow
        self._running_at[job.host] -= 1
        if not self._running_at[job.host]:
            del self._running_at[job.host], self._slow_at[job.host]

    def _wake_starter(self) -> None:
        """Let the thread that begins work beside slow one look again."""
        if self._starter is None:
            self._starter = threading.Thread(
                target=self._begin_beside_slow, name="lanes", daemon=True
            )
            self._starter.start()
        self._changed.notify_all()

    def _begin_beside_slow(self) -> None:
        """Begin what waits as soon as something that runs turns out to be slow."""
        with self._changed:
            while not self._closing:
                pause_s = self._until_one_is_slow()
                self._starter_has_a_time = pause_s is not None
                self._changed.wait(pause_s)
                self._begin_jobs()

    def _until_one_is_slow(self) -> float | None:
        """Return the seconds until a running job is slow; None if nothing waits for that."""
        since = self._quick_since()
        if not self._waiting or not since:
            return None
        slow_at = min(since) + self._patience_s
        return max(slow_at - time.monotonic(), 0.01)
