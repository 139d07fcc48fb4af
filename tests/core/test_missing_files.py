"""What it proves that a file of a directory is gone: nothing at first, and then by what it held."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.core.booking import BookingState
from syncd.core.evidence import Coverage, Safety, absence
from syncd.core.occurrence import Missing, Presence, Reading
from syncd.core.reasons import Evidence, Reason
from tests.core.office import NOW, Office, event, told

GRACE = timedelta(minutes=1)
SHORT, LONG = timedelta(seconds=59), GRACE
OTHER = event("neighbour", 2)


def gone(
    away: timedelta, *, alone: bool = False, uids: tuple[str, ...] = ("x",)
) -> Missing:
    """A file that is gone and held these UIDs."""
    return Missing("a.ics", away, alone, frozenset(uids).__contains__)


def without(reading: Reading, *missing: Missing) -> Reading:
    """The reading of a directory that lacks these files."""
    return replace(reading, missing=missing)


@pytest.mark.parametrize("presence", [None, Presence.SERIES, Presence.DETACHED])
@pytest.mark.parametrize(
    ("missing", "grade"),
    [
        ((gone(SHORT),), None),
        ((gone(SHORT, alone=True),), None),
        ((gone(LONG, alone=True),), Evidence.SHOWN),
        ((gone(LONG),), Evidence.INFERRED),
        ((gone(LONG, alone=True), gone(LONG)), Evidence.INFERRED),
        ((gone(LONG), gone(timedelta(), alone=True)), None),
    ],
    ids=[
        "short",
        "short, alone",
        "alone",
        "with others",
        "two files",
        "one of them short",
    ],
)
def test_a_file_that_is_gone_is_judged_by_time_and_by_what_it_held(
    missing: tuple[Missing, ...], grade: Evidence | None, presence: Presence | None
) -> None:
    """Within the grace nothing follows; then one event is shown to be gone, and several are inferred."""
    booking = Office().book(event("x", 1, original=1))[0]
    stands = {} if presence is None else {"x": presence}
    reading = without(Office().reading(OTHER, presence=stands), *missing)
    judged = absence(
        booking,
        {"one": reading},
        ["one"],
        Safety(file_grace=GRACE),
        {"one": Coverage(live=5, present=4)},
    )
    assert judged.evidence is grade


def test_other_events_are_not_touched_by_a_missing_file() -> None:
    """What the file did not hold is told and shown as ever."""
    booking = Office().book(event("x", 1, original=1))[0]
    reading = Office().reading(OTHER, presence={"x": Presence.SERIES})
    missing = without(reading, gone(SHORT, uids=("y",)))
    judged = absence(
        booking,
        {"one": missing},
        ["one"],
        Safety(),
        {"one": Coverage(live=5, present=4)},
    )
    assert (judged.evidence, judged.reason) == (
        Evidence.TOLD,
        Reason.OCCURRENCE_REMOVED,
    )


def test_an_older_copy_in_another_file_changes_nothing_meanwhile() -> None:
    """A moved, a cancelled and an excluded date stay as they were while their file is awaited."""
    office = Office()
    office.book(event("x", 1.5, original=1), event("z", 3))
    back = without(
        office.reading(event("x", 1, original=1), event("z", 3)), gone(SHORT)
    )
    assert told(office.plan(back)) == [("hold", "x", "file_missing")]
    cancelled = event("x", 1, original=1, cancelled=True)
    off = without(office.reading(cancelled, event("z", 3)), gone(SHORT))
    assert told(office.plan(off)) == [("hold", "x", "file_missing")]
    was_off = event("x", 5, original=5)
    on = without(
        office.reading(event("x", 1.5, original=1), was_off, event("z", 3)), gone(SHORT)
    )
    assert told(office.cycle(on)) == [("wait", "x", "file_missing")]
    over = without(
        office.reading(event("x", 1, original=1), was_off, event("z", 3)), gone(LONG)
    )
    assert sorted(told(office.cycle(over))) == [
        ("create", "x", "new"),
        ("update", "x", "changed"),
    ]
    assert (
        office.plan(
            office.reading(event("x", 1, original=1), was_off, event("z", 3))
        ).changes
        == ()
    )


def test_what_a_person_ended_is_looked_at_until_its_file_is_back_or_given_up() -> None:
    """Another file of the directory shows the meeting otherwise: nothing follows, and it does not rest."""
    office = Office()
    booking = office.book(event("x", 2), event("z", 3))[0]
    office.store(booking.with_state(BookingState.RELEASED))
    older = office.reading(event("x", 1), event("z", 3))
    meanwhile = office.cycle(without(older, gone(SHORT)))
    assert meanwhile.changes == ()
    assert "x" not in meanwhile.at_rest
    given_up = office.cycle(without(older, gone(LONG)))
    assert told(given_up) == [("create", "x", "new")]


def test_the_copy_of_another_source_changes_nothing_while_a_newer_one_is_awaited() -> (
    None
):
    """A directory showed a newer copy, which is not written yet, and its file is gone for a moment."""
    office = Office(sources=("one", "two"))
    neighbours = {name: event("z", 3) for name in office.sources}
    older = event("x", 1, rooms="a, b", sequence=1)
    office.cycle(
        *(
            office.reading(older, neighbours[name], source=name)
            for name in office.sources
        )
    )
    moved = office.reading(
        event("x", 1, rooms="a", sequence=2), neighbours["one"], source="one"
    )
    away = office.reading(neighbours["two"], source="two")
    held = [("hold", "x", "file_missing")] * 2
    assert told(office.plan(moved, without(away, gone(SHORT)))) == held
    assert told(office.plan(moved, without(away, gone(LONG, alone=True)))) == [
        ("cancel", "x", "room_removed")
    ]


def test_new_uids_in_a_new_file_are_the_meetings_of_the_one_that_is_gone() -> None:
    """An export that writes another file with other UIDs keeps its reservations, at once and later."""
    for away in (SHORT, LONG):
        office = Office()
        office.book(event("x", 1), event("z", 3))
        decided = office.cycle(
            without(office.reading(event("v", 1), event("z", 3)), gone(away))
        )
        assert (decided.writes, decided.rekeyed) == ((), 1)


def test_what_is_held_stays_held_when_the_file_is_forgotten() -> None:
    """Once a person is asked about the events of a file, no lost memory answers in her place."""
    office = Office()
    office.book(event("x", 1), event("z", 3))
    assert told(office.cycle(without(office.reading(event("z", 3)), gone(LONG)))) == [
        ("hold", "x", "file_gone")
    ]
    assert told(office.cycle(office.reading(event("z", 3)))) == [
        ("hold", "x", "file_gone")
    ]
    assert office.cycle(office.reading(event("x", 1), event("z", 3))).changes == ()
    assert [b.reason for b in office.live] == [None, None]
    assert office.now > NOW
