"""The sandbox as a server: the official client, the command, the control side, and what survives a kill."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tuya_connector import TuyaOpenAPI

from syncd.sandbox import (
    Running,
    Sandbox,
    SandboxSettings,
    SandboxUnusable,
    parse_fault,
)
from tests.conftest import HANG_S
from tests.sandbox.conftest import (
    HOUR,
    MEETINGS,
    ROOMS,
    Client,
    Start,
    change,
    meeting,
    now_ms,
    room,
)

SERVE = """
import sys
from pathlib import Path
from syncd.sandbox import SandboxSettings, serve
serve(SandboxSettings(db=Path(sys.argv[1]) if sys.argv[1:] else None))
"""


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """The foreground command as a child process, and a client of what its first line names."""
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        first = child.stdout.readline()
        match = re.fullmatch(
            r"url=(http://127\.0\.0\.1:\d+) client_id=(\w+) client_secret=(\w+)\n",
            first,
        )
        assert match, first
        yield child, Client(Running(*match.groups()))
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=HANG_S)


def test_official_client(client: Client) -> None:
    """The official Python client books, reads, lists, modifies and cancels, unchanged."""
    running = client.running
    api = TuyaOpenAPI(running.url, running.client_id, running.client_secret)
    assert api.connect()["success"]
    body = meeting(topic="Tee & Köche 🍵", meeting_room_id="7", description="")
    reservation_id = api.post(MEETINGS, body)["result"]
    assert (
        api.get(f"{MEETINGS}/{reservation_id}")["result"]["topic"] == "Tee & Köche 🍵"
    )
    query = {
        "start_time": now_ms(),
        "end_time": now_ms() + 3 * HOUR,
        "meeting_room_ids": "7,8",
    }
    assert api.get(MEETINGS, {**query, "topic": "Tee & Köche"})["result"]["total"] == 1
    person = f"{MEETINGS}/participants/3"
    assert api.get(person, {**query, "is_creator": True})["result"]["total"] == 1
    assert (
        api.put(f"{MEETINGS}/{reservation_id}", change(topic="Other"))["result"] is True
    )
    assert (
        api.put(f"{MEETINGS}/{reservation_id}/status", {"status": "3"})["result"]
        is True
    )
    shown = api.get(f"{MEETINGS}/{reservation_id}")["result"]
    assert (shown["topic"], shown["status"]) == ("Other", 3)
    wrong = TuyaOpenAPI(running.url, running.client_id, "another")
    assert wrong.connect()["code"] == 1004


def test_official_client_after_an_expired_token(start: Start) -> None:
    """The official client connects anew on code 1010 and works again."""
    client = start("expired:on=create,times=1")
    running = client.running
    api = TuyaOpenAPI(running.url, running.client_id, running.client_secret)
    api.connect()
    assert api.post(MEETINGS, meeting())["code"] == 1010
    assert api.post(MEETINGS, meeting())["success"]


def test_survives_a_kill(tmp_path: Path) -> None:
    """With a file, everything that was answered is there after SIGKILL: ids, tokens, rooms, settings."""
    file = tmp_path / "sandbox.db"
    with served(str(file)) as (child, client):
        client.connect()
        room_id = client.post(ROOMS, room())["result"]
        uid = client.post("/v1.0/iot-03/users", {"name": "Alice"})["result"]
        client.post(
            "/v2.0/iot-03/meeting-settings/signs",
            {"enable_sign": "Y", "sign_minute": 5},
        )
        ids = [client.book(meeting_room_id=str(number)) for number in range(20)]
        before = [client.read(reservation_id) for reservation_id in ids]
        child.send_signal(signal.SIGKILL)
        assert child.wait(timeout=HANG_S) == -signal.SIGKILL
    with served(str(file)) as (_, again):
        assert again.running.client_secret == client.running.client_secret
        again.access_token = client.access_token
        assert [again.read(reservation_id) for reservation_id in ids] == before
        assert again.post(MEETINGS, meeting(meeting_room_id="7"))["code"] == 990001
        assert int(again.book()) > int(ids[-1])
        assert again.get(f"{ROOMS}/{room_id}")["success"]
        assert again.get(f"/v1.0/iot-03/users/{uid}")["success"]
        assert (
            again.get("/v2.0/iot-03/meeting-settings/signs")["result"]["sign_minute"]
            == 5
        )
        assert again.get(f"/v1.0/token/{client.refresh_token}")["success"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_on_a_signal(number: signal.Signals) -> None:
    """The command ends orderly with 0 on SIGINT and SIGTERM, and its log went to standard error."""
    with served() as (child, client):
        client.connect()
        client.book()
        client.list(topic="secret")
        child.send_signal(number)
        out, err = child.communicate(timeout=HANG_S)
    assert (child.returncode, out) == (0, "")
    assert err.splitlines() == [
        "GET /v1.0/token code=0",
        f"POST {MEETINGS} code=0",
        f"GET {MEETINGS} code=0",
    ]


def test_stops_while_a_request_is_held_up() -> None:
    """A stop does not wait for an answer that a fault delays."""
    settings = SandboxSettings(faults=(parse_fault("late:seconds=3600,on=list"),))
    ended: list[str] = []
    with Sandbox(settings).running() as running:
        client = Client(running)
        client.connect()

        def ask() -> None:
            try:
                client.get(MEETINGS)
            except ConnectionError as error:
                ended.append(type(error).__name__)

        asking = threading.Thread(target=ask)
        asking.start()
        while not any(
            entry["operation"] == "list" for entry in client.control("GET", "requests")
        ):
            time.sleep(0.01)
    asking.join(timeout=HANG_S)
    assert ended == ["RemoteDisconnected"]


def test_given_credentials(tmp_path: Path) -> None:
    """Given credentials are used, and are those of the file from then on."""
    file = tmp_path / "sandbox.db"
    given = SandboxSettings(db=file, client_id="me", client_secret="my secret")
    with Sandbox(given).running() as running:
        assert (running.client_id, running.client_secret) == ("me", "my secret")
    with Sandbox(SandboxSettings(db=file)).running() as running:
        assert (running.client_id, running.client_secret) == ("me", "my secret")
    assert "my secret" not in repr(given) + repr(running)


def test_sandboxes_are_apart(start: Start) -> None:
    """Two sandboxes at once share neither credentials nor state."""
    first, second = start(), start()
    first.book()
    assert (first.list()["total"], second.list()["total"]) == (1, 0)
    assert first.running.client_secret != second.running.client_secret


def test_address_in_use() -> None:
    """A port that is taken is named in a sentence that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SandboxUnusable, match=f"port {port} .*: name a free port"),
            Sandbox(SandboxSettings(port=port)).running(),
        ):
            pass


def test_database_that_cannot_be_used(tmp_path: Path) -> None:
    """A file that is no database, a missing folder, and a file in use are refused with what to do."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to look at\n" * 50)
    used = tmp_path / "used.db"
    with Sandbox(SandboxSettings(db=used)).running():
        for file in (text, tmp_path / "missing" / "sandbox.db", used):
            with (
                pytest.raises(
                    SandboxUnusable,
                    match="name a writable file that no other sandbox has open",
                ),
                Sandbox(SandboxSettings(db=file)).running(),
            ):
                pass


def test_request_log(client: Client) -> None:
    """The control side numbers the calls and tells their operation, code and meeting; it can be emptied."""
    client.control("DELETE", "requests")
    reservation_id = client.book()
    client.put(f"{MEETINGS}/{reservation_id}/status", {"status": "3"})
    client.get(f"{MEETINGS}/1")
    log = client.control("GET", "requests")
    columns = ("method", "operation", "code", "fault", "reservation_id")
    assert [[entry[name] for name in columns] for entry in log] == [
        ["POST", "create", 0, "", reservation_id],
        ["PUT", "cancel", 0, "", reservation_id],
        ["GET", "get", 1000, "", "1"],
    ]
    assert [entry["number"] for entry in log] == [2, 3, 4]


def test_log_lines_stay_lines(client: Client) -> None:
    """A path with an encoded line break is one line of the log."""
    client.send("GET", "/v1.0/nothing%0AGET%20/fake")
    assert client.lines[-1] == "GET /v1.0/nothing%0AGET%20/fake code=1108"


def test_edit_by_hand(client: Client) -> None:
    """The control side changes any field of a meeting, as a person in Tuya's own programs would."""
    reservation_id = client.book()
    end = now_ms() + 5 * HOUR
    edit = {
        "status": 3,
        "end_time": end,
        "participants": ["5"],
        "notice_time": 60,
        "modifier": "admin",
    }
    client.control("POST", f"reservations/{reservation_id}", edit)
    shown = client.read(reservation_id)
    assert {name: shown[name] for name in edit} == edit
    assert shown["gmt_modified"] >= shown["gmt_create"]


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({"colour": "red"}, "the fields that can be set are topic"),
        ({"reservation_id": "1"}, "the fields that can be set are topic"),
        ({"status": "3"}, "status has to be of the type"),
        ({"end_time": 1}, "end before it starts"),
    ],
)
def test_wrong_edits(client: Client, edit: object, sentence: str) -> None:
    """An edit that cannot be is refused with a sentence and changes nothing."""
    reservation_id = client.book()
    before = client.read(reservation_id)
    assert (
        sentence
        in client.control("POST", f"reservations/{reservation_id}", edit)["error"]
    )
    assert client.read(reservation_id) == before


def test_control_needs_a_known_meeting(client: Client) -> None:
    """Editing what does not exist is an error."""
    assert "no such" in client.control("POST", "reservations/1", {"status": 3})["error"]
