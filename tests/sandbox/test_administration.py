"""Rooms, booking rules, templates, approvals, attendance, labels, assets and users."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import (
    DAY,
    HOUR,
    MEETINGS,
    MINUTE,
    ROOMS,
    Client,
    change,
    meeting,
    now_ms,
    room,
)

SETTINGS = "/v2.0/iot-03/meeting-settings"
APPROVALS = "/v2.0/iot-03/meeting-approvals"
TEMPLATES = "/v2.0/iot-03/meeting/config-templates"
USERS = "/v1.0/iot-03/users"
RULES = {
    "booking_date": ["Monday", "Friday"],
    "start_time": "08:30",
    "end_time": "22:00",
    "min_minute": 20,
    "max_hour": 2,
    "max_day": 3,
    "release_time": 2,
}


class TestRooms:
    """Meeting room management."""

    def test_life(self, client: Client) -> None:
        """A room is added, read, modified, listed with one image, and deleted for good."""
        images = ["https://example.com/1.png", "https://example.com/2.png"]
        room_id = client.post(ROOMS, room(image_urls=images, tag_codes=["tv"]))[
            "result"
        ]
        assert isinstance(room_id, str)
        one = f"{ROOMS}/{room_id}"
        assert client.get(one)["result"]["image_urls"] == images
        assert (
            client.put(
                one, {"name": "Large", "tag_codes": [], "parent_asset_id": "99"}
            )["result"]
            is True
        )
        shown = client.get(one)["result"]
        assert (shown["name"], shown["tag_codes"], shown["parent_asset_id"]) == (
            "Large",
            [],
            "10",
        )
        (listed,) = client.get(ROOMS)["result"]["list"]
        assert listed["image_url"] == images[0]
        assert not {"image_urls", "range_ids", "tag_codes"} & set(listed)
        assert client.delete(one)["result"] is True
        assert [client.get(one)["code"], client.delete(one)["code"]] == [1000, 1000]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"name": None}, 1102),
            ({"name": "x" * 51}, 1101),
            ({"address": "x" * 101}, 1101),
            ({"suspension_remark": "x" * 129}, 1101),
            ({"image_urls": ["u"] * 4}, 1101),
            ({"type": "huge"}, 1109),
            ({"space": 0}, 1101),
            ({"space": "4"}, 1104),
            ({"range_type": "personnel"}, 1100),
            ({"range_type": "personnel", "range_ids": ["u"] * 101}, 1101),
            ({"reservation_approved": "Y"}, 1100),
            ({"reservation_approved": "Y", "approval_process_id": "1"}, 1000),
        ],
    )
    def test_limits(self, shared: Client, fields: dict[str, object], code: int) -> None:
        """The documented limits and dependencies of a room's fields."""
        assert shared.post(ROOMS, room(**fields))["code"] == code
        assert shared.get(ROOMS)["result"]["total"] == 0

    def test_filters(self, client: Client) -> None:
        """Rooms are listed by name, type, capacity and labels, of which they must carry all."""
        client.post(ROOMS, room(name="Alpha", tag_codes=["tv", "phone"]))
        client.post(ROOMS, room(name="Beta", type="vip", space=8, tag_codes=["tv"]))

        def names(**query: object) -> list[str]:
            return [
                item["name"] for item in client.get(ROOMS, **query)["result"]["list"]
            ]

        assert names(name="lph") == ["Alpha"]
        assert names(type="vip") == ["Beta"]
        assert names(space=4) == ["Alpha"]
        assert names(tag_codes="tv") == ["Alpha", "Beta"]
        assert names(tag_codes="tv,phone") == ["Alpha"]
        assert names(room_status="stop") == []
        assert names(page_size=1, page_no=2) == ["Beta"]

    def test_closed_and_restricted(self, client: Client) -> None:
        """A closed room cannot be booked, a restricted one only by those named."""
        closed = client.post(ROOMS, room(room_status="stop"))["result"]
        assert client.post(MEETINGS, meeting(meeting_room_id=closed))["code"] == 990004
        only = client.post(ROOMS, room(range_type="personnel", range_ids=["5"]))[
            "result"
        ]
        assert client.post(MEETINGS, meeting(meeting_room_id=only))["code"] == 1106
        client.book(meeting_room_id=only, creator="5")

    def test_not_preemptible(self, client: Client) -> None:
        """A room that is not preemptible cannot be seized."""
        room_id = client.post(ROOMS, room())["result"]
        answer = client.post(
            f"{MEETINGS}/action/seize", meeting(meeting_room_id=room_id)
        )
        assert answer["code"] == 990003


class TestRules:
    """Booking rules."""

    def test_defaults(self, client: Client) -> None:
        """The rules that hold when nobody configured any are the documented ones."""
        rules = client.get(f"{SETTINGS}/reservations")["result"]
        assert len(rules.pop("booking_date")) == 7
        assert rules == {
            "start_time": "07:00",
            "end_time": "23:00",
            "min_minute": 30,
            "max_hour": 5,
            "max_day": 7,
            "release_time": 10,
        }

    def test_advance_limit(self, client: Client) -> None:
        """More than max_day ahead is refused in a room, not without one; a changed limit counts at once."""
        start = now_ms() + 7 * DAY
        far: dict[str, object] = {
            "start_time": start + HOUR,
            "end_time": start + 2 * HOUR,
        }
        assert (
            client.post(MEETINGS, meeting(meeting_room_id="7", **far))["code"] == 990002
        )
        client.book(**far)
        client.book(meeting_room_id="7", start_time=start - HOUR, end_time=start + HOUR)
        assert (
            client.post(f"{SETTINGS}/reservations", {**RULES, "max_day": 30})["result"]
            is True
        )
        assert client.get(f"{SETTINGS}/reservations")["result"] == {
            **RULES,
            "max_day": 30,
        }
        client.book(meeting_room_id="7", **far)

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"max_day": None}, 1102),
            ({"start_time": "8.30"}, 1109),
            ({"booking_date": ["Mon"]}, 1109),
            ({"min_minute": -1}, 1101),
        ],
    )
    def test_refused(
        self, shared: Client, fields: dict[str, object], code: int
    ) -> None:
        """Rules that cannot be are refused, and the old ones stay."""
        before = shared.get(f"{SETTINGS}/reservations")["result"]
        assert (
            shared.post(f"{SETTINGS}/reservations", {**RULES, **fields})["code"] == code
        )
        assert shared.get(f"{SETTINGS}/reservations")["result"] == before

    def test_signs(self, client: Client) -> None:
        """The sign-in settings are stored."""
        assert client.get(f"{SETTINGS}/signs")["result"]["enable_sign"] == "N"
        assert (
            client.post(f"{SETTINGS}/signs", {"enable_sign": "Y", "sign_minute": 5})[
                "result"
            ]
            is True
        )
        assert client.get(f"{SETTINGS}/signs")["result"] == {
            "enable_sign": "Y",
            "sign_minute": 5,
        }
        assert client.post(f"{SETTINGS}/signs", {"sign_minute": 5})["code"] == 1100

    def test_templates(self, client: Client) -> None:
        """A template is added, listed, modified, deleted, and rules the room that it is assigned to."""
        body = {
            "template_name": "Strict",
            "reservation_config": {**RULES, "max_day": 1},
            "sign_config": {"enable_sign": "Y", "sign_minute": 5},
            "blacklist_config": {"enable_blacklist": "Y", "blacklist_days": 3},
            "default_config": True,
        }
        template_id = client.post(TEMPLATES, body)["result"]
        one = f"{TEMPLATES}/{template_id}"
        assert client.get(one)["result"] == {"template_id": template_id, **body}
        assign = {"room_id": "7", "template_id": template_id}
        assert client.post(f"{TEMPLATES}/action-assign", assign)["result"] is True
        start = now_ms() + 2 * DAY
        far: dict[str, object] = {"start_time": start, "end_time": start + HOUR}
        assert (
            client.post(MEETINGS, meeting(meeting_room_id="7", **far))["code"] == 990002
        )
        client.book(meeting_room_id="8", **far)
        as_texts = {**body["reservation_config"], "max_day": "3"}  # type: ignore[dict-item]  # a dict, above
        loose = {**body, "reservation_config": as_texts, "default_config": False}
        assert client.put(one, loose)["result"] is True
        client.book(meeting_room_id="7", **far)
        assert (
            client.get(f"{TEMPLATES}-page", template_name="Str")["result"]["total"] == 1
        )
        assert client.get(f"{TEMPLATES}-page", only_default="Y")["result"]["total"] == 0
        assert client.delete(one)["result"] is True
        assert [
            client.get(one)["code"],
            client.post(f"{TEMPLATES}/action-assign", assign)["code"],
        ] == [
            1000,
            1000,
        ]


class TestApprovals:
    """Rooms whose bookings wait for people."""

    @staticmethod
    def approved_room(client: Client, kind: str = "anyOneSign") -> str:
        """A room that users 7 and 8 approve."""
        body = {"approvalType": kind, "approvalUids": ["7", "8"]}
        setting_id = client.post(f"{SETTINGS}/approvals", body)["result"]
        fields = {"reservation_approved": "Y", "approval_process_id": setting_id}
        return str(client.post(ROOMS, room(**fields))["result"])

    @staticmethod
    def open_ids(client: Client, uid: str = "7") -> list[str]:
        """The approvals that wait for a user."""
        return [
            item["id"]
            for item in client.get(APPROVALS, type=0, uid=uid)["result"]["list"]
        ]

    def submit(self, client: Client, uid: str, action: str = "pass") -> object:
        """Decide the one approval that waits for a user."""
        (approval_id,) = self.open_ids(client, uid)
        answer = client.post(
            f"{APPROVALS}/{approval_id}/actions/submit", {"uid": uid, "action": action}
        )
        return answer["result"]

    def test_waits_and_holds_the_room(self, client: Client) -> None:
        """A booking starts in status 2, holds its slot, and tells which approval it waits for."""
        room_id = self.approved_room(client)
        reservation_id = client.book(meeting_room_id=room_id)
        assert client.read(reservation_id)["status"] == 2
        assert client.post(MEETINGS, meeting(meeting_room_id=room_id))["code"] == 990001
        (item,) = client.get(APPROVALS, type="0", uid="7")["result"]["list"]
        assert (item["reservation_id"], item["title"]) == (
            reservation_id,
            "Test Meeting",
        )
        assert client.get(f"{APPROVALS}/{item['id']}", uid="7")["result"]["status"] == 0
        (nodes,) = client.get(f"{APPROVALS}/nodes", reservation_id=reservation_id)[
            "result"
        ]
        assert [(node["id"], node["status"]) for node in nodes["nodes"]] == [
            ("7", 0),
            ("8", 0),
        ]

    def test_any_one(self, client: Client) -> None:
        """With anyOneSign one approver confirms, and the other has nothing left to do."""
        reservation_id = client.book(meeting_room_id=self.approved_room(client))
        (approval_id,) = self.open_ids(client)
        assert self.submit(client, "7") is True
        assert client.read(reservation_id)["status"] == 1
        (nodes,) = client.get(f"{APPROVALS}/nodes", reservation_id=reservation_id)[
            "result"
        ]
        assert [node["status"] for node in nodes["nodes"]] == [2, 3]
        assert (
            client.get(f"{APPROVALS}/{approval_id}", uid="7")["result"]["status"] == 1
        )
        assert client.get(APPROVALS, type="1", uid="7")["result"]["total"] == 1
        again = client.post(
            f"{APPROVALS}/{approval_id}/actions/submit", {"uid": "8", "action": "pass"}
        )
        assert again["code"] == 990003

    def test_all_must(self, client: Client) -> None:
        """With allMustSign the booking waits for both."""
        reservation_id = client.book(
            meeting_room_id=self.approved_room(client, "allMustSign")
        )
        self.submit(client, "7")
        assert client.read(reservation_id)["status"] == 2
        self.submit(client, "8")
        assert client.read(reservation_id)["status"] == 1

    def test_rejected(self, client: Client) -> None:
        """A rejection gives status 4, frees the room, and is final."""
        room_id = self.approved_room(client)
        reservation_id = client.book(meeting_room_id=room_id)
        self.submit(client, "8", "reject")
        assert client.read(reservation_id)["status"] == 4
        assert client.put(f"{MEETINGS}/{reservation_id}", change())["code"] == 990003
        client.book(meeting_room_id=room_id)

    def test_restarts(self, client: Client) -> None:
        """A new time or a new room that needs approval is approved anew; a new topic is not."""
        room_id = self.approved_room(client)
        body = change(meeting_room_id=room_id)
        reservation_id = client.book(**body)
        one = f"{MEETINGS}/{reservation_id}"
        self.submit(client, "7")
        client.put(one, {**body, "topic": "Other"})
        assert client.read(reservation_id)["status"] == 1
        client.put(one, {**body, "meeting_room_id": "7"})
        assert (client.read(reservation_id)["status"], self.open_ids(client)) == (1, [])
        client.put(one, body)
        assert client.read(reservation_id)["status"] == 2
        later = {**body, "end_time": now_ms() + 3 * HOUR}
        client.put(one, later)
        assert len(self.open_ids(client)) == 1
        client.put(f"{one}/status", {"status": "3"})
        assert self.open_ids(client) == []

    def test_who_may_decide(self, client: Client) -> None:
        """Only an approver decides, with a known word, about an approval that exists."""
        client.book(meeting_room_id=self.approved_room(client))
        (approval_id,) = self.open_ids(client)
        submit = f"{APPROVALS}/{approval_id}/actions/submit"
        assert client.post(submit, {"uid": "9", "action": "pass"})["code"] == 1106
        assert client.post(submit, {"uid": "7", "action": "maybe"})["code"] == 1109
        assert (
            client.post(
                f"{APPROVALS}/1/actions/submit", {"uid": "7", "action": "pass"}
            )["code"]
            == 1000
        )

    def test_settings(self, client: Client) -> None:
        """Approval settings are listed; deleting one answers with code 200 and no result, as printed."""
        body = {"approval_type": "anyOneSign", "approval_uids": ["7"]}
        setting_id = client.post(f"{SETTINGS}/approvals", body)["result"]
        page = client.get(f"{SETTINGS}/approvals", page_no=1, page_size=10)["result"]
        assert page["list"] == [{"id": setting_id, "approval_type": "anyOneSign"}]
        assert client.get(f"{SETTINGS}/approvals")["code"] == 1100
        deleted = client.delete(f"{SETTINGS}/approvals/{setting_id}")
        assert (deleted["success"], deleted["code"], "result" in deleted) == (
            True,
            200,
            False,
        )
        assert client.delete(f"{SETTINGS}/approvals/{setting_id}")["code"] == 1000


class TestAttendance:
    """Invitations, sign-in, and the daily report."""

    def test_invitations(self, client: Client) -> None:
        """An answer to an invitation has a numeric id, is changed by a second one, and is listed."""
        reservation_id = client.book()
        path = f"{MEETINGS}/{reservation_id}/invitations"
        first = client.post(path, {"participant_id": "1", "status": "accept"})["result"]
        assert (
            client.post(path, {"participant_id": "1", "status": "reject"})["result"]
            == first
        )
        assert isinstance(first, int)
        client.post(path, {"participant_id": "2", "status": "accept"})
        assert client.get(path, status="reject")["result"]["list"] == [
            {
                "reservation_id": int(reservation_id),
                "participant_id": "1",
                "status": "reject",
            }
        ]
        assert client.get(path, participant_id="2")["result"]["total"] == 1
        assert (
            client.post(path, {"participant_id": "1", "status": "tentative"})["code"]
            == 1109
        )

    def test_sign_in(self, client: Client) -> None:
        """A sign-in has a numeric id and is recorded with its time."""
        reservation_id = client.book()
        one = f"{MEETINGS}/{reservation_id}"
        assert isinstance(
            client.post(f"{one}/actions/sign-in", {"uid": "1"})["result"], int
        )
        page = client.get(f"{one}/sign-records", type="signIn", pageNo=1, size=10)[
            "result"
        ]
        (record,) = page["list"]
        assert abs(record.pop("sign_time") - now_ms()) < 5000
        assert record == {
            "reservation_id": reservation_id,
            "uid": "1",
            "type": "signIn",
        }
        assert client.get(f"{one}/sign-records", type="signOut")["result"]["total"] == 0

    def test_daily_report(self, client: Client) -> None:
        """The report of v1.0 counts meetings, people, sign-ins and minutes by day, with a cursor."""
        noon = (now_ms() // DAY + 2) * DAY + 12 * HOUR
        for start in (noon, noon + HOUR, noon + DAY):
            fields = {"start_time": start, "end_time": start + 45 * MINUTE}
            reservation_id = client.book(**fields, cc_participants=["9"])
        client.post(f"{MEETINGS}/{reservation_id}/actions/sign-in", {"uid": "1"})
        path = "/v1.0/iot-03/meeting-reservations/daily-reports"
        window = {"start_time": noon - HOUR, "end_time": noon + 2 * DAY}
        first = client.get(path, page_size=1, **window)["result"]
        assert first["has_more"]
        second = client.get(
            path, page_size=1, last_row_key=first["last_row_key"], **window
        )["result"]
        columns = (
            "meeting_total",
            "participants_total",
            "recipient_total",
            "sign_total",
            "total_time",
        )
        rows = [[page["list"][0][name] for name in columns] for page in (first, second)]
        assert rows == [[2, 4, 2, 0, 90], [1, 2, 1, 1, 45]]
        assert (
            second["list"][0]["report_time"]
            > first["list"][0]["report_time"]
            > 20200101
        )


def test_tags(client: Client) -> None:
    """Labels are added, renamed, listed and deleted by code."""
    tags = "/v1.0/iot-03/tags"
    assert client.post(tags, {"code": "tv", "name": "TV"})["result"] is True
    assert client.post(tags, {"code": "tv", "name": "TV"})["code"] == 1109
    assert client.put(f"{tags}/tv", {"name": "Screen"})["result"] is True
    assert client.get(tags)["result"] == [{"code": "tv", "name": "Screen"}]
    assert client.delete(f"{tags}/tv")["result"] is True
    assert [client.delete(f"{tags}/tv")["code"], client.get(tags)["result"]] == [
        1000,
        [],
    ]


def test_assets(client: Client) -> None:
    """Areas are added below each other and listed."""
    assets = "/v1.0/iot-03/assets"
    park = client.post(assets, {"asset_name": "Park", "asset_type": "park"})["result"]
    floor = client.post(assets, {"asset_name": "Floor", "parent_asset_id": park})[
        "result"
    ]
    assert client.get(assets)["result"]["total"] == 2
    assert client.get(f"{assets}/{floor}")["result"]["parent_asset_id"] == park
    below = client.get(f"{assets}/{park}/sub-assets")["result"]["list"]
    assert [item["asset_id"] for item in below] == [floor]
    assert client.get(f"{assets}/1")["code"] == 1000


class TestUsers:
    """The directory of the tenant."""

    def test_life(self, client: Client) -> None:
        """A user is added, read, modified, disabled and deleted."""
        uid = client.post(
            USERS, {"name": "Alice Example", "email": "alice@example.com"}
        )["result"]
        one = f"{USERS}/{uid}"
        assert client.get(one)["result"]["status"] == 1
        assert client.put(one, {"mobile": "123"})["result"] is True
        assert client.put(f"{one}/status", {"status": 0})["result"] is True
        shown = client.get(one)["result"]
        assert (shown["email"], shown["mobile"], shown["status"]) == (
            "alice@example.com",
            "123",
            0,
        )
        assert client.put(one, {"user_no": "x" * 21})["code"] == 1101
        assert client.put(f"{one}/status", {"status": 2})["code"] == 1109
        assert client.get(f"{one}/organizations")["result"] == []
        assert client.delete(one)["result"] is True
        assert client.get(one)["code"] == 2006

    def test_search(self, client: Client) -> None:
        """Users are found by e-mail, with a plus sign too, by phone and by name, with a cursor."""
        for number in range(3):
            name, email = f"User{number}", f"user+{number}@example.com"
            client.post(
                USERS,
                {
                    "name": name,
                    "email": email,
                    "mobile": f"+49{number}",
                    "org_ids": ["o"],
                },
            )

        def names(**query: object) -> list[str]:
            return [
                user["name"] for user in client.get(USERS, **query)["result"]["list"]
            ]

        assert names(email="user+1@example.com") == ["User1"]
        assert names(mobile="+492") == ["User2"]
        assert names(name="User") == []
        assert names(org_id="o") == ["User0", "User1", "User2"]
        first = client.get(USERS, page_size=2)["result"]
        assert first["has_more"]
        second = client.get(USERS, page_size=2, last_row_key=first["last_row_key"])[
            "result"
        ]
        assert [len(first["list"]), len(second["list"]), second["has_more"]] == [
            2,
            1,
            False,
        ]
        assert client.get(USERS, last_row_key="x")["code"] == 1109
