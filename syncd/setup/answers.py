"""Judges single answers of a first configuration, by the rules that the configuration itself has for its keys."""

from __future__ import annotations

import os
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from syncd.config import Secret
from syncd.config.network import Endpoint, FeedUrl
from syncd.config.values import AccessId, FilePath, Id, InstanceName, Zone, nearest
from syncd.errors import ConfigError
from syncd.setup.questions import Wrong
from syncd.tuya import REGIONS

_URL = re.compile(r"(?:https?|webcals?)://", re.IGNORECASE)


def _checked(kind: Any, text: str, what: str, **context: object) -> Any:
    """Return what a type of the configuration makes of a text; raise `Wrong` with its sentence."""
    if not text:
        raise Wrong(f"The {what} must not be empty.")
    try:
        return TypeAdapter(kind).validate_python(text, context=context)
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False, include_input=False)[0]["msg"]
        raise Wrong(f"The {what} {problem}.") from None


def region_of(text: str) -> str:
    """Return a known region; raise `Wrong`."""
    region = text.lower()
    if region not in REGIONS:
        known = ", ".join(REGIONS)
        raise Wrong(
            f"There is no region {text!r}; known: {known}{nearest(region, REGIONS)}."
        )
    return region


def endpoint_of(text: str) -> str:
    """Return the scheme and host of an API; raise `Wrong`."""
    return str(_checked(Endpoint, text, "endpoint"))


def data_centre_of(text: str) -> tuple[str, str]:
    """Return a region or an endpoint, the other one empty; raise `Wrong`."""
    if "://" in text:
        return "", endpoint_of(text)
    return region_of(text), ""


def client_id_of(text: str) -> str:
    """Return an Access ID; raise `Wrong`."""
    return str(_checked(AccessId, text, "client id"))


def creator_of(text: str) -> str:
    """Return a user id; raise `Wrong`."""
    return str(_checked(Id, text, "user id of the creator"))


def instance_of(text: str) -> str:
    """Return the name of an installation; raise `Wrong`."""
    return str(_checked(InstanceName, text, "name of the installation"))


def zone_of(text: str) -> str:
    """Return a known time zone; raise `Wrong`."""
    return str(_checked(Zone, text, "time zone").key)


def secret_in(path: Path) -> str:
    """Return the secret in a file that only its owner can read; raise `Wrong`."""
    try:
        return Secret(file=path.absolute()).reveal()
    except ConfigError as error:
        sentence = "; ".join(error.problems).removeprefix("secret: ")
        raise Wrong(f"{sentence}.") from None


def fresh_instance() -> str:
    """Return a name of an installation that no other one has: that of the machine, and four random digits."""
    host = socket.gethostname().partition(".")[0]
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", host).strip("-")[:24] or "syncd"
    return f"{plain}-{secrets.token_hex(2)}"


def machine_zone() -> str:
    """Return the time zone of this machine as far as it says so and it is known, else nothing."""
    named = [os.environ.get("TZ", "").removeprefix(":")]
    with suppress(OSError, UnicodeDecodeError):
        named.append(Path("/etc/timezone").read_text("utf-8").strip())
    with suppress(OSError):
        target = str(Path("/etc/localtime").resolve())
        named.append(target.partition("/zoneinfo/")[2])
    for name in named:
        with suppress(Wrong):
            return zone_of(name)
    return ""


@dataclass(frozen=True, slots=True)
class NewSource:
    """A calendar to be read; exactly one of `path` and `url` is there."""

    name: str
    path: Path | None = None
    url: str = ""
    allow_hosts: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """Return the host of a feed as its URL names it."""
        return urlsplit(self.url).hostname or ""

    def allowing(self) -> NewSource:
        """Return a feed that may be read from a private address."""
        return NewSource(self.name, self.path, self.url, (self.host,))


def source_of(text: str, known: set[str]) -> NewSource:
    """Return a source for a path or a URL, with a name that is not known yet; raise `Wrong`."""
    if _URL.match(text):
        url = _feed_url(text)
        parts = urlsplit(url)
        last = parts.path.rstrip("/").rpartition("/")[2].removesuffix(".ics")
        return NewSource(_unique(last or parts.hostname or "", known), url=url)
    path = _checked(FilePath, text, "path", directory=Path.cwd())
    return NewSource(_unique(Path(path).stem, known), path=Path(path))


def _feed_url(text: str) -> str:
    _checked(FeedUrl, text, "URL")
    return text


def _unique(text: str, known: set[str]) -> str:
    """Return a plain name of a source for a text, with a number if it is taken."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "calendar"
    name = plain
    number = 1
    while name in known:
        number += 1
        name = f"{plain}-{number}"
    return name
