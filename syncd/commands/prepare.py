"""Commands that set syncd up: what calendars name, matched with what Tuya has, for an administrator to paste."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import streams
from syncd.commands.common import Commands, load_config
from syncd.exits import Exit

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.reconciler import Calendars

commands = Commands()
rooms = Commands(help="Match the rooms that calendars name with those of Tuya.")
people = Commands(help="Match the people that calendars name with users of Tuya.")
commands.add_typer(rooms, name="rooms")
commands.add_typer(people, name="people")

_AHEAD = timedelta(days=30)

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Write a new file instead of printing it."
    ),
]


@rooms.callback()
def _rooms() -> None:
    """Match the rooms that calendars name with those of Tuya."""


@people.callback()
def _people() -> None:
    """Match the people that calendars name with users of Tuya."""


@rooms.command("suggest")
def rooms_suggest(context: typer.Context, output: OutputOption = None) -> None:
    """Print tables of rooms, ready to paste into the configuration.

    Example: syncd rooms suggest --output rooms.toml
    """
    from syncd.assembly import mapping_rules, service
    from syncd.setup.calendar_names import names_in
    from syncd.setup.room_suggestions import RoomSuggestions
    from syncd.setup.writing import give, refuse_existing

    refuse_existing(output)
    config = _looking_ahead(load_config(context))
    with service(config, owner=False) as parts:
        calendars = parts.reconciler.previewer.calendars()
        there = parts.api.rooms()
    rules = mapping_rules(config)
    names = names_in(calendars, rules.rooms, rules.people)
    suggested = RoomSuggestions(there, names, config.rooms)
    _complain_of_unread(calendars)
    title = (
        f"# Rooms: {len(there)} in Tuya; names in {names.meetings} meetings of the next "
        f"{_AHEAD.days} days, private ones left out: {names.private}"
    )
    give([title, *suggested.lines()], output)
    _end(calendars)


@people.command("suggest")
def people_suggest(context: typer.Context, output: OutputOption = None) -> None:
    """Print lines of a people list, ready to paste into the file that people.file names.

    Example: syncd people suggest --output people.csv
    """
    from syncd.assembly import mapping_rules, service
    from syncd.setup.calendar_names import names_in
    from syncd.setup.people_suggestions import (
        Directory,
        MatchedPerson,
        csv_lines,
        suggest_people,
    )
    from syncd.setup.writing import give, refuse_existing

    refuse_existing(output)
    config = _looking_ahead(load_config(context))
    with service(config, owner=False) as parts:
        calendars = parts.reconciler.previewer.calendars()
        rules = mapping_rules(config)
        names = names_in(calendars, rules.rooms, rules.people)
        found: tuple[MatchedPerson, ...] = ()
        if names.people:
            directory = Directory.of(parts.api, len(names.people))
            found = suggest_people(names.people, directory)
    _complain_of_unread(calendars)
    give(csv_lines(found), output)
    _end(calendars)


def _looking_ahead(config: Config) -> Config:
    """Return a configuration that reads so far ahead as suggestions are made for."""
    calendar = config.calendar.model_copy(update={"horizon": _AHEAD})
    return config.model_copy(update={"calendar": calendar})


def _unread(calendars: Calendars) -> Iterator[str]:
    for source in calendars.sources:
        if source.error:
            yield f"Source {source.name} is not in it: {source.error}."


def _complain_of_unread(calendars: Calendars) -> None:
    for sentence in _unread(calendars):
        streams.complain(sentence)


def _end(calendars: Calendars) -> None:
    """Leave with 1 if a source could not be read, so that names may be missing."""
    if any(_unread(calendars)):
        raise typer.Exit(Exit.ATTENTION)
