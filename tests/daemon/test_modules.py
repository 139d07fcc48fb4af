"""Which modules a daemon keeps loaded, as Python itself tells of each import."""

from __future__ import annotations

from dataclasses import replace

from tests.conftest import Office
from tests.daemon.running import running


def test_a_daemon_does_not_load_what_creates_its_ledger(office: Office) -> None:
    """Also at its first start: another process creates the ledger, and keeps nothing of that in this one."""
    telling = replace(office, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert not (office.folder / "state.db").exists()
    with running(telling) as daemon:
        daemon.stop()
        modules = {line.rpartition("|")[2].strip() for line in daemon.lines}
    assert "sqlalchemy" in modules
    assert modules.isdisjoint({"alembic", "mako", "pygments"})
