"""A daemon that kills itself at a chosen line of code while it takes over a changed configuration.

`python -m tests.daemon.killed CONFIG AT`: runs `syncd run` with CONFIG and sends itself SIGKILL before the
`AT`th line that it runs inside `Daemon._reload`, that of the first reload.
Once the reload is over without that it says `survived N` on standard error, N being the lines counted, and
goes on as a daemon.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from syncd.daemon import life, loop

_PACKAGE = str(Path(loop.__file__).parent.parent)


class _Counter:
    """Counts the lines of syncd that run during the first reload, and dies at one of them."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._lines = 0
        self._over = False
        self._depth = 0

    def call(self, frame: FrameType, what: str, _argument: object) -> Any:
        """Trace a function that is called, if it is a part of a reload (`sys.settrace`)."""
        if self._over or what != "call":
            return None
        if frame.f_code is loop.Daemon._reload.__code__:
            self._depth = 1
        if not self._depth or not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        return self._line

    def _line(self, frame: FrameType, what: str, _argument: object) -> Any:
        if what == "line":
            self._lines += 1
            if self._lines == self._at:
                os.kill(os.getpid(), signal.SIGKILL)
        elif what == "return" and frame.f_code is loop.Daemon._reload.__code__:
            self._over = True
            self._depth = 0
            sys.settrace(None)
            os.write(2, f"survived {self._lines}\n".encode())
        return self._line


def main() -> None:
    """Run the daemon under the counter."""
    config, at = Path(sys.argv[1]), int(sys.argv[2])
    sys.settrace(_Counter(at).call)
    life.run_daemon(config)


if __name__ == "__main__":
    main()
