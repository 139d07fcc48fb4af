"""What a feed said when it was last read, and how asking it went since."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from syncd.core.backoff import LONGEST_BACK_OFF, backed_off


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The body of a feed with the validators that belong to it, kept together.

    `identity` stands for URL and credentials: another one begins anew.
    `etag`, `last_modified` and `target` make the next request conditional (RFC 9110 section 8.8).
    `read_at` is when the body came.
    `failures` counts attempts in a row that failed; until `wait_until` the feed is left alone.
    """

    identity: str
    document: str = ""
    body: bytes | None = field(default=None, repr=False)
    base_url: str = field(default="", repr=False)
    etag: str = ""
    last_modified: str = ""
    target: str = ""
    read_at: datetime | None = None
    failures: int = 0
    wait_until: datetime | None = None

    def failed(self, now: datetime, interval: timedelta, retry_at: datetime | None) -> Snapshot:
        """The same after one more failure: asked again after twice the time, or when the server says."""
        failures = self.failures + 1
        # However long its interval: a feed that failed is asked sooner again.
        wait = min(backed_off(interval, failures), LONGEST_BACK_OFF)
        until = max(now + wait, retry_at) if retry_at else now + wait
        return replace(self, failures=failures, wait_until=until)

    def answered(self) -> Snapshot:
        """The same after an answer: nothing to wait for."""
        return replace(self, failures=0, wait_until=None)
