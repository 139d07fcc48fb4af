"""What the server of a feed is shown, and by what its certificate is judged.

Promises: secrets and files are read when they are used, so that they can be rotated; certificates are
always verified.
Must not: keep a secret, or let one into a text.
"""

from __future__ import annotations

import errno
import ssl
import stat
from collections.abc import Generator
from pathlib import Path

import httpx

from syncd.errors import SyncdError
from syncd.sources.http.connection import Response
from syncd.sources.http.fault import FeedFault
from syncd.sources.http.feed import (
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    HeaderAuth,
    Secret,
    Tls,
)
from syncd.trust import Untrustworthy, verifying_context

AuthFlow = Generator[httpx.Request, httpx.Response, None]


class TlsContexts:
    """A cache of TLS contexts, each made anew when a file of it changed; making one takes some 40 ms."""

    def __init__(self) -> None:
        self._kept: dict[Tls, tuple[tuple[tuple[int, ...], ...], ssl.SSLContext]] = {}

    def of(self, tls: Tls) -> ssl.SSLContext:
        """Return the verifying context with these authorities and this certificate; raise `FeedFault`."""
        named = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
        files = {
            f"tls.{key} ({path.name})": path
            for key, path in named.items()
            if path is not None
        }
        try:
            version = tuple(_version(path) for path in files.values())
            kept = self._kept.get(tls)
            if kept is None or kept[0] != version:
                kept = self._kept[tls] = (version, _context(tls))
        except Untrustworthy as untrustworthy:
            place = untrustworthy.place
            if tls.ca is not None and place == str(tls.ca):
                place = f"tls.ca ({tls.ca.name})"
            raise FeedFault(f"{place} {untrustworthy.why}") from None
        except OSError as error:
            # An SSLError is an OSError too; neither says which file it was.
            reason = (
                "it is not PEM, or needs a password, or certificate and key do not belong together"
                if isinstance(error, ssl.SSLError)
                else error.strerror
            )
            names = " or ".join(files)
            raise FeedFault(
                f"{names} cannot be used ({reason}); check file and mode"
            ) from None
        return kept[1]


def _version(path: Path) -> tuple[int, ...]:
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
        raise OSError(errno.EINVAL, "it is not a regular file")
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def _context(tls: Tls) -> ssl.SSLContext:
    context = verifying_context(tls.ca)
    if tls.certificate is not None:
        # An empty password, because without one OpenSSL asks for it on the terminal.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    return context


def http_auth(auth: Auth | None, who: str) -> httpx.Auth:
    """Return how requests are authenticated; raise `FeedFault` when a secret cannot be had."""
    match auth:
        case None:
            return httpx.Auth()
        case BasicAuth(username, password):
            return httpx.BasicAuth(username, _revealed(password, who))
        case DigestAuth(username, password):
            return httpx.DigestAuth(username, _revealed(password, who))
        case BearerAuth(token):
            return _OneHeader("Authorization", f"Bearer {_revealed(token, who)}")
        case HeaderAuth(name, value):
            return _OneHeader(name, _revealed(value, who))


class _OneHeader(httpx.Auth):
    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    def auth_flow(self, request: httpx.Request) -> AuthFlow:
        name = self._name.encode()
        value = self._value.encode()  # a byte beyond ASCII is UTF-8 today
        others = [
            field for field in request.headers.raw if field[0].lower() != name.lower()
        ]
        if name.lower() == b"cookie" and "cookie" in request.headers:
            value += b"; " + request.headers["cookie"].encode("latin-1")
        request.headers = httpx.Headers([*others, (name, value)])
        yield request


def _revealed(secret: Secret, who: str) -> str:
    try:
        return secret.reveal()
    except SyncdError as error:
        raise FeedFault(
            f"{who} was not asked, because its auth cannot be had: {error}"
        ) from None


def answer_to_challenge(
    flow: AuthFlow, request: httpx.Request, response: Response, who: str
) -> httpx.Request | None:
    """Return the request with the proof that a 401 asks for; None if it asks for none; raise `FeedFault`."""
    try:
        challenge = httpx.Response(
            response.status, headers=response.headers, request=request
        )
        return flow.send(challenge)
    except StopIteration:
        return None
    except (httpx.ProtocolError, ValueError, KeyError, NotImplementedError):
        raise FeedFault(
            f"{who} asks for digest authentication in a way that is not understood; "
            'if it offers basic over https, set type = "basic" in auth'
        ) from None
