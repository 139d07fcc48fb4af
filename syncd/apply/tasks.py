"""Tasks whose calls are under way at once, for one thread that decides.

A task is a generator that yields its calls and is sent their answers, so it reads like code that waits.
Calls are made by threads of their own.
All that stands between two calls runs in the thread that starts and resumes the tasks, so the ledger has one
writer and nothing needs a lock.
Must not: know what a call is for, or let one keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, ParamSpec, Self, TypeAlias, TypeVar

from syncd.errors import SyncdError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Subject = TypeVar("_Subject")

Call: TypeAlias = Callable[[], Any]
Task: TypeAlias = Generator[Call, Any, _Result]
"""Work: what it yields is called, what that returns or raises is what the yield returns or raises."""

_Work: TypeAlias = tuple[Task[None], Call]
_Answered: TypeAlias = tuple[Task[None], object, BaseException | None]
"""A task, with what its call returned or else raised."""


def call(
    function: Callable[_Arguments, _Result],
    *args: _Arguments.args,
    **kwargs: _Arguments.kwargs,
) -> Task[_Result]:
    """Call a function in a thread of its own; return what it returns, raise what it raises.

    For use in a task, as `answer = yield from call(function, argument)`.
    """
    result: _Result = yield partial(function, *args, **kwargs)
    return result


def run_task(task: Task[_Result]) -> _Result:
    """Run a task in this thread, from its first call to its last, and return its result."""
    answer: object = None
    failure: SyncdError | None = None
    while True:
        try:
            request = _go_on(task, answer, failure)
        except StopIteration as end:
            result: _Result = end.value
            return result
        answer = None
        failure = None
        try:
            answer = request()
        except SyncdError as error:
            failure = error


def _go_on(task: Task[_Result], answer: object, failure: BaseException | None) -> Call:
    """Run a task up to its next call and return that; raise `StopIteration` at its end."""
    if failure is not None:
        return task.throw(failure)
    return task.send(answer)


class TaskGroup(Generic[_Subject]):
    """Tasks under way, inside a `with` block; `subjects` tells of what."""

    def __init__(self) -> None:
        self._underway: dict[Task[None], _Subject] = {}
        self._to_call: SimpleQueue[_Work | None] = SimpleQueue()
        self._answered: SimpleQueue[_Answered] = SimpleQueue()
        self._threads = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in range(self._threads):
            self._to_call.put(None)
        self._threads = 0

    def __len__(self) -> int:
        return len(self._underway)

    @property
    def subjects(self) -> Collection[_Subject]:
        """Return what was said of each task when it was started."""
        return self._underway.values()

    def start(self, task: Task[None], subject: _Subject) -> None:
        """Run a task up to its first call, which then goes on by itself; raise what the task raises."""
        self._underway[task] = subject
        self._resume(task, None, None)

    def resume_next(self, patience_s: float | None = None) -> bool:
        """Resume the next task whose call has ended, up to its next call; raise what the task raises.

        Return False if no call has ended within `patience_s` seconds (None: wait for ever).
        """
        try:
            answered = self._answered.get(timeout=patience_s)
        except Empty:
            return False
        self._resume(*answered)
        return True

    def _resume(
        self, task: Task[None], answer: object, failure: BaseException | None
    ) -> None:
        request = None
        try:
            request = _go_on(task, answer, failure)
        except StopIteration:
            return
        finally:
            if request is None:
                del self._underway[task]
        if self._threads < len(self._underway):
            self._threads += 1
            # A daemon, since a call whose answer nobody waits for must not hold up the end of the process.
            thread = threading.Thread(target=self._make_calls, name="call", daemon=True)
            thread.start()
        self._to_call.put((task, request))

    def _make_calls(self) -> None:
        """Make calls, in a thread of the group, until there are none to come."""
        while True:
            work = self._to_call.get()
            if work is None:
                return
            task, request = work
            try:
                answer = request()
            # It is raised in the thread that waits for it.
            except BaseException as failure:
                self._answered.put((task, None, failure))
            else:
                self._answered.put((task, answer, None))
