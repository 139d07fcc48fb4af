"""One call to the API as often as it takes: arming, pace, token, remedies, and what a failure means.

Promises: nothing but GET leaves unless armed; reads are repeated a bounded number of times; a write is sent
again only after an answer that is documented as a refusal before processing.
Threads share one pace, one token and one patience: when the API asks one call to wait, all wait.
`NotExecuted`, `Refused` and `ApiUnusable` from a write prove that it had no effect; everything else that
can go wrong is `OutcomeUnknown`.
Must not: know a resource of the API, log or put into a text what was sent, where, or with which secret.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import NoReturn

import stamina
import structlog
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from syncd.core.apitime import ApiTime
from syncd.errors import (
    ApiUnreachable,
    ApiUnusable,
    NotExecuted,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unanswered,
)
from syncd.tuya import codes
from syncd.tuya.answer import Answer, NoAnswer
from syncd.tuya.apiclock import ApiClock, steady
from syncd.tuya.client import SigningClient
from syncd.tuya.codes import Remedy
from syncd.tuya.pace import Pace
from syncd.tuya.requests import TOKEN, RequestMade
from syncd.tuya.signing import SigningDeadline
from syncd.tuya.token import AccessToken
from syncd.tuya.transport import CONNECTIONS, Gate

_log = structlog.get_logger(__name__)

_READ_ATTEMPTS = 3
_THROTTLE_WAITS_S = (0.5, 1.0, 2.0)
_LONGEST_WAIT_S = 15.0  # a longer Retry-After is the caller's to wait for
_RATE_LIMIT_PAUSE_S = 60.0
_LEAD_S = 0.02  # before its turn a call may begin, so that what its caller does first delays nothing


class Channel:
    """Signed calls to one project at one endpoint; may be used from several threads.

    Raises `ConfigError` when endpoint, client id, or the environment's proxy or authorities cannot be used.
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
        observe: Callable[[RequestMade], None] = lambda _request: None,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock = clock
        self._api_clock = ApiClock(elapsed)
        self._gate = Gate(endpoint, count_call, budget_left, trusted)
        self._client = SigningClient(
            endpoint=endpoint,
            client_id=client_id,
            client_secret=client_secret,
            timeout_s=timeout_s,
            gate=self._gate,
            clock=clock,
            api_clock=self._api_clock,
            observe=observe,
        )
        self._pace = Pace(requests_per_second, self._client.wait)
        self._token = AccessToken(self._ask_for_token)

    def armed(self) -> AbstractContextManager[None]:
        """Return a context within which mutating requests may leave."""
        return self._gate.armed()

    @property
    def calls(self) -> Mapping[str, int]:
        """Return the requests so far by method, those for tokens included."""
        return dict(self._gate.calls)

    def time(self) -> ApiTime:
        """Return the present at the API, which a token call tells if nothing did before.

        Raises `ApiUnusable` when that fails. The clock of this machine stands in for an API that does not
        tell its time.
        """
        known = self.time_if_known()
        if known is None:
            self._token.current()
            known = self.time_if_known()
        if known is None:
            ours = datetime.fromtimestamp(self._clock(), UTC)
            known = ApiTime(ours, ours, self._api_clock.elapsed())
        return known

    def ask_time(self) -> ApiTime:
        """Return the present at the API as a call of now tells; raise `ApiUnusable`."""
        self._api_clock.forget()
        self._token.renew()
        return self.time()

    def time_if_known(self) -> ApiTime | None:
        """Return the present at the API as far as former answers tell; None before the first."""
        return self._api_clock.now()

    @property
    def clock_offset_s(self) -> float | None:
        """Return the API's clock minus ours in seconds; None before the first answer."""
        known = self.time_if_known()
        if known is None:
            return None
        middle = known.earliest + (known.latest - known.earliest) / 2
        return middle.timestamp() - self._clock()

    @property
    def token_expires_at_s(self) -> float | None:
        """Return when the access token expires, in epoch seconds of this machine; None before the first."""
        left_s = self._token.left_s
        return None if left_s is None else self._clock() + left_s

    def pause_s(self, underway: int) -> float:
        """Return the seconds until another call may begin beside so many; infinite: when one of them ends."""
        if underway >= CONNECTIONS:
            return math.inf
        return max(0.0, self._pace.pause_s(underway) - _LEAD_S)

    def close(self) -> None:
        """Refuse calls from now on and end waiting ones, from any thread; one under way comes to its end."""
        self._client.close()

    def read(self, path: str, query: Mapping[str, str] | None = None) -> object:
        """Return the `result` of a GET.

        Raises `ApiUnusable` when the API cannot be reached or no call can succeed, `RateLimited`, and
        `Refused` for every other code.
        """
        try:
            return _repeated(lambda: self._call("GET", path, query or {}, b""))
        except NoAnswer as missing:
            if missing.said_no:
                # A no concerns what was asked for, also without a code.
                raise Refused(0, "") from None
            raise _unusable(missing) from None

    def read_one(self, path: str, control: str) -> object:
        """Return the `result` of a GET about one thing; raise as `read`, and `Unanswered`.

        When that question fails, the one at the path `control` is asked: if it gets an answer of any kind,
        the API can be used, and what failed is the trouble of the one thing.
        """
        try:
            return _repeated(lambda: self._call("GET", path, {}, b""))
        except NoAnswer as missing:
            if missing.said_no:
                raise Refused(0, "") from None
            if missing.sent:
                with suppress(Refused):
                    self.read(control)
                raise Unanswered(str(missing)) from None
            raise _unusable(missing) from None

    def write(
        self,
        method: str,
        path: str,
        body: Mapping[str, object],
        asked: ApiTime | None = None,
    ) -> object:
        """Return the `result` of a mutating request that was asked for at a moment (None: now).

        It is signed at most `LATEST_SIGNING_S` after that, whatever holds it up.
        Raises `NotExecuted`, `RateLimited`, `Refused` or `ApiUnusable` when it provably had no effect,
        else `OutcomeUnknown`, and `WriteNotArmed` outside of `armed()`.
        """
        self._gate.require_armed(method)
        # With ASCII escapes there is no text that cannot be encoded.
        content = json.dumps(body, separators=(",", ":")).encode("ascii")
        try:
            return self._call(method, path, {}, content, asked=asked)
        except NoAnswer as missing:
            if missing.sent:
                raise OutcomeUnknown(
                    f"{missing}, so it may have been carried out; syncd settles it by looking"
                ) from None
            raise NotExecuted(
                f"{missing}, so the request was not carried out; it is tried again; {missing.cure}"
            ) from None

    def _ask_for_token(self) -> object:
        try:
            return _repeated(
                lambda: self._call(
                    "GET", TOKEN, {"grant_type": "1"}, b"", for_token=True
                )
            )
        except NoAnswer as missing:
            raise _unusable(missing) from None

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
        """Send until there is a result, each remedy once, waiting as often as there are waits; return it."""
        deadline = None if method == "GET" else SigningDeadline(self._api_clock, asked)
        try:
            return self._exchanged(
                method, path, query, body, for_token=for_token, deadline=deadline
            )
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
        deadline: SigningDeadline | None,
    ) -> object:
        tried: set[Remedy] = set()
        waits = iter(_THROTTLE_WAITS_S)
        while True:
            token = "" if for_token else self._token.current()
            self._pace.take_turn()
            # First the time that is signed, then the looks at the deadline and at the lease: a process that
            # sleeps between them, or after them, sends a request that is as old as its sleep was long, and is
            # refused.
            t = self._client.time_to_sign()
            if deadline is not None:
                deadline.require()
            self._gate.require_trust()
            answer = self._client.send(method, path, query, body, token, t)
            if not answer.code:
                return answer.result
            remedy = codes.REMEDIES.get(answer.code)
            if remedy is Remedy.WAIT:
                self._hold_as_asked(answer, next(waits, None))
            elif (
                remedy is None
                or remedy in tried
                or (for_token and remedy is Remedy.RENEW_TOKEN)
            ):
                self._refuse(answer, remedy, for_token=for_token)
            else:
                tried.add(remedy)
                self._prepare(remedy, answer, token)

    def _prepare(self, remedy: Remedy, answer: Answer, token: str) -> None:
        """Make ready for the repeat; signing again needs nothing."""
        if remedy is Remedy.RENEW_TOKEN:
            self._token.drop(token)
        elif remedy is Remedy.SET_CLOCK and answer.server_ms is None:
            self._refuse(answer, remedy, for_token=False)

    def _hold_as_asked(self, answer: Answer, wait_s: float | None) -> None:
        """Hold all calls as long as the API asks, at least `wait_s`; raise `RateLimited` for too long."""
        asked_s = answer.retry_after_s
        if wait_s is None or (asked_s or 0.0) > _LONGEST_WAIT_S:
            raise RateLimited(
                f"the API asks for patience ({answer.trace}), so it was not carried out; it is tried again "
                "later; if this happens often, lower api.requests_per_second",
                retry_after_s=_RATE_LIMIT_PAUSE_S if asked_s is None else asked_s,
            )
        self._pace.hold(max(wait_s, asked_s or 0.0))

    def _refuse(
        self, answer: Answer, remedy: Remedy | None, *, for_token: bool
    ) -> NoReturn:
        """Raise `ApiUnusable` with its cure if no call can succeed, else `Refused`."""
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
        raise ApiUnusable(
            f"{sentence} ({answer.trace}; nothing was changed)", code=answer.code
        )


def _tell_repeat(details: RetryDetails) -> None:
    """Log that a call is made again; what was sent stays out of it."""
    _log.info(
        "call_repeated",
        error=str(details.caused_by),
        wait_seconds=round(details.wait_for, 2),
    )


set_on_retry_hooks([_tell_repeat])


def _repeated(call: Callable[[], object]) -> object:
    """Make a call, again a few times where a failure may pass by itself; raise the last `NoAnswer`."""
    # Not as a decorator: stamina would tell the arguments.
    for attempt in stamina.retry_context(
        on=lambda error: isinstance(error, NoAnswer) and error.passes,
        attempts=_READ_ATTEMPTS,
        timeout=None,
        wait_initial=0.2,
        wait_max=2.0,
        wait_jitter=0.3,
    ):
        with attempt:
            return call()
    raise AssertionError("stamina ends with a result or an exception")


def _unusable(missing: NoAnswer) -> ApiUnreachable:
    return ApiUnreachable(f"{missing}; nothing was changed; {missing.cure}")
