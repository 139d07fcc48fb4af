"""The application: what each request passes, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from syncd.assembly import utc_now
from syncd.config import Config
from syncd.views.catalogue import phrase
from syncd.web.access import may_look
from syncd.web.answering import Answering
from syncd.web.answers import NotThere, Trouble, trouble_of
from syncd.web.asked import Asked, Present
from syncd.web.headers import SafeHeaders
from syncd.web.health import health_told, readiness_told
from syncd.web.hosts import KnownHosts
from syncd.web.reader import LedgerReader
from syncd.web.rendering import static_files
from syncd.web.responses import trouble_response, unchanged
from syncd.web.routes import FILES, PAGES, Audience, FileRoute, PageRoute
from syncd.web.signing_in import signed_in, unauthorised

log = structlog.get_logger(__name__)

_LEAST_COMPRESSED = 500  # bytes
_READING = ["GET", "HEAD"]
_FOR_GOOD = "public, max-age=31536000, immutable"


class PageApplication:
    """The routes over one ledger; `present` tells how the daemon is at the moment, from any thread."""

    def __init__(self, reader: LedgerReader, present: Callable[[], Present]) -> None:
        self._reader = reader
        self._present = present
        self._answering = Answering(reader)

    def asgi(self) -> ASGIApp:
        """Return the application as a server runs it."""
        routed = Starlette(
            routes=self._routes(),
            exception_handlers={HTTPException: self._no_route, Exception: self._defect},
        )
        compressed = GZipMiddleware(routed, minimum_size=_LEAST_COMPRESSED)
        return SafeHeaders(KnownHosts(compressed, self._config))

    def _routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = [
            Route("/healthz", self._health, methods=_READING),
            Route("/readyz", self._readiness, methods=_READING),
            Route("/static/{name}", self._static, methods=_READING),
            Route("/sign-in", self._sign_in, methods=["POST"]),
        ]
        routes += [self._guarded(file, file.audience) for file in FILES]
        routes += [self._guarded(page, Audience.PERSON) for page in PAGES]
        return routes

    def _guarded(self, route: PageRoute | FileRoute, audience: Audience) -> Route:
        """Return the route of what not everybody may see."""

        async def handle(request: Request) -> Response:
            asked = self._asked(request)
            if not may_look(request, asked.config, audience):
                return unauthorised(request, asked)
            response = await self._answering.answer(route, asked)
            return unchanged(request, response)

        return Route(route.path, handle, methods=_READING)

    def _config(self) -> Config:
        return self._present().config

    def _asked(self, request: Request) -> Asked:
        query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        return Asked(
            present=self._present(),
            now=utc_now(),
            open_ledger=self._reader.ledger,
            parameters=dict(request.path_params),
            query=query,
            accept=request.headers.get("accept", ""),
        )

    # What everybody may ask

    async def _health(self, _request: Request) -> Response:
        is_well, told = health_told(self._present())
        return _word(is_well, told)

    async def _readiness(self, request: Request) -> Response:
        asked = self._asked(request)
        look = partial(readiness_told, asked)
        is_ready, told = await asyncio.wrap_future(self._reader.submit(look))
        return _word(is_ready, told)

    async def _static(self, request: Request) -> Response:
        file = static_files().get(request.url.path)
        if file is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return Response(
            file.body, headers={"Cache-Control": _FOR_GOOD}, media_type=file.media_type
        )

    async def _sign_in(self, request: Request) -> Response:
        return await signed_in(request, self._asked(request))

    # What has no route

    async def _no_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code != HTTPStatus.NOT_FOUND:
            return PlainTextResponse(
                f"{error.detail}\n", error.status_code, headers=error.headers
            )
        asked = self._asked(request)
        if not may_look(request, asked.config, Audience.PERSON):
            return unauthorised(request, asked)
        trouble: Trouble = trouble_of(NotThere(phrase("error.no_page")))
        return trouble_response(asked, trouble)

    @staticmethod
    async def _defect(_request: Request, error: Exception) -> Response:
        """Return that nothing can be told, for what went wrong outside of any page, such as about a token."""
        log.critical("defect of syncd; please report this line", exc_info=error)
        return PlainTextResponse(
            "This cannot be answered now; the log of syncd says why.\n",
            HTTPStatus.SERVICE_UNAVAILABLE,
        )


def _word(is_well: bool, told: str) -> Response:
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return PlainTextResponse(f"{told}\n", status)
