"""Connections that are kept: counted by the server, and everything that can be wrong with one."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from syncd.sources.http import (
    BasicAuth,
    BearerAuth,
    DigestAuth,
    Feed,
    Fresh,
    NotModified,
    Tls,
    Validators,
)
from syncd.sources.http.fetcher import Fetcher
from syncd.sources.http.lanes import AT_ONE_HOST
from syncd.sources.http.pool import MOST_IDLE
from tests.conftest import HANG_S
from tests.sources.fetching import (
    HOST,
    OTHER_HOST,
    Text,
    failure_of,
    feed,
    fetcher,
)
from tests.sources.server import (
    CALENDAR,
    Behaviour,
    Exchange,
    FeedServer,
    hang_up,
    in_turn,
    published,
    redirect,
    says,
    silent,
    status,
    with_digest,
)

PAGE = "/calendar.ics"


def known(asking: Fetcher, one: Feed) -> Validators:
    """The validators of a feed, which is read for that."""
    answer = asking.fetch(one)
    assert isinstance(answer, Fresh)
    assert answer.validators is not None
    return answer.validators


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# What is shared.


def test_one_connection_for_many_looks(keeping_server: FeedServer) -> None:
    """Looks that find nothing, and one that finds a calendar, take one connection together."""
    keeping_server.pages[PAGE] = published(etag='"1"')
    asking, one = fetcher(), feed(keeping_server)
    validators = known(asking, one)
    for _ in range(20):
        assert asking.fetch(one, validators) == NotModified()
    keeping_server.pages[PAGE] = published(CALENDAR * 5000, etag='"2"')
    assert isinstance(asking.fetch(one, validators), Fresh)
    keeping_server.pages[PAGE] = published(etag='"1"')
    assert asking.fetch(one, validators) == NotModified()
    assert len(keeping_server.requests) == 23
    assert keeping_server.accepted == 1


def test_feeds_of_one_host_share(keeping_server: FeedServer) -> None:
    """Thirty feeds of one server, asked at the same time, take no more connections than may be at once."""
    feeds = []
    for number in range(30):
        keeping_server.pages[f"/{number}"] = published()
        feeds.append(feed(keeping_server, f"/{number}", name=str(number)))
    asking = fetcher()
    for _ in range(3):
        answers = asking.fetch_all(dict.fromkeys(feeds))
        assert all(isinstance(answer, Fresh) for answer in answers.values())
    assert len(keeping_server.requests) == 90
    assert keeping_server.accepted <= AT_ONE_HOST


def test_a_redirect_and_a_challenge_on_one_connection(
    keeping_server: FeedServer,
) -> None:
    """A redirect on its own server, a challenge and its answer follow each other on one connection."""
    keeping_server.pages[PAGE] = redirect("/closed")
    keeping_server.pages["/closed"] = with_digest(
        "zoe", "correct horse", published(), refusal=b"Who are you?"
    )
    asking = fetcher()
    one = feed(keeping_server, auth=DigestAuth("zoe", Text()))
    for _ in range(2):
        assert isinstance(asking.fetch(one), Fresh)
    assert len(keeping_server.requests) == 6
    assert keeping_server.accepted == 1


@pytest.mark.parametrize(
    "options",
    [
        {"auth": BearerAuth(Text("token"))},
        {"auth": BasicAuth("zoe", Text())},
        {"allow_hosts": ("127.0.0.1",)},
        {"host": OTHER_HOST},
    ],
    ids=["bearer", "basic", "allow_hosts", "host"],
)
def test_who_does_not_share(
    keeping_server: FeedServer, options: dict[str, object]
) -> None:
    """Feeds with other credentials, other permitted addresses or another host have their own connections."""
    keeping_server.pages[PAGE] = published()
    asking, one = fetcher(), feed(keeping_server)
    other = feed(keeping_server, **{"name": "other", **options})  # type: ignore[arg-type]
    for _ in range(3):
        assert isinstance(asking.fetch(one), Fresh)
        assert isinstance(asking.fetch(other), Fresh)
    assert keeping_server.accepted == 2


def test_an_address_that_is_not_permitted_stays_so(keeping_server: FeedServer) -> None:
    """A feed that may not go there is refused although a connection of another one leads there."""
    keeping_server.pages[PAGE] = published()
    asking = fetcher()
    assert isinstance(asking.fetch(feed(keeping_server)), Fresh)
    refused = feed(keeping_server, name="other", allow_hosts=())
    assert "loopback" in str(failure_of(lambda: asking.fetch(refused)))
    assert len(keeping_server.requests) == 1


@pytest.fixture
def strict_server(authority: trustme.CA) -> Iterator[FeedServer]:
    """A server with connections that last, which wants a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with FeedServer(context, keeps=True).running() as server:
        server.pages[PAGE] = published()
        yield server


def client(authority: trustme.CA, folder: Path, name: str) -> Tls:
    """Files of a client certificate with its key."""
    issued = authority.issue_cert(f"{name}@example.com")
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(paths[0])
    issued.private_key_pem.write_to_path(paths[1])
    return Tls(folder / "ca.pem", *paths)


def test_identities_do_not_mix(
    strict_server: FeedServer, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """Two feeds with client certificates are known as themselves in each request, over two connections."""
    asking = fetcher()
    one = feed(strict_server, tls=client(authority, tmp_path, "one"))
    two = replace(one, name="two", tls=client(authority, tmp_path, "two"))
    for _ in range(3):
        for asked in (one, two):
            assert isinstance(asking.fetch(asked), Fresh)
    shown = [request.peer_certificate for request in strict_server.requests]
    assert shown == shown[:2] * 3
    assert shown[0] != shown[1]
    assert strict_server.accepted == 2


def test_a_new_certificate_is_a_new_identity(
    strict_server: FeedServer, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """After a client certificate was replaced, the connection made with the former one is not used."""
    asking = fetcher()
    for _ in range(2):
        one = feed(strict_server, tls=client(authority, tmp_path, "one"))
        for _ in range(2):
            assert isinstance(asking.fetch(one), Fresh)
    shown = [request.peer_certificate for request in strict_server.requests]
    assert shown[0] == shown[1]
    assert shown[2] == shown[3]
    assert shown[1] != shown[2]


# What is kept for how long.


def test_an_idle_connection_is_closed(keeping_server: FeedServer) -> None:
    """Nobody has to ask again for that, and the next look opens another."""
    keeping_server.pages[PAGE] = published()
    asking = fetcher(idle_s=0.05)
    for number in (1, 2):
        assert isinstance(asking.fetch(feed(keeping_server)), Fresh)
        until(lambda: not keeping_server.opened)
        assert keeping_server.accepted == number


def test_few_are_kept(keeping_server: FeedServer) -> None:
    """After a look at each of many hosts only some connections stay open: those of the last ones."""
    keeping_server.pages[PAGE] = published()
    asking = fetcher(idle_s=HANG_S)
    hosts = [f"calendar-{number}.example.com" for number in range(MOST_IDLE + 10)]
    for host in hosts:
        assert isinstance(asking.fetch(feed(keeping_server, host=host)), Fresh)
    until(lambda: len(keeping_server.opened) == MOST_IDLE)
    for host in hosts[-MOST_IDLE:]:
        assert isinstance(asking.fetch(feed(keeping_server, host=host)), Fresh)
    assert keeping_server.accepted == len(hosts)


# Servers that do not keep them, or lose count.


@pytest.mark.parametrize("says_so", [True, False])
def test_a_server_that_closes_each_time(
    keeping_server: FeedServer, says_so: bool
) -> None:
    """One connection for each request, whether the server says that it closes or just does."""

    def page(exchange: Exchange) -> None:
        headers = {"connection": "close"} if says_so else {}
        published(etag='"1"', **headers)(exchange)
        hang_up(exchange)

    keeping_server.pages[PAGE] = page
    asking, one = fetcher(), feed(keeping_server)
    validators = known(asking, one)
    for _ in range(4):
        until(lambda: not keeping_server.opened)
        assert asking.fetch(one, validators) == NotModified()
    assert len(keeping_server.requests) == keeping_server.accepted == 5


def test_a_stale_connection_is_followed_by_a_fresh_one(
    keeping_server: FeedServer,
) -> None:
    """A connection that its server closes as the request arrives costs one more, with the same condition."""
    well = published(etag='"1"')
    keeping_server.pages[PAGE] = in_turn(well, hang_up, well)
    asking, one = fetcher(), feed(keeping_server)
    assert asking.fetch(one, known(asking, one)) == NotModified()
    assert [
        request.headers.get("if-none-match") for request in keeping_server.requests
    ] == [None, '"1"', '"1"']
    assert keeping_server.accepted == 2


def test_only_one_fresh_connection(keeping_server: FeedServer) -> None:
    """A server that hangs up on the fresh one too failed, and is not asked a third time."""
    keeping_server.pages[PAGE] = in_turn(published(), hang_up)
    asking, one = fetcher(), feed(keeping_server)
    assert isinstance(asking.fetch(one), Fresh)
    error = failure_of(lambda: asking.fetch(one))
    assert "closed the connection without an answer" in str(error)
    assert len(keeping_server.requests) == 3
    assert keeping_server.accepted == 2


def test_an_answer_that_was_begun_is_not_asked_for_again(
    keeping_server: FeedServer,
) -> None:
    """A kept connection that breaks in the middle of an answer is a failure like any other."""

    def broken(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nBEGIN")
        hang_up(exchange)

    keeping_server.pages[PAGE] = in_turn(published(), broken)
    asking, one = fetcher(), feed(keeping_server)
    assert isinstance(asking.fetch(one), Fresh)
    assert "cut its answer off" in str(failure_of(lambda: asking.fetch(one)))
    assert len(keeping_server.requests) == 2


LOST_COUNT: dict[str, bytes] = {
    "a 304 with a body": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n' + CALENDAR,
    "a 304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "a 304 in chunks": b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 304 Not Modified\r\n\r\n",
    "two answers": b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n",
}


@pytest.mark.parametrize("odd", LOST_COUNT.values(), ids=LOST_COUNT)
def test_bytes_too_many_are_no_answer(keeping_server: FeedServer, odd: bytes) -> None:
    """After an answer that may be longer than its head says, the next request has its own connection."""
    well = published(etag='"1"')
    keeping_server.pages[PAGE] = in_turn(well, says(odd), well)
    asking, one = fetcher(), feed(keeping_server)
    validators = known(asking, one)
    assert asking.fetch(one, validators) == NotModified()
    keeping_server.pages[PAGE] = published(CALENDAR + b"\r\n", etag='"2"')
    answer = asking.fetch(one, validators)
    assert isinstance(answer, Fresh)
    assert answer.document.body == CALENDAR + b"\r\n"
    assert keeping_server.accepted == 2


def test_a_body_longer_than_it_says(keeping_server: FeedServer) -> None:
    """What comes behind the announced length belongs to no calendar, and to no later answer."""
    long = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%bHTTP/1.1 304 X\r\n\r\n"
    keeping_server.pages[PAGE] = says(long % (len(CALENDAR), CALENDAR))
    asking, one = fetcher(), feed(keeping_server)
    for _ in range(2):
        answer = asking.fetch(one)
        assert isinstance(answer, Fresh)
        assert answer.document.body == CALENDAR
    assert keeping_server.accepted == 2


def test_a_body_that_comes_late(keeping_server: FeedServer) -> None:
    """A body that a 304 should not have, sent when the next request is there, is not taken for its answer."""
    well = published(etag='"1"')
    keeping_server.pages[PAGE] = in_turn(well, well, says(CALENDAR), well)
    asking, one = fetcher(), feed(keeping_server)
    validators = known(asking, one)
    for _ in range(2):
        assert asking.fetch(one, validators) == NotModified()
    assert len(keeping_server.requests) == 4
    assert keeping_server.accepted == 2


# Time.


def test_the_deadline_of_a_kept_connection(keeping_server: FeedServer) -> None:
    """Each request has its own timeout: a kept connection that gives no answer is left when it is over."""
    keeping_server.pages[PAGE] = in_turn(published(), silent)
    keeping_server.pages["/well"] = published()
    asking = fetcher()
    assert isinstance(asking.fetch(feed(keeping_server)), Fresh)
    error = failure_of(lambda: asking.fetch(feed(keeping_server, timeout_s=0.7)))
    assert "timeout of 0.7 s" in str(error)
    assert isinstance(asking.fetch(feed(keeping_server, "/well")), Fresh)
    assert len(keeping_server.requests) == 3
    assert keeping_server.accepted == 2


def test_the_stop_of_a_kept_connection(keeping_server: FeedServer) -> None:
    """A wish to stop ends what is asked over a kept connection too, and nothing more is asked."""
    stop = threading.Event()

    def hanging(exchange: Exchange) -> None:
        stop.set()
        silent(exchange)

    keeping_server.pages[PAGE] = in_turn(published(), hanging)
    asking, one = fetcher(stopping=stop.is_set), feed(keeping_server)
    assert isinstance(asking.fetch(one), Fresh)
    assert "syncd is stopping" in str(failure_of(lambda: asking.fetch(one)))
    assert len(keeping_server.requests) == 2
    assert keeping_server.accepted == 1


# Few at a time.


class Crowd:
    """A page that counts how many requests of a host are answered at the same time."""

    def __init__(self, then: Behaviour) -> None:
        self._then = then
        self._guard = threading.Lock()
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def __call__(self, exchange: Exchange) -> None:
        """Count a request while it is answered."""
        host = exchange.request.headers["host"]
        with self._guard:
            self._now[host] += 1
            self.most[host] = max(self.most[host], self._now[host])
        self._then(exchange)
        with self._guard:
            self._now[host] -= 1


def test_a_host_is_not_crowded(feed_server: FeedServer) -> None:
    """Never more than a few requests at once for one host, and its waiting feeds hold up no other host."""
    others = threading.Semaphore(0)
    all_others = threading.Event()

    def page(exchange: Exchange) -> None:
        if exchange.request.headers["host"].startswith("crowded"):
            all_others.wait(HANG_S)
        else:
            others.release()
        exchange.answer(200, CALENDAR)

    def count() -> None:
        for _ in range(20):
            others.acquire()
        all_others.set()

    threading.Thread(target=count, daemon=True).start()
    crowd = Crowd(page)
    feeds = []
    for number in range(40):
        feed_server.pages[f"/{number}"] = crowd
        host = "crowded.example.com" if number < 20 else f"h{number}.example.com"
        feeds.append(feed(feed_server, f"/{number}", name=str(number), host=host))
    answers = fetcher().fetch_all(dict.fromkeys(feeds))
    assert all(isinstance(answer, Fresh) for answer in answers.values())
    assert all_others.is_set()
    crowded = f"crowded.example.com:{feed_server.port}"
    assert crowd.most[crowded] == AT_ONE_HOST


def test_a_host_that_many_redirect_to_is_not_crowded(feed_server: FeedServer) -> None:
    """A host counts what it is asked, whoever sent it there."""
    crowd = Crowd(published())
    feed_server.pages["/end"] = crowd
    gate = threading.Barrier(8)

    def away(exchange: Exchange) -> None:
        gate.wait(HANG_S)
        redirect(feed_server.url("/end", OTHER_HOST))(exchange)

    feeds = []
    for number in range(16):
        feed_server.pages[f"/{number}"] = away
        host = f"h{number}.example.com"
        feeds.append(feed(feed_server, f"/{number}", name=str(number), host=host))
    answers = fetcher().fetch_all(dict.fromkeys(feeds))
    assert all(isinstance(answer, Fresh) for answer in answers.values())
    assert len(feed_server.asked("/end")) == 16
    assert crowd.most[f"{OTHER_HOST}:{feed_server.port}"] <= AT_ONE_HOST


def test_who_waits_for_a_host_has_its_timeout(feed_server: FeedServer) -> None:
    """A reading that finds its redirect's host crowded ends at its timeout, and when syncd stops."""
    arrived = threading.Semaphore(0)

    def hanging(exchange: Exchange) -> None:
        arrived.release()
        silent(exchange)

    feed_server.pages["/hanging"] = hanging
    feed_server.pages[PAGE] = status(200, CALENDAR)
    stop = threading.Event()
    asking = fetcher(stopping=stop.is_set)
    threads = []
    for number in range(AT_ONE_HOST):
        one = feed(feed_server, "/hanging", name=str(number))
        ask = threading.Thread(
            target=failure_of, args=(lambda one=one: asking.fetch(one),)
        )
        ask.start()
        threads.append(ask)
        arrived.acquire()
    waiting = feed(feed_server, timeout_s=0.5)
    assert "timeout of 0.5 s" in str(failure_of(lambda: asking.fetch(waiting)))
    assert not feed_server.asked(PAGE)
    stop.set()
    assert "stopping" in str(failure_of(lambda: asking.fetch(waiting)))
    for thread in threads:
        thread.join(HANG_S)
