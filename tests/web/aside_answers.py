"""Functions that another process calls for a page."""

from __future__ import annotations

import os
import signal

from syncd.web.asked import Asked


def process_id(_asked: Asked) -> int:
    """The process that answers."""
    return os.getpid()


def sources(asked: Asked) -> tuple[str, ...]:
    """What the ledger and the configuration say there, as they are given."""
    assert not asked.ledger.bookings.all()
    return tuple(source.name for source in asked.config.sources)


def killed(_asked: Asked) -> None:
    """Nothing: the process is killed in the middle of its work."""
    os.kill(os.getpid(), signal.SIGKILL)


def defective(_asked: Asked) -> None:
    """Nothing: it meets what nobody foresaw."""
    raise RuntimeError("a topic that no log may hold")
