"""What a daemon may do on its ledger at this moment: write or read alone, which sources, and by which clock.

A ledger in a file has one owner, which is `Alone` with it; of a shared one `syncd.daemon.membership` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from syncd.assembly import utc_now


class Changed(StrEnum):
    """What became otherwise since the last step: a term began, or other sources are read here."""

    TERM = "term"
    SOURCES = "sources"


@dataclass(frozen=True, slots=True)
class Term:
    """One time for which a daemon is the writer; `trusted` tells whether it may send to the API now.

    It is handed to what works in this term, so that what is left of an earlier one can do nothing.
    """

    name: str
    trusted: Callable[[], bool]


class Mandate(Protocol):
    """What the work may do; asked by its own thread.

    `term` is None for who is not the writer, `sources` are those that are read here; None: all of them.
    """

    @property
    def term(self) -> Term | None: ...
    @property
    def sources(self) -> frozenset[str] | None: ...

    def now(self) -> datetime:
        """Return the present by the clock that goes into the ledger."""
        ...

    def note_api(self, *, unreachable: bool) -> None:
        """Note whether the API could be reached by a cycle that ended."""
        ...


class Alone:
    """The owner of a ledger in a file: the writer for as long as it lives, which reads everything."""

    term = Term("", lambda: True)
    sources = None

    def now(self) -> datetime:
        """Return the present in UTC."""
        return utc_now()

    def note_api(self, *, unreachable: bool) -> None:
        """Do nothing: nobody else could do better."""
