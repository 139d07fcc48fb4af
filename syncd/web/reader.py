"""The read-only handle on the ledger, on the one thread that looks into it for the page.

Promises: however many ask, one question is answered at a time, with a rest after each that is three times as
long as its work, so that a cycle has the processor for most of the time; a ledger that was replaced is opened
anew; whoever ends it does not wait for long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from syncd.errors import LedgerError
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.files import has_bytes

T = TypeVar("T")

_PATIENCE_S = (
    1.0  # with a ledger that another program keeps locked; the client may ask again
)
_LAST_ANSWER_S = 2.0
_TIMES_ITS_WORK = 3
_LONGEST_REST_S = 1.0


class LedgerReader:
    """The thread that looks into the ledger at an address, with its handle, until `close`."""

    def __init__(self, address: str | LedgerAddress) -> None:
        self._address = LedgerAddress.of(address)
        self._asked: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._ledger: Ledger | None = None
        self._identity: tuple[int, int] | None = None
        self._is_sure = False  # of its version, while one question is answered
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def submit(self, question: Callable[[], T]) -> Future[T]:
        """Have a question answered on the thread; it may use `ledger` there."""
        future: Future[T] = Future()

        def answer() -> None:
            if not future.set_running_or_notify_cancel():
                return  # whoever asked is gone
            try:
                future.set_result(question())
            except LedgerError as error:
                self._let_go()  # whatever is wrong with it, it is opened anew the next time
                future.set_exception(error)
            except BaseException as error:  # whoever asked is told
                future.set_exception(error)

        self._asked.put(answer)
        return future

    def ledger(self) -> Ledger:
        """Return the ledger as it is now; raises `LedgerError` for one that is missing or of another version."""
        identity = self._found()
        if identity != self._identity:
            self._let_go()
        known = self._ledger
        if known is not None and not (self._is_sure or known.is_of_this_version()):
            self._let_go()
        if self._ledger is None:
            self._ledger = Ledger.open(
                self._address, owner=False, patience_s=_PATIENCE_S
            )
            self._identity = identity
        self._is_sure = True
        return self._ledger

    def _found(self) -> tuple[int, int] | None:
        """Return what tells the file of the ledger from others, None if it is none; raises `LedgerError`."""
        file = self._address.file
        if file is None:
            return None
        if not has_bytes(file):
            self._let_go()
            raise LedgerError(
                f"The ledger {file} is not there: the daemon makes it at its start."
            )
        found = file.stat()
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """End the thread and close the ledger; an answer that takes longer is left behind."""
        self._asked.put(None)
        self._thread.join(_LAST_ANSWER_S)

    def _run(self) -> None:
        while True:
            question = self._asked.get()
            if question is None:
                break
            self._is_sure = False
            began_s = time.thread_time()
            question()
            worked_s = time.thread_time() - began_s
            time.sleep(min(worked_s * _TIMES_ITS_WORK, _LONGEST_REST_S))
        self._let_go()

    def _let_go(self) -> None:
        ledger = self._ledger
        self._ledger = None
        self._identity = None
        if ledger is not None:
            ledger.close()
