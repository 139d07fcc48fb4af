"""What a feed is, how it is opened, and what it can answer: values.

Equal feeds are equal values, so that a calendar that several sources name is fetched once.
Nothing in here shows a URL, a user name or a secret in its `repr`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from syncd.core.document import Document
from syncd.core.feed import Body
from syncd.sources.http.addresses import Allowed
from syncd.urls import web_url

if TYPE_CHECKING:
    import httpx

_LONGEST_VALIDATOR = 1024  # characters; real ones have some dozens


class Secret(Protocol):
    """A text that is asked for at each use, so that it can be rotated.

    Two that refer to the same place are equal and have the same hash.
    `reveal` may raise `SyncdError`; its text must not hold the secret.
    """

    def reveal(self) -> str: ...
    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """User name and password in each request (RFC 7617)."""

    username: str = field(repr=False)
    password: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class DigestAuth:
    """A proof that the password is known, in answer to a challenge (RFC 7616)."""

    username: str = field(repr=False)
    password: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class BearerAuth:
    """A token in the Authorization header (RFC 6750)."""

    token: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    """A header of the server's choice."""

    name: str
    value: Secret = field(repr=False)


Auth = BasicAuth | DigestAuth | BearerAuth | HeaderAuth


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a feed; they are read again when they change.

    `ca` holds the only authorities that are trusted for this feed; without it those of the system are.
    `certificate` (with its chain) is shown to the feed's own server; its `key` may be in the same file.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.certificate is None:
            raise ValueError("a key is of use with its certificate only")


_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """A URL with what is asked of it again and again, computed once.

    `raw_host` is the host as it goes to DNS, `target` a digest for the URL where that itself, which may hold a
    secret, must not be.
    """

    url: httpx.URL = field(repr=False)
    scheme: str
    host: str
    raw_host: str
    port: int
    target: str

    @classmethod
    def of(cls, url: httpx.URL) -> Place:
        """Return the place that a URL of the web names."""
        target = hashlib.sha256(str(url).encode()).hexdigest()[:32]
        port = url.port or _DEFAULT_PORTS[url.scheme]
        raw_host = url.raw_host.decode("ascii")
        return cls(url, url.scheme, url.host, raw_host, port, target)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return scheme, host and port (RFC 6454)."""
        return self.scheme, self.host, self.port


@dataclass(frozen=True, slots=True)
class Feed:
    """One calendar behind a URL, named after its source.

    `url` is http, https, webcal or webcals, the last two meaning https; it is kept in a normal form.
    `timeout_s` is for the whole reading, `max_bytes` for the decoded body.
    `allow_hosts` are host names, addresses and networks that may be connected to although not public.
    """

    name: str
    url: str = field(repr=False)
    timeout_s: float = 60.0
    max_bytes: int = 50_000_000
    allow_hosts: tuple[str, ...] = ()
    auth: Auth | None = None
    tls: Tls = Tls()
    place: Place = field(init=False, repr=False, compare=False)
    allowed: Allowed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        url = web_url(self.url)
        if url is None:
            raise ValueError(
                "the URL of a feed starts with http, https, webcal or webcals and names a host"
            )
        if url.userinfo:
            raise ValueError(
                "the URL of a feed holds no user name or password; use auth"
            )
        if self.timeout_s <= 0 or self.max_bytes <= 0:
            raise ValueError("a feed has time and room to be read")
        object.__setattr__(self, "allowed", Allowed.of(self.allow_hosts))
        object.__setattr__(self, "url", str(url))
        object.__setattr__(self, "place", Place.of(url))

    @property
    def host(self) -> tuple[str, int]:
        """Return the host and the port that are asked."""
        return self.place.host, self.place.port

    @property
    def content(self) -> tuple[object, ...]:
        """Return all but the name: feeds that are equal in it are read once."""
        return (
            self.url,
            self.timeout_s,
            self.max_bytes,
            self.allow_hosts,
            self.auth,
            self.tls,
        )


@dataclass(frozen=True, slots=True)
class Validators:
    """The validators that make the next request conditional (RFC 9110 section 8.8).

    They are kept with the content that they are of.
    `etag` and `last_modified` are as the server wrote them, one of them may be empty.
    `target` says for which URL they count: after a changed URL or redirect they must not hide new content.
    """

    etag: str
    last_modified: str
    target: str

    def __post_init__(self) -> None:
        if not (self.etag or self.last_modified):
            raise ValueError("validators hold an entity tag or a time")
        if not all(_fits_a_header(text) for text in (self.etag, self.last_modified)):
            raise ValueError("validators are what a header held")

    @classmethod
    def of(cls, url: httpx.URL, etag: str, last_modified: str) -> Validators | None:
        """Return the validators of an answer from `url`; None if it has none that could be sent back."""
        if not _fits_a_header(etag):
            etag = ""
        if not _fits_a_header(last_modified):
            last_modified = ""
        if not (etag or last_modified):
            return None
        return cls(etag, last_modified, Place.of(url).target)


def _fits_a_header(text: str) -> bool:
    """Tell whether a text has nothing but visible characters and blanks (RFC 9110 section 5.5)."""
    return len(text) <= _LONGEST_VALIDATOR and not re.search(
        r"[^\t\x20-\x7e\x80-\xff]", text
    )


_SHRUNK = 6  # times, about, that a calendar is larger than it is kept


@dataclass(frozen=True, slots=True)
class Fresh:
    """The whole calendar from `host`; `validators` may be stored once its content was accepted.

    `note` is a sentence about it, or empty; `condition_refused`: its server failed when it was asked with a
    condition, and gave this without one.
    `moved_to` is the host to which it redirects for good, or empty; `certificate_ends_at` is None without TLS.
    """

    host: str
    base_url: str = field(repr=False)
    body: Body
    validators: Validators | None
    note: str = ""
    condition_refused: bool = False
    moved_to: str = ""
    certificate_ends_at: datetime | None = None

    @property
    def document(self) -> Document:
        """Return the calendar as a document, whose digest is its signature."""
        size = _SHRUNK * len(self.body.packed)
        return Document(
            self.host, self.body.blocks, self.base_url, self.body.digest, size
        )


@dataclass(frozen=True, slots=True)
class NotModified:
    """The answer that the calendar which was read with these validators is still the calendar."""


Answer = Fresh | NotModified


def equal_feeds_together(
    requests: Mapping[Feed, Validators | None],
) -> list[dict[Feed, Validators | None]]:
    """Return requests in groups, each for feeds that differ in their names alone."""
    groups: dict[tuple[object, ...], dict[Feed, Validators | None]] = {}
    for feed, validators in requests.items():
        group = groups.setdefault(feed.content, {})
        group[feed] = validators
    return list(groups.values())
