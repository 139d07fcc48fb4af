"""A real server of feeds for tests, with what can be wrong with one.

`FeedServer().running()` listens on a free port of 127.0.0.1, with TLS if it is given a context.
`pages` maps a path to a behaviour, which may be exchanged at any time; `requests` is what arrived.
One request per connection, or one after the other with `keeps`, each connection on a thread of its own;
leaving the context ends them all.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

import brotli

from tests.conftest import HANG_S

CALENDAR = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nEND:VCALENDAR\r\n"


@dataclass(frozen=True)
class Request:
    """What arrived; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    at: float
    peer_certificate: bytes | None = None


@dataclass(frozen=True)
class Exchange:
    """A request and the way back."""

    request: Request
    connection: socket.socket
    closing: threading.Event
    keeps: bool = False

    def send(self, data: bytes) -> None:
        """Send some bytes."""
        self.connection.sendall(data)

    def answer(self, status: int, body: bytes = b"", /, **headers: str) -> None:
        """A whole answer; header names with underscores for dashes, Content-Length unless it is given."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if "transfer-encoding" not in named and status not in {204, 304}:
            named.setdefault("content-length", str(len(body)))
        named.setdefault("date", http_date(datetime.now(UTC)))
        if not self.keeps:
            named.setdefault("connection", "close")
        lines = [
            f"HTTP/1.1 {status} Status",
            *(f"{n}: {v}" for n, v in named.items()),
        ]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def pause(self, seconds: float) -> bool:
        """Wait; False when the server is closing."""
        return not self.closing.wait(seconds)


Behaviour = Callable[[Exchange], None]


@dataclass
class FeedServer:
    """Serves `pages` by path (without query); anything else is 404.

    `keeps` connections for further requests; `accepted` counts connections, `opened` are those that last.
    """

    context: ssl.SSLContext | None = None
    pages: dict[str, Behaviour] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    keeps: bool = False
    accepted: int = 0
    opened: set[socket.socket] = field(default_factory=set)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a page."""
        return f"http{'s' if self.context else ''}://{host}:{self.port}{path}"

    def asked(self, path: str) -> list[Request]:
        """The requests for one path."""
        return [
            request
            for request in self.requests
            if request.path.partition("?")[0] == path
        ]

    @contextmanager
    def running(self) -> Iterator[FeedServer]:
        """Serve while the context lasts."""
        closing = threading.Event()
        threads: list[threading.Thread] = []
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            self.port = listener.getsockname()[1]

            def accept() -> None:
                while not closing.is_set():
                    with suppress(OSError):
                        connection, _ = listener.accept()
                        self.accepted += 1
                        thread = threading.Thread(
                            target=self._serve, args=(connection, closing), daemon=True
                        )
                        threads.append(thread)
                        thread.start()

            acceptor = threading.Thread(target=accept, daemon=True)
            acceptor.start()
            try:
                yield self
            finally:
                closing.set()
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)  # wakes accept
                for connection in self.opened.copy() if self.keeps else ():
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)  # wakes what reads
                for thread in (acceptor, *threads):
                    thread.join(HANG_S)

    def _serve(self, connection: socket.socket, closing: threading.Event) -> None:
        connection.settimeout(HANG_S)
        if self.context is not None:
            try:
                connection = self.context.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()
                return
        self.opened.add(connection)
        try:
            with suppress(OSError), connection:
                self._serve_requests(connection, closing)
        finally:
            self.opened.discard(connection)

    def _serve_requests(
        self, connection: socket.socket, closing: threading.Event
    ) -> None:
        while (request := _request(connection)) is not None:
            self.requests.append(request)
            page = self.pages.get(request.path.partition("?")[0], status(404))
            page(Exchange(request, connection, closing, self.keeps))
            if not self.keeps:
                return


def _request(connection: socket.socket) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(65536)
        if not received:
            return None
        head += received
        # TLS where it is not spoken; web servers say so in plain HTTP.
        if head.startswith(b"\x16"):
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return None
    first, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    certificate = (
        connection.getpeercert(True) if isinstance(connection, ssl.SSLSocket) else None
    )
    return Request(method, path, headers, time.monotonic(), certificate)


def http_date(moment: datetime) -> str:
    """A time as headers have it."""
    return format_datetime(moment, usegmt=True)


# Pages that are well.


def published(
    body: bytes = CALENDAR, /, *, coding: str = "", etag: str = "", **headers: str
) -> Behaviour:
    """A calendar, compressed if `coding` says so, and 304 for who has it already."""

    def page(exchange: Exchange) -> None:
        asked = exchange.request.headers
        modified = headers.get("last_modified")
        validators = {"etag": etag} if etag else {}
        if (etag and asked.get("if-none-match") == etag) or (
            "if-none-match" not in asked
            and modified
            and asked.get("if-modified-since") == modified
        ):
            exchange.answer(304, **validators)
            return
        encoding = {"content_encoding": coding} if coding else {}
        content = {"content_type": "text/calendar; charset=utf-8"}
        exchange.answer(
            200,
            compress(body, coding),
            **{**content, **validators, **encoding, **headers},
        )

    return page


def compress(body: bytes, coding: str) -> bytes:
    """A body in one of the content codings; `raw-deflate` is deflate without zlib's wrapping."""
    match coding:
        case "gzip" | "x-gzip":
            return gzip.compress(body)
        case "deflate":
            return zlib.compress(body)
        case "br":
            return bytes(brotli.compress(body))
        case _:
            return body


def redirect(to: str, code: int = 302) -> Behaviour:
    """On to another URL."""
    return status(code, location=to)


def status(code: int, body: bytes = b"", /, **headers: str) -> Behaviour:
    """An answer with a status."""
    return lambda exchange: exchange.answer(code, body, **headers)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other; the last one stays."""
    waiting = list(behaviours)

    def page(exchange: Exchange) -> None:
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(exchange)

    return page


# Pages that ask who is there.


def with_header(name: str, value: str, then: Behaviour) -> Behaviour:
    """Only for requests with this header."""

    def page(exchange: Exchange) -> None:
        known = exchange.request.headers.get(name.lower()) == value
        (then if known else status(401, www_authenticate='Basic realm="feeds"'))(
            exchange
        )

    return page


def with_basic(username: str, password: str, then: Behaviour) -> Behaviour:
    """Only for this user (RFC 7617)."""
    proof = base64.b64encode(f"{username}:{password}".encode()).decode()
    return with_header("authorization", f"Basic {proof}", then)


def with_digest(
    username: str, password: str, then: Behaviour, refusal: bytes = b""
) -> Behaviour:
    """Only for this user (RFC 7616, SHA-256, qop auth); `refusal` is the body of the challenge."""
    nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC"
    realm = "feeds"

    def hashed(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    def page(exchange: Exchange) -> None:
        given = exchange.request.headers.get("authorization", "")
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
        proof = ":".join(
            [
                hashed(f"{username}:{realm}:{password}"),
                nonce,
                said.get("nc", ""),
                said.get("cnonce", ""),
                "auth",
                hashed(f"GET:{exchange.request.path}"),
            ]
        )
        if given.startswith("Digest ") and hmac.compare_digest(
            said.get("response", ""), hashed(proof)
        ):
            then(exchange)
        else:
            challenge = f'Digest realm="{realm}", nonce="{nonce}", qop="auth", algorithm=SHA-256'
            exchange.answer(401, refusal, www_authenticate=challenge)

    return page


# Pages that are not well.


def silent(exchange: Exchange) -> None:
    """Never answers."""
    exchange.closing.wait()


def hang_up(exchange: Exchange) -> None:
    """Closes without an answer."""
    exchange.connection.shutdown(socket.SHUT_RDWR)


def reset(exchange: Exchange) -> None:
    """Breaks the connection in the middle of a body."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nBEGIN:VCALENDAR\r\n")
    exchange.connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
    )


def says(data: bytes) -> Behaviour:
    """Sends these bytes, whatever they are."""
    return lambda exchange: exchange.send(data)


def drip(exchange: Exchange) -> None:
    """A body that comes byte by byte."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while exchange.pause(0.1):
        exchange.send(b"B")


def slow_headers(exchange: Exchange) -> None:
    """Headers that come byte by byte."""
    exchange.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while exchange.pause(0.1):
        exchange.send(b"a")


def endless(exchange: Exchange) -> None:
    """A body that has no end and does not say so."""
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"X" * 65536 + b"\r\n"
    while exchange.pause(0):
        exchange.send(chunk)


def cut(body: bytes = CALENDAR, *, coding: str = "", length: bool = True) -> Behaviour:
    """Half of a calendar; with `length` its Content-Length is that of the whole."""
    whole = compress(body, coding)
    encoding = {"content_encoding": coding} if coding else {}
    size = len(whole) if length else len(whole) // 2
    return lambda exchange: exchange.answer(
        200, whole[: len(whole) // 2], content_length=str(size), **encoding
    )


def bomb(coding: str) -> Behaviour:
    """About a megabyte (br: some kilobytes) that becomes a gigabyte."""
    megabyte = bytes(1_000_000)
    if coding == "gzip":
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        # Stands by itself.
        block = deflater.compress(megabyte) + deflater.flush(zlib.Z_FULL_FLUSH)
        body = b"\x1f\x8b\x08\0\0\0\0\0\0\3" + 1000 * block
    else:
        compressor = brotli.Compressor(quality=1)
        body = (
            b"".join(compressor.process(megabyte) for _ in range(1000))
            + compressor.finish()
        )
    return status(200, body, content_encoding=coding)
