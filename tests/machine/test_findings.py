"""What the machine found, each as the shortest history that led there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from syncd.apply import count_leftovers
from syncd.core.booking import Booking, BookingState
from syncd.core.reservation import Reservation
from tests.core.office import event as occurrence
from tests.core.test_recognise import adopt, marked, meetings, sorted_out
from tests.machine.calendars import FIRST_DAY, Calendars, Damage, Event, Meeting
from tests.machine.world import ROOMS, HoldUp, Rules, Trouble, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The real parts, without anything in the calendars."""
    made = World(tmp_path, Rules())
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def calendars(world: World) -> Calendars:
    """Its calendars."""
    return Calendars(world.folder)


def at(day: int, hour: int) -> datetime:
    """A time on a coming day."""
    return FIRST_DAY + timedelta(days=day, hours=hour)


def live(world: World) -> set[tuple[str, str]]:
    """What is booked: topic and the last digit of the room."""
    return {
        (r["topic"], r["room_id"][-1:])
        for r in world.reservations().values()
        if r["status"] == 1
    }


def cycle(world: World, calendars: Calendars, *faults: str) -> None:
    """One cycle with the calendars as they are now, and with a look at every reservation."""
    calendars.write()
    world.cycle(Trouble(faults), force=True)


def test_an_update_in_doubt_of_what_a_person_cancelled_is_settled(
    world: World, calendars: Calendars
) -> None:
    """The calendar changed after the person's cancel, so the meeting is booked anew."""
    meeting = Meeting("x", at(2, 9), 60, ("red",), 1)
    calendars.events["one"]["x"] = Event(meeting)
    cycle(world, calendars)
    (number,) = world.reservations()
    world.edit_by_hand(number, status=3)
    calendars.events["one"]["x"] = Event(replace(meeting, revision=2))
    calendars.write()
    world.cycle(Trouble(("false:on=modify",)))
    cycle(world, calendars)
    assert live(world) == {("x 2", "1")}


def test_two_bookings_of_a_room_do_not_follow_one_meeting(
    world: World, calendars: Calendars
) -> None:
    """A series in one room turns into one whose dates want two others."""
    calendars.events["one"]["x"] = Event(
        Meeting("x", at(2, 9), 60, ("blue",), 1), every=1, count=4
    )
    cycle(world, calendars)
    calendars.events["one"]["x"] = Event(
        Meeting("x", at(4, 10), 60, ("red", "green"), 2), every=1, count=2
    )
    cycle(world, calendars)
    cycle(world, calendars)
    assert live(world) == {("x 2", "1"), ("x 2", "2")}
    assert len([r for r in world.reservations().values() if r["status"] == 1]) == 4


def test_a_former_uid_is_given_to_another_event(
    world: World, calendars: Calendars
) -> None:
    """The booking that followed its event to a new UID is not taken for one of the old UID."""
    meeting = Meeting("x", at(2, 9), 60, ("red",), 1)
    calendars.events["one"] = {"x": Event(meeting)}
    cycle(world, calendars)
    calendars.events["one"] = {"y": Event(meeting)}
    cycle(world, calendars)
    calendars.events["one"]["x"] = Event(Meeting("z", at(3, 9), 60, ("red",), 2))
    cycle(world, calendars)
    cycle(world, calendars)
    assert live(world) == {("x 1", "1"), ("z 2", "1")}
    assert len(world.reservations()) == 2


def two_bookings() -> tuple[list[Reservation], list[Booking]]:
    """The reservations of one occurrence in two rooms, and the bookings that hold them."""
    wanted = meetings(occurrence("x", 1, rooms="a, b"))
    there = [
        marked(str(100 + number), meeting, number)
        for number, meeting in enumerate(wanted)
    ]
    return there, [
        replace(b, row=row) for row, b in enumerate(adopt(there, wanted), start=1)
    ]


def test_a_mark_has_one_record() -> None:
    """A reservation that stands in another room than the record of its mark takes that record over."""
    (first, second), (known, _) = two_bookings()
    refused = replace(
        known,
        state=BookingState.REFUSED,
        reservation_id=None,
        pending=known.content,
        content=None,
    )
    (adopted,) = sorted_out(
        [replace(first, room_id=second.room_id)], [], refused
    ).adopted
    assert (adopted.row, adopted.reservation_id) == (refused.row, "100")
    assert (adopted.room_id, adopted.spec.room_id) == (first.room_id, second.room_id)


def test_bookings_that_a_person_put_into_one_room_are_no_duplicates() -> None:
    """Two reservations of one occurrence that both have their booking stay, whatever rooms they are in."""
    (first, second), known = two_bookings()
    found = sorted_out([first, replace(second, room_id=first.room_id)], [], *known)
    assert (found.duplicates, found.adopted) == ((), ())


def test_one_mark_in_two_rooms_is_no_duplicate() -> None:
    """Of two reservations with one mark in two rooms, one may be somebody's copy: it is a stray and stays."""
    (first, second), known = two_bookings()
    found = sorted_out(
        [first, replace(second, description=first.description)], [], known[0]
    )
    assert (found.duplicates, [stray.reservation_id for stray in found.strays]) == (
        (),
        ["101"],
    )


def test_a_lost_ledger_looks_as_far_as_it_books(
    world: World, calendars: Calendars
) -> None:
    """A meeting that moved nearer while the ledger was lost is found where it was booked."""
    calendars.events["one"]["x"] = Event(Meeting("x", at(5, 9), 60, (), 1))
    cycle(world, calendars)
    world.lose(beside=True)
    calendars.events["one"]["x"] = Event(Meeting("x", at(1, 9), 60, (), 2))
    cycle(world, calendars)
    assert [r["topic"] for r in world.reservations().values()] == ["x 2"]


def test_a_lost_ledger_remembers_what_it_could_not_read(
    world: World, calendars: Calendars
) -> None:
    """A source that cannot be read when the ledger is lost finds its reservations when it is mended."""
    calendars.events["one"]["x"] = Event(Meeting("x", at(2, 9), 60, (), 1))
    cycle(world, calendars)
    world.lose(beside=True)
    calendars.damage["one.ics"] = Damage("html")
    calendars.write()
    world.cycle(Trouble())
    calendars.damage.clear()
    world.pass_time(timedelta(minutes=5))
    calendars.write()
    world.cycle(Trouble())
    assert len(world.reservations()) == 1


def test_a_create_in_doubt_that_was_moved_to_the_other_room_keeps_its_place(
    world: World, calendars: Calendars
) -> None:
    """A person puts both reservations of a meeting into one room before the answer to one is known."""
    calendars.events["one"]["x"] = Event(
        Meeting("x", at(2, 9), 60, ("red", "green"), 1)
    )
    calendars.write()
    world.cycle(Trouble(hold_up=HoldUp(write=2, arrives=True, killed=True)))
    world.deliver(world.letters[0])
    numbers = sorted(world.reservations())
    assert len(numbers) == 2
    world.edit_by_hand(numbers[1], room_id=ROOMS["red"])
    cycle(world, calendars)
    cycle(world, calendars)
    assert live(world) == {("x 1", "1"), ("x 1", "2")}


def test_a_meeting_that_is_over_waits_for_its_new_date(
    world: World, calendars: Calendars
) -> None:
    """An event that took place and is moved farther ahead than the tenant lets book waits in a new record."""
    calendars.events["one"]["x"] = Event(Meeting("x", at(1, 9), 60, ("red",), 1))
    cycle(world, calendars)
    world.pass_time(at(1, 10) - world.now)
    calendars.events["one"]["x"] = Event(Meeting("x", at(9, 9), 60, ("red",), 2))
    cycle(world, calendars)
    with world.ledger() as ledger:
        assert [(b.state, b.spec.topic) for b in ledger.bookings.current()] == [
            (BookingState.WAITING, "x 2")
        ]


def test_a_booking_follows_its_series_to_a_date_that_is_over(
    world: World, calendars: Calendars
) -> None:
    """One date took place and is set anew, the other one is left out: its reservation goes to the first."""
    meeting = Meeting("x", at(1, 9), 60, ("red",), 1)
    calendars.events["one"]["x"] = Event(meeting, every=1, count=2)
    cycle(world, calendars)
    world.pass_time(at(1, 10) - world.now)
    calendars.events["one"]["x"] = Event(
        meeting,
        every=1,
        count=1,
        changed={0: replace(meeting, start=at(3, 9), revision=2)},
    )
    cycle(world, calendars)
    with world.ledger() as ledger:
        assert [b.spec.topic for b in ledger.bookings.current()] == ["x 2"]
    assert len(world.reservations()) == 2


def test_a_lost_ledger_gives_no_mark_of_the_day_anew(
    world: World, calendars: Calendars
) -> None:
    """A meeting that is over is not taken for the one that a create in doubt made of the same event."""
    calendars.events["one"]["x"] = Event(Meeting("x", at(1, 9), 60, ("red",), 1))
    cycle(world, calendars)
    world.pass_time(at(1, 10) - world.now)
    world.lose(beside=True)
    calendars.events["one"]["x"] = Event(Meeting("x", at(1, 15), 60, ("red",), 2))
    cycle(world, calendars, "lost:on=create,times=1")
    cycle(world, calendars)
    marks = [r["description"] for r in world.reservations().values()]
    assert len(set(marks)) == 2
    assert [r["status"] for r in world.reservations().values()] == [1, 1]


def test_what_a_restored_ledger_does_not_know_is_told(
    world: World, calendars: Calendars
) -> None:
    """A reservation that nothing wants and no record has is a leftover, however far ahead of all others."""
    near, far = (Event(Meeting("x", at(day, 9), 60, (), 1)) for day in (1, 6))
    calendars.events["one"]["x"] = near
    cycle(world, calendars)
    world.back_up()
    calendars.events["one"]["y"] = far
    cycle(world, calendars)
    world.restore(beside=True)
    del calendars.events["one"]["y"]
    cycle(world, calendars)
    with world.ledger() as ledger:
        assert count_leftovers(ledger.facts) == (1, 0)


def test_a_former_reservation_is_not_what_a_lost_answer_was_about(
    tmp_path: Path,
) -> None:
    """Without marks content tells: what was cancelled before is not what the create in doubt made."""
    world = World(tmp_path, Rules(marker=False))
    try:
        calendars = Calendars(world.folder)
        meeting = Meeting("x", at(2, 9), 60, ("red",), 1)
        calendars.events["one"]["x"] = Event(meeting)
        cycle(world, calendars)
        calendars.events["one"]["x"] = Event(
            replace(meeting, withdrawn="STATUS:CANCELLED")
        )
        cycle(world, calendars)
        assert not live(world)
        calendars.events["one"]["x"] = Event(meeting)
        cycle(world, calendars, "closed:on=create,times=1")
        world.pass_time(timedelta(minutes=10))
        cycle(world, calendars)
        cycle(world, calendars)
        assert live(world) == {("x 1", "1")}
    finally:
        world.close()


def test_a_source_that_comes_back_is_booked_though_it_says_nothing_new(
    world: World, calendars: Calendars
) -> None:
    """What it says of later times is kept while it is not configured, however quiet the others are."""
    calendars.events["one"]["x"] = Event(Meeting("x", at(12, 9), 60, (), 1))
    cycle(world, calendars)
    world.configure(replace(world.rules, sources=("three",)))
    cycle(world, calendars)
    world.pass_time(at(7, 9) - world.now)
    world.configure(world.rules.ordinary())
    cycle(world, calendars)
    assert [r["topic"] for r in world.reservations().values()] == ["x 1"]


def test_a_copy_that_is_over_is_no_longer_a_witness(
    world: World, calendars: Calendars
) -> None:
    """Of two sources that show a meeting at two times, the one whose time has passed shows it no more."""
    calendars.events["one"]["x"] = Event(Meeting("x", at(2, 9), 60, (), 1))
    calendars.events["three"]["x"] = Event(Meeting("x", at(4, 9), 60, (), 2))
    cycle(world, calendars)
    cycle(world, calendars)
    world.pass_time(at(2, 11) - world.now)
    expected = world.preview()
    assert expected.amended
    report = world.cycle(Trouble()).report
    assert report is not None
    assert report.plan is not None
    assert report.plan.amended == expected.amended
