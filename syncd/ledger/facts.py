"""Small values that are remembered under names, each written and read in one way.

A fact is stored as a text that a person can read in the database; the texts are those of former versions.
A fact whose value has a type of its own is declared beside that type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection, select

from syncd.core.policy import Repaired
from syncd.errors import LedgerLocked
from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.gate import WritingGate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A name, and how its value is written as a text that is not empty, and read back.

    `decode` raises ValueError, KeyError or TypeError for a text that makes no sense.
    """

    name: str
    encode: Callable[[T], str]
    decode: Callable[[str], T]


class FactStore(Protocol):
    """What keeps facts: the ledger, or what stands before it."""

    def get(self, fact: Fact[T]) -> T | None:
        """Return the value of a fact; None if it has none."""
        ...

    def set(self, fact: Fact[T], value: T | None) -> None:
        """Give a fact a value in place of the one before; None: it has none."""
        ...

    def set_first(self, fact: Fact[T], value: T) -> T:
        """Give a fact a value unless it has one; return the one that it has."""
        ...

    def change(self, fact: Fact[T], changed: Callable[[T | None], T]) -> T:
        """Give a fact the value that follows from the one before, with nobody in between; return it."""
        ...


class Facts:
    """The store of facts; with `cached` they are kept in memory, because nobody else sets any."""

    def __init__(self, database: Database, gate: WritingGate, *, cached: bool) -> None:
        self._database = database
        self._gate = gate
        self._cache: dict[str, str] | None = None
        if cached:
            self._cache = self._all()

    def get(self, fact: Fact[T]) -> T | None:
        """Return the value of a fact; None if it has none."""
        text = self._text_of(fact.name)
        if not text:
            return None
        with self._database.making_sense(f"The fact {fact.name}"):
            return fact.decode(text)

    def set(self, fact: Fact[T], value: T | None) -> None:
        """Give a fact a value in place of the one before; None: it has none."""
        with self._gate.writing() as connection:
            text = put_fact(connection, fact, value)
        self.note(fact, text)

    def set_first(self, fact: Fact[T], value: T) -> T:
        """Give a fact a value unless it has one; return the one that it has."""
        return self.change(fact, lambda known: value if known is None else known)

    def change(self, fact: Fact[T], changed: Callable[[T | None], T]) -> T:
        """Give a fact the value that follows from the one before, with nobody in between; return it."""
        c = tables.facts.c
        of_the_name = {"name": fact.name}
        with self._gate.writing() as connection:
            if self._database.is_shared:
                # There is a row to be locked, whoever comes first.
                nothing = {"value": ""}
                tables.put(connection, tables.facts, of_the_name, of_the_name, nothing)
            query = select(c.value).where(c.name == fact.name)
            text = connection.execute(query).scalar()
            with self._database.making_sense(f"The fact {fact.name}"):
                known = fact.decode(text) if text else None
            value = changed(known)
            text = put_fact(connection, fact, value)
        self.note(fact, text)
        return value

    def note(self, fact: Fact[T], text: str) -> None:
        """Take note of the text that another store wrote with `put_fact`, when that is on disk."""
        if self._cache is not None:
            self._cache[fact.name] = text

    def beginning(self, prefix: str) -> dict[str, str]:
        """Return the texts of the facts whose names begin with a prefix, by the rest of the name."""
        texts = self._all() if self._cache is None else self._cache
        found: dict[str, str] = {}
        for name, text in texts.items():
            if name.startswith(prefix):
                rest = name.removeprefix(prefix)
                found[rest] = text
        return found

    def drop(self, name: str) -> None:
        """Forget a fact."""
        with self._gate.writing() as connection:
            tables.remove(connection, tables.facts, {"name": name})
        if self._cache is not None:
            self._cache.pop(name, None)

    def _text_of(self, name: str) -> str | None:
        if self._cache is not None:
            return self._cache.get(name)
        c = tables.facts.c
        query = select(c.value).where(c.name == name)
        return self._database.scalar(query)

    def _all(self) -> dict[str, str]:
        rows = self._database.rows(select(tables.facts))
        return {row.name: row.value for row in rows}


def put_fact(connection: Connection, fact: Fact[T], value: T | None) -> str:
    """Write a fact in the transaction of another store; returns its text, to be told to `Facts.note`."""
    text = ""
    if value is not None:
        text = fact.encode(value)
    of_the_name = {"name": fact.name}
    tables.put(connection, tables.facts, of_the_name, {"value": text})
    return text


# Moments


def _moment(name: str) -> Fact[datetime]:
    return Fact(name, datetime.isoformat, datetime.fromisoformat)


ADOPTED_AT = _moment("adopted")
"""When a ledger without history was compared with the API."""

BACKED_UP_AT = _moment("backed_up")
"""When a copy of a ledger was made, in the copy alone, until what it says was compared with the API."""

COMPARED_AT = _moment("inspected")
"""When ledger and API were compared last."""

UNPROVEN_AT = _moment("unproven")
"""When a ledger without history asked in vain what is booked."""

UNREAD_SINCE = _moment("unread_since")
"""Since when reservations are written of which some are not read back yet; no value when all are."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """That a shared ledger may lack what it had; `since` a moment of the API's clock, None before it was asked."""

    since: datetime | None = None


def _encode_recovery(recovery: Recovery) -> str:
    return "unsettled" if recovery.since is None else recovery.since.isoformat()


def _decode_recovery(text: str) -> Recovery:
    return Recovery(None if text == "unsettled" else datetime.fromisoformat(text))


RECOVERY = Fact("recovery", _encode_recovery, _decode_recovery)
"""No value when the ledger lacks nothing that it had."""

JUDGED_AT = _moment("judged_at")
"""When it was last judged which events are over."""

PRUNED_ON: Fact[date] = Fact("pruned", date.isoformat, date.fromisoformat)
"""The day on which what is long over was forgotten last."""


# A ledger that is on its way

MOVING: Fact[str] = Fact("moving", str, str)
"""What tells whose ledger arrives here; no value when it has arrived."""


def require_whole(database: Database, name: str) -> None:
    """Raise `LedgerLocked` for a ledger of which only a part has arrived."""
    c = tables.facts.c
    if database.scalar(select(c.value).where(c.name == MOVING.name)):
        raise partly_moved(name)


def partly_moved(name: str) -> LedgerLocked:
    """Return the error that says that only a part of a ledger has arrived, and what to do."""
    return LedgerLocked(
        f"The ledger {name} is being moved here, and not whole yet: run the same `syncd migrate-state` again, "
        "which completes it."
    )


# What a cycle found


@dataclass(frozen=True, slots=True)
class Held:
    """The cancellations that the last cycle held: the checksum of the set, and how many they are."""

    checksum: str | None = None
    cancellations: int = 0


def _encode_held(held: Held) -> str:
    return f"{held.checksum or ''} {held.cancellations}"


def _decode_held(text: str) -> Held:
    checksum, _, cancellations = text.partition(" ")
    return Held(checksum or None, int(cancellations))


HELD = Fact("held", _encode_held, _decode_held)

MissingFiles = dict[str, list[str]]
"""Files by source."""

MISSING_FILES: Fact[MissingFiles] = Fact("missing", json.dumps, json.loads)
"""Which files of directories are gone for a moment."""


def _encode_offset(ahead: timedelta) -> str:
    return f"{ahead.total_seconds():.0f}"


def _decode_offset(text: str) -> timedelta:
    return timedelta(seconds=float(text))


CLOCK_OFFSET = Fact("clock_offset", _encode_offset, _decode_offset)
"""How far our clock is ahead of the API's, in whole seconds, when that is to be said."""


@dataclass(frozen=True, slots=True)
class MaxDay:
    """How many days ahead the tenant lets book (None: without a limit), and when that was asked."""

    days: int | None
    asked_at: datetime


def _encode_max_day(known: MaxDay) -> str:
    days = "" if known.days is None else str(known.days)
    return f"{days} {known.asked_at.isoformat()}"


def _decode_max_day(text: str) -> MaxDay:
    told, _, asked_at = text.partition(" ")
    days = int(told) if told else None
    return MaxDay(days, datetime.fromisoformat(asked_at))


MAX_DAY = Fact("max_day", _encode_max_day, _decode_max_day)


def _encode_repairs(repairs: Mapping[int, Repaired]) -> str:
    by_row = {row: asdict(repaired) for row, repaired in repairs.items()}
    return json.dumps(by_row)


def _decode_repairs(text: str) -> Mapping[int, Repaired]:
    repairs: dict[int, Repaired] = {}
    for row, stored in json.loads(text).items():
        repairs[int(row)] = Repaired(
            origin=stored["origin"],
            fields=tuple(stored["fields"]),
            times=stored["times"],
        )
    return repairs


REPAIRS = Fact("repairs", _encode_repairs, _decode_repairs)
"""What was repaired and is not known to last, by row of its booking."""


# What reading rests on

SALT: Fact[int] = Fact("salt", str, int)
"""A secret number that keeps feeds from provoking equal digests."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What the worklist rests on: this version of the program, its rules, and how far ahead may be booked."""

    program: str
    rules: str
    advance: str

    def has_rules_of(self, other: Basis) -> bool:
        """Return whether another basis has the same program and rules."""
        return self.program == other.program and self.rules == other.rules


def _encode_basis(basis: Basis) -> str:
    return f"{basis.program}\n{basis.rules}\n{basis.advance}"


def _decode_basis(text: str) -> Basis:
    program, _, rest = text.partition("\n")
    rules, _, advance = rest.rpartition("\n")
    return Basis(program, rules, advance)


BASIS = Fact("basis", _encode_basis, _decode_basis)


DEFERRED_AT = _moment("deferred_at")
"""When UIDs were deferred last."""


@dataclass(frozen=True, slots=True)
class PathWord:
    """A word of `syncd.sources.files` about a path, and the path."""

    word: str
    path: str


def _encode_path(known: PathWord) -> str:
    return f"{known.word}\n{known.path}"


def _decode_path(text: str) -> PathWord:
    word, _, path = text.partition("\n")
    return PathWord(word, path)


def path_of(source: str) -> Fact[PathWord]:
    """Return the fact that says what is remembered of the path of a source."""
    return Fact(f"path of {source}", _encode_path, _decode_path)
