"""Who writes and who reads what: the decisions, and trust under any order of clocks and answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from syncd.core.leases import (
    LeaseRow,
    Member,
    Move,
    Timing,
    Trust,
    View,
    assignment,
    candidates,
    next_move,
)
from syncd.core.ledger_position import Position, went_back

TIMING = Timing()
NAMES = st.lists(st.text(max_size=8), unique=True, max_size=60)
MEMBERS = st.lists(st.text(min_size=1, max_size=6), unique=True, min_size=1, max_size=8)


def member(
    holder: str, basis: str = "b", since: int = 1, *, lives: bool = True
) -> Member:
    """A member."""
    return Member(holder, basis, since, lives)


# Assignment


@given(NAMES, MEMBERS)
def test_each_source_has_one_reader(sources: list[str], members: list[str]) -> None:
    """All sources are given, no member has two more than another one, in whatever order they are named."""
    given_to = assignment(sources, members)
    assert given_to.keys() == set(sources)
    counts = Counter(dict.fromkeys(members, 0))
    counts.update(given_to.values())
    assert counts.keys() == set(members)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert assignment(sources[::-1], set(members)) == given_to


def test_nobody_reads_where_nobody_is() -> None:
    """Without members nothing is given."""
    assert assignment(["a"], []) == {}


@pytest.mark.parametrize("number", [200, 1000])
def test_few_sources_move(number: int) -> None:
    """A member that goes moves its own and a few more; one that comes takes its share and a few more."""
    sources = [f"calendar {place}" for place in range(number)]
    three = assignment(sources, ["a", "b", "c"])
    two = assignment(sources, ["a", "b"])
    own = sum(holder == "c" for holder in three.values())
    moved = sum(three[name] != two[name] for name in sources)
    assert own <= moved <= own + number / 20
    four = assignment(sources, ["a", "b", "c", "d"])
    moved = sum(three[name] != four[name] for name in sources)
    assert number // 4 <= moved <= number / 4 + number / 20


# Candidates and moves


@given(
    st.lists(
        st.builds(
            Member,
            st.uuids().map(str),
            st.sampled_from("xyz"),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_candidates_go_by_the_latest_basis(members: list[Member]) -> None:
    """They live and have one basis, than which no living member has a later one; whoever looks finds the same."""
    found = candidates(members)
    living = [each for each in members if each.lives]
    assert bool(found) == bool(living)
    assert {each.basis for each in found} <= {each.basis for each in living}
    assert len({each.basis for each in found}) <= 1
    if found:
        latest = max(each.basis_since for each in living)
        assert max(each.basis_since for each in found) == latest
    assert found == candidates(members[::-1])


ME = member("me")
OTHER = member("other")
DEAD: list[str] = []


@pytest.mark.parametrize(
    ("lease", "term", "expected"),
    [
        (None, None, Move.TAKE),
        (LeaseRow("other", "t", 1, lives=True), None, Move.NONE),
        (LeaseRow("other", "t", 1, lives=False), None, Move.TAKE),
        (LeaseRow("gone", "t", 1, lives=True), None, Move.TAKE),
        (LeaseRow("me", "t", 1, lives=True), "t", Move.RENEW),
        # Its time was over, or the answer to its taking was lost: a new term.
        (LeaseRow("me", "t", 1, lives=False), "t", Move.TAKE),
        (LeaseRow("me", "t2", 2, lives=True), None, Move.TAKE),
        (LeaseRow("me", "t2", 2, lives=True), "t", Move.TAKE),
        (LeaseRow("other", "t2", 2, lives=True), "t", Move.NONE),
    ],
)
def test_the_next_move(
    lease: LeaseRow | None, term: str | None, expected: Move
) -> None:
    """It is taken when it is free or of a dead one, kept while it is held, and left alone otherwise."""
    view = View(lease, (ME, OTHER))
    found = next_move(view, "me", term, stands_back=False, dead=["gone"])
    assert found is expected


@pytest.mark.parametrize("reason", ["stands back", "older basis", "not a member"])
def test_who_may_not_hold_it_gives_it_back(reason: str) -> None:
    """And does not take it, also if it is free."""
    me = replace(ME, basis="old", basis_since=0) if reason == "older basis" else ME
    members = (OTHER,) if reason == "not a member" else (me, OTHER)
    stands_back = reason == "stands back"
    held = LeaseRow("me", "t", 1, lives=True)
    moves: list[Move] = []
    for lease, term in ((held, "t"), (None, None), (replace(held, lives=False), "t")):
        view = View(lease, members)
        moves.append(next_move(view, "me", term, stands_back=stands_back, dead=DEAD))
    assert moves == [Move.GIVE_BACK, Move.NONE, Move.NONE]


def test_times_that_make_no_sense_are_refused() -> None:
    """A lease is renewed before trust in it ends."""
    for wrong in (
        {"renew_s": 26.0},
        {"tick_s": 11.0},
        {"margin_s": 0.0},
        {"tick_s": 0.0},
    ):
        with pytest.raises(ValueError, match="lease"):
            Timing(**wrong)


# Trust


@dataclass
class Clock:
    """A clock that a test sets."""

    at_s: float = 1000.0

    def __call__(self) -> float:
        return self.at_s


def test_trust_counts_from_when_it_was_asked_for() -> None:
    """An answer that took long leaves less of it; it never gets shorter by a late answer to an earlier attempt."""
    clock = Clock()
    trust = Trust(TIMING, clock)
    assert not trust.lasts()
    clock.at_s = 1020.0
    trust.extend(1000.0)
    assert trust.until_s == 1025.0
    assert trust.lasts()
    trust.extend(990.0)
    assert trust.until_s == 1025.0
    clock.at_s = 1025.0
    assert not trust.lasts()
    trust.extend(1024.0)
    assert trust.lasts()


def test_trust_is_over_on_waking() -> None:
    """The clock counts the time in which a machine was suspended."""
    clock = Clock()
    trust = Trust(TIMING, clock)
    trust.extend(clock())
    assert trust.lasts()
    clock.at_s += 3600.0
    assert not trust.lasts()


def test_trust_that_was_ended_does_not_come_back() -> None:
    """Also if an answer arrives afterwards."""
    trust = Trust(TIMING, Clock())
    trust.end()
    trust.extend(1000.0)
    assert not trust.lasts()
    assert trust.until_s == -math.inf


@dataclass
class _Row:
    """The lease in the database."""

    holder: str = ""
    term: int = 0
    expires_at: float = 0.0


@dataclass
class _Life:
    """A member with a clock of its own, and what it asked of the database that has not come back."""

    name: str
    ahead_s: float
    trust: Trust
    term: int | None = None
    began_s: float | None = None
    granted: int | None = None
    done: bool = False
    clock: Callable[[], float] = field(default=lambda: 0.0)


class Interleavings(RuleBasedStateMachine):
    """Members that take and renew a lease, while requests and answers take any time, or are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.row = _Row()
        self.terms = 0
        self.lives: list[_Life] = []
        for place, name in enumerate("abc"):
            ahead_s = 1000.0 * place

            def clock(ahead_s: float = ahead_s) -> float:
                return self.now + ahead_s

            self.lives.append(_Life(name, ahead_s, Trust(TIMING, clock), clock=clock))

    @rule(seconds=st.floats(0.1, 40.0))
    def time_passes(self, seconds: float) -> None:
        """All clocks go on."""
        self.now += seconds

    @rule(place=st.integers(0, 2))
    def begins(self, place: int) -> None:
        """A member sends a renewal, or a taking."""
        life = self.lives[place]
        if life.began_s is None:
            life.began_s = life.clock()
            life.done = False
            life.granted = None

    @rule(place=st.integers(0, 2))
    def is_carried_out(self, place: int) -> None:
        """What was sent reaches the database."""
        life = self.lives[place]
        if life.began_s is None or life.done:
            return
        life.done = True
        lives = self.row.expires_at > self.now
        is_own = self.row.holder == life.name
        if lives and is_own and self.row.term == life.term:
            self.row.expires_at = self.now + TIMING.ttl_s
            life.granted = self.row.term
        elif not lives or is_own:
            self.terms += 1
            self.row = _Row(life.name, self.terms, self.now + TIMING.ttl_s)
            life.granted = self.terms

    @rule(place=st.integers(0, 2), is_lost=st.booleans())
    def is_answered(self, place: int, is_lost: bool) -> None:
        """The answer arrives, or never does; whoever lost its term begins another one with another trust."""
        life = self.lives[place]
        if life.began_s is None or not life.done:
            return
        if is_lost or life.granted is None:
            if not is_lost:
                life.trust.end()
        else:
            if life.granted != life.term:
                life.trust.end()
                life.trust = Trust(TIMING, life.clock)
                life.term = life.granted
            life.trust.extend(life.began_s)
        life.began_s = None

    @precondition(lambda self: self.row.holder != "")
    @rule()
    def gives_back(self) -> None:
        """The holder ends its trust, then the lease."""
        for life in self.lives:
            is_idle = life.began_s is None
            if is_idle and (life.name, life.term) == (self.row.holder, self.row.term):
                life.trust.end()
                self.row.expires_at = self.now

    @invariant()
    def one_is_trusted(self) -> None:
        """Whoever relies on the lease has it, by the clock of the database too; so never two."""
        trusted = [life for life in self.lives if life.trust.lasts()]
        assert len(trusted) <= 1
        for life in trusted:
            assert self.row.holder == life.name
            assert self.row.expires_at > self.now


TestInterleavings = Interleavings.TestCase


# Where a ledger is in its history


def test_a_ledger_that_went_on_lacks_nothing() -> None:
    """Also one of which nothing was known, and where the server does not tell its cluster."""
    known = Position("1", "00000001", 5)
    assert went_back(None, known) is None
    assert went_back(known, replace(known, progress=9)) is None
    assert went_back(replace(known, system=""), known) is None


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (Position("2", "00000001", 9), "another database cluster"),
        (Position("1", "00000002", 9), "timeline 00000002 after 00000001"),
        (Position("1", "00000001", 3), "2 steps less"),
    ],
)
def test_a_ledger_that_was_put_back_is_told(now: Position, told: str) -> None:
    """By its cluster, by its timeline, and by what it knows."""
    found = went_back(Position("1", "00000001", 5), now)
    assert found is not None
    assert told in found
