"""What looks works by the last good configuration while the file has a mistake, and says so."""

from __future__ import annotations

import os
import stat

import pytest

from tests.conftest import Office, ahead, event

SAID = "what follows is by the last good one"


@pytest.fixture
def settled(office: Office) -> Office:
    """An office after a cycle, with its people in a file."""
    (office.folder / "people.csv").write_text("address,user_id\nann@example.com,7\n")
    office.change(
        ("[people.addresses]", '[people]\nfile = "people.csv"\n[people.addresses]')
    )
    office.write(event("a", ahead(2), 60, "ATTENDEE:mailto:ann@example.com"))
    assert office.run("once").code == 0
    return office


def in_words(office: Office, *arguments: str) -> str:
    """What a command prints by the last good configuration, after it said so."""
    ran = office.run(*arguments)
    assert SAID in ran.err, ran.err
    assert ran.code in (0, 1)
    return ran.out


MISTAKES = {
    "no TOML": ("[api]", "[api"),
    "no zone": ("Europe/Berlin", "Europe/Berlim"),
    "no people": ('"people.csv"', '"nobody.csv"'),
    "no secret": ('"tuya-secret"', '"nothing"'),
    "unknown key": ("[reservation]", "[reservation]\ncolour = 1"),
}


@pytest.mark.slow
@pytest.mark.first(2)
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_what_looks_goes_on(settled: Office, mistake: tuple[str, str]) -> None:
    """Status, explain and agenda work, and the mistake is a thing for a person; what works says 78."""
    explained = settled.run("explain", "a").out
    settled.change(mistake)
    assert "configuration:" in in_words(settled, "status")
    status = settled.run("status", "--json")
    assert "configuration_refused" in {one["kind"] for one in status.json["concerns"]}
    assert "Meeting a" in in_words(settled, "agenda", f"{ahead(2):%Y-%m-%d}")
    assert in_words(settled, "explain", "a") == explained
    assert "has a user id" in in_words(settled, "unknown", "people")
    for decision in (("approve", "x"), ("resolve", "x", "--retry"), ("ack", "x")):
        ran = settled.run(*decision)
        assert (ran.code, SAID in ran.err) == (1, True), decision
    assert settled.run("once").code == 78
    assert settled.run("check").code == 78
    checked = settled.run("status", "--check")
    assert "The configuration file has a mistake" in checked.out


@pytest.mark.slow
def test_its_ledger_is_found(settled: Office) -> None:
    """In the URL of any file that can be read in part, in $STATE_DIRECTORY, or beside the configuration."""
    path = settled.folder / "syncd.toml"
    good = path.read_text()
    other = settled.folder / "elsewhere"
    other.mkdir()
    url = f'[state]\nurl = "sqlite:///{other / "state.db"}"\n'
    parts = settled.folder / "conf.d"
    parts.mkdir()
    (parts / "state.toml").write_text(url)
    settled.run("once")
    path.write_text("nonsense\n" + good)
    assert SAID in settled.run("status").err
    (parts / "state.toml").unlink()
    path.write_text("nonsense\n" + good + url + '[[rooms]]\nid = "x\n')
    (settled.folder / "state.db").unlink()
    assert SAID in settled.run("status").err
    path.write_text("nonsense\n")
    assert settled.run("status").code == 78
    settled.environment = {"STATE_DIRECTORY": str(other)}
    assert SAID in settled.run("status").err
    path.unlink()
    assert SAID in settled.run("status").err


@pytest.mark.slow
def test_the_configuration_of_another_site_is_not_taken(settled: Office) -> None:
    """A ledger that another file works on says nothing about this one."""
    other = settled.folder / "other.toml"
    other.write_text("[api")
    assert settled.run("--config", str(other), "status").code in (2, 78)
    ran = settled.run("status", "--config", str(settled.folder / "syncd.toml"))
    assert ran.code == 1


def test_it_is_kept_in_private_and_without_secrets(settled: Office) -> None:
    """It stands in the ledger, which only its owner reads; secrets are references in it."""
    files = [settled.folder / f"state.db{end}" for end in ("", "-wal", "-shm")]
    for file in filter(os.path.exists, files):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert settled.client_secret.encode() not in file.read_bytes()
