"""Answers that take long, such as the plan over all meetings, made by a process of their own.

Threads of one process take turns, so a plan of some seconds on the thread of the page would take as many from
a cycle, and the memory that it needs would stay with the daemon. The process reads the ledger, as any command
beside the daemon does, gives way to everything else on the machine, and ends.

Promises: one process at a time, and none for what was asked a moment ago; what was made is given again while
nothing was done since, or as long as a new one would take more than its share of the processor.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import NoReturn, TypeVar

import structlog

from syncd.assembly import open_ledger
from syncd.errors import LedgerError
from syncd.log import defect_of
from syncd.views.catalogue import phrase
from syncd.web.answers import FRONT, Trouble, trouble_of
from syncd.web.asked import Asked

log = structlog.get_logger(__name__)

T = TypeVar("T")

_PATIENCE_S = 120.0
_CHEAP_S = 0.5  # what costs less is made anew whenever anything was done
# So that it takes a tenth of a processor at most, beside its start.
_TIMES_ITS_COST = 10
_LONGEST_KEPT_S = 300.0  # meetings begin and end although nothing is done
_NICE = 10

_GIVEN_UP = Trouble(
    phrase("error.not_now"),
    phrase("error.given_up", seconds=round(_PATIENCE_S)),
    FRONT,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_ENDED = Trouble(
    phrase("error.not_now"),
    phrase("error.ended"),
    FRONT,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer with what it rests on, when it was made on the monotonic clock, and what that cost."""

    answer: object
    basis: object
    made_at_s: float
    cost_s: float

    def serves(self, basis: object) -> bool:
        """Tell whether it may be given once more."""
        age_s = time.monotonic() - self.made_at_s
        if self.basis == basis:
            return age_s < _LONGEST_KEPT_S
        is_cheap = self.cost_s < _CHEAP_S
        return not is_cheap and age_s < self.cost_s * _TIMES_ITS_COST


class AsideAnswers:
    """What other processes answered; one question at a time, by its function, address and query."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._kept: dict[object, _Kept] = {}

    async def of(
        self, function: Callable[[Asked], T], asked: Asked, basis: object
    ) -> T | Trouble:
        """Return what a function of a module answers, or what is to be shown of its error.

        `basis` is equal while nothing that counts has changed.
        """
        parameters = tuple(sorted(asked.parameters.items()))
        question = (function, parameters, tuple(sorted(asked.query.items())))
        async with self._turn:
            kept = self._kept.get(question)
            if kept is not None and kept.serves(basis):
                found: T = kept.answer  # type: ignore[assignment]  # what this function answered
                return found
            answer, cost_s = await _ask(function, asked)
            if not isinstance(answer, Trouble):
                # Of a page, its document and its file that of the last moment each.
                self._kept = {
                    other: one for other, one in self._kept.items() if one.serves(basis)
                }
                self._kept[question] = _Kept(answer, basis, time.monotonic(), cost_s)
            return answer


async def _ask(
    function: Callable[[Asked], T], asked: Asked
) -> tuple[T | Trouble, float]:
    """Have another process call a function; return also how many seconds of the processor that cost."""
    alone = replace(asked, open_ledger=_no_ledger)
    script = (
        f"import sys; sys.path = {sys.path!r}; from {__name__} import answer; answer()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        # In a group of its own, because Ctrl-C goes to a whole group and is for the daemon to act on.
        process_group=0,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            told, _ = await process.communicate(pickle.dumps((function, alone)))
    except TimeoutError:
        return _GIVEN_UP, 0.0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not told:
        return _ENDED, 0.0
    found, defect, cost_s = pickle.loads(told)  # noqa: S301  # by a process of ours
    if defect:
        log.critical("defect of syncd; please report this line", **defect)
    return found, cost_s


def _no_ledger() -> NoReturn:
    """Refuse to open a ledger where a question is only handed on."""
    raise LedgerError("The ledger is opened by the process that answers.")


def answer() -> None:
    """Answer the question on standard input, on standard output, as the process that was started for it."""
    os.nice(_NICE)
    output = os.dup(1)
    os.dup2(2, 1)  # whatever else is written there
    function, asked = pickle.load(sys.stdin.buffer)  # noqa: S301  # by the daemon
    found: object
    defect: dict[str, object] = {}
    began_s = time.process_time()
    try:
        with open_ledger(asked.config, owner=False) as ledger:
            found = function(replace(asked, open_ledger=lambda: ledger))
    except Exception as error:  # whoever asked is told
        found = trouble_of(error)
        if found.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            defect = defect_of(error)
    with open(output, "wb") as written:  # noqa: PTH123  # a descriptor
        pickle.dump((found, defect, time.process_time() - began_s), written)
