"""The wishes of persons that sources be read now, as `syncd refresh` leaves them in the ledger.

They take the way of approvals and decisions: so whoever may write the ledger may ask, without a right to send
the daemon a signal, and a wish names its sources.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Protocol

from syncd.daemon.duties import LOOK_EVERY_S
from syncd.ledger import Refresh


class RefreshStore(Protocol):
    """What keeps the wishes; see `syncd.ledger.people`."""

    def take_refreshes(
        self, sources: Collection[str] | None = None
    ) -> tuple[Refresh, ...]: ...


class Refreshes:
    """The wishes that were left since the last look; the ledger is looked at every other second."""

    def __init__(self, store: RefreshStore) -> None:
        self._store = store
        self._look_again_at_s = 0.0  # on the monotonic clock

    def take(self, sources: Collection[str] | None) -> tuple[Refresh, ...]:
        """Return the wishes that nobody has heard yet; none when it is too early to look again.

        `sources`: those about these alone; None: all.
        """
        now_s = time.monotonic()
        if now_s < self._look_again_at_s:
            return ()
        self._look_again_at_s = now_s + LOOK_EVERY_S
        return self._store.take_refreshes(sources)
