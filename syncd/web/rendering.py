"""The templates, and the files that pages load, by names that change with their content."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from jinja2 import Environment, FunctionLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from syncd import __version__
from syncd.core.visible import visible
from syncd.views.catalogue import LANGUAGE, counted, phrase
from syncd.views.moments import age, in_zone, moment_told, span_told
from syncd.web.grid import grid_styles

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_WORDS = re.compile("([ \t\r\n]+)")
_BREAKABLE = re.compile(r"\w[^\w\s]+\w")
_HASH_DIGITS = 12
_MOST_LETTERS = 160  # of a text of somebody in a list; its own page has all of it
_LONGEST_SENTENCE = 800


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
        made = _static_file(stem, ending, file.read_bytes())
        found[made.address] = made
    grid = _static_file("grid", "css", grid_styles().encode())
    found[grid.address] = grid
    return found


def _static_file(stem: str, ending: str, body: bytes) -> StaticFile:
    digest = hashlib.sha256(body).hexdigest()[:_HASH_DIGITS]
    address = f"/static/{stem}.{digest}.{ending}"
    return StaticFile(address, body, _MEDIA_TYPES[ending])


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
        finalize=_seen,
    )
    environment.globals["static"] = static_address
    environment.globals["version"] = __version__
    environment.globals["language"] = LANGUAGE
    environment.globals["say"] = phrase
    environment.globals["count"] = counted
    environment.filters["moment"] = _moment
    environment.filters["age"] = _age
    environment.filters["clock"] = _clock
    environment.filters["date"] = _date
    environment.filters["span"] = _span
    environment.filters["zoned"] = _zoned
    environment.filters["short"] = _short
    environment.filters["sentence"] = _sentence
    environment.filters["whole_words"] = _whole_words
    return environment


def _seen(value: object) -> object:
    """Return what a template shows: of a text each character can be seen, and none reorders or hides others."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


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


@pass_context
def _clock(context: Context, at: datetime) -> Markup:
    """Return the time of a moment, as an element that counts for nothing in the ETag of a page."""
    zone: tzinfo = context["zone"]
    told = f"{at.astimezone(zone):%H:%M:%S}"
    return Markup('<time data-age="clock" datetime="{}">{}</time>').format(
        f"{at:%FT%TZ}", told
    )


def _date(day: date) -> str:
    """Return a day for people, such as `Tue 01 Dec 2026`."""
    return f"{day:%a %d %b %Y}"


@pass_context
def _span(context: Context, start: datetime, end: datetime) -> str:
    """Return from when until when, in the zone of all that a person reads."""
    return span_told(start, end, context["zone"])


@pass_context
def _zoned(context: Context, sentence: str) -> str:
    """Return a sentence with the moments in it in the zone of all that a person reads."""
    return in_zone(sentence, context["zone"])


def _short(text: str) -> str:
    """Return a text as far as a list has place for it."""
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def _whole_words(text: str) -> Markup:
    """Return a text of which no word is broken, also none that is put together of several by signs."""
    pieces: list[Markup] = []
    for piece in _WORDS.split(visible(text)):
        escaped = escape(piece)
        if _BREAKABLE.search(piece):
            escaped = Markup('<span class="whole">{}</span>').format(piece)
        pieces.append(escaped)
    return Markup("").join(pieces)


def _sentence(text: str) -> str:
    """Return a sentence as far as a page has place for it: somebody's text may stand in it."""
    return text if len(text) <= _LONGEST_SENTENCE else f"{text[:_LONGEST_SENTENCE]}…"
