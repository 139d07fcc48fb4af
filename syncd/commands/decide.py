"""Commands by which a person decides: what is held, open or lost."""

from __future__ import annotations

from typing import Annotated

import typer

from syncd import arguments, streams
from syncd.arguments import JsonOption
from syncd.commands.common import Commands, config_in_force, ended, load_config
from syncd.exits import Exit

commands = Commands()


@commands.command()
def approve(
    context: typer.Context,
    checksum: Annotated[
        str, typer.Argument(metavar="CHECKSUM", help="As plan --held shows it.")
    ],
) -> None:
    """Release the cancellations held under this checksum.

    `syncd plan --held` shows them and the checksum; the next cycle makes them.

    Example: syncd approve 2f1c09ab77e3
    """
    from syncd.assembly import service, utc_now, who

    config = config_in_force(context).config
    with service(config, owner=False) as parts:
        held = parts.reconciler.previewer.held_now(checksum)
        if held.checksum is None:
            streams.complain("Nothing is held, so there is nothing to approve.")
            raise typer.Exit(Exit.ATTENTION)
        if held.checksum != checksum:
            streams.complain(
                f"{checksum} is not what is held now; the current checksum is {held.checksum}."
            )
            raise typer.Exit(Exit.ATTENTION)
        parts.ledger.people.approve(checksum, utc_now(), who())
    streams.say(f"Approved; the next cycle cancels {held.cancellations} reservations.")


@commands.command()
def resolve(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="UID, or UID/RECURRENCE-ID/ROOM."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            "--all",
            metavar="STATE",
            help="All that are in_doubt, refused, released, dropped or vanished.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="NAME", help="With --all: only those of this source."
        ),
    ] = None,
    adopt: Annotated[
        str | None,
        typer.Option(metavar="RESERVATION_ID", help="This reservation is the one."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Look at the API, then send it once more.")
    ] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Give it up until the event changes.")
    ] = False,
) -> None:
    """Settle what is in doubt, refused, released, dropped, gone.

    The next cycle does it. `syncd status` shows KEY.

    Example: syncd resolve weekly@example.com --retry
    """
    from syncd.assembly import open_ledger, utc_now, who
    from syncd.core.resolve import Decision, full_name, resolvable

    verdict = arguments.verdict_of(adopt, retry=retry, drop=drop)
    arguments.require_one_aim(key, every, source, adopt)
    state = None if every is None else arguments.open_state(every)
    config = config_in_force(context).config
    with open_ledger(config, owner=False) as ledger:
        current = ledger.bookings.current()
        open_ones = [booking for booking in current if resolvable(booking)]
        if state is None:
            one = arguments.one_meant(key or "", open_ones)
            meant = [one]
            told = full_name(one)
        else:
            if source is None:
                words = state.words
                meant = arguments.all_meant(state, open_ones)
            else:
                words = f"{state.words} in source {source}"
                meant = arguments.all_meant_in(source, state, open_ones, config)
            if not meant:
                streams.say(f"No booking is {words}, so there is nothing to resolve.")
                return
            noun = "bookings" if len(meant) > 1 else "booking"
            told = f"{len(meant)} {noun} {words}"
        by = who()
        at = utc_now()
        decisions = [Decision(booking.row, verdict, adopt, by, at) for booking in meant]
        ledger.people.decide(*decisions)
    streams.say(
        f"Recorded for {told}: {verdict}; the next cycle looks at the API and carries it out."
    )


@commands.command()
def adopt(
    context: typer.Context,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write it into the state.")
    ] = False,
    by_content: Annotated[
        bool,
        typer.Option(
            "--by-content",
            help="Take over reservations too that people made by hand and that are meetings of the calendars.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take over reservations that exist; shows them first.

    Those with our mark, after the state was lost; with --by-content hand-made ones too.

    Example: syncd adopt --by-content --apply
    """
    from syncd.assembly import service, who
    from syncd.views import documents

    config = load_config(context)
    with service(config, owner=apply) as parts:
        found = parts.reconciler.previewer.adoption(
            apply=apply, by_content=by_content, by=who()
        )
    if as_json:
        streams.say_json(documents.adoption_document(found, applied=apply))
    else:
        from syncd.views.adoption_table import print_adoption
        from syncd.views.sheet import sheet_of

        print_adoption(sheet_of(config), found, applied=apply)
    if (found.adopted or found.taken_over) and not apply:
        raise typer.Exit(Exit.CHANGES)
    troubled = found.strays or found.unreadable or found.oddities
    raise ended(attention=bool(troubled) or found.is_any_ambiguous)
