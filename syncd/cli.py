"""The commands: arguments in, exit codes out; what they do is elsewhere, and what their arguments mean too.

Results go to standard output, logs and problems to standard error.
Modules are imported where they are needed, so that `syncd --version` starts fast.
"""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import __version__, arguments, early, streams
from syncd.arguments import JsonOption, SourceOption
from syncd.exits import Exit, told_to_people

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.views.console import Tables


app = typer.Typer(
    name="syncd",
    help="Keeps Tuya meeting reservations in step with calendars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # what it draws would not pass the door of syncd.streams
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        streams.say(f"syncd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Default: $SYNCD_CONFIG, else /etc/syncd/syncd.toml.",
        ),
    ] = None,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it."),
    ] = False,
) -> None:
    context.obj = config
    from syncd import log  # noqa: F401  # before anything else that loads structlog


@app.command()
def run(context: typer.Context) -> None:
    """Run as a daemon, in the foreground; SIGHUP re-reads the configuration, SIGUSR1 reads all sources."""
    from syncd.config import default_path
    from syncd.daemon.loop import run_daemon

    run_daemon(context.obj or default_path())


@app.command()
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

    config = _load(context)
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
        _tables(config).cycle(done)
    if done.error is not None:
        if as_json:
            streams.complain(done.error)
        if done.clock_wrong:
            raise typer.Exit(Exit.ATTENTION)
        raise typer.Exit(Exit.API)
    if done.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    raise _ended(attention=done.outcome != "ok")


@app.command()
def plan(
    context: typer.Context, source: SourceOption = None, as_json: JsonOption = False
) -> None:
    """Show what a cycle would do, without doing it."""
    from syncd.assembly import service
    from syncd.views import documents

    config = _load(context)
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
        _tables(config).plan(preview)
    if preview.plan.writes:
        raise typer.Exit(Exit.CHANGES)
    raise _ended(attention=preview.needs_person)


@app.command()
def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show sources, bookings, and what is held, in doubt, refused, quarantined or waiting."""
    from syncd.assembly import open_ledger, utc_now
    from syncd.views import documents
    from syncd.views.status import Status

    config = _load(context)
    with open_ledger(config, owner=False) as ledger:
        found = Status.of(
            ledger,
            mode=config.mode,
            configured=[source.name for source in config.sources],
            monthly_calls=config.api.monthly_calls,
            now=utc_now(),
        )
    if as_json:
        streams.say_json(documents.status_document(found))
    else:
        _tables(config).status(found)
    raise _ended(attention=found.needs_attention)


@app.command()
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
    config = _load(context)
    with service(config, owner=False) as parts:
        story = story_of(uid, parts)
    if as_json:
        streams.say_json(story.document())
    else:
        tell(story, screen())
    raise _ended(attention=story.needs_person)


@app.command()
def approve(context: typer.Context, checksum: str) -> None:
    """Release the held cancellations that `plan` showed under this checksum; the next cycle makes them."""
    from syncd.assembly import service, utc_now, who

    config = _load(context)
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


@app.command()
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
    """Settle what is in doubt, was refused, released or dropped, or vanished; the next cycle does it."""
    from syncd.assembly import open_ledger, utc_now, who
    from syncd.core.resolve import Decision, full_name, resolvable

    verdict = arguments.verdict_of(adopt, retry=retry, drop=drop)
    arguments.require_one_aim(key, every, source, adopt)
    state = None if every is None else arguments.open_state(every)
    config = _load(context)
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


@app.command()
def adopt(
    context: typer.Context,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write it into the state.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a lost state from the reservations in the API that carry our mark; shows first."""
    from syncd.assembly import service
    from syncd.views import documents

    config = _load(context)
    with service(config, owner=apply) as parts:
        found = parts.reconciler.previewer.adoption(apply=apply)
    if as_json:
        streams.say_json(documents.adoption_document(found, applied=apply))
    else:
        _tables(config).adoption(found, applied=apply)
    if found.adopted and not apply:
        raise typer.Exit(Exit.CHANGES)
    troubled = found.strays or found.unreadable or found.oddities
    raise _ended(attention=bool(troubled))


@app.command()
def check(
    context: typer.Context,
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Print the effective configuration, secrets masked."
        ),
    ] = False,
) -> None:
    """Check the configuration; all problems at once."""
    from syncd.config import effective

    config = _load(context)
    if show:
        streams.say_lines(effective(config))
    else:
        streams.say(
            f"The configuration is good: mode {config.mode}, "
            f"sources {len(config.sources)}, rooms {len(config.rooms)}, "
            f"people {len(config.people.directory)}."
        )


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    db: Annotated[
        Path | None, typer.Option(help="Keep everything in this file.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="Default: a random one.")
    ] = None,
    client_secret: Annotated[
        str | None, typer.Option(help="Default: a random one.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="What goes wrong, such as lost:on=create,every=3; a wrong one lists all.",
        ),
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="What the documentation leaves open; a wrong one lists all.",
        ),
    ] = None,
) -> None:
    """Run a local server that behaves like the reservation API."""
    from syncd.sandbox import (
        SandboxSettings,
        SandboxUnusable,
        parse_fault,
        parse_switch,
        serve,
    )

    try:
        settings = SandboxSettings(
            host=host,
            port=port,
            db=db,
            client_id=client_id,
            client_secret=client_secret,
            faults=tuple(parse_fault(text) for text in fault or ()),
            switches=dict(parse_switch(text) for text in switch or ()),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        serve(settings)
    except SandboxUnusable as error:
        streams.complain(str(error))
        raise typer.Exit(Exit.ATTENTION) from None


@app.command()
def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep configuration, calendar and state here."
        ),
    ] = None,
) -> None:
    """Book the sample calendar on a sandbox of its own, and show what was booked."""
    from syncd.demo import run_demo

    raise typer.Exit(run_demo(keep))


def _ended(*, attention: bool) -> typer.Exit:
    """Return the end of a command that did what it was asked, with or without something for a person."""
    return typer.Exit(Exit.ATTENTION if attention else Exit.OK)


def _load(context: typer.Context) -> Config:
    """Return the configuration, with logging set up as it says; raises `ConfigError`."""
    from syncd import log
    from syncd.config import default_path, load

    config = load(context.obj or default_path())
    level = config.log.level
    if streams.errors.isatty() and level == "info":
        level = (
            "warning"  # a person sees tables; a line per change would be in their way
        )
    log.configure(config.log.format, level)
    return config


def _tables(config: Config) -> Tables:
    """Return the tables for people; whoever asks for JSON need not load the library that draws them."""
    from syncd.views.console import tables_of

    return tables_of(config)


def main() -> None:
    """Run the command that the arguments name; ends with its exit code."""
    early.begin(sys.argv[1:])
    streams.take_over()
    # Nearly all that is made stays until the end: to look through it for garbage again and again, and once
    # more at the end, takes a fourth of the time of a short run.
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)
    try:
        with told_to_people():
            app()
    except SystemExit as ended:
        raise SystemExit(_printed(ended.code)) from None


# Commands that do more than to print; what they did is done, wherever the words about it went.
_AT_WORK = frozenset({"run", "once", "approve", "resolve", "demo", "sandbox"})


def _printed(code: str | int | None) -> str | int | None:
    """Hand over what was printed, and return the exit code: not 0 when there was nothing but lost results."""
    streams.output.flush()
    failure = streams.results.failure
    if failure is None:
        return code
    streams.complain(
        f"Standard output cannot be written ({failure.strerror}), so a part of the results is missing: "
        "free some space, or send it elsewhere."
    )
    done = code or early.command_in(sys.argv[1:]) in _AT_WORK
    return code if done else Exit.ATTENTION
