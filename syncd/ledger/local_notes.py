"""What a machine remembers of a shared ledger in its own directory: how far it had come, and the term held here.

It is written without waiting for the disk. A power cut may leave an earlier state: of that an old position
makes no difference, and an old holder is not taken for dead, because the machine was started since.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from syncd.core.leases import Holding
from syncd.core.ledger_position import Position, went_back
from syncd.ledger.address import LedgerAddress
from syncd.ledger.ownership import lock_file, place_of


@dataclass(frozen=True, slots=True)
class _Notes:
    position: Position | None = None
    lost: str = ""
    holder: str = ""
    term: str = ""
    place: str = ""


class LocalNotes:
    """The notes of the one process that holds the lock of the directory; reads them once, writes what changed.

    `predecessor` is the holding of the process that had the directory before, which is dead: its lock was free.
    None if it ended it, or where nothing proves that.
    """

    def __init__(self, address: LedgerAddress) -> None:
        """Read the notes of a shared ledger; the caller holds the lock of `address.own`."""
        self._file = address.beside(".notes")
        self._place = place_of(lock_file(address.beside("")))
        self._known = _read(self._file)
        known = self._known
        self.predecessor: Holding | None = None
        if known.holder and known.place == self._place and self._place:
            self.predecessor = known.holder, known.term

    @property
    def lost(self) -> str:
        """Return why the ledger may lack what it had, as long as that was not settled; else nothing."""
        return self._known.lost

    def compare(self, position: Position) -> str:
        """Note where the ledger is, and return why it may lack what it had; empty if it lacks nothing.

        What was found stays until `settle`.
        """
        lost = went_back(self._known.position, position) or self._known.lost
        self._write(replace(self._known, position=position, lost=lost))
        return lost

    def settle(self) -> None:
        """Note that the ledger itself remembers now what it may lack."""
        self._write(replace(self._known, lost=""))

    def note_term(self, holding: Holding | None) -> None:
        """Note which term is held here; None: none any more."""
        holder, term = holding or ("", "")
        place = self._place if holder else ""
        self._write(replace(self._known, holder=holder, term=term, place=place))

    def _write(self, notes: _Notes) -> None:
        if notes == self._known:
            return
        self._known = notes
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
        return _Notes(
            position,
            str(told["lost"]),
            str(told["holder"]),
            str(told["term"]),
            str(told["place"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return _Notes()
