"""Draws tables and sentences for people, through the one door of `syncd.streams`.

Whatever text is given, as a string or by `words`, is shown and not interpreted: no markup, no control
characters, nothing that the encoding lacks.
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from syncd import streams


def words(text: object, style: str = "") -> Text:
    """Return a text of anybody as a part of a table or a sentence."""
    return Text(streams.output.shown(str(text)), style)


class Screen(Console):
    """A console on which strings are texts of one line and never markup."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print tables, texts and strings, each string on a line of its own."""
        super().print(*map(_literal, objects), **options)

    def render_str(self, text: str, **_options: Any) -> Text:
        """Return a string, such as a cell of a table, as a text."""
        return words(text)


def _literal(shown: Any) -> Any:
    return words(shown) if isinstance(shown, str) else shown


def screen() -> Screen:
    """Return standard output for people; colours only if it is a terminal."""
    return Screen(
        file=getattr(sys.stdout, "drawn", sys.stdout),
        highlight=False,
        markup=False,
        emoji=False,
        width=streams.width(),
        soft_wrap=False,
    )


def progress_screen() -> Screen:
    """Return standard error for a progress bar."""
    return Screen(
        file=getattr(sys.stderr, "drawn", sys.stderr),
        highlight=False,
        markup=False,
        emoji=False,
    )
