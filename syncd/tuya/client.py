"""An HTTP client that signs: one request of one cloud project to its endpoint, and the answer.

Promises: no answer is waited for without end or taken in without bound; the API's clock learns from each.
Must not: repeat a request, judge a code, or log what was sent, where, or with which secret.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote
from uuid import uuid4

import httpx
import structlog

from syncd.core.reservation import epoch_ms
from syncd.errors import ApiUnusable, ConfigError
from syncd.tuya import codes
from syncd.tuya.answer import (
    CHECK_ENDPOINT,
    CHECK_NETWORK,
    Answer,
    NoAnswer,
    read_answer,
    seconds_to_wait,
)
from syncd.tuya.apiclock import ApiClock
from syncd.tuya.requests import (
    RequestMade,
    operation_of,
    result_of,
    result_without_answer,
)
from syncd.tuya.signing import sign
from syncd.tuya.transport import Gate, WriteNotArmed

# httpx logs every URL with its query, and httpcore every header.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_log = structlog.get_logger(__name__)

_LARGEST_ANSWER = 8_000_000  # bytes; a full page of reservations has about 100,000

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    # Raised for a request that cannot be written, before its first byte; bodies have their exact length.
    httpx.LocalProtocolError,
)


class SigningClient:
    """An HTTP client that signs each request and sends it through a gate; for several threads.

    `client_secret` is asked for each signature, `clock` gives epoch seconds of this machine.
    `timeout_s` bounds connecting and each wait for data; an answer as a whole may take three times as long.
    `observe` is told of each request that was made, in the thread that made it.
    Raises `ConfigError` when the client id cannot be one.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        client_id: str,
        client_secret: Callable[[], str],
        timeout_s: float,
        gate: Gate,
        clock: Callable[[], float],
        api_clock: ApiClock,
        observe: Callable[[RequestMade], None] = lambda _request: None,
    ) -> None:
        if not (client_id and client_id.isascii() and client_id.isprintable()):
            raise ConfigError(
                ["api.client_id: must be the plain text that the Tuya console shows"]
            )
        self._endpoint = endpoint.rstrip("/")
        self._client_id = client_id
        self._client_secret = client_secret
        self._timeout_s = timeout_s
        self._clock = clock
        self._api_clock = api_clock
        self._observe = observe
        self._http = httpx.Client(
            transport=gate,
            timeout=httpx.Timeout(timeout_s),
            # A bounded answer stays bounded when nobody compresses it.
            headers={
                "user-agent": "syncd",
                "accept": "application/json",
                "accept-encoding": "identity",
            },
        )
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._underway = 0

    def time_to_sign(self) -> str:
        """Return the API's time in epoch milliseconds, or ours as long as the API's is not known."""
        known = self._api_clock.now()
        if known is None:
            return str(int(self._clock() * 1000))
        return str(epoch_ms(known.latest))

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        token: str,
        t: str,
    ) -> Answer:
        """Send one request, signed for the time `t`, and return its answer, whatever the API says in it.

        `token` is empty for a token call.
        Raises `NoAnswer` without usable answer, `ApiUnusable` when the client is closed or the calls of this
        month are used up.
        """
        pairs = sorted(query.items())
        headers = self._headers(method, path + _parameters(pairs, str), body, token, t)
        on_wire = self._endpoint + path + _parameters(pairs, _quoted)
        began = self._api_clock.elapsed()
        try:
            status, retry_after_s, content = self._exchange(
                method, on_wire, headers, body
            )
            answer = read_answer(status, retry_after_s, content)
        except NoAnswer as missing:
            self._tell(method, path, result_without_answer(method, missing), began)
            raise
        if answer.server_ms is not None:
            refused = codes.REMEDIES.get(answer.code) is codes.Remedy.SET_CLOCK
            self._api_clock.note(answer.server_ms, began, certain=refused)
        self._tell(method, path, result_of(method, answer), began)
        _log.debug(
            "api_call",
            method=method,
            code=answer.code,
            tid=answer.tid,
            seconds=round(self._api_clock.elapsed() - began, 3),
        )
        return answer

    def _tell(self, method: str, path: str, result: str, began_s: float) -> None:
        took_s = self._api_clock.elapsed() - began_s
        made = RequestMade(operation_of(method, path), method, result, took_s)
        self._observe(made)

    def wait(self, seconds: float) -> None:
        """Wait so long; raise `ApiUnusable` as soon as the client is closed meanwhile."""
        if seconds > 0 and self._closing.wait(seconds):
            raise _stopping()

    def close(self) -> None:
        """Refuse requests and end waits from now on, from any thread; what is under way comes to its end."""
        self._closing.set()
        self._close_when_idle()

    def _headers(
        self, method: str, url: str, body: bytes, token: str, t: str
    ) -> dict[str, str]:
        nonce = uuid4().hex
        headers = {
            "client_id": self._client_id,
            "sign_method": "HMAC-SHA256",
            "t": t,
            "nonce": nonce,
            "lang": "en",
            "sign": sign(
                method=method,
                url=url,
                body=body,
                client_id=self._client_id,
                secret=self._client_secret(),
                t=t,
                nonce=nonce,
                access_token=token,
            ),
        }
        if token:
            headers["access_token"] = token
        if body:
            headers["content-type"] = "application/json"
        return headers

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, float | None, bytes]:
        """Return status, Retry-After in seconds and body of an answer; the time for all of it is bounded."""
        deadline = time.monotonic() + 3 * self._timeout_s
        content = bytearray()
        try:
            with (
                self._exchange_underway(),
                self._http.stream(
                    method, url, content=body, headers=dict(headers)
                ) as response,
            ):
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _LARGEST_ANSWER:
                        raise NoAnswer(
                            "the API's answer is too large",
                            CHECK_ENDPOINT,
                            passes=False,
                        )
                    if time.monotonic() > deadline:
                        raise NoAnswer(
                            "the API's answer did not end in time", CHECK_NETWORK
                        )
                retry_after_s = seconds_to_wait(
                    response.headers.get("retry-after"), self._clock()
                )
                return response.status_code, retry_after_s, bytes(content)
        except WriteNotArmed:
            raise _stopping() from None  # it was when the call began, and stopped while it waited
        except _NOT_SENT as error:
            what = f"the API cannot be reached ({str(error) or type(error).__name__})"
            raise NoAnswer(what, CHECK_NETWORK, sent=False) from None
        except httpx.TimeoutException:
            what = f"the API did not answer within {self._timeout_s:g} s"
            raise NoAnswer(what, CHECK_NETWORK) from None
        except httpx.HTTPError as error:
            what = f"the connection to the API broke before the answer was complete ({type(error).__name__})"
            raise NoAnswer(what, CHECK_NETWORK) from None

    @contextmanager
    def _exchange_underway(self) -> Iterator[None]:
        # A connection closed under a thread that uses it fails in ways that httpx does not name.
        with self._lock:
            if self._closing.is_set():
                raise _stopping()
            self._underway += 1
        try:
            yield
        finally:
            with self._lock:
                self._underway -= 1
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        with self._lock:
            if self._closing.is_set() and not self._underway:
                self._http.close()


def _stopping() -> ApiUnusable:
    return ApiUnusable(
        "syncd is stopping; nothing was changed; it goes on after the next start"
    )


def _parameters(pairs: list[tuple[str, str]], encode: Callable[[str], str]) -> str:
    if not pairs:
        return ""
    return "?" + "&".join(f"{key}={encode(value)}" for key, value in pairs)


def _quoted(value: str) -> str:
    return quote(value, safe="")
