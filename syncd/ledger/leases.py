"""The lease of who writes on a shared ledger, its terms, and the rows of the members.

All of it goes by the clock of the database. It needs no connection that stays open, so it passes a pooler.
A taking waits for every transaction of the holder before it that passed the fence; a renewal does not.
Must not: be asked of a ledger in a file.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, text

from syncd.core.leases import Holding, LeaseRow, Member, View
from syncd.core.ledger_position import Position
from syncd.ledger import tables
from syncd.ledger.database import Database

# Of a lease and of all members; `left_s` is below zero of one that is over.
_LEASE = text(
    "SELECT l.holder, l.term, l.epoch, l.expires_at > clock_timestamp() AS lives, "
    "extract(epoch FROM l.expires_at - clock_timestamp())::float8 AS left_s, coalesce(t.daemon, '') AS daemon "
    "FROM leases l LEFT JOIN terms t ON t.term = l.term WHERE l.name = :lease"
)
_MEMBERS = text(
    "SELECT name, holder, basis, coalesce(basis_since, 0) AS basis_since, pid, version, configuration, reads, "
    "started_at, beat_at, coalesce(expires_at > clock_timestamp(), false) AS lives FROM daemons "
    "WHERE holder <> '' ORDER BY name"
)
_POSITION = text(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now, "
    "(SELECT version_num FROM alembic_version) AS revision, "
    # Right from the moment of a promotion on, which what pg_control_checkpoint() tells is not.
    "CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline, "
    "coalesce((SELECT max(id) FROM history), 0) AS progress"
)
_SYSTEM = text("SELECT system_identifier::text FROM pg_control_system()")
_MAY_ASK_SYSTEM = text(
    "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
)

# First the lock, then the look at the clock: a statement that waits for a lock has read the clock before.
# A transaction that passed the fence holds FOR KEY SHARE: a renewal passes it, a taking waits for it.
_LOCK_OWN = text(
    "SELECT 1 FROM leases WHERE name = :lease AND holder = :holder AND term = :term FOR NO KEY UPDATE"
)
_RENEW = text(
    "UPDATE leases SET expires_at = clock_timestamp() + :ttl * interval '1 second' "
    "WHERE name = :lease AND holder = :holder AND term = :term AND expires_at > clock_timestamp()"
)
_BEAT = text(
    "INSERT INTO daemons (name, pid, version, configuration, started_at, beat_at, stopped_at, holder, basis, "
    "basis_since, reads, expires_at) VALUES (:name, :pid, :version, :configuration, :started_at, "
    "(extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL, :holder, :basis, "
    # A basis that was met before is as old as then, so that who comes late with it is not the latest.
    "coalesce((SELECT min(basis_since) FROM daemons WHERE basis = :basis), "
    "(extract(epoch FROM clock_timestamp()) * 1000)::bigint), "
    ":reads, clock_timestamp() + :ttl * interval '1 second') "
    "ON CONFLICT (name) DO UPDATE SET pid = excluded.pid, version = excluded.version, "
    "configuration = excluded.configuration, started_at = excluded.started_at, beat_at = excluded.beat_at, "
    "stopped_at = NULL, holder = excluded.holder, basis = excluded.basis, "
    "basis_since = excluded.basis_since, reads = excluded.reads, expires_at = excluded.expires_at"
)
_FORGET_MEMBERS = text(
    "DELETE FROM daemons WHERE holder = '' OR expires_at < clock_timestamp() - interval '1 day'"
)
_LEAVE = text(
    "UPDATE daemons SET beat_at = now.ms, stopped_at = now.ms, expires_at = clock_timestamp() "
    "FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS now WHERE holder = :holder"
)
_MAKE_LEASE = text(
    "INSERT INTO leases (name, holder, term, epoch, expires_at) "
    "VALUES (:lease, '', '', 0, clock_timestamp()) ON CONFLICT (name) DO NOTHING"
)
_LOCK_ANY = text("SELECT 1 FROM leases WHERE name = :lease FOR UPDATE")
_TAKE = text(
    "UPDATE leases SET holder = :holder, term = :term, epoch = epoch + 1, "
    "expires_at = clock_timestamp() + :ttl * interval '1 second' "
    "WHERE name = :lease AND (expires_at <= clock_timestamp() OR holder = :holder "
    "OR holder = ANY(:dead)) RETURNING epoch"
)
_END_FORMER = text(
    "UPDATE terms SET ended_at = clock_timestamp(), why = :why "
    "WHERE name = :lease AND ended_at IS NULL AND term <> :term"
)
_BEGIN_TERM = text(
    "INSERT INTO terms (term, name, epoch, holder, daemon, began_at) "
    "VALUES (:term, :lease, :epoch, :holder, :daemon, clock_timestamp())"
)
_END = text(
    "UPDATE leases SET expires_at = clock_timestamp() "
    "WHERE name = :lease AND holder = :holder AND term = :term"
)
_END_TERM = text(
    "UPDATE terms SET ended_at = clock_timestamp(), why = :why WHERE term = :term AND ended_at IS NULL"
)
_TERMS = text(
    "SELECT term, epoch, holder, daemon, began_at, ended_at, why FROM terms WHERE name = :lease "
    "ORDER BY began_at, epoch"
)
_PRUNE_TERMS = text("DELETE FROM terms WHERE ended_at < :before")

FOLLOWED = "its time was over"


@dataclass(frozen=True, slots=True)
class Beat:
    """What a member writes of itself; `reads` is how many sources are given to it.

    `started_at` is when its process began, by the clock of the ledger.
    """

    name: str
    holder: str
    pid: int
    version: str
    configuration: str
    started_at: datetime
    basis: str
    reads: int = 0


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member as the ledger has it; `lives` and `beat_at` are by the clock of the database."""

    name: str
    holder: str
    basis: str
    basis_since: int
    pid: int
    version: str
    configuration: str
    reads: int
    started_at: datetime
    beat_at: datetime
    lives: bool

    @property
    def member(self) -> Member:
        """Return what decisions are made by."""
        return Member(self.holder, self.basis, self.basis_since, self.lives)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at a shared ledger shows, of one moment `now` by the clock of the database.

    `daemon` is the name of the holder of the lease, and `left_s` how long the lease lasts yet.
    `revision` is that of the schema.
    """

    lease: LeaseRow | None
    daemon: str
    left_s: float
    members: tuple[MemberRow, ...]
    now: datetime
    revision: str
    position: Position

    @property
    def view(self) -> View:
        """Return what the next move is decided by."""
        return View(self.lease, tuple(row.member for row in self.members))


@dataclass(frozen=True, slots=True)
class TermRow:
    """One holding of the lease in the history of its terms; `ended_at` is None of the one that goes on."""

    term: str
    epoch: int
    holder: str
    daemon: str
    began_at: datetime
    ended_at: datetime | None
    why: str


class LeaseStore:
    """The store of one lease and of all members; may be used from several threads. Raises `LedgerError`."""

    def __init__(self, database: Database, lease: str) -> None:
        self._database = database
        self.lease = lease
        self._may_ask_system: bool | None = None

    def look(self) -> Seen:
        """Return how the lease and the members stand, and where in its history the ledger is."""
        with self._database.reading() as connection:
            found = connection.execute(_LEASE, {"lease": self.lease}).first()
            rows = connection.execute(_MEMBERS).mappings().all()
            place = connection.execute(_POSITION).one()
            system = self._system(connection)
        lease = None
        if found is not None:
            lease = LeaseRow(found.holder, found.term, found.epoch, found.lives)
        return Seen(
            lease=lease,
            daemon=found.daemon if found is not None else "",
            left_s=found.left_s if found is not None else 0.0,
            members=tuple(map(_member_of, rows)),
            now=tables.instant_of(place.now),
            revision=place.revision,
            position=Position(system, place.timeline, place.progress),
        )

    def renew(self, holding: Holding | None, beat: Beat | None, ttl_s: float) -> bool:
        """Prolong a holding of the lease, and write that a member lives; return whether the holding lasts.

        One that is over by the clock of the database is not prolonged, also if nobody took it meanwhile.
        """
        lasts = False
        with self._database.writing() as connection:
            if holding is not None:
                lasts = self._prolong(connection, holding, ttl_s)
            if beat is not None:
                connection.execute(_BEAT, {**asdict(beat), **_times(beat, ttl_s)})
        return lasts

    def join(self, beat: Beat, ttl_s: float) -> None:
        """Write that a member begins, and forget those that have been gone for a day."""
        with self._database.writing() as connection:
            connection.execute(_FORGET_MEMBERS)
            connection.execute(_BEAT, {**asdict(beat), **_times(beat, ttl_s)})

    def leave(self, holder: str) -> None:
        """Write that a member is gone, so that the others see it at their next look."""
        with self._database.writing() as connection:
            connection.execute(_LEAVE, {"holder": holder})

    def take(
        self,
        holding: Holding,
        daemon: str,
        ttl_s: float,
        dead: Collection[str] = (),
    ) -> int | None:
        """Take the lease for a new term if it is free; return the epoch, None if another one holds it.

        It is free when nobody holds it, when its time is over, when it is the holder's own, and when a holder
        has it that is known to be `dead`. `daemon` is the name of the new holder for people.
        """
        holder, term = holding
        mine = {"lease": self.lease, "holder": holder, "term": term}
        may_take = {**mine, "ttl": ttl_s, "dead": list(dead)}
        with self._database.writing() as connection:
            connection.execute(_MAKE_LEASE, {"lease": self.lease})
            connection.execute(_LOCK_ANY, {"lease": self.lease})
            epoch = connection.execute(_TAKE, may_take).scalar()
            if epoch is None:
                return None
            connection.execute(_END_FORMER, {**mine, "why": FOLLOWED})
            connection.execute(_BEGIN_TERM, {**mine, "epoch": epoch, "daemon": daemon})
        return int(epoch)

    def end(self, holding: Holding, why: str) -> None:
        """End a holding of the lease, so that the next one may begin at once; another's is left alone."""
        holder, term = holding
        mine = {"lease": self.lease, "holder": holder, "term": term}
        with self._database.writing() as connection:
            connection.execute(_END, mine)
            connection.execute(_END_TERM, {"term": term, "why": why})

    def terms(self) -> tuple[TermRow, ...]:
        """Return who held the lease since when and until when, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(_TERMS, {"lease": self.lease}).all()
        return tuple(TermRow(*row) for row in rows)

    def _prolong(self, connection: Connection, holding: Holding, ttl_s: float) -> bool:
        holder, term = holding
        mine = {"lease": self.lease, "holder": holder, "term": term}
        if connection.execute(_LOCK_OWN, mine).first() is None:
            return False
        return connection.execute(_RENEW, {**mine, "ttl": ttl_s}).rowcount > 0

    def _system(self, connection: Connection) -> str:
        """Return what names the cluster; empty where that is kept from ordinary roles, as some hosts do."""
        if self._may_ask_system is None:
            self._may_ask_system = bool(connection.execute(_MAY_ASK_SYSTEM).scalar())
        if not self._may_ask_system:
            return ""
        return str(connection.execute(_SYSTEM).scalar())


def prune_terms(connection: Connection, before: datetime) -> None:
    """Forget the terms that ended before a moment; of a shared ledger."""
    connection.execute(_PRUNE_TERMS, {"before": before})


def _times(beat: Beat, ttl_s: float) -> dict[str, object]:
    started_at = int(beat.started_at.timestamp() * 1000)
    return {"started_at": started_at, "ttl": ttl_s}


def _member_of(row: RowMapping) -> MemberRow:
    started_at = tables.instant_of(row["started_at"])
    beat_at = tables.instant_of(row["beat_at"])
    return MemberRow(**{**row, "started_at": started_at, "beat_at": beat_at})
