"""Who may look: the token of the page as a header or a cookie, that of the feeds in their address.

On loopback nobody needs a token unless one is configured; beyond it the configuration requires one.
Tokens are compared in constant time, and what a browser keeps is a digest of the token.
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from syncd.config import Config, Secret
from syncd.config.network import is_loopback
from syncd.web.routes import Audience

_COOKIE = "syncd-page"
_DAYS_KEPT = 30


def may_look(request: Request, config: Config, audience: Audience) -> bool:
    """Tell whether a request may be answered; raises `ConfigError` for a token that cannot be read."""
    if audience is Audience.CALENDAR_PROGRAM:
        return _may_subscribe(request, config)
    token = config.web.token
    return token is None or _shows(request, token)


def _may_subscribe(request: Request, config: Config) -> bool:
    """Tell whether a calendar program may have a feed; such programs can send no headers."""
    web = config.web
    if web.token is not None and _shows(request, web.token):
        return True
    if web.feed_token is not None:
        shown = request.query_params.get("token", "")
        return is_token(shown, web.feed_token)
    return web.token is None


def _shows(request: Request, token: Secret) -> bool:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and is_token(shown.strip(), token):
        return True
    kept = request.cookies.get(cookie_name(request), "")
    return _equal(kept, _digest(token))


def is_token(shown: str, token: Secret) -> bool:
    """Tell in constant time whether a text is the token."""
    return _equal(shown, token.reveal())


def keep_signed_in(request: Request, response: Response, token: Secret) -> None:
    """Let a browser keep that it knows the token, in a cookie that no script and no other site can use."""
    response.set_cookie(
        cookie_name(request),
        _digest(token),
        max_age=_DAYS_KEPT * 24 * 3600,
        path="/",
        secure=_keeps_secure_cookies(request),
        httponly=True,
        samesite="strict",
    )


def cookie_name(request: Request) -> str:
    """Return the name of the cookie, with the prefix that browsers guard wherever they keep such cookies."""
    prefix = "__Host-" if _keeps_secure_cookies(request) else ""
    return f"{prefix}{_COOKIE}"


def _keeps_secure_cookies(request: Request) -> bool:
    """Tell whether a browser keeps cookies for secure connections: behind TLS, and on loopback."""
    if request.headers.get("x-forwarded-proto", request.url.scheme) == "https":
        return True
    return is_loopback(request.url.hostname or "")


def _digest(token: Secret) -> str:
    """Return what stands for a token in a cookie: who sees it cannot use it as the token."""
    return hmac.new(
        token.reveal().encode(), b"cookie of the page", hashlib.sha256
    ).hexdigest()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
