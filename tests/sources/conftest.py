"""A feed server for each test, and the authority that signs certificates for those with TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.sources.server import FeedServer


@pytest.fixture
def feed_server() -> Iterator[FeedServer]:
    """Over http, on 127.0.0.1."""
    with FeedServer().running() as server:
        yield server


@pytest.fixture
def keeping_server() -> Iterator[FeedServer]:
    """Over http, on 127.0.0.1, with connections that last."""
    with FeedServer(keeps=True).running() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[FeedServer]:
    """Over https, as calendar.example.com and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("calendar.example.com", "127.0.0.1").configure_cert(context)
    with FeedServer(context).running() as server:
        yield server


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """The private authority as a file."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path
