"""What follows from a copy that does not decide: its change is no change, its cancel is a question."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from syncd.core.booking import BookingState
from syncd.core.changes import Hold, OnCancel, Plan
from syncd.core.occurrence import Authority, Occurrence
from tests.core.office import Office, event, told

NEIGHBOUR = event("n", 9)


def two_sources() -> Office:
    """An office with two calendars, of which the first one decided about the meeting."""
    office = Office(sources=("one", "two"))
    office.cycle(office.reading(event("x"), NEIGHBOUR), office.reading(source="two"))
    return office


def cycle(office: Office, other: Occurrence, own: Occurrence | None = None) -> Plan:
    """A cycle in which the first calendar shows the meeting as before, or `own`, and the second `other`."""
    return office.cycle(
        office.reading(own or event("x"), NEIGHBOUR),
        office.reading(other, source="two"),
    )


def test_anybodys_cancel_is_held_and_says_whose_it_is() -> None:
    """A file with the same UID and a high SEQUENCE cancels nothing before a person approves it."""
    office = two_sources()
    other = event("x", sequence=999, cancelled=True, organizer="")
    decided = cycle(office, other)
    assert (decided.writes, told(decided)) == ((), [("hold", "x", "not_the_organizer")])
    (hold,) = (c for c in decided.changes if isinstance(c, Hold))
    assert "'two'" in hold.detail
    assert "'one' decides" in hold.detail


def test_what_a_person_approved_is_not_booked_again() -> None:
    """The calendar that decides goes on showing the meeting; it is booked again when it changes there."""
    for policy in OnCancel:
        office = two_sources()
        office.on_cancel = policy
        other = event("x", sequence=2, cancelled=True)
        office.approved = frozenset({cycle(office, other).held_checksum or ""})
        assert told(cycle(office, other)) == [("cancel", "x", "not_the_organizer")]
        office.approved = frozenset()
        assert told(cycle(office, other)) == [("skip", "x", "released")]
        assert [b.state for b in office.current if b.key.uid == "x"] == [
            BookingState.RELEASED
        ]
        (again,) = cycle(office, other, event("x", 2, sequence=3)).writes
        assert type(again).__name__ == "Create"


def test_it_is_let_go_when_the_cancel_is_taken_back() -> None:
    """Without the other copy's cancel nothing is held any more, and nothing is written."""
    office = two_sources()
    cycle(office, event("x", sequence=2, cancelled=True))
    assert told(cycle(office, event("x"))) == []
    assert [b.reason for b in office.live] == [None, None]


def test_it_is_told_when_the_deciding_copy_cancels_too() -> None:
    """The organizer's cancel reaches one calendar after the other; the last one needs no person."""
    office = two_sources()
    cycle(office, event("x", sequence=2, cancelled=True))
    decided = cycle(
        office,
        event("x", sequence=2, cancelled=True),
        event("x", sequence=2, cancelled=True),
    )
    assert told(decided) == [("cancel", "x", "event_cancelled")]


def test_a_change_of_the_deciding_copy_is_made_meanwhile() -> None:
    """A held cancel does not hold up what the copy that decides says."""
    office = two_sources()
    other = event("x", sequence=2, cancelled=True)
    cycle(office, other)
    assert told(cycle(office, other, event("x", title="Retrospective"))) == [
        ("update", "x", "changed")
    ]
    assert told(cycle(office, other, event("x", title="Retrospective"))) == [
        ("hold", "x", "not_the_organizer")
    ]


def test_another_time_without_a_later_revision_moves_nothing() -> None:
    """A copy of the same SEQUENCE, or of another organizer, says nothing about the meeting."""
    for other in (
        event("x", 5),
        event("x", 5, sequence=999, organizer="mallory@example.com"),
    ):
        office = two_sources()
        assert told(cycle(office, other)) == []


def test_a_later_revision_of_its_organizer_moves_it() -> None:
    """A higher SEQUENCE of the same ORGANIZER takes over, and goes on deciding when it is alone."""
    office = two_sources()
    assert told(cycle(office, event("x", 5, sequence=2))) == [
        ("update", "x", "changed")
    ]
    assert told(cycle(office, event("x", 5, sequence=2))) == []
    assert {b.source for b in office.live if b.key.uid == "x"} == {"two"}


def test_the_organizers_own_calendar_changes_and_cancels_at_once() -> None:
    """Where the administrator said whose calendar it is, its word counts whatever others show."""
    office = two_sources()
    hers = event("x", 6, authority=Authority.ORGANIZER)
    assert told(cycle(office, hers)) == [("update", "x", "changed")]
    off = event("x", 6, authority=Authority.ORGANIZER, cancelled=True)
    assert told(cycle(office, off)) == [("cancel", "x", "event_cancelled")]


def test_the_copy_that_calls_a_meeting_off_is_remembered_by_all_its_bookings() -> None:
    """Two rooms were booked on the word of different copies; the older copy does not book one again."""
    office = Office(sources=("one", "two"))
    newer, older = event("x", rooms="a, b", sequence=2), event("x", organizer="")
    office.cycle(office.reading(newer, NEIGHBOUR), office.reading(older, source="two"))
    first, second, _ = sorted(office.live, key=lambda booking: booking.row)
    (copy,) = office.reading(older, source="two").occurrences
    office.store(second.called_off_by(copy))
    office.now += timedelta(minutes=1)
    office.store(first)
    called_off = replace(newer, cancelled=True)
    assert told(cycle(office, older, called_off)) == [
        ("cancel", "x", "event_cancelled"),
        ("cancel", "x", "event_cancelled"),
    ]
    assert told(cycle(office, older, called_off)) == []
