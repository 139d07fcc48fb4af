"""The count of calls on a shared ledger: recorded before they leave, so that a take-over finds all of them."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime

from sqlalchemy import func, select, text

from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.gate import Calls, add_calls, month_of

_BLOCK = 10
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7310019)")


class PaidCalls(Calls):
    """The calls to the API; they are counted in blocks, each on disk before the first call of it leaves.

    So what is stored is never less than what was made; a kill leaves a block for each method too many.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database
        self._paying = threading.Lock()
        self._left: Counter[tuple[str, str]] = Counter()  # of the blocks

    def count(self, method: str, at: datetime, within: int | None = None) -> bool:
        """Count one call; return False, and do not, if `within` are used up. Raises `LedgerError`."""
        key = (month_of(at), method)
        with self._paying:
            if not self._left[key] and not self._pay(key, within):
                return False
            self._left[key] -= 1
        return True

    def in_month(self, at: datetime) -> int:
        """Return how many calls were made in the calendar month of a moment, by whichever process."""
        month = month_of(at)
        with self._paying:
            number = super().in_month(at)
            for (paid_in, _), left in self._left.items():
                if paid_in == month:
                    number -= left
        return number

    def give_back(self) -> None:
        """Take off with the next write what is paid for and was not used."""
        with self._paying:
            for (month, method), left in self._left.items():
                if left:
                    self.add(month, method, -left)
            self._left.clear()

    def _pay(self, key: tuple[str, str], within: int | None) -> bool:
        """Record a block of calls of a method, a smaller one where no more are left; return whether it did."""
        month, _ = key
        returned: Counter[tuple[str, str]] = Counter()
        c = tables.calls.c
        made = select(func.coalesce(func.sum(c.count), 0)).where(c.month == month)
        with self._database.writing() as connection:
            connection.execute(_ONE_AT_A_TIME)
            block = _BLOCK
            if within is not None:
                left = within - int(connection.execute(made).scalar_one())
                if left < 1:
                    # What is paid for other methods may be used for this one.
                    returned = Counter(self._paid_in(month))
                    left += returned.total()
                block = min(_BLOCK, left)
            if block < 1:
                return False
            lines = Counter({key: block})
            lines.subtract(returned)
            add_calls(connection, lines)
        self._left.subtract(returned)
        self._left[key] += block
        return True

    def _paid_in(self, month: str) -> dict[tuple[str, str], int]:
        return {key: left for key, left in self._left.items() if key[0] == month}
