"""Bookings by when and where they are, on real files: what is found, and what an upgrade fills in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, text

from syncd.core.booking import Booking, BookingState
from syncd.core.occurrence import event_key
from syncd.ledger import Ledger
from syncd.views.choice import is_within
from tests.booked import booking_of_an_hour, spec_of_an_hour
from tests.former import bring_to

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def opened(directory: Path) -> Ledger:
    """The ledger of a directory, for its owner."""
    return Ledger.open(f"sqlite:///{directory / 'state.db'}", owner=True)


def in_room(booking: Booking, room_id: str) -> Booking:
    """The same booking in a room."""
    return replace(
        booking, room_id=room_id, content=booking.spec.in_room(room_id), pending=None
    )


def uids(bookings: Iterable[Booking]) -> list[str]:
    """The UIDs of bookings, in their order."""
    return [booking.key.uid for booking in bookings]


def test_bookings_between_two_moments(tmp_path: Path) -> None:
    """What is found is what is between them in part, as `is_within` says, by time, whatever its state."""
    starts = [NOON + number * HOUR / 2 for number in range(-6, 7)]
    with opened(tmp_path) as ledger:
        for number, start in enumerate(reversed(starts)):
            booking = booking_of_an_hour(f"{number}", start, f"{number}")
            if number % 3 == 0:
                booking = booking.with_state(BookingState.CANCELLED)
            ledger.bookings.record(booking, at=NOON, what="test")
        remembered = ledger.bookings.all()
        for since, until in ((NOON, NOON + HOUR), (NOON - 9 * HOUR, NOON)):
            meant = [
                one
                for one in remembered
                if is_within(one.spec.start, one.spec.end, since, until)
            ]
            found = ledger.timetable.between(since, until)
            assert set(uids(found)) == set(uids(meant)) != set()
            times = [one.spec.start for one in found]
            assert times == sorted(times)
        assert len(ledger.timetable.between(NOON)) == 8  # that goes on, and 7 later
        assert ledger.timetable.between(NOON + 9 * HOUR) == ()


def test_bookings_of_rooms(tmp_path: Path) -> None:
    """Rooms narrow it down; a meeting that moved is found where it is now, and when it is now."""
    with opened(tmp_path) as ledger:
        placed: list[Booking] = []
        for room in ("r1", "r2", "r3"):
            booking = in_room(booking_of_an_hour(room, NOON, room), room)
            placed += ledger.bookings.record(booking, at=NOON, what="test")
        between = ledger.timetable.between
        assert uids(between(NOON, NOON + HOUR, {"r1", "r3"})) == ["r1", "r3"]
        later = replace(spec_of_an_hour(NOON + 5 * HOUR), room_id="r2")
        moved = replace(placed[0], room_id="r2", content=later)
        ledger.bookings.record(moved, at=NOON, what="test")
        assert between(NOON, NOON + HOUR, {"r1"}) == ()
        assert uids(between(NOON, rooms={"r2"})) == ["r2", "r1"]
        other = replace(booking_of_an_hour("other", NOON, "9"), source="other")
        ledger.bookings.record(other, at=NOON, what="test")
        assert uids(between(NOON, sources={"other"})) == ["other"]
        assert between(NOON, rooms={"r2"}, sources={"other"}) == ()
        assert ledger.timetable.has_room("r2")
        assert not ledger.timetable.has_room("r1")


def test_an_event_is_found_by_its_key(tmp_path: Path) -> None:
    """A key names one UID and does not show it."""
    odd = "café 会议@example.com"
    with opened(tmp_path) as ledger:
        for number, uid in enumerate(("a@example.com", odd)):
            booking = booking_of_an_hour(uid, NOON + number * HOUR, f"{number}")
            ledger.bookings.record(booking, at=NOON, what="test")
        assert ledger.timetable.uid_of(event_key("a@example.com")) == "a@example.com"
        assert ledger.timetable.uid_of(event_key(odd)) == odd
        assert ledger.timetable.uid_of("a@example.com") is None


def test_an_upgrade_tells_when_the_bookings_of_an_earlier_version_are(
    tmp_path: Path,
) -> None:
    """Their times and keys are filled in; what makes no sense is in nobody's way and is told when it is read."""
    with opened(tmp_path) as ledger:
        for number in range(3):
            booking = booking_of_an_hour(f"{number}", NOON, f"{number}")
            ledger.bookings.record(in_room(booking, "r1"), at=NOON, what="test")
        (changed, *_) = ledger.bookings.all()
        later = changed.sending(spec_of_an_hour(NOON + 5 * HOUR), "o", NOON)
        ledger.bookings.record(later, at=NOON, what="update")
        known = ledger.bookings.all()
    rows = "SELECT * FROM bookings ORDER BY row"
    former = tmp_path / "former"
    former.mkdir()
    with create_engine(f"sqlite:///{tmp_path / 'state.db'}").begin() as connection:
        stored = [dict(row) for row in connection.execute(text(rows)).mappings()]
    bring_to(former / "state.db", "0013")
    engine = create_engine(f"sqlite:///{former / 'state.db'}")
    with engine.begin() as connection:
        names = connection.execute(text("SELECT * FROM bookings")).keys()
        columns = ", ".join(names)
        values = ", ".join(f":{name}" for name in names)
        stored[2]["content"] = "{nonsense"
        connection.execute(
            text(f"INSERT INTO bookings ({columns}) VALUES ({values})"), stored
        )
    engine.dispose()
    with opened(former) as ledger:
        assert ledger.timetable.between(NOON, NOON + HOUR) == known[:2]
        assert ledger.timetable.between(NOON, rooms={"r1"}) == known[:2]
        assert ledger.timetable.uid_of(event_key("1")) == "1"
