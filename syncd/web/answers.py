"""What a route answers: a page, a file, or that there is no such thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from syncd.errors import LedgerError, SyncdError

FRONT = ("/", "The front page")


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
                "Not understood", error.sentence, error.way_on, HTTPStatus.BAD_REQUEST
            )
        case NotThere():
            return Trouble(
                "Not found", error.sentence, error.way_on, HTTPStatus.NOT_FOUND
            )
        case LedgerError():
            return Trouble(
                "The ledger cannot be read",
                str(error),
                FRONT,
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        case SyncdError():
            return Trouble("Not now", str(error), FRONT, HTTPStatus.SERVICE_UNAVAILABLE)
        case _:
            return Trouble(
                "A defect of syncd",
                f"This page met a defect of syncd ({type(error).__name__}); the log has the line to report.",
                FRONT,
                HTTPStatus.INTERNAL_SERVER_ERROR,
            )
