"""Checks of a ledger that is a PostgreSQL database."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from datetime import timedelta

from syncd.assembly import address_of
from syncd.config import state_url_without_password
from syncd.doctor.finding import Finding, note, unclear, well, wrong
from syncd.doctor.patient import Patient
from syncd.errors import LedgerAhead, LedgerAway, LedgerError, LedgerUnfit
from syncd.views.members import Sharing
from syncd.views.moments import length

_SKEW = timedelta(seconds=5)


def is_usable(patient: Patient) -> Iterator[Finding]:
    """Yield whether the server is reached, lets us in, is fit, and has a ledger of this version."""
    address = address_of(patient.config)
    if patient.offline:
        yield unclear(
            f"The ledger {address.name} is on a server, which is not asked offline.",
            "syncd doctor",
        )
        return
    try:
        size = patient.ledger.size()
        patient.ledger.bookings.current()
    except LedgerError as error:
        yield wrong(str(error), _cure_of(error, address.name))
        return
    about = patient.ledger.server()
    if about is None:
        yield note(f"There is no state at {address.name} yet.", "syncd once")
        return
    yield well(
        f"The ledger {address.name} is of this version and takes {size / 1e6:,.1f} MB ({about})."
    )
    if address.durability == "replicated" and not about.connected:
        yield wrong(
            "No standby follows its server, so nothing can be recorded as durably as state.durability asks, and "
            "everything waits.",
            "SELECT * FROM pg_stat_replication  -- on the primary; then look at the standby's log",
        )


def _cure_of(error: LedgerError, name: str) -> str:
    """Return the command, or the line, by which a ledger can be used again."""
    match error:
        case LedgerUnfit() | LedgerAhead():
            _, _, cure = str(error).rpartition(": ")
            return cure.rstrip(".")
        case LedgerAway():
            named = state_url_without_password(name)
            reached = named.replace("postgresql+psycopg", "postgresql")
            return f"psql {shlex.quote(reached)}"
        case _:
            return "syncd once"


def are_members_well(patient: Patient) -> Iterator[Finding]:
    """Yield whether daemons live on it, one of them writes, and all go by one configuration and one clock."""
    sharing = Sharing.of(patient.ledger, patient.config.api.client_id)
    living = [one for one in sharing.members if one.lives]
    if not living:
        yield wrong("No daemon works on this ledger.", "systemctl start syncd")
        return
    writers = [one.name for one in living if one.is_writer]
    work = "daemon works" if len(living) == 1 else "daemons work"
    if writers:
        yield well(f"{len(living)} {work} on this ledger; {writers[0]} writes.")
    else:
        yield _nobody_writes(sharing)
    for one in sharing.behind:
        yield wrong(
            f"{one.name} ({one.version}, {one.configuration}) goes by an earlier configuration or version than "
            "others, so it neither reads nor writes.",
            f"syncd --config {shlex.quote(one.configuration)} check  # there; then make both files the same",
        )
    ahead = patient.now - sharing.as_of
    if abs(ahead) > _SKEW:
        side = "ahead of" if ahead > timedelta() else "behind"
        yield note(
            f"The clock of this machine is {length(abs(ahead))} {side} that of the database. Leases go by the "
            "database's alone; but logs of several machines are hard to read so.",
            "timedatectl set-ntp true",
        )


def _nobody_writes(sharing: Sharing) -> Finding:
    lease = sharing.lease
    if lease is not None and lease.expires_in_s:
        return well(
            f"{len(sharing.members)} daemons; {lease.daemon} writes, a command that ends soon."
        )
    return wrong(
        "Daemons work on this ledger, and none of them writes: that passes within a minute of a change of the "
        "writer, or the API cannot be used.",
        "syncd status",
    )


def is_place_private(patient: Patient) -> Iterator[Finding]:
    """Yield whether others can read what this machine keeps of it."""
    address = address_of(patient.config)
    open_ones = [
        file
        for file in map(address.beside, (".lock", ".underway", ".notice"))
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077
    ]
    for one in open_ones:
        yield wrong(
            f"{one} can be read by others.", f"chmod 600 {shlex.quote(str(one))}"
        )
    if not open_ones:
        yield well(f"Nobody else can read what is kept in {address.beside('').parent}.")
