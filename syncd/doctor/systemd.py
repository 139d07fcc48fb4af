"""What systemd knows of our service on this machine; nothing where there is no systemd."""

from __future__ import annotations

import grp
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PATIENCE_S = 10.0
_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts,ExecMainStatus,"
    "SupplementaryGroups,Environment,DynamicUser,StatusText"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A service as `systemctl show` tells; `groups` are the ids of its further groups."""

    name: str
    properties: Mapping[str, str]
    groups: frozenset[int]


def unit_of(configuration: Path) -> Unit | None:
    """Return the installed service that uses a configuration file; None if there is none."""
    for unit in installed_units():
        used = unit.properties.get("Environment", "")
        if f"SYNCD_CONFIG={configuration.absolute()}" in used.split():
            return unit
    return None


@cache
def installed_units() -> tuple[Unit, ...]:
    """Return our services, those of the template too, that systemd has loaded or could load."""
    if not has_systemd():
        return ()
    names = ["syncd.service", *_instances()]
    units: list[Unit] = []
    for name in names:
        properties = _properties(name)
        if properties.get("LoadState") == "loaded":
            groups = _ids(properties.get("SupplementaryGroups", ""))
            units.append(Unit(name, properties, groups))
    return tuple(units)


def has_systemd() -> bool:
    """Tell whether systemd is the manager of this machine."""
    return Path("/run/systemd/system").is_dir() and bool(shutil.which("systemctl"))


def said_by(*command: str) -> str | None:
    """Return what a command prints; None if it is not there, fails or takes too long."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # commands of ours
            [program, *command[1:]],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _instances() -> list[str]:
    listed = said_by(
        "systemctl", "list-units", "--all", "--plain", "--no-legend", "syncd@*.service"
    )
    return [line.split()[0] for line in (listed or "").splitlines() if line.split()]


def _properties(name: str) -> dict[str, str]:
    shown = said_by("systemctl", "show", name, f"--property={_PROPERTIES}")
    pairs = (line.partition("=") for line in (shown or "").splitlines())
    return {key: value for key, _, value in pairs}


def _ids(names: str) -> frozenset[int]:
    found: set[int] = set()
    for name in names.split():
        with suppress(KeyError):
            found.add(grp.getgrnam(name).gr_gid)
    return frozenset(found)
