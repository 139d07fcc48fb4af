"""Brings the schema of a ledger up to date in a process of its own.

What converts a ledger, Alembic with the dialects of databases that are not used here and a template language
with its highlighter, is 12 MB of modules. A process that lives for months would keep them for the minute in
which it created its ledger; Python gives back no memory of modules that were forgotten again, or little of it.

The conversion is one transaction, whoever makes it: a kill of either process leaves the old schema or the new
one. Nothing is told of what fails in here, because who opens the ledger then tries it itself, and says why.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from syncd import migrations
from syncd.ledger.sqlite import begin_transaction, open_engine

_PATIENCE_S = 5.0  # for the lock of another process


def convert_aside(file: Path) -> None:
    """Have another process bring the database in a file up to date, and wait for its end."""
    call = f"from {__name__} import convert; convert({str(file)!r})"
    script = f"import sys; sys.path = {sys.path!r}; {call}"
    # In a group of its own, because Ctrl-C goes to a whole group and is for this process to act on.
    with contextlib.suppress(OSError):  # no process is to be had now
        subprocess.run(  # noqa: S603  # this interpreter and our own module
            [sys.executable, "-c", script],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )


def convert(file: str) -> None:
    """Bring the database in a file up to date."""
    engine = open_engine(Path(file), _PATIENCE_S, owner=True)
    try:
        writer = engine.execution_options(writes=True)
        with begin_transaction(writer, look=False) as connection:
            migrations.upgrade(connection)
            connection.commit()
    finally:
        engine.dispose()
