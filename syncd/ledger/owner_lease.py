"""The exclusive ownership of a ledger that several machines share: a row that its owner renews.

It needs no connection that stays open, so it passes a pooler. Its time is that of the database alone.
Promises: once another one has taken it, nothing of the former owner is committed any more (`fence`); an owner
that was killed is followed at once on its own machine, elsewhere as soon as its time is over.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from secrets import token_hex

import structlog
from sqlalchemy import Connection, text

from syncd.errors import LedgerError, LedgerLocked, TermOver
from syncd.ledger.ownership import locked_by

log = structlog.get_logger(__name__)

_LASTS_S, _RENEWED_EVERY_S = 30, 5.0
_LAST_RENEWAL_S = 10.0  # that a close waits for

# First the lock, then the look at the clock: a statement that waits for a lock has read the clock before.
_LOCK = text("SELECT 1 FROM leases WHERE name = 'owner' FOR UPDATE")
_OWNER = text(
    "SELECT told, place, expires_at > clock_timestamp() AS lives FROM leases WHERE name = 'owner'"
)
_TAKE = text(
    "UPDATE leases SET holder = :holder, told = :told, place = :place, "
    "expires_at = clock_timestamp() + :lasts * interval '1 second' WHERE name = 'owner'"
).bindparams(lasts=_LASTS_S)
# It does not wait for transactions that passed the fence; only taking it does.
_RENEW = text(
    "UPDATE leases SET expires_at = clock_timestamp() + :lasts * interval '1 second' "
    "WHERE name = 'owner' AND holder = :holder"
).bindparams(lasts=_LASTS_S)
_FENCE = text(
    "SELECT 1 FROM leases WHERE name = 'owner' AND holder = :holder FOR KEY SHARE"
)
_END = text(
    "UPDATE leases SET expires_at = clock_timestamp() WHERE name = 'owner' AND holder = :holder"
)

Writing = Callable[[], AbstractContextManager[Connection]]


class OwnerLease:
    """The ownership of one process, from `take` to `give_up`; `writing` begins a transaction without fence.

    `place` is where only one process at a time can be, and this one is: an owner of there that did not end
    its ownership is dead.
    """

    def __init__(self, writing: Writing, where: str, place: str) -> None:
        self._writing = writing
        self._where = where
        self._place = place
        self._holder = token_hex(16)
        self._is_taken = False
        self._over = threading.Event()
        self._renewal = threading.Thread(
            target=self._renew, name="ledger owner", daemon=True
        )

    def take(self) -> None:
        """Become the owner, unless this is it already; raises `LedgerLocked` naming another one that lives."""
        if self._is_taken:
            return
        with self._writing() as connection:
            connection.execute(_LOCK)
            owner = connection.execute(_OWNER).one()
            was_here = self._place != "" and owner.place == self._place
            if owner.lives and not was_here:
                raise self._locked(owner.told)
            told = f"Process {os.getpid()} on {socket.gethostname()}"
            mine = {"holder": self._holder, "told": told, "place": self._place}
            connection.execute(_TAKE, mine)
        self._is_taken = True
        self._renewal.start()

    def _locked(self, told: str) -> LedgerLocked:
        locked = locked_by(told, self._where)
        return LedgerLocked(
            f"{locked} If it was killed or its machine is gone, the ledger is free within {_LASTS_S} seconds."
        )

    def fence(self, connection: Connection) -> None:
        """Let nobody else take it until the end of a transaction; raises `TermOver` if somebody has."""
        if not self._is_taken:
            return
        if connection.execute(_FENCE, {"holder": self._holder}).first() is None:
            raise TermOver(
                f"Another process took over the ledger {self._where} while this one was held up or cut off "
                "from it: nothing more is written; `syncd status` shows what was done since."
            )

    def give_up(self) -> None:
        """Let the next owner begin at once; giving up twice does no harm."""
        if not self._is_taken or self._over.is_set():
            return
        self._over.set()
        self._renewal.join(_LAST_RENEWAL_S)
        try:
            with self._writing() as connection:
                connection.execute(_END, {"holder": self._holder})
        except LedgerError as error:
            log.debug("ownership of the ledger ends by itself", error=str(error))

    def _renew(self) -> None:
        while not self._over.wait(_RENEWED_EVERY_S):
            try:
                with self._writing() as connection:
                    renewed = connection.execute(_RENEW, {"holder": self._holder})
                if not renewed.rowcount:
                    return  # the next write is told
            except LedgerError as error:
                # Nothing is lost by it: if another one takes it, the fence tells.
                log.debug("ownership of the ledger is not renewed", error=str(error))
