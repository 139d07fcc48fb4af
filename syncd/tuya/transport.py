"""The connections to the endpoint, behind a gate that lets only reads through until it is armed.

Promises: what stands above it, whatever it does, changes nothing at the API outside of `armed()`, and no
request leaves uncounted or beyond the budget, however many threads ask.
Must not: know what a request means.
"""

from __future__ import annotations

import ipaddress
import os
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import certifi
import httpx

from syncd.errors import ApiUnusable, ConfigError
from syncd.trust import Untrustworthy, verifying_context
from syncd.tuya.codes import USED_UP
from syncd.urls import UnusableUrl, parsed_url, web_url

CONNECTIONS = 8
"""Requests under way at once: beyond that the pool of httpx 0.28 falls to a quarter of its rate."""

_IDLE_S = 5.0  # shorter than any server's, so that a write hardly meets a connection that is just closing


class WriteNotArmed(RuntimeError):
    """A defect of the caller: a mutating request outside of `armed()`; nothing was sent."""


class Gate(httpx.BaseTransport):
    """The transport of the one endpoint; `calls` counts requests by method.

    `count_call` and `budget_left` are never asked by two threads at once; `count_call` may raise.
    `trusted` tells whether this process may ask the API now.
    Raises `ConfigError` when the endpoint, or the environment's proxy or list of authorities, cannot be used.
    """

    def __init__(
        self,
        endpoint: str,
        count_call: Callable[[str], None],
        budget_left: Callable[[], int | None],
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._connections = _connections(endpoint)
        self._count_call = count_call
        self._budget_left = budget_left
        self._trusted = trusted
        self._lock = threading.Lock()
        self._armed = 0
        self.calls: Counter[str] = Counter({"GET": 0, "POST": 0, "PUT": 0})

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let every request through while the context lasts; may be nested and shared by threads."""
        with self._lock:
            self._armed += 1
        try:
            yield
        finally:
            with self._lock:
                self._armed -= 1

    def require_armed(self, method: str) -> None:
        """Raise `WriteNotArmed` for anything but GET while not armed."""
        if method != "GET" and not self._armed:
            raise WriteNotArmed(
                f"{method} while the API client is not armed; nothing was sent"
            )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, if it may pass.

        Raises `ApiUnusable` when no calls are left this month, or another process makes them.
        """
        self.require_armed(request.method)
        with self._lock:
            self._require_budget()
            self.calls[request.method] += 1
            self._count_call(request.method)
            self.require_trust()  # last of all: to count may take a while
        return self._connections.handle_request(request)

    def require_trust(self) -> None:
        """Raise `ApiUnusable` when it is not this process that may ask the API now."""
        if not self._trusted():
            raise ApiUnusable(
                "another process may be the one that asks the API now, because this one could not prolong its "
                "lease of the ledger; nothing was changed; `syncd status` shows who writes"
            )

    def _require_budget(self) -> None:
        left = self._budget_left()
        if left is not None and left <= 0:
            raise ApiUnusable(USED_UP)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()


_NO_PROXY = "{}: names a proxy that cannot be used; use http://host:port, or unset it"


def _connections(endpoint: str) -> httpx.HTTPTransport:
    """Return connections through the environment's proxy; direct ones to an endpoint on this machine."""
    try:
        url = parsed_url(endpoint)
    except UnusableUrl as unusable:
        raise ConfigError(
            [f"api.endpoint: {unusable}, such as https://openapi.tuyaeu.com"]
        ) from None
    variable, proxy = "", None
    if not (_is_loopback(url.host) or urllib.request.proxy_bypass(url.host)):
        variable, proxy = _proxy_of(url.scheme)
    if proxy is not None and web_url(proxy) is None:
        raise ConfigError([_NO_PROXY.format(variable)])
    # One more, so that a question at the end of an interrupted cycle does not wait for all that hang.
    limits = httpx.Limits(
        max_connections=CONNECTIONS + 1,
        max_keepalive_connections=CONNECTIONS,
        keepalive_expiry=_IDLE_S,
    )
    try:
        context = verifying_context(otherwise=certifi.where())
        return httpx.HTTPTransport(verify=context, proxy=proxy, limits=limits)
    except (ValueError, ImportError, httpx.InvalidURL):
        raise ConfigError([_NO_PROXY.format(variable)]) from None
    except Untrustworthy as untrustworthy:
        raise ConfigError([str(untrustworthy)]) from None


def _proxy_of(scheme: str) -> tuple[str, str | None]:
    """Return the environment variable that names a scheme's proxy, and the proxy; as curl reads them."""
    for name in (
        f"{scheme}_proxy",
        f"{scheme.upper()}_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        proxy = os.environ.get(name, "").strip()
        # A server that runs scripts puts a header of whoever asks it into HTTP_PROXY.
        if not proxy or (name == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ):
            continue
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        return name, proxy
    return "", None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
