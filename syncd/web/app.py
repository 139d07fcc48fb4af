"""The application: what each request passes, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from syncd.assembly import utc_now
from syncd.errors import LedgerError, SyncdError
from syncd.web.access import is_token, may_look, sign_in
from syncd.web.answers import NotThere, NotUnderstood, Trouble
from syncd.web.asked import Asked, Present
from syncd.web.headers import SafeHeaders
from syncd.web.health import health_told, readiness_told
from syncd.web.hosts import KnownHosts
from syncd.web.reader import LedgerReader
from syncd.web.rendering import static_files
from syncd.web.responses import (
    document_response,
    file_response,
    page_response,
    trouble_response,
    unchanged,
    wants_document,
)
from syncd.web.routes import FILES, PAGES, Audience, FileRoute, PageRoute

log = structlog.get_logger(__name__)

_LEAST_COMPRESSED = 500  # bytes
_LARGEST_FORM = 4096  # bytes
_READING = ["GET", "HEAD"]
_FRONT = ("/", "The front page")

Handler = Callable[[Request], Awaitable[Response]]


class PageApplication:
    """The routes over one ledger; `present` tells how the daemon is at the moment, from any thread."""

    def __init__(self, reader: LedgerReader, present: Callable[[], Present]) -> None:
        self._reader = reader
        self._present = present

    def asgi(self) -> ASGIApp:
        """Return the application as a server runs it."""
        routed = Starlette(
            routes=self._routes(), exception_handlers={HTTPException: self._no_route}
        )
        compressed = GZipMiddleware(routed, minimum_size=_LEAST_COMPRESSED)
        return SafeHeaders(KnownHosts(compressed, lambda: self._present().config))

    def _routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = [
            Route("/healthz", self._health, methods=_READING),
            Route("/readyz", self._readiness, methods=_READING),
            Route("/static/{name}", self._static, methods=_READING),
            Route("/sign-in", self._sign_in, methods=["POST"]),
        ]
        for file in FILES:
            answer = partial(self._file, file)
            routes.append(self._guarded(file.path, answer, file.audience))
        for page in PAGES:
            answer = partial(self._page, page)
            routes.append(self._guarded(page.path, answer, Audience.PERSON))
        return routes

    def _guarded(
        self, path: str, answer: Callable[[Asked], Response], audience: Audience
    ) -> Route:
        """Return the route of what not everybody may see."""

        async def handle(request: Request) -> Response:
            if not may_look(request, self._present().config, audience):
                return self._unauthorised(request)
            return unchanged(request, await self._answered(request, answer))

        return Route(path, handle, methods=_READING)

    # Answers

    async def _answered(
        self, request: Request, answer: Callable[[Asked], Response]
    ) -> Response:
        """Return what the thread of the ledger answers, or the page for what went wrong."""
        asked = self._asked(request)
        try:
            return await asyncio.wrap_future(
                self._reader.submit(partial(answer, asked))
            )
        except NotUnderstood as error:
            trouble = Trouble(
                "Not understood", error.sentence, error.way_on, HTTPStatus.BAD_REQUEST
            )
        except NotThere as error:
            trouble = Trouble(
                "Not found", error.sentence, error.way_on, HTTPStatus.NOT_FOUND
            )
        except LedgerError as error:
            trouble = Trouble(
                "The ledger cannot be read",
                str(error),
                _FRONT,
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        except SyncdError as error:
            trouble = Trouble(
                "Not now", str(error), _FRONT, HTTPStatus.SERVICE_UNAVAILABLE
            )
        except Exception as error:  # one page must not end the others
            log.critical("defect of syncd; please report this line", exc_info=error)
            trouble = Trouble(
                "A defect of syncd",
                f"This page met a defect of syncd ({type(error).__name__}); the log has the line to report.",
                _FRONT,
                HTTPStatus.INTERNAL_SERVER_ERROR,
            )
        return self._trouble(request, trouble)

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

    @staticmethod
    def _page(route: PageRoute, asked: Asked) -> Response:
        if wants_document(asked.accept):
            return document_response(route.document(asked))
        value = route.value(asked)
        return page_response(
            route.template, value, zone=asked.zone, now=asked.now, asked=asked
        )

    @staticmethod
    def _file(route: FileRoute, asked: Asked) -> Response:
        return file_response(route.file(asked))

    def _trouble(self, request: Request, trouble: Trouble) -> Response:
        zone = self._present().config.calendar.timezone
        return trouble_response(request, trouble, zone=zone, now=utc_now())

    # What everybody may ask

    async def _health(self, _request: Request) -> Response:
        is_well, told = health_told(self._present())
        return _word(is_well, told)

    async def _readiness(self, request: Request) -> Response:
        asked = self._asked(request)
        is_ready, told = await asyncio.wrap_future(
            self._reader.submit(partial(readiness_told, asked))
        )
        return _word(is_ready, told)

    async def _static(self, request: Request) -> Response:
        file = static_files().get(request.url.path)
        if file is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(file.body, headers=headers, media_type=file.media_type)

    # Signing in

    async def _sign_in(self, request: Request) -> Response:
        token = self._present().config.web.token
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LARGEST_FORM:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        if token is not None and not is_token(form.get("token", "").strip(), token):
            return self._unauthorised(request, was_wrong=True)
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        if token is not None:
            sign_in(request, response, token)
        return response

    def _unauthorised(self, request: Request, *, was_wrong: bool = False) -> Response:
        """Return that a token is needed, with a form for browsers and without any data."""
        sentence = "A token is needed: send it as Authorization: Bearer."
        if wants_document(request.headers.get("accept", "")):
            response = document_response({"error": sentence}, HTTPStatus.UNAUTHORIZED)
        else:
            zone = self._present().config.calendar.timezone
            response = page_response(
                "sign_in.html",
                was_wrong,
                zone=zone,
                now=utc_now(),
                status=HTTPStatus.UNAUTHORIZED,
            )
        response.headers["WWW-Authenticate"] = 'Bearer realm="syncd"'
        return response

    # What has no route

    async def _no_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code != HTTPStatus.NOT_FOUND:
            return PlainTextResponse(
                f"{error.detail}\n", error.status_code, headers=error.headers
            )
        trouble = Trouble(
            "Not found",
            "There is no such page.",
            _FRONT,
            HTTPStatus.NOT_FOUND,
        )
        return self._trouble(request, trouble)


def _word(is_well: bool, told: str) -> Response:
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return PlainTextResponse(f"{told}\n", status)
