"""What a check found: a verdict, a sentence, and the cure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from syncd.views.moments import age

if TYPE_CHECKING:
    from syncd.doctor.patient import Patient


class Health(StrEnum):
    """How a thing stands; a note needs nobody, what is unknown could not be looked at."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found; `cure` is a command or a line of configuration, or empty."""

    verdict: Health
    sentence: str
    cure: str = ""

    @property
    def is_well(self) -> bool:
        """Return whether what rests on it may be looked at."""
        return self.verdict in {Health.OK, Health.NOTE}


def well(sentence: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Health.OK, sentence)


def note(sentence: str, cure: str = "") -> Finding:
    """Return what a person may want to know; nothing has to be done."""
    return Finding(Health.NOTE, sentence, cure)


def wrong(sentence: str, cure: str) -> Finding:
    """Return a problem with its cure."""
    return Finding(Health.PROBLEM, sentence, cure)


def unclear(sentence: str, cure: str = "") -> Finding:
    """Return what could not be looked at."""
    return Finding(Health.UNKNOWN, sentence, cure)


def when(moment: datetime, now: datetime) -> str:
    """Return a moment in UTC, which pages show in the zone of the calendars, and how far it is from now."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({age(moment, now)})"


def as_sentence(text: str) -> str:
    """Return a clause as a sentence."""
    whole = f"{text[:1].upper()}{text[1:]}"
    return whole if whole.endswith((".", "?", "!")) else f"{whole}."


@dataclass(frozen=True, slots=True)
class Check:
    """Something that can be looked at; `question` says in a clause what it answers.

    `needs` are the titles of the checks that it rests on: a title stands for the check about the same source
    where there is one. `connects`: it cannot be made without a connection. `about` is the source, or empty.
    """

    group: str
    name: str
    question: str
    look: Callable[[Patient], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    connects: bool = False
    about: str = ""

    @property
    def title(self) -> str:
        """Return what tells it from checks about other things."""
        return f"{self.group}: {self.name}"


@dataclass(frozen=True, slots=True)
class Result:
    """A finding of a check; `because` is the title of what kept the check from looking, or empty."""

    check: Check
    finding: Finding
    because: str = ""
