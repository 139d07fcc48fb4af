"""An office whose cycles are looked at by a teller, on a clock that the test sets; nothing is delivered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from syncd.config import load
from syncd.ledger import Ledger
from syncd.notices.teller import Teller
from syncd.reconciler import CycleReport, Reconciler
from tests.conftest import Office
from tests.end_to_end.killed import Clock, at_work

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Telling:
    """A teller over the ledger of an office."""

    def __init__(self, office: Office, clock: Clock, reconciler: Reconciler) -> None:
        self.office = office
        self.clock = clock
        self.reconciler = reconciler
        ledger = reconciler._ledger
        assert isinstance(ledger, Ledger)
        self.ledger = ledger
        self.teller = self.another()

    def another(self) -> Teller:
        """A teller as after a restart: it knows what the ledger knows."""
        return Teller(self.ledger, load(self.office.folder / "syncd.toml"), self.clock)

    def cycle(self, after: timedelta = MINUTE) -> CycleReport:
        """Run a cycle after a time, and look."""
        self.clock.later += after
        report = self.reconciler.cycle()
        self.teller.note_cycle(goes_on=report.left > 0)
        self.teller.look()
        return report

    def look(self, after: timedelta = MINUTE, *problems: str) -> None:
        """Look after a time, without a cycle."""
        self.clock.later += after
        self.teller.look(problems)

    def take_told(self) -> list[Any]:
        """The notices since the last time, the first one first."""
        told: list[Any] = []
        for pending in self.ledger.notices.pending("command"):
            told.append(json.loads(pending.notice.body))
            self.ledger.notices.note_arrived(pending.row, "command")
        return told

    def take_types(self) -> list[str]:
        """The types of these."""
        return [document["type"] for document in self.take_told()]


@contextmanager
def telling(office: Office, more: str = "") -> Iterator[Telling]:
    """A teller for an office, with `more` lines in its `[notices]`."""
    office.change(("[calendar]", f'[notices]\ncommand = ["true"]\n{more}\n[calendar]'))
    clock = Clock()
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        yield Telling(office, clock, reconciler)
