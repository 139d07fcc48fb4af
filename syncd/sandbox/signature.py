"""The signature of a request, as the API's sign page describes it.

It promises to compute what the page computes, from the parts of a request as they were received.
It must not know who signs, which tokens are valid, or what time it is: `gate` decides that.
Source: API pages "Sign Requests" (the worked example there is a test) and "Request structure".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from operator import itemgetter


def header_block(signature_headers: str, headers: Mapping[str, str]) -> str:
    """Return the signed headers: `name:value` and a newline for each name in `Signature-Headers`.

    The names are joined by colons; a header that was not sent counts as empty.
    """
    block = ""
    for name in signature_headers.split(":"):
        if name:
            value = headers.get(name.lower(), "")
            block += f"{name}:{value}\n"
    return block


def signed_url(path: str, query: Iterable[tuple[str, str]]) -> str:
    """Return path and parameters, sorted by name, their values as plain text (not percent-encoded)."""
    by_name = sorted(query, key=itemgetter(0))
    pairs = "&".join(f"{name}={value}" for name, value in by_name)
    if not pairs:
        return path
    return f"{path}?{pairs}"


def string_to_sign(method: str, url: str, body: bytes, headers: str = "") -> str:
    """Return `stringToSign` of the sign page; `headers` is the block with its own final newline."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{method}\n{digest}\n{headers}\n{url}"


def sign(
    secret: str,
    client_id: str,
    t: str,
    nonce: str,
    text: str,
    access_token: str = "",
) -> str:
    """Return the upper-case hexadecimal HMAC-SHA256 of a request; without an access token for token calls."""
    message = client_id + access_token + t + nonce + text
    signed = hmac.new(secret.encode(), message.encode(), hashlib.sha256)
    return signed.hexdigest().upper()
