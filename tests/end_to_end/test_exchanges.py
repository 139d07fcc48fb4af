"""Meetings that take each other's places: right at the end, also when any one call fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from syncd.reconciler import CycleReport
from tests.conftest import LARGE_ROOM, SMALL_ROOM, Office, ahead, event
from tests.end_to_end.killed import Clock, at_work

THIRD_ROOM = "1410148741926678530"
NAMES = {SMALL_ROOM: "small", LARGE_ROOM: "large", THIRD_ROOM: "third"}
_THIRD = f'[[rooms]]\nid = "{THIRD_ROOM}"\nname = "Third"\naddresses = ["room-third@example.com"]\n'

Places = dict[str, tuple[str, datetime]]  # UID to room and start

SWAP: tuple[Places, Places] = (
    {"a": ("small", ahead(2)), "b": ("large", ahead(2))},
    {"a": ("large", ahead(2)), "b": ("small", ahead(2))},
)
SWAP_OF_TIMES: tuple[Places, Places] = (
    {"a": ("small", ahead(2, 9)), "b": ("small", ahead(2, 10))},
    {"a": ("small", ahead(2, 10)), "b": ("small", ahead(2, 9))},
)
ROTATION: tuple[Places, Places] = (
    {"a": ("small", ahead(2)), "b": ("large", ahead(2)), "c": ("third", ahead(2))},
    {"a": ("large", ahead(2)), "b": ("third", ahead(2)), "c": ("small", ahead(2))},
)
FREED_SLOT: tuple[Places, Places] = (
    {"a": ("small", ahead(2)), "b": ("large", ahead(2)), "c": ("third", ahead(2))},
    {"a": ("large", ahead(2)), "c": ("third", ahead(2)), "d": ("small", ahead(2))},
)
SITUATIONS = {
    "swap": SWAP,
    "swap of times": SWAP_OF_TIMES,
    "rotation": ROTATION,
    "freed slot": FREED_SLOT,
}


def _write(office: Office, places: Places) -> None:
    office.write(
        *(event(uid, start, room=room) for uid, (room, start) in sorted(places.items()))
    )


def _held(office: Office) -> Places:
    """Where the live reservations are; each meeting has one, and no two are in each other's way."""
    live = office.reservations()
    for one, other in combinations(live, 2):
        together = (
            one["start_time"] < other["end_time"]
            and other["start_time"] < one["end_time"]
        )
        assert not (together and one["room_id"] and one["room_id"] == other["room_id"])
    assert len({r["topic"] for r in live}) == len(live)
    return {
        r["topic"].removeprefix("Meeting "): (
            NAMES.get(r["room_id"], ""),
            datetime.fromtimestamp(r["start_time"] / 1000, ahead(2).tzinfo),
        )
        for r in live
    }


def _cycle(office: Office, *, later: timedelta = timedelta()) -> CycleReport:
    """One cycle in this process, which is quicker than a new one for each of a hundred."""
    clock = Clock()
    clock.later = later
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        return reconciler.cycle()


def _begin(office: Office, places: Places) -> None:
    office.change(
        ('[[sources]]\nname = "office"', f'{_THIRD}[[sources]]\nname = "office"')
    )
    _write(office, places)
    assert _cycle(office).counts["created"] == len(places)
    assert _held(office) == places
    office.forget_requests()


@pytest.mark.first(1)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_places_are_exchanged_in_one_cycle(office: Office, situation: str) -> None:
    """Each meeting keeps its reservation and ends where the calendar has it; the next cycle is quiet."""
    before, after = SITUATIONS[situation]
    _begin(office, before)
    ids = {r["topic"]: r["reservation_id"] for r in office.reservations()}
    _write(office, after)
    announced = office.plan()["counts"]
    done = _cycle(office).counts
    assert _held(office) == after
    assert (done["updated"], done["refused"]) == (announced["update"], 0)
    kept = {
        r["topic"]: r["reservation_id"]
        for r in office.reservations()
        if r["topic"] in ids
    }
    assert kept.items() <= ids.items()
    office.forget_requests()
    assert _cycle(office).outcome == "ok"
    assert office.writes() == []


_FAULTS = (
    "lost:on=write,times=1,after={n}",
    "closed:on=write,times=1,after={n}",
    "throttled:code=1110,on=write,times=1,after={n}",
)


def _writes_without_fault(situation: str) -> Sequence[int]:
    """The steps of an exchange; a lost create is settled after request_validity, and has tests of its own."""
    return range({"rotation": 5, "freed slot": 2}.get(situation, 4))


@pytest.mark.first(2)
@pytest.mark.parametrize("fault", _FAULTS, ids=lambda text: text.partition(",on")[0])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_ends_right_when_any_one_call_fails(
    make_office: Any, situation: str, fault: str
) -> None:
    """Whatever becomes of any one write, no meeting is lost or doubled, and later cycles make it right."""
    before, after = SITUATIONS[situation]
    for n in _writes_without_fault(situation):
        office = make_office(f"office{n}")
        _begin(office, before)
        _write(office, after)
        office.fault(fault.format(n=n))
        _cycle(office)
        roomless = [uid for uid, (room, _) in _held(office).items() if not room]
        assert len(roomless) <= 1
        # A change that never arrived is waited for as long as it might arrive.
        for minutes in (0, 6, 6):
            _cycle(office, later=timedelta(minutes=minutes))
        assert _held(office) == after, n
        office.forget_requests()
        assert _cycle(office, later=timedelta(minutes=6)).outcome == "ok"
        assert office.writes() == []


@pytest.mark.slow
@pytest.mark.parametrize("situation", ["swap", "swap of times", "rotation"])
def test_a_refusal_leaves_nobody_without_a_room(
    make_office: Any, situation: str
) -> None:
    """When the API refuses any one step for good, each meeting still has a room, and it does not go on."""
    before, after = SITUATIONS[situation]
    for n in range(len(before) + 1):
        office = make_office(f"office{n}")
        _begin(office, before)
        _write(office, after)
        office.fault(f"refuse:code=1109,on=write,times=1,after={n}")
        _cycle(office)
        assert "" not in {room for room, _ in _held(office).values()}, n
        office.fault()
        _cycle(office)
        office.forget_requests()
        assert _cycle(office).outcome == "attention"
        assert office.writes() == []
        assert "" not in {room for room, _ in _held(office).values()}, n


def test_after_a_refusal_an_edit_of_the_meeting_goes_through(office: Office) -> None:
    """What was refused is tried again when its event changes, and takes the others along."""
    before, after = SWAP
    _begin(office, before)
    _write(office, after)
    office.fault("refuse:code=1109,on=write,times=1,after=1")
    _cycle(office)
    assert _held(office) == before
    office.fault()
    office.write(
        *(
            event(
                uid,
                start,
                60,
                f"SUMMARY:Meeting {uid}",
                f"DESCRIPTION:{uid}",
                room=room,
            )
            for uid, (room, start) in after.items()
        )
    )
    _cycle(office)
    assert _held(office) == after
