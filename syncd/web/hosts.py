"""Whose host was meant: only our own are answered, or a page elsewhere could ask through a browser (rebinding)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from syncd.config import Config

_ALWAYS = frozenset({"localhost", "127.0.0.1", "::1"})


class KnownHosts:
    """An application that answers for the hosts of the configuration in force."""

    def __init__(self, app: ASGIApp, config: Callable[[], Config]) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        said = Headers(scope=scope).get("host")
        # Only an old program says none, and no browser.
        if said is None or is_known_host(host_in(said), self._config()):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse(
            "This host is not served here; web.hosts names further ones.\n",
            HTTPStatus.MISDIRECTED_REQUEST,
        )
        await refusal(scope, receive, send)


def host_in(said: str) -> str:
    """Return the host in a Host header, without its port; empty if that is no host."""
    try:
        return urlsplit(f"//{said}").hostname or ""
    except ValueError:
        return ""


def is_known_host(host: str, config: Config) -> bool:
    """Tell whether a host of a request is one of ours."""
    web = config.web
    known = {*_ALWAYS, *web.hosts}
    if web.address is not None:
        known.add(web.address[0].lower())
    return host.lower() in known
