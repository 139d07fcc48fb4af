"""Content codings: whole, in any pieces, cut and wrong."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.feeds.decoding import DECODING_ERRORS, Decoder, decoder_for

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


def decoder(coding: str) -> Decoder:
    """One that must be there."""
    found = decoder_for(coding)
    assert found is not None
    return found


def decoded(coding: str, chunks: list[bytes]) -> tuple[bytes, bool]:
    """What comes out, and whether it was whole."""
    undo = decoder(coding)
    pieces = [piece for chunk in chunks for piece in undo.pieces(chunk)]
    return b"".join(pieces), undo.finished


@given(
    pattern=st.binary(max_size=300),
    times=st.sampled_from([1, 2, 1000]),
    coding=st.sampled_from(CODINGS),
    step=st.integers(1, 1000),
)
def test_any_body_in_any_chunks(pattern: bytes, times: int, coding: str, step: int) -> None:
    """However the network cuts a compressed body, the same comes out as went in, and it is known whole."""
    body = pattern * times
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
    pieces = [len(piece) for piece in decoder(coding).pieces(encoded(bytes(5_000_000), coding))]
    assert sum(pieces) == 5_000_000
    assert max(pieces) <= LARGEST_PIECE


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_gzip_in_members(step: int) -> None:
    """Several gzip members are one body (RFC 1952 section 2.2), and padding after them is none of it."""
    data = gzip.compress(b"first ") + gzip.compress(b"second") + bytes(100)
    assert decoded("gzip", [data[at : at + step] for at in range(0, len(data), step)]) == (
        b"first second",
        True,
    )


def test_bare_deflate() -> None:
    """Deflate without zlib's wrapping is understood, because some servers send that."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert decoded("deflate", [deflater.compress(b"x" * 1000) + deflater.flush()]) == (b"x" * 1000, True)


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_something_else(coding: str) -> None:
    """A body that is not in its coding is an error of a known kind."""
    with pytest.raises(DECODING_ERRORS):
        decoded(coding, [b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" * 10])


def test_names() -> None:
    """Names of codings are compared without case; one that was not asked for has no decoder."""
    assert decoder_for(" X-GZIP ") is not None
    assert decoder_for("") is not None
    assert decoder_for("zstd") is None
    assert decoder_for("gzip, br") is None
