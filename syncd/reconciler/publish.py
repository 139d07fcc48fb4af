"""Writes inline attachments where the links to them will point."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from syncd.core.mapper import Publication
from syncd.errors import ReservationError


def publish(publications: Sequence[Publication], folder: Path | None) -> None:
    """Write files whole or not at all, before links to them leave; raises `ReservationError`."""
    for publication in publications:
        assert folder is not None  # the mapper publishes only with a directory
        try:
            _write_file(folder / publication.filename, publication.data)
        except OSError as error:
            raise ReservationError(
                f"attachments.publish_dir cannot be written ({os.strerror(error.errno or 0)}); "
                "the meeting is booked when it can"
            ) from None


def _write_file(path: Path, data: bytes) -> None:
    """Write a file whose name is given by its content."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
