"""What the ledger remembers of what feeds told: an entry for each occurrence in a room, whatever becomes of it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from syncd.core.booking import Booking, BookingState
from syncd.core.feedback import entry_key, is_problem, standing_of
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Evidence, Reason
from syncd.ledger import Ledger
from syncd.ledger.feed_entries import FeedEntry
from tests.booked import booking_of_an_hour, spec_of_an_hour

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONG_AGO = NOON - timedelta(days=400)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger of its owner; closed with the process."""
    return opened(tmp_path)


def opened(directory: Path) -> Ledger:
    """The ledger of a directory, for its owner."""
    return Ledger.open(f"sqlite:///{directory / 'state.db'}", owner=True)


def wish(uid: str = "a", room: str = "r1") -> Booking:
    """A meeting that waits for a room."""
    spec = spec_of_an_hour(NOON).in_room(room)
    booked = booking_of_an_hour(uid, NOON, "0")
    return replace(
        booked,
        state=BookingState.WAITING,
        room_id=room,
        content=None,
        pending=spec,
        reservation_id=None,
    )


def record(ledger: Ledger, *bookings: Booking, minute: int = 0) -> list[Booking]:
    """Store bookings at a minute after noon."""
    at = NOON + timedelta(minutes=minute)
    return list(ledger.bookings.record(*bookings, at=at, what="test"))


def entries(ledger: Ledger, room: str = "r1") -> tuple[FeedEntry, ...]:
    """All entries of a room."""
    return ledger.feed_entries.of_room(room, LONG_AGO, LONG_AGO)


def numbers(ledger: Ledger, room: str = "r1") -> tuple[int, int]:
    """The SEQUENCE of the one entry of a room, and the minute after noon of its last change."""
    (entry,) = entries(ledger, room)
    return entry.sequence, (entry.changed_at - NOON) // timedelta(minutes=1)


def test_what_is_told_is_counted_and_nothing_else(ledger: Ledger) -> None:
    """A step, or bookkeeping, of which feeds tell nothing changes neither the number nor the time."""
    (booking,) = record(ledger, wish())
    assert numbers(ledger) == (0, 0)
    ledger.bookings.amend(replace(booking, missed=1, witnesses=()), at=NOON + HOUR)
    assert numbers(ledger) == (0, 0)
    later = booking.with_state(booking.state, Reason.TOO_EARLY, "Tomorrow.")
    ledger.bookings.amend(later, at=NOON + timedelta(minutes=1))
    assert numbers(ledger) == (1, 1)
    sent = later.sending(later.spec, "o", NOON)
    record(ledger, sent, minute=2)
    (booking,) = record(ledger, sent.booked("7"), minute=3)
    assert numbers(ledger) == (3, 3)
    # An update of what feeds do not tell, and its answer, are steps without a number.
    spec = replace(booking.spec, description="Bring the figures")
    sent = booking.sending(spec, "p", NOON)
    record(ledger, sent, minute=4)
    (booking,) = record(ledger, sent.booked("7"), minute=5)
    assert numbers(ledger) == (3, 3)
    cancelling = booking.cancelling(Reason.EVENT_GONE, Evidence.SHOWN, "", NOON)
    (cancelling,) = record(ledger, cancelling, minute=6)
    assert numbers(ledger) == (3, 3)
    record(ledger, cancelling.called_off("Gone."), minute=7)
    assert numbers(ledger) == (4, 7)
    (entry,) = entries(ledger)
    assert entry.gone_at == NOON + timedelta(minutes=7)


def test_a_meeting_that_comes_back_has_the_same_entry(ledger: Ledger) -> None:
    """Its new record takes the place of the closed one, goes on counting, and outlives it."""
    (first,) = record(ledger, wish().booked("1"))
    record(ledger, first.with_state(BookingState.CANCELLED), minute=1)
    (second,) = record(ledger, replace(wish().booked("2"), generation=1), minute=2)
    (entry,) = entries(ledger)
    assert (entry.booking.row, entry.sequence) == (second.row, 2)
    assert entry.gone_at is None
    # What is still written of the closed one is no news of the meeting.
    record(ledger, first.with_state(BookingState.CANCELLED, None, "x"), minute=3)
    assert numbers(ledger) == (2, 2)
    assert ledger.prune(NOON + 9 * HOUR) == 1
    assert numbers(ledger) == (2, 2)
    record(ledger, second.with_state(BookingState.ENDED), minute=4)
    ledger.prune(NOON + 9 * HOUR)
    assert entries(ledger) == ()


def test_meetings_that_change_places(ledger: Ledger) -> None:
    """Where bookings trade rooms, or follow their meetings to other keys, each entry is of who is there now."""
    one, two = record(ledger, wish("a", "r1").booked("1"), wish("b", "r2").booked("2"))
    r1, r2 = one.spec, two.spec
    one = replace(one, room_id="r2", content=r2)
    two = replace(two, room_id="r1", content=r1)
    one, two = record(ledger, one, two, minute=1)
    there = {e.booking.key.uid: e.has_left for e in entries(ledger, "r1")}
    assert there == {"a": True, "b": False}
    key = OccurrenceKey("", "c", None)
    (one,) = record(ledger, replace(one, key=key), minute=2)
    now = [e for e in entries(ledger, "r2") if not e.has_left]
    assert [e.entry_key for e in now] == [entry_key(key, "r2")]
    left = [e for e in entries(ledger, "r2") if e.has_left]
    assert {e.start for e in left} == {NOON}
    # An older record that follows its meeting to the key of a closed one is the one that counts.
    (closed,) = record(ledger, wish("d", "r3").booked("3"), minute=3)
    record(ledger, closed.with_state(BookingState.CANCELLED), minute=4)
    key = OccurrenceKey("", "d", None)
    there_now = replace(one, key=key, room_id="r3", content=r2.in_room("r3"))
    record(ledger, there_now, minute=5)
    (entry,) = entries(ledger, "r3")
    assert (entry.booking.row, entry.gone_at) == (one.row, None)


def test_problems_and_when_they_were_settled(ledger: Ledger) -> None:
    """A refusal is a problem until something else is known; it stays known for a while that it was one."""
    refused = wish().with_state(BookingState.REFUSED, Reason.REFUSED, "No.")
    (booking,) = record(ledger, refused)
    record(ledger, wish("fine", "r2").booked("9"))
    (entry,) = ledger.feed_entries.problems(NOON)
    assert (entry.is_problem, entry.settled_at) == (True, None)
    sent = booking.sending(booking.spec, "o", NOON)
    record(ledger, sent.booked("7"), minute=1)
    (entry,) = ledger.feed_entries.problems(NOON)
    assert entry.settled_at == NOON + timedelta(minutes=1)
    assert not entry.is_problem
    assert ledger.feed_entries.problems(NOON + HOUR) == ()


def test_what_is_no_problem_for_organizers() -> None:
    """A request that is under way, a meeting that waits, one that was ended or dropped: these are none."""
    states = (BookingState.WAITING, BookingState.RELEASED, BookingState.CANCELLED)
    reasons = (None, *Reason)
    for state, reason in product(states, reasons):
        booking = replace(wish(), state=state, reservation_id="1", reason=reason)
        said_no = reason in {Reason.REFUSED, Reason.ROOM_CONFLICT}
        is_open = state is not BookingState.CANCELLED
        assert is_problem(booking) == (said_no and is_open), (state, reason)
    refused = wish().with_state(BookingState.REFUSED, Reason.REFUSED)
    assert is_problem(refused)
    assert not is_problem(replace(refused, reason=Reason.DROPPED))
    sending = wish().sending(wish().spec, "o", NOON)
    assert is_problem(replace(sending, reason=Reason.IN_DOUBT))
    assert not is_problem(sending)


def test_questions_for_feeds_use_an_index(ledger: Ledger, tmp_path: Path) -> None:
    """Neither the feed of a room nor that of problems reads the entries of others."""
    connection = sqlite3.connect(tmp_path / "state.db")
    room = "SELECT * FROM feed_entries WHERE room_id = 'r' AND end_at > 0"
    problems = (
        "SELECT * FROM feed_entries WHERE (is_problem OR settled_at IS NOT NULL) "
        "AND (is_problem OR settled_at >= 0)"
    )
    for query, index in (
        (room, "feed_entries_by_room"),
        (problems, "problems_of_feeds"),
    ):
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
        assert index in str(plan)
    connection.close()


def test_an_upgrade_knows_what_feeds_tell_at_first(tmp_path: Path) -> None:
    """What an earlier version recorded has entries with the same keys, and counts from there."""
    from alembic import command
    from alembic.config import Config

    with opened(tmp_path) as ledger:
        record(ledger, wish("a").booked("1"))
        (b,) = record(ledger, wish("b").booked("2"))
        record(ledger, b.with_state(BookingState.CANCELLED), minute=1)
        record(ledger, replace(wish("b").booked("3"), generation=1), minute=2)
        refused = wish("c").with_state(BookingState.REFUSED, Reason.REFUSED, "No.")
        record(ledger, refused, minute=3)
        keys = {entry.entry_key for entry in entries(ledger)}
    with create_engine(f"sqlite:///{tmp_path / 'state.db'}").begin() as connection:
        rows = connection.execute(text("SELECT * FROM bookings")).mappings()
        stored = [dict(row) for row in rows]
    former = tmp_path / "former"
    former.mkdir()
    engine = create_engine(f"sqlite:///{former / 'state.db'}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "syncd:migrations")
        command.upgrade(config, "0013")
        names = list(connection.execute(text("SELECT * FROM bookings")).keys())
        values = ", ".join(f":{name}" for name in names)
        connection.execute(
            text(f"INSERT INTO bookings ({', '.join(names)}) VALUES ({values})"), stored
        )
    engine.dispose()
    with opened(former) as ledger:
        known = entries(ledger)
        assert {entry.entry_key for entry in known} == keys
        assert {entry.booking.generation for entry in known} == {0, 1}
        (problem,) = ledger.feed_entries.problems(LONG_AGO)
        assert problem.booking.key.uid == "c"
        assert all(entry.gone_at is None for entry in known)
        standings = {e.booking.key.uid: standing_of(e.booking) for e in known}
        assert standings == {"a": "booked", "b": "booked", "c": "not_booked"}
