"""Reads the small files of a configuration; never waits for a pipe, and never reads without bound.

Must not: name what stands in a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST = 20_000_000  # bytes; a people list of a large company has some megabytes


class UnreadableFile(Exception):
    """Why a file cannot be read, as a clause that follows its path."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the files of a configuration say, and the path of the first of them.

    Two are equal whatever they say, because a configuration is the same however it is written.
    """

    path: Path = field(compare=False)
    tree: Mapping[str, Any] = field(compare=False)


def read_small(path: Path, largest: int = LARGEST) -> bytes:
    """Read a whole regular file; raise `UnreadableFile` for anything else, and for one that is too large."""
    try:
        require_regular(path.stat(), largest)
        # Should it become a pipe just now, opening it does not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            require_regular(os.fstat(descriptor), largest)
            content = opened.read(largest + 1)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise UnreadableFile("is a link that leads to nothing") from None
        raise UnreadableFile(f"cannot be read ({error.strerror})") from None
    except OSError as error:
        raise UnreadableFile(
            f"cannot be read ({error.strerror or type(error).__name__})"
        ) from None
    if len(content) > largest:
        raise UnreadableFile(f"has more than {largest} bytes")
    return content


def require_regular(status: os.stat_result, largest: int = LARGEST) -> None:
    """Raise `UnreadableFile` unless this is a regular file of at most so many bytes."""
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableFile("is a directory, not a regular file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile("is not a regular file")
    if status.st_size > largest:
        raise UnreadableFile(f"has more than {largest} bytes")


def files_of(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a configuration, each with its name for people."""
    yield path.name, path
    try:
        files = list((path.parent / "conf.d").iterdir())
    except FileNotFoundError:
        return
    except OSError:
        # Reading it will say what is wrong.
        yield (
            "conf.d/*.toml",
            path.parent / "conf.d" / "*.toml",
        )
        return
    for file in sorted(files):
        # A leading dot marks the temporary files of editors.
        if file.suffix == ".toml" and not file.name.startswith("."):
            yield f"conf.d/{file.name}", file
