"""What the answer of a feed's server means: a whole body, or a fault with its cure.

Must not: look further into a body than to tell a web page from a calendar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum

import httpx

from syncd.core.feed import Body
from syncd.sources.http.charset import in_utf8
from syncd.sources.http.connection import Response
from syncd.sources.http.deadline import Deadline
from syncd.sources.http.decoding import (
    DECODING_ERRORS,
    Decoding,
    TooMuch,
    UnknownCoding,
)
from syncd.sources.http.fault import FeedFault
from syncd.sources.http.feed import Validators

_LONGEST_WAIT = timedelta(hours=24)
_ABOVE = 65536  # bytes in which a calendar begins, if one stands below other text
_UTF8_MARK = b"\xef\xbb\xbf"
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT_REDIRECTS = frozenset({301, 308})


class Credentials(Enum):
    """What was shown to the server that answered."""

    NONE = "the source has none"
    SHOWN = "they were sent"
    WITHHELD = "a redirect left the server that they are for"


def require_whole_answer(
    response: Response, who: str, credentials: Credentials, now: datetime
) -> None:
    """Raise `FeedFault` for every status but 200; 304 and redirects were dealt with before."""
    status = response.status
    if status == 200:
        return
    retry_at = _retry_at(response.headers, now)
    sentence, malformed = _meaning(status, who, credentials)
    by_condition = status not in _NOT_BY_CONDITION and retry_at is None
    raise FeedFault(
        sentence, malformed=malformed, retry_at=retry_at, by_condition=by_condition
    )


def _meaning(status: int, who: str, credentials: Credentials) -> tuple[str, bool]:
    """Return a sentence for a status, and whether a person has to look at what came with it."""
    if status == 401:
        return _UNAUTHORISED[credentials].format(who=who), False
    if status in _CURES:
        return f"{who} {_CURES[status]} (status {status})", False
    if status >= 500:
        return (
            f"{who} failed (status {status}); it is tried again; if it lasts, ask its administrator",
            False,
        )
    if status == 206:
        return (
            f"{who} sent a part of the calendar although the whole was asked for (status 206); "
            "look for a proxy or cache in between"
        ), True
    if status < 300:
        return f"{who} answered without a calendar (status {status}); check url", True
    if status == 304:
        return (
            f"{who} says that nothing changed although that was not asked (status 304); "
            "look for a proxy or cache in between"
        ), True
    return f"{who} did not give the calendar (status {status}); check url", False


_NOT_BY_CONDITION = frozenset({401, 407, 408, 410, 425, 429})
_UNAUTHORISED: Mapping[Credentials, str] = {
    Credentials.NONE: "{who} wants to know who asks (status 401); give the source auth",
    Credentials.SHOWN: "{who} does not accept the auth of this source (status 401); "
    "check its type, user name and secret",
    Credentials.WITHHELD: "{who} wants to know who asks (status 401), but the auth is for the server in url "
    "and is not carried further; write into url where the calendar is now",
}
_CURES: Mapping[int, str] = {
    403: "forbids to read the calendar; check that it is shared or published, and auth",
    404: "has no calendar there; check url, publishing a calendar anew changes it",
    408: "gave up waiting; it is tried again",
    410: "says that the calendar was removed for good; publish it again, or take the source out",
    425: "asks to be tried again later",
    429: "asks for patience; it is tried again later; if this lasts, raise interval",
}


def _retry_at(headers: httpx.Headers, now: datetime) -> datetime | None:
    """Return the end of a Retry-After (RFC 9110 section 10.2.3), within 24 hours from now; else None.

    A date counts from that of the server, whose clock may differ from ours.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = int(text[:9])
        wait = timedelta(seconds=seconds)
    else:
        until = http_date(text)
        if until is None:
            return None
        wait = until - (http_date(headers.get("date", "")) or now)
    return now + min(max(wait, timedelta()), _LONGEST_WAIT)


def http_date(text: str) -> datetime | None:
    """Parse a date of an HTTP header (RFC 9110 section 5.6.7); return None for anything else."""
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def validators_of(url: httpx.URL, headers: httpx.Headers) -> Validators | None:
    """Return ETag and Last-Modified of an answer; drop Last-Modified if it is not a second before Date.

    A calendar that changed in the second of its Last-Modified may change again in that second (RFC 9110
    section 8.8.2.2).
    """
    last_modified = _as_sent(headers, b"last-modified")
    modified, sent = http_date(last_modified), http_date(headers.get("date", ""))
    if modified is None or sent is None or sent - modified < timedelta(seconds=1):
        last_modified = ""
    return Validators.of(url, _as_sent(headers, b"etag"), last_modified)


def _as_sent(headers: httpx.Headers, name: bytes) -> str:
    """Return a header with each byte as one character, so that it goes back as it came; empty if absent."""
    for key, value in headers.raw:
        if key.lower() == name:
            return value.decode("latin-1")
    return ""


def read_body(
    response: Response, who: str, max_bytes: int, deadline: Deadline
) -> tuple[Body, str]:
    """Return the decoded body in UTF-8, whole and within its limits, and a note or ""; raise `FeedFault`."""
    content_type = response.headers.get("content-type", "")
    body = Body.of(_decoded(response, who, max_bytes, deadline))
    _require_no_web_page(body, content_type, who)
    return in_utf8(body, content_type)


def _decoded(
    response: Response, who: str, max_bytes: int, deadline: Deadline
) -> Iterator[bytes]:
    headers = response.headers
    coding = headers.get("content-encoding", "")
    decoding = Decoding(coding, max_bytes, lambda: deadline.slice_s(who))
    announced = headers.get("content-length", "")
    if decoding.is_plain and announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(who, max_bytes)
    size = 0
    try:
        for chunk in response.chunks:
            for piece in decoding.pieces(chunk):
                size += len(piece)
                yield piece
        for piece in decoding.rest():
            size += len(piece)
            yield piece
    except TooMuch:
        raise _too_large(who, max_bytes) from None
    except UnknownCoding:
        raise FeedFault(
            f"{who} sent the calendar compressed in a way that was not asked for "
            f"(Content-Encoding: {_shown(coding)}); look for a proxy or cache in between",
            malformed=True,
        ) from None
    except DECODING_ERRORS:
        raise FeedFault(
            f"{who} sent something that cannot be decompressed (Content-Encoding: {_shown(coding)}); look "
            "for a proxy in between, or ask its administrator",
            malformed=True,
        ) from None
    if size and not decoding.finished:
        raise FeedFault(
            f"{who} cut the compressed calendar off before its end; it is tried again"
        )


# Registered content codings (www.iana.org/assignments/http-parameters), and one that object stores send.
_NAMED_CODINGS = frozenset(
    [
        "aes128gcm",
        "br",
        "compress",
        "dcb",
        "dcz",
        "deflate",
        "exi",
        "gzip",
        "identity",
        "pack200-gzip",
        "x-compress",
        "x-gzip",
        "zstd",
        "aws-chunked",
    ]
)


def _shown(header: str) -> str:
    """Return a Content-Encoding as it may stand in a log: a server may write anything there but a coding."""
    codings = [coding.strip().lower() for coding in header.split(",")]
    return ", ".join(map(_named, codings[:5]))


def _named(coding: str) -> str:
    return coding if coding in _NAMED_CODINGS else "an unknown one"


def _require_no_web_page(body: Body, content_type: str, who: str) -> None:
    block = next(body.blocks(), b"")[:_ABOVE].replace(b"\0", b"")
    start = block.removeprefix(_UTF8_MARK).lstrip(b"\xff\xfe \t\r\n").lower()
    if not start:
        raise FeedFault(
            f"{who} answered with an empty body, which is no calendar, not even an empty one; "
            "open url in a browser",
            malformed=True,
            by_condition=True,
        )
    media_type, _, _ = content_type.partition(";")
    is_html = media_type.strip().lower() in _HTML_TYPES
    # Some servers call everything HTML, so what begins as a calendar is left to be judged as one.
    # A script that warns of something calls its answer HTML too, and the calendar follows.
    if start.startswith(_WEB_PAGE) or (
        is_html and not re.search(rb"(?:\A|\n)begin:vcalendar", start)
    ):
        raise FeedFault(
            f"{who} answered with a web page, not a calendar; it may ask to sign in: "
            "check auth, and that url is the address for subscribing",
            malformed=True,
            by_condition=True,
        )


def _too_large(who: str, max_bytes: int) -> FeedFault:
    return FeedFault(
        f"{who} sends more than max_bytes ({max_bytes}); raise max_bytes if that is right",
        malformed=True,
    )
