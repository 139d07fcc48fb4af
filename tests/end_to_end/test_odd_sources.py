"""Sources as offices have them: names with brackets, servers with habits, through `plan` and `once`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import feed, files, follow
from tests.sources.server import Exchange, FeedServer, published, status

MEETING = event("one", ahead(2), room=None)


@pytest.fixture
def server() -> Iterator[FeedServer]:
    """Feeds on 127.0.0.1."""
    with FeedServer().running() as running:
        yield running


def the_source(document: Any) -> dict[str, object]:
    """What is said of the only source."""
    (said,) = document["sources"]
    return dict(said)


@pytest.mark.slow
def test_a_file_with_brackets_is_booked(office: Office) -> None:
    """A calendar whose name looks like a pattern is read; when it is gone, nothing is cancelled."""
    path = office.folder / "Calendar [Room 1].ics"
    path.write_bytes(calendar(MEETING))
    follow(office, files("office", path.name))
    assert office.plan()["counts"]["create"] == 1
    assert the_source(office.once())["state"] == "read"
    path.rename(office.folder / "Calendar R.ics")
    (office.folder / "Calendar R.ics").write_bytes(calendar())
    said = the_source(office.once())
    assert said["state"] == "unreadable"
    assert str(path) in str(said["error"])
    assert len(office.reservations()) == 1


@pytest.mark.slow
def test_a_pattern_that_matches_nothing_is_said(office: Office) -> None:
    """It is unreadable in every face, until it matched; then all files gone cancel nothing at once."""
    follow(office, files("office", "calendars/*.ics"))
    (office.folder / "calendars").mkdir()
    for command in ("plan", "once", "once", "status"):
        assert office.run(command).code in {1, 3}, command
    assert "never matched" in str(the_source(office.once())["error"])
    (office.folder / "calendars" / "a.ics").write_bytes(calendar(MEETING))
    assert office.run("once").code == 0
    assert len(office.reservations()) == 1


@pytest.mark.slow
def test_a_charset_decides_the_room(office: Office, server: FeedServer) -> None:
    """A LOCATION in the charset of the header finds its room, in `plan` and in `once`, and after a 304."""
    office.change(('name = "Small meeting room"', 'name = "Переговорная"'))
    text = calendar(
        event(
            "one", ahead(2), 60, "LOCATION:Переговорная", "SUMMARY:Совещание", room=None
        )
    )
    server.pages["/a"] = published(
        text.decode().encode("koi8-r"),
        content_type='text/calendar; charset="KOI8-R"',
        etag='"1"',
    )
    follow(office, feed("russian", server.url("/a")))
    (planned,) = office.plan()["changes"]
    assert (planned["topic"], planned["room_id"]) == (
        "Совещание",
        "1410148741926678528",
    )
    assert office.run("once").code == 0
    (booked,) = office.reservations()
    assert (booked["topic"], booked["room_id"]) == ("Совещание", "1410148741926678528")
    office.forget_requests()
    assert office.run("once").code == 0
    assert office.writes() == []


@pytest.mark.slow
def test_a_server_that_fails_on_conditions(office: Office, server: FeedServer) -> None:
    """It is read at each cycle, which says what is wrong, and is asked with a condition once only."""

    def page(exchange: Exchange) -> None:
        conditional = "if-none-match" in exchange.request.headers
        (status(412) if conditional else published(calendar(MEETING), etag='"1"'))(
            exchange
        )

    server.pages["/a"] = page
    follow(office, feed("odd", server.url("/a")))
    for _ in range(3):
        ran = office.run("once")
        assert ran.code == 0, ran.err
    assert ["if-none-match" in request.headers for request in server.requests] == [
        False,
        True,
        False,
        False,
    ]
    assert "fails when it is asked whether anything changed" in ran.out


@pytest.mark.slow
def test_text_around_is_said_and_read(office: Office, server: FeedServer) -> None:
    """A warning of PHP before the calendar costs no meeting and is told; a cut calendar is not read."""
    warning = b"<br />\n<b>Warning</b>: Undefined variable $x in <b>/a.php</b> on line <b>3</b><br />\n"
    server.pages["/a"] = published(
        warning + calendar(MEETING), content_type="text/html; charset=UTF-8"
    )
    follow(office, feed("php", server.url("/a")))
    assert office.run("plan").code == 3
    ran = office.run("once")
    assert ran.code == 0
    assert "text around the calendar" in ran.out
    whole = calendar(MEETING)
    server.pages["/a"] = published(
        warning + whole[: whole.index(b"END:VCALENDAR")] + b"<!-- cached -->\n"
    )
    assert the_source(office.once())["state"] == "unreadable"
    assert len(office.reservations()) == 1
