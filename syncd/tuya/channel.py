"""One signed call to the API: arming, pace, token, signature, answer, and what a failure means.

Promises: nothing but GET leaves unless armed; reads are repeated a bounded number of times; a write is sent
again only after an answer that is documented as a refusal before processing.
Threads share one pace, one token and one patience: when the API asks one call to wait, all wait.
`NotExecuted`, `Refused` and `ApiUnusable` from a write prove that it had no effect; everything else that
can go wrong is `OutcomeUnknown`.
Must not: know a resource of the API, log or put into a text what was sent, where, or with which secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import quote
from uuid import uuid4

import httpx
import stamina
import structlog

from syncd.core.apitime import ApiTime
from syncd.core.reservation import epoch_ms
from syncd.errors import (
    ApiUnusable,
    ConfigError,
    NotExecuted,
    OutcomeUnknown,
    RateLimited,
    Refused,
    SyncdError,
    Unanswered,
)
from syncd.tuya import codes
from syncd.tuya.apiclock import ApiClock, steady
from syncd.tuya.codes import Remedy
from syncd.tuya.content import whole_number
from syncd.tuya.pace import LATEST_SIGNING_S, Pace
from syncd.tuya.transport import CONNECTIONS, Gate, WriteNotArmed

# httpx logs every URL with its query, and httpcore every header.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_log = structlog.get_logger(__name__)

_LARGEST_ANSWER = 8_000_000  # bytes; a full page of reservations has about 100,000
_READ_ATTEMPTS = 3
_THROTTLE_WAITS_S = (0.5, 1.0, 2.0)
_LONGEST_WAIT_S = 15.0  # a longer Retry-After is the caller's to wait for
_RATE_LIMIT_PAUSE_S = 60.0
_TOKEN_LIFE_S = 7200  # page "Get Token"; used when the answer does not say
_LEAD_S = 0.02  # before its turn a call may begin, so that what its caller does first delays nothing

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    # Raised for a request that cannot be written, before its first byte; bodies have their exact length.
    httpx.LocalProtocolError,
)


def sign(
    *,
    method: str,
    url: str,
    body: bytes,
    client_id: str,
    secret: str,
    t: str,
    nonce: str = "",
    access_token: str = "",
    signed_headers: tuple[tuple[str, str], ...] = (),
) -> str:
    """The signature of one request (page "Sign Requests", the algorithm of projects since July 2021).

    `url` is the path with its raw, not percent-encoded, parameters sorted by key; `t` is in epoch
    milliseconds; without `access_token` it is a token call.
    `signed_headers` exist in the documentation and its example; the official clients disagree about them,
    so syncd sends none.
    """
    header_block = "".join(f"{name}:{value}\n" for name, value in signed_headers)
    request = "\n".join((method, hashlib.sha256(body).hexdigest(), header_block, url))
    text = client_id + access_token + t + nonce + request
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


@dataclass(frozen=True, slots=True)
class _Answer:
    """The envelope of an answer; `code` is 0 on success."""

    code: int
    result: object = None
    message: str = ""
    tid: str = ""
    server_ms: int | None = None
    retry_after_s: float | None = None


class _Fault(Exception):
    """An exchange without usable answer.

    `sent` is False when provably nothing reached the API, `passes` is True when it may pass by itself,
    `said_no` when it is an envelope that refuses, without a code that can be read.
    """

    def __init__(
        self, what: str, cure: str, *, sent: bool = True, passes: bool = True, said_no: bool = False
    ) -> None:
        self.cure = cure
        self.sent = sent
        self.passes = passes
        self.said_no = said_no
        super().__init__(what)


class Channel:
    """Signed calls to one project at one endpoint; may be used from several threads.

    Tokens come from `grant_type=1` only: a refresh token works once, so a lost answer to a refresh would
    need this way anyway, and one way is tested more often than two.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        client_id: str,
        client_secret: Callable[[], str],
        timeout_s: float,
        requests_per_second: float,
        count_call: Callable[[str], None],
        budget_left: Callable[[], int | None],
        clock: Callable[[], float],
        elapsed: Callable[[], float] = steady,
    ) -> None:
        if not (client_id and client_id.isascii() and client_id.isprintable()):
            raise ConfigError(["api.client_id: must be the plain text that the Tuya console shows"])
        self._endpoint = endpoint.rstrip("/")
        self._client_id = client_id
        self._client_secret = client_secret
        self._timeout_s = timeout_s
        self._clock = clock
        self._api_clock = ApiClock(elapsed)
        self._pace = Pace(requests_per_second, self._wait)
        self._gate = Gate(endpoint, count_call, budget_left)
        self._http = httpx.Client(
            transport=self._gate,
            timeout=httpx.Timeout(timeout_s),
            # A bounded answer stays bounded when nobody compresses it.
            headers={"user-agent": "syncd", "accept": "application/json", "accept-encoding": "identity"},
        )
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._underway = 0
        self._token_lock = threading.Lock()
        self._access_token: str | None = None
        self._no_token: tuple[float, SyncdError] | None = None  # when it was not given last, and why
        self._renew_at = 0.0

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Lets mutating requests through while it lasts."""
        with self._gate.armed():
            yield

    @property
    def calls(self) -> Mapping[str, int]:
        """Requests so far by method, those for tokens included."""
        return dict(self._gate.calls)

    def time(self) -> ApiTime:
        """Return the present at the API, which a token call tells if nothing did before.

        Raises `ApiUnusable` when that fails. The clock of this machine stands in for an API that does not
        tell its time.
        """
        known = self.time_if_known()
        if known is None:
            self._token()
            known = self.time_if_known()
        if known is None:
            ours = datetime.fromtimestamp(self._clock(), UTC)
            known = ApiTime(ours, ours, self._api_clock.elapsed())
        return known

    def ask_time(self) -> ApiTime:
        """Return the present at the API as a call of now tells; raises `ApiUnusable`."""
        self._api_clock.forget()
        with self._token_lock:
            self._renew_token()
        return self.time()

    def time_if_known(self) -> ApiTime | None:
        """Return the present at the API as far as former answers tell; None before the first."""
        return self._api_clock.now()

    @property
    def clock_offset_s(self) -> float | None:
        """The API's clock minus ours in seconds; None before the first answer."""
        known = self.time_if_known()
        if known is None:
            return None
        middle = known.earliest + (known.latest - known.earliest) / 2
        return middle.timestamp() - self._clock()

    def pause_s(self, underway: int) -> float:
        """Seconds until another call may begin beside so many; infinite: when one of them ends."""
        if underway >= CONNECTIONS:
            return math.inf
        return max(0.0, self._pace.pause_s(underway) - _LEAD_S)

    def close(self) -> None:
        """Refuses calls from now on and ends waiting ones, from any thread; one underway comes to its end."""
        self._closing.set()
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        with self._lock:
            if self._closing.is_set() and not self._underway:
                self._http.close()

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

    def read(self, path: str, query: Mapping[str, str] | None = None) -> object:
        """The `result` of a GET.

        Raises `ApiUnusable` when the API cannot be reached or no call can succeed, `RateLimited`, and
        `Refused` for every other code.
        """
        return self._repeated(lambda: self._call("GET", path, query or {}, b""), no_is_refusal=True)

    def read_one(self, path: str, control: str) -> object:
        """The `result` of a GET about one thing; raises as `read`, and `Unanswered`.

        When that question fails, the one at the path `control` is asked: if it gets an answer of any kind,
        the API can be used, and what failed is the trouble of the one thing.
        """
        try:
            return self._asked_again(lambda: self._call("GET", path, {}, b""))
        except _Fault as fault:
            if fault.said_no:
                raise Refused(0, "") from None
            if fault.sent:
                with suppress(Refused):
                    self.read(control)
                raise Unanswered(str(fault)) from None
            raise _unusable(fault) from None

    def write(
        self, method: str, path: str, body: Mapping[str, object], asked: ApiTime | None = None
    ) -> object:
        """The `result` of a mutating request that was asked for at a moment (None: now).

        It is signed at most `LATEST_SIGNING_S` after that, whatever holds it up.
        Raises `NotExecuted`, `RateLimited`, `Refused` or `ApiUnusable` when it provably had no effect,
        else `OutcomeUnknown`, and `WriteNotArmed` outside of `armed()`.
        """
        self._gate.require_armed(method)
        # With ASCII escapes there is no text that cannot be encoded.
        content = json.dumps(body, separators=(",", ":")).encode("ascii")
        try:
            return self._call(method, path, {}, content, asked=asked)
        except _Fault as fault:
            if fault.sent:
                raise OutcomeUnknown(
                    f"{fault}, so it may have been carried out; syncd settles it by looking"
                ) from None
            raise NotExecuted(
                f"{fault}, so it was not carried out and may be repeated; {fault.cure}"
            ) from None

    def _repeated(self, call: Callable[[], object], *, no_is_refusal: bool = False) -> object:
        try:
            return self._asked_again(call)
        except _Fault as fault:
            if fault.said_no and no_is_refusal:
                raise Refused(0, "") from None  # a no concerns what was asked for, also without a code
            raise _unusable(fault) from None

    @staticmethod
    def _asked_again(call: Callable[[], object]) -> object:
        """Make a call, again a few times where a fault may pass by itself; raises the last `_Fault`."""
        # Not as a decorator: stamina would log the arguments.
        for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, _Fault) and error.passes,
            attempts=_READ_ATTEMPTS,
            timeout=None,
            wait_initial=0.2,
            wait_max=2.0,
            wait_jitter=0.3,
        ):
            with attempt:
                return call()
        raise AssertionError("stamina ends with a result or an exception")

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        *,
        for_token: bool = False,
        asked: ApiTime | None = None,
    ) -> object:
        """Exchanges until there is a result: each remedy once, waiting as often as there are waits."""
        deadline = None if method == "GET" else _Deadline(self._api_clock, asked)
        try:
            return self._exchanged(method, path, query, body, for_token=for_token, deadline=deadline)
        finally:
            self._pace.give_back()

    def _exchanged(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        *,
        for_token: bool,
        deadline: _Deadline | None,
    ) -> object:
        tried: set[Remedy] = set()
        waits = iter(_THROTTLE_WAITS_S)
        while True:
            token = "" if for_token else self._token()
            self._pace.take_turn()
            # First the time that is signed, then the look at the deadline: a process that sleeps between the
            # two, or after them, sends a request that is as old as its sleep was long, and is refused.
            t = self._time_to_sign()
            if deadline is not None:
                deadline.require()
            answer = self._exchange(method, path, query, body, token, t)
            if not answer.code:
                return answer.result
            remedy = codes.REMEDIES.get(answer.code)
            if remedy is Remedy.WAIT:
                self._hold_as_asked(answer, next(waits, None))
            elif remedy is None or remedy in tried or (for_token and remedy is Remedy.RENEW_TOKEN):
                self._refuse(answer, remedy, for_token=for_token)
            else:
                tried.add(remedy)
                self._prepare(remedy, answer, token)

    def _prepare(self, remedy: Remedy, answer: _Answer, token: str) -> None:
        """Makes ready for the repeat; signing again needs nothing."""
        if remedy is Remedy.RENEW_TOKEN:
            with self._token_lock:
                if self._access_token == token:  # else another thread has renewed it already
                    self._access_token = None
        elif remedy is Remedy.SET_CLOCK and answer.server_ms is None:
            self._refuse(answer, remedy, for_token=False)

    def _hold_as_asked(self, answer: _Answer, wait_s: float | None) -> None:
        asked_s = answer.retry_after_s
        if wait_s is None or (asked_s or 0.0) > _LONGEST_WAIT_S:
            raise RateLimited(
                f"the API asks for patience ({_trace(answer)}), so it was not carried out; it is tried again "
                "later; if this happens often, lower api.requests_per_second",
                retry_after_s=_RATE_LIMIT_PAUSE_S if asked_s is None else asked_s,
            )
        self._pace.hold(max(wait_s, asked_s or 0.0))

    def _refuse(self, answer: _Answer, remedy: Remedy | None, *, for_token: bool) -> NoReturn:
        sentence = codes.cure(answer.code)
        if remedy is Remedy.SET_CLOCK:
            offset_s = self.clock_offset_s
            apart = "" if offset_s is None else f", by about {abs(offset_s):.0f} s"
            sentence = (
                f"the API does not accept the time of this machine, which differs from its own{apart}: "
                "synchronise the clock (NTP)"
            )
        elif remedy is Remedy.RENEW_TOKEN and not for_token:
            sentence = (
                "the API does not accept a token that was just given: another program seems to use the same "
                "api.client_id; give each its own cloud project"
            )
        elif sentence is None and for_token:
            sentence = "the API gives no token: check api.client_id, api.client_secret and api.region"
        if sentence is None:
            raise Refused(answer.code, answer.message, answer.tid)
        raise ApiUnusable(f"{sentence} ({_trace(answer)}; nothing was changed)", code=answer.code)

    def _token(self) -> str:
        asked_at = time.monotonic()
        with self._token_lock:
            if self._access_token is None or time.monotonic() >= self._renew_at:
                if self._no_token is not None and self._no_token[0] >= asked_at:
                    raise self._no_token[1]  # of the thread that asked while this one waited
                try:
                    self._renew_token()
                except SyncdError as error:
                    self._no_token = time.monotonic(), error
                    raise
            assert self._access_token is not None  # else it was just renewed
            return self._access_token

    def _renew_token(self) -> None:
        self._access_token = None
        given = self._repeated(
            lambda: self._call("GET", "/v1.0/token", {"grant_type": "1"}, b"", for_token=True)
        )
        fields = given if isinstance(given, dict) else {}
        token = fields.get("access_token")
        if not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
            raise ApiUnusable(
                "the API answered without a token; nothing was changed; "
                "check that api.endpoint is the reservation API"
            )
        # The guide page names the field `expire` in its table and `expire_time` in its example.
        life_s = whole_number(fields.get("expire_time", fields.get("expire"))) or _TOKEN_LIFE_S
        self._renew_at = time.monotonic() + life_s - min(300.0, life_s / 10)
        self._access_token = token

    def _time_to_sign(self) -> str:
        """Return the API's time in epoch milliseconds, or ours as long as the API's is not known."""
        known = self.time_if_known()
        return str(int(self._clock() * 1000) if known is None else epoch_ms(known.latest))

    def _exchange(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, token: str, t: str
    ) -> _Answer:
        """One request, signed for the time `t`, and its answer, whatever the API says in it."""
        pairs = sorted(query.items())
        url = path + _parameters(pairs, str)
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
        on_wire = self._endpoint + path + _parameters(pairs, lambda value: quote(value, safe=""))
        began = self._api_clock.elapsed()
        status, retry_after_s, content = self._send(method, on_wire, headers, body)
        answer = _read_answer(status, retry_after_s, content)
        if answer.server_ms is not None:
            refused = codes.REMEDIES.get(answer.code) is Remedy.SET_CLOCK
            self._api_clock.note(answer.server_ms, began, certain=refused)
        _log.debug(
            "api_call",
            method=method,
            code=answer.code,
            tid=answer.tid,
            seconds=round(self._api_clock.elapsed() - began, 3),
        )
        return answer

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, float | None, bytes]:
        """Status, Retry-After in seconds and the body; the time for all of it is bounded."""
        deadline = time.monotonic() + 3 * self._timeout_s
        content = bytearray()
        try:
            with (
                self._exchange_underway(),
                self._http.stream(method, url, content=body, headers=dict(headers)) as response,
            ):
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _LARGEST_ANSWER:
                        raise _Fault("the API's answer is too large", _CHECK_ENDPOINT, passes=False)
                    if time.monotonic() > deadline:
                        raise _Fault("the API's answer did not end in time", _CHECK_NETWORK)
                retry_after_s = _retry_after(response.headers.get("retry-after"), self._clock())
                return response.status_code, retry_after_s, bytes(content)
        except WriteNotArmed:
            raise _stopping() from None  # it was when the call began, and stopped while it waited
        except _NOT_SENT as error:
            what = f"the API cannot be reached ({str(error) or type(error).__name__})"
            raise _Fault(what, _CHECK_NETWORK, sent=False) from None
        except httpx.TimeoutException:
            raise _Fault(f"the API did not answer within {self._timeout_s:g} s", _CHECK_NETWORK) from None
        except httpx.HTTPError as error:
            what = f"the connection to the API broke before the answer was complete ({type(error).__name__})"
            raise _Fault(what, _CHECK_NETWORK) from None

    def _wait(self, seconds: float) -> None:
        if seconds > 0 and self._closing.wait(seconds):
            raise _stopping()


class _Deadline:
    """Until when a request may be signed that was asked for at a moment (None: now)."""

    def __init__(self, clock: ApiClock, asked: ApiTime | None) -> None:
        self._clock = clock
        self._asked = asked or clock.now()
        self._asked_s = asked.steady_s if asked else clock.elapsed()

    def require(self) -> None:
        """Raise `NotExecuted` when it is over, by the steady clock or by the API's.

        A virtual machine that was halted does not count that time; the API does.
        """
        late_s = self._clock.elapsed() - self._asked_s
        now = self._clock.now()
        if now is not None and self._asked is not None:
            late_s = max(late_s, (now.earliest - self._asked.latest).total_seconds())
        if late_s > LATEST_SIGNING_S:
            raise NotExecuted(
                "the request waited too long before it could leave, so it was not carried out; it is "
                "repeated later; if this happens often, raise api.requests_per_second"
            )


_CHECK_NETWORK = "check the network and api.endpoint"
_CHECK_ENDPOINT = "check that api.endpoint is the reservation API and that no proxy answers in its place"


def _read_answer(status: int, retry_after_s: float | None, content: bytes) -> _Answer:
    """The envelope; raises `_Fault` for everything that is none, so that nothing is read into it."""
    if status == 429:
        return _Answer(code=codes.TOO_FREQUENT, retry_after_s=retry_after_s)
    if status >= 500:
        raise _Fault(f"the API failed with HTTP status {status}", "try later; Tuya may have a disturbance")
    envelope = _parsed(content)
    success = envelope.get("success") if isinstance(envelope, dict) else None
    code = whole_number(envelope.get("code")) if isinstance(envelope, dict) else None
    if not isinstance(success, bool) or (not success and not code):
        what = f"what answered in place of the API is not the API (HTTP status {status})"
        said_no = success is False
        raise _Fault(what, _CHECK_ENDPOINT, passes=200 <= status < 300, said_no=said_no)
    if code == codes.SYSTEM_ERROR and not success:
        raise _Fault("the API failed with code 500", "try later; Tuya may have a disturbance")
    return _Answer(
        code=0 if success or code is None else code,
        result=envelope.get("result"),
        message=_printable(envelope.get("msg"), 200),
        tid=_printable(envelope.get("tid"), 64),
        server_ms=whole_number(envelope.get("t")),
        retry_after_s=retry_after_s,
    )


def _parsed(content: bytes) -> Any:
    """The JSON value of an answer, None if it is none; an integer that is too long to read is infinite."""
    try:
        return json.loads(content)
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(content, parse_int=lambda digits: int(digits) if len(digits) < 100 else math.inf)
    except (ValueError, RecursionError):
        return None


def _unusable(fault: _Fault) -> ApiUnusable:
    return ApiUnusable(f"{fault}; nothing was changed; {fault.cure}")


def _stopping() -> ApiUnusable:
    return ApiUnusable("syncd is stopping; nothing was changed; it goes on after the next start")


def _parameters(pairs: list[tuple[str, str]], encode: Callable[[str], str]) -> str:
    return "?" + "&".join(f"{key}={encode(value)}" for key, value in pairs) if pairs else ""


def _printable(value: object, limit: int) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text[:limit])


def _trace(answer: _Answer) -> str:
    return f"code {answer.code}, trace id {answer.tid}" if answer.tid else f"code {answer.code}"


def _retry_after(header: str | None, now_s: float) -> float | None:
    """Seconds from a Retry-After in either of its forms (RFC 9110 section 10.2.3)."""
    if header is None:
        return None
    if (seconds := whole_number(header.strip())) is not None:
        return float(max(0, seconds))
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
