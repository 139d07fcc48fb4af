"""One body of calendar data before anybody looks into it, and the text that its bytes stand for."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BLOCK = 1 << 20
"""How many bytes are looked at at a time, at most; a calendar may be larger than memory should be."""


@dataclass(frozen=True, slots=True)
class Document:
    """One body of calendar data: `name` for people (a file's name, a host), `base_url` for relative links.

    `content` is the body itself, or gives it anew at each call, in blocks; reading may raise `SourceError`.
    `signature` is what the body looks like from outside: two documents of one name with one signature have
    the same body. It is empty where nothing can be told without looking inside.
    `size` is about how many bytes there are, as far as that is known.
    `looks` is a signature without that certainty: a body that changes within a moment may keep it.
    `changed_ms` is when the body came to be as it is, in milliseconds since 1970; 0 where that is not known.
    """

    name: str
    content: bytes | Callable[[], Iterator[bytes]] = field(repr=False)
    base_url: str = field(default="", repr=False)
    signature: str = ""
    size: int = 0
    looks: str = ""
    changed_ms: int = field(default=0, compare=False)

    def blocks(self) -> Iterator[bytes]:
        """Yield the body in blocks of at most `BLOCK` bytes; raises `SourceError`."""
        if isinstance(self.content, bytes):
            yield from (
                self.content[start : start + BLOCK]
                for start in range(0, len(self.content), BLOCK)
            )
        else:
            yield from self.content()

    @property
    def body(self) -> bytes:
        """Return the whole body; raises `SourceError`."""
        return (
            self.content
            if isinstance(self.content, bytes)
            else b"".join(self.content())
        )


_FOLDS_IN_SEQUENCE = re.compile(
    rb"(?<=[\x80-\xff])((?:(?:\r+\n|\n|\r)[ \t])++)([\x80-\xbf]+)"
)


def text_of(body: bytes) -> tuple[str, bool]:
    """Decode bytes without a mark; return also whether some are no UTF-8, which are read as Windows-1252."""
    try:
        return body.decode("utf-8"), False
    except UnicodeDecodeError:
        # Folds may fall inside a UTF-8 sequence (section 3.1), three at most: put them behind the sequence.
        for _ in range(3):
            body = _FOLDS_IN_SEQUENCE.sub(rb"\2\1", body)
    try:
        return body.decode("utf-8"), False
    except UnicodeDecodeError:
        return body.decode("utf-8", errors=_AS_WINDOWS_1252), True


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # it is named for decoding alone
    return error.object[error.start : error.end].decode(
        "cp1252", errors="replace"
    ), error.end


_AS_WINDOWS_1252 = "syncd.windows-1252"
codecs.register_error(_AS_WINDOWS_1252, _as_windows_1252)
