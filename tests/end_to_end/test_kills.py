"""A process that is killed at any point of a cycle: the cycles after it end with exactly what is right."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from syncd.assembly import open_ledger
from syncd.config import load
from syncd.sandbox import Running, Sandbox
from tests.conftest import CONFIGURATION, LARGE_ROOM, SMALL_ROOM, Office, ahead, event
from tests.end_to_end.killed import Clock, End, Order, Way, at_work

Places = dict[str, tuple[str | None, datetime]]  # UID to room and start

EARLY, LATER = ahead(2, 9), ahead(2, 14)


class World(Office):
    """An office with rooms and an instance of its own, of many on one sandbox: UIDs end in its number."""

    def __init__(self, folder: Path, sandbox: Running, number: int) -> None:
        self.number = number
        self.rooms = {name: f"{room[:-3]}{number:03}" for name, room in _ROOMS.items()}
        self.rooms["large"] = str(int(self.rooms["large"]) + 10**6)
        folder.mkdir()
        super().__init__(folder, sandbox.url, sandbox.client_id, sandbox.client_secret)
        self.configure(
            CONFIGURATION,
            (SMALL_ROOM, self.rooms["small"]),
            (LARGE_ROOM, self.rooms["large"]),
            ('instance = "hq"', f'instance = "{number}"'),
        )

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "syncd.toml"

    def show(self, places: Places) -> None:
        """Let the calendar say this."""
        self.write(
            *(
                event(f"{uid}-{self.number}", start, room=room)
                for uid, (room, start) in sorted(places.items())
            )
        )

    def ids(self, *, live: bool = True) -> dict[str, list[str]]:
        """Its reservations by UID."""
        found: dict[str, list[str]] = {}
        for reservation in self.reservations(live=live):
            uid, _, number = (
                reservation["topic"].removeprefix("Meeting ").partition("-")
            )
            if number == str(self.number):
                found.setdefault(uid, []).append(reservation["reservation_id"])
        return found

    def places(self) -> Places:
        """Where its live reservations are; no UID may have two."""
        names = {room: name for name, room in self.rooms.items()}
        by_id = {
            reservation["reservation_id"]: reservation
            for reservation in self.reservations()
        }
        found: Places = {}
        for uid, (reservation_id,) in self.ids().items():
            there = by_id[reservation_id]
            start = datetime.fromtimestamp(there["start_time"] / 1000, UTC)
            found[uid] = (names.get(there["room_id"]), start)
        return found


_ROOMS = {"small": SMALL_ROOM, "large": LARGE_ROOM}


def _lose_the_state(world: World) -> None:
    for file in world.folder.glob("state.db*"):
        file.unlink()


def _approve_what_is_held(world: World) -> None:
    with at_work(world.config) as reconciler:
        report = reconciler.cycle()
    assert report.plan is not None
    assert report.plan.held_checksum is not None
    with open_ledger(load(world.config), owner=False) as ledger:
        ledger.people.approve(report.plan.held_checksum, datetime.now(UTC), "a person")


def _retry_what_was_cancelled(world: World) -> None:
    for reservation in world.reservations():
        world.control(f"reservations/{reservation['reservation_id']}", {"status": 3})
    with at_work(world.config) as reconciler:
        reconciler.cycle(force=True)
    ran = world.run("resolve", "--all", "released", "--retry")
    assert ran.code == 0, ran.err


def _slow_down(world: World) -> None:
    world.fault("slow:on=write,seconds=0.05")  # so that calls overlap


@dataclass(frozen=True)
class Scenario:
    """What the calendar says before and after; `made` counts the reservations that there ever are."""

    before: Places
    after: Places
    made: int
    settings: tuple[tuple[str, str], ...] = ()
    fault: str = ""  # while the first booking is made
    prepare: Callable[[World], None] = lambda _: None
    force: bool = False
    at_once: int = 1  # calls of the cycle that dies


SCENARIOS = {
    "create": Scenario({}, {"a": (None, EARLY), "b": ("small", EARLY)}, made=2),
    "create without marks": Scenario(
        {},
        {"a": (None, EARLY)},
        made=1,
        settings=(("[reservation]", "[reservation]\nmarker = false"),),
    ),
    "update": Scenario({"a": (None, EARLY)}, {"a": (None, LATER)}, made=1),
    "cancel": Scenario(
        {"a": (None, EARLY), "b": ("small", EARLY)}, {"b": ("small", EARLY)}, made=2
    ),
    "room change": Scenario({"a": ("small", EARLY)}, {"a": ("large", EARLY)}, made=1),
    "swap of rooms": Scenario(
        {"a": ("small", EARLY), "b": ("large", EARLY)},
        {"a": ("large", EARLY), "b": ("small", EARLY)},
        made=2,
    ),
    "adoption": Scenario(
        {"a": (None, EARLY), "b": ("small", EARLY)},
        {"a": (None, EARLY), "b": ("small", EARLY)},
        made=2,
        prepare=_lose_the_state,
    ),
    "duplicate": Scenario(
        {"a": (None, EARLY)},
        {"a": (None, EARLY)},
        made=2,
        fault="duplicate:on=create,times=1",
        force=True,
    ),
    "retry of what a person cancelled": Scenario(
        {"a": (None, EARLY), "b": ("small", EARLY)},
        {"a": (None, EARLY), "b": ("small", EARLY)},
        made=4,
        prepare=_retry_what_was_cancelled,
    ),
    "approved set": Scenario(
        {"a": (None, EARLY), "b": ("small", EARLY), "c": ("large", EARLY)},
        {"c": ("large", EARLY)},
        made=3,
        settings=(
            (
                "[reservation]",
                '[safety]\ncancel_share = "1%"\ncancel_floor = 0\n[reservation]',
            ),
        ),
        prepare=_approve_what_is_held,
    ),
}


_SIDE_BY_SIDE: Places = dict.fromkeys("abcd", (None, EARLY))

SIDE_BY_SIDE = {
    "creates": Scenario({}, _SIDE_BY_SIDE, made=4, at_once=4, prepare=_slow_down),
    "updates": Scenario(
        _SIDE_BY_SIDE,
        dict.fromkeys(_SIDE_BY_SIDE, (None, LATER)),
        made=4,
        at_once=4,
        prepare=_slow_down,
    ),
}


@pytest.fixture(scope="module")
def mortal() -> Iterator[Callable[[Order], End]]:
    """Carries out orders for cycles that die."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.end_to_end.killed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        commands, answers = process.stdin, process.stdout

        def carry_out(order: Order) -> End:
            commands.write(json.dumps(asdict(order)) + "\n")
            return End(**json.loads(answers.readline()))

        yield carry_out
        commands.close()


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Makes worlds that share a sandbox, since starting one for each takes longer than the cycles."""
    with Sandbox().running() as sandbox:
        numbers = count(1)

        def make() -> World:
            number = next(numbers)
            return World(tmp_path / str(number), sandbox, number)

        yield make


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _prepared(world: World, scenario: Scenario) -> dict[str, list[str]]:
    """Bring a world to the eve of its scenario; the ids of its reservations then."""
    for change in scenario.settings:
        world.change(change)
    if scenario.before:
        world.show(scenario.before)
        if scenario.fault:
            world.fault(scenario.fault)
        with at_work(world.config) as reconciler:
            reconciler.cycle()
        world.fault()
    world.show(scenario.after)
    scenario.prepare(world)
    return world.ids()


def _wait_for_what_is_late(world: World) -> None:
    while any(
        entry["fault"] == "late" and entry["code"] is None
        for entry in world.control("requests")
    ):
        time.sleep(0.02)


def _check_recovery(
    world: World, scenario: Scenario, ids: dict[str, list[str]]
) -> None:
    """Plain cycles make it right: at once, when lost requests can no longer arrive, with the drift check."""
    clock = Clock()
    with at_work(world.config, clock) as reconciler:
        reconciler.cycle()
        _wait_for_what_is_late(world)
        for clock.later in (timedelta(minutes=6), timedelta(hours=2)):
            reconciler.cycle()
        world.forget_requests()
        clock.later += timedelta(minutes=1)
        last = reconciler.cycle()
    assert world.writes() == []
    assert last.outcome == "ok"
    assert world.places() == scenario.after
    assert sum(map(len, world.ids(live=False).values())) == scenario.made
    for uid, kept in world.ids().items():
        assert kept == ids.get(uid, kept)[:1], (
            "an update keeps its reservation, the oldest of two stays"
        )


def _die_everywhere(
    scenario: Scenario,
    way: Way,
    worlds: Callable[[], World],
    mortal: Callable[[Order], End],
    step: int = 1,
) -> list[str]:
    """Let a cycle die at each point in turn (or each `step`th), recover, and give the names of the points."""
    points: list[str] = []
    for at in count(1, step):
        world = worlds()
        ids = _prepared(world, scenario)
        end = mortal(
            Order(str(world.config), way, at, scenario.force, scenario.at_once)
        )
        # Shown when the next line fails.
        print(f"killed {way} at point {at}: {end.where}")
        _check_recovery(world, scenario, ids)
        world.fault()
        if not end.killed:
            return points
        points.append(end.where)
    raise AssertionError("counting does not end")


def _some_and_all(names: Iterable[object], some: Mapping[object, int]) -> list[object]:
    """Return every case at each step, which is slow, after some at each so manyth, which always run."""
    every = [
        pytest.param(name, 1, id=f"{name}, each", marks=pytest.mark.slow)
        for name in names
    ]
    return [
        *(pytest.param(name, step, id=f"{name}, some") for name, step in some.items()),
        *every,
    ]


@pytest.mark.parametrize(
    ("name", "step"), _some_and_all(SCENARIOS, {"create": 7, "swap of rooms": 8})
)
def test_a_kill_between_any_two_steps_does_no_harm(
    worlds: Callable[[], World], mortal: Callable[[Order], End], name: str, step: int
) -> None:
    """Between any two transactions and calls a kill costs nothing but time: once, in place, then quiet."""
    points = _die_everywhere(SCENARIOS[name], Way.BETWEEN, worlds, mortal, step)
    assert "commit" in points


@pytest.mark.parametrize(("name", "step"), _some_and_all(SIDE_BY_SIDE, {"updates": 7}))
def test_a_kill_with_several_calls_under_way_does_no_harm(
    worlds: Callable[[], World], mortal: Callable[[Order], End], name: str, step: int
) -> None:
    """Of four writes under way together, whichever step a kill comes at, each is made exactly once."""
    points = _die_everywhere(SIDE_BY_SIDE[name], Way.BETWEEN, worlds, mortal, step)
    # Which step is the nth depends on the order of the answers; at least a call and an answer for each write.
    assert len(points) >= 2 * len(_SIDE_BY_SIDE) // step


_QUICK = {(Way.UNDERWAY, "create"), (Way.LATE, "update")}
_ON_THE_WAY = [
    pytest.param(way, name, marks=() if (way, name) in _QUICK else pytest.mark.slow)
    for way in (Way.UNDERWAY, Way.LATE)
    for name in SCENARIOS
    if name != "adoption"  # it sends nothing
]


@pytest.mark.parametrize(("way", "name"), _ON_THE_WAY)
def test_a_kill_while_a_request_is_on_its_way_does_no_harm(
    worlds: Callable[[], World], mortal: Callable[[Order], End], name: str, way: Way
) -> None:
    """Whether a write is carried out before the kill or after it, the next cycles find what became of it."""
    assert _die_everywhere(SCENARIOS[name], way, worlds, mortal)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_line_does_no_harm(
    tmp_path: Path, mortal: Callable[[Order], End], name: str
) -> None:
    """The points of the other tests are no lucky choice: each 97th line of code is one as well."""
    with ExitStack() as stack:

        def make() -> World:
            # With a sandbox of its own: on a shared one each world has longer lists to go through.
            sandbox = stack.enter_context(Sandbox().running())
            return World(tmp_path / str(next(numbers)), sandbox, 1)

        numbers = count(1)
        assert _die_everywhere(SCENARIOS[name], Way.LINE, make, mortal, step=97)
