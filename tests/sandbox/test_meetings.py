"""Meetings: every call about them as documented, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import (
    DAY,
    HOUR,
    MEETINGS,
    MINUTE,
    Client,
    change,
    meeting,
    now_ms,
)

EPOCH = 1288834974657


def test_add_and_read_back(client: Client) -> None:
    """A meeting reads back with the documented fields, names and types; its id is a snowflake string."""
    files = [
        {
            "name": "c.jpg",
            "url": "https://example.com/c.jpg",
            "size": "332.3kb",
            "type": "jpg",
        }
    ]
    body = meeting(
        meeting_room_id="1410148741926678528",
        cc_participants=["9"],
        notice_time=180,
        description="Bring 🍰",
        attachments=files,
        attachment_url=["www.example.com"],
    )
    before = now_ms()
    reservation_id = client.book(**body)
    assert before <= (int(reservation_id) >> 22) + EPOCH <= now_ms()
    shown = client.read(reservation_id)
    assert before <= shown.pop("gmt_create") <= shown.pop("gmt_modified") <= now_ms()
    assert shown == {
        "reservation_id": reservation_id,
        "topic": "Test Meeting",
        "start_time": body["start_time"],
        "end_time": body["end_time"],
        "status": 1,
        "room_id": "1410148741926678528",
        "participants": ["1", "2"],
        "cc_participants": ["9"],
        "notice": True,
        "notice_time": 180,
        "description": "Bring 🍰",
        "creator": "3",
        "modifier": "3",
        "attachments": files,
    }


def test_without_a_room(client: Client) -> None:
    """A meeting without a room reads back with an empty room id, and never conflicts."""
    first, second = client.book(), client.book()
    assert client.read(first)["room_id"] == ""
    assert first != second


def test_ids_grow(client: Client) -> None:
    """Ids of meetings made within one millisecond differ, and later ones are greater."""
    ids = [int(client.book()) for _ in range(20)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "name", ["topic", "start_time", "end_time", "participants", "notice", "creator"]
)
def test_required_fields(shared: Client, name: str) -> None:
    """A required field that is absent gives 1100, one that is null 1102."""
    assert shared.post(MEETINGS, meeting(**{name: None}))["code"] == 1100
    assert shared.post(MEETINGS, {**meeting(), name: None})["code"] == 1102
    assert shared.list()["total"] == 0


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("topic", 7, 1104),
        ("topic", "", 1100),
        ("start_time", "1625040238000", 1104),
        ("start_time", 1.5, 1104),
        ("start_time", True, 1104),
        ("start_time", 2**63, 1104),
        ("start_time", 10**13, 1109),
        ("end_time", 0, 1109),
        ("participants", "1", 1104),
        ("participants", [1], 1104),
        ("participants", [], 1100),
        ("cc_participants", {"a": 1}, 1104),
        ("notice", "true", 1104),
        ("notice", 1, 1104),
        ("notice_time", "180", 1104),
        ("notice_time", -1, 1101),
        ("description", ["x"], 1104),
        ("description", "x" * 257, 1101),
        ("description", "🍰" * 129, 1101),
        ("attachments", ["https://example.com"], 1104),
        ("attachments", [{"url": 7}], 1104),
        ("attachments", [{"url": "https://example.com"}] * 11, 1101),
    ],
)
def test_wrong_fields(shared: Client, name: str, value: object, code: int) -> None:
    """A wrong type gives 1104, a value that cannot be 1109 or 1101, and nothing is booked."""
    assert shared.post(MEETINGS, {**meeting(), name: value})["code"] == code
    assert shared.control("GET", "reservations") == []


def test_longest_description(client: Client) -> None:
    """256 UTF-16 units are accepted: 256 letters, or 128 characters outside the basic plane."""
    assert client.read(client.book(description="x" * 256))["description"] == "x" * 256
    assert client.read(client.book(description="🍰" * 128))["description"] == "🍰" * 128


def test_start_in_the_past(client: Client) -> None:
    """A start some minutes ago is accepted, as in the documentation's own example."""
    start = now_ms() - 418_500
    assert (
        client.read(client.book(start_time=start, end_time=start + 5_224_000))[
            "start_time"
        ]
        == start
    )


def test_camel_case_binds_too(client: Client) -> None:
    """Both spellings that the pages print are understood, in bodies and in queries."""
    body = meeting()
    camel = {
        "startTime": body.pop("start_time"),
        "endTime": body.pop("end_time"),
        **body,
    }
    assert client.post(MEETINGS, camel)["success"]
    page = client.list(pageNo=1, pageSize=1)
    assert (page["total"], len(page["list"])) == (1, 1)


class TestConflicts:
    """A room belongs to one meeting at a time."""

    start = now_ms() + HOUR

    @pytest.mark.parametrize(
        ("offset", "length", "taken"),
        [
            (0, 60, True),
            (-30, 31, True),
            (59, 30, True),
            (10, 10, True),
            (-10, 200, True),
            (60, 30, False),
            (-30, 30, False),
        ],
    )
    def test_overlap(
        self, client: Client, offset: int, length: int, taken: bool
    ) -> None:
        """Any shared minute conflicts; touching does not."""
        client.book(
            meeting_room_id="7", start_time=self.start, end_time=self.start + HOUR
        )
        begins = self.start + offset * MINUTE
        body = meeting(
            meeting_room_id="7", start_time=begins, end_time=begins + length * MINUTE
        )
        assert client.post(MEETINGS, body)["success"] is not taken
        assert client.post(MEETINGS, {**body, "meeting_room_id": "8"})["success"]

    def test_long_meeting_before_short_ones(self, client: Client) -> None:
        """A meeting that began long before others still holds its room."""
        client.book(
            meeting_room_id="7", start_time=self.start, end_time=self.start + DAY
        )
        later = self.start + 20 * HOUR
        client.book(meeting_room_id="8", start_time=later, end_time=later + MINUTE)
        body = meeting(meeting_room_id="7", start_time=later, end_time=later + MINUTE)
        assert client.post(MEETINGS, body)["code"] == 990001

    def test_cancelled_frees_the_room(self, client: Client) -> None:
        """A cancelled meeting holds nothing."""
        first = client.book(meeting_room_id="7")
        client.put(f"{MEETINGS}/{first}/status", {"status": "3"})
        client.book(meeting_room_id="7")

    def test_moving_into_another(self, client: Client) -> None:
        """A modification into a taken slot is refused and changes nothing; within its own slot it is fine."""
        client.book(
            meeting_room_id="7", start_time=self.start, end_time=self.start + HOUR
        )
        second = client.book(
            meeting_room_id="8", start_time=self.start, end_time=self.start + HOUR
        )
        times: dict[str, object] = {
            "start_time": self.start,
            "end_time": self.start + HOUR,
        }
        moved = client.put(f"{MEETINGS}/{second}", change(meeting_room_id="7", **times))
        assert moved["code"] == 990001
        assert client.read(second)["room_id"] == "8"
        times["end_time"] = self.start + 30 * MINUTE
        assert (
            client.put(f"{MEETINGS}/{second}", change(meeting_room_id="8", **times))[
                "result"
            ]
            is True
        )


def test_modify(client: Client) -> None:
    """A modification replaces what it names, keeps id and creation, and says who and when."""
    reservation_id = client.book(meeting_room_id="7", notice_time=60)
    before = client.read(reservation_id)
    body = change(
        topic="Other", meeting_room_id=8, participants=["5"], modifier="9", creator="4"
    )
    assert client.put(f"{MEETINGS}/{reservation_id}", body)["result"] is True
    after = client.read(reservation_id)
    changed = {name for name in after if after[name] != before[name]}
    assert changed - {"start_time", "end_time", "gmt_modified"} == {
        "topic",
        "room_id",
        "participants",
        "modifier",
        "creator",
    }
    assert (after["room_id"], after["notice_time"]) == ("8", 60)
    assert after["gmt_modified"] >= before["gmt_modified"]


def test_modify_clears_the_room(client: Client) -> None:
    """An empty room id takes the meeting out of its room."""
    reservation_id = client.book(meeting_room_id="7")
    assert client.put(f"{MEETINGS}/{reservation_id}", change(meeting_room_id=""))[
        "success"
    ]
    assert client.read(reservation_id)["room_id"] == ""


@pytest.mark.parametrize("name", ["modifier", "description", "topic"])
def test_modify_requires(client: Client, name: str) -> None:
    """Modifying requires modifier and description besides what adding requires."""
    reservation_id = client.book()
    assert (
        client.put(f"{MEETINGS}/{reservation_id}", change(**{name: None}))["code"]
        == 1100
    )


@pytest.mark.parametrize("status", ["3", 3], ids=["text", "number"])
def test_cancel(client: Client, status: object) -> None:
    """Status 3, as text or number, cancels; the meeting stays readable, and a repeat is true as well."""
    reservation_id = client.book()
    for _ in range(2):
        assert (
            client.put(f"{MEETINGS}/{reservation_id}/status", {"status": status})[
                "result"
            ]
            is True
        )
    assert client.read(reservation_id)["status"] == 3
    assert [item["status"] for item in client.list()["list"]] == [3]


def test_cancelled_stays_cancelled(client: Client) -> None:
    """A cancelled meeting can be neither modified, revived, ended nor joined."""
    reservation_id = client.book()
    one = f"{MEETINGS}/{reservation_id}"
    client.put(f"{one}/status", {"status": "3"})
    assert client.put(one, change())["code"] == 990003
    assert client.put(f"{one}/status", {"status": "1"})["code"] == 990003
    assert client.put(f"{one}/finish", {"end_type": "manual"})["code"] == 990003
    assert client.put(f"{one}/participants", {"participant_id": "7"})["code"] == 990003
    assert client.post(f"{one}/actions/sign-in", {"uid": "1"})["code"] == 990003


@pytest.mark.parametrize("body", [{"status": "5"}, {"status": "cancelled"}])
def test_unknown_status(client: Client, body: object) -> None:
    """A status outside 1 to 4: code 1109."""
    assert client.put(f"{MEETINGS}/{client.book()}/status", body)["code"] == 1109


@pytest.mark.parametrize(
    "reservation_id",
    ["1", "9999999999999999999", "99999999999999999999", "daily-reports"],
)
def test_unknown_id(shared: Client, reservation_id: str) -> None:
    """A meeting that does not exist: code 1000 in every call about it."""
    one = f"{MEETINGS}/{reservation_id}"
    answers = [
        shared.get(one),
        shared.put(one, change()),
        shared.put(f"{one}/status", {"status": "3"}),
        shared.put(f"{one}/finish", {"end_type": "manual"}),
        shared.put(f"{one}/participants", {"participant_id": "1"}),
        shared.post(f"{one}/invitations", {"participant_id": "1", "status": "accept"}),
        shared.post(f"{one}/actions/sign-in", {"uid": "1"}),
        shared.get(f"{one}/sign-records"),
    ]
    assert [answer["code"] for answer in answers] == [1000] * len(answers)


def test_finish(client: Client) -> None:
    """Ending a running meeting moves its end to now and frees the room."""
    start = now_ms() - HOUR
    slot = {"meeting_room_id": "7", "start_time": start, "end_time": start + 2 * HOUR}
    reservation_id = client.book(**slot)
    assert (
        client.put(f"{MEETINGS}/{reservation_id}/finish", {"end_type": "manual"})[
            "result"
        ]
        is True
    )
    assert abs(client.read(reservation_id)["end_time"] - now_ms()) < 5000
    client.book(**{**slot, "start_time": now_ms()})


def test_finish_before_the_start(client: Client) -> None:
    """A meeting that has not begun cannot be ended early."""
    answer = client.put(f"{MEETINGS}/{client.book()}/finish", {"end_type": "manual"})
    assert answer["code"] == 990003


def test_add_participant(client: Client) -> None:
    """One person is added, once."""
    reservation_id = client.book()
    for _ in range(2):
        answer = client.put(
            f"{MEETINGS}/{reservation_id}/participants", {"participant_id": "631"}
        )
        assert answer["result"] is True
    assert client.read(reservation_id)["participants"] == ["1", "2", "631"]


class TestList:
    """The list by time, with its filters and pages."""

    def test_window(self, client: Client) -> None:
        """Both times are required, and what overlaps the half-open window is listed, by start."""
        start = now_ms() + 10 * HOUR
        ids = [
            client.book(start_time=start + n * HOUR, end_time=start + (n + 1) * HOUR)
            for n in (2, 0, 1, 3)
        ]
        page = client.list(start_time=start + HOUR, end_time=start + 3 * HOUR)
        assert [item["reservation_id"] for item in page["list"]] == [ids[2], ids[0]]
        assert client.get(MEETINGS, start_time=start)["code"] == 1100
        assert client.get(MEETINGS, start_time=start, end_time="soon")["code"] == 1104
        assert (
            client.get(MEETINGS, start_time=start, end_time=start - 1)["code"] == 1109
        )

    def test_filters(self, client: Client) -> None:
        """By topic, creator, rooms and statuses, the last two as lists."""
        first = client.book(
            meeting_room_id="7", topic="Board, plan & 100%", creator="3"
        )
        second = client.book(meeting_room_id="8", topic="Review", creator="4")
        third = client.book(meeting_room_id="9", topic="Review", creator="4")
        client.put(f"{MEETINGS}/{third}/status", {"status": "3"})

        def ids(**query: object) -> set[str]:
            return {item["reservation_id"] for item in client.list(**query)["list"]}

        assert ids(meeting_room_ids="7,8") == {first, second}
        assert ids(meeting_room_ids="9") == {third}
        assert ids(creator="4") == {second, third}
        assert ids(status="1") == {first, second}
        assert ids(status="3,4") == {third}
        assert ids(topic="plan & 100%") == {first}
        assert ids(
            topic="Review", creator="4", status="1,2", meeting_room_ids="8,9"
        ) == {second}
        assert ids(topic="' OR 1=1 --") == set()
        assert (
            client.get(MEETINGS, start_time=1, end_time=2, status="1,x")["code"] == 1109
        )

    def test_pages(self, client: Client) -> None:
        """Pages of 20 unless said otherwise, without gap or repeat, with total and has_more."""
        ids = [client.book(start_time=now_ms() + n * MINUTE) for n in range(1, 24)]
        first, second, third = (client.list(page_no=number) for number in (1, 2, 3))
        assert [len(page["list"]) for page in (first, second, third)] == [20, 3, 0]
        assert [page["has_more"] for page in (first, second, third)] == [
            True,
            False,
            False,
        ]
        assert {page["total"] for page in (first, second, third)} == {23}
        assert [
            item["reservation_id"] for page in (first, second) for item in page["list"]
        ] == ids
        assert len(client.list(page_size=5, page_no=5)["list"]) == 3
        for wrong in ({"page_no": 0}, {"page_size": 0}, {"page_no": 10**18}):
            assert (
                client.get(MEETINGS, start_time=1, end_time=2, **wrong)["code"] == 1101
            )

    def test_by_participant(self, client: Client) -> None:
        """A person's meetings are those that they attend or created; is_creator leaves the latter."""
        attends = client.book(participants=["5", "6"], creator="3")
        created = client.book(participants=["6"], creator="5")
        client.book(participants=["55"], creator="3")
        over = now_ms() - 30 * MINUTE
        past = client.book(
            participants=["5"], start_time=over, end_time=over + 10 * MINUTE
        )

        def ids(**query: object) -> set[str]:
            window = {"start_time": now_ms() - HOUR, "end_time": now_ms() + DAY}
            answer = client.get(f"{MEETINGS}/participants/5", **window, **query)
            return {item["reservation_id"] for item in answer["result"]["list"]}

        assert ids() == {attends, created, past}
        assert ids(is_creator="true") == {created}
        assert ids(is_creator="false") == {attends, created, past}
        assert ids(meeting_status=1) == {attends, created}
        assert ids(meeting_status=2) == {past}
        assert ids(status="3") == set()
        assert client.get(f"{MEETINGS}/participants/5")["code"] == 1100


class TestSeize:
    """Taking a room whose meeting did not begin."""

    @staticmethod
    def body(**fields: object) -> dict[str, Any]:
        """A meeting that wants room 7 now."""
        return meeting(meeting_room_id="7", start_time=now_ms(), **fields)

    def test_unused(self, client: Client) -> None:
        """The unused meeting ends where the new one starts; attachments are given as URLs."""
        start = now_ms() - 20 * MINUTE
        holder = client.book(
            meeting_room_id="7", start_time=start, end_time=start + HOUR
        )
        body = self.body(attachment_url=["https://example.com/a"])
        answer = client.post(f"{MEETINGS}/action/seize", body)
        assert client.read(holder)["end_time"] == body["start_time"]
        assert client.read(answer["result"])["attachments"] == [
            {"url": "https://example.com/a"}
        ]

    def test_in_use(self, client: Client) -> None:
        """A meeting that somebody signed in to keeps its room."""
        start = now_ms() - 20 * MINUTE
        holder = client.book(
            meeting_room_id="7", start_time=start, end_time=start + HOUR
        )
        client.post(f"{MEETINGS}/{holder}/actions/sign-in", {"uid": "1"})
        assert client.post(f"{MEETINGS}/action/seize", self.body())["code"] == 990001
        assert client.read(holder)["end_time"] == start + HOUR

    def test_limits(self, client: Client) -> None:
        """At most ten URLs; and a room is required."""
        urls = ["https://example.com"] * 11
        assert (
            client.post(f"{MEETINGS}/action/seize", self.body(attachment_url=urls))[
                "code"
            ]
            == 1101
        )
        assert client.post(f"{MEETINGS}/action/seize", meeting())["code"] == 1100
