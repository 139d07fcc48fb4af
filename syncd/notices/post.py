"""A guarded POST: to an address that may be connected to, over verified TLS, within a time, to nowhere else.

Promises: what is judged is the address that is connected to; redirects are not followed; an answer is read as
far as it is of use.
Must not: let a path, a query or a header into a text.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from syncd import __version__
from syncd.core.visible import visible
from syncd.notices.channel import Undelivered
from syncd.sources.http.addresses import Allowed, as_address, not_public
from syncd.trust import Untrustworthy, verifying_context
from syncd.urls import parsed_url

_CONNECT_S = 10.0  # per address
_WHOLE_S = 20.0
_MOST_READ = 2048  # bytes of an answer
_SHOWN = 200  # characters of it
_LONGEST_WAIT = timedelta(days=1)  # that a receiver may ask for
_USER_AGENT = f"syncd/{__version__}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered: a status, the beginning of its text, and how long it asks to be left alone."""

    status: int
    text: str
    wait: timedelta | None = None

    @property
    def is_good(self) -> bool:
        """Return whether it took what was sent."""
        return 200 <= self.status < 300


class Poster:
    """Posts to one URL; `allow_hosts` may be connected to although they are not public, as `key` says.

    One post at a time; `interrupt` ends it, and there is none after it.
    """

    def __init__(self, url: str, allow_hosts: Iterable[str], key: str) -> None:
        self._url = url
        self._allowed = Allowed.of(allow_hosts)
        self._key = key
        self._guard = threading.Lock()
        self._connected: socket.socket | None = None
        self._is_over = False

    @property
    def host(self) -> str:
        """Return the host and, where it is another than usual, the port."""
        return parsed_url(self._url).netloc.decode("ascii", "replace")

    def post(self, body: bytes, headers: Mapping[str, str], suffix: str = "") -> Reply:
        """Post a body and return the reply; `suffix` goes to the end of the path. Raises `Undelivered`."""
        host, port, is_secure = self._target()
        connection = http.client.HTTPConnection(host, port)
        connection.default_port = 443 if is_secure else 80  # for the Host header
        whole = parsed_url(self._url).raw_path.decode("ascii")
        path, mark, query = whole.partition("?")
        target = f"{path.rstrip('/') if suffix else path}{suffix}{mark}{query}"
        limit = threading.Timer(_WHOLE_S, self._hang_up)
        limit.daemon = True
        limit.start()
        try:
            connection.sock = self._connect(host, port, secure=is_secure)
            sent = {"User-Agent": _USER_AGENT, "Connection": "close", **headers}
            connection.request("POST", target, body, sent)
            return _reply_of(connection.getresponse())
        except ssl.SSLError as error:
            raise Undelivered(f"TLS with {host} failed ({_why(error)})") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Undelivered(f"{host} gave no answer ({_why(error)})") from None
        finally:
            limit.cancel()
            with self._guard:
                self._connected = None
            connection.close()

    def knock(self) -> None:
        """Connect and send nothing; raise `Undelivered` if that cannot be."""
        host, port, is_secure = self._target()
        try:
            self._connect(host, port, secure=is_secure).close()
        except OSError as error:
            raise Undelivered(f"{host} cannot be reached ({_why(error)})") from None

    def _target(self) -> tuple[str, int, bool]:
        """Return the host and the port that are connected to, and whether with TLS."""
        url = parsed_url(self._url)
        is_secure = url.scheme == "https"
        usual = 443 if is_secure else 80
        return url.raw_host.decode("ascii"), url.port or usual, is_secure

    def interrupt(self) -> None:
        """End the post that is under way, from another thread."""
        self._is_over = True
        self._hang_up()

    def _hang_up(self) -> None:
        with self._guard:
            if self._connected is not None:
                with suppress(OSError):
                    self._connected.shutdown(socket.SHUT_RDWR)

    def _connect(self, host: str, port: int, *, secure: bool) -> socket.socket:
        """Return a connection to the first address that may be had; raise `Undelivered` or OSError."""
        last: OSError | None = None
        for family, address in self._permitted(host, port):
            connected = socket.socket(family, socket.SOCK_STREAM)
            try:
                connected.settimeout(_CONNECT_S)
                self._keep(connected)
                connected.connect(address)
                if secure:
                    connected = _context().wrap_socket(connected, server_hostname=host)
                    self._keep(connected)
            except OSError as error:
                connected.close()
                last = error
            except BaseException:
                connected.close()
                raise
            else:
                return connected
        assert last is not None  # there was an address
        raise last

    def _permitted(self, host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
        """Return the addresses of a host that may be connected to; raise `Undelivered` if there is none."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Undelivered(
                f"the name {host} cannot be resolved ({_why(error)})"
            ) from None
        permitted: list[tuple[int, tuple[object, ...]]] = []
        for family, _, _, _, where in found:
            address = as_address(str(where[0]))
            if address is not None and self._allowed.permits(host, address):
                permitted.append((family, where))
        if permitted:
            return permitted
        refused = as_address(str(found[0][4][0]))
        kind = not_public(refused) if refused is not None else "unknown"
        raise Undelivered(
            f"{host} is at a {kind} address, which is refused; if it is meant, add "
            f'"{host}" to {self._key}'
        )

    def _keep(self, connected: socket.socket) -> None:
        """Take note of what `interrupt` has to end."""
        with self._guard:
            self._connected = connected
            if self._is_over:
                raise Undelivered("syncd is stopping")


def _context() -> ssl.SSLContext:
    try:
        return verifying_context()
    except Untrustworthy as untrustworthy:
        raise Undelivered(str(untrustworthy)) from None


def _reply_of(response: http.client.HTTPResponse) -> Reply:
    read = b""
    # The status is what counts, whatever became of the text.
    with suppress(OSError, http.client.HTTPException):
        read = response.read(_MOST_READ)
    text = " ".join(read.decode("utf-8", "replace").split())
    shown = visible(text)[:_SHOWN]
    return Reply(response.status, shown, _wait_of(response.headers["retry-after"]))


def _wait_of(header: str | None) -> timedelta | None:
    """Return how long a Retry-After asks to wait (RFC 9110 section 10.2.3), bounded; None for none or nonsense."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        wait = timedelta(seconds=min(int(text), _LONGEST_WAIT.total_seconds()))
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        wait = at - datetime.now(UTC)
    return min(max(wait, timedelta()), _LONGEST_WAIT)


def _why(error: Exception) -> str:
    """Return the cause of an error in few words, without what it may repeat of a request."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
