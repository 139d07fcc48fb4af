"""Commands for the administrator of a running installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syncd import arguments, streams
from syncd.arguments import SourceOption
from syncd.commands.common import Commands, load_config
from syncd.exits import Exit

commands = Commands()


@commands.command()
def refresh(
    context: typer.Context,
    source: SourceOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Ask feeds too that are left alone for a while after failures.",
        ),
    ] = False,
) -> None:
    """Tell the running daemon to read its sources now; example: syncd refresh --source sales --force."""
    from syncd.assembly import open_ledger, utc_now, who
    from syncd.ledger import Refresh

    config = load_config(context)
    named = arguments.known_sources(config, source)
    names = named or tuple(one.name for one in config.sources)
    with open_ledger(config, owner=False) as ledger:
        now = utc_now()
        daemon = ledger.operation.daemon()
        if daemon is None or not daemon.is_running(now):
            last = "none has used it yet"
            if daemon is not None:
                last = f"the last one ended at {daemon.gone_since:%Y-%m-%d %H:%M} UTC"
            streams.complain(
                f"No daemon runs on this state ({last}), so nobody was told: start it "
                "(systemctl start syncd), or read once with `syncd once`."
            )
            raise typer.Exit(Exit.ATTENTION)
        if not names:
            streams.say("No source is configured, so there is nothing to read.")
            return
        by = who()
        wishes = [Refresh(name, force, by, now) for name in names]
        ledger.people.ask_refresh(*wishes)
    read = f"source {names[0]}" if len(names) == 1 else f"{len(names)} sources"
    streams.say(
        f"The daemon (process {daemon.pid}) reads {read} within some seconds; "
        "`syncd status` shows what came of it."
    )


@commands.command()
def backup(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")
    ],
) -> None:
    """Copy the state into a file while the daemon runs; example: syncd backup /srv/backup/syncd.db."""
    from syncd.ledger.backup import back_up

    config = load_config(context)
    made = back_up(config.state.url, file)
    streams.say(
        f"The state is in {file}: {made.bookings} bookings, {made.size} bytes, verified."
    )


@commands.command()
def notify(
    context: typer.Context,
    test: Annotated[
        bool, typer.Option("--test", help="Send one notice to every channel.")
    ] = False,
) -> None:
    """Send a test notice to every channel; example: syncd notify --test."""
    if not test:
        raise typer.BadParameter("give --test: one notice goes to every channel")
    load_config(context)
    # While no channel can be configured, there is none.
    streams.complain(
        "No channel is configured, so nobody is told anything. Channels (webhook, mail, command, ping of "
        "[notices]) are not yet available; until then let your monitoring run `syncd status --check`."
    )
    raise typer.Exit(Exit.ATTENTION)
