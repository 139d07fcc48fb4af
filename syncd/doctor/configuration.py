"""Checks of the configuration and of its files."""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from syncd.core.amounts import some
from syncd.doctor.finding import Check, Finding, note, well, wrong
from syncd.doctor.patient import Patient
from syncd.views.toml import toml_text

GOOD = "configuration: valid"
"""The title of the check on which nearly all others rest."""


def _is_valid(patient: Patient) -> Iterator[Finding]:
    file = shlex.quote(str(patient.path))
    edited = f"edit {file}, then: syncd check"
    if not patient.path.exists():
        edited = f"syncd init --output {file}"
    for problem in patient.problems:
        told = problem if problem.endswith("?") else f"{problem.rstrip('.')}."
        yield wrong(told, _line_told(problem) or edited)
    if patient.config_if_good is None:
        return
    config = patient.config
    yield well(
        f"{patient.path} is good: {some(len(config.sources), 'source')}, "
        f"{some(len(config.rooms), 'room')}, {len(config.people.directory)} people."
    )


def _line_told(problem: str) -> str:
    """Return the line that a problem tells to write, with its table; empty if it tells none."""
    place, _, told = problem.partition(": ")
    table, _, key = place.rpartition(".")
    found = re.search(rf"write ({re.escape(key)} = \"[^\"]*\")", told)
    if found is None or not table:
        return ""
    return f"{found[1]}  # in [{table}]"


def _are_files_safe(patient: Patient) -> Iterator[Finding]:
    files = [patient.path.absolute()]
    extra = patient.path.absolute().parent / "conf.d"
    files += sorted(extra.glob("*.toml"))
    if patient.config.people.file is not None:
        files.append(patient.config.people.file)
    open_ones = [file for file in files if _mode(file) & stat.S_IWOTH]
    for file in open_ones:
        yield wrong(
            f"{file} can be written by everybody, who would decide what is booked.",
            f"chmod o-w {shlex.quote(str(file))}",
        )
    people = patient.config.people.file
    if people is not None and _mode(people) & stat.S_IROTH:
        yield note(
            f"{people} can be read by everybody, and it has names and addresses.",
            f"chmod o-r {shlex.quote(str(people))}",
        )
    if not open_ones:
        yield well("Nobody else can write the files of the configuration.")


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def _is_named(patient: Patient) -> Iterator[Finding]:
    reservation = patient.config.reservation
    if reservation.is_named:
        yield well(f"The installation is called {reservation.instance!r} in its marks.")
        return
    yield note(
        f"reservation.instance is not set, so this installation is called {reservation.instance!r} like any "
        "other without a name: a second one on this Tuya project needs another.",
        f"instance = {toml_text(reservation.instance)}  # in [reservation]; say it, and never change it",
    )


def _has_mode(patient: Patient) -> Iterator[Finding]:
    if patient.config.mode == "full":
        yield well("Mode full: all that the calendars say is carried out.")
        return
    yield note(
        f"Mode {patient.config.mode}: not all that the calendars say is carried out.",
        'mode = "full"',
    )


CHECKS_OF_CONFIGURATION = (
    Check("configuration", "valid", "whether the configuration can be used", _is_valid),
    Check(
        "configuration",
        "files",
        "whether others could change it",
        _are_files_safe,
        needs=(GOOD,),
    ),
    Check("configuration", "mode", "what may be written", _has_mode, needs=(GOOD,)),
    Check(
        "configuration",
        "name",
        "whether the installation has a name of its own",
        _is_named,
        needs=(GOOD,),
    ),
)
