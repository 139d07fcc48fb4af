"""The HTTP side: requests to calls, results to envelopes, faults in between, and the control side.

Every answer of the API is HTTP 200 with `success`, `t` and `tid`, errors too, as observed on the real one.
A call is one transaction, committed before anything of its answer is sent.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from syncd.sandbox.call import (
    ILLEGAL,
    NO_RESULT,
    URI_INVALID,
    ApiError,
    Call,
    Fields,
    Json,
    Operation,
)
from syncd.sandbox.control import Control, LoggedCall
from syncd.sandbox.faults import REFUSALS, Faults, Kind, Strikes
from syncd.sandbox.gate import TOKEN_EXPIRED, Received, RequestCheck
from syncd.sandbox.operations import OPERATIONS
from syncd.sandbox.reservations import release_unused
from syncd.sandbox.store import clock

CLOSE_CONNECTION: Final = "syncd.sandbox.close"
"""Key of the connection scope under which the server puts what closes the connection."""

_MAKES_RESERVATION: Final = ("create", "seize")
_DISGUISES: Final = (Kind.ERROR, Kind.GATEWAY, Kind.GARBAGE, Kind.FALSE)


class Hangup(Response):
    """A response that closes the connection without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Close the connection, and wait until the server has noticed."""
        scope[CLOSE_CONNECTION]()
        while (await receive())["type"] != "http.disconnect":
            pass


class Application:
    """The API behind a gate, with its control side; `log` gets one line for each request."""

    def __init__(
        self, gate: RequestCheck, control: Control, log: Callable[[str], None]
    ) -> None:
        self._gate = gate
        self._control = control
        self._store = control.store
        self._log = log
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End what waits: a request that is held up gets no answer."""
        self._stopping.set()

    def asgi(self) -> Starlette:
        """Return the ASGI application: the routes of the API, and those of the control side."""
        routes = self._control.routes()
        for operation in OPERATIONS:
            answer = partial(self._answer, operation)
            route = Route(operation.path, answer, methods=[operation.method])
            routes.append(route)
        application = Starlette(
            routes=routes,
            # An unknown path and a wrong method look alike to clients of the real API.
            exception_handlers={HTTPException: self._no_such_path},
        )
        application.router.redirect_slashes = False
        return application

    async def _no_such_path(self, request: Request, _error: Exception) -> Response:
        entry = self._control.note(
            method=request.method,
            path=_as_sent(request),
            operation="",
            strikes=Strikes(()),
            reservation_id="",
        )
        refusal = ApiError(URI_INVALID, "uri path invalid")
        entry.code = refusal.code
        envelope = _failure(refusal, clock())
        return self._reply(entry, JSONResponse(envelope))

    async def _answer(self, operation: Operation, request: Request) -> Response:
        path = {name: str(value) for name, value in request.path_params.items()}
        received = await _received(request)
        faults = self._control.faults
        strikes = faults.on(operation)
        # A refresh token is a secret: its path is shown as a template.
        shown = operation.path if "refresh_token" in path else _as_sent(request)
        entry = self._control.note(
            method=operation.method,
            path=shown,
            operation=operation.name,
            strikes=strikes,
            reservation_id=path.get("reservation_id", ""),
        )
        stopped = await self._interrupted(strikes.seconds(Kind.LATE), faults)
        if stopped or strikes.of(Kind.CLOSED):
            return self._hang_up(entry)
        now = clock() + int(strikes.seconds(Kind.CLOCK) * 1000)
        try:
            self._gate.admit(received, operation, self._control.switches, now)
            self._refuse(strikes, received)
            envelope: dict[str, Json] = {}
            if not _spares_the_work(strikes):
                call = self._call(received, path, strikes, now)
                result = self._work(operation, call, strikes)
                envelope = _success(result, now)
                entry.code = 0
                if operation.name in _MAKES_RESERVATION:
                    entry.reservation_id = result
        except ApiError as error:
            envelope = _failure(error, now)
            entry.code = error.code
        stopped = await self._interrupted(strikes.seconds(Kind.SLOW), faults)
        if stopped or strikes.of(Kind.LOST):
            return self._hang_up(entry)
        return self._reply(entry, _disguise(strikes, envelope, now))

    def _refuse(self, strikes: Strikes, received: Received) -> None:
        """Refuse the call if a fault says so; an expired token is really ended."""
        fault = strikes.of(*REFUSALS)
        if fault is None:
            return
        if fault.kind is Kind.EXPIRED:
            with self._store:
                self._store.end_token(received.headers["access_token"])
            raise ApiError(TOKEN_EXPIRED, "token is expired")
        raise ApiError(fault.code, f"refused by the fault {fault.kind}")

    def _call(
        self, received: Received, path: Mapping[str, str], strikes: Strikes, now: int
    ) -> Call:
        lag_ms = int(strikes.seconds(Kind.LAG) * 1000)
        as_of = clock() - lag_ms if lag_ms else None
        query = dict(received.query)
        body = _object(received.body)
        return Call(
            path=path,
            query=Fields(query, textual=True),
            body=Fields(body),
            store=self._store,
            switches=self._control.switches,
            now=now,
            as_of=as_of,
        )

    def _work(self, operation: Operation, call: Call, strikes: Strikes) -> Json:
        """Do the work in one transaction; twice if a fault delivers the request twice."""
        if release := strikes.of(Kind.RELEASE):
            with self._store:
                release_unused(call, release.minutes)
        with self._store:
            result = operation.handler(call)
        if strikes.of(Kind.DUPLICATE):
            # The client gets the first answer, and never hears of a refusal of the second.
            with suppress(ApiError), self._store:
                operation.handler(call)
        return result

    async def _interrupted(self, seconds: float, faults: Faults) -> bool:
        """Wait so long, or until the faults are removed; return whether the sandbox stopped meanwhile."""
        if not seconds:
            return False
        stopping = asyncio.create_task(self._stopping.wait())
        lifted = asyncio.create_task(faults.lifted.wait())
        await asyncio.wait(
            (stopping, lifted),
            timeout=seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        stopping.cancel()
        lifted.cancel()
        return self._stopping.is_set()

    def _hang_up(self, entry: LoggedCall) -> Response:
        self._report(entry, "no answer")
        return Hangup()

    def _reply(self, entry: LoggedCall, response: Response) -> Response:
        self._report(entry, "")
        return response

    def _report(self, entry: LoggedCall, remark: str) -> None:
        code = "-" if entry.code is None else str(entry.code)
        fault = f"fault={entry.fault}" if entry.fault else ""
        parts = (entry.method, entry.path, f"code={code}", fault, remark)
        self._log(" ".join(part for part in parts if part))


async def _received(request: Request) -> Received:
    query = request.scope["query_string"].decode("latin-1")
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers.raw:
        name = raw_name.decode("latin-1")
        headers[name] = raw_value.decode("latin-1")
    return Received(
        method=request.method,
        path=request.scope["path"],
        query=parse_qsl(query, keep_blank_values=True),
        headers=headers,
        body=await request.body(),
    )


def _as_sent(request: Request) -> str:
    """Return the path with its percent-encoding: one line, whatever is in it."""
    raw_path = bytes(request.scope["raw_path"])
    return raw_path.decode("ascii")


def _spares_the_work(strikes: Strikes) -> bool:
    fault = strikes.of(*_DISGUISES)
    return fault is not None and not fault.works


def _disguise(strikes: Strikes, envelope: Json, now: int) -> Response:
    """Return the envelope as a response, or what a fault makes of it."""
    fault = strikes.of(*_DISGUISES)
    if fault is None:
        return JSONResponse(envelope)
    match fault.kind:
        case Kind.ERROR:
            error = ApiError(fault.code, "system error")
            return JSONResponse(_failure(error, now))
        case Kind.GATEWAY:
            page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
            return HTMLResponse(page, 502)
        case Kind.FALSE:
            return JSONResponse(_success(False, now))
        case _:
            cut = '{"success":true,"result":"14101488'
            return Response(cut, media_type="application/json")


def _success(result: Json, now: int) -> dict[str, Json]:
    content = {"code": 200} if result is NO_RESULT else {"result": result}
    return {
        **content,
        "success": True,
        "t": now,
        "tid": uuid.uuid4().hex,
    }


def _failure(error: ApiError, now: int) -> dict[str, Json]:
    return {
        "code": error.code,
        "msg": error.message,
        "success": False,
        "t": now,
        "tid": uuid.uuid4().hex,
    }


def _object(body: bytes) -> dict[str, Json]:
    """Return the JSON object of a body; an absent body counts as an empty one; raise `ApiError`."""
    if not body:
        return {}
    try:
        value = json.loads(body)
        if b"\\u" in body:
            # A lone surrogate is no text.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ApiError(ILLEGAL, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise ApiError(ILLEGAL, "the body is not an object")
    return value
