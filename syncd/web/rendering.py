"""The templates, and the files that pages load, by names that change with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from jinja2 import Environment, FunctionLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from syncd import __version__
from syncd.views.moments import age, moment_told

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that pages load; `address` holds a digest of its content, so it never changes."""

    address: str
    body: bytes
    media_type: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Return the files that pages load, by address."""
    found: dict[str, StaticFile] = {}
    for file in _directory("static").iterdir():
        stem, _, ending = file.name.rpartition(".")
        if ending not in _MEDIA_TYPES:
            continue
        body = file.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:_HASH_DIGITS]
        address = f"/static/{stem}.{digest}.{ending}"
        found[address] = StaticFile(address, body, _MEDIA_TYPES[ending])
    return found


def static_address(name: str) -> str:
    """Return the address of a file such as `page.css`; raises KeyError for one that there is not."""
    stem, _, ending = name.rpartition(".")
    for address in static_files():
        if address.startswith(f"/static/{stem}.") and address.endswith(f".{ending}"):
            return address
    raise KeyError(name)


@cache
def templates() -> Environment:
    """Return the templates: what they are fed with is text, and a name that is not there is an error.

    Each is given `page`, the value of its route, with `asked`; and `zone` and `now` for the filters.
    """
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.globals["static"] = static_address
    environment.globals["version"] = __version__
    environment.filters["moment"] = _moment
    environment.filters["age"] = _age
    return environment


def _source(name: str) -> str | None:
    file = _directory("templates") / name
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _directory(name: str) -> Traversable:
    return files("syncd.web") / name


@pass_context
def _moment(context: Context, at: datetime) -> Markup:
    """Return a moment as an element: for people in their zone, for programs in UTC."""
    zone: tzinfo = context["zone"]
    told = moment_told(at, zone)
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%FT%TZ}", told)


@pass_context
def _age(context: Context, at: datetime) -> Markup:
    """Return how long ago a moment is, as an element that counts for nothing in the ETag of a page."""
    told = age(at, context["now"])
    return Markup('<time data-age datetime="{}">{}</time>').format(f"{at:%FT%TZ}", told)
