"""Taking over what people booked by hand: nothing foreign, nothing twice, and nothing that is a guess."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from syncd.core.booking import Booking, BookingState
from syncd.core.by_content import HandMade, match_by_content
from syncd.core.changes import Cancel, Create, Update
from syncd.core.mapper import Mapper, Wanted
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import Occurrence, Person
from syncd.core.reasons import Reason
from syncd.core.reservation import Reservation, ReservationStatus
from tests.core.office import NOW, RULES, Office, event
from tests.core.test_recognise import in_tuya

PEOPLE = {"alice@example.com": "1", "bob@example.com": "2"}
STAND_INS = frozenset({"3"})
MAPPER_RULES = replace(RULES, people=PEOPLE)


def meetings_of(*occurrences: Occurrence) -> list[Meeting]:
    """Every reservation that these occurrences ask for."""
    found: list[Meeting] = []
    for occurrence in occurrences:
        mapped = Mapper(MAPPER_RULES).map(occurrence)
        assert isinstance(mapped, Wanted)
        specs = mapped.specs
        found += [Meeting(occurrence, (occurrence.source,), spec) for spec in specs]
    return found


def marked_later(matches: tuple[HandMade, ...]) -> list[Booking]:
    """The bookings of what was found, with rows as the ledger gives them."""
    counts: Counter[object] = Counter()
    bookings: list[Booking] = []
    for row, match in enumerate(matches, start=1):
        key = match.meeting.key
        mark = Mark.of("hq", key, counts[key])
        booking = match.booking(counts[key], mark)
        counts[key] += 1
        bookings.append(replace(booking, row=booking.row or row))
    return bookings


ORGANIZERS = st.sampled_from(["alice@example.com", "bob@example.com", "x@example.com"])
TITLES = st.sampled_from(["Stand-up", "STAND-UP ", "Review"])
EVENTS = st.lists(
    st.builds(
        lambda uid, day, rooms, title, organizer: replace(
            event(str(uid), day, rooms=rooms, title=title),
            organizer=Person((organizer,)),
        ),
        uid=st.integers(0, 5),
        day=st.sampled_from([1.0, 2.0]),
        rooms=st.sampled_from(["a", "b", "a, b", ""]),
        title=TITLES,
        organizer=ORGANIZERS,
    ),
    max_size=5,
    unique_by=lambda occurrence: occurrence.key.uid,
)


@st.composite
def reservations(draw: st.DrawFn, wanted: list[Meeting]) -> list[Reservation]:
    """Reservations in the places of meetings and beside them, of anybody, with and without marks."""
    there: list[Reservation] = []
    if not wanted:
        return there
    for number in range(draw(st.integers(0, 6))):
        meeting = draw(st.sampled_from(wanted))
        mark = draw(
            st.sampled_from(
                [
                    None,
                    None,
                    None,
                    Mark.of("hq", meeting.key, 0),
                    Mark.of("other", meeting.key, 0),
                ]
            )
        )
        spec = replace(
            meeting.spec,
            topic=draw(TITLES),
            creator=draw(st.sampled_from([meeting.spec.creator, "1", "2", "3", "9"])),
            room_id=draw(st.sampled_from([meeting.spec.room_id, "room-a", None])),
        )
        status = draw(st.sampled_from([*ReservationStatus, ReservationStatus.NORMAL]))
        one = in_tuya(str(100 + number), spec, mark, status=status)
        unsaid = draw(st.sampled_from([(), (), (), ("creator",), ("description",)]))
        there.append(replace(one, unsaid=frozenset(unsaid)))
    return there


def may_be(there: Reservation, meeting: Meeting) -> bool:
    """Whether a person would take a reservation for a meeting; said in other words than the code's."""
    spec = meeting.spec
    known = spec.creator != "3" and "creator" not in there.unsaid
    return (
        there.status in (ReservationStatus.NORMAL, ReservationStatus.AWAITING_APPROVAL)
        and "[sy:" not in there.description
        and "description" not in there.unsaid
        and (there.room_id, there.start, there.end)
        == (spec.room_id, spec.start, spec.end)
        and there.topic.strip().lower() == spec.topic.strip().lower()
        and (there.creator == spec.creator if known else spec.room_id is not None)
    )


@given(EVENTS, st.data())
def test_only_what_is_certain_is_taken_over(
    events: list[Occurrence], data: st.DataObject
) -> None:
    """A pair is taken if and only if neither of the two could be anything else."""
    wanted = meetings_of(*events)
    there = data.draw(reservations(wanted))
    found = match_by_content(there, wanted, (), STAND_INS, NOW)
    pairs = [(r, m) for r in there for m in wanted if may_be(r, m)]
    of_reservation = Counter(r.reservation_id for r, _ in pairs)
    of_meeting = Counter((m.key, m.spec.room_id) for _, m in pairs)
    certain = {
        (r.reservation_id, m.key, m.spec.room_id)
        for r, m in pairs
        if of_reservation[r.reservation_id] == of_meeting[m.key, m.spec.room_id] == 1
    }
    taken = {
        (f.reservation.reservation_id, f.meeting.key, f.meeting.spec.room_id)
        for f in found.found
    }
    assert taken == certain
    left = {r.reservation_id for group in found.ambiguous for r in group.reservations}
    assert left == set(of_reservation) - {
        reservation_id for reservation_id, *_ in taken
    }


@given(EVENTS, st.data())
def test_what_is_taken_over_is_never_booked_again(
    events: list[Occurrence], data: st.DataObject
) -> None:
    """The next plan changes it in place, the one after is empty; what is foreign is in neither."""
    wanted = meetings_of(*events)
    there = data.draw(reservations(wanted))
    found = match_by_content(there, wanted, (), STAND_INS, NOW)
    office = Office(rules=MAPPER_RULES)
    for booking in marked_later(found.found):
        office.store(booking)
    for row, booking in enumerate(found.left, start=100):
        office.store(replace(booking, row=row))
    ids = {match.reservation.reservation_id for match in found.found}
    held = {(b.key, b.room_id) for b in office.live}
    decided = office.plan(office.reading(*events))
    updated = {c.booking.row for c in decided.changes if isinstance(c, Update)}
    assert updated == {b.row for b in office.live}
    created = [c.meeting for c in decided.changes if isinstance(c, Create)]
    held.update((b.key, b.room_id) for b in found.left)
    assert held.isdisjoint((m.key, m.spec.room_id) for m in created)
    assert not any(isinstance(change, Cancel) for change in decided.changes)
    office.apply(decided)
    assert ids <= {b.reservation_id for b in office.live}
    again = office.plan(office.reading(*events))
    assert again.writes == ()


@given(EVENTS, st.data(), st.sampled_from(list(BookingState)))
def test_what_a_record_holds_or_may_hold_is_left(
    events: list[Occurrence], data: st.DataObject, state: BookingState
) -> None:
    """A meeting that is booked, in doubt, released or given up takes nothing over."""
    wanted = meetings_of(*events)
    there = data.draw(reservations(wanted))
    records = [
        replace(
            Booking.of(meeting),
            state=state,
            content=meeting.spec,
            reservation_id="7",
            attempted_at=NOW,
        )
        for meeting in wanted
    ]
    found = match_by_content(there, wanted, records, STAND_INS, NOW)
    assert found.found == ()


def test_the_change_that_writes_the_mark_says_so() -> None:
    """Its reason is that it was taken over, and it changes the description where the content is equal."""
    (wanted,) = meetings_of(event("x"))
    there = in_tuya("7", wanted.spec, None)
    found = match_by_content([there], [wanted], (), STAND_INS, NOW)
    (booking,) = marked_later(found.found)
    assert (booking.reservation_id, booking.content) == ("7", wanted.spec)
    office = Office(rules=MAPPER_RULES)
    office.store(booking)
    (change,) = office.plan(office.reading(event("x"))).changes
    assert isinstance(change, Update)
    assert (change.reason, change.changed) == (Reason.TAKEN_OVER, ("description",))


def test_without_marks_nothing_is_to_be_written() -> None:
    """Where reservation.marker is off, an equal reservation is simply booked."""
    (wanted,) = meetings_of(event("x"))
    there = in_tuya("7", wanted.spec, None)
    found = match_by_content([there], [wanted], (), STAND_INS, NOW)
    booking = replace(found.found[0].booking(0, None), row=1)
    assert (booking.mark, booking.reason) == (None, None)
    office = Office(rules=MAPPER_RULES)
    office.store(booking)
    assert office.plan(office.reading(event("x"))).changes == ()
