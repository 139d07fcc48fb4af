"""SEQUENCE of feeds counts: whatever becomes of bookings, an event that says something else has a higher one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.config import Config, load
from syncd.core.booking import CLOSED_STATES, Booking, BookingState
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Reason
from syncd.core.reservation import ReservationSpec
from syncd.ledger import Ledger
from syncd.views.feedback import Feedback, FeedEvent
from tests.booked import spec_of_an_hour
from tests.conftest import CONFIGURATION, LARGE_ROOM, SMALL_ROOM, examples

Events = dict[tuple[str, str], FeedEvent]
"""What feeds tell, by feed and key."""

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
ROOMS = (SMALL_ROOM, LARGE_ROOM)
KEYS = [OccurrenceKey("", uid, None) for uid in ("a", "b")]
STATES = [state for state in BookingState if state is not BookingState.CANCELLED]
REASONS = (None, Reason.REFUSED, Reason.IN_DOUBT, Reason.VANISHED, Reason.RELEASED)


@dataclass(frozen=True)
class Step:
    """What happens to the booking of a meeting: it is as this says from then on, or is cancelled."""

    key: OccurrenceKey
    room: str
    state: BookingState
    reason: Reason | None
    detail: str
    topic: str
    hour: int
    wanted_hour: int
    is_bookkeeping: bool


STEPS = st.builds(
    Step,
    key=st.sampled_from(KEYS),
    room=st.sampled_from(ROOMS),
    state=st.sampled_from([*STATES, BookingState.CANCELLED]),
    reason=st.sampled_from(REASONS),
    detail=st.sampled_from(["", "Because."]),
    topic=st.sampled_from(["Plans", "Figures"]),
    hour=st.integers(0, 1),
    wanted_hour=st.integers(0, 1),
    is_bookkeeping=st.booleans(),
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A configuration with two rooms."""
    folder = tmp_path_factory.mktemp("office")
    secret = folder / "tuya-secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    file = folder / "syncd.toml"
    file.write_text(CONFIGURATION.format(url="http://127.0.0.1:1", client_id="id"))
    return load(file)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger without bookings; making one takes longer than an example."""
    file = tmp_path_factory.mktemp("ledger") / "state.db"
    Ledger.open(f"sqlite:///{file}", owner=True).close()
    return file


def spec(step: Step, hour: int) -> ReservationSpec:
    """An hour of a meeting in its room."""
    start = NOON + timedelta(hours=hour)
    return replace(spec_of_an_hour(start), room_id=step.room, topic=step.topic)


def applied(step: Step, former: Booking | None, number: int) -> Booking:
    """The booking as it is after a step."""
    base = former or Booking(
        key=step.key,
        room_id=step.room,
        generation=number,
        mark=f"m{number}",
        state=BookingState.WAITING,
        source="office",
        witnesses=("office",),
        origin="",
        pending=spec(step, step.hour),
    )
    return replace(
        base,
        room_id=step.room,
        state=step.state,
        reason=step.reason,
        detail=step.detail,
        content=spec(step, step.hour),
        pending=spec(step, step.wanted_hour),
        reservation_id=base.reservation_id or f"id {number}",
        attempted_at=NOON,
    )


def events(ledger: Ledger, config: Config) -> Iterator[tuple[str, FeedEvent]]:
    """All events of all feeds, each with the name of its feed."""
    feedback = Feedback(ledger, config, NOON + timedelta(days=1))
    for room in ROOMS:
        feed = feedback.of_room(room)
        assert feed is not None
        keys = [one.key for one in feed.events]
        assert len(keys) == len(set(keys))
        yield from ((room, one) for one in feed.events)
    yield from (("problems", one) for one in feedback.of_problems().events)


def said(event: FeedEvent) -> FeedEvent:
    """What an event says, without by what programs tell its versions."""
    return replace(event, sequence=0, changed_at=NOON)


def record(
    ledger: Ledger, booking: Booking, at: datetime, *, as_bookkeeping: bool
) -> Booking:
    """Store a booking; return it as it is stored."""
    if not as_bookkeeping:
        (stored,) = ledger.bookings.record(booking, at=at, what="test")
        return stored
    ledger.bookings.amend(booking, at=at)
    (stored,) = (one for one in ledger.bookings.all() if one.row == booking.row)
    return stored


def require_counted(before: Events, after: Events, at: datetime) -> None:
    """Fail unless each event that says something else has a higher number, and the time at which it changed."""
    for place in before.keys() & after.keys():
        was, now = before[place], after[place]
        assert now.sequence >= was.sequence
        if said(now) != said(was):
            assert now.sequence > was.sequence
        if now.sequence > was.sequence:
            assert was.changed_at < now.changed_at <= at
        else:
            assert now == was


@pytest.mark.slow
@settings(max_examples=examples(25, thorough=100, long=2000))
@given(st.lists(STEPS, min_size=1, max_size=8))
def test_an_event_that_says_something_else_has_a_higher_sequence(
    config: Config, empty: Path, steps: list[Step]
) -> None:
    """No version is told twice with another text, and none gets lower; what comes back goes on counting."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        file.write_bytes(empty.read_bytes())
        with Ledger.open(f"sqlite:///{file}", owner=True) as ledger:
            told: Events = {}
            current: dict[OccurrenceKey, Booking] = {}
            for number, step in enumerate(steps):
                at = NOON + timedelta(minutes=number)
                former = current.pop(step.key, None)
                as_bookkeeping = step.is_bookkeeping and former is not None
                booking = applied(step, former, number)
                stored = record(ledger, booking, at, as_bookkeeping=as_bookkeeping)
                if stored.state not in CLOSED_STATES:
                    current[step.key] = stored
                now = {(feed, one.key): one for feed, one in events(ledger, config)}
                require_counted(told, now, at)
                told |= now
