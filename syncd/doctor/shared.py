"""Checks of a ledger that is a PostgreSQL database."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator

from syncd.assembly import address_of
from syncd.doctor.finding import Finding, note, unclear, well, wrong
from syncd.doctor.patient import Patient
from syncd.errors import LedgerAhead, LedgerAway, LedgerError, LedgerUnfit


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


def _cure_of(error: LedgerError, name: str) -> str:
    """Return the command, or the line, by which a ledger can be used again."""
    match error:
        case LedgerUnfit() | LedgerAhead():
            _, _, cure = str(error).rpartition(": ")
            return cure.rstrip(".")
        case LedgerAway():
            reached = name.replace("postgresql+psycopg", "postgresql").replace(
                ":***@", "@"
            )
            return f"psql {shlex.quote(reached)}"
        case _:
            return "syncd once"


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
