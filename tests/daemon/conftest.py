"""Offices for tests that share a daemon, and a server of feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from syncd.sandbox import Sandbox
from tests.conftest import Office
from tests.sources.server import FeedServer


@pytest.fixture(scope="module")
def shared_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One office for all tests of a module."""
    with Sandbox().running() as api:
        folder: Path = tmp_path_factory.mktemp("office")
        yield Office(folder, api.url, api.client_id, api.client_secret)


@pytest.fixture(scope="module")
def feed_server() -> Iterator[FeedServer]:
    """Feeds on 127.0.0.1; every test has pages of its own."""
    with FeedServer().running() as server:
        yield server


@pytest.fixture
def closing() -> Iterator[Callable[..., object]]:
    """Enters contexts that end with the test."""
    with ExitStack() as stack:
        yield stack.enter_context
