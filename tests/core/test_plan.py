"""What a cycle does about meetings and bookings, promise by promise."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from syncd.core.booking import BookingState
from syncd.core.changes import Cancel, Create, Hold, Mode, Renamed, Skip, Update, Wait
from syncd.core.evidence import Safety
from syncd.core.occurrence import (
    Attendee,
    Defect,
    Occurrence,
    OccurrenceKey,
    Person,
    Presence,
)
from syncd.core.reasons import Evidence, Reason
from tests.core.office import DAY, HOUR, NOW, RULES, Office, event, told, unanswered

# Create, update, cancel, and nothing


def test_a_new_meeting_is_booked_once() -> None:
    """A meeting in the calendar is created, and the outcome of that plan leaves nothing to do."""
    office = Office()
    assert told(office.cycle(office.reading(event("x")))) == [("create", "x", "new")]
    again = office.cycle(office.reading(event("x")))
    assert again.changes == ()
    assert again.unchanged == 1


def test_a_changed_meeting_keeps_its_reservation() -> None:
    """An edit is an update that names the API's fields, of the reservation that is there."""
    office = Office()
    before = office.book(event("x"))[0]
    decided = office.cycle(office.reading(event("x", 2, title="Retrospective")))
    (update,) = decided.changes
    assert isinstance(update, Update)
    assert update.changed == ("topic", "start_time", "end_time")
    assert [b.reservation_id for b in office.live] == [before.reservation_id]


def test_what_changes_without_meaning_changes_nothing() -> None:
    """A new SEQUENCE, line or CREATED is no reason to send anything."""
    office = Office()
    office.book(event("x"))
    same = replace(event("x", sequence=7, created=NOW), line=99, last_modified=NOW)
    assert office.plan(office.reading(same)).changes == ()


def test_a_cancelled_meeting_is_cancelled_at_once() -> None:
    """STATUS:CANCELLED is told: one reading, no budget, no confirmation."""
    office = Office(
        safety=Safety(cancel_floor=0, cancel_share=0, confirmations={"one": 5})
    )
    office.book(event("x"))
    decided = office.plan(office.reading(event("x", cancelled=True)))
    assert told(decided) == [("cancel", "x", "event_cancelled")]


def test_a_cancelled_meeting_that_was_never_booked_is_nothing() -> None:
    """A cancelled event without booking makes no row at all."""
    office = Office()
    assert office.plan(office.reading(event("x", cancelled=True))).changes == ()


def test_a_meeting_that_comes_back_after_its_cancel_is_booked_anew() -> None:
    """After a cancel the same meeting is a new reservation."""
    office = Office()
    first = office.book(event("x"), event("y", 2))[0]
    office.cycle(office.reading(event("y", 2)))
    assert told(office.cycle(office.reading(event("x"), event("y", 2)))) == [
        ("create", "x", "new")
    ]
    assert first.reservation_id not in {b.reservation_id for b in office.live}


def test_an_event_that_turns_transparent_is_cancelled_as_told() -> None:
    """An edit after which the event is not booked by rule frees its room at once."""
    office = Office()
    office.book(event("x"))
    decided = office.plan(office.reading(event("x", transparent=True)))
    assert told(decided) == [
        ("cancel", "x", "no_longer_bookable"),
        ("skip", "x", "transparent"),
    ]


def test_a_meeting_moved_into_the_past_is_cancelled() -> None:
    """A booking whose meeting is over by the calendar does not keep its future slot."""
    office = Office()
    office.book(event("x"))
    assert told(office.plan(office.reading(event("x", -1)))) == [
        ("cancel", "x", "no_longer_bookable")
    ]


def test_what_is_skipped_says_why_only_within_the_horizon() -> None:
    """A skipped event is a row with its reason while it could be booked, and none beyond the horizon."""
    office = Office(horizon=10 * DAY)
    near, far, past = (
        event(u, d, transparent=True) for u, d in (("n", 1), ("f", 11), ("p", -2))
    )
    (skip,) = office.plan(office.reading(near, far, past)).changes
    assert isinstance(skip, Skip)
    assert (skip.key.uid, skip.reason, skip.needs_person) == (
        "n",
        Reason.TRANSPARENT,
        False,
    )


@pytest.mark.parametrize(
    ("day", "length", "booked"),
    [(-1, HOUR, 0), (-0.01, HOUR, 1), (9.99, HOUR, 1), (10, HOUR, 0)],
)
def test_meetings_are_booked_from_now_to_the_horizon(
    day: float, length: timedelta, booked: int
) -> None:
    """Past ones are not booked, running ones are, and the horizon is exclusive."""
    office = Office(horizon=10 * DAY)
    assert len(office.book(event("x", day, length=length))) == booked


def test_a_booked_meeting_is_followed_beyond_the_horizon() -> None:
    """A reservation moves with its meeting even to where nothing new is booked."""
    office = Office(horizon=10 * DAY)
    office.book(event("x"))
    assert told(office.plan(office.reading(event("x", 12)))) == [
        ("update", "x", "changed")
    ]


def test_a_past_meeting_is_ended_and_a_running_one_managed() -> None:
    """At its end a booking is closed without a request; until then the calendar counts."""
    office = Office()
    office.book(event("x", 0.5))
    office.now = NOW + 12.5 * HOUR
    assert told(office.plan(office.reading(event("x", 0.5, cancelled=True)))) == [
        ("cancel", "x", "event_cancelled")
    ]
    office.now = NOW + 13 * HOUR
    decided = office.plan(office.reading())
    assert decided.changes == ()
    assert [b.state for b in decided.closed] == [BookingState.ENDED]


# Sources that go wrong


@pytest.mark.parametrize(
    "how", ["unreadable", "incomplete", "not asked", "quarantined"]
)
def test_what_is_not_known_changes_nothing(how: str) -> None:
    """A source that fails in any way keeps its bookings: nothing is sent, closed or held for approval."""
    office = Office()
    office.book(event("x"), event("s", 2, original=2))
    readings = {
        "unreadable": [office.unreadable()],
        "incomplete": [office.reading(presence={"s": Presence.SERIES}, error="cut")],
        "not asked": [],
        "quarantined": [
            office.reading(presence=dict.fromkeys("xs", Presence.QUARANTINED))
        ],
    }
    decided = office.plan(*readings[how])
    assert [*decided.writes, *decided.closed, *decided.held, *decided.amended] == []


def test_what_an_incomplete_reading_does_show_counts() -> None:
    """Of a directory with one broken file the others are followed."""
    office = Office()
    office.book(event("x"), event("y", 2))
    decided = office.plan(
        office.reading(event("x", title="Retrospective"), event("z", 3), error="cut")
    )
    assert told(decided) == [("update", "x", "changed"), ("create", "z", "new")]


def test_a_silent_source_is_not_overruled_by_an_older_copy() -> None:
    """While the source that decided the content cannot be read, another's differing copy changes nothing."""
    office = Office(sources=("one", "two"))
    newer, older = event("x", 2, rooms="b", sequence=5), event("x", sequence=1)
    office.cycle(office.reading(newer), office.reading(older, source="two"))
    for other in (
        older,
        replace(older, cancelled=True),
        event("x", 2, transparent=True),
    ):
        decided = office.plan(office.unreadable(), office.reading(other, source="two"))
        assert decided.writes == ()
        assert ("hold", "x", "unconfirmed") in told(decided)
        assert decided.held == ()


def test_a_copy_that_agrees_takes_over_from_a_silent_source() -> None:
    """A source whose copy says the same is as new, so its later edits are followed."""
    office = Office(sources=("one", "two"))
    office.cycle(office.reading(event("x")), office.reading(event("x"), source="two"))
    silent = office.cycle(office.unreadable(), office.reading(event("x"), source="two"))
    assert (silent.changes, silent.unchanged) == ((), 1)
    edited = event("x", title="Retrospective", sequence=1)
    decided = office.plan(office.unreadable(), office.reading(edited, source="two"))
    assert told(decided) == [("update", "x", "changed")]


def test_a_source_that_left_the_configuration_decides_nothing() -> None:
    """The copy of a source that remains counts at once."""
    office = Office(sources=("one", "two"))
    office.cycle(
        office.reading(event("x", 2, sequence=5)),
        office.reading(event("x"), source="two"),
    )
    office.sources = ("two",)
    assert told(office.plan(office.reading(event("x"), source="two"))) == [
        ("update", "x", "changed")
    ]


def test_one_meeting_in_two_sources_is_one_reservation() -> None:
    """The newest copy decides the content, and the meeting lives while one source shows it."""
    office = Office(sources=("one", "two"))
    office.cycle(
        office.reading(event("x", title="old")),
        office.reading(event("x", title="new", sequence=1), source="two"),
    )
    assert [(b.spec.topic, b.source, b.witnesses) for b in office.live] == [
        ("new", "two", ("one", "two"))
    ]
    decided = office.plan(
        office.reading(event("x", title="new")),
        office.reading(event("y", 3), source="two"),
    )
    assert told(decided) == [("create", "y", "new")]


@pytest.mark.parametrize(
    ("one", "two", "decides"),
    [
        ((1, None), (2, None), "two"),
        ((2, NOW), (1, NOW + DAY), "one"),
        ((1, NOW), (1, NOW + DAY), "two"),
        ((1, NOW + DAY), (1, NOW), "one"),
        ((1, None), (1, NOW), "two"),
        ((1, NOW), (1, NOW), "one"),
    ],
)
def test_the_newest_copy_decides(
    one: tuple[int, datetime | None], two: tuple[int, datetime | None], decides: str
) -> None:
    """By SEQUENCE, then LAST-MODIFIED, then the order of the sources."""
    office = Office(sources=("one", "two"))
    copies = {
        name: replace(event("x", title=name, sequence=sequence), last_modified=modified)
        for name, (sequence, modified) in (("one", one), ("two", two))
    }
    office.cycle(*(office.reading(copy, source=name) for name, copy in copies.items()))
    assert [b.spec.topic for b in office.live] == [decides]


def test_one_uid_in_two_scopes_is_two_meetings() -> None:
    """With `uid_scope = "source"` each source's event is its own."""
    office = Office(sources=("one", "two"))
    office.cycle(
        office.reading(event("x", scope="one")),
        office.reading(event("x", rooms="b", scope="two"), source="two"),
    )
    assert {b.key.scope for b in office.live} == {"one", "two"}


def test_quarantined_events_are_rows_with_their_reservation() -> None:
    """Each UID that cannot be understood is one row that concerns a person, as is each event without UID."""
    office = Office()
    reservation = office.book(event("x"))[0].reservation_id
    defects = [
        Defect("x", 3, Reason.BROKEN_PROPERTY, "RRULE", "a.ics"),
        Defect("x", 9, Reason.BROKEN_PROPERTY, "EXDATE", "a.ics"),
        Defect("", 5, Reason.NO_UID, "no UID", "a.ics"),
        Defect("", 5, Reason.NO_UID, "no UID", "b.ics"),
    ]
    decided = office.plan(
        office.reading(presence={"x": Presence.QUARANTINED}, defects=defects)
    )
    rows = [
        (c.key.uid, c.reason, c.reservation_id, c.needs_person)
        for c in decided.changes
        if isinstance(c, Skip)
    ]
    assert rows == [
        ("", Reason.NO_UID, None, True),
        ("", Reason.NO_UID, None, True),
        ("x", Reason.QUARANTINED, reservation, True),
    ]


# Rooms


def test_a_room_change_is_an_update() -> None:
    """A meeting that changes its room keeps its reservation."""
    office = Office()
    office.book(event("x"))
    (update,) = office.plan(office.reading(event("x", rooms="b"))).changes
    assert isinstance(update, Update)
    assert update.changed == ("meeting_room_id",)


def test_each_room_is_a_reservation_of_its_own() -> None:
    """A second room is a create, a room less cancels that one, and the others are left alone."""
    office = Office()
    office.book(event("x"))
    decided = office.cycle(office.reading(event("x", rooms="a, b")))
    assert told(decided) == [("create", "x", "new")]
    decided = office.cycle(office.reading(event("x", rooms="b")))
    (cancel,) = decided.changes
    assert isinstance(cancel, Cancel)
    assert (cancel.booking.room_id, cancel.reason, cancel.evidence) == (
        "room-a",
        Reason.ROOM_REMOVED,
        Evidence.TOLD,
    )


def test_rooms_are_paired_same_room_first() -> None:
    """From rooms a, b to b, c: b stays as it is and a becomes c."""
    office = Office()
    office.book(event("x", rooms="a, b"))
    (update,) = office.plan(office.reading(event("x", rooms="c, b"))).changes
    assert isinstance(update, Update)
    assert (update.booking.room_id, update.meeting.spec.room_id) == ("room-a", "room-c")


def test_a_meeting_may_lose_and_find_its_room() -> None:
    """A roomless meeting is the same reservation before and after it has a room."""
    office = Office()
    office.book(event("x", rooms=""))
    assert told(office.cycle(office.reading(event("x", rooms="a")))) == [
        ("update", "x", "changed")
    ]
    assert told(office.cycle(office.reading(event("x", rooms="")))) == [
        ("update", "x", "changed")
    ]
    assert office.made == 1


# Keys that move


def test_a_series_moved_as_a_whole_keeps_its_reservations() -> None:
    """New original starts of one UID take over the bookings of the old ones, each the nearest."""
    office = Office()
    before = {
        b.spec.start: b.reservation_id
        for b in office.book(*(event("s", d, original=d) for d in (1, 8, 15)))
    }
    moved = [event("s", d + 0.125, original=d + 0.125) for d in (1, 8, 15)]
    decided = office.cycle(office.reading(*moved))
    assert [type(c) for c in decided.changes] == [Update] * 3
    assert decided.rekeyed == 3
    assert {b.spec.start - 3 * HOUR: b.reservation_id for b in office.live} == before


def test_a_single_event_that_becomes_a_series_keeps_its_reservation() -> None:
    """The first date of the new series takes over; the others are created."""
    office = Office()
    office.book(event("x"))
    decided = office.cycle(
        office.reading(event("x", 1, original=1), event("x", 2, original=2))
    )
    assert told(decided) == [("create", "x", "new")]
    assert (decided.unchanged, decided.rekeyed) == (1, 1)


@pytest.mark.parametrize("confirmations", [1, 3])
def test_new_uids_at_every_reading_cost_nothing(confirmations: int) -> None:
    """A feed that makes up UIDs keeps its reservations, whatever confirmations a cancel would take."""
    office = Office(safety=Safety(confirmations={"one": confirmations}))
    office.book(*(event(f"x{n}", n + 1) for n in range(5)))
    for round_ in range(3):
        decided = office.cycle(
            office.reading(*(event(f"y{round_}{n}", n + 1) for n in range(5)))
        )
        assert (decided.changes, decided.rekeyed, decided.unchanged) == ((), 5, 5)
        assert [str(renamed) for renamed in decided.renamed] == [
            "5 of 5 UIDs changed, re-keyed; the reservations stay."
        ]


def test_some_new_uids_cost_nothing_either() -> None:
    """Where neighbours keep their UIDs and a cancel would take three readings, a renamed meeting stays."""
    office = Office(safety=Safety(confirmations={"one": 3}))
    office.book(event("x"), event("z", 2))
    decided = office.cycle(office.reading(event("y"), event("z", 2)))
    assert (decided.changes, decided.rekeyed, decided.unchanged) == ((), 1, 2)


def test_what_is_gone_beside_new_uids_is_cancelled() -> None:
    """Neighbours that go on under new UIDs are neighbours: they show that the others are gone."""
    office = Office()
    office.book(*(event(f"x{n}", n + 1) for n in range(5)))
    decided = office.plan(office.reading(*(event(f"y{n}", n + 1) for n in range(4))))
    assert told(decided) == [("cancel", "x4", "event_gone")]


def test_no_key_moves_out_of_an_empty_calendar() -> None:
    """What is inferred moves no reservation, though another source has a date of that UID."""
    office = Office(sources=("one", "two"))
    detached = {"s": Presence.DETACHED}
    dates = [event("s", day, original=day) for day in (1, 2, 3, 4)]
    office.cycle(office.reading(*dates, presence=detached))
    other = office.reading(
        event("s", 1.1, original=1.1), source="two", presence=detached
    )
    decided = office.plan(office.reading(), other)
    assert ("create", "s", "new") in told(decided)
    assert (decided.rekeyed, len(decided.held)) == (0, 4)


def test_what_is_renamed_is_counted_by_uid_and_source() -> None:
    """Two dates of one UID are one of the UIDs that changed; a date that moves within its UID is none."""
    office = Office(sources=("one", "two"))
    office.cycle(
        office.reading(
            event("s", 1, original=1), event("s", 2, original=2), event("k", 3)
        ),
        office.reading(event("m", 4, original=4), source="two"),
    )
    decided = office.plan(
        office.reading(
            event("t", 1, original=1), event("t", 2, original=2), event("k", 3)
        ),
        office.reading(event("m", 4.1, original=4.1), source="two"),
    )
    assert decided.rekeyed == 3
    assert decided.renamed == (Renamed("one", uids=1, of=2),)


def test_a_new_uid_does_not_undo_what_a_person_ended() -> None:
    """A released meeting stays released, and a refused one refused, when its feed renames it."""
    office = Office()
    released, rejected = office.book(event("x"), event("y", 2))
    office.store(released.with_state(BookingState.RELEASED))
    office.refused(rejected, Reason.REFUSED)
    decided = office.plan(office.reading(event("x2"), event("y2", 2)))
    assert told(decided) == [("skip", "x2", "released"), ("skip", "y2", "refused")]


def test_keys_do_not_move_on_a_guess() -> None:
    """A new date of a UID takes over no booking whose own source cannot be read."""
    office = Office(sources=("one", "two"))
    detached = {"x": Presence.DETACHED}
    office.cycle(office.reading(event("x", 1, original=1), presence=detached))
    other = office.reading(event("x", 3, original=3), source="two", presence=detached)
    decided = office.plan(office.unreadable(), other)
    assert told(decided) == [("create", "x", "new")]
    assert decided.rekeyed == 0


def test_a_slot_is_not_given_up_before_its_absence_is_confirmed() -> None:
    """Of single dates one that vanished is not moved to one that is new until a cancel would be due."""
    office = Office(safety=Safety(confirmations={"one": 2}))
    detached = {"x": Presence.DETACHED}
    office.cycle(office.reading(event("x", 1, original=1), presence=detached))
    decided = office.plan(office.reading(event("x", 3, original=3), presence=detached))
    assert told(decided) == [("create", "x", "new"), ("hold", "x", "unconfirmed")]


def test_a_new_uid_proves_nothing_in_an_incomplete_reading() -> None:
    """While the old UID may stand in what was not read, the new one is a meeting of its own."""
    office = Office()
    office.book(event("x"))
    decided = office.plan(office.reading(event("y"), error="cut"))
    assert told(decided) == [("create", "y", "new")]
    assert decided.amended == ()


def test_a_new_uid_in_another_source_is_another_meeting() -> None:
    """Two people with equal events have two meetings; one that ends is cancelled."""
    office = Office(sources=("one", "two"))
    office.book(event("x"), event("z", 2))
    decided = office.plan(
        office.reading(event("z", 2)), office.reading(event("y"), source="two")
    )
    assert told(decided) == [("cancel", "x", "event_gone"), ("create", "y", "new")]


def test_a_series_that_another_source_moves_is_followed() -> None:
    """A date that one source no longer has goes on where another has it: one UID is one meeting in all."""
    office = Office(sources=("one", "two"))
    detached = {"s": Presence.DETACHED}
    office.cycle(
        office.reading(event("s", 1, original=1), event("z", 3), presence=detached)
    )
    moved = office.reading(event("s", 2, original=2), source="two", presence=detached)
    decided = office.plan(office.reading(event("z", 3)), moved)
    assert (told(decided), decided.rekeyed) == ([("update", "s", "changed")], 1)


def test_an_equal_event_takes_nothing_from_a_source_that_is_silent() -> None:
    """With UIDs of its own, a source that cannot be read keeps its meeting beside an equal one."""
    office = Office(sources=("one", "two"))
    office.book(event("x", rooms="", scope="one"))
    other = office.reading(event("x", rooms=""), source="two")
    decided = office.plan(office.unreadable(), other)
    assert (told(decided), decided.rekeyed) == ([("create", "x", "new")], 0)


def test_two_rooms_do_not_follow_one_meeting() -> None:
    """Of a date in two rooms that becomes one in a third, one reservation goes on and one is cancelled."""
    office = Office()
    office.book(event("s", 1, original=1, rooms="a, b"))
    decided = office.plan(office.reading(event("s", 1.1, original=1.1, rooms="c")))
    assert told(decided) == [
        ("cancel", "s", "occurrence_removed"),
        ("update", "s", "changed"),
    ]


def test_two_dates_in_one_room_do_not_become_one_date() -> None:
    """A key has one booking in a room, also before the bookings that follow a meeting change their rooms."""
    office = Office()
    office.book(event("s", 1, original=1), event("s", 1.1, original=1.1))
    decided = office.cycle(office.reading(event("s", 1.2, original=1.2, rooms="b, c")))
    assert sorted(kind for kind, _, _ in told(decided)) == [
        "cancel",
        "create",
        "update",
    ]
    slots = [(b.key, b.room_id) for b in decided.amended]
    assert len(slots) == len(set(slots))
    assert {b.room_id for b in office.live} == {"room-b", "room-c"}


def test_keys_move_one_to_one() -> None:
    """Of two equal meetings that vanish one goes on as the new one, the other is cancelled."""
    office = Office()
    office.book(event("x", rooms=""), event("z", rooms=""))
    decided = office.plan(office.reading(event("y", rooms="")))
    assert (told(decided), decided.rekeyed) == ([("cancel", "z", "event_gone")], 1)


def test_a_reservation_moves_before_a_record_that_holds_no_slot() -> None:
    """A date that is left goes to the one that is booked, though the released one was nearer."""
    office = Office()
    released, _ = office.book(event("s", 1, original=1), event("s", 2, original=2))
    office.store(released.with_state(BookingState.RELEASED))
    decided = office.plan(office.reading(event("s", 1.25, original=1.25)))
    assert told(decided) == [("update", "s", "changed")]
    assert [b.row for b in decided.closed] == [released.row]


def test_an_occurrence_in_doubt_does_not_move() -> None:
    """While one of its rooms is in doubt, an occurrence keeps its key."""
    office = Office()
    kept, doubt = office.book(event("s", 1, original=1, rooms="a, b"))
    office.store(unanswered(doubt))
    decided = office.plan(office.reading(event("s", 1.25, original=1.25)))
    assert kept.row not in {b.row for b in decided.amended}


def test_a_far_away_date_of_a_series_is_another_meeting() -> None:
    """A week is as far as a date may move; beyond that it is a cancel and a create."""
    office = Office()
    office.book(event("x", 1, original=1))
    farther = 8 + 1 / 1440
    assert told(office.plan(office.reading(event("x", 8, original=8)))) == [
        ("update", "x", "changed")
    ]
    decided = office.plan(office.reading(event("x", farther, original=farther)))
    assert told(decided) == [
        ("cancel", "x", "occurrence_removed"),
        ("create", "x", "new"),
    ]


def test_a_different_meeting_takes_over_nothing() -> None:
    """Another topic, room, time or creator is another meeting, though the old one vanished."""
    for other in (
        event("y", title="Retrospective"),
        event("y", rooms="b"),
        event("y", 1.5),
        event("y", length=2 * HOUR),
    ):
        office = Office()
        office.book(event("x"))
        assert told(office.plan(office.reading(other))) == [
            ("cancel", "x", "event_gone"),
            ("create", "y", "new"),
        ]


def test_an_occurrence_in_doubt_takes_over_nothing() -> None:
    """No booking is given the key of a create whose answer is not known."""
    office = Office()
    booked, doubt = office.book(
        event("s", 1, original=1), event("s", 1.125, original=1.125, rooms="b")
    )
    office.store(unanswered(doubt))
    decided = office.plan(office.reading(event("s", 1.125, original=1.125)))
    assert [b.key for b in decided.amended] == []
    assert ("hold", "s", "in_doubt") in told(decided)
    assert booked.row not in {
        c.booking.row for c in decided.changes if isinstance(c, Update)
    }


# Rules, modes, people


def test_a_change_of_the_rules_is_held() -> None:
    """What only the configuration turns down waits for a person; an edit of the event does not."""
    office = Office()
    office.book(event("x"), event("y", 2, rooms="nowhere"))
    office.rules = replace(RULES, roomless="skip")
    decided = office.plan(office.reading(event("x"), event("y", 2, rooms="nowhere")))
    assert ("hold", "y", "rules_changed") in told(decided)
    assert len(decided.held) == 1
    edited = office.plan(office.reading(event("x"), event("y", 2, rooms="elsewhere")))
    assert ("cancel", "y", "no_longer_bookable") in told(edited)


def test_a_room_that_leaves_the_configuration_is_held() -> None:
    """A second room that the rules no longer know is not cancelled without a person."""
    office = Office()
    office.book(event("x", rooms="a, b"))
    office.rules = replace(RULES, rooms=RULES.rooms[:1])
    decided = office.plan(office.reading(event("x", rooms="a, b")))
    assert told(decided) == [("hold", "x", "rules_changed")]
    assert [b.room_id for b in decided.held] == ["room-b"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode.FULL, {"create", "update", "cancel", "hold"}),
        (Mode.OBSERVE, {"create", "update", "cancel", "hold"}),
        (Mode.NO_CANCEL, {"create", "update", "skip"}),
        (Mode.CREATE_ONLY, {"create", "skip"}),
    ],
)
def test_a_mode_allows_what_it_says(mode: Mode, expected: set[str]) -> None:
    """What the mode forbids is a row with the reason `mode`, and nothing is held for an approval in vain."""
    office = Office(sources=("one", "two"))
    office.cycle(
        office.reading(
            event("x"), event("y", 2), event("m", 4, rooms="a, b"), event("r", 6)
        ),
        office.reading(event("old", 8), source="two"),
    )
    office.mode, office.sources = mode, ("one",)
    decided = office.plan(
        office.reading(
            event("x", title="Retrospective"), event("m", 4, rooms="a"), event("new", 3)
        )
    )
    assert {kind for kind, _, _ in told(decided)} == expected
    assert {c.reason for c in decided.changes if isinstance(c, Skip)} <= {Reason.MODE}
    assert bool(decided.held) == mode.cancels


def test_a_lost_room_is_held_and_given_up_with_a_yes() -> None:
    """A room that only the configuration forgot stays booked, and is given up when somebody approves."""
    office = Office()
    before = office.book(event("x"))[0]
    office.rules = replace(RULES, rooms=RULES.rooms[1:])
    decided = office.cycle(office.reading(event("x")))
    assert told(decided) == [("hold", "x", "rules_changed")]
    assert told(office.cycle(office.reading(event("x")))) == told(decided)
    office.approved = frozenset({decided.held_checksum or ""})
    released = office.cycle(office.reading(event("x")))
    assert told(released) == [("update", "x", "rules_changed")]
    assert [(b.reservation_id, b.room_id) for b in office.live] == [
        (before.reservation_id, None)
    ]
    assert office.cycle(office.reading(event("x"))).changes == ()


def test_a_lost_room_that_is_found_again_is_nothing() -> None:
    """With the room back in the configuration nothing is held and nothing is sent."""
    office = Office()
    office.book(event("x"))
    office.rules = replace(RULES, rooms=())
    assert len(office.cycle(office.reading(event("x"))).held) == 1
    office.rules = RULES
    assert office.cycle(office.reading(event("x"))).changes == ()
    assert [b.reason for b in office.live] == [None]


def test_a_change_of_the_rules_that_gives_up_no_room_is_made() -> None:
    """Another room, a first one, or another notice by configuration changes the reservation in place."""
    office = Office()
    office.book(event("x"), event("y", 2, rooms="home"))
    room = replace(RULES.rooms[0], room_id="room-new")
    home = replace(RULES.rooms[1], texts=frozenset({"home"}))
    office.rules = replace(RULES, rooms=(room, home))
    calendar = [event("x"), event("y", 2, rooms="home")]
    assert told(office.cycle(office.reading(*calendar))) == [
        ("update", "x", "changed"),
        ("update", "y", "changed"),
    ]
    assert [b.room_id for b in office.live] == ["room-new", "room-b"]
    roomless = Office()
    roomless.book(event("x", rooms=""))
    roomless.rules = replace(RULES, notice_time_s=RULES.notice_time_s + 60)
    assert told(roomless.plan(roomless.reading(event("x", rooms="")))) == [
        ("update", "x", "changed")
    ]


def test_a_refused_room_that_is_no_longer_asked_for_is_forgotten() -> None:
    """The record of a room that was never had is closed when the event drops it, and nothing is sent."""
    office = Office()
    _, second = office.book(event("x", rooms="a, b"))
    office.refused(second, Reason.REFUSED)
    decided = office.cycle(office.reading(event("x", rooms="a")))
    assert [(b.room_id, b.state) for b in decided.closed] == [
        ("room-b", BookingState.CANCELLED)
    ]
    assert (decided.writes, decided.held) == ((), ())


def test_a_room_that_the_event_gives_up_is_given_up() -> None:
    """An edit of the event needs no person, whatever else it says."""
    office = Office()
    office.book(event("x"))
    assert told(office.plan(office.reading(event("x", rooms="home")))) == [
        ("update", "x", "changed")
    ]


@pytest.mark.parametrize("original", [None, 1.0])
def test_another_uid_scope_keeps_each_reservation(original: float | None) -> None:
    """When `uid_scope` changes, and even a room with it, the meetings go on under their new keys."""
    office = Office()
    before = office.book(event("x", original=original))[0]
    scoped = event(
        "x", original=original, scope="one", rooms="b", title="Retrospective"
    )
    decided = office.cycle(office.reading(scoped))
    assert told(decided) == [("update", "x", "changed")]
    assert [(b.key.scope, b.reservation_id) for b in office.live] == [
        ("one", before.reservation_id)
    ]


@pytest.mark.parametrize("original", [None, 1.0])
def test_two_scopes_that_become_one_leave_the_rest_to_a_person(
    original: float | None,
) -> None:
    """Of two meetings that are one by the new configuration, one goes on and the other is held."""
    office = Office(sources=("one", "two"))
    copies = {
        name: event("x", original=original, scope=name, rooms="")
        for name in office.sources
    }
    office.cycle(*(office.reading(copy, source=name) for name, copy in copies.items()))
    assert len(office.live) == 2
    merged = replace(copies["one"], key=replace(copies["one"].key, scope=""))
    decided = office.cycle(
        *(office.reading(merged, source=name) for name in office.sources)
    )
    assert told(decided) == [("hold", "x", "rules_changed")]
    assert decided.rekeyed == 1


def test_another_uid_scope_takes_nothing_from_other_sources() -> None:
    """An equal UID of a source that never showed the booking is another meeting under the new scope."""
    office = Office(sources=("one", "two"))
    office.book(event("x"), event("z", 3))
    other = office.reading(event("x", 2, scope="two"), source="two")
    decided = office.plan(office.reading(event("z", 3)), other)
    assert told(decided) == [("cancel", "x", "event_gone"), ("create", "x", "new")]


@pytest.mark.parametrize("scope", ["", "two"])
def test_a_renamed_source_keeps_its_reservations(scope: str) -> None:
    """Under its new name, also as the scope of its UIDs, a source goes on with what was booked."""
    office = Office()
    old = event("x", rooms="", scope="one" if scope else "")
    office.book(old)
    office.sources = ("two",)
    decided = office.cycle(
        office.reading(event("x", rooms="", scope=scope), source="two")
    )
    assert (decided.changes, decided.unchanged, decided.renamed) == ((), 1, ())
    assert [(b.source, b.witnesses) for b in office.live] == [("two", ("two",))]


def test_a_removed_source_gives_nothing_to_a_stranger() -> None:
    """An equal meeting with another UID does not take over what a removed source had booked."""
    office = Office()
    office.book(event("x", rooms=""))
    office.sources = ("two",)
    decided = office.plan(office.reading(event("y", rooms=""), source="two"))
    assert told(decided) == [("create", "y", "new"), ("hold", "x", "source_removed")]


def attended(uid: str) -> Occurrence:
    """A meeting with somebody whom nobody mapped."""
    return replace(event(uid), attendees=(Attendee(Person(("zoe@example.com",))),))


def test_an_event_with_unmapped_people_may_be_rejected() -> None:
    """With `people.unmapped = reject` it is not booked and concerns a person, until they are known."""
    office = Office(rules=replace(RULES, unmapped="reject"))
    (skip,) = office.cycle(office.reading(attended("x"))).changes
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.needs_person) == (Reason.UNMAPPED_PERSON, True)
    assert [b.state for b in office.current] == [BookingState.REFUSED]
    assert told(office.cycle(office.reading(attended("x")))) == [
        ("skip", "x", "unmapped_person")
    ]
    lenient = replace(office.rules, unmapped="skip")
    known, office.rules = (
        replace(office.rules, people={"zoe@example.com": "7"}),
        lenient,
    )
    assert told(office.plan(office.reading(attended("x")))) == [("create", "x", "new")]
    office.rules = known
    assert told(office.cycle(office.reading(attended("x")))) == [("create", "x", "new")]
    assert len(office.bookings) == 1


def test_a_rejected_event_keeps_what_a_person_ended() -> None:
    """The record of a reservation that was ended in Tuya says more than a refusal by rule."""
    office = Office(rules=replace(RULES, unmapped="reject"))
    booking = office.book(event("x"))[0]
    office.store(booking.with_state(BookingState.RELEASED))
    decided = office.plan(office.reading(attended("x")))
    assert told(decided) == [("skip", "x", "unmapped_person")]
    assert decided.amended == decided.closed == ()


def test_a_rejected_event_keeps_what_was_booked() -> None:
    """Somebody unknown who is invited later stops changes, not the reservation."""
    office = Office(rules=replace(RULES, unmapped="reject"))
    office.book(event("x"))
    decided = office.plan(office.reading(attended("x")))
    assert told(decided) == [("skip", "x", "unmapped_person")]
    assert decided.amended == decided.closed == ()


# The plan as a value


def busy() -> tuple[Office, list[Occurrence]]:
    """An office in which a reading causes every kind of change."""
    office = Office(sources=("one", "two"), advance=20 * DAY)
    booked = office.book(
        *(event(f"x{n}", n + 1) for n in range(6)),
        event("s", 7, original=7),
        event("rooms", 8, rooms="a, b"),
    )
    for uid in ("over", "past"):
        ended = replace(booked[0].spec, start=NOW - 2 * HOUR, end=NOW - HOUR)
        office.store(
            replace(booked[0], key=OccurrenceKey("", uid, None), content=ended, row=0)
        )
    office.store(booked[5].with_state(BookingState.RELEASED))
    office.conflict(booked[4])
    calendar = [
        event("x0", cancelled=True),
        event("x1", 2.5),
        event("x2", 3),
        event("x4", 5),
        event("x5", 6),
        event("s", 7.1, original=7.1),
        event("rooms", 8, rooms="c"),
        event("new", 9),
        event("far", 25),
        event("free", 9, transparent=True),
    ]
    return office, calendar


def test_the_same_inputs_in_any_order_give_the_same_plan() -> None:
    """Neither the order of bookings nor that of occurrences changes the plan or its checksum."""
    office, calendar = busy()
    forwards = office.plan(office.reading(*calendar))
    backwards = office.plan(
        office.reading(*reversed(calendar)), order=reversed(office.current)
    )
    assert {type(c) for c in forwards.changes} == {Create, Update, Cancel, Wait, Skip}
    assert forwards == backwards
    assert forwards.checksum == backwards.checksum


def test_rows_without_identity_have_an_order_too() -> None:
    """Events without UID in two sources come in one order, whichever is read first."""
    office = Office(sources=("one", "two"))
    readings = [
        office.reading(
            source=name, defects=[Defect("", 5, Reason.NO_UID, "no UID", f"{name}.ics")]
        )
        for name in office.sources
    ]
    forwards, backwards = office.plan(*readings), office.plan(*reversed(readings))
    assert forwards.changes == backwards.changes
    assert len(forwards.changes) == 2


def test_the_checksum_is_free_of_time_and_follows_content() -> None:
    """A later look at the same state has the same checksum, another content another one."""
    office, calendar = busy()
    first = office.plan(office.reading(*calendar))
    office.now += timedelta(minutes=5)
    assert office.plan(office.reading(*calendar)).checksum == first.checksum
    calendar[1] = event("x1", 2.5, title="Retrospective")
    assert office.plan(office.reading(*calendar)).checksum != first.checksum


def test_planning_the_outcome_of_a_plan_gives_no_writes() -> None:
    """After one cycle everything that could be done is done."""
    office, calendar = busy()
    assert office.cycle(office.reading(*calendar)).writes
    settled = office.cycle(office.reading(*calendar))
    assert [*settled.writes, *settled.closed, *settled.amended] == []


def test_two_rooms_of_one_occurrence_get_two_generations() -> None:
    """Creates of one key are numbered upwards from the next free generation, each its own mark."""
    office = Office()
    decided = office.plan(office.reading(event("x", rooms="a, b"), event("y", 2)))
    numbered = decided.numbered(
        {
            c.meeting.key: 4 if c.meeting.key.uid == "x" else 0
            for c in decided.writes
            if isinstance(c, Create)
        }
    )
    assert [c.generation for c in numbered.changes if isinstance(c, Create)] == [
        4,
        5,
        0,
    ]


def test_an_unconfirmed_absence_is_no_matter_for_approval() -> None:
    """What settles by itself is shown as held, and is not part of the set that a person releases."""
    office = Office(safety=Safety(confirmations={"one": 2}))
    office.book(event("x"), event("y", 2))
    decided = office.plan(office.reading(event("y", 2)))
    assert [type(c) for c in decided.changes] == [Hold]
    assert decided.held == ()
    assert decided.held_checksum is None


@pytest.mark.parametrize(
    ("private", "topic"), [(False, "Coffee break"), (True, "Private meeting")]
)
def test_a_skip_row_shows_no_private_title(private: bool, topic: str) -> None:
    """The title of a skipped event stands folded in its row, that of a private one does not."""
    office = Office()
    skipped = replace(
        event("x", title="Coffee \n break", transparent=True), private=private
    )
    (skip,) = office.plan(office.reading(skipped)).changes
    assert isinstance(skip, Skip)
    assert skip.topic == topic


def test_a_skip_row_knows_its_event() -> None:
    """A row about an occurrence carries its key, so that `explain` finds it."""
    office = Office()
    (skip,) = office.plan(
        office.reading(event("x", 1, original=1, transparent=True))
    ).changes
    assert isinstance(skip, Skip)
    assert skip.key == OccurrenceKey("", "x", "20261202T080000Z")
