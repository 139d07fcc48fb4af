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
    # Nobody is told anything, so nothing of it is there.
    assert "syncd.notices.service" in modules
    telling_people = {"teller", "courier", "post", "mail", "ping", "command"}
    assert modules.isdisjoint(f"syncd.notices.{name}" for name in telling_people)
    assert "smtplib" not in modules
