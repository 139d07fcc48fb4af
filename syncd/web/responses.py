"""Values to what goes over the wire: templates, documents, ETags."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from syncd.web.answers import File, Trouble
from syncd.web.asked import Asked
from syncd.web.rendering import templates

# What changes with time alone counts for nothing in an ETag: ages, and of when a document is.
_AGES = re.compile(r"<time data-age[^>]*>[^<]*</time>")
_OF_THE_MOMENT = frozenset({"as_of", "beat_at"})


def wants_document(accept: str) -> bool:
    """Tell whether a client would rather have the document for programs than the page."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        media_type, *parameters = part.split(";")
        weights[media_type.strip().lower()] = _weight(parameters)
    document = weights.get("application/json", 0.0)
    page = weights.get("text/html", 0.0)
    return document > 0 and document >= page


def _weight(parameters: list[str]) -> float:
    """Return the `q` of an entry of Accept; 1 without one, 0 for one that is no number."""
    for parameter in parameters:
        name, _, said = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(said)
            except ValueError:
                return 0.0
    return 1.0


def page_response(
    template: str, value: object, asked: Asked, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """Return a page: a template with its value."""
    given = {
        "page": value,
        "asked": asked,
        "zone": asked.zone,
        "now": asked.now,
        "today": asked.now.astimezone(asked.zone).date(),
    }
    text = templates().get_template(template).render(given)
    response = _response(text, status, "text/html; charset=utf-8")
    if status is HTTPStatus.OK:
        response.headers["ETag"] = _etag("html", _AGES.sub("", text))
    return response


def document_response(
    document: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """Return a document for programs."""
    text = json.dumps(document, ensure_ascii=False)
    response = _response(text, status, "application/json")
    if status is HTTPStatus.OK:
        lasting = json.dumps(_lasting(document), ensure_ascii=False)
        response.headers["ETag"] = _etag("json", lasting)
    return response


def file_response(file: File) -> Response:
    """Return a file."""
    response = Response(
        file.body, file.status, dict(file.headers), media_type=file.media_type
    )
    if file.tag:
        response.headers["ETag"] = _etag("file", file.tag)
    return response


def trouble_response(asked: Asked, trouble: Trouble) -> Response:
    """Return the page for an error, or its document."""
    if wants_document(asked.accept):
        return document_response({"error": trouble.sentence}, trouble.status)
    return page_response("error.html", trouble, asked, trouble.status)


def _response(text: str, status: HTTPStatus, media_type: str) -> Response:
    """Return a text as an answer that is another one for who accepts other things."""
    # Half a surrogate pair is no text in UTF-8.
    body = text.encode("utf-8", "replace")
    return Response(body, status, {"Vary": "Accept"}, media_type=media_type)


def copy_of(response: Response) -> Response:
    """Return an answer that may be sent: what is sent is changed on its way."""
    copy = Response(response.body, response.status_code)
    copy.raw_headers = list(response.raw_headers)
    return copy


def unchanged(request: Request, response: Response) -> Response:
    """Return the answer, or that the client has it already."""
    etag = response.headers.get("etag")
    known = request.headers.get("if-none-match", "")
    if etag is None or etag not in (one.strip() for one in known.split(",")):
        return response
    kept = ("etag", "vary", "cache-control")
    headers = {
        name: response.headers[name] for name in kept if name in response.headers
    }
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)


def _etag(kind: str, said: str) -> str:
    """Return a weak ETag: what it stands for is compressed on the way, and shows ages."""
    digest = hashlib.sha256(f"{kind}\n{said}".encode("utf-8", "replace"))
    return f'W/"{digest.hexdigest()[:24]}"'


def _lasting(value: object) -> object:
    """Return a document without what changes with time alone."""
    match value:
        case dict():
            return {
                name: _lasting(member)
                for name, member in value.items()
                if name not in _OF_THE_MOMENT
            }
        case list():
            return [_lasting(member) for member in value]
        case _:
            return value
