"""Commands that show how things stand, and why; they change nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from syncd import streams
from syncd.arguments import JsonOption
from syncd.commands.common import Commands, ended, load_config
from syncd.exits import Exit

commands = Commands()


@commands.command()
def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show sources, bookings, and what is held, in doubt, refused, quarantined or waiting."""
    from syncd.assembly import open_ledger, utc_now
    from syncd.views import documents
    from syncd.views.status import Status

    config = load_config(context)
    with open_ledger(config, owner=False) as ledger:
        found = Status.of(ledger, config, now=utc_now(), with_bookings=as_json)
    if as_json:
        streams.say_json(documents.status_document(found))
    else:
        from syncd.views.sheet import sheet_of
        from syncd.views.status_page import print_status

        print_status(sheet_of(config), found)
    if found.api_trouble is not None:
        raise typer.Exit(Exit.API)
    raise ended(attention=found.needs_attention)


@commands.command()
def explain(
    context: typer.Context,
    uid: Annotated[
        str,
        typer.Argument(metavar="UID", help="The event's UID, as plan --json shows it."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Tell the whole story of one event: where it was read, what it became, and why."""
    from syncd.assembly import service
    from syncd.explain import story_of, tell
    from syncd.views.screen import screen

    if not uid.strip():
        raise typer.BadParameter(
            "an event without UID has no story of its own; plan lists it",
            param_hint="UID",
        )
    config = load_config(context)
    with service(config, owner=False) as parts:
        story = story_of(uid, parts)
    if as_json:
        streams.say_json(story.document())
    else:
        tell(story, screen())
    raise ended(attention=story.needs_person)
