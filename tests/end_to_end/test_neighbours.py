"""What people, the tenant and accidents do around the main job."""

from __future__ import annotations

import base64
import json
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from tuya_connector import TuyaOpenAPI

from tests.conftest import HANG_S, SMALL_ROOM, Office, ahead, event


def as_tenant(office: Office) -> TuyaOpenAPI:
    """The official client of the API, as the administrator of the tenant would use it."""
    client = TuyaOpenAPI(office.url, office.client_id, office.client_secret)
    client.connect()
    return client


def room_with_approval(tenant: TuyaOpenAPI) -> str:
    """Add a room whose bookings wait until the boss passes them; return its id."""
    setting = tenant.post(
        "/v2.0/iot-03/meeting-settings/approvals",
        {"approval_type": "anyOneSign", "approval_uids": ["boss"]},
    )["result"]
    room: str = tenant.post(
        "/v2.0/iot-03/meeting-rooms",
        {
            "name": "Court",
            "type": "vip",
            "address": "1st floor",
            "parent_asset_id": "1",
            "range_type": "all",
            "room_status": "open",
            "reservation_approved": "Y",
            "approval_process_id": setting,
            "preemptible": "N",
            "system_release": "N",
            "space": 8,
        },
    )["result"]
    return room


@pytest.mark.slow
def test_a_room_that_needs_approval_is_followed(office: Office) -> None:
    """A booking waits for approval, and is booked when the approver passes it."""
    tenant = as_tenant(office)
    room = room_with_approval(tenant)
    office.change((SMALL_ROOM, room))
    office.write(event("m", ahead(1)))
    assert office.once()["counts"]["created"] == 1
    (booking,) = office.status()["bookings"]
    assert booking["state"] == "approval"
    (task,) = tenant.get(
        "/v2.0/iot-03/meeting-approvals", {"type": "0", "uid": "boss"}
    )["result"]["list"]
    tenant.post(
        f"/v2.0/iot-03/meeting-approvals/{task['id']}/actions/submit",
        {"uid": "boss", "action": "pass"},
    )
    office.run("once", "--force", "--json")
    (booking,) = office.status()["bookings"]
    assert booking["state"] == "booked"


@pytest.mark.slow
def test_what_a_person_cancels_in_tuya_stays_cancelled(office: Office) -> None:
    """A reservation that somebody cancelled is released, and booked again only when the event changes."""
    office.write(event("m", ahead(1)), event("n", ahead(2)))
    office.once()
    (first, _) = office.reservations()
    office.control(f"reservations/{first['reservation_id']}", {"status": 3})
    office.forget_requests()
    assert office.run("once", "--force", "--json").code == 0
    assert [b["state"] for b in office.status()["bookings"] if b["uid"] == "m"] == [
        "released"
    ]
    assert office.writes() == []
    office.write(event("m", ahead(1, 15)), event("n", ahead(2)))
    assert office.once()["counts"]["created"] == 1
    assert len(office.reservations()) == 2


def test_unknown_people_are_asked_of_the_directory(office: Office) -> None:
    """With people.lookup an address is looked up once, and the answer remembered."""
    tenant = as_tenant(office)
    user = tenant.post(
        "/v1.0/iot-03/users",
        {"name": "Zoe", "email": "zoe@example.com", "user_account": "zoe"},
    )["result"]
    office.change(("[people.addresses]", "[people]\nlookup = true\n[people.addresses]"))
    guests = ("ATTENDEE:mailto:zoe@example.com", "ATTENDEE:mailto:nobody@example.com")
    office.write(event("m", ahead(1), 60, *guests))
    office.once()
    (reservation,) = office.reservations()
    assert reservation["participants"] == [user]
    assert office.once()["calls"]["GET"] == 0


@pytest.mark.slow
def test_unmapped_people_can_reject_their_event(office: Office) -> None:
    """people.unmapped = reject lists the event as refused and asks for a person; mapping it books it."""
    office.change(
        ("[people.addresses]", '[people]\nunmapped = "reject"\n[people.addresses]')
    )
    office.write(event("m", ahead(1), 60, "ATTENDEE:mailto:zoe@example.com"))
    done = office.run("once", "--json")
    assert (
        done.code,
        done.json["counts"]["refused"],
        done.json["counts"]["created"],
    ) == (1, 1, 0)
    (booking,) = office.status()["bookings"]
    assert (booking["state"], booking["reason"]) == ("refused", "unmapped_person")
    office.change(("[people.addresses]", '[people.addresses]\n"zoe@example.com" = "9"'))
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["created"]) == (0, 1)


def test_nothing_of_a_private_meeting_leaves(office: Office) -> None:
    """A masked meeting shows its time, its room and its creator in the API, and nothing else."""
    secrets = (
        "SUMMARY:Sesame one",
        "DESCRIPTION:Sesame two",
        "URL:https://example.com/sesame-three",
        "ATTACH:https://example.com/sesame-four.pdf",
        "ATTENDEE:mailto:alice@example.com",
        "CLASS:PRIVATE",
    )
    office.write(event("m", ahead(1), 60, *secrets))
    office.once()
    (reservation,) = office.reservations()
    assert "sesame" not in json.dumps(reservation).lower()
    assert reservation["topic"] == "Private meeting"
    assert reservation["room_id"] == SMALL_ROOM
    assert reservation["participants"] == ["3"]


def test_inline_attachments_are_published(office: Office) -> None:
    """Inline data is written to the published directory before its link leaves."""
    office.change(
        (
            "[reservation]",
            '[attachments]\npublish_dir = "public"\nbase_url = "https://x.example/a"\n[reservation]',
        )
    )
    (office.folder / "public").mkdir()
    data = base64.b64encode(b"the agenda").decode()
    office.write(
        event(
            "m",
            ahead(1),
            60,
            f"ATTACH;FMTTYPE=text/plain;FILENAME=agenda.txt;ENCODING=BASE64;VALUE=BINARY:{data}",
        )
    )
    office.once()
    (reservation,) = office.reservations()
    (attachment,) = reservation["attachments"]
    published = office.folder / "public" / attachment["url"].rpartition("/")[2]
    assert published.read_bytes() == b"the agenda"
    assert attachment["name"] == "agenda.txt"
    assert attachment["type"] == "txt"


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_create_books_nothing_twice(office: Office) -> None:
    """SIGKILL while the answer is on its way: the next cycle finds the reservation and adopts it."""
    office.write(event("m", ahead(1)))
    office.change(("requests_per_second", 'timeout = "1h"\nrequests_per_second'))
    office.fault("slow:on=create,seconds=3600,times=1")
    process = office.start("once", "--json")
    while not office.reservations():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=HANG_S)
    assert [b["state"] for b in office.status()["bookings"]] == ["sending"]
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["adopted"]) == (0, 1)
    assert len(office.reservations()) == 1
    assert office.writes() == ["create"]


def test_the_state_is_private(office: Office) -> None:
    """Nobody but its owner can read the ledger."""
    office.write(event("m", ahead(1)))
    office.once()
    for file in office.folder.glob("state.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_logs_name_no_content(office: Office) -> None:
    """Topic, description, addresses, secret and endpoint path stay out of the log."""
    office.write(
        event(
            "m",
            ahead(1),
            60,
            "SUMMARY:Sesame",
            "DESCRIPTION:Sesame",
            "ATTENDEE:mailto:zoe.sesame@example.com",
        )
    )
    ran = office.run("once", "--json")
    assert "sesame" not in ran.err.lower()
    assert office.client_secret not in ran.err + ran.out
    assert "meeting-reservations" not in ran.err
    events = [json.loads(line)["event"] for line in ran.err.splitlines()]
    assert events.count("cycle") == 1
    assert events.count("created") == 1


@pytest.mark.slow
def test_a_directory_is_read_as_one_source(office: Office) -> None:
    """Files of a directory are one source; one damaged file keeps all bookings and books what is new."""
    folder: Path = office.folder / "calendars"
    folder.mkdir()
    office.change(('path = "office.ics"', 'path = "calendars"'))
    for name, day in (("a", 1), ("b", 2)):
        office.write(event(name, ahead(day)))
        office.calendar_file.rename(folder / f"{name}.ics")
    assert office.once()["counts"]["created"] == 2
    whole = (folder / "a.ics").read_bytes()
    (folder / "a.ics").write_bytes(whole[:-30])
    office.write(event("c", ahead(3)))
    office.calendar_file.rename(folder / "c.ics")
    done: Any = office.run("once", "--json")
    assert done.code == 1
    assert (done.json["counts"]["created"], done.json["counts"]["cancelled"]) == (1, 0)
    assert "a.ics is cut off" in done.json["sources"][0]["error"]
    for file in folder.iterdir():
        file.unlink()
    assert office.once()["counts"]["held"] == 0, (
        "files that are gone for a moment mean nothing"
    )
    office.change(("[calendar]", '[safety]\nfile_grace = "1s"\n[calendar]'))
    while office.run("plan").code == 0:
        time.sleep(0.2)  # until they are gone for a second
    done = office.run("once", "--json")
    assert (
        done.code,
        done.json["counts"]["held"],
        done.json["counts"]["cancelled"],
    ) == (1, 3, 0)
    folder.rmdir()
    done = office.run("once", "--json")
    assert "does not exist" in done.json["sources"][0]["error"]
    assert len(office.reservations()) == 3
