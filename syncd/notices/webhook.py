"""Notices as webhooks, after the Standard Webhooks specification (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime

from syncd.config import Notices, Webhook
from syncd.errors import ConfigError
from syncd.ledger.notices import ChannelName, OutboxNotice
from syncd.notices.channel import Undelivered
from syncd.notices.post import Poster, Reply

_PREFIX = "whsec_"
_GONE = 410


class WebhookChannel:
    """Posts notices, signed if there is a secret; the time in a signature is that of the try."""

    name = ChannelName.WEBHOOK

    def __init__(
        self, webhook: Webhook, notices: Notices, clock: Callable[[], datetime]
    ) -> None:
        self._secret = webhook.secret
        self._clock = clock
        allowed = (*webhook.allow_hosts, *notices.allow_hosts)
        self._poster = Poster(webhook.url, allowed, "notices.webhook.allow_hosts")
        self.where = self._poster.host
        self.interrupt = self._poster.interrupt

    def knock(self) -> None:
        """Connect, and sign something that is not sent; raise `Undelivered` if one of these cannot be."""
        self._headers("", b"")
        self._poster.knock()

    def deliver(self, notice: OutboxNotice) -> str:
        """Post a notice and return the status of the reply; raise `Undelivered`."""
        body = notice.body.encode()
        reply = self._poster.post(body, self._headers(notice.name, body))
        if reply.is_good:
            return f"status {reply.status}"
        raise _refusal(self.where, reply)

    def _headers(self, name: str, body: bytes) -> dict[str, str]:
        timestamp = int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(timestamp),
        }
        if self._secret is not None:
            try:
                secret = self._secret.reveal()
            except ConfigError as error:
                raise Undelivered(str(error)) from None
            headers["webhook-signature"] = signature(secret, name, timestamp, body)
        return headers


def signature(secret: str, name: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a body; raise `Undelivered` for a secret that is none."""
    signed = f"{name}.{timestamp}.".encode() + body
    digest = hmac.new(_key_of(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key_of(secret: str) -> bytes:
    """Return the key that a secret stands for: behind whsec_ in base64, else the text itself."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    text = secret.removeprefix(_PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Undelivered(
            "what stands behind whsec_ in the secret of notices.webhook is not base64; copy it anew"
        ) from None


def _refusal(where: str, reply: Reply) -> Undelivered:
    told = reply.text
    if reply.status == _GONE:
        return Undelivered(
            f"{where} answered 410, so it wants this notice never",
            is_gone=True,
            told=told,
        )
    if 300 <= reply.status < 400:
        return Undelivered(
            f"{where} redirects (status {reply.status}), which is not followed; write the address where it "
            "leads to into notices.webhook",
            told=told,
        )
    return Undelivered(
        f"{where} answered with status {reply.status}", wait=reply.wait, told=told
    )
