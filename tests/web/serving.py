"""A page that is served, and a client that shows exactly what came over the wire."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncd.assembly import address_of, service
from syncd.config import load
from syncd.web.asked import Present
from syncd.web.server import PageServer
from tests.conftest import HANG_S, Office
from tests.daemon.running import until


def own_address() -> str:
    """An address that no other test has: all of 127.0.0.0/8 is this machine."""
    number = int.from_bytes(os.urandom(2))
    return f"127.{1 + secrets.randbelow(250)}.{number >> 8}.{1 + (number & 127)}:8620"


def let_serve(office: Office, *more: str) -> str:
    """Let the page of an office be served at an address of its own, which is returned."""
    address = own_address()
    lines = "\n".join([f'listen = "{address}"', *more])
    office.change(('listen = ""', lines))
    return address


@dataclass(frozen=True)
class Answer:
    """What came over the wire; `raw` is the body as it came, `body` without its encoding."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> bytes:
        """The body without its encoding."""
        if self.headers.get("content-encoding") == "gzip":
            return gzip.decompress(self.raw)
        return self.raw

    @property
    def text(self) -> str:
        """The body as a text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)


@dataclass
class Client:
    """Asks at an address; `headers` go with every question."""

    address: str
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> Answer:
        """The answer to one question; an underscore in the name of a header stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        host, _, port = self.address.rpartition(":")
        connection = http.client.HTTPConnection(
            host.strip("[]"), int(port), timeout=HANG_S
        )
        try:
            connection.request(method, path, body, {**self.headers, **named})
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read())
        finally:
            connection.close()

    def document(self, path: str) -> Any:
        """The document at an address."""
        answer = self.ask(path, accept="application/json")
        assert answer.status == 200, answer.text
        return answer.json

    def answers(self) -> bool:
        """Whether anybody listens there."""
        try:
            self.ask("/healthz")
        except OSError:
            return False
        return True


@contextmanager
def served(office: Office) -> Iterator[Client]:
    """The page of an office, as its configuration says, without a daemon."""
    config = load(office.folder / "syncd.toml")
    present = Present(config=config)
    server = PageServer(address_of(config), lambda: present, lambda _complaint: None)
    thread = threading.Thread(target=server.run)
    thread.start()
    client = Client(config.web.listen)
    try:
        until(client.answers, "the page is served")
        yield client
    finally:
        server.stop()
        thread.join(HANG_S)


def read(office: Office) -> None:
    """Run a cycle, without a process of its own."""
    config = load(office.folder / "syncd.toml")
    with service(config, owner=True) as parts:
        parts.reconciler.cycle()


def ledger_of(office: Office) -> Path:
    """The file of the ledger."""
    return office.folder / "state.db"
