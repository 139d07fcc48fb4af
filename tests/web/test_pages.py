"""What the pages say, as they come over the wire: the verdict, many of a kind, ways on, what is not known yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest

from syncd.assembly import open_ledger, utc_now
from syncd.config import load
from syncd.ledger.operation import DaemonRecord
from syncd.web.asked import Asked, Present
from syncd.web.day_page import ROOMS_AT_ONCE
from syncd.web.front_page import FrontPage, show_front
from syncd.web.verdict import Level
from tests.booked import booking_of_an_hour
from tests.conftest import LARGE_ROOM, SMALL_ROOM, Office, ahead, calendar, event
from tests.web.serving import Client, let_serve, read, served

MANY = 14


def begin_daemon(office: Office, ago: timedelta = timedelta()) -> None:
    """Let the ledger say that a daemon gave its last sign of life so long ago."""
    config = load(office.folder / "syncd.toml")
    with open_ledger(config, owner=True) as ledger:
        at = utc_now() - ago
        path = str(office.folder / "syncd.toml")
        ledger.operation.note_start(DaemonRecord("page", 1, "1.0", path, at, at))


def front(office: Office, **present: object) -> FrontPage:
    """The front page as a value; `present` is what the daemon says of itself."""
    config = load(office.folder / "syncd.toml")
    with open_ledger(config, owner=False) as ledger:
        asked = Asked(
            present=Present(config=config, **present),  # type: ignore[arg-type]  # by their names
            now=utc_now(),
            open_ledger=lambda: ledger,
        )
        return show_front(asked)


@pytest.fixture(scope="module")
def crowded(shared_office: Office) -> Iterator[tuple[Office, Client]]:
    """An office of many rooms and sources, with many meetings that one room cannot hold."""
    office = shared_office
    let_serve(office)
    rooms = "".join(
        f'[[rooms]]\nid = "r{n}"\nname = "Room {n:02}"\n' for n in range(ROOMS_AT_ONCE)
    )
    sources = "".join(
        f'[[sources]]\nname = "s{n}"\npath = "office.ics"\nuid_scope = "source"\n'
        for n in range(2)
    )
    office.change(("[[sources]]", f"{rooms}{sources}[[sources]]"))
    office.change(
        ('name = "s0"\npath = "office.ics"', 'name = "s0"\npath = "empty.ics"')
    )
    office.change(('name = "s1"\npath = "office.ics"', 'name = "s1"\npath = "no.ics"'))
    (office.folder / "empty.ics").write_bytes(calendar())
    office.write(
        event("long", ahead(2, 8), 600),
        *(event(f"late{n}", ahead(2, 9, n), 30) for n in range(MANY)),
        event("series", ahead(3, 9), 60, "RRULE:FREQ=DAILY;COUNT=4", room="large"),
    )
    read(office)
    begin_daemon(office)
    with served(office) as client:
        yield office, client


def links(text: str) -> list[str]:
    """Where a page leads."""
    return [unescape(href) for href in re.findall(r'href="([^"]*)"', text)]


def test_of_many_alike_some_are_shown_and_the_others_counted(
    crowded: tuple[Office, Client],
) -> None:
    """Each with the KEY that a command takes; what is left out is said, with the command for all."""
    _, client = crowded
    text = client.ask("/").text
    assert f"<h1>{MANY + 1} things need a person" in text
    assert text.count('<li class="concern ') == 11
    assert f"{MANY - 10} more refused in source office; all of them:" in text
    assert "<code>syncd status --all</code>" in text
    assert f"<code>syncd ack late1//{SMALL_ROOM}</code>" in text
    order = [
        text.index(f'href="/source/{name}"><bdi>') for name in ("s1", "s0", "office")
    ]
    assert order == sorted(order), "failing ones first"


def test_rooms_are_shown_by_fifties(crowded: tuple[Office, Client]) -> None:
    """The first fifty by name, a way to the others, and a sentence for what there is not."""
    _, client = crowded
    day = f"/day/{ahead(2):%Y-%m-%d}"
    first, second = client.ask(day).text, client.ask(f"{day}?rooms=2").text
    assert first.count('<section class="room"') == ROOMS_AT_ONCE
    assert second.count('<section class="room"') == 2
    assert f"Rooms 51 to 52 of {ROOMS_AT_ONCE + 2}" in second
    assert f"{day}?rooms=2" in links(first)
    for said in ("3", "0", "x", "%C2%B2"):
        answer = client.ask(f"{day}?rooms={said}")
        assert answer.status == 404
    assert re.search(r'class="more[^"]*" href="/room/[^"]+\?day=', second)


def test_a_room_is_shown_by_weeks(crowded: tuple[Office, Client]) -> None:
    """Seven days from any day on, each with its meetings and why one is not booked; and the ways around."""
    _, client = crowded
    day = ahead(2)
    text = client.ask(f"/room/{SMALL_ROOM}?day={day:%Y-%m-%d}").text
    assert text.count('<section class="day"') == 7
    assert text.count("The room is taken") == MANY
    assert f"?day={day + timedelta(days=7):%Y-%m-%d}" in links(text)
    assert f"?day={day - timedelta(days=7):%Y-%m-%d}" in links(text)
    assert client.ask(f"/room/{SMALL_ROOM}?day=never").status == 400
    document = client.document(f"/room/{LARGE_ROOM}?day={day:%Y-%m-%d}")
    assert [one["uid"] for one in document["bookings"]] == ["series"] * 4


def test_the_history_is_shown_by_pages(crowded: tuple[Office, Client]) -> None:
    """Newest first, of the time and the source that are asked for; a time that is none is said."""
    _, client = crowded
    text = client.ask("/history").text
    assert "The API said no" not in text
    assert text.count("refused</span>") == MANY
    for path, status in (
        (f"/history?from={ahead(0):%Y-%m-%d}&to={ahead(0):%Y-%m-%d}", 200),
        ("/history?to=2001-01-01", 200),
        ("/history?from=soon", 400),
        ("/history?from=0001-01-01&to=9999-12-31", 400),
        ("/history?source=s0", 200),
    ):
        assert client.ask(path).status == status, path
    assert "Nothing was done in that time." in client.ask("/history?source=s0").text
    assert "Nothing was done in that time." in client.ask("/history?to=2001-01-01").text


def test_every_link_leads_somewhere(crowded: tuple[Office, Client]) -> None:
    """All that the pages of a day lead to is there."""
    _, client = crowded
    known = {"/", f"/day/{ahead(2):%Y-%m-%d}", "/history", "/source/office"}
    found: set[str] = set()
    for path in known:
        text = client.ask(path).text
        found.update(link for link in links(text) if link.startswith("/"))
    # The plan is made by another process, and other tests look at it.
    found -= {"/plan", "/plan.md"}
    rooms = sorted(link for link in found if link.startswith("/room/"))
    for path in (found - set(rooms)) | set(rooms[:3]):
        assert client.ask(path).status == 200, path


def test_the_verdict_says_what_everything_hangs_on(office: Office) -> None:
    """Not running, stuck, reading for the first time, all in step: one sentence each, and how bad it is."""
    office.change(
        ("[[sources]]", '[[sources]]\nname = "more"\npath = "more.ics"\n[[sources]]')
    )
    office.write(event("first", ahead(2), 60))
    begin_daemon(office)
    first = front(office).verdict
    assert first.sentence == "Reading for the first time, 0 of 2 sources."
    assert (first.level, first.command) == (Level.ATTENTION, None)
    (office.folder / "more.ics").write_bytes(calendar())
    read(office)
    begin_daemon(office)
    page = front(office)
    assert (page.verdict.sentence, page.verdict.level) == (
        "Everything is in step.",
        Level.OK,
    )
    assert page.last_complete is not None
    stuck = front(office, idle=timedelta(minutes=4)).verdict
    assert "no sign of life for 4 min" in stuck.sentence
    assert (stuck.level, stuck.command) == (Level.CRITICAL, "systemctl status syncd")
    begin_daemon(office, ago=timedelta(minutes=5))
    gone = front(office).verdict
    assert gone.sentence.startswith("syncd is not running")
    assert (gone.level, gone.next_reading) == (Level.CRITICAL, None)


def test_mode_observe_says_what_would_be_done(office: Office) -> None:
    """On the front page, by the last cycle; the mode is said beside the verdict."""
    office.change(('mode = "full"', 'mode = "observe"'))
    office.write(*(event(f"e{n}", ahead(2 + n), 60) for n in range(3)))
    read(office)
    begin_daemon(office)
    page = front(office)
    assert page.plan == ("3 would be created",)
    assert any("writes nothing" in sentence for sentence in page.verdict.beside)


@pytest.mark.slow
def test_a_day_of_thirty_rooms_is_small(office: Office) -> None:
    """Eight meetings in each: far below 100 KB on the wire, with all that a first visit loads."""
    let_serve(office)
    rooms = "".join(
        f'[[rooms]]\nid = "r{n}"\nname = "Room {n:02}"\naddresses = ["room-{n}@example.com"]\n'
        for n in range(30)
    )
    office.change(("[[sources]]", f"{rooms}[[sources]]"))
    office.change(('mode = "full"', 'mode = "observe"'))
    office.write()
    read(office)
    _book(office)
    with served(office) as client:
        day = client.ask(f"/day/{ahead(2):%Y-%m-%d}", accept_encoding="gzip")
        assert day.text.count('<li class="m ') == 240
        paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', day.text)
        loaded = [client.ask(path, accept_encoding="gzip") for path in paths]
        assert len(loaded) == 4
        assert sum(len(answer.raw) for answer in (day, *loaded)) < 60_000


def _book(office: Office) -> None:
    """Let the ledger have eight meetings in each of thirty rooms, as if they had been booked."""
    config = load(office.folder / "syncd.toml")
    with open_ledger(config, owner=True) as ledger:
        bookings = []
        for number in range(240):
            start = ahead(2, 7) + timedelta(hours=number // 30)
            made = booking_of_an_hour(f"uid{number}", start, f"res{number}")
            assert made.content is not None
            topic = f"Weekly status meeting of team number {number} about the budget"
            room = f"r{number % 30}"
            spec = replace(made.content, room_id=room, topic=topic)
            bookings.append(replace(made, content=spec, room_id=room))
        ledger.bookings.record(*bookings, at=utc_now(), what="created")
