"""Content codings (RFC 9110 section 8.4.1) undone in small pieces.

A few bytes can stand for gigabytes, so whoever reads the pieces may stop after any of them.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import brotli

_PIECE = 65536  # bytes
_GZIP_MAGIC = b"\x1f\x8b"

DECODING_ERRORS = (zlib.error, brotli.error)


class Decoder(Protocol):
    """A decoder of one coding; `pieces` raises one of `DECODING_ERRORS` for what is not of that coding."""

    def pieces(self, data: bytes) -> Iterator[bytes]: ...
    @property
    def finished(self) -> bool: ...


class _Identity:
    """The decoder of no coding; the framing of HTTP says where the end is."""

    finished = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Gzip:
    """The decoder of gzip (RFC 1952): one member or several; ignores what follows them."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._tail = b""

    @property
    def finished(self) -> bool:
        return self._inflater.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflater.eof:
                data = self._tail + data
                if not data.startswith(_GZIP_MAGIC):
                    # Half of it may be the begin of a member.
                    self._tail = data[: len(_GZIP_MAGIC)]
                    return
                self._tail = b""
                self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
            yield from _inflated(self._inflater, data)
            data = self._inflater.unused_data


class _Deflate:
    """The decoder of deflate: in zlib's wrapping (RFC 1950), or bare (RFC 1951) as some servers send it."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj()
        self._begun = False

    @property
    def finished(self) -> bool:
        return self._inflater.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if not self._begun and data:
            self._begun = True
            # The first byte of the wrapping names the method.
            if data[0] & 0x0F != zlib.DEFLATED:
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        yield from _inflated(self._inflater, data)


class _Brotli:
    """The decoder of br (RFC 7932)."""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._decompressor.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        # Only an empty piece says that nothing is left: `can_accept_more_data` tells about input alone.
        while not self.finished and (
            piece := self._decompressor.process(data, output_buffer_limit=_PIECE)
        ):
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
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
}
# Servers write these where nothing was done to the body, or nothing that is left of it.
_NOTHING = frozenset(
    {
        "",
        "identity",
        "none",
        "7bit",
        "8bit",
        "binary",
        "aws-chunked",
        "chunked",
        "utf8",
        "utf-8",
    }
)
ACCEPTED = "gzip, deflate, br"
_MOST_LAYERS = 4
_CALENDAR = b"BEGIN:VCALENDAR"
_LONGEST_BEGIN = 512  # bytes, blanks in front included
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnknownCoding(ValueError):
    """A body in a coding that was not asked for and that nothing here undoes."""


class TooMuch(ValueError):
    """More bytes than allowed came out of one of the layers."""


class Decoding:
    """The decoder of a whole Content-Encoding, from the last coding to the first.

    What begins as a calendar is one, whatever the header says; a body that begins as gzip is undone although
    the header forgot it.
    Each layer gives `max_bytes` at most; `tick` is called for each piece of any of them, and may raise.
    `pieces` and `rest` raise one of `DECODING_ERRORS`, `UnknownCoding` or `TooMuch`.
    """

    def __init__(self, header: str, max_bytes: int, tick: Callable[[], object]) -> None:
        names = [name.strip().strip('"').lower() for name in header.split(",")]
        names.reverse()
        self._codings = [name for name in names if name not in _NOTHING]
        makers = [
            _DECODERS.get(name, _unknown) for name in self._codings[:_MOST_LAYERS]
        ]
        if len(self._codings) > _MOST_LAYERS:
            makers = [_unknown]
        self._layers = [_Layer(make) for make in makers]
        self._layers += [_Layer(_Undeclared), _Layer(_Undeclared)]
        self._sizes = [0] * len(self._layers)
        self._max_bytes = max_bytes
        self._tick = tick

    @property
    def is_plain(self) -> bool:
        """Return whether the header says that the body is not encoded."""
        return not self._codings

    @property
    def finished(self) -> bool:
        """Return whether all layers came to their end."""
        return all(layer.finished for layer in self._layers)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what some more bytes decode to."""
        yield from self._through(0, [data])

    def rest(self) -> Iterator[bytes]:
        """Yield what the layers held back until the end."""
        for number, layer in enumerate(self._layers):
            decoded = self._counted(number, layer.rest())
            yield from self._through(number + 1, decoded)

    def _through(self, first: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass pieces through the layers from number `first` on; yield what leaves the last one."""
        if first == len(self._layers):
            yield from pieces
            return
        layer = self._layers[first]
        for piece in pieces:
            decoded = self._counted(first, layer.pieces(piece))
            yield from self._through(first + 1, decoded)

    def _counted(self, number: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._sizes[number] += len(piece)
            if self._sizes[number] > self._max_bytes:
                raise TooMuch
            yield piece
            self._tick()


class _Layer:
    """A decoder that is used only if the body is not a calendar yet; bytes are held until that is known."""

    def __init__(self, make: Callable[[], Decoder]) -> None:
        self._make = make
        self._held = b""
        self._decoder: Decoder | None = None

    @property
    def finished(self) -> bool:
        return self._decoder is None or self._decoder.finished

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            self._held += data
            begins = begins_as_calendar(self._held)
            if begins is None:
                return
            self._decoder = _Identity() if begins else self._make()
            data, self._held = self._held, b""
        yield from self._decoder.pieces(data)

    def rest(self) -> Iterator[bytes]:
        """Yield what is still held at the end of everything."""
        if self._held:
            self._decoder = self._make()
            yield from self._decoder.pieces(self._held)


class _Undeclared:
    """The decoder of gzip where the body begins so although no header says it; otherwise none."""

    def __init__(self) -> None:
        self._decoder: Decoder | None = None

    @property
    def finished(self) -> bool:
        return self._decoder is None or self._decoder.finished

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._decoder is None and data:
            self._decoder = _Gzip() if data.startswith(_GZIP_MAGIC) else _Identity()
        if self._decoder is not None:
            yield from self._decoder.pieces(data)


def _unknown() -> Decoder:
    raise UnknownCoding


def begins_as_calendar(start: bytes) -> bool | None:
    """Tell whether a body begins as a calendar, behind marks and blanks; None: not yet known."""
    if len(start) < len(_GZIP_MAGIC):
        return None
    for mark in _MARKS:
        start = start.removeprefix(mark)
    text = start[:_LONGEST_BEGIN].replace(b"\0", b"").lstrip()
    head = text[: len(_CALENDAR)].upper()
    if len(head) == len(_CALENDAR) or len(start) >= _LONGEST_BEGIN:
        return head == _CALENDAR
    return None if _CALENDAR.startswith(head) else False
