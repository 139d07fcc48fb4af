"""The access token of a project, one for all threads (page "Get Token").

Tokens come from `grant_type=1` only: a refresh token works once, so a lost answer to a refresh would need
this way anyway, and one way is tested more often than two.
Must not: know how a call is made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from syncd.errors import ApiUnusable, SyncdError
from syncd.tuya.content import whole_number

_TOKEN_LIFE_S = 7200  # used when the answer does not say
_LONGEST_LEAD_S = 300.0  # before its end a token is renewed, or a tenth of its life


class AccessToken:
    """A token that is asked for when it is needed and renewed before it ends; for several threads.

    `ask` makes the token call and returns its `result`; what it raises passes through.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._token: str | None = None
        # On the monotonic clock, as is when it was not given last.
        self._renew_at = 0.0
        self._ends_at: float | None = None
        self._failure: tuple[float, SyncdError] | None = None

    def current(self) -> str:
        """Return the token, a new one if there is none or it ends soon; raise what the token call raises.

        Threads that waited while another one asked in vain raise what that one did.
        """
        asked_at = time.monotonic()
        with self._lock:
            if self._token is not None and time.monotonic() < self._renew_at:
                return self._token
            if self._failure is not None and self._failure[0] >= asked_at:
                raise self._failure[1]
            try:
                return self._renewed()
            except SyncdError as error:
                self._failure = time.monotonic(), error
                raise

    @property
    def left_s(self) -> float | None:
        """Return for how long the token is valid, negative if it is not; None if none was given yet."""
        if self._ends_at is None:
            return None
        return self._ends_at - time.monotonic()

    def renew(self) -> None:
        """Ask for a new token whatever the present one is worth; raise what the token call raises."""
        with self._lock:
            self._renewed()

    def drop(self, token: str) -> None:
        """Forget a token that was refused, unless another thread has renewed it already."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _renewed(self) -> str:
        self._token = None
        given = self._ask()
        fields = given if isinstance(given, dict) else {}
        token = fields.get("access_token")
        if not (
            isinstance(token, str) and token and token.isascii() and token.isprintable()
        ):
            raise ApiUnusable(
                "the API answered without a token; nothing was changed; "
                "check that api.endpoint is the reservation API"
            )
        # The guide page names the field `expire` in its table and `expire_time` in its example.
        life_s = (
            whole_number(fields.get("expire_time", fields.get("expire")))
            or _TOKEN_LIFE_S
        )
        self._ends_at = time.monotonic() + life_s
        self._renew_at = self._ends_at - min(_LONGEST_LEAD_S, life_s / 10)
        self._token = token
        return token
