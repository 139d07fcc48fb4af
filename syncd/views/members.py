"""The daemons that share a ledger, and which of them writes; nothing of a ledger in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.leases import candidates, writer_lease
from syncd.ledger import Ledger
from syncd.ledger.leases import MemberRow, Seen
from syncd.ledger.tables import EPOCH


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A daemon on a shared ledger; `lives` until its last sign of life is too old.

    `reads` is how many sources are given to it, `basis` tells the configuration and the program that it goes by.
    `is_behind`: others go by a later basis, so it neither reads nor writes.
    """

    name: str
    holder: str
    version: str
    configuration: str
    basis: str
    reads: int
    beat_at: datetime
    lives: bool
    is_writer: bool
    is_behind: bool


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """Who writes: a daemon by its name, its term, and for how many seconds its lease lasts; 0: it is over."""

    daemon: str
    epoch: int
    term: str
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Sharing:
    """The members of a ledger, and the lease of its writer, None before there was one.

    `as_of` is the moment of it by the clock of the ledger.
    """

    members: tuple[MemberStatus, ...] = ()
    lease: LeaseStatus | None = None
    as_of: datetime = EPOCH

    @classmethod
    def of(cls, ledger: Ledger, client_id: str) -> Sharing:
        """Return who shares a ledger for one client of the API; nobody of one in a file."""
        if not ledger.is_shared:
            return cls()
        seen = ledger.lease_store(writer_lease(client_id)).look()
        return cls(_members(seen), _lease(seen), seen.now)

    @property
    def is_any_alive(self) -> bool:
        """Return whether a member lives."""
        return any(one.lives for one in self.members)

    @property
    def behind(self) -> Sequence[MemberStatus]:
        """Return the members that live and go by an earlier configuration or program than others."""
        return [one for one in self.members if one.is_behind]


def role_of(member: MemberStatus) -> str:
    """Return in a word or two what a member does."""
    if not member.lives:
        return "gone"
    if member.is_behind:
        return "waits: an earlier configuration"
    return "writes" if member.is_writer else "reads"


def _members(seen: Seen) -> tuple[MemberStatus, ...]:
    latest = {one.holder for one in candidates(seen.view.members)}
    shown = [_member(row, seen, latest) for row in seen.members]
    return tuple(sorted(shown, key=_rank))


def _member(row: MemberRow, seen: Seen, latest: set[str]) -> MemberStatus:
    lease = seen.lease
    return MemberStatus(
        name=row.name,
        holder=row.holder,
        version=row.version,
        configuration=row.configuration,
        basis=row.basis,
        reads=row.reads,
        beat_at=row.beat_at,
        lives=row.lives,
        is_writer=lease is not None and lease.lives and lease.holder == row.holder,
        is_behind=row.lives and row.holder not in latest,
    )


def _rank(member: MemberStatus) -> tuple[bool, bool, str]:
    """Return what members are sorted by: the writer first, then those that live."""
    return not member.is_writer, not member.lives, member.name


def _lease(seen: Seen) -> LeaseStatus | None:
    lease = seen.lease
    if lease is None:
        return None
    return LeaseStatus(seen.daemon, lease.epoch, lease.term, max(0.0, seen.left_s))
