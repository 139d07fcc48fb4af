"""What a route answers: a page, a file, or that there is no such thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from syncd.errors import LedgerError, SyncdError
from syncd.views.catalogue import phrase

FRONT = ("/", phrase("nav.front"))


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

    def __init__(self, sentence: str, way_on: tuple[str, str] = FRONT) -> None:
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


def trouble_of(error: Exception) -> Trouble:
    """Return what is shown of an error; of one that nobody foresaw that it is a defect."""
    match error:
        case NotUnderstood():
            return Trouble(
                phrase("error.not_understood"),
                error.sentence,
                error.way_on,
                HTTPStatus.BAD_REQUEST,
            )
        case NotThere():
            return Trouble(
                phrase("error.not_found"),
                error.sentence,
                error.way_on,
                HTTPStatus.NOT_FOUND,
            )
        case LedgerError():
            return Trouble(
                phrase("error.ledger"),
                str(error),
                FRONT,
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        case SyncdError():
            return Trouble(
                phrase("error.not_now"),
                str(error),
                FRONT,
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        case _:
            return Trouble(
                phrase("error.defect"),
                phrase("error.defect_told", kind=type(error).__name__),
                FRONT,
                HTTPStatus.INTERNAL_SERVER_ERROR,
            )
