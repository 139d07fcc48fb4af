"""The database under the ledger: its owner, its schema, its transactions and its errors.

What differs between the engines is behind `Backend`.
No error of the database or of the file system leaves this module: each becomes a `LedgerError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, RowMapping, Select

from syncd import migrations
from syncd.errors import LedgerAhead, LedgerError, LedgerMisplaced, LedgerTooNew
from syncd.ledger.address import LedgerAddress
from syncd.ledger.postgres_settings import ServerAbout
from syncd.ledger.sqlite_backend import Patience, SqliteBackend

T = TypeVar("T")


class Backend(Protocol):
    """A database engine with one database: how to begin and end a transaction on it, and what its errors mean.

    `where` names the ledger for people, `rebuild` says how to replace it, `foreign` that the database is of
    another program, `server` what its server is. `errors` are what its driver raises.
    """

    is_shared: bool
    where: str
    rebuild: str
    foreign: str
    server: ServerAbout | None
    errors: tuple[type[Exception], ...]

    @property
    def progress(self) -> int:
        """Return the number that the owner set last, kept on this machine; 0 at first."""
        ...

    @progress.setter
    def progress(self, number: int) -> None: ...

    def begin(self, *, writes: bool) -> Connection:
        """Return a connection in a transaction; a transaction that writes has what it needs to be the only one."""
        ...

    def commit(self, connection: Connection) -> None:
        """End a transaction so that what it wrote is durable; raises an error of the driver or `LedgerError`."""
        ...

    def translated(self, error: Exception) -> LedgerError:
        """Return the error of the ledger for one of the driver."""
        ...

    def version(self) -> object:
        """Return a value that equals the one before only if nothing was committed since, by any process."""
        ...

    def require_in_place(self) -> None:
        """Raise `LedgerError` when the owner's database is no longer the one that was opened."""
        ...

    def emptied(self) -> Backend:
        """Return an empty database in memory in place of this one, which is closed; for who does not own it."""
        ...

    def converted_aside(self) -> bool:
        """Have another process bring the schema up to date if that is wanted here; return whether it tried."""
        ...

    def lock_schema(self, connection: Connection) -> None:
        """Let nobody else change the schema until the end of the transaction."""
        ...

    def hold(self) -> None:
        """Begin to hold the database for the owner, once its schema is known; raises `LedgerLocked`."""
        ...

    def size(self, connection: Connection) -> int:
        """Return how many bytes the ledger takes."""
        ...

    def companion(self, suffix: str) -> Path:
        """Create a private file on this machine that belongs to the ledger, unless it is there."""
        ...

    def close(self) -> None:
        """Close it and give up ownership; closing twice does no harm."""
        ...


class Database:
    """An open database with the current schema.

    For the owner each transaction first makes sure that it still is the owner of what was opened.
    """

    def __init__(
        self,
        address: LedgerAddress,
        *,
        owner: bool,
        patience_s: float,
        patience: Patience | None = None,
        converts_aside: bool = False,
        creates: bool = True,
    ) -> None:
        """Open it; see `syncd.ledger.Ledger.open`. With `creates` an owner makes one where there is none."""
        self._is_owner = owner
        self._creates = creates
        self.address = address
        self._backend: Backend
        if address.is_shared:
            # Its driver takes a moment and some memory, which who keeps a file is spared.
            from syncd.ledger.postgres import PostgresBackend

            self._backend = PostgresBackend(address, owner=owner)
        else:
            self._backend = SqliteBackend(
                address,
                owner=owner,
                patience_s=patience_s,
                patience=patience,
                converts_aside=converts_aside,
            )
        self._where = self._backend.where
        try:
            self._bring_up_to_date()
            if owner:
                self._backend.hold()
        except BaseException:
            self.close()
            raise

    @property
    def is_shared(self) -> bool:
        """Return whether several machines reach it; False also where there is no ledger to look at yet."""
        return self._backend.is_shared

    @property
    def progress(self) -> int:
        """Return the number that the owner set last, kept beside the database; 0 at first."""
        return self._backend.progress

    @progress.setter
    def progress(self, number: int) -> None:
        self._backend.progress = number

    def companion(self, suffix: str) -> Path:
        """Create a private file beside the database, unless it is there, and return its path."""
        return self._backend.companion(suffix)

    def close(self) -> None:
        """Close it and give up ownership; closing twice does no harm."""
        self._backend.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that sees one state of the database."""
        with self._transaction(writes=False) as connection:
            yield connection

    def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Return all rows that a query finds."""
        with self.reading() as connection:
            return connection.execute(query).all()

    def mappings(self, query: Select[Any]) -> Sequence[RowMapping]:
        """Return all rows that a query finds, each as a mapping by column."""
        with self.reading() as connection:
            return connection.execute(query).mappings().all()

    def scalar(self, query: Select[T]) -> T | None:
        """Return the first column of the first row that a query finds; None if there is none."""
        with self.reading() as connection:
            return connection.execute(query).scalar()

    def scalars(self, query: Select[T]) -> Sequence[T]:
        """Return the first column of all rows that a query finds."""
        with self.reading() as connection:
            return connection.execute(query).scalars().all()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; it is durable when the block ends, and undone when it raises."""
        with self._transaction(writes=True) as connection:
            yield connection

    def version(self) -> object:
        """Return a value that equals the one before only if nothing was committed since, by any process.

        It is cheap, and raises `LedgerError` when the owner's database is no longer the one that was opened.
        """
        self.require_in_place()
        return self._backend.version()

    def size(self) -> int:
        """Return how many bytes the ledger takes."""
        with self.reading() as connection:
            return self._backend.size(connection)

    def server(self) -> ServerAbout | None:
        """Return what its server is; None for a file, or where there is no ledger yet."""
        return self._backend.server

    def is_of_this_version(self) -> bool:
        """Tell whether its schema still is the one that this version of the program reads."""
        return self._revision() == migrations.HEAD

    def require_in_place(self) -> None:
        """Raise `LedgerError` when the owner's database is no longer the one that was opened."""
        self._backend.require_in_place()

    def unreadable(self, what: str) -> LedgerError:
        """Return the error for something stored that makes no sense."""
        return LedgerError(
            f"{what} of the ledger {self._where} makes no sense: {self._backend.rebuild}."
        )

    @contextlib.contextmanager
    def making_sense(self, what: str) -> Iterator[None]:
        """Raise `LedgerError` when the block finds that something stored makes no sense."""
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise self.unreadable(what) from error

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        backend = self._backend
        backend.require_in_place()
        try:
            with backend.begin(writes=writes) as connection:
                yield connection
                backend.commit(connection)
        except backend.errors as error:
            raise backend.translated(error) from error

    def _revision(self) -> str | None:
        with self.reading() as connection:
            return migrations.revision_of(connection)

    def _bring_up_to_date(self) -> None:
        revision = self._revision()
        if revision == migrations.HEAD:
            return
        if revision is None:
            if not self._is_owner:  # another process is just creating it
                self._backend = self._backend.emptied()
            elif not self._creates:
                raise LedgerError(
                    f"There is no ledger at {self._where} yet: correct its address."
                )
        elif not revision.isdecimal():
            raise LedgerMisplaced(self._backend.foreign)
        elif int(revision) > int(migrations.HEAD):
            raise self._too_new()
        elif not self._is_owner:
            raise LedgerError(
                f"The ledger {self._where} was written by an earlier version of syncd: "
                "start this version's `syncd run` or `syncd once` first, which converts it."
            )
        if self._backend.converted_aside() and self._revision() == migrations.HEAD:
            return
        self._upgrade()

    def _too_new(self) -> LedgerError:
        if self.is_shared:
            return LedgerAhead(
                f"A later version of syncd works on the ledger {self._where} and has converted it: install that "
                "version here too."
            )
        return LedgerTooNew(
            f"The ledger {self._where} was written by a later version of syncd: "
            "install that version, or restore the backup from before the upgrade."
        )

    def _upgrade(self) -> None:
        try:
            with self.writing() as connection:
                self._backend.lock_schema(connection)
                if migrations.revision_of(connection) != migrations.HEAD:
                    migrations.upgrade(connection)
        except ValueError:
            raise LedgerError(self._backend.foreign) from None
