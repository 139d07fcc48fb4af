"""What tests of feeds share: feeds on the local server, under any host name, and what reading them gives."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syncd.errors import ConfigError, SourceMalformed, SourceUnavailable
from syncd.sources.http import Feed, Fresh, Validators
from syncd.sources.http.fetcher import Fetcher
from tests.conftest import HANG_S
from tests.sources.server import FeedServer

HOST = "calendar.example.com"
OTHER_HOST = "other.example.com"

Failure = SourceUnavailable | SourceMalformed


@dataclass(frozen=True)
class Text:
    """A secret by its place in `TEXTS`, which is read at each use."""

    place: str = "password"

    def reveal(self) -> str:
        """The text as it is now."""
        if self.place not in TEXTS:
            raise ConfigError([f"secret: {self.place} cannot be read; create it"])
        return TEXTS[self.place]


TEXTS = {"password": "correct horse", "token": "t0ken"}


def loopback(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    """Every name is this machine; an address stays one."""
    literal = re.fullmatch(r"[0-9.]+", host)
    return [(socket.AF_INET, (host if literal else "127.0.0.1", port))]


def fetcher(**options: Any) -> Fetcher:
    """A fetcher for which every name is this machine."""
    return Fetcher(**{"lookup": loopback, **options})


def feed(
    server: FeedServer, path: str = "/calendar.ics", host: str = HOST, **options: Any
) -> Feed:
    """A feed of the server under a name, which may be on this machine."""
    given = {
        "name": "sales",
        "allow_hosts": ("127.0.0.0/8",),
        "timeout_s": HANG_S,
        **options,
    }
    return Feed(url=server.url(path, host), **given)


def read(
    server: FeedServer,
    path: str = "/calendar.ics",
    validators: Validators | None = None,
    **options: Any,
) -> Fresh:
    """The fresh content of a feed."""
    answer = fetcher().fetch(feed(server, path, **options), validators)
    assert isinstance(answer, Fresh)
    return answer


def failure_of(action: Callable[[], object]) -> Failure:
    """How it fails; it must."""
    try:
        answer = action()
    except (SourceUnavailable, SourceMalformed) as error:
        return error
    raise AssertionError(f"it gave {answer}")


def failure(server: FeedServer, path: str = "/calendar.ics", **options: Any) -> Failure:
    """How reading a feed fails."""
    return failure_of(lambda: fetcher().fetch(feed(server, path, **options)))
