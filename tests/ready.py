"""Runs commands of the program without loading it for each.

Most of what a short command costs is loading its modules. One process for each worker of the tests does that
once and runs nothing; each command is a fork of it, which goes through `syncd.__main__` from its first line
to its exit code, as a process of its own with streams of its own.
What such a run cannot show is how the program starts: tests of that, of daemons, signals and kills start it
anew (`Office.start`), and tests/end_to_end/test_start.py starts every kind of command.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import pkgutil
import runpy
import select
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from sqlalchemy import create_engine

import syncd

_LONGEST = 1 << 16  # bytes of a request, of what is read at once
_RUN_BY_ALEMBIC = "syncd.migrations.env"


def load_all() -> None:
    """Load all modules of the program."""
    for module in pkgutil.walk_packages(syncd.__path__, "syncd."):
        if not module.name.endswith("__main__") and module.name != _RUN_BY_ALEMBIC:
            import_module(module.name)


class Ready:
    """A process that has loaded the program and waits for commands."""

    def __init__(self) -> None:
        self._environment = _environment()
        self._asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with closing(asked):
            subprocess.run(
                [sys.executable, "-m", "tests.ready", str(asked.fileno())],
                check=True,
                stdin=subprocess.DEVNULL,
                pass_fds=[asked.fileno()],
                cwd=Path(__file__).parent.parent,
                # Libraries set more behind the back of Python.
                env=self._environment,
            )

    @property
    def fits(self) -> bool:
        """Whether a process that starts now would get the environment in which this one started."""
        return self._environment == _environment()

    def run(self, arguments: Iterable[str], timeout_s: float) -> tuple[int, str, str]:
        """Run a command to its end; return its exit code and what it printed on each stream."""
        pipes = [os.pipe() for _ in range(3)]
        request = json.dumps([str(Path.cwd()), *arguments]).encode()
        socket.send_fds(self._asking, [request], [given for _, given in pipes])
        for _, given in pipes:
            os.close(given)
        out, err, code = _read([reader for reader, _ in pipes], timeout_s)
        return int(code), out.decode(), err.decode()

    def close(self) -> None:
        """Let the process end."""
        self._asking.close()


@functools.cache
def ready() -> Ready:
    """The process of this worker; it starts when it is asked for first, and ends with the worker."""
    made = Ready()
    atexit.register(made.close)
    return made


def _environment() -> dict[str, str]:
    """The environment, but for the name of the test that pytest keeps there."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTEST_CURRENT_TEST"
    }


def _read(readers: list[int], timeout_s: float) -> list[bytearray]:
    """Read all of these pipes to their ends, and close them."""
    texts = {reader: bytearray() for reader in readers}
    poll = select.poll()
    for reader in readers:
        poll.register(reader, select.POLLIN)
    left = len(readers)
    deadline = time.monotonic() + timeout_s
    while left:
        if time.monotonic() > deadline:
            raise TimeoutError(f"a command took more than {timeout_s:.0f} s")
        for reader, _ in poll.poll(1000):
            some = os.read(reader, _LONGEST)
            texts[reader] += some
            if not some:
                poll.unregister(reader)
                os.close(reader)
                left -= 1
    return list(texts.values())


def _asked(control: socket.socket) -> list[str] | None:
    """Fork for each request, and tell the exit codes of the forks.

    Returns what was asked for in each fork, None in the process itself when nobody can ask any more.
    """
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == control.fileno():
                request, given, *_ = socket.recv_fds(control, _LONGEST, 3)
                if not request:
                    return None
                pid = os.fork()
                if pid == 0:
                    # The rest is closed below, and no object may close its number later.
                    control.detach()
                    _take(given)
                    asked: list[str] = json.loads(request)
                    return asked
                os.close(given[0])
                os.close(given[1])
                end = os.pidfd_open(pid)
                running[end] = (pid, given[2])
                poll.register(end, select.POLLIN)
            else:
                pid, answer = running.pop(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.write(answer, str(code).encode())
                os.close(answer)


def _take(given: list[int]) -> None:
    """Make these descriptors the standard streams, and close all others."""
    os.dup2(given[0], 1)
    os.dup2(given[1], 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _run(arguments: list[str]) -> NoReturn:
    """Be the program with these arguments, to the end of the process.

    What is loaded is left to the system at the end: to give it back object by object, as Python does, would
    first copy all of it.
    """
    sys.argv[1:] = arguments
    code: object = None
    try:
        runpy.run_module("syncd", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # as at the end of every process
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Load the program, and be the process that each command begins with."""
    if os.fork():
        # It is nobody's child, since there are tests that count or end those of their process.
        os._exit(0)
    # Before anything else that loads structlog, as in syncd.cli.
    from syncd import log  # noqa: F401
    from syncd.config import Config

    load_all()
    # These two are made when they are used first, out of much more code than they use then.
    Config.model_rebuild()
    create_engine("sqlite://").dispose()
    gc.freeze()
    asked = _asked(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        folder, *arguments = asked
        os.chdir(folder)
        _run(arguments)


if __name__ == "__main__":
    main()
