"""The verdict: one sentence that says whether everything is in step, and how bad it is if not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from syncd.views.catalogue import counted, phrase
from syncd.views.check_line import Urgency, urgency_of
from syncd.views.concerns import ConcernKind
from syncd.views.moments import NO_AGE, length
from syncd.views.status import Status
from syncd.web.asked import Present


class Level(StrEnum):
    """How a verdict is to be taken; each has a glyph, colours and a picture of its own."""

    OK = "ok"
    ATTENTION = "attention"
    CRITICAL = "critical"


_GLYPHS = {Level.OK: "✓", Level.ATTENTION: "!", Level.CRITICAL: "✕"}
_LEVELS = {
    Urgency.OK: Level.OK,
    Urgency.WARNING: Level.ATTENTION,
    Urgency.CRITICAL: Level.CRITICAL,
    Urgency.UNKNOWN: Level.CRITICAL,
}
_SERVICE = "systemctl status syncd"
_OF_MEETINGS = frozenset({ConcernKind.DOUBT, ConcernKind.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontVerdict:
    """One sentence with how bad it is, and what is to be said beside it.

    `number` counts what needs a person; `command` is for who looks why nothing works, None where it does.
    `next_reading` is when a source is read next, None: nobody knows.
    """

    level: Level
    sentence: str
    beside: tuple[str, ...]
    number: int
    command: str | None
    next_reading: datetime | None
    is_reading_due: bool

    @property
    def glyph(self) -> str:
        """Return the sign of its level."""
        return _GLYPHS[self.level]

    @property
    def live(self) -> str:
        """Return what is announced when the number changes."""
        if not self.number:
            return phrase("live.none")
        return counted("verdict.need", self.number)


def front_verdict(status: Status, present: Present) -> FrontVerdict:
    """Return the verdict about what the ledger says, by a daemon that is present."""
    number = len(status.concerns)
    beside: list[str] = []
    sentence = _what_all_hangs_on(status, present)
    if sentence is None:
        sentence = _step_told(status)
    elif number:
        beside.append(counted("verdict.need", number))
    if status.mode != "full":
        beside.append(phrase(f"mode.{status.mode}"))
    if status.clock and not status.clock_wrong:
        beside.append(status.clock)
    coming = [one.next_run_at for one in status.sources if one.next_run_at is not None]
    is_well = status.is_running and not present.is_stuck
    next_reading: datetime | None = None
    if status.is_running:
        next_reading = min(coming, default=None)
    is_due = next_reading is not None and next_reading - status.now < NO_AGE
    return FrontVerdict(
        level=_level(status, present),
        sentence=sentence,
        beside=tuple(beside),
        number=number,
        command=None if is_well else _SERVICE,
        next_reading=next_reading,
        is_reading_due=is_due,
    )


def _level(status: Status, present: Present) -> Level:
    if present.is_stuck:
        return Level.CRITICAL
    level = _LEVELS[urgency_of(status)]
    if level is Level.OK and _count_read(status) < max(1, len(status.sources)):
        return Level.ATTENTION
    return level


def _what_all_hangs_on(status: Status, present: Present) -> str | None:
    """Return why nothing is done at all, if that is so."""
    kinds = {concern.kind for concern in status.concerns}
    if present.is_stuck:
        return phrase("verdict.stuck", length=length(present.idle))
    if not status.is_running:
        return phrase("verdict.stopped")
    if ConcernKind.API in kinds:
        return phrase("verdict.api")
    if ConcernKind.CLOCK in kinds:
        return phrase("verdict.clock")
    return None


def _step_told(status: Status) -> str:
    """Return how much is in step, of a daemon that can work."""
    total = len(status.sources)
    read = _count_read(status)
    if not status.concerns and not total:
        return phrase("verdict.no_sources")
    if not status.concerns and read < total:
        return phrase("verdict.first_reading", done=read, total=total)
    out_of_step = list(_out_of_step(status))
    if not out_of_step:
        return phrase("verdict.ok")
    return "; ".join((*out_of_step, phrase("verdict.rest")))


def _out_of_step(status: Status) -> Iterator[str]:
    """Yield how much needs a person, waits by itself, and is to be approved in Tuya, as far as anything does."""
    more = ""
    kinds = {concern.kind for concern in status.concerns}
    if kinds:
        noun = "meetings" if kinds <= _OF_MEETINGS else "things"
        yield counted(f"verdict.{noun}", len(status.concerns))
        more = "more_"
    for name, number in (("waiting", status.waiting), ("approval", status.to_approve)):
        if number:
            yield counted(f"verdict.{more}{name}", number)
            more = "more_"


def _count_read(status: Status) -> int:
    return sum(source.last_read_at is not None for source in status.sources)
