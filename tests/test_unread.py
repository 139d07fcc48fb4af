"""What is to be read back: how many calls that takes, for how long it waits, and that none is lost."""

from __future__ import annotations

import math
import tracemalloc
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncd.apply.read_back import ON_A_PAGE
from syncd.apply.unread import MOST_WAIT_S, Unread
from syncd.core.booking import Booking
from tests.booked import booking_of_an_hour
from tests.conftest import examples
from tests.core.office import NOW

DAYS = 30


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def booked(number: int, start: datetime) -> Booking:
    """The booking of an hour's meeting, with the number of its reservation."""
    return booking_of_an_hour(str(number), start, f"{10**18 + number}")


def spread(count: int) -> Iterator[Booking]:
    """Bookings over the working hours of a month, in an order that has nothing to do with their times."""
    for number in range(count):
        place = number * 7919 % count
        day, of_day = divmod(place * DAYS, count)
        begins = timedelta(hours=8) + timedelta(hours=10) * of_day / count
        yield booked(number, NOW + timedelta(days=day) + begins)


def taken(unread: Unread) -> list[Sequence[str]]:
    """All portions that are to be read now."""
    portions: list[Sequence[str]] = []
    while portion := unread.take():
        portions.append(portion)
    return portions


def calls_of(
    portion: Sequence[str], starts: dict[str, datetime], listed: Sequence[datetime]
) -> int:
    """How many calls list a portion, of all that is there; no more than one for each."""
    first, last = starts[portion[0]], starts[portion[-1]]
    shown = bisect_right(listed, last) - bisect_left(listed, first)
    return min(len(portion), math.ceil(shown / ON_A_PAGE))


def test_a_first_booking_of_many_calendars_takes_few_calls() -> None:
    """Of 6,000 that are written here and there in a month the lists take a call for five or more."""
    unread = Unread(Clock())
    count = 6000
    unread.density = count / DAYS
    starts: dict[str, datetime] = {}
    listed: list[datetime] = []
    calls = 0
    for booking in spread(count):
        assert booking.reservation_id is not None
        starts[booking.reservation_id] = booking.spec.start
        unread.add(booking)
        insort(listed, booking.spec.start)
        for portion in taken(unread):
            calls += calls_of(portion, starts, listed)
    unread.call_for_all()
    for portion in taken(unread):
        calls += calls_of(portion, starts, listed)
    assert len(unread) == 0
    assert calls < count / 5


def test_what_is_written_nearest_first_is_read_while_others_are_written() -> None:
    """What lies close together needs no others: never do more than two hundred wait."""
    unread = Unread(Clock())
    count = 3000
    unread.density = count / DAYS
    for number in range(count):
        unread.add(booked(number, NOW + timedelta(days=DAYS * number / count)))
        taken(unread)
        assert len(unread) <= 200


def test_what_lies_apart_waits_for_so_long_at_most() -> None:
    """One in a page of others is not listed, and not for ever left: after minutes all of it is read."""
    clock = Clock()
    unread = Unread(clock)
    unread.density = 1000.0
    for number in range(150):
        unread.add(booked(number, NOW + timedelta(days=number / 5)))
    clock.now = MOST_WAIT_S - 1
    assert taken(unread) == []
    clock.now = MOST_WAIT_S
    assert sum(map(len, taken(unread))) == 150


def test_what_waits_takes_little_memory() -> None:
    """Of a reservation its id and start are held, whatever is in it."""
    unread = Unread(Clock())
    unread.density = 1e6
    count = 5000
    tracemalloc.start()
    try:
        for booking in spread(count):
            unread.add(booking)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(unread) == count
    assert held / count < 400


class Waiting(RuleBasedStateMachine):
    """Reservations are written, taken and put back in any order: each is read, and none is lost."""

    @initialize(density=st.sampled_from([0.1, 5.0, 500.0, 50_000.0]))
    def begin(self, density: float) -> None:
        self.clock = Clock()
        self.unread = Unread(self.clock)
        self.unread.density = density
        self.open: dict[str, Booking] = {}
        self.number = 0

    @rule(
        count=st.integers(1, 130),
        day=st.integers(0, 29),
        apart_h=st.sampled_from([0.0, 0.1, 1.0, 24.0]),
    )
    def write(self, count: int, day: int, apart_h: float) -> None:
        for place in range(count):
            self.number += 1
            begins = timedelta(days=day, hours=place * apart_h)
            booking = booked(self.number, NOW + begins)
            assert booking.reservation_id is not None
            self.open[booking.reservation_id] = booking
            self.unread.add(booking)

    @rule(data=st.data())
    def write_again(self, data: st.DataObject) -> None:
        """An update of what is not read yet, to another time."""
        if not self.open:
            return
        name = data.draw(st.sampled_from(sorted(self.open)))
        spec = self.open[name].spec
        later = replace(spec, end=spec.end + timedelta(days=2))
        later = replace(later, start=spec.start + timedelta(days=2))
        self.open[name] = replace(self.open[name], content=later)
        self.unread.add(self.open[name])

    @rule(answered=st.integers(0, 100))
    def read(self, answered: int) -> None:
        """A portion is asked about in part; the rest is put back."""
        portion = self.unread.take()
        assert len(portion) == len(set(portion))
        assert len(portion) <= 2 * ON_A_PAGE
        for name in portion[:answered]:
            self.open.pop(name, None)
        rest = [self.open[name] for name in portion[answered:] if name in self.open]
        self.unread.put_back(rest)

    @rule()
    def wait(self) -> None:
        self.clock.now += MOST_WAIT_S / 2

    @rule()
    def read_all(self) -> None:
        self.unread.call_for_all()
        for portion in taken(self.unread):
            for name in portion:
                self.open.pop(name, None)
        assert not self.open

    @invariant()
    def none_is_lost(self) -> None:
        if hasattr(self, "unread"):
            assert len(self.unread) >= len(self.open)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(
    max_examples=examples(30, thorough=100), stateful_step_count=20, deadline=None
)
