"""The API client against real sockets: what leaves, what comes back, and what each failure means."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import logging
import math
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Container, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
import structlog

from syncd.core.leases import Timing, Trust
from syncd.core.listing import Listing
from syncd.core.mark import Mark
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reservation import (
    Attachment,
    ReservationSpec,
    ReservationStatus,
    epoch_ms,
)
from syncd.errors import (
    ApiUnusable,
    ConfigError,
    NotDone,
    NotExecuted,
    OutcomeUnknown,
    RateLimited,
    Refused,
    ReservationError,
    Unanswered,
)
from syncd.sandbox import Sandbox, SandboxSettings, parse_fault
from syncd.tuya import BookingRules, Room, TuyaApi, payload
from syncd.tuya.apiclock import steady
from syncd.tuya.signing import sign
from syncd.tuya.transport import Gate, WriteNotArmed
from tests.conftest import HANG_S
from tests.daemon.running import until

SECRET = "4OHBOnWOqaEC1mWXOpVL3yV50s0qGSRC"
CLIENT_ID = "1KAD46OrT9HafiKdsXeg"
TRACE = "0123456789abcdef0123456789abcdef"
RESERVATION_ID = "1410148835895808097"
RESERVATIONS = "/v2.0/iot-03/meeting-reservations"
START = datetime(2026, 12, 1, 9, tzinfo=UTC)
MARK = Mark("abcd", "0123456789")
SPEC = ReservationSpec(
    topic="Salary of Zoë",
    start=START,
    end=START + timedelta(hours=1),
    room_id="1410148741926678528",
    participants=("1", "2"),
    cc_participants=(),
    notice=True,
    notice_time_s=180,
    description="Between us",
    creator="3",
)


# --- A server whose every answer is written in the test ---


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def query(self) -> dict[str, str]:
        return {
            name: values[0]
            for name, values in parse_qs(urlsplit(self.target).query).items()
        }


Action = bytes | Callable[[socket.socket], None]


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def said(**fields: object) -> bytes:
    """An envelope; `success` unless the fields say otherwise."""
    return http(
        json.dumps(
            {"success": True, "t": int(time.time() * 1000), "tid": TRACE, **fields}
        ).encode("utf-8")
    )


def refusal(code: object, **fields: object) -> bytes:
    """An envelope that says no."""
    return said(**{"success": False, "code": code, "msg": "no", **fields})


def hang(connection: socket.socket) -> None:
    """Never answers; ends when the client gives up."""
    connection.recv(1)


class ScriptedApi:
    """Gives tokens by itself and takes one action of the script per business call; the last one stays.

    Calls with a token of `rejected` are answered with code 1010.
    """

    def __init__(
        self,
        *script: Action,
        token: Callable[[int], Action] | None = None,
        rejected: Container[str] = (),
    ) -> None:
        self._script = list(script)
        self._rejected = rejected
        self._token = token or (lambda number: said(result=token_result(number)))
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.tokens: list[Request] = []
        self.requests: list[Request] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._connections.append(connection)
            threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while (request := self._read(connection)) is not None:
                    action = self._next(request)
                    if callable(action):
                        action(connection)
                        return
                    connection.sendall(action)
                    if not action or b"Connection: close" in action:
                        return
            except OSError:
                return

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (chunk := connection.recv(65536)):
                return None
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines)
        }
        while len(body) < int(headers.get("content-length", "0")):
            body += connection.recv(65536)
        return Request(method, target, headers, body, time.monotonic())

    def _next(self, request: Request) -> Action:
        with self._lock:
            if urlsplit(request.target).path == "/v1.0/token":
                self.tokens.append(request)
                return self._token(len(self.tokens))
            self.requests.append(request)
            if request.headers["access_token"] in self._rejected:
                return refusal(1010)
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]


def token_result(number: int, life_s: int = 7200) -> dict[str, object]:
    """What the token call gives."""
    return {
        "access_token": f"token{number}",
        "refresh_token": "r",
        "expire_time": life_s,
        "uid": "u",
    }


@dataclass
class Scene:
    """Servers and clients of one test, closed at its end."""

    stack: ExitStack

    def server(
        self,
        *script: Action,
        token: Callable[[int], Action] | None = None,
        rejected: Container[str] = (),
    ) -> ScriptedApi:
        server = ScriptedApi(*script, token=token, rejected=rejected)
        self.stack.callback(server.close)
        return server

    def client(
        self,
        url: str,
        *,
        timeout_s: float = HANG_S,
        requests_per_second: float = 1000.0,
        secret: Callable[[], str] = lambda: SECRET,
        count_call: Callable[[str], None] = lambda _method: None,
        budget_left: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = steady,
        trusted: Callable[[], bool] = lambda: True,
    ) -> TuyaApi:
        client = TuyaApi(
            endpoint=url,
            client_id=CLIENT_ID,
            client_secret=secret,
            timeout_s=timeout_s,
            requests_per_second=requests_per_second,
            count_call=count_call,
            budget_left=budget_left,
            clock=clock,
            elapsed=elapsed,
            trusted=trusted,
        )
        self.stack.callback(client.close)
        return client

    def sandbox(
        self, *faults: str, timeout_s: float = HANG_S, **switches: str
    ) -> TuyaApi:
        """A client of a server that someone else wrote after the same documentation."""
        settings = SandboxSettings(
            faults=tuple(map(parse_fault, faults)),
            switches={"advance_limit": "off", **switches},
        )
        running = self.stack.enter_context(Sandbox(settings).running())
        client = TuyaApi(
            endpoint=running.url,
            client_id=running.client_id,
            client_secret=lambda: running.client_secret,
            timeout_s=timeout_s,
            requests_per_second=1000.0,
        )
        self.stack.callback(client.close)
        return client

    def pair(self, *script: Action) -> tuple[ScriptedApi, TuyaApi]:
        server = self.server(*script)
        return server, self.client(server.url)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Closes what a test opened."""
    with ExitStack() as stack:
        yield Scene(stack)


def unused_port() -> int:
    """A port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def item(
    reservation_id: object = RESERVATION_ID, **fields: object
) -> dict[str, object]:
    """A reservation as the API writes it."""
    return {
        "reservation_id": reservation_id,
        "topic": SPEC.topic,
        "start_time": epoch_ms(SPEC.start),
        "end_time": epoch_ms(SPEC.end),
        "status": 1,
        "room_id": "",
        "participants": ["1", "2"],
        "cc_participants": [],
        "notice": True,
        "notice_time": 180,
        "description": str(MARK),
        "creator": "3",
        "modifier": "3",
        "gmt_create": 1624894472339,
        "gmt_modified": 1624894472368,
        "attachments": [
            {
                "type": "jpg",
                "url": "https://a.example/c.jpg",
                "size": "332.3kb",
                "name": "c.jpg",
            }
        ],
        **fields,
    }


def page(*items: object, more: object = False, **fields: object) -> bytes:
    """A page of a list."""
    return said(result={"total": 1000, "has_more": more, "list": list(items), **fields})


# --- Who may ask ---


def test_who_is_not_trusted_sends_nothing(scene: Scene) -> None:
    """No question, no write and no question for a token: whoever writes now has its own."""
    server = scene.server(said(result=RESERVATION_ID))
    client = scene.client(server.url, trusted=lambda: False)
    other = scene.client(server.url)
    asked = other.time()
    before = len(server.tokens)
    for call in (
        client.time,
        lambda: client.get("1"),
        lambda: client.create(SPEC, MARK, asked=asked),
    ):
        with client.armed(), pytest.raises(ApiUnusable, match="lease"):
            call()
    assert server.requests == []
    assert len(server.tokens) == before
    assert client.calls == {"GET": 0, "POST": 0, "PUT": 0}


@pytest.mark.parametrize(
    "place", ["before the call", "while it is counted", "while it is signed"]
)
def test_a_machine_that_slept_sends_nothing_more(scene: Scene, place: str) -> None:
    """Trust counts the time of a suspend, wherever between the intent and the last look it was."""
    slept_s = 0.0
    sleeps_at = ""

    def elapsed() -> float:
        return steady() + slept_s

    def pass_by(here: str) -> None:
        nonlocal slept_s
        if here == sleeps_at:
            slept_s += 3600

    def secret() -> str:
        pass_by("while it is signed")
        return SECRET

    trust = Trust(Timing(), elapsed)
    trust.extend(elapsed())
    server = scene.server(said(result=RESERVATION_ID))
    client = scene.client(
        server.url,
        secret=secret,
        count_call=lambda _method: pass_by("while it is counted"),
        elapsed=elapsed,
        trusted=trust.lasts,
    )
    with client.armed():
        client.create(SPEC, MARK, asked=client.time())
        assert len(server.requests) == 1
        asked = client.time()
        sleeps_at = place
        pass_by("before the call")
        with pytest.raises((ApiUnusable, NotExecuted)):
            client.create(SPEC, MARK, asked=asked)
        with pytest.raises(ApiUnusable, match="lease"):
            client.get("1")
    assert len(server.requests) == 1
    assert len(server.tokens) == 1


# --- The signature ---

NONCE = "5138cc3a9033d69856923fd07b491173"
TOKEN = "3f4eda2bdec17232f67c0b188af3eec1"
SIGNED_HEADERS = (
    ("area_id", "29a33e8796834b1efa6"),
    ("call_id", "8afdb70ab2ed11eb85290242ac130003"),
)
BODY = (
    b'{"topic":"Test Meeting","start_time":1625040238000,"end_time":1625045462000,"participants":["1","2"],'
    b'"notice":true,"notice_time":180,"creator":"3"}'
)
USERS = "/v2.0/apps/schema/users?page_no=1&page_size=50"
GRANT = "/v1.0/token?grant_type=1"


@pytest.mark.parametrize(
    ("expected", "method", "url", "body", "nonce", "token", "headers"),
    [
        pytest.param(
            "9E48A3E93B302EEECC803C7241985D0A34EB944F40FB573C7B5C2A82158AF13E",
            *("GET", GRANT, b"", NONCE, "", SIGNED_HEADERS),
            id="documented token call",
        ),
        pytest.param(
            "AE4481C692AA80B25F3A7E12C3A5FD9BBF6251539DD78E565A1A72A508A88784",
            *("GET", USERS, b"", NONCE, TOKEN, SIGNED_HEADERS),
            id="documented business call",
        ),
        pytest.param(
            "7BA26C076E5ECB1E959BE274A0FFB397B2B1865FC7BCED8F1C78AC5653C20CAA",
            *("GET", GRANT, b"", "", "", ()),
            id="token call without signed headers and nonce",
        ),
        pytest.param(
            "F858D3153DBD4FFA94D59D56B00E2945430F33F0403B8BE575F3A13B1F2D3B47",
            *("GET", USERS, b"", NONCE, TOKEN, ()),
            id="query",
        ),
        pytest.param(
            "26263EB00983105B73F58D48EEBB8E2BE93B9CCC18A2E533223CCC3F5A51343D",
            *("POST", RESERVATIONS, BODY, NONCE, TOKEN, ()),
            id="body",
        ),
        pytest.param(
            "DEDA1BE756BEB103509B13A20A4FFD7BF5E293018A9CB77E8E031D1905A6CFFC",
            *(
                "POST",
                RESERVATIONS,
                '{"topic":"测试大型会议"}'.encode(),
                NONCE,
                TOKEN,
                (),
            ),
            id="body beyond ASCII",
        ),
        pytest.param(
            "4CD749AD14078B3FBC569B75CB72B61EC07043AE3DD734CF399709781457EE00",
            "GET",
            f"{RESERVATIONS}?creator=3&end_time=1627615862000&meeting_room_ids=1,2&start_time=1622343649000"
            "&topic=Test Meeting",
            *(b"", NONCE, TOKEN, ()),
            id="raw values in the query",
        ),
        pytest.param(
            "040778F639B266CC11C7BFE7A7CA571FBFDFF24B54DE301AB074DF5C786090DE",
            *(
                "PUT",
                f"{RESERVATIONS}/{RESERVATION_ID}/status",
                b'{"status":"3"}',
                NONCE,
                TOKEN,
                (),
            ),
            id="cancel",
        ),
        pytest.param(
            "F27DD95A15E84C954DB2ED016096D517681FE79853B6CDAD446927352691804E",
            "POST",
            "/v1.0/devices/bf2c1e00ab0f12face/commands",
            *(b'{"commands":[{"code":"switch_led","value":false}]}', "", TOKEN, ()),
            id="body without nonce",
        ),
    ],
)
def test_signature_is_the_documented_one(
    expected: str,
    method: str,
    url: str,
    body: bytes,
    nonce: str,
    token: str,
    headers: tuple[tuple[str, str], ...],
) -> None:
    """The signature equals the documentation's examples and those derived from them."""
    assert expected == sign(
        method=method,
        url=url,
        body=body,
        client_id=CLIENT_ID,
        secret=SECRET,
        t="1588925778000",
        nonce=nonce,
        access_token=token,
        signed_headers=headers,
    )


def expected_signature(request: Request) -> str:
    """What a server computes from the bytes that it received, written after the page "Sign Requests"."""
    parts = urlsplit(request.target)
    url = unquote(parts.path)
    if parts.query:
        url += "?" + "&".join(sorted(unquote(pair) for pair in parts.query.split("&")))
    headers = request.headers
    text = (
        headers["client_id"] + headers.get("access_token", "") + headers["t"] + headers["nonce"]
        + request.method + "\n" + hashlib.sha256(request.body).hexdigest() + "\n\n" + url
    )  # fmt: skip
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def test_what_is_sent_is_what_was_signed(scene: Scene) -> None:
    """Every request verifies over its bytes on the wire, with a nonce of its own and no signed headers."""
    server, api = scene.pair(
        page(), said(result=RESERVATION_ID), said(result=True), page()
    )
    api.find(START, START + timedelta(days=1), creator="zoë+1", room_ids=("1", "2"))
    with api.armed():
        api.create(replace(SPEC, description="Ünïcode \ud800 and 测试"), MARK)
        api.cancel(RESERVATION_ID)
    api.find_user("zoë+a&b@example.com")
    sent = server.tokens + server.requests
    assert [request.headers["sign"] for request in sent] == [
        expected_signature(r) for r in sent
    ]
    assert len({request.headers["nonce"] for request in sent}) == len(sent) == 5
    assert not any("signature-headers" in request.headers for request in sent)
    assert server.requests[0].query["meeting_room_ids"] == "1,2"
    assert server.requests[3].query["email"] == "zoë+a&b@example.com"
    assert all(request.headers["sign_method"] == "HMAC-SHA256" for request in sent)


# --- Payloads ---


def test_payload_of_an_added_reservation() -> None:
    """An added reservation has the documented fields in their order, with the mark in the description."""
    attached = replace(SPEC, attachments=(Attachment("https://a.example/x", name="x"),))
    assert json.dumps(payload(attached, MARK)) == json.dumps(
        {
            "topic": "Salary of Zoë",
            "start_time": 1796115600000,
            "end_time": 1796119200000,
            "meeting_room_id": "1410148741926678528",
            "participants": ["1", "2"],
            "cc_participants": [],
            "notice": True,
            "notice_time": 180,
            "description": "Between us\n[sy:abcd-0123456789]",
            "creator": "3",
            "attachments": [{"url": "https://a.example/x", "name": "x"}],
        }
    )


def test_payload_of_a_changed_reservation_is_the_full_representation() -> None:
    """A modification carries everything, what is empty too, and who modifies."""
    body = payload(replace(SPEC, description=""), None, modifier="9")
    assert body.keys() == payload(SPEC, MARK).keys() | {"modifier"}
    assert (body["modifier"], body["description"], body["attachments"]) == ("9", "", [])


def test_payload_without_room() -> None:
    """Without a room the field is absent from an addition and empty in a modification."""
    roomless = replace(SPEC, room_id=None)
    assert "meeting_room_id" not in payload(roomless, MARK)
    assert payload(roomless, MARK, modifier="3")["meeting_room_id"] == ""


# --- Arming ---


def test_nothing_is_written_while_not_armed(scene: Scene) -> None:
    """Outside of armed() no write reaches the socket, not even its token call."""
    server, api = scene.pair(said(result=RESERVATION_ID), said(result=True))
    writes: list[Callable[[], object]] = [
        lambda: api.create(SPEC, MARK),
        lambda: api.modify(RESERVATION_ID, SPEC, MARK, "3"),
        lambda: api.cancel(RESERVATION_ID),
    ]
    for write in writes:
        with pytest.raises(WriteNotArmed):
            write()
    assert (server.connections, api.calls) == (0, {"GET": 0, "POST": 0, "PUT": 0})
    with api.armed():
        with api.armed():
            assert api.create(SPEC, MARK) == RESERVATION_ID
        api.modify(RESERVATION_ID, SPEC, MARK, "3")
    with pytest.raises(WriteNotArmed):
        api.cancel(RESERVATION_ID)
    assert [request.method for request in server.requests] == ["POST", "PUT"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_gate_holds_whatever_stands_above_it(scene: Scene, method: str) -> None:
    """The transport itself refuses mutating methods, so code above it cannot leak one."""
    server = scene.server(said(result=True))
    with (
        httpx.Client(
            transport=Gate(server.url, lambda _method: None, lambda: None)
        ) as client,
        pytest.raises(WriteNotArmed),
    ):
        client.request(method, server.url)
    assert server.connections == 0


# --- What a failed write means ---


def huge(connection: socket.socket) -> None:
    """An answer without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def drip(connection: socket.socket) -> None:
    """An answer that comes byte by byte, each within the timeout."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


UNCLEAR: dict[str, Action] = {
    "closed without an answer": b"",
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\nConnection: close\r\n\r\n{"success":true',
    "not HTTP": b"SSH-2.0-x\r\n\r\nConnection: close",
    "HTML 502": http(b"<html>Bad gateway</html>", "502 Bad Gateway"),
    "HTTP 500 with an envelope that refuses": http(
        b'{"success":false,"code":1010}', "500 Error"
    ),
    "HTTP 404 from something else": http(b"<html>", "404 Not Found"),
    "redirect": http(b"", "302 Found", "Location: https://login.example/"),
    "HTML instead of JSON": http(b"<html>Welcome to the hotel</html>"),
    "deeply nested JSON": http(b"[" * 100_000),
    "JSON without success": http(b'{"result":"1410148835895808097"}'),
    "refusal without code": http(b'{"success":false,"msg":"?"}'),
    "system error": refusal(500),
    "success with true for an id": said(result=True),
    "success with a null id": said(),
    "success with an id that is none": said(result="../../rooms/1"),
    "larger than any answer": huge,
    "never answered": hang,
    "dripping": drip,
}


@pytest.mark.parametrize("action", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_unclear_answer_to_a_write_is_an_unknown_outcome(
    scene: Scene, action: Action
) -> None:
    """Whatever does not prove that nothing happened is OutcomeUnknown, is sent once, and tells no content."""
    server = scene.server(action)
    api = scene.client(server.url, timeout_s=1 if action in (hang, drip) else HANG_S)
    with api.armed(), pytest.raises(OutcomeUnknown) as caught:
        api.create(SPEC, MARK)
    assert len(server.requests) == 1
    assert_tells_nothing(str(caught.value), server.url)


def assert_tells_nothing(text: str, url: str) -> None:
    """A text that may be logged."""
    for private in (
        SECRET,
        "token1",
        SPEC.topic,
        "Zoë",
        SPEC.description,
        "/v2.0",
        "/v1.0",
        "example.com",
        url,
    ):
        assert private not in text


@pytest.mark.parametrize("result", [None, "true", 1, 0, [], "false"])
def test_unconfirmed_change_is_an_unknown_outcome(scene: Scene, result: object) -> None:
    """A modification or cancel counts only when the result is exactly true."""
    _, api = scene.pair(said(result=result))
    with api.armed():
        with pytest.raises(OutcomeUnknown):
            api.modify(RESERVATION_ID, SPEC, MARK, "3")
        with pytest.raises(OutcomeUnknown):
            api.cancel(RESERVATION_ID)


def test_result_false_is_an_answer_that_says_no(scene: Scene) -> None:
    """`success:true` with `result:false` is a no to each kind of write, and is sent once."""
    _, api = scene.pair(said(result=False))
    with api.armed():
        with pytest.raises(NotDone, match="not booked"):
            api.create(SPEC, MARK)
        with pytest.raises(NotDone, match="change failed"):
            api.modify(RESERVATION_ID, SPEC, MARK, "3")
        with pytest.raises(NotDone, match="change failed"):
            api.cancel(RESERVATION_ID)
    assert (api.calls["POST"], api.calls["PUT"]) == (1, 2)


def test_write_that_cannot_connect_is_not_executed(scene: Scene) -> None:
    """A connection that is refused proves that the write was not carried out."""
    last = http(b'{"success":false,"code":1000}', "200 OK", "Connection: close")
    server, api = scene.pair(last)
    api.get(RESERVATION_ID)
    server.close()
    with api.armed(), pytest.raises(NotExecuted, match="not carried out"):
        api.create(SPEC, MARK)
    assert api.calls["POST"] == 1


def test_write_without_token_is_not_executed_but_unusable(scene: Scene) -> None:
    """When not even the token can be had, no write can succeed: ApiUnusable, which proves no effect."""
    api = scene.client(f"http://127.0.0.1:{unused_port()}")
    with (
        api.armed(),
        pytest.raises(ApiUnusable, match=r"cannot be reached.*nothing was changed"),
    ):
        api.create(SPEC, MARK)
    assert api.calls["POST"] == 0


@pytest.mark.parametrize(
    "code", [1000, 1100, 1101, 1103, 1109, 2006, 990001, "28831001"]
)
def test_refusal_keeps_code_message_and_trace(scene: Scene, code: int) -> None:
    """A code that concerns one request is Refused with what the API said, and is not repeated."""
    server, api = scene.pair(refusal(code, msg="room is taken\nby 4711"))
    with api.armed(), pytest.raises(Refused) as caught:
        api.create(SPEC, MARK)
    assert (caught.value.code, caught.value.message) == (
        int(code),
        "room is taken by 4711",
    )
    assert caught.value.tid == TRACE
    assert len(server.requests) == 1


# --- Codes that ask for something ---


@pytest.mark.parametrize("code", [1002, 1010, 1011, 1012, 1400])
def test_rejected_token_is_renewed_once(scene: Scene, code: int) -> None:
    """A write whose token is rejected is repeated once with a new token."""
    server, api = scene.pair(refusal(code), said(result=RESERVATION_ID))
    with api.armed():
        assert api.create(SPEC, MARK) == RESERVATION_ID
    assert [request.headers["access_token"] for request in server.requests] == [
        "token1",
        "token2",
    ]


def test_token_rejected_twice_names_the_other_program(scene: Scene) -> None:
    """A new token that is rejected too ends in a sentence about a shared key, not in a loop."""
    server, api = scene.pair(refusal(1010))
    with pytest.raises(
        ApiUnusable, match=r"another program seems to use the same api\.client_id"
    ) as caught:
        api.get(RESERVATION_ID)
    assert (caught.value.code, len(server.requests), len(server.tokens)) == (1010, 2, 2)


def test_token_is_renewed_before_its_end(scene: Scene) -> None:
    """A token is replaced when a tenth of its life is left, without a rejected call."""
    server = scene.server(
        said(result=item()),
        token=lambda number: said(
            result=token_result(number, life_s=1 if number == 1 else 3600)
        ),
    )
    api = scene.client(server.url)
    api.get(RESERVATION_ID)
    time.sleep(0.92)
    api.get(RESERVATION_ID)
    api.get(RESERVATION_ID)
    assert [request.headers["access_token"] for request in server.requests] == [
        "token1",
        "token2",
        "token2",
    ]


@pytest.mark.parametrize("rejected", [set(), {"token1"}], ids=["fresh", "rejected"])
def test_threads_share_one_token(scene: Scene, rejected: set[str]) -> None:
    """Eight threads that need a token at once make one token call, and one more when it is rejected."""
    server = scene.server(said(result=item()), rejected=rejected)
    api = scene.client(server.url)
    barrier = threading.Barrier(8)

    def get() -> None:
        barrier.wait()
        api.get(RESERVATION_ID)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(get) for _ in range(8)]:
            done.result()
    assert len(server.tokens) == 1 + len(rejected)


@pytest.mark.parametrize(
    ("code", "word"), [(1001, "client_secret"), (1005, "client id"), (4711, "no token")]
)
def test_refused_token_call_says_what_to_check(
    scene: Scene, code: int, word: str
) -> None:
    """A refused token call is ApiUnusable with the cure, whatever the code, and is not repeated."""
    server = scene.server(said(), token=lambda _number: refusal(code))
    with pytest.raises(ApiUnusable, match=word) as caught:
        scene.client(server.url).get(RESERVATION_ID)
    assert (caught.value.code, len(server.tokens), len(server.requests)) == (code, 1, 0)


@pytest.mark.parametrize(
    "result", [None, {}, {"access_token": ""}, {"access_token": "a\nb"}, "token"]
)
def test_token_answer_without_token(scene: Scene, result: object) -> None:
    """A token call that succeeds without a usable token is ApiUnusable."""
    server = scene.server(said(), token=lambda _number: said(result=result))
    with pytest.raises(ApiUnusable, match="without a token"):
        scene.client(server.url).get(RESERVATION_ID)


def test_wrong_clock_is_corrected_once(scene: Scene) -> None:
    """After code 1013 the request is signed with the API's time, and the offset can be read."""
    ahead_ms = int((time.time() + 100_000) * 1000)
    server, api = scene.pair(refusal(1013, t=ahead_ms), said(result=item(), t=ahead_ms))
    assert api.clock_offset_s is None
    api.get(RESERVATION_ID)
    assert abs(int(server.requests[1].headers["t"]) - ahead_ms) < 600_000
    assert api.clock_offset_s == pytest.approx(100_000, abs=600)


@pytest.mark.parametrize("fields", [{}, {"t": None}], ids=["again", "without its time"])
def test_clock_that_cannot_be_corrected(
    scene: Scene, fields: dict[str, object]
) -> None:
    """A time that is rejected again, or without the API's own time, asks a person to set the clock."""
    server, api = scene.pair(refusal(1013, **fields))
    with pytest.raises(ApiUnusable, match="synchronise the clock"):
        api.get(RESERVATION_ID)
    assert len(server.requests) == (1 if fields else 2)


def test_rejected_signature_is_signed_again_with_the_current_secret(
    scene: Scene,
) -> None:
    """After code 1004 the secret is asked for anew, so that a changed one counts without a restart."""
    secrets = ["old", "old", SECRET]
    server = scene.server(refusal(1004), said(result=item()))
    api = scene.client(
        server.url, secret=lambda: secrets.pop(0) if len(secrets) > 1 else secrets[0]
    )
    assert api.get(RESERVATION_ID) is not None
    assert server.requests[1].headers["sign"] == expected_signature(server.requests[1])


@pytest.mark.parametrize(
    ("code", "word", "requests"),
    [
        (1004, "client_secret", 2),
        (1001, "client_secret", 1),
        (1005, "client_id", 1),
        (2009, "client_id", 1),
        (1106, "authorise", 1),
        (1108, "data centre", 1),
        (1114, "allow-list", 1),
        (2007, "api.region", 1),
        (28841002, "expired", 1),
        (28841004, "next month", 1),
        (28841101, "subscribe", 1),
        (28841107, "suspended", 1),
        (28841999, "subscription", 1),
        (40001900, "permission", 1),
    ],
)
def test_codes_that_need_a_person(
    scene: Scene, code: int, word: str, requests: int
) -> None:
    """A code that stops every call is ApiUnusable with its cure, code and trace, and no loop."""
    server, api = scene.pair(refusal(code))
    with api.armed(), pytest.raises(ApiUnusable, match=word) as caught:
        api.create(SPEC, MARK)
    assert (caught.value.code, len(server.requests)) == (code, requests)
    assert TRACE in str(caught.value)


TOO_MANY = http(b"<html>slow down</html>", "429 Too Many Requests", "Retry-After: 0")


@pytest.mark.parametrize(
    "answer", [*map(refusal, (1110, 1111, 1112, 1113, 1199)), TOO_MANY]
)
def test_throttled_write_waits_and_goes_on(scene: Scene, answer: bytes) -> None:
    """A write that is throttled is sent again after a wait of at least half a second."""
    server, api = scene.pair(answer, said(result=RESERVATION_ID))
    with api.armed():
        assert api.create(SPEC, MARK) == RESERVATION_ID
    assert server.requests[1].at - server.requests[0].at >= 0.5


def test_throttling_that_stays_is_rate_limited(scene: Scene) -> None:
    """Throttling that does not end is RateLimited after three waits; nothing was carried out."""
    server, api = scene.pair(refusal(1199))
    with api.armed(), pytest.raises(RateLimited) as caught:
        api.create(SPEC, MARK)
    assert len(server.requests) == 4
    assert caught.value.retry_after_s > 0


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_long_retry_after_is_left_to_the_caller(scene: Scene, form: str) -> None:
    """A Retry-After beyond the client's patience is passed on at once, in both of its forms."""
    later = datetime.now(UTC) + timedelta(seconds=3600)
    value = "3600" if form == "seconds" else later.strftime("%a, %d %b %Y %H:%M:%S GMT")
    server, api = scene.pair(
        http(b"", "429 Too Many Requests", f"Retry-After: {value}")
    )
    with pytest.raises(RateLimited) as caught:
        api.get(RESERVATION_ID)
    assert len(server.requests) == 1
    assert caught.value.retry_after_s == pytest.approx(3600, abs=10)


# --- Reads ---


@pytest.mark.parametrize(
    "action",
    [b"", http(b"", "503 Unavailable"), refusal(500), http(b"<html>")],
    ids=range(4),
)
def test_read_is_repeated_when_the_fault_may_pass(scene: Scene, action: Action) -> None:
    """A read that fails twice in a passing way succeeds at the third attempt."""
    server, api = scene.pair(action, action, said(result=item()))
    assert api.get(RESERVATION_ID) is not None
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("action", "attempts"),
    [
        (http(b"", "502 Bad Gateway"), 3),
        (http(b"<html>", "404 Not Found"), 1),
        (huge, 1),
    ],
    ids=["passing", "wrong server", "too large"],
)
def test_read_that_keeps_failing_is_unusable(
    scene: Scene, action: Action, attempts: int
) -> None:
    """A read that cannot succeed is ApiUnusable with a cure, after a bounded number of attempts."""
    server, api = scene.pair(action)
    with pytest.raises(ApiUnusable, match="nothing was changed") as caught:
        api.find_user("zoe@example.com")
    assert len(server.requests) == attempts
    assert_tells_nothing(str(caught.value), server.url)


def test_one_connection_is_kept(scene: Scene) -> None:
    """Calls in a row share one connection."""
    server, api = scene.pair(said(result=item()))
    for _ in range(5):
        api.get(RESERVATION_ID)
    assert server.connections == 1


def test_get_reads_every_field(scene: Scene) -> None:
    """A reservation is read with exact times and its mark; no room is None."""
    _, api = scene.pair(
        said(result=item(int(RESERVATION_ID), start_time="1796115600001", status="2"))
    )
    found = api.get(RESERVATION_ID)
    assert found is not None
    assert (found.reservation_id, found.status) == (
        RESERVATION_ID,
        ReservationStatus.AWAITING_APPROVAL,
    )
    assert (found.start, found.room_id, found.mark) == (
        START + timedelta(milliseconds=1),
        None,
        MARK,
    )
    assert found.modified_at == datetime(2021, 6, 28, 15, 34, 32, 368000, UTC)
    assert found.attachments == (
        Attachment("https://a.example/c.jpg", "c.jpg", "332.3kb", "jpg"),
    )
    assert (found.notice, found.notice_time_s, found.participants) == (
        True,
        180,
        ("1", "2"),
    )


def test_get_tolerates_what_is_left_out(scene: Scene) -> None:
    """Only id, times and status are needed, in either spelling; the rest is empty or None."""
    bare = {
        "reservationId": 7,
        "startTime": 1600000000000,
        "endTime": "1600000060000",
        "status": 3.0,
    }
    _, api = scene.pair(said(result=bare))
    found = api.get("7")
    assert found is not None
    assert (found.reservation_id, found.topic, found.notice, found.created_at) == (
        "7",
        "",
        None,
        None,
    )
    assert found.end == datetime(2020, 9, 13, 12, 27, 40, tzinfo=UTC)
    assert (found.oddity, found.status) == ("", ReservationStatus.CANCELLED)
    assert found.gaps == "It says nothing of its topic, participants, creator."


def test_get_of_what_does_not_exist(scene: Scene) -> None:
    """None means that the API says so; what cannot be an id is not asked for."""
    server, api = scene.pair(refusal(1000))
    assert api.get("1") is None
    for impossible in ("", "..", "1/status", "1?x=1", "é"):
        assert api.get(impossible) is None
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [1109, 42, 999_999_999, -3, "2017"])
def test_get_that_is_refused(scene: Scene, code: object) -> None:
    """A refusal that concerns one reservation is a reservation of which nothing is known, and why."""
    _, api = scene.pair(refusal(code))
    found = api.get("2")
    assert found is not None
    assert (found.reservation_id, found.live, found.onto(SPEC)) == ("2", True, None)
    assert (
        found.oddity
        == f"The API refuses to tell of it (code {code}, trace id {TRACE})."
    )


@pytest.mark.parametrize("code", [None, "x", 0, [1]], ids=str)
def test_question_that_is_refused_without_a_code(scene: Scene, code: object) -> None:
    """An envelope that says no concerns what was asked for, whatever its code is."""
    _, api = scene.pair(refusal(code))
    found = api.get("2")
    assert found is not None
    assert found.oddity == "The API refuses to tell of it (code 0)."
    assert (
        api.find(START, START + timedelta(days=1)).doubt
        == "The API refuses the list (code 0)."
    )


@pytest.mark.parametrize("code", [1106, 28841105, 1114])
def test_get_that_no_account_may_ask_is_unusable(scene: Scene, code: int) -> None:
    """A code that concerns the whole project is no matter of one reservation or list."""
    _, api = scene.pair(refusal(code))
    with pytest.raises(ApiUnusable):
        api.get("2")
    with pytest.raises(ApiUnusable):
        api.find(START, START + timedelta(days=1))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"status": 5}, "status"),
        ({"status": "x"}, "status"),
        ({"status": None}, "status"),
        ({"status": True}, "status"),
        ({"status": [1]}, "status"),
        ({"start_time": None}, "start"),
        ({"start_time": "soon"}, "start"),
        ({"start_time": -1}, "start"),
        ({"start_time": 0}, "start"),
        ({"start_time": 1796115600}, "start"),
        ({"end_time": None}, "end"),
        ({"end_time": 3_093_527_980_800_000}, "end"),
        ({"end_time": 10**30}, "end"),
        ({"end_time": {"t": 1}}, "end"),
        ({"end_time": epoch_ms(SPEC.start)}, "end"),
        ({"end_time": epoch_ms(SPEC.start) - 1}, "end"),
        ({"start_time": None, "end_time": None}, "no start and no end"),
        ({"room_id": ["1"]}, "room_id"),
        ({"participants": "1,2"}, "participants"),
        ({"participants": [None]}, "participants"),
        ({"topic": {}, "description": False}, "topic and its description"),
        ({"creator": [3]}, "creator"),
    ],
    ids=str,
)
def test_reservation_that_makes_no_sense(
    scene: Scene, change: dict[str, object], word: str
) -> None:
    """Whatever it holds is read, in a list or alone, and it says in a sentence what makes no sense."""
    _, api = scene.pair(
        page(item(**change), item("7"), total=2), said(result=item(**change))
    )
    odd, sound = sorted(
        api.find(START, START + timedelta(days=1)),
        key=lambda r: r.reservation_id == "7",
    )
    assert sound.oddity == ""
    alone = api.get(RESERVATION_ID)
    assert alone == odd
    assert word in odd.oddity
    assert odd.oddity.endswith(".")
    assert odd.onto(SPEC) is None


@pytest.mark.parametrize(
    "change",
    [
        {"attachments": "none"},
        {"attachments": [None, 5, {"url": 7}]},
        {"notice": "often", "notice_time": -5},
        {"gmt_create": "yesterday", "gmt_modified": [], "modifier": {}},
        {"cc_participants": None, "notice_time": 10**20},
    ],
    ids=str,
)
def test_what_decides_nothing_may_be_anything(
    scene: Scene, change: dict[str, object]
) -> None:
    """A field that decides no booking and cannot be read stays as it is known."""
    _, api = scene.pair(said(result=item(**change)))
    found = api.get(RESERVATION_ID)
    assert found is not None
    wanted = replace(SPEC, cc_participants=("8",), notice_time_s=180)
    shown = found.onto(wanted)
    assert shown is not None
    assert (found.oddity, shown.notice) == ("", True)
    if "attachments" in change:
        assert all(isinstance(a.url, str) for a in found.attachments)


@pytest.mark.parametrize("result", [None, [], "x", 5, True, {"list": []}, {}], ids=str)
def test_get_of_what_is_no_reservation(scene: Scene, result: object) -> None:
    """An answer that is none is that reservation's trouble."""
    _, api = scene.pair(said(result=result))
    found = api.get("2")
    assert found is not None
    assert (found.reservation_id, bool(found.oddity), found.live) == ("2", True, True)


FAILURES: dict[str, Action] = {
    "code 500": refusal(500),
    "HTTP 500": http(b"{}", "500 Internal Server Error"),
    "HTTP 404 of a proxy": http(b"<html>", "404 Not Found"),
    "no envelope": http(b"[]"),
    "success of another type": said(success="true"),
    "closed": lambda _connection: None,
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(
    "rules", [said(result={}), refusal(1109), refusal(1000)], ids=["told", "no", "none"]
)
def test_get_that_fails_while_the_api_answers_is_its_trouble(
    scene: Scene, failure: str, rules: bytes
) -> None:
    """A question for one reservation that fails again and again tells nothing of it, and ends nothing."""
    action = FAILURES[failure]
    attempts = 1 if "404" in failure else 3
    server, client = scene.pair(*[action] * attempts, rules)
    there = client.get(RESERVATION_ID)
    assert there is not None
    assert "fails" in there.oddity
    assert [urlsplit(r.target).path.rpartition("/")[2] for r in server.requests] == (
        [RESERVATION_ID] * attempts + ["reservations"]
    )


@pytest.mark.parametrize("failure", FAILURES)
def test_get_that_fails_like_all_else_is_unusable(scene: Scene, failure: str) -> None:
    """When the API answers nothing else either, it cannot be used, and no reservation is blamed."""
    _, client = scene.pair(FAILURES[failure])
    with pytest.raises(ApiUnusable, match="nothing was changed"):
        client.get(RESERVATION_ID)


def test_gets_that_all_fail_end_at_a_bound(scene: Scene) -> None:
    """Ten single questions that fail in a row are no longer the trouble of one reservation."""
    broken, fine, rules = (
        http(b"", "404 Not Found"),
        said(result={"reservation_id": RESERVATION_ID}),
        said(),
    )
    _, client = scene.pair(*[broken, rules] * 9, fine, *[broken, rules] * 10)
    for _ in range(9 + 1 + 9):
        assert client.get(RESERVATION_ID) is not None
    with pytest.raises(ApiUnusable, match="last 10"):
        client.get(RESERVATION_ID)


@pytest.mark.parametrize(
    "field", ["notice_time", "start_time", "status", "gmt_create", "x"]
)
def test_numbers_that_are_too_long_to_read(scene: Scene, field: str) -> None:
    """An integer of 5,000 digits, anywhere, costs its field and not the answer."""
    digits = b"9" * 5000
    item = json.dumps(
        {"reservation_id": RESERVATION_ID, "topic": "t", field: "@"}
    ).encode()
    answer = b'{"success":true,"result":%s}' % item.replace(b'"@"', digits)
    _, client = scene.pair(http(answer))
    there = client.get(RESERVATION_ID)
    assert there is not None
    assert there.topic == "t"


def test_get_that_answers_with_another_one(scene: Scene) -> None:
    """The answer is not taken for the reservation that was asked for."""
    _, api = scene.pair(said(result=item("8")))
    found = api.get("7")
    assert found is not None
    assert (found.reservation_id, found.oddity) == (
        "7",
        "The API answers with another one, 8.",
    )


@pytest.mark.parametrize("nothing", ["", None, "a/b", {"id": 1}, True, 1.5], ids=str)
def test_item_without_an_id(scene: Scene, nothing: object) -> None:
    """What cannot be asked for is told apart; what it could be is not absent, all else is."""
    _, api = scene.pair(page(item(nothing), item("7"), total=2))
    listing = api.find(START, START + timedelta(days=1))
    assert [r.reservation_id for r in listing] == ["7"]
    assert (len(listing.nameless), listing.doubt) == (1, "")
    assert not listing.lacks(str(MARK), "3")
    assert listing.lacks(str(Mark.of("hq", OccurrenceKey("", "other", None), 0)), "3")


@pytest.mark.parametrize("junk", [None, 5, "x", [], False], ids=str)
def test_item_that_is_nothing(scene: Scene, junk: object) -> None:
    """An item of which nothing can be read may be anything."""
    _, api = scene.pair(page(junk, item("7", description=""), total=2))
    listing = api.find(START, START + timedelta(days=1))
    assert [r.reservation_id for r in listing] == ["7"]
    assert not listing.lacks(str(MARK), "3")


def test_find_returns_all_pages_oldest_first(scene: Scene) -> None:
    """A list is read until has_more is false, each id once, by age and not in the API's order."""
    server, api = scene.pair(
        page(item("30"), item("4"), more=True, total=3), page(item(200), total=3)
    )
    found = api.find(START, START + timedelta(days=1), creator="3")
    assert found.doubt == ""
    assert [reservation.reservation_id for reservation in found] == ["4", "30", "200"]
    assert [request.query["page_no"] for request in server.requests] == ["1", "2"]
    assert all("status" not in request.query for request in server.requests)
    assert server.requests[0].query["creator"] == "3"


def test_find_without_has_more_goes_by_the_total(scene: Scene) -> None:
    """When has_more is missing, the total tells whether pages are left."""
    server, api = scene.pair(
        page(item("1"), more=None, total=2),
        page(item("2"), more=None, total=2),
        page(more=None, total=2),
    )
    assert len(api.find(START, START + timedelta(days=1))) == 2
    assert len(server.requests) == 2


ONE, TWO, THREE = item("1"), item("2"), item("3")


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([page(ONE, total=61)], id="has_more false, total not reached"),
        pytest.param([page(ONE, TWO, total=1)], id="more items than total"),
        pytest.param(
            [page(ONE, more=True, total=1), page(TWO, total=1)],
            id="has_more true at the total",
        ),
        pytest.param(
            [page(ONE, more=True, total=2), page(more=False, total=2)],
            id="last page empty",
        ),
        pytest.param(
            [page(ONE, more=True, total=2), page(more=True, total=2)],
            id="empty page that goes on",
        ),
        pytest.param(
            [page(ONE, more=True, total=3), page(ONE, TWO, total=3)], id="pages overlap"
        ),
        pytest.param([page(ONE, more=True, total=9)], id="page_no ignored"),
        pytest.param([page(ONE, ONE, total=2)], id="an id twice"),
        pytest.param(
            [page(ONE, item("1", topic="x"), total=2)], id="an id twice, otherwise"
        ),
        pytest.param(
            [page(ONE, more=True, total=2), page(TWO, total=3)], id="total changes"
        ),
        pytest.param(
            [page(ONE, more=True, total=2), page(TWO, total=None)], id="total goes away"
        ),
        pytest.param(
            [page(ONE, more=None, total=2), page(more=None, total=2)],
            id="no has_more, end too early",
        ),
        pytest.param([page(ONE, total=-1)], id="total negative"),
        pytest.param(
            [page(ONE, more=True, total=2), refusal(1109)], id="second page refused"
        ),
        pytest.param(
            [page(ONE, more=True, total=2), said(result=None)], id="second page is none"
        ),
        pytest.param(
            [page(ONE, more=True, total=2), said(result={"list": {}})],
            id="second page no list",
        ),
        pytest.param([refusal(2406)], id="refused"),
        pytest.param([said(result=[ONE])], id="a bare list"),
        pytest.param([said(result="x")], id="text"),
        pytest.param([said(result={"total": 3, "has_more": False})], id="no list"),
    ],
)
def test_list_that_contradicts_itself_proves_nothing(
    scene: Scene, pages: list[Action]
) -> None:
    """What it shows may be used, what it lacks is not absent, and it says why; it ends in a few calls."""
    server, api = scene.pair(*pages)
    listing = api.find(START, START + timedelta(days=1))
    assert listing.doubt.startswith("The API")
    assert not listing.lacks(
        str(Mark.of("hq", OccurrenceKey("", "other", None), 0)), "77"
    )
    assert {r.reservation_id for r in listing} <= {"1", "2"}
    assert len(server.requests) <= len(pages) + 1


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([page(ONE, TWO, total=2)], id="one page"),
        pytest.param([page(total=0)], id="nothing"),
        pytest.param(
            [said(result={"total": 0, "has_more": False})], id="nothing, and no list"
        ),
        pytest.param(
            [page(ONE, more=True, total=None), page(TWO, total=None)], id="no total"
        ),
        pytest.param(
            [page(ONE, more="true", total="2"), page(TWO, more="false", total="2")],
            id="as text",
        ),
        pytest.param(
            [page(ONE, more=None, total=None), page(more=None, total=None)],
            id="neither",
        ),
    ],
)
def test_list_that_agrees_with_itself_proves_absence(
    scene: Scene, pages: list[Action]
) -> None:
    """Whatever of its documented parts are there."""
    _, api = scene.pair(*pages)
    listing = api.find(START, START + timedelta(days=1))
    assert listing.doubt == ""
    assert listing.lacks(str(Mark.of("hq", OccurrenceKey("", "other", None), 0)), "3")


def test_list_without_end(scene: Scene) -> None:
    """A list that says how long it is, and is longer than anybody would read, is given up at once."""
    server, api = scene.pair(page(ONE, more=True, total=10**9))
    assert api.find_within(3, START, START + timedelta(days=1)) is None
    assert (
        api.find(START, START + timedelta(days=1)).doubt
        == "The API's list does not end."
    )
    assert len(server.requests) == 2


def test_a_list_that_moves_proves_what_it_shows(scene: Scene) -> None:
    """Somebody books between two pages: nothing is absent for that, and no person has to know."""
    server, api = scene.pair(
        page(ONE, more=True, total=2),
        page(TWO, more=True, total=3),
        page(THREE, total=4),
    )
    listing = api.find_within(3, START, START + timedelta(days=1))
    assert listing is not None
    assert [len(listing), len(server.requests)] == [3, 3]
    assert (listing.moved, listing.trouble) == (True, "")
    assert not listing.lacks(None, "3")


def test_find_splits_long_windows(scene: Scene) -> None:
    """A long window is asked for in overlapping parts of 60 days that cover it exactly."""
    server, api = scene.pair(page(item("1")))
    end = START + timedelta(days=150)
    assert len(api.find(START, end)) == 1
    parts = [
        (int(r.query["start_time"]), int(r.query["end_time"])) for r in server.requests
    ]
    assert (parts[0][0], parts[-1][1]) == (epoch_ms(START), epoch_ms(end))
    assert all(until - since <= 60 * 86_400_000 for since, until in parts)
    assert all(later[0] < earlier[1] for earlier, later in itertools.pairwise(parts))
    assert len(parts) == 3


def test_rules(scene: Scene) -> None:
    """Booking rules are read as they are, with the documented defaults when none are configured."""
    _, api = scene.pair(
        said(
            result={
                "booking_date": ["Monday"],
                "start_time": "08:30",
                "max_day": 3,
                "maxHour": "2",
            }
        ),
        said(result=None),
        refusal(1000),
        refusal(1109),
        said(result="always"),
    )
    assert api.rules() == BookingRules(("Monday",), "08:30", None, None, 2, 3, None)
    assert (api.rules().max_day, api.rules().max_day) == (7, 7)
    for _ in range(2):
        with pytest.raises(Unanswered):
            api.rules()


def test_rooms(scene: Scene) -> None:
    """Rooms of all pages are read."""
    quiet = {
        "id": 1,
        "name": "Quiet",
        "address": "1st",
        "space": 4,
        "reservation_approved": "Y",
    }
    old = {"id": "2", "name": "Old", "room_status": "stop"}
    _, api = scene.pair(
        page(quiet, None, {"name": "nameless"}, more=True), page(old), refusal(1109)
    )
    assert api.rooms() == (
        Room("1", "Quiet", "1st", 4, True, True),
        Room("2", "Old", "", None, False, False),
    )
    with pytest.raises(Unanswered, match="code 1109"):
        api.rooms()


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ([{"id": "u1", "email": "Zoe@Example.com", "status": 1}], "u1"),
        ([{"id": "u1", "email": "zoe@example.com", "status": 0}], None),
        (
            [
                {"id": "u1", "email": "zoe@example.com"},
                {"id": "u2", "email": "ZOE@example.com"},
            ],
            None,
        ),
        ([{"id": "u1", "email": "zoe@example.com.evil"}, {"id": "u2"}], None),
        ([], None),
        (
            [
                None,
                {"email": "zoe@example.com"},
                {"id": "u3", "email": "zoe@example.com"},
            ],
            "u3",
        ),
    ],
    ids=["one", "disabled", "two", "similar", "none", "odd ones"],
)
def test_find_user(scene: Scene, users: list[object], expected: str | None) -> None:
    """A person is exactly one enabled user with the same address, also on a later page."""
    server, api = scene.pair(page(more=True, last_row_key="k1"), page(*users))
    assert api.find_user("zoe@example.com") == expected
    assert server.requests[1].query["last_row_key"] == "k1"


# --- Pace, budget, counting, closing, privacy ---


def test_rate_is_kept(scene: Scene) -> None:
    """Calls never come faster than configured."""
    server = scene.server(said(result=item()))
    api = scene.client(server.url, requests_per_second=50)
    began = time.monotonic()
    for _ in range(50):
        api.get(RESERVATION_ID)
    assert time.monotonic() - began >= 50 / 50 * 0.9


def test_a_slow_api_has_several_calls_under_way(scene: Scene) -> None:
    """Calls begin at the pace of the rate and not of the answers; never faster, and never more than eight."""
    pairs = threading.Barrier(2)

    def slow(connection: socket.socket) -> None:
        pairs.wait(HANG_S)  # no call is answered before another one has come
        connection.sendall(
            http(json.dumps({"success": True, "result": item()}).encode(), "200 OK")
        )

    server = scene.server(slow)
    api = scene.client(server.url, requests_per_second=25)
    most, began = 0, time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        waiting: set[Future[object]] = set()
        for _ in range(40):
            while (pause_s := api.pause_s(len(waiting))) > 0:
                waiting = wait(waiting, min(pause_s, 1), FIRST_COMPLETED).not_done
            waiting.add(pool.submit(api.get, RESERVATION_ID))
            most = max(most, len(waiting))
    assert time.monotonic() - began >= 40 / 25 * 0.9
    assert 2 <= most <= 8


def test_no_more_calls_begin_than_there_are_connections(scene: Scene) -> None:
    """Beyond eight calls only the end of one makes room, however fast the pace is."""
    _, api = scene.pair(said(result=item()))
    assert api.pause_s(7) < 1
    assert api.pause_s(8) == math.inf


def test_when_one_is_throttled_all_wait(scene: Scene) -> None:
    """A call that was not asked to wait waits too, since the API counts calls and not threads."""
    patience = http(b"", "429 Too Many Requests", "Retry-After: 3")
    server = scene.server(said(result=item()), patience, said(result=item()))
    api = scene.client(server.url)
    api.get(RESERVATION_ID)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(api.get, RESERVATION_ID)]
        # Until that one was asked to wait.
        while api.pause_s(1) < 1 and len(server.requests) < 3:
            time.sleep(0.001)
        calls += [pool.submit(api.get, RESERVATION_ID) for _ in range(7)]
        assert all(call.result(timeout=HANG_S) for call in calls)
    times = [request.at for request in server.requests]
    assert len(times) == 1 + 1 + 8
    assert times[2] - times[1] >= 2.9


def threads_in(function: str) -> int:
    """Return how many threads are in a function of the client."""
    stacks = [traceback.walk_stack(top) for top in sys._current_frames().values()]
    codes = [frame.f_code for stack in stacks for frame, _ in stack]
    return sum(
        code.co_name == function and "/syncd/tuya/" in code.co_filename
        for code in codes
    )


def test_threads_share_the_failure_to_get_a_token(scene: Scene) -> None:
    """Those that wait for a token while it is refused do not ask for it again, one after the other."""

    def refused(connection: socket.socket) -> None:
        until(lambda: threads_in("current") == 8, "all wait for the token")
        connection.sendall(refusal(1005))

    server = scene.server(said(result=item()), token=lambda _number: refused)
    api = scene.client(server.url)
    with ThreadPoolExecutor(8) as pool:
        for call in [pool.submit(api.get, RESERVATION_ID) for _ in range(8)]:
            with pytest.raises(ApiUnusable, match=r"api\.client_id"):
                call.result(timeout=HANG_S)
    assert (len(server.tokens), len(server.requests)) == (1, 0)


def test_threads_do_not_overspend_the_budget(scene: Scene) -> None:
    """Of eight calls at once as many leave as there are calls left."""
    server = scene.server(said(result=item()))
    left = [6]

    def count(_method: str) -> None:
        before = left[0]
        time.sleep(0.01)  # as long as it takes others to ask
        left[0] = before - 1

    api = scene.client(server.url, budget_left=lambda: left[0], count_call=count)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(api.get, RESERVATION_ID) for _ in range(8)]
    assert sum(call.exception() is None for call in calls) == 5
    assert (left, len(server.tokens), len(server.requests)) == ([0], 1, 5)


def test_a_write_whose_turn_comes_after_the_end_of_arming_is_not_sent(
    scene: Scene,
) -> None:
    """Work that was given up while calls waited for their turn: they end as if the program were stopping."""
    in_time = False
    while not in_time:  # a machine that is too busy for that proves nothing
        server = scene.server(page(), said(result=RESERVATION_ID))
        api = scene.client(server.url, requests_per_second=1)
        began = time.monotonic()
        api.rooms()  # takes the token and the first turns
        server.requests.clear()
        with ThreadPoolExecutor(1) as pool:
            with api.armed():
                late = pool.submit(api.create, SPEC, MARK)
                until(
                    lambda: threads_in("_exchanged") or late.done(),  # noqa: B023  # in the same round
                    "it waits for its turn",
                )
            in_time = time.monotonic() - began < 1.8
            error = late.exception(HANG_S)
    assert isinstance(error, ApiUnusable)
    assert "stopping" in str(error)
    assert server.requests == []


def test_spent_budget_stops_before_any_call(scene: Scene) -> None:
    """With no calls left nothing leaves, not even for a token, and the sentence names the setting."""
    server = scene.server(said(result=item()))
    left = [2]
    api = scene.client(
        server.url,
        budget_left=lambda: left[0],
        count_call=lambda _method: left.__setitem__(0, left[0] - 1),
    )
    api.get(RESERVATION_ID)
    with api.armed(), pytest.raises(ApiUnusable, match=r"api\.monthly_calls"):
        api.create(SPEC, MARK)
    assert (left, len(server.requests)) == ([0], 1)


def test_calls_are_counted_by_method(scene: Scene) -> None:
    """Every request counts, those for tokens and repeats too, and is reported before it leaves."""
    server = scene.server(refusal(1010), said(result=RESERVATION_ID), said(result=True))
    counted: list[str] = []
    api = scene.client(server.url, count_call=counted.append)
    with api.armed():
        api.create(SPEC, MARK)
        api.cancel(RESERVATION_ID)
    assert counted == ["GET", "POST", "GET", "POST", "PUT"]
    assert api.calls == {"GET": 2, "POST": 2, "PUT": 1}


def test_close_ends_a_waiting_call(scene: Scene) -> None:
    """Closing from another thread ends a wait and refuses what comes later."""
    server, api = scene.pair(http(b"", "429 Too Many Requests", "Retry-After: 15"))
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(api.get, RESERVATION_ID)
        while not server.requests:
            time.sleep(0.01)
        time.sleep(0.1)
        api.close()
        with pytest.raises(ApiUnusable, match="stopping"):
            waiting.result(timeout=HANG_S)
        assert time.monotonic() - began < 15, "while it still had to wait"
    with pytest.raises(ApiUnusable, match="stopping"):
        api.get(RESERVATION_ID)


def test_close_lets_a_write_come_to_its_end(scene: Scene) -> None:
    """A write that is underway when the client is closed still brings its reservation id."""
    release = threading.Event()

    def slow(connection: socket.socket) -> None:
        release.wait(HANG_S)
        connection.sendall(said(result=RESERVATION_ID))

    server, api = scene.pair(slow)

    def create() -> str:
        with api.armed():
            return api.create(SPEC, MARK)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(create)
        while not server.requests:
            time.sleep(0.01)
        api.close()
        release.set()
        assert writing.result(timeout=HANG_S) == RESERVATION_ID


def test_nothing_private_is_logged(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """No log of ours or of the libraries below holds content, addresses, secrets or URLs."""
    caplog.set_level(logging.DEBUG)
    server, api = scene.pair(
        http(b"", "502 Bad Gateway"),
        page(),
        said(result=RESERVATION_ID),
        refusal(1109, msg="Zoë is busy"),
    )
    with structlog.testing.capture_logs() as events, api.armed():
        api.find_user("zoe@example.com")
        api.create(SPEC, MARK)
        with pytest.raises(ReservationError):
            api.cancel(RESERVATION_ID)
    assert {"api_call", "call_repeated"} <= {event["event"] for event in events}
    assert TRACE in repr(events)
    assert_tells_nothing(repr(events) + caplog.text, server.url)


def test_proxy_of_the_environment(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is used for the API, but never for an endpoint on this machine."""
    proxy = scene.server(said(result=item()))
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert scene.client("http://api.invalid").get(RESERVATION_ID) is not None
    assert proxy.requests[0].target.startswith("http://api.invalid/")
    direct, api = scene.pair(said(result=item()))
    api.get(RESERVATION_ID)
    assert (len(direct.requests), len(proxy.requests)) == (1, 1)


def test_proxy_that_cannot_be_used_makes_the_api_unusable(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is looked at by the first call, which names the variable that is wrong."""
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "gopher://proxy.invalid")
    api = scene.client("http://api.invalid")
    with pytest.raises(ApiUnusable, match=r"http_proxy.*nothing was changed"):
        api.get(RESERVATION_ID)
    assert api.calls == {"GET": 0, "POST": 0, "PUT": 0}


def test_closed_before_the_first_call(scene: Scene) -> None:
    """A client that was closed before it had anything to do makes no call any more."""
    server, api = scene.pair(said(result=item()))
    api.close()
    with pytest.raises(ApiUnusable):
        api.get(RESERVATION_ID)
    assert (server.requests, server.tokens) == ([], [])


@pytest.mark.parametrize(
    "endpoint", ["", "openapi.tuyaeu.com", "ftp://x", "https://", f"https://{'a' * 70}"]
)
def test_unusable_endpoint_is_a_configuration_error(endpoint: str) -> None:
    """An endpoint that can never be called is named with its key, before any call."""
    with pytest.raises(ConfigError, match=r"api\.endpoint"):
        TuyaApi(
            endpoint=endpoint,
            client_id=CLIENT_ID,
            client_secret=lambda: SECRET,
            timeout_s=1,
            requests_per_second=1,
        )


# --- Against the sandbox ---

ROOMLESS = replace(SPEC, room_id=None)


def test_life_of_a_reservation(scene: Scene) -> None:
    """What is booked, changed and cancelled reads back as it was sent, under one id."""
    api = scene.sandbox()
    attached = replace(
        SPEC, attachments=(Attachment("https://a.example/ü?x=1", "ü"),), notice=False
    )
    with api.armed():
        reservation_id = api.create(attached, MARK)
        booked = api.get(reservation_id)
        assert booked is not None
        assert (booked.topic, booked.start, booked.end) == (
            SPEC.topic,
            SPEC.start,
            SPEC.end,
        )
        assert (booked.room_id, booked.participants, booked.mark) == (
            SPEC.room_id,
            SPEC.participants,
            MARK,
        )
        assert (booked.attachments, booked.notice, booked.live) == (
            attached.attachments,
            False,
            True,
        )
        moved = replace(
            ROOMLESS, start=START + timedelta(minutes=15), cc_participants=("7",)
        )
        api.modify(reservation_id, moved, MARK, "3")
        changed = api.get(reservation_id)
        assert changed is not None
        assert (changed.start, changed.cc_participants) == (moved.start, ("7",))
        assert (changed.room_id, changed.attachments) == (None, ())
        api.cancel(reservation_id)
    cancelled = api.get(reservation_id)
    assert cancelled is not None
    assert cancelled.status is ReservationStatus.CANCELLED
    assert api.find(START, START + timedelta(days=1), creator="3").reservations == (
        cancelled,
    )
    assert api.get("1") is None


def test_find_reads_all_pages_of_the_sandbox(scene: Scene) -> None:
    """More reservations than two capped pages hold are found once each, oldest first, whatever the order."""
    api = scene.sandbox(page_cap="10", list_order="created-descending")
    with api.armed():
        made = [
            api.create(replace(ROOMLESS, topic=str(number)), MARK)
            for number in range(25)
        ]
    assert [
        found.reservation_id for found in api.find(START, START + timedelta(days=100))
    ] == made


def test_taken_room_is_refused(scene: Scene) -> None:
    """A conflict is a refusal with the API's code, not a fault."""
    api = scene.sandbox()
    with api.armed():
        api.create(SPEC, MARK)
        with pytest.raises(Refused) as caught:
            api.create(SPEC, Mark("abcd", "zzzzzzzzzz"))
    assert caught.value.code not in {0, 500}


@pytest.mark.parametrize(
    ("fault", "booked"),
    [
        ("lost:on=create,times=1", 1),
        ("closed:on=create,times=1", 0),
        ("slow:on=create,times=1,seconds=3600", 1),
        ("error:on=create,times=1", 1),
        ("error:on=create,times=1,work=none", 0),
        ("gateway:on=create,times=1,work=done", 1),
        ("garbage:on=create,times=1", 1),
    ],
)
def test_fault_that_hides_the_outcome(scene: Scene, fault: str, booked: int) -> None:
    """When the answer to a create is lost, the client says that it cannot know whether it was booked."""
    api = scene.sandbox(fault, timeout_s=2 if fault.startswith("slow") else HANG_S)
    with api.armed(), pytest.raises(OutcomeUnknown):
        api.create(ROOMLESS, MARK)
    found = api.find(START, START + timedelta(days=1))
    assert [reservation.mark for reservation in found] == [MARK] * booked


@pytest.mark.parametrize(
    "fault",
    [
        "expired:on=create,times=1",
        "throttled:on=create,times=2",
        "throttled:on=create,times=1,code=1199",
        "refuse:on=create,times=1,code=1004",
        "clock:seconds=600",
        "clock:seconds=-900",
    ],
)
def test_fault_that_the_client_heals(scene: Scene, fault: str) -> None:
    """A refusal before processing is healed inside the client: booked exactly once."""
    api = scene.sandbox(fault)
    with api.armed():
        reservation_id = api.create(ROOMLESS, MARK)
    assert [
        found.reservation_id for found in api.find(START, START + timedelta(days=1))
    ] == [reservation_id]


def test_two_programs_with_one_key_do_not_lose_a_booking(scene: Scene) -> None:
    """Where a new token ends the old one, two clients that take turns go on, each with one repeat."""
    settings = SandboxSettings(switches={"grant_kills_previous": "on"})
    running = scene.stack.enter_context(Sandbox(settings).running())
    clients = [
        TuyaApi(
            endpoint=running.url,
            client_id=running.client_id,
            client_secret=lambda: running.client_secret,
            timeout_s=HANG_S,
            requests_per_second=1000.0,
        )
        for _ in range(2)
    ]
    for number in range(3):
        for client in clients:
            with client.armed():
                client.create(replace(ROOMLESS, topic=str(number)), MARK)
    assert len(clients[0].find(START, START + timedelta(days=1))) == 6
    for client in clients:
        client.close()


@pytest.mark.parametrize("code", [28841004, 28841101, 28841105])
def test_quota_and_subscription(scene: Scene, code: int) -> None:
    """A spent quota or a missing subscription is ApiUnusable, and nothing was booked."""
    kind = "quota" if code == 28841004 else "unsubscribed"
    api = scene.sandbox(f"{kind}:on=create,code={code}")
    with api.armed(), pytest.raises(ApiUnusable) as caught:
        api.create(ROOMLESS, MARK)
    assert caught.value.code == code
    assert api.find(START, START + timedelta(days=1)) == Listing()


def test_rules_and_rooms_of_the_sandbox(scene: Scene) -> None:
    """Rules and rooms are read from a server that was written apart from the client."""
    api = scene.sandbox()
    rules = api.rules()
    assert (rules.max_day, rules.start_time, rules.end_time) == (7, "07:00", "23:00")
    assert all(isinstance(room, Room) for room in api.rooms())
    assert api.find_user("nobody@example.com") is None
