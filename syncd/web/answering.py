"""Answers a question by its route: on the thread of the ledger, or by another process.

Promises: what was answered a moment ago is given again while nothing was written since, so that whoever asks
the same again and again costs little.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import structlog
from starlette.responses import Response

from syncd.errors import LedgerError
from syncd.web.answers import File, Trouble, trouble_of
from syncd.web.aside import AsideAnswers
from syncd.web.asked import Asked
from syncd.web.reader import LedgerReader
from syncd.web.responses import (
    copy_of,
    document_response,
    file_response,
    page_response,
    trouble_response,
    wants_document,
)
from syncd.web.routes import FileRoute, PageRoute

log = structlog.get_logger(__name__)

_KEPT_S = 1.0
_MOST_KEPT = 32  # answers

Route = PageRoute | FileRoute
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, and until when on the monotonic clock it is given again if the ledger is of this version."""

    response: Response
    version: object
    until_s: float


class Answering:
    """Answers questions over one ledger, for the loop of one server."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._aside = AsideAnswers()
        # Used on the thread of the ledger alone.
        self._kept: OrderedDict[object, _Kept] = OrderedDict()

    async def answer(self, route: Route, asked: Asked) -> Response:
        """Return the answer of a route, whatever goes wrong on the way."""
        try:
            if route.is_aside:
                return await self._answer_aside(route, asked)
            return await self._read(lambda: self._answer(route, asked))
        except Exception as error:  # one page must not end the others
            trouble = trouble_of(error)
            if trouble.status is HTTPStatus.INTERNAL_SERVER_ERROR:
                log.critical("defect of syncd; please report this line", exc_info=error)
            return trouble_response(asked, trouble)

    async def _answer_aside(self, route: Route, asked: Asked) -> Response:
        make = _maker(route, asked)
        newest = await self._read(partial(_newest_of, asked))
        basis = (newest, asked.present.taken_over_at)
        made = await self._aside.of(make, asked, basis)
        return await self._read(lambda: _response(route, made, asked))

    async def _read(self, question: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._reader.submit(question))

    # On the thread of the ledger

    def _answer(self, route: Route, asked: Asked) -> Response:
        question = _question(route, asked)
        version = _version_of(asked)
        kept = self._kept.get(question)
        if kept is not None and version is not None:
            is_fresh = time.monotonic() < kept.until_s
            if is_fresh and kept.version == version:
                return copy_of(kept.response)
        make = _maker(route, asked)
        response = _response(route, make(asked), asked)
        if version is not None:
            self._keep(question, response, version)
        return copy_of(response)

    def _keep(self, question: object, response: Response, version: object) -> None:
        until_s = time.monotonic() + _KEPT_S
        self._kept[question] = _Kept(response, version, until_s)
        self._kept.move_to_end(question)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)


def _newest_of(asked: Asked) -> object:
    return asked.ledger.operation.newest()


def _version_of(asked: Asked) -> object | None:
    """Return what tells whether anything is written; None while the ledger cannot be read."""
    try:
        return asked.ledger.version()
    except LedgerError:
        return None


def _question(route: Route, asked: Asked) -> object:
    """Return what is equal for questions that have the same answer."""
    present = asked.present
    return (
        route.path,
        tuple(sorted(asked.parameters.items())),
        tuple(sorted(asked.query.items())),
        asked.accept,
        (present.taken_over_at, present.problems, present.is_stuck),
    )


def _maker(route: Route, asked: Asked) -> Callable[[Asked], object]:
    """Return the function of a route that makes what is asked for."""
    if isinstance(route, FileRoute):
        return route.file
    if wants_document(asked.accept):
        return route.document
    return route.value


def _response(route: Route, made: object, asked: Asked) -> Response:
    """Return what goes over the wire of what a route made."""
    if isinstance(made, Trouble):
        return trouble_response(asked, made)
    if isinstance(made, File):
        return file_response(made)
    if isinstance(route, PageRoute) and not wants_document(asked.accept):
        return page_response(route.template, made, asked)
    if isinstance(made, dict):
        return document_response(made)
    raise TypeError(f"{route.path} made nothing that can be sent")
