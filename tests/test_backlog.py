"""The changes that wait for their turn over cycles: in which order they come, and that none is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncd.apply.backlog import Backlog
from syncd.core.changes import Create, Mode, Plan, Update, Write
from syncd.core.order import seniority, writing_order
from tests.core.office import DAY, HOUR, NOW, event
from tests.core.test_order import cancel, create, move

HOURS = st.integers(0, 30)
ROOMS = st.sampled_from(["a", "b"])


def plan_of(changes: Iterable[Write]) -> Plan:
    """A plan with these writes, in their order."""
    return Plan(Mode.FULL, writing_order(changes), unchanged=0)


def new(uid: str, hour: int, room: str = "a", made: int | None = None) -> Create:
    """The create of an hour's meeting; `made` is the hour of its CREATED."""
    created = None
    if made is not None:
        created = NOW + made * HOUR
    return create(event(uid, 1 + hour / 24, rooms=room, created=created))


def emptied(backlog: Backlog) -> list[Write]:
    """All that waits, in the order of its turns."""
    found: list[Write] = []
    while (change := backlog.next()) is not None:
        backlog.begin(change)
        found.append(change)
    assert len(backlog) == 0
    return found


@given(st.lists(st.tuples(HOURS, ROOMS, st.integers(0, 3)), max_size=12))
def test_one_plan_keeps_its_order(meetings: list[tuple[int, str, int]]) -> None:
    """What one plan decided comes in the order in which it decided it."""
    changes: list[Write] = [
        new(f"m{n}", hour, room, made) for n, (hour, room, made) in enumerate(meetings)
    ]
    changes.append(cancel(event("off", 3)))
    changes.append(move(event("moved", 4), event("moved", 5)))
    plan = plan_of(changes)
    backlog = Backlog()
    assert backlog.take(plan) == ()
    assert emptied(backlog) == list(plan.writes)


def test_nearer_meetings_of_a_later_plan_come_first() -> None:
    """Over several plans the nearest meeting is next, and cancels and changes come before all."""
    backlog = Backlog()
    many = [new(f"first{n}", 2 * n, "a") for n in range(30)]
    backlog.take(plan_of(many))
    later: list[Write] = [new(f"then{n}", 2 * n + 1, "b") for n in range(29)]
    assert backlog.take(plan_of(later)) == []
    starts = [change.spec.start for change in emptied(backlog)]
    assert starts == sorted(starts)
    backlog.take(plan_of(many))
    backlog.take(plan_of([*later, cancel(event("off", 20))]))
    assert backlog.next() == cancel(event("off", 20))


def test_few_changes_of_a_source_go_first_and_many_do_not() -> None:
    """An edit does not wait behind a first booking, though another first booking came with it."""
    backlog = Backlog()
    backlog.take(plan_of([new(f"m{n}", n) for n in range(30)]))
    edit = create(event("edit", 20, rooms="b", source="edited"))
    others = [new(f"other{n}", n, "b") for n in range(40)]
    assert list(backlog.take(plan_of([*others, edit]))) == [edit]
    assert len(backlog) == 70


@given(
    st.permutations(range(6)),
    st.integers(1, 5),
    st.lists(st.integers(0, 2), max_size=6),
)
def test_of_two_that_want_one_slot_the_earlier_comes_first(
    made: list[int], at_once: int, hours: list[int]
) -> None:
    """However meetings come in, of those that overlap in a room the one made first is written first."""
    backlog = Backlog()
    changes = [
        new(f"m{n}", hours[n] if n < len(hours) else 0, "a", made[n]) for n in range(6)
    ]
    for begin in range(0, 6, at_once):
        backlog.take(plan_of(changes[begin : begin + at_once]))
    first = [change for change in changes if change not in _waiting(backlog)]
    order = [*first, *emptied(backlog)]
    for place, change in enumerate(order[len(first) :], start=len(first)):
        assert isinstance(change, Create)
        for after in order[place + 1 :]:
            assert isinstance(after, Create)
            if change.spec.in_the_way_of(after.spec):
                assert seniority(change.meeting) < seniority(after.meeting)


def _waiting(backlog: Backlog) -> tuple[Write, ...]:
    return backlog.changes()


class Turns(RuleBasedStateMachine):
    """Plans come in, turns are taken, UIDs are planned anew: each change is begun or dropped, once."""

    @initialize(most=st.integers(2, 12))
    def begin(self, most: int) -> None:
        self.backlog = Backlog(most)
        self.number = 0
        self.open: dict[str, int] = {}  # changes by UID that wait

    @rule(hours=st.lists(HOURS, min_size=1, max_size=25), room=ROOMS)
    def plan(self, hours: list[int], room: str) -> None:
        """A plan whose UIDs have up to three dates each."""
        changes: list[Write] = []
        for place, hour in enumerate(hours):
            uid = f"u{self.number + place // 3}"
            occurrence = event(uid, 1 + hour / 24, original=1 + place, rooms=room)
            changes.append(create(occurrence))
        self.number += len(hours)
        first = self.backlog.take(plan_of(changes))
        for change in changes:
            uid = change.key.uid
            self.open[uid] = self.open.get(uid, 0) + 1
        for change in first:
            self.open[change.key.uid] -= 1

    @rule(count=st.integers(1, 8))
    def write(self, count: int) -> None:
        for _ in range(count):
            change = self.backlog.next()
            if change is not None:
                self.backlog.begin(change)
                self.open[change.key.uid] -= 1

    @rule(which=st.integers(0, 50))
    def plan_anew(self, which: int) -> None:
        uid = f"u{which}"
        if uid in self.backlog.uids:
            assert self.backlog.drop([uid]) == self.open[uid]
            self.open[uid] = 0

    @rule()
    def end_cycle(self) -> None:
        self.backlog.bound()
        assert len(self.backlog.changes()) <= self.backlog.most

    @rule()
    def begin_cycle(self) -> None:
        for uid in self.backlog.due():
            assert self.open[uid] > 0
            self.open[uid] = 0

    @rule(hours=HOURS)
    def time_passes(self, hours: int) -> None:
        now = NOW + DAY + timedelta(hours=hours)
        for uid in self.backlog.over(now):
            self.open[uid] = 0

    @invariant()
    def nothing_is_kept_of_what_does_not_wait(self) -> None:
        """A daemon lives for months, and each day has other rooms and dates."""
        waiting = self.backlog.changes()
        places = self.backlog._places
        assert places._keys == Counter(change.key for change in waiting)
        assert all(places._at.values())
        if not waiting:
            assert not places._at

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.backlog) == sum(self.open.values())
        assert len(self.backlog.changes()) == sum(
            self.open[uid] for uid in self.backlog.uids
        )


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_meetings_that_swap_their_rooms_go_first_together() -> None:
    """What has to end in the cycle that begins it does not wait, nor does what is beside it."""
    backlog = Backlog()
    backlog.take(plan_of([new(f"m{n}", n) for n in range(30)]))
    there, back = event("x", 5, rooms="a"), event("y", 5, rooms="b")
    swap = [
        move(there, event("x", 5, rooms="b")),
        move(back, event("y", 5, rooms="a")),
    ]
    plan = plan_of([*swap, new("far", 300, "c")])
    first = backlog.take(plan)
    assert [type(change) for change in first] == [Update, Update]
    assert any(isinstance(change, Update) and change.vacating for change in first)
