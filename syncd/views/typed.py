"""Names of strangers in the commands that a person is to type."""

from __future__ import annotations

import shlex


def as_argument(name: str) -> str:
    """Return a name as the last argument of a command: quoted, and behind `--` where it looks like an option."""
    sign = "-- " if name.startswith("-") else ""
    return f"{sign}{shlex.quote(name)}"
