"""A process that parses UIDs for another one, and may be ended by what it parses.

The process that started it is `Worker`'s, and `run` is what it does: over a pipe it gets instructions, then
shares of UIDs, and answers each share. Messages are pickles with their length before them.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from operator import attrgetter
from typing import IO, Any, NamedTuple, TypeAlias

from syncd.core.bounds import UID_CPU_S, UID_MEMORY, UID_WALL_S
from syncd.core.occurrence import (
    Alarm,
    Attendee,
    Days,
    Defect,
    Inline,
    Link,
    Moment,
    Occurrence,
    OccurrenceKey,
    Person,
    Presence,
    Timespan,
    Window,
)
from syncd.core.reasons import Note, Reason
from syncd.ics.event_text import identified
from syncd.ics.series import ParsedSeries, SeriesParser
from syncd.ics.vevent import RawEvent

Share: TypeAlias = list[tuple[str, Sequence[RawEvent]]]
"""UIDs with their VEVENTs, to be parsed one after another."""

LOOK_S = 1.0
"""Seconds between signs of life while a worker is waited for."""

_IDLE_S = 600.0  # after which a worker that has nothing to do ends
_LENGTH = struct.Struct("<Q")

_NO_MEMORY = 77
"""How a worker leaves that has no memory left, not even to say so."""

_OVERDUE = -signal.SIGALRM
"""How a worker counts as ended that did not answer for very long."""

TOO_COSTLY = frozenset({-signal.SIGPROF, _NO_MEMORY, _OVERDUE})
"""How a worker ends that passed one of its bounds."""

_ENDED = "understanding it ended its process twice; take the event apart, or report it with the event"
_SENTENCES = {
    -signal.SIGPROF: f"understanding it takes more than {UID_CPU_S:g} s; simplify its rules, zones or text",
    _NO_MEMORY: f"understanding it takes more than {UID_MEMORY >> 20} MB of memory; make the event smaller",
    _OVERDUE: f"understanding it was not done within {UID_WALL_S:g} s; it is tried again when it changes",
}


class Instructions(NamedTuple):
    """How the following shares are to be parsed."""

    parser: SeriesParser
    window: Window


def parse_series(
    uid: str, raw_events: Sequence[RawEvent], parser: SeriesParser, window: Window
) -> ParsedSeries:
    """Return what one UID says, and the CPU that took; a defect of the program in it costs this UID alone."""
    began = time.thread_time()
    try:
        one = parser.parse(uid, raw_events, window)
    except MemoryError:
        one = ended_series(uid, raw_events, parser, _NO_MEMORY)
    # Whatever one event provokes must not end the reading of all others.
    except Exception as error:
        detail = f"the event meets a defect of syncd ({type(error).__name__}); please report it with the event"
        one = _defective(uid, raw_events, parser, Reason.BROKEN_PROPERTY, detail)
    return replace(one, cpu_s=time.thread_time() - began)


def ended_series(
    uid: str, raw_events: Sequence[RawEvent], parser: SeriesParser, code: int
) -> ParsedSeries:
    """Return a UID as too costly, with a sentence about how the process ended that parsed it."""
    detail = _SENTENCES.get(code, _ENDED)
    one = _defective(uid, raw_events, parser, Reason.TOO_COSTLY, detail)
    return replace(one, cpu_s=UID_CPU_S)


def _defective(
    uid: str,
    raw_events: Sequence[RawEvent],
    parser: SeriesParser,
    reason: Reason,
    detail: str,
) -> ParsedSeries:
    """Return a UID as quarantined, told at the first of its VEVENTs."""
    first = min(raw_events, key=lambda raw_event: raw_event.line)
    defect = Defect(
        uid=uid,
        line=first.line,
        reason=reason,
        detail=detail,
        document=parser.document_of(first),
    )
    presence = Presence.QUARANTINED if uid else None
    defects = identified([defect], raw_events, parser.document_of)
    return ParsedSeries(uid, presence=presence, defects=defects)


class Worker:
    """A process that parses one share after another, seen from the process that started it.

    `share` is what it was given last; `is_free` tells whether that was answered.
    """

    def __init__(self) -> None:
        """Start the process; raises `OSError` if that cannot be done."""
        # Nothing of the program is loaded but what parses events.
        # In a group of its own, because Ctrl-C goes to a whole group and is for this process to act on.
        script = (
            f"import sys; sys.path = {sys.path!r}; from {__name__} import run; run()"
        )
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
        self._poll = select.poll()  # which has no bound on the number of a descriptor
        self._poll.register(self.answers, select.POLLIN)
        self.share: Share = []
        self.is_free = True
        self._is_overdue = False

    def end(self) -> int:
        """End it if it goes on, and return how it ended: its exit code, or minus the number of a signal."""
        self._process.kill()
        code = self._process.wait()
        for pipe in (self._requests, self.answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return _OVERDUE if self._is_overdue else code

    def instruct(self, instructions: Instructions) -> bool:
        """Send how the following shares are to be parsed; return whether it is there to read that."""
        return self._process.poll() is None and self._send(instructions)

    def take(self, share: Share | None) -> bool:
        """Send it a share, which it answers; return whether there was one."""
        if share is None:
            return False
        self.share = share
        self.is_free = False
        self._send(share)
        return True

    def parse(
        self, uid: str, raw_events: Sequence[RawEvent], alive: Callable[[], object]
    ) -> ParsedSeries | None:
        """Return what one UID says; None if it is gone, or does not answer for very long."""
        self.take([(uid, raw_events)])
        deadline = time.monotonic() + UID_WALL_S
        while not wait_for_any([self], LOOK_S):
            alive()
            if time.monotonic() > deadline:
                self._is_overdue = True
                return None
        found = self.answers_to_share()
        if found is None:
            self._process.wait()  # by itself, so that it is known how
            return None
        return found[0]

    def answers_to_share(self) -> Sequence[ParsedSeries] | None:
        """Return what it says of each UID of its share, None if it is gone; waits for the answer."""
        answer = self.answer()
        if answer is None:
            return None
        found: list[ParsedSeries] = pickle.loads(answer)  # noqa: S301  # from our own worker
        return found

    def _send(self, message: object) -> bool:
        """Send a message; return False if it is gone, which is also seen where it does not answer."""
        try:
            _write(self._requests, message)
        except BrokenPipeError:
            return False
        return True

    @property
    def has_answered(self) -> bool:
        """Tell whether its answer is there, or it is gone."""
        return bool(self._poll.poll(0))

    def answer(self) -> bytes | None:
        """Return the pickled answer to its share, None if it is gone."""
        with contextlib.suppress(EOFError):
            answer = _read(self.answers)
            self.is_free = True
            return answer
        return None


def wait_for_any(workers: Iterable[Worker], seconds: float) -> bool:
    """Tell whether one of these workers has answered, or is gone, within a time."""
    return _is_readable([worker.answers for worker in workers], seconds)


_Reducer: TypeAlias = Callable[[Any], tuple[Callable[..., Any], tuple[Any, ...]]]


def _by_constructor(kind: type[Any]) -> _Reducer:
    """Return what pickles a frozen value as a call with the values of all its fields.

    By itself a frozen dataclass with slots looks up its fields for each value, which takes twice as long.
    """
    names = [field.name for field in fields(kind)]
    values_of = attrgetter(*names)
    if len(names) == 1:
        return lambda value: (kind, (values_of(value),))
    return lambda value: (kind, values_of(value))


_VALUES = (
    Alarm,
    Attendee,
    Days,
    Defect,
    Inline,
    Link,
    Moment,
    Note,
    Occurrence,
    OccurrenceKey,
    ParsedSeries,
    Person,
    RawEvent,
    Timespan,
)
_REDUCERS: dict[type[Any], _Reducer] = {kind: _by_constructor(kind) for kind in _VALUES}


def _pickled(message: object) -> bytes:
    """Return a message as a pickle."""
    data = io.BytesIO()
    pickler = pickle.Pickler(data, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(message)
    return data.getvalue()


def _write(pipe: IO[bytes], message: object) -> None:
    data = _pickled(message)
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    """Return a message; raises `EOFError` when the other side is gone, in the middle of it too."""
    (length,) = _LENGTH.unpack(_read_exactly(pipe, _LENGTH.size))
    return _read_exactly(pipe, length)


def _read_exactly(pipe: IO[bytes], length: int) -> bytes:
    """Return so many bytes, also of a pipe without a buffer, which gives what is there."""
    parts: list[bytes] = []
    while length:
        part = pipe.read(length)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _is_readable(pipes: Iterable[IO[bytes]], seconds: float) -> bool:
    """Tell whether one of them has something to read, or lost its other side, within a time."""
    poll = select.poll()  # which has no bound on the number of a descriptor
    for pipe in pipes:
        poll.register(pipe, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def run() -> None:
    """Answer shares until the process that started this one is gone, or has had nothing for it for long."""
    gc.set_threshold(20_000)  # little of what parsing makes is a circle
    # Without a buffer, where what was read ahead would not be seen by the poll.
    requests = open(0, "rb", buffering=0)  # noqa: SIM115  # to the end
    answers = sys.stdout.buffer
    # Where that is forbidden, the service's own limit holds.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (UID_MEMORY, UID_MEMORY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    instructions: Instructions | None = None
    try:
        while _is_readable([requests], _IDLE_S):
            message = pickle.loads(_read(requests))  # noqa: S301  # from the process that started this one
            if isinstance(message, Instructions):
                instructions = message
                continue
            assert instructions is not None  # they always come first
            _answer(answers, message, *instructions)
    except (EOFError, BrokenPipeError):
        pass
    except MemoryError:
        os._exit(_NO_MEMORY)


def _answer(
    answers: IO[bytes], share: Share, parser: SeriesParser, window: Window
) -> None:
    """Parse and answer a share; each UID, and what is made of it to be sent, has so much CPU and no more."""
    found: list[ParsedSeries] = []
    for uid, raw_events in share:
        signal.setitimer(signal.ITIMER_PROF, UID_CPU_S)
        found.append(parse_series(uid, raw_events, parser, window))
    data = _pickled(found)
    signal.setitimer(signal.ITIMER_PROF, 0)
    answers.write(_LENGTH.pack(len(data)))
    answers.write(data)
    answers.flush()
