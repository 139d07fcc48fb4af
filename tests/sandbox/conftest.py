"""A signed client that is written here once more, so that the sandbox is not tested with its own code."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import pytest

from syncd.sandbox import Running, Sandbox, SandboxSettings, parse_fault
from tests.conftest import HANG_S

T = TypeVar("T")

MEETINGS = "/v2.0/iot-03/meeting-reservations"
ROOMS = "/v2.0/iot-03/meeting-rooms"
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now_ms() -> int:
    """The time, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Answer:
    """What came back over the wire."""

    status: int
    body: bytes

    @property
    def envelope(self) -> Any:
        """The JSON document."""
        return json.loads(self.body)


@dataclass
class Client:
    """Signs as the documentation says: business calls with the access token, token calls without."""

    running: Running
    access_token: str = ""
    refresh_token: str = ""
    timeout: float = HANG_S
    lines: list[str] = field(default_factory=list)

    def connect(self) -> None:
        """Get a token."""
        result = self.get("/v1.0/token", grant_type="1")["result"]
        self.access_token, self.refresh_token = (
            result["access_token"],
            result["refresh_token"],
        )

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        *,
        signed_method: str = "",
        signed_query: str | None = None,
        t: str = "",
        nonce: str = "",
        secret: str = "",
        signed_headers: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send one request; the keywords are for wrong ones."""
        t = t or str(now_ms())
        query = query or {}
        pairs = "&".join(f"{name}={query[name]}" for name in sorted(query))
        pairs = pairs if signed_query is None else signed_query
        url = f"{path}?{pairs}" if pairs else path
        block = "".join(f"{name}:{value}\n" for name, value in signed_headers)
        text = "\n".join(
            [signed_method or method, hashlib.sha256(body).hexdigest(), block, url]
        )
        token = "" if path.startswith("/v1.0/token") else self.access_token
        message = self.running.client_id + token + t + nonce + text
        key = secret or self.running.client_secret
        digest = (
            hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest().upper()
        )
        sent: dict[str, str | None] = {
            "client_id": self.running.client_id,
            "sign": digest,
            "sign_method": "HMAC-SHA256",
            "t": t,
            "access_token": token,
            "nonce": nonce or None,
            "Signature-Headers": ":".join(name for name, _ in signed_headers) or None,
            "Content-Type": "application/json" if body else None,
            **dict(signed_headers),
            **(headers or {}),
        }
        target = f"{path}?{urlencode(query)}" if query else path
        connection = http.client.HTTPConnection(
            urlsplit(self.running.url).netloc, timeout=self.timeout
        )
        try:
            kept = {name: value for name, value in sent.items() if value is not None}
            connection.request(method, target, body or None, kept)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **query: object) -> Any:
        """The envelope of a GET."""
        return self.send(
            "GET", path, query={name: str(value) for name, value in query.items()}
        ).envelope

    def post(self, path: str, body: object) -> Any:
        """The envelope of a POST."""
        return self.send("POST", path, json.dumps(body).encode()).envelope

    def put(self, path: str, body: object) -> Any:
        """The envelope of a PUT."""
        return self.send("PUT", path, json.dumps(body).encode()).envelope

    def delete(self, path: str) -> Any:
        """The envelope of a DELETE."""
        return self.send("DELETE", path).envelope

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The answer of the control side, without a signature."""
        connection = http.client.HTTPConnection(
            urlsplit(self.running.url).netloc, timeout=self.timeout
        )
        try:
            connection.request(
                method, f"/sandbox/{path}", None if body is None else json.dumps(body)
            )
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def book(self, **fields: object) -> str:
        """The id of a new meeting."""
        envelope = self.post(MEETINGS, meeting(**fields))
        assert envelope["success"], envelope
        return str(envelope["result"])

    def read(self, reservation_id: str) -> Any:
        """A meeting by id."""
        return self.get(f"{MEETINGS}/{reservation_id}")["result"]

    def list(self, **query: object) -> Any:
        """The page of a list, from an hour ago to a week ahead unless said otherwise."""
        window = {"start_time": now_ms() - HOUR, "end_time": now_ms() + 7 * DAY}
        return self.get(MEETINGS, **{**window, **query})["result"]


def meeting(**fields: object) -> dict[str, object]:
    """The body for a meeting without a room in an hour; None leaves a field out."""
    start = now_ms() + HOUR
    body: dict[str, object] = {
        "topic": "Test Meeting",
        "start_time": start,
        "end_time": start + HOUR,
        "participants": ["1", "2"],
        "notice": True,
        "creator": "3",
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}


def change(**fields: object) -> dict[str, object]:
    """The body that modifies a meeting: as `meeting`, with what is required besides."""
    return meeting(**{"description": "", "modifier": "3", **fields})


def room(**fields: object) -> dict[str, object]:
    """The body for an ordinary room."""
    return {
        "name": "Small",
        "type": "normal",
        "address": "Floor 1",
        "parent_asset_id": "10",
        "range_type": "all",
        "room_status": "open",
        "reservation_approved": "N",
        "preemptible": "N",
        "system_release": "N",
        "space": 4,
        **fields,
    }


def seen_of_the_past(
    past: int, changed: int, lag: Callable[[float], object], look: Callable[[], T]
) -> T:
    """Return what a look sees while lists show a time from `past` to before `changed` (epoch ms).

    `lag` sets by how many seconds they are behind; time that passes between that and the look moves what
    they show, so one that took too long proves nothing and is made again.
    """
    while True:
        began = now_ms()
        lag((began - past) / 1000)
        seen = look()
        if past + now_ms() - began < changed:
            return seen


Start = Callable[..., Client]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts sandboxes: `start("lost:on=create", list_window="start")` gives a connected client."""
    with ExitStack() as stack:

        def begin(*faults: str, **switches: str) -> Client:
            lines: list[str] = []
            settings = SandboxSettings(
                faults=tuple(map(parse_fault, faults)), switches=switches
            )
            client = Client(
                stack.enter_context(Sandbox(settings, log=lines.append).running()),
                lines=lines,
            )
            client.connect()
            return client

        yield begin


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    """A client of a sandbox that the tests of one file share, for calls that leave nothing behind."""
    with Sandbox().running() as running:
        client = Client(running)
        client.connect()
        yield client


@pytest.fixture
def client(start: Start) -> Client:
    """A client of a sandbox with nothing changed."""
    return start()
