"""Files of packages from npm, which some tests use and the project does not: they stay in a cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.conftest import HANG_S

_NO_MORE = ("--ignore-scripts", "--no-audit", "--no-fund")


def from_npm(package: str, version: str, file: str) -> Path:
    """A file of a package, fetched once; skips where there is neither npm nor a copy."""
    cache = os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache"
    kept = Path(cache) / "syncd-tests" / f"{package}@{version}" / Path(file).name
    if not kept.exists():
        _fetch(package, version, file, kept)
    return kept


def _fetch(package: str, version: str, file: str, kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"needs npm, for {package}: apt-get install npm")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        ended = subprocess.run(
            [npm, "install", *_NO_MORE, "--prefix", folder, f"{package}@{version}"],
            capture_output=True,
            check=False,
            timeout=HANG_S,
        )
        found = Path(folder) / "node_modules" / package / file
        if ended.returncode or not found.exists():
            pytest.skip(f"{package} is not to be had: {ended.stderr.decode()[-300:]}")
        found.replace(kept)
