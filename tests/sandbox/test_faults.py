"""Faults: each does what it says, where and as often as it says."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from syncd.sandbox import KINDS, parse_fault
from tests.conftest import HANG_S
from tests.daemon.running import until
from tests.sandbox.conftest import (
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


def count(client: Client) -> int:
    """How many meetings there are behind the API."""
    return len(client.control("GET", "reservations"))


def last_entry(client: Client) -> dict[str, object]:
    """The last call in the log."""
    entry: dict[str, object] = client.control("GET", "requests")[-1]
    return entry


@pytest.mark.parametrize(("kind", "made"), [("lost", 1), ("closed", 0)])
def test_no_answer(start: Start, kind: str, made: int) -> None:
    """`lost` closes the connection after the work, `closed` before it; neither sends a byte."""
    client = start(f"{kind}:on=create,times=1")
    with pytest.raises(http.client.RemoteDisconnected):
        client.post(MEETINGS, meeting())
    assert count(client) == made
    entry = last_entry(client)
    assert (entry["operation"], entry["fault"], entry["code"]) == (
        "create",
        kind,
        0 if made else None,
    )
    assert bool(entry["reservation_id"]) is bool(made)
    client.book()
    assert f"fault={kind} no answer" in "\n".join(client.lines)


@contextmanager
def held_up(client: Client) -> Iterator[None]:
    """A create that is on its way, until what holds it up is removed; its answer is a success."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, MEETINGS, meeting())
        until(
            lambda: last_entry(client)["operation"] == "create",
            "the request has arrived",
        )
        yield
        assert not asked.done()
        client.control("DELETE", "faults")
        assert asked.result(HANG_S)["success"]


def test_slow(start: Start) -> None:
    """`slow` has done the work while the answer is still awaited."""
    client = start("slow:seconds=3600,times=1,on=create")
    with held_up(client):
        until(lambda: count(client) == 1, "the work is done")
    assert count(client) == 1


def test_late(start: Start) -> None:
    """`late` has not done the work while the request is held up, and does it then."""
    client = start("late:seconds=3600,times=1,on=create")
    with held_up(client):
        assert count(client) == 0
        assert last_entry(client)["code"] is None
    assert count(client) == 1


def test_late_work_is_done_though_nobody_waits(start: Start) -> None:
    """What is held up is done at its time, also when the client has gone."""
    client = start("late:seconds=3,times=1,on=create")
    client.timeout = 2
    with pytest.raises(TimeoutError):
        client.post(MEETINGS, meeting())
    client.timeout = HANG_S
    until(lambda: count(client) == 1, "the work is done")


def test_late_is_checked_late(start: Start) -> None:
    """What was held up longer than the time window is refused when it arrives."""
    client = start("late:seconds=2,on=create", time_window="600")
    body = json.dumps(meeting()).encode()
    assert (
        client.send("POST", MEETINGS, body, t=str(now_ms() - 599_000)).envelope["code"]
        == 1013
    )
    assert count(client) == 0


@pytest.mark.parametrize(("work", "made"), [("", 1), (",work=none", 0)])
def test_error(start: Start, work: str, made: int) -> None:
    """`error` answers code 500, after the work unless told otherwise."""
    client = start(f"error:on=create{work}")
    answer = client.send("POST", MEETINGS, json.dumps(meeting()).encode())
    assert (answer.status, answer.envelope["code"], answer.envelope["success"]) == (
        200,
        500,
        False,
    )
    assert count(client) == made


@pytest.mark.parametrize(("work", "made"), [("", 0), (",work=done", 1)])
def test_gateway(start: Start, work: str, made: int) -> None:
    """`gateway` answers HTTP 502 with a page, without the work unless told otherwise."""
    client = start(f"gateway:on=create{work}")
    answer = client.send("POST", MEETINGS, json.dumps(meeting()).encode())
    assert (answer.status, answer.body[:6]) == (502, b"<html>")
    assert count(client) == made


@pytest.mark.parametrize(("work", "made"), [("", 1), (",work=none", 0)])
def test_garbage(start: Start, work: str, made: int) -> None:
    """`garbage` answers with something that is not JSON."""
    client = start(f"garbage:on=create{work}")
    answer = client.send("POST", MEETINGS, json.dumps(meeting()).encode())
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)
    assert count(client) == made


@pytest.mark.parametrize(("work", "topic"), [("", "Old"), (",work=done", "New")])
def test_false(start: Start, work: str, topic: str) -> None:
    """`false` answers success with result false, and nothing is modified unless told otherwise."""
    client = start(f"false:on=modify{work}")
    reservation_id = client.book(topic="Old")
    answer = client.put(f"{MEETINGS}/{reservation_id}", change(topic="New"))
    assert (answer["success"], answer["result"]) == (True, False)
    assert client.read(reservation_id)["topic"] == topic


def test_expired(start: Start) -> None:
    """`expired` really ends the token: it gives 1010 until a new one is got, by refreshing too."""
    client = start("expired:on=create,times=1")
    assert client.post(MEETINGS, meeting())["code"] == 1010
    assert client.get(MEETINGS)["code"] == 1010
    client.access_token = client.get(f"/v1.0/token/{client.refresh_token}")["result"][
        "access_token"
    ]
    client.book()
    assert count(client) == 1


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("throttled", 1110),
        ("throttled:code=1199", 1199),
        ("quota", 28841004),
        ("unsubscribed", 28841101),
        ("unsubscribed:code=28841105", 28841105),
        ("refuse:code=1106", 1106),
    ],
)
def test_refusals(start: Start, spec: str, code: int) -> None:
    """Refusals have their documented code, and no work is done."""
    client = start()
    client.control("POST", "faults", {"faults": [spec]})
    assert client.post(MEETINGS, meeting())["code"] == code
    assert count(client) == 0
    client.control("DELETE", "faults")
    client.book()


@pytest.mark.parametrize("seconds", [-200, 200])
def test_clock_within_the_window(start: Start, seconds: int) -> None:
    """A server whose clock is off shows it in `t` and in the times that it writes."""
    client = start(f"clock:seconds={seconds}")
    began = now_ms()
    answer = client.post(MEETINGS, meeting())
    assert began <= answer["t"] - seconds * 1000 <= now_ms()
    assert (
        began
        <= client.read(answer["result"])["gmt_create"] - seconds * 1000
        <= now_ms()
    )


def test_clock_beyond_the_window(start: Start) -> None:
    """Beyond the window every call is refused with 1013, and its `t` tells the offset."""
    client = start()
    client.control("POST", "faults", {"faults": ["clock:seconds=3600"]})
    answer = client.get(MEETINGS)
    assert answer["code"] == 1013
    corrected = client.send(
        "GET", "/v1.0/token", query={"grant_type": "1"}, t=str(answer["t"])
    )
    assert corrected.envelope["success"]


def test_lag(start: Start) -> None:
    """Lists show the past: no new meeting, the old content of a changed one; reading one is current."""
    client = start()
    old = client.book(topic="Old", participants=["1"])
    past = now_ms()
    time.sleep(1)
    changed = now_ms()
    new = client.book()
    for topic in ("Newer", "Newest"):
        client.put(f"{MEETINGS}/{old}", change(topic=topic, participants=["5"]))

    def shown(path: str = MEETINGS) -> list[tuple[str, str]]:
        window = {"start_time": now_ms() - HOUR, "end_time": now_ms() + 24 * HOUR}
        items = client.get(path, **window)["result"]["list"]
        return sorted((item["reservation_id"], item["topic"]) for item in items)

    def lag(seconds: float) -> None:
        client.control("POST", "faults", {"faults": [f"lag:seconds={seconds}"]})

    assert seen_of_the_past(past, changed, lag, shown) == [(old, "Old")]
    person = f"{MEETINGS}/participants/1"
    assert seen_of_the_past(past, changed, lag, lambda: shown(person)) == [(old, "Old")]
    assert client.read(new)["topic"] == "Test Meeting"
    lag(0.1)
    time.sleep(0.2)
    assert shown() == [(old, "Newest"), (new, "Test Meeting")]


def test_lag_of_single_reads(start: Start) -> None:
    """Where it is asked for, reading one lags too."""
    client = start("lag:on=get,seconds=60")
    reservation_id = client.book()
    assert client.get(f"{MEETINGS}/{reservation_id}")["code"] == 1000
    assert client.list()["total"] == 1


def test_duplicate(start: Start) -> None:
    """A request that is delivered twice makes two meetings, except where a room stops the second."""
    client = start("duplicate:on=create")
    reservation_id = client.book()
    ids = [entry["reservation_id"] for entry in client.control("GET", "reservations")]
    assert (len(ids), ids[0]) == (2, reservation_id)
    client.book(meeting_room_id="7")
    assert count(client) == 3


def test_release(start: Start) -> None:
    """Unused meetings in rooms end minutes after their start; used ones and roomless ones do not."""
    client = start()
    begins = now_ms() - 30 * MINUTE
    slot: dict[str, object] = {"start_time": begins, "end_time": begins + HOUR}
    unused = client.book(meeting_room_id="7", **slot)
    used = client.book(meeting_room_id="8", **slot)
    roomless = client.book(**slot)
    client.post(f"{MEETINGS}/{used}/actions/sign-in", {"uid": "1"})
    client.control("POST", "faults", {"faults": ["release:minutes=10"]})
    ends = [
        client.read(reservation_id)["end_time"] - begins
        for reservation_id in (unused, used, roomless)
    ]
    assert ends == [10 * MINUTE, HOUR, HOUR]
    assert client.read(unused)["status"] == 1


class TestCounting:
    """Which calls a fault strikes."""

    @staticmethod
    def struck(client: Client, calls: int) -> list[int]:
        """The numbers of the creates (from 1) that were refused."""
        return [
            n
            for n in range(1, calls + 1)
            if not client.post(MEETINGS, meeting())["success"]
        ]

    @pytest.mark.parametrize(
        ("counts", "struck"),
        [
            ("", [1, 2, 3, 4, 5, 6, 7, 8]),
            (",times=2", [1, 2]),
            (",every=3", [3, 6]),
            (",after=5", [6, 7, 8]),
            (",after=1,every=2,times=2", [3, 5]),
        ],
    )
    def test_counts(self, start: Start, counts: str, struck: list[int]) -> None:
        """`after` lets calls pass, `every` takes each Nth, `times` limits; other operations do not count."""
        client = start(f"refuse:on=create{counts}")
        client.list()
        assert self.struck(client, 8) == struck

    def test_groups(self, start: Start) -> None:
        """`read` and `write` mean GET and the others; operations are joined by a plus sign."""
        client = start("refuse:on=write,code=1")
        assert (client.post(MEETINGS, meeting())["code"], client.list()["total"]) == (
            1,
            0,
        )
        client.control(
            "POST", "faults", {"faults": ["refuse:on=list+by_participant,code=1"]}
        )
        assert client.get(f"{MEETINGS}/participants/1")["code"] == 1
        assert client.get(MEETINGS)["code"] == 1
        client.book()

    def test_one_answer_at_a_time(self, start: Start) -> None:
        """Of two faults that replace the answer the first goes first; the other keeps its count."""
        client = start(
            "refuse:on=create,code=1,times=1", "refuse:on=create,code=2,times=1"
        )
        codes = [client.post(MEETINGS, meeting()).get("code") for _ in range(3)]
        assert codes == [1, 2, None]

    def test_together(self, start: Start) -> None:
        """Faults of different kinds strike one call together, and the log names both."""
        client = start("duplicate:on=create", "lost:on=create")
        with pytest.raises(http.client.RemoteDisconnected):
            client.post(MEETINGS, meeting())
        assert (count(client), last_entry(client)["fault"]) == (2, "duplicate+lost")

    def test_shown(self, start: Start) -> None:
        """The control side shows the faults in force and how many calls each has seen."""
        client = start("lag:seconds=1")
        client.list()
        (fault,) = client.control("GET", "faults")
        assert (fault["kind"], fault["seconds"], fault["seen"]) == ("lag", 1.0, 1)
        assert client.control("DELETE", "faults") == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_stands_alone(kind: str) -> None:
    """Each kind can be written without any key."""
    assert parse_fault(kind).kind == kind


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no fault ''; the faults are lost"),
        ("explode", "there is no fault 'explode'; the faults are lost, .*release"),
        ("lost:seconds=1", "fault lost takes on, after, every, times as key=value"),
        ("lost:times", "as key=value, got 'times'"),
        (
            "lost:on=creat",
            "on=creat is no operation; the operations are any, read, write, create, .*modify",
        ),
        ("lost:every=0", "every is a whole number from 1, got '0'"),
        ("lost:times=1.5", "times is a whole number"),
        ("slow:seconds=soon", "seconds is a number, got 'soon'"),
        ("slow:seconds=-1", "seconds is from 0 to 3600"),
        ("slow:seconds=nan", "seconds is from 0 to 3600"),
        ("lost:times=inf", "times is a whole number"),
        ("error:work=later", "work is done or none"),
    ],
)
def test_wrong_faults(text: str, sentence: str) -> None:
    """What is no fault is refused with a sentence that names what is allowed."""
    with pytest.raises(ValueError, match=sentence):
        parse_fault(text)


def test_wrong_faults_at_run_time(client: Client) -> None:
    """The control side refuses them with the same sentence, and leaves those in force."""
    client.control("POST", "faults", {"faults": ["lag"]})
    wrongs: list[object] = [{"faults": ["explode"]}, {"faults": "lag"}, []]
    for wrong in wrongs:
        assert re.match(
            "there is no fault|faults are given as",
            client.control("POST", "faults", wrong)["error"],
        )
    assert len(client.control("GET", "faults")) == 1
