"""Changes that are under way together: each is made exactly once, and none before what it depends on."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from syncd.assembly import Service
from tests.conftest import Office, ahead, event
from tests.daemon.running import running
from tests.end_to_end.killed import Clock, at_work

AT_ONCE = 8


class Crowd:
    """The API port of a program that begins as many calls as it may, without a pace; `most` were at once."""

    def __init__(self, parts: Service) -> None:
        self._api = parts.api
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._api, name)
        return (
            partial(self._counted, found)
            if name in {"create", "modify", "cancel"}
            else found
        )

    def pause_s(self, underway: int) -> float:
        """As if the pace had no limit."""
        return 0.0 if underway < AT_ONCE else math.inf

    def _counted(
        self, call: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            return call(*arguments, **options)
        finally:
            with self._lock:
                self._now -= 1


@contextmanager
def crowded(office: Office, clock: Clock) -> Iterator[tuple[Any, Crowd]]:
    """A program whose calls crowd."""
    crowds: list[Crowd] = []

    def wrap(parts: Service) -> Crowd:
        crowds.append(Crowd(parts))
        return crowds[0]

    with at_work(office.folder / "syncd.toml", clock, wrap) as reconciler:
        yield reconciler, crowds[0]


def codes(office: Office) -> Counter[object]:
    """How often writes were answered with which code."""
    return Counter(
        entry["code"]
        for entry in office.control("requests")
        if entry["method"] != "GET"
    )


def test_lost_answers_of_calls_side_by_side(make_office: Any) -> None:
    """Of 60 creates, up to eight at once, every third loses its answer; each is booked exactly once."""
    office: Office = make_office(
        faults=("slow:on=create,seconds=0.02", "lost:on=create,every=3")
    )
    starts = [ahead(1 + n % 5, 6) + timedelta(minutes=n) for n in range(60)]
    # Without rooms, so that no conflict hides a second booking.
    office.write(
        *(event(f"m{n}", start, 30, room=None) for n, start in enumerate(starts))
    )
    clock = Clock()
    with crowded(office, clock) as (reconciler, crowd):
        for _ in range(6):
            outcome = reconciler.cycle().outcome
            clock.later += timedelta(minutes=6)
            if outcome == "ok":
                break
    assert outcome == "ok"
    assert crowd.most > 1
    made = Counter(r["topic"] for r in office.reservations(live=False))
    assert made == {f"Meeting m{n}": 1 for n in range(60)}


def test_what_depends_on_another_waits_for_it(office: Office) -> None:
    """A place is taken only when whoever leaves it is gone, however many calls may be under way."""
    places = [
        (room, ahead(day, hour))
        for room in ("small", "large")
        for day in (2, 3)
        for hour in (8, 10)
    ]
    before = [
        event(f"m{n}", start, 60, room=room) for n, (room, start) in enumerate(places)
    ]
    moved = [
        event(f"m{n}", places[n - 1][1], 60, room=places[n - 1][0])
        for n in range(1, len(places))
    ]
    office.write(*before)
    office.fault("slow:on=write,seconds=0.05")
    clock = Clock()
    with crowded(office, clock) as (reconciler, crowd):
        assert reconciler.cycle().counts["created"] == len(places)
        assert crowd.most > 1
        office.forget_requests()
        # The first is gone, each other takes the place before it, and a new one the last.
        room, start = places[-1]
        office.write(*moved, event("new", start, 60, room=room))
        report = reconciler.cycle()
    assert (report.counts["updated"], report.counts["created"]) == (len(places) - 1, 1)
    assert set(codes(office)) == {0}
    assert len(office.reservations()) == len(places)


def test_of_two_that_want_one_place_the_earlier_gets_it(office: Office) -> None:
    """The second is not even sent before the first has its answer, so it meets a room that is taken."""
    office.fault("slow:on=create,seconds=0.1")
    start = ahead(2)
    office.write(
        event("a-late", start, 60, "CREATED:20260102T000000Z"),
        event("z-early", start, 60, "CREATED:20260101T000000Z"),
        *(event(f"other{n}", ahead(3, 6 + n), 60) for n in range(4)),
    )
    clock = Clock()
    with crowded(office, clock) as (reconciler, _):
        counts = reconciler.cycle().counts
    assert (counts["created"], counts["refused"]) == (5, 1)
    assert office.reservations()[0]["topic"] == "Meeting z-early"


def test_an_api_that_cannot_be_used_lets_what_is_under_way_end(office: Office) -> None:
    """After the first refusal of that kind nothing begins, and the answers that still come are recorded."""
    office.fault("slow:on=create,seconds=0.3", "quota:on=create,after=4")
    office.write(
        *(
            event(f"m{n}", ahead(2, 6) + timedelta(minutes=n), 30, room=None)
            for n in range(40)
        )
    )
    clock = Clock()
    with crowded(office, clock) as (reconciler, _):
        report = reconciler.cycle()
        made = len(office.reservations())
        assert report.error is not None
        assert report.counts["created"] == made
        assert report.counts["in_doubt"] == 0
        assert 4 <= sum(codes(office).values()) <= 4 + AT_ONCE
        office.fault()
        assert reconciler.cycle().counts["created"] == 40 - made
    assert set(Counter(r["topic"] for r in office.reservations()).values()) == {1}


@pytest.mark.slow
def test_a_second_interrupt_does_not_wait_for_many_calls(office: Office) -> None:
    """Ctrl-C twice ends a daemon with several calls under way; the next start settles each."""
    office.fault("slow:on=write,seconds=3600")
    office.change(("requests_per_second", 'timeout = "1h"\nrequests_per_second'))
    events = 20
    office.write(
        *(
            event(f"m{n}", ahead(2, 6) + timedelta(minutes=n), 30, room=None)
            for n in range(events)
        )
    )
    with running(office) as daemon:
        daemon.until(
            lambda: len(office.writes()) == AT_ONCE, "no more can be under way"
        )
        daemon.send(signal.SIGINT)
        time.sleep(1)  # two that come together would be one
        assert daemon.stop(signal.SIGINT)[0] == 0
    assert len(office.writes()) == AT_ONCE
    office.fault()
    with running(office) as daemon:
        daemon.until(
            lambda: daemon.logged("cycle", outcome="ok", in_doubt=0), "settled"
        )
    made = Counter(r["topic"] for r in office.reservations(live=False))
    assert made == {f"Meeting m{n}": 1 for n in range(events)}
