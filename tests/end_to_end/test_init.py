"""A first configuration: `syncd init`, with everything given and with a person at a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import HANG_S, Office, Ran, ahead, calendar, event
from tests.end_to_end.tenant import Tenant


@pytest.fixture
def tenant(office: Office) -> Tenant:
    """A tenant with rooms and users, and two calendars that name them as people do."""
    made = Tenant(office)
    for name in ("Room 3.15", "Room 3.16", "Berlin"):
        made.room(name)
    made.user("Alice", "alice@example.com")
    made.user("Bob", "bob@example.com")
    here = ("LOCATION:Room 3.15 (12)", "ORGANIZER:mailto:alice@example.com")
    guest = "ATTENDEE;CN=Bob:mailto:bob@example.com"
    stranger = "ATTENDEE;CN=Eve:mailto:eve@example.org"
    first = calendar(
        event("a", ahead(1), 60, *here, guest, stranger, room=None),
        event("b", ahead(2), 60, "LOCATION:Konferenzraum Berlin", room=None),
        event("c", ahead(3), 60, "LOCATION:Microsoft Teams", room=None),
    )
    second = calendar(event("d", ahead(4), 60, "LOCATION:Room 3.17", room=None))
    (office.folder / "leaders.ics").write_bytes(first)
    (office.folder / "Sales team.ics").write_bytes(second)
    (office.folder / "syncd.toml").unlink()
    return made


def given(office: Office, creator: str, *sources: str) -> list[str]:
    """All options of `init` that are needed where nobody is asked."""
    named = sources or ("leaders.ics", "Sales team.ics")
    options = {
        "--output": str(office.folder / "syncd.toml"),
        "--endpoint": office.url,
        "--client-id": office.client_id,
        "--secret-file": str(office.folder / "tuya-secret"),
        "--timezone": "Europe/Berlin",
        "--creator": creator,
    }
    flat = [word for pair in options.items() for word in pair]
    for source in named:
        flat += ["--source", str(office.folder / source)]
    return flat


def init(*arguments: str) -> Ran:
    """Run `init` without a terminal."""
    ran = subprocess.run(
        [sys.executable, "-m", "syncd", "init", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.slow
def test_from_nothing_to_a_first_plan(office: Office, tenant: Tenant) -> None:
    """Everything given: the file is good, its rooms and people are matched, and a plan books nothing yet."""
    user = tenant.user("Office", "office@example.com")
    ran = init(*given(office, user))
    assert (ran.code, ran.err.count("\n")) == (0, 3), ran.err
    file = office.folder / "syncd.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = tomllib.loads(file.read_text())
    assert written["mode"] == "observe"
    assert written["reservation"]["creator"] == user
    assert written["api"]["client_secret"] == {"file": "tuya-secret"}
    assert [s["path"] for s in written["sources"]] == ["leaders.ics", "Sales team.ics"]
    assert [s["name"] for s in written["sources"]] == ["leaders", "sales-team"]
    assert set(written["people"]["addresses"]) == {
        "alice@example.com",
        "bob@example.com",
    }
    assert "eve@example.org" in file.read_text()
    ids = {room["name"]: room["id"] for room in written["rooms"]}
    assert office.run("check").code == 0
    planned = {change["uid"]: change for change in office.plan()["changes"]}
    assert planned["a"]["room_id"] == ids["Room 3.15"]
    assert planned["b"]["room_id"] == ids["Berlin"]
    assert planned["d"]["room_id"] is None, "the number guard holds"
    office.forget_requests()
    assert office.run("once", "--json").json["counts"]["created"] == 0
    assert office.writes() == []
    before = file.read_bytes()
    again = init(*given(office, user))
    assert again.code == 1
    assert "exists and is left as it is" in again.err
    assert file.read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another group")
def test_a_service_may_read_what_stands_in_its_directory(
    office: Office, tenant: Tenant
) -> None:
    """In a directory that a group of its own may enter, that group may read the configuration."""
    folder = office.folder / "etc"
    folder.mkdir(0o750)
    os.chown(folder, -1, 4711)
    options = given(office, tenant.user("X"))
    options[options.index("--output") + 1] = str(folder / "syncd.toml")
    assert init(*options).code == 0
    state = (folder / "syncd.toml").stat()
    assert (stat.S_IMODE(state.st_mode), state.st_gid) == (0o640, 4711)


@pytest.mark.slow
def test_two_installations_have_two_names(office: Office, tenant: Tenant) -> None:
    """The name in the mark is that of the machine with something of chance, unless it is given."""
    names: list[str] = []
    for more in ([], [], ["--instance", "hq"]):
        assert init(*given(office, tenant.user("X"), "leaders.ics"), *more).code == 0
        file = office.folder / "syncd.toml"
        names.append(tomllib.loads(file.read_text())["reservation"]["instance"])
        file.unlink()
    assert len(set(names)) == 3
    assert names[2] == "hq"


def test_without_a_terminal_what_is_missing_is_named(office: Office) -> None:
    """All of it at once, as wrong usage, and nothing is written."""
    file = office.folder / "new.toml"
    ran = init("--output", str(file), "--region", "eu")
    assert ran.code == 2
    missing = " ".join(ran.err.split())
    for option in (
        "--client-id",
        "--secret-file",
        "--timezone",
        "--source",
        "--creator",
    ):
        assert option in missing
    assert "--region R" not in missing
    assert not file.exists()


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("option", "value", "code", "sentence"),
    [
        ("--region", "mars", 2, "There is no region 'mars'"),
        ("--timezone", "Europe/Berlyn", 2, "The time zone"),
        ("--source", "none.ics", 2, "cannot be read"),
        ("--secret-file", "open", 2, "chmod 600"),
        ("--secret-file", "s" * 300, 2, "File name too long"),
        ("--instance", "two words", 2, "The name of the installation"),
        ("--client-id", "unknown", 69, "client id"),
    ],
)
def test_what_cannot_be_used_is_said(
    office: Office, tenant: Tenant, option: str, value: str, code: int, sentence: str
) -> None:
    """One sentence with the cure, and no file."""
    (office.folder / "open").write_text("secret\n")
    (office.folder / "open").chmod(0o644)
    if option in ("--source", "--secret-file"):
        value = str(office.folder / value)
    options = given(office, tenant.user("X"))
    if option == "--region":
        at = options.index("--endpoint")
        del options[at : at + 2]
    elif option in options:
        at = options.index(option)
        del options[at : at + 2]
    ran = init(*options, option, value)
    assert ran.code == code, ran.err
    assert sentence in " ".join(ran.err.split())
    assert not (office.folder / "syncd.toml").exists()


class Terminal:
    """A person at a terminal: waits for a question, and types."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.seen = ""
        self._from = 0

    def _more(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], HANG_S)
        assert ready, self.seen
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return False  # the other side is closed
        self.seen += data.decode()
        return bool(data)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question behind the last one, and type a line."""
        while question not in self.seen[self._from :]:
            assert self._more(), self.seen
        self._from = len(self.seen)
        os.write(self._descriptor, text.encode() + b"\n")

    def end(self) -> int:
        """Read until it ends; the exit code."""
        while self._more():
            pass
        return self.process.wait(HANG_S)


@contextmanager
def at_a_terminal(*arguments: str) -> Iterator[Terminal]:
    """Run `init` at a pseudo terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", "init", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TZ": "Europe/Vienna"},
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.slow
def test_a_person_only_answers(office: Office, tenant: Tenant) -> None:
    """Wrong answers are asked again, the secret is typed unseen, and defaults are taken with Enter."""
    folder: Path = office.folder
    secret = folder / "tuya-secret"
    secret.unlink()
    file = folder / "syncd.toml"
    with at_a_terminal("--output", str(file)) as person:
        person.answer("Data centre", "mars")
        person.answer("There is no region", office.url)
        person.answer("Access ID", office.client_id)
        person.answer("File with the Access Secret", "")
        person.answer("Access Secret (not shown)", "wrong")
        person.answer("Please answer again", office.url)
        person.answer("Access ID", office.client_id)
        person.answer("File with the Access Secret", "")
        person.answer("Access Secret (not shown)", office.client_secret)
        person.answer("Time zone of the office [Europe/Vienna]", "")
        person.answer("Calendar", str(folder / "none.ics"))
        person.answer("cannot be read", str(folder / "leaders.ics"))
        person.answer("Another one", str(folder / "Sales team.ics"))
        person.answer("Another one", "")
        person.answer("who books", "nobody@example.com")
        person.answer("Not exactly one", "bob@example.com")
        person.answer("Name of this installation", "")
        assert not file.exists()
        assert person.end() == 0, person.seen
    assert office.client_secret not in person.seen
    assert "Next:" in person.seen
    assert secret.read_text().strip() == office.client_secret
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    written = tomllib.loads(file.read_text())
    assert written["calendar"]["timezone"] == "Europe/Vienna"
    assert office.run("check").code == 0
    assert office.run("plan").code == 3


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("how", ["interrupt", "end of input"])
def test_who_goes_away_leaves_nothing(office: Office, tenant: Tenant, how: str) -> None:
    """Neither the configuration nor the secret that was typed is written."""
    assert tenant.client is not None
    (office.folder / "tuya-secret").unlink()
    before = sorted(office.folder.iterdir())
    file = office.folder / "syncd.toml"
    with at_a_terminal("--output", str(file), "--endpoint", office.url) as person:
        person.answer("Access ID", office.client_id)
        person.answer("File with the Access Secret", "")
        person.answer("Access Secret (not shown)", office.client_secret)
        person.answer("Time zone", "")
        if how == "interrupt":
            person.answer("Calendar", str(office.folder / "leaders.ics"))
            while "Another one" not in person.seen:
                time.sleep(0)
                assert person._more()
            person.process.send_signal(signal.SIGINT)
        else:
            person.answer("Calendar", "\x04")
        assert person.end() == 130, person.seen
    assert "nothing was written" in person.seen
    assert sorted(office.folder.iterdir()) == before
