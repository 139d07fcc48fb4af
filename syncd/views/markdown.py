"""Texts of strangers in Markdown documents: shown as they are written, with no effect on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from syncd import streams

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ACTING = re.compile(r"[\\`*_\[\]#|~$^!]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def markdown_text(text: object) -> str:
    """Return a text of anybody as a part of a line of Markdown.

    HTML goes as entities, what Markdown obeys behind a backslash; no address becomes a link, and a blank keeps
    a name behind an @ from being called.
    """
    shown = streams.output.shown(str(text))
    shown = "".join(_HTML.get(character, character) for character in shown)
    shown = _ACTING.sub(_escaped, shown)
    return _MENTION.sub("@ ", shown)


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; its cells are Markdown already."""
    lines = [_line(headers), _line(["---"] * len(headers))]
    lines += [_line(row) for row in rows]
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
