"""The last good configuration, for commands that look while the file has a mistake."""

from __future__ import annotations

from pathlib import Path

from syncd.assembly import ledger_address
from syncd.config import Config, State, from_kept, possible_ledgers
from syncd.errors import LedgerError
from syncd.ledger import Ledger
from syncd.ledger.operation import KEPT_CONFIGURATION


def kept_configuration(path: Path) -> Config | None:
    """Return the configuration that was in force when the file at `path` was good last; None if none is known."""
    tried: set[str] = set()
    for state in possible_ledgers(path):
        if state.url in tried:
            continue
        tried.add(state.url)
        address = ledger_address(state, path)
        try:
            with Ledger.open(address, owner=False) as ledger:
                text = ledger.facts.get(KEPT_CONFIGURATION)
        except LedgerError:
            continue  # it may be at the next place
        if text is None:
            continue
        config = from_kept(text, path)
        if config is not None:
            # By the login that found it: the text has none.
            return config.model_copy(update={"state": _reached(config, state)})
    return None


def _reached(config: Config, state: State) -> State:
    """Return the state of a configuration with the login of a place at which it was found."""
    login = {"url": state.url, "password": state.password}
    return config.state.model_copy(update=login)
