"""The form by which a person tells a browser the token of the page, once."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from syncd.views.catalogue import phrase
from syncd.web.access import is_token, keep_signed_in
from syncd.web.asked import Asked
from syncd.web.responses import document_response, page_response, wants_document

_LARGEST_FORM = 4096  # bytes
_AFTER_A_WRONG_ONE_S = 1.0  # for who tries many


async def signed_in(request: Request, asked: Asked) -> Response:
    """Return the way to the front page, with a cookie, for who knows the token; else the form once more."""
    token = asked.config.web.token
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    if token is None:
        return response
    form = dict(parse_qsl(await _body(request)))
    if not is_token(form.get("token", "").strip(), token):
        await asyncio.sleep(_AFTER_A_WRONG_ONE_S)
        return unauthorised(asked, was_wrong=True)
    keep_signed_in(request, response, token)
    return response


async def _body(request: Request) -> str:
    """Return what was posted, if it is no more than the form can be."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return body.decode("utf-8", "replace")


def unauthorised(asked: Asked, *, was_wrong: bool = False) -> Response:
    """Return that a token is needed, with a form for browsers and without any data."""
    status = HTTPStatus.UNAUTHORIZED
    if wants_document(asked.accept):
        sentence = phrase("sign_in.needed")
        response = document_response({"error": sentence}, status)
    else:
        response = page_response("sign_in.html", was_wrong, asked, status)
    response.headers["WWW-Authenticate"] = 'Bearer realm="syncd"'
    return response
