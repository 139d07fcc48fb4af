"""The last good configuration, for commands that look while the file has a mistake."""

from __future__ import annotations

from pathlib import Path

from syncd.config import Config, from_kept, possible_ledgers
from syncd.errors import LedgerError
from syncd.ledger import Ledger
from syncd.ledger.operation import KEPT_CONFIGURATION


def kept_configuration(path: Path) -> Config | None:
    """Return the configuration that was in force when the file at `path` was good last; None if none is known."""
    for url in dict.fromkeys(possible_ledgers(path)):
        try:
            with Ledger.open(url, owner=False) as ledger:
                text = ledger.facts.get(KEPT_CONFIGURATION)
        except LedgerError:
            continue  # it may be at the next place
        if text is None:
            continue
        config = from_kept(text, path)
        if config is not None:
            return config
    return None
