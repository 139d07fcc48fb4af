"""Switches: what the documentation leaves open can be had both ways."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from syncd.sandbox import SWITCHES, SandboxSettings, parse_switch
from tests.sandbox.conftest import (
    DAY,
    HOUR,
    MEETINGS,
    MINUTE,
    Client,
    Start,
    change,
    meeting,
    now_ms,
    seen_of_the_past,
)

USERS = "/v1.0/iot-03/users"


def code(client: Client, **fields: object) -> int | None:
    """The code with which a meeting is refused, None if it is booked."""
    envelope = client.post(MEETINGS, meeting(**fields))
    return None if envelope["success"] else int(envelope["code"])


def cancelled(client: Client) -> str:
    """The path of a meeting that is cancelled."""
    path = f"{MEETINGS}/{client.book()}"
    assert client.put(f"{path}/status", {"status": "3"})["result"] is True
    return path


def test_past_start(start: Start) -> None:
    """`past_start` off refuses a start in the past."""
    assert code(start(past_start="off"), start_time=now_ms() - MINUTE) == 990002


def test_advance_limit(start: Start) -> None:
    """`advance_limit` and `advance_limit_roomless` decide where max_day counts."""
    far: dict[str, object] = {
        "start_time": now_ms() + 8 * DAY,
        "end_time": now_ms() + 8 * DAY + HOUR,
    }
    assert code(start(advance_limit="off"), meeting_room_id="7", **far) is None
    assert code(start(advance_limit_roomless="on"), **far) == 990002


def test_length_limits(start: Start) -> None:
    """`length_limits` on refuses what is shorter than 30 minutes or longer than 5 hours, in a room."""
    client = start(length_limits="on")
    begins = now_ms() + HOUR
    codes = [
        code(
            client,
            meeting_room_id=str(room),
            start_time=begins,
            end_time=begins + minutes * MINUTE,
        )
        for room, minutes in enumerate((29, 30, 300, 301))
    ]
    assert codes == [990002, None, None, 990002]
    assert code(client, start_time=begins, end_time=begins + MINUTE) is None


def test_opening_hours(start: Start) -> None:
    """`opening_hours` on refuses what is not within 07:00 and 23:00 of one day in `time_zone`."""
    midnight = (now_ms() // DAY + 2) * DAY

    def codes(client: Client) -> list[int | None]:
        slots = ((7, 8), (22, 23), (6, 8), (22, 24), (20, 32))
        return [
            code(
                client,
                meeting_room_id=str(room),
                start_time=midnight + first * HOUR,
                end_time=midnight + last * HOUR,
            )
            for room, (first, last) in enumerate(slots)
        ]

    assert codes(start(opening_hours="on")) == [None, None, 990002, 990002, 990002]
    # Kolkata is 5:30 ahead all year: 07:00 UTC is 12:30, 22:00 UTC is 03:30.
    assert codes(start(opening_hours="on", time_zone="Asia/Kolkata")) == [
        None,
        990002,
        None,
        990002,
        990002,
    ]


def test_weekdays(start: Start) -> None:
    """`opening_hours` on refuses the days that the rules leave out."""
    client = start(opening_hours="on")
    rules = client.get("/v2.0/iot-03/meeting-settings/reservations")["result"]
    noon = (now_ms() // DAY + 2) * DAY + 12 * HOUR
    weekday = datetime.fromtimestamp(noon / 1000, UTC).strftime("%A")
    open_days = [day for day in rules["booking_date"] if day != weekday]
    client.post(
        "/v2.0/iot-03/meeting-settings/reservations",
        {**rules, "booking_date": open_days},
    )
    slot: dict[str, object] = {
        "meeting_room_id": "7",
        "start_time": noon,
        "end_time": noon + HOUR,
    }
    assert code(client, **slot) == 990002


def test_touching_conflicts(start: Start) -> None:
    """`touching_conflicts` on refuses a meeting that starts when another ends."""
    client = start(touching_conflicts="on")
    begins = now_ms() + HOUR
    client.book(meeting_room_id="7", start_time=begins, end_time=begins + HOUR)
    slot: dict[str, object] = {
        "start_time": begins + HOUR,
        "end_time": begins + 2 * HOUR,
    }
    assert code(client, meeting_room_id="7", **slot) == 990001
    assert code(client, meeting_room_id="8", **slot) is None


def test_unknown_rooms_and_users(start: Start) -> None:
    """`unknown_rooms` off gives 1000 for a room, `unknown_users` off 2006 for a person that is not there."""
    assert code(start(unknown_rooms="off"), meeting_room_id="7") == 1000
    client = start(unknown_users="off")
    assert code(client) == 2006
    uid = client.post(USERS, {"name": "Alice"})["result"]
    assert code(client, participants=[uid], creator=uid) is None


def test_list_window(start: Start) -> None:
    """`list_window` decides which meetings a list holds."""
    client = start()
    base = now_ms() + 10 * HOUR
    spans = {
        "before": (-1, 1),
        "inside": (0, 2),
        "after": (1, 3),
        "around": (-1, 3),
        "next": (2, 3),
    }
    for topic, (first, last) in spans.items():
        client.book(
            topic=topic, start_time=base + first * HOUR, end_time=base + last * HOUR
        )

    def topics(window: str) -> set[str]:
        client.control("POST", "switches", {"list_window": window})
        page = client.list(start_time=base, end_time=base + 2 * HOUR)
        assert page["total"] == len(page["list"])
        return {item["topic"] for item in page["list"]}

    assert topics("overlap") == {"before", "inside", "after", "around"}
    assert topics("start") == {"inside", "after"}
    assert topics("containment") == {"inside"}


def test_list_order(start: Start) -> None:
    """`list_order` decides how lists are sorted."""
    client = start()
    for hours in (2, 1, 3):
        client.book(
            topic=str(hours),
            start_time=now_ms() + hours * HOUR,
            end_time=now_ms() + 4 * HOUR,
        )

    def topics(order: str) -> str:
        client.control("POST", "switches", {"list_order": order})
        return "".join(item["topic"] for item in client.list()["list"])

    assert [topics("start"), topics("start-descending")] == ["123", "321"]
    assert [topics("created"), topics("created-descending")] == ["213", "312"]


def test_list_lag(start: Start) -> None:
    """`list_lag` hides what was written in the last seconds."""
    client = start()
    past = now_ms()
    time.sleep(1)
    written = now_ms()
    client.book()

    def lag(seconds: float) -> None:
        client.control("POST", "switches", {"list_lag": seconds})

    assert seen_of_the_past(past, written, lag, client.list)["total"] == 0
    lag(0.1)
    time.sleep(0.2)
    assert client.list()["total"] == 1


def test_page_sizes(start: Start) -> None:
    """`page_size` is the default, `page_cap` cuts larger wishes down."""
    client = start(page_size="2", page_cap="3")
    for _ in range(5):
        client.book()
    assert len(client.list()["list"]) == 2
    pages = [client.list(page_size=100, page_no=number) for number in (1, 2)]
    assert [(len(page["list"]), page["has_more"]) for page in pages] == [
        (3, True),
        (2, False),
    ]


def test_topic_match(start: Start) -> None:
    """`topic_match` exact finds whole topics only."""
    client = start(topic_match="exact")
    client.book(topic="Board meeting")
    assert [
        client.list(topic=topic)["total"] for topic in ("Board", "Board meeting")
    ] == [0, 1]


def test_user_match(start: Start) -> None:
    """`user_match` contains finds parts too."""
    client = start(user_match="contains")
    client.post(USERS, {"name": "Alice", "email": "alice@example.com"})
    assert len(client.get(USERS, email="@example")["result"]["list"]) == 1


@pytest.mark.parametrize(("value", "result"), [("true", True), ("false", False)])
def test_cancel_cancelled(start: Start, value: str, result: bool) -> None:
    """`cancel_cancelled` decides the result of a second cancel."""
    client = start(cancel_cancelled=value)
    assert (
        client.put(f"{cancelled(client)}/status", {"status": "3"})["result"] is result
    )


def test_cancel_cancelled_refused(start: Start) -> None:
    """`cancel_cancelled` refuse makes a second cancel an error."""
    client = start(cancel_cancelled="refuse")
    assert client.put(f"{cancelled(client)}/status", {"status": "3"})["code"] == 990003


def test_modify_cancelled(start: Start) -> None:
    """`modify_cancelled` on modifies a cancelled meeting, which stays cancelled."""
    client = start(modify_cancelled="on")
    path = cancelled(client)
    assert client.put(path, change(topic="Other"))["result"] is True
    shown = client.get(path)["result"]
    assert (shown["topic"], shown["status"]) == ("Other", 3)


def test_revive(start: Start) -> None:
    """`revive` on brings a cancelled meeting back, unless its room is taken by now."""
    client = start(revive="on")
    path = cancelled(client)
    assert client.put(f"{path}/status", {"status": "1"})["result"] is True
    assert client.get(path)["result"]["status"] == 1
    first = client.book(meeting_room_id="7")
    client.put(f"{MEETINGS}/{first}/status", {"status": "3"})
    client.book(meeting_room_id="7")
    assert client.put(f"{MEETINGS}/{first}/status", {"status": "1"})["code"] == 990001


@pytest.mark.parametrize(("value", "kept"), [("kept", True), ("cleared", False)])
def test_omitted(start: Start, value: str, kept: bool) -> None:
    """`omitted` decides what becomes of optional fields that a modification leaves out."""
    client = start(omitted=value)
    files = [{"url": "https://example.com/a"}]
    fields = {
        "meeting_room_id": "7",
        "cc_participants": ["9"],
        "notice_time": 60,
        "attachments": files,
    }
    reservation_id = client.book(**fields)
    client.put(f"{MEETINGS}/{reservation_id}", change())
    shown = client.read(reservation_id)
    values = [
        shown.get(name)
        for name in ("room_id", "cc_participants", "notice_time", "attachments")
    ]
    assert values == (["7", ["9"], 60, files] if kept else ["", [], None, []])


def test_max_attachments(start: Start) -> None:
    """`max_attachments` limits attachments."""
    assert (
        code(start(max_attachments="0"), attachments=[{"url": "https://example.com"}])
        == 1101
    )


def test_nonce_repeated(start: Start) -> None:
    """`nonce_repeated` off refuses a second use of a nonce; by default it is accepted."""

    def codes(client: Client) -> list[int | None]:
        query = {"grant_type": "1"}
        answers = [
            client.send("GET", "/v1.0/token", query=query, nonce=nonce)
            for nonce in ("a", "a", "b")
        ]
        return [answer.envelope.get("code") for answer in answers]

    assert codes(start()) == [None, None, None]
    assert codes(start(nonce_repeated="off")) == [None, 1004, None]


def test_token_switches(start: Start) -> None:
    """`token_seconds` is the life that is told, `unknown_token_code` the answer to a foreign token."""
    client = start(token_seconds="60", unknown_token_code="1010")
    assert client.get("/v1.0/token", grant_type=1)["result"]["expire_time"] == 60
    client.access_token = "f" * 32
    assert client.get(MEETINGS)["code"] == 1010


def test_time_window(start: Start) -> None:
    """`time_window` is the width of the check of `t`."""
    client = start(time_window="10")
    assert (
        client.send("GET", MEETINGS, t=str(now_ms() - 12_000)).envelope["code"] == 1013
    )


def test_at_run_time(client: Client) -> None:
    """The control side shows all switches, changes some, and refuses wrong ones as a whole."""
    shown = client.control("GET", "switches")
    assert shown == {name: default for name, (default, _) in SWITCHES.items()}
    changed = client.control(
        "POST",
        "switches",
        {"past_start": False, "page_size": 5, "time_zone": "Asia/Kolkata"},
    )
    assert changed == {
        **shown,
        "past_start": "off",
        "page_size": "5",
        "time_zone": "Asia/Kolkata",
    }
    wrong = client.control("POST", "switches", {"page_size": 6, "page_cap": 0})
    assert "page_cap is a whole number from 1" in wrong["error"]
    assert client.control("GET", "switches") == changed


@pytest.mark.parametrize("name", SWITCHES)
def test_default_can_be_written(name: str) -> None:
    """The stated default of each switch is a value that it takes, and it has a meaning."""
    default, meaning = SWITCHES[name]
    assert parse_switch(f"{name}={default}") == (name, default)
    assert meaning


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("past_start", "a switch is written name=value"),
        (
            "past=on",
            "there is no switch 'past'; the switches are past_start, .*time_window",
        ),
        ("past_start=maybe", "past_start is on or off, got 'maybe'"),
        (
            "list_window=end",
            "list_window is one of start, overlap, containment, got 'end'",
        ),
        ("page_size=many", "page_size is a whole number, got 'many'"),
        ("list_lag=4000", "list_lag is a number from 0 to 3600"),
        (
            "time_zone=Mars",
            "time_zone is an IANA time zone such as Europe/Berlin, got 'Mars'",
        ),
    ],
)
def test_wrong_switches(text: str, sentence: str) -> None:
    """What is no switch is refused with a sentence that names what is allowed."""
    with pytest.raises(ValueError, match=sentence):
        parse_switch(text)


def test_settings_refuse_wrong_switches() -> None:
    """Settings with a wrong switch cannot be built."""
    with pytest.raises(ValueError, match="there is no switch"):
        SandboxSettings(switches={"past": "on"})
