"""A program that looks how things stand and is killed at a line of code, again and again.

`python -m tests.notices.killed CONFIG STEP`: for each STEPth line that a look runs, a process forked for it looks
at a copy of the state of CONFIG and sends itself SIGKILL before that line; then another one looks at what that
left, and a line of JSON says what is in the outbox.
The last line is that of a look that nothing killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from syncd import log
from syncd.assembly import open_ledger, utc_now
from syncd.config import load
from syncd.notices.teller import Teller

_PARTS = ("/syncd/notices/", "/syncd/ledger/", "/syncd/core/subject.py")


class _Death:
    """Counts lines of code and dies before one of them."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._count = 0

    def trace(self, frame: FrameType, what: str, _argument: object) -> Any:
        """Take note of a line that is about to be run (`sys.settrace`)."""
        if not any(part in frame.f_code.co_filename for part in _PARTS):
            return None
        if what == "line":
            self._count += 1
            if self._count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


def _look(config_file: Path, at: int) -> None:
    config = load(config_file)
    with open_ledger(config, owner=True) as ledger:
        sys.settrace(_Death(at).trace)
        Teller(ledger, config, utc_now).look()
        sys.settrace(None)


def _dies(config_file: Path, at: int) -> bool:
    """Look in a process of its own, and tell whether it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _look(config_file, at)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def _left(config_file: Path) -> dict[str, object]:
    """Look twice more, and return what is in the outbox of each channel, and what is known of subjects."""
    config = load(config_file)
    with open_ledger(config, owner=True) as ledger:
        teller = Teller(ledger, config, utc_now)
        teller.look()
        teller.look()
        outbox = {
            channel: [one.notice.name for one in ledger.notices.pending(channel)]
            for channel in ("webhook", "command")
        }
        subjects = ledger.notices.subjects().values()
        return {
            "outbox": outbox,
            "known": [subject.is_known_open for subject in subjects],
        }


def main() -> None:
    """Kill at one line after the other, until none is left."""
    config_file, step = Path(sys.argv[1]), int(sys.argv[2])
    log.configure("json", "error")
    state = config_file.parent / "state.db"
    kept = state.read_bytes()
    at = 1
    while True:
        for file in config_file.parent.glob("state.db*"):
            file.unlink()
        state.touch(mode=0o600)
        state.write_bytes(kept)
        killed = _dies(config_file, at)
        told = {"at": at, "killed": killed, **_left(config_file)}
        sys.stdout.write(json.dumps(told) + "\n")
        if not killed:
            return
        at += step


if __name__ == "__main__":
    main()
