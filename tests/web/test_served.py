"""What is served to whom: hosts, tokens, headers, documents, and what everybody may ask."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest

from tests.conftest import SMALL_ROOM, Office, ahead, event
from tests.daemon.running import until
from tests.web.serving import Answer, Client, let_serve, read, served

TOKEN = "a-token-of-twenty-letters"

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-cache",
    "cross-origin-resource-policy": "same-origin",
}

PAGES = ("/", f"/room/{SMALL_ROOM}", "/source/office", "/history")


def day(office_day: int = 2) -> str:
    """The path of a coming day."""
    return f"/day/{ahead(office_day):%Y-%m-%d}"


@pytest.fixture(scope="module")
def open_page(shared_office: Office) -> Iterator[tuple[Office, Client]]:
    """An office with a few meetings, and its page, which asks for no token."""
    office = shared_office
    let_serve(office)
    office.write(
        event("first", ahead(2, 9), 120),
        event("late", ahead(2, 10), 60),
        event("bad", ahead(3), 60, "RRULE:FREQ=NEVER"),
    )
    read(office)
    with served(office) as client:
        yield office, client


@pytest.fixture(scope="module")
def guarded_page(other_office: Office) -> Iterator[Client]:
    """A page that asks for a token."""
    office = other_office
    for name, text in (("web-token", TOKEN), ("feed-token", "another-token")):
        secret = office.folder / name
        secret.touch(mode=0o600)
        secret.write_text(text)
    let_serve(
        office,
        'token = { file = "web-token" }',
        'feed_token = { file = "feed-token" }',
        'hosts = ["syncd.example.com"]',
    )
    office.write(event("first", ahead(2, 9), 120, "SUMMARY:Confidential matter"))
    read(office)
    with served(office) as client:
        yield client


def require_headers(answer: Answer, **others: str) -> None:
    """An answer has the headers that every answer has, but for these."""
    told = {name: answer.headers.get(name) for name in HEADERS}
    assert told == {**HEADERS, **others}
    assert answer.headers["date"]


@pytest.mark.slow
def test_documents_are_those_of_the_commands(
    open_page: tuple[Office, Client],
) -> None:
    """Whoever asks for JSON gets the document of the command, with all that the page is about."""
    office, client = open_page
    status = client.document("/")
    printed = office.status()
    assert status.keys() == printed.keys()
    assert status["bookings"] == printed["bookings"]
    assert status["concerns"] == printed["concerns"]
    assert client.document("/source/office") == status["sources"][0]
    agenda = office.run("agenda", f"{ahead(2):%Y-%m-%d}", "--json").json
    assert agenda["bookings"]
    assert client.document(day()) == agenda
    plan = client.document("/plan")
    assert plan["checksum"] == office.plan()["checksum"]
    assert client.document("/history") == office.run("history", "--json").json
    week = client.document(f"/room/{SMALL_ROOM}")
    assert [one["uid"] for one in week["bookings"]] == ["first"]
    key = re.search(r"/event/([0-9a-f]{20})", client.ask("/").text)
    if key is not None:
        story = client.document(f"/event/{key[1]}")
        assert story["uid"] in {"late", "bad"}


def test_every_answer_has_the_headers(open_page: tuple[Office, Client]) -> None:
    """Pages, documents, errors of every kind and words of health carry the same headers."""
    _, client = open_page
    for path in (*PAGES, day(), "/day/never", "/event/nothing", "/room/7", "/nowhere"):
        require_headers(client.ask(path))
        require_headers(client.ask(path, accept="application/json"))
    for path in ("/healthz", "/readyz", "/static/nothing.css", "/static/../app.py"):
        require_headers(client.ask(path))
    require_headers(client.ask("/", "DELETE"))
    require_headers(client.ask("/", host="elsewhere.example.com"))


def test_what_is_not_there_is_said_with_a_way_on(
    open_page: tuple[Office, Client],
) -> None:
    """Unknown addresses, rooms, sources, events and days are told apart from what is there, for both readers."""
    _, client = open_page
    unknown = ("/nowhere", "/room/7", "/source/sales", "/event/0123", "/static/x.css")
    for path in unknown:
        assert client.ask(path).status == 404, path
        assert client.ask(path, accept="application/json").status == 404, path
    for path in ("/day/never", "/day/2026-13-01", "/day/9999-12-31"):
        answer = client.ask(path)
        assert answer.status == 400, path
        assert 'href="/day/' in answer.text
    assert client.ask("/", "POST").status == 405


def test_other_hosts_are_not_answered(open_page: tuple[Office, Client]) -> None:
    """A page elsewhere whose name leads here gets nothing through a browser, not even a word of health."""
    _, client = open_page
    own, _, port = client.address.rpartition(":")
    for host in (own, f"{own}:{port}", "localhost", "127.0.0.1:1", "[::1]:8620"):
        assert client.ask("/", host=host).status == 200, host
    for host in ("elsewhere.example.com", "localhost.example.com", "10.0.0.1", ""):
        for path in ("/", "/healthz", "/static/x.css", "/nowhere"):
            answer = client.ask(path, host=host)
            assert answer.status == 421, (host, path)
            assert "office" not in answer.text


def test_what_is_known_is_not_sent_again(open_page: tuple[Office, Client]) -> None:
    """The ETag is that of what the ledger says: it stays while nothing is done, and changes with a booking."""
    office, client = open_page
    for path in (*PAGES, day()):
        for accept in ("text/html", "application/json"):
            first = client.ask(path, accept=accept)
            etag = first.headers["etag"]
            again = client.ask(path, accept=accept, if_none_match=f'"x", {etag}')
            assert (again.status, again.raw) == (304, b""), path
            require_headers(again)
            assert again.headers["etag"] == etag
    former = client.ask(day(), accept="application/json").headers["etag"]
    office.write(event("other", ahead(2, 12), 60))
    read(office)
    now = client.ask(day(), accept="application/json", if_none_match=former)
    assert now.status == 200
    assert "other" in now.text


@pytest.mark.slow
def test_time_alone_changes_no_etag(open_page: tuple[Office, Client]) -> None:
    """Ages and the time of the answer move on, and what is known is not sent again for that."""
    _, client = open_page
    for path in ("/", "/source/office"):
        first = client.ask(path)
        until(lambda: client.ask(path).text != first.text, "ages move on")  # noqa: B023
        again = client.ask(path)
        assert again.headers["etag"] == first.headers["etag"], path


def test_pages_are_compressed_for_who_takes_it(
    open_page: tuple[Office, Client],
) -> None:
    """A long answer is sent compressed, and read it is the same; HEAD brings no body."""
    _, client = open_page
    plain = client.ask("/history", accept="application/json")
    packed = client.ask(
        "/history", accept="application/json", accept_encoding="br, gzip"
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.raw) < len(plain.raw)
    assert packed.json == plain.json
    assert client.ask("/", "HEAD").raw == b""


def test_files_of_pages_never_change(open_page: tuple[Office, Client]) -> None:
    """What a page loads has a digest in its name, and may be kept for good."""
    _, client = open_page
    addresses = set(re.findall(r'"(/static/[^"]+)"', client.ask("/").text))
    assert addresses
    for address in addresses:
        assert re.fullmatch(r"/static/[\w-]+\.[0-9a-f]{12}\.(css|js|svg)", address)
        answer = client.ask(address)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        require_headers(answer, **{"cache-control": answer.headers["cache-control"]})


# Who may look


def test_without_the_token_there_is_no_data(guarded_page: Client) -> None:
    """Nobody sees anything of a guarded page without the token, by whatever way it is shown wrongly."""
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer another-token"},
        {"cookie": f"syncd-page={TOKEN}; __Host-syncd-page={TOKEN}"},
        {"authorization": "Bearer \u00e9"},
    )
    for headers in wrong:
        for path in ("/", "/plan.md", "/event/0123", "/nowhere", f"/?token={TOKEN}"):
            for accept in ("text/html", "application/json"):
                encoded = {
                    name: value.encode().decode("latin-1")
                    for name, value in headers.items()
                }
                answer = guarded_page.ask(path, accept=accept, **encoded)
                assert answer.status == 401, (headers, path)
                require_headers(answer)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert "Confidential" not in answer.text
                assert "office" not in answer.text


def test_the_token_opens_the_page(guarded_page: Client) -> None:
    """Programs show the token in a header; health is told to everybody."""
    answer = guarded_page.ask(
        "/", accept="application/json", authorization=f"Bearer {TOKEN}"
    )
    assert answer.status == 200
    assert "Confidential" in answer.text
    for path, word in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        told = guarded_page.ask(path)
        assert (told.status, told.text) == (200, word)


def test_a_browser_signs_in_once(guarded_page: Client) -> None:
    """The form sets a cookie that no script and no other site can use, and that is not the token."""
    form = guarded_page.ask("/").text
    assert re.search(r'<form[^>]* method="post"[^>]* action="/sign-in"', form)
    refused = guarded_page.ask("/sign-in", "POST", "token=wrong")
    assert refused.status == 401
    assert "set-cookie" not in refused.headers
    taken = guarded_page.ask("/sign-in", "POST", f"token={TOKEN}")
    assert (taken.status, taken.headers["location"]) == (303, "/")
    cookie = SimpleCookie(taken.headers["set-cookie"])
    ((name, kept),) = cookie.items()
    assert name.startswith("__Host-")
    assert kept["httponly"]
    assert kept["secure"]
    assert (kept["samesite"], kept["path"], kept["domain"]) == ("strict", "/", "")
    assert TOKEN not in kept.value
    assert guarded_page.ask("/", cookie=f"{name}={kept.value}").status == 200
    assert guarded_page.ask("/", cookie=f"{name}={kept.value}x").status == 401


def test_signing_in_leads_where_one_wanted_to_go(guarded_page: Client) -> None:
    """The form goes on to the address that asked for it, and never to another server."""
    form = guarded_page.ask("/source/office?a=1&b=2").text
    (to,) = re.findall(r'name="to" value="([^"]*)"', form)
    assert html.unescape(to) == "/source/office?a=1&b=2"
    ways = {
        "/source/office?a=1": "/source/office?a=1",
        "//elsewhere.example.com/": "/",
        "/\\elsewhere.example.com/": "/",
        "https://elsewhere.example.com/": "/",
        "/a\r\nSet-Cookie: a=b": "/",
        "": "/",
    }
    for said, location in ways.items():
        body = urlencode({"token": TOKEN, "to": said})
        taken = guarded_page.ask("/sign-in", "POST", body)
        assert (taken.status, taken.headers["location"]) == (303, location), said


def test_a_browser_elsewhere_keeps_a_cookie_without_tls(guarded_page: Client) -> None:
    """Where a browser keeps no cookie for secure connections, its name promises none; behind TLS it does."""
    plain = guarded_page.ask(
        "/sign-in", "POST", f"token={TOKEN}", host="syncd.example.com:8620"
    )
    assert plain.headers["set-cookie"].startswith("syncd-page=")
    assert "secure" not in plain.headers["set-cookie"].lower()
    behind_tls = guarded_page.ask(
        "/sign-in",
        "POST",
        f"token={TOKEN}",
        host="syncd.example.com",
        x_forwarded_proto="https",
    )
    assert behind_tls.headers["set-cookie"].startswith("__Host-syncd-page=")


def test_a_form_that_is_too_large_is_refused(guarded_page: Client) -> None:
    """What cannot be the form is not read to its end."""
    answer = guarded_page.ask("/sign-in", "POST", "token=" + "x" * 10_000)
    assert answer.status == 413
