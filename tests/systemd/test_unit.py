"""The unit file and its example drop-in, as systemd's own tools judge them, and as the program is."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from syncd.config import default_path
from tests.conftest import Office
from tests.systemd.machine import CHECKOUT

UNIT = CHECKOUT / "systemd" / "syncd.service"
TEMPLATE = CHECKOUT / "systemd" / "syncd@.service"
EXAMPLE = CHECKOUT / "systemd" / "syncd.service.d" / "example.conf"
PROGRAM = "/opt/syncd/bin/syncd"

analysed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="needs systemd-analyze: apt-get install systemd",
)


def values(key: str) -> list[str]:
    """What the unit sets for a key, once for each time."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def analyse(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze."""
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def verify(
    folder: Path, unit: str, drop_in: str = ""
) -> subprocess.CompletedProcess[str]:
    """Let systemd verify a text of the unit, as if the program were installed."""
    folder.mkdir()
    file = folder / UNIT.name
    file.write_text(unit.replace(PROGRAM, sys.executable))
    if drop_in:
        (folder / "syncd.service.d").mkdir()
        (folder / "syncd.service.d" / "own.conf").write_text(drop_in)
    # Without that option an unknown key is a warning, and the result is success.
    return analyse("verify", "--recursive-errors=no", "--man=no", str(file))


def uncommented() -> str:
    """The example with every setting that it shows."""
    return re.sub(r"^#(?=[A-Z][A-Za-z]+=)", "", EXAMPLE.read_text(), flags=re.MULTILINE)


@analysed
def test_verified(tmp_path: Path) -> None:
    """systemd knows every key and value of the unit; a misspelled key it refuses."""
    good = verify(tmp_path / "good", UNIT.read_text())
    assert (good.returncode, good.stderr) == (0, "")
    assert (
        verify(
            tmp_path / "bad", UNIT.read_text().replace("WatchdogSec", "WatchdogSecs")
        ).returncode
        != 0
    )


@analysed
def test_example_verified(tmp_path: Path) -> None:
    """All that the example drop-in shows is valid with the unit; a misspelled key in it is refused."""
    settings = uncommented()
    assert settings != EXAMPLE.read_text()
    good = verify(tmp_path / "good", UNIT.read_text(), settings)
    assert (good.returncode, good.stderr) == (0, "")
    bad = verify(
        tmp_path / "bad",
        UNIT.read_text(),
        settings.replace("LoadCredential=", "LoadCredentials="),
    )
    assert bad.returncode != 0


def test_example_changes_nothing_by_itself() -> None:
    """Copied without an edit the example sets nothing."""
    settings = [
        line
        for line in EXAMPLE.read_text().splitlines()
        if line and line[0] not in "#["
    ]
    assert settings == []


@analysed
def test_exposure(tmp_path: Path) -> None:
    """The service is exposed at most 1.5 of 10, and without its privileges dropped it would not be."""
    judged = ("security", "--offline=true", "--threshold=15")
    shown = analyse(*judged, str(UNIT))
    assert shown.returncode == 0, shown.stdout
    weaker = tmp_path / UNIT.name
    weaker.write_text(UNIT.read_text().replace("CapabilityBoundingSet=\n", ""))
    assert analyse(*judged, str(weaker)).returncode != 0


@analysed
def test_template_verified_and_as_closed(tmp_path: Path) -> None:
    """systemd knows every key of the unit for several sites, and it is exposed as little as the one for one."""
    file = tmp_path / "syncd@berlin.service"
    file.write_text(TEMPLATE.read_text().replace(PROGRAM, sys.executable))
    good = analyse("verify", "--recursive-errors=no", "--man=no", str(file))
    assert (good.returncode, good.stderr) == (0, "")
    file.write_text(file.read_text().replace("WatchdogSec", "WatchdogSecs"))
    bad = analyse("verify", "--recursive-errors=no", "--man=no", str(file))
    assert bad.returncode != 0
    shown = analyse("security", "--offline=true", "--threshold=15", str(TEMPLATE))
    assert shown.returncode == 0, shown.stdout


def test_sites_share_nothing() -> None:
    """The unit for several sites differs from the other in its names alone, and each of these has the site."""
    one = UNIT.read_text().splitlines()
    several = TEMPLATE.read_text().splitlines()
    said_anew = [
        line for line in several if line not in one and not line.startswith("#")
    ]
    assert said_anew == [
        "Description=Keeps Tuya meeting reservations in step with calendars (%i)",
        "Environment=SYNCD_CONFIG=/etc/syncd/%i/syncd.toml",
        "User=syncd-%i",
        "StateDirectory=syncd-%i",
        "RuntimeDirectory=syncd-%i",
        "WorkingDirectory=%t/syncd-%i",
        "LoadCredential=tuya-secret:/etc/syncd/%i/tuya-secret",
    ]
    settings = [line for line in one if line and not line.startswith("#")]
    assert len(settings) == len(
        [line for line in several if line and not line.startswith("#")]
    )


def test_commands_exist() -> None:
    """Every command that the unit starts is one that the program has."""
    started = [*values("ExecStart"), *values("ExecReload")]
    commands = [
        line.split()[1:] for line in started if line.lstrip("+").startswith(PROGRAM)
    ]
    assert ["run"] in commands
    for command in commands:
        shown = subprocess.run(
            [sys.executable, "-m", "syncd", *command, "--help"],
            capture_output=True,
            check=False,
        )
        assert shown.returncode == 0, (command, shown.stderr)


def test_names_agree() -> None:
    """The configuration, its secret and the group are the same in the unit, the example and the program."""
    assert f"SYNCD_CONFIG={default_path()}" in values("Environment")
    configuration = tomllib.loads((CHECKOUT / "config" / "syncd.toml").read_text())
    name = configuration["api"]["client_secret"]["file"]
    assert values("LoadCredential") == [f"{name}:{default_path().parent / name}"]
    groups = re.findall(
        r"^g (\S+)",
        (CHECKOUT / "systemd" / "sysusers.d" / "syncd.conf").read_text(),
        re.MULTILINE,
    )
    assert values("SupplementaryGroups") == groups


def test_a_bad_configuration_is_not_tried_again(office: Office) -> None:
    """The daemon ends with a code of the unit's RestartPreventExitStatus if its configuration is not good."""
    office.change(("mode", "mood"))
    assert str(office.run("run").code) in values("RestartPreventExitStatus")[0].split()


def test_another_owner_is_waited_for(office: Office) -> None:
    """The daemon ends with a code that lets systemd try again if another process owns the state."""
    with (office.folder / "state.db.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        code = office.run("run").code
    assert code != 0
    assert str(code) not in values("RestartPreventExitStatus")[0].split()
