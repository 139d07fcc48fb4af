"""A daemon with a short lease, which can be held up at a chosen line of code.

`python -m tests.campus.member CONFIG TIMING [FILE TEXT ARMED SIGNAL]`: runs `syncd run` with CONFIG. TIMING has
the seconds of a lease: how long it lasts, how often it is renewed, its margin, and how often it is looked at.
Before a line of syncd/FILE with TEXT in it is run it sends itself SIGNAL, if the file ARMED is there; that is
taken away, so that one that is stopped goes on when it is continued.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from syncd.daemon import life
from syncd.exits import told_to_people

_PACKAGE = Path(life.__file__).parent.parent


class _Stop:
    """Stops or kills the whole process before a line of code."""

    def __init__(self, file: str, text: str, armed: Path, number: int) -> None:
        self._file = str(_PACKAGE / file)
        self._text = text
        self._armed = armed
        self._number = number

    def call(self, frame: FrameType, what: str, _argument: object) -> Any:
        """Trace a function that is called, if it stands in the file (`sys.settrace`)."""
        is_there = what == "call" and frame.f_code.co_filename == self._file
        return self._line if is_there and self._has(frame.f_code) else None

    @functools.lru_cache  # noqa: B019  # there is one
    def _has(self, code: Any) -> bool:
        lines = {line for _, _, line in code.co_lines() if line is not None}
        return any(self._text in linecache.getline(self._file, one) for one in lines)

    def _line(self, frame: FrameType, what: str, _argument: object) -> Any:
        if what == "line" and self._armed.exists():
            line = linecache.getline(self._file, frame.f_lineno)
            if self._text in line:
                self._armed.unlink(missing_ok=True)
                os.write(2, f"stopped before {line.strip()}\n".encode())
                os.kill(os.getpid(), self._number)
        return self._line


def main() -> None:
    """Run the daemon."""
    config, timing, *stop = sys.argv[1:]
    if stop:
        file, text, armed, number = stop
        place = _Stop(file, text, Path(armed), int(number))
        threading.settrace(place.call)
        sys.settrace(place.call)
    options: dict[str, Any] = {}
    if "timing" in inspect.signature(life.run_daemon).parameters:
        from syncd.core.leases import Timing

        options["timing"] = Timing(*map(float, timing.split("/")))
    with told_to_people():
        life.run_daemon(Path(config), **options)


if __name__ == "__main__":
    main()
