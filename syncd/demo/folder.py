"""The folder of a demo: the example configuration, pointed at a sandbox, with its calendar and people."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from syncd.errors import ConfigError
from syncd.sandbox import Running


@contextmanager
def demo_folder(keep: Path | None) -> Iterator[Path]:
    """Yield an empty folder: a temporary one that is removed, or the one to `keep`; raises `ConfigError`."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="syncd-demo-") as name:
            yield Path(name)
        return
    if keep.exists() and any(keep.iterdir()):
        raise ConfigError(
            [f"--keep: {keep} is not empty; name a new or an empty directory"]
        )
    keep.mkdir(parents=True, exist_ok=True, mode=0o700)
    yield keep.resolve()


def write_example(
    folder: Path, sandbox: Running, changes: Mapping[str, str] | None = None
) -> Path:
    """Write the example configuration, pointed at the sandbox, with its calendar and people beside it.

    `changes` are further lines of it in place of those of a key. Returns the path of the configuration.
    """
    example = files("syncd") / "example"
    for name in ("sample.ics", "people.csv"):
        (folder / name).write_bytes((example / name).read_bytes())
    secret = folder / "tuya-secret"
    secret.touch(mode=0o600)
    secret.write_text(sandbox.client_secret + "\n", encoding="utf-8")
    text = (example / "syncd.toml").read_text(encoding="utf-8")
    lines = {
        "region": f'endpoint = "{sandbox.url}"',
        "client_id": f'client_id = "{sandbox.client_id}"',
        "requests_per_second": "requests_per_second = 100.0",
        **(changes or {}),
    }
    for key, line in lines.items():
        text, replaced = re.subn(rf"(?m)^{key} = .*$", line, text)
        if replaced != 1:
            raise ConfigError(
                [f"the example configuration has {replaced} lines for {key}, not one"]
            )
    path = folder / "syncd.toml"
    path.write_text(text, encoding="utf-8")
    return path
