"""Recognising our own reservations, with and without their mark."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from syncd.core.booking import Booking, BookingState
from syncd.core.mapper import Mapper, Wanted
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import Occurrence
from syncd.core.reasons import Reason
from syncd.core.recognise import (
    Recognised,
    adopted_from,
    made_by,
    recognise,
    search_window,
)
from syncd.core.reservation import Reservation, ReservationSpec, ReservationStatus
from tests.core.office import DAY, HOUR, NOW, RULES, Office, event, unanswered


def meetings(*occurrences: Occurrence) -> list[Meeting]:
    """Every reservation that these occurrences ask for."""
    found = []
    for occurrence in occurrences:
        mapped = Mapper(RULES).map(occurrence)
        assert isinstance(mapped, Wanted)
        found += [
            Meeting(occurrence, (occurrence.source,), spec) for spec in mapped.specs
        ]
    return found


def in_tuya(
    reservation_id: str,
    spec: ReservationSpec,
    mark: Mark | None,
    *,
    status: ReservationStatus = ReservationStatus.NORMAL,
    created_at: datetime | None = None,
) -> Reservation:
    """A reservation as the API lists it."""
    return Reservation(
        reservation_id=reservation_id,
        status=status,
        topic=spec.topic,
        start=spec.start,
        end=spec.end,
        room_id=spec.room_id,
        participants=spec.participants,
        cc_participants=spec.cc_participants,
        notice=spec.notice,
        notice_time_s=spec.notice_time_s,
        description=mark.append_to(spec.description) if mark else spec.description,
        creator=spec.creator,
        modifier=spec.creator,
        created_at=created_at,
        modified_at=None,
    )


def marked(
    reservation_id: str, meeting: Meeting, generation: int = 0, instance: str = "hq"
) -> Reservation:
    """The reservation that we made for a meeting."""
    return in_tuya(
        reservation_id, meeting.spec, Mark.of(instance, meeting.key, generation)
    )


def sorted_out(
    there: list[Reservation], wanted: list[Meeting], *known: Booking
) -> Recognised:
    """What these reservations are to the instance `hq`."""
    return recognise(there, wanted, known, "hq", NOW)


def adopt(there: list[Reservation], wanted: list[Meeting]) -> tuple[Booking, ...]:
    """The bookings that a ledger without history takes over."""
    return sorted_out(there, wanted).adopted


def test_a_reservation_with_our_mark_is_adopted_whole() -> None:
    """The booking has the id, the mark, its generation and what the API really holds."""
    (wanted,) = meetings(event("x", 1, original=1))
    there = replace(marked("7", wanted, 3), topic="Edited in Tuya")
    (found,) = adopt([there], [wanted])
    assert (found.key, found.reservation_id, found.generation) == (wanted.key, "7", 3)
    assert found.mark == str(Mark.of("hq", wanted.key, 3))
    assert (found.state, found.spec.topic, found.spec.description) == (
        BookingState.BOOKED,
        "Edited in Tuya",
        "",
    )
    assert (found.source, found.witnesses) == ("one", ("one",))


def test_adoption_and_planning_book_nothing_twice() -> None:
    """After a lost ledger the adopted bookings leave nothing to do, down to the fingerprint."""
    events = [event("x", rooms="a, b"), event("y", 2)]
    wanted = meetings(*events)
    there = [marked("1", wanted[0]), marked("2", wanted[1], 1), marked("3", wanted[2])]
    office = Office()
    for booking in adopt(there, wanted):
        office.store(booking)
    decided = office.plan(office.reading(*events))
    assert (decided.changes, decided.unchanged, decided.amended) == ((), 3, ())


@pytest.mark.parametrize(
    "status", [ReservationStatus.CANCELLED, ReservationStatus.REJECTED]
)
def test_what_is_no_longer_live_is_not_adopted(status: ReservationStatus) -> None:
    """A cancelled or rejected reservation holds no slot, so it proves no booking."""
    (wanted,) = meetings(event("x"))
    assert adopt([replace(marked("7", wanted), status=status)], [wanted]) == ()


def test_what_waits_for_approval_is_adopted_as_such() -> None:
    """An approval that is pending stays pending."""
    (wanted,) = meetings(event("x"))
    pending = replace(marked("7", wanted), status=ReservationStatus.AWAITING_APPROVAL)
    assert [b.state for b in adopt([pending], [wanted])] == [BookingState.APPROVAL]


def test_what_others_made_is_not_adopted() -> None:
    """Neither another instance's mark nor equal content without a mark makes a reservation ours."""
    (wanted,) = meetings(event("x"))
    others = [marked("7", wanted, instance="branch"), in_tuya("8", wanted.spec, None)]
    assert adopt(others, [wanted]) == ()


def test_a_mark_of_another_meeting_is_not_adopted() -> None:
    """Ours, but for an event that the calendars no longer have: it belongs to no meeting here."""
    x, y = meetings(event("x"), event("y", 2))
    assert adopt([marked("7", y)], [x]) == ()


def test_of_several_with_one_mark_the_oldest_is_adopted() -> None:
    """Ids are numbers that grow, also where their texts sort otherwise."""
    (wanted,) = meetings(event("x"))
    found = adopt(
        [marked("10", wanted), marked("9", wanted), marked("11", wanted)], [wanted]
    )
    assert [b.reservation_id for b in found] == ["9"]


def test_of_two_generations_in_one_room_one_is_adopted() -> None:
    """A meeting has one booking in a room, whatever a lost answer left behind."""
    (wanted,) = meetings(event("x"))
    found = adopt([marked("10", wanted, 0), marked("9", wanted, 1)], [wanted])
    assert [(b.reservation_id, b.generation) for b in found] == [("9", 1)]


def test_a_reservation_in_a_room_that_is_no_longer_wanted_is_adopted_to_be_moved() -> (
    None
):
    """The mark leaves the room out, so a changed room is an update after adoption too."""
    (before,), (now,) = meetings(event("x", rooms="a")), meetings(event("x", rooms="b"))
    (found,) = adopt([marked("7", before)], [now])
    assert found.room_id == "room-a"
    office = Office()
    office.store(found)
    (update,) = office.plan(office.reading(event("x", rooms="b"))).writes
    assert type(update).__name__ == "Update"


def test_a_known_reservation_is_not_adopted_again() -> None:
    """What a booking holds is known; a second live one with the mark is a duplicate of the older."""
    (wanted,) = meetings(event("x"))
    (known,) = adopt([marked("9", wanted)], [wanted])
    found = sorted_out(
        [marked("9", wanted), marked("10", wanted)], [wanted], replace(known, row=1)
    )
    assert found.adopted == ()
    assert [
        (d.reservation.reservation_id, d.of.reservation_id) for d in found.duplicates
    ] == [("10", "9")]
    assert found.strays == ()


def test_what_the_ledger_holds_stays_where_an_older_one_has_its_mark() -> None:
    """The older one in the same place is the duplicate: the record has an id that people know."""
    (wanted,) = meetings(event("x"))
    (known,) = adopt([marked("10", wanted)], [wanted])
    found = sorted_out(
        [marked("9", wanted), marked("10", wanted)], [wanted], replace(known, row=4)
    )
    assert (found.adopted, found.strays) == ((), ())
    assert [
        (d.reservation.reservation_id, d.of.reservation_id) for d in found.duplicates
    ] == [("9", "10")]


ELSEWHERE: dict[str, dict[str, Any]] = {
    "another room": {"room_id": "room-b"},
    "no room": {"room_id": None},
    "another day": {"start": NOW + 3 * DAY, "end": NOW + 3 * DAY + HOUR},
    "longer": {"end": NOW + 9 * DAY},
    "a time that makes no sense": {"end": None},
    "no creator": {"unsaid": frozenset({"creator"}), "creator": ""},
}


@pytest.mark.parametrize("age", ["8", "11"], ids=["older", "younger"])
@pytest.mark.parametrize("otherwise", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_second_one_in_another_place_is_a_stray(
    otherwise: dict[str, Any], age: str
) -> None:
    """Only a request that was delivered twice is cancelled: it agrees in creator, room and time."""
    (wanted,) = meetings(event("x"))
    (known,) = adopt([marked("10", wanted)], [wanted])
    other = replace(marked(age, wanted), **otherwise)
    found = sorted_out([other, marked("10", wanted)], [wanted], replace(known, row=4))
    assert (found.adopted, found.duplicates, found.strays) == ((), (), (other,))


@pytest.mark.parametrize("held", [True, False], ids=["with ledger", "ledger lost"])
@pytest.mark.parametrize("age", ["8", "11"], ids=["older", "younger"])
def test_a_copied_mark_is_a_stray(age: str, held: bool) -> None:
    """Somebody pasted our text into a reservation of their own: ours stays or is adopted, theirs is left."""
    (wanted,) = meetings(event("x"))
    ours, copy = marked("10", wanted), replace(marked(age, wanted), creator="99")
    records = [replace(b, row=1) for b in adopt([ours], [wanted])] if held else []
    found = sorted_out([copy, ours], [wanted], *records)
    assert [b.reservation_id for b in found.adopted] == ([] if held else ["10"])
    assert (found.duplicates, found.strays) == ((), (copy,))


def test_a_copied_mark_alone_is_no_booking() -> None:
    """Where nothing but the copy is there, the meeting is not booked."""
    (wanted,) = meetings(event("x"))
    copy = replace(marked("8", wanted), creator="99")
    found = sorted_out([copy], [wanted])
    assert (found.adopted, found.strays) == ((), (copy,))


def test_a_mark_pasted_into_another_booking_of_ours_makes_it_nobody_elses() -> None:
    """What a record holds is its own, whatever its description says."""
    x, y = meetings(event("x"), event("y", 2))
    (of_x,) = adopt([marked("1", x)], [x])
    (of_y,) = adopt([marked("2", y)], [y])
    pasted = replace(marked("2", y), description=str(Mark.of("hq", x.key, 0)))
    records = replace(of_x, row=1), replace(of_y, row=2)
    found = sorted_out([marked("1", x), pasted], [x, y], *records)
    assert (found.adopted, found.duplicates, found.strays) == ((), (), ())


def test_of_several_the_one_in_the_meetings_place_is_adopted() -> None:
    """Without a record: not the oldest, but where the meeting is; the others are somebody's."""
    (wanted,) = meetings(event("x"))
    moved = replace(marked("8", wanted), room_id="room-b")
    there = [moved, marked("10", wanted), marked("11", wanted)]
    found = sorted_out(there, [wanted])
    assert [b.reservation_id for b in found.adopted] == ["10"]
    assert [d.reservation.reservation_id for d in found.duplicates] == ["11"]
    assert found.strays == (moved,)


def test_a_single_one_that_a_person_moved_is_adopted() -> None:
    """Its creator is the meeting's, so it is ours wherever it stands."""
    (wanted,) = meetings(event("x"))
    moved = replace(
        marked("8", wanted), room_id="room-z", start=NOW + 2 * DAY, end=NOW + 3 * DAY
    )
    found = sorted_out([moved], [wanted])
    assert [(b.reservation_id, b.room_id) for b in found.adopted] == [("8", "room-z")]
    assert found.strays == ()


def test_two_rooms_of_a_meeting_are_no_duplicates() -> None:
    """Each has a mark of its own; a second one of one of the marks is."""
    a, b = meetings(event("x", rooms="a, b"))
    there = [marked("1", a, 0), marked("2", b, 1), marked("3", b, 1)]
    found = sorted_out(there, [a, b])
    assert sorted((x.reservation_id, x.room_id) for x in found.adopted) == [
        ("1", "room-a"),
        ("2", "room-b"),
    ]
    assert [d.reservation.reservation_id for d in found.duplicates] == ["3"]


@pytest.mark.parametrize(
    "odd",
    [
        {"status": None},
        {"start": None},
        {"end": None},
        {"start": None, "end": None},
        {
            "flaw": "Its room_id cannot be read.",
            "unsaid": frozenset({"room_id"}),
            "room_id": None,
        },
    ],
    ids=str,
)
def test_one_that_makes_no_sense_is_adopted_rather_than_booked_again(
    odd: dict[str, Any],
) -> None:
    """The booking says so, and nothing follows from what cannot be told."""
    (wanted,) = meetings(event("x"))
    there = replace(marked("8", wanted), **odd)
    (found,) = adopt([there], [wanted])
    assert (found.reservation_id, found.state, found.reason) == (
        "8",
        "booked",
        Reason.UNCLEAR_IN_TUYA,
    )
    assert found.detail.startswith(there.oddity)
    assert found.content == wanted.spec
    office = Office()
    office.store(found)
    decided = office.plan(office.reading(event("x")))
    assert [type(change).__name__ for change in decided.changes] == ["Skip"]
    assert [
        type(c).__name__ for c in office.plan(office.reading(event("x", 4))).writes
    ] == ["Update"]


def test_what_is_in_doubt_is_left_to_be_settled() -> None:
    """Its mark is neither adopted nor a stray."""
    (wanted,) = meetings(event("x"))
    (known,) = adopt([marked("9", wanted)], [wanted])
    doubtful = replace(
        known.sending(wanted.spec, "", NOW), row=1, reservation_id=None, content=None
    )
    found = sorted_out([marked("9", wanted)], [wanted], doubtful)
    assert (found.adopted, found.duplicates, found.strays) == ((), (), ())


def test_a_mark_of_no_meeting_is_a_stray() -> None:
    """Ours, and of no event and no booking: it is named, and nothing is done about it."""
    x, y = meetings(event("x"), event("y", 2))
    found = sorted_out([marked("7", y), marked("8", y, instance="branch")], [x])
    assert [r.reservation_id for r in found.strays] == ["7"]


def test_a_cancelled_reservation_keeps_its_generation_from_being_used_again() -> None:
    """An old copy of the ledger learns from cancelled ones too which marks were given."""
    (wanted,) = meetings(event("x"))
    gone = replace(marked("7", wanted, 3), status=ReservationStatus.CANCELLED)
    found = sorted_out([gone], [wanted])
    assert (found.adopted, found.generations) == ((), {wanted.key: 3})


# Creates in doubt


def in_doubt(mark: str | None = None) -> Booking:
    """A create whose answer was lost at NOW."""
    office = Office()
    return replace(unanswered(office.book(event("x"))[0]), mark=mark)


def test_a_lost_create_is_found_by_its_mark() -> None:
    """The mark decides, whatever a person edited since, oldest first, ended ones too."""
    mark = Mark.of("hq", event("x").key, 0)
    booking = in_doubt(str(mark))
    moved = replace(
        booking.spec,
        topic="Edited",
        start=booking.spec.start + HOUR,
        end=booking.spec.end + HOUR,
    )
    there = [
        in_tuya("12", moved, mark, status=ReservationStatus.CANCELLED),
        in_tuya("9", booking.spec, mark),
        in_tuya("1", booking.spec, Mark.of("hq", event("x").key, 1)),
        in_tuya("2", booking.spec, None),
    ]
    assert [r.reservation_id for r in made_by(booking, there, ())] == ["9", "12"]


def test_a_lost_create_without_mark_is_found_by_its_content() -> None:
    """Creator, room, time and topic, and nothing that another booking holds already."""
    booking = in_doubt()
    spec = booking.spec
    others = [
        in_tuya("1", replace(spec, topic="Another"), None),
        in_tuya("2", replace(spec, creator="9"), None),
        in_tuya("3", spec.in_room("room-b"), None),
        in_tuya("4", replace(spec, end=spec.end + HOUR), None),
        in_tuya("5", spec, Mark.of("branch", event("x").key, 0)),
        in_tuya("6", spec, None),
    ]
    there = [*others, in_tuya("8", spec, None), in_tuya("7", spec, None)]
    assert [r.reservation_id for r in made_by(booking, there, {"6"})] == ["7", "8"]


def test_a_copy_of_a_lost_creates_mark_is_not_its_work() -> None:
    """The creator tells whose it is, and the place which of several it is."""
    mark = Mark.of("hq", event("x").key, 0)
    booking = in_doubt(str(mark))
    there = [
        replace(in_tuya("1", booking.spec, mark), creator="99"),
        in_tuya("2", booking.spec.in_room("room-b"), mark),
        in_tuya("3", booking.spec, mark),
    ]
    assert [r.reservation_id for r in made_by(booking, there, ())] == ["3", "2"]
    assert made_by(booking, there[:1], ()) == []
    assert [r.reservation_id for r in made_by(booking, there, {"3"})] == ["2"]


@pytest.mark.parametrize(
    "topic",
    [
        "Cafe\u0301  with\tZoe\u0308 ",
        "Café with Zoë",
        " Café with  Zoë",
        "Café\nwith Zoë",
    ],
    ids=ascii,
)
def test_content_is_compared_in_canonical_form(topic: str) -> None:
    """White space, how letters are composed and what an API may trim make no other topic."""
    booking = in_doubt()
    booking = replace(booking, pending=replace(booking.spec, topic="Café with Zoë"))
    lean = replace(
        in_tuya("7", booking.spec, None), topic=topic, unsaid=frozenset({"description"})
    )
    assert [r.reservation_id for r in made_by(booking, [lean], ())] == ["7"]
    shown = lean.onto(booking.spec)
    assert shown == booking.spec
    assert made_by(booking, [replace(lean, topic="Cafe with Zoë")], ()) == []


@pytest.mark.parametrize(
    ("earlier", "ours"),
    [
        (timedelta(), True),
        (timedelta(seconds=60), True),
        (timedelta(seconds=61), False),
    ],
)
def test_what_was_there_before_the_attempt_is_not_its_work(
    earlier: timedelta, ours: bool
) -> None:
    """A minute is left for clocks that differ."""
    booking = in_doubt()
    there = in_tuya("7", booking.spec, None, created_at=NOW - earlier)
    assert bool(made_by(booking, [there], ())) is ours


def test_a_found_create_has_what_the_api_has() -> None:
    """What was found is the content, so that a difference is seen and changed by the next plan."""
    booking = in_doubt()
    edited = in_tuya("7", replace(booking.spec, topic="Edited").in_room("room-b"), None)
    found = adopted_from(booking, edited)
    assert (found.state, found.reservation_id, found.room_id) == (
        BookingState.BOOKED,
        "7",
        booking.room_id,
    )
    assert (found.spec.topic, found.spec.room_id, found.pending) == (
        "Edited",
        "room-b",
        None,
    )
    waiting = adopted_from(
        booking, replace(edited, status=ReservationStatus.AWAITING_APPROVAL)
    )
    assert waiting.state is BookingState.APPROVAL


def test_the_search_window_covers_what_was_and_what_is_wanted() -> None:
    """From the first start to the last end of confirmed and pending content, with the margin around."""
    x, y = Office().book(event("x", 2), event("y", 5))
    moving = x.sending(
        replace(x.spec, start=NOW + 8 * DAY, end=NOW + 8 * DAY + HOUR), x.origin, NOW
    )
    assert search_window([moving, y], HOUR) == (
        NOW + 2 * DAY - HOUR,
        NOW + 8 * DAY + 2 * HOUR,
    )
