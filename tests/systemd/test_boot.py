"""The service on a real Debian 12: installed as its page says, started, reloaded, killed, hung and stopped.

One machine for all; each test leaves the service as it found it, running.
The API is a sandbox on the loopback that host and machine share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox import Sandbox
from tests.conftest import CONFIGURATION, Office, ahead, calendar, event
from tests.systemd.machine import CHECKOUT, Machine, Unbootable, booted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TOPIC = "Takeover of Initech"
DROP_INS = Path("etc/systemd/system/syncd.service.d")


class Installed:
    """The machine, the office whose calendar it follows, and the service between them."""

    def __init__(self, machine: Machine, office: Office) -> None:
        self.machine = machine
        self.office = office
        self.calendar = machine.root / "srv/calendars/office.ics"

    def write(self, *events: str) -> None:
        """Replace the calendar by renaming, as writers that care do."""
        new = self.calendar.with_suffix(".new")
        new.write_bytes(calendar(*events))
        new.chmod(0o640)
        new.rename(self.calendar)

    def drop_in(self, name: str, text: str) -> None:
        """Put a drop-in in place; no text takes it away."""
        file = self.machine.root / DROP_INS / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text) if text else file.unlink()
        self.machine.run("systemctl", "daemon-reload")

    def until_booked(self, number: int) -> None:
        """Wait until the API holds so many live reservations."""
        self.machine.until(
            lambda: len(self.office.reservations()) == number, f"{number} reservations"
        )

    def until_state(self, state: str) -> None:
        """Wait for a state of the unit."""
        self.machine.until(lambda: self.machine.property("ActiveState") == state, state)

    def until_status(self, text: str) -> None:
        """Wait until the STATUS holds a text."""
        self.machine.until(
            lambda: text in self.machine.property("StatusText"), f"STATUS with {text!r}"
        )


def shell_blocks(heading: str) -> list[str]:
    """Return what systemd/README.md lets people type in a section."""
    text = (CHECKOUT / "systemd" / "README.md").read_text()
    section = re.search(
        rf"^##+ {heading}$(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert section, f"systemd/README.md has a section {heading!r}"
    return re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """A machine on which systemd/README.md was followed up to the start of the service."""
    try:
        with (
            booted(tmp_path_factory.mktemp("systemd")) as machine,
            Sandbox().running() as api,
        ):
            *preparing, secret, start = shell_blocks("Installation as a service")
            for block in preparing:
                machine.run("sh", "-ec", block)
            machine.run("sh", "-ec", secret, stdin=api.client_secret + "\n")
            office = Office(
                machine.root / "etc/syncd", api.url, api.client_id, api.client_secret
            )
            office.configure(
                CONFIGURATION,
                (
                    'path = "office.ics"',
                    'path = "/srv/calendars/office.ics"\ninterval = "6h"',
                ),
            )
            # A share that only a group may read.
            machine.run("groupadd", "--system", "calendars")
            machine.run(
                "install",
                "--directory",
                "--mode=2750",
                "--group=calendars",
                "/srv/calendars",
            )
            parts = Installed(machine, office)
            parts.write(event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"))
            parts.drop_in(
                "calendars.conf", "[Service]\nSupplementaryGroups=calendars\n"
            )
            machine.run("sh", "-ec", start)
            yield parts
    except Unbootable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def service(installed: Installed) -> Iterator[Installed]:
    """The running service with one reservation; afterwards it has to be found running again."""
    installed.until_booked(1)
    installed.until_state("active")
    installed.office.forget_requests()
    yield installed
    assert installed.machine.property("ActiveState") == "active", (
        installed.machine.journal()
    )


def test_started(service: Installed) -> None:
    """Installed as its page says it is active, enabled, tells its state in a sentence and has booked."""
    machine = service.machine
    assert machine.run("systemctl", "is-enabled", "syncd").stdout.strip() == "enabled"
    service.until_status("1 booked")
    assert machine.property("NRestarts") == "0"
    assert [r["topic"] for r in service.office.reservations()] == [TOPIC]


def test_what_it_is_and_sees(service: Installed) -> None:
    """It runs as a passing user without any capability, and its ledger is closed to others."""
    machine = service.machine
    status = machine.run("cat", f"/proc/{machine.property('MainPID')}/status").stdout
    uids = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
    assert uids
    assert 61184 <= int(uids[1]) <= 65519  # systemd.exec(5), DynamicUser=
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert machine.run("stat", "--format=%a", "/var/lib/syncd/").stdout.strip() == "700"
    assert (
        machine.run("stat", "--format=%a", "/var/lib/syncd/state.db").stdout.strip()
        == "600"
    )


def test_a_file_event_wakes_it(service: Installed) -> None:
    """A calendar that was replaced is noticed at once, through all the walls around the service."""
    service.write(
        event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"), event("second", ahead(3))
    )
    service.until_booked(2)
    service.write(event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"))
    service.until_booked(1)


def test_a_share_that_is_mounted_later(service: Installed) -> None:
    """A file system that is mounted while the service runs is seen by it, and so is its going."""
    machine = service.machine
    machine.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/srv/calendars")
    both = calendar(
        event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"), event("second", ahead(3))
    )
    machine.run("sh", "-ec", "cat > /srv/calendars/office.ics", stdin=both.decode())
    service.until_booked(2)
    machine.run("umount", "/srv/calendars")
    service.until_booked(1)


def test_commands_beside_it(service: Installed) -> None:
    """Root's `syncd status` looks at the ledger of the service; `syncd once` is told that it has an owner."""
    told = service.machine.run("syncd", "status", "--json", check=False)
    assert '"state": "booked"' in told.stdout, told.stderr
    assert service.machine.run("syncd", "once", check=False).returncode == 75


def test_reload(service: Installed) -> None:
    """`systemctl reload` takes a changed configuration over and the service is active again."""
    process = service.machine.property("MainPID")
    service.office.change(('interval = "6h"', 'interval = "7h"'))
    service.machine.run("systemctl", "reload", "syncd")
    service.machine.until(
        lambda: "configuration taken over" in service.machine.journal(), "a reload"
    )
    service.until_state("active")
    assert service.machine.property("MainPID") == process
    assert service.office.writes() == []


def test_refused_reload(service: Installed) -> None:
    """A configuration that is not good makes the reload fail, is named, and the service goes on as it was."""
    machine = service.machine
    process = machine.property("MainPID")
    service.office.change(("interval", "intervall"))
    try:
        assert machine.run("systemctl", "reload", "syncd", check=False).returncode != 0
        assert "intervall" in machine.journal()
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", "syncd")
        service.until_status("configuration refused")
        service.until_state("active")
        assert machine.property("MainPID") == process
    finally:
        service.office.change(("intervall", "interval"))
    service.until_status("1 booked")


def test_killed(service: Installed) -> None:
    """A kill is followed by a new start, and by no second booking."""
    machine = service.machine
    before = service.office.reservations()
    process, restarts = machine.property("MainPID"), int(machine.property("NRestarts"))
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "syncd")
    machine.until(
        lambda: int(machine.property("NRestarts")) == restarts + 1, "a restart"
    )
    service.until_state("active")
    service.until_status("1 booked")
    assert machine.property("MainPID") != process
    assert service.office.reservations() == before
    assert service.office.writes() == []


def test_killed_while_booking(service: Installed) -> None:
    """A kill between a request and its answer leaves one reservation, adopted after the new start."""
    machine = service.machine
    service.office.fault("slow:seconds=600,on=create")
    service.write(
        event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"), event("second", ahead(3))
    )
    machine.until(lambda: "create" in " ".join(service.office.writes()), "a create")
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "syncd")
    service.office.fault()
    machine.until(lambda: '"event": "adopted"' in machine.journal(), "an adoption")
    assert len(service.office.reservations()) == 2
    assert len(service.office.writes()) == 1
    service.write(event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"))
    service.until_booked(1)


def test_hung(service: Installed) -> None:
    """A process that hangs is ended by the watchdog and started again, without a second booking."""
    machine = service.machine
    service.drop_in("hasty.conf", "[Service]\nWatchdogSec=30s\n")
    machine.run("systemctl", "restart", "syncd")
    service.until_status("1 booked")
    restarts = int(machine.property("NRestarts"))
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "syncd")
    machine.until(
        lambda: int(machine.property("NRestarts")) == restarts + 1, "the watchdog"
    )
    assert "Watchdog timeout" in machine.journal()
    service.until_state("active")
    service.until_status("1 booked")
    assert service.office.writes() == []
    service.drop_in("hasty.conf", "")
    machine.run("systemctl", "restart", "syncd")


def test_a_calendar_that_ends_it_twice_is_set_aside(service: Installed) -> None:
    """A calendar in whose reading the process is killed twice costs two starts; its neighbour is booked."""
    machine = service.machine
    folder = machine.root / "srv/calendars"
    # Looked through line by line, some seconds.
    odd = event("odd", ahead(2)).replace("DTSTAMP", "dtstamp")
    poison = calendar(*[odd.replace("UID:odd", f"uid:odd-{n}") for n in range(15_000)])
    for name, body in (("poison", poison), ("good", calendar(event("good", ahead(4))))):
        (folder / f"{name}.ics").write_bytes(body)
        (folder / f"{name}.ics").chmod(0o644)
    tables = [
        f'[[sources]]\nname = "{name}"\npath = "/srv/calendars/{name}.ics"\ninterval = "6h"\n'
        for name in ("poison", "good")
    ]
    part = machine.root / "etc/syncd/conf.d/poison.toml"
    service.drop_in("lively.conf", "[Service]\nRestartSec=1s\n")
    machine.run("systemctl", "stop", "syncd")
    part.write_text("".join(tables))
    machine.run("systemctl", "start", "--no-block", "syncd")
    under_way = machine.root / "var/lib/private/syncd/state.db.underway"
    for deaths in (1, 2):
        machine.until(
            lambda: (
                under_way.exists()
                and '"poison"' in under_way.read_text().partition("\n")[0]
            ),
            "the poison is being read",
        )
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "syncd")
        machine.until(
            lambda n=deaths: f'"deaths": {n}' in machine.journal(),  # type: ignore[misc]  # no type can be written
            f"death {deaths} is known",
        )
    service.until_booked(2)
    service.until_status("unreadable: poison")
    told = machine.run("syncd", "status", check=False)
    assert told.returncode == 1
    assert "set aside, because syncd ended 2 times while reading it" in " ".join(
        told.stdout.split()
    )
    (folder / "good.ics").write_bytes(
        calendar(event("good", ahead(4), 60, "STATUS:CANCELLED"))
    )
    service.until_booked(1)
    part.unlink()
    service.drop_in("lively.conf", "")
    machine.run("systemctl", "restart", "syncd")
    service.until_status("1 booked")


@pytest.mark.parametrize("fault", [None, "slow:seconds=3600,on=write"])
def test_stopped(service: Installed, fault: str | None) -> None:
    """A stop is orderly and over within ten seconds, even in the middle of a call."""
    machine = service.machine
    if fault:
        service.office.fault(fault)
        service.write(event("first", ahead(2), 45, f"SUMMARY:{TOPIC}"))
        machine.until(lambda: service.office.writes() != [], "a call")
    machine.run("systemctl", "stop", "syncd")
    # While the call is still held up, and before systemd lost its patience.
    assert machine.property("ActiveState") == "inactive"
    assert (machine.property("Result"), machine.property("ExecMainStatus")) == (
        "success",
        "0",
    )
    service.office.fault()
    machine.run("systemctl", "start", "syncd")
    service.until_status("1 booked")
    assert len(service.office.reservations()) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [("etc/syncd/syncd.toml", "78"), ("etc/syncd/tuya-secret", "243")],
    ids=["78", "243"],
)
def test_what_a_person_has_to_mend(service: Installed, path: str, code: str) -> None:
    """Without configuration or secret the start fails with its code and is not tried over and over."""
    machine = service.machine
    machine.run("systemctl", "stop", "syncd")
    file = machine.root / path
    file.rename(file.with_suffix(".away"))
    assert machine.run("systemctl", "start", "syncd", check=False).returncode != 0
    machine.until(lambda: machine.property("ActiveState") == "failed", "failed")
    assert machine.property("ExecMainStatus") == code
    file.with_suffix(".away").rename(file)
    machine.run("systemctl", "start", "syncd")


def test_waits_for_another_owner(service: Installed) -> None:
    """While another syncd owns the state the start is tried again until that one is done."""
    machine = service.machine
    machine.run("systemctl", "stop", "syncd")
    owner = "import fcntl, time; f = open('/var/lib/syncd/state.db.lock', 'r+'); fcntl.lockf(f, 2); time.sleep(8)"
    machine.run("systemd-run", "--unit=another", "python3", "-c", owner)
    assert machine.run("systemctl", "start", "syncd", check=False).returncode != 0
    assert machine.property("ExecMainStatus") == "75"
    service.until_state("active")


def test_nothing_private_and_no_traceback(service: Installed) -> None:
    """All that the journal holds after all this names no topic, no secret and no defect."""
    journal = service.machine.journal()
    assert "Traceback" not in journal
    assert TOPIC not in journal
    assert service.office.client_secret not in journal


# Back up, restore, upgrade, roll back, remove, two sites: what the page lets people type


def followed(service: Installed, heading: str, *changes: tuple[str, str]) -> None:
    """Do in the machine what a section of the page says, with its example dates made true."""
    (block,) = shell_blocks(heading)
    for old, new in changes:
        assert old in block
        block = block.replace(old, new)
    service.machine.run("sh", "-ec", block)


def examined(service: Installed, check: str) -> list[dict[str, Any]]:
    """What the doctor finds in the machine about one check."""
    ran = service.machine.run("syncd", "doctor", "--json", check=False)
    found: list[dict[str, Any]] = json.loads(ran.stdout)["findings"]
    return [one for one in found if f"{one['group']}: {one['check']}" == check]


def standing(service: Installed) -> dict[str, Any]:
    """How the doctor finds the service; that it was started again, and other sites, are told beside it."""
    told = examined(service, "host: service")
    own = [one for one in told if "syncd.service" in one["finding"]]
    (now,) = [one for one in own if "was started again" not in one["finding"]]
    return now


def test_the_doctor_knows_the_service(service: Installed) -> None:
    """It tells how the service stands, and a calendar that the service may not read with the cure."""
    found = standing(service)
    assert found["verdict"] == "ok"
    (found,) = examined(service, "sources: rights")
    assert found["verdict"] == "ok"
    service.calendar.chmod(0o600)
    (found,) = examined(service, "sources: rights")
    assert found["verdict"] == "problem"
    service.machine.run("sh", "-ec", found["cure"])
    (found,) = examined(service, "sources: rights")
    assert found["verdict"] == "ok"
    service.calendar.chmod(0o640)
    service.machine.run("systemctl", "stop", "syncd")
    found = standing(service)
    assert found["verdict"] == "problem"
    service.machine.run("sh", "-ec", found["cure"])
    service.until_state("active")


def copies(service: Installed) -> list[str]:
    """The backups that were made, by name."""
    return sorted(
        file.name for file in (service.machine.root / "srv/backup").glob("*.db")
    )


def test_backed_up_and_restored(service: Installed) -> None:
    """A backup of the running service is put back as the page says; what came after it is not booked twice."""
    followed(service, "Back up")
    (name,) = copies(service)
    service.write(
        event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"), event("second", ahead(3))
    )
    service.until_booked(2)
    service.office.forget_requests()
    # Its plan may have something to say, which is no failure.
    followed(
        service,
        "Restore",
        ("syncd-2026-12-01.db", name),
        ("doctor", "doctor || true"),
        ("plan", "plan || true"),
    )
    service.until_status("2 booked")
    assert service.office.writes() == []
    assert len(service.office.reservations()) == 2
    service.write(event("first", ahead(2), 60, f"SUMMARY:{TOPIC}"))
    service.until_booked(1)


def test_upgraded_and_rolled_back(service: Installed) -> None:
    """The program is replaced and comes back as the page says, and goes on with what is booked."""
    followed(service, "Upgrade", ("syncd doctor", "syncd doctor || true"))
    service.until_status("1 booked")
    followed(service, "Roll back")
    service.until_status("1 booked")
    assert len(service.office.reservations()) == 1


def test_two_sites(service: Installed) -> None:
    """A second site of the template has its own state, user and mark, and does not disturb the first."""
    machine = service.machine
    (block,) = shell_blocks("Two sites")
    *preparing, check, start = block.splitlines(keepends=True)
    machine.run("sh", "-ec", "".join(preparing), stdin=service.office.client_secret)
    folder = machine.root / "etc/syncd/berlin"
    for line in ("people.csv", "syncd.toml"):
        assert (folder / line).exists()
    text = (machine.root / "etc/syncd/syncd.toml").read_text()
    text = text.replace('instance = "hq"', 'instance = "berlin"')
    text = text.replace("/srv/calendars/office.ics", "/srv/berlin.ics")
    (folder / "syncd.toml").write_text(text)
    (machine.root / "srv/berlin.ics").write_bytes(
        calendar(event("theirs", ahead(4), 60, room="large"))
    )
    machine.run("sh", "-ec", check + start)
    service.until_booked(2)
    machine.run("systemctl", "stop", "syncd")
    uses = machine.run("stat", "--format=%a", "/var/lib/syncd-berlin/").stdout.strip()
    assert uses == "700"
    machine.run("systemctl", "start", "syncd")
    service.until_status("1 booked")
    assert len(service.office.reservations()) == 2
    machine.run("systemctl", "disable", "--now", "syncd@berlin")


def test_removed(installed: Installed) -> None:
    """Removed as the page says, nothing of it runs or is started, and its state is still there."""
    followed(installed, "Remove")
    machine = installed.machine
    assert machine.property("LoadState") == "not-found"
    assert (machine.root / "var/lib/private/syncd/state.db").exists()
    assert not (machine.root / "opt/syncd").exists()
