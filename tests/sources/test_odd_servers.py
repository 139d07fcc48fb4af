"""What servers get wrong and curl reads all the same: charsets, headers, conditions, cookies."""

from __future__ import annotations

import gzip
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.feed import Body
from syncd.errors import SourceMalformed, SourceUnavailable
from syncd.sources.http import Feed, Fresh, HeaderAuth, NotModified, Validators
from syncd.sources.http.charset import charset_of, in_utf8
from tests.sources.fetching import (
    HOST,
    OTHER_HOST,
    TEXTS,
    Text,
    failure,
    feed,
    fetcher,
    read,
)
from tests.sources.server import (
    CALENDAR,
    Behaviour,
    Exchange,
    FeedServer,
    hang_up,
    http_date,
    in_turn,
    published,
    redirect,
    says,
    status,
)

PAGE = "/calendar.ics"


def calendar(summary: str) -> str:
    """A calendar with one event."""
    return f"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"


def text_read(server: FeedServer, body: bytes, content_type: str) -> str:
    """What a body becomes under a Content-Type."""
    server.pages[PAGE] = published(body, content_type=content_type)
    return read(server).document.body.decode(
        "utf-16" if body[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    )


# Charsets.


@pytest.mark.parametrize(
    ("content_type", "codec", "summary"),
    [
        ("text/calendar; charset=koi8-r", "koi8-r", "Совещание"),
        ("text/calendar;charset=Shift_JIS", "cp932", "会議①"),
        ("text/calendar; charset=ISO-8859-2", "iso8859-2", "Żółć w Łodzi"),
        ("text/calendar; charset=iso-8859-9", "iso8859-9", "Toplantı ğş"),
        ("text/calendar; charset=windows-1253", "cp1253", "Σύσκεψη"),
        ("text/calendar; charset=windows-1251; method=PUBLISH", "cp1251", "Совещание"),
        ("text/calendar; method=PUBLISH; charset=gb2312", "gb18030", "会议 镕"),
        ("text/calendar; charset=EUC-KR", "cp949", "회의 똠"),
        ("text/calendar; charset=big5", "cp950", "會議"),
        ("text/calendar; charset=ISO-2022-JP", "iso2022_jp", "会議室"),
        ("text/calendar; charset=iso-8859-1", "cp1252", "Größe €"),
        ("text/calendar; charset=us-ascii", "cp1252", "Größe"),
        ("text/calendar; charset=utf-16", "utf-16", "Größe 会議"),
        ("text/calendar; charset=utf-16", "utf-16-le", "Größe 会議"),
        ("text/calendar; charset=utf-16", "utf-16-be", "Größe 会議"),
        ("text/calendar; charset=UTF-16BE", "utf-16-be", "Größe 会議"),
        # As it is written badly.
        ('text/calendar; charset="koi8-r"', "koi8-r", "Совещание"),
        ("text/calendar; charset='koi8-r'", "koi8-r", "Совещание"),
        ('text/calendar; charset="koi8-r', "koi8-r", "Совещание"),
        ("text/calendar; charset = KOI8-R ", "koi8-r", "Совещание"),
        ("text/calendar charset=koi8-r", "koi8-r", "Совещание"),
        ("text/calendar; charset:koi8-r", "koi8-r", "Совещание"),
        ("text/calendar;; Charset=koi8-r;", "koi8-r", "Совещание"),
        ("text/calendar; charset=cp-1251", "cp1251", "Совещание"),
        ("text/calendar; charset=x-windows-1251", "cp1251", "Совещание"),
        ("text/calendar; charset=ISO_8859-5:1988", "iso8859-5", "Совещание"),
        (
            'text/calendar; name="a; charset=cp1252.ics"; charset=koi8-r',
            "koi8-r",
            "Совещание",
        ),
    ],
)
def test_the_charset_of_the_header_decides(
    feed_server: FeedServer, content_type: str, codec: str, summary: str
) -> None:
    """Bytes that are not UTF-8 are read in the charset that the header names, however it is written."""
    assert calendar(summary) in text_read(
        feed_server, calendar(summary).encode(codec), content_type
    )


@pytest.mark.parametrize(
    "charset",
    [
        "iso-8859-1",
        "us-ascii",
        "koi8-r",
        "windows-1251",
        "Shift_JIS",
        "utf-16",
        "iso-2022-jp",
        "nonsense",
        "",
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_wins(feed_server: FeedServer, charset: str, mark: str) -> None:
    """A header that names another charset for what is UTF-8 is not believed, nor with a fold in a letter."""
    body = (
        (mark + calendar("Größe 会議 😀"))
        .encode()
        .replace("会".encode(), b"\xe4\r\n \xbc\x9a")
    )
    feed_server.pages[PAGE] = published(
        body, content_type=f"text/calendar; charset={charset}"
    )
    assert read(feed_server).document.body == body


def test_a_stray_byte_under_the_default_of_servers(feed_server: FeedServer) -> None:
    """Under iso-8859-1, which many servers name by default, one stray byte changes no other letter."""
    body = calendar("Größe 会議").encode() + b"X-NOTE:caf\xe9\r\n"
    text = text_read(feed_server, body, "text/calendar; charset=ISO-8859-1")
    assert "Größe 会議" in text
    assert "café" in text


def test_bytes_that_mean_nothing_are_said(feed_server: FeedServer) -> None:
    """Bytes that the named charset does not have are replaced, with a note that names it."""
    body = calendar("Σύσκεψη").encode("cp1253") + b"X-NOTE:\xaa\xff\r\n"
    feed_server.pages[PAGE] = published(
        body, content_type="text/calendar; charset=windows-1253"
    )
    fresh = read(feed_server)
    assert "Σύσκεψη" in fresh.document.body.decode()
    assert "mean nothing in cp1253" in fresh.note


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "base64",
        "rot13",
        "idna",
        "unicode_escape",
        "../os",
        "a\u00e9",
        "zlib",
        "*",
        "x-",
        "'",
    ],
)
def test_a_charset_that_is_none(feed_server: FeedServer, name: str) -> None:
    """A name that stands for no charset leaves the bytes as they are, for whoever reads the calendar."""
    assert charset_of(f"text/calendar; charset={name}") is None
    body = calendar("Größe").encode("cp1252")
    feed_server.pages[PAGE] = published(
        body, content_type=f"text/calendar; charset={name}"
    )
    assert read(feed_server).document.body == body


@given(
    text=st.text(st.characters(codec="koi8-r"), max_size=200),
    codec=st.sampled_from(["koi8-r", "utf-8"]),
    size=st.integers(1, 40),
)
def test_any_text_in_any_blocks(text: str, codec: str, size: int) -> None:
    """A text is the same behind a header with its charset, wherever its body is cut into pieces."""
    data = text.encode(codec)
    body = Body.of(data[at : at + size] for at in range(0, len(data), size))
    told = b"".join(in_utf8(body, "text/calendar; charset=koi8-r")[0].blocks())
    try:
        expected = data.decode("utf-8") if "\0" not in text else text
    except UnicodeDecodeError:
        expected = text
    assert told.decode("utf-8") in {expected, text}


# Headers.


def head(
    *lines: str,
    body: bytes = CALENDAR,
    first: str = "HTTP/1.1 200 OK",
    end: str = "\r\n",
) -> Behaviour:
    """An answer of these header lines."""
    return says(end.join([first, *lines, "", ""]).encode("latin-1") + body)


LENGTH = f"Content-Length: {len(CALENDAR)}"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CALENDAR), CALENDAR)
HARMLESS: dict[str, Behaviour] = {
    "blank before the colon": head("Content-Type : text/calendar", LENGTH),
    "tab before the colon of the length": head(f"Content-Length\t: {len(CALENDAR)}"),
    "no colon": head("This is no header", LENGTH),
    "no name": head(": nothing", LENGTH),
    "a name with blanks": head("X Y Z: nothing", LENGTH),
    "a name beyond ASCII": head("X-Größe: 1", LENGTH),
    "identity": head("Transfer-Encoding: identity", LENGTH),
    "identity, then chunked": head(
        "Transfer-Encoding: identity, chunked", body=CHUNKED
    ),
    "chunked twice": head(
        "Transfer-Encoding: chunked", "transfer-encoding: Chunked", body=CHUNKED
    ),
    "chunked and a length": head(
        "Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKED
    ),
    "bare line feeds": head(LENGTH, "X: y", end="\n"),
    "two carriage returns": head(LENGTH, "X: y", end="\r\r\n"),
    "a long line": head("X-Long: " + "x" * 60_000, LENGTH),
    "many lines": head(*(f"X-{n}: y" for n in range(3000)), LENGTH),
    "a folded line": head("X-Folded: a", "\tb", "  c", LENGTH),
    "a folded first line": head("  continued", LENGTH),
    "one length twice": head(LENGTH, LENGTH.lower()),
    "one length twice in a list": head(f"{LENGTH}, {len(CALENDAR)}"),
    "a length that is none": head("Content-Length: many"),
    "a length below zero": head("Content-Length: -1"),
    "an empty length": head("Content-Length:"),
    "no reason": head(LENGTH, first="HTTP/1.1 200"),
    "an odd reason": head(LENGTH, first="HTTP/1.1 200 \x01\x80OK"),
    "HTTP/1.0": head(first="HTTP/1.0 200 OK"),
    "HTTP/1.2": head(LENGTH, first="HTTP/1.2 200 OK"),
    "HTTP/2": head(LENGTH, first="HTTP/2 200"),
    "lower case": head(LENGTH, first="http/1.1 200 ok"),
    "two blanks": head(LENGTH, first="HTTP/1.1  200  OK"),
    "empty lines first": says(b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + CALENDAR),
    "100 first": says(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + CALENDAR
    ),
    "103 with odd headers first": says(
        b"HTTP/1.1 103 Early Hints\r\nLink : x\r\nodd\r\n\r\nHTTP/1.1 200 OK\r\nodd\r\n\r\n"
        + CALENDAR
    ),
    "control characters": head("X-Odd: a\x00b\x01c\x7f", LENGTH),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_header(feed_server: FeedServer, name: str) -> None:
    """What curl reads without harm is read: a header line that is none costs no calendar."""
    feed_server.pages[PAGE] = HARMLESS[name]
    assert read(feed_server).document.body == CALENDAR


@pytest.mark.parametrize(
    "name", ["blank before the colon", "103 with odd headers first", "chunked twice"]
)
def test_a_harmless_header_that_drips(feed_server: FeedServer, name: str) -> None:
    """The same, when it arrives in pieces that end anywhere."""
    sent: list[bytes] = []

    def page(exchange: Exchange) -> None:
        HARMLESS[name](Exchange(exchange.request, _Taking(sent), exchange.closing))  # type: ignore[arg-type]  # only sendall is used
        for at in range(0, len(sent[0]), 7):
            exchange.send(sent[0][at : at + 7])
            exchange.pause(0.001)

    feed_server.pages[PAGE] = page
    assert read(feed_server).document.body == CALENDAR


class _Taking:
    """Takes what would be sent."""

    def __init__(self, sent: list[bytes]) -> None:
        self._sent = sent

    def sendall(self, data: bytes) -> None:
        self._sent.append(data)


def test_a_body_packed_for_the_way(feed_server: FeedServer) -> None:
    """Transfer-Encoding: gzip, chunked is undone, also beside a Content-Encoding."""
    packed = gzip.compress(gzip.compress(CALENDAR))
    feed_server.pages[PAGE] = head(
        "Content-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed),
    )
    assert read(feed_server).document.body == CALENDAR


UNREADABLE: dict[str, tuple[Behaviour, str]] = {
    "nothing": (hang_up, "closed the connection without an answer"),
    "another protocol": (says(b"SSH-2.0-OpenSSH\r\n"), "does not speak HTTP"),
    "no head": (says(CALENDAR), "does not speak HTTP"),
    "half a head": (
        says(b"HTTP/1.1 200 OK\r\nContent-Ty"),
        "in the headers of its answer",
    ),
    "no status": (says(b"HTTP/1.1 abc OK\r\n\r\n"), "in the headers of its answer"),
    "two lengths": (head("Content-Length: 5", "Content-Length: 7"), "two lengths"),
    "a list of lengths": (head("Content-Length: 5, 7"), "two lengths"),
    "too long": (head("X: " + "x" * 200_000, LENGTH), "bytes of headers"),
    "not in chunks": (
        head("Transfer-Encoding: chunked"),
        "not what its headers say (Transfer-Encoding)",
    ),
    "too short": (head("Content-Length: 900"), "cut its answer off"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_said_truly(feed_server: FeedServer, name: str) -> None:
    """What no reader can make sense of has a sentence of its own, and proves nothing."""
    feed_server.pages[PAGE], words = UNREADABLE[name]
    assert words in str(failure(feed_server))


# Conditions.


def unless_conditional(*refusals: Behaviour) -> Behaviour:
    """A server that fails on a request with a condition, and gives the calendar without one."""
    refuse = in_turn(*refusals)

    def page(exchange: Exchange) -> None:
        asked = exchange.request.headers
        conditional = "if-none-match" in asked or "if-modified-since" in asked
        (refuse if conditional else published(etag='"1"'))(exchange)

    return page


def conditional(server: FeedServer) -> tuple[Feed, Validators]:
    """A feed, and what its server once gave to ask with."""
    asked = feed(server)
    validators = Validators.of(
        httpx.URL(asked.url), '"1"', http_date(datetime.now(UTC) - timedelta(days=1))
    )
    assert validators is not None
    return asked, validators


@pytest.mark.parametrize(
    "refusal", [400, 403, 404, 405, 412, 416, 422, 500, 501, 502, 503]
)
def test_a_server_that_fails_on_a_condition(
    feed_server: FeedServer, refusal: int
) -> None:
    """A server that fails only when it is asked with a condition is asked without, and that is told."""
    feed_server.pages[PAGE] = unless_conditional(status(refusal))
    asked, validators = conditional(feed_server)
    answer = fetcher().fetch(asked, validators)
    assert isinstance(answer, Fresh)
    assert answer.condition_refused
    assert answer.document.body == CALENDAR
    first, second = feed_server.requests
    assert "if-none-match" in first.headers
    assert not {"if-none-match", "if-modified-since"} & second.headers.keys()


OTHER_FAILURES: dict[str, Behaviour] = {
    "empty": status(200),
    "blank": published(b"\r\n"),
    "a web page": published(b"<html>oops</html>"),
    "no answer": hang_up,
    "no content": status(204),
    "a part": status(206),
}


@pytest.mark.parametrize("name", OTHER_FAILURES)
def test_other_ways_to_fail_on_a_condition(feed_server: FeedServer, name: str) -> None:
    """An empty answer, a web page, a part or no answer at all to a condition is such a failure too."""
    feed_server.pages[PAGE] = unless_conditional(OTHER_FAILURES[name])
    answer = fetcher().fetch(*conditional(feed_server))
    assert isinstance(answer, Fresh)
    assert answer.condition_refused


@pytest.mark.parametrize("code", [401, 408, 410, 425, 429])
def test_what_is_not_for_the_condition(feed_server: FeedServer, code: int) -> None:
    """A status that has nothing to do with conditions is not asked again."""
    feed_server.pages[PAGE] = status(code)
    with pytest.raises(SourceUnavailable):
        fetcher().fetch(*conditional(feed_server))
    assert len(feed_server.requests) == 1


def test_patience_is_honoured_first(feed_server: FeedServer) -> None:
    """A server that asks for patience is not asked again at once."""
    feed_server.pages[PAGE] = status(503, retry_after="600")
    with pytest.raises(SourceUnavailable):
        fetcher().fetch(*conditional(feed_server))
    assert len(feed_server.requests) == 1


def test_a_server_that_fails_altogether(feed_server: FeedServer) -> None:
    """One that fails without a condition too is said to fail, and what it says then counts."""
    feed_server.pages[PAGE] = in_turn(status(500), status(404))
    with pytest.raises(SourceUnavailable, match="status 404"):
        fetcher().fetch(*conditional(feed_server))
    assert len(feed_server.requests) == 2


def test_not_modified_without_being_asked(feed_server: FeedServer) -> None:
    """A cache that says 304 to who asked without condition is told not to answer by itself."""

    def page(exchange: Exchange) -> None:
        through = exchange.request.headers.get("cache-control") == "no-cache"
        (published() if through else status(304))(exchange)

    feed_server.pages[PAGE] = page
    answer = fetcher().fetch(feed(feed_server))
    assert isinstance(answer, Fresh)
    assert not answer.condition_refused
    feed_server.pages[PAGE] = status(304)
    assert isinstance(failure(feed_server), SourceMalformed)
    assert isinstance(fetcher().fetch(*conditional(feed_server)), NotModified)


# Cookies.


def wants_cookie(
    value: str, *sets: str, then: Behaviour | None = None, to: str = PAGE
) -> Behaviour:
    """Redirects, with these cookies, until it is shown `value`."""

    def page(exchange: Exchange) -> None:
        if value in exchange.request.headers.get("cookie", "").split("; "):
            (then or published())(exchange)
        else:
            lines = "".join(f"Set-Cookie: {cookie}\r\n" for cookie in sets)
            exchange.send(
                f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n{lines}Content-Length: 0\r\n\r\n".encode()
            )

    return page


@pytest.mark.parametrize(
    "cookie",
    [
        "seen=1",
        "seen=1; Path=/; HttpOnly",
        "seen=1; Path=/; Max-Age=60; SameSite=Lax",
        f"seen=1; Domain={HOST}",
    ],
)
def test_a_redirect_to_itself_that_sets_a_cookie(
    feed_server: FeedServer, cookie: str
) -> None:
    """A cookie that a redirect sets is shown to the same server in the same visit."""
    feed_server.pages[PAGE] = wants_cookie("seen=1", cookie)
    assert read(feed_server).document.body == CALENDAR
    assert "cookie" not in feed_server.requests[0].headers


def test_cookies_are_dropped_after_the_visit(feed_server: FeedServer) -> None:
    """The next visit begins without cookies, with the same fetcher too."""
    feed_server.pages[PAGE] = wants_cookie("seen=1", "seen=1", "other=2")
    asking = fetcher()
    for _ in range(2):
        asking.fetch(feed(feed_server))
    assert ["cookie" in request.headers for request in feed_server.requests] == [
        False,
        True,
    ] * 2


def test_cookies_stay_with_their_origin(feed_server: FeedServer) -> None:
    """Another host, and another port of the same host, never see them, whatever Domain they name."""
    with FeedServer().running() as other:
        other.pages[PAGE] = published()
        for host in (OTHER_HOST, HOST):
            feed_server.pages[PAGE] = redirect_with_cookie(
                other.url(PAGE, host), f"seen=1; Domain={HOST}"
            )
            assert read(feed_server).document.body == CALENDAR
        feed_server.pages[PAGE] = redirect_with_cookie(
            other.url(PAGE, HOST), "seen=1; Domain=.example.com"
        )
        read(feed_server)
        assert not any("cookie" in request.headers for request in other.requests)


def redirect_with_cookie(to: str, cookie: str) -> Behaviour:
    """Elsewhere, with a cookie."""
    return status(302, location=to, set_cookie=cookie)


def test_a_way_through_a_login_page_and_back(feed_server: FeedServer) -> None:
    """Cookies of several steps on one server are kept together."""
    feed_server.pages[PAGE] = wants_cookie("b=2", "a=1", to="/session")
    feed_server.pages["/session"] = status(302, location=PAGE, set_cookie="b=2; Path=/")
    assert read(feed_server).document.body == CALENDAR
    assert set(feed_server.requests[-1].headers["cookie"].split("; ")) == {"a=1", "b=2"}


def test_a_cookie_beside_the_cookie_of_auth(
    feed_server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where auth is a cookie of its own, both are shown."""
    monkeypatch.setitem(TEXTS, "token", "session=abc")
    feed_server.pages[PAGE] = wants_cookie("seen=1", "seen=1")
    read(feed_server, auth=HeaderAuth("Cookie", Text("token")))
    assert feed_server.requests[-1].headers["cookie"] == "session=abc; seen=1"


def test_a_circle_is_said(feed_server: FeedServer) -> None:
    """A redirect to itself that goes on for ever is not answered with a cure that cannot help."""
    feed_server.pages[PAGE] = redirect(PAGE)
    assert "although its cookies were kept" in str(failure(feed_server))


def test_many_visits_at_once_share_nothing(feed_server: FeedServer) -> None:
    """Visits that run beside each other have cookies of their own."""
    numbers = iter(range(100))
    lock = threading.Lock()

    def page(exchange: Exchange) -> None:
        shown = exchange.request.headers.get("cookie", "")
        if shown.startswith("visit="):
            exchange.answer(200, CALENDAR)
            return
        with lock:
            number = next(numbers)
        exchange.answer(302, location=PAGE, set_cookie=f"visit={number}")

    feed_server.pages[PAGE] = page
    asked = {
        feed(feed_server, name=f"feed-{n}", timeout_s=20 + n): None for n in range(8)
    }
    answers = fetcher().fetch_all(asked)
    assert all(isinstance(answer, Fresh) for answer in answers.values())
    shown = [r.headers["cookie"] for r in feed_server.requests if "cookie" in r.headers]
    assert len(set(shown)) == 8
