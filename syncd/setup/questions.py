"""Asks a person at a terminal, or nobody.

Questions stand where the person looks, which is standard output unless it is sent elsewhere.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import TypeVar

from syncd import streams
from syncd.core.visible import visible

T = TypeVar("T")


class Wrong(Exception):
    """An answer that cannot be used; the text is a sentence with what can."""


class Left(Exception):
    """The person went away: the input ended."""


class Interviewer:
    """Asks whoever is at the terminal."""

    def __init__(self) -> None:
        self._stream = streams.output if streams.output.isatty() else streams.errors

    @staticmethod
    def can_be_asked() -> bool:
        """Tell whether there is a terminal to ask at."""
        shown = streams.output.isatty() or streams.errors.isatty()
        return sys.stdin is not None and sys.stdin.isatty() and shown

    def say(self, sentence: str) -> None:
        """Tell the person something."""
        self._stream.write(f"{visible(sentence)}\n")
        self._stream.flush()

    def ask(self, question: str, default: str = "") -> str:
        """Return an answer, the default for an empty one.

        Raises `Left` at the end of the input, and `Wrong` for what is no text.
        """
        offered = f" [{default}]" if default else ""
        self._stream.write(f"{question}{offered}: ")
        self._stream.flush()
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            raise Wrong(
                "The answer is no text in the encoding of this terminal."
            ) from None
        if not line:
            raise Left
        return line.strip() or default

    def ask_until(
        self, question: str, check: Callable[[str], T], default: str = ""
    ) -> T:
        """Return what a check makes of an answer; asks again as long as it says that it is wrong."""
        while True:
            try:
                return check(self.ask(question, default))
            except Wrong as wrong:
                self.say(f"  {wrong}")

    def agrees(self, question: str, *, default: bool) -> bool:
        """Return whether the person says yes."""
        offered = "Y/n" if default else "y/N"
        answer = self.ask(f"{question} [{offered}]").lower()
        return default if not answer else answer.startswith(("y", "j"))

    def ask_hidden(self, question: str) -> str:
        """Return an answer that is not shown while it is typed; raises as `ask` does."""
        try:
            return getpass.getpass(f"{question}: ").strip()
        except EOFError:
            raise Left from None
        except UnicodeDecodeError:
            raise Wrong(
                "The answer is no text in the encoding of this terminal."
            ) from None
