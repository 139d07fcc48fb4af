"""How long it takes from a change of a calendar until the API has it; known to this process alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from syncd.ledger.measurements import HistogramName, Measurements

_MOST = 10_000  # UIDs; of a flood the first ones tell enough


class ChangeLatency:
    """The UIDs whose events changed and are not booked as they are now, with the moment of the change."""

    def __init__(self, measurements: Measurements) -> None:
        self._measurements = measurements
        # By UID: the kind of its source, and when the calendar changed.
        self._changed: dict[str, tuple[str, datetime]] = {}

    def note(self, uids: Iterable[str], kind: str, changed_at: datetime) -> None:
        """Note that a source of a kind says something new of these UIDs since a moment."""
        for uid in uids:
            if len(self._changed) >= _MOST:
                return
            self._changed.setdefault(uid, (kind, changed_at))

    def measure(self, uid: str, now: datetime) -> None:
        """Measure how long a change took that was made in the API now; nothing if no calendar changed."""
        known = self._changed.get(uid)
        if known is None:
            return
        kind, changed_at = known
        # A file server may have another clock.
        seconds = max(0.0, (now - changed_at).total_seconds())
        self._measurements.observe(HistogramName.CHANGE_TO_BOOKING, seconds, kind)

    def keep(self, uids: Collection[str]) -> None:
        """Forget all but these UIDs: what else was changed is booked, or waits for something else than us."""
        if not self._changed:
            return
        kept = self._changed.keys() & set(uids)
        self._changed = {uid: self._changed[uid] for uid in kept}
