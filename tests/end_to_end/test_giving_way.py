"""A cycle that leaves what it has not yet written to the next one, because others wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from syncd.apply.unread import MOST_WAIT_S
from syncd.assembly import open_ledger
from syncd.config import load
from syncd.reconciler import Reconciler
from tests.conftest import SMALL_ROOM, Office, ahead, event
from tests.end_to_end.killed import Clock, at_work
from tests.end_to_end.test_neighbours import as_tenant, room_with_approval

LAST = ahead(6)
"""As far ahead as can be booked."""


def soon(number: int) -> datetime:
    """One time after another."""
    return ahead(2, 6) + timedelta(hours=number)


@contextmanager
def at_once(office: Office) -> Iterator[Reconciler]:
    """A program in which others always wait."""
    with at_work(office.folder / "syncd.toml", gives_way=lambda: True) as reconciler:
        yield reconciler


def made(office: Office) -> Counter[str]:
    """How often each meeting was booked."""
    return Counter(
        r["topic"].removeprefix("Meeting ") for r in office.reservations(live=False)
    )


def until_nothing_is_left(
    reconciler: Reconciler, of: Callable[[], object] = lambda: None
) -> int:
    """Run cycles until one leaves nothing; how many there were."""
    for number in range(1, 100):
        of()
        if not reconciler.cycle().left:
            return number
    raise AssertionError("it does not come to an end")


def test_the_next_cycle_goes_on_with_what_is_left(office: Office) -> None:
    """Each cycle makes something and says how much it leaves; in the end each meeting is booked once."""
    office.write(*(event(f"m{n}", soon(n), room=None) for n in range(5)))
    with at_once(office) as reconciler:
        before = datetime.now(UTC)
        report = reconciler.cycle()
        assert (report.counts["created"], report.left, report.outcome) == (1, 4, "ok")
        assert reconciler.due_at is not None
        assert before <= reconciler.due_at <= datetime.now(UTC), (
            "the next one is due at once"
        )
        report = reconciler.cycle()
        assert (report.counts["created"], report.counts["unchanged"], report.left) == (
            1,
            1,
            3,
        )
        assert until_nothing_is_left(reconciler) == 3
        office.forget_requests()
        report = reconciler.cycle()
    assert (report.counts["unchanged"], report.left) == (5, 0)
    assert office.writes() == []
    assert made(office) == {f"m{n}": 1 for n in range(5)}


def test_what_is_new_goes_before_what_was_left(office: Office) -> None:
    """An edit is written by the next cycle, however much lies before it in time."""
    others = [event(f"m{n}", soon(n), room=None) for n in range(6)]
    office.write(*others)
    with at_once(office) as reconciler:
        reconciler.cycle()
        office.write(*others, event("new", LAST, room=None))
        assert reconciler.cycle().left == 4
        assert made(office) == {"m0": 1, "new": 1, "m1": 1}
        until_nothing_is_left(reconciler)
    assert made(office) == {"new": 1} | {f"m{n}": 1 for n in range(6)}


def test_much_that_is_new_waits_like_what_was_left(office: Office) -> None:
    """Many new meetings go by their time among the others, so they hold nobody up either."""
    others = [event(f"m{n}", ahead(2), room=None) for n in range(3)]
    office.write(*others)
    with at_once(office) as reconciler:
        reconciler.cycle()
        office.write(
            *others, *(event(f"new{n}", ahead(3), room=None) for n in range(40))
        )
        assert reconciler.cycle().left == 41
    assert made(office) == {"m0": 1, "m1": 1}


def test_of_two_that_want_one_place_the_earlier_gets_it_though_it_was_left(
    office: Office,
) -> None:
    """Going first is no right to a place: the meeting that was created first has it."""
    early = event("early", LAST, 60, "CREATED:20260101T000000Z")
    others = [event(f"m{n}", soon(n)) for n in range(3)]
    office.write(*others, early)
    with at_once(office) as reconciler:
        reconciler.cycle()
        office.write(
            *others, early, event("late", LAST, 60, "CREATED:20260102T000000Z")
        )
        until_nothing_is_left(reconciler)
    assert made(office) == {"m0": 1, "m1": 1, "m2": 1, "early": 1}


def test_meetings_that_take_each_others_rooms_are_moved_in_one_go(
    office: Office,
) -> None:
    """No cycle ends while one of them has given up its room and not got the other."""
    office.write(event("a", LAST, room="small"), event("b", LAST, room="large"))
    with at_work(office.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
    before = {r["topic"]: r["room_id"] for r in office.reservations()}
    others = [event(f"m{n}", soon(n), room=None) for n in range(2)]
    office.write(
        event("a", LAST, room="large"), event("b", LAST, room="small"), *others
    )
    with at_once(office) as reconciler:
        assert reconciler.cycle().left == len(others)
    after = {r["topic"]: r["room_id"] for r in office.reservations()}
    assert after == {"Meeting a": before["Meeting b"], "Meeting b": before["Meeting a"]}


def test_what_a_person_released_is_cancelled_in_one_go(office: Office) -> None:
    """The word for it is spent once, so all that it was for is done before anything gives way."""
    kept = event("kept", LAST, room=None)
    office.write(kept, *(event(f"m{n}", soon(n), room=None) for n in range(4)))
    office.change(
        (
            "[reservation]",
            '[safety]\ncancel_share = "1%"\ncancel_floor = 0\n[reservation]',
        )
    )
    with at_work(office.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
        office.write(kept)
        plan = reconciler.cycle().plan
        assert plan is not None
        assert plan.held_checksum is not None
    with open_ledger(load(office.folder / "syncd.toml"), owner=False) as ledger:
        ledger.people.approve(plan.held_checksum, datetime.now(UTC), "a person")
    office.write(kept, *(event(f"new{n}", soon(10 + n), room=None) for n in range(3)))
    with at_once(office) as reconciler:
        report = reconciler.cycle()
        assert (report.counts["cancelled"], report.left) == (4, 2)
        until_nothing_is_left(reconciler)
    assert {r["topic"] for r in office.reservations()} == {
        "Meeting kept",
        *(f"Meeting new{n}" for n in range(3)),
    }


def test_wakes_without_end_do_not_keep_it_from_coming_further(office: Office) -> None:
    """However often others wait, and bring something new each time, all is booked in the end."""
    others = [event(f"m{n}", soon(n), room=None) for n in range(8)]
    edits = iter(range(1000))

    def edit() -> None:
        start = LAST + timedelta(minutes=next(edits))
        office.write(*others, event("restless", start, room=None))

    office.write(*others)
    with at_once(office) as reconciler:
        reconciler.cycle()
        cycles = until_nothing_is_left(reconciler, edit)
    assert cycles <= 8, "one of what was left in each"
    assert made(office) == {"restless": 1} | {f"m{n}": 1 for n in range(8)}


def test_each_meeting_is_decided_once_however_often_others_wait(office: Office) -> None:
    """What waits stays decided: the plans of all cycles together write each meeting once."""
    series = event("daily", ahead(2), 15, "RRULE:FREQ=DAILY;COUNT=4", room=None)
    office.write(series, *(event(f"m{n}", soon(n), room=None) for n in range(6)))
    planned: Counter[str] = Counter()
    with at_once(office) as reconciler:
        for _ in range(20):
            report = reconciler.cycle()
            assert report.plan is not None
            planned.update(change.key.uid for change in report.plan.writes)
            if not report.left:
                break
        assert report.left == 0
        idle = reconciler.cycle()
        assert idle.plan is not None
        assert idle.plan.kept == (), "what was written rests without another look"
        assert idle.counts["unchanged"] == 10
    assert planned == {"daily": 4} | {f"m{n}": 1 for n in range(6)}
    assert made(office) == {"daily": 4} | {f"m{n}": 1 for n in range(6)}


def test_an_edit_of_what_waits_is_decided_anew(office: Office) -> None:
    """A meeting that changes before its turn comes is booked once, as it is then; one taken off is not."""
    others = [event(f"m{n}", soon(n), room=None) for n in range(4)]
    office.write(*others, event("moved", LAST, room=None), event("off", LAST))
    with at_once(office) as reconciler:
        assert reconciler.cycle().left == 5
        moved = event("moved", LAST + timedelta(hours=1), room=None)
        office.write(*others, moved)
        until_nothing_is_left(reconciler)
    assert made(office) == {"moved": 1} | {f"m{n}": 1 for n in range(4)}
    starts = {r["topic"]: r["start_time"] for r in office.reservations()}
    assert starts["Meeting moved"] == 1000 * int(
        (LAST + timedelta(hours=1)).timestamp()
    )


def test_another_process_decides_anew_what_waited(office: Office) -> None:
    """What a process left when it ended is booked by the next one, each meeting once."""
    office.write(*(event(f"m{n}", soon(n), room=None) for n in range(5)))
    with at_once(office) as reconciler:
        reconciler.cycle()
        assert reconciler.cycle().left == 3
    with at_work(office.folder / "syncd.toml") as reconciler:
        report = reconciler.cycle()
        assert (report.counts["created"], report.left) == (3, 0)
    assert made(office) == {f"m{n}": 1 for n in range(5)}


def test_a_date_that_is_refused_does_not_keep_the_others_of_its_series(
    office: Office,
) -> None:
    """Of a series whose dates wait one meets a conflict; it is told, and the others are booked once."""
    taken = event("taken", ahead(2), 30, "CREATED:20260101T000000Z")
    series = event(
        "daily", ahead(2), 30, "RRULE:FREQ=DAILY;COUNT=4", "CREATED:20260102T000000Z"
    )
    office.write(taken, series)
    with at_once(office) as reconciler:
        until_nothing_is_left(reconciler)
        report = reconciler.cycle()
    assert made(office) == {"taken": 1, "daily": 3}
    assert report.counts["refused"] == 1


def test_what_many_cycles_made_is_read_back_together(office: Office) -> None:
    """A cycle that gives way leaves what it made to be read back with what the next ones make."""
    office.write(*(event(f"m{n}", soon(n), room=None) for n in range(6)))
    with at_once(office) as reconciler:
        reconciler.cycle()
        office.forget_requests()
        until_nothing_is_left(reconciler)
    made = office.control("requests")
    asked = [entry for entry in made if entry["method"] == "GET"]
    assert len(asked) < len(office.writes()) == 5


def test_what_was_made_is_read_back_though_nothing_is_left(office: Office) -> None:
    """The last cycle of a backlog has to read back only what a former one made, and nothing to write."""
    office.write(*(event(f"m{n}", soon(n), room=None) for n in range(2)))
    with at_once(office) as reconciler:
        assert reconciler.cycle().left == 1
        office.write()
        assert reconciler.cycle().left == 0


def reads(office: Office) -> list[str]:
    """The questions for reservations since calls were last forgotten, by operation name."""
    asked = [entry["operation"] for entry in office.control("requests")]
    return [operation for operation in asked if operation in {"get", "list"}]


def states(reconciler: Reconciler) -> Counter[str]:
    """How many bookings there are in each state."""
    return Counter(booking.state for booking in reconciler._ledger.bookings.current())


@pytest.mark.slow
def test_a_booking_in_many_portions_is_read_back_by_few_lists(office: Office) -> None:
    """However often it gives way and more calendars come, a list tells of many, and of each in the end."""
    office.change((SMALL_ROOM, room_with_approval(as_tenant(office))))
    turns = count()
    calendars = 6
    events: list[str] = []
    config = office.folder / "syncd.toml"
    with at_work(config, gives_way=lambda: next(turns) % 20 == 19) as reconciler:
        office.forget_requests()
        for number in range(calendars):
            for n in range(40):
                room = "small" if n % calendars == number else None
                events.append(event(f"c{number}m{n}", soon(2 * n), room=room))
            office.write(*events)
            assert reconciler.cycle().left > 0
        assert until_nothing_is_left(reconciler) > 1
        told = states(reconciler)
    assert told == {"approval": 40, "booked": len(events) - 40}
    assert len(reads(office)) < len(events) / 8


@pytest.mark.slow
def test_reading_back_gives_way_as_writing_does(office: Office) -> None:
    """Each cycle reads some of what is left, and the next one is due at once, until all of it is read."""
    office.write(*(event(f"m{n}", soon(n // 4), room=None) for n in range(240)))
    with at_work(office.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
    with at_once(office) as reconciler:
        reconciler.cycle()
        for booking in reconciler._ledger.bookings.current():
            reconciler._unread.add(booking)
        asked: list[int] = []
        while reconciler._unread:
            office.forget_requests()
            report = reconciler.cycle()
            asked.append(len(reads(office)))
            assert (report.left, report.outcome) == (0, "ok")
            assert reconciler.due_at is not None
            is_due = reconciler.due_at <= datetime.now(UTC)
            assert is_due == bool(reconciler._unread)
    assert len(asked) > 1
    assert all(calls > 0 for calls in asked)


def test_what_waits_to_be_read_back_waits_for_minutes_at_most(office: Office) -> None:
    """While there is always something to write, what is written is read back after some minutes."""
    clock = Clock()
    office.write(*(event(f"m{n}", soon(n), room=None) for n in range(8)))
    config = office.folder / "syncd.toml"
    with at_work(config, clock, gives_way=lambda: True) as reconciler:
        reconciler.cycle()
        reconciler.cycle()
        office.forget_requests()
        clock.later = timedelta(seconds=MOST_WAIT_S / 2)
        reconciler.cycle()
        assert reads(office) == []
        clock.later = timedelta(seconds=MOST_WAIT_S + 1)
        assert reconciler.cycle().left == 4
        assert len(reads(office)) > 0


def test_another_process_reads_back_what_was_left(office: Office) -> None:
    """What a process wrote and did not come to read back is read back by the next one, once."""
    office.change((SMALL_ROOM, room_with_approval(as_tenant(office))))
    office.write(*(event(f"m{n}", soon(n), room="small") for n in range(3)))
    with at_once(office) as reconciler:
        reconciler.cycle()
        assert reconciler.cycle().left == 1
        assert states(reconciler) == {"booked": 2}
    with at_work(office.folder / "syncd.toml") as reconciler:
        reconciler.cycle()
        assert states(reconciler) == {"approval": 3}
    with at_work(office.folder / "syncd.toml") as reconciler:
        office.forget_requests()
        reconciler.cycle()
        assert reads(office) == []


def test_what_is_edited_before_it_was_read_back_is_written_once(office: Office) -> None:
    """What is read back is compared with what was written last, not with what was before the edit."""
    others = [event("other", soon(1), room=None)]
    office.write(event("first", ahead(1), room=None), *others)
    with at_once(office) as reconciler:
        assert reconciler.cycle().counts["created"] == 1
        edited = event("first", ahead(1), 30, room=None)
        office.write(edited, *others)
        until_nothing_is_left(reconciler)
        office.forget_requests()
        office.write(edited, *others, event("new", LAST, room=None))
        reconciler.cycle()
        assert office.writes() == ["create"]
        (first,) = reconciler._ledger.bookings.of("first")
    assert first.spec.end == ahead(1) + timedelta(minutes=30)
    assert first.echo == ""


def test_what_the_api_kept_otherwise_is_told_from_what_a_person_changed(
    office: Office,
) -> None:
    """What is not read back yet is so before the comparison, which would take it for a person's change."""
    office.write(*(event(f"m{n}", soon(n), room=None) for n in range(3)))
    with at_once(office) as reconciler:
        reconciler.cycle()
        (made,) = office.reservations()
        office.control(f"reservations/{made['reservation_id']}", {"topic": "Cut"})
        reconciler.cycle(force=True)
        (first,) = reconciler._ledger.bookings.of("m0")
    assert first.echo
    assert not first.drifted
    assert first.spec.topic == "Meeting m0"
