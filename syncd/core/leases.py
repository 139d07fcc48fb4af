"""Who of the daemons on one shared ledger writes, and who reads what: decided alike by each from what it sees.

One lease, `writer:CLIENT_ID`, is held by one member for a term and says who calls the API.
Sources are not leased: every member computes the same assignment of them to the members that live.
The ledger's clock alone says until when a lease lasts; how long its holder may rely on it is told by a steady
clock of its machine (`Trust`), which ends earlier.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum


def writer_lease(client_id: str) -> str:
    """Return the name of the lease of who writes for one client of the API."""
    return f"writer:{client_id}"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a lease lasts, how often it is renewed and looked at, and how much earlier trust in it ends."""

    ttl_s: float = 30.0
    renew_s: float = 10.0
    margin_s: float = 5.0
    tick_s: float = 2.5

    def __post_init__(self) -> None:
        if not 0 < self.tick_s <= self.renew_s:
            raise ValueError("a lease is looked at at least as often as it is renewed")
        if not 0 < self.margin_s < self.ttl_s - self.renew_s:
            raise ValueError("a lease is renewed before trust in it ends")

    @property
    def trusted_s(self) -> float:
        """Return how long a holder relies on a lease from the moment it began to ask for it."""
        return self.ttl_s - self.margin_s


@dataclass(frozen=True, slots=True)
class Member:
    """A daemon on a shared ledger as its row says: `lives` by the ledger's clock.

    `holder` is random for each start of a process.
    `basis` tells the configuration and the program that it goes by, `basis_since` when the ledger met that
    basis first, in milliseconds.
    """

    holder: str
    basis: str
    basis_since: int
    lives: bool


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease as its row says; `term` is random for each holding of it, `epoch` counts them."""

    holder: str
    term: str
    epoch: int
    lives: bool


@dataclass(frozen=True, slots=True)
class View:
    """What a member sees at one look: the lease, None if nobody ever held it, and all members."""

    lease: LeaseRow | None
    members: tuple[Member, ...]


class Move(StrEnum):
    """What a member does next about the lease; `RENEW` says that it holds it and goes on."""

    NONE = "none"
    RENEW = "renew"
    TAKE = "take"
    GIVE_BACK = "give back"


Holding = tuple[str, str]
"""A holder and its term."""


def candidates(members: Collection[Member]) -> tuple[Member, ...]:
    """Return the members that may write and read: those that live and go by the latest basis, by holder."""
    living = [member for member in members if member.lives]
    if not living:
        return ()
    # Of two bases of one moment any counts, if it is the same one for everybody.
    latest = max(living, key=_age_of_basis)
    chosen = [member for member in living if member.basis == latest.basis]
    return tuple(sorted(chosen, key=_by_holder))


def _age_of_basis(member: Member) -> tuple[int, str]:
    return member.basis_since, member.basis


def _by_holder(member: Member) -> str:
    return member.holder


def assignment(sources: Collection[str], members: Collection[str]) -> dict[str, str]:
    """Return for each source the member that reads it; empty if there is no member.

    It is a rendezvous hash with a bound: no member has two sources more than another one, and a member that
    comes or goes moves hardly any source beyond its share.
    """
    among = sorted(set(members))
    if not among:
        return {}
    names = set(sources)
    share, larger_shares = divmod(len(names), len(among))
    # The best pairs first; of equal ones any, if it is the same one for everybody.
    pairs = sorted(
        (_distance(name, each), name, each) for name in names for each in among
    )
    given: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for _, name, member in pairs:
        if name in given or counts[member] > share:
            continue
        if counts[member] == share:
            if not larger_shares:
                continue
            larger_shares -= 1
        counts[member] += 1
        given[name] = member
    return given


def _distance(source: str, member: str) -> bytes:
    told = f"{member}\0{source}".encode("utf-8", "backslashreplace")
    return hashlib.sha256(told).digest()


def next_move(
    view: View,
    me: str,
    term: str | None,
    *,
    stands_back: bool,
    dead: Collection[str],
) -> Move:
    """Return what the member `me` does about the lease; `term` is the one it holds, None if it holds none.

    `stands_back`: it leaves the lease to others for a while, because it cannot use it.
    `dead` are holders that are known to be dead.
    """
    may_hold = not stands_back and me in map(_by_holder, candidates(view.members))
    lease = view.lease
    if lease is None:
        return Move.TAKE if may_hold else Move.NONE
    if lease.lives and (lease.holder, lease.term) == (me, term):
        return Move.RENEW if may_hold else Move.GIVE_BACK
    # It may be its own without its knowing: of a taking whose answer was lost.
    is_free = not lease.lives or lease.holder in (me, *dead)
    return Move.TAKE if may_hold and is_free else Move.NONE


class Trust:
    """How long the holder of one term may rely on it, by a steady clock that counts while a machine sleeps.

    It begins ended, is extended by each renewal that succeeded, and once `end` was called it never lasts again.
    One thread may extend it while others ask or end it.
    """

    def __init__(self, timing: Timing, elapsed: Callable[[], float]) -> None:
        self._trusted_s = timing.trusted_s
        self._elapsed = elapsed
        self._is_over = False
        self._until_s = -math.inf

    @property
    def until_s(self) -> float:
        """Return until when it lasts, on the steady clock."""
        return -math.inf if self._is_over else self._until_s

    def extend(self, attempt_began_s: float) -> None:
        """Let it last for a lease that was asked for at a moment of the steady clock, and given."""
        self._until_s = max(self._until_s, attempt_began_s + self._trusted_s)

    def end(self) -> None:
        """Let it be over, whatever is extended afterwards."""
        self._is_over = True

    def lasts(self) -> bool:
        """Tell whether the term may still be relied on."""
        return not self._is_over and self._elapsed() < self._until_s
