"""The command that shows who and what in the calendars the configuration does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from syncd import streams
from syncd.arguments import JsonOption
from syncd.commands.common import Commands, config_in_force, ended

if TYPE_CHECKING:
    from syncd.assembly import Service
    from syncd.setup.calendar_names import CalendarNames

commands = Commands()


@commands.command()
def unknown(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[people|rooms|zones]",
            help="One of these; without it all three.",
            autocompletion=lambda: ["people", "rooms", "zones"],
        ),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a table for spreadsheets.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show people, rooms and zones that the configuration lacks.

    What calendars name, most frequent first, with one meeting each and the line to paste.

    Example: syncd unknown people --csv
    """
    from syncd.assembly import service
    from syncd.assembly.settings import mapping_rules
    from syncd.setup.calendar_names import names_in
    from syncd.setup.unknown import Unknown
    from syncd.setup.unknown_page import (
        Kind,
        csv_table,
        print_unknown,
        unknown_document,
    )
    from syncd.views.moments import in_zone

    if kind is not None and kind not in set(Kind):
        raise typer.BadParameter(
            f"{kind!r} is none of people, rooms and zones", param_hint="KIND"
        )
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")
    kinds = list(Kind) if kind is None else [Kind(kind)]
    config = config_in_force(context).config
    rules = mapping_rules(config)
    with service(config, owner=False) as parts:
        calendars = parts.reconciler.previewer.calendars()
        names = names_in(calendars, rules.rooms, rules.people)
        known = _known_to_the_directory(parts, names)
    found = Unknown.of(names, calendars.defects, config.rooms, known)
    if as_json:
        streams.say_json(unknown_document(found, kinds, calendars))
    elif as_csv:
        for line in csv_table(found, kinds):
            streams.say(line)
    else:
        from syncd.views.sheet import sheet_of

        print_unknown(sheet_of(config), found, kinds)
    unread = [
        (source.name, source.error) for source in calendars.sources if source.error
    ]
    for name, error in unread:
        why = in_zone(error, config.calendar.timezone)
        streams.complain(
            f"Source {name} could not be read as a whole, so more may be unknown: {why}."
        )
    raise ended(attention=bool(unread))


def _known_to_the_directory(parts: Service, names: CalendarNames) -> frozenset[str]:
    """Return the addresses for which cycles found a user in Tuya's directory, where they look there."""
    from syncd.assembly import utc_now
    from syncd.reconciler.inputs import ANSWER_KEPT

    if not parts.config.people.lookup:
        return frozenset()
    not_before = utc_now() - ANSWER_KEPT
    known: set[str] = set()
    for person in names.people:
        if person.address:
            _, user = parts.ledger.people.user_of(person.address, not_before)
            if user is not None:
                known.add(person.address)
    return frozenset(known)
