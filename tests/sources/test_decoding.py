"""Content codings: whole, in any pieces, cut and wrong."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from syncd.sources.http.decoding import (
    DECODING_ERRORS,
    Decoding,
    TooMuch,
    UnknownCoding,
)
from tests.sources.server import CALENDAR

CODINGS = ("identity", "gzip", "deflate", "br")
LARGEST_PIECE = 200_000  # what brotli may give when asked for about 65,536


def encoded(body: bytes, coding: str) -> bytes:
    """A body in a coding."""
    match coding:
        case "gzip":
            return gzip.compress(body)
        case "deflate":
            return zlib.compress(body)
        case "br":
            return bytes(brotli.compress(body))
        case _:
            return body


def decoder(header: str, max_bytes: int = 10**9) -> Decoding:
    """One for a Content-Encoding."""
    return Decoding(header, max_bytes, lambda: None)


def decoded(coding: str, chunks: list[bytes]) -> tuple[bytes, bool]:
    """What comes out, and whether it was whole."""
    undo = decoder(coding)
    pieces = [piece for chunk in chunks for piece in undo.pieces(chunk)]
    return b"".join([*pieces, *undo.rest()]), undo.finished


@given(
    pattern=st.binary(max_size=300),
    times=st.sampled_from([1, 2, 1000]),
    coding=st.sampled_from(CODINGS),
    step=st.integers(1, 1000),
)
def test_any_body_in_any_chunks(
    pattern: bytes, times: int, coding: str, step: int
) -> None:
    """However the network cuts a compressed body, the same comes out as went in, and it is known whole.

    What begins as gzip is undone once more, so a body that only begins so is none that could be told.
    """
    body = pattern * times
    assume(not body.startswith(b"\x1f\x8b"))
    data = encoded(body, coding)
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    assert decoded(coding, chunks) == (body, True)


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_cut(coding: str) -> None:
    """A compressed body without its last byte is not taken for whole."""
    assert decoded(coding, [encoded(b"BEGIN:VCALENDAR" * 100, coding)[:-1]])[1] is False


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_pieces_are_small(coding: str) -> None:
    """A chunk that stands for much is given out in pieces, so that a reader can stop in between."""
    pieces = [
        len(piece)
        for piece in decoder(coding).pieces(encoded(bytes(5_000_000), coding))
    ]
    assert sum(pieces) == 5_000_000
    assert max(pieces) <= LARGEST_PIECE


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_gzip_in_members(step: int) -> None:
    """Several gzip members are one body (RFC 1952 section 2.2), and padding after them is none of it."""
    data = gzip.compress(b"first ") + gzip.compress(b"second") + bytes(100)
    assert decoded(
        "gzip", [data[at : at + step] for at in range(0, len(data), step)]
    ) == (
        b"first second",
        True,
    )


def test_gzip_members_cut_anywhere() -> None:
    """Wherever the network cuts members in two, also between the two bytes that begin one, all is read."""
    data = gzip.compress(b"first ") + gzip.compress(b"second") + bytes(3)
    for cut in range(1, len(data)):
        assert decoded("gzip", [data[:cut], data[cut:]]) == (b"first second", True), cut


def test_bare_deflate() -> None:
    """Deflate without zlib's wrapping is understood, because some servers send that."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert decoded("deflate", [deflater.compress(b"x" * 1000) + deflater.flush()]) == (
        b"x" * 1000,
        True,
    )


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_something_else(coding: str) -> None:
    """A body that is not in its coding is an error of a known kind."""
    with pytest.raises(DECODING_ERRORS):
        decoded(coding, [b"<html>\r\nThis is no calendar.\r\n" * 10])


def nested(body: bytes, *codings: str) -> bytes:
    """A body in one coding after the other."""
    for coding in codings:
        body = encoded(body, coding)
    return body


@pytest.mark.parametrize("step", [1, 3, 100_000])
@pytest.mark.parametrize(
    ("header", "done"),
    [
        # Nothing was done, whatever the header says.
        *[
            (header, ())
            for header in (
                "",
                "identity",
                "none",
                "UTF-8",
                "utf8",
                "8bit",
                "binary",
                "aws-chunked",
            )
        ],
        *[
            (header, ())
            for header in (
                "gzip",
                "GZIP, br",
                "deflate",
                "br",
                "zstd",
                "x-snappy, gzip",
                "compress",
            )
        ],
        # One thing was done, and more is said.
        *[
            (header, ("gzip",))
            for header in (
                "gzip",
                " X-GZIP ",
                "gzip,aws-chunked",
                "identity, gzip, none",
            )
        ],
        *[
            (header, ("gzip",))
            for header in ("gzip, gzip", "gzip,utf-8", "GZip,,", '"gzip"', "")
        ],
        # Several things were done.
        ("gzip, gzip", ("gzip", "gzip")),
        ("gzip", ("gzip", "gzip")),
        ("deflate, br", ("deflate", "br")),
        ("br, identity, gzip", ("br", "gzip")),
        ("gzip, deflate, br", ("gzip", "deflate", "br")),
    ],
)
def test_lists_and_headers_that_err(
    header: str, done: tuple[str, ...], step: int
) -> None:
    """A list is undone from its last member, what was not done is not undone, a calendar is one."""
    data = nested(CALENDAR, *done)
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    assert decoded(header, chunks) == (CALENDAR, True)


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\r\n \t",
        b"\xef\xbb\xbf\n",
        b"begin:vcalendar\n",
        *[b"\n" * n for n in (14, 40)],
    ],
)
def test_a_calendar_below_blanks_and_marks(begin: bytes) -> None:
    """Marks and blanks before the first line, and its letter case, hide no calendar from a wrong header."""
    for body in (
        begin + CALENDAR,
        CALENDAR.decode().encode("utf-16"),
        CALENDAR.decode().encode("utf-16-be"),
    ):
        assert decoded("gzip", [body]) == (body, True)


@pytest.mark.parametrize(
    "header", ["zstd", "compress", "gzip, zstd", "sdch,gzip", ", ".join(["gzip"] * 9)]
)
def test_what_nobody_asked_for(header: str) -> None:
    """A coding that is not known is an error of its own, unless what comes is a calendar."""
    with pytest.raises(UnknownCoding):
        decoded(header, [gzip.compress(b"\x28\xb5\x2f\xfd no calendar")])


@pytest.mark.parametrize(
    "done", [("gzip",), ("gzip", "gzip"), ("br", "gzip"), ("gzip", "gzip", "gzip")]
)
def test_every_layer_is_bounded(done: tuple[str, ...]) -> None:
    """However deep a bomb is nested, no layer gives more than is allowed before it is ended."""
    data = nested(CALENDAR + bytes(30_000_000), *done)
    undo = decoder(", ".join(done), 1_000_000)
    given: list[int] = []
    with pytest.raises(TooMuch):
        given.extend(map(len, undo.pieces(data)))
    assert sum(given) <= 1_000_000


def test_an_inner_layer_that_gives_nothing() -> None:
    """What the layers between cost counts too: gigabytes of empty members come to an end."""
    empty = gzip.compress(b"")
    data = gzip.compress(empty * 200_000)
    with pytest.raises(TooMuch):
        list(decoder("gzip, gzip", 1_000_000).pieces(data))
