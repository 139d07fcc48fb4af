"""Commands that set syncd up: what calendars name, matched with what Tuya has, for an administrator to paste."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import streams
from syncd.commands.common import Commands, config_path, load_config
from syncd.exits import Exit

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.reconciler import Calendars
    from syncd.setup.interview import Given

commands = Commands()
rooms = Commands()
people = Commands()
commands.add_typer(rooms, name="rooms")
commands.add_typer(people, name="people")

_AHEAD = timedelta(days=30)

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Write a new file instead of printing it."
    ),
]


@commands.command()
def init(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Default: where --config points."
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="R", help="Data centre: cn us us-east eu eu-west in sg."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="The API instead of a region.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Access ID of the cloud project.")
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(metavar="F", help="File with the Access Secret, mode 600."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="PATH_OR_URL",
            help="A calendar; may be repeated.",
        ),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="Z", help="Such as Europe/Berlin.")
    ] = None,
    creator: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="User id that books where no organizer is known."
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of this installation. Default: a new one."
        ),
    ] = None,
) -> None:
    """Ask for what is needed, and write a first configuration.

    It is in mode observe, which books nothing.

    Example: syncd init --output /etc/syncd/syncd.toml
    """
    from syncd.setup.interview import Given
    from syncd.setup.writing import refuse_existing

    if region is not None and endpoint is not None:
        raise typer.BadParameter("give --region or --endpoint, not both")
    target = output or config_path(context)
    refuse_existing(target)
    given = Given(
        region=region,
        endpoint=endpoint,
        client_id=client_id,
        secret_file=secret_file,
        sources=tuple(source or ()),
        timezone=timezone,
        creator=creator,
        instance=instance,
    )
    try:
        _set_up(given, target)
    except KeyboardInterrupt:
        streams.complain("\nInterrupted; nothing was written.")
        raise typer.Exit(Exit.INTERRUPTED) from None


def _set_up(given: Given, target: Path) -> None:
    """Interview, write and tell; raises `typer.BadParameter` for what was given and cannot be used."""
    from syncd import log
    from syncd.setup.installation import install
    from syncd.setup.interview import Interview
    from syncd.setup.questions import Interviewer, Left, Wrong

    log.configure("auto", "error")
    questions = Interviewer() if Interviewer.can_be_asked() else None
    if questions is None and given.missing:
        missing = ", ".join(given.missing)
        raise typer.BadParameter(
            f"without a terminal nothing is asked; missing: {missing}"
        )
    interview = Interview(given, target, questions)
    try:
        answers = interview.run()
        config, told = install(answers, interview.tenant)
    except Wrong as wrong:
        raise typer.BadParameter(str(wrong)) from None
    except Left:
        raise KeyboardInterrupt from None
    finally:
        interview.close()
    streams.say(f"Written: {target}, in mode {config.mode}.")
    for sentence in told:
        streams.say(sentence)
    for remark in answers.remarks:
        streams.say(remark)
    _tell_next(target)


def _tell_next(target: Path) -> None:
    """Say which commands come next."""
    from syncd.config import default_path

    option = "" if target == default_path() else f" --config {shlex.quote(str(target))}"
    streams.say("Next:")
    streams.say(f"  syncd{option} check")
    streams.say(f"  syncd{option} plan     what would be booked; nothing is")
    streams.say(f"  syncd{option} doctor   whether all is well")
    streams.say(
        f"Rooms and people that are in doubt stand as comments in {target.name}."
    )


@rooms.callback()
def _rooms() -> None:
    """Match the rooms that calendars name with those of Tuya.

    Example: syncd rooms suggest
    """


@people.callback()
def _people() -> None:
    """Match the people that calendars name with users of Tuya.

    Example: syncd people suggest
    """


@rooms.command("suggest")
def rooms_suggest(context: typer.Context, output: OutputOption = None) -> None:
    """Print tables of rooms, ready to paste into the configuration.

    Example: syncd rooms suggest --output rooms.toml
    """
    from syncd.assembly import service
    from syncd.assembly.settings import mapping_rules
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
    _complain_of_unread(calendars, config)
    title = (
        f"# Rooms: {len(there)} in Tuya; names in {names.meetings} meetings of the next "
        f"{_AHEAD.days} days, private ones left out: {names.private}"
    )
    give([title, *suggested.lines()], output)
    _end(calendars)


@people.command("suggest")
def people_suggest(context: typer.Context, output: OutputOption = None) -> None:
    """Print lines of a people list, ready to paste into its file.

    Example: syncd people suggest --output people.csv
    """
    from syncd.assembly import service
    from syncd.assembly.settings import mapping_rules
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
    _complain_of_unread(calendars, config)
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


def _complain_of_unread(calendars: Calendars, config: Config) -> None:
    from syncd.views.moments import in_zone

    for sentence in _unread(calendars):
        streams.complain(in_zone(sentence, config.calendar.timezone))


def _end(calendars: Calendars) -> None:
    """Leave with 1 if a source could not be read, so that names may be missing."""
    if any(_unread(calendars)):
        raise typer.Exit(Exit.ATTENTION)
