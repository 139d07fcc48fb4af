"""Writes texts of anybody into comments and CSV so that they cannot act, and files that are to be pasted."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from syncd import streams
from syncd.errors import SyncdError
from syncd.views.toml import in_ascii, toml_text

_LONGEST_REMARK = 60
_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
)  # with which a spreadsheet lets a cell begin


class FileExists(SyncdError):
    """A file is there already that was to be made."""


def remark(text: str) -> str:
    """Return a text of anybody in quotes, short and on one line, for a comment."""
    shown = " ".join(text.split())
    if len(shown) > _LONGEST_REMARK:
        shown = shown[: _LONGEST_REMARK - 1] + "…"
    return toml_text(shown)


def csv_row(*cells: str) -> str:
    """Return a line of a CSV file; a cell that a spreadsheet would compute gets an apostrophe."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(map(_harmless, cells))
    return out.getvalue().rstrip("\n")


def _harmless(cell: str) -> str:
    shown = " ".join(cell.split())
    shown = "".join(character for character in shown if character.isprintable())
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def acts_in_a_spreadsheet(cell: str) -> bool:
    """Tell whether a spreadsheet would compute a cell instead of showing it."""
    return cell.startswith(_FORMULA)


def give(lines: Iterable[str], output: Path | None) -> None:
    """Print lines, or write them to a new file; raise `FileExists` if there is one of that name."""
    text = "\n".join([*lines, ""])
    if output is None:
        if not streams.output.is_unicode:
            text = in_ascii(text)
        streams.say_lines(text)
        return
    write_new(output, text)
    streams.say(f"Written to {output}.")


def refuse_existing(output: Path | None) -> None:
    """Raise `FileExists` if a file is there that is to be made."""
    if output is not None and os.path.lexists(output):
        raise FileExists(
            f"{output} exists and is left as it is: name another file with --output, or move it away."
        )


def write_new(path: Path, text: str, mode: int = 0o644, group: int = -1) -> None:
    """Write a file as a whole or not at all; raise `FileExists` if there is one of that name."""
    refuse_existing(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=".syncd-", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(descriptor)
            if group >= 0:
                os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, mode)
        os.link(name, path)  # fails where another was made meanwhile
    except FileExistsError:
        refuse_existing(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with suppress(OSError):
            Path(name).unlink()


def _unwritable(path: Path, error: OSError) -> SyncdError:
    return SyncdError(
        f"{path} cannot be written ({error.strerror}): create its directory, or name another file with --output."
    )
