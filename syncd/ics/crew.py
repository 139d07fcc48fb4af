"""Understands many UIDs, in worker processes where that is quicker.

Nothing depends on the workers: what one of them was given and did not answer is done in this process.
They are started for one piece of work and end with it, or with this process, however that ends.
Each has one small share of the work at a time, which bounds what is in memory.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any, TypeAlias

from syncd.core.occurrence import Window
from syncd.ics.pieces import Piece
from syncd.ics.understanding import Understanding, Understood

_Share: TypeAlias = list[tuple[str, Sequence[Piece]]]

WORTH_A_CREW = 1_500
"""UIDs from which on workers are quicker; to start them takes as long as understanding some hundred."""

_SHARE = 100
_LENGTH = struct.Struct("<Q")


def understand_all(
    work: Mapping[str, Sequence[Piece]],
    understanding: Understanding,
    window: Window,
    *,
    workers: int | None = None,
) -> Iterator[Understood]:
    """What each UID says, in any order.

    `workers` None: one for each core, none if there is little to do or only one core; 0: none.
    """
    if workers is None:
        cores = len(os.sched_getaffinity(0))
        workers = cores if cores > 1 and len(work) >= WORTH_A_CREW else 0
    if not workers:
        for uid, pieces in work.items():
            yield understanding.of(uid, pieces, window)
        return
    for share, answer in _shared_out(_shares(work), workers, (understanding, window)):
        if answer is not None:
            yield from answer
        else:
            yield from (understanding.of(uid, pieces, window) for uid, pieces in share)


def _shares(work: Mapping[str, Sequence[Piece]]) -> Iterator[_Share]:
    rest = iter(work.items())
    while share := list(islice(rest, _SHARE)):
        yield share


def _shared_out(
    shares: Iterator[_Share], workers: int, instructions: tuple[Understanding, Window]
) -> Iterator[tuple[_Share, list[Understood] | None]]:
    """Each share with its answer, None where the worker that had it is gone."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as busy:
        with contextlib.suppress(OSError):  # no process more is to be had: fewer do, or none
            for _ in range(workers):
                worker = stack.enter_context(_Worker())
                busy.register(worker.answers, selectors.EVENT_READ, worker)
        for key in list(busy.get_map().values()):
            key.data.send(instructions)
            if not key.data.take(next(shares, None)):
                busy.unregister(key.fileobj)
        while busy.get_map():
            for key, _ in busy.select():
                share, answer = key.data.share, key.data.answer()
                # Before anything is made of the answer, so that the worker does not wait for that.
                if answer is None or not key.data.take(next(shares, None)):
                    busy.unregister(key.fileobj)
                yield share, None if answer is None else pickle.loads(answer)  # noqa: S301  # our own worker's
        yield from ((share, None) for share in shares)  # all workers are gone


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

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self.answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def take(self, share: _Share | None) -> bool:
        """Give it a share, if there is one; it answers, or its answer is None."""
        if share is None:
            return False
        self.share = share
        self.send(share)
        return True

    def send(self, message: object) -> None:
        """Give it what it is to know; that it is gone is seen where it does not answer."""
        with contextlib.suppress(BrokenPipeError):
            _write(self._requests, message)

    def answer(self) -> bytes | None:
        """What it made of its share, None if it is gone."""
        with contextlib.suppress(EOFError):
            return _read(self.answers)
        return None


def _write(pipe: IO[bytes], message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    """Raises `EOFError` when the other side is gone, in the middle of a message too."""
    head = pipe.read(_LENGTH.size)
    if len(head) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        data = pipe.read(length)
        if len(data) == length:
            return data
    raise EOFError


def work() -> None:
    """What a worker does until the process that started it has no more for it, or is gone."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError, BrokenPipeError):
        understanding, window = _received(requests)
        while True:
            share: _Share = _received(requests)
            _write(answers, [understanding.of(uid, pieces, window) for uid, pieces in share])


def _received(pipe: IO[bytes]) -> Any:
    return pickle.loads(_read(pipe))  # noqa: S301  # from the process that started this one
