"""Commands that do the main job: the daemon, one cycle, and what a cycle would do."""

from __future__ import annotations

from typing import Annotated

import typer

from syncd import arguments, streams
from syncd.arguments import JsonOption, SourceOption
from syncd.commands.common import Commands, config_path, ended, load_config
from syncd.exits import Exit

commands = Commands()


@commands.command()
def run(context: typer.Context) -> None:
    """Run as a daemon, in the foreground; SIGHUP re-reads the configuration, SIGUSR1 reads all sources."""
    from syncd.daemon.loop import run_daemon

    run_daemon(config_path(context))


@commands.command()
def once(
    context: typer.Context,
    source: SourceOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Ignore cached answers, and compare with the API."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run one full cycle over all sources, then leave."""
    from syncd.assembly import Stop, service
    from syncd.views import documents
    from syncd.views.progress import ProgressBar

    config = load_config(context)
    only = arguments.known_sources(config, source)
    with (
        Stop().on_signals() as stop,
        ProgressBar(shown=not as_json) as progress,
        service(config, owner=True, stopping=stop, progress=progress) as parts,
    ):
        done = parts.reconciler.cycle(only, force=force)
    if as_json:
        streams.say_json(documents.cycle_document(done))
    else:
        from syncd.views.cycle_table import print_cycle
        from syncd.views.sheet import sheet_of

        print_cycle(sheet_of(config), done)
    if done.error is not None:
        if as_json:
            streams.complain(done.error)
        if done.clock_wrong:
            raise typer.Exit(Exit.ATTENTION)
        raise typer.Exit(Exit.API)
    if done.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    raise ended(attention=done.outcome != "ok")


@commands.command()
def plan(
    context: typer.Context, source: SourceOption = None, as_json: JsonOption = False
) -> None:
    """Show what a cycle would do, without doing it."""
    from syncd.assembly import service
    from syncd.views import documents

    config = load_config(context)
    with service(config, owner=False) as parts:
        only = arguments.known_sources(config, source)
        preview = parts.reconciler.previewer.preview(only=only)
    if as_json:
        reservation = config.reservation
        document = documents.plan_document(
            preview.plan,
            instance=reservation.instance,
            marker=reservation.marker,
            oddities=preview.oddities,
        )
        streams.say_json(document)
    else:
        from syncd.views.plan_table import print_plan
        from syncd.views.sheet import sheet_of

        print_plan(sheet_of(config), preview)
    if preview.plan.writes:
        raise typer.Exit(Exit.CHANGES)
    raise ended(attention=preview.needs_person)
