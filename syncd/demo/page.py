"""The page, shown without an account: a sandbox and a daemon that go on until Ctrl-C, and a staged day."""

from __future__ import annotations

import socket
from pathlib import Path

from syncd import log
from syncd.config import load
from syncd.config.network import url_of
from syncd.daemon.life import run_daemon
from syncd.demo.folder import demo_folder, write_example
from syncd.demo.staged_day import LINES, stage_day
from syncd.sandbox import Sandbox, SandboxSettings
from syncd.views.screen import screen

_HOST = "127.0.0.1"
_USUAL_PORT = 8620


def run_page_demo(keep: Path | None) -> int:
    """Serve the page of a staged day until SIGINT or SIGTERM; return the exit code.

    Everything goes to a temporary directory and is removed, or stays in `keep`.
    """
    console = screen()
    with demo_folder(keep) as folder:
        database = folder / "sandbox.db" if keep else None
        with Sandbox(SandboxSettings(db=database)).running() as sandbox:
            port = _free_port()
            lines = {**LINES, "listen": f'listen = "{_HOST}:{port}"'}
            config_file = write_example(folder, sandbox, lines)
            log.configure("auto", "error")
            console.print(f"A sandbox of the reservation API listens on {sandbox.url}.")
            console.print("A day is staged on it …")
            day = stage_day(folder, config_file, sandbox)
            page = url_of(_HOST, port)
            console.print(f"The page: {page}")
            console.print(f"The staged day: {page}day/{day}")
            console.print(f"Times are in {load(config_file).calendar.timezone}.")
            console.print("Commands that the page shows are typed like this:")
            console.print(f"  syncd --config {config_file} status", soft_wrap=True)
            console.print("Ctrl-C ends it.")
            run_daemon(config_file)
    return 0


def _free_port() -> int:
    """Return the usual port of the page, or another one where that is taken."""
    try:
        with socket.create_server((_HOST, _USUAL_PORT)):
            return _USUAL_PORT
    except OSError:
        with socket.create_server((_HOST, 0)) as free:
            return int(free.getsockname()[1])
