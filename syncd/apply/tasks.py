"""Calls that are under way at once, for one thread that decides.

Work is a generator that yields its calls and is sent their answers, so it reads like work that waits.
Calls are made by threads of their own; all that stands between two calls runs in the thread that begins and
lands, so the ledger has one writer and nothing needs a lock.
Must not: know what a call is for, or let one keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator
from queue import Empty, SimpleQueue
from typing import Any, Generic, Self, TypeAlias, TypeVar

from syncd.errors import SyncdError

_Result = TypeVar("_Result")
_Subject = TypeVar("_Subject")

Call: TypeAlias = Callable[[], Any]
Steps: TypeAlias = Generator[Call, Any, _Result]
"""Work: what it yields is called, what that returns or raises is what the yield returns or raises."""


def finish(steps: Steps[_Result]) -> _Result:
    """Do some work in this thread, from its first call to its last."""
    answer: object = None
    failure: SyncdError | None = None
    while True:
        try:
            call = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as end:
            result: _Result = end.value
            return result
        answer = failure = None
        try:
            answer = call()
        except SyncdError as error:
            failure = error


class Flight(Generic[_Subject]):
    """Work under way, inside a `with` block; `subjects` tells of what."""

    def __init__(self) -> None:
        self._underway: dict[Steps[None], _Subject] = {}
        self._to_make: SimpleQueue[tuple[Steps[None], Call] | None] = SimpleQueue()
        self._landed: SimpleQueue[tuple[Steps[None], object, BaseException | None]] = SimpleQueue()
        self._threads = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in range(self._threads):
            self._to_make.put(None)
        self._threads = 0

    def __len__(self) -> int:
        return len(self._underway)

    @property
    def subjects(self) -> Collection[_Subject]:
        """What was said of each work when it was begun."""
        return self._underway.values()

    def begin(self, steps: Steps[None], subject: _Subject) -> None:
        """Do some work up to its first call, which then goes on by itself; raises what the work raises."""
        self._underway[steps] = subject
        self._go_on(steps, None, None)

    def land(self, patience_s: float | None = None) -> bool:
        """Go on with the next work whose call has ended, as far as its next call; raises what that raises.

        False if none has ended within `patience_s` seconds.
        """
        try:
            landed = self._landed.get(timeout=patience_s)
        except Empty:
            return False
        self._go_on(*landed)
        return True

    def _go_on(self, steps: Steps[None], answer: object, failure: BaseException | None) -> None:
        call = None
        try:
            call = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration:
            return
        finally:
            if call is None:
                del self._underway[steps]
        if self._threads < len(self._underway):
            self._threads += 1
            # A daemon, since a call whose answer nobody waits for must not hold up the end of the process.
            threading.Thread(target=self._make_calls, name="call", daemon=True).start()
        self._to_make.put((steps, call))

    def _make_calls(self) -> None:
        while (work := self._to_make.get()) is not None:
            steps, call = work
            try:
                answer = call()
            except BaseException as failure:  # it is raised in the thread that waits for it
                self._landed.put((steps, None, failure))
            else:
                self._landed.put((steps, answer, None))
