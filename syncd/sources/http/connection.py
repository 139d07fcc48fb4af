"""One connection to the origin of a URL, and the requests that it carries one after the other.

Promises: what was checked is what is connected to, before any byte is sent; nothing waits longer than the
deadline of the request, nor much longer than a wish to stop; a connection that is kept ended its last answer
exactly where that said.
Must not: know what is asked for or answered.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import httpcore
import httpx

from syncd.sources.http.addresses import Address, Allowed, as_address, not_public
from syncd.sources.http.deadline import Deadline
from syncd.sources.http.fault import FeedFault
from syncd.sources.http.feed import Auth
from syncd.sources.http.head import Head
from syncd.sources.http.resolver import Resolver, SocketAddress

_CONNECT_S = 10.0  # per address; a first packet was repeated three times by then
_WITHOUT_BODY = frozenset({204, 304})

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Way:
    """What a connection is for: only requests with an equal one may share it; `host` is as it goes to DNS.

    `context` is for https; `allowed` says to which addresses it may lead; `auth` is whose requests it carries,
    because there are servers that take a connection, and not a request, for authenticated (RFC 4559).
    """

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None
    allowed: Allowed
    auth: Auth | None


@dataclass(frozen=True, slots=True)
class Errand:
    """One request, as far as its connection has to know: `who` is asked, in sentences, and until when."""

    who: str
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Response:
    """Status and headers of an answer, and its body as it arrives, still encoded."""

    status: int
    fields: list[tuple[bytes, bytes]]
    chunks: Iterator[bytes]
    stream: httpcore.NetworkStream | None = None

    @property
    def headers(self) -> httpx.Headers:
        """Return the headers by name."""
        return httpx.Headers(self.fields)

    @property
    def certificate_ends_at(self) -> datetime | None:
        """Return until when the server's certificate is valid; None without TLS."""
        secured = None
        if self.stream is not None:
            secured = self.stream.get_extra_info("ssl_object")
        certificate = secured.getpeercert() if secured is not None else None
        if not certificate:
            return None
        ends_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        return datetime.fromtimestamp(ends_s, UTC)

    @property
    def sets_cookies(self) -> bool:
        """Return whether the server wants something to be sent back."""
        return any(name.lower() == b"set-cookie" for name, _ in self.fields)


class Stale(Exception):
    """A connection that was kept gave no answer: its server closed it meanwhile, or lost count of it."""


class _Broken(FeedFault):
    """The connection broke."""


class _Line:
    """The errand that is under way on a connection, and the head of its answer.

    `has_served`: there was an errand before.
    """

    def __init__(self, errand: Errand) -> None:
        self.has_served = False
        self.begin(errand)

    def begin(self, errand: Errand) -> None:
        """Take the next errand."""
        self.who = errand.who
        self.deadline = errand.deadline
        self.head = Head(errand.who)

    @property
    def is_lost(self) -> bool:
        """Return whether what came is not the answer, but nothing or the rest of a former one."""
        return self.has_served and not self.head.is_http

    def require_answer(self) -> None:
        """Raise `_Broken` when what came after a former answer begins no other."""
        if self.head.ended and self.is_lost:
            raise _Broken("bytes of a former answer came, or its end")


class Connection:
    """A connection that carries one request at a time, opened by the first one.

    `opened_at` is on the monotonic clock.
    """

    def __init__(self, way: Way, resolver: Resolver, errand: Errand) -> None:
        self.way = way
        self.opened_at = time.monotonic()
        self._line = _Line(errand)
        self._http = httpcore.HTTPConnection(
            origin=httpcore.Origin(way.scheme.encode(), way.host.encode(), way.port),
            ssl_context=way.context,
            network_backend=_Backend(way.allowed, resolver, self._line),
        )
        self._answer: httpcore.Response | None = None
        self._is_read = False  # or begun to be

    def send(self, request: httpx.Request, errand: Errand) -> Response:
        """Send a request; return its answer; raise `FeedFault`, also while the body is read, or `Stale`."""
        line = self._line
        line.begin(errand)
        self._is_read = False
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore.Request(request.method, url, headers=request.headers.raw)
        try:
            self._answer = answer = self._http.handle_request(asked)
        except httpcore.LocalProtocolError:
            raise FeedFault(
                f"the request for {line.who} cannot be written; look for characters in its url or auth "
                "that no header may hold"
            ) from None
        except httpcore.RemoteProtocolError:
            raise FeedFault(
                _no_answer(line.who, line.head), by_condition=not line.head.received
            ) from None
        except _Broken:
            if line.is_lost:
                raise Stale from None
            raise
        stream = answer.extensions.get("network_stream")
        return Response(answer.status, answer.headers, self._chunks(answer), stream)

    def _chunks(self, answer: httpcore.Response) -> Iterator[bytes]:
        self._is_read = True
        received = 0
        try:
            for chunk in answer.iter_stream():
                received += len(chunk)
                yield chunk
        except httpcore.RemoteProtocolError as error:
            if str(error).startswith("peer closed"):
                why = f"cut its answer off after {received} bytes; it is tried again"
            else:
                why = "sends a body that is not what its headers say (Transfer-Encoding); ask its administrator"
            raise FeedFault(f"{self._line.who} {why}") from None

    def has_ended(self) -> bool:
        """End the answer; return whether the connection may carry another request.

        Only where the bytes that came are just those that the head announced: bytes too many would be taken
        for the answer to the next request.
        """
        answer = self._answer
        self._answer = None
        if answer is None or self._line.head.behind != _announced(answer):
            return False
        if not self._is_read:
            for _ in answer.iter_stream():
                pass  # all of it is here already
        answer.close()
        self._line.has_served = True
        return self._http.is_idle()

    @property
    def is_usable(self) -> bool:
        """Return whether nothing came since the last answer, neither bytes nor the end."""
        return self._http.is_idle() and not self._http.has_expired()

    def close(self) -> None:
        """Close it; an answer that is not read to its end is given up."""
        self._http.close()


def _announced(answer: httpcore.Response) -> int | None:
    """Return how many bytes the body of an answer has by its head; None if that does not tell."""
    lengths: list[int] = []
    for name, value in answer.headers:
        match name.lower():
            case b"content-length":
                lengths.append(int(value))
            case b"transfer-encoding":
                return None
    if answer.status in _WITHOUT_BODY:
        # One that names a length may send a body nevertheless.
        return None if any(lengths) else 0
    return lengths[0] if lengths else None


class _Backend(httpcore.NetworkBackend):
    """Connections for httpcore; its own timeouts are none, because the deadline is above them."""

    def __init__(self, allowed: Allowed, resolver: Resolver, line: _Line) -> None:
        self._allowed = allowed
        self._resolver = resolver
        self._line = line

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        who, deadline = self._line.who, self._line.deadline
        found = self._resolver.addresses(host, port, who, deadline)
        permitted = [
            one for one in found if self._allowed.permits(host, _address_of(one))
        ]
        if not permitted:
            raise FeedFault(_refusal(who, host, _address_of(found[0])))
        reason = ""
        for number, (family, address) in enumerate(permitted):
            share_s = deadline.left_s / (len(permitted) - number)
            try:
                connected = self._connect(family, address, min(_CONNECT_S, share_s))
            except OSError as error:
                reason = error.strerror or "no answer"
            else:
                return _Stream(connected, self._line)
        raise FeedFault(
            f"{who} cannot be reached ({reason}); check the network, and the host in url"
        )

    def _connect(
        self, family: int, address: SocketAddress, limit_s: float
    ) -> socket.socket:
        until = time.monotonic() + limit_s
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            failed = connecting.connect_ex(address)
            if failed == errno.EINPROGRESS:
                ready = select.poll()
                ready.register(connecting, select.POLLOUT)
                while not ready.poll(1000 * self._slice_s()):
                    if time.monotonic() > until:
                        raise TimeoutError
                failed = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise OSError(failed, os.strerror(failed))
        except BaseException:
            connecting.close()
            raise
        return connecting

    def _slice_s(self) -> float:
        return self._line.deadline.slice_s(self._line.who)


class _Stream(httpcore.NetworkStream):
    """A connected socket that waits in slices."""

    def __init__(self, connected: socket.socket, line: _Line) -> None:
        self._socket = connected
        self._line = line

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        head = self._line.head
        while not head.ended:
            data = self._received(max_bytes)
            ready = head.take(data)
            self._line.require_answer()
            if ready or not data:
                return ready
        data = self._received(max_bytes)
        head.behind += len(data)
        return data

    def _received(self, max_bytes: int) -> bytes:
        try:
            return self._sliced(partial(self._socket.recv, max_bytes))
        except ssl.SSLError as error:
            raise _Broken(_broken_tls(self._line.who, error)) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise _Broken(
                f"the connection to {self._line.who} broke ({reason}); it is tried again; check the network"
            ) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        try:
            while buffer:
                buffer = buffer[self._sliced(partial(self._socket.send, buffer)) :]
        except OSError as error:
            # httpcore then looks for an answer that was given before the whole request was taken.
            raise httpcore.WriteError from error

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            self._socket = secured = ssl_context.wrap_socket(
                self._socket,
                server_hostname=server_hostname,
                do_handshake_on_connect=False,
            )
            self._sliced(secured.do_handshake)
        except (OSError, ValueError) as error:
            self.close()
            raise FeedFault(_broken_tls(self._line.who, error)) from None
        except FeedFault:
            self.close()
            raise
        return self

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "ssl_object" if isinstance(self._socket, ssl.SSLSocket):
                return self._socket
            case "is_readable":
                return self._is_readable()
        return None

    def _is_readable(self) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        return bool(ready.poll(0))

    def _sliced(self, operation: Callable[[], _Result]) -> _Result:
        line = self._line
        while True:
            self._socket.settimeout(line.deadline.slice_s(line.who))
            try:
                return operation()
            except TimeoutError:
                continue


def _no_answer(who: str, head: Head) -> str:
    """Return why what came could not be read as an answer, as a sentence."""
    if not head.received:
        return f"{who} closed the connection without an answer; check scheme and port of url"
    if not head.is_http:
        return f"{who} does not speak HTTP there; check scheme and port of url"
    return f"{who} broke off, or broke the rules of HTTP, in the headers of its answer; ask its administrator"


def _address_of(one: tuple[int, SocketAddress]) -> Address:
    address = as_address(one[1][0])
    assert address is not None  # a socket address of these families is numeric
    return address


def _refusal(who: str, host: str, address: Address) -> str:
    kind = not_public(address)
    literal = as_address(host) is not None
    where = (
        f"{who} is a {kind} address"
        if literal
        else f"{who} is at the {kind} address {address}"
    )
    return f'{where}, which is refused; if it is meant, add "{host}" to allow_hosts of this source'


_OTHER_AUTHORITY = (
    "name the authority that signed it in tls.ca of this source, with the authorities between, if its server "
    "does not send them"
)
_CERTIFICATE_CURES: Mapping[int, str] = {  # by the codes of X509_STORE_CTX_get_error(3)
    2: _OTHER_AUTHORITY,
    9: "look at the clock of this machine, or ask its administrator",
    10: "ask its administrator to have it renewed",
    18: "name the certificate itself in tls.ca of this source, if it is meant",
    19: _OTHER_AUTHORITY,
    20: _OTHER_AUTHORITY,
    21: _OTHER_AUTHORITY,
    62: "write into url the name that the certificate is for",
    64: "write into url the name that the certificate is for",
}


def _broken_tls(who: str, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        cure = _CERTIFICATE_CURES.get(
            error.verify_code, "ask its administrator to have it made anew"
        )
        return f"the certificate of {who} is not accepted ({error.verify_message.rstrip('.')}); {cure}"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or ""
    match reason.lower():
        case "wrong_version_number" | "http_request" | "record_layer_failure":
            return f"{who} does not speak TLS there; check the port, or write http:// if that is what it offers"
        case alert if "certificate" in alert or "handshake_failure" in alert:
            return (
                f"{who} ended TLS ({alert.replace('_', ' ')}); if it asks for a client certificate, check "
                "tls.certificate and tls.key"
            )
        case other:
            detail = f" ({other.replace('_', ' ')})" if other else ""
            return f"TLS with {who} failed{detail}; check host and port of url, or ask its administrator"
