"""Checks of the machine: its service, its clock and what it knows of time zones."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path

from syncd.core.amounts import some
from syncd.doctor.finding import Check, Finding, note, well, wrong
from syncd.doctor.patient import Patient
from syncd.doctor.systemd import Unit, has_systemd, installed_units, said_by

_OLD_YEARS = 2  # of data about time zones: rules of some country have changed since


def _is_service_well(_patient: Patient) -> Iterator[Finding]:
    if not has_systemd():
        yield note("systemd does not run here, so nothing starts syncd by itself.")
        return
    units = installed_units()
    if not units:
        yield note(
            "The service is not installed.",
            "install -D -m 644 systemd/syncd.service /etc/systemd/system/syncd.service "
            "&& systemctl daemon-reload",
        )
        return
    for unit in units:
        yield from _told(unit)


def _told(unit: Unit) -> Iterator[Finding]:
    found = unit.properties
    state = found.get("ActiveState", "")
    if state == "failed":
        yield wrong(
            f"{unit.name} failed ({found.get('Result')}, exit status {found.get('ExecMainStatus')}).",
            f"journalctl -u {unit.name} -n 50; then: systemctl reset-failed {unit.name} "
            f"&& systemctl start {unit.name}",
        )
        return
    if state != "active":
        yield wrong(
            f"{unit.name} is installed and {state or 'not running'}.",
            f"systemctl enable --now {unit.name}",
        )
        return
    if found.get("UnitFileState") not in {"enabled", "enabled-runtime", "static"}:
        yield note(
            f"{unit.name} works, and does not start with the machine.",
            f"systemctl enable {unit.name}",
        )
    restarts = found.get("NRestarts", "0")
    if restarts not in {"", "0"}:
        yield note(
            f"{unit.name} was started again {some(int(restarts), 'time')}.",
            f"journalctl -u {unit.name} -p warning",
        )
    yield well(f"{unit.name}: {found.get('StatusText') or found.get('SubState')}")


def _are_zones_current(_patient: Patient) -> Iterator[Finding]:
    try:
        zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        yield wrong("This machine knows no time zones.", "apt-get install -y tzdata")
        return
    version = _version()
    if version is None:
        yield note("How old the data about time zones is, it does not tell.")
        return
    year = int(version[:4])
    if year < datetime.now().astimezone().year - _OLD_YEARS:
        yield wrong(
            f"The data about time zones is of {year}, so meetings may be at a wrong hour.",
            "apt-get install -y --only-upgrade tzdata",
        )
        return
    yield well(f"The data about time zones is version {version}.")


def _version() -> str | None:
    """Return the version of the data that is used: that of the system, else that of the package."""
    for place in zoneinfo.TZPATH:
        for name in ("tzdata.zi", "+VERSION"):
            file = Path(place) / name
            if file.is_file():
                with file.open(encoding="ascii", errors="replace") as opened:
                    found = re.search(r"\b(20\d\d[a-z])\b", opened.readline())
                if found:
                    return found[1]
        if (Path(place) / "UTC").exists():
            return None
    told = getattr(import_module("tzdata"), "IANA_VERSION", None)
    return str(told) if told else None


def _is_clock_kept(_patient: Patient) -> Iterator[Finding]:
    told = said_by("timedatectl", "show", "--property=NTPSynchronized", "--value")
    match (told or "").strip():
        case "yes":
            yield well("The clock is kept by NTP.")
        case "no":
            yield note(
                "The clock of this machine is not kept by NTP.",
                "timedatectl set-ntp true",
            )
        case _:
            yield note("Whether the clock is kept by NTP, systemd does not tell here.")


CHECKS_OF_HOST = (
    Check("host", "service", "whether systemd runs it", _is_service_well),
    Check(
        "host",
        "time zones",
        "whether what is known of them is current",
        _are_zones_current,
    ),
    Check("host", "clock", "whether something keeps the clock right", _is_clock_kept),
)
