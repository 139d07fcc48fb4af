"""A bounded number of threads that run what they are handed, and wait a while for more.

The pool of the standard library joins its threads when Python ends, and a lookup of a name cannot be
interrupted: a resolver that hangs would hold up the end of the process.
Must not: know what the work is, or when it may begin.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_Work = Callable[[], None]

_IDLE_S = 10.0  # then a thread without work ends


class Workers:
    """Daemon threads that are started as they are needed, `most` of them; what they run must not raise."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        # One for each thread that waits and is not yet counted on.
        self._idle = threading.Semaphore(0)
        self._guard = threading.Lock()
        self._threads = 0

    def run(self, work: _Work) -> None:
        """Run some work in a thread, as soon as one is free.

        Raises `RuntimeError` if there is none and none can be started; the work is not run then.
        """
        if not self._idle.acquire(blocking=False):
            self._start_thread()
        self._work.put(work)

    def _start_thread(self) -> None:
        """Start a thread unless there are enough; where that fails others have to do, if there are any."""
        with self._guard:
            if self._threads >= self._most:
                return
            self._threads += 1
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            with self._guard:
                self._threads -= 1
                if self._threads > 0:
                    return
            raise

    def close(self) -> None:
        """Let the threads end when they have nothing to do; nothing may be handed over any more."""
        with self._guard:
            threads = self._threads
        for _ in range(threads):
            self._work.put(None)

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=_IDLE_S)
            except queue.Empty:
                if not self._idle.acquire(blocking=False):
                    continue  # some work is on its way here
                work = None
            if work is None:
                with self._guard:
                    self._threads -= 1
                return
            work()
            del work  # what it holds is not kept while nothing is to do
            self._idle.release()
