"""What a page costs: it follows what is shown, not what is booked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from syncd.assembly import open_ledger
from syncd.config import load
from syncd.core.booking import Booking
from tests.booked import booking_of_an_hour
from tests.conftest import Office
from tests.web.serving import Client, let_serve, served

ROOMS = 40
SOURCES = 200
A_DAY = ROOMS * 8
AT_ONCE = 500


def meetings(first: datetime) -> Iterator[Booking]:
    """Bookings of one hour, eight a day in each room, day after day."""
    number = 0
    while True:
        day, of_the_day = divmod(number, A_DAY)
        start = first + timedelta(days=day, hours=of_the_day % 8)
        booking = booking_of_an_hour(f"uid-{number}", start, str(2**60 + number))
        room_id = f"14101487419{of_the_day // 8:08}"
        source = f"s{number % SOURCES}"
        content = replace(booking.spec, room_id=room_id)
        yield replace(
            booking,
            room_id=room_id,
            content=content,
            source=source,
            witnesses=(source,),
        )
        number += 1


def fill(office: Office, first: datetime, number: int) -> None:
    """Configure rooms and sources, and record so many bookings."""
    rooms = [
        f'[[rooms]]\nid = "14101487419{n:08}"\nname = "Room {n}"' for n in range(ROOMS)
    ]
    sources = [f'[[sources]]\nname = "s{n}"\npath = "s{n}.ics"' for n in range(SOURCES)]
    text = (office.folder / "syncd.toml").read_text()
    (office.folder / "syncd.toml").write_text("\n".join([text, *rooms, *sources]))
    with open_ledger(load(office.folder / "syncd.toml"), owner=True) as ledger:
        coming = islice(meetings(first), number)
        while some := list(islice(coming, AT_ONCE)):
            ledger.bookings.record(*some, at=first, what="created")


def cost_s(client: Client, path: str) -> float:
    """The least processor time of a few answers, with that of whoever asks."""
    client.ask(path, accept_encoding="gzip")
    costs: list[float] = []
    for number in range(6):
        again = f"{path}?again={number}"  # not the same question, which would be answered as a moment ago
        began = time.process_time()
        assert client.ask(again, accept_encoding="gzip").status == 200
        costs.append(time.process_time() - began)
    return min(costs)


@pytest.mark.slow
def test_a_page_costs_what_it_shows(make_office: object) -> None:
    """With 10,000 bookings of 200 sources a page takes no more than some times what it takes with 640."""
    first = datetime.now(UTC).replace(hour=7, minute=0, second=0, microsecond=0)
    paths = ("/", f"/day/{first + timedelta(days=1):%Y-%m-%d}", "/metrics")
    costs: list[dict[str, float]] = []
    for name, number in (("small", 2 * A_DAY), ("large", 10_000)):
        office: Office = make_office(name)  # type: ignore[operator]  # a fixture that makes them
        let_serve(office)
        fill(office, first, number)
        with served(office) as client:
            costs.append({path: cost_s(client, path) for path in paths})
    small, large = costs
    for path in paths:
        assert large[path] < 4 * small[path], costs
