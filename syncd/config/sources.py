"""`[[sources]]` of the configuration file: a calendar, and how it is opened.

Promises: a source is either a path or a URL, and has no keys that mean nothing for what it is.
Must not: read a calendar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from syncd.config.network import AllowedHost, FeedUrl
from syncd.config.quantities import Duration, Size
from syncd.config.secret import Secret
from syncd.config.validation import Problem, Table, exactly_one, key
from syncd.config.values import (
    Address,
    Cron,
    FilePath,
    HeaderName,
    Id,
    Text,
    Whole,
    Zone,
    problem,
)


class PasswordAuth(Table):
    """`auth` by user name and password (RFC 7617, RFC 7616)."""

    type: Literal["basic", "digest"] = key(..., "How the password is sent.")
    username: Text = key(..., "User name at the server of the feed.")
    password: Secret = key(..., "Its password.")


class BearerAuth(Table):
    """`auth` by token (RFC 6750)."""

    type: Literal["bearer"] = key(..., "A token in the Authorization header.")
    token: Secret = key(..., "The token.")


class HeaderAuth(Table):
    """`auth` by a header of the server's choice."""

    type: Literal["header"] = key(..., "A header of any name.")
    name: HeaderName = key(..., "Name of the header.")
    value: Secret = key(..., "Its value.")


Auth = PasswordAuth | BearerAuth | HeaderAuth
_AUTHS: Mapping[object, type[PasswordAuth | BearerAuth | HeaderAuth]] = {
    "basic": PasswordAuth,
    "digest": PasswordAuth,
    "bearer": BearerAuth,
    "header": HeaderAuth,
}


class Tls(Table):
    """`tls` of a source: whom to trust, and how to prove who asks."""

    ca: FilePath | None = key(
        None, "PEM file with the only authorities trusted for this feed."
    )
    certificate: FilePath | None = key(None, "PEM file with the client certificate.")
    key: FilePath | None = key(
        None, "PEM file with its key, unless it is in the same file."
    )

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem for a key without certificate."""
        if "key" in raw and "certificate" not in raw:
            yield Problem(("key",), "is of use with certificate only; add it")


class Source(Table):
    """One of `[[sources]]`: a calendar in files (`path`) or behind a URL (`url`)."""

    name: Text = key(..., "Unique; appears in logs, plans and metrics.", max_length=64)
    path: FilePath | None = key(None, "A file, a directory, or a glob.")
    url: FeedUrl | None = key(
        None, "A feed: http, https; webcal and webcals mean https."
    )
    interval: Duration | None = key(
        None, "Read again after this long; else schedule.interval."
    )
    cron: Cron | None = key(
        None, "When to read instead: minute hour day month weekday."
    )
    room: Id | None = key(None, "Room id for events that name no room.")
    creator: Id | None = key(None, "User id for events whose organizer has none.")
    cc: tuple[Address, ...] = key([], "Addresses that are always in copy.")
    owner: Address | None = key(
        None, "Whose calendar it is: decides about the meetings of that organizer."
    )
    timezone: Zone | None = key(
        None, "Zone of floating times; else X-WR-TIMEZONE, else calendar.timezone."
    )
    auth: Auth | None = key(
        None, "How the feed is opened: basic, digest, bearer or header."
    )
    tls: Tls | None = key(
        None, "Private authorities and a client certificate, as PEM files."
    )
    timeout: Duration = key("60s", "For the whole reading.")
    allow_hosts: tuple[AllowedHost, ...] = key(
        [], "Hosts or networks on private addresses it may reach."
    )
    max_bytes: Size = key("50MB", "A larger calendar is refused.")
    uid_scope: Literal["global", "source"] = key(
        "global", "global: the same UID in two sources is one meeting."
    )
    confirmations: Whole = key(
        None,
        "Complete readings without an event before it counts as gone (files 1, feeds 2).",
        ge=1,
        le=100,
    )

    @field_validator("auth", mode="before")
    @classmethod
    def _auth(cls, value: object, info: ValidationInfo) -> object:
        """Choose the kind by `type`, so that problems are those of that kind alone."""
        if value is None or isinstance(value, Table):
            return value
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in _AUTHS:
            raise problem(
                'must be a table with type = "basic", "digest", "bearer" or "header"'
            )
        return _AUTHS[kind].model_validate(value, context=info.context)

    @field_validator("confirmations", mode="before")
    @classmethod
    def _confirmations(cls, value: object, info: ValidationInfo) -> object:
        if value is None:
            return 1 if info.data.get("url") is None else 2
        return value

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem for path with url, interval with cron, and keys of feeds in a file source."""
        yield from exactly_one(raw, "path", "url")
        if "interval" in raw and "cron" in raw:
            yield Problem(
                ("cron",), "cannot be together with interval; keep one of them"
            )
        if "path" in raw and "url" not in raw:
            for name in ("auth", "tls", "allow_hosts"):
                if raw.get(name):
                    yield Problem((name,), "is for a url; a path needs none")
