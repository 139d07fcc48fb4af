"""The fence before each writing transaction of a term on a shared ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from sqlalchemy import Connection, text

from syncd.core.leases import Holding
from syncd.errors import TermOver

# Held until the commit: a taking of the lease waits for it, a renewal does not.
_HOLDS = text(
    "SELECT expires_at > clock_timestamp() AS lasts, "
    "CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline "
    "FROM leases WHERE name = :lease AND holder = :holder AND term = :term FOR KEY SHARE"
)

_FOLLOWED = (
    "Another process took over the ledger while this one was held up or cut off from it: nothing more is "
    "recorded or sent; `syncd status` shows who writes now."
)
_RAN_OUT = (
    "The lease of this process ran out, because it could not renew it in time: nothing more is sent until it "
    "holds it again."
)
_PUT_BACK = (
    "The database of the ledger was put back or its standby promoted, so what was recorded last may be lost: "
    "nothing more is sent until the API was asked what is booked."
)


class Fence:
    """What keeps a process whose term is over from writing; an object of one term.

    `timeline` is the branch of the database's history on which the term began; empty: not told.
    `refused` is called when something is kept from being written.
    """

    def __init__(
        self,
        lease: str,
        holding: Holding,
        timeline: str = "",
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        holder, term = holding
        self._mine = {"lease": lease, "holder": holder, "term": term}
        self._timeline = timeline
        self._refused = refused

    def require(self, connection: Connection, *, asks: bool) -> None:
        """Let nobody else take the lease until the end of a transaction; raise `TermOver` if it is not held.

        `asks`: what is written is the intent of a request, so the lease must last yet.
        """
        found = connection.execute(_HOLDS, self._mine).first()
        if found is None:
            self._refuse(_FOLLOWED)
        if self._timeline not in ("", found.timeline):
            self._refuse(_PUT_BACK)
        if asks and not found.lasts:
            self._refuse(_RAN_OUT)

    def _refuse(self, sentence: str) -> NoReturn:
        self._refused()
        raise TermOver(sentence)
