"""The form by which a person tells a browser the token of the page, once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from syncd.views.catalogue import phrase
from syncd.web.access import is_token, keep_signed_in
from syncd.web.asked import Asked
from syncd.web.responses import document_response, page_response, wants_document

_LARGEST_FORM = 8192  # bytes
_LONGEST_WAY = 2000
_AFTER_A_WRONG_ONE_S = 1.0  # for who tries many


@dataclass(frozen=True, slots=True)
class SignInForm:
    """The form: whether a token was given that is not the one, and where to go with the right one."""

    to: str
    was_wrong: bool = False


async def signed_in(request: Request, asked: Asked) -> Response:
    """Return the way to where somebody wanted to go, with a cookie, for who knows the token; else the form."""
    token = asked.config.web.token
    form = dict(parse_qsl(await _body(request)))
    to = _own_address(form.get("to", "/"))
    response = RedirectResponse(to, HTTPStatus.SEE_OTHER)
    if token is None:
        return response
    if not is_token(form.get("token", "").strip(), token):
        await asyncio.sleep(_AFTER_A_WRONG_ONE_S)
        return _unauthorised(asked, SignInForm(to, was_wrong=True))
    keep_signed_in(request, response, token)
    return response


def _own_address(said: str) -> str:
    """Return an address of the page that somebody wanted to see; the front page for anything else."""
    is_path = said.startswith("/") and not said.startswith(("//", "/\\"))
    if is_path and said.isascii() and said.isprintable() and len(said) < _LONGEST_WAY:
        return said
    return "/"


async def _body(request: Request) -> str:
    """Return what was posted, if it is no more than the form can be."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return body.decode("utf-8", "replace")


def unauthorised(request: Request, asked: Asked) -> Response:
    """Return that a token is needed, with a form for browsers and without any data."""
    wanted = request.url.path
    if request.url.query:
        wanted = f"{wanted}?{request.url.query}"
    return _unauthorised(asked, SignInForm(_own_address(wanted)))


def _unauthorised(asked: Asked, form: SignInForm) -> Response:
    status = HTTPStatus.UNAUTHORIZED
    if wants_document(asked.accept):
        sentence = phrase("sign_in.needed")
        response = document_response({"error": sentence}, status)
    else:
        response = page_response("sign_in.html", form, asked, status)
    response.headers["WWW-Authenticate"] = 'Bearer realm="syncd"'
    return response
