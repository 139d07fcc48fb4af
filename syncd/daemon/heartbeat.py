"""The heartbeat of the daemon in the ledger, by which `status` knows whether it works, without asking systemd."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from syncd import __version__
from syncd.assembly import utc_now
from syncd.errors import LedgerError
from syncd.ledger.operation import BEAT_EVERY, DaemonRecord

_GRACE_S = 60.0  # of one step of the work; one that takes longer hangs


class BeatStore(Protocol):
    """What keeps the record of the daemon; see `syncd.ledger.operation`."""

    def note_start(self, daemon: DaemonRecord) -> None: ...
    def note_beat(self, name: str, at: datetime) -> None: ...
    def note_stop(self, name: str, at: datetime) -> None: ...


class Heartbeat:
    """Writes `every` few seconds that the daemon works, while the context lasts and the work goes on.

    A thread of its own writes, because one step of the work, such as one plan of very many meetings, may take
    longer than a beat; `lived_at_s` tells when the work was last alive, on the monotonic clock, and without
    a sign of it for a minute nothing is written.
    A beat that cannot be written is left out: whatever is wrong with the ledger, the work finds it too.
    """

    def __init__(
        self,
        store: BeatStore,
        configuration: Path,
        lived_at_s: Callable[[], float],
        every: timedelta = BEAT_EVERY,
    ) -> None:
        now = utc_now()
        self._store = store
        self._lived_at_s = lived_at_s
        self._every_s = every.total_seconds()
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, name="heartbeat", daemon=True
        )
        self._record = DaemonRecord(
            name=f"{os.uname().nodename}:{os.getpid()}",
            pid=os.getpid(),
            version=__version__,
            configuration=str(configuration),
            started_at=now,
            beat_at=now,
        )

    def __enter__(self) -> Self:
        """Record the start and begin to beat; raise `LedgerError`."""
        self._store.note_start(self._record)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop beating, and record that the daemon leaves unless an error ends it."""
        self._over.set()
        self._thread.join()
        if error is None:
            self._write(self._store.note_stop)

    def _beat(self) -> None:
        while not self._over.wait(self._every_s):
            if time.monotonic() - self._lived_at_s() < _GRACE_S:
                self._write(self._store.note_beat)

    def _write(self, note: Callable[[str, datetime], None]) -> None:
        try:
            note(self._record.name, utc_now())
        except LedgerError:
            return
