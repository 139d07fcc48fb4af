"""The checks before every call: headers, credentials, time window, signature, token; and the token calls.

API pages "Request structure", "Sign Requests", "Get a token", "Refresh a token" and "Error codes".
A refusal here proves that the call was not executed.
Refreshing ends the old access token and the old refresh token at once; a refresh token works once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from syncd.sandbox import signature
from syncd.sandbox.call import ApiError, Call, Json, Operation
from syncd.sandbox.store import Store
from syncd.sandbox.switches import Switches

TOKEN_NULL: Final = 1002
GRANT_TYPE_INVALID: Final = 1003
SIGN_INVALID: Final = 1004
CLIENT_INVALID: Final = 1005
CONTENT_TYPE: Final = 1006
TOKEN_EXPIRED: Final = 1010
TOKEN_INVALID: Final = 1011
TIME_INVALID: Final = 1013
HEADER_MISSING: Final = 1105

REMEMBERED_NONCES: Final = 100_000


@dataclass(frozen=True)
class Received:
    """A request as it came in; header names in lower case, the query decoded."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class RequestCheck:
    """The check of requests: only those pass that are signed with the secret of the client."""

    client_id: str
    client_secret: str = field(repr=False)
    store: Store
    _nonces: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_NONCES))

    def admit(
        self, received: Received, operation: Operation, switches: Switches, now: int
    ) -> None:
        """Refuse what is not signed as documented, at server time `now` (epoch ms).

        Raises:
            ApiError: with the documented code; headers are looked at before the signature, the token last.
        """
        headers = received.headers
        self._check_client(headers)
        _check_time(headers["t"], switches, now)
        if operation.is_token_call:
            self._check_signature(received, access_token="")
        else:
            access_token = headers.get("access_token", "")
            if not access_token:
                raise ApiError(TOKEN_NULL, "access_token is null")
            self._check_signature(received, access_token)
            self._check_token(access_token, switches, now)
        if not switches.nonce_repeated:
            nonce = headers.get("nonce", "")
            self._check_nonce(nonce)
        content_type = headers.get("content-type", "")
        if received.body and "application/json" not in content_type:
            raise ApiError(CONTENT_TYPE, "the content type is not application/json")

    def _check_client(self, headers: Mapping[str, str]) -> None:
        for name in ("client_id", "sign", "sign_method", "t"):
            if not headers.get(name):
                raise ApiError(HEADER_MISSING, f"header {name} is missing")
        if headers["client_id"] != self.client_id:
            raise ApiError(CLIENT_INVALID, "client_id is invalid")

    def _check_signature(self, received: Received, access_token: str) -> None:
        headers = received.headers
        signed_headers = headers.get("signature-headers", "")
        block = signature.header_block(signed_headers, headers)
        url = signature.signed_url(received.path, received.query)
        expected = signature.sign(
            secret=self.client_secret,
            client_id=self.client_id,
            t=headers["t"],
            nonce=headers.get("nonce", ""),
            text=signature.string_to_sign(received.method, url, received.body, block),
            access_token=access_token,
        )
        if headers["sign_method"] != "HMAC-SHA256" or headers["sign"] != expected:
            raise ApiError(SIGN_INVALID, "sign is invalid")

    def _check_nonce(self, nonce: str) -> None:
        if not nonce:
            return
        if nonce in self._nonces:
            raise ApiError(SIGN_INVALID, "the nonce was used before")
        self._nonces.append(nonce)

    def _check_token(self, access_token: str, switches: Switches, now: int) -> None:
        expires_at = self.store.token_expiry(access_token)
        if expires_at is None:
            raise ApiError(switches.unknown_token_code, "token is invalid")
        if expires_at <= now:
            raise ApiError(TOKEN_EXPIRED, "token is expired")


def _check_time(t: str, switches: Switches, now: int) -> None:
    invalid = ApiError(TIME_INVALID, "request time is invalid")
    if len(t) != 13 or not t.isdecimal():
        raise invalid
    apart_ms = abs(int(t) - now)
    if apart_ms > switches.time_window * 1000:
        raise invalid


def _grant(call: Call) -> Json:
    grant_type = call.query.need("grant_type", call.query.text)
    if grant_type != "1":
        raise ApiError(GRANT_TYPE_INVALID, "grant type is invalid")
    if call.switches.grant_kills_previous:
        call.store.end_all_pairs()
    return _pair(call)


def _refresh(call: Call) -> Json:
    was_good = call.store.end_pair(call.path["refresh_token"])
    if not was_good:
        raise ApiError(TOKEN_INVALID, "token is invalid")
    return _pair(call)


def _pair(call: Call) -> Json:
    life = call.switches.token_seconds
    access_token, refresh_token = call.store.grant(call.now + life * 1000)
    return {
        "access_token": access_token,
        "refresh_token": refresh_token,
        "expire_time": life,
        "uid": call.store.setting("uid", None, f"bay{call.now}"),
    }


OPERATIONS = (
    Operation("token", "GET", "/v1.0/token", _grant, is_token_call=True),
    Operation(
        "refresh", "GET", "/v1.0/token/{refresh_token}", _refresh, is_token_call=True
    ),
)
