"""What serves is loaded by who serves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conftest import Office, ahead, event
from tests.daemon.running import running
from tests.web.serving import Client, let_serve

SERVING = frozenset({"starlette", "uvicorn", "jinja2", "prometheus_client"})


def loaded(lines: list[str]) -> set[str]:
    """The modules that a process loaded, as Python itself tells of each import."""
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.first(1, 9)
@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("once",),
        ("plan",),
        ("explain", "first"),
        ("doctor", "--offline"),
        ("agenda", "today"),
        ("check",),
    ],
)
def test_a_command_loads_nothing_that_serves(
    office: Office, command: tuple[str, ...]
) -> None:
    """Commands that do not serve start without what serving needs."""
    office.write(event("first", ahead(2, 9), 60))
    telling = replace(office, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    modules = loaded(telling.run(*command).err.splitlines())
    assert "syncd.cli" in modules
    assert modules.isdisjoint(SERVING)


@pytest.mark.slow
def test_a_daemon_whose_page_is_off_loads_nothing_that_serves(office: Office) -> None:
    """Who turns the page off has a daemon without it; it is loaded when an edit turns it on."""
    office.write(event("first", ahead(2, 9), 60))
    telling = replace(office, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    with running(telling) as daemon:
        daemon.until(office.reservations, "it works")
        assert loaded(daemon.lines).isdisjoint(SERVING)
        client = Client(let_serve(office))
        daemon.until(client.answers, "the page is served")
        assert loaded(daemon.lines) >= {"starlette", "uvicorn"}
