"""The commands that a person may type about something, each with what it does and when it is of use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from syncd.views.catalogue import counted, phrase
from syncd.views.concerns import Concern, ConcernKind
from syncd.views.moments import moment_told
from syncd.views.typed import as_argument

_TO_ACKNOWLEDGE = frozenset({ConcernKind.REFUSED, ConcernKind.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a person may type, and what it is for."""

    text: str
    purpose: str


@dataclass(frozen=True, slots=True)
class CommandWords:
    """Says what commands are for, at a moment and in a time zone."""

    now: datetime
    zone: tzinfo

    def of_concern(self, concern: Concern, held: int) -> Iterator[Command]:
        """Yield the commands about something that needs a person; so many cancellations are `held`."""
        match concern.kind:
            case ConcernKind.DOUBT:
                yield self.retry_doubt(concern.command, concern.sent_again_at)
            case ConcernKind.HELD:
                yield Command("syncd plan --held", phrase("command.held_shown"))
                yield approval(concern.command, held)
            case kind:
                yield Command(concern.command, phrase(f"command.{kind.value}"))
        if concern.kind in _TO_ACKNOWLEDGE and concern.key:
            yield acknowledgement(concern.key)

    def retry_doubt(self, command: str, sent_again_at: datetime | None) -> Command:
        """Return the command that sends once more what is in doubt, which syncd does by itself at a moment."""
        if sent_again_at is None or sent_again_at <= self.now:
            return Command(command, phrase("command.in_doubt"))
        at = moment_told(sent_again_at, self.zone)
        if _date(sent_again_at, self.zone) == _date(self.now, self.zone):
            at = f"{sent_again_at.astimezone(self.zone):%H:%M}"
        return Command(command, phrase("command.in_doubt_until", at=at))


def _date(moment: datetime, zone: tzinfo) -> object:
    return moment.astimezone(zone).date()


def retry(key: str) -> Command:
    """Return the command that books once more what was refused."""
    return Command(f"syncd resolve --retry {as_argument(key)}", phrase("command.again"))


def approval(command: str, held: int) -> Command:
    """Return the command that approves so many cancellations."""
    return Command(command, counted("command.held", held))


def acknowledgement(key: str) -> Command:
    """Return the command of who has seen something and has nothing to do."""
    return Command(f"syncd ack {as_argument(key)}", phrase("command.seen"))


def explanation(uid: str) -> Command:
    """Return the command that tells the story of an event."""
    return Command(f"syncd explain {as_argument(uid)}", phrase("command.explain"))
