"""Commands that do the main job: the daemon, one cycle, and what a cycle would do."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import arguments, streams
from syncd.arguments import JsonOption, SourceOption
from syncd.commands.common import Commands, config_path, ended, load_config
from syncd.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Collection

    from syncd.config import Config
    from syncd.reconciler import Preview
    from syncd.views.plan_comparison import PlanComparison

commands = Commands()


@commands.command()
def run(context: typer.Context) -> None:
    """Run as a daemon, in the foreground.

    SIGHUP re-reads the configuration, SIGUSR1 reads all sources at once.

    Example: syncd run --config /etc/syncd/syncd.toml
    """
    from syncd.daemon.life import run_daemon

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
    """Run one full cycle over all sources, then leave.

    Example: syncd once --source office
    """
    from syncd.assembly import Stop, service
    from syncd.errors import LedgerError
    from syncd.notices.service import tell_once, tell_unusable
    from syncd.views import documents
    from syncd.views.progress import ProgressBar

    config = load_config(context)
    only = arguments.known_sources(config, source)
    try:
        with (
            Stop().on_signals() as stop,
            ProgressBar(shown=not as_json) as progress,
            service(config, owner=True, stopping=stop, progress=progress) as parts,
        ):
            done = parts.reconciler.cycle(only, force=force)
            tell_once(parts.ledger, config, done)
    except LedgerError as error:
        tell_unusable(config, error)
        raise
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


class _Format(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"


@commands.command()
def plan(
    context: typer.Context,
    source: SourceOption = None,
    held: Annotated[
        bool, typer.Option("--held", help="Only what waits for an approval.")
    ] = False,
    other: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="What this configuration would do otherwise; changes nothing.",
        ),
    ] = None,
    form: Annotated[
        _Format,
        typer.Option("--format", help="A table, or a document for a ticket."),
    ] = _Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show what a cycle would do, without doing it.

    Example: syncd plan --with new.toml --format markdown
    """
    if as_json and form is not _Format.TABLE:
        raise typer.BadParameter("give either --json or --format markdown")
    if held and other is not None:
        raise typer.BadParameter(
            "--with shows what differs, --held what is held: give one"
        )
    config = load_config(context)
    if other is not None:
        comparison = _compared(context, config, other, source)
        _show_comparison(comparison, form, as_json=as_json)
        if comparison.writes_differ:
            raise typer.Exit(Exit.CHANGES)
        raise ended(attention=bool(comparison.pairs))
    preview = _preview(config, arguments.known_sources(config, source))
    _show_plan(preview, config, form, held=held, as_json=as_json)
    if preview.plan.writes:
        raise typer.Exit(Exit.CHANGES)
    raise ended(attention=preview.needs_person)


def _preview(config: Config, only: Collection[str] | None) -> Preview:
    """Return the plan of a configuration over some of its sources, None: all; raises `ApiUnusable`."""
    from syncd.assembly import service

    with service(config, owner=False) as parts:
        return parts.reconciler.previewer.preview(only=only)


def _show_plan(
    preview: Preview, config: Config, form: _Format, *, held: bool, as_json: bool
) -> None:
    """Print a plan, or of it what is held, as it was asked for."""
    from syncd.assembly import utc_now
    from syncd.views import documents
    from syncd.views.plan_markdown import plan_markdown
    from syncd.views.plan_table import print_held, print_plan
    from syncd.views.plan_words import PlanWords
    from syncd.views.sheet import sheet_of

    names = PlanWords.of(config)
    if as_json:
        streams.say_json(documents.plan_document(preview, config, only_held=held))
    elif form is _Format.MARKDOWN:
        text = plan_markdown(preview, names, utc_now(), only_held=held)
        streams.say_lines(text)
    elif held:
        print_held(sheet_of(config), preview, names)
    else:
        print_plan(sheet_of(config), preview, names)


def _compared(
    context: typer.Context, config: Config, other: Path, source: list[str] | None
) -> PlanComparison:
    """Return the plan in force beside that of another configuration, on the same state.

    Raises `ConfigError` for a configuration that is not good, and `ApiUnusable`.
    """
    from syncd.config import load
    from syncd.views.plan_comparison import PlanComparison, Side

    changed = load(other).model_copy(update={"state": config.state})
    for name in source or ():
        if not _has_source(config, name):
            arguments.known_sources(changed, [name])
    sides: list[Side] = []
    for file, one, beside in (
        (config_path(context), config, changed),
        (other, changed, config),
    ):
        only = None
        if source:
            only = [name for name in source if _has_source(one, name)]
        sides.append(Side(str(file), one, _preview(one, only), beside))
    return PlanComparison.of(*sides)


def _has_source(config: Config, name: str) -> bool:
    return any(source.name == name for source in config.sources)


def _show_comparison(
    comparison: PlanComparison, form: _Format, *, as_json: bool
) -> None:
    """Print what differs between two plans, as it was asked for."""
    from syncd.views.plan_comparison import comparison_markdown, print_comparison
    from syncd.views.sheet import sheet_of

    if as_json:
        streams.say_json(comparison.document())
    elif form is _Format.MARKDOWN:
        streams.say_lines(comparison_markdown(comparison))
    else:
        print_comparison(sheet_of(comparison.then.config), comparison)
