"""Content codings (RFC 9110 section 8.4.1) undone in small pieces.

A few bytes can stand for gigabytes, so whoever reads the pieces may stop after any of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import brotli

_PIECE = 65536  # bytes
_GZIP_MAGIC = b"\x1f\x8b"

DECODING_ERRORS = (zlib.error, brotli.error)


class Decoder(Protocol):
    """Undoes one coding; `pieces` raises one of `DECODING_ERRORS` for what is not of that coding."""

    def pieces(self, data: bytes) -> Iterator[bytes]: ...
    @property
    def finished(self) -> bool: ...


class _Identity:
    """No coding; the framing of HTTP says where the end is."""

    finished = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Gzip:
    """gzip (RFC 1952): one member or several, followed by nothing of interest."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._tail = b""

    @property
    def finished(self) -> bool:
        return self._inflater.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflater.eof:
                self._tail += data[: len(_GZIP_MAGIC) - len(self._tail)] if self._tail else data
                if not self._tail.startswith(_GZIP_MAGIC):
                    self._tail = self._tail[: len(_GZIP_MAGIC)]
                    return
                data, self._tail = self._tail, b""
                self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
            yield from _inflated(self._inflater, data)
            data = self._inflater.unused_data


class _Deflate:
    """deflate: in zlib's wrapping (RFC 1950), or bare (RFC 1951) as some servers send it."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj()
        self._begun = False

    @property
    def finished(self) -> bool:
        return self._inflater.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if not self._begun and data:
            self._begun = True
            if data[0] & 0x0F != zlib.DEFLATED:  # the first byte of the wrapping names the method
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        yield from _inflated(self._inflater, data)


class _Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._decompressor.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        # Only an empty piece says that nothing is left: `can_accept_more_data` tells about input alone.
        while not self.finished and (piece := self._decompressor.process(data, output_buffer_limit=_PIECE)):
            yield piece
            data = b""


def _inflated(inflater: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while not inflater.eof:
        piece = inflater.decompress(data, _PIECE)
        yield piece
        data = inflater.unconsumed_tail
        if not data and len(piece) < _PIECE:
            return


_DECODERS: Mapping[str, Callable[[], Decoder]] = {
    "": _Identity,
    "identity": _Identity,
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
}
ACCEPTED = "gzip, deflate, br"


def decoder_for(coding: str) -> Decoder | None:
    """The decoder for a Content-Encoding; None for one that was not asked for."""
    make = _DECODERS.get(coding.strip().lower())
    return None if make is None else make()
