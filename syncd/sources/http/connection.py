"""One request over one connection of its own: lookup, address check, TLS, and a limit on the time of it all.

Promises: a name is looked up once per connection and what was checked is what is connected to, before any
byte is sent; nothing waits longer than the deadline, nor much longer than a wish to stop.
Must not: know what is asked for or answered, or reuse a connection.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from typing import Any, TypeVar

import httpcore
import httpx

from syncd.sources.http.addresses import Address, Allowed, as_address, not_public
from syncd.sources.http.fault import FeedFault
from syncd.sources.http.head import Head

_SLICE_S = 0.25  # how late a wish to stop may be noticed
_CONNECT_S = 10.0  # per address; a first packet was repeated three times by then

_Result = TypeVar("_Result")
SocketAddress = tuple[Any, ...]
Lookup = Callable[[str, int], Iterable[tuple[int, SocketAddress]]]
"""Family and socket address of each address of a host; raise OSError (or ValueError for an odd name)."""


def system_lookup(host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """Ask the resolver of the system; return family and address of each, in the order of RFC 6724."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Deadline:
    """The moment at which a reading has to be over; `who` in its sentences is the host that is waited for."""

    def __init__(self, timeout_s: float, stopping: Callable[[], bool]) -> None:
        self._timeout_s = timeout_s
        self._until = time.monotonic() + timeout_s
        self._stopping = stopping

    def slice_s(self, who: str) -> float:
        """Return how long to wait before asking again, always above 0; raise `FeedFault` when it is over."""
        if self._stopping():
            raise FeedFault(
                f"{who} was not read because syncd is stopping; it is read after the next start"
            )
        left_s = self.left_s
        if left_s <= 0:
            raise FeedFault(
                f"{who} was not read within its timeout of {self._timeout_s:g} s; "
                "raise timeout if the calendar is large or its server slow"
            )
        return min(left_s, _SLICE_S)

    @property
    def left_s(self) -> float:
        """Return the seconds that are left; not above 0 when the deadline is over."""
        return self._until - time.monotonic()


class Resolver:
    """A resolver of host names whose lookups can be waited for with a deadline.

    The system's resolver cannot be interrupted, so it runs beside, at most once per host at a time.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._underway: dict[
            tuple[str, int], Future[list[tuple[int, SocketAddress]]]
        ] = {}

    def addresses(
        self, host: str, port: int, who: str, deadline: Deadline
    ) -> list[tuple[int, SocketAddress]]:
        """Look up a host; return at least one address, families in turn (RFC 8305 section 4).

        In turn, so that a family that does not work delays nothing; raises `FeedFault`.
        """
        with self._lock:
            answer = self._underway.get((host, port))
            if answer is None:
                answer = self._underway[host, port] = Future()
                threading.Thread(
                    target=self._answer,
                    args=(host, port, answer),
                    name="feed-lookup",
                    daemon=True,
                ).start()
        while not wait([answer], deadline.slice_s(who)).done:
            pass
        try:
            found = answer.result()
        except (OSError, ValueError) as error:
            reason = (
                f" ({error.strerror})"
                if isinstance(error, OSError) and error.strerror
                else ""
            )
            raise FeedFault(
                f"the name {who} cannot be resolved{reason}; check the host in url, and DNS"
            ) from None
        if not found:
            raise FeedFault(
                f"the name {who} has no address; check the host in url, and DNS"
            )
        family = found[0][0]
        preferred = [one for one in found if one[0] == family]
        others = [one for one in found if one[0] != family]
        in_turn = chain.from_iterable(zip_longest(preferred, others))
        return [one for one in in_turn if one is not None]

    def _answer(
        self, host: str, port: int, answer: Future[list[tuple[int, SocketAddress]]]
    ) -> None:
        found: list[tuple[int, SocketAddress]] | OSError | ValueError
        try:
            found = list(self._lookup(host, port))
        except (OSError, ValueError) as error:
            found = error
        with self._lock:
            # Before the answer, or who asks after it would be given it too.
            del self._underway[host, port]
        if isinstance(found, list):
            answer.set_result(found)
        else:
            answer.set_exception(found)


@dataclass(frozen=True, slots=True)
class Response:
    """Status and headers of an answer, and its body as it arrives, still encoded."""

    status: int
    headers: httpx.Headers
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Way:
    """The means to reach a host; `who` names it in sentences, `context` is for https."""

    who: str
    resolver: Resolver
    allowed: Allowed
    deadline: Deadline
    context: ssl.SSLContext | None

    @contextmanager
    def send(self, request: httpx.Request) -> Iterator[Response]:
        """Send a request, yield its answer, valid in the `with`; raise `FeedFault`, also during reading."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        head = Head(self.who)
        connection = httpcore.HTTPConnection(
            origin=url.origin,
            ssl_context=self.context,
            network_backend=_Backend(self, head),
        )
        with connection:
            try:
                answer = connection.handle_request(
                    httpcore.Request(request.method, url, headers=request.headers.raw)
                )
            except httpcore.LocalProtocolError:
                raise FeedFault(
                    f"the request for {self.who} cannot be written; look for characters in its url or auth "
                    "that no header may hold"
                ) from None
            except httpcore.RemoteProtocolError:
                raise FeedFault(
                    _no_answer(self.who, head), by_condition=not head.received
                ) from None
            yield Response(
                answer.status, httpx.Headers(answer.headers), self._chunks(answer)
            )

    def _chunks(self, answer: httpcore.Response) -> Iterator[bytes]:
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
            raise FeedFault(f"{self.who} {why}") from None


class _Backend(httpcore.NetworkBackend):
    """Connections for httpcore; its own timeouts are none, because the deadline is above them."""

    def __init__(self, way: Way, head: Head) -> None:
        self._way = way
        self._head = head

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        way = self._way
        found = way.resolver.addresses(host, port, way.who, way.deadline)
        permitted = [
            one for one in found if way.allowed.permits(host, _address_of(one))
        ]
        if not permitted:
            raise FeedFault(_refusal(way.who, host, _address_of(found[0])))
        reason = ""
        for number, (family, address) in enumerate(permitted):
            share_s = way.deadline.left_s / (len(permitted) - number)
            try:
                connected = self._connect(family, address, min(_CONNECT_S, share_s))
            except OSError as error:
                reason = error.strerror or "no answer"
            else:
                return _Stream(connected, way, self._head)
        raise FeedFault(
            f"{way.who} cannot be reached ({reason}); check the network, and the host in url"
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
                while not ready.poll(1000 * self._way.deadline.slice_s(self._way.who)):
                    if time.monotonic() > until:
                        raise TimeoutError
                failed = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise OSError(failed, os.strerror(failed))
        except BaseException:
            connecting.close()
            raise
        return connecting


class _Stream(httpcore.NetworkStream):
    """A connected socket that waits in slices."""

    def __init__(self, connected: socket.socket, way: Way, head: Head) -> None:
        self._socket = connected
        self._way = way
        self._head = head

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        while not self._head.ended:
            data = self._received(max_bytes)
            ready = self._head.take(data)
            if ready or not data:
                return ready
        return self._received(max_bytes)

    def _received(self, max_bytes: int) -> bytes:
        try:
            return self._sliced(partial(self._socket.recv, max_bytes))
        except ssl.SSLError as error:
            raise FeedFault(_broken_tls(self._way.who, error)) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise FeedFault(
                f"the connection to {self._way.who} broke ({reason}); it is tried again; check the network"
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
            raise FeedFault(_broken_tls(self._way.who, error)) from None
        except FeedFault:
            self.close()
            raise
        return self

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return (
            self._socket
            if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket)
            else None
        )

    def _sliced(self, operation: Callable[[], _Result]) -> _Result:
        while True:
            self._socket.settimeout(self._way.deadline.slice_s(self._way.who))
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
