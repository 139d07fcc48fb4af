"""Removes what is no longer needed: published attachments, and what the ledger has of long ago."""

from __future__ import annotations

from datetime import datetime, timedelta

from syncd.apply.publish import remove_unneeded
from syncd.core.changes import Mode, Plan
from syncd.core.settings import Settings
from syncd.ledger.facts import PRUNED_ON
from syncd.reconciler.ports import Ledger

_SEEN_FOR = timedelta(days=2)
"""So long after its end a reservation is in no list any more by which the API is searched for a mark."""


class Upkeep:
    """The upkeep of one process, after its cycles."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._looked_at_attachments = False

    def remove_attachments(self, plan: Plan) -> None:
        """Remove published attachments that nobody needs: when something changed, and once at the start."""
        settings = self._settings
        if settings.mode is Mode.OBSERVE:
            return
        is_changed = plan.changes or plan.closed
        if self._looked_at_attachments and not is_changed:
            return
        self._looked_at_attachments = True
        remove_unneeded(
            self._ledger.published, settings.publish_dir, settings.publish_mode
        )

    def prune_once_a_day(self, now: datetime) -> None:
        """Forget what is long over: the ledger of a service that runs for years must not grow for years."""
        today = now.date()
        if self._ledger.facts.get(PRUNED_ON) == today:
            return
        before = now - self._settings.retention
        self._ledger.prune(before, unseen_before=now - _SEEN_FOR)
        self._ledger.facts.set(PRUNED_ON, today)
