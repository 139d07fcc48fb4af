"""The way out: connections to the endpoint behind a gate that lets only reads through until it is armed.

Promises: what stands above it, whatever it does, changes nothing at the API outside of `armed()`, and no
request leaves uncounted or beyond the budget, however many threads ask.
Must not: know what a request means.
"""

from __future__ import annotations

import ipaddress
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from syncd.errors import ApiUnusable, ConfigError

CONNECTIONS = 8
"""Requests under way at once: beyond that the pool of httpx 0.28 falls to a quarter of its rate."""

_IDLE_S = 5.0  # shorter than any server's, so that a write hardly meets a connection that is just closing


class WriteNotArmed(RuntimeError):
    """A defect of the caller: a mutating request outside of `armed()`; nothing was sent."""


class Gate(httpx.BaseTransport):
    """The transport of the one endpoint; `calls` counts requests by method.

    `count_call` and `budget_left` are never asked by two threads at once.
    Raises `ConfigError` when the endpoint, or the environment's proxy or list of authorities, cannot be used.
    """

    def __init__(
        self, endpoint: str, count_call: Callable[[str], None], budget_left: Callable[[], int | None]
    ) -> None:
        self._connections = _connections(endpoint)
        self._count_call = count_call
        self._budget_left = budget_left
        self._lock = threading.Lock()
        self._armed = 0
        self.calls: Counter[str] = Counter({"GET": 0, "POST": 0, "PUT": 0})

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Opens the gate for everything while it lasts; may be nested and shared by threads."""
        with self._lock:
            self._armed += 1
        try:
            yield
        finally:
            with self._lock:
                self._armed -= 1

    def require_armed(self, method: str) -> None:
        """Raises `WriteNotArmed` for anything but GET while not armed."""
        if method != "GET" and not self._armed:
            raise WriteNotArmed(f"{method} while the API client is not armed; nothing was sent")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Passes a request on, if it may pass; raises `ApiUnusable` when no calls are left this month."""
        self.require_armed(request.method)
        with self._lock:
            self._require_budget()
            self.calls[request.method] += 1
            self._count_call(request.method)
        return self._connections.handle_request(request)

    def _require_budget(self) -> None:
        left = self._budget_left()
        if left is not None and left <= 0:
            raise ApiUnusable(
                "this month's calls (api.monthly_calls) are used up; nothing was changed; "
                "raise api.monthly_calls if the cloud plan has more, or wait for next month"
            )

    def close(self) -> None:
        """Closes the connections."""
        self._connections.close()


def _connections(endpoint: str) -> httpx.HTTPTransport:
    """Connections through the environment's proxy, unless the endpoint is on this machine."""
    try:
        url = httpx.URL(endpoint)
        url.host.encode("idna")  # else the resolver raises UnicodeError later
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(["api.endpoint: must be a URL like https://openapi.tuyaeu.com"])
    proxy = None
    if not (_is_loopback(url.host) or urllib.request.proxy_bypass(url.host)):
        proxies = urllib.request.getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all")
    # One more, so that a question at the end of an interrupted cycle does not wait for all that hang.
    limits = httpx.Limits(
        max_connections=CONNECTIONS + 1, max_keepalive_connections=CONNECTIONS, keepalive_expiry=_IDLE_S
    )
    try:
        return httpx.HTTPTransport(proxy=proxy, limits=limits)
    except (ValueError, ImportError, httpx.InvalidURL):
        variable = f"{url.scheme.upper()}_PROXY"
        raise ConfigError([f"{variable}: names a proxy that cannot be used; use http://host:port"]) from None
    except OSError:
        raise ConfigError(["SSL_CERT_FILE: names no list of authorities; correct or unset it"]) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
