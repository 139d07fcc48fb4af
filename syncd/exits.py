"""Exit codes, and how errors become them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from syncd import streams
from syncd.errors import (
    ApiUnusable,
    ConfigError,
    LedgerAway,
    LedgerLocked,
    LedgerMisplaced,
    LedgerTooNew,
    LedgerUnfit,
    SyncdError,
    TermOver,
)


class Exit(IntEnum):
    """Exit codes; scripts depend on them."""

    OK = 0
    ATTENTION = 1
    USAGE = 2
    CHANGES = 3
    API = 69
    LOCKED = 75
    CONFIG = 78
    INTERRUPTED = 130


@contextmanager
def told_to_people() -> Iterator[None]:
    """Turn our errors into sentences and exit codes; anything else is a defect and keeps its trace."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            streams.complain(problem)
        raise SystemExit(Exit.CONFIG) from None
    except SyncdError as error:
        streams.complain(str(error))
        raise SystemExit(_exit_of(error)) from None
    except KeyboardInterrupt:
        streams.complain(
            "Interrupted; what was sent without an answer is looked up in the next run."
        )
        raise SystemExit(Exit.INTERRUPTED) from None


def _exit_of(error: SyncdError) -> Exit:
    match error:
        case LedgerLocked():
            return Exit.LOCKED
        case LedgerTooNew() | LedgerMisplaced() | LedgerUnfit():
            return Exit.CONFIG
        case ApiUnusable() | LedgerAway() | TermOver():
            return Exit.API
        case _:
            return Exit.ATTENTION
