"""What a run loads: starting costs time and memory, so nothing comes along that it does not use.

And each command loads all that it does use; most other tests run commands where everything is loaded already.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import HANG_S, Office, ahead, event

_PROGRAM = """
import atexit, gc, json, pathlib, sys
told = pathlib.Path(sys.argv.pop(1))
from syncd.cli import main

@atexit.register  # before the program registers anything, so that this comes last
def tell():
    loaded = [name for name, module in sys.modules.items() if module is not None]
    told.write_text(json.dumps({"loaded": loaded, "frozen": gc.get_freeze_count()}))

main()
"""

_HTTP = {"httpx", "httpcore", "stamina", "certifi", "brotli", "urllib.request"}
_DRAWING = {"rich", "pygments", "click", "httpx._main"}
_OF_OTHERS = {"alembic", "apscheduler", "watchdog", "starlette", "uvicorn"}


@pytest.fixture
def settled(office: Office) -> Office:
    """An office in which one meeting is booked and nothing is left to do."""
    office.write(event("standup", ahead(1)))
    for _ in range(2):
        office.once()
    return office


def _told(office: Office, *arguments: str) -> dict[str, object]:
    """What a run of the program had loaded at its end."""
    told = office.folder / "told.json"
    command = [
        sys.executable,
        "-c",
        _PROGRAM,
        str(told),
        "--config",
        str(office.folder / "syncd.toml"),
    ]
    ran = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    document: dict[str, object] = json.loads(told.read_text())
    return document


def _loaded(office: Office, *arguments: str) -> set[str]:
    loaded = _told(office, *arguments)["loaded"]
    assert isinstance(loaded, list)
    return set(loaded)


@pytest.mark.first(8)
@pytest.mark.parametrize(
    "command",
    [
        "plan --format markdown",
        "explain standup",
        "doctor",
        "adopt --by-content",
        "rooms suggest",
        "refresh",
        "check",
        "notify",
        "plan",
        "plan --json",
        "agenda",
        "agenda --json",
        "history",
        "history --json",
        "explain standup --json",
        "unknown",
        "doctor --json",
        "resolve nothing drop",
        "approve nothing",
        "ack nothing",
        "people suggest",
        "backup {folder}/copy.db",
    ],
)
def test_a_command_loads_all_that_it_uses(settled: Office, command: str) -> None:
    """Started alone it ends as where everything is loaded already, and with no other words."""
    arguments = command.format(folder=settled.folder).split()
    alone = settled.start(*arguments)
    _, err = alone.communicate(timeout=HANG_S)
    assert "Traceback" not in err
    (settled.folder / "copy.db").unlink(missing_ok=True)
    with_everything = settled.run(*arguments)
    assert (alone.returncode, err) == (with_everything.code, with_everything.err)


def test_a_quiet_cycle_loads_neither_the_network_nor_what_draws(
    settled: Office,
) -> None:
    """Where nothing changed, no HTTP client, no list of authorities and no tables are made ready."""
    loaded = _loaded(settled, "once", "--json")
    assert "syncd.reconciler" in loaded
    assert not loaded & (_HTTP | _DRAWING | _OF_OTHERS)


@pytest.mark.slow
def test_a_cycle_with_calls_loads_the_client_without_its_command_line(
    settled: Office,
) -> None:
    """A call needs the HTTP client, and neither its command line nor what that is drawn with."""
    settled.write(event("standup", ahead(1)), event("retrospective", ahead(2)))
    loaded = _loaded(settled, "once", "--json")
    assert _HTTP - {"brotli"} <= loaded
    assert not loaded & (_DRAWING | _OF_OTHERS)
    assert len(settled.reservations()) == 2


@pytest.mark.slow
def test_tables_are_still_drawn(settled: Office) -> None:
    """Who is not asked for JSON loads what draws tables, and draws them with it."""
    assert "rich.console" in _loaded(settled, "agenda")
    assert "standup" in settled.run("status", "--all").out


def test_showing_the_version_loads_nothing_of_the_work(settled: Office) -> None:
    """`--version` is answered before the configuration, the ledger or the logs are even loaded."""
    loaded = _loaded(settled, "--version")
    assert not loaded & {
        "pydantic",
        "sqlalchemy",
        "structlog",
        "syncd.config",
        *_HTTP,
        *_DRAWING,
    }


@pytest.mark.slow
def test_the_end_of_a_run_looks_for_no_garbage(settled: Office) -> None:
    """What is there at the end is left to the system, which takes it back at once."""
    frozen = _told(settled, "once", "--json")["frozen"]
    assert isinstance(frozen, int)
    assert frozen > 10_000


@pytest.mark.slow
def test_authorities_that_cannot_be_read_are_told_by_the_first_call(
    settled: Office,
) -> None:
    """A cycle without calls needs no list of authorities; the first call says which one to mend."""
    settled.environment = {"SSL_CERT_FILE": str(settled.folder / "nothing.pem")}
    assert settled.run("once", "--json").code == 0
    settled.write(event("standup", ahead(1)), event("retrospective", ahead(2)))
    stopped = settled.run("once", "--json")
    assert stopped.code == 69
    assert "SSL_CERT_FILE" in stopped.err
    settled.environment = {}
    assert settled.once()["counts"]["created"] == 1
