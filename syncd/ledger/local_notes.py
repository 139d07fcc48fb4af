"""What a machine remembers of a shared ledger in its own directory: how far it had come, and who was here.

It is written without waiting for the disk. A power cut may leave an earlier state: of that an old position
makes no difference, and nobody is taken for dead by it, because the machine was started since.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from syncd.core.ledger_position import Position, went_back
from syncd.ledger.address import LedgerAddress
from syncd.ledger.ownership import lock_file, place_of

_MOST_HOLDERS = 20


@dataclass(frozen=True, slots=True)
class _Notes:
    position: Position | None = None
    lost: str = ""
    holders: tuple[str, ...] = ()
    place: str = ""


class LocalNotes:
    """The notes of the one process that holds the lock of the directory; reads them once, writes what changed.

    May be used from several threads.
    `dead` are the holders that were here before it: they are dead, because the lock was free. Where nothing
    proves that there are none.
    """

    def __init__(self, address: LedgerAddress) -> None:
        """Read the notes of a shared ledger; the caller holds the lock of `address.own`."""
        self._lock = threading.RLock()
        self._file = address.beside(".notes")
        self._place = place_of(lock_file(address.beside("")))
        self._known = _read(self._file)
        known = self._known
        is_of_here = bool(self._place) and known.place == self._place
        self.dead = frozenset(known.holders if is_of_here else ())

    @property
    def lost(self) -> str:
        """Return why the ledger may lack what it had, as long as that was not settled; else nothing."""
        return self._known.lost

    def compare(self, position: Position) -> str:
        """Note where the ledger is, and return why it may lack what it had; empty if it lacks nothing.

        What was found stays until `settle`.
        """
        with self._lock:
            lost = went_back(self._known.position, position) or self._known.lost
            self._note(position=position, lost=lost)
        return lost

    def settle(self) -> None:
        """Note that the ledger itself remembers now what it may lack."""
        self._note(lost="")

    def note_taking(self, holder: str) -> None:
        """Note, before it is done, that a holder of here takes the lease; those before it may have it yet."""
        with self._lock:
            before = [each for each in self._known.holders if each in self.dead]
            holders = (*before[-_MOST_HOLDERS:], holder)
            self._note(holders=holders, place=self._place)

    def note_holder(self, holder: str | None) -> None:
        """Note that a holder of here has the lease, so that nobody before it has; None: nobody of here has it."""
        holders = () if holder is None else (holder,)
        self._note(holders=holders, place=self._place)

    def _note(self, **changes: Any) -> None:
        """Write what changed."""
        with self._lock:
            notes = replace(self._known, **changes)
            if notes != self._known:
                self._known = notes
                self._write(notes)

    def _write(self, notes: _Notes) -> None:
        made = self._file.with_name(self._file.name + ".new")
        # A full disk: what is not noted makes the next start look, or wait.
        with contextlib.suppress(OSError):
            descriptor = os.open(
                made,
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW,
                0o600,
            )
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(notes), file)
            made.replace(self._file)


def _read(file: Path) -> _Notes:
    """Return what is noted; nothing where there are no notes, or none that make sense."""
    try:
        told = json.loads(file.read_text("utf-8"))
        position = told["position"]
        if position is not None:
            position = Position(
                str(position["system"]),
                str(position["timeline"]),
                int(position["progress"]),
            )
        holders = tuple(map(str, told["holders"]))
        return _Notes(position, str(told["lost"]), holders, str(told["place"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _Notes()
