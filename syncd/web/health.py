"""`/healthz` and `/readyz`: whether the work loop makes progress, and what the daemon still waits for."""

from __future__ import annotations

from syncd.core.amounts import some
from syncd.errors import LedgerError
from syncd.web.asked import Asked, Present


def health_told(present: Present) -> tuple[bool, str]:
    """Return whether the work loop makes progress, and that in one word."""
    if present.is_stuck:
        return False, "stuck"
    return True, "ok"


def readiness_told(asked: Asked) -> tuple[bool, str]:
    """Return whether the ledger and a first look at every source are there, or what is missing.

    A configuration is there as soon as anything is served: the last good one, if the file has a mistake.
    """
    missing: list[str] = []
    try:
        records = asked.ledger.sources.all()
    except LedgerError:
        missing.append("ledger")
    else:
        names = asked.config.source_names
        unread = len(names.difference(records))
        if unread:
            missing.append(f"first look at {some(unread, 'source')}")
    if missing:
        return False, f"missing: {', '.join(missing)}"
    return True, "ready"
