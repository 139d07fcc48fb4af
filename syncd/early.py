"""What must hold before anything else of the program is loaded: descriptors and signals.

The standard descriptors are open, so that no file or socket of ours takes their numbers and gets what is
printed; and a daemon that is just starting is not ended by signals that it will understand in a moment.
Must not: import anything that takes time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType

reload_wished = False
"""Whether SIGHUP came before the daemon could re-read its configuration."""


def begin(arguments: Sequence[str]) -> None:
    """Prepare the process for what its arguments say; doing it twice does no harm."""
    _open_standard_descriptors()
    if (
        command_in(arguments) == "run"
        and signal.getsignal(signal.SIGHUP) is not _remember
    ):
        signal.signal(signal.SIGHUP, _remember)
        # It reads all sources at its start.
        signal.signal(signal.SIGUSR1, _ignore)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)


def command_in(arguments: Sequence[str]) -> str:
    """Return the name of the command among arguments; empty without one."""
    is_value = False
    for argument in arguments:
        if is_value:
            is_value = False
        elif argument == "--config":
            is_value = True
        elif not argument.startswith("-"):
            return argument
    return ""


def _open_standard_descriptors() -> None:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free, which is this one.
            os.open(os.devnull, os.O_RDWR)


def _remember(_number: int, _frame: FrameType | None) -> None:
    global reload_wished  # noqa: PLW0603  # a handler has no other place to tell it
    reload_wished = True


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; a handler, because what is ignored would be ignored by child processes too."""


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: nothing was begun that a later start would not take up."""
    os._exit(0)
