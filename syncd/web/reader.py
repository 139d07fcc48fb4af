"""The read-only handle on the ledger, on the one thread that looks into it for the page.

Promises: however many ask, one question is answered at a time, so the page takes no more than its share of the
processor from a cycle; a ledger that was replaced is opened anew.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from syncd.errors import LedgerError
from syncd.ledger import Ledger
from syncd.ledger.files import file_of, has_bytes

T = TypeVar("T")

_PATIENCE_S = (
    1.0  # with a ledger that another program keeps locked; the client may ask again
)


class LedgerReader:
    """The thread that looks into the ledger at a database URL, with its handle."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._ledger: Ledger | None = None
        self._identity: tuple[int, int] | None = None

    def submit(self, question: Callable[[], T]) -> Future[T]:
        """Have a question answered on the thread; it may use `ledger` there."""
        return self._thread.submit(self._ask, question)

    def ledger(self) -> Ledger:
        """Return the ledger as it is now; raises `LedgerError` for one that is not there or of another version."""
        file = file_of(self._url)
        if not has_bytes(file):
            self._let_go()
            raise LedgerError(
                f"The ledger {file} is not there yet: the daemon makes it when it starts."
            )
        found = file.stat()
        identity = (found.st_dev, found.st_ino)
        if identity != self._identity:
            self._let_go()
        if self._ledger is None:
            self._ledger = Ledger.open(self._url, owner=False, patience_s=_PATIENCE_S)
            self._identity = identity
        return self._ledger

    def close(self) -> None:
        """End the thread and close the ledger."""
        self._thread.submit(self._let_go)
        self._thread.shutdown(wait=True)

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except LedgerError:
            self._let_go()  # whatever is wrong with it, it is opened anew the next time
            raise

    def _let_go(self) -> None:
        ledger = self._ledger
        self._ledger = None
        self._identity = None
        if ledger is not None:
            ledger.close()
