"""The values of a configuration file that name hosts: URLs, listening addresses, networks.

Each type here is as those of `values`: a validator, its way back to text and its JSON schema.
Promises: the path and query of a URL are treated as secrets, since feeds and pings carry their key there.
Must not: look up a host or connect to one.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from syncd.config.values import from_text, problem, require_printable, require_text
from syncd.urls import UnusableUrl, require_usable


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL or a listening address is this machine and nothing else."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _split(value: object, schemes: tuple[str, ...]) -> SplitResult:
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    url = require_printable(require_text(value, "https://calendar.example.com/…"))
    try:
        parts = urlsplit(url)
        well_formed = bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed or re.search(r"[\s\\]", url):
        raise problem(f"must be a URL that starts with {allowed} and is without blanks")
    if parts.scheme not in schemes:
        raise problem(f"must start with {allowed}")
    if parts.username is not None or parts.password is not None:
        raise problem(
            "must not hold a user name or password; use auth with a secret from a file"
        )
    try:
        require_usable(url)
    except UnusableUrl as unusable:
        raise problem(str(unusable)) from None
    return parts


def masked_url(url: str) -> str:
    """Return the scheme and host of a URL, and `…` for the rest, which may be as secret as a password."""
    parts = urlsplit(url)
    rest = "/…" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{rest}"


def _web_url(value: object) -> str:
    parts = _split(value, ("http", "https"))
    return parts.geturl()


def _feed_url(value: object) -> str:
    parts = _split(value, ("https", "http", "webcal", "webcals"))
    return parts.geturl()


def _endpoint(value: object) -> str:
    parts = _split(value, ("https", "http"))
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise problem(
            "must be scheme and host alone, such as https://openapi.tuyaeu.com"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise problem(
            "must be https://, because http:// is accepted on loopback (127.0.0.1, ::1, localhost) only"
        )
    return f"{parts.scheme}://{parts.netloc}"


WebUrl = Annotated[str, *from_text(_web_url, masked_url, {"format": "uri"})]
PublicUrl = Annotated[str, *from_text(_web_url, str, {"format": "uri"})]
FeedUrl = Annotated[str, *from_text(_feed_url, masked_url, {"format": "uri"})]
Endpoint = Annotated[str, *from_text(_endpoint, str, {"format": "uri"})]

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*"
)


def _host(value: object) -> str:
    written = require_text(value, "calendar.example.com")
    host = written.lower().rstrip(".")
    try:
        return str(ip_address(host))
    except ValueError:
        # Digits and dots alone are a mistyped address, never a name (RFC 1123 section 2.1).
        is_digits = re.fullmatch(r"[0-9.]+", host)
        if _HOST_NAME.fullmatch(host) and not is_digits:
            return host
    raise problem("must be a host name or an IP address")


def _host_or_network(value: object) -> str:
    text = require_text(value, "10.1.0.0/16")
    if "/" not in text:
        return _host(text)
    try:
        return str(ip_network(text))
    except ValueError:
        raise problem(
            "must be a network such as 10.1.0.0/16, with no bit set after its prefix"
        ) from None


Host = Annotated[str, *from_text(_host, str, {})]
AllowedHost = Annotated[str, *from_text(_host_or_network, str, {})]


def split_listen(listen: str) -> tuple[str, int] | None:
    """Split `127.0.0.1:8620` or `[::1]:8620` into host and port; return None for anything else."""
    found = re.fullmatch(
        r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]/]+)):([0-9]{1,5})", listen
    )
    if found is None:
        return None
    host = found[1] or found[2]
    port = int(found[3])
    if not 1 <= port <= 65535:
        return None
    return host, port


def url_of(host: str, port: int) -> str:
    """Return where a browser on this machine finds what listens there."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _listen(value: object) -> str:
    text = require_text(value, "127.0.0.1:8620")
    if text and split_listen(text) is None:
        raise problem(
            'must be an address and a port such as "127.0.0.1:8620" or "[::1]:8620"; empty: off'
        )
    return text


Listen = Annotated[str, *from_text(_listen, str, {})]
