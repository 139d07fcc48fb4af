"""Where in the history of a database a ledger is, so that one that was put back is told from one that went on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A point in the history of a shared ledger.

    `system` names the cluster and `timeline` its branch, which a promotion and a recovery to a moment change;
    both are empty where the server does not tell. `progress` is the number of the latest line of the ledger's own
    history, 0 if there is none.
    """

    system: str
    timeline: str
    progress: int


def went_back(known: Position | None, now: Position) -> str | None:
    """Return why a ledger may lack what it had, as a sentence; None if it has all that was known.

    `known` is the position that was seen last, None if none ever was.
    """
    if known is None:
        return None
    if _differ(known.system, now.system):
        return "The ledger is in another database cluster than before."
    if _differ(known.timeline, now.timeline):
        return (
            f"The database goes on from another point of its history (timeline {now.timeline} after "
            f"{known.timeline}): a standby was promoted, or a backup was put back."
        )
    if now.progress < known.progress:
        return (
            f"The ledger knows {known.progress - now.progress} steps less than before: an older state of it "
            "was put back."
        )
    return None


def _differ(known: str, now: str) -> bool:
    """Tell whether two names are given and are not the same."""
    return bool(known and now) and known != now
