"""The signature of a request (page "Sign Requests"), and until when a write may be signed.

Must not: know what a request is for, or keep a secret.
"""

from __future__ import annotations

import hashlib
import hmac

from syncd.core.apitime import ApiTime
from syncd.errors import NotExecuted
from syncd.tuya.apiclock import ApiClock
from syncd.tuya.pace import LATEST_SIGNING_S


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
    """Return the signature of a request (page "Sign Requests", the algorithm of projects since July 2021).

    `url` is the path with its raw, not percent-encoded, parameters sorted by key; `t` is in epoch
    milliseconds; without `access_token` it is a token call.
    `signed_headers` exist in the documentation and its example; the official clients disagree about them,
    so syncd sends none.
    """
    header_block = "".join(f"{name}:{value}\n" for name, value in signed_headers)
    digest = hashlib.sha256(body).hexdigest()
    request = "\n".join((method, digest, header_block, url))
    text = client_id + access_token + t + nonce + request
    signed = hmac.new(secret.encode(), text.encode(), hashlib.sha256)
    return signed.hexdigest().upper()


class SigningDeadline:
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
