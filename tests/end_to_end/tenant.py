"""A tenant of the sandbox with rooms and users, made by the official client of the API."""

from __future__ import annotations

from typing import Any

from tuya_connector import TuyaOpenAPI

from tests.conftest import Office


class Tenant:
    """The tenant behind an office, as its administrator changes it."""

    def __init__(self, office: Office) -> None:
        self.client = TuyaOpenAPI(office.url, office.client_id, office.client_secret)
        self.client.connect()

    def made(self, path: str, body: dict[str, Any]) -> str:
        answer = self.client.post(path, body)
        assert answer["success"], answer
        return str(answer["result"])

    def room(self, name: str, seats: int = 8, **others: str) -> str:
        """Add a room, with other values of these fields; its id."""
        fields = {
            "name": name,
            "type": "normal",
            "address": "1st floor",
            "parent_asset_id": "1",
            "range_type": "all",
            "room_status": "open",
            "reservation_approved": "N",
            "preemptible": "N",
            "system_release": "N",
            "space": seats,
            **others,
        }
        return self.made("/v2.0/iot-03/meeting-rooms", fields)

    def user(self, name: str, email: str = "", *, enabled: bool = True) -> str:
        """Add a user; the id."""
        user = self.made("/v1.0/iot-03/users", {"name": name, "email": email})
        if not enabled:
            self.client.put(f"/v1.0/iot-03/users/{user}/status", {"status": 0})
        return user

    def booking(self, topic: str, start: int, end: int, **fields: Any) -> str:
        """Book a meeting by hand; its reservation id."""
        body = {
            "topic": topic,
            "start_time": start,
            "end_time": end,
            "participants": ["9"],
            "notice": False,
            "creator": "9",
            **fields,
        }
        return self.made("/v2.0/iot-03/meeting-reservations", body)
