"""Small texts that are remembered under names."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.gate import Gate


class Facts:
    """The store of facts; with `cached` they are kept in memory, because nobody else sets any."""

    def __init__(self, database: Database, gate: Gate, *, cached: bool) -> None:
        self._database = database
        self._gate = gate
        self._cache: dict[str, str] | None = self._all() if cached else None

    def get(self, name: str) -> str | None:
        """Return the text that was set under a name; None if none was."""
        if self._cache is not None:
            return self._cache.get(name)
        query = select(tables.facts.c.value).where(tables.facts.c.name == name)
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def set(self, name: str, value: str) -> None:
        """Remember a text under a name, in place of the one before."""
        with self._gate.writing() as connection:
            put_fact(connection, name, value)
        self.note(name, value)

    def note(self, name: str, value: str) -> None:
        """Take note of a fact that another store wrote with `put_fact`, when that is on disk."""
        if self._cache is not None:
            self._cache[name] = value

    def beginning(self, prefix: str) -> dict[str, str]:
        """Return the facts whose names begin with a prefix, by the rest of the name."""
        facts = self._all() if self._cache is None else self._cache
        return {name.removeprefix(prefix): value for name, value in facts.items() if name.startswith(prefix)}

    def drop(self, name: str) -> None:
        """Forget a fact."""
        with self._gate.writing() as connection:
            connection.execute(delete(tables.facts).where(tables.facts.c.name == name))
        if self._cache is not None:
            self._cache.pop(name, None)

    def _all(self) -> dict[str, str]:
        with self._database.reading() as connection:
            return {row.name: row.value for row in connection.execute(select(tables.facts))}


def put_fact(connection: Connection, name: str, value: str) -> None:
    """Write a fact in the transaction of another store; `Facts.note` it afterwards."""
    tables.put(connection, tables.facts, {"name": name}, {"value": value})
