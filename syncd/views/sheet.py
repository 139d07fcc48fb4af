"""What commands say to people: a sheet with a time zone, names of rooms, tables and sentences.

What is printed about a plan, a cycle or the status is in modules of their own beside this one.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from rich.table import Table
from rich.text import Text

from syncd.config import Config
from syncd.views.alike import MANY
from syncd.views.moments import age, in_zone, moment_told, span_told
from syncd.views.screen import Screen, screen, words

STYLES = {
    "create": "green",
    "update": "yellow",
    "cancel": "red",
    "hold": "magenta",
    "wait": "cyan",
    "skip": "dim",
    "booked": "green",
    "approval": "yellow",
    "sending": "magenta",
    "cancelling": "magenta",
    "refused": "red",
    "waiting": "cyan",
    "released": "dim",
    "cancelled": "dim",
    "ended": "dim",
}
"""The style of each action and state."""

_LEAST_WIDTH = 20


def sheet_of(config: Config) -> Sheet:
    """Return the sheet that a configuration wants: in its time zone, with its names of rooms."""
    names = {room.id: room.name or room.id for room in config.rooms}
    return Sheet(screen(), config.calendar.timezone, names)


class Sheet:
    """Standard output for people: times in `zone`, rooms by name."""

    def __init__(
        self, console: Screen, zone: tzinfo, room_names: dict[str, str]
    ) -> None:
        self._console = console
        self._zone = zone
        self._rooms = room_names

    @property
    def width(self) -> int:
        """Return how many cells a line has."""
        return self._console.width

    @property
    def zone(self) -> tzinfo:
        """Return the time zone of all that a person reads."""
        return self._zone

    @property
    def zone_name(self) -> str:
        """Return the name of the time zone, to be said once."""
        return str(self._zone)

    def say(self, *shown: Any, **options: Any) -> None:
        """Print tables, texts and sentences, each on lines of its own; options are those of rich."""
        self._console.print(*shown, **options)

    def say_more(self, count: int) -> None:
        """Print how many rows are left out of a table that would have `count`, if any are."""
        if count > MANY:
            self.say(f"… and {count - MANY} more; --json has all.", style="dim")

    def room(self, room_id: object) -> Text:
        """Return the name of a room, or its id; a dash for none."""
        if room_id is None:
            return words("–", style="dim")
        return words(self._rooms.get(str(room_id), str(room_id)))

    def moment(self, at: datetime) -> str:
        """Return a moment in the time zone of the tables, such as `Tue 01 Dec 09:00`."""
        return moment_told(at, self._zone)

    def moment_and_age(self, at: datetime, now: datetime) -> str:
        """Return a moment with how far it is from now."""
        return f"{self.moment(at)} ({age(at, now)})"

    def span(self, start: datetime | None, end: datetime | None) -> Text:
        """Return from when until when, in the time zone of the tables; empty if that is not known."""
        if start is None or end is None:
            return words("")
        return words(span_told(start, end, self._zone))

    def tell(
        self,
        sentence: str | Text,
        *,
        style: str = "",
        indent: int = 0,
        hanging: int = 0,
    ) -> None:
        """Print a sentence in the lines that it needs, its moments in the time zone of the tables.

        All lines are indented, and all but the first `hanging` cells more.
        """
        text = sentence
        if isinstance(text, str):
            text = words(in_zone(text, self._zone), style)
        room = max(_LEAST_WIDTH, self.width - indent - hanging)
        margin = indent
        for line in text.wrap(self._console, room):
            line.rstrip()
            self.say(Text.assemble(" " * margin, line), soft_wrap=True)
            margin = indent + hanging


def plain_table(*headers: str) -> Table:
    """Return an empty table without lines; times and ids are never broken."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for header in headers:
        in_one_line = header in {"", "when", "reservation"}
        table.add_column(header, no_wrap=in_one_line, overflow="fold")
    return table
