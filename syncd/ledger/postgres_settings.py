"""Which settings of a PostgreSQL server would lose what it said is recorded, each with its cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from syncd.errors import LedgerAway, LedgerUnfit
from syncd.ledger.address import LedgerAddress

_LEAST_VERSION = 14
_SETTINGS = text(
    "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit, "
    "current_setting('synchronous_standby_names') AS standbys, pg_is_in_recovery() AS is_standby, "
    "current_setting('server_encoding') AS encoding, "
    "current_setting('server_version_num')::integer / 10000 AS version, "
    "(SELECT count(*) FROM pg_stat_replication) AS connected, pg_backend_pid() AS pid"
)

_LOST_IN_A_CRASH = ("off", "local")
_AT_THE_STANDBY = ("on", "remote_apply")
_NAME_THE_PRIMARY = (
    "name the primary in state.url, or all hosts (?host=a:5432&host=b:5432)"
)


@dataclass(frozen=True, slots=True)
class ServerAbout:
    """What the server of a ledger is, as far as it matters; a text for people.

    `standbys` are the synchronous ones by the setting, `connected` is how many standbys follow it now.
    """

    version: int
    synchronous_commit: str
    standbys: str
    connected: int
    is_pooled: bool

    def __str__(self) -> str:
        pooled = " behind a pooler" if self.is_pooled else ""
        standbys = self.standbys or "none"
        follow = "1 follows" if self.connected == 1 else f"{self.connected} follow"
        return (
            f"PostgreSQL {self.version}{pooled}, synchronous_commit = {self.synchronous_commit}, "
            f"synchronous standbys: {standbys}; {follow} it"
        )


def require_fit(connection: Connection, address: LedgerAddress) -> ServerAbout:
    """Raise `LedgerUnfit` for a server that is not fit for a ledger; return what it is."""
    found = connection.execute(_SETTINGS).one()
    if found.version < _LEAST_VERSION:
        raise _unfit(
            address,
            f"is of PostgreSQL {found.version}",
            f"upgrade it to {_LEAST_VERSION} or later",
        )
    if found.encoding != "UTF8":
        raise _unfit(
            address,
            f"has the encoding {found.encoding}",
            "create it with ENCODING 'UTF8' TEMPLATE template0",
        )
    if found.fsync != "on":
        raise _unfit(
            address, "may be lost in a power cut (fsync = off)", "set fsync = on"
        )
    if found.is_standby:
        raise _unfit(
            address, "is on a standby, which takes no writes", _NAME_THE_PRIMARY
        )
    require_safe_commit(found, address)
    return ServerAbout(
        version=found.version,
        synchronous_commit=found.synchronous_commit,
        standbys=found.standbys,
        connected=found.connected,
        is_pooled=_process_told(connection) != found.pid,
    )


def _process_told(connection: Connection) -> int:
    """Return which process of the server we are connected to, as that said at the login; a pooler invents one."""
    driver: Any = connection.connection.driver_connection
    return int(driver.info.backend_pid)


def require_safe_commit(found: Row[Any], address: LedgerAddress) -> None:
    """Raise `LedgerUnfit` when a transaction could be lost that was committed, `LedgerAway` at a standby.

    `found` has `synchronous_commit`, `standbys` and `is_standby`.
    """
    if (
        found.is_standby
    ):  # which it was not at the start: another one may become the primary
        raise LedgerAway(
            f"The ledger {address.name} has become a standby, which takes no writes: {_NAME_THE_PRIMARY}."
        )
    if found.synchronous_commit in _LOST_IN_A_CRASH:
        raise _unfit(
            address,
            f"does not wait until it is on disk (synchronous_commit = {found.synchronous_commit})",
            "set synchronous_commit = on, also for the role and for the database (ALTER ROLE … RESET "
            "synchronous_commit)",
        )
    if address.durability != "replicated":
        return
    if not found.standbys:
        raise _unfit(
            address,
            'has no synchronous standby, and state.durability is "replicated"',
            'set synchronous_standby_names, or state.durability = "local"',
        )
    if found.synchronous_commit not in _AT_THE_STANDBY:
        raise _unfit(
            address,
            "does not wait until the standby has it on disk (synchronous_commit = "
            f"{found.synchronous_commit})",
            'set synchronous_commit = on, or state.durability = "local"',
        )


def _unfit(address: LedgerAddress, what: str, cure: str) -> LedgerUnfit:
    return LedgerUnfit(f"The ledger {address.name} {what}: {cure}.")
