"""Whose host was meant: only our own are answered, or a page elsewhere could ask through a browser (rebinding)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request
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
        host = Request(scope).url.hostname or ""
        if is_known_host(host, self._config()):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse(
            "This host is not served here; web.hosts names further ones.\n",
            HTTPStatus.MISDIRECTED_REQUEST,
        )
        await refusal(scope, receive, send)


def is_known_host(host: str, config: Config) -> bool:
    """Tell whether a host of a request is one of ours."""
    web = config.web
    known = {*_ALWAYS, *web.hosts}
    if web.address is not None:
        known.add(web.address[0].lower())
    return host.lower() in known
