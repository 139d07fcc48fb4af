"""Parses and checks URLs: those of the configuration, of feeds and their redirects, and the API's endpoint.

What `parsed_url` returns can be asked for; what it refuses is refused wherever a URL comes from.
Must not: look up a host or connect to one, or put a path, a query or a credential into a text.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_LONGEST_HOST = 253  # characters, RFC 1035 section 2.3.4
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
# RFC 6874 writes the blank before a zone so.
_ZONE = re.compile(r"(\[[0-9A-Fa-f:.]+)%25")


_PLAIN = re.compile(
    r"(?:https?|webcals?)://([A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?(?:[/?#][!-~]*)?",
    re.IGNORECASE,
)
_LONGEST_PLAIN = 10_000  # characters; HTTP clients have a bound of their own


class UnusableUrl(ValueError):
    """Why a URL cannot be asked for, as a clause that follows its name."""


def parsed_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parse a URL as it is fetched: absolute, webcal as https, without fragment; raise `UnusableUrl`.

    `base` is what a relative one is relative to.
    """
    import httpx

    text = re.sub(r"^webcals?:", "https:", text.strip(), flags=re.IGNORECASE)
    text = _ZONE.sub(r"\1%", text)
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        url = url.copy_with(fragment=None)
        # Odd xn-- names raise only where the host is asked for; errors of the idna package are ValueErrors.
        host, written = url.host, url.raw_host.decode("ascii")
        port = url.port
    except (httpx.InvalidURL, ValueError, TypeError):
        raise UnusableUrl(
            "must be a URL whose host is a name or an address, as it is in a browser"
        ) from None
    if url.scheme not in {"http", "https"} or not host:
        raise UnusableUrl("must start with http:// or https:// and name a host")
    if port is not None and not 1 <= port <= 65535:
        raise UnusableUrl("must have a port from 1 to 65535, or none")
    if not _is_address(written) and not _is_name(written):
        raise UnusableUrl(
            "must name a host of letters, digits, dashes and dots, up to 63 of them between two dots"
        )
    return url


def require_usable(text: str) -> None:
    """Raise `UnusableUrl` where `parsed_url` does; judge plain URLs without loading an HTTP client."""
    plain = _PLAIN.fullmatch(text)
    if (
        plain is None
        or len(text) > _LONGEST_PLAIN
        or not _is_plainly_good(plain[1], plain[2])
    ):
        parsed_url(text)


def _is_plainly_good(host: str, port: str | None) -> bool:
    if port is not None and not 1 <= int(port) <= 65535:
        return False
    if _is_address(host):
        return True
    by_letters = host.rstrip(".")[-1:].isalpha()  # else it may be read as an address
    return by_letters and "xn--" not in host.lower() and _is_name(host)


def web_url(text: str, base: httpx.URL | None = None) -> httpx.URL | None:
    """Parse a URL as `parsed_url` does; return None for one that cannot be asked for."""
    try:
        return parsed_url(text, base)
    except UnusableUrl:
        return None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST_HOST and all(
        _LABEL.fullmatch(label) for label in labels
    )
