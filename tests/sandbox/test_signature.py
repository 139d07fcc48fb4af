"""Credentials: the documented test vectors, and what the gate refuses with which code."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from syncd.sandbox.signature import header_block, sign, signed_url, string_to_sign
from tests.sandbox.conftest import MEETINGS, Client, Start, meeting, now_ms

CLIENT_ID = "1KAD46OrT9HafiKdsXeg"
SECRET = "4OHBOnWOqaEC1mWXOpVL3yV50s0qGSRC"
TOKEN = "3f4eda2bdec17232f67c0b188af3eec1"
NONCE = "5138cc3a9033d69856923fd07b491173"
T = "1588925778000"
SIGNED = {
    "area_id": "29a33e8796834b1efa6",
    "call_id": "8afdb70ab2ed11eb85290242ac130003",
}
GRANT = "/v1.0/token?grant_type=1"
USERS = "/v2.0/apps/schema/users?page_no=1&page_size=50"
BODY = (
    b'{"topic":"Test Meeting","start_time":1625040238000,"end_time":1625045462000,'
    b'"participants":["1","2"],"notice":true,"notice_time":180,"creator":"3"}'
)
LIST = (
    f"{MEETINGS}?creator=3&end_time=1627615862000&meeting_room_ids=1,2&start_time=1622343649000"
    "&topic=Test Meeting"
)
COMMANDS = b'{"commands":[{"code":"switch_led","value":false}]}'

VECTORS = [
    # the worked example of the sign page
    (
        "GET",
        GRANT,
        b"",
        NONCE,
        True,
        "",
        "9E48A3E93B302EEECC803C7241985D0A34EB944F40FB573C7B5C2A82158AF13E",
    ),
    (
        "GET",
        USERS,
        b"",
        NONCE,
        True,
        TOKEN,
        "AE4481C692AA80B25F3A7E12C3A5FD9BBF6251539DD78E565A1A72A508A88784",
    ),
    # the same inputs without signed headers
    (
        "GET",
        GRANT,
        b"",
        "",
        False,
        "",
        "7BA26C076E5ECB1E959BE274A0FFB397B2B1865FC7BCED8F1C78AC5653C20CAA",
    ),
    (
        "GET",
        USERS,
        b"",
        NONCE,
        False,
        TOKEN,
        "F858D3153DBD4FFA94D59D56B00E2945430F33F0403B8BE575F3A13B1F2D3B47",
    ),
    (
        "POST",
        MEETINGS,
        BODY,
        NONCE,
        False,
        TOKEN,
        "26263EB00983105B73F58D48EEBB8E2BE93B9CCC18A2E533223CCC3F5A51343D",
    ),
    (
        "POST",
        MEETINGS,
        '{"topic":"测试大型会议"}'.encode(),
        NONCE,
        False,
        TOKEN,
        "DEDA1BE756BEB103509B13A20A4FFD7BF5E293018A9CB77E8E031D1905A6CFFC",
    ),
    (
        "GET",
        LIST,
        b"",
        NONCE,
        False,
        TOKEN,
        "4CD749AD14078B3FBC569B75CB72B61EC07043AE3DD734CF399709781457EE00",
    ),
    (
        "PUT",
        f"{MEETINGS}/1410148835895808097/status",
        b'{"status":"3"}',
        NONCE,
        False,
        TOKEN,
        "040778F639B266CC11C7BFE7A7CA571FBFDFF24B54DE301AB074DF5C786090DE",
    ),
    (
        "POST",
        "/v1.0/devices/bf2c1e00ab0f12face/commands",
        COMMANDS,
        "",
        False,
        TOKEN,
        "F27DD95A15E84C954DB2ED016096D517681FE79853B6CDAD446927352691804E",
    ),
]


@pytest.mark.parametrize(
    ("method", "url", "body", "nonce", "with_headers", "token", "expected"),
    VECTORS,
    ids=[f"V{number}" for number in range(1, 10)],
)
def test_vector(
    method: str,
    url: str,
    body: bytes,
    nonce: str,
    with_headers: bool,
    token: str,
    expected: str,
) -> None:
    """The signature is the one that the documentation prints, or that follows from its inputs."""
    block = header_block("area_id:call_id", SIGNED) if with_headers else ""
    path, _, pairs = url.partition("?")
    query = [
        (name, value)
        for name, _, value in (pair.partition("=") for pair in pairs.split("&") if pair)
    ]
    # Backwards: the order on the wire must not matter.
    text = string_to_sign(method, signed_url(path, reversed(query)), body, block)
    assert sign(SECRET, CLIENT_ID, T, nonce, text, token) == expected


def test_token_result(shared: Client) -> None:
    """A grant is a pair of 32-digit tokens for two hours, in an envelope with t and tid, at HTTP 200."""
    answer = shared.send("GET", "/v1.0/token", query={"grant_type": "1"})
    envelope = answer.envelope
    assert (answer.status, envelope["success"], envelope["result"]["expire_time"]) == (
        200,
        True,
        7200,
    )
    assert re.fullmatch(r"[0-9a-f]{32}", envelope["tid"])
    assert abs(envelope["t"] - now_ms()) < 5000
    assert re.fullmatch(r"[0-9a-f]{32}", envelope["result"]["access_token"])
    assert envelope["result"]["uid"]


def test_signed_headers_and_nonce(shared: Client) -> None:
    """Signature-Headers and nonce take part in the signature."""
    headers = (("area_id", "7"), ("call_id", "8"))
    query = {"grant_type": "1"}
    assert shared.send(
        "GET", "/v1.0/token", query=query, nonce="n", signed_headers=headers
    ).envelope["success"]
    tampered = shared.send(
        "GET",
        "/v1.0/token",
        query=query,
        nonce="n",
        signed_headers=headers,
        headers={"area_id": "9"},
    )
    assert tampered.envelope["code"] == 1004
    other_nonce = shared.send(
        "GET", "/v1.0/token", query=query, nonce="n", headers={"nonce": "m"}
    )
    assert other_nonce.envelope["code"] == 1004


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another"},
        {"signed_method": "get"},
        {"signed_query": "start_time=1&end_time=2&topic=a, b&creator=3"},
        {"signed_query": "creator=3&end_time=2&start_time=1&topic=a%2C+b"},
        {"headers": {"sign_method": "HMAC-SHA1"}},
        {"headers": {"sign": "0" * 64}},
    ],
)
def test_wrong_signature(shared: Client, wrong: dict[str, object]) -> None:
    """Another secret, a lower-case method, unsorted or percent-encoded parameters: code 1004, HTTP 200."""
    query = {"start_time": "1", "end_time": "2", "topic": "a, b", "creator": "3"}
    assert shared.send("GET", MEETINGS, query=query).envelope["success"]
    answer = shared.send("GET", MEETINGS, query=query, **wrong)  # type: ignore[arg-type]  # chosen above
    assert (answer.status, answer.envelope["code"], answer.envelope["success"]) == (
        200,
        1004,
        False,
    )
    assert "result" not in answer.envelope


@pytest.mark.parametrize("name", ["client_id", "sign", "sign_method", "t"])
def test_missing_header(shared: Client, name: str) -> None:
    """Without one of the required headers: code 1105."""
    assert shared.send("GET", MEETINGS, headers={name: None}).envelope["code"] == 1105


def test_unknown_client(shared: Client) -> None:
    """Another shared id: code 1005."""
    assert (
        shared.send("GET", MEETINGS, headers={"client_id": "nobody"}).envelope["code"]
        == 1005
    )


@pytest.mark.parametrize(
    ("offset_s", "code"), [(-290, None), (290, None), (-310, 1013), (310, 1013)]
)
def test_time_window(shared: Client, offset_s: int, code: int | None) -> None:
    """A `t` more than 300 s from the server's clock: code 1013."""
    answer = shared.send(
        "GET",
        "/v1.0/token",
        query={"grant_type": "1"},
        t=str(now_ms() + offset_s * 1000),
    )
    assert answer.envelope.get("code") == code


@pytest.mark.parametrize("t", ["soon", "1588925778", "-100000000000"])
def test_time_is_thirteen_digits(shared: Client, t: str) -> None:
    """A `t` that is no 13-digit time: code 1013."""
    assert (
        shared.send("GET", "/v1.0/token", query={"grant_type": "1"}, t=t).envelope[
            "code"
        ]
        == 1013
    )


def test_tokens_on_business_calls(shared: Client) -> None:
    """No token: 1002; one that was never issued: 1011."""
    assert replace(shared, access_token="").get(MEETINGS)["code"] == 1002
    assert replace(shared, access_token="f" * 32).get(MEETINGS)["code"] == 1011


def test_refresh_ends_the_old_pair(client: Client) -> None:
    """After a refresh the old access token gives 1010, and the old refresh token works no second time."""
    old = replace(client)
    fresh = client.get(f"/v1.0/token/{client.refresh_token}")["result"]
    assert old.get(MEETINGS)["code"] == 1010
    assert client.get(f"/v1.0/token/{client.refresh_token}")["code"] == 1011
    assert replace(client, access_token=fresh["access_token"]).list()["total"] == 0


def test_a_grant_leaves_former_tokens(client: Client, start: Start) -> None:
    """A second grant leaves the first token good, unless the switch says otherwise."""
    first = replace(client)
    client.connect()
    assert first.list()["total"] == 0
    strict = start(grant_kills_previous="on")
    before = replace(strict)
    strict.connect()
    assert before.get(MEETINGS)["code"] == 1010
    assert strict.list()["total"] == 0


def test_grant_type(shared: Client) -> None:
    """Without a grant type: 1100; with another than 1: 1003."""
    assert shared.get("/v1.0/token")["code"] == 1100
    assert shared.get("/v1.0/token", grant_type="2")["code"] == 1003


def test_token_life(start: Start) -> None:
    """An access token ends when its time is over on the server's clock: 1010."""
    client = start(time_window="100000")
    client.control("POST", "faults", {"faults": ["clock:seconds=7190"]})
    assert client.list()["total"] == 0
    client.control("POST", "faults", {"faults": ["clock:seconds=7210"]})
    assert client.get(MEETINGS)["code"] == 1010


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.0/token"),
        ("DELETE", MEETINGS),
        ("GET", "/v9/nothing"),
        ("GET", f"{MEETINGS}/"),
    ],
)
def test_unknown_paths(shared: Client, method: str, path: str) -> None:
    """A wrong method and an unknown path look alike: code 1108 at HTTP 200."""
    answer = shared.send(method, path)
    assert (answer.status, answer.envelope["code"]) == (200, 1108)


def test_content_type(shared: Client) -> None:
    """A body that is not announced as JSON: code 1006."""
    answer = shared.send(
        "POST", MEETINGS, b"{}", headers={"Content-Type": "text/plain"}
    )
    assert answer.envelope["code"] == 1006


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff", b'{"topic": "\\ud800"}', b"[" * 100_000]
)
def test_body_is_an_object(shared: Client, body: bytes) -> None:
    """A body that is no JSON object of proper text: code 1109."""
    assert shared.send("POST", MEETINGS, body).envelope["code"] == 1109


def test_secrets_stay_out_of_the_log(client: Client) -> None:
    """The log shows neither query nor refresh token nor content."""
    client.get(f"/v1.0/token/{client.refresh_token}")
    client.connect()
    client.post(MEETINGS, meeting(topic="Salaries"))
    client.list(topic="Salaries")
    log = "\n".join(client.lines) + str(client.control("GET", "requests"))
    assert "/v1.0/token/{refresh_token} code=0" in log
    assert client.refresh_token not in log
    assert "Salaries" not in log
