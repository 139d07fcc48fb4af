"""PostgreSQL for the tests: one server for all workers of a test command, and a database for each test."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest

from syncd.ledger import Ledger, LedgerAddress
from tests.postgres_keeper import Cluster, as_nobody, free_port, new_directory

_TEMPLATE = "syncd_template"
_REPOSITORY = Path(__file__).parent.parent

_POOLER = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
log_connections = 0
log_disconnections = 0
stats_period = 86400
"""


def statement(
    cluster: Cluster, text: str, database: str = "postgres"
) -> list[tuple[object, ...]]:
    """Carry out a statement as an administrator, outside of any transaction; return its rows."""
    url = cluster.url(database).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(text.encode())
        return done.fetchall() if done.description else []


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The server; whichever worker asks first starts it, and it ends with the test command."""
    base = tmp_path_factory.getbasetemp()
    command = os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base, command = base.parent, os.getppid()
    told = base / "postgres.json"
    with (base / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if told.exists():
            return _known(told.read_text())
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.postgres_keeper", str(command)],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=_REPOSITORY,
            start_new_session=True,
        )
        assert keeper.stdout is not None
        with keeper.stdout:
            said = keeper.stdout.readline()
        keeper.wait()  # what it started goes on
        cluster = _known(said)
        statement(cluster, f"CREATE DATABASE {_TEMPLATE}")
        address = LedgerAddress(cluster.url(_TEMPLATE), own=base)
        Ledger.open(address, owner=True).close()
        told.write_text(said)
    return cluster


def _known(told: str) -> Cluster:
    said = json.loads(told)
    return Cluster(Path(said["directory"]), said["port"], Path(said["programs"]))


@pytest.fixture
def fresh_database(postgres: Cluster) -> Iterator[Callable[[], str]]:
    """Makes fresh ledgers, and returns the URL of each."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{token_hex(8)}"
        made.append(name)
        copied = f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy"
        statement(postgres, copied)
        return postgres.url(name)

    yield make
    for name in made:
        statement(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(fresh_database: Callable[[], str]) -> str:
    """The URL of a fresh ledger."""
    return fresh_database()


@pytest.fixture
def empty_database(postgres: Cluster) -> Iterator[Callable[[str], str]]:
    """Makes databases in which nothing is, with further words of CREATE DATABASE; returns their URLs."""
    made: list[str] = []

    def make(words: str) -> str:
        name = f"empty_{token_hex(8)}"
        statement(postgres, f"CREATE DATABASE {name} TEMPLATE template0 {words}")
        made.append(name)
        return postgres.url(name)

    yield make
    for name in made:
        statement(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def pooler(postgres: Cluster) -> Iterator[int]:
    """The port of a PgBouncer in transaction mode with a single connection to each database."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian's package pgbouncer)")
    directory = new_directory()
    port = free_port()
    settings = directory / "pgbouncer.ini"
    settings.write_text(_POOLER.format(server=postgres.port, port=port))
    with subprocess.Popen(
        [program, str(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        **as_nobody(),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"process up" in line:
                break
        yield port
        process.terminate()
    shutil.rmtree(directory)


@pytest.fixture
def pooled(database: str, postgres: Cluster, pooler: int) -> str:
    """The URL of a fresh ledger through a pooler."""
    return database.replace(f":{postgres.port}/", f":{pooler}/")


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server for a test that breaks it, with a database `ledger`."""
    cluster = Cluster.new()
    try:
        cluster.start()
        statement(cluster, "CREATE DATABASE ledger")
        yield cluster
    finally:
        cluster.remove()
