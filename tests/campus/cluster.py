"""A PostgreSQL server with a standby that follows it and can take its place."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.campus.proxy import Proxy
from tests.postgres import statement
from tests.postgres_keeper import Cluster, as_nobody, free_port, new_directory


@contextmanager
def cluster(**settings: str) -> Iterator[Cluster]:
    """A server of its own with an empty database `ledger`, for a test that breaks it."""
    made = Cluster.new()
    try:
        made.start(**settings)
        statement(made, "CREATE DATABASE ledger")
        yield made
    finally:
        made.remove()


@contextmanager
def standby_of(primary: Cluster, way: Proxy, **settings: str) -> Iterator[Cluster]:
    """A standby that has what the primary has now and follows it by a way that can be cut."""
    copy = replace(primary, directory=new_directory(), port=free_port())
    try:
        _run(
            copy,
            "pg_basebackup",
            "--pgdata",
            f"{copy.directory}/data",
            "--dbname",
            f"host=127.0.0.1 port={way.port} user=postgres application_name=standby",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        )
        copy.start(**settings)
        yield copy
    finally:
        copy.remove()


def promote(standby: Cluster) -> None:
    """Let a standby be the primary, with what has arrived there."""
    _run(standby, "pg_ctl", "-D", f"{standby.directory}/data", "-w", "promote")


def restart(cluster: Cluster, **settings: str) -> None:
    """Let a server crash and start again."""
    cluster.stop()
    cluster.start(**settings)


def _run(cluster: Cluster, program: str, *arguments: str) -> None:
    ran = subprocess.run(
        [str(cluster.programs / program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        **as_nobody(),
    )
    assert ran.returncode == 0, ran.stderr
