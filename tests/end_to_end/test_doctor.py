"""`syncd doctor`: staged defects are found, named, and cured by what it prints; nothing is ever written."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conftest import (
    HANG_S,
    LARGE_ROOM,
    SMALL_ROOM,
    Office,
    ahead,
    calendar,
    event,
)
from tests.daemon.running import feed, follow, running
from tests.end_to_end.tenant import Tenant
from tests.sources.server import FeedServer, published, redirect, status

WELL = {"ok", "note"}


@dataclass
class Patient:
    """An office in which all is well until a test stages a defect."""

    office: Office
    tenant: Tenant
    feeds: FeedServer
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.office.folder / "syncd.toml"

    @property
    def state(self) -> Path:
        """Its ledger."""
        return self.office.folder / "state.db"

    def findings(self, *options: str, code: int | None = None) -> list[dict[str, Any]]:
        """What the doctor finds, with the exit code that it leaves with."""
        ran = self.office.run("doctor", "--json", *options)
        assert ran.err == ""
        if code is not None:
            assert ran.code == code, ran.out
        found: list[dict[str, Any]] = ran.json["findings"]
        return found

    def apply(self, cure: str, key_of: str = "") -> None:
        """Do what a cure says: run a command as it stands, or write a line in place of that with its key."""
        if re.match(r"[\w\"@.-]+ = ", cure):
            self._write_line(cure, key_of)
            return
        bin_folder = self.office.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        program = bin_folder / "syncd"
        program.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m syncd --config "{self.config}" "$@"\n'
        )
        program.chmod(0o755)
        subprocess.run(
            ["sh", "-c", cure],
            env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
            check=False,
            timeout=HANG_S,
            capture_output=True,
        )

    def _write_line(self, line: str, beside: str) -> None:
        key = line.partition(" = ")[0]
        text = self.config.read_text()
        if beside:
            # In the table of that line.
            start = text.index(beside)
            rest = text[start:]
            end = rest.find("\n[", 1)
            table = rest if end < 0 else rest[:end]
            there = re.search(rf"^{re.escape(key)} = .*$", table, re.MULTILINE)
            changed = (
                table.replace(there[0], line, 1)
                if there
                else table.replace(beside, f"{beside}\n{line}", 1)
            )
            self.config.write_text(text.replace(table, changed, 1))
            return
        there = re.search(rf"^{re.escape(key)} = .*$", text, re.MULTILINE)
        assert there, line
        self.config.write_text(text.replace(there[0], line, 1))


@pytest.fixture
def patient(office: Office) -> Iterator[Patient]:
    """An office with the rooms, users and calendar that its configuration names."""
    tenant = Tenant(office)
    ids = {
        SMALL_ROOM: tenant.room("Small meeting room"),
        LARGE_ROOM: tenant.room("Large meeting room"),
        '"3"': tenant.user("Calendars", "calendars@example.com"),
        '"1"': tenant.user("Alice", "alice@example.com"),
        '"2"': tenant.user("Bob", "bob@example.com"),
    }
    changes = []
    for old, new in ids.items():
        changes.append((old, f'"{new}"' if old.startswith('"') else new))
    office.change(*changes)
    office.write(event("m", ahead(1, 12)))
    office.once()
    with FeedServer().running() as feeds:
        yield Patient(office, tenant, feeds, ids)


def told(findings: list[dict[str, Any]], check: str) -> list[dict[str, Any]]:
    """The findings of a check that are not well."""
    return [
        found
        for found in findings
        if f"{found['group']}: {found['check']}" == check
        and found["verdict"] not in WELL
    ]


def dump(state: Path) -> list[str]:
    """All that a ledger says."""
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as opened:
        return list(opened.iterdump())


# The defects: each stages itself, and names the check that finds it, a piece of the sentence, the exit code,
# and how its cure is applied: as it stands, as a line beside another one, or by hand as it says.

ByHand = Callable[[Patient], object]


@dataclass(frozen=True)
class Defect:
    """One staged defect."""

    stage: Callable[[Patient], object]
    check: str
    says: str
    code: int = 1
    cure: str = ""
    beside: str = ""
    by_hand: ByHand | None = None


def edit(old: str, new: str) -> Callable[[Patient], object]:
    """Stage a mistake of the configuration, or mend it."""
    return lambda patient: patient.office.change((old, new))


def fault(*specs: str) -> Callable[[Patient], object]:
    """Let the API fail; without any: be well again."""
    return lambda patient: patient.office.fault(*specs)


def asks_a_feed(behaviour: Any, allow: bool = True) -> Callable[[Patient], object]:
    """Replace the source by a feed that behaves so."""

    def stage(patient: Patient) -> None:
        patient.feeds.pages["/feed"] = behaviour
        follow(
            patient.office,
            feed("office", patient.feeds.url("/feed"), allow=allow),
        )

    return stage


def answers_well(patient: Patient) -> None:
    """Let the feed be good again."""
    patient.feeds.pages["/feed"] = published(calendar(event("m", ahead(1, 12))))


def suspend(patient: Patient, word: str = "stop") -> None:
    """Suspend a room in Tuya."""
    path = f"/v2.0/iot-03/meeting-rooms/{patient.ids[SMALL_ROOM]}"
    answer = patient.tenant.client.put(path, {"room_status": word})
    assert answer["success"], answer


def disable(patient: Patient, number: int = 0) -> None:
    """Disable a user in Tuya."""
    user = patient.ids['"1"']
    path = f"/v1.0/iot-03/users/{user}/status"
    answer = patient.tenant.client.put(path, {"status": number})
    assert answer["success"], answer


def spoil_state(patient: Patient) -> None:
    """Overwrite pages of the ledger."""
    with patient.state.open("r+b") as opened:
        opened.seek(8192)
        opened.write(b"\xff" * 16384)


def write_nonsense(patient: Patient) -> None:
    """Put a value into the ledger that nobody can read."""
    with closing(sqlite3.connect(patient.state)) as opened:
        opened.execute("UPDATE facts SET value = 'x' WHERE name = 'adopted'")
        opened.commit()


def be_foreign(patient: Patient) -> None:
    """Put another program's database in the place of the ledger."""
    for file in patient.office.folder.glob("state.db*"):
        file.unlink()
    with closing(sqlite3.connect(patient.state)) as opened:
        opened.execute("CREATE TABLE alembic_version (version_num TEXT)")
        opened.execute("INSERT INTO alembic_version VALUES ('abc')")
        opened.commit()


def fail_once(patient: Patient) -> None:
    """Let the last cycle fail, and the API be well again."""
    patient.office.fault("quota")
    patient.office.write(event("m", ahead(1, 12)), event("n", ahead(2, 12)))
    assert patient.office.run("once").code == 69
    patient.office.fault()


def age(patient: Patient) -> None:
    """Let the last reading be of long ago."""
    long_ago = datetime.now(UTC) - timedelta(days=3)
    with closing(sqlite3.connect(patient.state)) as opened:
        opened.execute(
            "UPDATE sources SET last_ok_at = ?", (int(long_ago.timestamp() * 1000),)
        )
        opened.commit()


def books(*meetings: str) -> Callable[[Patient], object]:
    """Write a calendar."""
    return lambda patient: patient.office.write(*meetings)


FINE = books(event("m", ahead(1, 12)))
CUT = calendar(event("m", ahead(1, 12)))[:-40]

DEFECTS = {
    "unknown key": Defect(
        edit("[calendar]", "[calendar]\nhorizont = 3"),
        "configuration: valid",
        "horizont: unknown key",
        78,
        by_hand=edit("horizont = 3\n", ""),
    ),
    "configuration open to all": Defect(
        lambda patient: patient.config.chmod(0o666),
        "configuration: files",
        "can be written by everybody",
    ),
    "state open to all": Defect(
        lambda patient: patient.state.chmod(0o644),
        "ledger: files",
        "can be read by others",
    ),
    "foreign state": Defect(be_foreign, "ledger: usable", "is not a ledger"),
    "nonsense in the state": Defect(write_nonsense, "ledger: usable", "makes no sense"),
    "damaged state": Defect(spoil_state, "ledger: usable", "damaged"),
    "last cycle failed": Defect(fail_once, "ledger: last cycle", "quota"),
    "stale source": Defect(age, "sources: fresh", "long ago"),
    "misspelled path": Defect(
        edit('path = "office.ics"', 'path = "offise.ics"'),
        "sources: readable",
        "does not exist",
        beside='name = "office"',
    ),
    "too large": Defect(
        edit('path = "office.ics"', 'path = "office.ics"\nmax_bytes = "100B"'),
        "sources: readable",
        "more than max_bytes",
        beside='name = "office"',
    ),
    "cut calendar": Defect(
        lambda patient: patient.office.calendar_file.write_bytes(CUT),
        "sources: understood",
        "office",
        by_hand=FINE,
    ),
    "quarantined event": Defect(
        books(
            event("m", ahead(1, 12)), event("bad", ahead(2)).replace("DTSTART", "X-NO")
        ),
        "sources: quarantine",
        "1 event not understood",
        by_hand=FINE,
    ),
    "feed on a private address": Defect(
        asks_a_feed(published(calendar(event("m", ahead(1, 12)))), allow=False),
        "sources: readable",
        "allow_hosts",
        beside='name = "office"',
    ),
    "feed gone": Defect(
        asks_a_feed(status(404)),
        "sources: readable",
        "status 404",
        by_hand=answers_well,
    ),
    "API not there": Defect(
        lambda patient: patient.office.change(
            (patient.office.url, f"http://127.0.0.1:{_free_port()}")
        ),
        "API: reachable",
        "cannot be reached",
        69,
        by_hand=lambda patient: patient.config.write_text(
            re.sub(
                r'endpoint = ".*"',
                f'endpoint = "{patient.office.url}"',
                patient.config.read_text(),
            )
        ),
    ),
    "wrong secret": Defect(
        lambda patient: (patient.office.folder / "tuya-secret").write_text("wrong"),
        "API: token",
        "signature",
        69,
        by_hand=lambda patient: (patient.office.folder / "tuya-secret").write_text(
            patient.office.client_secret
        ),
    ),
    "not authorised": Defect(
        fault("unsubscribed:code=28841001"),
        "API: token",
        "not authorised",
        69,
        cure="Go to Authorize",
        by_hand=fault(),
    ),
    "subscription over": Defect(
        fault("unsubscribed:code=28841002"),
        "API: token",
        "subscription of the cloud plan is over",
        69,
        cure="Renew",
        by_hand=fault(),
    ),
    "quota used up": Defect(
        fault("quota:code=28841004"),
        "API: token",
        "quota",
        69,
        cure="buy a larger one",
        by_hand=fault(),
    ),
    "no right to rooms": Defect(
        fault("unsubscribed:on=page_rooms,code=28841105"),
        "API: rooms",
        "not authorised for this API",
        cure="Service API",
        by_hand=fault(),
    ),
    "no right to reservations": Defect(
        fault("unsubscribed:on=list,code=28841106"),
        "API: reservations",
        "not subscribed",
        69,
        cure="Go to Subscribe",
        by_hand=fault(),
    ),
    "clock apart": Defect(
        fault("clock:seconds=900"),
        "API: clock",
        "behind that of the API",
        cure="timedatectl",
        by_hand=fault(),
    ),
    "no such room": Defect(
        lambda patient: patient.office.change((patient.ids[SMALL_ROOM], SMALL_ROOM)),
        "rooms: exist",
        "no room with the id",
        beside=f'id = "{SMALL_ROOM}"',
    ),
    "suspended room": Defect(
        suspend,
        "rooms: suspended",
        "suspended in Tuya",
        cure="Rooms",
        by_hand=lambda patient: suspend(patient, "open"),
    ),
    "no such creator": Defect(
        lambda patient: patient.office.change((patient.ids['"3"'], "nobody")),
        "people: exist",
        "reservation.creator",
    ),
    "no such person": Defect(
        lambda patient: patient.office.change((patient.ids['"1"'], "nobody")),
        "people: exist",
        "alice@example.com",
    ),
    "disabled person": Defect(
        disable,
        "people: enabled",
        "disabled in Tuya",
        cure="Enable",
        by_hand=lambda patient: disable(patient, 1),
    ),
    "outside opening hours": Defect(
        books(event("m", ahead(1, 0))),
        "rules: opening hours",
        "opening hours (07:00 to 23:00)",
        cure="Bookable time",
        by_hand=FINE,
    ),
    "too short": Defect(
        books(event("m", ahead(1, 12), 10)),
        "rules: length",
        "shorter than 30 minutes",
        cure="Shortest",
        by_hand=FINE,
    ),
}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.first(1, 10)
@pytest.mark.parametrize("name", list(DEFECTS))
def test_a_defect_is_found_named_and_cured(patient: Patient, name: str) -> None:
    """A staged defect is a problem of its check, with the right exit code; after its cure all is well."""
    defect = DEFECTS[name]
    defect.stage(patient)
    patient.office.forget_requests()
    found = told(patient.findings(code=defect.code), defect.check)
    assert patient.office.writes() == []
    assert found, "found"
    (first, *_) = found
    assert first["verdict"] == "problem"
    assert defect.says in first["finding"]
    assert defect.cure in first["cure"]
    if defect.by_hand is not None:
        defect.by_hand(patient)
    else:
        patient.apply(first["cure"], defect.beside)
    again = patient.findings()
    assert told(again, defect.check) == []
    if name != "foreign state":
        assert [one for one in again if one["verdict"] not in WELL] == []


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(patient: Patient) -> None:
    """The page's port held by another program is told, with the line that settles it."""
    patient.office.change(('[web]\nlisten = ""\n', "[web]\n"))
    with socket.socket() as other:
        with suppress(OSError):  # whoever holds it is another program too
            other.bind(("127.0.0.1", 8620))
            other.listen(1)
        (found,) = [one for one in patient.findings() if one["group"] == "page"]
        assert found["verdict"] == "problem"
        assert "127.0.0.1:8620" in found["finding"]
        patient.apply(f"{found['cure']}", "[web]")
        (found,) = [one for one in patient.findings() if one["group"] == "page"]
        assert found["verdict"] == "ok"


@contextmanager
def feed_with_a_certificate(patient: Patient, days: int) -> Iterator[None]:
    """A feed over TLS whose certificate ends in some days."""
    authority = trustme.CA()
    ca = patient.office.folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(
        "127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=days)
    )
    certificate.configure_cert(context)
    with FeedServer(context).running() as server:
        server.pages["/feed"] = published(calendar(event("m", ahead(1, 12))))
        trusted = 'tls = { ca = "ca.pem" }'
        follow(patient.office, feed("office", server.url("/feed"), trusted))
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "verdict"), [(5, "problem"), (20, "note"), (200, "ok")]
)
def test_a_certificate_that_ends_soon_is_told(
    patient: Patient, days: int, verdict: str
) -> None:
    """Within two weeks it is a problem, within thirty days a note, with the day and the host."""
    with feed_with_a_certificate(patient, days):
        findings = patient.findings()
    (found,) = [one for one in findings if one["check"] == "certificate"]
    assert found["verdict"] == verdict
    assert "127.0.0.1" in found["finding"]


@pytest.mark.slow
def test_a_feed_that_moved_is_a_note(patient: Patient) -> None:
    """A permanent redirect is followed and told, with the command that shows where it leads."""
    patient.feeds.pages["/feed"] = redirect(patient.feeds.url("/new"), 301)
    patient.feeds.pages["/new"] = published(calendar(event("m", ahead(1, 12))))
    follow(patient.office, feed("office", patient.feeds.url("/feed")))
    findings = patient.findings(code=0)
    (found,) = [one for one in findings if one["check"] == "redirects"]
    assert found["verdict"] == "note"
    assert "moved for good" in found["finding"]
    assert "url_effective" in found["cure"]


def _without_heartbeat(state: Path) -> list[str]:
    return [line for line in dump(state) if "daemons" not in line]


@pytest.mark.slow
def test_beside_a_running_daemon_nothing_is_written(patient: Patient) -> None:
    """With the daemon at work all is well, the ledger and the API stay as they are, and it goes on."""
    with running(patient.office) as daemon:
        daemon.settle()
        patient.office.forget_requests()
        while True:
            cycles = daemon.manager.cycles
            before = _without_heartbeat(patient.state)
            findings = patient.findings(code=0)
            after = _without_heartbeat(patient.state)
            if before == after:
                break
            # Then it was the daemon, in a cycle that began meanwhile: one more look.
            daemon.until(lambda: daemon.manager.cycles > cycles, "its cycle ended")  # noqa: B023
        assert patient.office.writes() == []
        assert daemon.process.poll() is None
    (found,) = [one for one in findings if one["check"] == "daemon"]
    assert str(daemon.process.pid) in found["finding"]


@pytest.mark.slow
def test_a_daemon_that_ended_is_a_problem(patient: Patient) -> None:
    """After a stop it says since when, and how to start it."""
    with running(patient.office) as daemon:
        daemon.stop()
    (found,) = told(patient.findings(code=1), "ledger: daemon")
    assert "was stopped, 2" in found["finding"]
    assert found["cure"] == "systemctl start syncd"


@pytest.mark.slow
def test_a_broken_configuration_is_told_whole(patient: Patient) -> None:
    """Each of its problems is a finding, what rests on it is unknown and names it, and it leaves with 78."""
    patient.office.change(
        ("[calendar]", "[calendar]\nhorizont = 3"), ("mode =", "modus =")
    )
    findings = patient.findings(code=78)
    problems = [one for one in findings if one["verdict"] == "problem"]
    check = patient.office.run("check")
    assert len(problems) == len(check.err.splitlines())
    assert problems[0]["because"] is None
    unknown = [one for one in findings if one["verdict"] == "unknown"]
    assert {one["because"] for one in unknown} == {"configuration: valid"}
    groups = {one["group"] for one in unknown}
    assert {"ledger", "sources", "API", "rooms", "people", "rules"} <= groups


@pytest.mark.slow
def test_without_state_and_offline_no_connection_is_made(patient: Patient) -> None:
    """Offline nobody is asked, what needs a connection is named as left out; a missing state is a note."""
    for file in patient.office.folder.glob("state.db*"):
        file.unlink()
    patient.office.forget_requests()
    ran = patient.office.run("doctor", "--offline", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert patient.office.control("requests") == []
    assert "API: reachable" in ran.json["left_out"]
    assert "API" not in {
        one["group"] for one in ran.json["findings"] if one["check"] != "quota"
    }
    assert not patient.state.exists()


@pytest.mark.slow
def test_what_rests_on_what_is_ill_is_unknown(patient: Patient) -> None:
    """With an API that cannot be reached, what needs it is unknown and says so; sources are looked at."""
    patient.office.change((patient.office.url, f"http://127.0.0.1:{_free_port()}"))
    findings = patient.findings(code=69)
    unknown = [one for one in findings if one["verdict"] == "unknown"]
    assert {one["because"] for one in unknown} == {"API: reachable"}
    assert {"rooms", "rules", "people"} <= {one["group"] for one in unknown}
    read = [one for one in findings if one["check"] == "readable"]
    assert [one["verdict"] for one in read] == ["ok"]


def test_a_line_to_paste_is_toml_whatever_the_file_is_called(patient: Patient) -> None:
    """The path of the file that is likely meant is quoted."""
    meant = patient.office.folder / 'offi"ce.ics'
    patient.office.calendar_file.rename(meant)
    findings = patient.findings("--source", "office", code=1)
    (found,) = told(findings, "sources: readable")
    assert tomllib.loads(found["cure"]) == {"path": str(meant)}


@pytest.mark.slow
def test_guests_of_private_meetings_are_not_told(patient: Patient) -> None:
    """Who has no user id is told without the guests of private meetings, as by `unknown`."""
    patient.office.write(
        event(
            "p", ahead(1), 60, "CLASS:PRIVATE", "ATTENDEE:mailto:doctor@clinic.example"
        ),
        event("q", ahead(2), 60, "ATTENDEE:mailto:dave@example.com"),
    )
    ran = patient.office.run("doctor", "--offline")
    assert ("dave@example.com" in ran.out, "clinic" in ran.out) == (True, False)


@pytest.mark.slow
def test_one_source_alone(patient: Patient) -> None:
    """With --source nothing else is looked at but what it rests on; a name that there is not is refused."""
    patient.office.forget_requests()
    findings = patient.findings("--source", "office", code=0)
    assert {one["group"] for one in findings} == {"configuration", "ledger", "sources"}
    assert patient.office.control("requests") == []
    assert patient.office.run("doctor", "--source", "sales").code == 2


def test_all_checks_are_listed(office: Office) -> None:
    """The list names groups and checks, without looking at anything."""
    (office.folder / "syncd.toml").unlink()
    listed = office.run("doctor", "--list", "--json").json["checks"]
    groups = {one["group"] for one in listed}
    assert groups == {
        "configuration",
        "ledger",
        "sources",
        "API",
        "rooms",
        "people",
        "rules",
        "host",
        "page",
        "notices",
    }
    text = office.run("doctor", "--list").out
    assert "data centre" in text


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["80", "120", "0"])
def test_lines_fit(patient: Patient, columns: str) -> None:
    """Sentences fit the terminal; a cure stands in one piece on a line of its own."""
    patient.office.environment = {"COLUMNS": columns, "TERM": "dumb"}
    patient.office.change((patient.ids[SMALL_ROOM], SMALL_ROOM))
    ran = patient.office.run("doctor")
    assert ran.code == 1
    lines = [line for line in ran.out.splitlines() if "->" not in line]
    if columns != "0":
        assert max(map(len, lines)) <= int(columns)
    assert any(line.strip().startswith("-> id = ") for line in ran.out.splitlines())


@pytest.mark.slow
def test_the_secret_stays_where_it_is(patient: Patient) -> None:
    """Neither secret nor path of a feed is shown."""
    patient.feeds.pages["/hush/feed"] = status(404)
    follow(patient.office, feed("office", patient.feeds.url("/hush/feed")))
    ran = patient.office.run("doctor", "--source", "office")
    assert ran.code == 1
    assert "hush" not in ran.out + ran.err
    assert patient.office.client_secret not in ran.out + ran.err
    assert stat.S_IMODE((patient.office.folder / "tuya-secret").stat().st_mode) == 0o600
