"""What a route answers: a page, a file, or that there is no such thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An answer that is no page: `body` as it goes out, of a media type.

    `tag` is what its ETag is made of, when that is less than the body; empty: it gets none.
    """

    body: bytes
    media_type: str
    tag: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: HTTPStatus = HTTPStatus.OK


class NotThere(Exception):
    """What an address names does not exist: one sentence, and where to go on, as an address and words."""

    def __init__(
        self, sentence: str, way_on: tuple[str, str] = ("/", "The front page")
    ) -> None:
        self.sentence = sentence
        self.way_on = way_on
        super().__init__(sentence)


class NotUnderstood(NotThere):
    """What was asked makes no sense, such as a day that is none."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the page for an error shows: a title, a sentence, and where to go on."""

    title: str
    sentence: str
    way_on: tuple[str, str]
    status: HTTPStatus
