"""What calendar programs subscribe to: what each meeting looks like there, how it changes, and who may have it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from syncd.assembly import open_ledger
from syncd.config import load
from syncd.core.occurrence import event_key
from syncd.views.feedback import Feedback
from tests.conftest import (
    HANG_S,
    LARGE_ROOM,
    SMALL_ROOM,
    Office,
    ahead,
    calendar,
    event,
)
from tests.web.from_npm import from_npm
from tests.web.serving import Client, let_serve, read, served

SMALL = f"/feed/room/{SMALL_ROOM}.ics"
LARGE = f"/feed/room/{LARGE_ROOM}.ics"
PROBLEMS = "/feed/problems.ics"


@pytest.fixture
def feeds(office: Office) -> Iterator[tuple[Office, Client]]:
    """An office that serves its page, before its first reading."""
    let_serve(office)
    office.write()
    read(office)
    with served(office) as client:
        yield office, client


def events_of(body: bytes) -> dict[str, Any]:
    """The events of a feed by title, as another library reads them; none stands there twice."""
    read_back = Calendar.from_ical(body)
    assert not read_back.errors
    found: dict[str, Any] = {}
    uids: set[str] = set()
    for one in read_back.walk("VEVENT"):
        assert not one.errors
        found[str(one["SUMMARY"])] = one
        uids.add(str(one["UID"]))
    assert len(found) == len(uids) == len(read_back.walk("VEVENT"))
    return found


def told(client: Client, path: str) -> dict[str, Any]:
    """The events at an address, by title."""
    answer = client.ask(path)
    assert answer.status == 200, answer.text
    return events_of(answer.body)


def shown(one: Mapping[str, Any]) -> tuple[str, str]:
    """How programs show an event: its status, and whether it takes time."""
    return str(one["STATUS"]), str(one["TRANSP"])


def revision(one: Mapping[str, Any]) -> tuple[int, datetime]:
    """By what programs tell a newer version of an event."""
    return int(one["SEQUENCE"]), one["LAST-MODIFIED"].dt


def test_what_is_booked_and_what_is_not(feeds: tuple[Office, Client]) -> None:
    """A booked meeting takes its time; a refused one says so in its title, why, and who is in the way."""
    office, client = feeds
    office.write(event("first@example.com", ahead(2)))
    read(office)
    office.write(
        event("first@example.com", ahead(2)),
        event("clash@example.com", ahead(2, 9, 30)),
        event("far", ahead(20)),
        event("elsewhere", ahead(2), room="large"),
        event("broken", ahead(3), 60, "RRULE:FREQ=NEVER"),
    )
    read(office)
    answer = client.ask(SMALL)
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-cache"
    again = client.ask(SMALL, if_none_match=answer.headers["etag"])
    assert (again.status, again.raw) == (304, b"")
    meetings = events_of(answer.body)
    assert set(meetings) == {
        "Meeting first@example.com",
        "NOT BOOKED: Meeting clash@example.com",
        "NOT BOOKED: Meeting far",
    }
    first = meetings["Meeting first@example.com"]
    assert shown(first) == ("CONFIRMED", "OPAQUE")
    assert first["DTSTART"].dt == ahead(2)
    assert first["DTEND"].dt == ahead(2, 10)
    assert str(first["LOCATION"]) == "Small meeting room"
    assert str(first["UID"]).endswith("@hq")
    assert str(first["UID"]).startswith(event_key("first@example.com"))
    assert b"UID:first" not in answer.body
    clash = meetings["NOT BOOKED: Meeting clash@example.com"]
    assert shown(clash) == ("TENTATIVE", "TRANSPARENT")
    assert "Another reservation holds the room" in clash["DESCRIPTION"]
    assert "Meeting first@example.com" in clash["DESCRIPTION"]
    local = ahead(2).astimezone(ZoneInfo("Europe/Berlin"))
    assert f"{local:%H:%M}" in clash["DESCRIPTION"]
    assert "Times are those of Europe/Berlin." in clash["DESCRIPTION"]
    far = meetings["NOT BOOKED: Meeting far"]
    assert "does not allow bookings so far ahead" in far["DESCRIPTION"]
    problems = told(client, PROBLEMS)
    assert set(problems) == {
        "NOT BOOKED: Meeting clash@example.com",
        "NOT BOOKED: Meeting broken",
    }
    same = problems["NOT BOOKED: Meeting clash@example.com"]
    assert same.to_ical() == clash.to_ical()
    broken = problems["NOT BOOKED: Meeting broken"]
    assert shown(broken) == ("TENTATIVE", "TRANSPARENT")
    assert "line 36" in broken["DESCRIPTION"]
    assert set(told(client, LARGE)) == {"Meeting elsewhere"}


def test_the_frame_of_a_feed(feeds: tuple[Office, Client]) -> None:
    """A feed says what it is called, how often to ask, and that it is one of syncd; an empty one is whole."""
    _, client = feeds
    for path, name in ((SMALL, "Small meeting room"), (PROBLEMS, "Not booked (hq)")):
        frame: Any = Calendar.from_ical(client.ask(path).body)
        assert str(frame["X-WR-CALNAME"]) == str(frame["NAME"]) == name
        assert frame["REFRESH-INTERVAL"].dt == timedelta(minutes=5)
        assert frame["X-SYNCD-FEED"] == "hq"
        assert frame.walk("VEVENT") == []
    for page, feed in (("/", PROBLEMS), (f"/room/{SMALL_ROOM}", SMALL)):
        assert f'href="{feed}"' in client.ask(page).text
    answer = client.ask("/feed/room/unknown.ics")
    assert answer.status == 404
    assert client.ask(f"/feed/room/{SMALL_ROOM}").status == 404
    assert client.ask(SMALL, "POST").status == 405


@pytest.mark.slow
def test_sequence_counts_what_is_told(feeds: tuple[Office, Client]) -> None:
    """Each change raises SEQUENCE, nothing else does, and a meeting has one UID whatever becomes of it."""
    office, client = feeds
    meeting = event("a", ahead(2), 60, "SUMMARY:Plans")
    office.write(meeting)
    read(office)
    first = told(client, SMALL)["Plans"]
    before = client.ask(SMALL).body
    office.write(meeting.replace("DTSTAMP:2026", "DTSTAMP:2027"))
    read(office)
    read(office)
    assert client.ask(SMALL).body == before
    revisions = [revision(first)]
    for written, title, state in (
        (event("a", ahead(2), 60, "SUMMARY:More"), "More", "CONFIRMED"),
        (event("a", ahead(2), 30, "SUMMARY:More"), "More", "CONFIRMED"),
        (
            event("a", ahead(2), 30, "SUMMARY:More", "STATUS:CANCELLED"),
            "NOT BOOKED: More",
            "CANCELLED",
        ),
        (event("a", ahead(2), 30, "SUMMARY:More"), "More", "CONFIRMED"),
    ):
        office.write(written)
        read(office)
        read(office)
        now = told(client, SMALL)
        assert list(now) == [title]
        assert now[title]["UID"] == first["UID"]
        assert str(now[title]["STATUS"]) == state
        revisions.append(revision(now[title]))
    numbers = [number for number, _ in revisions]
    assert numbers == sorted(set(numbers))
    times = [at for _, at in revisions]
    assert times == sorted(times)


@pytest.mark.slow
def test_a_meeting_that_leaves_a_room(feeds: tuple[Office, Client]) -> None:
    """In the room that it left it is called off, where it was; in the other one it is booked."""
    office, client = feeds
    office.write(event("a", ahead(2)))
    read(office)
    was = told(client, SMALL)["Meeting a"]
    office.write(event("a", ahead(3), room="large"))
    read(office)
    (left,) = told(client, SMALL).values()
    assert left["UID"] == was["UID"]
    assert shown(left) == ("CANCELLED", "TRANSPARENT")
    assert left["DTSTART"].dt == ahead(2)
    assert revision(left)[0] > revision(was)[0]
    (there,) = told(client, LARGE).values()
    assert shown(there) == ("CONFIRMED", "OPAQUE")
    assert there["UID"] != was["UID"]
    office.write(event("a", ahead(4), room="small"))
    read(office)
    (back,) = told(client, SMALL).values()
    assert back["UID"] == was["UID"]
    assert shown(back) == ("CONFIRMED", "OPAQUE")
    assert back["DTSTART"].dt == ahead(4)
    assert revision(back)[0] > revision(left)[0]


@pytest.mark.slow
def test_a_problem_that_is_settled(feeds: tuple[Office, Client]) -> None:
    """What got its room after all is called off in the feed of problems, and booked in that of the room."""
    office, client = feeds
    office.write(event("first", ahead(2)))
    read(office)
    office.write(event("first", ahead(2)), event("second", ahead(2)))
    read(office)
    (problem,) = told(client, PROBLEMS).values()
    assert str(problem["STATUS"]) == "TENTATIVE"
    office.write(event("second", ahead(2)))
    read(office)
    read(office)
    read(office)
    (settled,) = told(client, PROBLEMS).values()
    assert str(settled["SUMMARY"]) == "Meeting second"
    assert settled["UID"] == problem["UID"]
    assert shown(settled) == ("CANCELLED", "TRANSPARENT")
    assert revision(settled)[0] > revision(problem)[0]
    assert shown(told(client, SMALL)["Meeting second"]) == ("CONFIRMED", "OPAQUE")


@pytest.mark.slow
def test_a_change_that_is_refused(feeds: tuple[Office, Client]) -> None:
    """It is told at the time that the calendar asks for, with as what the meeting stays booked."""
    office, client = feeds
    office.write(event("first", ahead(2)), event("second", ahead(3)))
    read(office)
    office.write(event("first", ahead(2)), event("second", ahead(2)))
    read(office)
    (problem,) = told(client, PROBLEMS).values()
    assert str(problem["SUMMARY"]) == "NOT BOOKED: Meeting second"
    assert problem["DTSTART"].dt == ahead(2)
    assert f"It stays booked as it was: {ahead(3):%Y-%m-%d}" in problem["DESCRIPTION"]
    kept = told(client, SMALL)["Meeting second"]
    assert shown(kept) == ("CONFIRMED", "OPAQUE")
    assert kept["DTSTART"].dt == ahead(3)
    assert "The room is taken" in kept["DESCRIPTION"]


@pytest.mark.slow
def test_what_persons_do_in_tuya(feeds: tuple[Office, Client]) -> None:
    """A meeting that waits for approval, and one that was ended in Tuya, are not booked, and say so."""
    office, client = feeds
    office.write(event("waits", ahead(2)), event("ended", ahead(3)))
    read(office)
    by_topic = {one["topic"]: one["reservation_id"] for one in office.reservations()}
    office.control(f"reservations/{by_topic['Meeting waits']}", {"status": 2})
    office.control(f"reservations/{by_topic['Meeting ended']}", {"status": 3})
    office.run("once", "--force")
    meetings = told(client, SMALL)
    waits = meetings["NOT BOOKED: Meeting waits"]
    assert shown(waits) == ("TENTATIVE", "TRANSPARENT")
    assert "approve" in waits["DESCRIPTION"]
    ended = meetings["NOT BOOKED: Meeting ended"]
    assert shown(ended) == ("TENTATIVE", "TRANSPARENT")
    assert "ended in Tuya" in ended["DESCRIPTION"]
    assert told(client, PROBLEMS) == {}


def test_how_long_a_feed_tells_of_what_is_gone(office: Office) -> None:
    """What was called off or settled stays for 30 days, what is over as long; nothing is written for it."""
    office.write(event("kept", ahead(20, 7)), event("off", ahead(2)))
    read(office)
    office.write(
        event("kept", ahead(20, 7)), event("off", ahead(2), 60, "STATUS:CANCELLED")
    )
    read(office)
    config = load(office.folder / "syncd.toml")
    now = datetime.now(UTC)
    with open_ledger(config, owner=False) as ledger:

        def titles(later: timedelta) -> set[str]:
            feed = Feedback(ledger, config, now + later).of_room(SMALL_ROOM)
            assert feed is not None
            return {one.title for one in feed.events}

        kept = "NOT BOOKED: Meeting kept"  # it is too early for the tenant
        off = "NOT BOOKED: Meeting off"
        assert titles(timedelta(days=29)) == {kept, off}
        assert titles(timedelta(days=31)) == {kept}
        assert titles(timedelta(days=49)) == {kept}
        assert titles(timedelta(days=52)) == set()


def test_hostile_texts_and_private_meetings(feeds: tuple[Office, Client]) -> None:
    """Texts of strangers are shown and not obeyed, and a private meeting says nothing of itself."""
    office, client = feeds
    hostile = r"SUMMARY:X\nEND:VEVENT\nBEGIN:VEVENT\nUID:evil\; \, \\n {n} 会议\t"
    secret = ("SUMMARY:Secret", "DESCRIPTION:Secret", "CLASS:CONFIDENTIAL")
    office.write(
        event("hostile", ahead(2), 60, hostile),
        event("private", ahead(3), 60, *secret),
        event("other", ahead(3)),
    )
    read(office)
    answer = client.ask(SMALL)
    assert b"Secret" not in answer.body + client.ask(PROBLEMS).body
    titles = set(events_of(answer.body))
    assert len(titles) == 3
    assert r"X END:VEVENT BEGIN:VEVENT UID:evil; , \n {n} 会议" in "".join(titles)
    assert b"\r\nUID:evil" not in answer.body


# Who may have it


def test_the_token_of_the_feeds(office: Office) -> None:
    """Calendar programs show it in the address; it opens no page, and that of the page is none for addresses."""
    for name, text in (("web-token", "of-the-page"), ("feed-token", "of-the-feeds")):
        secret = office.folder / name
        secret.touch(mode=0o600)
        secret.write_text(text)
    tokens = ('token = { file = "web-token" }', 'feed_token = { file = "feed-token" }')
    let_serve(office, *tokens)
    office.write(event("a", ahead(2)))
    read(office)
    with served(office) as client:
        for path in (SMALL, PROBLEMS):
            assert client.ask(f"{path}?token=of-the-feeds").status == 200
            assert client.ask(path, authorization="Bearer of-the-page").status == 200
            for wrong in ("", "?token=", "?token=of-the-page", "?token=x&token=of"):
                refused = client.ask(f"{path}{wrong}")
                assert refused.status == 401
                assert "Meeting" not in refused.text
                assert "VCALENDAR" not in refused.text
        assert client.ask("/?token=of-the-feeds").status == 401
        assert client.ask("/", authorization="Bearer of-the-feeds").status == 401


@pytest.mark.slow
def test_what_doctor_says_of_the_tokens(office: Office) -> None:
    """Without a token for feeds nobody subscribes to a guarded page; the same one for both is a mistake."""
    tokens = {"web-token": "of-the-page", "feed-token": "of-the-page"}
    for name, text in tokens.items():
        secret = office.folder / name
        secret.touch(mode=0o600)
        secret.write_text(text)
    let_serve(office, 'token = { file = "web-token" }')

    def finding() -> tuple[str, str]:
        document = office.run("doctor", "--offline", "--json").json
        (one,) = [f for f in document["findings"] if f["check"] == "feeds"]
        return one["verdict"], one["cure"]

    assert finding() == ("note", 'feed_token = { file = "page-feed-token" }')
    both = 'token = { file = "web-token" }\nfeed_token = { file = "feed-token" }'
    office.change(('token = { file = "web-token" }', both))
    verdict, cure = finding()
    assert verdict == "problem"
    assert "web.feed_token" in cure
    (office.folder / "feed-token").write_text("of-the-feeds")
    assert finding()[0] == "ok"


# Its own feed is no source


@pytest.mark.slow
def test_a_feed_of_syncd_is_no_source(feeds: tuple[Office, Client]) -> None:
    """As a file it is refused with the cure, and nothing that was booked is given up for it."""
    office, client = feeds
    office.write(event("a", ahead(2)))
    read(office)
    for body in (client.ask(SMALL).body, client.ask(PROBLEMS).body):
        office.calendar_file.write_bytes(body)
        read(office)
        (source,) = office.status()["sources"]
        assert source["state"] == "unreadable"
        assert "is a feed that syncd itself publishes" in source["error"]
        assert "take it out of the sources" in source["error"]
        assert [one["topic"] for one in office.reservations()] == ["Meeting a"]


@pytest.mark.slow
def test_a_feed_of_syncd_is_no_source_over_http(feeds: tuple[Office, Client]) -> None:
    """It is refused at its address as well, beside a source that goes on being read."""
    office, client = feeds
    own = f'[[sources]]\nname = "own"\nurl = "http://{client.address}{SMALL}"\nallow_hosts = ["127.0.0.0/8"]\n'
    office.change(("[[sources]]", f"{own}[[sources]]"))
    office.write(event("a", ahead(2)))
    ran = office.run("once", "--json")
    assert ran.code == 1
    by_name = {one["name"]: one for one in ran.json["sources"]}
    assert "is a feed that syncd itself publishes" in by_name["own"]["error"]
    assert by_name["office"]["state"] == "read"
    assert len(office.reservations()) == 1
    plan = office.run("plan")
    assert "syncd itself publishes" in plan.out + plan.err


@pytest.mark.slow
def test_events_that_were_copied_from_a_feed(feeds: tuple[Office, Client]) -> None:
    """In a calendar of somebody they are left out, with the reason, and the others are booked."""
    office, client = feeds
    office.write(event("a", ahead(2)))
    read(office)
    body = client.ask(SMALL).body
    copied = body[body.index(b"BEGIN:VEVENT") : body.index(b"END:VCALENDAR")]
    office.calendar_file.write_bytes(
        calendar(event("a", ahead(2)), copied.decode().strip(), event("b", ahead(3)))
    )
    document = office.plan()
    reasons = {one["topic"]: one["reason"] for one in document["changes"]}
    assert reasons == {"Meeting a": "own_feed", "Meeting b": "new"}
    assert document["counts"]["create"] == 1


@pytest.mark.slow
def test_a_feed_is_read_back_without_a_defect(feeds: tuple[Office, Client]) -> None:
    """Without its marks each feed is a calendar like any other: no event of it is quarantined or noted."""
    office, client = feeds
    texts = ("Plain", r"A\, B\; C \\ D", "会议" * 40, "x" * 300, "caf\u00e9 \U0001f642")
    meetings = [
        event(f"{number}", ahead(2, 5 + number), 60, f"SUMMARY:{text}")
        for number, text in enumerate(texts)
    ]
    clash = event("clash", ahead(2, 5), 60, "SUMMARY:Second")
    office.write(*meetings)
    read(office)
    office.write(*meetings, clash, event("bad", ahead(3), 60, "RRULE:FREQ=NEVER"))
    read(office)
    for path in (SMALL, PROBLEMS):
        body = client.ask(path).body
        events = events_of(body)
        lines = body.split(b"\r\n")
        plain = [line for line in lines if not line.startswith(b"X-SYNCD-FEED")]
        office.calendar_file.write_bytes(b"\r\n".join(plain))
        office.change(
            ("[calendar]", '[calendar]\ntransparent = "book"\nall_day = "whole-day"')
        )
        ran = office.run("once", "--json")
        assert ran.json["counts"]["quarantined"] == 0
        assert ran.json["sources"][0]["events"] == len(events)
        booked = office.run("status", "--json").json["bookings"]
        topics = {one["topic"] for one in booked}
        assert {title.strip()[:60] for title in events} <= {one[:60] for one in topics}
        office.change(('\ntransparent = "book"\nall_day = "whole-day"', ""))


_READER = """
const ICAL = require(process.argv[1]);
const calendar = new ICAL.Component(ICAL.parse(require("fs").readFileSync(0, "utf8")));
const told = calendar.getAllSubcomponents("vevent").map((component) => {
  const event = new ICAL.Event(component);
  return {
    uid: event.uid,
    title: event.summary,
    start: event.startDate.toJSDate().getTime(),
    end: event.endDate.toJSDate().getTime(),
    status: component.getFirstPropertyValue("status"),
    sequence: event.sequence,
    detail: event.description,
  };
});
console.log(JSON.stringify(told));
"""


def read_by_thunderbird(body: bytes) -> list[dict[str, Any]]:
    """The events of a feed as ical.js has them, which is what Thunderbird reads calendars with."""
    library = from_npm("ical.js", "2.2.1", "dist/ical.es5.min.cjs")
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js: apt-get install npm")
    ran = subprocess.run(
        [node, "-e", _READER, str(library)],
        input=body,
        capture_output=True,
        check=True,
        timeout=HANG_S,
    )
    events: list[dict[str, Any]] = json.loads(ran.stdout)
    return events


@pytest.mark.slow
def test_the_library_of_thunderbird_reads_the_same(
    feeds: tuple[Office, Client],
) -> None:
    """Title, times, status, revision and reason, also of long and foreign text, as another library has them."""
    office, client = feeds
    office.write(
        event("a", ahead(2), 60, "SUMMARY:Größe\\, 会议 😀 " + "long " * 40),
        event("b", ahead(2, 9, 30)),
    )
    read(office)
    office.write(event("a", ahead(3)), event("b", ahead(2, 9, 30)))
    read(office)
    for path in (SMALL, PROBLEMS):
        body = client.ask(path).body
        read_back: Any = Calendar.from_ical(body)
        ours = {str(one["UID"]): one for one in read_back.walk("VEVENT")}
        theirs = read_by_thunderbird(body)
        assert {one["uid"] for one in theirs} == set(ours)
        for one in theirs:
            own = ours[one["uid"]]
            assert one["title"] == str(own["SUMMARY"])
            assert one["start"] == own["DTSTART"].dt.timestamp() * 1000
            assert one["end"] == own["DTEND"].dt.timestamp() * 1000
            assert one["status"] == str(own["STATUS"])
            assert one["sequence"] == int(own["SEQUENCE"])
            assert (one["detail"] or "") == str(own.get("DESCRIPTION", ""))
    assert read_by_thunderbird(client.ask(SMALL).body)
