"""Checks of the ledger and of the daemon that works on it."""

from __future__ import annotations

import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from syncd.assembly import address_of
from syncd.doctor import shared
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, note, well, when, wrong
from syncd.doctor.patient import Patient
from syncd.errors import LedgerError
from syncd.ledger.backup import flaws_in

USABLE = "ledger: usable"
"""The title of the check on which those rest that ask the ledger."""

_LEAST_FREE = 100_000_000  # bytes
_MUCH_FREE = 1_000_000_000


def _is_usable(patient: Patient) -> Iterator[Finding]:
    file = address_of(patient.config).file
    if file is None:
        yield from shared.is_usable(patient)
        return
    try:
        bookings = patient.ledger.bookings
        is_old_copy = bookings.fresh and bool(bookings.current())
    except LedgerError as error:
        yield wrong(str(error), _cure_of(str(error), file))
        return
    if not file.exists():
        yield note(f"There is no state at {file} yet.", "syncd once")
        return
    flaws = flaws_in(file)
    if flaws:
        yield wrong(
            f"The ledger {file} is damaged ({flaws}). Stop syncd, and put a backup back; without one it can "
            "be rebuilt from what Tuya has.",
            _rebuild(file),
        )
        return
    if is_old_copy:
        yield note(
            "The state is an old copy or a backup; the next cycle compares it with the API before it books.",
            "syncd once",
        )
        return
    yield well(f"The ledger {file} is whole and of this version.")


def _cure_of(sentence: str, file: Path) -> str:
    """Return the command that mends a ledger which cannot be opened."""
    if "earlier version" in sentence:
        return "syncd once"
    if "later version" in sentence:
        return "install the later version again, or put the backup from before the upgrade back"
    if "not a ledger" in sentence:
        return f"mv {shlex.quote(str(file))} {shlex.quote(f'{file}.foreign')}"
    if "damaged" in sentence or "makes no sense" in sentence:
        return _rebuild(file)
    return f"ls -ld {shlex.quote(str(file.parent))} {shlex.quote(str(file))}"


def _rebuild(file: Path) -> str:
    """Return the command that puts a ledger aside, whole with what lies beside it, and makes a new one."""
    name = shlex.quote(str(file))
    return f"mv {name} {name}.damaged; rm -f {name}-wal {name}-shm; syncd adopt --apply"


def _are_files_private(patient: Patient) -> Iterator[Finding]:
    file = address_of(patient.config).file
    if file is None:
        yield from shared.is_place_private(patient)
        return
    open_ones: list[Path] = []
    for suffix in ("", "-wal", "-shm", ".lock", ".underway", ".notice"):
        one = Path(f"{file}{suffix}")
        if one.exists() and stat.S_IMODE(one.stat().st_mode) & 0o077:
            open_ones.append(one)
    for one in open_ones:
        yield wrong(
            f"{one} can be read by others, and it has the text of coming meetings.",
            f"chmod 600 {shlex.quote(str(one))}",
        )
    if file.parent.exists() and stat.S_IMODE(file.parent.stat().st_mode) & stat.S_IWOTH:
        yield wrong(
            f"Everybody can put files into {file.parent}, another ledger for example.",
            f"chmod o-w {shlex.quote(str(file.parent))}",
        )
        return
    if not open_ones:
        yield well("Nobody else can read the state.")


def _is_running(patient: Patient) -> Iterator[Finding]:
    if patient.ledger.is_shared:
        yield from shared.are_members_well(patient)
        return
    daemon = patient.ledger.operation.daemon()
    if daemon is None:
        yield note("No daemon has used this state yet.", "systemctl start syncd")
        return
    if not daemon.is_running(patient.now):
        how = "was stopped"
        if daemon.stopped_at is None:
            how = "ended without a word"
        yield wrong(
            f"The daemon is not running; it {how}, {when(daemon.gone_since, patient.now)}.",
            "systemctl start syncd",
        )
        return
    used = Path(daemon.configuration).absolute()
    if used != patient.path.absolute():
        yield note(
            f"The daemon (process {daemon.pid}) uses another configuration, {used}.",
            f"syncd --config {shlex.quote(str(used))} doctor",
        )
        return
    yield well(f"The daemon works, as process {daemon.pid}.")


def _went_well(patient: Patient) -> Iterator[Finding]:
    cycles = patient.ledger.operation.cycles(1)
    if not cycles:
        yield note("There was no cycle yet.", "syncd once")
        return
    (last,) = cycles
    at = when(last.ended_at, patient.now)
    if last.error:
        yield wrong(f"The last cycle failed, {at}: {last.error}.", "syncd once")
        return
    yield well(f"The last cycle went through, {at}.")


def _is_there_space(patient: Patient) -> Iterator[Finding]:
    address = address_of(patient.config)
    file = address.file or address.beside("")
    free = shutil.disk_usage(file.parent).free
    size = file.stat().st_size if file.exists() else 0
    told = f"{free / 1e6:,.0f} MB are free where the state is."
    if free < max(_LEAST_FREE, size // 2):
        yield wrong(
            f"Only {told} A full disk ends the daemon.",
            f"df -h {shlex.quote(str(file.parent))}",
        )
    elif free < _MUCH_FREE:
        yield note(f"Only {told}", f"df -h {shlex.quote(str(file.parent))}")
    else:
        yield well(told)


CHECKS_OF_STATE = (
    Check(
        "ledger", "usable", "whether the state can be used", _is_usable, needs=(GOOD,)
    ),
    Check(
        "ledger",
        "files",
        "whether others can read or replace the state",
        _are_files_private,
        needs=(GOOD,),
    ),
    Check(
        "ledger",
        "disk",
        "whether there is space for the state",
        _is_there_space,
        needs=(GOOD,),
    ),
    Check(
        "ledger",
        "daemon",
        "whether a daemon works on this state",
        _is_running,
        needs=(GOOD, USABLE),
    ),
    Check(
        "ledger",
        "last cycle",
        "whether the last cycle went through",
        _went_well,
        needs=(GOOD, USABLE),
    ),
)
