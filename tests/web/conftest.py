"""Offices for tests that share a page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncd.sandbox import Sandbox
from tests.conftest import Office


def _office(folders: pytest.TempPathFactory) -> Iterator[Office]:
    with Sandbox().running() as api:
        folder = folders.mktemp("office")
        yield Office(folder, api.url, api.client_id, api.client_secret)


@pytest.fixture(scope="module")
def shared_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One office for all tests of a module."""
    yield from _office(tmp_path_factory)


@pytest.fixture(scope="module")
def other_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Another one."""
    yield from _office(tmp_path_factory)
