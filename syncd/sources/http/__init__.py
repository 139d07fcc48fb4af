"""Calendars behind URLs: bytes over HTTP, nothing about iCalendar but the `Document` they become.

Promises: what is returned arrived whole, within the time and size of its feed, over verified TLS, from an
address that may be connected to; everything else is `SourceUnavailable` or `SourceMalformed` with its cure.
Must not: connect to an address that is not public unless the feed allows it, carry a credential to another
origin, or let a URL's path or query, a credential or a foreign exception out.

The `Fetcher` itself is in `syncd.sources.http.fetcher`: with it comes an HTTP client, of no use to who has no
feeds.
"""

from syncd.sources.http.feed import (
    Answer,
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    Feed,
    Fresh,
    HeaderAuth,
    NotModified,
    Secret,
    Tls,
    Validators,
    equal_feeds_together,
)
from syncd.sources.http.lanes import Lanes

__all__ = [
    "Answer",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "DigestAuth",
    "Feed",
    "Fresh",
    "HeaderAuth",
    "Lanes",
    "NotModified",
    "Secret",
    "Tls",
    "Validators",
    "equal_feeds_together",
]
