"""Runs many pieces of waiting work, so that slow ones do not hold up the others.

A few run at a time; one that takes long no longer counts among the few, and another begins beside it.
Must not: know what the work is.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Self, TypeVar

_Result = TypeVar("_Result")

QUICK = 8
"""Pieces of work at a time that are not known to be slow."""

MOST = 48
"""Pieces of work at a time altogether: each is a thread, as is each lookup, and a service may have 128."""

PATIENCE_S = 1.0
"""After so long a piece of work is a slow one."""


class _Job(Generic[_Result]):
    """A piece of work and the future of its result."""

    def __init__(self, work: Callable[[], _Result]) -> None:
        self.work = work
        self.future: Future[_Result] = Future()
        self.begun_at = 0.0  # on the monotonic clock


class Lanes:
    """A pool of threads for work that waits; leaving the context waits for what runs and drops the rest."""

    def __init__(
        self, *, quick: int = QUICK, most: int = MOST, patience_s: float = PATIENCE_S
    ) -> None:
        self._quick = quick
        self._most = most
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._waiting: deque[_Job[object]] = deque()
        self._running: dict[_Job[object], threading.Thread] = {}
        self._closing = False
        self._starter: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            dropped, self._waiting = list(self._waiting), deque()
            self._changed.notify_all()
            threads = list(self._running.values())
            if self._starter is not None:
                threads.append(self._starter)
        for job in dropped:
            job.future.cancel()
        for thread in threads:
            thread.join()

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Begin a piece of work when it is its turn; return the future of its result."""
        job = _Job(work)
        with self._changed:
            if self._closing:
                job.future.cancel()
                return job.future
            self._waiting.append(job)  # type: ignore[arg-type]  # what comes of it is of the future's type
            if self._starter is None:
                self._starter = threading.Thread(
                    target=self._start_jobs, name="lanes", daemon=True
                )
                self._starter.start()
            self._changed.notify_all()
        return job.future

    def _start_jobs(self) -> None:
        with self._changed:
            while not self._closing:
                pause_s = self._pause_s()
                if pause_s is None or pause_s > 0:
                    self._changed.wait(pause_s)
                    continue
                job = self._waiting.popleft()
                job.begun_at = time.monotonic()
                thread = threading.Thread(
                    target=self._run, args=(job,), name="fetch", daemon=True
                )
                self._running[job] = thread
                thread.start()

    def _pause_s(self) -> float | None:
        """Return the seconds until another piece of work may begin; None: until something changes."""
        if not self._waiting or len(self._running) >= self._most:
            return None
        slow_before = time.monotonic() - self._patience_s
        quick = sorted(
            job.begun_at for job in self._running if job.begun_at > slow_before
        )
        if len(quick) < self._quick:
            return 0.0
        return max(quick[len(quick) - self._quick] - slow_before, 0.01)

    def _run(self, job: _Job[object]) -> None:
        try:
            job.future.set_result(job.work())
        except BaseException as error:  # it is for who asks the future
            job.future.set_exception(error)
        finally:
            with self._changed:
                del self._running[job]
                self._changed.notify_all()
