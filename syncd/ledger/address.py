"""Where a ledger is: in a file of this machine, or in a database that several machines share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from syncd.errors import LedgerMisplaced

SHARED_SCHEME = "postgresql+psycopg"

Durability = Literal["local", "replicated"]


@dataclass(frozen=True)
class LedgerAddress:
    """The address of a ledger; what it names is judged when the ledger is opened.

    `password` is asked at each new connection, so that it can be rotated; without it that of `url` counts.
    `durability` says whether a standby must have what is recorded.
    `own` is the directory of this machine in which is kept what lies beside a file otherwise.
    """

    url: str = field(repr=False)
    password: Callable[[], str] | None = field(default=None, compare=False, repr=False)
    durability: Durability = "local"
    own: Path | None = None

    @classmethod
    def of(cls, address: str | LedgerAddress) -> LedgerAddress:
        """Return the address at a database URL; an address is returned as it is."""
        return cls(address) if isinstance(address, str) else address

    @cached_property
    def parsed(self) -> URL:
        """Return the URL in its parts; raises `LedgerMisplaced` for one that names no ledger."""
        try:
            parsed = make_url(self.url)
        except ArgumentError:
            raise LedgerMisplaced(
                "state.url is not a database URL: write sqlite:////absolute/path/state.db."
            ) from None
        if parsed.drivername == SHARED_SCHEME:
            return parsed
        if (
            parsed.get_backend_name() != "sqlite"
            or parsed.database in (None, "", ":memory:")
            or parsed.query
        ):
            raise LedgerMisplaced(
                "The ledger is a SQLite file or a PostgreSQL database: set state.url to "
                "sqlite:////absolute/path/state.db or to postgresql+psycopg://user@host/name."
            )
        return parsed

    @property
    def is_shared(self) -> bool:
        """Return whether it is a database that several machines reach, not a file of this one."""
        return self.parsed.drivername == SHARED_SCHEME

    @property
    def name(self) -> str:
        """Return what it is called in what people read; no password is in it."""
        if self.file is not None:
            return str(self.file)
        # Of further parameters some name files of keys; of several hosts it says which.
        shown = {key: said for key, said in self.parsed.query.items() if key == "host"}
        return self.parsed.set(query=shown).render_as_string(hide_password=True)

    @cached_property
    def file(self) -> Path | None:
        """Return the file of the ledger, links followed; None if it is none."""
        named = self.named_file
        return None if named is None else named.resolve()

    @property
    def named_file(self) -> Path | None:
        """Return the file of the ledger as it is named, perhaps a link; None if it is none."""
        if self.is_shared:
            return None
        return Path(str(self.parsed.database)).absolute()

    def beside(self, suffix: str) -> Path:
        """Return the path of what lies beside the ledger on this machine; raises `LedgerMisplaced`."""
        if self.file is not None:
            return Path(f"{self.file}{suffix}")
        if self.own is None:
            raise LedgerMisplaced(
                f"The ledger {self.name} needs a directory on this machine for what belongs to this machine "
                "alone: set $STATE_DIRECTORY."
            )
        apart = self.parsed.set(username=None, password=None)
        digest = hashlib.sha256(apart.render_as_string().encode()).hexdigest()
        return self.own / f"ledger-{digest[:8]}{suffix}"
