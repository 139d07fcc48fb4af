"""The state of the sandbox, in SQLite: in memory, or in a file that survives a kill.

It promises that what a transaction wrote is there after it, also after SIGKILL, and that ids never repeat.
Reservations have columns and indexes of their own, because the conflict check and the lists must not scan;
their former versions are kept for an hour, so that a list can lag behind.
Everything else is a document by kind and id.
It must not decide anything: what is allowed is the business of the operations.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

SNOWFLAKE_EPOCH_MS: Final = 1288834974657
"""The ids printed on the API's pages decode to their creation time with this epoch."""

KEEP_VERSIONS_MS: Final = 3600_000

NORMAL = 1
AWAITING_APPROVAL = 2
CANCELLED = 3
REJECTED = 4


class SandboxUnusable(Exception):
    """The sandbox cannot start; the text is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class StoredReservation:
    """A reservation; names are those of the API, times epoch ms, `notice_time` seconds.

    `room_id` is empty for a meeting without a room.
    `made_by` is add or seize; `ended_by` is empty, manual, release or seize, and `planned_end` the end
    before that.
    """

    reservation_id: int
    topic: str
    start_time: int
    end_time: int
    status: int
    room_id: str
    participants: tuple[str, ...]
    cc_participants: tuple[str, ...]
    notice: bool
    notice_time: int | None
    description: str
    creator: str
    modifier: str
    gmt_create: int
    gmt_modified: int
    attachments: tuple[dict[str, str], ...]
    planned_end: int
    made_by: str = "add"
    ended_by: str = ""

    def ended(self, at: int, by: str, now: int) -> StoredReservation:
        """Return the same meeting, ended early."""
        return replace(self, end_time=at, ended_by=by, gmt_modified=now)


_COLUMNS: Final = tuple(f.name for f in fields(StoredReservation))
_LISTS: Final = ("participants", "cc_participants", "attachments")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS reservations (
    reservation_id INTEGER PRIMARY KEY, topic TEXT, start_time INTEGER, end_time INTEGER, status INTEGER,
    room_id TEXT, participants TEXT, cc_participants TEXT, notice INTEGER, notice_time INTEGER,
    description TEXT, creator TEXT, modifier TEXT, gmt_create INTEGER, gmt_modified INTEGER,
    attachments TEXT, planned_end INTEGER, made_by TEXT, ended_by TEXT,
    written_at INTEGER
);
CREATE INDEX IF NOT EXISTS reservations_by_time ON reservations (start_time);
CREATE INDEX IF NOT EXISTS reservations_by_room ON reservations (room_id, start_time);
CREATE INDEX IF NOT EXISTS reservations_by_length ON reservations (end_time - start_time);
CREATE TABLE IF NOT EXISTS versions AS SELECT *, 0 AS replaced_at FROM reservations WHERE 0;
CREATE INDEX IF NOT EXISTS versions_by_replacement ON versions (replaced_at);
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, kind TEXT, id TEXT, parent TEXT, body TEXT, UNIQUE (kind, id)
);
CREATE INDEX IF NOT EXISTS documents_by_parent ON documents (kind, parent);
CREATE TABLE IF NOT EXISTS tokens (
    access_token TEXT PRIMARY KEY, refresh_token TEXT UNIQUE, expires_at INTEGER, ended INTEGER
);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
"""


class Store:
    """The state; use it as a context manager to make one transaction."""

    def __init__(self, file: Path | None) -> None:
        """Open `file`, or a database in memory.

        Raises:
            SandboxUnusable: the file is no database, cannot be written, or another sandbox has it open.
        """
        try:
            # Opened by the caller's thread, used by the server's: never by both at once.
            self._database = sqlite3.connect(
                file or ":memory:", check_same_thread=False, timeout=1
            )
        except sqlite3.Error as error:
            raise _unusable(file, error) from error
        try:
            # One owner; the write-ahead log survives SIGKILL, and needs no fsync for that.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)
            self._last_id: int = self._database.execute(
                "SELECT max(coalesce((SELECT max(reservation_id) FROM reservations), 0),"
                " coalesce((SELECT max(CAST(id AS INTEGER)) FROM documents), 0))"
            ).fetchone()[0]
        except sqlite3.Error as error:
            self._database.close()
            raise _unusable(file, error) from error

    def __enter__(self) -> Store:
        self._database.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def mint(self, now: int) -> int:
        """Return a new snowflake id: the time (epoch ms) above 22 low bits, above all ids before."""
        of_the_time = (now - SNOWFLAKE_EPOCH_MS) << 22
        self._last_id = max(of_the_time, self._last_id + 1)
        return self._last_id

    # Reservations

    def save(self, reservation: StoredReservation) -> None:
        """Write a reservation; the version that it replaces is kept for lists that lag."""
        written_at = clock()
        changed = self._database.execute(
            "INSERT INTO versions SELECT *, ? FROM reservations WHERE reservation_id = ?",
            (written_at, reservation.reservation_id),
        ).rowcount
        if changed:
            oldest = written_at - KEEP_VERSIONS_MS
            self._database.execute(
                "DELETE FROM versions WHERE replaced_at < ?", (oldest,)
            )
        values = [_to_column(getattr(reservation, name)) for name in _COLUMNS]
        self._database.execute(_SAVE, (*values, written_at))

    def reservation(
        self, reservation_id: str, as_of: int | None = None
    ) -> StoredReservation | None:
        """Return one reservation, now or as it was at `as_of`; None also for what can be no id."""
        if not re.fullmatch(r"[0-9]{1,18}|[1-8][0-9]{18}", reservation_id):
            return None
        values = {"id": int(reservation_id)}
        found = self._select(
            ("reservation_id = :id",), values, as_of, "reservation_id", 1
        )
        return found[0] if found else None

    def holders(
        self, room_id: str, start: int, end: int, *, touching: bool = False
    ) -> list[StoredReservation]:
        """Return the reservations of status 1 and 2 that have the room between two times (epoch ms)."""
        overlap = "start_time <= :end AND end_time >= :start" if touching else _OVERLAP
        clauses = ("room_id = :room", overlap, _NEAR, "status IN (1, 2)")
        values = {
            "room": room_id,
            "start": start,
            "end": end,
            "longest": self._longest(),
        }
        return self._select(clauses, values, None, "start_time")

    def unused_since(self, start: int) -> list[StoredReservation]:
        """Return the normal reservations that began by `start` and that nobody signed in to."""
        clauses = (
            "status = 1 AND room_id != '' AND ended_by = ''",
            "start_time <= :start AND end_time > :start AND start_time >= :start - :longest",
            "NOT EXISTS (SELECT 1 FROM documents WHERE kind = 'sign' AND parent = reservation_id)",
        )
        values = {"start": start, "longest": self._longest()}
        return self._select(clauses, values, None, "start_time")

    def list_reservations(
        self,
        clauses: Sequence[str],
        values: Mapping[str, Any],
        *,
        order: str,
        page: tuple[int, int],
        as_of: int | None,
    ) -> tuple[int, list[StoredReservation]]:
        """Return how many reservations match, and the asked page of them.

        `clauses` are conditions in SQL over the columns with `values` by name; where they limit time they
        may use `:longest`, the greatest length of any meeting (ms).
        """
        values = {**values, "longest": self._longest()}
        source = _source(clauses, as_of)
        everything = f"SELECT count(*) FROM ({source})"  # noqa: S608  # clauses are constants of this package
        row = self._database.execute(everything, {**values, "as_of": as_of}).fetchone()
        total: int = row[0]
        number, size = page
        before = (number - 1) * size
        found = self._select(clauses, values, as_of, order, size, before)
        return total, found

    def all_reservations(self) -> list[StoredReservation]:
        """Return every reservation, in order of creation."""
        return self._select(("1",), {}, None, "reservation_id")

    def _longest(self) -> int:
        row = self._database.execute(
            "SELECT max(end_time - start_time) FROM reservations"
        ).fetchone()
        return int(row[0] or 0)

    def _select(
        self,
        clauses: Sequence[str],
        values: Mapping[str, Any],
        as_of: int | None,
        order: str,
        limit: int = -1,
        offset: int = 0,
    ) -> list[StoredReservation]:
        query = (
            f"{_source(clauses, as_of)} ORDER BY {order} LIMIT :limit OFFSET :offset"
        )
        values = {
            **values,
            "as_of": as_of,
            "limit": limit,
            "offset": offset,
        }
        found = self._database.execute(query, values)
        return [_to_reservation(row) for row in found]

    # Documents: rooms, users, settings, approvals, ...

    def put(
        self, kind: str, document_id: str, body: Mapping[str, Any], parent: str = ""
    ) -> None:
        """Write a document."""
        self._database.execute(
            "INSERT INTO documents (kind, id, parent, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET parent = excluded.parent, body = excluded.body",
            (kind, document_id, parent, json.dumps(body)),
        )

    def get(self, kind: str, document_id: str) -> dict[str, Any] | None:
        """Return one document; None if there is none."""
        row = self._database.execute(
            "SELECT body FROM documents WHERE kind = ? AND id = ?", (kind, document_id)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def all(self, kind: str, parent: str | None = None) -> list[dict[str, Any]]:
        """Return the documents of a kind (and of a parent), in order of creation."""
        query = "SELECT body FROM documents WHERE kind = ? ORDER BY number"
        arguments: tuple[str, ...] = (kind,)
        if parent is not None:
            query = "SELECT body FROM documents WHERE kind = ? AND parent = ? ORDER BY number"
            arguments = (kind, parent)
        found = self._database.execute(query, arguments)
        return [json.loads(body) for (body,) in found]

    def delete(self, kind: str, document_id: str) -> bool:
        """Remove a document; return whether it was there."""
        query = "DELETE FROM documents WHERE kind = ? AND id = ?"
        removed = self._database.execute(query, (kind, document_id))
        return removed.rowcount > 0

    # Tokens and credentials

    def grant(self, expires_at: int) -> tuple[str, str]:
        """Store a new access token with its refresh token, and return both."""
        access_token = secrets.token_hex(16)
        refresh_token = secrets.token_hex(16)
        self._database.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, 0)",
            (access_token, refresh_token, expires_at),
        )
        return access_token, refresh_token

    def token_expiry(self, access_token: str) -> int | None:
        """Return when a token ends (epoch ms), 0 when it was ended; None if it was never issued."""
        row = self._database.execute(
            "SELECT CASE WHEN ended THEN 0 ELSE expires_at END FROM tokens WHERE access_token = ?",
            (access_token,),
        ).fetchone()
        return None if row is None else int(row[0])

    def end_token(self, access_token: str) -> None:
        """End an access token; its refresh token still works."""
        self._database.execute(
            "UPDATE tokens SET expires_at = 0 WHERE access_token = ?", (access_token,)
        )

    def end_pair(self, refresh_token: str) -> bool:
        """End a refresh token and the access token that came with it; return whether it was good."""
        query = "UPDATE tokens SET ended = 1 WHERE refresh_token = ? AND NOT ended"
        ended = self._database.execute(query, (refresh_token,))
        return ended.rowcount > 0

    def end_all_pairs(self) -> None:
        """End every token."""
        self._database.execute("UPDATE tokens SET ended = 1")

    def setting(self, name: str, value: str | None, default: str) -> str:
        """Return a lasting value: the given one, else the stored one, else the default; store it."""
        row = self._database.execute(
            "SELECT value FROM settings WHERE name = ?", (name,)
        ).fetchone()
        chosen = default if row is None else row[0]
        if value is not None:
            chosen = value
        self._database.execute(
            "INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, chosen)
        )
        return str(chosen)


def _unusable(file: Path | None, error: sqlite3.Error) -> SandboxUnusable:
    return SandboxUnusable(
        f"the sandbox database {file} cannot be used ({error}):"
        " name a writable file that no other sandbox has open"
    )


_OVERLAP: Final = "start_time < :end AND end_time > :start"
_NEAR: Final = (
    "start_time >= :start - :longest"  # lets the index skip what is long over
)
_NAMES: Final = ", ".join(_COLUMNS)
_SAVE: Final = (
    f"INSERT OR REPLACE INTO reservations ({_NAMES}, written_at)"  # noqa: S608  # constants
    f" VALUES ({', '.join('?' * len(_COLUMNS))}, ?)"
)


def _source(clauses: Sequence[str], as_of: int | None) -> str:
    """Return SQL for the rows that match: the current ones, or those that were current at `:as_of`."""
    where = " AND ".join(f"({clause})" for clause in clauses)
    current = f"SELECT {_NAMES} FROM reservations WHERE {where}"  # noqa: S608  # constants
    if as_of is None:
        return current
    former = f"SELECT {_NAMES} FROM versions WHERE {where}"  # noqa: S608  # constants
    written = "written_at <= :as_of"
    return f"{current} AND {written} UNION ALL {former} AND {written} AND replaced_at > :as_of"


def _to_column(value: object) -> object:
    return json.dumps(value) if isinstance(value, tuple) else value


def _to_reservation(row: Sequence[Any]) -> StoredReservation:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name]))
    values["notice"] = bool(values["notice"])
    return StoredReservation(**values)


def clock() -> int:
    """Return the time of this machine (epoch ms), with which writes are stamped; faults do not shift it."""
    return time.time_ns() // 1_000_000
