"""How the program runs on this ledger: the daemon with its heartbeat, its last cycles, the state of the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, text, update

from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.facts import Fact, FactStore
from syncd.ledger.gate import WritingGate

BEAT_EVERY = timedelta(seconds=5)
"""How often a daemon writes that it works."""

_BEATS_MISSED = 3  # until a daemon counts as gone
_CYCLES_KEPT = 200
_DAEMON = tables.daemons.c
_CYCLE = tables.cycles.c
_SKEW = timedelta(seconds=2)  # of two clocks that counts as none
# Of several the one that writes, else one that lives.
_SHARED_DAEMON = text(
    "SELECT name, pid, version, configuration, started_at, beat_at, stopped_at, "
    "coalesce(expires_at > clock_timestamp(), false) AS lives, "
    "(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now FROM daemons d "
    "ORDER BY lives DESC, EXISTS (SELECT 1 FROM leases l WHERE l.holder = d.holder "
    "AND l.expires_at > clock_timestamp()) DESC, started_at DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class DaemonRecord:
    """A daemon as it wrote of itself; `beat_at` is when it worked last, `stopped_at` None unless it left.

    `name` tells it from others on the same ledger, `configuration` is the path of its file.
    `lives` is what the clock of a shared ledger says; None of one in a file, where our own clock tells.
    """

    name: str
    pid: int
    version: str
    configuration: str
    started_at: datetime
    beat_at: datetime
    stopped_at: datetime | None = None
    lives: bool | None = None

    def is_running(self, now: datetime) -> bool:
        """Tell whether it works: it has not left, and no more than two of its beats are missing.

        A beat that lies ahead is from before the clock was set back; who works has written another one since.
        """
        if self.stopped_at is not None:
            return False
        if self.lives is not None:
            return self.lives
        return abs(now - self.beat_at) < BEAT_EVERY * _BEATS_MISSED

    @property
    def gone_since(self) -> datetime:
        """Return since when it does not work, of one that is not running."""
        return self.stopped_at or self.beat_at


_COLUMNS = [field.name for field in fields(DaemonRecord) if field.name != "lives"]


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """What a cycle came to; `counts` are those of `once --json`, `calls` how many it made of the API."""

    ended_at: datetime
    seconds: float
    outcome: str
    counts: Mapping[str, int]
    calls: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ApiTrouble:
    """That the API cannot be used: since when, a sentence with the cure, and when it is tried again."""

    since: datetime
    sentence: str
    next_try_at: datetime | None = None


def _encode_trouble(trouble: ApiTrouble) -> str:
    values = asdict(trouble)
    values["since"] = trouble.since.isoformat()
    if trouble.next_try_at is not None:
        values["next_try_at"] = trouble.next_try_at.isoformat()
    return json.dumps(values)


def _decode_trouble(text: str) -> ApiTrouble:
    values = json.loads(text)
    next_try_at = values["next_try_at"]
    if next_try_at is not None:
        next_try_at = datetime.fromisoformat(next_try_at)
    since = datetime.fromisoformat(values["since"])
    return ApiTrouble(since, values["sentence"], next_try_at)


API_TROUBLE = Fact("api_trouble", _encode_trouble, _decode_trouble)
"""What is wrong with the API, as the last cycle that asked it found; no value when it can be used."""


KEPT_CONFIGURATION: Fact[str] = Fact("configuration", str, str)
"""The configuration by which this ledger was worked on last, as `syncd.config.kept` writes it."""


def note_next_try(facts: FactStore, at: datetime | None) -> None:
    """Record when an API that cannot be used is tried again; nothing where it can."""
    trouble = facts.get(API_TROUBLE)
    if trouble is not None:
        facts.set(API_TROUBLE, replace(trouble, next_try_at=at))


class Operation:
    """The store of the daemon's life and of the last cycles."""

    def __init__(self, database: Database, gate: WritingGate) -> None:
        self._database = database
        self._gate = gate

    def note_start(self, daemon: DaemonRecord) -> None:
        """Record that a daemon begins, in place of those before it."""
        values = {column: getattr(daemon, column) for column in _COLUMNS}
        with self._gate.writing() as connection:
            connection.execute(delete(tables.daemons))
            connection.execute(insert(tables.daemons).values(values))

    def note_beat(self, name: str, at: datetime) -> None:
        """Record that a daemon works."""
        of_the_name = update(tables.daemons).where(_DAEMON.name == name)
        self._gate.execute(of_the_name.values(beat_at=at))

    def note_stop(self, name: str, at: datetime) -> None:
        """Record that a daemon leaves by its own wish."""
        of_the_name = update(tables.daemons).where(_DAEMON.name == name)
        self._gate.execute(of_the_name.values(beat_at=at, stopped_at=at))

    def daemon(self) -> DaemonRecord | None:
        """Return the daemon that began last on this ledger; None if none ever did.

        Of several on a shared one it is the one that writes, as our clock would have told it.
        """
        if self._database.is_shared:
            with self._database.reading() as connection:
                found = connection.execute(_SHARED_DAEMON).mappings().first()
            return None if found is None else _by_our_clock(dict(found))
        latest_first = select(tables.daemons).order_by(_DAEMON.started_at.desc())
        for values in self._database.mappings(latest_first.limit(1)):
            return DaemonRecord(**values)
        return None

    def record_cycle(self, cycle: CycleRecord) -> None:
        """Record what a cycle came to, and forget those of long ago."""
        values = {field.name: getattr(cycle, field.name) for field in fields(cycle)}
        values["counts"] = json.dumps(dict(cycle.counts))
        with self._gate.writing() as connection:
            connection.execute(insert(tables.cycles).values(values))
            latest = connection.execute(select(func.max(_CYCLE.id))).scalar() or 0
            is_old = _CYCLE.id <= latest - _CYCLES_KEPT
            connection.execute(delete(tables.cycles).where(is_old))

    def newest(self) -> tuple[object, ...]:
        """Return what is equal as long as no cycle ended, nothing was recorded and no person decided anything."""
        newest = (
            func.max(tables.history.c.id),
            func.max(_CYCLE.id),
            func.max(tables.approvals.c.at),
            func.max(tables.decisions.c.at),
            func.max(tables.acknowledgements.c.at),
        )
        # Each by itself, because of two at once no index tells.
        each = [select(one).scalar_subquery() for one in newest]
        return tuple(self._database.rows(select(*each))[0])

    def cycles(self, most: int) -> tuple[CycleRecord, ...]:
        """Return the last cycles, the latest one first."""
        columns = [_CYCLE[field.name] for field in fields(CycleRecord)]
        latest_first = select(*columns).order_by(_CYCLE.id.desc())
        found: list[CycleRecord] = []
        with self._database.making_sense("A cycle"):
            for values in self._database.mappings(latest_first.limit(most)):
                record = CycleRecord(**values)
                counts = json.loads(values["counts"])
                found.append(replace(record, counts=counts))
        return tuple(found)


def _by_our_clock(found: Mapping[str, Any]) -> DaemonRecord:
    """Return a daemon of a shared ledger, with its moments as the clock of this machine would have told them."""
    ahead = datetime.now(UTC) - tables.instant_of(found["now"])
    if abs(ahead) < _SKEW:
        ahead = timedelta()
    moments: dict[str, datetime] = {}
    for name in ("started_at", "beat_at", "stopped_at"):
        if found[name] is not None:
            moments[name] = tables.instant_of(found[name]) + ahead
    known = {name: found[name] for name in _COLUMNS} | moments
    return DaemonRecord(**known, lives=found["lives"])
