"""Reading feeds from a real server: conditions, answers, credentials, redirects, and many at a time."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from syncd.errors import SourceMalformed, SourceUnavailable
from syncd.sources.http import (
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    Feed,
    Fresh,
    HeaderAuth,
    NotModified,
    Tls,
    Validators,
)
from tests.conftest import HANG_S
from tests.sources.fetching import (
    HOST,
    OTHER_HOST,
    TEXTS,
    Text,
    failure,
    failure_of,
    feed,
    fetcher,
    read,
)
from tests.sources.server import (
    CALENDAR,
    Behaviour,
    Exchange,
    FeedServer,
    bomb,
    compress,
    cut,
    hang_up,
    http_date,
    in_turn,
    published,
    redirect,
    reset,
    says,
    silent,
    status,
    with_basic,
    with_digest,
    with_header,
)

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
PAGE = "/calendar.ics"


# What a feed is.


@pytest.mark.parametrize("scheme", ["webcal", "webcals", "WebCal", "https", "HTTPS"])
def test_webcal_is_https(scheme: str) -> None:
    """Webcal and webcals in any letter case are https; the fragment is not part of what is fetched."""
    assert (
        Feed("sales", f"{scheme}://{HOST}/a.ics?b#c").url == f"https://{HOST}/a.ics?b"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"url": "file:///etc/secret"},
        {"url": "/secret"},
        {"url": "https:///secret"},
        {"url": "https://[secret]/"},
        {"url": "https://[::secret]/"},
        {"url": f"https://user:secret@{HOST}/"},
        {"timeout_s": 0},
        {"max_bytes": 0},
        {"allow_hosts": ("10.0.0.1/8",)},
    ],
)
def test_what_is_no_feed(options: dict[str, Any]) -> None:
    """A feed that could not be fetched cannot be built, and why is said without its URL."""
    with pytest.raises(ValueError, match=r"feed|allow_hosts") as caught:
        Feed(**{"name": "sales", "url": f"https://{HOST}/", **options})
    assert "secret" not in str(caught.value)


def test_wrong_values() -> None:
    """Validators without content or with control characters, and a key alone, cannot be built."""
    for etag, last_modified in (
        ("", ""),
        ('"a"\r\nX: y', ""),
        ("", "a\0"),
        ("x" * 2000, ""),
    ):
        with pytest.raises(ValueError, match="validators"):
            Validators(etag, last_modified, "target")
    with pytest.raises(ValueError, match="certificate"):
        Tls(key=Path("key.pem"))


def test_repr_is_silent(feed_server: FeedServer) -> None:
    """Neither a feed nor what came of it shows URL, user name or content."""
    feed_server.pages[PAGE] = published(b"BEGIN:VCALENDAR secret", etag='"1"')
    asked = feed(feed_server, PAGE + "?key=secret", auth=BasicAuth("secret", Text()))
    shown = repr(asked) + repr(fetcher().fetch(asked))
    assert "Fresh" in shown
    assert "secret" not in shown


# Requests and whole answers.


def test_whole_calendar(feed_server: FeedServer) -> None:
    """A calendar comes with the host as its name and the final URL for its relative links."""
    feed_server.pages[PAGE] = published()
    document = read(feed_server, PAGE + "?key=1").document
    assert (document.name, document.body) == (HOST, CALENDAR)
    assert document.base_url == feed_server.url(PAGE + "?key=1", HOST)
    request = feed_server.requests[0]
    assert (request.method, request.path) == ("GET", PAGE + "?key=1")
    assert request.headers["host"] == f"{HOST}:{feed_server.port}"
    assert request.headers["user-agent"].startswith("syncd/")
    assert request.headers["accept"] == "text/calendar, */*;q=0.1"
    assert request.headers["accept-encoding"] == "gzip, deflate, br"
    assert "if-none-match" not in request.headers
    assert "if-modified-since" not in request.headers


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "identity"])
def test_codings(feed_server: FeedServer, coding: str) -> None:
    """Every coding that is accepted is undone."""
    body = CALENDAR * 1000
    feed_server.pages[PAGE] = published(body, coding=coding)
    assert read(feed_server).document.body == body


def test_chunked_and_unframed(feed_server: FeedServer) -> None:
    """A body may come in chunks, or last until the connection is closed."""
    feed_server.pages["/chunked"] = says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(CALENDAR), CALENDAR)
    )
    feed_server.pages["/unframed"] = says(b"HTTP/1.0 200 OK\r\n\r\n" + CALENDAR)
    for path in ("/chunked", "/unframed"):
        assert read(feed_server, path).document.body == CALENDAR


def test_calendar_called_html(feed_server: FeedServer) -> None:
    """A calendar is not refused because its server calls everything HTML."""
    feed_server.pages[PAGE] = published(
        b"\xef\xbb\xbf" + CALENDAR, content_type="text/html"
    )
    assert read(feed_server).document.body.endswith(CALENDAR)


# Conditions.


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"', "unquoted", '"caf\xe9"', '""'])
def test_unchanged_by_entity_tag(feed_server: FeedServer, etag: str) -> None:
    """An entity tag goes back exactly as it came, and an unchanged calendar is not sent again."""
    feed_server.pages[PAGE] = published(etag=etag)
    validators = read(feed_server).validators
    assert validators is not None
    assert fetcher().fetch(feed(feed_server), validators) == NotModified()
    assert feed_server.requests[-1].headers["if-none-match"] == etag


def test_unchanged_by_time(feed_server: FeedServer) -> None:
    """Without entity tag the time of the last change does, as the server wrote it."""
    feed_server.pages[PAGE] = published(last_modified="Tue, 01 Dec 2020 09:00:00 GMT")
    validators = read(feed_server).validators
    assert fetcher().fetch(feed(feed_server), validators) == NotModified()
    assert (
        feed_server.requests[-1].headers["if-modified-since"]
        == "Tue, 01 Dec 2020 09:00:00 GMT"
    )


def test_changed(feed_server: FeedServer) -> None:
    """A calendar that changed comes whole, with new validators."""
    feed_server.pages[PAGE] = published(etag='"1"')
    before = read(feed_server).validators
    feed_server.pages[PAGE] = published(CALENDAR + b"\r\n", etag='"2"')
    after = read(feed_server, validators=before)
    assert after.document.body == CALENDAR + b"\r\n"
    assert after.validators is not None
    assert after.validators.etag == '"2"'


@pytest.mark.parametrize(
    ("headers", "usable"),
    [
        ({"last_modified": http_date(NOW), "date": http_date(NOW)}, False),
        (
            {
                "last_modified": http_date(NOW),
                "date": http_date(NOW + timedelta(seconds=1)),
            },
            True,
        ),
        (
            {
                "last_modified": http_date(NOW + timedelta(days=1)),
                "date": http_date(NOW),
            },
            False,
        ),
        ({"last_modified": "yesterday", "date": http_date(NOW)}, False),
        ({"etag": "x" * 2000}, False),
        ({}, False),
    ],
)
def test_weak_times(
    feed_server: FeedServer, headers: dict[str, str], usable: bool
) -> None:
    """A time that cannot tell a later change of the same second apart is not relied on."""
    feed_server.pages[PAGE] = published(**headers)
    assert (read(feed_server).validators is not None) is usable


def test_validators_of_another_url(feed_server: FeedServer) -> None:
    """After the URL was changed, equal entity tags of the old one do not hide the new calendar."""
    feed_server.pages["/old"] = published(etag='"1"')
    feed_server.pages["/new"] = published(b"BEGIN:VCALENDAR new", etag='"1"')
    validators = read(feed_server, "/old").validators
    assert read(feed_server, "/new", validators).document.body == b"BEGIN:VCALENDAR new"


def test_validators_behind_a_redirect(feed_server: FeedServer) -> None:
    """Validators go to the URL that gave them, not to the one that redirects there."""
    feed_server.pages[PAGE] = redirect("/real")
    feed_server.pages["/real"] = published(etag='"1"')
    validators = read(feed_server).validators
    assert fetcher().fetch(feed(feed_server), validators) == NotModified()
    assert [
        "if-none-match" in request.headers for request in feed_server.requests[-2:]
    ] == [False, True]


def test_unchanged_without_being_asked(feed_server: FeedServer) -> None:
    """A 304 to a request without condition is an error, not an unchanged calendar."""
    feed_server.pages[PAGE] = status(304)
    error = failure(feed_server)
    assert isinstance(error, SourceMalformed)
    assert "304" in str(error)


# Answers that are no calendar.


NO_CALENDAR: dict[str, tuple[Behaviour, type, str]] = {
    "202": (status(202), SourceMalformed, "without a calendar"),
    "204": (status(204), SourceMalformed, "without a calendar"),
    "206": (status(206, CALENDAR), SourceMalformed, "a part"),
    "300": (status(300), SourceUnavailable, "status 300"),
    "302 to nowhere": (status(302), SourceUnavailable, "redirects to nowhere"),
    "400": (status(400), SourceUnavailable, "check url"),
    "401": (status(401), SourceUnavailable, "give the source auth"),
    "403": (status(403), SourceUnavailable, "shared or published"),
    "404": (status(404), SourceUnavailable, "check url"),
    "408": (status(408), SourceUnavailable, "gave up waiting"),
    "410": (status(410), SourceUnavailable, "removed for good"),
    "425": (status(425), SourceUnavailable, "later"),
    "429": (status(429), SourceUnavailable, "patience"),
    "500": (status(500), SourceUnavailable, "failed"),
    "503": (status(503), SourceUnavailable, "failed"),
    "599": (status(599), SourceUnavailable, "failed"),
    "empty": (status(200), SourceMalformed, "empty body"),
    "blank": (status(200, b"\xef\xbb\xbf \r\n"), SourceMalformed, "empty body"),
    "doctype": (
        status(200, b"\n<!DOCTYPE html><p>Sign in"),
        SourceMalformed,
        "web page",
    ),
    "html tag": (status(200, b"<HTML>"), SourceMalformed, "web page"),
    "html type": (
        status(200, b"Sign in", content_type="text/html; charset=utf-8"),
        SourceMalformed,
        "web page",
    ),
    "not gzip": (
        status(200, b"no calendar", content_encoding="gzip"),
        SourceMalformed,
        "decompressed (Content-Encoding: gzip)",
    ),
    "unasked coding": (
        status(200, b"no calendar", content_encoding="br, zstd"),
        SourceMalformed,
        "not asked for (Content-Encoding: br, zstd)",
    ),
    "cut": (cut(), SourceUnavailable, "cut its answer off after 32 bytes"),
    "cut gzip": (
        cut(CALENDAR * 50, coding="gzip", length=False),
        SourceUnavailable,
        "before its end",
    ),
    "cut chunks": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nBEGIN"),
        SourceUnavailable,
        "cut its answer off after 5 bytes",
    ),
    "reset": (reset, SourceUnavailable, "broke"),
    "hung up": (hang_up, SourceUnavailable, "without an answer"),
    "not http": (
        says(b"SSH-2.0-OpenSSH_9.2\r\n"),
        SourceUnavailable,
        "does not speak HTTP",
    ),
    "two lengths": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nBEGIN"),
        SourceMalformed,
        "two lengths",
    ),
    "endless header": (
        says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000),
        SourceUnavailable,
        "bytes of headers",
    ),
    "large": (status(200, b"x" * 2_000_000), SourceMalformed, "max_bytes (1000000)"),
    "large gzip": (
        published(b"x" * 2_000_000, coding="gzip"),
        SourceMalformed,
        "max_bytes (1000000)",
    ),
}


@pytest.mark.parametrize(
    ("page", "kind", "words"), NO_CALENDAR.values(), ids=NO_CALENDAR
)
def test_no_calendar(
    feed_server: FeedServer, page: Behaviour, kind: type, words: str
) -> None:
    """Whatever is not a whole calendar is an error of its kind that names the host and what to do."""
    feed_server.pages[PAGE] = page
    error = failure(feed_server, max_bytes=1_000_000)
    assert type(error) is kind
    assert error.source == "sales"
    assert words in str(error)
    assert HOST in str(error)


def test_just_within_its_size(feed_server: FeedServer) -> None:
    """A body of exactly `max_bytes` is read."""
    feed_server.pages[PAGE] = published(b"x" * 1000)
    assert len(read(feed_server, max_bytes=1000).document.body) == 1000
    assert isinstance(failure(feed_server, max_bytes=999), SourceMalformed)


@pytest.mark.parametrize("code", [429, 503, 404])
@pytest.mark.parametrize(
    ("retry_after", "date", "wait"),
    [
        ("120", None, timedelta(minutes=2)),
        ("0", None, timedelta()),
        ("99999999999999999999", None, timedelta(hours=24)),
        (http_date(NOW + timedelta(minutes=5)), NOW, timedelta(minutes=5)),
        # The clock of the server is an hour behind.
        (
            http_date(NOW - timedelta(minutes=55)),
            NOW - timedelta(hours=1),
            timedelta(minutes=5),
        ),
        (http_date(NOW - timedelta(days=1)), NOW, timedelta()),
        (http_date(NOW + timedelta(days=300)), NOW, timedelta(hours=24)),
        ("soon", None, None),
        ("-5", None, None),
        ("1.5", None, None),
        ("", None, None),
    ],
)
def test_retry_after(
    feed_server: FeedServer,
    code: int,
    retry_after: str,
    date: datetime | None,
    wait: timedelta | None,
) -> None:
    """The wait that a server asks for, in seconds or until a date, is passed on within 24 hours."""
    dated = {"date": http_date(date)} if date else {}
    feed_server.pages[PAGE] = status(code, retry_after=retry_after, **dated)
    error = failure_of(lambda: fetcher(clock=lambda: NOW).fetch(feed(feed_server)))
    assert isinstance(error, SourceUnavailable)
    assert error.retry_at == (None if wait is None else NOW + wait)


# Who asks.


AUTHS: dict[str, tuple[Auth, Behaviour]] = {
    "basic": (
        BasicAuth("Zoë", Text()),
        with_basic("Zoë", "correct horse", published()),
    ),
    "digest": (
        DigestAuth("zoe", Text()),
        with_digest("zoe", "correct horse", published()),
    ),
    "bearer": (
        BearerAuth(Text("token")),
        with_header("Authorization", "Bearer t0ken", published()),
    ),
    "header": (
        HeaderAuth("X-Api-Key", Text("token")),
        with_header("X-Api-Key", "t0ken", published()),
    ),
}


@pytest.mark.parametrize(("auth", "page"), AUTHS.values(), ids=AUTHS)
def test_auth(feed_server: FeedServer, auth: Auth, page: Behaviour) -> None:
    """Each kind of authentication opens its feed, and without it the message says what to add."""
    feed_server.pages[PAGE] = page
    assert read(feed_server, PAGE + "?a=b", auth=auth).document.body == CALENDAR
    assert "give the source auth" in str(failure(feed_server))


@pytest.mark.parametrize(("auth", "page"), AUTHS.values(), ids=AUTHS)
def test_wrong_secret(
    feed_server: FeedServer,
    auth: Auth,
    page: Behaviour,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong secret is named as the cause, asked for anew each time, and works once it was rotated."""
    feed_server.pages[PAGE] = page
    asking, feed_with_auth = fetcher(), feed(feed_server, auth=auth)
    right = dict(TEXTS)
    for place in TEXTS:
        monkeypatch.setitem(TEXTS, place, "wr0ng")
    error = failure_of(lambda: asking.fetch(feed_with_auth))
    assert "does not accept the auth" in str(error)
    assert "wr0ng" not in str(error)
    for place, text in right.items():
        monkeypatch.setitem(TEXTS, place, text)
    assert isinstance(asking.fetch(feed_with_auth), Fresh)


def test_secret_that_cannot_be_had(feed_server: FeedServer) -> None:
    """A secret that is gone costs this feed alone, and nothing is asked without it."""
    error = failure(feed_server, auth=BearerAuth(Text("gone")))
    assert isinstance(error, SourceUnavailable)
    assert "gone cannot be read; create it" in str(error)
    assert not feed_server.requests


def test_secret_that_no_header_holds(
    feed_server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret with a control character is refused without showing it."""
    monkeypatch.setitem(TEXTS, "token", "bad\x01\r\nX-Evil: 1")
    error = failure(feed_server, auth=BearerAuth(Text("token")))
    assert "cannot be written" in str(error)
    assert "bad" not in str(error)
    assert not feed_server.requests


@pytest.mark.parametrize(
    "challenge",
    [
        "Digest nonsense",
        'Digest realm="a"',
        'Digest realm="a", nonce="b", qop="auth-int"',
        'Digest realm="a", nonce="b", algorithm=UNKNOWN',
        'Digest realm="a", nonce="b", qop="other"',
    ],
)
def test_strange_challenge(feed_server: FeedServer, challenge: str) -> None:
    """A digest challenge that is not understood is a fault of the feed, never a crash."""
    feed_server.pages[PAGE] = status(401, www_authenticate=challenge)
    assert "digest" in str(failure(feed_server, auth=DigestAuth("zoe", Text())))


def test_digest_where_basic_is_asked(feed_server: FeedServer) -> None:
    """Digest credentials are not sent as basic because a server asks for that."""
    feed_server.pages[PAGE] = with_basic("zoe", "correct horse", published())
    assert "check its type" in str(failure(feed_server, auth=DigestAuth("zoe", Text())))
    assert all(
        "authorization" not in request.headers for request in feed_server.requests
    )


def test_refusal_is_not_read(feed_server: FeedServer) -> None:
    """What comes with a challenge is not looked at, however much it is."""
    body = compress(bytes(50_000_000), "gzip")
    feed_server.pages[PAGE] = with_digest(
        "zoe", "correct horse", published(), refusal=body
    )
    assert (
        read(feed_server, auth=DigestAuth("zoe", Text()), max_bytes=1000).document.body
        == CALENDAR
    )


# Redirects.


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect(feed_server: FeedServer, code: int) -> None:
    """Each kind of redirect is followed, relative ones too, and links are resolved against its end."""
    feed_server.pages["/a/b"] = redirect("../c?d#e", code)
    feed_server.pages["/c"] = published()
    assert read(feed_server, "/a/b").document.base_url == feed_server.url("/c?d", HOST)


@pytest.mark.parametrize(("hops", "arrives"), [(5, True), (6, False)])
def test_many_redirects(feed_server: FeedServer, hops: int, arrives: bool) -> None:
    """Five redirects are followed, a sixth is not."""
    for hop in range(hops):
        feed_server.pages[f"/{hop}"] = redirect(f"/{hop + 1}")
    feed_server.pages[f"/{hops}"] = published()
    if arrives:
        assert read(feed_server, "/0").document.body == CALENDAR
    else:
        assert "more than 5 times" in str(failure(feed_server, "/0"))
        assert not feed_server.asked(f"/{hops}")


@pytest.mark.parametrize(
    "to",
    [
        "file:///etc/passwd",
        "ftp://other.example.com/",
        "https://[::zz]/",
        "https://xn--/",
        "https://",
        "gopher:x",
    ],
)
def test_redirect_to_nowhere(feed_server: FeedServer, to: str) -> None:
    """A redirect to something that is not the web is not followed."""
    feed_server.pages[PAGE] = redirect(to)
    assert "redirects to nowhere" in str(failure(feed_server))


def test_redirect_to_a_private_address(feed_server: FeedServer) -> None:
    """A redirect is judged like a first request: the metadata of a cloud machine is not asked."""
    feed_server.pages[PAGE] = redirect("http://169.254.169.254/latest/meta-data/")
    error = failure(feed_server, timeout_s=3)
    assert "169.254.169.254" in str(error)
    assert "link-local address, which is refused" in str(error)


def test_redirect_that_is_permanent(feed_server: FeedServer) -> None:
    """A permanent redirect is told once, by host, and not told when a temporary one comes before it."""
    feed_server.pages[PAGE] = redirect(feed_server.url("/secret", OTHER_HOST), 308)
    feed_server.pages["/secret"] = published()
    feed_server.pages["/temporary"] = redirect(PAGE, 307)
    asking = fetcher()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            asking.fetch(feed(feed_server))
            asking.fetch(feed(feed_server, "/temporary"))
    moves = [entry for entry in logs if entry["event"] == "feed_moved"]
    assert moves == [
        {
            "event": "feed_moved",
            "log_level": "warning",
            "source": "sales",
            "host": HOST,
            "to": OTHER_HOST,
        }
    ]


@pytest.mark.parametrize(("auth", "page"), AUTHS.values(), ids=AUTHS)
def test_credentials_stay(feed_server: FeedServer, auth: Auth, page: Behaviour) -> None:
    """Credentials follow a redirect on their own server, never one to another host, nor back from there."""
    feed_server.pages[PAGE] = page
    feed_server.pages["/same"] = redirect(PAGE)
    feed_server.pages["/away"] = redirect(feed_server.url(PAGE, OTHER_HOST))
    feed_server.pages["/bounce"] = redirect(feed_server.url("/back", OTHER_HOST))
    feed_server.pages["/back"] = redirect(feed_server.url(PAGE, HOST))
    assert read(feed_server, "/same", auth=auth).document.body == CALENDAR
    feed_server.requests.clear()
    for path in ("/away", "/bounce"):
        assert "is not carried further" in str(failure(feed_server, path, auth=auth))
    assert feed_server.asked(PAGE)
    for request in feed_server.asked(PAGE) + feed_server.asked("/back"):
        assert "authorization" not in request.headers
        assert "x-api-key" not in request.headers


def test_credentials_stay_at_their_port(feed_server: FeedServer) -> None:
    """Another port of the same host is another server."""
    with FeedServer().running() as other:
        other.pages[PAGE] = published()
        feed_server.pages[PAGE] = redirect(other.url(PAGE, HOST))
        assert (
            read(feed_server, auth=BearerAuth(Text("token"))).document.body == CALENDAR
        )
        assert "authorization" not in other.requests[0].headers


def test_credentials_in_a_redirect(feed_server: FeedServer) -> None:
    """User name and password that a redirect names are not used."""
    feed_server.pages[PAGE] = redirect(
        f"http://eve:secret@{HOST}:{feed_server.port}/end"
    )
    feed_server.pages["/end"] = published()
    assert "secret" not in read(feed_server).document.base_url
    assert "authorization" not in feed_server.requests[-1].headers


# Discretion.


LOUD: dict[str, Behaviour] = {
    "well": published(),
    "401": status(401),
    "404": status(404),
    "500": status(500),
    "204": status(204),
    "cut": cut(),
    "hung up": hang_up,
    "not http": says(b"s3cret-header\r\ns3cret: s3cret\r\n\r\n"),
    "redirect": redirect("/s3cret-end"),
    "redirect to private": redirect("http://10.0.0.1/s3cret"),
    "redirect to file": redirect("file:///s3cret"),
    "html": status(200, b"<html>s3cret"),
    "bomb": bomb("gzip"),
}


@pytest.mark.parametrize("page", LOUD.values(), ids=LOUD)
def test_nothing_secret_is_said(
    feed_server: FeedServer,
    page: Behaviour,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No path, query, user name, password or content is in a message or, at any level, in a log."""
    monkeypatch.setitem(TEXTS, "password", "s3cret-password")
    feed_server.pages["/s3cret-path"] = page
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.DEBUG):
        try:
            read(
                feed_server,
                "/s3cret-path?key=s3cret",
                auth=BasicAuth("s3cret-user", Text()),
                max_bytes=10**6,
            )
            said = ""
        except (SourceUnavailable, SourceMalformed) as error:
            said = f"{error} {error!r} {error.__context__!r}"
    assert feed_server.asked("/s3cret-path")
    assert "s3cret" not in said + repr(logs) + caplog.text


# Many at a time.


def test_all(feed_server: FeedServer) -> None:
    """Each feed gets its own answer or error, in the order in which they were asked for."""
    feed_server.pages["/good"] = published(etag='"1"')
    feeds = [
        feed(feed_server, path, name=path) for path in ("/missing", "/good", "/gone")
    ]
    feed_server.pages["/gone"] = status(410)
    answers = fetcher().fetch_all(dict.fromkeys(feeds))
    assert list(answers) == feeds
    assert isinstance(answers[feeds[0]], SourceUnavailable)
    assert isinstance(answers[feeds[1]], Fresh)
    last = answers[feeds[2]]
    assert isinstance(last, SourceUnavailable)
    assert last.source == "/gone"
    assert fetcher().fetch_all({}) == {}


def test_equal_feeds_are_read_once(feed_server: FeedServer) -> None:
    """Sources with one URL and one authentication share one request; other credentials are another."""
    feed_server.pages[PAGE] = in_turn(published(), status(500))
    first, second = (
        feed(feed_server, name=name, auth=BearerAuth(Text("token"))) for name in "ab"
    )
    answers = fetcher().fetch_all({first: None, second: None})
    assert isinstance(answers[first], Fresh)
    assert answers[first] == answers[second]
    assert len(feed_server.requests) == 1
    third = feed(feed_server, name="c", auth=BearerAuth(Text("password")))
    failed = fetcher().fetch_all({first: None, second: None, third: None})
    assert len(feed_server.requests) == 3
    assert [
        error.source
        for error in failed.values()
        if isinstance(error, SourceUnavailable)
    ] == [
        "a",
        "b",
        "c",
    ]


def test_equal_feeds_with_other_validators(feed_server: FeedServer) -> None:
    """A shared request is conditional only if nobody needs the content."""
    feed_server.pages[PAGE] = published(etag='"1"')
    known = read(feed_server).validators
    first, second = (feed(feed_server, name=name) for name in "ab")
    assert fetcher().fetch_all({first: known, second: known}) == dict.fromkeys(
        (first, second), NotModified()
    )
    assert known is not None
    for other in (None, replace(known, etag='"0"')):
        answers = fetcher().fetch_all({first: known, second: other})
        assert all(isinstance(answer, Fresh) for answer in answers.values())
        assert "if-none-match" not in feed_server.requests[-1].headers
    assert len(feed_server.requests) == 4


def test_a_slow_one_delays_nobody(feed_server: FeedServer) -> None:
    """Seven feeds that do not answer leave a place in which all others are read meanwhile."""
    feeds = []
    others = threading.Semaphore(0)
    read, quick = threading.Event(), published()

    def well(exchange: Exchange) -> None:
        others.release()
        quick(exchange)

    def waiting(exchange: Exchange) -> None:
        read.wait(HANG_S)

    def count() -> None:
        for _ in range(23):
            others.acquire()
        read.set()

    threading.Thread(target=count, daemon=True).start()
    for number in range(30):
        feed_server.pages[f"/{number}"] = waiting if number < 7 else well
        host = f"calendar-{number}.example.com"
        feeds.append(feed(feed_server, f"/{number}", name=str(number), host=host))
    answers = fetcher().fetch_all(dict.fromkeys(feeds))
    assert read.is_set()
    assert [isinstance(answer, Fresh) for answer in answers.values()] == [
        number >= 7 for number in range(30)
    ]


def test_eight_at_a_time(feed_server: FeedServer) -> None:
    """Not more than eight feeds are asked at the same time, and not fewer when there are more."""
    lock, now, most = threading.Lock(), 0, 0
    eight = threading.Barrier(8)

    def page(exchange: Exchange) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        eight.wait(HANG_S)
        exchange.pause(0.1)
        with lock:
            now -= 1
        exchange.answer(200, CALENDAR)

    feeds = []
    for number in range(24):
        feed_server.pages[f"/{number}"] = page
        host = f"calendar-{number % 3}.example.com"
        feeds.append(feed(feed_server, f"/{number}", name=str(number), host=host))
    answers = fetcher().fetch_all(dict.fromkeys(feeds))
    assert all(isinstance(answer, Fresh) for answer in answers.values())
    assert most == 8


def test_stop(feed_server: FeedServer) -> None:
    """A wish to stop ends running and waiting readings and says what happens to them."""
    stop = threading.Event()
    feeds = []
    for number in range(20):
        feed_server.pages[f"/{number}"] = silent
        feeds.append(feed(feed_server, f"/{number}", name=str(number)))
    threading.Timer(0.3, stop.set).start()
    answers = fetcher(stopping=stop.is_set).fetch_all(dict.fromkeys(feeds))
    for answer in answers.values():
        assert isinstance(answer, SourceUnavailable)
        assert "syncd is stopping" in str(answer)
