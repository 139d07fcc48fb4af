"""The way to a feed: lookups, addresses, TLS, limits of time and memory; all on real sockets."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from syncd.errors import SourceMalformed, SourceUnavailable
from syncd.sources.http import Fresh, Tls
from syncd.sources.http.fetcher import Fetcher
from tests.conftest import HANG_S
from tests.sources.fetching import (
    HOST,
    OTHER_HOST,
    failure,
    failure_of,
    feed,
    fetcher,
    loopback,
    read,
)
from tests.sources.server import (
    CALENDAR,
    Behaviour,
    Exchange,
    FeedServer,
    bomb,
    drip,
    endless,
    published,
    redirect,
    silent,
    slow_headers,
)

PAGE = "/calendar.ics"
Addresses = list[tuple[int, tuple[str, int]]]


# Addresses.


@pytest.mark.parametrize(
    ("host", "words", "entry"),
    [
        ("127.0.0.1", "127.0.0.1 is a loopback address", '"127.0.0.1"'),
        (HOST, f"{HOST} is at the loopback address 127.0.0.1", f'"{HOST}"'),
    ],
)
def test_refused_address(
    feed_server: FeedServer, host: str, words: str, entry: str
) -> None:
    """An address that is not public is not asked, the message has the entry, and with the entry it works."""
    feed_server.pages[PAGE] = published()
    error = failure(feed_server, host=host, allow_hosts=())
    assert str(error) == (
        f"{words}, which is refused; if it is meant, add {entry} to allow_hosts of this source"
    )
    assert isinstance(error, SourceUnavailable)
    assert not feed_server.requests
    assert (
        read(feed_server, host=host, allow_hosts=(entry.strip('"'),)).document.body
        == CALENDAR
    )


def test_refused_before_anything_is_sent() -> None:
    """A refused address is not even connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = FeedServer(port=listener.getsockname()[1])
        failure(server, allow_hosts=())
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "127.1", "[::ffff:127.0.0.1]"]
)
def test_disguised_address(feed_server: FeedServer, host: str) -> None:
    """What the system's resolver takes for an address of this machine is refused however it is written."""
    feed_server.pages[PAGE] = published()
    error = failure_of(
        lambda: Fetcher().fetch(feed(feed_server, host=host, allow_hosts=()))
    )
    assert "loopback" in str(error)
    assert not feed_server.requests


def test_rebinding(feed_server: FeedServer) -> None:
    """A name that turns private after the check is not believed: each connection has one lookup."""
    feed_server.pages[PAGE] = published()
    answers = iter(["192.0.2.1", "127.0.0.1"])
    asked = []

    def turning(host: str, port: int) -> Addresses:
        asked.append(host)
        return [(socket.AF_INET, (next(answers), port))]

    one_fetcher = fetcher(lookup=turning)
    allowed = feed(feed_server, allow_hosts=("192.0.2.0/24",), timeout_s=1)
    failure_of(lambda: one_fetcher.fetch(allowed))
    assert asked == [HOST]
    assert "loopback" in str(failure_of(lambda: one_fetcher.fetch(allowed)))
    assert not feed_server.requests


def test_each_hop_is_looked_up(feed_server: FeedServer) -> None:
    """A redirect to the same name is judged by a lookup of its own."""
    feed_server.pages[PAGE] = redirect("/next")
    answers = iter(["127.0.0.1", "10.0.0.1"])
    asking = fetcher(lookup=lambda _, port: [(socket.AF_INET, (next(answers), port))])
    assert "private address 10.0.0.1" in str(
        failure_of(lambda: asking.fetch(feed(feed_server)))
    )


def test_only_permitted_addresses(feed_server: FeedServer) -> None:
    """Of several addresses only those that may be connected to are."""
    feed_server.pages[PAGE] = published()
    with socket.create_server(("127.0.0.2", feed_server.port)) as trap:

        def both(host: str, port: int) -> Addresses:
            return [
                (socket.AF_INET, ("127.0.0.2", port)),
                (socket.AF_INET, ("127.0.0.1", port)),
            ]

        answer = fetcher(lookup=both).fetch(
            feed(feed_server, allow_hosts=("127.0.0.1",))
        )
        trap.settimeout(0.2)
        with pytest.raises(TimeoutError):
            trap.accept()
    assert isinstance(answer, Fresh)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 that answers no attempt to connect, as if packets were dropped."""
    with ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=0)
        )
        for _ in range(4):  # Linux takes one or two more than the backlog says
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_next_address(feed_server: FeedServer) -> None:
    """An address that refuses, one without a route and one that is silent only delay those after them."""
    feed_server.pages[PAGE] = published()
    with black_hole() as silent_port:

        def several(host: str, port: int) -> Addresses:
            return [
                (socket.AF_INET6, ("::1", port)),
                (socket.AF_INET6, ("::1", port)),
                (socket.AF_INET, ("127.0.0.1", silent_port)),
                (socket.AF_INET, ("127.0.0.1", port)),
            ]

        # The silent one has half of the time, so that on a busy machine much is left for the one after it.
        answer = fetcher(lookup=several).fetch(
            feed(feed_server, allow_hosts=(HOST,), timeout_s=12)
        )
    assert isinstance(answer, Fresh)


_connected: list[tuple[str, int]] | None = None


def _note_connects(what: str, arguments: tuple[Any, ...]) -> None:
    if _connected is not None and what == "socket.connect":
        _connected.append(arguments[1][:2])


sys.addaudithook(_note_connects)


def test_families_in_turn(feed_server: FeedServer) -> None:
    """The other family is tried second, however many addresses the first one has."""
    global _connected  # noqa: PLW0603  # audit hooks stay for the life of a process

    def several(host: str, port: int) -> Addresses:
        return [
            (socket.AF_INET6, ("::1", 1)),
            *10 * [(socket.AF_INET6, ("::1", 2))],
            (socket.AF_INET, ("127.0.0.1", 3)),
        ]

    _connected = []
    try:
        failure_of(
            lambda: fetcher(lookup=several).fetch(
                feed(feed_server, allow_hosts=(HOST,))
            )
        )
        assert _connected[:3] == [("::1", 1), ("127.0.0.1", 3), ("::1", 2)]
        assert len(_connected) == 12
    finally:
        _connected = None


def test_nobody_there() -> None:
    """A closed port and a name that does not exist are named with what to check."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = FeedServer(port=listener.getsockname()[1])
    assert "cannot be reached (Connection refused)" in str(failure(closed))
    missing = feed(closed, host="nowhere.invalid", timeout_s=5)
    assert "nowhere.invalid" in str(failure_of(lambda: Fetcher().fetch(missing)))
    nothing = fetcher(lookup=lambda _host, _port: [])
    assert "has no address" in str(failure_of(lambda: nothing.fetch(feed(closed))))


def test_no_proxy_of_the_environment(
    feed_server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment is not used: it would connect where nobody checked."""
    feed_server.pages[PAGE] = published()
    with FeedServer().running() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert read(feed_server).document.body == CALENDAR
        assert not proxy.requests


# Time.


@pytest.fixture
def hanging_lookup() -> Iterator[Callable[[str, int], Addresses]]:
    """A resolver that does not answer before the test is over."""
    over = threading.Event()

    def lookup(host: str, port: int) -> Addresses:
        over.wait()
        return loopback(host, port)

    yield lookup
    over.set()


@pytest.mark.parametrize("page", [silent, slow_headers, drip, endless])
def test_total_time(feed_server: FeedServer, page: Behaviour) -> None:
    """However an answer crawls, the reading ends at its timeout and says so."""
    feed_server.pages[PAGE] = page
    began = time.monotonic()
    error = failure(feed_server, timeout_s=0.7, max_bytes=10**12)
    assert time.monotonic() - began > 0.6
    assert isinstance(error, SourceUnavailable)
    assert "timeout of 0.7 s" in str(error)


def test_total_time_of_redirects(feed_server: FeedServer) -> None:
    """The timeout is for all hops together."""

    def page(exchange: Exchange) -> None:
        exchange.pause(0.4)
        exchange.answer(302, location=exchange.request.path + "x")

    feed_server.pages = {"/" + "x" * hops: page for hops in range(1, 6)}
    # With a time for each they would all be followed.
    assert "timeout" in str(failure(feed_server, "/x", timeout_s=1))


def test_total_time_of_lookup_and_connecting(
    feed_server: FeedServer, hanging_lookup: Callable[[str, int], Addresses]
) -> None:
    """Neither a resolver nor a host that drops packets holds a reading beyond its timeout."""
    slow = fetcher(lookup=hanging_lookup)
    assert "timeout" in str(
        failure_of(lambda: slow.fetch(feed(feed_server, timeout_s=0.5)))
    )
    with black_hole() as port:
        error = failure(FeedServer(port=port), timeout_s=0.5)
    assert "timeout" in str(error) or "no answer" in str(error)


def test_one_lookup_at_a_time(
    feed_server: FeedServer, hanging_lookup: Callable[[str, int], Addresses]
) -> None:
    """While a resolver hangs, further readings of the host wait for it instead of adding threads."""
    before = threading.active_count()
    slow = fetcher(lookup=hanging_lookup)
    for _ in range(5):
        failure_of(lambda: slow.fetch(feed(feed_server, timeout_s=0.05)))
    assert threading.active_count() <= before + 1


def test_lookups_are_bounded(
    feed_server: FeedServer, hanging_lookup: Callable[[str, int], Addresses]
) -> None:
    """However many hosts a dead resolver is asked for, some threads hang in it and no more."""
    before = set(threading.enumerate())
    slow = fetcher(lookup=hanging_lookup)
    for number in range(40):
        host = f"calendar-{number}.example.com"
        one = feed(feed_server, host=host, timeout_s=0.02)
        assert "timeout" in str(failure_of(lambda one=one: slow.fetch(one)))  # type: ignore[misc]
    begun = set(threading.enumerate()) - before
    assert 1 <= len(begun) <= 16


def test_an_address_is_not_looked_up(feed_server: FeedServer) -> None:
    """A host that is an address is asked without a resolver."""
    feed_server.pages[PAGE] = published()
    asked = []

    def lookup(host: str, port: int) -> Addresses:
        asked.append(host)
        return loopback(host, port)

    answer = fetcher(lookup=lookup).fetch(feed(feed_server, host="127.0.0.1"))
    assert isinstance(answer, Fresh)
    assert not asked


def test_total_time_of_tls(authority: trustme.CA, tmp_path: Path) -> None:
    """A server that accepts and never shakes hands holds a reading to its timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mute = FeedServer(
            context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            port=listener.getsockname()[1],
        )
        assert "timeout" in str(failure(mute, timeout_s=0.7))


@pytest.mark.parametrize("stage", ["lookup", "connect", "tls", "headers", "body"])
def test_stop_at_any_stage(
    feed_server: FeedServer, stage: str, hanging_lookup: Callable[[str, int], Addresses]
) -> None:
    """A wish to stop ends a reading long before its timeout, whatever is being waited for."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with ExitStack() as stack:
        server, lookup = feed_server, loopback
        feed_server.pages[PAGE] = {"headers": silent, "body": drip}.get(
            stage, published()
        )
        if stage == "lookup":
            lookup = hanging_lookup  # type: ignore[assignment]
        elif stage == "connect":
            server = FeedServer(port=stack.enter_context(black_hole()))
        elif stage == "tls":
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server = FeedServer(context=context, port=listener.getsockname()[1])
        asking = fetcher(lookup=lookup, stopping=stop.is_set)
        error = failure_of(lambda: asking.fetch(feed(server, timeout_s=HANG_S)))
    assert "syncd is stopping" in str(error)


# Memory.

_MEASURE = """
import sys
from syncd.errors import SourceError
from syncd.sources.http import BasicAuth, DigestAuth, Feed
from syncd.sources.http.fetcher import Fetcher

class Text:
    def reveal(self):
        return "x"

def peak_kb():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

def reading(path, timeout_s):
    feed = Feed("sales", sys.argv[1] + path, timeout_s, 4_000_000, ("127.0.0.1",), DigestAuth("u", Text()))
    try:
        return Fetcher().fetch(feed)
    except SourceError as error:
        return type(error).__name__ + ": " + str(error)

reading("/calendar.ics", 20)
before = peak_kb()
print(reading(sys.argv[2], float(sys.argv[3])))
print(peak_kb() - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="the peak of memory is read from /proc",
)
@pytest.mark.parametrize(
    ("page", "timeout_s", "words"),
    [
        (bomb("gzip"), HANG_S, "SourceMalformed"),
        (bomb("br"), HANG_S, "SourceMalformed"),
        (endless, HANG_S, "SourceMalformed"),
        (drip, 1, "SourceUnavailable"),
        (slow_headers, 1, "SourceUnavailable"),
    ],
    ids=["gzip", "br", "endless", "drip", "headers"],
)
def test_memory(
    feed_server: FeedServer, page: Behaviour, timeout_s: float, words: str
) -> None:
    """A gigabyte in a small body, and a body without end, cost some megabytes with a `max_bytes` of 4 MB."""
    feed_server.pages[PAGE] = published()
    feed_server.pages["/page"] = page
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURE, feed_server.url(""), "/page", str(timeout_s)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    *_, said, grown_kb = ran.stdout.splitlines()
    assert said.startswith(words)
    assert int(grown_kb) < 30_000


# TLS.


def test_private_authority(tls_server: FeedServer, ca_file: Path) -> None:
    """A server with a certificate of a private authority is read when `tls.ca` names it, else refused."""
    tls_server.pages[PAGE] = published(CALENDAR * 3000, coding="gzip")
    assert read(tls_server, tls=Tls(ca=ca_file)).document.body == CALENDAR * 3000
    tls_server.requests.clear()
    error = failure(tls_server)
    assert "certificate of calendar.example.com is not accepted" in str(error)
    assert "tls.ca" in str(error)
    assert not tls_server.requests


def test_name_of_the_certificate(tls_server: FeedServer, ca_file: Path) -> None:
    """A certificate for another name is refused; one for an address is good for that address."""
    tls_server.pages[PAGE] = published()
    error = failure(tls_server, host=OTHER_HOST, tls=Tls(ca=ca_file))
    assert "ostname mismatch" in str(error)
    assert (
        read(tls_server, host="127.0.0.1", tls=Tls(ca=ca_file)).document.body
        == CALENDAR
    )
    assert [request.headers["host"] for request in tls_server.requests] == [
        f"127.0.0.1:{tls_server.port}"
    ]


def test_expired_certificate(authority: trustme.CA, ca_file: Path) -> None:
    """An expired certificate is refused and said to be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(
        HOST,
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(2021, 1, 1, tzinfo=UTC),
    ).configure_cert(context)
    with FeedServer(context).running() as server:
        assert "certificate has expired" in str(failure(server, tls=Tls(ca=ca_file)))


@pytest.fixture
def strict_server(authority: trustme.CA) -> Iterator[FeedServer]:
    """A server that wants a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, OTHER_HOST).configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with FeedServer(context).running() as server:
        server.pages[PAGE] = published()
        yield server


def _client(authority: trustme.CA, folder: Path) -> Tls:
    """Files of a client certificate with its key."""
    issued = authority.issue_cert("syncd@example.com")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    return Tls(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")


def test_client_certificate(
    strict_server: FeedServer, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """A client certificate is shown where one is asked for, also one that replaced it."""
    assert "tls.certificate" in str(failure(strict_server, tls=Tls(ca=ca_file)))
    asking = fetcher()
    for _ in range(2):
        tls = _client(authority, tmp_path)
        assert isinstance(asking.fetch(feed(strict_server, tls=tls)), Fresh)
    shown = [request.peer_certificate for request in strict_server.requests]
    assert None not in shown
    assert shown[0] != shown[1]


def test_client_certificate_stays(
    strict_server: FeedServer, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """A client certificate is not shown to a host that a redirect names."""
    strict_server.pages["/away"] = redirect(strict_server.url(PAGE, OTHER_HOST))
    tls = _client(authority, tmp_path)
    assert "tls.certificate" in str(failure(strict_server, "/away", tls=tls))
    assert not strict_server.asked(PAGE)


def test_unusable_files(
    tls_server: FeedServer, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """Files that are missing, no PEM, of another key or locked are named, and nothing is asked."""
    tls = _client(authority, tmp_path)
    assert tls.certificate is not None
    nonsense, missing = tmp_path / "nonsense.pem", tmp_path / "missing.pem"
    nonsense.write_text("nonsense")
    locked = tmp_path / "locked.pem"
    locked.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAAAAAAAAAAAAAAAAAA\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    for wrong, name in (
        (Tls(ca=missing), "tls.ca (missing.pem)"),
        (Tls(ca=nonsense), "tls.ca (nonsense.pem)"),
        (Tls(ca_file, nonsense), "tls.certificate (nonsense.pem)"),
        (Tls(ca_file, tls.certificate, nonsense), "tls.key (nonsense.pem)"),
        (Tls(ca_file, tls.certificate, locked), "tls.key (locked.pem)"),
        (Tls(ca_file, ca_file, tls.key), "tls.key (key.pem)"),
    ):
        error = failure(tls_server, tls=wrong)
        assert name in str(error)
        assert str(tmp_path) not in str(error)
    assert not tls_server.requests


def test_plain_server_behind_https(feed_server: FeedServer) -> None:
    """A server without TLS behind an https or webcal URL is named as that, with the cure."""
    server = FeedServer(
        context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), port=feed_server.port
    )
    assert "does not speak TLS" in str(failure(server))
    assert "http://" in str(failure(server))


def test_never_down_to_http(
    tls_server: FeedServer, feed_server: FeedServer, ca_file: Path
) -> None:
    """A redirect from https to http is not followed, the other way round it is."""
    tls_server.pages[PAGE] = redirect(feed_server.url("/plain", HOST))
    feed_server.pages["/plain"] = published()
    error = failure(tls_server, tls=Tls(ca=ca_file))
    assert "from https to http" in str(error)
    assert not feed_server.requests
    tls_server.pages["/secure"] = published()
    feed_server.pages[PAGE] = redirect(tls_server.url("/secure", HOST))
    assert read(feed_server, tls=Tls(ca=ca_file)).document.body == CALENDAR


def test_drip_over_tls(tls_server: FeedServer, ca_file: Path) -> None:
    """A slow server is waited for in slices without losing a byte of TLS, up to the timeout."""

    def page(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nBE")
        exchange.pause(0.6)
        exchange.send(b"GI")

    tls_server.pages[PAGE] = page
    tls_server.pages["/drip"] = drip
    assert read(tls_server, tls=Tls(ca=ca_file)).document.body == b"BEGI"
    error = failure(tls_server, "/drip", tls=Tls(ca=ca_file), timeout_s=0.7)
    assert isinstance(error, SourceUnavailable)
    assert not isinstance(error, SourceMalformed)
