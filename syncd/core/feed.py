"""What a feed said when it was last read, and how asking it went since."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from syncd.core.backoff import LONGEST_BACK_OFF, backed_off

_BLOCK = 1 << 20  # bytes, at most, given at a time
_STEP = 1 << 16  # bytes, at most, decompressed at a time


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes that a feed gave, compressed: calendars shrink to a sixth and less.

    They are never in memory as a whole, neither while they arrive nor when they are looked through.
    `digest` stands for them: equal bytes have equal ones, others do not.
    `packed` is a zlib stream (RFC 1950).
    """

    digest: str
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Self:
        """Pack the body that is these pieces one after the other."""
        digest = hashlib.sha256()
        packed = io.BytesIO()  # gives its bytes away without a copy
        # A higher level saves a fifth of the room and takes thrice the time.
        compressor = zlib.compressobj(1)
        for piece in pieces:
            digest.update(piece)
            packed.write(compressor.compress(piece))
        packed.write(compressor.flush())
        return cls(digest.hexdigest(), packed.getvalue())

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks of at most 1 MiB; raises ValueError when what was kept is damaged."""
        inflater = zlib.decompressobj()
        for start in range(0, len(self.packed), _STEP):
            rest = self.packed[start : start + _STEP]
            while rest:
                try:
                    block = inflater.decompress(rest, _BLOCK)
                except zlib.error as error:
                    raise ValueError(str(error)) from None
                rest = inflater.unconsumed_tail
                if block:
                    yield block
        if not inflater.eof:
            raise ValueError("the compressed body ends too early")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a feed and of the body that is kept of it, in one step with its validators.

    `identity` stands for URL and credentials: another one begins anew.
    `digest` is that of the kept body, which is loaded by itself and only when it is needed; empty: none is.
    `etag`, `last_modified` and `target` make the next request conditional (RFC 9110 section 8.8).
    `read_at` is when the body came.
    `failures` counts attempts in a row that failed; until `wait_until` the feed is left alone.
    Until `unconditional_until` it is asked without condition, because its server fails on one.
    """

    identity: str
    document: str = ""
    digest: str = ""
    base_url: str = field(default="", repr=False)
    etag: str = ""
    last_modified: str = ""
    target: str = ""
    read_at: datetime | None = None
    failures: int = 0
    wait_until: datetime | None = None
    unconditional_until: datetime | None = None

    def failed(
        self, now: datetime, interval: timedelta, retry_at: datetime | None
    ) -> Snapshot:
        """Return the snapshot after one more failure: asked after twice the time, or when the server says."""
        failures = self.failures + 1
        # However long its interval: a feed that failed is asked sooner again.
        wait = min(backed_off(interval, failures), LONGEST_BACK_OFF)
        until = max(now + wait, retry_at) if retry_at else now + wait
        return replace(self, failures=failures, wait_until=until)

    def answered(self) -> Snapshot:
        """Return the snapshot after an answer, with nothing to wait for."""
        return replace(self, failures=0, wait_until=None)
