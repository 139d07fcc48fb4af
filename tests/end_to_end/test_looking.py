"""Looking at the API takes calls for what it is about, not for all that is booked there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest

from syncd.apply.read_back import look_up
from syncd.apply.tasks import run_task
from syncd.core.booking import Booking
from syncd.sandbox import Sandbox, SandboxSettings
from syncd.tuya import TuyaApi
from tests.booked import booking_of_an_hour, spec_of_an_hour
from tests.conftest import Office, ahead, event

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FEW, MANY = 1.0, 2000.0  # reservations in a day

Connect = Callable[..., TuyaApi]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Clients that may write, each of a sandbox with these switches."""
    with ExitStack() as stack:

        def begin(**switches: Any) -> TuyaApi:
            running = stack.enter_context(
                Sandbox(SandboxSettings(switches=switches)).running()
            )
            api = TuyaApi(
                endpoint=running.url,
                client_id=running.client_id,
                client_secret=lambda: running.client_secret,
                timeout_s=10.0,
                requests_per_second=1000.0,
            )
            stack.callback(api.close)
            stack.enter_context(api.armed())
            return api

        yield begin


def _book(api: TuyaApi, start: datetime, creator: str = "3") -> Booking:
    reservation_id = api.create(spec_of_an_hour(start, creator), None)
    return booking_of_an_hour(start.isoformat(), start, reservation_id, creator)


def _found(api: TuyaApi, bookings: Sequence[Booking], density: float) -> int:
    """The calls that it takes to find them all."""
    before = api.calls["GET"]
    found = run_task(look_up(bookings, api, density)).found
    for booking in bookings:
        assert booking.reservation_id is not None
        assert found[booking.reservation_id].start == booking.spec.start
    return api.calls["GET"] - before


@pytest.mark.parametrize("window", ["start", "overlap", "containment"])
def test_what_lies_close_together_is_listed(connect: Connect, window: str) -> None:
    """Ten reservations of a morning are one call, whatever the window of a list means."""
    api = connect(list_window=window)
    assert (
        _found(api, [_book(api, ahead(2) + n * HOUR / 3) for n in range(10)], MANY) == 1
    )


@pytest.mark.slow
def test_a_first_booking_is_read_back_by_lists(office: Office) -> None:
    """The list of a day has several pages, and our own creates change it between two of them."""
    meetings = [event(f"m{n}", ahead(1), 60, room=None) for n in range(150)]
    office.write(*meetings)
    office.fault("slow:on=list,seconds=0.3")
    assert office.once()["counts"]["created"] == 150
    asked = [r for r in office.control("requests") if r["method"] == "GET"]
    assert len(asked) < 150 / 3


def test_what_lies_far_apart_is_listed_where_little_lies_between(
    connect: Connect,
) -> None:
    """The ten reservations of a month in a small office are one call."""
    api = connect()
    assert (
        _found(api, [_book(api, ahead(2) + n * 3 * DAY) for n in range(10)], FEW) == 1
    )


def test_what_lies_far_apart_among_many_is_asked_for_one_by_one(
    connect: Connect,
) -> None:
    """A list of a month would have many pages, so each reservation is one call."""
    api = connect()
    assert (
        _found(api, [_book(api, ahead(2) + n * 3 * DAY) for n in range(10)], MANY) == 10
    )


def test_each_crowd_is_listed_by_itself(connect: Connect) -> None:
    """Two mornings far apart are two lists, and a single meeting in between is one call."""
    api = connect()
    mornings = [
        _book(api, ahead(day) + n * HOUR / 3) for day in (2, 20) for n in range(6)
    ]
    assert _found(api, [*mornings, _book(api, ahead(11))], MANY) == 3


@pytest.mark.parametrize(
    "creators", [("3",), ("3", "4")], ids=["one creator", "two creators"]
)
def test_where_others_fill_the_pages_one_is_looked_at_in_vain(
    connect: Connect, creators: tuple[str, ...]
) -> None:
    """A first page tells that a list has more pages than there are reservations to look up."""
    api = connect(page_cap=5)
    ours = [_book(api, ahead(2 + n), creators[n % len(creators)]) for n in range(8)]
    for n in range(50):
        _book(api, ahead(2) + n * HOUR, creator="3")
    assert _found(api, ours, FEW) == 1 + len(ours)


def test_what_others_booked_is_not_listed_with_what_one_person_did(
    connect: Connect,
) -> None:
    """Where all are of one creator, reservations of others fill no page."""
    api = connect(page_cap=5)
    ours = [_book(api, ahead(2 + n)) for n in range(8)]
    for n in range(50):
        _book(api, ahead(2) + n * HOUR, creator="99")
    assert _found(api, ours, FEW) == 2


def test_a_list_that_spans_months_is_not_tried(connect: Connect) -> None:
    """The API is known to list two months at a time."""
    api = connect()
    assert _found(api, [_book(api, ahead(2 + n * 20)) for n in range(5)], 0.01) == 5


def test_a_reservation_that_is_gone_is_left_out(connect: Connect) -> None:
    """What is not there is not found, one by one or in a list."""
    api, other = connect(), connect()
    here = [_book(api, ahead(2) + n * HOUR) for n in range(5)]
    for bookings in (here, here[:1]):
        assert run_task(look_up(bookings, other, MANY)).found == {}


@pytest.mark.slow
def test_meetings_far_apart_are_looked_for_without_what_lies_between(
    make_office: Any,
) -> None:
    """Before its first creates a process lists the days of the new meetings, not all from first to last."""
    office = make_office(switches=("page_cap=5",))
    between = [event(f"e{n}", ahead(3 + n // 10, 6 + n % 10)) for n in range(30)]
    office.write(*between)
    office.once()
    office.write(*between, event("near", ahead(1)), event("far", ahead(6, 20)))
    office.forget_requests()
    assert office.once()["counts"]["created"] == 2
    operations = [entry["operation"] for entry in office.control("requests")]
    before = operations[: operations.index("create")]
    assert before.count("list") == 2
